"""How a month ends: spent so far, the forecast, and the day the budget is passed."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pandas as pd
import pytest

from runbook_lib.analysis.caps import month_end
from runbook_lib.errors import ParameterError

NOON = datetime(2026, 11, 16, 12, tzinfo=UTC)


def days(usd: float = 10.0, count: int = 60, today: float = 5.0) -> pd.DataFrame:
    """Give days of equal spend up to yesterday, and a part of today."""
    first = date(2026, 11, 16) - timedelta(days=count)
    rows = [(str(first + timedelta(days=place)), Decimal(str(usd))) for place in range(count)]
    rows.append(("2026-11-16", Decimal(str(today))))
    return pd.DataFrame(rows, columns=["day_local", "cost_usd"])


def test_a_steady_month_ends_where_it_heads() -> None:
    """Fifteen days at 10 are spent, fifteen are to come: 300, and today's part is not doubled."""
    end = month_end(days(), Decimal(500), NOON)
    assert end.to_date == 155
    assert end.days_left == 15
    assert end.p50 is not None
    assert float(end.p50) == pytest.approx(300, rel=0.05)
    assert end.p10 <= end.p50 <= end.p90
    assert end.odds_over is not None
    assert end.odds_over < 0.1
    assert end.over_on is None


def test_the_day_the_budget_is_passed_is_named() -> None:
    """A budget of 200 lasts until the 20th at 10 a day."""
    end = month_end(days(), Decimal(200), NOON)
    assert end.over_on is not None
    assert date(2026, 11, 19) <= end.over_on <= date(2026, 11, 22)
    assert end.over_early is not None
    assert end.over_early <= end.over_on
    assert end.odds_over is not None
    assert end.odds_over > 0.9


def test_a_budget_that_is_passed_already_has_its_day() -> None:
    """Certain, and on the day it happened, not today."""
    end = month_end(days(), Decimal(95), NOON)
    assert (end.over_on, end.odds_over) == (date(2026, 11, 10), 1.0)


@pytest.mark.parametrize("count", [0, 1])
def test_no_history_is_no_forecast(count: int) -> None:
    """On the first days only what is spent can be told."""
    end = month_end(days(count=count), Decimal(100), NOON)
    assert (end.p10, end.p50, end.p90, end.odds_over) == (None, None, None, None)
    assert end.reason


def test_an_empty_export_is_told() -> None:
    """No rows: nothing spent, no forecast, no crash."""
    end = month_end(pd.DataFrame(columns=["day_local", "cost_usd"]), None, NOON)
    assert end.to_date == 0
    assert end.reason == "nothing was spent before today"


def test_what_is_spent_is_never_below_the_forecast() -> None:
    """A today dearer than any day before is spent all the same."""
    end = month_end(days(today=900.0), None, NOON)
    assert end.p10 is not None
    assert end.p10 >= end.to_date


def test_twice_is_equal() -> None:
    """The same export tells the same end of the month, to the byte."""
    assert repr(month_end(days(), Decimal(200), NOON)) == repr(
        month_end(days(), Decimal(200), NOON)
    )


@pytest.mark.parametrize(
    ("budget", "now"),
    [
        pytest.param(Decimal(-1), NOON, id="negative"),
        pytest.param(Decimal("nan"), NOON, id="nan"),
        pytest.param(Decimal(1), datetime(2026, 11, 16), id="naive"),  # noqa: DTZ001
    ],
)
def test_what_cannot_be_reckoned_with_is_refused(budget: Decimal, now: datetime) -> None:
    """A wrong budget or a time without a zone would give a wrong day."""
    with pytest.raises(ParameterError):
        month_end(days(), budget, now)
