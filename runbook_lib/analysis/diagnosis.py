"""What a diagnosis is, and what the answer of one attempt alone says."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from runbook_lib.classifier import Classification, classify_logged
from runbook_lib.contract import CAUSES
from runbook_lib.findings import Evidence, Grade, Join


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """The cause of one attempt, how sure it is, and why.

    Attributes:
        cause: Name of contract §3.3; `candidates` all that remain, the first is the cause.
        domain, retry: What all candidates share; None where they differ.
        reasons: Sentences for people, the strongest first. `evidence`: the rows behind them.
        wanted: Exports that would decide what is open.
    """

    cause: str
    code: str | None
    domain: str | None
    retry: str | None
    grade: Grade
    candidates: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    wanted: tuple[str, ...] = ()
    mark: str = ""


Attempt = Any
"""A row of `Material.attempts`, as `itertuples` gives it."""


def from_answer(attempt: Attempt) -> Diagnosis:
    """Judge one attempt by its own answer alone (a borrowed code counts, and lowers the grade)."""
    found: Classification = classify_logged(
        none_or(attempt.status, int),
        none_or(attempt.code_read, str),
        error_type=none_or(attempt.error_type, str),
        stream_end=none_or(attempt.stream_end, str),
        content_type=none_or(attempt.content_type, str),
        retry_after_s=none_or(attempt.retry_after_s, float),
        path=none_or(attempt.path, str),
    )
    reasons: tuple[str, ...] = ()
    evidence = [cite(attempt, "status", attempt.status)]
    if attempt.borrowed:
        reasons = (
            "nobody read the body of this refusal; its code is that of the nearest one with the "
            "same key and status",
        )
        evidence.append(
            Evidence(
                source=attempt.source_file,
                row=int(attempt.lender),
                field="code",
                value=attempt.code_read,
                join=Join.WINDOW,
            )
        )
    elif none_or(attempt.code, str) is not None:
        evidence.append(cite(attempt, "code", attempt.code))
    elif none_or(attempt.stream_end, str) is not None:
        evidence.append(cite(attempt, "stream_end", attempt.stream_end))
    sure = Grade.LIKELY if attempt.borrowed or not found.known else Grade.CONFIRMED
    return Diagnosis(
        cause=found.cause,
        code=found.code,
        domain=found.domain,
        retry=found.retry,
        grade=sure,
        candidates=found.candidates,
        reasons=reasons,
        evidence=tuple(evidence),
        mark=found.mark,
    )


def cite(attempt: Attempt, name: str, value: Any, *, join: Join = Join.ID) -> Evidence:
    """Point at one field of an attempt or usage row."""
    shown = None if value is None or pd.isna(value) else value
    shown = int(shown) if isinstance(shown, float) and shown.is_integer() else shown
    if shown is not None and not isinstance(shown, str | int | float):
        shown = str(shown)
    return Evidence(
        source=attempt.source_file, row=int(attempt.row_number), field=name, value=shown, join=join
    )


def rolled_up(table: str, name: str, value: object) -> Evidence:
    """Point at a total, which has no single row."""
    return Evidence(source=f"{table} (sum)", row=0, field=name, value=value, join=Join.NONE)


def none_or(value: Any, kind: Callable[[Any], Any]) -> Any:
    """The value as *kind*, or None where it is any form of unknown."""
    return None if value is None or value is pd.NA or pd.isna(value) else kind(value)


def settled(
    base: Diagnosis,
    cause: str,
    *,
    grade: Grade,
    reason: str,
    evidence: Sequence[Evidence] = (),
    domain: str | None = None,
) -> Diagnosis:
    """Narrow a diagnosis to one cause; domain and retry are those of the contract.

    Args:
        base: What the answer alone says.
        cause: Name of contract §3.3.
        grade: How sure it is.
        reason: Why, in a sentence for people.
        evidence: The rows that say so, beside those of *base*.
        domain: Side that must act, where it is not that of the contract.

    Returns:
        The diagnosis with this one candidate.
    """
    known = CAUSES[cause]
    return replace(
        base,
        cause=cause,
        candidates=(cause,),
        domain=domain or known.domain,
        retry=known.retry,
        grade=grade,
        reasons=(reason, *base.reasons),
        evidence=(*base.evidence, *evidence),
        wanted=(),
        mark=known.mark,
    )
