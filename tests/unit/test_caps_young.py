"""Keys that began today, and keys that have ended: what is told of them, and what is typed."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest

from runbook_lib import money
from runbook_lib.analysis.caps import CapParts, size_caps
from runbook_lib.findings import Severity
from tests.unit.caps_kit import NOW, answer, key, material, rows, rules, steady

LATER = NOW + timedelta(hours=8)
"""Eight hours into the day the keys of these tests began on."""

BUDGET = {"monthly_budget": Decimal(400)}


def begun(**more: Any) -> CapParts:
    """Size keys that all began today, at a budget of 400."""
    spent = {"web": "3.4", "api": "0.2", "stage": "2.4", "nb": "0.1", "evals": "0.3"}
    frame = pd.DataFrame(
        [(pd.Timestamp(NOW), name, Decimal(usd)) for name, usd in spent.items()],
        columns=["bucket", "key_name", "cost_usd"],
    )
    keys = [
        key("web", "prod"),
        key("api", "prod", amount=Decimal(20), currency="USD", window="total"),
        key("old", "prod", amount=Decimal(90), currency="USD", window="total")
        | {"replaced_by": "api"},
        key("bob", "prod", amount=Decimal(90), currency="USD", window="total", expires_at=NOW),
        key("gone", "prod"),
        key("stage", "staging"),
        *(key(name, "dev") for name in ("nb", "nb2", "nb3")),
        key("evals", "ci"),
    ]
    refused = {**answer("gone", "total", "5", "1"), "code": "INVALID_API_KEY", "limit_usd": None}
    given = material({}, keys=keys, key_state=[refused], now=LATER, **{**BUDGET, **more})
    return size_caps(replace(given, daily=frame, hourly=frame))


@pytest.fixture(scope="module")
def made() -> CapParts:
    """The sizing in dollars."""
    return begun()


def test_a_key_that_spent_today_has_a_history_that_begins_today(made: CapParts) -> None:
    """That nothing was ever spent on it would be false: its money is in the same report."""
    titles = {
        item.subject.key_name: item.title for item in made.findings if item.rule == "cap-no-history"
    }
    assert titles["web"] == "Key web has no forecast: its history begins today"
    assert titles["nb2"] == "Key nb2 has no forecast: nothing was ever spent on it"
    assert not any("no usage by the hour" in gap for gap in made.gaps)
    assert "no whole day of usage yet: no replay, no loops, no forecast" in made.gaps


def test_without_history_a_key_without_a_cap_is_told_with_its_starting_point(
    made: CapParts,
) -> None:
    """A loop does not wait for a history."""
    found = {item.subject.key_name: item for item in made.findings if item.rule == "cap-missing"}
    assert set(found) == {"web", "stage", "nb", "nb2", "nb3", "evals"}
    assert found["web"].severity is Severity.HIGH
    assert found["stage"].severity is Severity.MEDIUM
    for name, item in found.items():
        (row,) = rows(made, "to_type", key_name=name, window="total")
        assert item.expected == row["cap_usd"]
        assert item.next_step is not None
        told = "no starting point for ci" if name == "evals" else money.plain(row["type"])
        assert told in item.next_step.text


@pytest.mark.parametrize(
    ("name", "note"),
    [
        pytest.param("old", "replaced by api: delete it once nobody uses it", id="replaced"),
        pytest.param("bob", "expired on 2026-11-24 00:00 UTC: delete it", id="expired"),
        pytest.param("gone", "deleted: the gateway does not know it", id="deleted"),
    ],
)
def test_nothing_is_typed_for_a_key_that_has_ended(made: CapParts, name: str, note: str) -> None:
    """A number would keep it alive; the note says what to do instead."""
    for row in rows(made, "to_type", key_name=name):
        assert row["type"] is None
        assert row["note"].startswith(note)
    assert rules(made, name) == set()


def test_sums_are_of_keys_that_go_on_and_stay_within_the_budget(made: CapParts) -> None:
    """Production has what staging and development leave, among its live keys only."""
    typed = rows(made, "to_type", window="total")
    web = next(row for row in typed if row["key_name"] == "web")
    assert web["cap_usd"] == 170  # (400 - 30 - 3 x 10) / 2
    whole = {row["environment"]: row for row in rows(made, "whole")}
    assert (whole["prod"]["keys"], whole["prod"]["set_usd"]) == (2, Decimal("19.8"))
    allowed = sum(row["type"] - row["used_usd"] for row in typed if row["type"] is not None)
    assert whole["(all)"]["proposed_usd"] == allowed
    assert Decimal("0.9") * 400 < allowed <= 400


def test_a_starting_point_is_typed_in_the_currency_asked() -> None:
    """In CNY the same sums stay within the same budget."""
    rate = {"currency": "CNY", "cny_per_usd": Decimal("7.1")}
    parts = begun(**rate, monthly_budget=Decimal(2840))
    (whole,) = rows(parts, "whole", environment="(all)")
    assert whole["budget_usd"] == 400
    assert Decimal("0.9") * 400 < whole["proposed_usd"] <= 400
    assert set(parts.exhibits["to_type"].frame["currency"]) == {"CNY"}


def test_a_key_that_expires_later_is_sized() -> None:
    """Only what has ended by now has ended; a live answer knows better than the inventory."""
    held = [key("a", "prod", expires_at=NOW - timedelta(days=1)), key("b", "prod")]
    state = [answer("a", "total", "900", "10", expires_at=NOW + timedelta(days=9))]
    parts = size_caps(material({"a": steady(), "b": steady(seed=4)}, keys=held, key_state=state))
    assert all(row["type"] is not None for row in rows(parts, "to_type"))
