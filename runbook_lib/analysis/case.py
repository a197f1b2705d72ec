"""One case: an attempt or a lone usage row, with its diagnosis, its call, row and spell."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cached_property
from typing import Any

import pandas as pd

from runbook_lib import money
from runbook_lib.analysis.acts import About, changes
from runbook_lib.analysis.around import Spell, spell
from runbook_lib.analysis.causes import diagnose
from runbook_lib.analysis.diagnosis import Diagnosis, cite, from_answer, none_or
from runbook_lib.analysis.joins import Joined, join
from runbook_lib.analysis.material import FAILED, SLOT_WAIT_S, Material
from runbook_lib.analysis.oddities import odd, unlogged
from runbook_lib.findings import Grade, Join

NOTHING = Diagnosis(cause="unknown", code=None, domain=None, retry=None, grade=Grade.INCONCLUSIVE)
"""The diagnosis of what no data hold."""

ALIKE_S = 5.0
"""Refusals with the same key, status and code within this time have one cause."""

_ALIKE = (
    "key_name",
    "group",
    "provider",
    "service",
    "model",
    "status",
    "code_read",
    "lender",
    "outcome",
    "error_type",
    "stream_end",
    "content_type",
    "retry_after_s",
    "path",
    "upstream",
)
"""What two failed attempts of one moment share when they share their cause."""

FINAL = ("never", "window")
"""Retry rules under which another attempt within the call cannot help."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is known of one asked id.

    Attributes:
        asked: The id as it was asked. `attempt`: a row of `material.attempts`, or None when only a
            usage row has the id. `row`: that usage row, or the one joined to the attempt.
        found: The diagnosis. `call`: all attempts of its logical call, in order.
    """

    asked: str
    attempt: Any | None
    found: Diagnosis
    call: Sequence[Any]
    joined: Joined
    material: Material

    @cached_property
    def spell(self) -> Spell | None:
        """The spell of the same failure, None for what did not fail."""
        if self.attempt is None or self.attempt.outcome not in (*FAILED, "abandoned"):
            return None
        return spell(self.attempt, self.found, self.material)

    @cached_property
    def changes(self) -> pd.DataFrame:
        """What was done around the failure, as `acts.changes` gives it."""
        around = self.spell
        about = None if around is None else About.of(self.attempt, self.found, around)
        return changes(about, self.material)

    @property
    def subject(self) -> Any:
        """The row the case is about: the attempt, or the lone usage row."""
        return self.attempt if self.attempt is not None else self.joined.row

    @cached_property
    def judged(self) -> list[Diagnosis]:
        """The diagnosis of every attempt of the call, in order."""
        return [judge(row, self.material) for row in self.call]

    @cached_property
    def joins(self) -> list[Joined]:
        """The usage row of every attempt of the call, in order."""
        return [join(row, self.material) for row in self.call]

    @property
    def cost_usd(self) -> Decimal | None:
        """What the whole call cost in USD, as far as rows were found; None when none was."""
        costs = [item.cost_usd for item in self.joins] or [self.joined.cost_usd]
        known = [cost for cost in costs if cost is not None]
        return money.total(known) if known else None

    @cached_property
    def wasted(self) -> int:
        """Attempts that were sent although the answer before them was final."""
        rules = [item.retry for item in self.judged]
        same = [(row.model, row.key_name) for row in self.call]
        return sum(rule in FINAL and same[n] == same[n + 1] for n, rule in enumerate(rules[:-1]))


def judge(attempt: Any, material: Material) -> Diagnosis:
    """Judge any attempt: failed ones by cause, answered ones by what is odd about them."""
    if attempt.outcome == "ok":
        return odd(attempt, from_answer(attempt), material)
    if attempt.outcome == "no_answer" or attempt.end - attempt.start >= SLOT_WAIT_S:
        return diagnose(attempt, material)
    alike = tuple(str(getattr(attempt, name)) for name in _ALIKE)
    known = material.judged.get((alike, attempt.start // ALIKE_S))
    if known is None:
        known = material.judged[alike, attempt.start // ALIKE_S] = diagnose(attempt, material)
        return known
    own = (
        cite(attempt, item.field, item.value) if item.join is Join.ID else item
        for item in known.evidence
    )
    return replace(known, evidence=tuple(own))


def of_attempts(asked: str, attempts: Sequence[Any], material: Material) -> Case:
    """Make the case of an id that attempts carry; the first that failed speaks for several."""
    speaker = next((row for row in attempts if row.outcome in FAILED), attempts[-1])
    call_id = none_or(speaker.call_id, str)
    call = material.call(call_id) if call_id else [speaker]
    return Case(
        asked=asked,
        attempt=speaker,
        found=judge(speaker, material),
        call=call,
        joined=join(speaker, material),
        material=material,
    )


def of_row(asked: str, row: Any, material: Material) -> Case:
    """Make the case of an id that only a usage row carries."""
    found = unlogged(row, material)
    return Case(
        asked=asked,
        attempt=None,
        found=found,
        call=(),
        joined=Joined(row=row, how="id"),
        material=material,
    )
