"""What a drill-down finds where usage rows and the callers' log disagree."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from runbook_lib import money
from runbook_lib.analysis.diagnosis import rolled_up
from runbook_lib.analysis.spend_findings import known, name_of
from runbook_lib.analysis.words import counted
from runbook_lib.findings import Finding, Grade, NextStep, Severity, Status, Subject

FEWEST = 5
"""Answered attempts without a row that are worth a word: one or two may end after the export."""


def of_sides(sides: pd.DataFrame, *, logged: bool) -> Iterator[Finding]:
    """Say how much of what was billed a log explains, and what only one of the two knows.

    Args:
        sides: Usage against logs by key, as `sides.bounded` gives it.
        logged: Whether a call log covers the window.

    Returns:
        A finding for each key that nobody logs, and for each whose answered attempts have no row,
        and one for the whole.
    """
    if not logged:
        yield Finding(
            rule="billed-not-logged",
            status=Status.UNKNOWN,
            severity=Severity.INFO,
            title="No call log covers this window: what was billed cannot be held against it",
            grade=Grade.INCONCLUSIVE,
            next_step=NextStep(text="Take in the callers' log.", where="intake", who="on call"),
            mark="M",
        )
        return
    both = sides[sides["side"] == "both"]
    named = set(both["key_name"].map(str))
    for row in sides.to_dict("records"):
        if row["side"] == "usage" and str(row["key_name"]) not in named:
            yield _unlogged(row)
        elif row["side"] == "calls" and int(row["rows"]) - int(row["failed"]) >= FEWEST:
            yield _unbilled(row)
    yield _whole(sides, both)


def _unlogged(row: Mapping[Any, Any]) -> Finding:
    return Finding(
        rule="billed-not-logged",
        severity=Severity.LOW,
        title=f"Key {name_of(row['key_name'])}: {counted(int(row['rows']), 'usage row')}, "
        f"{money.usd(row['cost_usd'])}, and no service logs it",
        subject=Subject(key_name=known(row["key_name"])),
        value=int(row["rows"]),
        expected=0,
        unit="usage rows",
        impact_usd=row["cost_usd"],
        grade=Grade.LIKELY,
        evidence=[rolled_up("usage", "key_name", row["key_name"])],
        next_step=NextStep(
            text="Take in the log of the services that use it.", where="intake", who="key owner"
        ),
        mark="M",
    )


def _unbilled(row: Mapping[Any, Any]) -> Finding:
    answered = int(row["rows"]) - int(row["failed"])
    return Finding(
        rule="logged-not-billed",
        severity=Severity.LOW,
        title=f"Key {name_of(row['key_name'])}: {counted(answered, 'answered attempt')} without a "
        "usage row: the exports lack them, or they are in no total here",
        subject=Subject(key_name=known(row["key_name"])),
        value=answered,
        expected=0,
        unit="attempts",
        grade=Grade.LIKELY,
        evidence=[rolled_up("calls", "key_name", row["key_name"])],
        next_step=NextStep(
            text="Export the usage of the account this key belongs to, to the end of the window.",
            where="/usage",
            who="finance",
        ),
        mark="M",
    )


def _whole(sides: pd.DataFrame, both: pd.DataFrame) -> Finding:
    billed = sides[sides["side"] != "calls"]
    joined, rows = int(both["rows"].sum()), int(billed["rows"].sum())
    usd, all_usd = (money.total(part["cost_usd"].dropna()) for part in (both, billed))
    by_time = int(both["by_time"].sum())
    unsure = money.total(both["high_usd"].dropna()) - usd
    told = f"{joined:,} of {rows:,} usage rows have their attempt in a log: "
    told += f"{money.usd(usd)} of {money.usd(all_usd)}"
    told += f", at most {money.usd(usd + unsure)}" if unsure else ""
    outside = int(billed["outside_log"].fillna(0).sum())
    told += f"; {outside:,} others are of times or keys that no log covers" if outside else ""
    told += f"; {by_time:,} were put together by time, as they have no id" if by_time else ""
    return Finding(
        rule="billed-not-logged",
        status=Status.PASS,
        severity=Severity.INFO,
        title=told,
        value=joined,
        expected=rows,
        unit="usage rows",
        grade=Grade.LIKELY if by_time else Grade.CONFIRMED,
        evidence=[rolled_up("usage", "request_id", joined)],
        mark="M",
    )
