"""Put many small parts together, so that a question opens few files."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from runbook_lib import schema
from runbook_lib.store import parts as part_files
from runbook_lib.store import views
from runbook_lib.store.manifest import PARTS, Part

if TYPE_CHECKING:
    import duckdb

MOST = 16
"""Small parts of one form that may lie side by side."""

SMALL_ROWS = 1_000_000


def merged(
    link: "duckdb.DuckDBPyConnection", folder: Path, parts: Sequence[Part], number: str
) -> list[Part]:
    """Merge the small parts of a form once there are many; their hidden rows are left out.

    Only parts with the same columns are put together, because rows without an id are compared by
    the columns both files have.
    """
    forms: dict[tuple[object, ...], list[Part]] = {}
    for part in parts:
        if part.rows - part.hidden_rows < SMALL_ROWS:
            form = (part.table, part.account, part.declared, part.decimals, part.rank, part.kind)
            forms.setdefault(form, []).append(part)
    kept = list(parts)
    for place, alike in enumerate(forms.values()):
        if len(alike) >= MOST:
            one = _one(link, folder, alike, f"{number}-m{place}")
            kept = [part for part in kept if part not in alike] + ([one] if one else [])
    return kept


def _one(
    link: "duckdb.DuckDBPyConnection", folder: Path, alike: Sequence[Part], number: str
) -> Part | None:
    first = alike[0]
    table = schema.TABLES[first.table]
    ordered = sorted(alike, key=lambda part: part.key)
    timed = "ts" in table.by_name
    rows = views.table(table, ordered, folder)
    target = folder / PARTS / f"{first.table}-merged-{number}.parquet"
    count = part_files.copy(link, f"{rows} ORDER BY ts" if timed else rows, target)
    if count == 0:
        target.unlink()
        return None
    one = replace(
        first,
        file=target.name,
        rows=count,
        stored=tuple(table.names),
        carried=tuple(n for n in first.declared if any(n in part.carried for part in alike)),
        source="",
        key=hashlib.sha256("".join(part.key for part in ordered).encode()).hexdigest(),
        first=min((p.first for p in alike if p.first is not None), default=None),
        last=max((p.last for p in alike if p.last is not None), default=None),
        hidden="",
        hidden_rows=0,
        dropped=sum(part.hidden_rows + part.dropped for part in alike),
        runs=(),
        ids="",
    )
    if any(part.ids for part in alike):
        one = replace(one, ids=part_files.index(link, one.table, target))
    for name in one.files:
        part_files.flush(folder / PARTS / name)
    return one
