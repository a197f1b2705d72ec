"""Read the headers of an answer: any case, several lines of one name, several ids in one line.

Source: contract §5 (ids), §3.2 (`Retry-After`); the vectors of `Retry-After` after the SDKs.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Any

from runbook_lib import contract
from runbook_lib.contract import Wait

Headers = Mapping[str, str | Sequence[str]] | Sequence[tuple[str, str]]

_MOST_LINES = 1000
_LONGEST_VALUE = 8192
_NUMBER = re.compile(r"\+?(\d{1,300}(?:\.\d{0,300})?|\.\d{1,300})\s*(ms|s)?", re.ASCII)


def lines(headers: Headers | None) -> dict[str, list[str]]:
    """Give the values of each header, one entry a line, under its name in lower case."""
    found: dict[str, list[str]] = {}
    for name, value in _pairs(headers):
        key = _text(name).strip().lower()
        found.setdefault(key, []).extend(_text(each)[:_LONGEST_VALUE] for each in _values(value))
    return found


def request_ids(headers: Headers | None) -> tuple[str, ...]:
    """Give every id in the headers, each once: of `x-request-id`, then `x-client-request-id`.

    Several lines and ids joined by a comma are parted; ids longer than the contract allows are
    left out. Source: contract §5 (D, M).
    """
    found = lines(headers)
    values = [
        part.strip()
        for name in (contract.REQUEST_ID_HEADER, contract.CLIENT_REQUEST_ID_HEADER)
        for line in found.get(name, [])
        for part in line.split(",")
    ]
    return tuple(dict.fromkeys(v for v in values if 0 < len(v) <= contract.LONGEST_REQUEST_ID))


def retry_after(found: Mapping[str, list[str]]) -> tuple[Wait, float | None]:
    """Tell what the answer says of waiting.

    Args:
        found: What `lines` gives.

    Returns:
        Whether no wait is named, a short or a long one, or something unusable; and its seconds,
        None where there is no usable one. A date counts from the answer's own `Date`; without
        that it is unusable, because the caller's clock may be wrong.

    Source: contract §3.2 (M, F).
    """
    named = False
    for header, unit in ((contract.RETRY_AFTER_MS_HEADER, 0.001), (contract.RETRY_AFTER_HEADER, 1)):
        for value in found.get(header, []):
            named = True
            seconds = _seconds(value.strip(), unit, found.get("date", []))
            if seconds is not None:
                return wait_of(seconds), seconds
    return (Wait.UNUSABLE if named else Wait.ABSENT), None


def wait_of(seconds: float | None) -> Wait:
    """Tell a short wait from a long one; None and NaN are no header, as tables have it.

    A negative or endless wait is unusable.
    """
    if seconds is None or math.isnan(seconds):
        return Wait.ABSENT
    if not math.isfinite(seconds) or seconds < 0:
        return Wait.UNUSABLE
    return Wait.SHORT if seconds <= contract.SHORT_WAIT_S else Wait.LONG


def _seconds(value: str, unit: float, sent: list[str]) -> float | None:
    number = _NUMBER.fullmatch(value)
    if number:
        seconds = float(number[1]) * (0.001 if number[2] == "ms" else unit)
        return seconds if math.isfinite(seconds) else None
    until, since = _epoch(value), _epoch(sent[0] if sent else "")
    if until is None or since is None or until < since:
        return None
    return until - since


def _epoch(date: str) -> float | None:
    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def _pairs(headers: Headers | None) -> Iterable[tuple[Any, Any]]:
    if headers is None:
        return []
    multi = getattr(headers, "multi_items", None)
    if callable(multi):
        pairs = multi()
    else:
        pairs = headers.items() if isinstance(headers, Mapping) else headers
    return [pair for pair in list(pairs)[:_MOST_LINES] if len(pair) == 2]


def _values(value: Any) -> Iterable[Any]:
    return [value] if isinstance(value, str | bytes) or value is None else list(value)[:_MOST_LINES]


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
