"""What is new on a key: a model, an address or a client it was never used with before.

A stolen key is tried before it is used: one or two requests, a pause, then as many as it bears. So
the first request counts, not the bill. What is new is told at the probe, with what came after.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd

from runbook_lib import money
from runbook_lib.clock import Window
from runbook_lib.errors import ParameterError

NEW = ("ip_address", "user_agent", "model")
"""What is watched. The first that is new names the row: an address says more than a model."""

SETTLED = 20
"""Requests a key must have had before, with the field known, for a value to be new on it."""

PAUSE = timedelta(minutes=5)
"""A rest this long parts the probe from what follows."""

PROBE_MOST = 5
"""Requests of a probe at most."""

BURST = 5
"""Times as many requests as the probe had make a burst."""

COLUMNS = (
    *("account", "key_name", "new", "ip_address", "user_agent", "model", "stage"),
    *("first_at", "probe_requests", "probe_usd", "burst_at", "burst_requests", "burst_usd"),
    *("requests", "cost_usd", "last_at", "requests_before", "known_since"),
)
"""Columns of the table, in order; `first_seen` says what they hold."""


def first_seen(
    rolled: pd.DataFrame, *, now: datetime, window: Window | None = None
) -> pd.DataFrame:
    """Find models, addresses and clients that are new on a key.

    A value is new when the key had at least twenty requests before it with the field known, none
    of them with this value. Unknown values are never new. Of a client only the name counts: its
    next version is the same client.

    Args:
        rolled: Roll-up of usage by `key_name` and any of `ip_address`, `user_agent`, `model`, by
            minute or hour: also reads `first_ts`, `last_ts`, `requests`, `cost_usd`, and
            `account` where it is there. It must reach back before *window*.
        now: Rows that start later are left out.
        window: Only what was first seen in it is given.

    Returns:
        A row per key and new value, earliest first; values that came together share a row:
        `account`, `key_name`, `new` (names of the fields that are new, by comma), `ip_address`,
        `user_agent`, `model` (new values, by comma; None where not new), `stage` ("probe": a few
        requests so far; "burst": a few, a pause, then many; "in use": many at once), `first_at`,
        `probe_requests`, `probe_usd` (up to the first pause), `burst_at`, `burst_requests`,
        `burst_usd` (after it; NaT, 0, 0 where nothing came), `requests`, `cost_usd` (all, USD),
        `last_at`, `requests_before` (of the key, with the field known), `known_since`.

    Raises:
        ParameterError: a needed column is missing, or none of the watched fields is there.
    """
    rows = _read(rolled, now)
    found = []
    for _, own in rows.groupby(["account", "key_name"], dropna=False, sort=True):
        found += _of_key(own)
    if window is not None:
        found = [row for row in found if window.start <= row["first_at"] < window.end]
    found.sort(key=lambda row: (row["first_at"], str(row["key_name"]), row["new"]))
    return _typed(found)


def _read(rolled: pd.DataFrame, now: datetime) -> pd.DataFrame:
    needed = ("key_name", "first_ts", "last_ts", "requests", "cost_usd")
    lacking = [name for name in needed if name not in rolled.columns]
    if not set(NEW) & set(rolled.columns):
        lacking.append(f"one of {', '.join(NEW)}")
    if lacking:
        raise ParameterError("roll-up", list(rolled.columns), hint=f"also {', '.join(lacking)}")
    fields = ["account", *NEW]
    blank = {name: None for name in fields if name not in rolled.columns}
    rows = rolled.assign(**blank)[[*fields, *needed]]
    for name in ("account", "key_name"):
        rows[name] = rows[name].astype("object").where(rows[name].notna(), None)
    return rows[rows["first_ts"] < now].sort_values("first_ts", kind="stable", ignore_index=True)


def _of_key(own: pd.DataFrame) -> list[dict[str, Any]]:
    """Find what is new on one key."""
    plain = {name: _plain(own, name) for name in NEW}
    news = {name: _news(own, plain[name]) for name in NEW}
    groups: dict[tuple[str, str], list[int]] = {}
    hits = [plain[name].isin(list(news[name])).to_numpy() for name in NEW]
    for place in np.logical_or.reduce(hits).nonzero()[0]:
        fresh = [(name, value) for name in NEW if (value := plain[name].iloc[place]) in news[name]]
        if fresh:
            groups.setdefault(fresh[0], []).append(place)
    return [_row(own.iloc[places], lead, plain, news) for lead, places in groups.items()]


def _plain(own: pd.DataFrame, name: str) -> "pd.Series[Any]":
    """Give the values as they are compared: None where unknown, a client without its version."""
    values = own[name].astype("object").where(own[name].notna(), None)
    return values.map(_client) if name == "user_agent" else values


_VERSION = re.compile(r"[\s/]*\bv?\d[\w.+-]*")


def _client(agent: str | None) -> str | None:
    return agent if agent is None else _VERSION.sub("", agent)


@dataclass(frozen=True, slots=True, kw_only=True)
class _News:
    """When a value was first seen on a key, and what the key had done before it.

    Attributes:
        at: First request with it.
        requests: Requests of the key that had ended before, with the field known.
        since: First of them.
    """

    at: datetime
    requests: int
    since: datetime


def _news(own: pd.DataFrame, plain: "pd.Series[Any]") -> dict[str, _News]:
    """Find the values that came to a key in use; *own* is in order of `first_ts`."""
    known = own[plain.notna()]
    if known.empty:
        return {}
    firsts = known.groupby(plain[plain.notna()], sort=False)["first_ts"].min()
    ended = known.sort_values("last_ts", kind="stable")
    done = ended["requests"].astype("int64").cumsum().to_numpy()
    places = ended["last_ts"].searchsorted(firsts, side="left")
    since = known["first_ts"].iloc[0].to_pydatetime()
    found = {}
    for value, at, place in zip(firsts.index, firsts, places, strict=True):
        before = int(done[place - 1]) if place else 0
        if before >= SETTLED:
            found[value] = _News(at=at, requests=before, since=since)
    return found


def _row(
    rows: pd.DataFrame,
    lead: tuple[str, str],
    plain: dict[str, "pd.Series[Any]"],
    news: dict[str, dict[str, _News]],
) -> dict[str, Any]:
    probe, later = _parted(rows)
    start = rows.iloc[0]
    fresh = {
        name: [
            value
            for value in dict.fromkeys(plain[name].loc[rows.index])
            if value in news[name] and news[name][value].at >= start["first_ts"]
        ]
        for name in NEW
    }
    named = {name: ", ".join(values) or None for name, values in fresh.items()}
    return {
        "account": start["account"],
        "key_name": start["key_name"],
        "new": ", ".join(name for name in NEW if fresh[name]),
        **named,
        "stage": _stage(int(probe["requests"].sum()), int(later["requests"].sum())),
        "first_at": start["first_ts"],
        "probe_requests": int(probe["requests"].sum()),
        "probe_usd": _usd(probe),
        "burst_at": later["first_ts"].min(),
        "burst_requests": int(later["requests"].sum()),
        "burst_usd": _usd(later),
        "requests": int(rows["requests"].sum()),
        "cost_usd": _usd(rows),
        "last_at": rows["last_ts"].max(),
        "requests_before": news[lead[0]][lead[1]].requests,
        "known_since": news[lead[0]][lead[1]].since,
    }


def _parted(rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Part the rows at the first pause."""
    rest = rows["first_ts"] - rows["last_ts"].cummax().shift(1)
    pauses = rest.gt(PAUSE).to_numpy().nonzero()[0]
    cut = int(pauses[0]) if len(pauses) else len(rows)
    return rows.iloc[:cut], rows.iloc[cut:]


def _stage(probe: int, later: int) -> str:
    if probe <= PROBE_MOST and later >= BURST * probe:
        return "burst"
    return "probe" if probe + later <= PROBE_MOST else "in use"


def _usd(rows: pd.DataFrame) -> Decimal:
    return money.total(cost for cost in rows["cost_usd"] if not pd.isna(cost))


def _typed(found: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Give every column its type, also where there is no row."""
    types = dict.fromkeys(COLUMNS, "object")
    for name in ("probe_requests", "burst_requests", "requests", "requests_before"):
        types[name] = "Int64"
    for name in ("first_at", "burst_at", "last_at", "known_since"):
        types[name] = "datetime64[us, UTC]"
    columns = {name: pd.Series([row[name] for row in found], dtype=types[name]) for name in COLUMNS}
    return pd.DataFrame(columns)
