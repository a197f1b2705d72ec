"""Rows as a table for people: what can be read at a glance, with the exact value behind it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from runbook_lib import clock, money, redact
from runbook_lib.report import columns as names_of
from runbook_lib.report import markup, words

if TYPE_CHECKING:
    import pandas as pd

MOST_SHOWN = 15
"""Rows of a table that are shown at once; all of them are in the CSV."""

MOST_FOLDED = 50
"""Rows behind them that can be folded out."""

WIDE = 8
"""Columns from which on empty ones are left out."""

MOST_DECIMALS = 4
"""Decimals of an amount without a unit that are shown."""

MOST_TEXT = 160
"""Characters of one text that are shown."""

ABSENT = "–"
"""Stands for what is unknown."""

SHORT = 18
"""Characters of a name that stays on one line."""

LONG = 40
"""Characters from which on a text gets a column of some width."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One value as shown.

    Attributes:
        told: What is read; raw text, escaped where HTML is made of it.
        under: A second, smaller line.
        exact: The exact value, where *told* is shorter.
        right: Lined up at the right, as numbers are.
        tail: Its last word stays on the line of the one before.
        code: An id, set in even letters.
        whole: Stays on one line, as a date does.
    """

    told: str
    under: str = ""
    exact: str = ""
    right: bool = False
    tail: bool = False
    code: bool = False
    whole: bool = False

    @property
    def inner(self) -> str:
        """The value as HTML."""
        inner = markup.soft(self.told)
        if self.tail:
            inner = "\u00a0".join(inner.rsplit(" ", 1))
        if self.code:
            inner = f'<code style="background:none;padding:0;font-size:12px">{inner}</code>'
        if self.under:
            inner += f"<br>{markup.muted(markup.text(self.under))}"
        return inner

    def cell(self, *, right: bool) -> str:
        """Make the cell of a table."""
        wide = len(self.told) >= LONG
        return markup.cell(self.inner, right=right, title=self.exact, nowrap=self.whole, wide=wide)

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


def instant(value: datetime, zone: ZoneInfo) -> Shown:
    """Show an instant in the reporting zone, and in UTC under it where that differs."""
    local, utc = value.astimezone(zone), value.astimezone(UTC)
    form = "%H:%M:%S UTC" if local.date() == utc.date() else "%Y-%m-%d %H:%M:%S UTC"
    return Shown(
        told=clock.clock_time(value, zone),
        under=utc.strftime(form) if local.utcoffset() else "",
        exact=clock.stamp(value),
        tail=True,
    )


def _amount(value: Decimal, name: str) -> Shown:
    exact = money.plain(value)
    if names_of.is_money(name):
        return Shown(told=money.usd(value), exact=f"{exact} USD", right=True)
    if len(exact.partition(".")[2]) <= MOST_DECIMALS:
        return Shown(told=exact, right=True)
    return Shown(told=money.usd(value).replace("$", ""), exact=exact, right=True)


def _number(value: float, name: str) -> Shown:
    if isinstance(value, int):
        plain = name.endswith(("status", "row", "row_number", "year"))
        return Shown(told=str(value) if plain else f"{value:,}", right=True)
    if names_of.is_share(name):
        return Shown(told=words.share(value), exact=repr(value), right=True)
    if names_of.is_money(name):
        usd = money.usd(Decimal(repr(round(value, 8))))
        return Shown(told=usd, exact=f"{value!r} USD", right=True)
    return Shown(told=_readable(value), exact=repr(value), right=True)


def _readable(value: float) -> str:
    """Write a number with as many digits as people read; a small one keeps two."""
    size = abs(value)
    if 0 < size < 0.1:
        return f"{value:.2g}" if size >= 0.0001 else f"{value:.1e}"
    return f"{value:,.{0 if size >= 100 or value.is_integer() else 1 if size >= 10 else 2}f}"


def _text(value: object, name: str) -> Shown:
    told = ", ".join(map(str, value)) if isinstance(value, list | tuple | set) else str(value)
    like_id = name.rpartition("_")[2] in ("id", "ids", "sha256")
    short = told if len(told) <= MOST_TEXT else f"{told[: MOST_TEXT - 1]}…"
    return Shown(
        told=short or ABSENT,
        exact=told if short != told else "",
        code=like_id and bool(short),
        whole=len(short) <= SHORT and not like_id and " " not in short,
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
    if isinstance(value, date):
        return Shown(told=value.isoformat(), whole=True)
    return _text(value, name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column as shown: its header, and the values of each of its cells."""

    head: str
    cells: list[list[Shown]]

    @property
    def right(self) -> bool:
        """Whether it is lined up at the right."""
        return any(item.right for cell in self.cells for item in cell[:1])


