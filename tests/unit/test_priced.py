"""Billed against tokens × price: a difference shows, and what nobody can price is never 0."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest

from runbook_lib.analysis import priced
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


def test_rows_without_a_cost_are_a_line_of_their_own() -> None:
    """A cost that is unknown is in no total, and the reader must know of how many."""
    found = priced.check(pd.DataFrame([_line("3", without_cost=40)]), price_list(OWN))
    assert dict(zip(found["verdict"], found["requests"], strict=True)) == {
        "agrees": 960,
        "no cost": 40,
    }
    assert set(found["verdict"]) <= set(priced.VERDICTS)


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
