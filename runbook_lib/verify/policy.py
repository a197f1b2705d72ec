"""The reference policy: what a correct client does in one cell, from its case and duration."""

from dataclasses import dataclass

from runbook_lib.verify.records import Cell
from runbook_lib.verify.vectors import Case, Ends, Fallback, Retry

SLACK_S = 1.0
"""Beyond the deadline, in the client's favour: the machine may be busy."""

LATE_SEND_S = 0.75
"""An attempt that arrives so much after the deadline was sent after it."""

LONGEST_PAUSE_S = 1.5
"""Who is told to wait beyond the deadline must go on, to the fallback or to an error, by then."""

WAIT_ABOVE = 1.1
WAIT_ABOVE_S = 5.5
"""A wait that was asked for may be exceeded by a tenth, and by so many seconds."""

CLOCK_S = 0.05
"""How early a timer may fire."""

LEAST_BACKOFF_S = 0.06
"""Mean pause below which there is no backoff."""

CANCEL_S = 1.0
"""Half a second is allowed for a cancellation, the rest is slack."""

BURST = 100
"""Retries that a budget may hold in store before it begins to count."""

STORM = 1.1
"""Attempts a call that a budget allows at a total outage, the store aside."""

EVEN = 0.733
SPREAD = 0.87
"""Shortest tenth of the waits over their median when each is drawn from half of the backoff up to
the whole, and how much that differs by chance, times the root of their number: above both, waits
come together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is wanted in one cell.

    Attributes:
        attempts: A model, at most.
        answer: An answer must come.
        shut: No request gets through, so models cannot be told apart.
    """

    retry: Retry
    fallback: Fallback
    attempts: int
    answer: bool
    shut: bool

    def words(self) -> str:
        """Say it in one line."""
        again = {
            Retry.NEVER: "not sent again",
            Retry.ONCE: "sent again once at most",
            Retry.MAY: f"{self.attempts} attempts a model at most",
            Retry.MUST: f"sent again, {self.attempts} attempts a model at most",
        }[self.retry]
        other = {
            Fallback.WANTED: "then the other model",
            Fallback.MAY: "the other model is allowed",
            Fallback.NEVER: "no other model",
        }[self.fallback]
        return f"{again}; {other}; {'an answer' if self.answer else 'an error or a whole answer'}"


def wanted(case: Case, cell: Cell, *, falls_back: bool) -> Wanted:
    """Tell what a correct client does in a cell.

    Args:
        case: The case.
        cell: One of its cells.
        falls_back: The client has a fallback at all; without one, that is its own finding, and
            nothing that needs one is wanted.

    Returns:
        What is wanted.
    """
    expect = case.expect
    fallback = expect.fallback
    if fallback is Fallback.WANTED and not falls_back:
        fallback = Fallback.MAY
    return Wanted(
        retry=expect.retry,
        fallback=fallback,
        attempts=_attempts(case),
        answer=_answer(case, cell, falls_back=falls_back),
        shut=cell.place != "gateway",
    )


def _attempts(case: Case) -> int:
    most = case.expect.attempts_max
    earlier = sum(step.times for step in case.steps[:-1] if step.role != "fallback")
    if case.expect.retry is Retry.NEVER:
        return min(most, 1 + earlier)
    return min(most, 2 + earlier) if case.expect.retry is Retry.ONCE else most


def _answer(case: Case, cell: Cell, *, falls_back: bool) -> bool:
    expect = case.expect
    if expect.ends is not Ends.TOLD:
        return expect.ends is Ends.ANSWER
    if cell.duration in ("5s", "ever") or expect.retry is not Retry.MUST:
        return expect.fallback is Fallback.WANTED and falls_back
    return True
