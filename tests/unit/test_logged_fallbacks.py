"""What calls that a fallback answered cost more or less than on the model asked first."""

from decimal import Decimal
from typing import Any

import pytest
from logged_kit import BUSY, call, failing, judge, refused
from made_material import attempt, billed

from runbook_lib import findings
from runbook_lib.analysis.retries import Judged

TOKENS = {"input_tokens": 900, "output_tokens": 100}
FALLEN = [refused(503, **BUSY)] * 3 + [
    {"model": "claude-opus-4-7", "key_name": "spare", "client_request_id": "f", **TOKENS}
]


def priced(rows: list[dict[str, Any]], *, model: str = "gpt-5.4") -> Judged:
    """A call that fell back, beside nine that did not."""
    calls = call(*[{"model": model, **row} for row in FALLEN])
    others = [
        {**attempt(99 + n), "model": model, "call_id": f"o-{n}", "attempt": 1} for n in range(9)
    ]
    return judge(*calls, *others, usage=rows)


RATES = [
    billed(0, request_id="client:1", rate_multiplier=Decimal("0.8")),
    billed(0, request_id="client:2", rate_multiplier=Decimal("1.5"), key_name="spare"),
]


@pytest.mark.parametrize(
    ("rows", "how", "cost", "first", "extra"),
    [
        pytest.param(
            [*RATES, billed(0, request_id="client:f", key_name="spare", cost_usd=Decimal("0.02"),
                            rate_multiplier=Decimal("1.5"), **TOKENS)],
            "row", "0.02", "0.003", "0.017", id="its usage row",
        ),
        pytest.param(RATES, "tokens", "0.0105", "0.003", "0.0075", id="its tokens"),
        pytest.param([], "list prices", "0.007", "0.00375", "0.00325", id="list prices of both"),
        pytest.param(
            RATES[:1], "list prices", "0.007", "0.00375", "0.00325", id="one multiplier is none"
        ),
    ],
)  # fmt: skip
def test_a_fallback_costs_more_or_less_than_the_first_model(
    rows: list[dict[str, Any]], how: str, cost: str, first: str, extra: str
) -> None:
    """The same tokens on the model asked first, both billed or both by list."""
    made = priced(rows)
    one = made.exhibits["fallback_calls"].frame.iloc[0]
    got = (one["cost_from"], one["cost_usd"], one["first_model_usd"], one["extra_usd"])
    assert got == (how, *map(Decimal, (cost, first, extra)))
    day = made.exhibits["fallback_by_day"].frame.iloc[0]
    assert (day["calls"], day["by_fallback"], day["share"]) == (10, 1, 0.1)
    found = failing(made)["client-fallback"]
    assert (found.value, found.impact_usd) == (0.1, Decimal(extra))
    assert found.severity is findings.Severity.MEDIUM


def test_a_billed_fallback_without_the_other_keys_multiplier_has_no_extra_cost() -> None:
    """Half a comparison is none: it is said what is missing."""
    row = billed(0, request_id="client:f", key_name="spare", cost_usd=Decimal("0.02"), **TOKENS)
    one = priced([row]).exhibits["fallback_calls"].frame.iloc[0]
    assert one["extra_usd"] is None
    assert one["missing"] == "the rate multiplier of key prod-web is not known"


def test_a_fallback_from_a_model_nobody_prices_is_counted_as_unpriced() -> None:
    """Its extra cost is unknown, not nothing."""
    made = priced(RATES, model="summary-small")
    assert made.exhibits["fallback_by_day"].frame.iloc[0]["unpriced"] == 1
    found = failing(made)["client-fallback"]
    assert found.impact_usd is None
    assert "1 of them unpriced" in found.title
