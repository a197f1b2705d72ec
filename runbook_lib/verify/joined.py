"""One call of a client, with the attempts that belong to it: what every check looks at."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from runbook_lib import redact
from runbook_lib.verify.records import Attempt, Cell, Ending, Outcome, Place, Played

UNHEARD = frozenset(one.value for one in Place if one is not Place.GATEWAY)
"""Faults of attempts of which no request came through."""

_MAYBE_DONE = frozenset({408, 504, 524})
"""Statuses after which the work may have been done and charged all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call and its attempts, in order of arrival."""

    cell: Cell
    outcome: Outcome
    attempts: Sequence[Attempt]

    @property
    def primary(self) -> str:
        """Model that is asked first."""
        return self.cell.models[0] if self.cell.models else ""

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.outcome.ended_s - self.outcome.started_s

    @property
    def answered(self) -> bool:
        """Whether the caller got a text."""
        return self.outcome.ending is Ending.TEXT

    def of_model(self, model: str) -> list[Attempt]:
        """Give the attempts that asked for a model."""
        return [one for one in self.attempts if one.model == model]

    def by_model(self) -> dict[str, list[Attempt]]:
        """Give the attempts of each of the cell's models that was asked; unheard ones have none."""
        known = [*self.cell.models, ""]
        found = {model: self.of_model(model) for model in known}
        return {model: tries for model, tries in found.items() if tries}

    def fallbacks(self) -> list[Attempt]:
        """Give the attempts that asked for another model than the first."""
        others = set(self.cell.models[1:])
        return [one for one in self.attempts if one.model in others]

    def pairs(self) -> list[tuple[Attempt, Attempt]]:
        """Give each attempt with the next one that asked for the same model."""
        found = []
        for tries in self.by_model().values():
            found += list(itertools.pairwise(tries))
        return found


def of(played: Played) -> list[Call]:
    """Split what was played into its calls.

    Args:
        played: A cell that was played.

    Returns:
        One call an outcome. Where several calls cannot be told apart, none has attempts.
    """
    cell = played.cell
    if len(played.outcomes) == 1:
        return [Call(cell=cell, outcome=played.outcomes[0], attempts=played.attempts)]
    return [
        Call(
            cell=cell,
            outcome=outcome,
            attempts=[one for one in played.attempts if one.call == (outcome.call or number)],
        )
        for number, outcome in enumerate(played.outcomes, start=1)
    ]


def wait_s(first: Attempt, second: Attempt) -> float:
    """Tell the longest pause that can have been between two attempts.

    Counted from the arrival of the first: its answer left later, so a client that waited as long
    as it was asked to is never taken for one that did not.
    """
    return second.at_s - first.at_s


def pause_s(first: Attempt, second: Attempt) -> float:
    """Tell the pause between the end of one attempt and the arrival of the next."""
    ended = first.at_s if first.ended_s is None else first.ended_s
    return max(0.0, second.at_s - ended)


def may_be_charged(attempt: Attempt) -> bool:
    """Tell whether an attempt that was sent whole may have been worked on and charged."""
    if attempt.cost_usd is not None:
        return True
    if attempt.fault in UNHEARD or attempt.fault in ("reset_before_bytes", "close_before_bytes"):
        return False
    return attempt.status is None or attempt.status in _MAYBE_DONE


def told(attempt: Attempt) -> str:
    """Name how an attempt ended: status and code, or the fault where there was no answer."""
    if attempt.status is None:
        return attempt.fault or "no answer"
    return f"{attempt.status} {redact.safe(attempt.code, limit=80)}".strip()
