"""Judges a cell: what the server saw and what the caller got, against the reference policy.

Pure: the same played cells give the same verdicts, and no verdict holds a measured time.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from runbook_lib import redact
from runbook_lib.findings import Severity
from runbook_lib.verify import deviations, ending, joined, many, sending
from runbook_lib.verify.deviations import WARNINGS, Deviation
from runbook_lib.verify.facts import Facts, flavour, is_healthy, learn
from runbook_lib.verify.policy import wanted
from runbook_lib.verify.records import Cell, Ending, Played
from runbook_lib.verify.sending import Fault, Seen
from runbook_lib.verify.vectors import Case, Level

LONGEST = 300
"""Characters of what was seen: codes and models in it come from gateways and clients."""

GIVEN_UP = "Not played"
"""How a note begins that says why a cell was not even tried."""

_BY_CASE = (
    deviations.WRONG_RETRY,
    deviations.TOO_MANY,
    deviations.WRONG_FALLBACK,
    deviations.UNDERCUT,
)
"""Kinds that are as bad as the case says."""


class Verdict(StrEnum):
    """What a cell was, best first."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"
    NOT_PLAYED = "not played"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One cell after its judgement.

    Attributes:
        expected: What a correct client does; seen: what this one did otherwise, if anything.
        played: What it was judged by; None where it was not played.
    """

    case: Case
    cell: Cell
    verdict: Verdict
    expected: str
    seen: str
    deviations: Sequence[Deviation] = ()
    played: Played | None = None


def judge(
    played: Sequence[Played], cases: Mapping[str, Case], *, cells: Sequence[Cell] = ()
) -> tuple[list[Judged], Facts]:
    """Judge cells.

    Args:
        played: What was played.
        cases: Every case by its name.
        cells: What was to be played; those that were not are told as such.

    Returns:
        One judgement a cell, in the order of *cells*, else of *played*; and what is true of the
        client in all of them.
    """
    facts = learn(played, cases)
    by_id = {one.cell.id: one for one in played}
    order = list(cells) or [one.cell for one in played]
    return [_judged(cases[one.case], one, by_id.get(one.id), facts) for one in order], facts


def _judged(case: Case, cell: Cell, played: Played | None, facts: Facts) -> Judged:
    aim = wanted(case, cell, falls_back=facts.falls_back)
    why = _unplayed(case, cell, played, facts)
    if played is None or why:
        return Judged(
            case=case,
            cell=cell,
            verdict=Verdict.NOT_PLAYED,
            expected=aim.words(),
            seen=why,
            played=played,
        )
    found = _deviations(case, played, facts)
    levels = {one.level for one in found}
    verdict = Verdict.ERROR if Level.ERROR in levels else Verdict.WARNING
    return Judged(
        case=case,
        cell=cell,
        verdict=verdict if levels else Verdict.OK,
        expected=aim.words(),
        seen="; ".join(dict.fromkeys(one.seen for one in found)) or "as expected",
        deviations=found,
        played=played,
    )


def _unplayed(case: Case, cell: Cell, played: Played | None, facts: Facts) -> str:
    """Tell why a cell says nothing; empty when it does."""
    if played is None or not played.outcomes:
        return "it was not played"
    given_up = [note for note in played.notes if note.startswith(GIVEN_UP)]
    if given_up and not played.attempts:
        return redact.safe(given_up[0].removeprefix(GIVEN_UP).strip(" :."), limit=LONGEST)
    broken = facts.broken.get(flavour(cell))
    if broken and not is_healthy(case):
        return f"this flavour fails where nothing is wrong: {broken}"
    return ""


def _deviations(case: Case, played: Played, facts: Facts) -> list[Deviation]:
    if is_healthy(case) and flavour(played.cell) in facts.broken:
        return [_deviation(case, played.cell, _unhealthy(facts.broken[flavour(played.cell)]))]
    found = [
        _deviation(case, played.cell, fault)
        for call in joined.of(played)
        for fault in _of_call(case, call, facts)
    ]
    found += [
        _deviation(case, played.cell, fault)
        for check in many.CHECKS
        for fault in check(case, played, facts)
    ]
    return _once(found)


def _of_call(case: Case, call: joined.Call, facts: Facts) -> Iterator[Fault]:
    aim = wanted(case, call.cell, falls_back=facts.falls_back)
    seen = Seen(case=case, call=call, wanted=aim, facts=facts)
    alone = call.cell.calls == 1
    every = (*sending.CHECKS, *ending.CHECKS) if alone else _OF_MANY
    for check in every if call.cell.cancel_after_s is None else _OF_CANCELLED:
        yield from check(seen)
    if alone and call.outcome.ending is not Ending.DIED:
        yield from _strange(seen)


_OF_MANY = (ending.silent, ending.in_time, sending.after_deadline, sending.wrong_model)
"""Checks that hold for each of many calls too; the others have a form of their own for them."""

_OF_CANCELLED = (ending.in_time, ending.cancelled)
"""Checks of a call that is cancelled: what else it would have done is no question."""


def _strange(seen: Seen) -> Iterator[Fault]:
    """Find attempts on models that the client was not given."""
    known = {*seen.call.cell.models, ""}
    other = sorted({one.model for one in seen.call.attempts} - known)
    if other:
        yield Fault(
            kind=deviations.OTHER_MODEL,
            expected=f"the models {', '.join(seen.call.cell.models)}",
            seen=f"asked for {', '.join(other)[:120]}",
        )


def _unhealthy(why: str) -> Fault:
    kinds = {"nothing arrived": deviations.NOT_REACHED, "other models": deviations.OTHER_MODEL}
    return Fault(kind=kinds.get(why, deviations.FAILS_HEALTHY), expected="an answer", seen=why)


def _deviation(case: Case, cell: Cell, fault: Fault) -> Deviation:
    warned = fault.kind.rule in WARNINGS
    if fault.kind in _BY_CASE:
        warned = case.expect.severity is Level.WARNING
    return Deviation(
        kind=fault.kind,
        case=case.name,
        cell=cell.id,
        level=Level.WARNING if warned else Level.ERROR,
        expected=redact.safe(fault.expected, limit=LONGEST),
        seen=redact.safe(fault.seen, limit=LONGEST),
        cost_usd=fault.cost_usd,
    )


def _once(found: Sequence[Deviation]) -> list[Deviation]:
    """Join what many calls of a cell show alike: one deviation a kind, its costs summed."""
    kinds: dict[str, list[Deviation]] = {}
    for one in found:
        kinds.setdefault(one.kind.rule, []).append(one)
    return [
        Deviation(
            kind=first.kind,
            case=first.case,
            cell=first.cell,
            level=first.level,
            expected=first.expected,
            seen=first.seen,
            cost_usd=sum((one.cost_usd for one in same), first.cost_usd * 0),
        )
        for same in kinds.values()
        for first in same[:1]
    ]


def severity(found: Sequence[Deviation]) -> Severity:
    """Tell how bad deviations of one kind are in a case: as the kind, less where it warns only.

    Args:
        found: Deviations of one kind in it.

    Returns:
        The severity of their finding.
    """
    kind = found[0].kind
    mild = all(one.level is Level.WARNING for one in found)
    return Severity.LOW if mild and kind.severity.reaches(Severity.LOW) else kind.severity
