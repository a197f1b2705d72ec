"""The window of a drill-down and the one it is compared with: as long, and known."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from runbook_lib import clock
from runbook_lib.clock import Window
from runbook_lib.errors import ParameterError
from runbook_lib.runbooks import spans

BERLIN = ZoneInfo("Europe/Berlin")
UTC_ZONE = ZoneInfo("UTC")


def at(text: str) -> datetime:
    """An instant in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


HELD = Window(start=at("2026-10-01T00:00:01"), end=at("2026-11-23T00:00:00"))
NOW = at("2026-11-23T06:00:00")


def compared(start: str, end: str, place: ZoneInfo = UTC_ZONE) -> tuple[str, str] | None:
    """Ends of the window before, as text."""
    made, told = spans.before(HELD, spans.window(HELD, start, end, place, NOW), "", "", place)
    assert told == []
    return made and (clock.stamp(made.start)[:16], clock.stamp(made.end)[:16])


@pytest.mark.parametrize(
    ("start", "end", "before"),
    [
        pytest.param("2026-11-16", "2026-11-23", "2026-11-09T00:00", id="a week"),
        pytest.param("2026-11-07T18:00", "2026-11-09T18:00", "2026-11-05T18:00", id="from evening"),
        pytest.param("2026-11-07T10:00", "2026-11-08T02:00", "2026-11-06T18:00", id="overnight"),
        pytest.param("2026-11-07T23:50", "2026-11-08T00:10", "2026-11-07T23:30", id="minutes"),
        pytest.param("2026-11-07T00:10", "2026-11-08T00:05", "2026-11-06T00:15", id="nearly a day"),
    ],
)  # fmt: skip
def test_the_window_before_is_as_long_and_ends_where_this_begins(
    start: str, end: str, before: str
) -> None:
    """Else half of a constant spend would read as a fall, and a whole as a rise of 100 %."""
    assert compared(start, end) == (before, clock.stamp(at(_padded(start)))[:16])


def _padded(text: str) -> str:
    return text if "T" in text else f"{text}T00:00:00"


def test_days_of_a_changed_clock_are_days() -> None:
    """The Sunday of 25 hours is compared with the Saturday, not with 25 hours of it."""
    assert compared("2026-10-25", "2026-10-26", BERLIN) == ("2026-10-23T22:00", "2026-10-24T22:00")


def test_what_the_data_do_not_reach_is_not_compared() -> None:
    """A week of which nothing is held is unknown, and no week of nothing."""
    assert compared("2026-10-02", "2026-10-09") is None
    asked = spans.window(HELD, "2026-11-02", "2026-11-09", UTC_ZONE, NOW)
    made, told = spans.before(HELD, asked, "2026-08-01", "2026-08-08", UTC_ZONE)
    assert made is None
    assert told == ["no usage row is held of the time it is compared with"]
    made, told = spans.before(HELD, asked, "2026-09-28", "", UTC_ZONE)
    assert made is not None
    assert made.end - made.start == asked.end - asked.start
    assert "usage rows begin at 2026-10-01" in told[0]


@pytest.mark.parametrize(
    ("start", "end", "told"),
    [
        pytest.param("2026-11-01", "2026-11-08", [], id="whole"),
        pytest.param("2026-11-20", "2026-12-01", ["end at 2026-11-23"], id="goes on"),
        pytest.param("2026-09-20", "2026-10-10", ["begin at 2026-10-01"], id="began before"),
        pytest.param("2020-01-01", "2020-01-02", ["no usage row is held"], id="elsewhere"),
    ],
)
def test_what_no_row_tells_is_said(start: str, end: str, told: list[str]) -> None:
    """Nothing spent and nothing known are different answers."""
    asked = spans.window(HELD, start, end, UTC_ZONE, at("2026-12-05T00:00:00"))
    found = spans.lacking(HELD, asked, UTC_ZONE, at("2026-12-05T00:00:00"), "the time asked")
    assert len(found) == len(told)
    assert all(part in line for part, line in zip(told, found, strict=True))


def test_what_is_not_over_is_not_lacking() -> None:
    """Of the running month, the days to come are missed by nobody."""
    asked = spans.window(HELD, "2026-11-01", "2026-12-01", UTC_ZONE, NOW)
    assert spans.lacking(HELD, asked, UTC_ZONE, at("2026-11-23T01:00:00"), "it") == []


@pytest.mark.parametrize(
    ("start", "end", "name"), [("2026-12-24", "", "start"), ("", "2026-01-01", "end")]
)
def test_an_open_end_beyond_the_data_names_what_was_typed(start: str, end: str, name: str) -> None:
    """The reader gave one time, and must not be told of the other."""
    with pytest.raises(ParameterError) as told:
        spans.window(HELD, start, end, UTC_ZONE, NOW)
    assert told.value.name == name


def test_without_a_whole_week_all_of_the_rows_are_asked() -> None:
    """A day of data is looked at as it is."""
    day = Window(start=at("2026-11-20T08:00:00"), end=at("2026-11-21T08:00:00"))
    assert spans.window(day, "", "", UTC_ZONE, NOW) == day
    week = spans.window(HELD, "", "", UTC_ZONE, NOW)
    assert (week.start, week.end) == (at("2026-11-16T00:00:00"), at("2026-11-23T00:00:00"))
