"""Turn the values of one attempt into the types of the table `calls`, or refuse the record."""

import math
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from runbook_lib import clock
from runbook_lib.errors import RecordError
from runbook_lib.schema import CALLS
from runbook_lib.sources.stage import clean, micros

TEXT_LIMIT = 1000
LARGEST_COUNT = 2**63 - 1
EARLIEST, _LATEST = 946_684_800_000_000, 4_102_444_800_000_000
_NOTHING = frozenset({"", "-", "none", "null", "nil", "n/a"})
_TRUE, _FALSE = frozenset({"true", "1", "yes"}), frozenset({"false", "0", "no"})


def instant(value: object, zone: ZoneInfo | None) -> int:
    """Read the time of a record as microseconds since 1970.

    Args:
        value: RFC 3339 text, or a number since 1970 in s, ms, µs or ns; the size tells which.
        zone: Zone of times without an offset; without it they are refused.

    Raises:
        RecordError: there is no time, or none that can be read.
    """
    if isinstance(value, str):
        parsed = clock.parse(value, default_zone=zone)
        if parsed is not None:
            return micros(parsed)
        number = _number_in(value)
        if number is None:
            raise RecordError(_why_no_time(value, zone))
        return _from_epoch(number)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _from_epoch(value)
    raise RecordError("no time")


def _why_no_time(value: str, zone: ZoneInfo | None) -> str:
    if clock.parse(value, default_zone=ZoneInfo("UTC")) is None:
        return "time that cannot be read"
    if zone is None:
        return "time without an offset (name its zone)"
    return "time that its zone skips or has twice"


def _number_in(text: str) -> float | int | None:
    if "_" in text:
        return None
    try:
        return int(text)
    except ValueError:
        try:
            return float(text)
        except ValueError:
            return None


def _from_epoch(value: float) -> int:
    if not math.isfinite(value):
        raise RecordError("time that cannot be read")
    size = abs(value)
    for limit, factor in ((1e11, 1_000_000), (1e14, 1000), (1e17, 1)):
        if size < limit:
            exact = round(value * factor)
            break
    else:
        exact = round(value / 1000) if isinstance(value, float) else int(value) // 1000
    if not EARLIEST <= exact < _LATEST:
        raise RecordError("time outside 2000 to 2100")
    return exact


def text(value: object) -> str | None:
    """Read a text; a list is joined by commas; blank or "-" means absent."""
    if isinstance(value, str):
        bare = value.strip()
        if 4 < len(bare) <= TEXT_LIMIT:
            return bare
    elif isinstance(value, list):
        if len(value) == 1:
            return text(value[0])
        bare = ",".join(part for item in value if (part := text(item)) is not None)
    elif value is None or isinstance(value, dict):
        return None
    else:
        bare = str(value).lower() if isinstance(value, bool) else str(value)
    if not bare or (len(bare) <= 4 and bare.lower() in _NOTHING):
        return None
    return bare if len(bare) <= TEXT_LIMIT else bare[:TEXT_LIMIT]


def whole(name: str, value: object) -> int | None:
    """Read a whole number that is not negative.

    Raises:
        RecordError: the value is a fraction, negative, too large or no number.
    """
    if type(value) is int:
        number: float | int | None = value
    elif isinstance(value, str):
        if value.strip().lower() in _NOTHING:
            return None
        number = _number_in(value.strip())
    elif isinstance(value, float):
        number = value
    else:
        number = None
    if number is None or (isinstance(number, float) and not number.is_integer()):
        raise RecordError(f"{name} is no whole number")
    if not 0 <= number <= LARGEST_COUNT:
        raise RecordError(f"{name} is out of range")
    return int(number)


def real(name: str, value: object) -> float | None:
    """Read a finite number that is not negative.

    Raises:
        RecordError: the value is negative, infinite or no number.
    """
    number: float | int | None = None
    if isinstance(value, int | float) and not isinstance(value, bool):
        number = value
    elif isinstance(value, str):
        if value.strip().lower() in _NOTHING:
            return None
        number = _number_in(value.strip())
    if number is None:
        raise RecordError(f"{name} is no number")
    try:
        size = float(number)
    except OverflowError:
        size = math.inf
    if not 0 <= size < math.inf:
        raise RecordError(f"{name} is out of range")
    return size


