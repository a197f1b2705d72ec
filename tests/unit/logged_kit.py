"""A small recorded log for tests: its attempts, and the totals as the store would give them."""

from typing import Any

import pandas as pd
from made_material import START, attempt, frame

from runbook_lib.analysis.retries import DAYS_BY, USAGE_BY, Judged, Logged, judge_log
from runbook_lib.clock import Window


def logged(calls: list[dict[str, Any]], usage: list[dict[str, Any]] | None = None) -> Logged:
    """A log of these attempts and nothing else; what a row leaves out is unknown."""
    attempts = frame("calls", [{"row_number": n, **row} for n, row in enumerate(calls, 1)])
    rows = frame("usage", [{"row_number": n, **row} for n, row in enumerate(usage or [], 1)])
    return Logged(
        calls=attempts,
        days=by_day(attempts),
        usage=rows,
        rates=rolled(rows, USAGE_BY, "requests"),
        window=Window(start=START, end=START + pd.Timedelta(days=1)),
    )


def by_day(attempts: pd.DataFrame) -> pd.DataFrame:
    """Count attempts by day the way the store does."""
    dated = attempts.assign(day_local=attempts["ts"].dt.date)
    return rolled(dated, ("day_local", *DAYS_BY), "attempts")


def rolled(rows: pd.DataFrame, by: tuple[str, ...], name: str) -> pd.DataFrame:
    """Count rows; an unknown value is a group of its own."""
    counted = rows.groupby(list(by), dropna=False, as_index=False).size()
    return counted.rename(columns={"size": name})


def judge(*calls: dict[str, Any], usage: list[dict[str, Any]] | None = None) -> Judged:
    """Judge a log of these attempts."""
    return judge_log(logged(list(calls), usage))


def failing(judged: Judged) -> dict[str, Any]:
    """Rule → its finding that fails, where there is one."""
    return {item.rule: item for item in judged.findings if item.status == "fail"}


CAP = {"code": "API_KEY_QUOTA_EXHAUSTED"}
WINDOW = {"code": "rate_limit_exceeded"}
BUSY = {"code": "api_error"}
ROW = {"client_request_id": "client-1"}


def call(*rows: dict[str, Any], call_id: str = "c-1", key: str = "prod-web") -> list[Any]:
    """The attempts of one call, numbered, a second apart unless they say when."""
    return [
        {**attempt(2.0 * n), "call_id": call_id, "attempt": n + 1, "key_name": key, **row}
        for n, row in enumerate(rows)
    ]


def refused(status: int, **rest: Any) -> dict[str, Any]:
    """What is different about a refused attempt."""
    return {"status": status, "outcome": "refused", "error_type": str(status), **rest}


def timed_out(**rest: Any) -> dict[str, Any]:
    """What is different about an attempt whose client gave up waiting."""
    return {"status": None, "outcome": "no_answer", "error_type": "ReadTimeout", **rest}


def broken(end: str | None = "truncated", **rest: Any) -> dict[str, Any]:
    """What is different about a stream that broke."""
    return {"outcome": "broken", "stream": True, "stream_end": end, "ttft_ms": 90.0, **rest}


OK: dict[str, Any] = {}
