"""Turn what a reader staged into a part of the lake: rows in time order, and an index of ids."""

import os
import shutil
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runbook_lib.schema import TABLES
from runbook_lib.sources.engine import quoted
from runbook_lib.sources.intake import Intake
from runbook_lib.store import views
from runbook_lib.store.manifest import PARTS, Part

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa
    import pyarrow.parquet as pq

RANKS = {"call log": 0, "OTLP spans": 1, "application log": 2, "LiteLLM log": 3}
"""Kinds of logs, the one that tells most first."""

_ID_COLUMNS = {
    "usage": ("request_id",),
    "calls": ("call_id", "request_ids", "client_request_id", "response_id"),
}


def build(
    link: "duckdb.DuckDBPyConnection", folder: Path, intake: Intake, number: str
) -> Part | None:
    """Move the rows of one input into the folder of parts, sorted by time, with their index.

    The staged file is used up. Nothing is visible before the manifest names it.
    """
    if intake.staged is None:
        return None
    import pyarrow.parquet as pq

    held = pq.ParquetFile(intake.staged)
    stored = tuple(held.schema_arrow.names)
    carried = _filled(held, [n for n in TABLES[intake.table].names if n in intake.columns])
    timed = "ts" in stored
    stem = f"{intake.table}-{intake.sha256[:16]}-{number}"
    if intake.account:
        stem = f"{stem}-{_short(intake.account)}"
    target = folder / PARTS / f"{stem}.parquet"
    if not timed or _in_order(link, intake.staged):
        shutil.move(intake.staged, target)
    else:
        stored = _sorted(link, intake.staged, target, stored)
        intake.staged.unlink()
    first, last = _span(link, target) if timed else (None, None)
    part = Part(
        table=intake.table,
        account=intake.account,
        file=target.name,
        rows=held.metadata.num_rows,
        first=first,
        last=last,
        stored=stored,
        declared=tuple(n for n in TABLES[intake.table].names if n in intake.columns),
        carried=carried,
        decimals=intake.cost_decimals,
        rank=RANKS.get(intake.kind, 4),
        kind=intake.kind,
        source="" if "source_file" in stored else intake.source_file,
        key=intake.sha256,
        ids=index(link, intake.table, target) if _has_ids(intake.table, carried) else "",
    )
    for name in part.files:
        flush(folder / PARTS / name)
    return part


def index(link: "duckdb.DuckDBPyConnection", table: str, target: Path) -> str:
    """Write the index of a file of rows, sorted by the hash of the ids.

    Returns:
        Its name; empty when no row has an id.
    """
    rows = views.IDS[table].format(f"read_parquet({quoted(str(target))})")
    file = target.with_name(f"{target.stem}.ids.parquet")
    return file.name if copy(link, f"{rows} ORDER BY h", file) else ""


def twice(ids: Path) -> "pa.Table | None":
    """List the hashes that stand more than once in an index; None when there are none."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    again: list[Any] = []
    before = np.empty(0, dtype="uint64")
    for batch in pq.ParquetFile(ids).iter_batches(batch_size=1 << 20, columns=["h"]):
        hashes = np.concatenate([before, batch.column(0).to_numpy()])
        again.append(np.unique(hashes[1:][hashes[1:] == hashes[:-1]]))
        before = hashes[-1:]
    found = np.unique(np.concatenate(again)) if again else before
    return pa.table({"h": pa.array(found, pa.uint64())}) if len(found) else None


def flush(path: Path) -> None:
    """Make the content of a file last through a loss of power."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def copy(link: "duckdb.DuckDBPyConnection", query: str, target: Path) -> int:
    """Write the rows of a query to a Parquet file.

    Returns:
        The number of rows.
    """
    done = link.execute(f"COPY ({query}) TO {quoted(str(target))} (FORMAT parquet)").fetchone()
    return int(done[0]) if done else 0


def _short(account: str) -> str:
    import hashlib

    return hashlib.sha256(account.encode()).hexdigest()[:8]


def _in_order(link: "duckdb.DuckDBPyConnection", staged: Path) -> bool:
    """Tell whether the row groups follow each other in time, either way.

    That is all a question gains from order: it reads the groups of its window and no other. The
    engine reads the bounds, because pyarrow would load pandas to show a time.
    """
    ends = link.execute(
        "SELECT epoch_us(stats_min_value::TIMESTAMPTZ), epoch_us(stats_max_value::TIMESTAMPTZ)"
        f" FROM parquet_metadata({quoted(str(staged))})"
        " WHERE path_in_schema = 'ts' ORDER BY row_group_id"
    ).fetchall()
    if any(low is None or high is None for low, high in ends):
        return False
    pairs = list(pairwise(ends))
    return all(a[1] <= b[0] for a, b in pairs) or all(a[0] >= b[1] for a, b in pairs)


def _sorted(
    link: "duckdb.DuckDBPyConnection", staged: Path, target: Path, stored: tuple[str, ...]
) -> tuple[str, ...]:
    file = f"read_parquet({quoted(str(staged))}, file_row_number = true)"
    numbered = "row_number" in stored
    columns = "* EXCLUDE (file_row_number)" + (
        "" if numbered else ", file_row_number + 1 AS row_number"
    )
    copy(link, f"SELECT {columns} FROM {file} ORDER BY ts, file_row_number", target)
    return stored if numbered else (*stored, "row_number")


def _span(link: "duckdb.DuckDBPyConnection", target: Path) -> tuple[int | None, int | None]:
    found = link.execute(
        f"SELECT min(epoch_us(ts)), max(epoch_us(ts)) FROM read_parquet({quoted(str(target))})"
    ).fetchone()
    return (found[0], found[1]) if found else (None, None)


def _has_ids(table: str, columns: Sequence[str]) -> bool:
    return any(name in columns for name in _ID_COLUMNS.get(table, ()))


def _filled(held: "pq.ParquetFile", names: Sequence[str]) -> tuple[str, ...]:
    """Name the columns that have a value in some row."""
    stored = held.schema_arrow.names
    groups = [held.metadata.row_group(place) for place in range(held.metadata.num_row_groups)]
    return tuple(name for name in names if name in stored and _any(groups, stored.index(name)))


def _any(groups: Sequence[Any], column: int) -> bool:
    stats = [(group.num_rows, group.column(column).statistics) for group in groups]
    return any(s is None or not s.has_null_count or s.null_count < rows for rows, s in stats)
