"""Input nobody hopes for, through the front door: a clear answer or a clear refusal, never NaN."""

import json
import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runbook_lib import report as page
from runbook_lib.errors import MissingInputError, ParameterError
from runbook_lib.findings import Report, Status
from runbook_lib.runbooks.caps import size_caps
from runbook_lib.session import open_store, take_in
from runbook_lib.store import Store
from tests.unit import sources_kit
from tests.unit.caps_kit import NOW, spiky, steady, store_of
from tests.unit.usage_kit import export

KEYS = "key_name,environment,cap_amount,cap_currency,cap_window\n"
LEDGER = "ts,kind,amount,currency,balance\n"


def clean(report: Report) -> Report:
    """Fail where a number that is none is in the findings, a table or the page."""
    page.install()
    json.dumps(report.to_dict(), allow_nan=False)
    for item in report.exhibits.values():
        for name in item.frame.columns:
            for value in item.frame[name]:
                assert not (isinstance(value, float) and not math.isfinite(value)), (
                    item.name,
                    name,
                )
                assert not (isinstance(value, Decimal) and not value.is_finite()), (item.name, name)
    told = report._repr_mimebundle_()["text/html"]
    assert ">nan<" not in told.lower()
    assert "inf USD" not in told
    return report


def cell(report: Report, name: str, **where: Any) -> dict[Any, Any]:
    """Give the one row of an exhibit that matches."""
    rows = report.exhibits[name].frame.to_dict("records")
    (row,) = [row for row in rows if all(row[field] == value for field, value in where.items())]
    return row


def billed(folder: Path, *changes: Mapping[str, str]) -> Store:
    """Take in usage rows that are like a recorded one, with some cells changed."""
    folder.mkdir(exist_ok=True)
    (folder / "usage.csv").write_text(export(*map(dict, changes)))
    take_in([folder / "usage.csv"], folder / "lake")
    return open_store(folder / "lake")


def row(days_ago: float, usd: str, **more: str) -> dict[str, str]:
    """Give the changed cells of one usage row."""
    at = (NOW - timedelta(days=days_ago)).isoformat()
    return {"Time": at, "Billed Cost": usd, "Original Cost": usd, **more}


def test_no_usage_at_all_is_missing_input(tmp_path: Path) -> None:
    """A store of calls only: nothing to size from, and the message says what to take in."""
    (tmp_path / "calls.jsonl").write_text(json.dumps(sources_kit.OWN) + "\n")
    take_in([tmp_path / "calls.jsonl"], tmp_path / "lake")
    with pytest.raises(MissingInputError, match="usage"):
        size_caps(open_store(tmp_path / "lake"))


@pytest.mark.parametrize(
    "days",
    [
        pytest.param([4.0], id="one-day"),
        pytest.param([0.0, 0.0, 0.0], id="no-row-at-all", marks=pytest.mark.long),
    ],
)
def test_a_history_that_carries_nothing_is_refused_with_its_reason(
    tmp_path: Path, days: list[float]
) -> None:
    """No number made of nothing: the reason, and the starting point of the environment."""
    files = {"keys": f"{KEYS}new,staging,,,\n"}
    store = store_of(tmp_path, {"new": days, "old": steady()}, files=files)
    report = clean(size_caps(store, now=NOW.isoformat()))
    typed = cell(report, "to_type", key_name="new", window="total")
    assert typed["cap_usd"] == 30
    assert typed["odds"] is None
    told = [item for item in report.findings if item.rule == "cap-no-history"]
    assert [(item.subject.key_name, item.status) for item in told] == [("new", Status.UNKNOWN)]


@pytest.mark.long
def test_a_store_of_one_day_has_no_forecast_at_all(tmp_path: Path) -> None:
    """The verdict says so instead of a number."""
    report = clean(size_caps(store_of(tmp_path, {"k": [4.0]}), now=NOW.isoformat()))
    assert report.verdict.cause == "no_history"
    assert report.exhibits["to_type"].frame["type"].isna().all()


def test_rows_that_cost_nothing_are_no_history(tmp_path: Path) -> None:
    """Unpriced or free models: all zeros, and no cap of a cent that would stop the key."""
    store = billed(tmp_path, *(row(day, "0.00000000") for day in range(1, 30)))
    report = clean(size_caps(store, now=NOW.isoformat()))
    assert report.verdict.cause == "no_history"


