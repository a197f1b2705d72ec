"""Lost money: each kind is found by its own signs, counted once, with honest bounds."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from made_material import attempt, billed, material

from runbook_lib.analysis.lost import KINDS, Lost, lost_money
from runbook_lib.analysis.pairing import pair_up
from runbook_lib.analysis.sides import counted
from runbook_lib.clock import Window
from runbook_lib.runbooks.incidents import around_all
from runbook_lib.store import Store

CENT = Decimal("0.01")
ALL = Window(start=datetime(2026, 11, 24, tzinfo=UTC), end=datetime(2026, 11, 25, tzinfo=UTC))
"""The day of the recorded run."""


def answered(second: float, number: int, **rest: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """An attempt and its usage row."""
    made = attempt(second, input_tokens=100, output_tokens=10, **rest)
    row = billed(second + 0.5, request_id=f"client:client-{number}")
    return made, {**row, "model": made["model"]}


def line(found: Lost, kind: str) -> Any:
    """The one line of a kind."""
    (row,) = found.table[found.table["kind"] == kind].to_dict("records")
    return row


def test_a_stream_that_broke_may_have_been_of_use() -> None:
    """What came before the break was billed: between nothing and all of it is lost."""
    call, row = answered(0, 1, outcome="broken", stream=True, stream_end="truncated")
    found = line(lost_money(material([call], [row])), "cut_stream")
    assert (found["rows"], found["billed_usd"]) == (1, CENT)
    assert (found["lost_low_usd"], found["lost_high_usd"]) == (0, CENT)


def test_a_request_sent_twice_loses_one_of_the_two() -> None:
    """Both sends are shown, one of them is what could have been saved."""
    first, row = answered(0, 1, call_id="a")
    second, other = answered(0.8, 2, call_id="b")
    found = line(lost_money(material([first, second], [row, other])), "duplicate_send")
    assert (found["rows"], found["billed_usd"]) == (2, 2 * CENT)
    assert found["lost_low_usd"] == found["lost_high_usd"] == CENT


@pytest.mark.parametrize(
    ("weights", "extra"),
    [
        pytest.param({"gpt-5": {"input_tokens": 1.0, "output_tokens": 1.0},
                      "claude-x": {"input_tokens": 4.0, "output_tokens": 4.0}},
                     Decimal("0.0075"), id="priced"),
        pytest.param({}, None, id="unpriced"),
    ],
)  # fmt: skip
def test_a_fallback_costs_what_its_model_is_dearer(weights: Any, extra: Decimal | None) -> None:
    """A price nobody knows gives no bound, never a zero."""
    failed = attempt(0, 502, call_id="a")
    call, row = answered(2, 2, call_id="a", model="claude-x")
    found = line(lost_money(material([failed, call], [row]), weights=weights), "client_fallback")
    assert found["lost_low_usd"] == found["lost_high_usd"] == extra


def test_rows_from_where_nobody_logs_are_not_the_clients_own() -> None:
    """A stranger's address is a leak; a row that starts with a call given up is its own."""
    call, row = answered(0, 1)
    row |= {"ip_address": "203.0.113.1"}
    gave_up = attempt(10, None, client_request_id=None)
    finished = billed(14, duration_ms=4000.0, request_id="client:x", ip_address="203.0.113.1")
    stranger = billed(20, request_id="client:y", ip_address="192.0.2.9")
    odd = billed(30, request_id="client:z", ip_address="203.0.113.1")
    found = lost_money(material([call, gave_up], [row, finished, stranger, odd]))
    kinds = found.table.set_index("kind")["rows"].to_dict()
    assert kinds == {"unlogged_use": 1, "client_timeout": 1, "not_explained": 1}
    assert line(found, "not_explained")["lost_low_usd"] == 0


