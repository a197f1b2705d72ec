"""Rows as a table for people: what can be read at a glance, with the exact value behind it."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from runbook_lib import clock, money, redact
from runbook_lib.report import markup, words

if TYPE_CHECKING:
    import pandas as pd

MOST_SHOWN = 25
"""Rows of a table that are shown; all of them are in the CSV."""

WIDE = 8
"""Columns from which on empty ones are left out."""

MOST_TEXT = 160
"""Characters of one text that are shown."""

ABSENT = "–"
"""Stands for what is unknown."""

_UNITS = {"usd": "USD", "cny": "CNY", "ms": "ms", "s": "s", "hours": "h", "minutes": "min"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One value as shown.

    Attributes:
        told: What is read; raw text, escaped where HTML is made of it.
        under: A second, smaller line.
        exact: The exact value, where *told* is shorter.
        right: Lined up at the right, as numbers are.
        whole: Never broken over lines.
        code: An id, set in even letters.
    """

    told: str
    under: str = ""
    exact: str = ""
    right: bool = False
    whole: bool = False
    code: bool = False

    def cell(self, *, right: bool) -> str:
        """Make the cell of a table."""
        inner = markup.text(self.told)
        if self.code:
            inner = f'<code style="background:none;padding:0;font-size:12px">{inner}</code>'
        if self.under:
            inner += f"<br>{markup.muted(markup.text(self.under))}"
        return markup.cell(inner, right=right, title=self.exact, nowrap=self.whole)

    @property
    def plain(self) -> str:
        """The value in one line of text."""
        return redact.safe(f"{self.told} ({self.under})" if self.under else self.told)


def absent(value: Any) -> bool:
    """Tell whether a value of a frame stands for unknown: None, NaN, NaT or NA."""
    if value is None or isinstance(value, str | list | tuple | dict):
        return value is None
    try:
        return bool(value != value)  # NaN and NaT differ from themselves
    except TypeError:  # pandas.NA is neither true nor false
        return True


def label(name: str) -> str:
    """Write the name of a column for people: `duration_ms` is "Duration (ms)"."""
    name = "time" if name == "ts" else name
    stem, _, unit = name.rpartition("_")
    told = f"{stem} ({_UNITS[unit]})" if stem and unit in _UNITS else name
    told = told.replace("_", " ").strip() or "value"
    return told[0].upper() + told[1:]


def instant(value: datetime, zone: ZoneInfo) -> Shown:
    """Show an instant in the reporting zone, and in UTC under it where that differs."""
    local, utc = value.astimezone(zone), value.astimezone(UTC)
    form = "%H:%M:%S UTC" if local.date() == utc.date() else "%Y-%m-%d %H:%M:%S UTC"
    return Shown(
        told=clock.clock_time(value, zone),
        under=utc.strftime(form) if local.utcoffset() else "",
        exact=clock.stamp(value),
        whole=True,
    )


def _amount(value: Decimal, name: str) -> Shown:
    if name.endswith("usd"):
        return Shown(told=money.usd(value), exact=f"{money.plain(value)} USD", right=True)
    return Shown(told=money.plain(value), right=True)


def _number(value: float, name: str) -> Shown:
    if name.endswith(("share", "rate")) and 0 <= value <= 1:
        return Shown(told=words.share(value), exact=repr(value), right=True)
    if isinstance(value, int):
        plain = name.endswith(("status", "row", "row_number", "year"))
        return Shown(told=str(value) if plain else f"{value:,}", right=True)
    digits = 0 if abs(value) >= 100 or value.is_integer() else 1 if abs(value) >= 10 else 2
    return Shown(told=f"{value:,.{digits}f}", exact=repr(value), right=True)


def _text(value: object, name: str) -> Shown:
    told = ", ".join(map(str, value)) if isinstance(value, list | tuple | set) else str(value)
    like_id = name.rpartition("_")[2] in ("id", "ids", "sha256")
    short = told if len(told) <= MOST_TEXT else f"{told[: MOST_TEXT - 1]}…"
    return Shown(
        told=short or ABSENT,
        exact=told if short != told else "",
        code=like_id and bool(short),
        whole=like_id or len(short) <= 24,
    )


def shown(value: Any, name: str, zone: ZoneInfo) -> Shown:
    """Show one value of any type, by the name of its column."""
    if absent(value):
        return Shown(told=ABSENT)
    if hasattr(value, "item") and not isinstance(value, datetime):
        value = value.item()
    if isinstance(value, bool):
        return Shown(told="yes" if value else "no")
    if isinstance(value, Decimal):
        return _amount(value, name)
    if isinstance(value, int | float):
        return _number(value, name)
    if isinstance(value, datetime) and value.utcoffset() is not None:
        return instant(value, zone)
    return _text(value.isoformat() if isinstance(value, date) else value, name)


def _columns(frame: "pd.DataFrame", zone: ZoneInfo, most: int) -> list[list[Shown]]:
    return [
        [shown(value, str(name), zone) for value in frame.iloc[:most, place]]
        for place, name in enumerate(frame.columns)
    ]


def filled(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Leave out the columns that hold no value, where a frame is wide.

    Args:
        frame: Any frame.

    Returns:
        The frame, all its rows; itself when it has at most `WIDE` columns.
    """
    if len(frame.columns) <= WIDE or frame.empty:
        return frame
    held = [not all(map(absent, frame.iloc[:, at])) for at in range(len(frame.columns))]
    return frame.loc[:, held]


def rows(frame: "pd.DataFrame", caption: str, zone: ZoneInfo, *, most: int = MOST_SHOWN) -> str:
    """Make the table of a frame, its first *most* rows, as HTML.

    Args:
        frame: Any frame; its index is not shown.
        caption: Title of the table.
        zone: Zone its times are shown in, UTC under it.
        most: Rows shown.

    Returns:
        HTML; every value escaped.
    """
    columns = _columns(frame, zone, most)
    right = [any(item.right for item in column) for column in columns]
    heads = [
        markup.header(label(str(name)), right=side)
        for name, side in zip(frame.columns, right, strict=True)
    ]
    lines = [
        "".join(item.cell(right=side) for item, side in zip(line, right, strict=True))
        for line in zip(*columns, strict=True)
    ]
    return markup.table(caption, heads, lines)


def plain(frame: "pd.DataFrame", zone: ZoneInfo, *, most: int = MOST_SHOWN) -> str:
    """Write the first rows of a frame as text in columns.

    Args:
        frame: Any frame; its index is not shown.
        zone: Zone its times are shown in.
        most: Rows shown.

    Returns:
        A line of headers, then a line a row.
    """
    columns = [
        [redact.safe(label(str(name))), *(item.plain for item in column)]
        for name, column in zip(frame.columns, _columns(frame, zone, most), strict=True)
    ]
    widths = [max(map(len, column)) for column in columns]
    return "\n".join(
        "  ".join(told.ljust(width) for told, width in zip(line, widths, strict=True)).rstrip()
        for line in zip(*columns, strict=True)
    )
