"""The rows of an event: where exactly it begins and ends inside its hours or minutes."""

from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np

from runbook_lib.analysis.spikes.rolling import Floats
from runbook_lib.clock import Window

if TYPE_CHECKING:
    import pandas as pd

ROUNDS = 5
"""How often the rate inside is taken anew from the span found; it settles in two or three."""

LEAST_RATIO = 1.5
"""Rates closer than this to the usual one have no edge to find."""


def exact_span(times: "pd.Series[pd.Timestamp]", *, usual_per_hour: float) -> Window | None:
    """Find the span in which rows come most clearly faster than usual.

    It is the span with the highest likelihood of one higher rate against the usual one: each row
    speaks for it, each second without a row against it.

    Args:
        times: Times of the rows of one series around an event, aware UTC, in any order.
        usual_per_hour: Rows an hour that are usual for it.

    Returns:
        The span from the first of its rows to just after the last, or None where rows come no
        faster than usual. With no usual rate at all every row belongs to it.
    """
    stamps = times.dropna().dt.floor("us").sort_values(ignore_index=True)
    if stamps.empty:
        return None
    seconds = np.asarray((stamps - stamps.iloc[0]).dt.total_seconds(), dtype=np.float64)
    first, last = 0, len(seconds) - 1
    usual = usual_per_hour / 3600
    if usual <= 0:
        return _window(stamps, first, last)
    for _ in range(ROUNDS):
        ratio = (last - first + 1) / max(seconds[last] - seconds[first], 1.0) / usual
        if ratio < LEAST_RATIO:
            return None
        best = _densest(seconds, gain=float(np.log(ratio)), loss=usual * (ratio - 1))
        if best == (first, last):
            break
        first, last = best
    return _window(stamps, first, last)


def _densest(seconds: Floats, *, gain: float, loss: float) -> tuple[int, int]:
    """Give first and last row of the span in which gains outweigh losses most."""
    worth = gain * np.arange(len(seconds)) - loss * seconds
    lowest = np.minimum.accumulate(worth)
    last = int((worth - lowest).argmax())
    return int(worth[: last + 1].argmin()), last


def _window(stamps: "pd.Series[pd.Timestamp]", first: int, last: int) -> Window:
    start, end = (stamps.iloc[place].to_pydatetime() for place in (first, last))
    return Window(start=start, end=end + timedelta(microseconds=1))
