"""Live answers: balances that contradict each other, and a count that lags."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from runbook_lib.analysis.caps import size_caps
from runbook_lib.findings import Severity
from tests.unit.caps_kit import NOW, answer, key, material, rows, steady

KEYS = ("a", "b", "c")


def told(name: str, balance: str, **more: Any) -> dict[str, Any]:
    """Give a live answer of a key's balance."""
    return {
        "key_name": name,
        "asked_at": more.get("asked_at", NOW - timedelta(minutes=5)),
        "window": None,
        "limit_usd": None,
        "balance_usd": Decimal(balance),
        "source_file": f"answers/{name}.json",
        "row_number": 1,
    }


def days(length: int = 60) -> dict[str, list[float]]:
    """Give three steady keys."""
    return {name: steady(1, length, seed=place) for place, name in enumerate(KEYS)}


@pytest.mark.parametrize("length", [60, 1], ids=["history", "no-history"])
def test_balances_that_contradict_each_other_bind_their_own_key_alone(length: int) -> None:
    """One of them taken for all would stop every key, or let every key run on."""
    state = [told("a", "-0.001"), told("b", "900")]
    parts = size_caps(material(days(length), key_state=state))
    left = {row["key_name"]: row.get("balance_left_usd") for row in rows(parts, "effective")}
    assert left == {"a": Decimal("-0.001"), "b": 900, "c": None}
    (gap,) = [gap for gap in parts.gaps if "contradict" in gap]
    assert "-$0.0010 (answers/a.json), $900.00 (answers/b.json)" in gap
    assert rows(parts, "whole", environment="(all)")[0]["balance_usd"] is None
    (ended,) = [item for item in parts.findings if item.rule == "runs-out"]
    assert ended.severity is Severity.HIGH
    assert ended.title == (
        "The balance behind key a is used up" + ("" if length > 1 else ": -$0.0010")
    )


@pytest.mark.parametrize(
    "state",
    [
        pytest.param([told("a", "900"), told("b", "899.2")], id="calls-between"),
        pytest.param(
            [told("a", "2", asked_at=NOW - timedelta(hours=3)), told("b", "899.2")], id="older"
        ),
    ],
)
def test_balances_that_can_be_one_are_one(state: list[dict[str, Any]]) -> None:
    """A balance moves: a little within a moment, much within hours and a top-up."""
    parts = size_caps(material(days(), key_state=state))
    assert {row["balance_left_usd"] for row in rows(parts, "effective")} == {Decimal("899.2")}
    assert not any("contradict" in gap for gap in parts.gaps)


def test_a_balance_that_is_used_up_is_high() -> None:
    """Every call is refused: nothing is more urgent."""
    parts = size_caps(
        material(days(), keys=[key("a", amount=Decimal(900), currency="USD")], balance=Decimal(0))
    )
    over = [item for item in parts.findings if item.rule == "caps-over-budget"]
    assert [item.severity for item in over] == [Severity.HIGH]


@pytest.mark.parametrize(
    ("answered", "used"),
    [
        pytest.param("40", "40", id="answer"),
        pytest.param("12.5", "12.5", id="begun-anew"),
        pytest.param("29.4", "30", id="rows"),
    ],
)
def test_of_a_quota_the_larger_count_is_used(answered: str, used: str) -> None:
    """The gateway's count lags by minutes; a number typed on the lower one is used up sooner."""
    state = [answer("k", "total", "500", answered)]
    parts = size_caps(material({"k": [1.0] * 30}, key_state=state))
    (row,) = rows(parts, "to_type", window="total")
    assert row["used_usd"] == Decimal(used)
    (clock,) = rows(parts, "clocks")
    assert clock["remaining_usd"] == 500 - Decimal(used)
