"""Keys that are too young for their hours: since when a key has a past, and its minutes before."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd

from runbook_lib.analysis.spikes import rolling
from runbook_lib.analysis.spikes.grid import Grid, Ints, Name, grid, sorted_series
from runbook_lib.analysis.spikes.marks import MINUTE, Flags
from runbook_lib.clock import Window

NEVER = 2**62
"""A time nothing reaches: for series that have no past yet."""

DAY_S = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Pasts:
    """What past the series of a grid of hours have.

    Attributes:
        first: Step of the first use of each, -1 where there is none.
        known: Hours known since then.
        since: Account, key and model → time (seconds since 1970) from which its hours are judged.
    """

    first: Ints
    known: Ints
    since: dict[Name, int]

    def before(self, held: Grid, first: int, count: int) -> Flags:
        """Tell which steps of some series of a grid lie before their hours are judged."""
        names = held.names[first : first + count]
        ends = np.array([self.since.get(name, NEVER) for name in names], dtype=np.int64)
        seconds = (held.first + np.arange(held.steps)) * held.grain.seconds
        return seconds[None, :] < ends[:, None]


def pasts(hours: Grid) -> Pasts:
    """Look at the past of every series of a grid of hours."""
    since: dict[Name, int] = {}
    firsts, counts = [], []
    for start, values in hours.chunks():
        past = rolling.since_first_use(values)
        known = ~np.isnan(past)
        enough = rolling.known_before(past) >= hours.grain.least
        judged = np.where(enough.any(axis=1), enough.argmax(axis=1), NEVER)
        firsts.append(np.where(known.any(axis=1), known.argmax(axis=1), -1))
        counts.append(known.sum(axis=1))
        for name, step in zip(hours.names[start : start + len(values)], judged, strict=True):
            since[name] = NEVER if step == NEVER else hours.second(int(step))
    none = np.zeros(0, dtype=np.int64)
    return Pasts(
        first=np.concatenate([none, *firsts]), known=np.concatenate([none, *counts]), since=since
    )


def young_grids(
    rows: pd.DataFrame, held: Pasts, *, models: bool, now: datetime, missing: Sequence[Window] = ()
) -> Iterator[Grid]:
    """Lay out the minutes of the series that have no past of hours yet, a grid a day of birth.

    Args:
        rows: Minutes, as `read` gives them.
        held: The pasts of the same series by hour.
        models: Whether series are models of keys.
        now: The time of the run.
        missing: Spans that the data do not cover.

    Yields:
        Grids that are short, however long ago the keys were young.
    """
    series, own = sorted_series(rows, models=models)
    named = series.fillna("")
    names = zip(named["account"], named["key_name"], named["model"], strict=True)
    ends = np.array([held.since.get(name, NEVER) for name in names], dtype=np.int64)
    own = own[own["second"].to_numpy() < ends[own["series"].to_numpy()]]
    births = own.groupby("series")["second"].min() // DAY_S
    for _, group in births.groupby(births):
        chosen = np.sort(group.index.to_numpy())
        some = own[own["series"].isin(chosen)]
        renumbered = some.assign(series=np.searchsorted(chosen, some["series"].to_numpy()))
        yield grid(
            series.iloc[chosen].reset_index(drop=True),
            renumbered,
            grain=MINUTE,
            now=now,
            missing=missing,
        )
