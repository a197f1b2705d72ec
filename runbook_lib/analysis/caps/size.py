"""Budget caps as parts of a Report: the number to type for every key, with its odds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from runbook_lib import money
from runbook_lib.analysis.caps import against, ends
from runbook_lib.analysis.caps.backtest import ALL, summed, tried
from runbook_lib.analysis.caps.balance import Balance, balances, contradicted, unread
from runbook_lib.analysis.caps.clocks import limits_of, timed
from runbook_lib.analysis.caps.effect import effect_table
from runbook_lib.analysis.caps.events import events_table
from runbook_lib.analysis.caps.grid import day_of, held_of, known_to
from runbook_lib.analysis.caps.inflight import under_way
from runbook_lib.analysis.caps.material import CapMaterial, text_of
from runbook_lib.analysis.caps.month import month_end
from runbook_lib.analysis.caps.planned import without_factor
from runbook_lib.analysis.caps.shown import exhibits_of
from runbook_lib.analysis.caps.sized import WINDOWS, sized
from runbook_lib.analysis.caps.standing import standing
from runbook_lib.analysis.caps.tiers import WHOLE, budget_usd, whole
from runbook_lib.analysis.caps.typed import allowed, typed_of
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
    Verdict,
)

REHEARSE = NextStep(
    text="Rehearse the stop before it happens: run fallback_verification, which shows what your "
    "client does at a used-up cap: attempts, seconds and who is paged.",
    where="fallback_verification",
    who="service owner",
)
"""What is left to do once caps are typed."""

STALE = timedelta(days=2)
"""Age of the data from which on a forecast says that it starts in the past."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CapParts:
    """What a Report of caps is made of.

    Attributes:
        verdict: The answer in one line, the numbers first.
        findings: Worst first.
        exhibits: By name, in the order of `shown.TITLES`.
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
        next_steps=[*steps_of(findings), REHEARSE],
        summary=_summary(work),
        gaps=_gaps(work),
    )


def _worked(material: CapMaterial) -> Worked:
    held = held_of(material)
    keys, caps = sized(material, held), standing(material, held)
    balance = balances(material, held)
    limits = limits_of(material, held, keys, caps, balance)
    typed = typed_of(material, keys, caps, held)
    flying = under_way(material, held)
    return Worked(
        material=material,
        held=held,
        keys=keys,
        caps=caps,
        balance=balance,
        typed=typed,
        limits=limits,
        table=whole(
            material,
            [one for one in keys if not one.ended],
            caps,
            balance,
            allowed(material, keys, typed),
        ),
        times=timed(material, limits),
        effects=effect_table(material, keys, caps, held, flying),
        events=events_table(material, held, keys),
        flying=flying,
        tests=tried(held, risk=material.risk, loop_factor=material.loop_factor),
        end=month_end(
            material.daily, budget_usd(material), known_to(material), timezone=material.timezone
        ),
    )


def _findings(work: Worked) -> list[Finding]:
    """Give everything that was found, what fails first, then the worst, then the dearest."""
    material, keys, caps = work.material, work.live, work.standing
    over = {one.ref for one in work.keys if one.ended}
    today = day_of(material.now, material.timezone)
    ending = ends.ending(material, work.times, today)
    quotas = {limit.place for _, limit in ending if limit.what == "key cap"}
    # One cap, one finding: a quota that ends soon is told with its day, a low window with its odds.
    ill = [
        one
        for one in against.judged(keys, caps)
        if not (one.low and (one.cap.ref, one.cap.window) in quotas)
    ]
    low = {(one.cap.ref, one.cap.window) for one in ill if one.low}
    ending = [
        (row, limit)
        for row, limit in ending
        if limit.place not in low and limit.place[0] not in over
    ]
    found = [
        *against.missing(material, keys, caps, work.typed),
        *against.ill_sized(material, ill, work.effects, work.typed),
        *against.wrong_currency(material, keys, caps),
        *ends.asks_more(work.table, known=any(one.caps for one in keys)),
        *ends.over_budget(work.table),
        *ends.over_tier(work.table),
        *ends.running_out(work, ending, today),
        *ends.used_up(work.limits),
        *against.overrun(work.end, material.risk),
        *against.silent(keys),
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


def _verdict(work: Worked, findings: Sequence[Finding]) -> Verdict:
    """Say the numbers, then what is wrong with what is set."""
    material, keys, caps = work.material, work.live, work.standing
    able, over = [one for one in keys if one.caps], _beyond(work)
    if not able:
        return Verdict(
            title="No key has a history that carries a forecast: use the starting points of the "
            f"best practices{over and f'; {over}'}",
            grade=Grade.INCONCLUSIVE,
            cause="no_history",
        )
    day = money.total(one.caps["1d"] for one in able)
    month = money.total(allowed(material, able, work.typed).values())
    without = len({one.ref for one in able} - {one.ref for one in caps})
    wrong = [item for item in findings if item.rule in ("cap-too-low", "cap-currency")]
    wrong = [item for item in wrong if item.status is Status.FAIL]
    told = [
        f"{counted(len(able), 'key')} sized: {money.usd(day)} a day, {money.usd(month)} a month "
        f"in all, at a risk of {material.risk * 100:g} %"
    ]
    if over:
        told.append(over)
    if without:
        told.append(f"{counted(without, 'key')} without a cap")
    if wrong:
        names = {item.subject.key_name for item in wrong}
        told.append(f"{counted(len(names), 'key')} with a cap to correct")
    first = [item for item in findings if item.rule in ("runs-out", "budget-overrun")]
    told += [item.title for item in first[:1] if item.severity is Severity.HIGH]
    return Verdict(title="; ".join(told), grade=Grade.LIKELY, cause="caps_sized")


def _beyond(work: Worked) -> str:
    """Say that the numbers to type pass the budget; empty where they don't."""
    over = ends.beyond(work.table)
    if over is None:
        return ""
    return (
        f"the caps to type come to {over[0] / over[1]:.1f} times the budget of {money.usd(over[1])}"
    )


