"""What ends first: caps, windows and balances, and by when to act."""

from datetime import date, timedelta
from decimal import Decimal

import pytest

from runbook_lib.analysis.caps import size_caps
from runbook_lib.analysis.caps.clocks import act_by
from tests.unit.caps_kit import NOW, answer, key, material, rows, rules, steady


def test_the_limit_that_ends_first_stands_first() -> None:
    """The effective quota is the least of balance, key and window."""
    parts = size_caps(
        material(
            {"k": steady(10)},
            keys=[key("k", "prod")],
            key_state=[answer("k", "total", "500", "470"), answer("k", "7d", "5000", "3")],
            balance=Decimal(2000),
        )
    )
    first = parts.exhibits["clocks"].frame.iloc[0]
    assert (first["what"], first["remaining_usd"]) == ("key cap", 30)
    assert date(2026, 11, 26) <= first["runs_out_on"] <= date(2026, 11, 28)
    assert "runs-out" in rules(parts, "k")


def test_a_window_that_rolls_over_first_does_not_run_out() -> None:
    """Ten USD a day under a cap of 100 a day never end, whatever is left in the hour before."""
    state = [answer("k", "1d", "100", "60", reset_at=NOW + timedelta(hours=6))]
    parts = size_caps(material({"k": steady(10)}, key_state=state))
    (row,) = rows(parts, "clocks", window="1d")
    assert row["runs_out_on"] is None
    assert row["burn_rate"] == pytest.approx(0.6 / 0.75, abs=0.01)


def test_a_window_asked_before_it_rolled_over_is_fresh() -> None:
    """An old answer must not say that a window is used up."""
    state = [answer("k", "1d", "12", "12", reset_at=NOW - timedelta(hours=1))]
    parts = size_caps(material({"k": steady(3)}, key_state=state))
    (row,) = rows(parts, "clocks", window="1d")
    assert row["remaining_usd"] == 12


@pytest.mark.parametrize(
    ("early", "lead", "expected"),
    [
        pytest.param(date(2026, 12, 3), 3, date(2026, 11, 30), id="monday"),
        pytest.param(date(2026, 12, 2), 3, date(2026, 11, 27), id="sunday-to-friday"),
        pytest.param(date(2026, 12, 1), 3, date(2026, 11, 27), id="saturday-to-friday"),
        pytest.param(date(2026, 11, 25), 3, date(2026, 11, 24), id="late-is-today"),
    ],
)
def test_the_act_by_date_is_a_working_day(early: date, lead: int, expected: date) -> None:
    """A top-up that is due on a Sunday is one that nobody makes."""
    assert act_by(early, date(2026, 11, 24), lead) == expected


def test_balances_of_accounts_are_kept_apart_and_follow_the_ledger() -> None:
    """The newest reading, the top-up after it, less what was billed since."""
    reading = {"ts": NOW - timedelta(days=2), "kind": "reading", "currency": "USD"}
    ledger = [
        {**reading, "account": "", "amount": None, "balance": Decimal(100)},
        {**reading, "account": "partner", "amount": None, "balance": Decimal(9)},
        {
            "ts": NOW - timedelta(days=1),
            "kind": "top_up",
            "currency": "USD",
            "account": "",
            "amount": Decimal(50),
            "balance": None,
        },
    ]
    made = material({"k": [24.0] * 20}, ledger=ledger)
    made = type(made)(
        **{
            **{name: getattr(made, name) for name in made.__slots__},
            "hourly": made.hourly.assign(account=""),
            "daily": made.daily.assign(account=""),
        }
    )
    told = dict(size_caps(made).summary)
    assert told["Balance"].startswith("$102.00")
    assert told["Balance partner"].startswith("$9.00")


def test_a_live_balance_is_that_of_the_account_of_its_key() -> None:
    """Answers name no account; the usage rows of the key do."""
    made = material(
        {"ours": steady(10), "theirs": steady(1, seed=6)},
        key_state=[
            {**answer("theirs", "7d", "90", "7"), "balance_usd": Decimal(20), "account": ""}
        ],
        ledger=[
            {
                "ts": NOW - timedelta(days=1),
                "kind": "reading",
                "currency": "USD",
                "account": "",
                "amount": None,
                "balance": Decimal(500),
            }
        ],
    )
    accounts = {"ours": "", "theirs": "partner"}
    whose = made.daily["key_name"].map(accounts)
    values = {name: getattr(made, name) for name in made.__slots__}
    told = dict(
        size_caps(type(made)(**{**values, "daily": made.daily.assign(account=whose)})).summary
    )
    assert told["Balance partner"].startswith("$20.00")
    assert told["Balance"].startswith("$49")
