"""The why-bridge: five parts that add up to the change, whatever the windows hold."""

from collections.abc import Callable
from decimal import Decimal

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runbook_lib.analysis.bridge import FACTORS, WEIGHTS, bridge, total

PRICES = {"small": {**WEIGHTS, "output_tokens": 4.0}, "large": WEIGHTS}
"""Ratios between kinds of token; the level is in `_cost`."""

LEVEL = {"small": Decimal("0.0000004"), "large": Decimal("0.000003")}

COLUMNS = ["key_name", "model", "requests", *WEIGHTS, "cost_usd"]


def _cost(model: str, tokens: tuple[int, ...], level: Decimal | None = None) -> Decimal:
    plain, read, write, lasting, output = tokens
    counts = (plain, read, write - lasting, lasting, output)
    weighed = sum(
        Decimal(str(PRICES[model][kind])) * count
        for kind, count in zip(WEIGHTS, counts, strict=True)
    )
    return (weighed * (level or LEVEL[model])).quantize(Decimal("1e-10"))


def _row(key: str | None, model: str, requests: int, *tokens: int) -> list[object]:
    return [key, model, requests, *tokens, _cost(model, tokens)]


def _frame(*rows: list[object]) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=COLUMNS)


BASE = _frame(
    _row("web", "small", 100, 50_000, 20_000, 10_000, 4_000, 9_000),
    _row("web", "large", 50, 80_000, 0, 0, 0, 30_000),
)


def _scaled(frame: pd.DataFrame, factor: int, names: list[str]) -> pd.DataFrame:
    made = frame.copy()
    made[names] = made[names] * factor
    return made


def _more_requests(frame: pd.DataFrame) -> pd.DataFrame:
    return _scaled(frame, 3, ["requests", *WEIGHTS, "cost_usd"])


def _longer(frame: pd.DataFrame) -> pd.DataFrame:
    return _scaled(frame, 2, [*WEIGHTS, "cost_usd"])


def _dearer(frame: pd.DataFrame) -> pd.DataFrame:
    return _scaled(frame, 2, ["cost_usd"])


def _less_cached(_: pd.DataFrame) -> pd.DataFrame:
    return _frame(
        _row("web", "small", 100, 80_000, 0, 0, 0, 9_000),
        _row("web", "large", 50, 80_000, 0, 0, 0, 30_000),
    )


def _other_models(_: pd.DataFrame) -> pd.DataFrame:
    return _frame(
        _row("web", "small", 50, 25_000, 10_000, 5_000, 2_000, 4_500),
        _row("web", "large", 100, 160_000, 0, 0, 0, 60_000),
    )


@pytest.mark.parametrize(
    ("change", "moved"),
    [
        pytest.param(_more_requests, "volume", id="volume"),
        pytest.param(_longer, "size", id="size"),
        pytest.param(_dearer, "price", id="price"),
        pytest.param(_less_cached, "cache", id="cache"),
        pytest.param(_other_models, "mix", id="mix"),
    ],
)
def test_a_pure_change_of_one_factor_moves_that_part_alone(
    change: Callable[[pd.DataFrame], pd.DataFrame], moved: str
) -> None:
    """Who only sent more requests must not read that prices rose."""
    split = total(bridge(BASE, change(BASE), weights=PRICES))
    assert split["change_usd"] != 0
    for name in FACTORS:
        expected = split["change_usd"] if name == moved else Decimal(0)
        assert abs(split[f"{name}_usd"] - expected) < Decimal("1e-8"), name


_TOKENS = st.tuples(*(st.sampled_from([0, 1, 7, 1_000, 123_456, 10**9]) for _ in range(5)))
_ROWS = st.lists(
    st.tuples(
        st.sampled_from(["web", "batch", "", None]),
        st.sampled_from(["small", "large", "unheard-of", None]),
        st.integers(0, 10_000),
        _TOKENS,
        st.decimals(-1_000, 100_000, places=10, allow_nan=False),
    ),
    max_size=6,
)


def _made(rows: list[tuple[object, ...]]) -> pd.DataFrame:
    return _frame(*([key, model, n, *tokens, usd] for key, model, n, tokens, usd in rows))


@settings(max_examples=40)
@given(_ROWS, _ROWS)
def test_the_parts_add_up_and_the_other_way_round_flips_every_sign(
    old: list[tuple[object, ...]], new: list[tuple[object, ...]]
) -> None:
    """Refunds, blank names, models without tokens: not a cent appears or vanishes."""
    there = bridge(_made(old), _made(new), weights=PRICES)
    back = bridge(_made(new), _made(old), weights=PRICES)
    parts = [f"{name}_usd" for name in FACTORS]
    assert len(there) == len({key for key, *_ in [*old, *new]})
    spent = [sum((row[4] for row in rows), Decimal(0)) for rows in (old, new)]
    sums = total(there)
    assert sums["change_usd"] == spent[1] - spent[0]
    assert sum(sums[name] for name in parts) == sums["change_usd"]
    for line in there.itertuples():
        assert sum(getattr(line, name) for name in parts) == line.change_usd
    names = ["key_name", *parts, "change_usd"]
    flipped = back[names].assign(**{name: -back[name] for name in [*parts, "change_usd"]})
    wanted = {str(line[0]): line[1:] for line in there[names].itertuples(index=False)}
    assert {str(line[0]): line[1:] for line in flipped.itertuples(index=False)} == wanted


def test_a_key_that_is_new_or_gone_is_volume() -> None:
    """A key without a past has nothing to compare its prices or sizes with."""
    split = bridge(BASE, _frame(_row("batch", "small", 10, 1_000, 0, 0, 0, 500)), weights=PRICES)
    assert list(split["volume_usd"]) == list(split["change_usd"])
    assert list(split["key_name"]) == ["web", "batch"]


def test_a_model_billed_by_the_request_has_a_price_of_its_own() -> None:
    """Pictures have no tokens; twice as dear ones are dearer, not longer."""
    old = _frame(["web", "picture", 10, 0, 0, 0, 0, 0, Decimal(1)])
    new = _frame(["web", "picture", 20, 0, 0, 0, 0, 0, Decimal(4)])
    split = total(bridge(old, new))
    assert split["volume_usd"] + split["price_usd"] == Decimal(3)
    assert split["size_usd"] == split["cache_usd"] == split["mix_usd"] == 0
