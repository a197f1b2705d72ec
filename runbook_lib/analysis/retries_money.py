"""What the attempts of a recorded log cost, and what calls cost more because the fallback answered.

An attempt is billed what its usage row says. The row is found by the id both know; for an attempt
that got no answer, and so no id, by its start, key and model. What has no row is priced from its
tokens, or stays unknown: a missing amount is never counted as nothing.
"""

from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd

from runbook_lib import money
from runbook_lib.analysis.diagnosis import none_or
from runbook_lib.analysis.joins import WINDOW_S
from runbook_lib.analysis.material import silent
from runbook_lib.analysis.retries_attempts import Logged
from runbook_lib.pricing import Cost, Tokens

FALLBACK = [
    *("day", "ts", "account", "call_id", "service", "key_name", "model", "fallback_key"),
    *("fallback_model", "response_model", "attempts_before", "cost_usd", "cost_from"),
    *("first_model_usd", "extra_usd", "missing", "source_file", "row_number"),
]
"""Columns of the calls that a fallback answered."""


def costs(logged: Logged) -> pd.DataFrame:
    """Tell what each attempt was billed.

    Args:
        logged: The log with its usage rows.

    Returns:
        A row for each row of `logged.attempts`, in its order: `cost_usd` (USD, None where no row
        is known), `join` ("id", "window ±2 s" or "none"), and of the usage row `row_file`,
        `row_place`, `row_model`. A refused attempt without a row costs nothing (contract §6).
    """
    frame, rows = logged.attempts, logged.material.rows
    place = frame["client_request_id"].map(logged.material.billed).astype("Int64")
    by_id = place.notna()
    place = place.fillna(_by_start(logged))
    known = place.notna()
    at = place[known].astype(int).to_numpy()
    made = pd.DataFrame(index=frame.index)
    for name, column in _OF_ROW.items():
        values = pd.Series([None] * len(frame), index=frame.index, dtype=object)
        values[known] = rows[column].to_numpy()[at]
        made[name] = values
    refused = (frame["outcome"] == "refused") & ~known
    made["cost_usd"] = made["cost_usd"].where(~refused, money.ZERO)
    window = f"window ±{WINDOW_S:.0f} s"
    made["join"] = np.where(by_id, "id", np.where(known, window, "none"))
    return made


_OF_ROW = {
    "cost_usd": "cost_usd",
    "row_file": "source_file",
    "row_place": "row_number",
    "row_model": "model",
}


def _by_start(logged: Logged) -> "pd.Series":
    """Places of the usage rows that start with an attempt nobody waited for, one to one."""
    frame, rows = logged.attempts, logged.material.rows
    nothing = pd.Series(pd.NA, index=frame.index, dtype="Int64")
    theirs = frame.loc[silent(frame) & frame["key_name"].notna(), ["start", "account", *_BY]]
    free = rows[rows["join_id"].notna() & ~rows["join_id"].isin(_known_ids(logged))]
    free = free.dropna(subset=["start", *_BY])
    if theirs.empty or free.empty:
        return nothing
    skew = logged.material.skew_s or 0.0
    at = free.assign(start=free["start"] - skew, place=free.index, at=free["start"] - skew)
    near: Any = WINDOW_S  # a number, as the columns are
    found = pd.merge_asof(
        theirs.sort_values("start").reset_index(),
        at[["start", "at", "place", "account", *_BY]].sort_values("start"),
        on="start",
        by=["account", *_BY],
        direction="nearest",
        tolerance=near,
    ).dropna(subset=["place"])
    found["apart"] = (found["start"] - found["at"]).abs()
    best = found.sort_values("apart", kind="stable").drop_duplicates("place")
    nothing.loc[best["index"]] = best["place"].astype("int64").to_numpy()
    return nothing


_BY = ["key_name", "model"]


def _known_ids(logged: Logged) -> frozenset[str]:
    return logged.logged_ids | logged.material.logged_ids


