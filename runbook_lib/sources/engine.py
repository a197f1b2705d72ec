"""DuckDB, shut in: one connection in memory that sees a few folders and nothing else.

Times are UTC whatever the machine says, nothing is fetched, and no setting can be changed later.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

MEMORY_MB = 512
"""Memory one connection may use; what does not fit is spilled to its temporary folder."""


def quoted(text: str) -> str:
    """Write a text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def name(column: str) -> str:
    """Write a name as an SQL identifier."""
    return '"' + column.replace('"', '""') + '"'


def connect(
    folders: Sequence[Path], *, files: Sequence[Path] = (), spill: Path, memory_mb: int = MEMORY_MB
) -> "duckdb.DuckDBPyConnection":
    """Open a connection that reads and writes only in these folders and reads these files.

    Args:
        folders: Folders it may read and write, all below them included.
        files: Single files it may use beside them.
        spill: Folder for what does not fit into memory; made when needed, must be in *folders*.
        memory_mb: Memory it may use, in MiB.
    """
    import duckdb

    link = duckdb.connect()
    allowed = ", ".join(quoted(f"{folder.resolve()}/") for folder in folders)
    single = ", ".join(quoted(str(path.resolve())) for path in files)
    link.execute(
        f"SET TimeZone = 'UTC'; SET memory_limit = '{memory_mb}MiB';"
        f"SET temp_directory = {quoted(str(spill))};"
        "SET autoinstall_known_extensions = false; SET autoload_known_extensions = false;"
        f"SET allowed_directories = [{allowed}]; SET allowed_paths = [{single}];"
    )
    if _draws_progress(link):  # without ipywidgets a kernel draws none and refuses the setting
        link.execute("SET enable_progress_bar = false")
    return link


def _draws_progress(link: "duckdb.DuckDBPyConnection") -> bool:
    held = link.execute("SELECT current_setting('enable_progress_bar')").fetchone()
    return bool(held and held[0])


def lock(link: "duckdb.DuckDBPyConnection") -> None:
    """Shut a connection in for good: no other folder, no network, no further setting."""
    link.execute("SET enable_external_access = false; SET lock_configuration = true")
