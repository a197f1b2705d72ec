"""The intake card of a store: what it holds, how fresh it is, and what was left out."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol, runtime_checkable
from zoneinfo import ZoneInfo

from runbook_lib import clock, findings, redact
from runbook_lib.report import answer, markup, tables

_NAMES = ("Kind", "Files", "Rows", "Rejected", "First", "Last", "Age")


@runtime_checkable
class Card(Protocol):
    """What any intake card has, whoever keeps the rows."""

    inputs: Sequence[findings.Input]
    notes: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """All files of one kind: rows used and rejected, and the span of their times."""

    kind: str
    files: int
    rows: int
    rejected: int
    first_at: datetime | None
    last_at: datetime | None


def lines(card: Card) -> list[Line]:
    """Sum a card's files by kind, most rows first."""
    held: dict[str, list[findings.Input]] = {}
    for item in card.inputs:
        held.setdefault(item.kind, []).append(item)
    summed = [
        Line(
            kind=kind,
            files=len(items),
            rows=sum(item.rows for item in items),
            rejected=sum(item.rejected for item in items),
            first_at=min((item.first_at for item in items if item.first_at), default=None),
            last_at=max((item.last_at for item in items if item.last_at), default=None),
        )
        for kind, items in held.items()
    ]
    return sorted(summed, key=lambda line: (-line.rows, line.kind))


def _age(line: Line, now: datetime | None) -> str:
    if now is None or line.last_at is None:
        return tables.ABSENT
    return clock.ago(max(now, line.last_at) - line.last_at)


def _now(card: Card) -> datetime | None:
    now = getattr(card, "now", None)
    return now.astimezone(UTC) if isinstance(now, datetime) else None


def _label(card: Card) -> str:
    return markup.badge("sample data", "info") if getattr(card, "sample", False) else ""


def html(card: Card) -> str:
    """Make the HTML of a card."""
    zone, now = ZoneInfo("UTC"), _now(card)
    right = ("Files", "Rows", "Rejected")
    heads = [markup.header(name, right=name in right) for name in _NAMES if now or name != "Age"]
    rows = []
    for line in lines(card):
        values = (line.kind, line.files, line.rows, line.rejected, line.first_at, line.last_at)
        shown = [
            tables.shown(value, name.lower(), zone).cell(right=name in right)
            for value, name in zip(values, _NAMES, strict=False)
        ]
        age = [markup.cell(markup.text(_age(line, now)))] if now else []
        rows.append("".join([*shown, *age]))
    notes = answer.bullets(markup.text(note) for note in card.notes) if card.notes else ""
    table = markup.table("What the store holds", heads, rows)
    return f"{_label(card)}{table}{notes}{answer.inputs(card.inputs, zone)}"


def plain(card: Card) -> str:
    """Write a card as text."""
    now = _now(card)
    told = [
        f"{line.kind}: {line.rows:,} rows of {line.files} file{'s' if line.files != 1 else ''}, "
        f"{line.rejected:,} rejected, {clock.stamp(line.first_at) or 'no time'} to "
        f"{clock.stamp(line.last_at) or 'no time'}" + (f", {_age(line, now)} old" if now else "")
        for line in lines(card)
    ]
    notes = [f"- {note}" for note in card.notes]
    return redact.visible(redact.secrets("\n".join([*told, *notes]))) or "The store is empty."
