"""Read the console's list of usage rows: the one source that has their ids and ten decimals."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from runbook_lib.errors import InputError, RecordError
from runbook_lib.schema import USAGE
from runbook_lib.sources import lines, usage_cells
from runbook_lib.sources.extra import extra
from runbook_lib.sources.intake import Intake, Source
from runbook_lib.sources.stage import Stage

_FIELDS: Mapping[str, str] = {
    "created_at": "ts",
    "request_id": "request_id",
    "model": "model",
    "inbound_endpoint": "endpoint",
    "ip_address": "ip_address",
    "user_agent": "user_agent",
    "request_type": "request_type",
    "billing_mode": "billing_mode",
    "reasoning_effort": "reasoning_effort",
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cache_read_tokens": "cache_read_tokens",
    "cache_creation_tokens": "cache_write_tokens",
    "cache_creation_5m_tokens": "cache_write_5m_tokens",
    "cache_creation_1h_tokens": "cache_write_1h_tokens",
    "rate_multiplier": "rate_multiplier",
    "actual_cost": "cost_usd",
    "total_cost": "original_cost_usd",
    "first_token_ms": "ttft_ms",
    "duration_ms": "duration_ms",
    "http_status": "status",
    "error_code": "code",
}
_NAMED = {"api_key": "key_name", "group": "group_name"}
_LEFT_OUT = frozenset({"user", "account", "api_key.key"})
SLOT_US = 900_000_000


def read(source: Source) -> Intake:
    """Read the answers of the console's list: one page, pages joined to one, or a page a line.

    Args:
        source: Plain JSON file.

    Returns:
        What was read. The key that each row of the list carries is never kept.

    Raises:
        InputError: the JSON is broken or cut, or holds no list of rows.

    Source: contract §7 (M).
    """
    stage = Stage(USAGE, source, kind="usage list")
    try:
        used, refused = _fill(stage, source)
    except BaseException:
        stage.drop()
        raise
    done = stage.finish()
    columns = frozenset({*_FIELDS.values(), *_NAMED.values(), "extra"})
    return replace(done, columns=columns, cost_decimals=10, usd_used=used, usd_rejected=refused)


def _fill(stage: Stage, source: Source) -> tuple[Decimal, Decimal]:
    used = refused = Decimal(0)
    number = held = 0
    totals: set[int] = set()
    for page in _pages(source.path, source.source_file):
        items, total = _items(page, source.source_file)
        totals |= {total} if total is not None else set()
        for item in items:
            number += 1
            try:
                fields = _fields(item, source.zone)
            except RecordError as error:
                stage.reject(number, None, error, json.dumps(_shown(item)))
                refused += _cost_of(item)
                continue
            held += 1
            used += fields["cost_usd"] or Decimal(0)
            stage.add_fields(fields, number)
            stage.owner("user_id", item.get("user_id"))
    if totals and max(totals) > number:
        stage.notes.append(f"holds {number} of {max(totals)} rows: fetch the other pages too")
    return used, refused


def _pages(path: Path, source_file: str) -> Iterator[Any]:
    if path.stat().st_size > lines.LARGEST_DOCUMENT:
        raise InputError(source_file, "is one very large JSON document", hint="give single pages")
    text = lines.decoded(path.read_bytes())
    decoder = json.JSONDecoder(parse_float=str, parse_constant=str)
    place = 0
    while text is not None and text[place:].strip():
        place += len(text[place:]) - len(text[place:].lstrip())
        try:
            page, place = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            text = None
            break
        yield page
    if text is None:
        raise InputError(source_file, "is broken or cut-off JSON", hint="export it again")


def _items(page: Any, source_file: str) -> tuple[list[Any], int | None]:
    if isinstance(page, list):
        return page, None
    data = page.get("data") if isinstance(page, dict) else None
    if isinstance(data, list):
        return data, None
    items = data.get("items") if isinstance(data, dict) else None
    if isinstance(page, dict) and items is None and "created_at" in page:
        return [page], None
    if not isinstance(data, dict) or not isinstance(items, list):
        raise InputError(source_file, "is no list of usage rows", hint="export it again")
    total = data.get("total")
    return items, total if type(total) is int else None


def _fields(item: object, zone: ZoneInfo | None) -> dict[str, Any]:
    if not isinstance(item, Mapping):
        raise RecordError("no JSON object")
    fields: dict[str, Any] = {}
    for name, column in _FIELDS.items():
        fields[column] = _value(name, column, item.get(name), zone)
    for name, column in _NAMED.items():
        inner = item.get(name)
        fields[column] = _inner_name(inner)
    if fields["ts"] is None:
        raise RecordError("no time")
    fields["slot"] = fields["ts"] // SLOT_US
    fields["extra"] = extra(_rest(item))
    return fields


def _value(name: str, column: str, value: object, zone: ZoneInfo | None) -> Any:
    if value is None:
        return None
    if isinstance(value, bool | list | dict):
        raise RecordError(f"{name} of another type", field=name, value=value)
    try:
        return usage_cells.reader(column, comma=False, zone=zone)(str(value))
    except RecordError as error:
        raise RecordError(f"{name}: {error.reason}", field=name, value=value) from None


def _inner_name(inner: object) -> str | None:
    name = inner.get("name") if isinstance(inner, Mapping) else None
    return usage_cells.text(name) if isinstance(name, str) else None


def _rest(item: Mapping[str, Any]) -> dict[str, Any]:
    rest = {
        name: value
        for name, value in item.items()
        if name not in _FIELDS and name not in _NAMED and name not in _LEFT_OUT
    }
    for name in _NAMED:
        inner = item.get(name)
        if isinstance(inner, Mapping):
            kept = {key: value for key, value in inner.items() if key not in ("name", "key")}
            rest["key" if name == "api_key" else name] = kept
    return rest


def _shown(item: object) -> object:
    """Give what a reject may show of a row: its time, model and costs."""
    if not isinstance(item, Mapping):
        return str(type(item).__name__)
    names = ("id", "created_at", "request_id", "model", "actual_cost", "input_tokens")
    return {name: str(item[name]) for name in names if name in item}


def _cost_of(item: object) -> Decimal:
    cost = item.get("actual_cost") if isinstance(item, Mapping) else None
    if cost is None or isinstance(cost, bool | list | dict):
        return Decimal(0)
    try:
        return usage_cells.amount(str(cost), comma=False) or Decimal(0)
    except RecordError:
        return Decimal(0)
