"""What is told of a case in titles and first steps: who, what, when, and the act it asks for."""

from runbook_lib.analysis.around import label
from runbook_lib.analysis.case import Case
from runbook_lib.analysis.diagnosis import none_or
from runbook_lib.analysis.words import moment
from runbook_lib.contract import CAUSES
from runbook_lib.findings import NextStep, Subject


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
    if case.found.cause == "success":
        return NextStep(text="Nothing to do.")
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
    model = none_or(row.model, str)
    asked = f" asking {model}" if model else ""
    status = none_or(getattr(row, "status", None), int)
    answer = " ".join(str(part) for part in (status, found.code) if part)
    told = f" ({answer})" if answer else ""
    when = moment(row.ts, case.material.place)
    return f"{who(case)}{asked}: {label(found.cause)}{told}, {when}"


def who(case: Case) -> str:
    """Name the key a case is about, to begin a title with."""
    return f"Key {none_or(case.subject.key_name, str) or 'unknown'}"
