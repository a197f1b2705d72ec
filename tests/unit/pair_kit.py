"""A primary and its fallback for tests: a sound pair, of which each test breaks one thing."""

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from functools import cache
from typing import Any

import pandas as pd
from made_material import START, frame

from runbook_lib.analysis.pair import (
    HOURS_BY,
    PROBE_COLUMNS,
    RATES_BY,
    Audited,
    Pair,
    PairMaterial,
    audit,
)
from runbook_lib.clock import Window
from runbook_lib.findings import Finding

PRIMARY, FALLBACK = "claude-sonnet-4-6", "gpt-5.4"
PAIR = Pair(primary=PRIMARY, fallback=FALLBACK, primary_key="prod", fallback_key="spare")
NOW = START + timedelta(days=2)

Rows = Sequence[dict[str, Any]]

KEYS: Rows = [
    {"key_name": "prod", "group": "claude-std", "cap_amount": Decimal(500)},
    {"key_name": "spare", "group": "openai-std", "cap_amount": Decimal(500)},
]
STATE: Rows = [
    {"question": "models", "models": "gpt-5.4,gpt-5.4-mini"},
    {"question": "usage", "mode": "quota_limited", "window": "total",
     "limit_usd": Decimal(500), "remaining_usd": Decimal(400)},
]  # fmt: skip
LEDGER: Rows = [
    {"ts": START - timedelta(days=1), "kind": "reading", "currency": "USD", "balance": Decimal(900)}
]


def used(hour: int, **rest: Any) -> dict[str, Any]:
    """One usage row of the primary, so many hours after START."""
    return {
        "account": "", "ts": START + timedelta(hours=hour, minutes=20), "key_name": "prod",
        "model": PRIMARY, "group_name": "claude-std", "rate_multiplier": Decimal("1.5"),
        "input_tokens": 100_000, "output_tokens": 10_000, "cost_usd": Decimal("0.675"),
        "original_cost_usd": Decimal("0.45"), "source_file": "usage.csv", **rest,
    }  # fmt: skip


def stood_in(number: int, **rest: Any) -> dict[str, Any]:
    """One usage row of the fallback; its id is that of answer *number*."""
    return used(1, **{
        "key_name": "spare", "model": FALLBACK, "group_name": "openai-std",
        "rate_multiplier": Decimal("0.8"), "request_id": f"client:a-{number}",
        "input_tokens": 1000, "output_tokens": 100, "cost_usd": Decimal("0.0032"),
        "original_cost_usd": Decimal("0.004"), **rest,
    })  # fmt: skip


def answer(number: int, **rest: Any) -> dict[str, Any]:
    """One attempt the fallback answered."""
    return {
        "account": "", "ts": START + timedelta(hours=1), "key_name": "spare", "model": FALLBACK,
        "response_model": "gpt-5.4-2026-03-05", "client_request_id": f"a-{number}",
        "status": 200, "outcome": "ok", "output_tokens": 100, "source_file": "calls.jsonl", **rest,
    }  # fmt: skip


ANSWERS: Rows = [answer(1)]
USAGE: Rows = [*(used(hour) for hour in range(48)), stood_in(1)]


def material(
    *,
    keys: Rows = KEYS,
    state: Rows = STATE,
    usage: Rows = USAGE,
    answers: Rows = ANSWERS,
    ledger: Rows = LEDGER,
    refusals: Rows = (),
    probes: Rows | None = None,
    pair: Pair = PAIR,
    **rest: Any,
) -> PairMaterial:
    """Everything an audit looks at, as the store would give it for these rows."""
    rows = _usage(_Same(usage))
    mine = rows[rows["key_name"].isin([pair.primary_key, pair.fallback_key])]
    ids = {f"client:{row.get('client_request_id')}" for row in answers}
    same = pair == PAIR and usage is USAGE
    hours, minutes, rates, spend = _rolled_up() if same else _roll_ups(rows, mine)
    return PairMaterial(
        pair=pair,
        now=pd.Timestamp(NOW),
        window=Window(start=START, end=NOW),
        keys=_frame("keys", _Same(keys), cap_currency="USD", cap_window="total"),
        key_state=_frame("key_state", _Same(state), key_name="spare", asked_at=NOW, status=200),
        ledger=_frame("ledger", _Same(ledger), source="ledger.csv"),
        hours=hours,
        minutes=minutes,
        rates=rates,
        largest=rows[rows["model"] == pair.primary].reset_index(drop=True),
        answers=_frame("calls", _Same(answers)),
        billed=rows[rows["request_id"].isin(ids)],
        refusals=_frame("calls", _Same(refusals), key_name="spare", model=FALLBACK),
        spend=spend,
        probes=None if probes is None else probed(probes),
        **rest,
    )


