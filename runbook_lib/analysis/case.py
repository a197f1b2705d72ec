"""One case: an attempt or a lone usage row, with its diagnosis, its call, row and spell."""

from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any

import pandas as pd

from runbook_lib import money
from runbook_lib.analysis.around import Spell, spell
from runbook_lib.analysis.causes import diagnose
from runbook_lib.analysis.diagnosis import Diagnosis, from_answer, none_or
from runbook_lib.analysis.joins import Joined, join
from runbook_lib.analysis.material import FAILED, Material, each
from runbook_lib.analysis.oddities import odd, unlogged
from runbook_lib.findings import Grade

NOTHING = Diagnosis(cause="unknown", code=None, domain=None, retry=None, grade=Grade.INCONCLUSIVE)
"""The diagnosis of what no data hold."""

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
    call: pd.DataFrame
    joined: Joined
    material: Material

    @cached_property
    def spell(self) -> Spell | None:
        """The spell of the same failure, None for what did not fail."""
        if self.attempt is None or self.attempt.outcome not in (*FAILED, "abandoned"):
            return None
        return spell(self.attempt, self.found, self.material)

    @property
    def subject(self) -> Any:
        """The row the case is about: the attempt, or the lone usage row."""
        return self.attempt if self.attempt is not None else self.joined.row

    @cached_property
    def judged(self) -> list[Diagnosis]:
        """The diagnosis of every attempt of the call, in order."""
        rows = each(self.call)
        return [judge(row, self.material) for row in rows]

    @cached_property
    def joins(self) -> list[Joined]:
        """The usage row of every attempt of the call, in order."""
        return [join(row, self.material) for row in each(self.call)]

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
        models = list(self.call["model"])
        keys = list(self.call["key_name"])
        return sum(
            rule in FINAL and models[n] == models[n + 1] and keys[n] == keys[n + 1]
            for n, rule in enumerate(rules[:-1])
        )


def judge(attempt: Any, material: Material) -> Diagnosis:
    """Judge any attempt: failed ones by cause, answered ones by what is odd about them."""
    if attempt.outcome == "ok":
        return odd(attempt, from_answer(attempt), material)
    return diagnose(attempt, material)


def of_attempts(asked: str, attempts: pd.DataFrame, material: Material) -> Case:
    """Make the case of an id that attempts carry; the first that failed speaks for several."""
    failed = attempts[attempts["outcome"].isin(FAILED)]
    speaker = next(each(failed if len(failed) else attempts.tail(1)))
    call_id = none_or(speaker.call_id, str)
    frame = material.attempts
    call = frame[frame["call_id"] == call_id] if call_id else frame.loc[[speaker.Index]]
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
        call=material.attempts.head(0),
        joined=Joined(row=row, how="id"),
        material=material,
    )
