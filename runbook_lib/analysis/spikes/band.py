"""The strip of one key: what it spent each hour, and the band it was expected in."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from runbook_lib.analysis.spikes.grid import Grid, grid, read, sorted_series
from runbook_lib.analysis.spikes.marks import HOUR, Grain, Marks, mark
from runbook_lib.analysis.spikes.planned import planned_factor, plans
from runbook_lib.analysis.spikes.rolling import Floats
from runbook_lib.analysis.spikes.table import amount
from runbook_lib.clock import Window
from runbook_lib.errors import ParameterError


def expected_band(
    hourly: pd.DataFrame,
    *,
    now: datetime,
    key_name: str | None,
    model: str | None = None,
    account: str | None = None,
    planned: pd.DataFrame | None = None,
    missing: Sequence[Window] = (),
    window: Window | None = None,
    grain: Grain = HOUR,
) -> pd.DataFrame:
    """Give what a key spent in each step of time, and what would have been marked.

    Args:
        hourly: As for `find_spikes`; by the minute for the grain of minutes.
        now: Rows that start later are left out.
        key_name: The key, None for rows without one.
        model: One of its models; None for all together.
        account: Its account, where there are several.
        planned: As for `find_spikes`.
        missing: As for `find_spikes`.
        window: Only these steps are given; all are learned from.
        grain: Size of the steps.

    Returns:
        A row per step of the data: `start` (aware UTC), `observed_usd` (exact; None where the data
        do not cover it), `usual_usd`, `low_usd`, `high_usd` (estimates; None where there is no
        past), `mark` ("record", "jump", "drop" or ""), `planned` (flag).

    Raises:
        ParameterError: the key, or the model on it, is not in the roll-up.
    """
    name = (account or "", key_name or "", model or "")
    held, number = _found(hourly, name, now, missing, grain)
    values = next(
        chunk[number - first : number - first + 1]
        for first, chunk in held.chunks()
        if first <= number < first + len(chunk)
    )
    factors = planned_factor(held, plans(planned), number, 1)
    marks = mark(values, grain=grain, first=held.first, learn=factors == 0)
    steps = _steps(held, window)
    return pd.DataFrame(
        {
            "start": pd.Series([held.at(step) for step in steps], dtype="datetime64[us, UTC]"),
            "observed_usd": _observed(held, number, values[0], steps),
            "usual_usd": _estimates(marks.usual, steps),
            "low_usd": _estimates(np.maximum(marks.low, 0.0), steps),
            "high_usd": _estimates(marks.high, steps),
            "mark": [_named(marks, step) for step in steps],
            "planned": [bool(factors[0, step] > 0) for step in steps],
        }
    )


def _found(
    hourly: pd.DataFrame,
    name: tuple[str, str, str],
    now: datetime,
    missing: Sequence[Window],
    grain: Grain,
) -> tuple[Grid, int]:
    """Give the grid, and the number of the series asked for."""
    rows = read(hourly, now=now)
    if name[2]:  # its rows alone; the others stay, so that the grid spans all hours
        rows = rows.assign(key_name=rows["key_name"].where(rows["model"] == name[2], OTHERS))
    series, own = sorted_series(rows, models=False)
    held = grid(series, own, grain=grain, now=now, missing=missing)
    wanted = (*name[:2], "")
    if wanted not in held.names:
        raise ParameterError("key_name", name[1:], hint="a key, and a model on it, of the roll-up")
    return held, list(held.names).index(wanted)


OTHERS = "\0"
"""No key is called so: stands for the rows of all models but the one asked for."""


def _steps(held: Grid, window: Window | None) -> range:
    if window is None:
        return range(held.steps)
    start, end = held.step_of(window.start), held.step_of(window.end)
    partial = held.at(end) < window.end
    return range(min(max(0, start), held.steps), max(0, min(held.steps, end + partial)))


def _observed(held: Grid, number: int, values: Floats, steps: range) -> "pd.Series[Any]":
    known = ~np.isnan(values)
    sums = [held.billed(number, step, step + 1)[0] if known[step] else None for step in steps]
    return pd.Series(sums, dtype="object")


def _estimates(values: Floats, steps: range) -> "pd.Series[Any]":
    numbers = values[0, steps.start : steps.stop]
    return pd.Series([amount(n) if np.isfinite(n) else None for n in numbers], dtype="object")


def _named(marks: Marks, step: int) -> str:
    if marks.down[0, step]:
        return "drop"
    if not marks.up[0, step]:
        return ""
    return "record" if marks.beyond_record[0, step] else "jump"
