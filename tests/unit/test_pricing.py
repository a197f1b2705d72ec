"""What a request costs: the list's price, the user's own, or nothing at all rather than a guess."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal, localcontext
from importlib.metadata import version
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook_lib import pricing, schema
from runbook_lib.pricing import LIST, Tokens, price_list

AT = datetime(2026, 11, 24, tzinfo=UTC)
MIX = Tokens(input=650_987, output=150_840, cache_read=510_545, cache_write=119_237)
"""What 478 calls of one model used in recorded traffic; the gateway charged 4.81586325 for them."""


def own(*rows: dict[str, Any]) -> pricing.PriceList:
    """Prices of the user, in the columns of the table."""
    blank: dict[str, Any] = dict.fromkeys(schema.PRICES.names)
    usual = {"account": "", "model": "summary-small", "token_kind": "input"}
    return price_list(pd.DataFrame([{**blank, **usual, **row} for row in rows]))


def test_the_list_prices_what_the_gateway_charged() -> None:
    """The four kinds of tokens add up to the amount of the gateway's own report, to the cent."""
    cost = LIST.cost("claude-sonnet-4-6", MIX, at=AT, requests=478)
    assert cost.usd == Decimal("4.81586325")
    assert cost.usd == cost.input_usd + cost.output_usd
    assert (cost.source, cost.exact, cost.missing) == ("list", True, "")


@pytest.mark.parametrize(
    ("model", "known"),
    [
        ("gpt-5.4-2026-03-05", "gpt-5.4"),
        ("GPT-5.4", "gpt-5.4"),
        ("gpt-5.4-thinking", "gpt-5.4"),
        ("openai/gpt-5.4", "gpt-5.4"),
        ("anthropic/claude-sonnet-4.6", "claude-sonnet-4-6"),
        ("claude-haiku-4-5-20251001", "claude-haiku-4-5"),
        ("gemini-2.5-pro-preview-05-06", "gemini-2.5-pro"),
        ("text-embedding-3-small", "text-embedding-3-small"),
        ("meta-llama/llama-4-scout", "meta-llama/llama-4-scout"),
    ],
)
def test_names_of_one_model_are_one_model(model: str, known: str) -> None:
    """Calls name a model as they like; a date or a vendor does not make it another."""
    assert LIST.cost(model, Tokens(input=1), at=AT).model == known


@pytest.mark.parametrize(
    "model",
    [
        *("gpt-5.4-ultra", "claude-opus-9", "claude-sonnet-4-60", "claude-opus-4-7-mini", "claude"),
        *("summary-small", "openai/gpt-5.4-ultra", "", " ", None, "gemma-3"),
    ],
)
def test_a_relative_never_lends_its_price(model: str | None) -> None:
    """The list takes longer names for shorter ones; a new model must not get an old one's price."""
    cost = LIST.cost(model, Tokens(input=10, output=10), at=AT)
    assert cost.usd is None
    assert "is known" in cost.missing


def test_prices_change_by_date() -> None:
    """A request is priced as of its own day, not as of today."""
    before, after = datetime(2025, 6, 9, 23, tzinfo=UTC), datetime(2025, 6, 10, 1, tzinfo=UTC)
    assert LIST.cost("o3", Tokens(input=1_000_000), at=before).usd == 10
    assert LIST.cost("o3", Tokens(input=1_000_000), at=after).usd == 2


@pytest.mark.parametrize(
    ("size", "requests", "usd", "exact"),
    [
        pytest.param(272_000, 1, "0.68", True, id="at the threshold"),
        pytest.param(272_001, 1, "1.360005", True, id="above it, all tokens are dearer"),
        pytest.param(272_000, 9, "0.68", True, id="too few for any to be above"),
        pytest.param(2_720_000, 10, "6.8", False, id="one of ten may be above"),
        pytest.param(2_720_010, 10, "13.60005", False, id="the mean is above"),
    ],
)
def test_the_size_of_a_request_decides_on_its_tier(
    size: int, requests: int, usd: str, *, exact: bool
) -> None:
    """Large requests cost twice as much; of a sum it is said whether some could have been."""
    cost = LIST.cost("gpt-5.4", Tokens(input=size), at=AT, requests=requests)
    assert (cost.usd, cost.exact) == (Decimal(usd), exact)


def test_cache_writes_for_an_hour_have_their_own_price() -> None:
    """Of the tokens written to a cache, those for an hour cost more than those for minutes."""
    both = Tokens(cache_write=3_000_000, cache_write_1h=1_000_000)
    assert LIST.cost("claude-haiku-4-5", both, at=AT).usd == 2 * Decimal("1.25") + 2


