"""What a cap would have done: to the key's own past, to a loop, and beyond itself."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from runbook_lib.analysis.caps.level import Floats

HOURS = {"5h": 5, "1d": 24, "7d": 168}
"""Hours of a window that opens with the first call after the one before has ended."""

LOOP_HOURS = 48
"""Hours a loop is followed; one not stopped by then counts as not stopped."""

LOOP_DAYS = 7
"""Days at whose every hour a loop is started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What caps would have done to the past of every key; arrays by key.

    Attributes:
        trips: Windows in which the cap was reached while there was more to come.
        windows: Windows that were opened.
        first: Hour of the first trip, from the start of the hours; -1 for none.
        blocked_min: Minutes in which calls would have been refused, idle ones included.
        stopped_usd: USD that would not have been spent.
    """

    trips: NDArray[np.int64] = field(repr=False)
    windows: NDArray[np.int64] = field(repr=False)
    first: NDArray[np.int64] = field(repr=False)
    blocked_min: Floats = field(repr=False)
    stopped_usd: Floats = field(repr=False)


def replay(hours: Floats, caps: Floats, window: str) -> Replay:
    """Hold caps against the past, all keys at once, hour by hour.

    Args:
        hours: USD by key and hour, from the start of a local day.
        caps: Cap of each key in USD; infinite for none.
        window: "5h" and "7d" open with the first call after the last ended; "1d" is the local
            day; "month" is thirty days from the start of the hours.

    Returns:
        What the caps would have done. Spend within an hour counts as even.
    """
    keys, steps = hours.shape
    fixed = {"1d": 24, "month": 720}.get(window)
    used, left = np.zeros(keys), np.zeros(keys, dtype=int)
    closed = np.zeros(keys, dtype=bool)
    trips, windows = np.zeros(keys, dtype=np.int64), np.zeros(keys, dtype=np.int64)
    first = np.full(keys, -1, dtype=np.int64)
    blocked, stopped = np.zeros(keys), np.zeros(keys)
    for step in range(steps):
        spend = hours[:, step]
        opens = (left == 0) & (spend > 0) if fixed is None else np.full(keys, step % fixed == 0)
        used[opens], closed[opens] = 0.0, False
        left[opens] = HOURS[window] if fixed is None else fixed
        windows += opens
        passed = np.minimum(spend, np.where(closed, 0.0, np.maximum(caps - used, 0.0)))
        lost = spend - passed
        new = (lost > 0) & ~closed
        trips += new
        first[new & (first < 0)] = step
        share = np.divide(lost, spend, out=np.zeros(keys), where=spend > 0)
        blocked += 60.0 * np.where(closed, 1.0, share)
        stopped += lost
        used += passed
        closed |= new
        left[left > 0] -= 1
        closed[left == 0] = False
    return Replay(
        trips=trips, windows=windows, first=first, blocked_min=blocked, stopped_usd=stopped
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Loops:
    """What a cap of a day does to a loop, over every start; arrays by key.

    Attributes:
        median_h, worst_h: Hours until the cap stops it; infinite where it never does.
        median_usd, worst_usd: USD the loop burns until then.
        not_stopped: Share of starts from which it is not stopped within two days.
    """

    median_h: Floats = field(repr=False)
    worst_h: Floats = field(repr=False)
    median_usd: Floats = field(repr=False)
    worst_usd: Floats = field(repr=False)
    not_stopped: Floats = field(repr=False)


def loops(hours: Floats, caps: Floats, *, factor: float) -> Loops:
    """Start a loop at every hour of the last week, on top of what was spent then.

    Args:
        hours: USD by key and hour, whole local days.
        caps: Cap of a day by key in USD.
        factor: Times the key's mean hour of the last seven days that the loop burns.

    Returns:
        Hours and USD by key. The cap holds for the day of the start and for the next one.
    """
    keys = len(hours)
    burn = factor * hours[:, -24 * LOOP_DAYS :].mean(axis=1) if hours.size else np.zeros(keys)
    days = min(LOOP_DAYS, hours.shape[1] // 24 - 1)
    if days < 1:
        nothing = np.full(keys, np.nan)
        return Loops(
            median_h=nothing,
            worst_h=nothing,
            median_usd=nothing,
            worst_usd=nothing,
            not_stopped=nothing,
        )
    waits = np.stack(
        [_waits(hours, caps, burn, day, hour) for day in range(days, 0, -1) for hour in range(24)],
        axis=1,
    )
    cost = np.where(np.isfinite(waits), waits, float(LOOP_HOURS)) * burn[:, None]
    return Loops(
        median_h=np.sort(waits, axis=1)[:, waits.shape[1] // 2],
        worst_h=waits.max(axis=1),
        median_usd=np.median(cost, axis=1),
        worst_usd=cost.max(axis=1),
        not_stopped=(~np.isfinite(waits)).mean(axis=1),
    )


def _waits(hours: Floats, caps: Floats, burn: Floats, day: int, hour: int) -> Floats:
    """Hours until a loop from one hour on is stopped; 0 where honest use was there first."""
    begin = hours.shape[1] - 24 * (day + 1)
    spend = hours[:, begin : begin + LOOP_HOURS].copy()
    spend[:, hour:] += burn[:, None]
    over = np.concatenate(
        [np.cumsum(spend[:, part : part + 24], axis=1) > caps[:, None] for part in (0, 24)], axis=1
    )
    found = np.maximum(0, over.argmax(axis=1) - hour + 1).astype(float)
    return np.where(over.any(axis=1), found, np.inf)
