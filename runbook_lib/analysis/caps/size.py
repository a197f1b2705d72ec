"""Budget caps as parts of a Report: the number to type for every key, with its odds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from runbook_lib import money
from runbook_lib.analysis.caps import against
from runbook_lib.analysis.caps.backtest import tried
from runbook_lib.analysis.caps.clocks import clocks
from runbook_lib.analysis.caps.grid import day_of, held_of
from runbook_lib.analysis.caps.material import CapMaterial
from runbook_lib.analysis.caps.month import month_end
from runbook_lib.analysis.caps.planned import without_factor
from runbook_lib.analysis.caps.shown import exhibits_of
from runbook_lib.analysis.caps.sized import WINDOWS, Sized, sized
from runbook_lib.analysis.caps.standing import Balance, balances, environments, standing
from runbook_lib.analysis.caps.tiers import budget_usd, whole
from runbook_lib.analysis.caps.work import Worked
from runbook_lib.analysis.rules import steps_of
from runbook_lib.analysis.words import counted
from runbook_lib.findings import (
    Exhibit,
    Finding,
    Grade,
    NextStep,
    Severity,
    Status,
    Subject,
    Verdict,
)

STALE = timedelta(days=2)
"""Age of the data from which on a forecast says that it starts in the past."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CapParts:
    """What a Report of caps is made of.

    Attributes:
        verdict: The answer in one line, the numbers first.
        findings: Worst first.
        exhibits: By name: `to_type`, `caps`, `whole`, `clocks`, `effect`, `curves`, `fan`,
            `backtest`, `month_end`.
        next_steps: Acts, worst first, each once.
        summary: Names and values for the head of the page.
        gaps: What the answer lacks.
    """

    verdict: Verdict
    findings: Sequence[Finding] = field(repr=False)
    exhibits: Mapping[str, Exhibit] = field(repr=False)
    next_steps: Sequence[NextStep] = field(repr=False)
    summary: Sequence[tuple[str, str]]
    gaps: Sequence[str]


def size_caps(material: CapMaterial) -> CapParts:
    """Size caps for every key, say what they do, and hold them against what is set.

    Args:
        material: What is known; see `CapMaterial`.

    Returns:
        The parts of a Report. The same material gives the same parts: nothing is drawn by chance.

    Source: contract §7, §8 (M, D).
    """
    work = _worked(material)
    findings = _findings(work)
    return CapParts(
        verdict=_verdict(work, findings),
        findings=findings,
        exhibits=exhibits_of(work),
        next_steps=steps_of(findings),
        summary=_summary(work),
        gaps=_gaps(work),
    )


def _worked(material: CapMaterial) -> Worked:
    held = held_of(material)
    known = environments(material.keys)
    keys, caps = sized(material, held), standing(material, held)
    balance = balances(material, held)
    # Days after the end of the export are unknown, not cheap.
    known_to = min(material.now, material.data_end or material.now)
    return Worked(
        material=material,
        held=held,
        keys=keys,
        caps=caps,
        known=known,
        balance=balance,
        table=whole(material, keys, caps, known, _sum_of(balance)),
        times=clocks(material, held, keys, caps, balance),
        tests=tried(held, risk=material.risk, loop_factor=material.loop_factor),
        end=month_end(material.daily, budget_usd(material), known_to, timezone=material.timezone),
    )


def _findings(work: Worked) -> list[Finding]:
    """Give everything that was found, what fails first, then the worst, then the dearest."""
    material, keys, caps = work.material, work.keys, work.caps
    found = [
        *against.missing(material, keys, caps, work.known),
        *against.ill_sized(keys, caps),
        *against.wrong_currency(material, caps),
        *against.over_budget(work.table),
        *against.running_out(material, work.times, day_of(material.now, material.timezone)),
        *against.overrun(work.end, material.risk),
        *_silent(keys, work.known),
    ]
    order = list(Severity)
    return sorted(
        found,
        key=lambda item: (
            item.status is not Status.FAIL,
            order.index(item.severity),
            -(item.impact_usd or money.ZERO),
            item.rule,
            item.subject.key_name or "",
        ),
    )


def _silent(keys: Sequence[Sized], known: Mapping[str, str]) -> list[Finding]:
    """Say which keys have no forecast, and why."""
    return [
        Finding(
            rule="cap-no-history",
            status=Status.UNKNOWN,
            severity=Severity.INFO,
            title=f"Key {one.key_name} has no forecast: {one.reason}",
            subject=Subject(key_name=one.key_name, environment=known.get(one.key_name) or None),
            value=one.days,
            expected=2,
            unit="days of history",
            grade=Grade.INCONCLUSIVE,
            next_step=NextStep(
                text="Use the starting point of its environment and size it again in a week.",
                where="/keys",
                who=against.OWNER,
            ),
            mark="D",
        )
        for one in keys
        if one.reason
    ]


