"""Find the spikes of every key and of every model on it, by hour, by day and by minute."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

import numpy as np
import pandas as pd

from runbook_lib.analysis.spikes.events import events
from runbook_lib.analysis.spikes.grid import Grid, grid, read, sorted_series
from runbook_lib.analysis.spikes.marks import DAY, HOUR, JUMP, MINUTE, mark
from runbook_lib.analysis.spikes.planned import Plan, excused, planned_factor, plans
from runbook_lib.analysis.spikes.table import Found, table
from runbook_lib.analysis.spikes.young import NEVER, Pasts, pasts, young_grids
from runbook_lib.clock import Window

FLOOR_USD = Decimal("0.10")
"""What a spike must cost beyond the usual at least, where nobody says otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spikes:
    """What was found, and what could be watched.

    Attributes:
        events: A row per event, see `find_spikes`.
        series: A row per key, and per model of a key that has several: `account`, `key_name`,
            `model` (None: all models of the key), `first_use` (start of its first hour in use),
            `hours` (known since then), `watched` ("hour", "minute" or "none": no past yet).
        left_out: Rows that start later than `now` or lie further back than anything looks.
    """

    events: pd.DataFrame
    series: pd.DataFrame
    left_out: int


def find_spikes(
    hourly: pd.DataFrame,
    *,
    now: datetime,
    floor_usd: Decimal = FLOOR_USD,
    planned: pd.DataFrame | None = None,
    minutes: pd.DataFrame | None = None,
    missing: Sequence[Window] = (),
    window: Window | None = None,
) -> Spikes:
    """Find where a key, or a model on a key, spent unlike its own past.

    Every hour and day is judged by what came before it alone, see `marks`. A series with less than
    two days of past is judged by its minutes, one without any past is silent. An event is told
    once: the model behind a spike of its key, and the day of a spike of its hours, are repeats.
    Records alarm, about once in four weeks of a key; other unusual steps are noted.
    On a model of a key both marks must agree, since there are many, and their mix shifts.

    Args:
        hourly: Roll-up of usage by hour of UTC and key, better also by model: `bucket` (aware),
            `key_name`, `requests`, `cost_usd` (Decimal, null unknown); `model` and `account` where
            they are there. Hours without a row are idle. It must reach back before *window*: two
            weeks make a full past for hours, ten for days.
        now: Rows that start later are left out; a running hour can be too high, never too low.
        floor_usd: Events that differ less from the usual are below the floor.
        planned: Rows of `planned`. Its steps are judged by the factor and not learned from.
        minutes: The same roll-up by minute, for keys whose past is short.
        missing: Spans the data do not cover; they are unknown, not idle.
        window: Only events that touch it are given.

    Returns:
        The spikes. `events` has a row per event, the raised first, dearest first: `event` (number),
        `status` ("raised": an alarm; "noted": unusual, no alarm; "planned"; "below_floor";
        "repeat"), `repeat_of` (number or NA), `kind` ("record": beyond anything seen, the one that
        alarms; "jump": unlike the step before), `direction` ("up" or "down"),
        `grain`, `scope` ("key" or "model"), `account`, `key_name`, `model` (None for the key),
        `start`, `end` (half-open, UTC), `peak_at`, `observed_usd` (exact), `expected_usd`,
        `impact_usd` (observed less expected), `factor` (observed over expected, NaN where nothing
        was expected), `low_usd`, `high_usd` (band at the start: outside is marked), `jump`,
        `record` (largest marks), `requests`, `usual_requests` (in as long a time, by the mean of
        the past), `steps`, `marked` (of them), `past_from` (where the past it is compared with
        starts), `note` (of the plan).

    Raises:
        ParameterError: a column is missing, the buckets are no aware times, or a plan has no end.
    """
    known = plans(planned)
    rows = read(hourly, now=now)
    thin = None if minutes is None else read(minutes, now=now)
    found: list[Found] = []
    watched: list[pd.DataFrame] = []
    for models in (False, True):
        series, own = sorted_series(rows, models=models)
        grids = [grid(series, own, grain=grain, now=now, missing=missing) for grain in (HOUR, DAY)]
        past = pasts(grids[0])
        young: list[Grid] = []
        if thin is not None:
            young = list(young_grids(thin, past, models=models, now=now, missing=missing))
        for held in (*young, *grids):
            found += _search(held, known, now, models=models, past=past)
        watched.append(_watched(grids[0], past, young))
    if window is not None:
        found = [one for one in found if one.start < window.end and one.end > window.start]
    return Spikes(
        events=table(found, floor_usd=floor_usd, plans=known),
        series=pd.concat(watched, ignore_index=True),
        left_out=len(hourly) - len(rows),
    )


def _search(
    held: Grid, known: list[Plan], now: datetime, *, models: bool, past: Pasts
) -> list[Found]:
    """Mark every series of a grid and gather its events; minutes only while a key is young.

    On a model both marks must agree: there are many more series, and their mix shifts all the time.
    """
    found: list[Found] = []
    ended = np.arange(held.steps) < held.step_of(now)
    for first, values in held.chunks():
        factors = planned_factor(held, known, first, len(values))
        marks = mark(values, grain=held.grain, first=held.first, learn=factors == 0)
        up, down = marks.up, marks.down & ended
        if held.grain is MINUTE:
            up = up & past.before(held, first, len(values))
        if models:
            up, down = up & marks.beyond_record & (marks.jump >= JUMP), np.zeros_like(down)
        marks = replace(marks, up=up, down=down)
        meant = excused(values, marks, factors)
        here = events(values, marks, meant, grain=held.grain, first=first)
        found += [Found.of(event, held) for event in here]
    return found


def _watched(hours: Grid, past: Pasts, young: Sequence[Grid]) -> pd.DataFrame:
    """Say of every series by what it was watched."""
    by_minute = {name for held in young for name in held.names}
    judged = [past.since[name] < NEVER for name in hours.names]
    uses = [hours.at(int(step)) if step >= 0 else None for step in past.first]
    return hours.series.assign(
        first_use=pd.Series(uses, dtype="datetime64[us, UTC]"),
        hours=past.known,
        watched=[
            "hour" if old else "minute" if name in by_minute else "none"
            for name, old in zip(hours.names, judged, strict=True)
        ],
    )
