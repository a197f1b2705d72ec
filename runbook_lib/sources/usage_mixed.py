"""Read an export with the engine although a few of its records are in another form.

The engine marks the records it is not sure of. These alone are read one by one (`usage_rows`), and
put back into their places. The rows, the refused records and the sums are those of reading every
record one by one; where that cannot be promised, nothing is given.
"""

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from runbook_lib.schema import USAGE
from runbook_lib.sources import engine, usage_rows, usage_sql
from runbook_lib.sources.engine import quoted
from runbook_lib.sources.intake import Intake, Source
from runbook_lib.sources.stage import Stage, instant
from runbook_lib.sources.usage_rows import Form, Record, Sums

if TYPE_CHECKING:
    import duckdb

MOST_ODD = 200_000
"""Records that are read one by one at most; with more, all of them are."""

_FORMAT = "FORMAT parquet, COMPRESSION lz4_raw"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Marked:
    """The engine's part: its file, the numbers of the odd records (from 1), and all records."""

    file: Path
    odd: frozenset[int]
    records: int


def read(source: Source, form: Form) -> Intake | None:
    """Read an export, its odd records one by one.

    Args:
        source: The export.
        form: Its encoding, delimiter and header.

    Returns:
        The intake; None when all records must be read one by one. Its staged file has the columns
        of the export and `row_number`.
    """
    import duckdb

    offset = usage_sql.offset_of(source.path, form)
    if offset is None:
        return None
    link = engine.connect([source.staging], files=[source.path], spill=source.staging / "spill")
    engine.lock(link)
    marked, stage = _made(source.staging), Stage(USAGE, source, kind="usage export")
    try:
        found = _marked(link, source.path, form, offset, marked)
        picked = _picked(source.path, form, found) if found is not None else None
        if found is None or picked is None:
            return None
        sums = usage_rows.fill(stage, picked, form, source.zone)
        return _joined(link, found, form, stage.finish(), sums)
    except duckdb.Error:
        return None
    finally:
        link.close()
        marked.unlink(missing_ok=True)
        stage.drop()


def _made(staging: Path) -> Path:
    handle, name = tempfile.mkstemp(prefix="usage-", suffix=".parquet", dir=staging)
    os.close(handle)
    return Path(name)


def _marked(
    link: "duckdb.DuckDBPyConnection", path: Path, form: Form, offset: str, file: Path
) -> _Marked | None:
    """Let the engine read every record, and list those it is not sure of; None when too many."""
    query = usage_sql.flagged(path, form, offset)
    link.execute(f"COPY ({query}) TO {quoted(str(file))} ({_FORMAT})")
    rows = f"read_parquet({quoted(str(file))}, file_row_number = true)"
    doubts = ["odd"]
    link.execute("CREATE TEMP TABLE texts (name VARCHAR, text VARCHAR)")
    for name in usage_sql.texts_of(form):
        others = usage_sql.other_texts(link, rows, name, "NOT odd")
        if others is None or len(others) > MOST_ODD:
            return None
        if others:
            link.executemany("INSERT INTO texts VALUES (?, ?)", [[name, text] for text in others])
            doubts.append(f"{name} IN (SELECT text FROM texts WHERE name = {quoted(name)})")
    link.execute(
        "CREATE TEMP TABLE odd AS SELECT file_row_number + 1 AS number"
        f" FROM {rows} WHERE {' OR '.join(doubts)}"
    )
    numbers = link.execute(f"SELECT number FROM odd LIMIT {MOST_ODD + 1}").fetchall()
    total = link.execute(f"SELECT count(*) FROM {rows}").fetchone()
    if total is None or len(numbers) > MOST_ODD or 2 * len(numbers) > total[0]:
        return None
    return _Marked(file=file, odd=frozenset(n for (n,) in numbers), records=total[0])


def _picked(path: Path, form: Form, marked: _Marked) -> Sequence[Record] | None:
    """Find the odd records in the file; None where the engine sees other records in it."""
    picked, total = usage_rows.chosen(path, form, marked.odd)
    return picked if total == marked.records else None


def _joined(
    link: "duckdb.DuckDBPyConnection", marked: _Marked, form: Form, exact: Intake, sums: Sums
) -> Intake | None:
    """Put the rows of the engine and those read one by one together, in the order of the file."""
    columns = [name for name in USAGE.names if name in form.columns]
    staged = _made(marked.file.parent)
    rows = f"(SELECT *, file_row_number + 1 AS row_number FROM read_parquet({_file(marked.file)}, "
    rows += "file_row_number = true))"
    if exact.staged is None:
        chosen, single = ", ".join(f"t.{name}" for name in columns), ""
        kept = "o.number IS NULL"
    else:
        chosen = ", ".join(
            f"CASE WHEN o.number IS NULL THEN t.{name} ELSE f.{name} END AS {name}"
            for name in columns
        )
        single = f" LEFT JOIN read_parquet({_file(exact.staged)}) f ON f.row_number = t.row_number"
        kept = "o.number IS NULL OR f.row_number IS NOT NULL"
    link.execute(
        f"COPY (SELECT {chosen}, t.row_number FROM {rows} t"
        f" LEFT JOIN odd o ON o.number = t.row_number{single} WHERE {kept})"
        f" TO {_file(staged)} ({_FORMAT})"
    )
    cost = "coalesce(sum(cost_usd), 0)" if "cost_usd" in columns else "0"
    found = link.execute(
        f"SELECT count(*), {cost}, min(epoch_us(ts)), max(epoch_us(ts))"
        f" FROM read_parquet({_file(staged)})"
    ).fetchone()
    if found is None or found[0] == 0:
        staged.unlink()
        return None
    return replace(
        exact,
        staged=staged,
        rows=found[0],
        columns=form.columns,
        usd_used=Decimal(found[1]),
        usd_rejected=sums.refused,
        first_at=instant(found[2]),
        last_at=instant(found[3]),
    )


def _file(path: Path) -> str:
    return quoted(str(path))
