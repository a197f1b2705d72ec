"""Unit costs and how they are spread: what one request costs is seldom what the mean says."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from runbook_lib.analysis import drill

if TYPE_CHECKING:
    import pandas as pd

MEASURES = {
    "request": ("USD per request", "usd_per_request"),
    "output": ("USD per 1,000 output tokens", "usd_per_1k_output"),
    "cached": ("share of the input read from cache", "cache_hit_share"),
    "tokens": ("tokens per request", "tokens_per_request"),
}
"""Measure of `Store.spread` → its name for people, and the column of its mean."""

SHARES = {"p10": 0.10, "p50": 0.50, "p90": 0.90, "p99": 0.99}


def unit_costs(rolled: "pd.DataFrame", bands: Mapping[str, "pd.DataFrame"]) -> "pd.DataFrame":
    """Give each unit cost: its mean, and where most requests lie.

    Args:
        rolled: Roll-up of usage, with `drill.SUMS`.
        bands: Measure → requests by bands of it, as `Store.spread` gives them.

    Returns:
        One row a measure: `measure` (text), `requests` (that have it), `mean` (float, of the sums;
        NaN where there is nothing to divide by), and `p10` to `p99`: the band that this share of
        the requests reaches, as text such as "0.002 to 0.005"; empty without requests.
    """
    import pandas as pd

    sums = drill.with_units(drill.summed(rolled.assign(all=""), ["all"]))
    rows = []
    for measure, (name, mean) in MEASURES.items():
        held = bands[measure]
        known = float(sums[mean].iloc[0]) if len(sums) else float("nan")
        counted = int(held["requests"].sum())
        rows.append((name, counted, known, *(_reached(held, part) for part in SHARES.values())))
    return pd.DataFrame(rows, columns=["measure", "requests", "mean", *SHARES])


def _reached(held: "pd.DataFrame", share: float) -> str:
    """Name the band in which that share of the requests is reached."""
    below, whole = 0, int(held["requests"].sum())
    for low, high, requests in zip(held.iloc[:, 0], held.iloc[:, 1], held["requests"], strict=True):
        below += int(requests)
        if below >= share * whole:
            return _band(low, high)
    return ""


def _band(low: Any, high: Any) -> str:
    if low is None:
        return f"below {high:f}"
    return f"{low:f} and more" if high is None else f"{low:f} to {high:f}"