def _verdict(work: Worked, findings: Sequence[Finding]) -> Verdict:
    """Say the numbers, then what is wrong with what is set."""
    material, keys, caps = work.material, work.keys, work.caps
    able = [one for one in keys if one.caps]
    if not able:
        return Verdict(
            title="No key has a history that carries a forecast: use the starting points of the "
            "best practices",
            grade=Grade.INCONCLUSIVE,
            cause="no history",
        )
    day = money.total(one.caps["1d"] for one in able)
    month = money.total(one.caps["month"] for one in able)
    without = len({one.key_name for one in able} - {one.key_name for one in caps})
    wrong = [item for item in findings if item.rule in ("cap-too-low", "cap-currency")]
    wrong = [item for item in wrong if item.status is Status.FAIL]
    told = [
        f"{counted(len(able), 'key')} sized: {money.usd(day)} a day, {money.usd(month)} a month "
        f"in all, at a risk of {material.risk * 100:g} %"
    ]
    if without:
        told.append(f"{counted(without, 'key')} without a cap")
    if wrong:
        names = {item.subject.key_name for item in wrong}
        told.append(f"{counted(len(names), 'key')} with a cap to correct")
    first = [item for item in findings if item.rule in ("runs-out", "budget-overrun")]
    told += [item.title for item in first[:1] if item.severity is Severity.HIGH]
    return Verdict(title="; ".join(told), grade=Grade.LIKELY, cause="caps sized")


def _summary(work: Worked) -> list[tuple[str, str]]:
    """Give the names and values for the head of the page."""
    material, keys, times, end = work.material, work.keys, work.times, work.end
    told = [
        ("Risk asked", f"{material.risk * 100:g} % of usual windows"),
        ("Keys", f"{sum(bool(one.caps) for one in keys)} sized of {len(keys)}"),
        (
            f"Spent in {end.month}",
            money.usd(end.to_date)
            + (f", {money.usd(end.p10)} to {money.usd(end.p90)} by its end" if end.p90 else ""),
        ),
        *[
            (f"Balance {one.account}" if one.account else "Balance", _told(one))
            for one in work.balance
        ],
    ]
    if end.budget is not None:
        told.append(("Budget of the month", money.usd(end.budget)))
    over = work.table.iloc[-1]["over_commit"]
    if over is not None:
        told.append(("Caps over budget", f"{over} times"))
    if len(times):
        first = times.iloc[0]
        if first["runs_out_early"] is not None:
            name = "balance" if first["what"] == "balance" else str(first["key_name"])
            told.append(("Ends first", f"{name}, {first['runs_out_early']} if use is high"))
    if material.rate_note():
        told.append(("Rate", material.rate_note()))
    return told


def _told(one: Balance) -> str:
    return f"{money.usd(one.usd)} ({one.basis})"


def _sum_of(balance: Sequence[Balance]) -> Decimal | None:
    return money.total(one.usd for one in balance) if balance else None


def _gaps(work: Worked) -> list[str]:
    """Say what the answer lacks, and what would give it."""
    material, held, caps = work.material, work.held, work.caps
    found = []
    if held.hours is None:
        found.append("no usage by the hour: no replay, no loops, 5-hour caps from other keys only")
    if material.keys.empty:
        found.append("no keys.csv: environments and caps that are set are unknown")
    if not work.balance:
        found.append("no balance: give it, or a ledger.csv with readings")
    if budget_usd(material) is None:
        found.append("no budget: give monthly_budget, or a budget.csv")
    if held.refunds:
        found.append(f"{counted(held.refunds, 'day')} of a key below 0 (refunds) count as 0")
    if material.currency == "CNY" or any(one.currency == "CNY" for one in caps):
        found.append(material.rate_note() or "caps in CNY and no rate: give cny_per_usd")
    odd = sorted({one.window for one in caps} - {"total", *WINDOWS})
    if odd:
        found.append(f"caps left out, for windows unknown here: {', '.join(odd)}")
    if material.cny_per_usd is None and "CNY" in set(material.budget.get("currency", ())):
        found.append("budget.csv has amounts in CNY and there is no rate: give cny_per_usd")
    end: datetime | None = material.data_end
    if end is not None and material.now - end > STALE:
        found.append(f"the usage ends {(material.now - end).days} days before now")
    found += [
        f"planned without a factor, so left out: {note}"
        for note in without_factor(material.planned, material.now)
    ]
    return found
