"""What is used of a cap, what binds, what is under way, and what a plan needs."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from runbook_lib.analysis.caps import size_caps
from runbook_lib.analysis.caps.inflight import highest
from runbook_lib.findings import Grade
from runbook_lib.runbooks.caps import size_caps as size_caps_of
from tests.unit.caps_kit import NOW, answer, key, material, rows, rules, steady, store_of

NOON = NOW - timedelta(hours=12)
"""An hour after the last row of a made store."""

KEYS = "key_name,environment,cap_amount,cap_currency,cap_window\n"


@pytest.mark.parametrize(
    ("window", "used"),
    [
        pytest.param(
            "5h", "10", id="five-hours-hold-the-four-rows-of-today", marks=pytest.mark.long
        ),
        pytest.param("1d", "10", id="today", marks=pytest.mark.long),
        pytest.param("7d", "70", id="the-rows-of-seven-days"),
        pytest.param("month", "230", id="since-the-first", marks=pytest.mark.long),
        pytest.param("total", "300", id="all-of-the-export"),
    ],
)
def test_what_is_used_comes_from_usage_rows(tmp_path: Path, window: str, used: str) -> None:
    """Without a live answer the rows themselves tell what a window has held at most."""
    files = {"keys": f"{KEYS}k,prod,1000,USD,{window}\n"}
    store = store_of(tmp_path, {"k": [10.0] * 30}, files=files)
    report = size_caps_of(store, now=NOON.isoformat())
    (row,) = report.exhibits["clocks"].frame.query("key_name == 'k'").to_dict("records")
    assert row["used_usd"] == Decimal(used)
    assert row["remaining_usd"] == 1000 - Decimal(used)
    assert str(row["basis"]).startswith("usage rows up to 2026-11-23 11:00 UTC")
    assert str(row["basis"]).endswith("at most") == (window in ("5h", "7d"))
    (binding,) = report.exhibits["effective"].frame.to_dict("records")
    assert binding["effective_usd"] == row["remaining_usd"]


def test_a_window_the_rows_do_not_reach_is_unknown(tmp_path: Path) -> None:
    """An export that ended yesterday says nothing of the last five hours."""
    store = store_of(tmp_path, {"k": [10.0] * 30}, files={"keys": f"{KEYS}k,prod,9,USD,5h\n"})
    report = size_caps_of(store, now=(NOW + timedelta(hours=20)).isoformat())
    assert report.exhibits["clocks"].frame.query("window == '5h'").empty
    assert report.exhibits["effective"].frame["effective_usd"].iloc[0] is None


def test_a_live_answer_comes_before_the_rows() -> None:
    """The gateway's own count is the one that stops the key."""
    cap = key("k", "prod", amount=Decimal(100), currency="USD", window="1d")
    state = [answer("k", "1d", "100", "60", reset_at=NOW + timedelta(hours=6))]
    (row,) = rows(size_caps(material({"k": steady(10)}, keys=[cap], key_state=state)), "clocks")
    assert row["used_usd"] == 60
    assert str(row["basis"]).startswith("live answer of 2026-11-23 23:55 UTC")


def test_an_old_answer_of_a_quota_is_carried_on_by_the_rows() -> None:
    """What was spent on the days since was spent of the quota as well."""
    asked = NOW - timedelta(days=3, hours=6)
    state = [answer("k", "total", "500", "200", asked_at=asked)]
    (row,) = rows(size_caps(material({"k": [10.0] * 40}, key_state=state)), "clocks")
    assert row["used_usd"] == 230
    assert "usage rows since" in row["basis"]


def test_an_answer_of_later_is_not_known_yet() -> None:
    """A report as of last week must not know what was asked today."""
    late = [answer("k", "total", "500", "499", asked_at=NOW + timedelta(hours=3))]
    parts = size_caps(material({"k": steady(10)}, key_state=late))
    assert rows(parts, "clocks") == []


def test_the_least_of_all_limits_binds() -> None:
    """Balance, budget, quota and window in one row, and the one that binds by name."""
    budget = [{"environment": "prod", "key_name": None, "month": "2026-11", "currency": "USD"}]
    parts = size_caps(
        material(
            {"k": [10.0] * 60, "d": [0.5] * 60},
            keys=[key("k", "prod"), key("d", "dev")],
            key_state=[
                answer("k", "total", "500", "420"),
                answer("k", "7d", "300", "10", reset_at=NOW + timedelta(days=6)),
            ],
            budget=[{**budget[0], "amount": Decimal(270)}],
            balance=Decimal(2000),
        )
    )
    (row,) = rows(parts, "effective", key_name="k")
    assert (row["binds"], row["effective_usd"]) == ("budget of the month", Decimal("28.5"))
    assert (row["balance_left_usd"], row["total_left_usd"]) == (2000, 80)
    assert row["7d_left_usd"] == 290
    assert row["ends_first"] == "budget of the month"
    whole = rows(parts, "clocks", what="budget", environment="(all)")[0]
    assert whole["used_usd"] == Decimal("241.5")
    assert whole["burn_rate"] == pytest.approx(241.5 / 270 / (23 / 30), abs=0.01)
    assert whole["resets_at"] == datetime(2026, 12, 1, tzinfo=UTC)


