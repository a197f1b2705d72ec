"""What people should know of an export beside its rows: gaps, a range not covered, a seam."""

import json
import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

from runbook_lib import redact
from runbook_lib.contract import PAGE_ROWS
from runbook_lib.sources import engine
from runbook_lib.sources.intake import MOST_OWNERS, Intake

LONGEST_QUIET = timedelta(hours=1)
"""A span without any row inside an export that is told, when it is longer."""

_RANGE = re.compile(r"usage[_-](\d{4}-\d{2}-\d{2})(?:_to_|_)(\d{4}-\d{2}-\d{2})")
_SLOT = timedelta(minutes=15)
_SLOT_US = 900_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WIDEST_OFFSET = timedelta(hours=14)


def notes(intake: Intake) -> Sequence[str]:
    """List what the rows of an export say about its being whole.

    Args:
        intake: What was read; its staged file is looked at by quarter hours.
    """
    if intake.staged is None or intake.first_at is None or intake.last_at is None:
        return ["holds no row that could be used"]
    found = _range(intake.source_file, intake.first_at, intake.last_at)
    found += _gaps(_busy(intake.staged))
    whole = intake.rows + intake.rejected
    if whole and whole % PAGE_ROWS == 0:
        found.append(
            f"has exactly {whole:,} rows, the end of a page of the"
            " console: see whether older rows are missing"
        )
    return found


def _range(source_file: str, first_at: datetime, last_at: datetime) -> list[str]:
    """Hold the days in the name of the file against its rows, whatever zone they are days of."""
    match = _RANGE.search(source_file)
    days = [_day(text) for text in match.groups()] if match else []
    if len(days) != 2 or days[0] is None or days[1] is None:
        return []
    start = datetime(days[0].year, days[0].month, days[0].day, tzinfo=UTC) + _WIDEST_OFFSET
    end = datetime(days[1].year, days[1].month, days[1].day, tzinfo=UTC) - _WIDEST_OFFSET
    found = []
    if first_at >= start + timedelta(days=1):
        found.append(f"its name begins at {days[0]}, its rows at {first_at:%Y-%m-%d %H:%M} UTC")
    if last_at < end:
        found.append(f"its name ends at {days[1]}, its rows at {last_at:%Y-%m-%d %H:%M} UTC")
    return found


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def owners(intake: Intake, columns: Sequence[str]) -> frozenset[str]:
    """Name the accounts or users that the rows of an export tell.

    Args:
        intake: What was read; its staged file is looked at.
        columns: Names of the columns of the export that tell them, kept in `extra`.
    """
    if intake.staged is None or not columns:
        return frozenset()
    found = {
        redact.safe(f"{name} {value}", limit=80)
        for name in columns
        for value in _distinct(intake.staged, f"json_extract_string(extra, {_at(name)})")
        if value is not None
    }
    return frozenset(sorted(found)[:MOST_OWNERS])


def _at(name: str) -> str:
    """Write where a column stands in `extra`, as an SQL literal."""
    return engine.quoted(f"$.{json.dumps(name, ensure_ascii=False)}")


def _busy(staged: Path) -> list[int]:
    """List the quarter hours that have rows, in order."""
    return _distinct(staged, f"epoch_us(ts) // {_SLOT_US}")


def _distinct(staged: Path, what: str) -> list[Any]:
    link = engine.connect([staged.parent], spill=staged.parent / "spill")
    engine.lock(link)
    file = engine.quoted(str(staged))
    try:
        found = link.execute(f"SELECT DISTINCT {what} FROM read_parquet({file}) ORDER BY 1")
        return [value for (value,) in found.fetchall()]
    finally:
        link.close()


def _gaps(slots: Sequence[int]) -> list[str]:
    quiet = [
        (later - earlier - 1, earlier)
        for earlier, later in pairwise(slots)
        if (later - earlier - 1) * _SLOT >= LONGEST_QUIET
    ]
    if not quiet:
        return []
    length, before = max(quiet, key=lambda item: (item[0], -item[1]))
    start = _EPOCH + _SLOT * (before + 1)
    hours = sum(item[0] for item in quiet) / 4
    all_ = f"{len(quiet)} spans of an hour or more without a row, {hours:g} h in all; the longest"
    told = all_ if len(quiet) > 1 else "a span without a row that"
    return [f"has {told} begins at {start:%Y-%m-%d %H:%M} UTC and lasts {length / 4:g} h"]
