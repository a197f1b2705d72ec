"""A verification as a whole: verdicts, deviations by cost, numbers, findings, next steps."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from runbook_lib.findings import Evidence, Finding, Grade, NextStep, Severity, Status
from runbook_lib.verify import deviations, joined, judge, junit, metrics, rehearsal
from runbook_lib.verify.deviations import Deviation
from runbook_lib.verify.facts import Facts
from runbook_lib.verify.judge import Judged, Verdict
from runbook_lib.verify.records import Cell, Played
from runbook_lib.verify.vectors import Also, Case, Level

if TYPE_CHECKING:
    import pandas as pd

MATRIX = [
    *("row", "case", "duration", "protocol", "stream", "flavour"),
    *("verdict", "expected", "seen", "cell"),
]
DEVIATIONS = [
    *("rule", "row", "case", "level", "cells", "of", "cost_usd"),
    *("expected", "seen", "change"),
]
TIMINGS = [
    *("cell", "call", "attempts", "ended", "total_s", "slept_s", "wire_s", "fallback_s"),
]

MOST_EVIDENCE = 5
"""Cells that a finding cites; the rest is counted."""

WHO = "owner of the client"
_CENT = Decimal("1e-10")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What a verification found.

    Attributes:
        client: As it was named.
        cause: `client_passes`, `client_deviates` or `client_untested`.
        matrix: One row a cell, see `matrix_of`; the same seed gives the same bytes.
        deviations: One row a kind and case, dearest first, see `deviations_of`.
        metrics: One row a number, see `metrics.metrics`.
        timings: One row a call, see `timings_of`; measured, so never the same twice.
        rehearsal: One row a rehearsed stop, see `rehearsal.rehearsal`.
        findings: Worst first.
        junit: The verdicts as JUnit XML.
        next_steps: What to change, each once, worst first.
        facts: What is true of the client in all cells.
        judged: Every cell with its deviations.
    """

    client: str
    cause: str
    matrix: "pd.DataFrame"
    deviations: "pd.DataFrame"
    metrics: "pd.DataFrame"
    timings: "pd.DataFrame"
    rehearsal: "pd.DataFrame"
    findings: Sequence[Finding]
    junit: str
    next_steps: Sequence[NextStep]
    facts: Facts
    judged: Sequence[Judged]

    def count(self, verdict: Verdict) -> int:
        """Count the cells of a verdict."""
        return sum(one.verdict is verdict for one in self.judged)


def judge_all(
    client: str,
    played: Sequence[Played],
    cases: Sequence[Case],
    *,
    cells: Sequence[Cell] = (),
    seed: int = 0,
    depth: str = "full",
) -> Verified:
    """Judge a client by everything that was played.

    Args:
        client: As it was named.
        played: What was played.
        cases: The cases that the cells come from.
        cells: What was to be played, in order; left out, what was.
        seed: Seed of the run, for the JUnit file.
        depth: Depth of the run, for the JUnit file.

    Returns:
        Verdicts, deviations, numbers, findings and next steps.
    """
    by_name = {case.name: case for case in cases}
    judged, facts = judge.judge(played, by_name, cells=cells)
    found = findings_of(judged, facts)
    return Verified(
        client=client,
        cause=_cause(judged, found),
        matrix=matrix_of(judged),
        deviations=deviations_of(judged),
        metrics=metrics.metrics(judged, facts),
        timings=timings_of(judged),
        rehearsal=rehearsal.rehearsal(judged),
        findings=found,
        junit=junit.junit(judged, {"client": client, "depth": depth, "seed": str(seed)}),
        next_steps=_steps(found),
        facts=facts,
        judged=judged,
    )


def _cause(judged: Sequence[Judged], found: Sequence[Finding]) -> str:
    tested = [one for one in judged if one.verdict is not Verdict.NOT_PLAYED]
    untested = {deviations.NOT_REACHED.rule, deviations.FAILS_HEALTHY.rule}
    if all(untested & {d.kind.rule for d in one.deviations} for one in tested):
        return "client_untested"
    failed = any(one.status is Status.FAIL for one in found)
    return "client_deviates" if failed else "client_passes"


# Frames -----------------------------------------------------------------------------------------


def matrix_of(judged: Sequence[Judged]) -> "pd.DataFrame":
    """Give the verdict of every cell.

    Args:
        judged: Every cell after its judgement.

    Returns:
        One row a cell: `row` (of the fault matrix), `case`, `duration` (empty for none),
        `protocol`, `stream` (bool), `flavour` (sync, async), `verdict` (ok, warning, error, not
        played), `expected`, `seen`, `cell` (id). No measured times.
    """
    import pandas as pd

    rows = [
        (
            one.case.row,
            one.case.name,
            one.cell.duration,
            one.cell.protocol,
            one.cell.stream,
            "async" if one.cell.asynchronous else "sync",
            one.verdict.value,
            one.expected,
            one.seen,
            one.cell.id,
        )
        for one in judged
    ]
    return pd.DataFrame(rows, columns=MATRIX)


