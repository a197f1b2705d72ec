"""Caps for a whole account: the table to type from, what is set, what runs out."""

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from runbook_lib.analysis.caps import size_caps
from runbook_lib.analysis.caps.material import to_type
from runbook_lib.errors import ParameterError
from runbook_lib.findings import Status, plain
from tests.unit.caps_kit import NOW, answer, key, material, rows, rules, spiky, steady


@pytest.mark.parametrize(
    ("amount", "typed"),
    [
        ("0.004", "0.01"),
        ("0.0101", "0.02"),
        ("1.21", "1.30"),
        ("10", "10"),
        ("10.01", "11"),
        ("99.1", "100"),
        ("123", "130"),
        ("8765.4", "8800"),
    ],
)
def test_numbers_are_rounded_up_to_what_one_types(amount: str, typed: str) -> None:
    """Nobody types 8765.4317, and rounding down would break the odds that were promised."""
    assert to_type(Decimal(amount)) == Decimal(typed)


def test_a_lifetime_quota_is_used_so_far_and_the_cap() -> None:
    """A lifetime quota counts from the key's first call: the cap alone would stop it."""
    parts = size_caps(
        material(
            {"prod-web": steady(), "dev": spiky()},
            keys=[
                key("prod-web", "production", amount=Decimal(900), currency="USD", window="total")
            ],
            key_state=[answer("prod-web", "total", "900", "612.5")],
        )
    )
    (total,) = rows(parts, "to_type", key_name="prod-web", window="total")
    (week,) = rows(parts, "to_type", key_name="prod-web", window="7d")
    assert total["used_usd"] == Decimal("612.5")
    assert total["type"] == to_type(Decimal("612.5") + total["cap_usd"])
    assert week["type"] == week["cap_usd"]
    assert total["review_on"] == date(2026, 12, 24)


def test_a_steady_key_gets_a_tight_cap_and_a_spiky_one_room() -> None:
    """The same mean, another cap: that is what the history is for."""
    parts = size_caps(material({"steady": steady(10), "spiky": [0, 0, 0, 0, 50, 0, 20] * 9}))
    caps = {row["key_name"]: row["cap_usd"] for row in rows(parts, "caps", window="1d")}
    assert 10 < caps["steady"] < 20
    assert caps["spiky"] > 2 * caps["steady"]


def test_windows_are_in_order() -> None:
    """A week's cap below the day's would make the day's cap idle."""
    parts = size_caps(material({"a": steady(3), "b": spiky(), "c": [0.001] * 12}))
    for name in ("a", "b", "c"):
        caps = [row["cap_usd"] for row in rows(parts, "caps", key_name=name)]
        assert caps == sorted(caps)


@pytest.mark.parametrize(
    ("days", "reason"),
    [
        pytest.param([], "nothing was ever spent", id="none"),
        pytest.param([0.0, 0.0, 0.0], "nothing was ever spent", id="zeros"),
        pytest.param([4.0], "one day", id="one-day"),
    ],
)
def test_a_key_without_history_is_refused_and_gets_its_tier(days: list[float], reason: str) -> None:
    """A number made of nothing looks like any other number; the reason and the tier do not."""
    parts = size_caps(
        material(
            {"known": steady(), "new": days},
            keys=[key("new", "staging"), key("known", "production"), key("dark")],
            monthly_budget=Decimal(1000),
        )
    )
    (row,) = rows(parts, "to_type", key_name="new", window="total")
    assert row["cap_usd"] == 30
    assert reason in row["note"]
    assert row["odds"] is None
    (dark,) = rows(parts, "to_type", key_name="dark", window="total")
    assert dark["type"] is None
    unknown = {item.subject.key_name for item in parts.findings if item.status is Status.UNKNOWN}
    assert unknown == {"new", "dark"}


def test_production_shares_nine_tenths_of_the_budget() -> None:
    """The starting point of the best practices, for keys that history says nothing about."""
    names = [key("p1", "prod"), key("p2", "Production"), key("d", "development")]
    parts = size_caps(material({}, keys=names, monthly_budget=Decimal(1000)))
    typed = {row["key_name"]: row["type"] for row in rows(parts, "to_type", window="total")}
    assert typed == {"p1": 450, "p2": 450, "d": 10}
    assert parts.verdict.cause == "no_history"


def test_what_is_set_is_judged() -> None:
    """Missing, too low, too high: each is found on its key, and a good cap is left alone."""
    days = {
        name: steady(10, seed=place) for place, name in enumerate(["none", "low", "high", "good"])
    }
    parts = size_caps(
        material(
            days,
            keys=[
                key("none", "production"),
                key("low", "production", amount=Decimal(8), currency="USD", window="1d"),
                key("high", "dev", amount=Decimal(900), currency="USD", window="1d"),
                key("good", "dev", amount=Decimal(18), currency="USD", window="1d"),
            ],
        )
    )
    assert rules(parts, "none") == {"cap-missing"}
    assert rules(parts, "low") == {"cap-too-low"}
    assert rules(parts, "high") == {"cap-too-high"}
    assert rules(parts, "good") == set()


