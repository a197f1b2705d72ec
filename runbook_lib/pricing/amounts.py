"""What goes into a price and what comes out: counts of tokens, a cost, a ratio of two."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

Source = Literal["list", "own", "list and own", ""]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """Tokens of one request, or of several together; `input` never contains cached ones.

    Attributes:
        cache_write: Written to a cache, all lifetimes; `cache_write_1h` of them for an hour.
        reasoning: Of the output; nobody asks a price of its own for it.
    """

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    cache_write_1h: int = 0
    reasoning: int = 0

    @property
    def whole_input(self) -> int:
        """All input, cached or not: what context windows and tiers of a price are about."""
        return self.input + self.cache_read + self.cache_write

    @property
    def by_kind(self) -> dict[str, int]:
        """Tokens by the kinds that `prices.csv` knows, each counted once."""
        return {
            "input": self.input,
            "output": self.output,
            "cache_read": self.cache_read,
            "cache_write": self.cache_write - self.cache_write_1h,
            "cache_write_1h": self.cache_write_1h,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What something costs.

    Attributes:
        usd: Amount; None when it is unpriced, and then `missing` says what is not known.
        input_usd, output_usd: Its two parts.
        source: Whose prices: the list's, the user's own, or both.
        model: Name of the model in the list; empty where only the user has a price.
        exact: False where the price has tiers by size and only the mean size of several requests
            is known, so that single ones can have fallen into another tier.
        missing: Why there is no amount; empty where there is one.
    """

    usd: Decimal | None = None
    input_usd: Decimal | None = None
    output_usd: Decimal | None = None
    source: Source = ""
    model: str = ""
    exact: bool = True
    missing: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """How many times as dear one model is as another, for the same tokens.

    Attributes:
        value: Cost of the other ÷ cost of the first; None when it cannot be told, see `missing`.
        first, other: What each costs.
    """

    value: Decimal | None
    first: Cost
    other: Cost
    missing: str = ""
