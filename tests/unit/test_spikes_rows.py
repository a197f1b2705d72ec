"""Where an event begins and ends among its rows, and what is new on a key."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runbook_lib.analysis.spikes import exact_span, first_seen
from runbook_lib.clock import Window
from runbook_lib.errors import ParameterError

START = datetime(2026, 11, 2, tzinfo=UTC)
NOW = START + timedelta(days=30)
Row = dict[str, Any]


def times(*seconds: Any) -> "pd.Series[Any]":
    """Times so many seconds after the start."""
    every = np.concatenate([np.atleast_1d(part) for part in seconds])
    return pd.Series(pd.Timestamp(START) + pd.to_timedelta(every, unit="s"))


def test_the_span_of_a_loop_leaves_out_the_usual_calls_around_it() -> None:
    """Who pays for a loop must not pay for the minute before it."""
    usual, loop = np.arange(0, 3600, 60.0), np.arange(1800, 1950, 0.5)
    span = exact_span(times(usual, loop), usual_per_hour=60)
    assert span is not None
    assert span.start == START + timedelta(seconds=1800)
    assert span.end == START + timedelta(seconds=1949.5, microseconds=1)


@settings(max_examples=15)
@given(st.integers(0, 10_000), st.integers(600, 3000), st.sampled_from([5, 10, 40]))
def test_the_span_is_within_a_few_usual_gaps(seed: int, at: int, factor: int) -> None:
    """Rows come at random; the edges are still where the rate changes."""
    rng = np.random.default_rng(seed)
    usual = np.cumsum(rng.exponential(20, 180))
    loop = at + np.cumsum(rng.exponential(20 / factor, 30 * factor))
    span = exact_span(times(usual, loop), usual_per_hour=180)
    assert span is not None
    first, last = START + timedelta(seconds=loop[0]), START + timedelta(seconds=loop[-1])
    assert abs(span.start - first) < timedelta(seconds=60)
    assert abs(span.end - last) < timedelta(seconds=60)


@pytest.mark.parametrize(
    ("rows", "usual"),
    [
        pytest.param(times([]), 60.0, id="no row"),
        pytest.param(times(np.arange(0, 3600, 60.0)), 60.0, id="as usual"),
        pytest.param(times(np.arange(0, 3600, 600.0)), 60.0, id="slower"),
    ],
)
def test_without_a_faster_rate_there_is_no_span(rows: Any, usual: float) -> None:
    """An edge that is not there must not be drawn."""
    assert exact_span(rows, usual_per_hour=usual) is None


def test_with_no_usual_rate_all_rows_belong_to_it() -> None:
    """On a key that was never used every row is part of the event."""
    span = exact_span(times([5.0, 900.0, 30.0]), usual_per_hour=0)
    assert span == Window(
        start=START + timedelta(seconds=5), end=START + timedelta(seconds=900, microseconds=1)
    )


def row(minute: int, requests: int, **fields: str | None) -> Row:
    """A minute of use of one key, with the usual address, client and model."""
    at = START + timedelta(minutes=minute)
    usual = {"ip_address": "203.0.113.7", "user_agent": "OpenAI/Python 3.54.0", "model": "gpt"}
    return {
        "key_name": "prod",
        **usual,
        "first_ts": at,
        "last_ts": at + timedelta(seconds=50),
        "requests": requests,
        "cost_usd": Decimal("0.01") * requests,
        **fields,
    }


def seen(*rows: Row, now: datetime = NOW, **more: Any) -> list[Row]:
    """Ask for what is new."""
    return first_seen(pd.DataFrame(rows), now=now, **more).to_dict("records")


USED = [row(minute, 5) for minute in range(10)]
THIEF = {"ip_address": "192.0.2.200", "user_agent": "curl/8.5.0", "model": "opus"}


def test_a_probe_is_told_before_the_burst() -> None:
    """At the probe the key can still be taken away; after the burst only the bill is left."""
    rows = [*USED, row(20, 2, **THIEF), row(21, 1, **THIEF), row(60, 70, **THIEF)]
    early = START + timedelta(minutes=30)
    (probe,) = seen(*rows, now=early)
    assert (probe["stage"], probe["requests"], probe["burst_requests"]) == ("probe", 3, 0)
    assert pd.isna(probe["burst_at"])
    (burst,) = seen(*rows)
    assert burst["stage"] == "burst"
    assert burst["new"] == "ip_address, user_agent, model"
    assert burst["ip_address"] == "192.0.2.200"
    assert burst["first_at"] == probe["first_at"] == START + timedelta(minutes=20)
    assert burst["burst_at"] == START + timedelta(minutes=60)
    assert (burst["probe_requests"], burst["burst_requests"]) == (3, 70)
    assert burst["cost_usd"] == Decimal("0.73")
    assert burst["requests_before"] == 50
    assert burst["known_since"] == START


def test_what_is_used_at_once_is_in_use() -> None:
    """A new service does not probe."""
    (new,) = seen(*USED, row(20, 40, model="mini"), row(21, 40, model="mini"))
    assert (new["stage"], new["new"], new["model"]) == ("in use", "model", "mini")
    assert new["ip_address"] is None


def test_one_thief_with_two_models_is_one_row() -> None:
    """What comes from one new address is one thing that happened."""
    rows = [row(20, 3, **THIEF), row(22, 3, **{**THIEF, "model": "sonnet"})]
    (new,) = seen(*USED, *rows)
    assert new["model"] == "opus, sonnet"
    assert new["requests"] == 6


def test_a_value_known_before_is_not_new_to_a_second_newcomer() -> None:
    """A model that was new last month is not what is new about today's address."""
    thief = row(40, 9, **{**THIEF, "model": "mini"})
    first, second = seen(*USED, row(20, 9, model="mini"), thief)
    assert (first["new"], second["new"]) == ("model", "ip_address, user_agent")


