"""The price list of genai-prices: which of its models a name means, and what that one costs.

The list takes a longer name for a shorter one it knows, so that a new relative gets an old price.
Here a name must be one the list has, or differ from it only by a date, a version or `-thinking`.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

LIST_NAME = "genai-prices"
LIST_VERSION = "0.2.3"
LIST_DATE = date(2026, 11, 10)
"""The price list, its version, and the day that version came out: how old its prices are."""

MAKERS = ("openai", "anthropic", "google")
"""Who makes the models of the three protocols the gateway speaks (contract §2)."""

RESELLER = "openrouter"
"""Who serves `vendor/model` where the vendor itself is not in the list (contract §2, D)."""

KINDS = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cache_read": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "cache_write_1h": "cache_write_1h_mtok",
}
"""Kind of tokens in `prices.csv` → the list's name of its price of a million."""

_SAME_MODEL = re.compile(
    r"(?:[-@:](?:20\d{2}-?\d{2}-?\d{2}|\d{2}-\d{2,4}|\d{3,4}|v\d+(?::\d+)?|latest|default|preview|"
    r"exp|thinking))*"
)
"""What may follow a known name without making it another model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A model of the list: who makes or serves it, its name there, its most input tokens."""

    provider: str
    name: str
    context_window: int | None
    entry: Any

    def rates(self, at: datetime, whole_input: int = 0, requests: int = 1) -> dict[str, Decimal]:
        """Give the price of a million by kind, of the tier that the size of a request falls into.

        Args:
            at: When, aware UTC.
            whole_input: All input tokens of so many requests together.
            requests: How many.

        Returns:
            USD of a million tokens by kind; a kind the list has no price for is left out.
        """
        made = {}
        for kind, price in self._prices(at):
            amount = getattr(price, "base", price)
            for tier in getattr(price, "tiers", ()):
                if whole_input > tier.start * requests:
                    amount = tier.price
            made[kind] = Decimal(amount)
        return made

    def tier_starts(self, at: datetime) -> dict[str, tuple[int, ...]]:
        """Give the sizes, in input tokens, above which a kind has another price."""
        return {
            kind: tuple(tier.start for tier in getattr(price, "tiers", ()))
            for kind, price in self._prices(at)
        }

    def _prices(self, at: datetime) -> Iterator[tuple[str, Any]]:
        prices = self.entry.get_prices(at)
        for kind, name in KINDS.items():
            price = getattr(prices, name, None)
            if price is not None:
                yield kind, price


@lru_cache(maxsize=4096)
def find(model: str) -> Listed | None:
    """Find the model of the list that a name means.

    Args:
        model: Name as asked, billed or answered, in any case; `vendor/model`, a date at the end and
            `-thinking` are understood.

    Returns:
        The model; None for a name that the list does not have, or that only begins like one.
    """
    for provider, name in _readings(model.strip().lower()):
        entry = _providers()[provider].find_model(name)
        if entry is not None and _is_meant(name, entry):
            return Listed(
                provider=provider,
                name=entry.id,
                context_window=entry.context_window,
                entry=entry,
            )
    return None


def names_of(model: str) -> list[str]:
    """Give the names a model can have in the user's own prices: whole, without vendor, bare."""
    whole = model.strip().lower()
    rest = whole.rpartition("/")[2]
    return [name for name in dict.fromkeys((whole, rest, rest.removesuffix("-thinking"))) if name]


def about() -> str:
    """Say which prices these are: name, version, and how old.

    Returns:
        A phrase such as "genai-prices 0.2.3 of 2026-11-10"; it says so where another version is
        installed than the one whose day is known.
    """
    from importlib.metadata import version

    held = version(LIST_NAME)
    day = f"of {LIST_DATE.isoformat()}" if held == LIST_VERSION else "of a day not known here"
    return f"{LIST_NAME} {held} {day}"


def _readings(name: str) -> Iterator[tuple[str, str]]:
    """Who may know a name, and as what."""
    seller, _, rest = name.rpartition("/")
    if seller in _providers():
        yield from ((seller, one) for one in names_of(rest))
    if seller:
        yield RESELLER, name
        return
    claimed = [one for one in _providers() if one not in MAKERS and _claims(one, name)]
    for one in names_of(name):
        yield from ((provider, one) for provider in (*MAKERS, *claimed))


@lru_cache(maxsize=1)
def _providers() -> Mapping[str, Any]:
    from genai_prices.data_snapshot import get_snapshot

    return {provider.id: provider for provider in get_snapshot().providers}


def _claims(provider: str, name: str) -> bool:
    """Tell whether a maker says that models of such names are its own."""
    match = _providers()[provider].model_match
    return match is not None and bool(match.is_match(name))


def _is_meant(name: str, entry: Any) -> bool:
    """Tell a model's own name from a longer one that only begins alike."""
    if name in _exact_names(entry.match):
        return True
    rest = name.removeprefix(entry.id.lower().removesuffix("-latest"))
    return rest != name and _SAME_MODEL.fullmatch(rest) is not None


def _exact_names(match: Any) -> set[str]:
    """The names a rule of the list spells out."""
    parts = getattr(match, "or_", None) or getattr(match, "and_", None) or ()
    spelled = {getattr(match, name, "").lower() for name in ("equals", "starts_with")} - {""}
    return spelled.union(*map(_exact_names, parts))
