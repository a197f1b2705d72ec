"""One part while repeats are looked for: its rows in the span concerned, and which are hidden."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from runbook_lib import schema
from runbook_lib.sources.engine import quoted
from runbook_lib.store import views
from runbook_lib.store.manifest import PARTS, Part

if TYPE_CHECKING:
    import duckdb

_NOT_COMPARED = frozenset(
    {"account", "ts", "slot", "request_id", "extra", "source_file", "row_number"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One part of the span that is looked at.

    Attributes:
        link: Connection with a temporary table *name* of its hidden rows: `pos` in the file, `ts`,
            and `own`, whether the file itself repeats the row.
        folder: The lake. `part`: the part.
        low, high: Span concerned, in microseconds; *slack* how far a match may lie beside it.
        fresh: Whether the part was just made, so that its own repeats are not known yet.
    """

    link: "duckdb.DuckDBPyConnection"
    folder: Path
    part: Part
    name: str
    low: int
    high: int
    slack: int
    fresh: bool

    def begin(self) -> None:
        """Start from the hidden rows that the span does not concern."""
        self.link.execute(
            f"CREATE OR REPLACE TEMP TABLE {self.name}(pos BIGINT, ts TIMESTAMPTZ, own BOOLEAN)"
        )
        if self.part.hidden:
            file = quoted(str(self.folder / PARTS / self.part.hidden))
            self.link.execute(
                f"INSERT INTO {self.name} SELECT pos, ts, own FROM read_parquet({file})"
                f" WHERE own OR NOT epoch_us(ts) BETWEEN {self.low} AND {self.high}"
            )

    def end(self) -> None:
        """Drop the temporary table."""
        self.link.execute(f"DROP TABLE {self.name}")

    def count(self) -> int:
        """Count the hidden rows."""
        found = self.link.execute(f"SELECT count(*) FROM {self.name}").fetchone()
        return int(found[0]) if found else 0

    def hide(self, positions: str, *, own: bool = False) -> None:
        """Hide the rows of a query that gives `pos` and `ts`."""
        self.link.execute(f"INSERT INTO {self.name} SELECT pos, ts, {own} FROM ({positions})")

    def rows(self, columns: Sequence[str], *, wide: bool = False) -> str:
        """Write the query of its rows in the span that are not hidden.

        Args:
            columns: Further columns, as SQL over the stored ones, beside `pos` and `ts`.
            wide: Whether rows a little beside the span are given too.
        """
        more = self.slack if wide else 0
        listed = ", ".join(["file_row_number AS pos", "ts", *columns])
        return (
            f"SELECT {listed} FROM {views.source([self.part], self.folder)}"
            f" WHERE ts BETWEEN make_timestamptz({self.low - more})"
            f" AND make_timestamptz({self.high + more})"
            f" AND file_row_number NOT IN (SELECT pos FROM {self.name})"
        )

    def column(self, name: str) -> str:
        """Write what gives a column of the part."""
        return views.value(self.part, schema.TABLES[self.part.table].by_name[name])

    def meets(self, other: "Side") -> bool:
        """Tell whether the two parts have rows near each other in time."""
        a, b = self.part, other.part
        if a.first is None or a.last is None or b.first is None or b.last is None:
            return False
        return a.first <= b.last + self.slack and b.first <= a.last + self.slack

    def compared(self, other: "Side") -> list[str]:
        """Name the columns both inputs have, by which rows without an id are compared."""
        both = set(self.part.carried) & set(other.part.carried) - _NOT_COMPARED
        names = schema.TABLES[self.part.table].names
        return [name for name in names if name in both]
