"""Read a usage export record by record: whatever its form, every row is used or refused.

Slower than the engine, and the judge of what the engine may read (`usage_sql`).
"""

import csv
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from runbook_lib.errors import RecordError
from runbook_lib.sources import usage_cells, usage_names
from runbook_lib.sources.extra import extra
from runbook_lib.sources.stage import Stage

MOST_LINES, MOST_CHARS = 50, 65_536
"""Lines and characters one quoted cell may span; beyond, a quote is taken as left open."""

_SLOT_US = 900_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How the file is written: what parts its cells, how it is encoded, what its columns are."""

    delimiter: str
    encoding: str
    comma: bool
    header: usage_names.Header

    @property
    def columns(self) -> frozenset[str]:
        """The columns of `usage` the file has."""
        return frozenset(self.header.places) | ({"extra"} if self.header.others else set())


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One record: its number (the header not counted), its first line and its cells.

    `fault` says why there are none.
    """

    number: int
    line: int
    text: str
    cells: Sequence[str] = ()
    fault: str = ""
    ended: bool = True


def records(path: Path, form: Form) -> Iterator[Record]:
    """Yield the records of a file, its header left out, with every line accounted for."""
    with path.open(encoding=form.encoding, errors="surrogateescape", newline="") as file:
        lines = _joined(file)
        next(lines, None)
        number = 0
        for line, text in lines:
            if not text.strip():
                continue
            number += 1
            yield _record(number, line, text, form.delimiter)


def _joined(file: Iterator[str]) -> Iterator[tuple[int, str]]:
    """Put lines together while a quote is open, and give up on one that never closes."""
    held: list[str] = []
    start = 0
    for place, line in enumerate(file, start=1):
        if not held:
            start = place
        held.append(line)
        if sum(part.count('"') for part in held) % 2 == 0:
            yield start, "".join(held)
            held = []
        elif len(held) >= MOST_LINES or sum(map(len, held)) > MOST_CHARS:
            yield from ((start + offset, part) for offset, part in enumerate(held))
            held = []
    yield from ((start + offset, part) for offset, part in enumerate(held))


def _record(number: int, line: int, text: str, delimiter: str) -> Record:
    bare = text.rstrip("\r\n")
    ended = len(bare) < len(text)
    if bare.count('"') % 2:
        fault = "quote that is not closed"
        return Record(number=number, line=line, text=bare, fault=fault, ended=ended)
    if not bare.isascii() and any("\udc80" <= char <= "\udcff" for char in bare):
        fault = "bytes that are no UTF-8"
        return Record(number=number, line=line, text=bare, fault=fault, ended=ended)
    try:
        cells = next(csv.reader(_whole_lines(bare), delimiter=delimiter), [])
    except csv.Error:
        fault = "broken quotes or a cell that is too long"
        return Record(number=number, line=line, text=bare, fault=fault, ended=ended)
    return Record(number=number, line=line, text=bare, cells=cells, ended=ended)


def _whole_lines(text: str) -> list[str]:
    return [text] if "\n" not in text and "\r" not in text else text.splitlines(keepends=True)


@dataclass(slots=True)
class Sums:
    """Billed cost of the rows used and of those refused, as far as it could be read."""

    used: Decimal = Decimal(0)
    refused: Decimal = Decimal(0)


def chosen(path: Path, form: Form, wanted: Container[int]) -> tuple[list[Record], int]:
    """Pick some records of a file without reading the others.

    Args:
        path: The file.
        form: How it is written.
        wanted: Numbers of the records.

    Returns:
        The records in order, and how many there are in all.
    """
    picked: list[Record] = []
    number = 0
    with path.open(encoding=form.encoding, errors="surrogateescape", newline="") as file:
        lines = _joined(file)
        next(lines, None)
        for line, text in lines:
            if text.strip():
                number += 1
                if number in wanted:
                    picked.append(_record(number, line, text, form.delimiter))
    return picked, number


def fill(stage: Stage, held: Iterable[Record], form: Form, zone: ZoneInfo | None) -> Sums:
    """Read records into a stage.

    Args:
        stage: Takes the rows, the refused records and the notes.
        held: The records, the last of the file at the end where it is among them.
        form: How the file is written.
        zone: Zone of times without an offset, which are refused without it.

    Returns:
        The billed cost of the rows used, and of those refused.
    """
    head = form.header
    readers = {
        column: usage_cells.reader(column, comma=form.comma, zone=zone) for column in head.places
    }
    sums = Sums()
    last: Record | None = None
    refused_last = False
    for record in held:
        last, refused_last = record, False
        if _is_header(record, head):
            stage.other_lines += 1
            continue
        try:
            fields = _fields(record, head, readers)
        except RecordError as error:
            stage.reject(record.number, record.line, error, record.text[:400])
            sums.refused += _cost_of(record, head, readers)
            refused_last = True
            continue
        sums.used += fields.get("cost_usd") or Decimal(0)
        stage.add_fields(fields, record.number)
    if refused_last and last is not None and not last.ended:
        stage.notes.append("looks cut in its last line: export it again")
    if stage.other_lines:
        stage.notes.append(f"its header stands {stage.other_lines + 1} times: files were joined")
    return sums


def _is_header(record: Record, head: usage_names.Header) -> bool:
    if not record.cells or len(record.cells) != len(head.names):
        return False
    norm = usage_names.norm
    return all(norm(a) == norm(b) for a, b in zip(record.cells, head.names, strict=True))


def _fields(
    record: Record, head: usage_names.Header, readers: dict[str, Callable[[str], Any]]
) -> dict[str, Any]:
    if record.fault:
        raise RecordError(record.fault)
    width, cells = len(head.names), record.cells
    if len(cells) < width:
        raise RecordError(f"{len(cells)} cells instead of {width}")
    if any(cell.strip() for cell in cells[width:]):
        raise RecordError(f"{len(cells)} cells instead of {width}")
    fields: dict[str, Any] = {}
    for column, place in head.places.items():
        try:
            fields[column] = readers[column](cells[place])
        except RecordError as error:
            reason = f"{column}: {error.reason}"
            raise RecordError(reason, field=column, value=cells[place]) from None
    fields["slot"] = fields["ts"] // _SLOT_US
    if head.others:
        rest = {name: cells[place] for name, place in head.others.items() if cells[place]}
        fields["extra"] = extra(rest) if rest else None
    return fields


def _cost_of(
    record: Record, head: usage_names.Header, readers: dict[str, Callable[[str], Any]]
) -> Decimal:
    place = head.places.get("cost_usd", len(record.cells))
    if record.fault or place >= len(record.cells):
        return Decimal(0)
    try:
        return readers["cost_usd"](record.cells[place]) or Decimal(0)
    except RecordError:
        return Decimal(0)
