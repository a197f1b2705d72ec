"""Read the console's usage export (CSV) in every form it has had, exactly and without loss."""

import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from runbook_lib import redact
from runbook_lib.errors import InputError, UnknownSourceError
from runbook_lib.schema import USAGE
from runbook_lib.sources import (
    own_tables,
    usage_mixed,
    usage_names,
    usage_notes,
    usage_rows,
    usage_sql,
)
from runbook_lib.sources.intake import Intake, Source
from runbook_lib.sources.stage import Stage

KIND = "usage export"
COST_DECIMALS = 8
"""Decimals the console's CSV rounds each cost to (contract §7, M)."""

LARGE = 2 * 1024 * 1024
"""Bytes of a file from which on reading only its odd records one by one saves time."""

_DELIMITERS = (",", ";", "\t", "|")
_HEAD = 65_536


def read(source: Source) -> Intake:
    """Read one usage export.

    The engine reads a file that is written as the console writes; where a few records are not,
    these are read one by one, and where most are not, all of them. Each way gives the same rows.

    Args:
        source: Plain file (not packed).

    Returns:
        What was read. Columns nobody declared are kept in `extra`, secrets left out.

    Raises:
        InputError: the file is empty.
        UnknownSourceError: it has no column of times, or none of what was used.

    Source: contract §7 (M).
    """
    form = form_of(source.path, source.source_file)
    made = usage_sql.read(source, form)
    if made is None and source.path.stat().st_size >= LARGE:
        made = usage_mixed.read(source, form)
    if made is None:
        made = _careful(source, form)
    notes = [*form.header.notes, *made.notes, *usage_notes.notes(made)]
    whose = [name for name in form.header.others if own_tables.is_owner(name)]
    owners = usage_notes.owners(made, whose)
    return replace(made, cost_decimals=COST_DECIMALS, notes=tuple(notes), owners=owners)


def form_of(path: Path, source_file: str) -> usage_rows.Form:
    """Tell how an export is written, from its header.

    Raises:
        InputError: the file is empty.
        UnknownSourceError: its header is none of an export.
    """
    encoding = _encoding(path)
    with path.open(encoding=encoding, errors="surrogateescape", newline="") as file:
        line = file.readline(_HEAD)
    if not line.strip():
        raise InputError(source_file, "is empty", hint="export it again")
    candidates = [
        (delimiter, usage_names.header(_cells(line, delimiter))) for delimiter in _DELIMITERS
    ]
    delimiter, head = max(candidates, key=lambda item: len(item[1].places))
    if not head.usable:
        shown = redact.safe(line.strip(), limit=60)
        raise UnknownSourceError(source_file, f"a table with the columns {shown!r}")
    comma = delimiter != "," and _decimal_comma(path, encoding, delimiter, head)
    return usage_rows.Form(delimiter=delimiter, encoding=encoding, comma=comma, header=head)


def _careful(source: Source, form: usage_rows.Form) -> Intake:
    stage = Stage(USAGE, source, kind=KIND)
    try:
        sums = usage_rows.fill(stage, usage_rows.records(source.path, form), form, source.zone)
    except BaseException:
        stage.drop()
        raise
    done = stage.finish()
    return replace(done, columns=form.columns, usd_used=sums.used, usd_rejected=sums.refused)


def _encoding(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(4)
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    return "utf-8-sig"


def _cells(line: str, delimiter: str) -> Sequence[str]:
    try:
        return next(csv.reader([line.rstrip("\r\n")], delimiter=delimiter), [])
    except csv.Error:
        return []


def _decimal_comma(path: Path, encoding: str, delimiter: str, head: usage_names.Header) -> bool:
    """Tell from the first costs that have decimals which mark stands before them."""
    place = next(
        (head.places[n] for n in ("cost_usd", "original_cost_usd") if n in head.places), -1
    )
    with path.open(encoding=encoding, errors="surrogateescape", newline="") as file:
        file.readline(_HEAD)
        for _ in range(1000):
            cells = _cells(file.readline(_HEAD), delimiter)
            cell = cells[place] if -1 < place < len(cells) else ""
            if "," in cell or "." in cell:
                return cell.rfind(",") > cell.rfind(".")
    return False
