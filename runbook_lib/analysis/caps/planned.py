"""Planned activity: how many times the usual total of the coming days somebody has announced."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

from runbook_lib.analysis.caps.level import Floats
from runbook_lib.analysis.caps.refs import Ref

MOST = 1e6
"""Times the usual load beyond which a factor is a slip of the hand."""


def planned_factor(
    planned: pd.DataFrame, keys: Sequence[Ref], *, now: datetime, days: float
) -> Floats:
    """Give the factor by which plans raise each key's total over the coming days.

    Args:
        planned: `start`, `end` (aware), `key_name` (null for all keys), `factor`, `note`, and
            `account` where known (blank for all that have the key).
        keys: The keys.
        now: Start of the coming days.
        days: How many.

    Returns:
        A factor a key, at least 1. Overlapping plans do not multiply: the largest holds. A plan
        without a factor says nothing of the amount and is left out; see `without_factor`.
    """
    made = np.ones(len(keys))
    steps = max(1, round(days * 24))
    for number, key in enumerate(keys):
        load = np.ones(steps)
        for row in meeting(planned, key):
            begins = (row["start"] - now) / timedelta(hours=1)
            ends = (row["end"] - now) / timedelta(hours=1)
            place = np.arange(steps) + 0.5
            here = (place >= begins) & (place < ends)
            load[here] = np.maximum(load[here], float(row["factor"]))
        made[number] = load.mean()
    return made


def meeting(planned: pd.DataFrame, key: Ref) -> list[dict[Any, Any]]:
    """Give the plans with a factor that touch a key.

    Args:
        planned: `start`, `end` (aware), `key_name` and `account` (blank for all), `factor`.
        key: The key.

    Returns:
        Rows of *planned*, whenever they are.
    """
    if planned.empty:
        return []
    whose = planned["key_name"].isna() | planned["key_name"].isin([key.key_name, ""])
    if "account" in planned:
        whose &= planned["account"].isna() | planned["account"].isin([key.account, ""])
    rows = planned[whose & usable(planned) & planned["start"].notna()]
    return rows[rows["end"].notna()].to_dict("records")


def usable(planned: pd.DataFrame) -> "pd.Series[bool]":
    """Tell which plans have a factor that one can multiply with.

    Args:
        planned: Reads `factor`.

    Returns:
        True for a factor above 0, and not beyond what is a slip of the hand.
    """
    factor = pd.to_numeric(planned["factor"], errors="coerce").astype(float)
    return (factor > 0) & (factor <= MOST)


def without_factor(planned: pd.DataFrame, now: datetime) -> list[str]:
    """Name plans still to come that do not say how much more they need, or nothing usable.

    Args:
        planned: Rows of `planned`; reads `end` (aware), `factor`, `note`.
        now: Plans over by then do not count.

    Returns:
        Their notes, in order.
    """
    if planned.empty:
        return []
    lacking = planned[~usable(planned) & (planned["end"] > now)]
    return [str(note) if isinstance(note, str) else "a plan" for note in lacking["note"]]