def test_what_a_maker_does_not_discount_costs_as_input() -> None:
    """Where the list has no price of cached tokens, the maker charges them like others."""
    plain = LIST.cost("gpt-4", Tokens(input=2000), at=AT).usd
    assert LIST.cost("gpt-4", Tokens(input=1000, cache_read=1000), at=AT).usd == plain


def test_output_of_a_model_that_has_none_is_unpriced() -> None:
    """An embedding has no price of output: a row that counts some is odd, not free."""
    cost = LIST.cost("text-embedding-3-small", Tokens(input=5, output=5), at=AT)
    assert (cost.usd, cost.missing) == (
        None,
        "no price of the output tokens of text-embedding-3-small is known",
    )


def test_own_prices_go_before_the_list_kind_by_kind() -> None:
    """The user knows the contract; what it does not name stays as listed."""
    prices = own({"model": "GPT-5.4", "usd_per_million": Decimal(1)})
    cost = prices.cost("gpt-5.4", Tokens(input=200_000, output=200_000), at=AT)
    assert (cost.usd, cost.source) == (Decimal("3.2"), "list and own")
    assert prices.cost("gpt-5.4", Tokens(input=1), at=AT).source == "own"
    assert prices.cost("openai/gpt-5.4", Tokens(input=1_000_000), at=AT).usd == 1


def test_a_model_only_the_user_prices_needs_every_kind_that_is_used() -> None:
    """Cached tokens at the price of others would be a guess: nobody said so."""
    prices = own({"usd_per_million": Decimal(2)})
    assert prices.cost("summary-small", Tokens(input=500_000), at=AT).usd == 1
    lacking = prices.cost("summary-small", Tokens(input=1, cache_read=1), at=AT)
    assert lacking.missing == "no price of the cache read tokens of summary-small is known"


def test_a_free_model_is_free_and_not_unknown() -> None:
    """Zero is a price the user states; only its absence is unknown."""
    prices = own({"usd_per_million": Decimal(0)})
    assert prices.cost("summary-small", Tokens(input=9), at=AT).usd == 0


def test_own_prices_hold_from_and_to_their_days() -> None:
    """`to` is the first moment at which the price no longer holds; the newest beginning wins."""
    day = timedelta(days=1)
    prices = own(
        {"usd_per_million": Decimal(1)},
        {"usd_per_million": Decimal(2), "from": AT, "to": AT + day},
        {"usd_per_million": Decimal(3), "from": AT - day},
    )
    seen = [
        prices.cost("summary-small", Tokens(input=1_000_000), at=at).usd
        for at in (AT - 2 * day, AT - day, AT, AT + day)
    ]
    assert seen == [1, 3, 2, 3]


def test_an_account_has_prices_of_its_own() -> None:
    """One account's contract is no price of another."""
    prices = own(
        {"usd_per_million": Decimal(4), "account": "partner"}, {"usd_per_million": Decimal(8)}
    )
    tokens = Tokens(input=1_000_000)
    assert prices.cost("summary-small", tokens, at=AT).usd == 8
    assert prices.cost("summary-small", tokens, at=AT, account="partner").usd == 4


@pytest.mark.parametrize(
    "row",
    [
        pytest.param({"usd_per_million": Decimal("NaN")}, id="no number"),
        pytest.param({"usd_per_million": Decimal("Infinity")}, id="no end"),
        pytest.param({"usd_per_million": Decimal(-1)}, id="negative"),
        pytest.param({"usd_per_million": None}, id="none"),
        pytest.param({"usd_per_million": float("nan")}, id="binary"),
        pytest.param({"usd_per_million": Decimal(1), "token_kind": "audio"}, id="unknown kind"),
        pytest.param({"usd_per_million": Decimal(1), "model": None}, id="no model"),
    ],
)
def test_what_is_no_price_is_said_and_left_out(row: dict[str, Any]) -> None:
    """One bad line of `prices.csv` must neither end the run nor price anything."""
    prices = own({"from": pd.NaT, "to": pd.NaT, **row})
    assert len(prices.refused) == 1
    assert prices.cost("summary-small", Tokens(input=1), at=AT).usd is None


def test_no_prices_of_the_user_leave_the_list() -> None:
    """Most users have no `prices.csv`."""
    empty = pd.DataFrame(columns=schema.PRICES.names)
    assert price_list(empty) == price_list(None) == LIST


