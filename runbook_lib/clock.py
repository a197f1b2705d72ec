"""Instants are aware UTC, windows are half-open, and people read them in one reporting zone.

No function here asks the machine for the time: `now` is a parameter of every run.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from runbook_lib.errors import ParameterError

if TYPE_CHECKING:
    import pandas as pd

SLOT_MINUTES = 15
"""Every offset in use is a multiple of a quarter hour, so a 15-minute slot never spans two days."""

_INSTANT = re.compile(
    r"(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2}(?::\d{2})?)(?:[.,](\d{1,9}))?"
    r" ?(Z|z|UTC|[+-]\d{2}:?\d{2})?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A half-open span of time: `start` belongs to it, `end` does not. Both aware UTC."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.start.utcoffset() is None or self.end.utcoffset() is None:
            raise ParameterError("start, end", (self.start, self.end), hint="times with an offset")
        if self.end < self.start:
            raise ParameterError("end", self.end.isoformat(), hint="a time after start")

    @classmethod
    def around(cls, first: datetime, last: datetime, margin: timedelta) -> Self:
        """Span from *margin* before *first* to *margin* after *last*."""
        return cls(start=first - margin, end=last + margin)

    def holds(self, times: "pd.Series") -> "pd.Series[bool]":
        """Tell which of some aware instants are in it."""
        return (times >= self.start) & (times < self.end)

    def meets(self, other: Self) -> bool:
        """Tell whether the two have a time in common."""
        return self.start < other.end and other.start < self.end


def zone(name: str, *, parameter: str = "timezone") -> ZoneInfo:
    """Find an IANA zone by name.

    Args:
        name: Such as "Europe/Berlin".
        parameter: What the zone is called where it was given, for the message.

    Raises:
        ParameterError: no such zone is known.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, IsADirectoryError, OSError):
        raise ParameterError(parameter, name, hint="an IANA zone such as Europe/Berlin") from None


def parse(text: str, *, default_zone: ZoneInfo | None = None) -> datetime | None:
    """Read one instant, to the microsecond, as aware UTC.

    Args:
        text: RFC 3339 such as "2026-11-24T13:43:02.66+08:00"; a blank may stand for the "T".
        default_zone: Zone of times without an offset; without it they are refused. A time that
            the zone skips is refused too, the second of a doubled hour is never guessed.

    Returns:
        The instant in UTC, or None when the text is no such time.
    """
    match = _INSTANT.fullmatch(text.strip())
    if match is None:
        return None
    day, clock, fraction, offset = match.groups()
    micros = (fraction or "").ljust(6, "0")[:6]
    offset = "+00:00" if offset in ("Z", "z", "UTC") else offset
    try:
        instant = datetime.fromisoformat(
            f"{day}T{clock if clock[5:] else clock + ':00'}.{micros}{offset or ''}"
        )
        if offset is None:
            return None if default_zone is None else _from_zone(instant, default_zone)
        return instant.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _from_zone(naive: datetime, place: ZoneInfo) -> datetime | None:
    first, second = (naive.replace(tzinfo=place, fold=fold) for fold in (0, 1))
    if first.utcoffset() != second.utcoffset():
        return None
    return first.astimezone(UTC)


def from_parameter(name: str, text: str, place: ZoneInfo) -> datetime:
    """Read a time that a person typed; without an offset it is meant in the reporting zone.

    Raises:
        ParameterError: the text is no time, or one the zone skips or has twice.
    """
    day_only = re.fullmatch(r"\d{4}-\d{2}-\d{2}", text.strip())
    instant = parse(f"{text.strip()}T00:00:00" if day_only else text, default_zone=place)
    if instant is None:
        raise ParameterError(name, text, hint="a time such as 2026-11-24T05:30:00Z")
    return instant


def stamp(instant: datetime | None) -> str:
    """Write an instant for programs: "2026-11-24T05:43:02.661639Z", empty for unknown."""
    if instant is None:
        return ""
    text = instant.astimezone(UTC).isoformat(timespec="microseconds")
    return text.replace("+00:00", "Z")


def clock_time(instant: datetime, place: ZoneInfo, *, seconds: bool = True) -> str:
    """Write an instant for people in one zone: "2026-11-24 13:43:02 CST"."""
    local = instant.astimezone(place)
    return local.strftime("%Y-%m-%d %H:%M:%S %Z" if seconds else "%Y-%m-%d %H:%M %Z")


def ago(span: timedelta) -> str:
    """Write a length of time for people: "45 s", "3 min", "2 h 5 min", "4 days"."""
    seconds = int(span.total_seconds())
    if seconds < 120:
        return f"{seconds} s"
    if seconds < 7200:
        return f"{seconds // 60} min"
    if seconds < 172_800:
        return f"{seconds // 3600} h {seconds % 3600 // 60} min"
    return f"{seconds // 86_400} days"
