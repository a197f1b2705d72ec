"""Spend split any way: every table adds up to the same total, and no name is lost."""

from decimal import Decimal

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runbook_lib.analysis import drill
from runbook_lib.errors import ParameterError

COLUMNS = ["key_name", "model", "endpoint", "hour_local", *drill.SUMS]
KEYS = pd.DataFrame(
    [("web", "production", "a; b", "platform"), ("batch", "", None, "data")],
    columns=["key_name", "environment", "service", "owner"],
)


def _line(
    key: str | None, model: str | None, hour: str, cost: Decimal | None, count: int = 1
) -> list[object]:
    return [key, model, "/v1/messages", hour, count, 1000, 200, 400, 100, 60, 40, cost]


_HOURS = st.sampled_from(
    ["2026-10-24T23:00+02:00", "2026-10-25T02:00+02:00", "2026-10-25T02:00+01:00"]
)
_LINES = st.lists(
    st.builds(
        _line,
        st.sampled_from(["web", "batch", "", None, "unheard-of"]),
        st.sampled_from(["small", "large", "", None]),
        _HOURS,
        st.one_of(st.none(), st.decimals(-100, 10_000, places=10, allow_nan=False)),
        st.integers(1, 10**9),
    ),
    min_size=1,
    max_size=8,
)


def _rolled(lines: list[list[object]]) -> pd.DataFrame:
    return pd.DataFrame(lines, columns=COLUMNS)


@settings(max_examples=40)
@given(_LINES, st.sampled_from(drill.BY), st.integers(1, 4))
def test_what_is_shown_adds_up_to_the_total(lines: list[list[object]], by: str, top: int) -> None:
    """A group that vanishes takes money with it, and nobody sees it go."""
    rolled = drill.owned(_rolled(lines), KEYS)
    spent = sum((line[-1] for line in lines if line[-1] is not None), Decimal(0))
    requests = sum(line[4] for line in lines)
    split = drill.split(rolled, by, top=top)
    assert len(split) <= top + 1
    for made in (split, drill.by_day(rolled, by, top=top), drill.by_weekday(rolled)):
        assert sum(made["cost_usd"], Decimal(0)) == spent
        assert made["requests"].sum() == requests
    assert sum(drill.by_kind(rolled)["cost_usd"], Decimal(0)) == spent


def test_blank_names_and_keys_outside_the_inventory_are_lines_of_their_own() -> None:
    """Spend nobody owns is the first thing a showback must name."""
    lines = [_line(key, "small", "2026-11-24T10:00+00:00", Decimal(1)) for key in ("web", None)]
    rolled = drill.owned(_rolled(lines), KEYS)
    assert set(drill.split(rolled, "key_name", top=9)["key_name"]) == {"web", drill.BLANK}
    assert set(drill.split(rolled, "owner", top=9)["owner"]) == {"platform", drill.UNALLOCATED}


INVENTORY = pd.DataFrame(
    [
        ("a", "web", "production", "shop", "alice"),
        ("a", "web", "production", "batch", "bob"),
        ("b", "web", "staging", "", "carol"),
        ("", "web", "dev", "lab", "dora"),
        ("", "cron", "production", "jobs", "dora"),
        ("a", "only", "production", "jobs", "erin"),
    ],
    columns=["account", "key_name", "environment", "service", "owner"],
)


@pytest.mark.parametrize(
    ("account", "key", "told"),
    [
        pytest.param("a", "web", ("production", "shop; batch", "alice; bob"), id="two owners"),
        pytest.param("b", "web", ("staging", drill.BLANK, "carol"), id="same name, other account"),
        pytest.param("c", "web", ("dev", "lab", "dora"), id="row of every account"),
        pytest.param("", "web", ("dev", "lab", "dora"), id="account unknown"),
        pytest.param("a", "cron", ("production", "jobs", "dora"), id="no row of its own"),
        pytest.param("", "only", ("production", "jobs", "erin"), id="name alone"),
        pytest.param("b", "only", (drill.UNALLOCATED,) * 3, id="key of another account"),
        pytest.param("a", None, (drill.UNALLOCATED,) * 3, id="no name"),
    ],
)
def test_a_key_belongs_to_the_owners_of_its_account(
    account: str, key: str | None, told: tuple[str, ...]
) -> None:
    """Two accounts may have a key of one name; a showback must not bill one for the other."""
    rolled = pd.DataFrame([(account, key)], columns=["account", "key_name"], index=[7])
    (made,) = drill.owned(rolled, INVENTORY)[list(drill.OWNED)].itertuples(index=False)
    assert tuple(made) == told


def test_without_an_inventory_nobody_owns_anything() -> None:
    """An empty table must not fail, nor invent owners."""
    rolled = pd.DataFrame([("", "web")], columns=["account", "key_name"])
    assert set(drill.owned(rolled, INVENTORY.iloc[:0])["owner"]) == {drill.UNALLOCATED}
    assert drill.owned(rolled.iloc[:0], INVENTORY).empty


def test_counts_beyond_64_bits_are_summed_exactly() -> None:
    """An export can say 10^18 tokens, in forty rows; a sum that wraps would be negative."""
    lines = [_line("web", "small", "2026-10-24T23:00+02:00", Decimal(1), 10**18) for _ in range(40)]
    split = drill.split(_rolled(lines), "model", top=3)
    assert split["requests"].tolist() == [40 * 10**18]
    assert split["tokens_per_request"].iloc[0] > 0
    assert split["input_tokens"].tolist() == [40_000]


def test_the_doubled_hour_stays_in_its_day() -> None:
    """When clocks go back, 02:00 comes twice; both belong to that Sunday."""
    hours = ["2026-10-25T02:00+02:00", "2026-10-25T02:00+01:00"]
    rolled = _rolled([_line("web", "small", hour, Decimal(1)) for hour in hours])
    days = drill.by_day(rolled, "model", top=3)
    assert list(days["day_local"]) == ["2026-10-25"]
    heat = drill.by_weekday(rolled).set_index(["weekday", "hour"])
    assert heat.loc[("Sun", 2), "cost_usd"] == Decimal(2)
    assert len(heat) == 168


def test_units_are_unknown_where_there_is_nothing_to_divide_by() -> None:
    """Nothing cached of nothing read is no hit ratio of zero."""
    line = ["web", "picture", None, "2026-11-24T10:00+00:00", 2, 0, 0, 0, 0, 0, 0, Decimal("0.5")]
    made = drill.split(_rolled([line]), "model", top=1).iloc[0]
    assert made["usd_per_request"] == 0.25
    assert pd.isna(made["usd_per_1k_output"])
    assert pd.isna(made["cache_hit_share"])
    kinds = drill.by_kind(_rolled([line]))
    assert kinds[["token_kind", "cost_usd"]].values.tolist() == [["request", Decimal("0.5")]]


@pytest.mark.parametrize(("by", "top"), [("colour", 3), ("model", 0)], ids=["column", "top"])
def test_a_split_that_cannot_be_made_is_refused(by: str, top: int) -> None:
    """A typing error must not end in an empty table."""
    with pytest.raises(ParameterError):
        drill.split(_rolled([]), by, top=top)
