"""The numbers to type: one currency, one number in every sentence, sums that add up."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest

from runbook_lib import money
from runbook_lib.analysis.caps import CapParts, size_caps
from runbook_lib.analysis.caps.material import to_type
from runbook_lib.findings import Severity
from tests.unit.caps_kit import answer, key, material, rows, steady

CAPS = [
    key("none", "production"),
    key("low", "production", amount=Decimal(4), currency="USD", window="1d"),
    key("high", "dev", amount=Decimal(9000), currency="CNY", window="7d"),
    key("short", "dev", amount=Decimal(400), currency="USD", window="total"),
]
DAYS = {name: steady(10, seed=place) for place, name in enumerate(["none", "low", "high", "short"])}


def told(parts: CapParts, key_name: str, rules: Sequence[str]) -> str:
    """Give the act of the finding of a key that is of one of these rules."""
    (step,) = [
        item.next_step
        for item in parts.findings
        if item.rule in rules and item.subject.key_name == key_name
    ]
    assert step is not None
    return step.text


@pytest.fixture(scope="module", params=["USD", "CNY"])
def made(request: pytest.FixtureRequest) -> CapParts:
    """Four keys: without a cap, with one too low, one too high, and a quota that ends soon."""
    given: dict[str, Any] = {"currency": request.param, "cny_per_usd": Decimal("7.1")}
    state = [answer("short", "total", "400", "396")]
    return size_caps(material(DAYS, keys=CAPS, key_state=state, **given))


@pytest.mark.parametrize(
    ("key_name", "rule", "windows"),
    [
        pytest.param("none", "cap-missing", ["1d", "total"], id="missing"),
        pytest.param("low", "cap-too-low", ["1d"], id="too-low"),
        pytest.param("high", "cap-too-high", ["7d"], id="too-high"),
        pytest.param("short", "runs-out", ["total"], id="runs-out"),
    ],
)
def test_an_act_names_the_numbers_of_the_table(
    made: CapParts, key_name: str, rule: str, windows: list[str]
) -> None:
    """Who types from the sentence and who types from the table must type the same."""
    act = told(made, key_name, [rule])
    for window in windows:
        (row,) = rows(made, "to_type", key_name=key_name, window=window)
        assert f"{money.plain(row['type'])} {row['currency']}" in act
    assert "month" not in act


def test_one_currency_is_typed(made: CapParts) -> None:
    """Two currencies in one table are how a number is typed in the wrong one."""
    frame = made.exhibits["to_type"].frame
    assert frame["currency"].nunique() == 1
    named = {row["key_name"]: row["set_currency"] for row in rows(made, "to_type", window="1d")}
    assert named == {"none": None, "low": "USD", "high": None, "short": None}
    (high,) = rows(made, "to_type", key_name="high", window="7d")
    assert (high["set_now"], high["set_currency"]) == (9000, "CNY")


def test_the_sum_is_what_the_numbers_allow() -> None:
    """A lifetime number is rounded up: what it lets be spent is more than the cap behind it."""
    parts = size_caps(material(DAYS, keys=CAPS))
    typed = rows(parts, "to_type", window="total")
    allowed = sum(row["type"] - row["used_usd"] for row in typed)
    (whole,) = rows(parts, "whole", environment="(all)")
    assert whole["proposed_usd"] == allowed
    assert allowed > sum(row["cap_usd"] for row in typed)
    assert to_type(typed[0]["type"]) == typed[0]["type"]
    assert f"{money.usd(allowed)} a month" in parts.verdict.title


@pytest.mark.parametrize("caps", [CAPS, []], ids=["set", "nothing-set"])
def test_numbers_beyond_the_budget_are_told(caps: list[dict[str, Any]]) -> None:
    """Who types them on unaware types more than there is."""
    parts = size_caps(material(DAYS, keys=caps, monthly_budget=Decimal(100)))
    (whole,) = rows(parts, "whole", environment="(all)")
    (found,) = [item for item in parts.findings if item.rule == "budget-below-caps"]
    assert found.severity is Severity.MEDIUM
    asked = money.usd(whole["proposed_usd"])
    assert found.title.startswith(f"History asks for {asked} a month, the budget is $100.00")
    assert "times the budget of $100.00" in parts.verdict.title
    both = [item for item in parts.findings if item.rule == "caps-over-budget"]
    assert not any(item.title.startswith("All caps together") for item in both) or caps


def test_numbers_within_the_budget_are_not_told() -> None:
    """Nothing to agree on."""
    parts = size_caps(material(DAYS, monthly_budget=Decimal(9000)))
    assert not any(item.rule == "budget-below-caps" for item in parts.findings)
    assert "the budget of" not in parts.verdict.title
