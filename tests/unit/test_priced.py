"""Billed against tokens × price: a difference shows, and what nobody can price is never 0."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest

from runbook_lib.analysis import priced, spend_prices
from runbook_lib.findings import Finding, Severity
from runbook_lib.pricing import price_list

AT = pd.Timestamp("2026-11-20", tz="UTC")
OWN = pd.DataFrame(
    [("", "house-model", kind, Decimal(2), pd.NaT, pd.NaT) for kind in priced.KINDS.values()],
    columns=["account", "model", "token_kind", "usd_per_million", "from", "to"],
)


def _line(cost: str | None, **changes: Any) -> dict[str, Any]:
    """A day of one model: a million input tokens at 2 USD, in a thousand requests."""
    tokens = dict.fromkeys(priced.KINDS, 0) | {"input_tokens": 1_000_000}
    return {
        "bucket": AT,
        "account": "",
        "model": "house-model",
        "rate_multiplier": Decimal("1.5"),
        "requests": 1000,
        "without_cost": 0,
        "cost_usd": None if cost is None else Decimal(cost),
        **tokens,
        **changes,
    }


@pytest.mark.parametrize(
    ("line", "verdict", "difference"),
    [
        pytest.param(_line("3"), "agrees", Decimal(0), id="to the cent"),
        pytest.param(_line("3.00000900"), "agrees", Decimal("0.000009"), id="rounding of rows"),
        pytest.param(_line("3.01"), "differs", Decimal("0.01"), id="a cent of three dollars"),
        pytest.param(_line("0"), "not billed", Decimal(-3), id="billed nothing"),
        pytest.param(_line("1", model="unheard-of"), "no price", None, id="no price"),
        pytest.param(_line("1", model=None), "no price", None, id="no name"),
        pytest.param(_line("2", rate_multiplier=None), "agrees", Decimal(0), id="no multiplier"),
    ],
)
def test_a_line_is_judged_by_its_tokens(
    line: dict[str, Any], verdict: str, difference: Decimal | None
) -> None:
    """One row billed wrong must show in the sum of a day, and rounding must not."""
    (found,) = priced.check(pd.DataFrame([line]), price_list(OWN)).to_dict("records")
    assert found["verdict"] == verdict
    assert found["difference_usd"] == difference


def _row(cost: str | None, **changes: Any) -> dict[str, Any]:
    """A usage row of a thousand input tokens; it should cost 0.003 USD."""
    rest = {"ts": AT, "request_id": "client:a", "key_name": "web", "source_file": "usage.csv"}
    return {**_line(cost), **rest, "input_tokens": 1000, "row_number": 7, **changes}


def _day(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """The roll-up of rows of one day and model."""
    costs = [row["cost_usd"] for row in rows if row["cost_usd"] is not None]
    sums = {kind: sum(row[kind] for row in rows) for kind in priced.KINDS}
    line = {**_line(None), "model": rows[0]["model"], **sums, "requests": len(rows)}
    line |= {"rate_multiplier": rows[0]["rate_multiplier"], "cost_usd": sum(costs, Decimal(0))}
    line |= {"without_cost": len(rows) - len(costs), "max_cost_usd": max(costs, default=None)}
    return pd.DataFrame([line])


def _verdicts(made: pd.DataFrame) -> dict[str, tuple[int, Decimal | None]]:
    lines = made.to_dict("records")
    return {line["verdict"]: (line["requests"], line["difference_usd"]) for line in lines}


def test_rows_without_a_cost_do_not_make_the_others_differ() -> None:
    """Their tokens are in the sum and their cost is not: only the other rows can tell."""
    rows = [*[_row("0.003")] * 9, _row(None)]
    sums = priced.check(_day(rows), price_list(OWN))
    assert _verdicts(sums) == {"open": (9, None), "no cost": (1, None)}
    assert priced.suspects(sums) == ["house-model"]
    made = priced.settled(_day(rows), pd.DataFrame(rows), price_list(OWN))
    assert _verdicts(made) == {"agrees": (9, Decimal(0)), "no cost": (1, None)}
    assert set(made["verdict"]) <= set(priced.VERDICTS)


CHANGED = pd.concat(
    [OWN.assign(to=AT + pd.Timedelta(hours=16)),
     OWN.assign(**{"from": AT + pd.Timedelta(hours=16), "usd_per_million": Decimal(4)})]
)  # fmt: skip
"""A price that doubles when a day begins in Shanghai, which is within a day of UTC."""


@pytest.mark.parametrize(
    ("late", "expected"),
    [
        pytest.param("0.006", {"agrees": (2, Decimal(0))}, id="both prices"),
        pytest.param(
            "0.003", {"agrees": (1, Decimal(0)), "differs": (1, Decimal("-0.003"))}, id="old price"
        ),
    ],
)
def test_a_price_that_changes_within_a_day_is_held_against_each_row(
    late: str, expected: dict[str, tuple[int, Decimal]]
) -> None:
    """Half a day at the old price is no wrong bill, and the old price after it is one."""
    rows = [_row("0.003"), _row(late, ts=AT + pd.Timedelta(hours=20))]
    prices = price_list(CHANGED)
    assert _verdicts(priced.check(_day(rows), prices)) == {"open": (2, None)}
    assert _verdicts(priced.settled(_day(rows), pd.DataFrame(rows), prices)) == expected


def test_a_price_that_begins_within_a_day_is_no_missing_price() -> None:
    """At midnight nobody had a price; at noon somebody had."""
    rows = [_row("0.003", ts=AT + pd.Timedelta(hours=12)), _row("0.003")]
    prices = price_list(OWN.assign(**{"from": AT + pd.Timedelta(hours=9)}))
    assert priced.suspects(priced.check(_day(rows), prices)) == ["house-model"]
    made = priced.settled(_day(rows), pd.DataFrame(rows), prices)
    assert _verdicts(made) == {"agrees": (1, Decimal(0)), "no price": (1, None)}


def test_a_dollar_too_much_and_a_dollar_back_do_not_cancel() -> None:
    """The sum of the day agrees; one request is dearer than the whole day should be."""
    rows = [_row("0.003"), _row("1.003"), _row("-0.997")]
    made = priced.settled(_day(rows), pd.DataFrame(rows), price_list(OWN))
    assert _verdicts(made) == {
        "agrees": (1, Decimal(0)), "differs": (1, Decimal(1)), "refund": (1, None)
    }  # fmt: skip


def test_a_model_with_rows_left_out_keeps_the_verdict_of_its_sums() -> None:
    """Rows that were not looked at may hold the difference."""
    rows = [_row("0.003"), _row("0.5")]
    made = priced.settled(_day(rows), pd.DataFrame(rows[:1]), price_list(OWN))
    assert _verdicts(made) == {"differs": (2, Decimal("0.497"))}


def _found(rows: list[dict[str, Any]], *, looked_at: int) -> list[Finding]:
    """What is told of a day of which so many rows were looked at."""
    prices, seen = price_list(OWN), pd.DataFrame(rows[:looked_at])
    made = priced.settled(_day(rows), seen, prices)
    return list(spend_prices.of_prices(made, priced.odd_rows(seen, prices)))


def test_a_refund_is_told_as_a_refund() -> None:
    """Money that was given back is no wrong price of the other rows."""
    rows = [*[_row("0.003")] * 5, _row("-0.1", input_tokens=0, row_number=9)]
    (found,) = _found(rows, looked_at=6)
    assert found.title == ("Model house-model: 1 refund, -$0.10 in all: money that was given back")
    assert (found.severity, found.evidence[1].row) == (Severity.INFO, 9)


@pytest.mark.parametrize("looked_at", [3, 2], ids=["all rows", "some rows"])
def test_a_wrong_row_of_a_model_with_tiers_is_a_finding(looked_at: int) -> None:
    """A sum of sizes says nothing of the price of each; the row that is wrong does."""
    size = {"model": "gemini-2.5-pro", "rate_multiplier": Decimal(1)}
    right = _row("0.1875", **size) | {"input_tokens": 150_000}
    wrong = {**right, "cost_usd": Decimal(1), "row_number": 8}
    (found,) = _found([wrong, right, right], looked_at=looked_at)
    assert (found.rule, found.value, found.expected) == ("cost-differs", 1, Decimal("0.1875"))
    assert found.impact_usd == Decimal("0.8125")
    assert [item.row for item in found.evidence[1:]] == [8]
    assert _found([right] * 3, looked_at=looked_at) == []


def test_each_multiplier_cites_its_own_rows() -> None:
    """Two groups of keys may have two rates; a row is evidence of its own."""
    rows = [_row("0.5"), _row("0.7", rate_multiplier=None, row_number=8)]
    days = pd.concat([_day(rows[:1]), _day(rows[1:])])
    seen, prices = pd.DataFrame(rows), price_list(OWN)
    found = spend_prices.of_prices(
        priced.settled(days, seen, prices), priced.odd_rows(seen, prices)
    )
    assert [(item.value, item.evidence[1].row) for item in found] == [
        (Decimal("0.7"), 8), (Decimal("0.5"), 7)
    ]  # fmt: skip


def test_weights_know_only_models_with_all_their_prices() -> None:
    """A model that is half priced would make shares that nobody can defend."""
    made = priced.weights(
        ["house-model", "unheard-of", None], price_list(OWN), at=datetime(2026, 11, 20, tzinfo=UTC)
    )
    assert set(made) == {"house-model"}
    assert set(made["house-model"].values()) == {2.0}


def test_an_empty_roll_up_has_nothing_to_check() -> None:
    """No rows, no verdicts, no error."""
    empty = pd.DataFrame([_line("3")]).iloc[:0]
    assert priced.check(empty, price_list(None)).empty


def test_single_rows_settle_what_a_sum_leaves_open() -> None:
    """The one row that was billed wrong is named; rounding and rows without a price are not."""
    row = {
        **_line("0.003"), "ts": AT, "request_id": "client:a", "key_name": "web",
        "source_file": "usage.csv", "row_number": 7, "input_tokens": 1000,
    }  # fmt: skip
    wrong = {**row, "cost_usd": Decimal("0.004"), "row_number": 8}
    rounded = {**row, "cost_usd": Decimal("0.00300001"), "row_number": 9}
    nobody = {**wrong, "model": "unheard-of", "row_number": 10}
    unknown = {**wrong, "cost_usd": None, "row_number": 11}
    rows = pd.DataFrame([row, wrong, rounded, nobody, unknown])
    (found,) = priced.odd_rows(rows, price_list(OWN)).to_dict("records")
    assert (found["row_number"], found["difference_usd"]) == (8, Decimal("0.001"))
    assert priced.odd_rows(rows.iloc[:0], price_list(OWN)).empty


@pytest.mark.parametrize(
    ("costs", "severity", "words"),
    [
        pytest.param(["0.5", "0.5"], "low", "another price here", id="every request"),
        pytest.param(["0.5", "0.1875"], "medium", "where tokens × price", id="some of them"),
    ],
)
def test_another_price_than_the_list_is_no_fault(
    costs: list[str], severity: str, words: str
) -> None:
    """The gateway publishes no prices: a model that is billed otherwise throughout has its own."""
    tokens = dict.fromkeys(priced.KINDS, 0) | {"input_tokens": 1_000_000}
    rows = pd.DataFrame(
        [
            {
                **_line(cost, model="gpt-5.4-mini", rate_multiplier=Decimal("0.25")),
                **tokens, "requests": 1, "ts": AT, "request_id": f"client:{n}", "key_name": "web",
                "source_file": "usage.csv", "row_number": n,
            }
            for n, cost in enumerate(costs)
        ]
    )  # fmt: skip
    prices = price_list(OWN)
    made = priced.settled(rows, rows, prices)
    (found,) = spend_prices.of_prices(made, priced.odd_rows(rows, prices))
    assert (found.rule, found.severity) == ("cost-differs", severity)
    assert words in found.title
