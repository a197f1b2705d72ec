"""What a drill-down finds among money that bought nothing: a finding a kind and key."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pandas as pd

from runbook_lib import money
from runbook_lib.analysis import lost
from runbook_lib.analysis.pairing import BY_ID, BY_TIME, Paired
from runbook_lib.analysis.spend_findings import known, name_of
from runbook_lib.analysis.words import counted
from runbook_lib.clock import Window
from runbook_lib.findings import Evidence, Finding, Grade, Join, NextStep, Severity, Subject

MOST_ROWS = 8
"""Rows of evidence that a finding cites; the exhibit has all."""

_JOINS = {BY_ID: Join.ID, BY_TIME: Join.WINDOW}

_LOST: dict[str, tuple[str, Severity, str, str]] = {
    "unlogged_use": (
        "unlogged-use",
        Severity.CRITICAL,
        "Rotate the key now, then find out who used it: address and agent stand in the rows.",
        "key owner",
    ),
    "runaway_loop": (
        "runaway-loop",
        Severity.HIGH,
        "Stop the client, then put a cap on the key.",
        "owner of the client",
    ),
    "duplicate_send": (
        "duplicate-charge",
        Severity.MEDIUM,
        "Send each request once: debounce the front end, and keep one id a request.",
        "owner of the client",
    ),
    "client_timeout": (
        "billed-not-logged",
        Severity.MEDIUM,
        "Wait longer than the model takes, or stream; a call given up is billed all the same.",
        "owner of the client",
    ),
    "client_fallback": (
        "client-fallback",
        Severity.LOW,
        "Look whether the primary is back, and what the other model costs.",
        "owner of the client",
    ),
    "model_alias": (
        "model-alias",
        Severity.LOW,
        "Ask for the model that is meant, or have the mapping of the group confirmed.",
        "owner of the client",
    ),
    "cut_stream": (
        "billed-failure",
        Severity.LOW,
        "Check the end of every stream, and report the request ids if it goes on.",
        "owner of the client",
    ),
    "client_abandoned_stream": (
        "client-abandoned",
        Severity.LOW,
        "Ask for fewer tokens where readers leave early: the whole answer is billed.",
        "owner of the client",
    ),
    "retried_refusal": (
        "wasted-retries",
        Severity.LOW,
        "Stop at refusals that stay; fallback_verification shows how.",
        "owner of the client",
    ),
    "not_explained": (
        "billed-not-logged",
        Severity.LOW,
        "Take in the log of every service that uses the key.",
        "key owner",
    ),
}
"""Kind of loss → rule, severity, act, who."""


def of_losses(losses: lost.Lost | None) -> Iterator[Finding]:
    """Tell of money that bought nothing, by kind and key."""
    if losses is None:
        return
    by = ["kind", "key_name"]
    for (kind, key), lines in losses.table.groupby(by, dropna=False, sort=False):
        rule, severity, act, who = _LOST[str(kind)]
        billed = money.total(lines["billed_usd"])
        if kind == "retried_refusal" or billed > 0 or kind == "cut_stream":
            yield _loss(str(kind), key, lines, losses, (rule, severity, act, who))


def _loss(
    kind: str,
    key: Any,
    lines: pd.DataFrame,
    losses: lost.Lost,
    told: tuple[str, Severity, str, str],
) -> Finding:
    rule, severity, act, who = told
    rows, attempts = int(lines["rows"].sum()), int(lines["attempts"].sum())
    what = counted(rows, "usage row") if rows else counted(attempts, "attempt")
    billed = money.total(lines["billed_usd"])
    return Finding(
        rule=rule,
        severity=severity,
        title=f"Key {name_of(key)}: {what}, {money.usd(billed)}, {lost.KINDS[kind]}",
        subject=Subject(key_name=known(key), model=_single(lines["model"])),
        window=Window(
            start=lines["first_at"].min().to_pydatetime(),
            end=lines["last_at"].max().to_pydatetime(),
        ),
        value=rows or attempts,
        expected=0,
        unit="usage rows" if rows else "attempts",
        impact_usd=_most(lines),
        grade=_grade(kind, losses.paired),
        evidence=_cited(kind, key, losses),
        next_step=NextStep(text=act, where="/keys" if "key" in who else "the client", who=who),
        mark="M",
    )


def _grade(kind: str, paired: Paired) -> Grade:
    """Only ids confirm: where rows were put together by their times, all of it is likely."""
    sure = kind in ("unlogged_use", "cut_stream") and BY_TIME not in set(paired.how)
    return Grade.CONFIRMED if sure else Grade.LIKELY


def _most(lines: pd.DataFrame) -> Decimal | None:
    amounts = [usd for usd in lines["lost_high_usd"] if isinstance(usd, Decimal)]
    return money.total(amounts) if len(amounts) == len(lines) else None


def _single(values: pd.Series) -> str | None:
    names = {value for value in values if isinstance(value, str)}
    return names.pop() if len(names) == 1 else None


def _cited(kind: str, key: Any, losses: lost.Lost) -> list[Evidence]:
    frame, field = losses.attempts, "outcome"
    mine = frame[(frame["kind"] == kind) & (frame["key_name"].map(str) == str(key))]
    if mine.empty:
        frame, field = losses.rows, "request_id"
        mine = frame[(frame["kind"] == kind) & (frame["key_name"].map(str) == str(key))]
    return [
        Evidence(
            source=str(row["source_file"]),
            row=int(row["row_number"]),
            field=field,
            value=row[field],
            join=_JOINS.get(str(row.get("join", "")), Join.NONE),
        )
        for row in mine.head(MOST_ROWS).to_dict("records")
    ]
