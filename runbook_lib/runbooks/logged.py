"""What the judgement of a recorded call log asks the store."""

from typing import TYPE_CHECKING

import pandas as pd

from runbook_lib.analysis import retries
from runbook_lib.analysis.material import FAILED, silent
from runbook_lib.clock import Window
from runbook_lib.pricing import price_list
from runbook_lib.runbooks.shared import ORIGIN
from runbook_lib.store import Filter

if TYPE_CHECKING:
    from runbook_lib.store import Store

MOST_FAILED = 10_000
"""Failed attempts that are judged singly at most, the newest; the others are counted."""

MOST_BILLED = 20_000
"""Usage rows that are looked at for attempts that got no answer."""

MOST_PAIRS, EXAMPLES = 20, 3
"""Pairs of a model asked and another that answered of which attempts are cited, and how many."""


def logged(
    store: "Store", window: Window, *, timezone: str = "UTC"
) -> tuple[retries.Logged, pd.DataFrame]:
    """Ask the store for a call log: the calls in which something failed, and totals of the rest.

    Args:
        store: The lake.
        window: Times looked at, aware UTC.
        timezone: IANA zone of the days.

    Returns:
        What `retries.judge_log` takes: the log, and attempts to cite for models that another one
        answered, in the columns of `calls`.
    """
    calls, left_out = _calls(store, window)
    days = store.roll_up(
        "calls", retries.DAYS_BY, grain="day", where=Filter(window=window), zone=timezone
    )
    usage, ids = _usage(store, window, calls)
    made = retries.Logged(
        calls=calls,
        days=days,
        usage=usage,
        rates=store.roll_up("usage", retries.USAGE_BY, where=Filter(window=window)),
        window=window,
        logged_ids=ids,
        prices=price_list(store.table("prices")),
        timezone=timezone,
        left_out=left_out,
    )
    return made, _examples(store, window, days)


def _calls(store: "Store", window: Window) -> tuple[pd.DataFrame, int]:
    """All attempts of the calls in which one failed, was given up or was sent again."""
    failed = store.rows("calls", Filter(window=window, failed=True), limit=MOST_FAILED)
    parts = [failed.frame]
    for more in ({"outcome": ["abandoned"]}, {"attempt": [2]}):
        where = Filter(window=window, equals=more)
        parts.append(store.rows("calls", where, limit=MOST_FAILED).frame)
    seen = pd.concat([part for part in parts if len(part)] or parts[:1])
    ids = sorted(set(seen["call_id"].dropna()))
    whole = store.find(ids).calls.drop(columns="asked_id")
    both = pd.concat([part for part in (seen, whole) if len(part)] or [seen])
    both = both.drop_duplicates(ORIGIN, ignore_index=True)
    inside = both["ts"].between(window.start, window.end, inclusive="left")
    loaded = int((inside & both["outcome"].isin(FAILED)).sum())
    return both, max(0, failed.total - loaded)


def _usage(
    store: "Store", window: Window, calls: pd.DataFrame
) -> tuple[pd.DataFrame, frozenset[str]]:
    """Usage rows of the attempts, and those that attempts without an id can have left."""
    # What was refused costs nothing and has no row (contract §6).
    answered = calls[calls["outcome"] != "refused"]
    ids = sorted(set(answered["client_request_id"].dropna()))
    rows = [store.find(ids).usage.drop(columns="asked_id")]
    keys = sorted(set(calls.loc[silent(calls), "key_name"].dropna()))
    held = frozenset(calls["client_request_id"].dropna())
    if keys:
        near = store.rows(
            "usage", Filter(window=window, equals={"key_name": keys}), limit=MOST_BILLED
        ).frame
        rows.append(near)
        bare = [one.rpartition(":")[2] for one in near["request_id"].dropna()]
        held |= frozenset(store.find(sorted(bare)).calls["client_request_id"].dropna())
    both = pd.concat([part for part in rows if len(part)] or rows[:1])
    return both.drop_duplicates(ORIGIN, ignore_index=True), held


def _examples(store: "Store", window: Window, days: pd.DataFrame) -> pd.DataFrame:
    parts = [store.rows("calls", Filter(window=window), limit=0).frame]
    for pair in retries.aliases(days).head(MOST_PAIRS).to_dict("records"):
        names = ("account", "key_name", "model", "response_model")
        equals = {name: [pair[name] if isinstance(pair[name], str) else None] for name in names}
        where = Filter(window=window, equals=equals)
        parts.append(store.rows("calls", where, limit=EXAMPLES, order="oldest").frame)
    filled = [part for part in parts if len(part)]
    return pd.concat(filled or parts[:1], ignore_index=True)
