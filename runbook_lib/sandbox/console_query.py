"""What a list of the console's API is asked for: page, span of days, key, model (contract §7, M).

Page sizes above 1000 are silently 20, unknown filters and bad zones silently ignored.
"""

from collections.abc import Mapping
from datetime import date, datetime, timedelta, tzinfo
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from runbook_lib.errors import ConsoleError
from runbook_lib.sandbox import ticks
from runbook_lib.sandbox.machine import Row

_MOST, _USUAL = 1000, 20


class Page(NamedTuple):
    """Which page, and how many rows it has."""

    number: int
    size: int


class Span(NamedTuple):
    """Ticks from and to which rows are wanted, half-open, and the days as they are echoed."""

    start: int
    end: int
    first: str
    last: str


def page(query: Mapping[str, str]) -> Page:
    """Read the page that is asked for."""
    size = _whole(query.get("page_size", ""))
    return Page(max(1, _whole(query.get("page", ""))), size if 0 < size <= _MOST else _USUAL)


def span(query: Mapping[str, str], at: int) -> Span:
    """Read the days that are asked for; without them, the last seven and today.

    Raises:
        ConsoleError: a day is none.
    """
    zone = zone_of(query.get("timezone", ""))
    today = ticks.instant(at).astimezone(zone).date()
    first = _day(query, "start_date") or today - timedelta(days=7)
    last = _day(query, "end_date") or today
    ends = (_midnight(first, zone), _midnight(last + timedelta(days=1), zone))
    return Span(*ends, first.isoformat(), last.isoformat())


def chosen(rows: list[Row], query: Mapping[str, str], at: int) -> list[Row]:
    """Choose rows by days, model and stream, where they are asked for.

    Raises:
        ConsoleError: a day is none.
    """
    if query.get("start_date") or query.get("end_date"):
        asked = span(query, at)
        rows = [row for row in rows if asked.start <= row.end < asked.end]
    model, stream = query.get("model"), query.get("stream")
    if model:
        rows = [row for row in rows if row.request.model == model]
    if stream in ("true", "false"):
        rows = [row for row in rows if row.request.stream is (stream == "true")]
    return rows


def _day(query: Mapping[str, str], name: str) -> date | None:
    text = query.get(name, "")
    try:
        return datetime.strptime(text, "%Y-%m-%d").date() if text else None  # noqa: DTZ007 (a day)
    except ValueError:
        raise ConsoleError(400, f"Invalid {name} format, use YYYY-MM-DD") from None


def _midnight(day: date, zone: tzinfo) -> int:
    return ticks.tick(datetime(day.year, day.month, day.day, tzinfo=zone))


def zone_of(name: str) -> tzinfo:
    """Find the zone of a name; that of the server where there is none."""
    try:
        return ZoneInfo(name or ticks.SERVER_ZONE)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo(ticks.SERVER_ZONE)


def _whole(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
