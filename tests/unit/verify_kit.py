"""Played cells made by hand, for tests of the judge; and our cases by name."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

from runbook_lib.verify import cells, judge, vectors
from runbook_lib.verify.judge import Judged
from runbook_lib.verify.records import Attempt, Cell, Ending, Outcome, Played

CASES = {case.name: case for case in vectors.load()}

FIRST, SECOND = "gpt-5.4", "gpt-5.4-mini"
TEXT = "the cap holds until someone raises it"

FUNCTION = SimpleNamespace(protocols=("openai",), plain=True, asynchronous=False, stream=True)
"""A user's plain function."""

SDK = SimpleNamespace(protocols=("openai", "responses"), plain=True, asynchronous=True, stream=True)
"""An adapter of an SDK that speaks two protocols."""


def cell(case: str, duration: str | None = None, **changes: Any) -> Cell:
    """One cell of a case, the first that fits."""
    made = cells.cells([CASES[case]], SDK, models={"openai": (FIRST, SECOND)})
    fits = [one for one in made if duration in (None, one.duration)]
    wanted = {name: changes.pop(name) for name in ("stream", "asynchronous") if name in changes}
    fits = [one for one in fits if all(getattr(one, name) == wanted[name] for name in wanted)]
    return replace(fits[0], **changes)


def attempt(status: int | None = 200, at: float = 0.0, model: str = FIRST, **more: Any) -> Attempt:
    """An attempt that was answered at once; one with status 200 and no fault is whole."""
    good = status == 200 and not more.get("fault")
    fields: dict[str, Any] = {
        "number": 0,
        "at_s": at,
        "ended_s": at + 0.01,
        "model": model,
        "path": "/v1/chat/completions",
        "stream": False,
        "status": status,
        "whole": good,
        "text": TEXT if good else "",
        "cost_usd": Decimal("0.0004") if good else None,
    }
    return Attempt(**{**fields, **more})


def played(
    where: Cell,
    attempts: Sequence[Attempt],
    ending: Ending = Ending.RAISED,
    *,
    ended: float | None = None,
    outcomes: Sequence[Outcome] = (),
    notes: Sequence[str] = (),
    **more: Any,
) -> Played:
    """A cell with its attempts and one outcome."""
    numbered = [replace(one, number=number) for number, one in enumerate(attempts, start=1)]
    last = max((one.ended_s or one.at_s for one in numbered), default=0.0)
    text = TEXT if ending is Ending.TEXT else ""
    one = Outcome(
        **{
            "ending": ending,
            "started_s": 0.0,
            "ended_s": last + 0.01 if ended is None else ended,
            "text": text,
            **more,
        }
    )
    return Played(cell=where, attempts=numbered, outcomes=outcomes or [one], notes=notes)


def falls_back() -> Played:
    """A cell that shows that the client has a fallback."""
    where = cell("status_500", "ever")
    tries = [
        attempt(500, 0.0, fault="status_500"),
        attempt(500, 0.5, fault="status_500"),
        attempt(200, 1.6, SECOND),
    ]
    return played(where, tries, Ending.TEXT)


def alone() -> Played:
    """A cell that shows that the client has no fallback."""
    tries = [attempt(500, at, fault="status_500") for at in (0.0, 0.5, 1.4)]
    return played(cell("status_500", "ever"), tries)


def judged(one: Played, *others: Played) -> Judged:
    """Judge one cell, beside others that show what is true of the client."""
    return judge.judge([one, *others], CASES)[0][0]


def rules(one: Played, *others: Played) -> list[str]:
    """Rules that a cell breaks, without their prefix."""
    found = judged(one, *others).deviations
    return [each.kind.rule.removeprefix("client-") for each in found]
