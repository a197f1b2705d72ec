"""From a case to its findings: one function a rule, worst first, each citing its rows."""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from runbook_lib import clock, money
from runbook_lib.analysis import acts
from runbook_lib.analysis.around import blast_radius
from runbook_lib.analysis.case import Case
from runbook_lib.analysis.diagnosis import cite, none_or
from runbook_lib.analysis.material import FAILED, each
from runbook_lib.analysis.told import headline, next_step, subject_of, who
from runbook_lib.analysis.words import counted, time_of
from runbook_lib.findings import (
    Evidence,
    Finding,
    Grade,
    Join,
    NextStep,
    Severity,
    Status,
    Subject,
)

if TYPE_CHECKING:
    import pandas as pd

ODD_RULES = {
    "client_fallback": ("client-fallback", Severity.MEDIUM),
    "duplicate_send": ("duplicate-charge", Severity.MEDIUM),
    "runaway_loop": ("runaway-loop", Severity.HIGH),
    "client_abandoned_stream": ("client-abandoned", Severity.LOW),
    "model_alias": ("model-alias", Severity.LOW),
    "unlogged_use": ("unlogged-use", Severity.CRITICAL),
}
"""Causes that are no failures, with the rule that tells of them."""

FEW = 3
"""So many names are told; more are only counted."""

SKEW_S = 2.0
"""Clocks that differ by more than this are told."""


def findings_of(case: Case) -> list[Finding]:
    """Apply every rule to a case; failing ones first, worst first."""
    return worst_first(item for rule in RULES for item in rule(case))


def worst_first(found: Iterable[Finding]) -> list[Finding]:
    """Order findings: failing ones first, the worst of them first."""
    order = list(Severity)
    return sorted(found, key=lambda item: (item.status != Status.FAIL, order.index(item.severity)))


def steps_of(found: Iterable[Finding], *, most: int = 6) -> list[NextStep]:
    """Give the acts of failing findings, in their order, each once."""
    made: dict[str, NextStep] = {}
    for item in found:
        if item.next_step is not None and item.status is Status.FAIL:
            made.setdefault(item.next_step.text, item.next_step)
    return list(made.values())[:most]


def main_rule(case: Case) -> Iterator[Finding]:
    """What happened to the request itself."""
    cause = case.found.cause
    rule, severity = ODD_RULES.get(cause, ("request-failed", Severity.HIGH))
    status = Status.FAIL
    if cause == "success":
        rule, severity, status = "request-succeeded", Severity.INFO, Status.PASS
    elif cause == "unknown":
        rule, severity, status = "cause-undecided", Severity.HIGH, Status.UNKNOWN
    yield Finding(
        rule=rule,
        severity=severity,
        status=status,
        title=headline(case),
        subject=subject_of(case),
        window=_instant(case),
        value=case.found.code,
        impact_usd=_at_stake(case),
        grade=case.found.grade,
        evidence=case.found.evidence,
        next_step=next_step(case),
        mark=case.found.mark,
    )


def _instant(case: Case) -> clock.Window:
    row = case.subject
    first = row.ts.to_pydatetime()
    length = none_or(row.duration_ms, float) or 0.0
    if case.attempt is None:
        return clock.Window(start=_minus(first, length), end=first)
    return clock.Window(start=first, end=_minus(first, -length))


def _minus(at: datetime, milliseconds: float) -> datetime:
    return at - timedelta(milliseconds=milliseconds)


def _at_stake(case: Case) -> Any:
    return case.joined.cost_usd if case.found.cause in ODD_RULES else case.cost_usd


def others_hit(case: Case) -> Iterator[Finding]:
    """Who else was hit."""
    around = case.spell
    if around is None or around.attempts <= len(case.call):
        return
    table = blast_radius(around, case.material)
    keys, models = _named("key", table["key_name"]), _named("model", table["model"])
    span = clock.ago(around.last - around.onset)
    yield Finding(
        rule="blast-radius",
        severity=Severity.HIGH if table["key_name"].nunique() > 1 else Severity.MEDIUM,
        title=f"{counted(around.attempts, 'attempt')} failed the same way within {span}: "
        f"{keys}, {models}",
        subject=Subject(key_name=none_or(case.subject.key_name, str)),
        window=clock.Window(start=around.onset.to_pydatetime(), end=_minus(around.last, -0.001)),
        value=around.attempts,
        unit="attempts",
        grade=Grade.CONFIRMED,
        evidence=_rows(case, around.keys),
        next_step=NextStep(text="Tell the owners of the keys that are hit.", who="on call"),
    )


