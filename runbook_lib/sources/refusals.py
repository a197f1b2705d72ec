"""Read the console's list of failed requests, which has no ids (contract §7)."""

from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

from runbook_lib.errors import InputError, RecordError
from runbook_lib.schema import REFUSALS
from runbook_lib.sources import call_values, lines
from runbook_lib.sources.intake import Intake, Source
from runbook_lib.sources.own_tables import moment
from runbook_lib.sources.stage import Stage, clean

_TEXTS = {
    "key_name": "key_name",
    "model": "model",
    "endpoint": "inbound_endpoint",
    "category": "category",
    "provider": "platform",
    "ip_address": "client_ip",
    "user_agent": "user_agent",
    "group_name": "group_name",
}


def read(source: Source) -> Intake:
    """Read one answer of the console's list of failed requests.

    Args:
        source: Plain JSON file: the list's envelope, one page or several joined.

    Returns:
        What was read. Messages are left out: nothing may be decided by them.

    Raises:
        InputError: the JSON is broken, or holds no list of items.

    Source: contract §7 (M).
    """
    items, total = list_of(lines.document(source.path, source.source_file), source.source_file)
    stage = Stage(REFUSALS, source, kind="list of failed requests")
    if total is not None and total > len(items):
        stage.notes.append(f"holds {len(items)} of {total} rows: fetch the other pages too")
    with stage:
        for number, item in enumerate(items, start=1):
            try:
                fields = _fields(item, source.zone)
            except RecordError as error:
                stage.reject(number, None, error)
                continue
            stage.add_fields(fields, number)
    return stage.finish()


def list_of(document: Any, source_file: str) -> tuple[list[Any], int | None]:
    """Give the items of a console list and how many there are in all, where it tells.

    Raises:
        InputError: there is no list of items.
    """
    data = document.get("data") if isinstance(document, dict) else None
    items = data.get("items") if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(items, list):
        raise InputError(source_file, "is a broken list of the console", hint="fetch it again")
    total = data.get("total")
    return items, total if type(total) is int else None


def _fields(item: object, zone: ZoneInfo | None) -> dict[str, object]:
    if not isinstance(item, Mapping):
        raise RecordError("no JSON object")
    when = item.get("created_at")
    if not isinstance(when, str) or not when:
        raise RecordError("no time")
    fields: dict[str, object] = {
        column: None if (text := call_values.text(item.get(name))) is None else clean(text)
        for column, name in _TEXTS.items()
    }
    code = item.get("status_code")
    fields["status"] = None if code is None else call_values.status(code)
    fields["ts"] = moment("time", when, zone)
    return fields
