"""From a case to its findings: one function a rule, worst first, each citing its rows."""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

from runbook_lib import clock, money
from runbook_lib.analysis.around import blast_radius, changes_before, label
from runbook_lib.analysis.case import Case
from runbook_lib.analysis.diagnosis import cite, none_or
from runbook_lib.analysis.material import FAILED, each
from runbook_lib.analysis.words import counted
from runbook_lib.contract import CAUSES
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

ODD_RULES = {
    "client_fallback": ("client-fallback", Severity.MEDIUM),
    "duplicate_send": ("duplicate-charge", Severity.MEDIUM),
    "runaway_loop": ("runaway-loop", Severity.HIGH),
    "client_abandoned_stream": ("client-abandoned", Severity.LOW),
    "model_alias": ("model-alias", Severity.LOW),
    "unlogged_use": ("unlogged-use", Severity.CRITICAL),
}
"""Causes that are no failures, with the rule that tells of them."""

SKEW_S = 2.0
"""Clocks that differ by more than this are told."""


def findings_of(case: Case) -> list[Finding]:
    """Apply every rule to a case; failing ones first, worst first."""
    return worst_first(item for rule in RULES for item in rule(case))


def worst_first(found: Iterable[Finding]) -> list[Finding]:
    """Order findings: failing ones first, the worst of them first."""
    order = list(Severity)
    return sorted(found, key=lambda item: (item.status != Status.FAIL, order.index(item.severity)))


def subject_of(case: Case) -> Subject:
    """Who and what a case is about."""
    row = case.subject
    return Subject(
        key_name=none_or(row.key_name, str),
        model=none_or(row.model, str),
        environment=none_or(getattr(row, "environment", None), str),
        request_id=case.asked,
    )


def next_step(case: Case) -> NextStep:
    """The one act the cause asks for."""
    known = CAUSES.get(case.found.cause)
    if known is None or case.found.cause == "unknown":
        wanted = " and ".join(case.found.wanted) or "the call log of the client"
        return NextStep(text=f"Fetch {wanted} and run this again.", who="on call")
    over = case.spell is not None and case.spell.goes_on is False
    again = f"It is over. If it comes back: {known.fix[:1].lower()}{known.fix[1:]}"
    fix = again if over else known.fix
    return NextStep(text=fix, where=known.where, who=known.who, retry=case.found.retry)


def headline(case: Case) -> str:
    """Subject, fact, time: the title of the verdict."""
    row, found = case.subject, case.found
    who = f"Key {none_or(row.key_name, str) or 'unknown'}"
    model = none_or(row.model, str)
    asked = f" asking {model}" if model else ""
    status = none_or(getattr(row, "status", None), int)
    answer = " ".join(str(part) for part in (status, found.code) if part)
    when = f"{row.ts.tz_convert('UTC'):%H:%M:%S} UTC on {row.ts.tz_convert('UTC'):%Y-%m-%d}"
    told = f" ({answer})" if answer else ""
    return f"{who}{asked}: {label(found.cause)}{told}, {when}"


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
    keys, models = table["key_name"].nunique(), table["model"].nunique()
    span = clock.ago(around.last - around.onset)
    yield Finding(
        rule="blast-radius",
        severity=Severity.HIGH if keys > 1 else Severity.MEDIUM,
        title=f"{around.attempts} attempts failed the same way within {span}: "
        f"{counted(keys, 'key')}, {counted(models, 'model')}",
        subject=Subject(key_name=none_or(case.subject.key_name, str)),
        window=clock.Window(start=around.onset.to_pydatetime(), end=_minus(around.last, -0.001)),
        value=around.attempts,
        unit="attempts",
        grade=Grade.CONFIRMED,
        evidence=_rows(case, around.keys),
        next_step=NextStep(text="Tell the owners of the keys that are hit.", who="on call"),
    )


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
    if around.goes_on is False:
        yield Finding(
            rule="failure-over",
            severity=Severity.INFO,
            status=Status.PASS,
            subject=subject,
            title=f"Requests succeed again since {around.recovered:%H:%M:%S} UTC",
        )
        return
    known = around.goes_on is True
    yield Finding(
        rule="failure-goes-on",
        severity=Severity.HIGH,
        subject=subject,
        status=Status.FAIL if known else Status.UNKNOWN,
        title=f"No request of this kind has succeeded since {around.onset:%H:%M:%S} UTC; "
        f"the last failure is {around.last:%H:%M:%S} UTC",
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
        title=f"{counted(case.wasted, 'attempt')} sent again although no retry could help",
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
        title=f"{len(blind)} of {counted(len(answered), 'answered attempt')} have no "
        "x-client-request-id in the log",
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
        title=f"{counted(len(billed), 'attempt')} without a whole answer cost {money.usd(cost)}",
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
        title=f"{counted(len(lost), 'usage row')} of this key around the request have an id "
        f"that no log holds{_why_unlogged(case)}: {money.usd(cost)}",
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


def changed_before(case: Case) -> Iterator[Finding]:
    """What changed in the hour before the onset: suspects."""
    if case.spell is None:
        return
    table = changes_before(case.spell.onset, case.material)
    if table.empty:
        return
    newest = table.iloc[0]
    yield Finding(
        rule="changed-before",
        severity=Severity.INFO,
        status=Status.UNKNOWN,
        subject=subject_of(case),
        grade=Grade.INCONCLUSIVE,
        value=len(table),
        unit="changes",
        title=f"{counted(len(table), 'change')} in the hour before the onset, the last "
        f"{newest['what']} on {newest['subject']} at {newest['at']:%H:%M:%S} UTC (a suspect)",
        evidence=tuple(
            Evidence(
                source=row.source_file,
                row=int(row.row_number),
                field="what",
                value=row.what,
                join=Join.WINDOW,
            )
            for row in each(table.head(5))
        ),
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
        title=f"The gateway's clock is {skew:+.1f} s against the client's",
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