def test_a_number_typed_in_the_other_currency_is_found() -> None:
    """700 meant in CNY and typed in USD allows seven times as much."""
    parts = size_caps(
        material(
            {"k": steady(3)},
            keys=[key("k", "prod", amount=Decimal(700), currency="CNY", window="total")],
            key_state=[answer("k", "total", "700", "20")],
            cny_per_usd=Decimal("7.1"),
            rate_date="2026-11-20",
            rate_source="central bank",
        )
    )
    assert "cap-currency" in rules(parts, "k")
    told = dict(parts.summary)["Rate"]
    assert told == "1 USD = 7.1 CNY of 2026-11-20 by central bank"
    (row,) = rows(parts, "to_type", key_name="k", window="total")
    assert (row["currency"], row["set_currency"]) == ("USD", "CNY")
    assert row["type"] == to_type(row["cap_usd"] + 20)


def test_cny_without_a_rate_is_not_guessed() -> None:
    """A cap in CNY is told as unknown, an amount in CNY is refused."""
    held = [key("k", "prod", amount=Decimal(700), currency="CNY", window="1d")]
    parts = size_caps(material({"k": steady(3)}, keys=held))
    (found,) = [item for item in parts.findings if item.rule == "cap-currency"]
    assert found.status is Status.UNKNOWN
    assert any("cny_per_usd" in gap for gap in parts.gaps)
    with pytest.raises(ParameterError, match="cny_per_usd"):
        material({"k": steady(3)}, currency="CNY")


def test_budget_and_balance_are_read_in_their_currency() -> None:
    """7,100 CNY at 7.1 are 1,000 USD of budget."""
    parts = size_caps(
        material(
            {"k": steady(3)},
            currency="CNY",
            cny_per_usd=Decimal("7.1"),
            monthly_budget=Decimal(7100),
            balance=Decimal(710),
        )
    )
    whole = parts.exhibits["whole"].frame.iloc[-1]
    assert (whole["budget_usd"], whole["balance_usd"]) == (1000, 100)


def test_caps_over_the_budget_are_summed() -> None:
    """Each cap looks harmless; together they allow more than there is."""
    held = [key(name, "dev", amount=Decimal(60), currency="USD", window="month") for name in "ab"]
    days = {"a": steady(1), "b": steady(1, seed=9)}
    parts = size_caps(material(days, keys=held, monthly_budget=Decimal(100), balance=Decimal(50)))
    over = [item for item in parts.findings if item.rule == "caps-over-budget"]
    assert {(item.value, item.expected) for item in over} == {(120, 100), (120, 50)}
    whole = parts.exhibits["whole"].frame.iloc[-1]
    assert whole["set_over_commit"] == Decimal("1.20")


def test_a_planned_event_raises_need_and_cap() -> None:
    """Three times the load for the whole month asks for three times the cap."""
    plan = {
        "start": NOW,
        "end": NOW + timedelta(days=40),
        "key_name": "k",
        "factor": 3.0,
        "note": "launch",
    }
    days = {"k": steady(10), "other": steady(10, seed=4)}
    plain_caps = size_caps(material(days))
    planned = size_caps(material(days, planned=[plan]))
    for window in ("1d", "7d", "month"):
        before, after = (
            rows(parts, "caps", key_name="k", window=window)[0]["p90_usd"]
            for parts in (plain_caps, planned)
        )
        assert float(after) == pytest.approx(3 * float(before), rel=0.01)
    same = [rows(parts, "caps", key_name="other") for parts in (plain_caps, planned)]
    assert same[0] == same[1]


def test_a_plan_without_a_factor_is_named() -> None:
    """Left out, and said: otherwise finance believes that it is in."""
    plan = {"start": NOW, "end": NOW + timedelta(days=2), "key_name": None, "factor": None}
    parts = size_caps(material({"k": steady()}, planned=[{**plan, "note": "load test"}]))
    assert any("load test" in gap for gap in parts.gaps)


def test_days_the_export_lacks_are_not_cheap_days() -> None:
    """An export that ended five days ago must not make the month look saved."""
    late = NOW - timedelta(days=5)
    fresh = size_caps(material({"k": steady(10)}, now=late))
    stale = size_caps(
        material({"k": steady(10)[:-5] + [0.0] * 5}, data_end=late, monthly_budget=Decimal(250))
    )
    first, second = (parts.exhibits["month_end"].frame.iloc[0] for parts in (fresh, stale))
    assert float(second["p50_usd"]) == pytest.approx(300, rel=0.1)
    assert first["days_left"] == second["days_left"]
    assert "budget-overrun" in rules(stale)
    assert any("5 days before now" in gap for gap in stale.gaps)


