"""Triage: from one id, several ids or a window to a graded verdict with the rows it stands on.

Pure: the frames come in as `Material`, the Report goes out. Same frames, same bytes.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from runbook_lib import clock, money
from runbook_lib.analysis import exhibits, pack, search, several
from runbook_lib.analysis.around import label
from runbook_lib.analysis.case import NOTHING, Case
from runbook_lib.analysis.diagnosis import none_or
from runbook_lib.analysis.joins import Joined
from runbook_lib.analysis.material import Material
from runbook_lib.analysis.rules import findings_of, main_rule, worst_first
from runbook_lib.analysis.told import headline, next_step
from runbook_lib.analysis.words import counted, span_of
from runbook_lib.clock import Window
from runbook_lib.findings import (
    MOST_ROWS,
    Coverage,
    Exhibit,
    Finding,
    Grade,
    Input,
    NextStep,
    NextSteps,
    Report,
    Severity,
    Status,
    Subject,
    Verdict,
)

RUNBOOK = "incident_triage"

_ONE_BY_ONE = NextStep(
    text="Take the causes one by one, the commonest first: each has its own step below.",
    where="the table of causes",
    who="on call",
)


def one(case: Case) -> Report:
    """Report on one id.

    Args:
        case: The attempt or usage row that carries it, with everything around.

    Returns:
        The Report: verdict, findings, the exhibits `attempts`, `minutes`, `blast_radius`,
        `blast_by_minute`, `joined_rows`, `changes`, the next steps and the support pack.
    """
    found = case.found
    verdict = Verdict(
        title=headline(case),
        grade=found.grade,
        cause=found.cause,
        code=found.code,
        domain=found.domain,
        retry=found.retry,
    )
    findings = findings_of(case)
    step = next_step(case)
    return Report(
        runbook=RUNBOOK,
        verdict=verdict,
        findings=findings,
        exhibits=exhibits.exhibits_of(case),
        next_steps=NextSteps(steps=_steps(step, findings)),
        summary=_summary(case),
        coverage=coverage(case.material),
        attachments=pack.packs(case, verdict, findings, step),
    )


def _steps(first: NextStep, findings: Sequence[Finding]) -> list[NextStep]:
    steps = [first]
    for item in findings:
        step = item.next_step
        if step is not None and step.text not in {known.text for known in steps}:
            steps.append(step)
    return steps


def _summary(case: Case) -> list[tuple[str, str]]:
    """Facts for people at the top of the report, the reasons of the verdict first."""
    told = " ".join(str(part) for part in (case.found.code, "in the answer says so") if part)
    reasons = "; ".join(case.found.reasons) or told
    spell = case.spell
    lines = [("Why", reasons), ("Cost of the call", money.usd(case.cost_usd))]
    if len(case.found.candidates) > 1:
        names = ", ".join(label(name) for name in case.found.candidates)
        lines.append(("Not told apart", names))
    if spell is not None:
        hit = f"{counted(spell.attempts, 'attempt')}, {counted(len(spell.keys), 'key')}"
        lines.append(("Hit", hit))
        state = {True: "goes on", False: "over", None: "its end was not seen"}[spell.goes_on]
        onset = clock.clock_time(spell.onset, case.material.place)
        lines.append(("Since", f"{onset}, {state}"))
    return lines


def coverage(material: Material) -> Coverage:
    """Say how much of the window the data cover, and what is missing for a better answer."""
    seen = material.matched
    answered = seen.both + seen.only_calls - seen.failed
    rate = round(seen.both / answered, 4) if seen.both and answered else None
    gaps = list(material.notes)
    if material.usage.empty:
        gaps.append("no usage rows in the window: costs and unlogged use are unknown")
    elif material.rows["join_id"].isna().all():
        gaps.append("usage rows have no request id: rows are joined by time, key, model and tokens")
    elif seen.only_usage:
        cost = money.usd(seen.only_usage_usd)
        rows = counted(seen.only_usage, "usage row")
        gaps.append(f"no call log holds the id of {rows} of the window ({cost})")
    if material.calls.empty:
        gaps.append("no call log in the window: only usage rows are known")
    if material.keys.empty:
        gaps.append("no keys.csv: groups, owners and rotations are unknown")
    if material.audit.empty:
        gaps.append("no audit log: what was changed before is unknown")
    return Coverage(join_rate=rate, gaps=gaps)


def nowhere(asked: Sequence[str], material: Material, inputs: Sequence[Input] = ()) -> Report:
    """Report on ids that no data hold: inconclusive, with the exports to fetch.

    Args:
        asked: The ids.
        material: What there is, in the columns of the tables.
        inputs: The files that were searched, for the support pack.

    Returns:
        The Report, partial, with a support pack of what was searched.
    """
    shown = ", ".join(asked[:3]) + (" …" if len(asked) > 3 else "")
    step = NextStep(
        text="Fetch the usage export and the call log that cover the time of the request, and run "
        "this again.",
        where="/usage, and the log of the client",
        who="on call",
    )
    title = f"No data here hold {shown}"
    verdict = Verdict(title=title, grade=Grade.INCONCLUSIVE, cause="unknown")
    known = Coverage(gaps=coverage(material).gaps, partial=[_nowhere(asked)])
    return Report(
        runbook=RUNBOOK,
        verdict=verdict,
        findings=[_unknown_id(name, step) for name in asked[:MOST_ROWS]],
        exhibits=_empty_exhibits(material),
        next_steps=NextSteps(steps=[step]),
        coverage=known,
        attachments=search.packs(
            verdict, asked, search.Searched(inputs=inputs, place=material.place), known, step
        ),
    )


def _nowhere(missing: Sequence[str]) -> str:
    return f"{counted(len(missing), 'id')} found nowhere"


def _unknown_id(name: str, step: NextStep) -> Finding:
    return Finding(
        rule="request-unknown",
        severity=Severity.MEDIUM,
        status=Status.UNKNOWN,
        title=f"No usage row and no call log hold {name}",
        grade=Grade.INCONCLUSIVE,
        subject=Subject(request_id=name),
        next_step=step,
    )


def _empty_exhibits(material: Material) -> dict[str, Exhibit]:
    lone = Case(
        asked="",
        attempt=None,
        found=NOTHING,
        call=(),
        joined=Joined(row=None, how="none"),
        material=material,
    )
    return exhibits.exhibits_of(lone)


def quiet(window: Window, material: Material, inputs: Sequence[Input] = ()) -> Report:
    """Report on a window in which no attempt failed; partial where no call log covers it.

    Args:
        window: The times looked through, aware UTC.
        material: What there is in and around it.
        inputs: The files that were searched, for the support pack.

    Returns:
        The Report: a success, or inconclusive where there is no attempt at all.
    """
    span = span_of(window.start, window.end, material.place)
    covered = bool(len(material.minutes))
    verdict = Verdict(
        title=f"No attempt failed from {span}" if covered else f"No call log covers {span}",
        grade=Grade.CONFIRMED if covered else Grade.INCONCLUSIVE,
        cause="success" if covered else "unknown",
    )
    known = replace(coverage(material), partial=[] if covered else [f"no call log covers {span}"])
    searched = search.Searched(inputs=inputs, place=material.place, window=window)
    return Report(
        runbook=RUNBOOK,
        verdict=verdict,
        findings=[],
        exhibits=_empty_exhibits(material),
        next_steps=NextSteps(steps=[]),
        coverage=known,
        attachments=search.packs(verdict, [], searched, known, None),
    )


def many(
    cases: Sequence[Case], missing: Sequence[str], material: Material, *, noun: str = "request"
) -> Report:
    """Report on several ids, or on all failures of a window, grouped by cause.

    Args:
        cases: One a found id. At least one.
        missing: Ids that no data hold.
        material: What the cases were judged with.
        noun: What one case is: a request that was asked, or an attempt of a window.

    Returns:
        The Report, with the exhibits `causes` (a row a cause) and `ids` (a row an id) first, then
        those of the first case of the commonest cause, named in their titles.
    """
    counts = Counter(case.found.cause for case in cases)
    ranked = sorted(counts, key=lambda name: (name == "success", -counts[name], name))
    leading = [case for case in cases if case.found.cause == ranked[0]]
    lead = leading[0]
    findings = _merged(cases, ranked)
    findings += [_unknown_id(name, next_step(lead)) for name in missing[:MOST_ROWS]]
    main = lead.found if len(ranked) == 1 else None
    verdict = Verdict(
        title=_title(counts, ranked, len(missing), noun),
        grade=several.weakest(cases),
        cause=main.cause if main else None,
        code=main.code if main else None,
        domain=_shared(case.found.domain for case in cases),
        retry=_shared(case.found.retry for case in cases),
    )
    first = next_step(lead) if main else _ONE_BY_ONE
    known = coverage(material)
    partial = [_nowhere(missing)] if missing else []
    return Report(
        runbook=RUNBOOK,
        verdict=verdict,
        findings=findings,
        exhibits={
            "causes": several.causes(cases, ranked),
            "ids": several.ids(cases, missing),
            **exhibits.exhibits_of(lead, of=f"{noun} {lead.asked}"),
        },
        next_steps=NextSteps(steps=_steps(first, findings)),
        summary=[
            ("Looked at", counted(len(cases) + len(missing), noun)),
            ("Causes", str(len(ranked))),
            ("Shown in the sections below", f"{noun} {lead.asked}, first of the commonest cause"),
        ],
        coverage=Coverage(join_rate=known.join_rate, gaps=known.gaps, partial=partial),
        attachments=pack.packs(
            lead, verdict, findings, first, asked=[case.asked for case in cases] + [*missing]
        ),
    )


def _shared(values: Iterable[str | None]) -> str | None:
    """What all share, None where they differ."""
    alike = set(values)
    return alike.pop() if len(alike) == 1 else None


def _title(counts: Counter[str], ranked: Sequence[str], missing: int, noun: str) -> str:
    total = sum(counts.values())
    shown = "; ".join(f"{counts[name]} × {label(name)}" for name in ranked[:3])
    rest = len(ranked) - 3
    more = f"; {counted(rest, 'more cause')}" if rest > 0 else ""
    lost = f"; {counted(missing, 'id')} found nowhere" if missing else ""
    return f"{counted(total, noun)}, {counted(len(ranked), 'cause')}: {shown}{more}{lost}"


def _merged(cases: Sequence[Case], ranked: Sequence[str]) -> list[Finding]:
    """All findings of the first case of every cause, and what happened on its other keys."""
    first: dict[str, Case] = {}
    keys: dict[tuple[str, object], Case] = {}
    for case in cases:
        first.setdefault(case.found.cause, case)
        keys.setdefault((case.found.cause, none_or(case.subject.key_name, str)), case)
    found = [item for name in ranked for item in findings_of(first[name])]
    others = [case for case in keys.values() if case is not first[case.found.cause]]
    found += [item for case in others for item in main_rule(case)]
    alone = {f"{item.rule} {item.title}": item for item in reversed(found)}
    return worst_first(reversed(alone.values()))