@pytest.mark.parametrize(
    "later",
    [
        pytest.param(row(20, 3, user_agent="OpenAI/Python 3.55.1"), id="next version"),
        pytest.param(row(20, 3, ip_address=None, user_agent=None), id="unknown"),
        pytest.param(row(20, 3), id="nothing new"),
    ],
)
def test_what_is_the_same_or_unknown_is_not_new(later: Row) -> None:
    """An update of the SDK on every key at once is no theft of every key."""
    assert seen(*USED, later) == []


def test_on_a_key_hardly_used_nothing_is_new() -> None:
    """The first calls of a key all have a first address; that is no news."""
    assert seen(*USED[:3], row(20, 3, **THIEF)) == []


def test_values_that_were_not_recorded_before_are_not_new() -> None:
    """An export that gained a column would make every address of every key new."""
    old = [row(minute, 5, ip_address=None, user_agent=None) for minute in range(10)]
    assert seen(*old, row(20, 3)) == []


def test_only_what_was_first_seen_in_the_window_is_given() -> None:
    """A weekly review is about its week."""
    rows = [*USED, row(20, 9, model="mini"), row(40, 9, model="nano")]
    window = Window(start=START + timedelta(minutes=30), end=NOW)
    assert [new["model"] for new in seen(*rows, window=window)] == ["nano"]


def test_keys_and_accounts_are_apart_and_blank_keys_count() -> None:
    """What is usual on one key may be theft on another."""
    other = [{**one, "key_name": None} for one in (*USED, row(20, 3, **THIEF))]
    found = seen(*USED, *other, row(5, 100, **{**THIEF, "key_name": "b"}))
    assert [new["key_name"] for new in found] == [None]


def test_nothing_in_nothing_out() -> None:
    """No rows, no news, and the columns are there all the same."""
    empty = first_seen(pd.DataFrame(USED).iloc[:0], now=NOW)
    assert empty.empty
    assert "stage" in empty.columns


@pytest.mark.parametrize(
    "columns",
    [["key_name"], ["first_ts"], ["requests"], ["ip_address", "user_agent", "model"]],
    ids=lambda columns: columns[0],
)
def test_a_roll_up_that_cannot_tell_is_refused(columns: list[str]) -> None:
    """An empty answer to a question that was never asked is the worst answer."""
    with pytest.raises(ParameterError, match="roll-up"):
        first_seen(pd.DataFrame(USED).drop(columns=columns), now=NOW)
