"""Small frames for the tests of triage: attempts and usage rows in the columns of their tables."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pandas as pd

from runbook_lib import schema
from runbook_lib.analysis.material import Material
from runbook_lib.clock import Window
from runbook_lib.runbooks.incidents import MINUTES_BY

START = datetime(2026, 11, 24, 5, 30, tzinfo=UTC)
FAILED = ("refused", "broken", "no_answer")


def frame(table: str, rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Make a frame of a table as the store gives it; what a row leaves out is unknown."""
    columns = schema.TABLES[table].columns
    made = pd.DataFrame([{c.name: row.get(c.name) for c in columns} for row in rows],
                        columns=[c.name for c in columns])  # fmt: skip
    for column in columns:
        if column.type == "instant":
            made[column.name] = pd.to_datetime(made[column.name], utc=True).astype(
                "datetime64[us, UTC]"
            )
        elif column.type == "int":
            made[column.name] = made[column.name].astype("Int64")
        elif column.type == "flag":
            made[column.name] = made[column.name].astype("boolean")
        elif column.type == "real":
            made[column.name] = made[column.name].astype("float64")
        else:
            made[column.name] = (
                made[column.name].astype(object).where(made[column.name].notna(), None)
            )
    return made


def attempt(second: float, status: int | None = 200, **rest: Any) -> dict[str, Any]:
    """One attempt that starts so many seconds after START; 200 is answered, the rest refused."""
    outcome = "ok" if status == 200 else "no_answer" if status is None else "refused"
    return {
        "account": "", "ts": START + timedelta(seconds=second), "slot": 0, "attempt": 1,
        "key_name": "prod-web", "environment": "production", "service": "web",
        "provider": "openai", "model": "gpt-5", "path": "/v1/chat/completions", "stream": False,
        "status": status, "outcome": outcome, "duration_ms": 500.0, "source_file": "calls.jsonl",
        **rest,
    }  # fmt: skip


def billed(second: float, **rest: Any) -> dict[str, Any]:
    """One usage row that ENDS so many seconds after START."""
    return {
        "account": "", "ts": START + timedelta(seconds=second), "slot": 0, "key_name": "prod-web",
        "model": "gpt-5", "input_tokens": 100, "output_tokens": 10, "duration_ms": 500.0,
        "cost_usd": Decimal("0.01"), "source_file": "usage.csv", **rest,
    }  # fmt: skip


def material(
    calls: list[dict[str, Any]],
    usage: list[dict[str, Any]] | None = None,
    *,
    keys: list[dict[str, Any]] | None = None,
    audit: list[dict[str, Any]] | None = None,
    refusals: list[dict[str, Any]] | None = None,
    key_state: list[dict[str, Any]] | None = None,
    hours: float = 2.0,
) -> Material:
    """Everything around some attempts, with their roll-ups by minute and, later on, by hour."""
    numbered = [
        {"row_number": n, "call_id": f"call-{n}", "client_request_id": f"client-{n}",
         "request_ids": f"req-{n}", **row}
        for n, row in enumerate(calls, 1)
    ]  # fmt: skip
    attempts = frame("calls", numbered)
    rows = frame("usage", [{"row_number": n, **row} for n, row in enumerate(usage or [], 1)])
    window = Window(start=START - timedelta(hours=hours), end=START + timedelta(hours=hours))
    inside = attempts[attempts["ts"] < window.end]
    return Material(
        calls=inside,
        usage=rows,
        minutes=rolled(inside, "min"),
        later=rolled(attempts[attempts["ts"] >= window.end], "h"),
        keys=frame("keys", keys or []),
        audit=frame("audit", audit or []),
        refusals=frame("refusals", refusals or []),
        key_state=frame("key_state", key_state or []),
        window=window,
        data_end=attempts["ts"].max() if len(attempts) else None,
    )


def rolled(attempts: pd.DataFrame, grain: str) -> pd.DataFrame:
    """Count attempts the way the store does."""
    by = ["bucket", *MINUTES_BY]
    keyed = attempts.assign(bucket=attempts["ts"].dt.floor(grain))
    return keyed.groupby(by, dropna=False, as_index=False).agg(
        attempts=("ts", "size"), first_ts=("ts", "min"), last_ts=("ts", "max")
    )
