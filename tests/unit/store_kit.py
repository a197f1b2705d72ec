"""What the tests of the store share: files made in memory, taken in, and looked at whole."""

import json
import zlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd

from runbook_lib import sources
from runbook_lib.store import Added, Store
from tests.unit.sources_kit import OWN
from tests.unit.test_usage_list import ITEM, listed
from tests.unit.usage_kit import FULL, export

START = datetime(2026, 3, 27, 22, 7, tzinfo=UTC)
"""Before the clocks change in Europe, so that local days of 23 hours are among the data."""

ORIGIN = ["source_file", "row_number", "extra"]


def item(number: int, **changes: Any) -> dict[str, Any]:
    """One row of the console's list, different for each number."""
    at = START + timedelta(minutes=37 * number, microseconds=number)
    return {
        **ITEM,
        "id": number,
        "request_id": f"client:{number:08d}-68aa-45e7-8e65-09745104e0e6",
        "created_at": at.isoformat(),
        "model": ("gpt-5.4", "claude-haiku-4-5")[number % 2],
        "api_key": {"id": 1, "name": ("prod-web", "prod-batch", None)[number % 3]},
        "actual_cost": (number * 7 % 50) / 1000,
        "total_cost": (number * 7 % 50) / 500,
        "input_tokens": number * 13 % 700,
        "first_token_ms": None if number % 4 else number,
        "reasoning_effort": "high" if number % 5 == 0 else None,
        **changes,
    }


def cells(row: Mapping[str, Any]) -> dict[str, str]:
    """The same row as the console's CSV writes it."""

    def cost(name: str) -> str:
        return f"{row[name]:.8f}"

    return {
        "Time": row["created_at"],
        "API Key Name": row["api_key"]["name"] or "",
        "Model": row["model"],
        "Reasoning Effort": "High" if row["reasoning_effort"] else "'-",
        "Inbound Endpoint": row["inbound_endpoint"],
        "IP Address": row["ip_address"],
        "Type": row["request_type"].capitalize(),
        "Billing Mode": "Token",
        "Input Tokens": str(row["input_tokens"]),
        "Output Tokens": str(row["output_tokens"]),
        "Cache Read Tokens": str(row["cache_read_tokens"]),
        "Cache Creation Tokens": str(row["cache_creation_tokens"]),
        "Rate Multiplier": str(row["rate_multiplier"]),
        "Billed Cost": cost("actual_cost"),
        "Original Cost": cost("total_cost"),
        "First Token (ms)": "" if row["first_token_ms"] is None else str(row["first_token_ms"]),
        "Duration (ms)": str(row["duration_ms"]),
    }


def as_csv(items: Sequence[Mapping[str, Any]], *, header: str = FULL) -> str:
    """Rows as an export, newest first."""
    newest = sorted(items, key=lambda row: row["created_at"], reverse=True)
    return export(*(cells(row) for row in newest), header=header)


def as_list(items: Sequence[Mapping[str, Any]]) -> str:
    """Rows as an answer of the console's list."""
    return listed(*items)


def attempt(number: int, **changes: Any) -> dict[str, Any]:
    """One line of the own call log: two attempts a call, the first one failed."""
    call, again = divmod(number, 2)
    at = START + timedelta(minutes=11 * call, seconds=5 * again)
    return {
        **OWN,
        "ts": at.isoformat(),
        "torouter.call.id": f"call-{call}",
        "torouter.attempt": again + 1,
        "http.response.status_code": 200 if again else 503,
        "http.response.header.x-request-id": [f"req-{number}", f"up-{number}"],
        "http.response.header.x-client-request-id": [f"{number:08d}-68aa-45e7-8e65-09745104e0e6"],
        "gen_ai.response.id": f"resp-{number}" if again else None,
        "duration_ms": 100.5 + number,
        **changes,
    }


def as_lines(records: Sequence[Mapping[str, Any]]) -> str:
    """Records as JSON lines."""
    return "".join(json.dumps(record) + "\n" for record in records)


def take_in(store: Store, folder: Path, *files: str, account: str = "") -> list[Added]:
    """Read files of these contents and add them at once."""
    with store.staging() as staging:
        intakes = []
        for place, content in enumerate(files):
            path = folder / f"file{place}-{zlib.crc32(content.encode())}.txt"
            path.write_text(content, encoding="utf-8", newline="")
            intakes += sources.read(path, staging, account=account)
        return store.add(intakes)


def lake(folder: Path, *files: str) -> Store:
    """A store in a new folder that has taken in these files."""
    store = Store(folder / "lake", read_only=False)
    if files:
        take_in(store, folder, *files)
    return store


def whole(store: Store, table: str) -> pd.DataFrame:
    """All rows of a table, whatever file they came in, in one order."""
    from runbook_lib.store import Filter

    frame = store.rows(table, Filter(), limit=1_000_000).frame.drop(columns=ORIGIN)
    return frame.sort_values(list(frame.columns), key=lambda c: c.astype(str), ignore_index=True)
