"""The balance and the gaps: what is not known is not judged, and what is missing is found."""

from collections.abc import Callable
from decimal import Decimal

import pandas as pd
import pytest

from runbook_lib.analysis import ledgers
from runbook_lib.clock import Window

START = pd.Timestamp("2026-11-02", tz="UTC")
"""A Monday."""

HOUR, DAY = pd.Timedelta(hours=1), pd.Timedelta(days=1)
PRICE = Decimal("0.5")


def window(first: float, last: float) -> Window:
    """A span, in days from `START`."""
    ends = [(START + DAY * days).to_pydatetime() for days in (first, last)]
    return Window(start=ends[0], end=ends[1])


def usage(
    days: int, *, account: str = "", served: Callable[[pd.Timestamp], bool] | None = None
) -> pd.DataFrame:
    """Thirty requests and half a dollar in each hour that is served."""
    hours = pd.date_range(START, START + DAY * days, freq="h", inclusive="left")
    rows = [(account, at, 30, PRICE) for at in hours if served is None or served(at)]
    return pd.DataFrame(rows, columns=["account", "bucket", "requests", "cost_usd"])


def until(hourly: pd.DataFrame, asked: Window) -> pd.DataFrame:
    """What is read of it for a window: nothing after its end."""
    return hourly[hourly["bucket"] < asked.end]


def ledger(days: int, *, account: str = "", more: str = "0", currency: str = "USD") -> pd.DataFrame:
    """A reading at each noon, which loses twelve dollars a day and *more*."""
    rows = [
        (account, START + DAY * (day + 0.5), "reading", None, currency,
         Decimal(1000) - (24 * PRICE + Decimal(more)) * day)
        for day in range(days)
    ]  # fmt: skip
    columns = ["account", "ts", "kind", "amount", "currency", "balance"]
    return pd.DataFrame(rows, columns=columns)


def stepped(own: pd.DataFrame, hourly: pd.DataFrame, asked: Window) -> pd.DataFrame:
    """The steps of a drill-down of *asked*."""
    end = (hourly["bucket"].max() + HOUR).to_pydatetime()
    return ledgers.steps(own, until(hourly, asked), asked, until=end)


@pytest.mark.parametrize(
    ("asked", "days"),
    [
        pytest.param(window(1, 8), [1, 2, 3, 4, 5, 6], id="cut at both ends"),
        pytest.param(window(-5, 4), [0, 1, 2], id="from before the first row"),
        pytest.param(window(11, 30), [11, 12], id="to beyond the last row"),
        pytest.param(window(1, 2), [], id="none is whole"),
    ],
)
def test_only_steps_whose_usage_is_known_are_judged(asked: Window, days: list[int]) -> None:
    """A step that reaches past what was read has lost money that nobody looked for."""
    made = stepped(ledger(20), usage(14), asked)
    assert [(at - START).days for at in made["start"]] == days
    assert set(made["unexplained_usd"]) <= {Decimal(0)}


def test_a_step_that_begins_before_the_usage_is_not_judged() -> None:
    """The export begins on Thursday; what was spent before is not missing, it is not held."""
    late = usage(14, served=lambda at: at >= START + DAY * 3)
    assert stepped(ledger(8), late, window(0, 14))["start"].min() == START + DAY * 3.5


def test_a_loss_beyond_the_usage_is_told() -> None:
    """Five dollars a day that no row explains: the rule must still bite."""
    made = stepped(ledger(8, more="5"), usage(14), window(0, 7))
    assert list(made["unexplained_usd"]) == [Decimal(5)] * 6
    assert set(made["bound_usd"]) == {2 * PRICE}


@pytest.mark.parametrize(
    ("owns", "uses", "steps"),
    [
        pytest.param(["a"], ["a"], 6, id="the same"),
        pytest.param([""], ["a"], 6, id="untagged, one account"),
        pytest.param([""], ["a", "b"], 0, id="untagged, two accounts"),
        pytest.param(["b"], ["a"], 0, id="of an account without usage"),
        pytest.param(["a"], [""], 0, id="usage untagged"),
        pytest.param(["", "a"], ["a"], 6, id="the account has its own"),
        pytest.param(["a", "b"], ["a", "b"], 12, id="each its own"),
    ],
)
def test_a_balance_is_held_against_the_usage_of_its_account(
    owns: list[str], uses: list[str], steps: int
) -> None:
    """Where nobody knows whose balance it is, nothing is claimed."""
    hourly = pd.concat([usage(14, account=name) for name in uses])
    made = stepped(pd.concat([ledger(8, account=name) for name in owns]), hourly, window(0, 7))
    assert len(made) == steps
    assert set(made["unexplained_usd"]) <= {Decimal(0)}


def test_an_account_whose_export_ends_sooner_is_judged_up_to_its_end() -> None:
    """Rows of another account do not show that those of this one are complete."""
    hourly = pd.concat([usage(4, account="a"), usage(14, account="b")])
    made = stepped(ledger(10, account="a"), hourly, window(0, 14))
    assert made["end"].max() == START + DAY * 3.5


def test_another_currency_is_left_out() -> None:
    """Yuan are no dollars; nobody here knows the rate."""
    assert stepped(ledger(8, currency="CNY"), usage(14), window(0, 7)).empty


def _office(at: pd.Timestamp) -> bool:
    return bool(at.weekday() < 5 and 8 <= at.hour < 20)


def _without(first: float, last: float) -> Callable[[pd.Timestamp], bool]:
    return lambda at: not START + DAY * first <= at < START + DAY * last


GAPS = [
    pytest.param(usage(28, served=_office), window(14, 28), [], id="weekday service"),
    pytest.param(usage(9, served=_office), window(0, 9), [], id="its first weekend"),
    pytest.param(
        usage(28, served=lambda at: _office(at) and _without(21, 22)(at)),
        window(14, 28), [(18 + 20 / 24, 22 + 8 / 24, 360)], id="weekday service, a Monday",
    ),
    pytest.param(usage(28, served=_without(20, 21)), window(14, 28), [(20, 21, 720)], id="always"),
    pytest.param(
        usage(28, served=_without(20, 23)), window(14, 21), [(20, 21, 720)], id="past its end"
    ),
    pytest.param(usage(28, served=_without(20, 26)), window(21, 23), [(21, 23, 1440)], id="all"),
    pytest.param(usage(28), window(14, 40), [], id="beyond what is held"),
    pytest.param(usage(28), window(14, 20.98), [], id="an hour that the window cuts"),
    pytest.param(usage(5, served=_without(2, 3)), window(1, 5), [(2, 3, 576)], id="a short past"),
]  # fmt: skip


@pytest.mark.parametrize(("hourly", "asked", "expected"), GAPS)
def test_a_gap_is_what_other_weeks_had(
    hourly: pd.DataFrame, asked: Window, expected: list[tuple[float, float, float]]
) -> None:
    """A service that rests at the weekend lacks nothing; one that never rests lacks each hour."""
    end = (hourly["bucket"].max() + HOUR).to_pydatetime()
    found = ledgers.gaps(until(hourly, asked), asked, until=end)
    told = [(gap.start, gap.end, pytest.approx(usual)) for gap, usual in found]
    assert told == [
        (START + DAY * first, START + DAY * last, usual) for first, last, usual in expected
    ]


def test_without_usage_there_is_no_gap() -> None:
    """No rows at all are told elsewhere."""
    assert ledgers.gaps(usage(0), window(0, 7), until=START.to_pydatetime()) == []
