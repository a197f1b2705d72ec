"""Raw files to tidy rows, one file a source.

`read` opens one file safely, tells by its content what it is, and hands it to its reader; every
reader stages one Parquet file with the columns of its table and says what it left out.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from zoneinfo import ZoneInfo

from runbook_lib.errors import InputError, UnknownSourceError
from runbook_lib.sources.intake import Intake, Source
from runbook_lib.sources.opened import opened, safe_name
from runbook_lib.sources.places import places

__all__ = ["files", "places", "read"]

_Reader = Callable[[Source], Intake]


def files(paths: Iterable[str | Path]) -> list[Path]:
    """List the files that paths stand for, and nothing else.

    Args:
        paths: Files, which are taken as they are, and folders, which are searched.

    Returns:
        The files: of a folder its regular files, deep and in order of name; hidden ones and links
        in it are left out. A file named twice stands once.

    Raises:
        InputError: a path is an address, does not exist, or is no regular file.
    """
    found = places(paths)
    for _, error in found.broken:
        raise error
    return [place.path for place in found.files]


def read(
    path: str | Path,
    staging: Path,
    *,
    name: str = "",
    account: str = "",
    field_map: Mapping[str, str] | None = None,
    zone: ZoneInfo | None = None,
) -> list[Intake]:
    """Read one file, whatever its name says it is.

    Args:
        path: A regular local file; honest gzip is unpacked. Nothing is ever fetched.
        staging: Folder for what is read, until the store takes it.
        name: What rows and messages call it; its file name where none is given.
        account: Account the rows belong to; empty where there is one.
        field_map: Column of `calls` → dotted field, over the guess for logs of unknown make.
        zone: Zone of times without an offset, which are refused without it.

    Returns:
        What was read; the staged file of each has exactly the columns of its table.

    Raises:
        InputError: the path cannot be read, or its content is broken, empty or a bomb.
        UnknownSourceError: the content is that of no known source.
        ParameterError: *field_map* names no column.
    """
    if field_map:
        from runbook_lib.sources.field_map import check as check_map

        check_map(field_map)
    with opened(path, staging, name=name) as file:
        source = Source(
            path=file.path,
            staging=staging,
            source_file=file.source_file,
            account=account,
            zone=zone,
        )
        try:
            intake = _read(source, field_map)
        except MemoryError:
            raise InputError(safe_name(path), "is too large", hint="split it") from None
        digest = file.digest()
    return [replace(intake, sha256=digest, notes=(*file.notes, *intake.notes))]


def _read(source: Source, field_map: Mapping[str, str] | None) -> Intake:
    from runbook_lib.sources import call_logs, sniff

    kind = sniff.kind_of(source.path, source.source_file)
    if kind == "settings":
        return _settings(source)
    if kind == "call log":
        return call_logs.read(source, field_map=field_map)
    return _reader(kind)(source)


def _reader(kind: str) -> _Reader:
    """Load the reader of a kind of file."""
    from runbook_lib.sources import audit, gateway_answers, own_tables, refusals

    if kind in ("usage export", "usage list"):
        return _usage_reader(kind)
    readers: dict[str, _Reader] = {
        "refusals": refusals.read,
        "audit": audit.read,
        "key state": gateway_answers.read,
        "table": own_tables.read,
    }
    return readers[kind]


def _usage_reader(kind: str) -> _Reader:
    from runbook_lib.sources import usage_export, usage_list

    return usage_export.read if kind == "usage export" else usage_list.read


def _settings(source: Source) -> Intake:
    """Take note of the console's public settings: they hold no rows."""
    from runbook_lib.sources import lines

    document = lines.document(source.path, source.source_file)
    data = document.get("data") if isinstance(document, dict) else None
    if not isinstance(data, dict):
        raise UnknownSourceError(source.source_file, "broken JSON")
    version, zone = (str(data.get(name) or "unknown") for name in ("version", "server_timezone"))
    return Intake(
        kind="console settings",
        table="key_state",
        source_file=source.source_file,
        account=source.account,
        notes=(f"version {safe_name(version)}, server time zone {safe_name(zone)}",),
    )
