"""Read the console's audit log: who did what to which key, and when (contract §9)."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from runbook_lib.errors import RecordError
from runbook_lib.schema import AUDIT
from runbook_lib.sources import call_values, csv_rows
from runbook_lib.sources.csv_rows import CsvRow
from runbook_lib.sources.intake import Intake, Source
from runbook_lib.sources.own_tables import moment, take
from runbook_lib.sources.stage import Stage, clean

_NAMES: dict[str, tuple[str, ...]] = {
    "ts": ("createdat", "ts", "time", "timestamp"),
    "action": ("action",),
    "actor": ("actoremail", "actor"),
    "key_id": ("keyid",),
    "key_name": ("keyname",),
    "method": ("method",),
    "path": ("path",),
    "request_id": ("requestid",),
    "ip_address": ("clientip", "ipaddress", "ip"),
    "change": ("requestbody", "change"),
    "status": ("statuscode", "status"),
    "params": ("extra",),
}
_ABOUT = frozenset({"actor", "method", "path", "request_id", "change", "key_id", "key_name"})
_SHOWN = re.compile(
    r"name|quota\w*|reset_quota|group(?:_id)?|expires\w*|rate_limit\w*|ip_\w+|model\w*"
    r"|allowed_\w+|status|enabled|concurrency|rpm\w*"
)


def is_audit(names: list[str]) -> bool:
    """Tell by its header whether a CSV is an audit log."""
    held = {csv_rows.norm(name) for name in names}
    found = {column for column, words in _NAMES.items() if held & set(words)}
    return {"ts", "action"} <= found and len(found & _ABOUT) >= 2


def read(source: Source) -> Intake:
    """Read one audit log.

    Args:
        source: Plain CSV file, columns as in the family's table; any order, others are left out.

    Returns:
        What was read. `change` keeps the name, caps, lists and expiry that an act set and nothing
        else; `key_name` is null where neither the act nor another with its key id names the key.

    Raises:
        InputError: the header names a column twice.

    Source: contract §9 (M); the documented audit log has no known format (?).
    """
    names = _names_of_ids(source.path, source.source_file)
    stage = Stage(AUDIT, source, kind="audit log")
    with stage:
        for row in csv_rows.rows(source.path, source.source_file):
            take(stage, row, lambda row: _fields(row, names, source.zone))
    return stage.finish()


def _names_of_ids(path: Path, source_file: str) -> dict[str, str]:
    """Collect the names of keys from acts that tell both id and name."""
    names: dict[str, str] = {}
    for row in csv_rows.rows(path, source_file):
        key_id, name = _key_of(row, _change(_cell(row, "change")))
        if key_id and name:
            names[key_id] = name
    return names


def _cell(row: CsvRow, column: str) -> str:
    return next((row.cells[word] for word in _NAMES[column] if row.cells.get(word)), "")


def _fields(row: CsvRow, names: Mapping[str, str], zone: ZoneInfo | None) -> dict[str, object]:
    when = _cell(row, "ts")
    if not when:
        raise RecordError("no time")
    change = _change(_cell(row, "change"))
    key_id, name = _key_of(row, change)
    shown = json.dumps(change, ensure_ascii=False, sort_keys=True) if change else None
    plain = ("action", "method", "path", "request_id", "ip_address")
    fields: dict[str, object] = {column: clean(_cell(row, column)) or None for column in plain}
    return fields | {
        "ts": moment("time", when, zone),
        "actor": _masked(_cell(row, "actor")),
        "key_id": key_id or None,
        "key_name": name or names.get(key_id) or None,
        "change": None if shown is None else clean(shown),
        "status": call_values.status(_cell(row, "status") or None)
        if _cell(row, "status")
        else None,
    }


def _key_of(row: CsvRow, change: Mapping[str, Any]) -> tuple[str, str]:
    params = _object(_cell(row, "params")).get("params")
    key_id = _cell(row, "key_id")
    if not key_id and isinstance(params, dict) and _cell(row, "action").startswith("keys."):
        key_id = str(params.get("id") or "")
    name = _cell(row, "key_name")
    if not name and _cell(row, "action").startswith("keys."):
        name = str(change.get("name") or "")
    return clean(key_id)[:64], clean(name)[:200]


def _change(text: str) -> dict[str, Any]:
    """Keep of what an act sent only the settings of a key that are no secret."""
    return {name: value for name, value in _object(text).items() if _SHOWN.fullmatch(name)}


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _masked(actor: str) -> str | None:
    if not actor:
        return None
    return actor if actor.endswith("***") else f"{actor[0]}***"
