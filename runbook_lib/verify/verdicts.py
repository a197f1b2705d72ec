"""A verification as a whole: verdicts, deviations by cost, numbers, findings, next steps."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runbook_lib.findings import Finding, NextStep, Status
from runbook_lib.verify import deviations, found, frames, judge, junit, metrics, rehearsal
from runbook_lib.verify.facts import Facts
from runbook_lib.verify.judge import Judged, Verdict
from runbook_lib.verify.records import Cell, Played
from runbook_lib.verify.vectors import Case

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What a verification found.

    Attributes:
        client: As it was named.
        cause: `client_passes`, `client_deviates` or `client_untested`.
        matrix: One row a cell, see `frames.matrix_of`; the same seed gives the same bytes.
        deviations: One row a kind and case, dearest first, see `frames.deviations_of`.
        metrics: One row a number, see `metrics.metrics`.
        timings: One row a call, see `frames.timings_of`; measured, so never the same twice.
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
    told = found.findings_of(judged, facts)
    return Verified(
        client=client,
        cause=_cause(judged, told),
        matrix=frames.matrix_of(judged),
        deviations=frames.deviations_of(judged),
        metrics=metrics.metrics(judged, facts),
        timings=frames.timings_of(judged),
        rehearsal=rehearsal.rehearsal(judged),
        findings=told,
        junit=junit.junit(judged, {"client": client, "depth": depth, "seed": str(seed)}),
        next_steps=found.steps_of(told),
        facts=facts,
        judged=judged,
    )


def _cause(judged: Sequence[Judged], told: Sequence[Finding]) -> str:
    tested = [one for one in judged if one.verdict is not Verdict.NOT_PLAYED]
    untested = {deviations.NOT_REACHED.rule, deviations.FAILS_HEALTHY.rule}
    if all(untested & {d.kind.rule for d in one.deviations} for one in tested):
        return "client_untested"
    failed = any(one.status is Status.FAIL for one in told)
    return "client_deviates" if failed else "client_passes"
