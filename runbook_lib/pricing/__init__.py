"""What a request costs by a price list and the user's own prices: an amount, or "unpriced".

The gateway publishes no prices (contract §8), so the list of genai-prices stands in: what the maker
of a model asks. `prices.csv` overrides it, kind by kind. Every amount is an exact Decimal. A model,
kind or size that nobody has a price for is unpriced, never zero and never the price of a relative.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Context, Decimal, localcontext
from typing import TYPE_CHECKING

from runbook_lib import money
from runbook_lib.pricing import models, own
from runbook_lib.pricing.amounts import Cost, Ratio, Source, Tokens
from runbook_lib.pricing.models import KINDS, LIST_DATE, LIST_NAME, LIST_VERSION, about
from runbook_lib.pricing.own import OwnPrice

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "KINDS",
    "LIST",
    "LIST_DATE",
    "LIST_NAME",
    "LIST_VERSION",
    "Cost",
    "PriceList",
    "Ratio",
    "Tokens",
    "about",
    "context_window",
    "listed",
    "price_list",
    "vendor",
]

MILLION = Decimal(10) ** 6

EXACT = Context(prec=60)
"""Digits for sums and products of a request: nothing is ever rounded here."""

ONE = Decimal(1)

_INSTEAD = {"cache_read": "input", "cache_write": "input", "cache_write_1h": "cache_write"}
"""What is charged for a kind the list has no price for: such a maker asks that of the other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceList:
    """The price list with the user's overrides, made by `price_list`.

    Attributes:
        own: The user's prices, by model and kind.
        refused: Rows of `prices.csv` that are no price, a sentence each.
    """

    own: Mapping[tuple[str, str], tuple[OwnPrice, ...]] = field(default_factory=dict)
    refused: tuple[str, ...] = ()

    def cost(
        self,
        model: str | None,
        tokens: Tokens,
        *,
        at: datetime,
        requests: int = 1,
        multiplier: Decimal = ONE,
        account: str = "",
    ) -> Cost:
        """Tell what tokens of a model cost.

        Args:
            model: Name as asked, billed or answered; `vendor/model` and `-thinking` are understood.
            tokens: Their counts, of one request or summed over several.
            at: When, aware UTC: prices change.
            requests: How many requests the counts are summed over; with several, the size that
                decides on a tier is their mean.
            multiplier: Rate multiplier of the group: billed = original × multiplier.
            account: Account whose own prices count beside those of all.

        Returns:
            The cost in USD, or unpriced with what is missing.
        """
        bad = _unusable(tokens, requests, multiplier)
        if bad:
            return Cost(missing=bad)
        name = model or ""
        found, mine = models.find(name), self._mine(name, at, account)
        size = tokens.whole_input
        rates = {**(found.rates(at, size, requests) if found else {}), **mine}
        gap = _gap(tokens, rates, alone=found is None)
        if gap:
            return Cost(missing=f"no price of {gap} of {name or 'a model without a name'} is known")
        tiers = found.tier_starts(at) if found else {}
        starts = [start for kind in tiers.keys() - mine.keys() for start in tiers[kind]]
        base = Cost(
            source=_source(tokens, mine, alone=found is None),
            model=found.name if found else "",
            exact=requests == 1 or all(size <= start for start in starts),
        )
        return _charged(base, tokens, rates, multiplier)

    def price_ratio(
        self,
        first: str | None,
        other: str | None,
        mix: Tokens,
        *,
        at: datetime,
        requests: int = 1,
        multipliers: tuple[Decimal, Decimal] = (ONE, ONE),
        account: str = "",
    ) -> Ratio:
        """Tell how many times as dear *other* is as *first*, for the same tokens.

        Args:
            first: Model whose cost is the measure.
            other: Model that is compared with it.
            mix: Tokens as they are really used.
            at: When, aware UTC.
            requests: How many requests the mix is summed over.
            multipliers: Rate multipliers of the groups of both.
            account: Account whose own prices count.

        Returns:
            The ratio, rounded to four decimals; without a value where one is unpriced, or where
            *first* costs nothing for this mix.
        """
        costs = [
            self.cost(name, mix, at=at, requests=requests, multiplier=multiplier, account=account)
            for name, multiplier in zip((first, other), multipliers, strict=True)
        ]
        lacking = [cost.missing for cost in costs if cost.missing]
        value = None
        if not lacking and costs[0].usd and costs[1].usd is not None:
            value = money.rounded(costs[1].usd / costs[0].usd, 4)
        elif not lacking:
            lacking = [f"{first} costs nothing for these tokens, so there is no ratio"]
        missing = "; ".join(dict.fromkeys(lacking))
        return Ratio(value=value, first=costs[0], other=costs[1], missing=missing)

    def _mine(self, model: str, at: datetime, account: str) -> dict[str, Decimal]:
        found = {}
        for kind in KINDS:
            for name in models.names_of(model):
                held = [one for one in self.own.get((name, kind), ()) if one.holds(account, at)]
                if held:
                    found[kind] = max(held, key=lambda one: one.rank).usd_per_million
                    break
        return found


