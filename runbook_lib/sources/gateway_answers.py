"""Read live answers of `GET /v1/usage` and `GET /v1/models`: what a key may do, and its caps.

An answer is saved as it came, or wrapped as `{"key_name", "status", "headers", "asked_at",
"body"}`. Where nothing inside names the key, a file called `v1_usage_<key>.json` or
`models_<key>.json` does.
"""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import Any
from zoneinfo import ZoneInfo

from runbook_lib import money
from runbook_lib.errors import InputError, RecordError
from runbook_lib.schema import KEY_STATE, PLAN_WINDOWS
from runbook_lib.sources import call_values
from runbook_lib.sources.call_forms import code_of
from runbook_lib.sources.intake import Intake, Source
from runbook_lib.sources.own_tables import moment
from runbook_lib.sources.stage import Stage, clean

Fields = dict[str, object]
WEEK = timedelta(days=7)

_NAME = re.compile(r"(?:v1_)?(usage|models)_(.+)\.json(?:\.gz)?")


def read(source: Source) -> Intake:
    """Read one live answer for one key.

    Args:
        source: Plain JSON file; its name may name the key.

    Returns:
        One row a window of the key, one for a list of models or a refusal. Amounts are rounded to
        ten decimals; `isValid` is left out, as it is true for every key (contract §7, M).

    Raises:
        InputError: the JSON is broken.

    Source: contract §7 (M).
    """
    document = _load(source.path, source.source_file)
    stage = Stage(KEY_STATE, source, kind="live answer of a key")
    try:
        fields = list(_rows(document, source.source_file, source.zone))
    except RecordError as error:
        stage.reject(1, None, error)
        fields = []
    for number, row in enumerate(fields, start=1):
        stage.add_fields(row, number)
    if fields and fields[0].get("key_name") is None:
        stage.notes.append("nothing names its key; save it as v1_usage_<key>.json")
    return stage.finish()


def fields_of(document: Mapping[str, Any], *, source_file: str) -> list[Fields]:
    """Read one answer that is held in memory, as it came or wrapped.

    Args:
        document: The answer, its numbers as Decimal.
        source_file: Name it would have as a file; it may name the question and the key.

    Returns:
        Fields of `key_state`, one a window of the key; `source_file` and `row_number` left out.

    Raises:
        RecordError: a time or an amount cannot be used.
    """
    return list(_rows(document, source_file, None))


def _load(path: Path, source_file: str) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes().decode("utf-8-sig"), parse_float=Decimal)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise InputError(source_file, "is broken JSON", hint="fetch the answer again")
    return value


def _rows(document: Mapping[str, Any], source_file: str, zone: ZoneInfo | None) -> Iterator[Fields]:
    wrapped = "body" in document
    body = document["body"] if wrapped else document
    body = body if isinstance(body, dict) else {}
    status = call_values.status(document["status"]) if wrapped and document.get("status") else None
    named = _NAME.fullmatch(PurePosixPath(source_file).name)
    asked = document.get("asked_at") if wrapped else None
    models = _models(body)
    question = "models" if models is not None else "usage" if "mode" in body else None
    base: Fields = {
        "key_name": _text(document.get("key_name")) or (clean(named[2]) if named else None),
        "asked_at": _when(asked, zone),
        "question": question or (named[1] if named else None),
        "status": status if wrapped else 200,
        "code": None if question else _text(code_of(body)),
        "models": models,
    }
    if question == "usage":
        yield from _windows(base, body, zone)
    else:
        yield base


def _models(body: Mapping[str, Any]) -> str | None:
    listed = body.get("data", body.get("models"))
    if not isinstance(listed, list):
        return None
    names = (item.get("id") or item.get("name") for item in listed if isinstance(item, dict))
    return ",".join(clean(str(name).removeprefix("models/")) for name in names if name)


def _windows(base: Fields, body: Mapping[str, Any], zone: ZoneInfo | None) -> Iterator[Fields]:
    total = _object(_object(body.get("usage")).get("total"))
    shared = base | {
        "mode": _text(body.get("mode")),
        "expires_at": _when(body.get("expires_at"), zone),
        "balance_usd": _amount(body.get("balance")),
        "cost_usd": _amount(total.get("actual_cost")),
    }
    windows: list[tuple[str | None, Mapping[str, Any]]] = []
    if isinstance(body.get("quota"), dict):
        windows.append(("total", body["quota"]))
    limits = body.get("rate_limits")
    listed = (
        [limit for limit in limits if isinstance(limit, dict)] if isinstance(limits, list) else []
    )
    windows.extend((_text(limit.get("window")), limit) for limit in listed)
    for name, window in windows:
        yield shared | {
            "window": name,
            "limit_usd": _amount(window.get("limit")),
            "used_usd": _amount(window.get("used")),
            "remaining_usd": _amount(window.get("remaining")),
            "reset_at": _when(window.get("reset_at"), zone),
        }
    plan = list(_plan(body, zone))
    yield from (shared | fields for fields in plan)
    if not windows and not plan:
        yield shared


def _plan(body: Mapping[str, Any], zone: ZoneInfo | None) -> Iterator[Fields]:
    """The windows of a subscription; of the week alone it is told when it began."""
    told = _object(body.get("subscription"))
    for window, name in PLAN_WINDOWS.items():
        limit, used = (_amount(told.get(f"{name}_{part}_usd")) for part in ("limit", "usage"))
        begun = _when(told.get(f"{name}_window_start"), zone)
        if limit is not None:
            yield {
                "window": window,
                "limit_usd": limit,
                "used_usd": used,
                "remaining_usd": None if used is None else max(limit - used, money.ZERO),
                "reset_at": begun + WEEK if name == "weekly" and begun is not None else None,
            }


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    found = call_values.text(value)
    return None if found is None else clean(found)


def _when(value: object, zone: ZoneInfo | None) -> datetime | None:
    return moment("time", value, zone) if isinstance(value, str) and value else None


def _amount(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    amount = Decimal(value)
    if not amount.is_finite() or abs(amount) > money.LARGEST:
        raise RecordError("amount is out of range")
    return money.rounded(amount, money.SCALE)
