"""A recorded log by day: attempts a call, and the share of calls that a fallback answered."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pandas as pd

from runbook_lib import money
from runbook_lib.analysis.retries_attempts import Logged
from runbook_lib.analysis.retries_rules import Marked

USELESS = ("sticky-retried", "wasted-retries")
"""Rules whose attempts could not help."""

_PAIR = ["key_name", "service", "model", "fallback_key", "fallback_model"]


def of_days(logged: Logged) -> pd.DataFrame:
    """Count calls and attempts of the whole window by local day, key, service and model asked.

    Args:
        logged: The log.

    Returns:
        A row for each that has attempts: `day` (text, local), `account`, `key_name`, `service`,
        `model`, `calls` (first attempts), `attempts`.
    """
    days = logged.days.assign(day=logged.days["day_local"].astype(str))
    first = logged.first_attempts.index
    days["calls"] = days["attempts"].where(days.index.isin(first), 0)
    by = ["day", "account", "key_name", "service", "model"]
    summed = days.groupby(by, dropna=False, as_index=False)[["calls", "attempts"]].sum()
    counted: pd.DataFrame = summed.astype({"calls": "int64", "attempts": "int64"})
    return counted


def attempts_by_day(logged: Logged, found: Sequence[Marked]) -> pd.DataFrame:
    """Tell how many attempts a call took, day by day.

    Args:
        logged: The log.
        found: What the rules marked.

    Returns:
        A row a local day: `day`, `calls`, `attempts`, `again` (attempts beyond the first of a
        call), `useless` (of these: what could not help), `amplification` (attempts a call, null
        on a day that only continues calls).
    """
    days = of_days(logged).groupby("day", as_index=False)[["calls", "attempts"]].sum()
    useless = [mark.rows["day"] for mark in found if mark.rule in USELESS]
    counts = pd.concat(useless).value_counts() if useless else pd.Series(dtype="int64")
    days["again"] = days["attempts"] - days["calls"]
    days["useless"] = days["day"].map(counts).fillna(0).astype("int64")
    ratio = days["attempts"] / days["calls"].where(days["calls"] > 0)
    days["amplification"] = ratio.astype("Float64").round(4)
    return days


def fallback_by_day(logged: Logged, calls: pd.DataFrame) -> pd.DataFrame:
    """Tell what share of the calls a fallback answered, and what that cost more.

    Args:
        logged: The log.
        calls: The calls that a fallback answered, from `fallback_calls`.

    Returns:
        A row for each local day and pair that has one: `day`, `account`, `key_name`, `service`,
        `model` (asked first), `fallback_key`, `fallback_model`, `calls` (of that key, service and
        model on that day), `by_fallback` (answered by it), `share` (of 1), `cost_usd`,
        `first_model_usd`, `extra_usd` (USD; sums of what is known), `unpriced` (calls of which an
        amount is not known); the dearest first.
    """
    whole = of_days(logged)
    rows = []
    for pair, group in calls.groupby(["day", "account", *_PAIR], dropna=False, sort=True):
        named = dict(zip(["day", "account", *_PAIR], pair, strict=True))
        total = _calls_of(whole, named)
        rows.append(
            {
                **{name: _null(value) for name, value in named.items()},
                "calls": total,
                "by_fallback": len(group),
                "share": round(len(group) / total, 4) if total else None,
                "cost_usd": _sum(group["cost_usd"]),
                "first_model_usd": _sum(group["first_model_usd"]),
                "extra_usd": _sum(group["extra_usd"]),
                "unpriced": int(group["extra_usd"].isna().sum()),
            }
        )
    frame = pd.DataFrame(rows, columns=BY_DAY).astype({"share": "float64"})
    order = frame["cost_usd"].map(lambda usd: -(usd or money.ZERO))
    return frame.assign(order=order).sort_values(
        ["order", "day"], kind="stable", ignore_index=True
    )[BY_DAY]


BY_DAY = [
    *(
        "day",
        "account",
        *_PAIR,
        "calls",
        "by_fallback",
        "share",
        "cost_usd",
        "first_model_usd",
        "extra_usd",
    ),
    "unpriced",
]
"""Columns of the fallback share by day."""


def _calls_of(whole: pd.DataFrame, named: dict[str, Any]) -> int:
    fits = pd.Series(data=True, index=whole.index)
    for name in ("day", "account", "key_name", "service", "model"):
        value = _null(named[name])
        fits &= whole[name].isna() if value is None else whole[name] == value
    return int(whole.loc[fits, "calls"].sum())


def _null(value: Any) -> Any:
    return None if value is None or value is pd.NA or pd.isna(value) else value


def _sum(amounts: "pd.Series[Any]") -> Decimal | None:
    """Sum what is known; None where nothing is."""
    known = [amount for amount in amounts if isinstance(amount, Decimal)]
    return money.total(known) if known else None
