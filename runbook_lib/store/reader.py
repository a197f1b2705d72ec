"""Ask the lake: one state of it, one connection, every answer a small frame."""

import os
import shutil
import tempfile
import uuid
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runbook_lib.schema import TABLES
from runbook_lib.sources import engine
from runbook_lib.store import views
from runbook_lib.store.frames import frame
from runbook_lib.store.manifest import Manifest

if TYPE_CHECKING:
    import duckdb
    import ibis.expr.types as ir
    import pandas as pd
    import pyarrow as pa

PROBE = "the index is written with this hash"


class Reader:
    """One state of the lake, open for questions."""

    def __init__(self, folder: Path, manifest: Manifest, *, memory_mb: int) -> None:
        self.folder, self.manifest = folder, manifest
        spill = _spill_folder(folder) / f"spill-{uuid.uuid4().hex}"
        self._swept = weakref.finalize(self, shutil.rmtree, spill, ignore_errors=True)
        self.link = engine.connect([folder, spill], spill=spill, memory_mb=memory_mb)
        engine.lock(self.link)
        for name, table in TABLES.items():
            self._view(name, views.table(table, manifest.of(name), folder))
        whole = manifest.probe == probe(self.link)
        for name in views.IDS:
            self._view(f"{name}_ids", views.ids(name, manifest.of(name), folder, whole=whole))

    def close(self) -> None:
        """Let go of the connection and its temporary files."""
        self.link.close()
        self._swept()

    def answer(self, question: "ir.Table", **given: "pa.Table") -> "pd.DataFrame":
        """Answer one Ibis expression.

        Args:
            question: Built on the tables of `schema`.
            **given: Small tables it joins, by name.

        Returns:
            Its rows, in the columns of the expression.
        """
        return self.ask(compiled(question), given)

    def ask(self, sql: str, given: Mapping[str, "pa.Table"] | None = None) -> "pd.DataFrame":
        """Answer one query in the engine's own SQL.

        Args:
            sql: A query over the views of the lake.
            given: Small tables it joins, by name.

        Returns:
            Its rows, in the columns of the query.
        """
        for name, table in (given or {}).items():
            self.link.register(name, table)
        return frame(self.link.sql(sql).to_arrow_table())

    def _view(self, name: str, query: str) -> None:
        self.link.execute(f"CREATE OR REPLACE TEMP VIEW {engine.name(name)} AS {query}")


def compiled(question: "ir.Table") -> str:
    """Write an Ibis expression in the engine's own SQL."""
    import ibis

    return str(ibis.to_sql(question, dialect="duckdb"))


def probe(link: "duckdb.DuckDBPyConnection") -> int:
    """Tell which hash this engine has, so that an index of another is not trusted."""
    found = link.execute(f"SELECT hash({engine.quoted(PROBE)})").fetchone()
    return int(found[0]) if found else 0


def asked(link: "duckdb.DuckDBPyConnection", ids: Sequence[str]) -> "pa.Table":
    """Hash ids the way the index does."""
    import pyarrow as pa

    link.register("asked_ids", pa.table({"id": pa.array(ids, pa.string())}))
    hashes: Any = link.sql("SELECT DISTINCT hash(id) AS h FROM asked_ids").to_arrow_table()
    return hashes


def _spill_folder(folder: Path) -> Path:
    """Name the place for what does not fit into memory; the engine makes it when it needs it."""
    inside = folder / "tmp"
    writable = inside.is_dir() and os.access(inside, os.W_OK)
    return inside if writable else Path(tempfile.gettempdir())
