"""Finds what a case of a verification says against itself, before a client is judged by it."""

import math
from collections.abc import Callable, Iterator
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

from runbook_lib.sandbox.faults import CATALOGUE
from runbook_lib.verify.records import Place, Role, Step

if TYPE_CHECKING:
    from runbook_lib.verify.vectors import Case

Wrong = tuple[str, str]
"""Field and what must stand there."""

LONGEST_S = 60.0
"""Seconds that a deadline, a pause or a step can last at most."""

MOST_CALLS = 2_000

_SITUATIONS = ("cap_usd", "window_5h_usd", "balance_usd")
_PRIMARY = (Role.ANY, Role.PRIMARY)


def faults_of(case: "Case") -> Iterator[Wrong]:
    """Give every contradiction of a case: the field, and what to write there.

    Args:
        case: A case as it was read.

    Yields:
        Field and hint, the plainest first; nothing for a sound case.
    """
    for look in _LOOKS:
        yield from look(case)


def _numbers(case: "Case") -> Iterator[Wrong]:
    if not 0 <= case.row <= 999:
        yield "row", "give a number from 0 on"
    if not 1 <= case.calls <= MOST_CALLS:
        yield "calls", f"give 1 to {MOST_CALLS}"
    if not 1 <= case.at_once <= case.calls:
        yield "at_once", "give 1 to the number of calls"
    for name in ("deadline_s", "patience_s"):
        if not 0 < getattr(case, name) <= LONGEST_S:
            yield name, f"give seconds above 0, at most {LONGEST_S:g}"
    if not 0 <= case.every_s <= LONGEST_S:
        yield "every_s", f"give seconds from 0 to {LONGEST_S:g}"


def _steps(case: "Case") -> Iterator[Wrong]:
    for step in case.steps:
        if step.fault not in CATALOGUE:
            yield "fault", "it is unknown; `GET /sandbox/faults` lists them"
        if step.times < 0:
            yield "times", "give 0 or more attempts"
        if not 0 <= step.for_s <= LONGEST_S:
            yield "for_s", f"give seconds from 0 to {LONGEST_S:g}"
        if not 0 < step.p <= 1:
            yield "p", "give a probability above 0 to 1"
    if any(_endless(step) and step.role is Role.ANY for step in case.steps[:-1]):
        yield "steps", "a step that never ends hides the next; give it times or for_s"


def _endless(step: Step) -> bool:
    return not step.times and not step.for_s and step.p >= 1


def _flavours(case: "Case") -> Iterator[Wrong]:
    spoiled = [CATALOGUE[one.fault] for one in case.steps if one.fault in CATALOGUE]
    if case.stream == "no" and any(fault.streams or fault.cut for fault in spoiled):
        yield "stream", "the fault needs a stream"
    if case.flavour != "all" and case.stream == "only":
        yield "flavour", "it means not streaming, and stream = only means streaming"
    late = case.cancel_after_s
    if late is not None and case.sync != "async":
        yield "cancel_after_s", "only an async call can be cancelled; say sync = async"
    if late is not None and not 0 < late < case.deadline_s:
        yield "cancel_after_s", "give seconds above 0 and below the deadline"
    if case.expect.mid and case.stream != "only":
        yield "mid", "it speaks of a stream that began; say stream = only"


def _places(case: "Case") -> Iterator[Wrong]:
    shut = case.place is not Place.GATEWAY
    if shut and any(step.fault != "refused" for step in case.steps):
        yield "steps", "no request arrives there, so nothing can be done to one"
    if case.place is not Place.REFUSED and any(step.fault == "refused" for step in case.steps):
        yield "place", "only in the place `refused` does nobody listen"
    if case.situation and (case.steps or shut):
        yield "situation", "a real state stands alone, without steps, at the gateway"
    for name, value in case.situation.items() if isinstance(case.situation, dict) else ():
        if name not in _SITUATIONS:
            yield "situation", f"give {', '.join(_SITUATIONS)}"
        elif not _amount(value):
            yield "situation", "give an amount in USD above 0, as text"
    if not isinstance(case.situation, dict):
        yield "situation", f"give a table of {', '.join(_SITUATIONS)}"


def _amount(value: object) -> bool:
    try:
        return isinstance(value, str) and Decimal(value).is_finite() and Decimal(value) > 0
    except InvalidOperation:
        return False


def _waits(case: "Case") -> Iterator[Wrong]:
    low, high = case.expect.wait_min_s, case.expect.wait_max_s
    for name, value in (("wait_min_s", low), ("wait_max_s", high)):
        if value is not None and not (math.isfinite(value) and value >= 0):
            yield name, "give seconds from 0 on"
    if low is not None and high is not None and low > high:
        yield "wait_min_s", "it is above wait_max_s"
    if low is not None and low >= case.deadline_s:
        yield "wait_min_s", "it is not below the deadline, so nothing could be sent after it"
    if case.expect.retry == "never" and (low is not None or high is not None):
        yield "wait_min_s", "retry = never leaves nothing to wait for"


def _attempts(case: "Case") -> Iterator[Wrong]:
    expect = case.expect
    least = 2 if expect.retry == "must" else 1
    if expect.attempts_max < least:
        yield "attempts_max", f"retry = {expect.retry} needs {least} or more"
    if expect.attempts_max > 3 and expect.retry in ("never", "once"):
        yield "attempts_max", f"retry = {expect.retry} allows no more than it says"
    if expect.mid and expect.retry != "never":
        yield "retry", "after a streamed byte the model is not asked again; say never"


def _endings(case: "Case") -> Iterator[Wrong]:
    expect = case.expect
    harmed = bool(case.steps or case.situation) or case.place is not Place.GATEWAY
    if not harmed and (expect.ends == "error" or expect.retry == "must"):
        yield "expect", "nothing fails, so there is nothing to retry or to report"
    if not harmed and expect.fallback == "wanted":
        yield "fallback", "nothing fails, so nothing is to fall back from"
    if expect.ends == "answer" and _hopeless(case):
        yield "ends", "no answer can come: it fails for ever and nothing may be fallen back to"


def _hopeless(case: "Case") -> bool:
    """Tell whether a refusal hits every attempt that is allowed, in some duration."""
    if case.place is not Place.GATEWAY:
        return "ever" in case.durations
    hard = [one for one in case.steps if _refuses(one) and one.role in _PRIMARY]
    lasting = [one for one in hard if _endless(one)]
    if not lasting or not ("ever" in case.durations or not case.durations):
        return False
    return case.expect.fallback == "never" or any(one.role is Role.ANY for one in lasting)


def _refuses(step: Step) -> bool:
    fault = CATALOGUE.get(step.fault)
    if fault is None:
        return False
    status = int((fault.answer or {}).get("status", 0))
    return bool(fault.problem or fault.upstream or fault.refusal or status >= 400)


_LOOKS: tuple[Callable[["Case"], Iterator[Wrong]], ...] = (
    _numbers,
    _steps,
    _flavours,
    _places,
    _waits,
    _attempts,
    _endings,
)
