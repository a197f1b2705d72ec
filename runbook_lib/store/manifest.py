"""What the lake holds: one JSON file that makes everything in it visible at once.

A file of the lake counts only when the manifest names it. A writer prepares its files beside, then
replaces the manifest in one step: readers, and a crash at any point, see the old state or the new.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from runbook_lib.errors import StoreError

VERSION = 1
FILE = "manifest.json"
PARTS = "parts"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One Parquet file of rows.

    Attributes:
        table: Table of `schema.TABLES` its rows belong to; `account` theirs.
        file: Name in the folder of parts; `ids` that of its index, `hidden` that of the list of
            rows that another part holds better, each empty for none.
        rows: Rows in the file; `hidden_rows` of them are hidden.
        first, last: Span of `ts` in microseconds since 1970; None for tables without.
        stored: Columns in the file; the others are null, or the same in every row.
        declared: Columns the input has; `carried` those that have a value in some row.
        decimals: Decimals of its costs; `rank` puts the richest kind of input first.
        dropped: Hidden rows that were left out for good when parts were merged.
        runs: The hidden rows as spans of positions, both ends with them, where these are few.
        kind, source: Kind and name of the input; `source` is empty where the rows say it.
        key: What tells this input from others, and settles ties the same way every time.
    """

    table: str
    account: str
    file: str
    rows: int
    stored: tuple[str, ...]
    declared: tuple[str, ...]
    carried: tuple[str, ...]
    kind: str
    source: str
    key: str
    first: int | None = None
    last: int | None = None
    decimals: int = 10
    rank: int = 0
    ids: str = ""
    hidden: str = ""
    hidden_rows: int = 0
    dropped: int = 0
    runs: tuple[tuple[int, int], ...] = ()

    @property
    def files(self) -> list[str]:
        """Names of all its files."""
        return [name for name in (self.file, self.ids, self.hidden) if name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One state of the lake.

    Attributes:
        generation: Counts the states.
        probe: What this engine's hash gave for a known text when the indexes were written.
        parts: The files of rows. `taken`: what was read, a record an input, for the intake card.
    """

    generation: int = 0
    probe: int = 0
    sample: bool = False
    parts: tuple[Part, ...] = ()
    taken: tuple[Mapping[str, Any], ...] = field(default=())

    def of(self, table: str) -> list[Part]:
        """The parts of one table."""
        return [part for part in self.parts if part.table == table]

    @property
    def files(self) -> set[str]:
        """Names of all files that count."""
        return {name for part in self.parts for name in part.files}


def read(folder: Path) -> Manifest:
    """Read the state of the lake in a folder; an empty folder is an empty lake.

    Raises:
        StoreError: the manifest is broken, or of a version this program does not know.
    """
    path = folder / FILE
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Manifest()
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(folder, f"cannot be read ({error})", hint="check its rights") from None
    try:
        content = json.loads(text)
        version = content["version"]
    except (ValueError, KeyError, TypeError):
        raise _broken(folder) from None
    if version != VERSION:
        raise StoreError(
            folder,
            f"has a manifest of version {version!r}, and this program knows {VERSION}",
            hint="use a newer program, or take the files in again into an empty folder",
        )
    try:
        return _from_plain(content)
    except (KeyError, TypeError, ValueError):
        raise _broken(folder) from None


def write(folder: Path, manifest: Manifest) -> None:
    """Put a new state in the place of the old, in one step that survives a crash."""
    content = {"version": VERSION, **asdict(manifest)}
    path = folder / f".{FILE}.new"
    with path.open("w", encoding="utf-8") as file:
        json.dump(content, file, ensure_ascii=False, indent=1)
        file.flush()
        os.fsync(file.fileno())
    path.replace(folder / FILE)
    keep(folder)


def keep(folder: Path) -> None:
    """Make the names in a folder last through a loss of power."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _broken(folder: Path) -> StoreError:
    return StoreError(
        folder, "has a broken manifest", hint="take the files in again into an empty folder"
    )


def _from_plain(content: Mapping[str, Any]) -> Manifest:
    parts = tuple(_part(part) for part in content["parts"])
    return Manifest(
        generation=int(content["generation"]),
        probe=int(content["probe"]),
        sample=bool(content["sample"]),
        parts=parts,
        taken=tuple(content["taken"]),
    )


def _part(content: Mapping[str, Any]) -> Part:
    named = {name: tuple(content[name]) for name in ("stored", "declared", "carried")}
    runs = tuple((int(first), int(last)) for first, last in content["runs"])
    return Part(**{**content, **named, "runs": runs})