Group = tuple[str, str]
"""Rule and case."""


def _groups(judged: Sequence[Judged]) -> dict[Group, list[Deviation]]:
    groups: dict[Group, list[Deviation]] = defaultdict(list)
    for one in judged:
        for deviation in one.deviations:
            groups[deviation.kind.rule, one.case.name].append(deviation)
    return groups


def deviations_of(judged: Sequence[Judged]) -> "pd.DataFrame":
    """Give what the client did otherwise, dearest first.

    Args:
        judged: Every cell after its judgement.

    Returns:
        One row a rule and case: `rule`, `row`, `case`, `level` (error, warning), `cells` (that
        show it), `of` (cells of the case that were played), `cost_usd` (USD, Decimal: what was
        billed or may have been beyond a correct client's), `expected`, `seen`, `change`.
    """
    import pandas as pd

    cases = {one.case.name: one.case for one in judged}
    of = _played_cells(judged)
    rows = [
        (
            rule,
            cases[case].row,
            case,
            _level(found),
            len(found),
            of[case],
            _cost(found),
            found[0].expected,
            _commonest(found),
            found[0].kind.change,
        )
        for (rule, case), found in _groups(judged).items()
    ]
    rows.sort(key=lambda row: (-row[6], row[3], row[1], row[0], row[2]))
    return pd.DataFrame(rows, columns=DEVIATIONS)


def _played_cells(judged: Sequence[Judged]) -> Mapping[str, int]:
    counts: dict[str, int] = defaultdict(int)
    for one in judged:
        counts[one.case.name] += one.verdict is not Verdict.NOT_PLAYED
    return counts


def _level(found: Sequence[Deviation]) -> str:
    return str(min(one.level for one in found))


def _cost(found: Sequence[Deviation]) -> Decimal:
    return sum((one.cost_usd for one in found), Decimal(0)).quantize(_CENT)


def _commonest(found: Sequence[Deviation]) -> str:
    seen = [one.seen for one in found]
    return max(dict.fromkeys(seen), key=seen.count)


def timings_of(judged: Sequence[Judged]) -> "pd.DataFrame":
    """Give the times of every call.

    Args:
        judged: Every cell after its judgement.

    Returns:
        One row a call: `cell` (id), `call` (number), `attempts` (count), `ended` (how), `total_s`,
        `slept_s` (between and after attempts), `wire_s` (the rest), `fallback_s` (from the first
        failure to the fallback's first byte, NaN without one); all in seconds.
    """
    import pandas as pd

    rows = []
    for one in judged:
        for number, call in enumerate(joined.of(one.played) if one.played else [], start=1):
            slept = min(call.seconds, metrics.slept_s(call))
            other = metrics.fallback_s(call)
            rows.append(
                (
                    one.cell.id,
                    number,
                    len(call.attempts),
                    call.outcome.ending.value,
                    round(call.seconds, 4),
                    round(slept, 4),
                    round(call.seconds - slept, 4),
                    metrics.UNKNOWN if other is None else round(other, 4),
                )
            )
    return pd.DataFrame(rows, columns=TIMINGS)


# Findings ---------------------------------------------------------------------------------------


def findings_of(judged: Sequence[Judged], facts: Facts) -> list[Finding]:
    """Give the findings: one a rule and case, and what is about the whole client.

    Args:
        judged: Every cell after its judgement.
        facts: What is true of the client.

    Returns:
        Findings, worst first, then by cost; one that passes where nothing was found.
    """
    cases = {one.case.name: one.case for one in judged}
    of = _played_cells(judged)
    numbers = {one.cell.id: number for number, one in enumerate(judged, start=1)}
    found = [
        _finding(group, cases[name], of[name], numbers)
        for (_, name), group in _groups(judged).items()
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
    cost = _cost(group)
    return Finding(
        rule=kind.rule,
        severity=judge.severity(group),
        title=f"{kind.title}: {case.name} (row {case.row}), {len(group)} of {of} cells",
        value=_commonest(group),
        expected=group[0].expected,
        impact_usd=cost or None,
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
    if not facts.falls_back and played:
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
                cells[note] += 1
    return [
        Finding(
            rule="client-side-effect",
            severity=Severity.MEDIUM,
            title=f"{note.rstrip('.')} ({count} of {len(played)} cells)",
            value=count,
            expected=0,
            unit="cells",
            next_step=NextStep(
                text="Make one call do no more than talk to the base URL it is given.", who=WHO
            ),
        )
        for note, count in sorted(cells.items(), key=lambda item: (-item[1], item[0]))
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


def _steps(found: Sequence[Finding]) -> list[NextStep]:
    """Give each act once, with the cases it helps."""
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