def test_one_cap_has_one_finding() -> None:
    """A used-up window that is too low is one thing to do, and so is a quota that ends soon."""
    parts = size_caps(
        material(
            {"low": steady(10), "short": steady(10, seed=3)},
            key_state=[
                answer("low", "1d", "4", "4", reset_at=NOW + timedelta(hours=16)),
                answer("short", "total", "500", "480"),
            ],
        )
    )
    assert rules(parts, "low") == {"cap-too-low"}
    assert rules(parts, "short") == {"runs-out"}
    low = next(item for item in parts.findings if item.rule == "cap-too-low")
    assert "used up now, until 16:00 UTC on 2026-11-24" in low.title
    assert low.next_step is not None
    assert "from 4 USD to 1" in low.next_step.text
    texts = [step.text for step in parts.next_steps]
    assert len(texts) == len(set(texts))
    assert "fallback_verification" in texts[-1]


def test_used_up_is_sure_only_where_the_gateway_says_so() -> None:
    """A sum of usage rows can lack some; the gateway's own count cannot."""
    cap = key("k", "prod", amount=Decimal(20), currency="USD", window="total")
    told = answer("k", "total", "20", "20")
    for state, grade in (([told], Grade.CONFIRMED), ([], Grade.LIKELY)):
        parts = size_caps(material({"k": steady(10)}, keys=[cap], key_state=state))
        (found,) = [item for item in parts.findings if item.rule == "runs-out"]
        assert found.title.endswith("is used up")
        assert found.grade is grade


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        pytest.param([], 0, id="none"),
        pytest.param([(0, 5), (5, 9)], 1, id="one-after-the-other"),
        pytest.param([(0, 5), (4, 9), (4.5, 4.6)], 3, id="three-at-once"),
        pytest.param([(1, 1)], 1, id="of-no-length"),
        pytest.param([(0, 10), (1, 2), (3, 4), (5, 6)], 2, id="short-ones-beside-a-long-one"),
    ],
)
def test_what_is_under_way_at_once_is_counted(
    spans: list[tuple[float, float]], expected: int
) -> None:
    """Two calls that only touch are not at once: the second could start as the first had ended."""
    starts, ends = np.array([a for a, _ in spans]), np.array([b for _, b in spans])
    assert highest(starts, ends) == expected


def calls(count: int, *, every_ms: float, length_ms: float, name: str = "k") -> pd.DataFrame:
    """Give attempts that start one after the other."""
    start = pd.Timestamp(NOW - timedelta(hours=2))
    return pd.DataFrame(
        {
            "account": "",
            "key_name": name,
            "ts": [start + pd.Timedelta(milliseconds=every_ms * at) for at in range(count)],
            "duration_ms": length_ms,
        }
    )


def overshoot(**more: Any) -> dict[Any, Any]:
    """Give the overshoot of a key that spends 24 USD a day in calls of 0.02 USD at most."""
    (row,) = rows(size_caps(material({"k": [24.0] * 30}, **more)), "overshoot")
    return row


def test_overshoot_is_what_is_under_way_and_the_lag() -> None:
    """Four attempts at once at 0.02, and five minutes of ten times an hour of 1 USD."""
    row = overshoot(calls=calls(50, every_ms=1000, length_ms=3500))
    assert (row["in_flight"], row["basis"]) == (4, "50 attempts of the last week")
    assert row["under_way_usd"] == Decimal("0.08")
    assert float(row["lag_usd"]) == pytest.approx(10 / 12, abs=1e-3)
    assert row["overshoot_usd"] == row["under_way_usd"] + row["lag_usd"]


def test_usage_rows_tell_what_no_log_does() -> None:
    """A usage row ends at its time: it was under way before it."""
    row = overshoot(billed=calls(50, every_ms=1000, length_ms=6500))
    assert (row["in_flight"], row["basis"]) == (7, "50 usage rows of the last week")


def test_the_busiest_hour_speaks_where_not_all_rows_were_read() -> None:
    """Twenty thousand rows can be a few minutes: 7,200 calls of 10 s in an hour are 20 at once."""
    made = material({"k": [24.0] * 30}, billed=calls(9, every_ms=60_000, length_ms=10_000))
    busy = {"hourly": made.hourly.assign(requests=7200), "unseen": (0, 90_000)}
    values = {name: getattr(made, name) for name in made.__slots__}
    (row,) = rows(size_caps(type(made)(**{**values, **busy})), "overshoot")
    assert (row["in_flight"], row["basis"]) == (34, "its busiest hour")


