"""The back-test: caps typed as of earlier days, and the weeks that came replayed against them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from math import sqrt

import numpy as np
import pandas as pd

from runbook_lib.analysis.caps.frames import objects
from runbook_lib.analysis.caps.grid import Held
from runbook_lib.analysis.caps.level import WEEK, Floats
from runbook_lib.analysis.caps.outlook import Outlook
from runbook_lib.analysis.caps.sized import WINDOWS, caps_of, peaks, views_of

WEEKS = 4
"""Newest weeks that are held back, one after the other."""

MONTH = WINDOWS["month"][1]

Z = 1.96

ALL = "all"

COLUMNS = [
    *("window", "held_back", "keys", "periods", "promised", "tripped", "low", "high", "kept"),
    *("cautious", "under_p10", "under_p50", "under_p90"),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What was held back, and what the caps typed before it would have done.

    Attributes:
        weeks: Weeks that were held back, one after the other; 0 for too short a past.
        rows: One row a key and window that came: `key` (place), `window`, `week` (0 for the newest
            one that was held back), `promised` (odds of a trip), `tripped`, `under_p10`,
            `under_p50`, `under_p90`.
    """

    weeks: int
    rows: pd.DataFrame = field(repr=False)


def tried(held: Held, *, risk: float, loop_factor: float) -> Tried:
    """Hold back the newest weeks, size caps as of the day before, and replay each week.

    Args:
        held: Spend by key and day.
        risk: As asked for the caps.
        loop_factor: As asked for the caps.

    Returns:
        For each of the newest four weeks the days, the dearest five hours of each day and the week
        itself, against the caps that one would have typed as it began and left alone; the same for
        the newest thirty days. Keys count from seven days after their first use on.
    """
    days, highest = held.usd.shape[1], peaks(held)
    weeks = [week for week in range(WEEKS) if days - WEEK * (week + 1) >= WEEK]
    parts = [
        _replayed(held.usd, highest, days - WEEK * (week + 1), WEEK, risk, loop_factor, week)
        for week in weeks
    ]
    if days - MONTH >= WEEK:
        parts.append(_replayed(held.usd, highest, days - MONTH, MONTH, risk, loop_factor, 0))
    parts = [part for part in parts if len(part)]
    rows = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    return Tried(weeks=len(weeks) if parts else 0, rows=rows)


def _replayed(
    usd: Floats,
    highest: Floats | None,
    origin: int,
    length: int,
    risk: float,
    loop_factor: float,
    week: int,
) -> pd.DataFrame:
    """Type caps as of one day, from what was known then, and replay the days that came."""
    known = usd[:, :origin]
    keys = np.flatnonzero(((~np.isnan(known)).sum(axis=1) >= WEEK) & (np.nansum(known, axis=1) > 0))
    before = None if highest is None else _cut(highest, origin)
    views = views_of(known, before, loop_factor=loop_factor, keys=list(keys))
    rows = []
    for number, key in enumerate(keys):
        own = {window: found[number] for window, found in views.items()}
        caps = caps_of(own, risk)
        for window, came in _came(usd[key], highest, int(key), origin, length).items():
            rows += _judged(int(key), window, week, own[window], caps[window], came)
    return pd.DataFrame(rows)


def _cut(highest: Floats, origin: int) -> Floats:
    """Give the dearest hours as they were known on a day: its own are still to come."""
    made = highest[:, : origin + 1].copy()
    made[:, origin] = np.nan
    return made


def _came(
    usd: Floats, highest: Floats | None, key: int, origin: int, length: int
) -> Mapping[str, Floats]:
    """Give what was spent in each window of the days that were held back."""
    days = np.nan_to_num(usd[origin : origin + length], nan=0.0)
    if length == MONTH:
        return {"month": np.array([days.sum()])}
    made = {"1d": days, "7d": np.array([days.sum()])}
    if highest is not None:
        hours = highest[key, origin : origin + length]
        made["5h"] = hours[~np.isnan(hours)]
    return made


def _judged(
    key: int, window: str, week: int, view: Outlook, cap: Decimal, came: Floats
) -> list[dict[str, object]]:
    promised = view.odds(float(cap))
    marks = {f"under_p{at}": view.quantile(at / 100) for at in (10, 50, 90)}
    return [
        {
            "key": key,
            "window": window,
            "week": week,
            "promised": promised,
            "tripped": bool(total > float(cap)),
            **{name: bool(total <= mark) for name, mark in marks.items()},
        }
        for total in came
    ]


def interval(count: int, total: int, *, clusters: int | None = None) -> tuple[float, float]:
    """Give the 95 % interval of a share (Wilson).

    Args:
        count: Periods in which it happened.
        total: Periods tried.
        clusters: Keys they belong to: periods of one key count as one trial in all, as they rise
            and fall together. None for independent periods.

    Returns:
        Lower and upper share; 0 and 1 where nothing was tried.
    """
    if not total:
        return 0.0, 1.0
    trials = float(min(total, clusters or total))
    share = count / total
    middle = (share + Z**2 / (2 * trials)) / (1 + Z**2 / trials)
    half = Z / (1 + Z**2 / trials) * sqrt(share * (1 - share) / trials + Z**2 / (4 * trials**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def summed(done: Tried) -> pd.DataFrame:
    """Sum the back-test for people.

    Args:
        done: As `tried` gives it.

    Returns:
        A row for all windows of the last week, then one for each window of it and of all weeks
        that were held back: `window`, `held_back` (what was hidden), `keys`, `periods`, `promised`
        (mean odds of a trip), `tripped` (share), `low` and `high` (its 95 % interval), `kept`
        (trips are not clearly more than promised), `cautious` (they are clearly fewer),
        `under_p10`, `under_p50`, `under_p90` (shares; 0.1, 0.5 and 0.9 are right).
    """
    if not done.weeks:
        return objects([], COLUMNS)
    rows, month = done.rows, done.rows["window"] == "month"
    last = rows[~month & (rows["week"] == 0)]
    parts = [(ALL, "last week", last)]
    names = [window for window in WINDOWS if (last["window"] == window).any()]
    parts += [(window, "last week", last[last["window"] == window]) for window in names]
    if done.weeks > 1:
        held = f"last {done.weeks} weeks, one by one"
        parts += [(window, held, rows[rows["window"] == window]) for window in names]
    parts.append(("month", f"last {MONTH} days", rows[month]))
    made = [_summed(window, held, part) for window, held, part in parts if len(part)]
    return objects(made, COLUMNS)


def _summed(window: str, held: str, part: pd.DataFrame) -> dict[str, object]:
    keys = int(part["key"].nunique())
    low, high = interval(int(part["tripped"].sum()), len(part), clusters=keys)
    promised = float(part["promised"].mean())
    return {
        "window": window,
        "held_back": held,
        "keys": keys,
        "periods": len(part),
        "promised": round(promised, 4),
        "tripped": round(float(part["tripped"].mean()), 4),
        "low": round(low, 4),
        "high": round(high, 4),
        "kept": bool(low <= promised),
        "cautious": bool(high < promised),
        **{
            name: round(float(part[name].mean()), 4)
            for name in ("under_p10", "under_p50", "under_p90")
        },
    }


def by_key(done: Tried) -> dict[tuple[int, str], tuple[int, int]]:
    """Count trips and the windows tried, by place of the key and window."""
    if not done.weeks:
        return {}
    counts = done.rows.groupby(["key", "window"])["tripped"].agg(["sum", "count"])
    return {
        (int(key), str(window)): (int(trips), int(tested))
        for (key, window), trips, tested in zip(
            counts.index, counts["sum"], counts["count"], strict=True
        )
    }