@pytest.mark.parametrize(
    ("line", "check"),
    [
        pytest.param(
            [1.0] * 40 + [5000.0] + [1.0] * 9,
            lambda cap: cap < 100,
            id="one-giant-day-of-weeks-ago",
            marks=pytest.mark.long,
        ),
        pytest.param([1.0] * 49 + [5000.0], lambda cap: cap > 1, id="one-giant-day-yesterday"),
        pytest.param(
            [0.0] * 48 + [3.0, 3.0],
            lambda cap: 3 < cap < 30,
            id="first-used-two-days-ago",
            marks=pytest.mark.long,
        ),
        pytest.param(
            [1e-7] * 50, lambda cap: cap == Decimal("0.01"), id="dust", marks=pytest.mark.long
        ),
    ],
)
def test_odd_days_give_a_cap_one_can_type(
    tmp_path: Path, line: list[float], check: Callable[[Decimal], bool]
) -> None:
    """A number a person can type, whatever the history."""
    store = store_of(tmp_path, {"k": line, "other": steady()})
    report = clean(size_caps(store, now=NOW.isoformat()))
    assert check(cell(report, "caps", key_name="k", window="1d")["cap_usd"])


@pytest.mark.long
def test_a_key_that_appears_yesterday_is_told_apart(tmp_path: Path) -> None:
    """The other keys are sized as ever; it has a reason."""
    store = store_of(tmp_path, {"fresh": [0.0] * 49 + [3.0], "old": steady()})
    report = clean(size_caps(store, now=NOW.isoformat()))
    assert "one day is no history" in cell(report, "caps", key_name="fresh", window="1d")["basis"]
    assert cell(report, "caps", key_name="old", window="1d")["cap_usd"] > 10


def test_refunds_lower_what_is_used_and_no_cap(tmp_path: Path) -> None:
    """A credit is no honest use: it is told, it counts for the quota, and no cap sinks below 0."""
    rows = [row(day, "1.00000000") for day in range(1, 30)]
    store = billed(tmp_path, *rows, row(3.2, "-20.00000000"))
    report = clean(size_caps(store, now=NOW.isoformat()))
    assert any("refunds" in gap for gap in report.coverage.gaps)
    assert cell(report, "caps", window="1d")["cap_usd"] >= 1
    assert cell(report, "month_end")["to_date_usd"] == 23 - 20