def _summary(work: Worked) -> list[tuple[str, str]]:
    """Give the names and values for the head of the page."""
    material, keys, times, end = work.material, work.live, work.times, work.end
    told = [
        ("Risk asked", f"{material.risk * 100:g} % of usual windows"),
        ("Keys", f"{sum(bool(one.caps) for one in keys)} sized of {len(keys)}"),
        (
            f"Spent in {end.month}",
            money.usd(end.to_date)
            + (f", {money.usd(end.p10)} to {money.usd(end.p90)} by its end" if end.p90 else ""),
        ),
        *[(_named(one), _told(one)) for one in work.balance],
    ]
    if end.budget is not None:
        told.append(("Budget of the month", money.usd(end.budget)))
    told += _over(work)
    first = next((row for row, limit in times if limit.what != "window"), None)
    if first is not None and first["runs_out_early"] is not None:
        name = str(first.get("key_name") or first["what"])
        name += f" of account {first['account']}" if first["account"] else ""
        told.append(("Ends first", f"{name}, {first['runs_out_early']} if use is high"))
    if material.rate_note():
        told.append(("Rate", material.rate_note()))
    return told


def _over(work: Worked) -> list[tuple[str, str]]:
    """Say how many times over the budget all caps are."""
    (row,) = [
        row
        for row in work.table.to_dict("records")
        if row["environment"] == WHOLE and row["account"] is None
    ]
    names = {"over_commit": "Proposed caps over budget", "set_over_commit": "Set caps over budget"}
    return [(told, f"{row[name]} times") for name, told in names.items() if row[name] is not None]


def _named(one: Balance) -> str:
    """Name a balance: by its account, or by the one key it is known of."""
    if one.key is not None:
        return f"Balance of key {one.key.key_name}"
    return f"Balance {one.account}" if one.account else "Balance"


def _told(one: Balance) -> str:
    return f"{money.usd(one.usd)} ({one.basis})"


def _gaps(work: Worked) -> list[str]:
    """Say what the answer lacks, and what would give it."""
    material, held, caps = work.material, work.held, work.caps
    found = []
    if held.hours is None and len(material.hourly):
        found.append("no whole day of usage yet: no replay, no loops, no forecast")
    elif held.hours is None:
        found.append("no usage by the hour: no replay, no loops, 5-hour caps from other keys only")
    if material.keys.empty:
        found.append("no keys.csv: environments and caps that are set are unknown")
    if not work.balance:
        found.append("no balance: give it, or a ledger.csv with readings")
    found += contradicted(material, held)
    if budget_usd(material) is None:
        found.append("no budget: give monthly_budget, or a budget.csv")
    if held.refunds:
        found.append(f"{counted(held.refunds, 'day')} of a key below 0 (refunds) count as 0")
    if held.nameless:
        told = money.usd(money.rounded(Decimal(repr(held.nameless)), 4))
        found.append(f"{told} of usage name no key: no cap can hold them")
    found += [
        f"key {name} is in several accounts, and keys.csv or a live answer names none: take those "
        "files in with --account"
        for name in held.refs.unclear
    ]
    odd = sorted({one.window for one in caps} - {"total", *WINDOWS})
    if odd:
        found.append(f"caps left out, for windows unknown here: {', '.join(odd)}")
    end: datetime | None = material.data_end
    if end is not None and material.now - end > STALE:
        found.append(f"the usage ends {(material.now - end).days} days before now")
    return [*found, *_broken(work), *_currencies(work), *_unplanned(material)]


def _broken(work: Worked) -> list[str]:
    """Say where more windows tripped than were promised: the odds are not to be relied on there."""
    return [
        f"{row['window']} caps of the {row['held_back']} tripped {100 * row['tripped']:.0f} of 100 "
        f"times where {100 * row['promised']:.0f} were promised: spend has changed, so the odds "
        "are too low"
        for row in summed(work.tests).to_dict("records")
        if not row["kept"] and row["window"] != ALL
    ]


def _currencies(work: Worked) -> list[str]:
    """Say what cannot be read without a rate."""
    material, found = work.material, []
    if not material.rate_note() and any(one.currency == "CNY" for one in work.caps):
        found.append("caps in CNY and no rate: give cny_per_usd")
    if material.cny_per_usd is None and "CNY" in set(material.budget.get("currency", ())):
        found.append("budget.csv has amounts in CNY and there is no rate: give cny_per_usd")
    lost = unread(material)
    if lost:
        rows = counted(lost, "row")
        found.append(f"{rows} of ledger.csv in a currency without a rate: give cny_per_usd")
    return found


def _unplanned(material: CapMaterial) -> list[str]:
    """Name plans that count for nothing: without a factor, or for a key that is not known."""
    found = [
        f"planned without a factor one can use, so left out: {note}"
        for note in without_factor(material.planned, material.now)
    ]
    if material.planned.empty:
        return found
    known = {
        text_of(name)
        for frame in (material.daily, material.keys)
        for name in frame.get("key_name", ())
    }
    names = sorted({text_of(name) for name in material.planned["key_name"]} - known - {""})
    return found + [f"planned for key {name}, which is in no data" for name in names]