@pytest.mark.parametrize(
    ("second", "kinds"),
    [
        pytest.param(-3600, {}, id="before the log began"),
        pytest.param(-30, {"unlogged_use": 1}, id="as it began"),
        pytest.param(600, {"unlogged_use": 1}, id="while another service logs on"),
        pytest.param(3600, {}, id="after all of it ended"),
    ],
)
def test_who_is_a_stranger_is_known_only_while_there_is_a_log(
    second: float, kinds: dict[str, int]
) -> None:
    """A log that was begun on Tuesday says nothing of Monday: no leak, no missing log."""
    call, row = answered(0, 1)
    other = attempt(900, key_name="prod-batch")
    row |= {"ip_address": "203.0.113.1"}
    stranger = billed(second, request_id="client:y", ip_address="192.0.2.9")
    held = material([call, other], [row, stranger])
    logs = held.calls.groupby("key_name")["ts"].agg(first_ts="min", last_ts="max").reset_index()
    found = lost_money(held, logs=logs).table
    assert found.set_index("kind")["rows"].to_dict() == kinds
    sides = counted(held, pair_up(held), held.window, logs=logs).set_index("side")
    assert sides.loc["usage", "outside_log"] == (not kinds)


def test_a_key_of_another_account_is_no_stranger() -> None:
    """Two accounts may both have a key of this name; only one of them is logged."""
    call, row = answered(0, 1)
    row |= {"ip_address": "203.0.113.1"}
    theirs = billed(20, request_id="client:y", ip_address="192.0.2.9", account="partner")
    assert lost_money(material([call], [row, theirs])).table.empty


def test_a_refusal_sent_again_costs_attempts_and_no_money() -> None:
    """Refused requests cost nothing; the table still counts what was wasted."""
    calls = [attempt(n, 429, call_id="a", retry="never", client_request_id=None) for n in range(3)]
    found = line(lost_money(material(calls)), "retried_refusal")
    assert (found["attempts"], found["rows"], found["lost_high_usd"]) == (2, 0, 0)


def test_a_billed_attempt_is_of_the_window_of_its_row() -> None:
    """A call that began a moment before the window is billed in it, so its loss is told there."""
    call, row = answered(0, 1, outcome="broken", stream=True, stream_end="truncated")
    ended = row["ts"]
    window = Window(start=ended - timedelta(seconds=0.2), end=ended + timedelta(seconds=1))
    assert line(lost_money(material([call], [row]), within=window), "cut_stream")["rows"] == 1
    later = Window(start=ended + timedelta(seconds=1), end=ended + timedelta(seconds=2))
    assert lost_money(material([call], [row]), within=later).table.empty


def test_without_a_log_nothing_is_claimed() -> None:
    """Usage rows alone cannot say what bought nothing."""
    assert lost_money(material([], [billed(1, request_id="client:a")])).table.empty
    assert lost_money(material([])).table.empty


@pytest.fixture(scope="module")
def recorded(recorded_store: Store) -> Lost:
    """The whole recorded run."""
    return lost_money(around_all(recorded_store, ALL))


@pytest.mark.shared
@pytest.mark.parametrize(
    ("kind", "incident", "part"),
    [
        ("runaway_loop", "D06", {}),
        ("cut_stream", "D07", {"key_name": "prod-web"}),
        ("cut_stream", "D08", {"key_name": "prod-assistant"}),
        ("duplicate_send", "D19", {}),
        ("unlogged_use", "D20", {}),
        ("client_abandoned_stream", "D21", {"service": "web-chat"}),
        ("model_alias", "D22", {}),
        ("client_fallback", "D04", {}),
    ],
)
def test_planted_losses_are_found_with_their_rows_and_usd(
    gateway: Path, recorded: Lost, kind: str, incident: str, part: dict[str, str]
) -> None:
    """Rows and USD of every planted incident within two percent, and nothing beside it."""
    listed = json.loads((gateway / "truth.json").read_text())["incidents"]
    truth = next(one for one in listed if one["id"] == incident)
    found = recorded.table[recorded.table["kind"] == kind]
    for name, value in part.items():
        found = found[found[name] == value]
    assert found["rows"].sum() == pytest.approx(truth["usage_rows"], rel=0.02)
    billed_usd = sum(found["billed_usd"], Decimal(0))
    assert float(billed_usd) == pytest.approx(float(truth["billed_usd"]), rel=0.02, abs=1e-9)
    assert set(found["key_name"]) <= {truth["key_name"], part.get("key_name")}


@pytest.mark.shared
def test_nothing_else_is_accused(recorded: Lost) -> None:
    """A table that cries wolf is not read twice."""
    rows = recorded.table.groupby("kind")["rows"].sum().to_dict()
    assert set(rows) <= set(KINDS)
    assert "not_explained" not in rows
    assert rows["client_timeout"] == 126
    assert pd.isna(recorded.table.loc[recorded.table["kind"] == "unlogged_use", "service"]).all()