def flag(name: str, value: object) -> bool | None:
    """Read true or false.

    Raises:
        RecordError: the value is neither.
    """
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    if word in _NOTHING:
        return None
    raise RecordError(f"{name} is neither true nor false")


def status(value: object) -> int | None:
    """Read an HTTP status; 0 and -1, which clients write when no answer came, are absent.

    Raises:
        RecordError: the value is no status.
    """
    if value in (0, -1, "0", "-1"):
        return None
    number = whole("status", value)
    if number is not None and not 100 <= number <= 599:
        raise RecordError("status is no HTTP status")
    return number


def ids(value: object) -> str | None:
    """Read the values of an id header: a list, or a text in which clients joined them."""
    joined = text(value)
    if joined is None or "," not in joined:
        return joined
    return ",".join(part.strip() for part in joined.split(",") if part.strip()) or None


def path(value: object) -> str | None:
    """Read the path of a URL or path; what follows "?" can hold a key and is dropped."""
    bare = text(value)
    if bare is None:
        return None
    if "://" in bare:
        bare = _split(bare)[1] or "/"
    return bare.partition("?")[0].partition("#")[0] or None


def server(value: object) -> str | None:
    """Read the host of a URL or host, without port, user or path."""
    bare = text(value)
    if bare is None or "://" not in bare:
        return bare
    return _split(bare)[0]


def _split(url: str) -> tuple[str | None, str]:
    try:
        parts = urlsplit(url)
    except ValueError:
        return None, ""
    return parts.hostname, parts.path


def retry_after(value: object) -> float | None:
    """Read Retry-After in seconds; its other form, a date, is left unknown."""
    if isinstance(value, list):
        value = value[0] if value else None
    if isinstance(value, str) and _number_in(value.strip()) is None:
        return None
    return None if value is None else real("retry_after_s", value)


def first(value: object) -> str | None:
    """Read the first value of a header."""
    joined = ids(value)
    return None if joined is None else joined.partition(",")[0]


def code(value: object) -> str | None:
    """Read a code of the gateway; a number is a status, never a code (contract §3.1)."""
    found = text(value)
    return None if found is None or found.isdigit() else found


def _attempt(value: object) -> int | None:
    number = whole("attempt", value)
    if number is not None and not 1 <= number <= 1_000_000:
        raise RecordError("attempt is out of range")
    return number


_SPECIAL: dict[str, Callable[[Any], Any]] = {
    "status": status,
    "code": code,
    "request_ids": ids,
    "client_request_id": first,
    "content_type": first,
    "path": path,
    "server": server,
    "retry_after_s": retry_after,
    "attempt": _attempt,
    "finish_reasons": ids,
}
_MADE = frozenset(
    {"account", "ts", "slot", "outcome", "retry", "extra", "source_file", "row_number"}
)


def _plain(name: str, kind: str) -> Callable[[Any], Any]:
    by_kind: dict[str, Callable[[str, object], Any]] = {"int": whole, "real": real, "flag": flag}
    convert = by_kind.get(kind)
    return text if convert is None else lambda value: convert(name, value)


READ: dict[str, Callable[[Any], Any]] = {
    column.name: _SPECIAL.get(column.name) or _plain(column.name, column.type)
    for column in CALLS.columns
    if column.name not in _MADE
}
"""How the value of each column that comes from a log is read."""


def convert(raw: Mapping[str, Any], *, cleaned: bool) -> dict[str, Any]:
    """Convert the values of one record by the declared type of their columns.

    Args:
        raw: Column of `calls` to value as found; absent or None where the record has none.
        cleaned: Whether texts must be searched for secrets and broken characters.

    Raises:
        RecordError: a value does not convert.
    """
    held: dict[str, Any] = {}
    for name, value in raw.items():
        read = READ.get(name)
        if read is None or value is None:
            continue
        try:
            found = read(value)
        except RecordError as error:
            raise RecordError(error.reason, field=name, value=value) from None
        if found is not None:
            held[name] = clean(found) if cleaned and isinstance(found, str) else found
    return held