def test_the_held_week_keeps_the_promise() -> None:
    """Caps typed before the newest weeks, which are replayed: odds within their interval."""
    days = {f"k{place}": spiky(seed=place) for place in range(20)}
    days |= {f"s{place}": steady(seed=place) for place in range(20)}
    frame = size_caps(material(days)).exhibits["backtest"].frame
    windows = ["all", "5h", "1d", "7d", "5h", "1d", "7d", "month"]
    assert list(frame["window"]) == windows
    assert list(frame["periods"]) == [600, 280, 280, 40, 1120, 1120, 160, 40]
    assert frame["kept"].all()


def test_a_broken_promise_is_told() -> None:
    """Where all keys spend five times as much since a week, yesterday's odds are worth nothing."""
    days = {f"k{place}": steady(seed=place) for place in range(20)}
    grown = {name: [*line[:-7], *(5 * usd for usd in line[-7:])] for name, line in days.items()}
    assert not any("were promised" in gap for gap in size_caps(material(days)).gaps)
    told = [gap for gap in size_caps(material(grown)).gaps if "were promised" in gap]
    assert told
    assert told[0].startswith("5h caps of the last week tripped 100 of 100 times")


def test_a_key_with_a_successor_is_told() -> None:
    """A number for a key that is to be deleted is the second thing to know."""
    old = {**key("old", "prod"), "replaced_by": "new"}
    (row,) = rows(size_caps(material({"old": steady()}, keys=[old])), "to_type", window="1d")
    assert "replaced by new" in row["note"]


def test_the_budget_is_that_of_the_local_month() -> None:
    """At 17:00 UTC of the 30th it is December in Shanghai."""
    at = datetime(2026, 11, 30, 17, tzinfo=UTC)
    budget = [
        {"environment": None, "key_name": None, "month": month, "amount": amount, "currency": "USD"}
        for month, amount in (("2026-11", Decimal(100)), ("2026-12", Decimal(900)))
    ]
    for zone, amount in (("UTC", 100), ("Asia/Shanghai", 900)):
        parts = size_caps(material({"k": steady()}, budget=budget, timezone=zone, now=at))
        assert rows(parts, "whole", environment="(all)")[0]["budget_usd"] == amount


def test_the_unfinished_day_is_no_history() -> None:
    """At noon half of today is missing: it must not pass for a cheap day."""
    whole = material({"k": steady(10)})
    noon = material({"k": [*steady(10), 1.0]}, now=NOW)
    later = {"now": NOW - timedelta(hours=12), "data_end": NOW - timedelta(hours=12)}
    cut = material({"k": [*steady(10), 1.0]}, **later)
    assert rows(size_caps(noon), "caps") != rows(size_caps(whole), "caps")
    caps = [row["cap_usd"] for row in rows(size_caps(cut), "caps")]
    assert caps == [row["cap_usd"] for row in rows(size_caps(whole), "caps")]


def test_two_runs_are_byte_equal_and_hold_no_nan() -> None:
    """Finance compares two printouts; NaN in a report is a bug, whatever the input."""
    days = {"a": steady(), "b": spiky(), "c": [0.0, 0.0], "d": [5.0], "e": [0, 0, 1e5, 0, 0]}
    texts = []
    for _ in range(2):
        parts = size_caps(
            material(
                days,
                keys=[key("a", "production"), key("z", None)],
                balance=Decimal(-5),
                monthly_budget=Decimal("0.01"),
            )
        )
        frames = {name: item.frame.to_csv(index=False) for name, item in parts.exhibits.items()}
        findings = [(item.rule, item.title, str(plain(item.value))) for item in parts.findings]
        texts.append(json.dumps([frames, findings, list(parts.summary)]))
        assert not any("nan" in text.lower().split(",") for text in frames.values())
        assert "nan" not in " ".join(item.title.lower() for item in parts.findings).split()
    assert texts[0] == texts[1]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("risk", 0.0),
        ("risk", 0.7),
        ("risk", float("nan")),
        ("monthly_budget", Decimal(0)),
        ("monthly_budget", Decimal("nan")),
        ("balance", Decimal("inf")),
        ("currency", "EUR"),
        ("loop_factor", 1.0),
        ("lead_days", -1),
        ("cny_per_usd", Decimal(0)),
        ("rate_date", "yesterday"),
        ("now", datetime(2026, 11, 24)),  # noqa: DTZ001
        ("timezone", "Mars/Base"),
        ("in_flight", -1),
        ("review_days", 0),
    ],
)
def test_parameters_nothing_can_be_reckoned_with_are_refused(name: str, value: Any) -> None:
    """A budget of 0 or a risk of 70 % is a slip of the hand: say so, with the name."""
    with pytest.raises(ParameterError, match=name):
        material({"k": steady()}, **{name: value})


def test_days_are_those_of_the_zone() -> None:
    """Midnight in Shanghai is 16:00 UTC: the day that is over there is whole."""
    at = datetime(2026, 11, 23, 17, tzinfo=UTC)
    made = material({"k": steady()}, timezone="Asia/Shanghai", now=at)
    (row,) = rows(size_caps(made), "to_type", key_name="k", window="1d")
    assert row["review_on"] == date(2026, 12, 24)