def test_without_rows_the_number_is_assumed_and_said() -> None:
    """An assumption that looks like a measurement misleads."""
    row = overshoot()
    assert (row["in_flight"], row["basis"]) == (10, "assumed: the last week shows none")


def test_a_planned_event_has_its_need_and_its_cap(tmp_path: Path) -> None:
    """Dates, factor and key in; p90 and the cap of a day while it lasts out."""
    plan = "start,end,key_name,factor,note\n2026-12-05T00:00:00Z,2026-12-08T00:00:00Z,k,4,launch\n"
    store = store_of(tmp_path, {"k": steady(10), "o": steady(3)}, files={"planned": plan})
    report = size_caps_of(store, now=NOW.isoformat(), lead_days=3)
    (row,) = report.exhibits["planned"].frame.to_dict("records")
    assert (row["key_name"], row["days"], row["factor"], row["note"]) == ("k", 3, 4.0, "launch")
    assert (row["from_day"], row["to_day"]) == (date(2026, 12, 5), date(2026, 12, 7))
    assert 30 < float(row["usual_p90_usd"]) < 60
    assert float(row["p90_usd"]) == pytest.approx(4 * float(row["usual_p90_usd"]), abs=0.01)
    assert row["extra_usd"] == row["p90_usd"] - row["usual_p90_usd"]
    assert row["act_by"] == date(2026, 12, 2)
    assert 40 < row["day_cap_usd"] < 80
    day = report.exhibits["to_type"].frame.query("key_name == 'k' and window == '1d'").iloc[0]
    assert day["type"] < 20
    assert "from 2026-12-05 to 2026-12-07" in day["note"]


@pytest.mark.parametrize("factor", [None, -2.0, 0.0, float("inf"), float("nan")])
def test_a_plan_with_no_usable_factor_is_named_and_left_out(factor: float | None) -> None:
    """A cap of infinity, or of less than nothing, would come out of it."""
    plan = {"start": NOW, "end": NOW + timedelta(days=2), "key_name": "k", "factor": factor}
    parts = size_caps(material({"k": steady(10)}, planned=[{**plan, "note": "a slip"}]))
    assert rows(parts, "planned") == []
    assert any("a slip" in gap for gap in parts.gaps)
    plain = size_caps(material({"k": steady(10)}))
    assert rows(parts, "caps") == rows(plain, "caps")


def test_caps_far_above_the_starting_point_are_flagged() -> None:
    """Development is about ten USD a key: 500 is no cap of a development key."""
    cap = key("k", "dev", amount=Decimal(500), currency="USD", window="month")
    parts = size_caps(material({"k": steady(10)}, keys=[cap], monthly_budget=Decimal(9000)))
    (found,) = [item for item in parts.findings if item.rule == "caps-over-tier"]
    assert (found.value, found.expected, found.impact_usd) == (500, 10, 490)
    assert rows(parts, "whole", environment="dev")[0]["times_tier"] == 50


def test_a_finding_cites_the_row_it_stands_on(tmp_path: Path) -> None:
    """Whoever doubts it must find the line in the file."""
    keys = f"{KEYS}other,dev,5,USD,1d\nk,prod,2,USD,1d\n"
    store = store_of(tmp_path, {"k": steady(10), "other": steady(1)}, files={"keys": keys})
    report = size_caps_of(store, now=NOON.isoformat())
    (found,) = [item for item in report.findings if item.rule == "cap-too-low"]
    (cell,) = found.evidence
    assert (cell.source, cell.row, cell.field, cell.value) == ("keys.csv", 2, "cap_amount", 2)
    assert found.grade is Grade.LIKELY
    assert found.impact_usd is not None
    assert found.impact_usd > 400


def test_a_subscription_binds_as_its_windows_do() -> None:
    """What a plan leaves is less than any cap here, and it is no cap to raise."""
    cap = key("k", "prod", amount=Decimal(100), currency="USD", window="1d")
    plan = answer("k", "plan_1d", "6", "5.9")
    parts = size_caps(material({"k": steady(2.0)}, keys=[cap], key_state=[plan]))
    clocks = parts.exhibits["clocks"].frame
    (row,) = clocks[clocks["what"] == "plan"].to_dict("records")
    assert (row["window"], row["remaining_usd"]) == ("1d", Decimal("0.1"))
    (binding,) = parts.exhibits["effective"].frame.to_dict("records")
    assert (binding["effective_usd"], binding["binds"]) == (Decimal("0.1"), "plan (1d)")
    assert binding["plan_left_usd"] == Decimal("0.1")
    (found,) = [item for item in parts.findings if item.rule == "runs-out"]
    assert found.title.startswith("The plan of key k (1d)")
    assert found.next_step is not None
    assert "Raise" not in found.next_step.text
    assert set(parts.exhibits["to_type"].frame["window"]) <= {"total", "1d", "7d", "5h", "month"}