@pytest.mark.parametrize(
    ("tokens", "more"),
    [
        pytest.param(Tokens(input=-1), {}, id="negative"),
        pytest.param(Tokens(cache_write_1h=5), {}, id="more for an hour than at all"),
        pytest.param(Tokens(input=1), {"requests": 0}, id="no request"),
        pytest.param(Tokens(input=1), {"multiplier": Decimal("NaN")}, id="multiplier unknown"),
        pytest.param(Tokens(input=1), {"multiplier": Decimal(-1)}, id="multiplier negative"),
    ],
)
def test_what_contradicts_itself_is_unpriced(tokens: Tokens, more: dict[str, Any]) -> None:
    """Nonsense in must not come out as an amount."""
    cost = LIST.cost("gpt-5.4", tokens, at=AT, **more)
    assert cost.usd is None
    assert cost.missing


def test_the_multiplier_of_the_group_is_what_is_billed() -> None:
    """Billed = original × multiplier: 13.32821265 USD were billed at 1.5."""
    cost = LIST.cost("claude-sonnet-4-6", MIX, at=AT, requests=478, multiplier=Decimal("1.5"))
    assert cost.usd == Decimal("7.223794875")


def test_a_ratio_compares_the_same_tokens() -> None:
    """Twice as dear for this mix, not on a price page."""
    ratio = LIST.price_ratio(
        "gpt-5.4",
        "claude-opus-4-7",
        Tokens(input=900, output=100),
        at=AT,
        multipliers=(Decimal("0.8"), Decimal("1.5")),
    )
    assert ratio.first.usd == Decimal("0.003")
    assert ratio.other.usd == Decimal("0.0105")
    assert ratio.value == Decimal("3.5")


@pytest.mark.parametrize(
    ("first", "other", "mix", "why"),
    [
        ("gpt-5.4", "nobody-1", Tokens(input=1), "nobody-1"),
        ("nobody-1", "gpt-5.4", Tokens(input=1), "nobody-1"),
        ("gpt-5.4", "gpt-5.4-mini", Tokens(), "costs nothing"),
    ],
)
def test_a_ratio_without_both_costs_is_none(first: str, other: str, mix: Tokens, why: str) -> None:
    """Nothing divided by nothing is no number."""
    ratio = LIST.price_ratio(first, other, mix, at=AT)
    assert ratio.value is None
    assert why in ratio.missing


def test_context_windows_and_makers_come_from_the_list() -> None:
    """What the list does not know is None."""
    assert pricing.context_window("gpt-5.4-mini") == 400_000
    assert pricing.context_window("gemini-2.5-pro") is None
    assert pricing.context_window("nobody-1") is None
    assert [pricing.vendor(name) for name in ("claude-opus-4-7", "gpt-5.4", "x", None)] == [
        "anthropic",
        "openai",
        None,
        None,
    ]


def test_the_day_of_the_prices_is_that_of_the_version_installed() -> None:
    """Whoever pins another version must look up its day too."""
    assert version(pricing.LIST_NAME) == pricing.LIST_VERSION
    assert pricing.about() == "genai-prices 0.2.3 of 2026-11-10"


@given(st.integers(0, 10**12), st.integers(0, 10**12), st.integers(0, 10**12), st.integers(2, 50))
def test_parts_of_a_price_are_exact_and_add_up(a: int, b: int, c: int, times: int) -> None:
    """No cent appears or vanishes when rows are priced together instead of one by one."""
    one = Tokens(input=a, output=b, cache_read=c, cache_write=a)
    many = Tokens(input=a * times, output=b * times, cache_read=c * times, cache_write=a * times)
    with localcontext(prec=60):
        single = LIST.cost("claude-haiku-4-5", one, at=AT).usd
        assert LIST.cost("claude-haiku-4-5", many, at=AT, requests=times).usd == single * times
        assert single == (a * 1 + b * 5 + c * Decimal("0.1") + a * Decimal("1.25")) / 10**6


@pytest.mark.usefixtures("sockets_blocked")
def test_pricing_sends_nothing() -> None:
    """The list ships with its package; nothing is fetched to price a row."""
    pricing.models.find.cache_clear()
    pricing.models._providers.cache_clear()
    assert LIST.cost("gpt-5.4", Tokens(input=1), at=AT).usd
    assert pricing.listed({"input_tokens": 1}, "gpt-5.4", provider="openai", at=AT)


@pytest.mark.parametrize(
    ("counts", "model", "provider"),
    [
        ({"input_tokens": 1}, "nobody-1", "openai"),
        ({"input_tokens": 1}, "gpt-5.4", "nobody"),
        ({"input_tokens": 1}, None, "openai"),
        ({"input_tokens": -1}, "gpt-5.4", "openai"),
        ({"input_tokens": 1, "cache_read_tokens": 2}, "gpt-5.4", "openai"),
    ],
)
def test_the_list_itself_is_asked_without_guessing(
    counts: dict[str, int], model: str | None, provider: str
) -> None:
    """Counts that contradict each other and names nobody knows have no price."""
    assert pricing.listed(counts, model, provider=provider, at=AT) is None
