"""Tell what a file is by its content, never by its name."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from runbook_lib.errors import InputError, UnknownSourceError
from runbook_lib.sources import audit, call_forms, csv_rows, lines, own_tables, wrapped

Kind = Literal[
    "usage export", "usage list", "refusals", "call log", "audit", "key state", "settings", "table"
]

_HEAD = 256 * 1024
_LOOK_AHEAD = 32 * 1024 * 1024
_FEWEST_COLUMNS = 6
_SYSLOG = re.compile(r"<\d{1,3}>")


def kind_of(path: Path, source_file: str) -> Kind:
    """Name the kind of a plain text file.

    Args:
        path: The file, unpacked.
        source_file: Its name, for messages.

    Raises:
        UnknownSourceError: it is a web page, other JSON, or text of no known form.
        InputError: it is one JSON document that is broken.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD).decode("utf-8", "replace").lstrip("\ufeff").lstrip()
    if not head:
        raise InputError(source_file, "is empty", hint="export it again")
    if head.startswith("<") and not _SYSLOG.match(head):
        raise UnknownSourceError(source_file, "a web page; the login may have run out")
    if lines.begins_json(head):
        return _json_kind(path, head, source_file)
    if wrapped.any_record(head.splitlines()[:2000]):
        return "call log"
    return _csv_kind(path, head, source_file)


def _csv_kind(path: Path, head: str, source_file: str) -> Kind:
    names = csv_rows.header(head.splitlines()[0])
    if len(names) < _FEWEST_COLUMNS and own_tables.table_of(names) is None:
        if _any_record_later(path):
            return "call log"
        if len(names) < 2:
            raise UnknownSourceError(source_file, "plain text")
    if audit.is_audit(names):
        return "audit"
    return "usage export" if own_tables.table_of(names) is None else "table"


def _json_kind(path: Path, head: str, source_file: str) -> Kind:
    listed = _console_list(head)
    if listed is not None:
        return listed
    first = next(lines.raw_lines(path))[1]
    text = lines.decoded(first) if first is not None else None
    value = None if text is None else lines.parsed(text)
    if isinstance(value, dict):
        return _record_kind(value, source_file)
    if path.stat().st_size > lines.LARGEST_DOCUMENT and _any_record(head):
        return "call log"
    whole = lines.document(path, source_file)
    if isinstance(whole, dict):
        return _record_kind(whole, source_file)
    if isinstance(whole, list):
        return "call log"
    if whole is lines.BROKEN and _any_record(head):
        return "call log"
    raise InputError(source_file, "is broken or cut-off JSON", hint="export it again")


def _any_record(head: str) -> bool:
    return any(isinstance(lines.parsed(line), dict) for line in head.splitlines()[:2000])


def _any_record_later(path: Path) -> bool:
    """Look further into a log that begins with plain text, such as the start of a program."""
    seen = 0
    for _, raw, _ in lines.raw_lines(path):
        seen += len(raw or b"")
        text = lines.decoded(raw) if raw is not None and b"{" in raw else None
        if text is not None and wrapped.any_record([text]):
            return True
        if seen > _LOOK_AHEAD:
            break
    return False


def _console_list(head: str) -> Kind | None:
    """Know a list of the console by its envelope and first item, without reading all of it."""
    start = head.find('"items"')
    if not head.startswith("{") or start < 0 or '"data"' not in head[:start]:
        return None
    bracket = head.find("[", start)
    try:
        item, _ = json.JSONDecoder().raw_decode(head, head.index("{", bracket))
    except (ValueError, RecursionError):
        return None
    return _item_kind(item)


def _item_kind(item: object) -> Kind | None:
    if not isinstance(item, dict) or "created_at" not in item:
        return None
    if "status_code" in item and ("category" in item or "key_name" in item):
        return "refusals"
    if "model" in item and any(name.endswith("_tokens") for name in item):
        return "usage list"
    return None


def _record_kind(value: Mapping[str, Any], source_file: str) -> Kind:
    """Name the kind of the first, or only, JSON object of a file."""
    data = value.get("data")
    if isinstance(value.get("code"), int) and isinstance(data, dict):
        return _envelope_kind(data, source_file)
    if isinstance(value.get("code"), int) and "reason" in value:
        raise UnknownSourceError(source_file, "a refusal of the console, not its data")
    if _is_key_state(value):
        return "key state"
    if _is_captured_answer(value):
        raise UnknownSourceError(source_file, "captured answers without a time, not a call log")
    return "call log"


def _envelope_kind(data: Mapping[str, Any], source_file: str) -> Kind:
    items = data.get("items")
    if isinstance(items, list):
        if not items:
            raise InputError(
                source_file, "is an empty list of the console", hint="widen its date range"
            )
        found = _item_kind(items[0])
        if found is not None:
            return found
    if "server_timezone" in data or "registration_enabled" in data:
        return "settings"
    raise UnknownSourceError(source_file, "another answer of the console")


def _is_key_state(value: Mapping[str, Any]) -> bool:
    body = value.get("body") if "status" in value and "headers" in value else value
    if not isinstance(body, dict) or call_forms.form_of(value) is not None:
        return False
    if "asked_at" in value or "key_name" in value:
        return "body" in value or _is_answer(body)
    return "request" not in value and _is_answer(body)


def _is_answer(body: Mapping[str, Any]) -> bool:
    models = body.get("object") == "list" and isinstance(body.get("data"), list)
    return models or ("isValid" in body and "mode" in body)


def _is_captured_answer(value: Mapping[str, Any]) -> bool:
    return {"request", "status", "headers", "body"} <= set(value)
