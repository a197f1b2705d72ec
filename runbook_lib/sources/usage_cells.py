"""Read the cells of a usage export one by one, exactly, or refuse them with a reason."""

import re
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from zoneinfo import ZoneInfo

from runbook_lib import money
from runbook_lib.errors import RecordError
from runbook_lib.sources import usage_names
from runbook_lib.sources.call_values import instant
from runbook_lib.sources.stage import clean

Cell = str | int | float | Decimal | None

BILLING_MODES: Mapping[str, str] = {
    "token": "token",
    "按量": "token",
    "按token": "token",
    "per request": "per_request",
    "per_request": "per_request",
    "按次": "per_request",
    "image": "image",
    "图片": "image",
    "按图": "image",
    "video": "video",
    "视频": "video",
}
"""Billing modes under one name each: the console writes them in the reader's language."""

REQUEST_TYPES: Mapping[str, str] = {
    "同步": "sync",
    "流式": "stream",
    "实时": "live",
    "未知": "unknown",
    "websocket": "ws",
}
"""Request types the console translates."""

_GUARDED = re.compile(r"'[=+\-@\t\r]")
_NOTHING = frozenset({"", "-", "—", "n/a", "null", "none"})
_US = re.compile(r"[+-]?\d{1,3}(?:[,  '’]\d{3})+(?:\.\d+)?")
_EUROPE = re.compile(r"[+-]?\d{1,3}(?:[.  '’]\d{3})+(?:,\d+)?")
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+")
_PLAIN_AMOUNT = re.compile(r"\d{1,7}(?:\.\d{1,10})?", re.ASCII)
_PLAIN_COUNT = re.compile(r"\d{1,18}", re.ASCII)
_PLAIN_LENGTH = re.compile(r"\d{1,11}", re.ASCII)
_SPACE = str.maketrans("", "", "\u00a0\u202f \t")
_LARGEST_COUNT = 2**63 - 1
LARGEST_MS = 10**12
"""Longest length of time that can be, in milliseconds: some thirty years."""

_REMEMBERED = 4096
EARLIEST, LATEST = 946_684_800_000_000, 4_102_444_800_000_000
"""Instants that can be, in microseconds since 1970: the years 2000 to 2099."""

_TIME_UNITS = {"ms": Decimal(1), "s": Decimal(1000), "": Decimal(1)}
_LENGTH = re.compile(r"([0-9.,+\-eE]+)(ms|s|)")


def unguarded(text: str) -> str:
    """Take off the apostrophe the console puts before what a spreadsheet would run."""
    return text[1:] if _GUARDED.match(text) else text


def text(cell: str) -> str | None:
    """Read a text as it is: only an empty cell is unknown, a key may be named NA."""
    return clean(unguarded(cell)) or None


def effort(cell: str) -> str | None:
    """Read a reasoning effort; the console writes "-" for none."""
    low = unguarded(cell).strip().lower()
    return None if low in ("", "-") else clean(low)


def billing_mode(cell: str) -> str | None:
    """Read a billing mode, under its own name whatever the language of the console."""
    held = text(cell.strip())
    return None if held is None else BILLING_MODES.get(held.lower(), held)


def request_type(cell: str) -> str | None:
    """Read a request type, lower case."""
    held = text(cell.strip())
    return None if held is None else REQUEST_TYPES.get(held.lower(), held.lower())


def amount(cell: str, *, comma: bool) -> Decimal | None:
    """Read a number exactly; thousands may be parted, a currency sign of USD may stand.

    Args:
        cell: The text.
        comma: Whether the file has a comma before its decimals.

    Raises:
        RecordError: it is no number, not in USD, or finer or larger than a table can hold.
    """
    if _PLAIN_AMOUNT.fullmatch(cell):
        return Decimal(cell)
    plain = _number(cell, comma=comma)
    if plain is None:
        return None
    value = money.parse(plain)
    if value is not None:
        return value
    try:
        exact = Decimal(plain)
    except InvalidOperation:
        raise RecordError("amount that is no number") from None
    if exact.is_finite() and abs(exact) < money.LARGEST:
        raise RecordError("amount with more than ten decimals")
    raise RecordError("amount too large or not finite")


