"""The window a drill-down is about, and the one it is compared with."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from runbook_lib import clock
from runbook_lib.clock import Window
from runbook_lib.errors import ParameterError

LACKING = timedelta(hours=3)
"""A window whose rows begin or end within this of its own ends counts as whole."""


MIDNIGHT = time()


def window(span: Window, start: str, end: str, place: ZoneInfo, now: datetime) -> Window:
    """Give the span asked; without one the last whole local week, or all where there is none.

    Args:
        span: That of the usage rows held.
        start: As typed; open for the start of the rows.
        end: As typed; open for the end of the rows.
        place: Zone in which times without an offset are meant, and weeks begin.
        now: When it is asked, aware.

    Raises:
        ParameterError: a time cannot be read, or the rows leave nothing of the span.
    """
    if start or end:
        first = clock.from_parameter("start", start, place) if start else span.start
        last = clock.from_parameter("end", end, place) if end else span.end
        if start and not end and first >= last:
            told = f"a time before the rows end, {clock.clock_time(last, place)}"
            raise ParameterError("start", start, hint=told)
        if end and not start and first >= last:
            told = f"a time after the rows begin, {clock.clock_time(first, place)}"
            raise ParameterError("end", end, hint=told)
        return Window(start=first, end=last)
    until = (min(span.end, now) + LACKING).astimezone(place)
    monday = until.date() - timedelta(days=until.weekday())
    week = Window(start=_at(monday - timedelta(days=7), place), end=_at(monday, place))
    return week if week.start >= span.start - timedelta(days=1) else span


def before(
    span: Window, asked: Window, start: str, end: str, place: ZoneInfo
) -> tuple[Window | None, list[str]]:
    """Give the window it is compared with, as long and just before it where none is asked.

    Whole local days are compared with as many local days: a day of a changed clock is one.

    Args:
        span: That of the usage rows held.
        asked: The window.
        start: As typed; open for as far from the end as the window is long.
        end: As typed; open for as far from the start.
        place: Zone of days, and of times without an offset.

    Returns:
        The window, None where no rows of it are held; and what is not known of it.
    """
    length = asked.end - asked.start
    if start or end:
        ends = [
            clock.from_parameter(name, text, place) if text else None
            for name, text in (("compare_start", start), ("compare_end", end))
        ]
        first = ends[0] or (ends[1] or asked.start) - length
        made = Window(start=first, end=ends[1] or first + length)
        told = lacking(span, made, place, made.end, "the time it is compared with")
        return (made if made.meets(span) else None), told
    local, until = asked.start.astimezone(place), asked.end.astimezone(place)
    days = (until.date() - local.date()).days
    first = asked.start - length
    if days and local.time() == until.time():
        first = _at(local.date() - timedelta(days=days), place, local.time())
    reach = span.start - length / 10
    return (Window(start=first, end=asked.start) if first >= reach else None), []


def lacking(span: Window, asked: Window, place: ZoneInfo, now: datetime, what: str) -> list[str]:
    """Say what of a window no usage row can tell, as nothing spent and nothing known differ.

    Args:
        span: That of the usage rows held.
        asked: A window.
        place: Zone in which times are told.
        now: When it is asked: what comes later is not over, and not lacking.
        what: Words for the window.
    """
    if not asked.meets(span):
        return [f"no usage row is held of {what}"]
    parts = (
        (span.start - asked.start > LACKING, "begin", span.start),
        (min(asked.end, now) - span.end > LACKING, "end", span.end),
    )
    return [
        f"usage rows {word} at {clock.clock_time(at, place, seconds=False)}, within {what}: "
        "beyond it nothing is known"
        for lacks, word, at in parts
        if lacks
    ]


def _at(day: date, place: ZoneInfo, at: time = MIDNIGHT) -> datetime:
    return datetime.combine(day, at, place).astimezone(UTC)
