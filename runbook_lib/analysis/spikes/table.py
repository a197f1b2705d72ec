"""Events as a table: priced, told once, and held against what was planned."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Self

import pandas as pd

from runbook_lib import money
from runbook_lib.analysis.spikes.events import Event
from runbook_lib.analysis.spikes.grid import Grid, Name, Series
from runbook_lib.analysis.spikes.planned import Plan

STATUSES = ("raised", "noted", "planned", "below_floor", "repeat")
"""In the order they are shown."""

_RANKS = {("key", "minute"): 0, ("key", "hour"): 0, ("key", "day"): 1}
_RANKS |= {("model", "minute"): 2, ("model", "hour"): 2, ("model", "day"): 3}

_TIMES = ("start", "end", "peak_at", "past_from")
_COUNTS = ("event", "repeat_of", "requests", "steps", "marked")
_REALS = ("factor", "jump", "record", "usual_requests")
COLUMNS = (
    *("event", "status", "repeat_of", "kind", "direction", "grain", "scope"),
    *("account", "key_name", "model", "start", "end", "peak_at"),
    *("observed_usd", "expected_usd", "impact_usd", "factor", "low_usd", "high_usd"),
    *("jump", "record", "requests", "usual_requests", "steps", "marked", "past_from", "note"),
)
"""Columns of the table, in order; `find_spikes` says what they hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An event with its times, names and money.

    Attributes:
        event: As it was read from the marks.
        name: Account, key and model of its series, empty where there is none.
        series: The same as the grid has them. `grain`: name of the size of its steps.
        start, end, peak_at, past_from: When, aware UTC.
        observed_usd: Billed in it, exact. `requests`: how many.
        usual_requests: How many are usual in as long a time, by the mean of the past.
    """

    event: Event
    name: Name
    series: Series
    grain: str
    start: datetime
    end: datetime
    peak_at: datetime
    past_from: datetime
    observed_usd: Decimal
    requests: int
    usual_requests: float

    @classmethod
    def of(cls, event: Event, held: Grid) -> Self:
        """Take the times and the money of an event from its grid."""
        observed, requests = held.billed(event.series, event.start, event.end)
        grain = held.grain
        memory = max(grain.memory, grain.season * grain.seasons, grain.block * grain.blocks)
        past = max(0, event.start - memory)
        before = held.mean_requests(event.series, past, event.start)
        return cls(
            event=event,
            name=held.names[event.series],
            series=held.series_of(event.series),
            grain=grain.name,
            start=held.at(event.start),
            end=held.at(event.end),
            peak_at=held.at(event.peak),
            past_from=held.at(past),
            observed_usd=observed,
            requests=requests,
            usual_requests=before * (event.end - event.start),
        )

    @property
    def scope(self) -> str:
        """Whether it is about a key or about one of its models."""
        return "model" if self.name[2] else "key"

    @property
    def expected_usd(self) -> Decimal:
        """What would have been usual in it."""
        return amount(self.event.usual)

    @property
    def impact_usd(self) -> Decimal:
        """What it cost beyond the usual; negative where it cost less."""
        return self.observed_usd - self.expected_usd


def table(
    found: Sequence[Found], *, floor_usd: Decimal, plans: Sequence[Plan] = ()
) -> pd.DataFrame:
    """Make the table of events.

    Args:
        found: The events of all series and grains.
        floor_usd: Events that differ less from the usual are below the floor.
        plans: What was planned; their notes stand beside the events they excuse.

    Returns:
        A row per event, in the columns of `COLUMNS`, the raised first, dearest first.
    """
    statuses = [_status(one, floor_usd) for one in found]
    repeated = _repeats(found, statuses)
    order = sorted(
        range(len(found)),
        key=lambda n: (
            STATUSES.index("repeat" if n in repeated else statuses[n]),
            -abs(found[n].impact_usd),
            found[n].start,
            found[n].name,
            found[n].grain,
        ),
    )
    numbers = {n: number for number, n in enumerate(order, start=1)}
    rows = [
        {
            "event": numbers[n],
            "status": "repeat" if n in repeated else statuses[n],
            "repeat_of": numbers[repeated[n]] if n in repeated else pd.NA,
            "note": _note(found[n], plans) if found[n].event.planned else "",
            **_row(found[n]),
        }
        for n in order
    ]
    return _typed(rows)


def _status(one: Found, floor_usd: Decimal) -> str:
    if one.event.planned:
        return "planned"
    if abs(one.impact_usd) < floor_usd:
        return "below_floor"
    return "raised" if one.event.kind == "record" else "noted"


def _repeats(found: Sequence[Found], statuses: Sequence[str]) -> dict[int, int]:
    """Find for each event the one that tells the same: graver, of the whole key, by the hour."""
    rank = [
        (STATUSES.index(status), _RANKS[one.scope, one.grain])
        for one, status in zip(found, statuses, strict=True)
    ]
    told: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    repeated: dict[int, int] = {}
    for n in sorted(range(len(found)), key=lambda n: (rank[n], found[n].start)):
        one = found[n]
        group = told[(one.name[0], one.name[1], one.event.direction)]
        same = next((other for other in group if _overlap(found[other], one)), None)
        if same is not None and rank[same] < rank[n]:
            repeated[n] = same
        elif statuses[n] != "below_floor":
            group.append(n)
    return repeated


def _overlap(one: Found, other: Found) -> bool:
    models = {one.name[2], other.name[2]} - {""}
    return len(models) < 2 and one.start < other.end and other.start < one.end


def _note(one: Found, plans: Sequence[Plan]) -> str:
    account, key_name, _ = one.name
    notes = [
        plan.note
        for plan in plans
        if plan.meets(account or None, key_name or None)
        if plan.window.start < one.end and one.start < plan.window.end
    ]
    return "; ".join(dict.fromkeys(note for note in notes if note))


def _row(one: Found) -> dict[str, Any]:
    event = one.event
    account, key_name, model = one.series
    expected = one.expected_usd
    return {
        "kind": event.kind,
        "direction": event.direction,
        "grain": one.grain,
        "scope": one.scope,
        "account": account,
        "key_name": key_name,
        "model": model,
        "start": one.start,
        "end": one.end,
        "peak_at": one.peak_at,
        "observed_usd": one.observed_usd,
        "expected_usd": expected,
        "impact_usd": one.impact_usd,
        "factor": float(one.observed_usd / expected) if expected > 0 else float("nan"),
        "low_usd": amount(event.low),
        "high_usd": amount(event.high),
        "jump": event.jump,
        "record": event.record,
        "requests": one.requests,
        "usual_requests": one.usual_requests,
        "steps": event.end - event.start,
        "marked": event.marked,
        "past_from": one.past_from,
    }


def amount(value: float) -> Decimal:
    """Write an estimate as money, with the decimals all amounts have."""
    return Decimal(f"{value:.{money.SCALE}f}")


def _typed(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Give every column its type, also where there is no row."""
    types = dict.fromkeys(COLUMNS, "object")
    types |= dict.fromkeys(_COUNTS, "Int64") | dict.fromkeys(_REALS, "float64")
    types |= dict.fromkeys(_TIMES, "datetime64[us, UTC]")
    columns = {name: pd.Series([row[name] for row in rows], dtype=types[name]) for name in COLUMNS}
    return pd.DataFrame(columns)