def count(cell: str, *, comma: bool) -> int | None:
    """Read a count; "12.0" is twelve, "12.5" is refused.

    Raises:
        RecordError: it is no whole number, negative or larger than a table can hold.
    """
    if _PLAIN_COUNT.fullmatch(cell):
        return int(cell)
    plain = _number(cell, comma=comma)
    if plain is None:
        return None
    try:
        exact = Decimal(plain)
    except InvalidOperation:
        raise RecordError("count that is no number") from None
    if not exact.is_finite() or abs(exact) > _LARGEST_COUNT:
        raise RecordError("count too large or not finite")
    if exact != exact.to_integral_value():
        raise RecordError("count that is no whole number")
    if exact < 0:
        raise RecordError("negative count")
    return int(exact)


def length_ms(cell: str, *, comma: bool) -> float | None:
    """Read a length of time in milliseconds; a unit may stand behind the number.

    Raises:
        RecordError: it is no length of time.
    """
    if _PLAIN_LENGTH.fullmatch(cell):
        return float(cell)
    match = _LENGTH.fullmatch(unguarded(cell).translate(_SPACE).lower())
    plain = _number(match[1] if match else cell, comma=comma)
    if plain is None:
        return None
    try:
        exact = Decimal(plain) * _TIME_UNITS[match[2] if match else ""]
    except InvalidOperation:
        raise RecordError("length of time that is no number") from None
    if not exact.is_finite() or not 0 <= exact <= LARGEST_MS:
        raise RecordError("length of time that cannot be")
    return float(exact)


def moment(cell: str, zone: ZoneInfo | None) -> int:
    """Read an instant as microseconds since 1970.

    Raises:
        RecordError: it is no time, has no offset, or lies outside 2000 to 2100.
    """
    value = instant(unguarded(cell).strip(), zone)
    if not EARLIEST <= value < LATEST:
        raise RecordError("time outside 2000 to 2100")
    return value


@lru_cache(maxsize=256)
def reader(column: str, *, comma: bool, zone: ZoneInfo | None) -> Callable[[str], Cell]:
    """Give the function that reads the cells of a column of `usage`.

    The same one each time: the console's list asks for every cell, and what it remembers stays.
    """
    if column == "ts":
        return lambda cell: moment(cell, zone)
    if column in usage_names.MONEY:
        return lambda cell: amount(cell, comma=comma)
    if column in usage_names.COUNTS:
        return lambda cell: count(cell, comma=comma)
    if column in usage_names.REALS:
        return lambda cell: length_ms(cell, comma=comma)
    special: Mapping[str, Callable[[str], Cell]] = {
        "reasoning_effort": effort,
        "billing_mode": billing_mode,
        "request_type": request_type,
    }
    return lru_cache(maxsize=_REMEMBERED)(special.get(column, text))


def _number(cell: str, *, comma: bool) -> str | None:
    """Bring a number to plain digits with a point; None when nothing stands there.

    Raises:
        RecordError: the amount is in another currency.
    """
    plain = unguarded(cell.strip()).strip()
    if plain.lower() in _NOTHING:
        return None
    if any(sign in plain for sign in "¥￥€£元"):
        raise RecordError("amount that is not in USD")
    plain = plain.replace("US$", "").replace("$", "").replace("USD", "").strip()
    plain = plain.replace("\u2212", "-")
    if plain.startswith("(") and plain.endswith(")"):
        plain = f"-{plain[1:-1]}"
    if "_" in plain:
        return "?"
    if (comma and _EUROPE.fullmatch(plain)) or (not comma and _US.fullmatch(plain)):
        mark = "," if comma else "."
        whole, _, rest = plain.partition(mark)
        return re.sub(r"[^\d+\-]", "", whole) + (f".{rest}" if rest else "")
    if comma and _DECIMAL_COMMA.fullmatch(plain):
        return plain.replace(",", ".")
    return plain
