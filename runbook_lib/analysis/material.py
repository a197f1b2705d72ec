"""What triage looks at: small frames around the request, prepared once for every rule.

A refused *stream* that an SDK retries has a status but no code, because nobody read its body
(contract §3.2, M). Its code is borrowed from the nearest refusal with the same key and status, and
every verdict that rests on a borrowed code says so.
"""

from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd

from runbook_lib import clock, contract
from runbook_lib.analysis.pairs import twins
from runbook_lib.clock import Window

BORROW_S = 120
"""Seconds within which a refusal of the same key and status can lend its code."""

SLOT_WAIT_S = contract.SLOT_WAIT_S - 5.0
"""A call that waited about as long as the gateway holds one back stood in its queue."""

FAILED = ("refused", "broken", "no_answer")
"""Outcomes that are failures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Matched:
    """Usage rows against attempts of the window, joined by id.

    Attributes:
        both: Rows with an attempt. `only_usage`: rows that no log explains, `only_usage_usd` billed
            for them. `only_calls`: attempts without a row, `failed` of them failed.
    """

    both: int = 0
    only_usage: int = 0
    only_usage_usd: Decimal = Decimal(0)
    only_calls: int = 0
    failed: int = 0


@dataclass(frozen=True, kw_only=True)
class Material:
    """Frames of one triage, with the columns of their tables.

    Attributes:
        calls: Attempts around the request, all outcomes; `whole` is False when there were more
            than could be loaded and only the failed ones are here.
        usage: Usage rows around the request.
        minutes: Attempts of the whole window by `bucket` (minute), key, service, model, provider,
            status, code, outcome: `attempts`, `failed`, `first_ts`, `last_ts`.
        later: The same by hour, for the days after the window: whether the failure ended.
        keys, audit, refusals, key_state: The optional tables, empty where nobody gave them.
        matched: Usage rows against attempts of the whole window.
        window: The window searched, aware UTC. `data_end`: time of the newest attempt held.
        loaded: Span in which `calls` holds every attempt; None where that is not known.
        key_ids: Ids of keys → their names, beside those that `usage` tells.
        timezone: IANA zone in which people are told times.
    """

    calls: pd.DataFrame
    usage: pd.DataFrame
    minutes: pd.DataFrame
    later: pd.DataFrame
    keys: pd.DataFrame
    audit: pd.DataFrame
    refusals: pd.DataFrame
    key_state: pd.DataFrame
    window: Window
    matched: Matched = field(default_factory=Matched)
    data_end: pd.Timestamp | None = None
    whole: bool = True
    notes: tuple[str, ...] = field(default=())
    loaded: Window | None = None
    key_ids: Mapping[str, str] = field(default_factory=dict)
    timezone: str = "UTC"

    @cached_property
    def place(self) -> ZoneInfo:
        """The zone in which people are told times."""
        return clock.zone(self.timezone)

    def holds_all(self, first: pd.Timestamp, last: pd.Timestamp) -> bool:
        """Tell whether every attempt of a half-open span is among `calls`."""
        span = self.loaded
        return self.whole and span is not None and span.start <= first and last <= span.end

    @cached_property
    def attempts(self) -> pd.DataFrame:
        """The attempts in time order with helper columns.

        Adds `start`, `end` (s since 1970), `code_read` (code, or a borrowed one), `borrowed`,
        `lender` (row number of the refusal it came from), `group` and `upstream` (see below).
        """
        frame = self.calls.sort_values(["ts", "source_file", "row_number"], ignore_index=True)
        frame["start"] = seconds(frame["ts"])
        frame["end"] = frame["start"] + frame["duration_ms"].astype(float).fillna(0.0) / 1000
        frame = _with_borrowed_codes(frame)
        frame["group"] = [self.groups.get(name, name) for name in frame["key_name"]]
        frame["upstream"] = _looks_upstream(frame)
        return frame

    @cached_property
    def rows(self) -> pd.DataFrame:
        """The usage rows with `start`, `end` (s since 1970) and `join_id` (id without prefix)."""
        frame = self.usage.sort_values(["ts", "source_file", "row_number"], ignore_index=True)
        frame["end"] = seconds(frame["ts"])
        frame["start"] = frame["end"] - frame["duration_ms"].astype(float).fillna(0.0) / 1000
        frame["join_id"] = frame["request_id"].map(contract.bare_id, na_action="ignore")
        return frame

    @cached_property
    def places(self) -> Mapping[Any, Any]:
        """Call id → places of its attempts in `attempts`, in order."""
        return self.attempts.groupby("call_id", sort=False).indices

    def call(self, call_id: str) -> list[Any]:
        """The attempts of one logical call, in order; empty when there are none."""
        return [self.attempt(place) for place in self.places.get(call_id, ())]

    @cached_property
    def attempt(self) -> Callable[[int], Any]:
        """Gives one attempt by its place in `attempts`."""
        return picker(self.attempts)

    @cached_property
    def row(self) -> Callable[[int], Any]:
        """Gives one usage row by its place in `rows`."""
        return picker(self.rows)

    @cached_property
    def billed(self) -> Mapping[str, int]:
        """Id without prefix → place of its row in `rows`."""
        ids = self.rows["join_id"]
        return {name: place for place, name in enumerate(ids) if isinstance(name, str)}

    @cached_property
    def judged(self) -> dict[Any, Any]:
        """Diagnoses of failed attempts made so far; alike ones of one moment share theirs."""
        return {}

    @cached_property
    def groups(self) -> Mapping[str, str]:
        """Key name → group, from the key inventory, else from usage rows."""
        billed = self.usage[["key_name", "group_name"]].dropna().drop_duplicates("key_name")
        held = self.keys[["key_name", "group"]].dropna().drop_duplicates("key_name")
        return {
            **dict(zip(billed["key_name"], billed["group_name"], strict=True)),
            **dict(zip(held["key_name"], held["group"], strict=True)),
        }

    @cached_property
    def logged_ids(self) -> frozenset[str]:
        """Ids of all attempts here that can join with a usage row."""
        return frozenset(self.calls["client_request_id"].dropna())

    @cached_property
    def twins(self) -> Mapping[Any, int]:
        """Place of an attempt → place of the near-equal call a moment apart."""
        return twins(self.attempts).to_dict()

    @cached_property
    def rates(self) -> Mapping[Any, tuple[float, Mapping[Any, int]]]:
        """Key and service → usual answered attempts a minute, and those of every minute.

        A pair seen in fewer than four minutes has no usual rate, and is left out.
        """
        answered = self.minutes[self.minutes["outcome"] == "ok"]
        counts = answered.groupby(["key_name", "service", "bucket"])["attempts"].sum()
        found = {}
        for pair, series in counts.groupby(level=[0, 1]):
            if len(series) >= 4:
                by_minute = series.droplevel([0, 1]).to_dict()
                found[pair] = (float(series.median()), by_minute)
        return found

    @cached_property
    def skew_s(self) -> float | None:
        """Gateway clock minus client clock, in seconds: median over attempts joined by id."""
        ok = self.attempts.loc[self.attempts["outcome"] == "ok", ["client_request_id", "end"]]
        pairs = ok.merge(self.rows, left_on="client_request_id", right_on="join_id")
        if len(pairs) < 5:
            return None
        return float((pairs["end_y"] - pairs["end_x"]).median())


def picker(frame: pd.DataFrame) -> Callable[[int], Any]:
    """Give single rows of a frame by their place, many times faster than the frame itself does.

    Args:
        frame: Any frame whose column names are identifiers.

    Returns:
        A function from a place, counted from 0, to its row: a field a column, the place as `Index`.
    """
    kind: Any = namedtuple
    make = kind("Row", ["Index", *frame.columns])
    columns = [frame[name].array for name in frame.columns]
    return lambda place: make(place, *[column[place] for column in columns])


def each(frame: pd.DataFrame) -> Iterator[Any]:
    """Give the rows of a frame one at a time.

    Args:
        frame: Any frame whose column names are identifiers.

    Returns:
        Its rows in order: a field a column, and `Index`.
    """
    return iter(frame.itertuples())


def silent(attempts: pd.DataFrame) -> "pd.Series[bool]":
    """Tell which attempts ended without an answer, and so without an id.

    Args:
        attempts: Attempts with `outcome` and `client_request_id`.

    Returns:
        A flag an attempt.
    """
    waiting = attempts["outcome"].isin(["no_answer", "abandoned"])
    return waiting & attempts["client_request_id"].isna()


def seconds(times: "pd.Series") -> "pd.Series":
    """Seconds since 1970 of aware instants, NaN where unknown."""
    return (times - pd.Timestamp(0, tz="UTC")).dt.total_seconds()


def _with_borrowed_codes(frame: pd.DataFrame) -> pd.DataFrame:
    unread = (frame["outcome"] == "refused") & frame["code"].isna() & ~_speaks_for_itself(frame)
    lenders = frame.loc[
        (frame["outcome"] == "refused") & frame["code"].notna(),
        ["start", "key_name", "status", "code", "row_number"],
    ].rename(columns={"code": "lent", "row_number": "lender"})
    frame["code_read"], frame["lender"] = frame["code"], pd.NA
    for by in (["key_name", "status"], ["status"]):
        open_ones = frame.loc[unread & frame["code_read"].isna(), ["start", "key_name", "status"]]
        if by == ["status"]:
            open_ones = open_ones[open_ones["status"] >= 500]
        if open_ones.empty or lenders.empty:
            continue
        found = pd.merge_asof(
            open_ones.reset_index().dropna(subset=by),
            lenders[["start", "lent", "lender", *by]].dropna(subset=by),
            on="start",
            by=by,
            direction="nearest",
            tolerance=BORROW_S,
        ).dropna(subset=["lent"])
        frame.loc[found["index"], "code_read"] = found["lent"].to_numpy()
        frame.loc[found["index"], "lender"] = found["lender"].to_numpy()
    frame["borrowed"] = frame["code"].isna() & frame["code_read"].notna()
    return frame


def _speaks_for_itself(frame: pd.DataFrame) -> "pd.Series":
    kind = frame["content_type"].fillna("").str.lower()
    return kind.str.startswith(("text/plain", "text/html"))


def _looks_upstream(frame: pd.DataFrame) -> "pd.Series":
    status = frame["status"].astype("Float64").fillna(0).astype(float)
    server = status.isin([500, 502, 503, 504]) | status.between(520, 529)
    waited = (frame["end"] - frame["start"]) >= SLOT_WAIT_S
    limited = (status == 429) & (frame["code_read"] == "rate_limit_error") & ~waited
    result: pd.Series = (server | limited).astype(bool)
    return result
