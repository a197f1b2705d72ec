"""Words for people: counts with their noun, instants in their zone."""

from datetime import datetime
from zoneinfo import ZoneInfo


def counted(number: int, noun: str) -> str:
    """Count a noun: "1 key", "2 keys", "1 entry" and "2 entries"."""
    if number == 1:
        return f"1 {noun}"
    plural = noun[:-1] + "ies" if noun.endswith("y") and noun != "key" else noun + "s"
    return f"{number:,} {plural}"


def time_of(at: datetime, place: ZoneInfo) -> str:
    """Write the time of an instant: "13:43:02 CST"."""
    return f"{at.astimezone(place):%H:%M:%S %Z}"


def moment(at: datetime, place: ZoneInfo) -> str:
    """Write an instant: "13:43:02 CST on 2026-11-24"."""
    local = at.astimezone(place)
    return f"{local:%H:%M:%S %Z} on {local:%Y-%m-%d}"


def span_of(start: datetime, end: datetime, place: ZoneInfo) -> str:
    """Write a span: "2026-11-24 13:43:02 CST to 14:00:00 CST", its day once where it is one."""
    first, last = start.astimezone(place), end.astimezone(place)
    day = "" if first.date() == last.date() else f"{last:%Y-%m-%d} "
    return f"{first:%Y-%m-%d %H:%M:%S %Z} to {day}{last:%H:%M:%S %Z}"
