"""Unit costs: a mean beside where most requests lie, from rows as the store counts them."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from runbook_lib.analysis.drill import SUMS
from runbook_lib.analysis.units import SHARES, unit_costs
from runbook_lib.store import BANDS, Store
from tests.unit import store_kit as kit


def measured(store: Store) -> dict[str, dict[str, Any]]:
    """The table of unit costs over all rows, by the name of the measure."""
    bands = {measure: store.spread(None, measure) for measure in BANDS}
    table = unit_costs(store.roll_up("usage", ["model"]), bands)
    return {str(row["measure"]): row for row in table.to_dict("records")}


def test_each_request_is_in_the_band_of_its_own_measures(tmp_path: Path) -> None:
    """Nine cheap requests and a dear one: the median is cheap, the last percent dear."""
    plain = {"input_tokens": 800, "output_tokens": 100, "cache_read_tokens": 0,
             "cache_creation_tokens": 0, "actual_cost": 0.003, "total_cost": 0.003}  # fmt: skip
    dear = {**plain, "input_tokens": 1000, "cache_read_tokens": 9000, "output_tokens": 4000,
            "actual_cost": 0.9, "total_cost": 0.9}  # fmt: skip
    rows = [kit.item(number, **(dear if number == 7 else plain)) for number in range(10)]
    with kit.lake(tmp_path, kit.as_list(rows)) as store:
        found = measured(store)
    cost = found["USD per request"]
    assert (cost["requests"], cost["p50"], cost["p99"]) == (10, "0.002 to 0.005", "0.5 to 1")
    assert cost["mean"] == pytest.approx((9 * 0.003 + 0.9) / 10)
    assert found["tokens per request"]["p50"] == "500 to 1000"
    assert found["tokens per request"]["p99"] == "10000 to 20000"
    assert found["USD per 1,000 output tokens"]["p50"] == "0.02 to 0.05"
    assert found["share of the input read from cache"]["p99"] == "0.9 and more"


@pytest.mark.parametrize("tokens", [0, 10**18])
def test_odd_counts_have_a_place(tmp_path: Path, tokens: int) -> None:
    """Nothing to divide by is left out and counted as such; huge counts overflow nowhere."""
    changes = dict.fromkeys(("input_tokens", "output_tokens", "cache_read_tokens"), tokens)
    rows = [kit.item(number, cache_creation_tokens=tokens, **changes) for number in range(6)]
    with kit.lake(tmp_path, kit.as_list(rows)) as store:
        found = measured(store)
    assert found["tokens per request"]["requests"] == 6
    assert found["USD per 1,000 output tokens"]["requests"] == (6 if tokens else 0)
    assert found["share of the input read from cache"]["requests"] == (6 if tokens else 0)


def test_without_rows_there_is_nothing_to_tell(tmp_path: Path) -> None:
    """An empty window has unit costs that are unknown, never 0."""
    with kit.lake(tmp_path, kit.as_list([kit.item(1)])) as store:
        empty = store.roll_up("usage", ["model"]).iloc[:0]
        bands = {measure: store.spread(None, measure).iloc[:0] for measure in BANDS}
    table = unit_costs(empty[["model", *SUMS]], bands)
    assert table["mean"].isna().all()
    assert (table[list(SHARES)] == "").all(axis=None)
    assert Decimal(int(table["requests"].sum())) == 0
