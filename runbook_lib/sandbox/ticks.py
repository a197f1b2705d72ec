"""Instants of the virtual clock: whole microseconds since 1970, UTC.

Plain integers, because a history of a million requests compares and adds them all the time.
The server's zone is Asia/Shanghai, which has been eight hours ahead all year since 1991, so local
days need no zone table. Nothing here asks the machine for the time.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache

MILLI = 1_000
SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

SERVER_ZONE = "Asia/Shanghai"
"""Zone of the gateway's server: its days begin at 16:00 UTC."""

SERVER_AHEAD = 8 * HOUR
FOREVER = 1 << 62
"""Later than everything: set aside until somebody repairs it."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def tick(instant: datetime) -> int:
    """Give the tick of an aware instant."""
    return (instant - _EPOCH) // timedelta(microseconds=1)


def parse(text: str) -> int:
    """Read the tick of an RFC 3339 time with an offset, such as "2026-11-18T13:00:00Z".

    Raises:
        ValueError: the text is no such time.
    """
    return tick(datetime.fromisoformat(text))


def instant(at: int) -> datetime:
    """Give the aware UTC instant of a tick."""
    return _EPOCH + timedelta(microseconds=at)


def server_midnight(at: int) -> int:
    """Give the last midnight of the server's zone at or before a tick."""
    return at - (at + SERVER_AHEAD) % DAY


def server_day(at: int) -> str:
    """Name the day of a tick in the server's zone: "2026-11-24"."""
    return f"{instant(at + SERVER_AHEAD):%Y-%m-%d}"


def server_time(at: int) -> str:
    """Write a tick as the console does: server's zone, no trailing zeros in the fraction."""
    return f"{_trimmed(at + SERVER_AHEAD)}+08:00"


def utc_time(at: int) -> str:
    """Write a tick as the gateway's database does: UTC, no trailing zeros in the fraction."""
    return f"{_trimmed(at)}+00:00"


def utc_millis(at: int) -> str:
    """Write a tick as a client's log does: "2026-11-24T05:31:40.300Z"."""
    whole, micros = divmod(at, SECOND)
    return f"{_second(whole)}.{micros // MILLI:03d}Z"


def utc_seconds(at: int) -> str:
    """Write a tick to the second: "2026-11-24T05:31:40Z"."""
    return f"{instant(at):%Y-%m-%dT%H:%M:%SZ}"


def _trimmed(at: int) -> str:
    whole, micros = divmod(at, SECOND)
    text = _second(whole)
    return f"{text}.{micros:06d}".rstrip("0") if micros else text


def _second(whole: int) -> str:
    """Write seconds since 1970: "2026-11-24T05:31:40"; a history writes a million of them."""
    day, left = divmod(whole, 86_400)
    minutes, seconds = divmod(left, 60)
    return f"{_day(day)}T{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}"


@lru_cache(maxsize=1024)
def _day(day: int) -> str:
    return (_EPOCH + timedelta(days=day)).isoformat()[:10]