LIST = PriceList()
"""The price list as it is, without anybody's overrides."""


def price_list(frame: "pd.DataFrame | None" = None) -> PriceList:
    """Lay the user's prices over the list.

    Args:
        frame: Table `prices`: `account`, `model`, `token_kind` (input, output, cache_read,
            cache_write, cache_write_1h), `usd_per_million` (USD of a million tokens), `from` and
            `to` (aware UTC, half-open, either may be open). None or empty: the list alone. Where
            several hold at one time, that of the account wins, then the one that began last.

    Returns:
        The prices. A row that is no price is left out, and said in `refused`.
    """
    made: dict[tuple[str, str], tuple[OwnPrice, ...]] = {}
    refused = []
    for one in own.read(frame) if frame is not None else ():
        if isinstance(one, str):
            refused.append(one)
        else:
            made[one.model, one.kind] = (*made.get((one.model, one.kind), ()), one)
    return PriceList(own=made, refused=tuple(refused))


def listed(
    counts: Mapping[str, int], model: str | None, *, provider: str, at: datetime
) -> tuple[Decimal, Decimal] | None:
    """Ask the list itself, for what one provider counted and asks.

    Args:
        counts: Counts by the list's own names: `input_tokens` (cached ones included),
            `output_tokens`, `cache_read_tokens`, `input_audio_tokens` and so on.
        model: Name as that provider knows it.
        provider: The list's name of who answered, such as "aws" or "openrouter".
        at: When, aware UTC.

    Returns:
        What input and output cost in USD, fees per request left out; None where the list has no
        such model there, or the counts contradict each other.
    """
    from genai_prices import Usage
    from genai_prices.data_snapshot import get_snapshot

    if not model:
        return None
    try:
        with localcontext(EXACT):
            priced = get_snapshot().calc(Usage(**counts), model, provider, None, at)
    except (LookupError, ValueError):
        return None
    return priced.input_price, priced.output_price


def vendor(model: str | None) -> str | None:
    """Tell who makes a model, by the list's name of it, such as "openai" or "anthropic".

    Returns:
        The maker; None where the list does not know the model.
    """
    found = models.find(model or "")
    return None if found is None else found.provider


def context_window(model: str | None) -> int | None:
    """Tell the most input tokens a model takes.

    Returns:
        The count of tokens; None where the list does not know it.
    """
    found = models.find(model or "")
    return None if found is None else found.context_window


def _unusable(tokens: Tokens, requests: int, multiplier: Decimal) -> str:
    if any(count < 0 for count in tokens.by_kind.values()):
        return "the counts of tokens contradict each other"
    if requests < 1:
        return "there is no request"
    if not multiplier.is_finite() or multiplier < 0:
        return "the rate multiplier is no factor"
    return ""


def _rate(kind: str, rates: Mapping[str, Decimal]) -> Decimal | None:
    name: str | None = kind
    while name is not None and name not in rates:
        name = _INSTEAD.get(name)
    return None if name is None else rates[name]


def _gap(tokens: Tokens, rates: Mapping[str, Decimal], *, alone: bool) -> str:
    """Name the tokens that have no price; a model only the user prices needs each kind named."""
    if not rates:
        return "any tokens"
    for kind, count in tokens.by_kind.items():
        known = rates.get(kind) if alone else _rate(kind, rates)
        if count and known is None:
            return f"the {kind.replace('_', ' ')} tokens"
    return ""


def _source(tokens: Tokens, mine: Mapping[str, Decimal], *, alone: bool) -> Source:
    used = [kind for kind, count in tokens.by_kind.items() if count] or list(mine)
    own_ones = [kind for kind in used if kind in mine]
    if alone or (own_ones and len(own_ones) == len(used)):
        return "own"
    return "list and own" if own_ones else "list"


def _charged(base: Cost, tokens: Tokens, rates: Mapping[str, Decimal], multiplier: Decimal) -> Cost:
    with localcontext(EXACT):
        amounts = {
            kind: count * (_rate(kind, rates) or money.ZERO) / MILLION * multiplier
            for kind, count in tokens.by_kind.items()
        }
        output = amounts.pop("output")
        put_in = sum(amounts.values(), money.ZERO)
        return replace(base, usd=put_in + output, input_usd=put_in, output_usd=output)