def columns(
    frame: "pd.DataFrame",
    zone: ZoneInfo,
    *,
    chosen: Sequence[str] = (),
    first: int = 0,
    most: int = MOST_SHOWN,
) -> list[Column]:
    """Lay out some rows of a frame.

    Args:
        frame: Any frame; its index is not shown.
        zone: Zone its times are shown in.
        chosen: Columns, with "+" between those of one cell; empty for all.
        first: Number of the first row shown.
        most: Rows shown.

    Returns:
        The columns; of a wide table those without any value are left out, and of a cell of several
        what is unknown.
    """
    held = filled(frame)
    names = [str(name) for name in held.columns]
    groups = [[place] for place in range(len(names))]
    if chosen:
        groups = [[names.index(n) for n in spec.split("+") if n in names] for spec in chosen]
    part = held.iloc[first : first + most]
    return [_column(part, group, zone) for group in groups if group]


def _column(frame: "pd.DataFrame", places: list[int], zone: ZoneInfo) -> Column:
    names = [str(frame.columns[place]) for place in places]
    values = [
        [shown(value, names_of.measure(name, frame), zone) for value in frame.iloc[:, place]]
        for place, name in zip(places, names, strict=True)
    ]
    cells = [
        [item for item in cell if item.told != ABSENT] or [*cell[:1]]
        for cell in map(list, zip(*values, strict=True))
    ]
    heads = [names_of.head(name) for name in names]
    return Column(head=", ".join([heads[0], *(_lower(head) for head in heads[1:])]), cells=cells)


def _lower(head: str) -> str:
    return head[0].lower() + head[1:] if head[1:2].islower() else head


def filled(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Leave out the columns for programs and, where a frame is wide, those without a value.

    Args:
        frame: Any frame.

    Returns:
        The frame, all its rows; nothing is left out for want of a value when it has at most
        `WIDE` columns or no rows.
    """
    held = [str(name) not in names_of.FOR_PROGRAMS for name in frame.columns]
    if len(frame.columns) > WIDE and not frame.empty:
        filled = [not all(map(absent, frame.iloc[:, at])) for at in range(len(held))]
        held = [keep and some for keep, some in zip(held, filled, strict=True)]
    return frame.loc[:, held]


def rows(laid_out: Sequence[Column], caption: str) -> str:
    """Make a table as HTML; every value escaped.

    Args:
        laid_out: As `columns` gives them.
        caption: Title of the table.
    """
    heads = [markup.header(column.head, right=column.right) for column in laid_out]
    lines = [
        "".join(
            _cell(cell, right=column.right) for cell, column in zip(line, laid_out, strict=True)
        )
        for line in zip(*(column.cells for column in laid_out), strict=True)
    ]
    return markup.table(caption, heads, lines)


def _cell(items: Sequence[Shown], *, right: bool) -> str:
    first, *others = items
    if not others:
        return first.cell(right=right)
    below = "".join(f"<br>{markup.muted(item.inner)}" for item in others)
    wide = max(len(item.told) for item in items) >= LONG
    return markup.cell(
        first.inner + below,
        right=right,
        title=first.exact,
        nowrap=all(item.whole for item in items),
        wide=wide,
    )


def plain(laid_out: Sequence[Column]) -> str:
    """Write a table as text in columns: a line of headers, then a line a row.

    Args:
        laid_out: As `columns` gives them.
    """
    texts = [
        [
            redact.safe(column.head),
            *(" ".join(item.plain for item in cell) for cell in column.cells),
        ]
        for column in laid_out
    ]
    widths = [max(map(len, column)) for column in texts]
    return "\n".join(
        "  ".join(told.ljust(width) for told, width in zip(line, widths, strict=True)).rstrip()
        for line in zip(*texts, strict=True)
    )
