"""Spikes of the recorded gateway and of the sample: the planted ones found, nobody else accused."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from runbook_lib import session
from runbook_lib.analysis.spikes import exact_span, find_spikes, first_seen
from runbook_lib.clock import Window
from runbook_lib.store import Filter, Store

RECORDED = datetime(2026, 11, 24, 5, 44, tzinfo=UTC)
"""The end of the recorded run."""

BY = ["key_name", "model"]


@pytest.fixture(scope="module")
def held(gateway: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The usage rows of the recorded gateway in a store."""
    folder = tmp_path_factory.mktemp("lake")
    session.take_in([gateway / "usage_rows.json.gz"], folder)
    with session.open_store(folder) as store:
        yield store


def planted(gateway: Path, number: str) -> dict[str, Any]:
    """One planted incident, with the rows and USD of it."""
    incidents = json.loads((gateway / "truth.json").read_text())["incidents"]
    return next(one for one in incidents if one["id"] == number)


def events(store: Store) -> pd.DataFrame:
    hourly = store.roll_up("usage", by=BY, grain="hour")
    minutes = store.roll_up("usage", by=BY, grain="minute")
    return find_spikes(hourly, now=RECORDED, minutes=minutes).events


@pytest.mark.shared
def test_in_eleven_minutes_the_loop_and_the_leak_are_raised_and_nothing_else(held: Store) -> None:
    """There is not one hour of past, only earlier minutes; they are enough."""
    shown = events(held).query("status in ('raised', 'noted')")
    assert sorted(shown["key_name"]) == ["dev-agent", "prod-assistant"]
    assert set(shown["status"]) == {"raised"}


@pytest.mark.shared
def test_the_rows_of_the_loop_are_priced_within_two_percent(held: Store, gateway: Path) -> None:
    """The minutes of the event hold usual calls too; its rows are found among them."""
    truth = planted(gateway, "D06")
    (event,) = events(held).query("key_name == 'dev-agent'").to_dict("records")
    near = timedelta(minutes=1)
    window = Window(start=event["start"] - near, end=event["end"] + near)
    rows = held.rows("usage", Filter(window=window, equals={"key_name": ["dev-agent"]})).frame
    usual = event["usual_requests"] / ((event["end"] - event["start"]) / timedelta(hours=1))
    span = exact_span(rows["ts"], usual_per_hour=usual)
    assert span is not None
    inside = rows[(rows["ts"] >= span.start) & (rows["ts"] < span.end)]
    assert len(inside) == pytest.approx(truth["usage_rows"], rel=0.02)
    billed = Decimal(truth["billed_usd"])
    assert abs(inside["cost_usd"].sum() - billed) <= billed * Decimal("0.02")


@pytest.mark.shared
def test_the_leaked_key_is_told_at_its_probe(held: Store, gateway: Path) -> None:
    """Seven minutes lie between the probe and the burst of the thief."""
    truth = planted(gateway, "D20")
    by = ["key_name", "ip_address", "user_agent", "model"]
    minutes = held.roll_up("usage", by=by, grain="minute")
    early = first_seen(minutes, now=datetime(2026, 11, 24, 5, 36, tzinfo=UTC))
    assert early[["key_name", "stage"]].to_numpy().tolist() == [["prod-assistant", "probe"]]
    late = first_seen(minutes, now=RECORDED)
    (leak,) = late[late["stage"] == "burst"].to_dict("records")
    assert leak["key_name"] == truth["key_name"]
    assert leak["requests"] == truth["usage_rows"]
    assert leak["cost_usd"] == Decimal(truth["billed_usd"])
    assert set(late["stage"]) == {"burst", "in use"}


@pytest.mark.long
def test_the_sample_raises_what_was_planted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Ten weeks of a whole company: each alarm of the last week is one of its incidents."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with session.open_store() as store:
        hourly = store.roll_up("usage", by=BY, grain="hour")
    week = Window(start=datetime(2026, 11, 16, tzinfo=UTC), end=datetime(2026, 11, 23, tzinfo=UTC))
    spikes = find_spikes(hourly, now=week.end, window=week).events
    raised = spikes[spikes["status"] == "raised"].set_index("key_name")["start"]
    days = {key: f"{start:%d %H}" for key, start in raised.items()}
    assert days == {
        "prod-assistant": "21 03",  # the leak
        "ci-nightly": "19 01",  # a nightly run four times its size
        "prod-docs": "18 09",  # a backfill up to its cap
        "dev-agent": "21 10",  # the runaway loop
        "prod-batch": "17 15",  # timeouts, all billed twice
        "prod-web": "20 13",  # every request sent twice
    }
    whole = find_spikes(hourly, now=week.end).events.query("status == 'raised'")
    assert len(whole) == len(days), "the nine weeks before hold no alarm"
