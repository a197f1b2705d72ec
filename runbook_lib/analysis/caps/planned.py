"""Planned activity: how many times the usual total of the coming days somebody has announced."""

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

from runbook_lib.analysis.caps.level import Floats


def planned_factor(
    planned: pd.DataFrame, names: list[str], *, now: datetime, days: float
) -> Floats:
    """Give the factor by which plans raise each key's total over the coming days.

    Args:
        planned: `start`, `end` (aware), `key_name` (null for all keys), `factor`, `note`.
        names: The keys.
        now: Start of the coming days.
        days: How many.

    Returns:
        A factor a key, at least 1. Overlapping plans do not multiply: the largest holds. A plan
        without a factor says nothing of the amount and is left out; see `without_factor`.
    """
    made = np.ones(len(names))
    steps = max(1, round(days * 24))
    for number, name in enumerate(names):
        load = np.ones(steps)
        for row in _meeting(planned, name):
            begins = (row["start"] - now) / timedelta(hours=1)
            ends = (row["end"] - now) / timedelta(hours=1)
            place = np.arange(steps) + 0.5
            here = (place >= begins) & (place < ends)
            load[here] = np.maximum(load[here], float(row["factor"]))
        made[number] = load.mean()
    return made


def _meeting(planned: pd.DataFrame, name: str) -> list[dict[Any, Any]]:
    if planned.empty:
        return []
    whose = planned["key_name"].isna() | planned["key_name"].isin([name, ""])
    rows = planned[whose & planned["factor"].notna() & planned["start"].notna()]
    return rows[rows["end"].notna()].to_dict("records")


def without_factor(planned: pd.DataFrame, now: datetime) -> list[str]:
    """Name plans still to come that do not say how much more they need.

    Args:
        planned: Rows of `planned`; reads `end` (aware), `factor`, `note`.
        now: Plans over by then do not count.

    Returns:
        Their notes, in order.
    """
    if planned.empty:
        return []
    lacking = planned[planned["factor"].isna() & (planned["end"] > now)]
    return [str(note) if isinstance(note, str) else "a plan" for note in lacking["note"]]
