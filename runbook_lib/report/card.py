"""The intake card of a store: what it holds, how fresh it is, and what was left out."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol, runtime_checkable
from zoneinfo import ZoneInfo

from runbook_lib import clock, findings, redact
from runbook_lib.report import answer, markup, tables

MOST_NOTES = 12
"""Notes that are shown; the others are counted."""

_RIGHT = ("Rows", "Repeated")


@runtime_checkable
class Card(Protocol):
    """What any intake card has, whoever keeps the rows.

    Attributes:
        tables: Each with `table`, `rows`, `repeated`, `first_at` and `last_at`.
        inputs: The files taken in.
        rejected: Rejected rows by reason.
        notes: What people should know of the files.
        sample: Whether the data are made up.
        timezone: IANA zone in which people are told its times.
    """

    tables: Sequence[Any]
    inputs: Sequence[findings.Input]
    rejected: Mapping[str, int]
    notes: Sequence[str]
    sample: bool
    timezone: str


def html(card: Card, now: datetime) -> str:
    """Make the HTML of a card; made-up data have no age."""
    heads = ["Table", "Rows", "Repeated", "First", "Last", *([] if card.sample else ["Age"])]
    zone = clock.zone(card.timezone)
    rows = [_row(line, zone, None if card.sample else now) for line in card.tables]
    label = markup.badge("sample data", "info") if card.sample else ""
    table = markup.table(
        "What the store holds", [markup.header(name, right=name in _RIGHT) for name in heads], rows
    )
    told = "".join(
        answer.bullets(markup.text(line) for line in lines) if lines else ""
        for lines in (_rejected(card), _notes(card))
    )
    return f"{label}{table}{told}{answer.inputs(card.inputs, zone)}"


def plain(card: Card, now: datetime) -> str:
    """Write a card as text."""
    zone = clock.zone(card.timezone)
    told = [_told(line, zone, None if card.sample else now) for line in card.tables]
    told += [f"- {line}" for line in (*_rejected(card), *_notes(card))]
    return redact.visible(redact.secrets("\n".join(told))) or "The store is empty."


def _row(line: Any, zone: ZoneInfo, now: datetime | None) -> str:
    values = {name: getattr(line, name) for name in ("rows", "repeated", "first_at", "last_at")}
    cells = [markup.cell(f"<strong>{markup.text(line.table)}</strong>")]
    cells += [
        tables.shown(value, name, zone).cell(right=name in ("rows", "repeated"))
        for name, value in values.items()
    ]
    return "".join(cells) + (markup.cell(markup.text(_age(line, now))) if now else "")


def _age(line: Any, now: datetime) -> str:
    if line.last_at is None:
        return tables.ABSENT
    return clock.ago(max(now, line.last_at) - line.last_at)


def _told(line: Any, zone: ZoneInfo, now: datetime | None) -> str:
    ends = [clock.clock_time(at, zone) for at in (line.first_at, line.last_at) if at]
    span = f", {' to '.join(ends)}" if ends else ""
    age = f", {_age(line, now)} old" if now and line.last_at else ""
    rows = "row" if line.rows == 1 else "rows"
    return f"{line.table}: {line.rows:,} {rows} ({line.repeated:,} repeated){span}{age}"


def _rejected(card: Card) -> list[str]:
    if not card.rejected:
        return ["No record was rejected."]
    return [
        f"{count:,} record{'s' if count != 1 else ''} rejected: {reason}."
        for reason, count in card.rejected.items()
    ]


def _notes(card: Card) -> list[str]:
    left = len(card.notes) - MOST_NOTES
    return [*card.notes[:MOST_NOTES], *([f"and {left} more"] if left > 0 else [])]
