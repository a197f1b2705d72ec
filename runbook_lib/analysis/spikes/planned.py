"""What people said beforehand: activity that is planned is no surprise and teaches nothing."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from runbook_lib.analysis.spikes.grid import Grid, covered
from runbook_lib.analysis.spikes.marks import Marks
from runbook_lib.analysis.spikes.rolling import Floats
from runbook_lib.clock import Window
from runbook_lib.errors import ParameterError


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One planned activity.

    Attributes:
        window: When.
        account, key_name: Whose; None for all.
        factor: Times the usual load that is planned; infinite where any load is.
        note: What is planned.
    """

    window: Window
    account: str | None
    key_name: str | None
    factor: float
    note: str

    def meets(self, account: str | None, key_name: str | None) -> bool:
        """Tell whether it is about a key."""
        return self.key_name in (None, key_name) and self.account in (None, account)


def plans(frame: pd.DataFrame | None) -> list[Plan]:
    """Read the table of planned activity.

    Args:
        frame: Rows of `planned`: `start`, `end` (aware UTC), `key_name` (null: all keys), `factor`
            (null: any load), `note`; None for no plans.

    Returns:
        The plans, in the order of the rows.

    Raises:
        ParameterError: a start or an end is missing, or the end comes first.
    """
    return [] if frame is None else [_plan(row) for row in frame.to_dict("records")]


def _plan(row: dict[Any, Any]) -> Plan:
    if pd.isna(row["start"]) or pd.isna(row["end"]):
        raise ParameterError("planned", row, hint="a start and an end")
    factor = row.get("factor")
    return Plan(
        window=Window(start=row["start"], end=row["end"]),
        account=_text(row.get("account")),
        key_name=_text(row.get("key_name")),
        factor=np.inf if pd.isna(factor) else float(factor),
        note=_text(row.get("note")) or "",
    )


def _text(value: Any) -> str | None:
    return None if value is None or pd.isna(value) or value == "" else str(value)


def planned_factor(held: Grid, all_plans: list[Plan], first: int, count: int) -> Floats:
    """Give how many times the usual load was planned at each step.

    Args:
        held: The grid.
        all_plans: What was planned.
        first: Number of the first series asked for.
        count: How many are asked for.

    Returns:
        A row per series, a column per step; 0 where nothing was planned.
    """
    factors = np.zeros((count, held.steps))
    names = held.series.iloc[first : first + count]
    accounts, keys = ([_text(name) for name in names[column]] for column in ("account", "key_name"))
    for plan in all_plans:
        meets = np.array([plan.meets(*pair) for pair in zip(accounts, keys, strict=True)])
        span = covered([plan.window], grain=held.grain, first=held.first, steps=held.steps)
        here = np.ix_(meets, span)
        factors[here] = np.maximum(factors[here], plan.factor)
    return factors


def excused(values: Floats, marks: Marks, factors: Floats) -> NDArray[np.bool_]:
    """Tell which steps are no higher than was planned: up to so many times what would be marked."""
    planned = factors > 0
    with np.errstate(invalid="ignore"):
        high_enough = values <= np.where(planned, factors, 1.0) * marks.high
        return planned & (high_enough | (values <= marks.usual) | np.isinf(factors))
