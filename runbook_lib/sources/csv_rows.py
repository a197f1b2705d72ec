"""Read a small CSV strictly: every cell as text, every row with as many cells as the header."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from runbook_lib import redact
from runbook_lib.errors import InputError
from runbook_lib.sources.field_names import bare

_LONGEST_CELL = 131_072


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvRow:
    """One record of a CSV.

    Attributes:
        number: Number of the record, the header not counted.
        line: Line of the file it ends on.
        cells: Normalised column name → text without blanks around; empty where blank.
        fault: Why the record cannot be used; empty when it can.
        sample: The record as text, for the list of rejects.
    """

    number: int
    line: int
    cells: dict[str, str]
    fault: str = ""
    sample: str = ""


def delimiter_of(line: str) -> str:
    """Tell what parts the cells of a header: a comma, a semicolon or a tab."""
    return max(",;\t", key=line.count)


def header(line: str) -> list[str]:
    """Read the names of a header line as written."""
    try:
        return next(csv.reader([line], delimiter=delimiter_of(line)), [])
    except csv.Error:
        return []


def norm(name: str) -> str:
    """Give a column name the form in which names are compared: letters and digits in lower case."""
    return bare(name)


def rows(path: Path, source_file: str) -> Iterator[CsvRow]:
    """Read the records of a CSV with a header.

    Raises:
        InputError: two columns have the same name, or the file is the header only.
    """
    text = path.read_bytes().decode("utf-8-sig", "surrogateescape")
    head = text.lstrip().splitlines()[0] if text.strip() else ""
    source = io.StringIO(text.lstrip("\r\n"), newline="")
    reader = csv.reader(source, delimiter=delimiter_of(head), strict=True)
    names = [norm(name) for name in next(reader, [])]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        shown = redact.safe(twice[0])
        raise InputError(source_file, f"has two columns {shown!r}", hint="keep one of them")
    number = 0
    while True:
        number += 1
        try:
            cells = next(reader, None)
        except csv.Error:
            yield CsvRow(number=number, line=reader.line_num, cells={}, fault="broken quotes")
            continue
        if cells is None:
            return
        if cells:
            yield _row(number, reader.line_num, names, cells)
        else:
            number -= 1


def _row(number: int, line: int, names: list[str], cells: list[str]) -> CsvRow:
    sample = ",".join(cells)
    fault = ""
    if len(cells) != len(names):
        fault = "not as many cells as the header"
    elif not sample.isascii() and any("\udc80" <= char <= "\udcff" for char in sample):
        fault = "bytes that are no UTF-8"
    held = {} if fault else dict(zip(names, (cell.strip() for cell in cells), strict=True))
    return CsvRow(number=number, line=line, cells=held, fault=fault, sample=sample)
