"""Which rows of the small tables are held twice: those that are equal in all but their origin."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from runbook_lib import schema
from runbook_lib.sources.engine import name
from runbook_lib.store import views
from runbook_lib.store.manifest import Part

if TYPE_CHECKING:
    import duckdb

_ORIGIN = frozenset({"source_file", "row_number"})
_ONCE = frozenset({"keys", "prices", "planned", "budget"})
"""Tables that people keep by hand: a line that stands twice means nothing more."""


def hidden(
    link: "duckdb.DuckDBPyConnection", folder: Path, parts: Sequence[Part]
) -> dict[str, list[int]]:
    """Find the rows to hide in parts of one table: file → positions.

    An equal row counts as often as the file that has it most often, in the user's own tables once.
    """
    table = schema.TABLES[parts[0].table]
    columns = [name(c) for c in table.names if c not in _ORIGIN]
    alike = ", ".join(columns)
    rows = " UNION ALL ".join(
        f"SELECT {place} AS place, file_row_number AS pos, hash({alike}) AS k"
        f" FROM {views.source([part], folder)}"
        for place, part in enumerate(parts)
    )
    nth = f"SELECT *, row_number() OVER (PARTITION BY k, place ORDER BY pos) AS n FROM ({rows})"
    again = "n > 1 OR" if table.name in _ONCE else ""
    found = link.execute(
        f"SELECT place, pos FROM (SELECT *, row_number() OVER (PARTITION BY k, n ORDER BY place)"
        f" AS copy FROM ({nth})) WHERE {again} copy > 1 ORDER BY place, pos"
    ).fetchall()
    places: dict[str, list[int]] = {part.file: [] for part in parts}
    for place, position in found:
        places[parts[place].file].append(position)
    return places
