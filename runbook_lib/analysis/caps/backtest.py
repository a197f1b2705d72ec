"""The back-test: what the same method promised before each period, and what then came."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
import pandas as pd

from runbook_lib.analysis.caps.frames import objects
from runbook_lib.analysis.caps.grid import Held
from runbook_lib.analysis.caps.level import WEEK
from runbook_lib.analysis.caps.outlook import look_at, outlooks

PERIODS = {1: 7, 7: 4, 30: 1}
"""Days of a period, and how many of the newest periods are tried; they do not overlap."""

Z = 1.96

COLUMNS = [
    *("horizon_days", "keys", "periods", "promised", "tripped", "low", "high", "kept", "cautious"),
    *("under_p10", "under_p50", "under_p90"),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """The back-test of one horizon.

    Attributes:
        horizon: Days.
        rows: One row a key and period: `key` (place), `promised` (odds of a trip), `tripped`,
            `under_p10`, `under_p50`, `under_p90`.
    """

    horizon: int
    rows: pd.DataFrame


def tried(held: Held, *, risk: float, loop_factor: float) -> list[Tried]:
    """Size caps as of earlier days, from what was known then, and see what came.

    Args:
        held: Spend by key and day.
        risk: As asked for the caps.
        loop_factor: As asked for the caps.

    Returns:
        A back-test for each horizon that the data are long enough for; keys count from seven days
        after their first use on.
    """
    found = []
    for horizon, most in PERIODS.items():
        days = held.usd.shape[1]
        ends = [days - number * horizon for number in range(most)]
        parts = [
            _period(held, end - horizon, horizon, risk, loop_factor)
            for end in reversed(ends)
            if end - horizon >= WEEK
        ]
        parts = [part for part in parts if len(part)]
        if parts:
            found.append(Tried(horizon=horizon, rows=pd.concat(parts, ignore_index=True)))
    return found


def _period(held: Held, origin: int, horizon: int, risk: float, loop_factor: float) -> pd.DataFrame:
    known = held.usd[:, :origin]
    keys = np.flatnonzero(((~np.isnan(known)).sum(axis=1) >= WEEK) & (np.nansum(known, axis=1) > 0))
    views = outlooks(look_at(known, horizon), loop_factor=loop_factor, keys=list(keys))
    came = np.nansum(held.usd[keys, origin : origin + horizon], axis=1)
    caps = [view.cap(risk) for view in views]
    return pd.DataFrame(
        {
            "key": keys,
            "promised": [view.odds(cap) for view, cap in zip(views, caps, strict=True)],
            "tripped": came > np.array(caps),
            "under_p10": came <= [view.quantile(0.1) for view in views],
            "under_p50": came <= [view.quantile(0.5) for view in views],
            "under_p90": came <= [view.quantile(0.9) for view in views],
        }
    )


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


def summed(tests: Sequence[Tried]) -> pd.DataFrame:
    """Sum the back-tests for people.

    Args:
        tests: As `tried` gives them.

    Returns:
        A row a horizon: `horizon_days`, `keys`, `periods`, `promised` (mean odds of a trip),
        `tripped` (share), `low` and `high` (its 95 % interval), `kept` (trips are not
        clearly more than promised), `cautious` (they are clearly fewer),
        `under_p10`, `under_p50`, `under_p90` (shares; 0.1, 0.5 and 0.9 are right).
    """
    rows = []
    for one in tests:
        frame = one.rows
        low, high = interval(
            int(frame["tripped"].sum()), len(frame), clusters=frame["key"].nunique()
        )
        promised = float(frame["promised"].mean())
        rows.append(
            {
                "horizon_days": one.horizon,
                "keys": int(frame["key"].nunique()),
                "periods": len(frame),
                "promised": round(promised, 4),
                "tripped": round(float(frame["tripped"].mean()), 4),
                "low": round(low, 4),
                "high": round(high, 4),
                "kept": bool(low <= promised),
                "cautious": bool(high < promised),
                **{
                    name: round(float(frame[name].mean()), 4)
                    for name in ("under_p10", "under_p50", "under_p90")
                },
            }
        )
    return objects(rows, COLUMNS)