@pytest.mark.parametrize(
    ("given", "named"),
    [
        pytest.param({"monthly_budget": 0.0}, "monthly_budget", id="budget-of-0"),
        pytest.param({"currency": "CNY"}, "cny_per_usd", id="cny-without-a-rate"),
        pytest.param({"cny_per_usd": 0.0}, "cny_per_usd", id="rate-of-0"),
        pytest.param({"monthly_budget": float("nan")}, "monthly_budget", id="budget-no-number"),
        pytest.param({"balance": float("inf")}, "balance", id="balance-without-end"),
        pytest.param({"balance": 1e12}, "balance", id="balance-beyond-the-tables"),
        pytest.param({"currency": "usd"}, "currency", id="currency-in-small-letters"),
        pytest.param({"risk": 0.0}, "risk", id="no-risk"),
        pytest.param({"risk": 5.0}, "risk", id="risk-in-per-cent"),
        pytest.param({"lead_days": -1}, "lead_days", id="lead-of-less-than-0"),
        pytest.param({"loop_factor": 1.0}, "loop_factor", id="no-loop"),
        pytest.param({"rate_date": "24.11.2026"}, "rate_date", id="date-of-another-form"),
        pytest.param({"timezone": "Mars/Base"}, "timezone", id="no-zone"),
        pytest.param({"now": "2020-01-01"}, "now", id="before-the-data"),
        pytest.param({"now": "tomorrow"}, "now", id="no-time"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(
    plain: Store, given: dict[str, Any], named: str
) -> None:
    """Exit 2, and the message says which parameter and what would do."""
    with pytest.raises(ParameterError, match=named) as refused:
        size_caps(plain, **{"now": NOW.isoformat(), **given})
    assert "give" in str(refused.value)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """One steady key."""
    return store_of(tmp_path_factory.mktemp("plain"), {"k": steady()})


@pytest.mark.parametrize(
    ("words", "code"),
    [
        pytest.param(["-p", "monthly_budget=0"], 2, id="budget-of-0"),
        pytest.param(["-p", "currency=CNY"], 2, id="cny-without-a-rate"),
        pytest.param(["--now", "2020-01-01"], 2, id="before-the-data"),
    ],
)
@pytest.mark.long
def test_a_refusal_ends_a_run_with_its_code(
    tmp_path: Path, plain: Store, command: Any, words: list[str], code: int
) -> None:
    """As the design says: wrong use is 2, and nothing is left in the folder."""
    target = tmp_path / "out"
    ended, _, told = command("run", "budget_caps", "--data", plain.folder, "--out", target, *words)
    assert ended == code, told
    assert not list(target.glob("*"))


def test_caps_above_the_balance_are_told(tmp_path: Path) -> None:
    """No cap stops before the money is gone."""
    files = {
        "keys": f"{KEYS}k,prod,900,USD,month\n",
        "ledger": f"{LEDGER}2026-11-23T12:00:00Z,reading,,USD,40\n",
    }
    report = clean(size_caps(store_of(tmp_path, {"k": steady()}, files=files), now=NOW.isoformat()))
    (over,) = [item for item in report.findings if item.rule == "caps-over-budget"]
    assert (over.value, over.expected) == (900, 40)
    (ends,) = [item for item in report.findings if item.rule == "runs-out"]
    assert "balance" in ends.title.lower()
    assert ends.next_step is not None
    assert ends.next_step.who == "finance"


@pytest.mark.long
def test_a_balance_below_0_is_used_up(tmp_path: Path) -> None:
    """Debt is no ratio: the clock is at its end, and nothing is divided by it."""
    report = clean(size_caps(store_of(tmp_path, {"k": steady()}), now=NOW.isoformat(), balance=0.0))
    first = report.exhibits["clocks"].frame.iloc[0]
    assert (first["what"], first["runs_out_early"]) == ("balance", NOW.date())
    files = {"ledger": f"{LEDGER}2026-11-20T12:00:00Z,reading,,USD,-5\n"}
    debt = size_caps(store_of(tmp_path / "debt", {"k": steady()}, files=files), now=NOW.isoformat())
    assert cell(clean(debt), "effective")["effective_usd"] == 0


def test_two_currencies_are_read_each_in_its_own(tmp_path: Path) -> None:
    """Caps in CNY and USD, a ledger in CNY: the rate joins them, and one currency is typed."""
    files = {
        "keys": f"{KEYS}cny,prod,142,CNY,1d\nusd,prod,20,USD,1d\n",
        "ledger": f"{LEDGER}2026-11-23T23:00:00Z,reading,,CNY,7100\n",
        "budget": "environment,month,amount,currency\nprod,2026-11,7100,CNY\n",
    }
    store = store_of(tmp_path, {"cny": steady(), "usd": steady(seed=5)}, files=files)
    rate = {"cny_per_usd": 7.1, "rate_date": "2026-11-20", "rate_source": "central bank"}
    report = clean(size_caps(store, now=NOW.isoformat(), **rate))
    cny = cell(report, "to_type", key_name="cny", window="1d")
    usd = cell(report, "to_type", key_name="usd", window="1d")
    assert (cny["currency"], usd["currency"]) == ("USD", "USD")
    assert (cny["set_currency"], usd["set_currency"]) == ("CNY", "USD")
    assert (cny["type"], usd["type"]) == (cny["cap_usd"], usd["cap_usd"])
    whole = cell(report, "whole", environment="(all)")
    assert (whole["balance_usd"], whole["budget_usd"]) == (1000, 1000)
    told = report._repr_mimebundle_()["text/html"]
    assert "1 USD = 7.1 CNY of 2026-11-20 by central bank" in told


def test_without_a_rate_amounts_in_cny_are_unknown_and_named(tmp_path: Path) -> None:
    """None of them is read as dollars, and each is named with what is missing."""
    files = {
        "keys": f"{KEYS}k,prod,142,CNY,1d\n",
        "ledger": f"{LEDGER}2026-11-23T23:00:00Z,reading,,CNY,7100\n",
        "budget": "environment,month,amount,currency\nprod,2026-11,7100,CNY\n",
    }
    store = store_of(tmp_path, {"k": steady()}, files=files)
    report = clean(size_caps(store, now=NOW.isoformat()))
    gaps = " / ".join(report.coverage.gaps)
    for what in ("caps in CNY", "budget.csv has amounts in CNY", "row of ledger.csv"):
        assert what in gaps
    (found,) = [item for item in report.findings if item.rule == "cap-currency"]
    assert found.status is Status.UNKNOWN
    whole = cell(report, "whole", environment="(all)")
    assert (whole["balance_usd"], whole["budget_usd"]) == (None, None)


def test_giant_token_counts_and_costs_are_only_numbers(tmp_path: Path) -> None:
    """10^18 tokens and the dearest row a table holds: no overflow, no NaN."""
    huge = {"Input Tokens": str(10**18), "Output Tokens": str(9 * 10**18)}
    rows = [row(day, "99999999.00000000", **huge) for day in range(1, 20)]
    report = clean(size_caps(billed(tmp_path, *rows), now=NOW.isoformat()))
    assert cell(report, "caps", window="month")["cap_usd"] > 10**9


def test_usage_without_a_key_name_is_told_in_dollars(tmp_path: Path) -> None:
    """No cap can hold it: it must not vanish, and there is no key without a name."""
    rows = [row(day, "1.00000000") for day in range(1, 30)]
    blank = [row(day + 0.1, "2.00000000", **{"API Key Name": ""}) for day in range(1, 4)]
    report = clean(size_caps(billed(tmp_path, *rows, *blank), now=NOW.isoformat()))
    assert any(gap.startswith("$6.00 of usage name no key") for gap in report.coverage.gaps)
    assert set(report.exhibits["caps"].frame["key_name"]) == {"prod-web"}
    assert cell(report, "month_end")["to_date_usd"] == 29


@pytest.mark.long
def test_names_that_look_like_markup_stay_text(tmp_path: Path) -> None:
    """A key may be called anything; the page and the CSV must not run it."""
    name = "<script>alert(1)<b>"
    store = store_of(tmp_path, {name: steady(), "=1+2": steady(seed=3)})
    report = clean(size_caps(store, now=NOW.isoformat()))
    assert "<script>alert" not in report._repr_mimebundle_()["text/html"]
    assert name in set(report.exhibits["caps"].frame["key_name"])


@pytest.mark.parametrize(
    "zone", ["Europe/Berlin", pytest.param("America/New_York", marks=pytest.mark.long)]
)
def test_a_month_with_a_clock_change_keeps_its_days(tmp_path: Path, zone: str) -> None:
    """A day of 25 hours is one day: a row each hour, and no hour is lost or counted twice."""
    end = datetime(2026, 11, 8, 6, tzinfo=UTC)
    rows = []
    for hour in range(24 * 30):
        at = (end - timedelta(hours=hour, minutes=30)).isoformat()
        rows.append({"Time": at, "Billed Cost": "0.10000000", "Original Cost": "0.10000000"})
    report = clean(size_caps(billed(tmp_path, *rows), now=end.isoformat(), timezone=zone))
    spent = report.exhibits["fan"].frame["spent_usd"].dropna()
    assert Decimal("2.5") in set(spent)
    assert 17 <= cell(report, "month_end")["to_date_usd"] <= 18
    (day,) = [
        item
        for item in report.exhibits["effect"].frame.to_dict("records")
        if item["window"] == "1d" and item["kind"] == "sized"
    ]
    assert day["trips"] <= 1


def test_two_runs_give_the_same_bytes(tmp_path: Path) -> None:
    """One export, two runs: findings.json and every table are equal to the byte."""
    days = {"main/a": steady(), "partner/a": spiky(), "main/b": [5.0], "main/c": spiky(seed=9)}
    plan = "start,end,key_name,factor,note\n2026-12-05T00:00:00Z,2026-12-08T00:00:00Z,a,4,launch\n"
    files = {"main/keys": f"{KEYS}a,prod,9,USD,1d\n", "main/planned": plan}
    store_of(tmp_path, days, files=files).close()
    texts = []
    for _ in range(2):
        with open_store(tmp_path / "lake") as store:
            report = clean(size_caps(store, now=NOW.isoformat(), balance=50.0))
        tables = {name: item.frame.to_csv(index=False) for name, item in report.exhibits.items()}
        texts.append(json.dumps([report.to_dict(), tables], default=str))
    assert texts[0] == texts[1]
    assert np.array_equal(list(tables), list(report.exhibits))
