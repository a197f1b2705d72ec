"""How many calls of a key are under way at once, and what that lets be spent beyond a cap."""

from dataclasses import dataclass
from math import ceil, sqrt

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from runbook_lib.analysis.caps.frames import objects
from runbook_lib.analysis.caps.grid import Held
from runbook_lib.analysis.caps.level import Floats
from runbook_lib.analysis.caps.material import LAG_MINUTES, CapMaterial, amount_of
from runbook_lib.analysis.caps.refs import Refs
from runbook_lib.analysis.words import counted

SPREAD = 3.0
"""Standard deviations above the mean number under way, where only the busiest hour is known."""

HOUR_MS = 3_600_000.0

COLUMNS = [
    *("account", "key_name", "in_flight", "dearest_usd", "under_way_usd", "lag_usd"),
    *("overshoot_usd", "basis"),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnderWay:
    """Calls of one key that were under way at once: how many at most, and how that is known."""

    count: int
    basis: str


def highest(starts: NDArray[np.float64], ends: NDArray[np.float64]) -> int:
    """Give the highest number of spans that hold one instant; one that ends does not hold it."""
    starts, ends = np.sort(starts), np.sort(np.maximum(ends, starts))
    over = np.searchsorted(ends, starts, side="right")
    # A span of no length has ended where it starts; it was under way all the same.
    return int(np.maximum(np.arange(1, len(starts) + 1) - over, 1).max(initial=0))


def under_way(material: CapMaterial, held: Held) -> list[UnderWay]:
    """Tell how many calls of each key were under way at once.

    Args:
        material: Reads `calls`, `billed`, `unseen`, `hourly` and `in_flight`.
        held: The keys.

    Returns:
        One a key: the most of what the call log and the usage rows show by their starts and ends,
        and, where not all rows of the last week were read, of the busiest hour of the usage rows:
        requests times their mean length (Little's law), and three standard deviations.
    """
    logged, billed = (
        _highest(material.calls, held.refs, ends=False),
        _highest(material.billed, held.refs, ends=True),
    )
    busy = _busiest(material, held.refs) if material.unseen[1] else {}
    made = []
    for place in range(len(held.keys)):
        found = [
            UnderWay(count=count, basis=f"{counted(rows, noun)} of the last week")
            for noun, (count, rows) in (
                ("attempt", logged.get(place, (0, 0))),
                ("usage row", billed.get(place, (0, 0))),
            )
            if count
        ]
        if place in busy:
            found.append(UnderWay(count=busy[place], basis="its busiest hour"))
        assumed = UnderWay(count=material.in_flight, basis="assumed: the last week shows none")
        made.append(max(found, key=lambda one: one.count, default=assumed))
    return made


def _highest(frame: pd.DataFrame, refs: Refs, *, ends: bool) -> dict[int, tuple[int, int]]:
    """Give the highest number at once and the rows it was read from, by place."""
    if frame.empty:
        return {}
    place = refs.places(frame)
    length = pd.to_numeric(frame["duration_ms"], errors="coerce").to_numpy(dtype=float)
    at = (pd.DatetimeIndex(frame["ts"]).as_unit("us").asi8 / 1000).astype(float)
    known = (place >= 0) & np.isfinite(length) & (length >= 0)
    begin = at - length if ends else at
    found = {}
    for key in np.unique(place[known]):
        own = known & (place == key)
        found[int(key)] = highest(begin[own], begin[own] + length[own]), int(own.sum())
    return found


def _busiest(material: CapMaterial, refs: Refs) -> dict[int, int]:
    """Give the calls at once of the busiest hour by Little's law, by place."""
    hours, rows = material.hourly, material.billed
    if hours.empty or rows.empty or "requests" not in hours:
        return {}
    length = pd.to_numeric(rows["duration_ms"], errors="coerce").astype(float)
    mean = length.groupby(refs.places(rows)).mean()
    most = hours["requests"].astype(float).groupby(refs.places(hours)).max()
    found = {}
    for place, requests in most.items():
        spent = float(mean.get(place, mean.mean()))
        if int(place) >= 0 and np.isfinite(spent):  # type: ignore[call-overload]
            load = requests * spent / HOUR_MS
            found[int(place)] = max(1, ceil(load + SPREAD * sqrt(load)))  # type: ignore[call-overload]
    return found


def overshoot_table(material: CapMaterial, held: Held, flying: list[UnderWay]) -> pd.DataFrame:
    """Bound what can be spent beyond a cap.

    Args:
        material: Reads `loop_factor`.
        held: The dearest call of each key, and its last week by the hour.
        flying: As `under_way` gives it.

    Returns:
        A row a key: `account`, `key_name`, `in_flight` (calls), `dearest_usd` (one call),
        `under_way_usd` (both multiplied), `lag_usd` (what a loop burns while the gateway's count
        lags), `overshoot_usd` (their sum), `basis` (of the calls). Empty without hours.
    """
    if held.hours is None:
        return objects([], COLUMNS)
    lag = lag_usd(held.hours, factor=material.loop_factor)
    rows = [
        {
            "account": ref.account or None,
            "key_name": ref.key_name,
            "in_flight": one.count,
            "dearest_usd": amount_of(held.dearest[place]),
            "under_way_usd": amount_of(one.count * held.dearest[place]),
            "lag_usd": amount_of(lag[place]),
            "overshoot_usd": amount_of(one.count * held.dearest[place] + lag[place]),
            "basis": one.basis,
        }
        for place, (ref, one) in enumerate(zip(held.keys, flying, strict=True))
    ]
    return objects(rows, COLUMNS)


def lag_usd(hours: Floats, *, factor: float) -> Floats:
    """Give what a loop burns while the gateway's own count of a cap lags, in USD by key.

    Args:
        hours: USD by key, day and hour.
        factor: Times the mean hour of the last week that the loop burns.

    Source: contract §7 (M).
    """
    line = hours.reshape(len(hours), -1)[:, -168:]
    mean = line.mean(axis=1) if line.size else np.zeros(len(hours))
    return np.asarray(factor * mean * LAG_MINUTES / 60)