def _named(noun: str, names: "pd.Series") -> str:
    """Count the names of a column, and tell which where they are few: "1 key (prod-web)"."""
    held = sorted(names.dropna().unique())
    told = f" ({', '.join(held)})" if 0 < len(held) <= FEW else ""
    return f"{counted(len(held), noun)}{told}"


def _rows(case: Case, keys: Any, most: int = 5) -> tuple[Evidence, ...]:
    frame = case.material.attempts
    same = frame[frame["outcome"].isin(FAILED) & frame["key_name"].isin(keys)]
    same = same[same["status"].eq(case.subject.status).fillna(value=False)] if len(same) else same
    return tuple(
        cite(row, "status", none_or(row.status, int), join=Join.WINDOW)
        for row in each(same.drop_duplicates("key_name").head(most))
    )


def over_or_going_on(case: Case) -> Iterator[Finding]:
    """Whether the failure has been seen to end."""
    around = case.spell
    if around is None or case.found.cause == "client_abandoned_stream":
        return
    subject = Subject(key_name=none_or(case.subject.key_name, str))
    place = case.material.place
    if around.goes_on is False:
        again = "" if around.recovered is None else time_of(around.recovered, place)
        yield Finding(
            rule="failure-over",
            severity=Severity.INFO,
            status=Status.PASS,
            subject=subject,
            title=f"{who(case)}: requests succeed again since {again}{_after(case, 'after')}",
            evidence=_cited(acts.near(case.changes, acts.MENDED).head(1)),
        )
        return
    known = around.goes_on is True
    yield Finding(
        rule="failure-goes-on",
        severity=Severity.HIGH,
        subject=subject,
        status=Status.FAIL if known else Status.UNKNOWN,
        title=f"{who(case)}: no request of this kind has succeeded since "
        f"{time_of(around.onset, place)}; the last failure is {time_of(around.last, place)}"
        f"{_after(case, 'then came')}",
        grade=Grade.CONFIRMED if known else Grade.INCONCLUSIVE,
        evidence=_rows(case, around.keys),
        next_step=next_step(case)
        if known
        else NextStep(text="Fetch newer data and run this again.", who="on call"),
    )


def wasted_retries(case: Case) -> Iterator[Finding]:
    """Attempts sent although the answer before them was final."""
    if not case.wasted:
        return
    later = case.call[1:]
    yield Finding(
        rule="wasted-retries",
        severity=Severity.MEDIUM,
        subject=subject_of(case),
        title=f"{who(case)}: {counted(case.wasted, 'attempt')} of one call sent again although no "
        "retry could help",
        value=case.wasted,
        expected=0,
        unit="attempts",
        evidence=tuple(cite(row, "attempt", none_or(row.attempt, int)) for row in later),
        next_step=NextStep(
            text="Stop retrying on this code in the client.",
            who="service owner",
            retry=case.found.retry,
        ),
        mark="D",
    )


def ids_not_logged(case: Case) -> Iterator[Finding]:
    """Attempts that cannot be joined with usage rows by id."""
    answered = [row for row in case.call if none_or(row.status, int) is not None]
    blind = [row for row in answered if none_or(row.client_request_id, str) is None]
    if not blind:
        return
    yield Finding(
        rule="ids-not-logged",
        severity=Severity.LOW,
        subject=subject_of(case),
        title=f"{who(case)}: {len(blind)} of {counted(len(answered), 'answered attempt')} of one "
        f"call {'has' if len(blind) == 1 else 'have'} no x-client-request-id in the log",
        value=len(blind),
        expected=0,
        unit="attempts",
        evidence=tuple(cite(row, "client_request_id", None) for row in blind),
        next_step=NextStep(
            text="Log x-client-request-id beside x-request-id.", who="service owner"
        ),
        mark="M",
    )


def billed_failure(case: Case) -> Iterator[Finding]:
    """A request that failed for the caller and was billed all the same."""
    billed = [
        (row, item)
        for row, item in zip(case.call, case.joins, strict=True)
        if row.outcome in (*FAILED, "abandoned") and item.cost_usd
    ]
    if not billed:
        return
    cost = money.total(item.cost_usd for _, item in billed)
    sure = all(item.how == "id" for _, item in billed)
    rows = [item.row for _, item in billed if item.row is not None]
    yield Finding(
        rule="billed-failure",
        severity=Severity.MEDIUM,
        subject=subject_of(case),
        title=f"{who(case)}: {counted(len(billed), 'attempt')} without a whole answer cost "
        f"{money.usd(cost)}",
        value=len(billed),
        expected=0,
        unit="attempts",
        impact_usd=cost,
        grade=Grade.CONFIRMED if sure else Grade.LIKELY,
        evidence=tuple(
            cite(row, "cost_usd", money.plain(row.cost_usd), join=Join.ID if sure else Join.WINDOW)
            for row in rows
        ),
        next_step=next_step(case),
        mark="M",
    )


