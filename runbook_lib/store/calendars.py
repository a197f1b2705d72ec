"""The calendar of a zone: where each 15-minute slot of UTC falls in local hours and days."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from runbook_lib.clock import SLOT_MINUTES

if TYPE_CHECKING:
    import pyarrow as pa

_STEP = timedelta(minutes=SLOT_MINUTES)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@lru_cache(maxsize=16)
def calendar(first: int, last: int, zone: ZoneInfo) -> "pa.Table":
    """Lay out the slots *first* to *last*, both with it.

    A doubled hour of a clock change is two hours, told apart by the offset in `hour_local`; a day
    begins with its first instant, be that midnight or not.

    Columns: `slot`, `hour` and `day` (instants they begin at, UTC), `hour_local`
    ("2026-10-25T02:00+02:00") and `day_local`.
    """
    import pyarrow as pa

    moments = [_EPOCH + _STEP * slot for slot in range(first, last + 1)]
    locals_ = [moment.astimezone(zone) for moment in moments]
    hours = _starts(moments, [_hour(at) for at in locals_])
    hours[:4] = [_start(moment, zone, _hour) for moment in moments[:4]]
    days = _starts(moments, [_day(at) for at in locals_])
    if moments:
        first_day = _start(moments[0], zone, _day)
        days = [first_day if day == moments[0] else day for day in days]
    utc = pa.timestamp("us", tz="UTC")
    return pa.table(
        {
            "slot": pa.array(range(first, last + 1), pa.int64()),
            "hour": pa.array(hours, utc),
            "hour_local": [at.astimezone(zone).isoformat(timespec="minutes") for at in hours],
            "day": pa.array(days, utc),
            "day_local": pa.array([at.date() for at in locals_], pa.date32()),
        }
    )


def _starts(moments: Sequence[datetime], spans: Sequence[object]) -> list[datetime]:
    """Give each moment the first one of its span."""
    first: dict[object, datetime] = {}
    return [first.setdefault(span, moment) for moment, span in zip(moments, spans, strict=True)]


def _start(moment: datetime, zone: ZoneInfo, span: Callable[[datetime], object]) -> datetime:
    """Walk back to the first slot of the span a moment lies in."""
    here = span(moment.astimezone(zone))
    while span((moment - _STEP).astimezone(zone)) == here:
        moment -= _STEP
    return moment


def _hour(at: datetime) -> object:
    return at.date(), at.hour, at.utcoffset()


def _day(at: datetime) -> object:
    return at.date()