def fallback_calls(logged: Logged, cost: pd.DataFrame) -> pd.DataFrame:
    """Find the calls that another model or key answered than was asked first.

    Args:
        logged: The log.
        cost: `costs` of it.

    Returns:
        One row a call, in the order of time: `day` (local), `ts` (UTC, of the answer), `key_name`
        and `model` asked first, `fallback_key`, `fallback_model`, `response_model`,
        `attempts_before`, `cost_usd` billed for the answer (USD), `cost_from` ("row": its usage
        row; "tokens": priced with the multiplier of its group; "list prices": without; "" where
        nothing is known), `first_model_usd` (the same tokens on the model
        asked first), `extra_usd` (the difference), `missing` (why an amount is unknown), and the
        row of the log.
    """
    frame = logged.attempts
    named = frame[frame["named"] & (frame["size"] > 1)]
    first = named[named["place"] == 0].set_index("call")
    last = named[named["place"] == named["size"] - 1]
    answered = last[last["outcome"] == "ok"]
    before = first.loc[answered["call"], ["model", "key_name"]].fillna("").to_numpy()
    other = (before != answered[["model", "key_name"]].fillna("").to_numpy()).any(axis=1)
    rows = [
        _fallback(row, first.loc[row["call"]], cost.loc[place], logged)
        for place, row in answered[other].sort_values("ts", kind="stable").iterrows()
    ]
    return pd.DataFrame(rows, columns=FALLBACK)


def _fallback(row: Any, first: Any, cost: Any, logged: Logged) -> dict[str, Any]:
    counts = _counts(row, logged)
    amounts = _amounts(row, first, cost["cost_usd"], counts, logged)
    return {
        **{name: row[name] for name in ("day", "ts", "account", "call_id", "service")},
        **{name: first[name] for name in ("key_name", "model")},
        "fallback_key": row["key_name"],
        "fallback_model": row["model"],
        "response_model": row["response_model"],
        "attempts_before": int(row["place"]),
        **amounts,
        **{name: row[name] for name in ("source_file", "row_number")},
    }


def _amounts(
    row: Any, first: Any, billed: Decimal | None, counts: Tokens | None, logged: Logged
) -> dict[str, Any]:
    """What the answer cost, and what the model asked first would have cost for the same tokens.

    Both are billed amounts, or both list prices: one with and one without the multiplier of its
    group would not be comparable.
    """
    made: dict[str, Any] = {"cost_usd": billed, "cost_from": "row" if billed is not None else ""}
    if counts is None:
        gap = "its tokens are not known"
        return {**made, "first_model_usd": None, "extra_usd": None, "missing": gap}
    rates = [_multiplier(one, logged) for one in (row, first)]
    if billed is None and None in rates:
        rates = [Decimal(1), Decimal(1)]
        made["cost_from"] = "list prices"
    if billed is None and rates[0] is not None:
        priced = _priced(row, counts, rates[0], logged)
        made["cost_usd"], gap = _tens(priced.usd), priced.missing
        made["cost_from"] = (made["cost_from"] or "tokens") if priced.usd is not None else ""
    else:
        gap = ""
    if rates[1] is None:
        gap = gap or f"the rate multiplier of key {first['key_name']} is not known"
        return {**made, "first_model_usd": None, "extra_usd": None, "missing": gap}
    instead = _priced(first, counts, rates[1], logged)
    both = made["cost_usd"] is not None and instead.usd is not None
    return {
        **made,
        "first_model_usd": _tens(instead.usd),
        "extra_usd": _tens(made["cost_usd"] - instead.usd) if both else None,
        "missing": gap or instead.missing,
    }


def _tens(usd: Decimal | None) -> Decimal | None:
    """An amount with the decimals of every table."""
    return None if usd is None else money.rounded(usd, money.SCALE)


def _multiplier(row: Any, logged: Logged) -> Decimal | None:
    return logged.multipliers.get((str(row["account"]), none_or(row["key_name"], str) or ""))


def _priced(row: Any, counts: Tokens, multiplier: Decimal, logged: Logged) -> Cost:
    return logged.prices.cost(
        none_or(row["model"], str),
        counts,
        at=row["ts"].to_pydatetime(),
        multiplier=multiplier,
        account=str(row["account"]),
    )


def _counts(row: Any, logged: Logged) -> Tokens | None:
    """Tokens of an answer: of its usage row, else as the client logged them."""
    place = logged.material.billed.get(row["client_request_id"])
    source = row if place is None else logged.material.rows.loc[place]
    put_in, output = (none_or(source[name], int) for name in ("input_tokens", "output_tokens"))
    if put_in is None or output is None:
        return None
    read, write, hour = (
        none_or(source.get(name), int) or 0
        for name in ("cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens")
    )
    return Tokens(
        input=put_in, output=output, cache_read=read, cache_write=write, cache_write_1h=hour
    )
