"""What is set held against what history says: missing, too low, too high, wrong currency."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

import pandas as pd

from runbook_lib import clock, money
from runbook_lib.analysis.caps.material import CURRENCIES, CapMaterial, amount_of
from runbook_lib.analysis.caps.month import MonthEnd
from runbook_lib.analysis.caps.refs import Entry, Ref
from runbook_lib.analysis.caps.sized import Sized
from runbook_lib.analysis.caps.standing import Standing
from runbook_lib.analysis.caps.typed import Typed
from runbook_lib.analysis.diagnosis import rolled_up
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

MORE_ODDS = 0.05
"""A cap is too low where its odds of a trip pass twice those of the sized one and this."""

MUCH_TOO_LOW = 0.5

TOO_HIGH, FAR_TOO_HIGH = Decimal(3), Decimal(20)
"""Times the sized cap from which on a cap is too high: a loop burns on below it."""

TIMES = {"5h": "days", "1d": "days", "7d": "weeks", "month": "months", "total": "months"}
"""What the odds of a window are counted in."""

RATE_APART = Decimal("0.1")
"""A live limit this near to the inventory's number read as the other currency is that."""

FINANCE = "finance"

SPANS = {"5h": "5 hours", "1d": "a day", "7d": "a week", "month": "a month", "total": "its life"}


def subject(one: Sized) -> Subject:
    """Say which key a finding is about; with its account where the name alone could mean two."""
    return Subject(key_name=one.label, environment=one.environment or None)


def missing(
    material: CapMaterial,
    keys: Sequence[Sized],
    caps: Sequence[Standing],
    typed: Mapping[tuple[Ref, str], Typed],
) -> Iterator[Finding]:
    """Name keys in use that nothing stops.

    Args:
        material: Reads `loop_factor`.
        keys: Every key.
        caps: What is set.
        typed: As `typed.typed_of` gives it: what is told is what the table has.

    Returns:
        One finding a key.
    """
    held = {one.ref for one in caps}
    for one in keys:
        if one.ref in held or (one.views and one.views["7d"].scale <= 0):
            continue
        number = typed[one.ref, "total"]
        if one.views:
            day = one.views["7d"].quantile(0.5) / 7
            burn = amount_of(material.loop_factor * day, 2)
            why = f"a loop at {material.loop_factor:g} times its use burns {money.usd(burn)} a day"
            used = rolled_up("usage", "cost_usd, usual day", amount_of(day))
        else:
            burn, why = None, f"nothing stops a loop, and {one.reason}"
            used = rolled_up("usage", "cost_usd so far", number.used)
        yield Finding(
            rule="cap-missing",
            severity=Severity.HIGH if one.environment in ("prod", "") else Severity.MEDIUM,
            title=f"Key {one.label} has no cap: {why}",
            subject=subject(one),
            value=None,
            expected=one.caps.get("month", number.room),
            unit="USD a month",
            impact_usd=burn,
            grade=Grade.LIKELY,
            evidence=[at(one.entry, "cap_amount", None), used],
            next_step=NextStep(
                text=f"Set a cap on {one.label}: {_wanted(one, typed)}.",
                where="/keys",
                who=one.owner,
            ),
            mark="D",
        )


