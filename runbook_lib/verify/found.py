"""The findings of a verification: one a kind and case, and what is about the whole client."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from decimal import Decimal

from runbook_lib.findings import Evidence, Finding, Grade, NextStep, Severity, Status, Subject
from runbook_lib.verify import deviations, judge
from runbook_lib.verify.deviations import Deviation
from runbook_lib.verify.facts import Facts
from runbook_lib.verify.frames import commonest, cost, groups, played_cells
from runbook_lib.verify.judge import Judged, Verdict
from runbook_lib.verify.vectors import Also, Case, Level

MOST_EVIDENCE = 5
"""Cells that a finding cites; the rest is counted."""

WHO = "owner of the client"

_ORDINARY = ("It started a process", "Nothing arrived", "Not played", "calls were not made")
"""Parts of notes that are no fault of its own: an SDK asks its system for its name by a process,
and what did not arrive or was not made is judged by its cell."""


def findings_of(judged: Sequence[Judged], facts: Facts) -> list[Finding]:
    """Give the findings: one a rule and case, and what is about the whole client.

    Args:
        judged: Every cell after its judgement.
        facts: What is true of the client.

    Returns:
        Findings, worst first, then by cost; one that passes where nothing was found.
    """
    cases = {one.case.name: one.case for one in judged}
    of = played_cells(judged)
    numbers = {one.cell.id: number for number, one in enumerate(judged, start=1)}
    found = [
        _finding(group, cases[name], of[name], numbers)
        for (_, name), group in groups(judged).items()
    ]
    found += _of_client(judged, facts)
    order = list(Severity)
    found.sort(
        key=lambda one: (order.index(one.severity), -(one.impact_usd or Decimal(0)), one.rule)
    )
    return found or [_correct(judged)]


def _finding(
    group: Sequence[Deviation], case: Case, of: int, numbers: Mapping[str, int]
) -> Finding:
    kind = group[0].kind
    spent = cost(group)
    return Finding(
        rule=kind.rule,
        severity=judge.severity(group),
        title=f"{kind.title}: {case.name} (row {case.row}), {len(group)} of {of} cells",
        subject=Subject(case=case.name),
        value=commonest(group),
        expected=group[0].expected,
        impact_usd=spent or None,
        evidence=[
            Evidence(
                source="matrix",
                row=numbers[one.cell],
                field="verdict",
                value="warning" if one.level is Level.WARNING else "error",
            )
            for one in group[:MOST_EVIDENCE]
        ],
        next_step=NextStep(
            text=kind.change, where=f"retry policy of the client, case {case.name}", who=WHO
        ),
        mark="M",
    )


def _of_client(judged: Sequence[Judged], facts: Facts) -> list[Finding]:
    found = []
    played = [one for one in judged if one.verdict is not Verdict.NOT_PLAYED]
    if not facts.falls_back and facts.could_fall_back and played:
        kind = deviations.NO_FALLBACK
        found.append(
            Finding(
                rule=kind.rule,
                severity=kind.severity,
                title=f"{kind.title}, in any of {facts.could_fall_back} cells that fail for good",
                value=0,
                expected=facts.could_fall_back,
                unit="cells",
                next_step=NextStep(text=kind.change, where="the client", who=WHO),
                mark="M",
            )
        )
    skipped = len(judged) - len(played)
    if skipped:
        why = next(one.seen for one in judged if one.verdict is Verdict.NOT_PLAYED)
        found.append(
            Finding(
                rule="client-not-tested",
                severity=Severity.MEDIUM,
                status=Status.UNKNOWN,
                grade=Grade.INCONCLUSIVE,
                title=f"{skipped} of {len(judged)} cells say nothing: {why}",
                value=skipped,
                expected=0,
                unit="cells",
                next_step=NextStep(
                    text="Repair what the first finding says and run it again.", who=WHO
                ),
            )
        )
    return found + _odd(played)


def _odd(played: Sequence[Judged]) -> list[Finding]:
    """Give what a client did beside its calls, one finding a sentence."""
    cells: dict[str, int] = defaultdict(int)
    for one in played:
        if one.played is not None and Also.REDIRECT not in one.case.expect.also:
            for note in one.played.notes:
                cells[note] += not any(part in note for part in _ORDINARY)
    return [
        Finding(
            rule="client-side-effect",
            severity=Severity.MEDIUM,
            title=f"{note.rstrip('.')} ({count} of {len(played)} cells)",
            subject=Subject(case=note),
            value=count,
            expected=0,
            unit="cells",
            next_step=NextStep(
                text="Make one call do no more than talk to the base URL it is given.", who=WHO
            ),
        )
        for note, count in sorted(cells.items(), key=lambda item: (-item[1], item[0]))
        if count
    ]


def _correct(judged: Sequence[Judged]) -> Finding:
    return Finding(
        rule="client-correct",
        severity=Severity.INFO,
        status=Status.PASS,
        title=f"The client did what a correct one does, in {len(judged)} of {len(judged)} cells",
        value=len(judged),
        expected=len(judged),
        unit="cells",
        mark="M",
    )


def steps_of(found: Sequence[Finding]) -> list[NextStep]:
    """Give each act once, with the cases it helps, in the order of the findings."""
    cases: dict[str, list[str]] = defaultdict(list)
    steps: dict[str, NextStep] = {}
    for one in found:
        if one.next_step is not None:
            steps.setdefault(one.next_step.text, one.next_step)
            cases[one.next_step.text].append(one.next_step.where.rpartition("case ")[2])
    made = []
    for text, step in steps.items():
        named = list(dict.fromkeys(filter(None, cases[text])))
        more = f" and {len(named) - 4} more" if len(named) > 4 else ""
        made.append(NextStep(text=text, where=f"cases {', '.join(named[:4])}{more}", who=step.who))
    return made