class _Same:
    """Rows that are the same object as before need no new frame: each test changes one thing."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows

    def __hash__(self) -> int:
        return id(self.rows)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.rows is self.rows


@cache
def _frame(table: str, rows: _Same, **usual: Any) -> pd.DataFrame:
    return frame(table, numbered(rows.rows, **usual))


@cache
def _usage(rows: _Same) -> pd.DataFrame:
    return frame("usage", numbered(rows.rows))


@cache
def _rolled_up() -> tuple[pd.DataFrame, ...]:
    rows = _usage(_Same(USAGE))
    return _roll_ups(rows, rows)


def _roll_ups(rows: pd.DataFrame, mine: pd.DataFrame) -> tuple[pd.DataFrame, ...]:
    return (
        rolled(mine, HOURS_BY, "h"),
        rolled(mine, HOURS_BY, "min"),
        rolled(rows, RATES_BY, None),
        rolled(rows, ("account",), "h"),
    )


def numbered(rows: Rows, source: str = "rows.csv", **usual: Any) -> list[dict[str, Any]]:
    """Rows of a file, numbered, with what is usual where they do not say."""
    return [
        {"account": "", "source_file": source, **usual, **row, "row_number": n}
        for n, row in enumerate(rows, 1)
    ]


def probed(rows: Rows) -> pd.DataFrame:
    """Answers of probes: supported with 200 where a row does not say."""
    usual = {"key_name": "spare", "model": FALLBACK, "asked_at": NOW, "status": 200}
    made = pd.DataFrame(numbered(rows, **usual, supported=True), columns=list(PROBE_COLUMNS))
    return made.astype({"supported": "boolean", "status": "Int64"})


def rolled(rows: pd.DataFrame, by: Sequence[str], grain: str | None) -> pd.DataFrame:
    """Sum usage rows the way the store does."""
    dated = rows.assign(bucket=rows["ts"].dt.floor(grain)) if grain else rows
    names = (["bucket"] if grain else []) + list(by)
    tokens = [f"{kind}_tokens" for kind in ("input", "output", "cache_read", "cache_write")]
    return dated.groupby(names, dropna=False, as_index=False).agg(
        requests=("ts", "size"),
        **{name: (name, _sum) for name in [*tokens, "cache_write_1h_tokens"]},
        cost_usd=("cost_usd", _known_sum),
        first_ts=("ts", "min"),
        last_ts=("ts", "max"),
    )


def _sum(part: "pd.Series[Any]") -> Any:
    return part.sum(min_count=1)


def _known_sum(part: "pd.Series[Any]") -> Decimal | None:
    known = part.dropna()
    return sum(known, Decimal(0)) if len(known) else None


def told(**changes: Any) -> dict[str, Finding]:
    """Rule → finding of the audit of the sound pair with one thing changed."""
    return {item.rule: item for item in audited(**changes).findings}


def audited(**changes: Any) -> Audited:
    """The audit of the sound pair with one thing changed."""
    return audit(material(**changes))


def changed(rows: Rows, place: int, **changes: Any) -> list[dict[str, Any]]:
    """The same rows with one of them changed."""
    return [{**row, **changes} if n == place else row for n, row in enumerate(rows)]