def _wanted(one: Sized, typed: Mapping[tuple[Ref, str], Typed]) -> str:
    """Write the cap to set, as the table has it."""
    day, total = typed[one.ref, "1d"], typed[one.ref, "total"]
    if not total.told:
        lacking = total.note.rpartition("; ")[2]
        return f"what a day of it may cost ({lacking}: there is no number yet)"
    return " or ".join(
        filter(None, [day.told and f"{day.told} a day,", f"{total.told} for its life"])
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A cap that is set and is not what it should be: "low" or "high", with its odds of a trip.

    Attributes:
        cap: As it is set; own: its key.
        room: USD that may still be spent: what is left of a quota, the whole of a window.
        odds: Odds that honest use passes it; low: whether that is too often, else it is too high.
    """

    cap: Standing
    own: Sized
    room: Decimal
    odds: float
    low: bool


def judged(keys: Sequence[Sized], caps: Sequence[Standing]) -> list[Judged]:
    """Find caps that stop honest use too often, or let a loop burn on."""
    by_ref, found = {one.ref: one for one in keys}, []
    for cap in caps:
        own, total = by_ref[cap.ref], cap.window == "total"
        window = "month" if total else cap.window
        if window not in own.views or cap.limit_usd is None:
            continue
        room = cap.limit_usd
        if total and cap.remaining_usd is not None:
            room = cap.remaining_usd
        odds, right = own.views[window].odds(float(room)), own.caps[window]
        low = odds > max(2 * own.odds(window), own.odds(window) + MORE_ODDS)
        if low or room > TOO_HIGH * right * (2 if total else 1):
            found.append(Judged(cap=cap, own=own, room=room, odds=odds, low=low))
    return found


def ill_sized(
    material: CapMaterial,
    found: Sequence[Judged],
    effects: pd.DataFrame,
    typed: Mapping[tuple[Ref, str], Typed],
) -> Iterator[Finding]:
    """Tell of caps that stop honest use too often, or let a loop burn on.

    Args:
        material: Reads the currency, `timezone`.
        found: As `judged` gives them.
        effects: What caps do, as `effect.effect_table` gives it: what a low one stopped.
        typed: As `typed.typed_of` gives it.

    Returns:
        One finding a cap.
    """
    stopped = {
        (row["account"] or "", row["key_name"], row["window"]): row["stopped_usd"]
        for row in effects[effects["kind"] == "set"].to_dict("records")
    }
    for one in found:
        number = told_number(material, one.cap, one.own, typed)
        if one.low:
            yield _too_low(material, one, number, stopped.get((*one.cap.ref, one.cap.window)))
        else:
            yield _too_high(one, number)


def _too_low(material: CapMaterial, one: Judged, number: str, stopped: Decimal | None) -> Finding:
    cap, own, room, odds = one.cap, one.own, one.room, one.odds
    total = cap.window == "total"
    right = own.caps["month" if total else cap.window]
    has = f"{money.usd(room)} left of its quota" if total else f"a cap of {money.usd(room)}"
    per = "of the next thirty days" if total else f"for {SPANS[cap.window]}"
    return Finding(
        rule="cap-too-low",
        severity=Severity.HIGH if odds >= MUCH_TOO_LOW else Severity.MEDIUM,
        title=f"Key {own.label} has {has}{'' if total else ' ' + per}: honest use passes it in "
        f"{odds * 100:.0f} of 100 {TIMES[cap.window]}"
        f"{_used_up(material, cap)}",
        subject=subject(own),
        value=room,
        expected=right,
        unit=f"USD {per}",
        impact_usd=stopped or None,
        grade=Grade.LIKELY,
        evidence=[cap.cell],
        next_step=_retype("Raise", one, number),
        mark="M",
    )


def _retype(verb: str, one: Judged, number: str) -> NextStep:
    cap, own = one.cap, one.own
    return NextStep(
        text=f"{verb} the cap of {own.label} ({cap.window}) from {money.plain(cap.amount)} "
        f"{cap.named} to {number}.",
        where="/keys",
        who=own.owner,
    )


def told_number(
    material: CapMaterial, cap: Standing, own: Sized, typed: Mapping[tuple[Ref, str], Typed]
) -> str:
    """Write the number to type instead of a cap, as the table has it; empty for none.

    Args:
        material: Reads the currency.
        cap: As it is set.
        own: Its key.
        typed: As `typed.typed_of` gives it; it has no month, which /keys has no field for.

    Returns:
        "42 USD".
    """
    if (cap.ref, cap.window) in typed:
        return typed[cap.ref, cap.window].told
    return material.told_typed(own.caps[cap.window]) if cap.window in own.caps else ""


def _used_up(material: CapMaterial, cap: Standing) -> str:
    """Say that a cap is used up at this moment, and until when."""
    if cap.remaining_usd is None or cap.remaining_usd > 0:
        return ""
    if cap.resets is None or cap.window == "total":
        return "; it is used up now"
    until = cap.resets.astimezone(clock.zone(material.timezone))
    return f"; it is used up now, until {until:%H:%M %Z on %Y-%m-%d}"


def _too_high(one: Judged, number: str) -> Finding:
    cap, own, room = one.cap, one.own, one.room
    right = own.caps["month" if cap.window == "total" else cap.window]
    total = cap.window == "total"
    may = f"still spend {money.usd(room)} of its quota" if total else f"spend {money.usd(room)}"
    per = "" if total else f" in {SPANS[cap.window]}"
    told = "a month of its history asks for" if total else "its history asks for"
    return Finding(
        rule="cap-too-high",
        severity=Severity.MEDIUM if room > FAR_TOO_HIGH * right else Severity.LOW,
        title=f"Key {own.label} may {may}{per}, {float(room / right):.0f} times what {told}",
        subject=subject(own),
        value=room,
        expected=right,
        unit="USD",
        impact_usd=room - right,
        grade=Grade.LIKELY,
        evidence=[cap.cell],
        next_step=_retype("Lower", one, number),
        mark="M",
    )


def wrong_currency(
    material: CapMaterial, keys: Sequence[Sized], caps: Sequence[Standing]
) -> Iterator[Finding]:
    """Tell of caps in a currency nobody can read, or typed in the other one."""
    by_ref = {one.ref: one for one in keys}
    for cap in caps:
        own = by_ref[cap.ref]
        named = cap.inventory_currency or cap.currency
        if named not in CURRENCIES:
            told = f"is in {named[:8]}, which is neither USD nor CNY"
            yield _currency(cap, own, told, "fix keys.csv")
        elif cap.source == "key_state" and cap.inventory_usd and _swapped(material, cap, named):
            yield _currency(
                cap,
                own,
                f"is {money.usd(cap.limit_usd)} at the gateway where the inventory has "
                f"{money.usd(cap.inventory_usd)}: the number was typed in the other currency",
                "type it again in the currency meant",
            )
        elif named == "CNY" and cap.limit_usd is None:
            yield Finding(
                rule="cap-currency",
                status=Status.UNKNOWN,
                severity=Severity.MEDIUM,
                title=f"Key {own.label}: its cap of {money.plain(cap.amount)} CNY cannot be "
                "judged without a rate",
                subject=subject(own),
                value=cap.amount,
                unit="CNY",
                grade=Grade.INCONCLUSIVE,
                evidence=[cap.cell],
                next_step=NextStep(
                    text="Give cny_per_usd, its date and source.", where="budget_caps", who=FINANCE
                ),
                mark="D",
            )


def _swapped(material: CapMaterial, cap: Standing, named: str) -> bool:
    rate = material.cny_per_usd
    if rate is None or not cap.limit_usd or not cap.inventory_usd:
        return False
    expected = cap.inventory_usd * rate if named == "CNY" else cap.inventory_usd / rate
    return abs(cap.limit_usd - expected) <= RATE_APART * expected


def _currency(cap: Standing, own: Sized, what: str, act: str) -> Finding:
    return Finding(
        rule="cap-currency",
        severity=Severity.HIGH,
        title=f"Key {own.label}: its cap ({cap.window}) {what}",
        subject=subject(own),
        value=cap.limit_usd if cap.limit_usd is not None else cap.amount,
        expected=cap.inventory_usd,
        unit="USD",
        grade=Grade.LIKELY,
        evidence=[cap.cell],
        next_step=NextStep(text=f"{own.label}: {act}.", where="/keys", who=own.owner),
        mark="D",
    )


def silent(keys: Sequence[Sized]) -> Iterator[Finding]:
    """Say which keys have no forecast, and why."""
    for one in keys:
        if not one.reason:
            continue
        yield Finding(
            rule="cap-no-history",
            status=Status.UNKNOWN,
            severity=Severity.INFO,
            title=f"Key {one.label} has no forecast: {one.reason}",
            subject=subject(one),
            value=one.days,
            expected=2,
            unit="days of history",
            grade=Grade.INCONCLUSIVE,
            evidence=[at(one.entry, "key_name", one.ref.key_name)],
            next_step=NextStep(
                text="Use the starting point of its environment and size it again in a week.",
                where="/keys",
                who=one.owner,
            ),
            mark="D",
        )


def overrun(end: MonthEnd, risk: float) -> Iterator[Finding]:
    """Tell that the month passes its budget, with its odds and its day.

    Args:
        end: How the month ends.
        risk: Odds up to which nothing is said.

    Returns:
        One finding, or none.
    """
    if end.odds_over is None or end.budget is None or end.odds_over <= max(risk, MORE_ODDS):
        return
    day = end.over_on or end.over_early
    sure = end.to_date > end.budget
    fact = "is passed" if sure else f"is passed with odds of {end.odds_over * 100:.0f} in 100"
    yield Finding(
        rule="budget-overrun",
        severity=Severity.HIGH if end.odds_over >= MUCH_TOO_LOW else Severity.MEDIUM,
        title=f"The budget of {end.month}, {money.usd(end.budget)}, {fact}"
        + (f", on {day}" if day else ""),
        value=end.p50 if end.p50 is not None else end.to_date,
        expected=end.budget,
        unit="USD",
        impact_usd=max((end.p50 or end.to_date) - end.budget, money.ZERO),
        grade=Grade.CONFIRMED if sure else Grade.LIKELY,
        evidence=[rolled_up("usage", "cost_usd", end.to_date)],
        next_step=NextStep(
            text="Look at what grew with usage_drilldown, then cap it or raise the budget.",
            where="usage_drilldown",
            who=FINANCE,
        ),
        mark="M",
    )


def at(entry: Entry, name: str, value: object) -> Evidence:
    """Point at a cell of the inventory; row 0 stands for a key that is not in it."""
    return Evidence(
        source=entry.file,
        row=entry.row,
        field=name,
        value=value,
        join=Join.ID if entry.row else Join.NONE,
    )
