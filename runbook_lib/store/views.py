"""The tables of `schema` as views over the files of the lake, hidden rows left out.

Every question is asked of these views; nothing else knows how the files are cut.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from runbook_lib import clock, contract, schema
from runbook_lib.sources.engine import name, quoted
from runbook_lib.store.manifest import PARTS, Part

SLOT_US = clock.SLOT_MINUTES * 60 * 1_000_000
BARE = (
    "CASE "
    + " ".join(
        f"WHEN starts_with(request_id, {quoted(p)}) THEN substr(request_id, {len(p) + 1})"
        for p in contract.USAGE_ID_PREFIXES
    )
    + " ELSE request_id END"
)
"""The id of a usage row without its prefix, in SQL."""

IDS: dict[str, str] = {
    "usage": f"SELECT hash({BARE}) AS h, ts FROM {{}} WHERE request_id IS NOT NULL",
    "calls": (
        "SELECT DISTINCT hash(trim(id)) AS h, ts FROM (SELECT ts, unnest(list_concat("
        "[call_id, client_request_id, response_id], string_split(request_ids, ','))) AS id"
        " FROM {}) WHERE id IS NOT NULL"
    ),
}
"""The index of a table: a hash for every id a row is known by, and the time of the row."""


def table(kind: schema.Table, parts: Sequence[Part], folder: Path) -> str:
    """Write the query that gives every visible row of a table, in the columns of the schema."""
    shapes: dict[object, list[Part]] = {}
    for part in parts:
        if part.hidden_rows < part.rows:
            alone = part.hidden or "row_number" not in part.stored or part.source
            shape = part.file if alone else (part.stored, part.account)
            shapes.setdefault(shape, []).append(part)
    selects = [_rows(kind, alike, folder) for alike in shapes.values()]
    if selects:
        return " UNION ALL ".join(selects)
    nothing = ", ".join(
        f"CAST(NULL AS {schema.SQL_TYPES[column.type]}) AS {name(column.name)}"
        for column in kind.columns
    )
    return f"SELECT {nothing} WHERE false"


def _rows(kind: schema.Table, alike: Sequence[Part], folder: Path) -> str:
    part = alike[0]
    columns = ", ".join(f"{value(part, c)} AS {name(c.name)}" for c in kind.columns)
    return f"SELECT {columns} FROM {source(alike, folder)}{unhidden(part, folder)}"


def value(part: Part, column: schema.Column) -> str:
    """Write what gives a column of a part: stored, the same in every row, or unknown."""
    if column.name in part.stored:
        return name(column.name)
    fixed = {
        "account": quoted(part.account),
        "source_file": quoted(part.source),
        "row_number": "file_row_number + 1",
        "slot": f"epoch_us(ts) // {SLOT_US}",
    }
    return fixed.get(column.name, f"CAST(NULL AS {schema.SQL_TYPES[column.type]})")


def source(parts: Iterable[Part], folder: Path) -> str:
    """Write what reads the files of parts, with the position of each row in its file."""
    files = ", ".join(quoted(str(folder / PARTS / part.file)) for part in parts)
    return f"read_parquet([{files}], file_row_number = true)"


def unhidden(part: Part, folder: Path) -> str:
    """Write the condition that leaves out the hidden rows of a part; empty when there are none."""
    if not part.hidden:
        return ""
    if part.runs:
        spans = " OR ".join(f"file_row_number BETWEEN {a} AND {b}" for a, b in part.runs)
        return f" WHERE NOT ({spans})"
    file = quoted(str(folder / PARTS / part.hidden))
    return f" WHERE file_row_number NOT IN (SELECT pos FROM read_parquet({file}))"


def ids(kind: str, parts: Sequence[Part], folder: Path, *, whole: bool) -> str:
    """Write the query of an index: of its files, or made anew when these cannot be used.

    Args:
        kind: Table it is of.
        parts: Parts of the table.
        folder: The lake.
        whole: Whether the files may be trusted; without, every id is hashed again.
    """
    if not whole:
        return IDS[kind].format(kind)
    files = ", ".join(quoted(str(folder / PARTS / part.ids)) for part in parts if part.ids)
    if not files:
        return "SELECT CAST(NULL AS UBIGINT) AS h, CAST(NULL AS TIMESTAMPTZ) AS ts WHERE false"
    return f"SELECT h, ts FROM read_parquet([{files}])"
