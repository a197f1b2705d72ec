"""Write tidy rows of one file to Parquet, batch by batch, and count what is left out."""

import os
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from runbook_lib import redact
from runbook_lib.errors import RecordError
from runbook_lib.schema import SQL_TYPES, Table
from runbook_lib.sources.intake import MOST_OWNERS, Intake, Reject, Source

if TYPE_CHECKING:
    import pyarrow as pa

BATCH = 8192
_SHORT, _FEW_WORDS = 40, 3
KEPT_REJECTS = 1000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def micros(instant: datetime) -> int:
    """Count the microseconds from 1970 to an aware instant."""
    return (instant - _EPOCH) // timedelta(microseconds=1)


def instant(value: int | None) -> datetime | None:
    """Turn microseconds since 1970 into an aware UTC instant."""
    return None if value is None else _EPOCH + timedelta(microseconds=value)


def clean(text: str) -> str:
    """Make a text fit for the lake: no secret, no NUL and no half of a surrogate pair."""
    whole = text.encode("utf-8", "replace").decode("utf-8").replace("\x00", "\ufffd")
    return redact.secrets(whole) if redact.suspect(whole) else whole


def short(value: object) -> str:
    """Show the value of one field of a refused record, without what could be a key or a prompt."""
    if value is None:
        return "nothing"
    if isinstance(value, dict | list):
        return f"a {'JSON object' if isinstance(value, dict) else 'list'} of {len(value)}"
    text = str(value)
    if len(text) > _SHORT or len(text.split()) > _FEW_WORDS:
        return f"a text of {len(text)} characters"
    return repr(redact.safe(text))


def arrow_type(kind: str) -> "pa.DataType":
    """Give the Arrow type of a kind of column, the one DuckDB reads as its SQL type."""
    import pyarrow as pa

    return {
        "VARCHAR": pa.string(),
        "BIGINT": pa.int64(),
        "DECIMAL(18, 10)": pa.decimal128(18, 10),
        "TIMESTAMPTZ": pa.timestamp("us", tz="UTC"),
        "BOOLEAN": pa.bool_(),
        "DOUBLE": pa.float64(),
        "DATE": pa.date32(),
    }[SQL_TYPES[kind]]


class Stage:
    """One Parquet file in the making, with the columns of its table in their order.

    Instants are given as microseconds since 1970 or as aware datetimes. `finish` moves nothing:
    the file stays in the staging folder and the store takes it from there. As a context manager
    it leaves nothing behind when the reading fails half way.
    """

    def __init__(self, table: Table, source: Source, *, kind: str) -> None:
        import pyarrow as pa

        self.table, self.kind = table, kind
        self.source_file, self.account = source.source_file, source.account
        self.rows = self.rejected = self.other_lines = 0
        self.reasons: Counter[str] = Counter()
        self.notes: list[str] = []
        self._rejects: list[Reject] = []
        self._held: list[Sequence[Any]] = []
        self._seen: set[str] = set()
        self._owners: set[str] = set()
        self._span: tuple[int, int] | None = None
        self._schema = pa.schema([(c.name, arrow_type(c.type)) for c in table.columns])
        self._ts = table.names.index("ts") if "ts" in table.by_name else None
        handle, name = tempfile.mkstemp(
            prefix=f"{table.name}-", suffix=".parquet", dir=source.staging
        )
        os.close(handle)
        self._path = Path(name)
        self._writer: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is not None:
            self.drop()

    def add(self, row: Sequence[Any]) -> None:
        """Take one row: a value for every column of the table, in its order."""
        self._held.append(row)
        self.rows += 1
        if len(self._held) >= BATCH:
            self._write()

    def add_fields(self, fields: Mapping[str, Any], row_number: int) -> None:
        """Take one row by column name; account, file and number are filled in."""
        own = {
            "account": self.account,
            "source_file": self.source_file,
            "row_number": row_number,
        }
        self.add([own[n] if n in own else fields.get(n) for n in self.table.names])

    def reject(self, row: int, line: int | None, why: RecordError | str, sample: str = "") -> None:
        """Count a record that cannot be used; the first thousand are kept with a safe sample.

        Args:
            row: Its number.
            line: Its line; None where it has none.
            why: The reason, or the error that tells it with the field and its value.
            sample: What the record says.
        """
        error = why if isinstance(why, RecordError) else RecordError(why)
        self.rejected += 1
        self.reasons[error.reason] += 1
        if len(self._rejects) < KEPT_REJECTS:
            kept = Reject(
                row=row,
                line=line,
                reason=error.reason,
                sample=redact.safe(sample[:400], limit=120),
                field=error.field,
                value=short(error.value) if error.field else "",
            )
            self._rejects.append(kept)

    def owner(self, name: str, value: object) -> None:
        """Remember an account or user that a row names."""
        if value not in (None, "") and len(self._owners) < MOST_OWNERS:
            self._owners.add(redact.safe(f"{name} {value}", limit=80))

    def drop(self) -> None:
        """Leave nothing behind, when the reading fails half way."""
        if self._writer is not None:
            self._writer.close()
        self._path.unlink(missing_ok=True)

    def finish(self, *, field_map: Mapping[str, str] | None = None) -> Intake:
        """Close the file and say what was read."""
        if self._held:
            self._write()
        if self._writer is None:
            self._path.unlink(missing_ok=True)
        else:
            self._writer.close()
        first, last = self._span or (None, None)
        return Intake(
            kind=self.kind,
            table=self.table.name,
            source_file=self.source_file,
            account=self.account,
            staged=self._path if self._writer is not None else None,
            columns=frozenset(self._seen),
            rows=self.rows,
            rejected=self.rejected,
            other_lines=self.other_lines,
            reasons=dict(self.reasons),
            rejects=tuple(self._rejects),
            first_at=instant(first),
            last_at=instant(last),
            notes=tuple(self.notes),
            field_map=dict(field_map or {}),
            owners=frozenset(self._owners),
        )

    def _write(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns = list(zip(*self._held, strict=True))
        self._held = []
        arrays = [
            pa.array(values, type=field.type)
            for values, field in zip(columns, self._schema, strict=True)
        ]
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._path, self._schema, compression="zstd")
        self._writer.write_batch(pa.record_batch(arrays, schema=self._schema))
        self._notice(arrays)

    def _notice(self, arrays: Sequence[Any]) -> None:
        for name, array in zip(self.table.names, arrays, strict=True):
            if name not in self._seen and array.null_count < len(array):
                self._seen.add(name)
        if self._ts is not None:
            import pyarrow.compute as pc

            ends = pc.min_max(arrays[self._ts].cast("int64"))
            low, high = ends["min"].as_py(), ends["max"].as_py()
            if low is not None:
                old = self._span or (low, high)
                self._span = (min(old[0], low), max(old[1], high))
