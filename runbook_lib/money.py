"""Money is Decimal: USD (or CNY) with ten decimals, as the console's list has them.

The CSV of the console rounds each row to eight decimals (contract §7, M), so two views of one row
are equal after rounding to the coarser of their scales. Nothing here ever passes through float.
"""

from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

SCALE = 10
"""Decimals of an amount in every table: `DECIMAL(18, 10)`."""

ZERO = Decimal(0)
LARGEST = Decimal(10) ** 8 - Decimal(1).scaleb(-SCALE)
"""Largest amount `DECIMAL(18, 10)` holds."""


def parse(text: str) -> Decimal | None:
    """Read one amount from text.

    Args:
        text: A plain number, such as "0.00229260", "-1.5" or "1e-9"; blanks around it are ignored.

    Returns:
        The amount (in the currency of its column), or None when the text is no finite number, has
        more than ten significant decimals, or does not fit `DECIMAL(18, 10)`.
    """
    try:
        amount = Decimal(text.strip())
    except InvalidOperation:
        return None
    if not amount.is_finite() or abs(amount) > LARGEST:
        return None
    exact = amount.quantize(Decimal(1).scaleb(-SCALE))
    return exact if exact == amount else None


def total(amounts: Iterable[Decimal | None]) -> Decimal:
    """Sum amounts exactly; None (unknown) adds nothing."""
    return sum((amount for amount in amounts if amount is not None), ZERO)


def or_zero(value: object) -> Decimal:
    """Give an amount of a frame; what is unknown there, in any form, adds nothing."""
    return value if isinstance(value, Decimal) else ZERO


def rounded(amount: Decimal, decimals: int = 8) -> Decimal:
    """Round half up to *decimals*, the form two exports of one row share."""
    return amount.quantize(Decimal(1).scaleb(-decimals), rounding=ROUND_HALF_UP)


def plain(amount: Decimal) -> str:
    """Write an amount exactly and without trailing zeros, for files and programs."""
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def usd(amount: Decimal | None) -> str:
    """Write an amount for people: "$1,234.50", "$0.0023", "unknown"; small ones keep two digits."""
    if amount is None:
        return "unknown"
    sign, size = ("-" if amount < 0 else ""), abs(amount)
    if size == 0 or size >= 1:
        return f"{sign}${size:,.2f}"
    decimals = min(SCALE, max(2, 1 - size.adjusted()))
    return f"{sign}${size:.{decimals}f}"
