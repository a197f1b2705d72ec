"""Keys of several accounts: a name is one key only within its account."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from runbook_lib.findings import Report, Status
from runbook_lib.runbooks.caps import size_caps
from tests.unit.caps_kit import NOW, steady, store_of

KEYS = "key_name,environment,owner,cap_amount,cap_currency,cap_window\n"


def table(report: Report, name: str, **where: Any) -> list[dict[Any, Any]]:
    """Give the rows of an exhibit that match."""
    rows = report.exhibits[name].frame.to_dict("records")
    return [row for row in rows if all(row[field] == value for field, value in where.items())]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Two accounts with a key of one name each: 10 and 1 USD a day, one with a cap of 15 a day."""
    days = {"main/web": steady(10), "partner/web": steady(1, seed=4), "partner/api": steady(2)}
    files = {
        f"{account}/ledger": "ts,kind,amount,currency,balance\n"
        f"2026-11-23T23:00:00Z,reading,,USD,{balance}\n"
        for account, balance in (("main", 900), ("partner", 12))
    }
    files |= {
        "main/keys": f"{KEYS}web,prod,anna,15,USD,1d\n",
        "partner/keys": f"{KEYS}web,dev,ben,,,\n",
        "keys": f"{KEYS}api,dev,ben,90,USD,1d\n",
    }
    store = store_of(tmp_path_factory.mktemp("accounts"), days, files=files)
    return size_caps(store, now=NOW.isoformat())


def test_each_is_sized_from_its_own_spend(report: Report) -> None:
    """Added up they would have a cap of eleven for both: far too much for one of them."""
    caps = {
        row["account"]: row["cap_usd"] for row in table(report, "caps", key_name="web", window="1d")
    }
    assert caps["main"] > 10
    assert 1 < caps["partner"] < 3


def test_what_is_set_in_one_account_is_not_set_in_the_other(report: Report) -> None:
    """The cap of main says nothing of the key of partner."""
    (ours,) = table(report, "to_type", account="main", key_name="web", window="1d")
    (theirs,) = table(report, "to_type", account="partner", key_name="web", window="1d")
    assert (ours["set_now"], theirs["set_now"]) == (15, None)
    missing = [item for item in report.findings if item.rule == "cap-missing"]
    assert [item.subject.key_name for item in missing] == ["web (account partner)"]
    assert missing[0].next_step is not None
    assert missing[0].next_step.who == "ben"


def test_the_account_is_named_only_where_the_name_could_mean_two(report: Report) -> None:
    """A name that is clear alone is left alone."""
    told = {item.subject.key_name for item in report.findings if item.subject.key_name}
    assert told == {"web (account partner)", "api"}


def test_every_table_names_the_account(report: Report) -> None:
    """A row of a CSV must say which of the two it is."""
    for name in ("to_type", "caps", "clocks", "effective", "effect", "overshoot", "curves"):
        rows = report.exhibits[name].frame
        assert "account" in rows, name
        keyed = rows[rows["key_name"].notna()]
        assert set(keyed["account"]) <= {"main", "partner"}, name
    pairs = [
        (row["account"], row["key_name"])
        for row in table(report, "effect", window="1d", kind="sized")
    ]
    assert sorted(pairs) == [("main", "web"), ("partner", "api"), ("partner", "web")]


def test_a_row_without_account_means_the_key_of_that_name(report: Report) -> None:
    """One inventory for all accounts is usual: a name that only one account uses is no guess."""
    (row,) = table(report, "to_type", account="partner", key_name="api", window="1d")
    assert (row["set_now"], row["environment"]) == (90, "dev")


def test_a_balance_binds_the_keys_of_its_account_only(report: Report) -> None:
    """The least of all limits: 12 USD of balance for partner, the cap of a day for main."""
    (ours,) = table(report, "effective", account="main")
    (theirs,) = table(report, "effective", account="partner", key_name="web")
    assert (theirs["binds"], theirs["effective_usd"]) == ("balance", 12)
    assert ours["binds"] == "1d cap"
    assert ours["balance_left_usd"] == 900
    whole = {
        row["account"]: row["balance_usd"] for row in table(report, "whole", environment="(all)")
    }
    assert whole == {None: 912, "main": 900, "partner": 12}


def test_a_row_that_could_mean_two_keys_is_left_out_and_told(tmp_path: Path) -> None:
    """A cap on the wrong one of two keys would be a guess."""
    days = {"main/web": steady(10), "partner/web": steady(1, seed=4)}
    store = store_of(tmp_path, days, files={"keys": f"{KEYS}web,prod,anna,15,USD,1d\n"})
    made = size_caps(store, now=NOW.isoformat())
    assert any("web is in several accounts" in gap for gap in made.coverage.gaps)
    assert not made.exhibits["to_type"].frame["set_now"].notna().any()
    lacking = [item.subject.key_name for item in made.findings if item.rule == "cap-missing"]
    assert sorted(str(name) for name in lacking) == ["web (account main)", "web (account partner)"]
    assert all(item.status is Status.FAIL for item in made.findings if item.rule == "cap-missing")
    assert isinstance(table(made, "caps", account="main", window="1d")[0]["cap_usd"], Decimal)
