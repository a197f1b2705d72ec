"""What a request costs: whole ten-billionths of a USD, so that no cent is ever lost.

The console's list has ten decimals (contract §7, M); an amount here is an integer of that size,
"units" below. Billed = original × the multiplier of the group.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import NamedTuple

UNITS = 10**10
"""Units in one USD."""

MULTIPLIER_PARTS = 10_000
"""A multiplier of 0.8 is held as 8,000 parts."""


class Tokens(NamedTuple):
    """Token counts of one request; the input never contains cached tokens.

    A named tuple, as a history makes one for every request.
    """

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0


class Price(NamedTuple):
    """Price of a model, in units a token."""

    input: int
    output: int
    cache_read: int
    cache_write: int


class Cost(NamedTuple):
    """Cost of one request, in units: its parts, their sum, and what is billed."""

    input: int
    output: int
    cache_read: int
    cache_write: int
    original: int
    billed: int


def price(usd_per_million: Mapping[str, str]) -> Price:
    """Read the price of a model from its USD per million tokens; a kind not named costs nothing."""
    return Price(*(_rate(usd_per_million.get(kind, "0")) for kind in Price._fields))


def _rate(usd_per_million: str) -> int:
    return units(Decimal(usd_per_million) / 1_000_000)


def cost(rate: Price, tokens: Tokens, multiplier: int) -> Cost:
    """Charge a request; a rest below one unit is rounded half up.

    Args:
        rate: Price of the model that answered.
        tokens: What was used.
        multiplier: Multiplier of the group, in parts of `MULTIPLIER_PARTS`.
    """
    parts = (
        tokens.input * rate.input,
        tokens.output * rate.output,
        tokens.cache_read * rate.cache_read,
        tokens.cache_write * rate.cache_write,
    )
    original = sum(parts)
    billed = (original * multiplier + MULTIPLIER_PARTS // 2) // MULTIPLIER_PARTS
    return Cost(*parts, original, billed)


def units(usd: Decimal | str | int) -> int:
    """Convert USD to units; more than ten decimals are rounded away."""
    return int((Decimal(usd) * UNITS).to_integral_value())


def usd(amount: int) -> Decimal:
    """Convert units to USD, exactly."""
    return Decimal(amount).scaleb(-10)


def plain(amount: int) -> str:
    """Write units as USD, exactly, without trailing zeros: "0.0022926", "-0.5", "0"."""
    sign, size = ("-" if amount < 0 else ""), abs(amount)
    whole, rest = divmod(size, UNITS)
    return f"{sign}{whole}.{rest:010d}".rstrip("0").rstrip(".")


def eight(amount: int) -> str:
    """Write units as the console's CSV does: eight decimals, the rest rounded half up."""
    whole, rest = divmod((amount + 50) // 100, 10**8)
    return f"{whole}.{rest:08d}"


def parts(multiplier: Decimal | str) -> int:
    """Convert a multiplier such as "0.8" to parts."""
    return int(Decimal(multiplier) * MULTIPLIER_PARTS)
