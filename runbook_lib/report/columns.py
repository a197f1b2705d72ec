"""How columns are read: their heads, what they measure, and which of them people are shown."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from runbook_lib import findings

FOR_PROGRAMS = frozenset({"extra", "slot"})
"""Columns that stand in the CSV and nowhere else: nobody reads them in a table."""

_UNITS = {"usd": "USD", "cny": "CNY", "ms": "ms", "s": "s", "hours": "h", "minutes": "min"}
_UNITS |= {"h": "h", "min": "min"}
_WORDS = {"usd": "USD", "cny": "CNY", "ip": "IP", "id": "id", "1k": "1,000"}
_HEADS = {
    "ts": "Time",
    "over_commit": "Proposed / budget",
    "set_over_commit": "Set / budget",
    "over_balance": "Set / balance",
    "times_tier": "Tier / budget",
}
_RATIOS = frozenset({"burn_rate"})
_QUANTILE = re.compile(r"p\d\d")
_TRIALS = frozenset({"promised", "tripped", "low", "high", "under_p10", "under_p50", "under_p90"})
"""Shares that stand beside `promised`."""

_SPENT = (
    *("requests", "cost_usd", "share", "usd_per_request", "usd_per_1k_output", "input_tokens"),
    *("output_tokens", "cache_read_tokens", "cache_hit_share", "tokens_per_request"),
)
_CHOSEN: dict[str, tuple[str, ...]] = {
    "rows": (
        *("ts", "request_id", "cost_usd", "key_name+account", "model+endpoint", "input_tokens"),
        *("output_tokens", "cache_read_tokens", "duration_ms", "source_file+row_number"),
    ),
    "lost_money": (
        *("kind+what", "key_name+service", "model", "attempts", "rows", "billed_usd"),
        *("lost_low_usd", "lost_high_usd", "first_at"),
    ),
    "first_seen": (
        *("key_name+account", "new", "ip_address+user_agent", "model", "first_at+last_at"),
        *("requests", "cost_usd", "requests_before", "known_since"),
    ),
    "spikes": (
        *("event+status", "key_name+account", "model", "start+end", "grain", "observed_usd"),
        *("expected_usd", "impact_usd", "requests", "kind", "note"),
    ),
}
"""Columns of wide tables that people are shown, where the exhibit itself names none."""


def chosen(item: "findings.Exhibit") -> Sequence[str]:
    """Give the columns of an exhibit that people are shown; empty for all."""
    if item.columns:
        return item.columns
    names = [str(name) for name in item.frame.columns]
    if "usd_per_request" in names and "share" in names:
        return [names[0], *_SPENT]
    return _CHOSEN.get(item.name, ())


def head(name: str) -> str:
    """Write the name of a column for people: `duration_ms` is "Duration (ms)"."""
    if name in _HEADS:
        return _HEADS[name]
    stem, _, unit = name.rpartition("_")
    known = stem and unit in _UNITS
    words = (stem if known else name).replace("_", " ").strip() or "value"
    told = " ".join(_WORDS.get(word, word) for word in words.split(" "))
    told = f"{told} ({_UNITS[unit]})" if known else told
    return told if _QUANTILE.match(told) else told[0].upper() + told[1:]


def is_money(name: str) -> bool:
    """Tell whether a column holds USD: `cost_usd`, `usd_per_request`."""
    return "usd" in name.split("_")


def is_share(name: str) -> bool:
    """Tell whether a column holds shares of one, told in per cent."""
    return name.endswith(("share", "odds", "rate")) and name not in _RATIOS


def measure(name: str, frame: "pd.DataFrame") -> str:
    """Give the name that says how a column is shown, beside the others of its frame.

    Args:
        name: Of the column.
        frame: Its frame, any; its columns are looked at.

    Returns:
        "share" for shares that their name does not tell, else *name*.
    """
    return "share" if name in _TRIALS and "promised" in frame.columns else name