def billed_not_logged(case: Case) -> Iterator[Finding]:
    """Usage rows of the key that no log explains: a client that gave up, or somebody else."""
    if case.found.cause not in ("client_timeout", "unlogged_use"):
        return
    rows = case.material.rows
    lost = rows[
        (rows["key_name"] == case.subject.key_name)
        & rows["join_id"].notna()
        & ~rows["join_id"].isin(case.material.logged_ids)
    ]
    if lost.empty:
        return
    cost = money.total(lost["cost_usd"])
    yield Finding(
        rule="billed-not-logged",
        severity=Severity.MEDIUM,
        subject=Subject(key_name=none_or(case.subject.key_name, str)),
        title=f"{who(case)}: {counted(len(lost), 'usage row')} around the request "
        f"{'has' if len(lost) == 1 else 'have'} an id that no log holds{_why_unlogged(case)}: "
        f"{money.usd(cost)}",
        value=len(lost),
        expected=0,
        unit="rows",
        impact_usd=cost,
        grade=Grade.CONFIRMED,
        evidence=tuple(
            cite(row, "request_id", row.request_id, join=Join.WINDOW) for row in each(lost.head(5))
        ),
        next_step=next_step(case),
        mark="M",
    )


def _why_unlogged(case: Case) -> str:
    if case.found.cause == "unlogged_use":
        return ""
    return ", as calls leave them whose client gave up before the answer"


def _after(case: Case, word: str) -> str:
    """Say what was done at the end of the failure, on what the request has to do with."""
    mended = acts.near(case.changes, acts.MENDED)
    if mended.empty:
        return ""
    last = mended.iloc[0]
    at = time_of(last["at"], case.material.place)
    return f", {word} {last['what']} of {last['subject']}{_set(last)} at {at}"


def _set(row: "pd.Series") -> str:
    return f" ({row['change']})" if row["change"] else ""


def changed_before(case: Case) -> Iterator[Finding]:
    """What changed in the hour before the onset on what the request has to do with: suspects."""
    table = acts.near(case.changes, acts.SUSPECT)
    if table.empty:
        return
    newest = table.iloc[0]
    at = time_of(newest["at"], case.material.place)
    yield Finding(
        rule="changed-before",
        severity=Severity.INFO,
        status=Status.UNKNOWN,
        subject=subject_of(case),
        grade=Grade.INCONCLUSIVE,
        value=len(table),
        unit="change" if len(table) == 1 else "changes",
        title=f"{who(case)}: {counted(len(table), 'change')} in the hour before the onset"
        f"{'' if len(table) == 1 else ', the last'}: {newest['what']}, {newest['subject']}"
        f"{_set(newest)}, at {at} (a suspect)",
        evidence=_cited(table.head(5)),
    )


def _cited(table: "pd.DataFrame") -> tuple[Evidence, ...]:
    return tuple(
        Evidence(
            source=row.source_file,
            row=int(row.row_number),
            field="what",
            value=row.what,
            join=Join.WINDOW,
        )
        for row in each(table)
    )


def clock_skew(case: Case) -> Iterator[Finding]:
    """The client's clock differs from the gateway's."""
    skew = case.material.skew_s
    if skew is None or abs(skew) <= SKEW_S:
        return
    yield Finding(
        rule="clock-skew",
        severity=Severity.LOW,
        value=round(skew, 1),
        expected=0,
        unit="s",
        title=f"{who(case)}: the gateway's clock is {skew:+.1f} s against the client's",
        subject=Subject(key_name=none_or(case.subject.key_name, str)),
        next_step=NextStep(
            text="Set the client's clock; joins by time allow for it.", who="service owner"
        ),
    )


RULES: tuple[Callable[[Case], Iterator[Finding]], ...] = (
    main_rule,
    others_hit,
    over_or_going_on,
    wasted_retries,
    ids_not_logged,
    billed_failure,
    billed_not_logged,
    changed_before,
    clock_skew,
)
