"""What is set held against what history says: missing, too low, too high, wrong currency."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

import pandas as pd

from runbook_lib import money
from runbook_lib.analysis.caps.clocks import LONGEST_DAYS
from runbook_lib.analysis.caps.material import CURRENCIES, CapMaterial, amount_of
from runbook_lib.analysis.caps.month import MonthEnd
from runbook_lib.analysis.caps.sized import Sized
from runbook_lib.analysis.caps.standing import Standing
from runbook_lib.analysis.caps.tiers import WHOLE
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

RATE_APART = Decimal("0.1")
"""A live limit this near to the inventory's number read as the other currency is that."""

WINDOW_USED = 0.5
"""Share of a window that is used before its end is worth telling."""

OWNER = "key owner"


def missing(
    material: CapMaterial,
    keys: Sequence[Sized],
    caps: Sequence[Standing],
    known: Mapping[str, str],
) -> Iterator[Finding]:
    """Name keys in use that nothing stops."""
    held = {one.key_name for one in caps}
    for one in keys:
        if one.key_name in held or not one.views or one.views["7d"].scale <= 0:
            continue
        where = known.get(one.key_name, "")
        day = one.views["7d"].quantile(0.5) / 7
        burn = amount_of(material.loop_factor * day, 2)
        yield Finding(
            rule="cap-missing",
            severity=Severity.HIGH if where in ("prod", "") else Severity.MEDIUM,
            title=f"Key {one.key_name} has no cap: a loop at {material.loop_factor:g} times its "
            f"use burns {money.usd(burn)} a day",
            subject=Subject(key_name=one.key_name, environment=where or None),
            value=None,
            expected=one.caps["month"],
            unit="USD a month",
            impact_usd=burn,
            grade=Grade.LIKELY,
            evidence=[_at("keys", 0, "cap_amount", None)],
            next_step=NextStep(
                text=f"Set caps on {one.key_name} as the table says: "
                f"{money.usd(one.caps['1d'])} a day.",
                where="/keys",
                who=OWNER,
            ),
            mark="D",
        )


def ill_sized(keys: Sequence[Sized], caps: Sequence[Standing]) -> Iterator[Finding]:
    """Tell of caps that stop honest use too often, or let a loop burn on."""
    by_name = {one.key_name: one for one in keys}
    for cap in caps:
        own = by_name.get(cap.key_name)
        window = "month" if cap.window == "total" else cap.window
        if own is None or window not in own.views or cap.limit_usd is None:
            continue
        room = cap.limit_usd
        if cap.window == "total" and cap.remaining_usd is not None:
            room = cap.remaining_usd
        odds, right = own.views[window].odds(float(room)), own.caps[window]
        if odds > max(2 * own.odds(window), own.odds(window) + MORE_ODDS):
            yield _too_low(cap, own, window, room, odds)
        elif room > TOO_HIGH * right * (2 if cap.window == "total" else 1):
            yield _too_high(cap, room, right)


_SPAN = {"5h": "5 hours", "1d": "a day", "7d": "a week", "month": "a month"}


def _too_low(cap: Standing, own: Sized, window: str, room: Decimal, odds: float) -> Finding:
    left = " left of its cap" if cap.window == "total" else f" for {_SPAN[window]}"
    return Finding(
        rule="cap-too-low",
        severity=Severity.HIGH if odds >= MUCH_TOO_LOW else Severity.MEDIUM,
        title=f"Key {cap.key_name} has {money.usd(room)}{left}: honest use passes it in "
        f"{odds * 100:.0f} of 100 such windows ({_SPAN[window]})",
        subject=Subject(key_name=cap.key_name, environment=cap.environment or None),
        value=room,
        expected=own.caps[window],
        unit=f"USD for {_SPAN[window]}",
        grade=Grade.LIKELY,
        evidence=[_at(cap.source, cap.row, _field(cap), cap.amount)],
        next_step=NextStep(
            text=f"Raise the cap of {cap.key_name} ({cap.window}) to the number of the table.",
            where="/keys",
            who=OWNER,
        ),
        mark="M",
    )


def _too_high(cap: Standing, room: Decimal, right: Decimal) -> Finding:
    return Finding(
        rule="cap-too-high",
        severity=Severity.MEDIUM if room > FAR_TOO_HIGH * right else Severity.LOW,
        title=f"Key {cap.key_name} may spend {money.usd(room)} ({cap.window}), "
        f"{float(room / right):.0f} times what its history asks for",
        subject=Subject(key_name=cap.key_name, environment=cap.environment or None),
        value=room,
        expected=right,
        unit="USD",
        impact_usd=room - right,
        grade=Grade.LIKELY,
        evidence=[_at(cap.source, cap.row, _field(cap), cap.amount)],
        next_step=NextStep(
            text=f"Lower the cap of {cap.key_name} ({cap.window}) to the number of the table.",
            where="/keys",
            who=OWNER,
        ),
        mark="M",
    )


def wrong_currency(material: CapMaterial, caps: Sequence[Standing]) -> Iterator[Finding]:
    """Tell of caps in a currency nobody can read, or typed in the other one."""
    for cap in caps:
        named = cap.inventory_currency or cap.currency
        if named not in CURRENCIES:
            yield _currency(cap, f"is in {named[:8]}, which is neither USD nor CNY", "fix keys.csv")
        elif cap.source == "key_state" and cap.inventory_usd and _swapped(material, cap, named):
            yield _currency(
                cap,
                f"is {money.usd(cap.limit_usd)} at the gateway where the inventory has "
                f"{money.usd(cap.inventory_usd)}: the number was typed in the other currency",
                "type it again in the currency meant",
            )
        elif named == "CNY" and cap.limit_usd is None:
            yield Finding(
                rule="cap-currency",
                status=Status.UNKNOWN,
                severity=Severity.MEDIUM,
                title=f"Key {cap.key_name}: its cap of {money.plain(cap.amount)} CNY cannot be "
                "judged without a rate",
                subject=Subject(key_name=cap.key_name, environment=cap.environment or None),
                value=cap.amount,
                unit="CNY",
                grade=Grade.INCONCLUSIVE,
                evidence=[_at(cap.source, cap.row, _field(cap), cap.amount)],
                next_step=NextStep(text="Give cny_per_usd, its date and source.", who="finance"),
                mark="D",
            )


def _swapped(material: CapMaterial, cap: Standing, named: str) -> bool:
    rate = material.cny_per_usd
    if rate is None or not cap.limit_usd or not cap.inventory_usd:
        return False
    expected = cap.inventory_usd * rate if named == "CNY" else cap.inventory_usd / rate
    return abs(cap.limit_usd - expected) <= RATE_APART * expected


def _currency(cap: Standing, what: str, act: str) -> Finding:
    return Finding(
        rule="cap-currency",
        severity=Severity.HIGH,
        title=f"Key {cap.key_name}: its cap ({cap.window}) {what}",
        subject=Subject(key_name=cap.key_name, environment=cap.environment or None),
        value=cap.limit_usd if cap.limit_usd is not None else cap.amount,
        expected=cap.inventory_usd,
        unit="USD",
        grade=Grade.LIKELY,
        evidence=[_at(cap.source, cap.row, _field(cap), cap.amount)],
        next_step=NextStep(text=f"{cap.key_name}: {act}.", where="/keys", who=OWNER),
        mark="D",
    )


def over_budget(table: pd.DataFrame) -> Iterator[Finding]:
    """Tell of environments whose caps together pass their budget, and of sums over the balance.

    Args:
        table: Caps against budget and balance, as `tiers.whole` gives it.

    Returns:
        A finding for each sum over its limit; what is set counts, or else what is proposed.
    """
    for row in table.to_dict("records"):
        for limit, what in ((row["budget_usd"], "budget"), (row["balance_usd"], "balance")):
            held = row["set_usd"] if row["set_usd"] is not None else row["proposed_usd"]
            if limit is None or held is None or held <= limit:
                continue
            whole = row["environment"] == WHOLE
            who = "All caps together" if whole else f"The caps of {row['environment']}"
            kind = "set" if row["set_usd"] is not None else "proposed"
            yield Finding(
                rule="caps-over-budget",
                severity=Severity.MEDIUM if what == "budget" else Severity.LOW,
                title=f"{who} allow {money.usd(held)} a month ({kind}), the {what} is "
                f"{money.usd(limit)}",
                subject=Subject(environment=None if whole else row["environment"]),
                value=held,
                expected=limit,
                unit="USD",
                impact_usd=held - limit,
                evidence=[rolled_up("keys", "cap_amount", held)],
                next_step=NextStep(
                    text="Lower the caps of the keys with most room, or raise the budget.",
                    where="/keys",
                    who="finance",
                ),
                mark="D",
            )


def running_out(material: CapMaterial, table: pd.DataFrame, today: date) -> Iterator[Finding]:
    """Tell of limits that end before somebody who acts in the usual time can change it.

    Args:
        material: Reads `lead_days`.
        table: What ends when, as `clocks.clocks` gives it.
        today: Local day.

    Returns:
        A finding for each that ends within the lead and a week if use is high; high where it ends
        within the lead at usual use.
    """
    for row in table.to_dict("records"):
        early, usual = row["runs_out_early"], row["runs_out_on"]
        if early is None or (early - today).days > min(material.lead_days + 7, LONGEST_DAYS):
            continue
        if row["what"] == "window" and (row["used_share"] or 0) < WINDOW_USED:
            continue  # hardly used: whether it is too low, its odds tell
        soon = usual is not None and (usual - today).days <= material.lead_days
        whose = f" of account {row['account']}" if row["account"] else ""
        name = f"The balance{whose}" if row["what"] == "balance" else f"Key {row['key_name']}"
        limit = "" if row["what"] == "balance" else f" ({row['window']} cap)"
        add = row["amount_usd"]
        act = "Top up" if row["what"] == "balance" else f"Raise the cap of {row['key_name']}"
        by = f" by {row['act_by']}" if row["act_by"] else ""
        yield Finding(
            rule="runs-out",
            severity=Severity.HIGH if soon else Severity.MEDIUM,
            title=f"{name}{limit} {_left(row)}",
            subject=Subject(key_name=row["key_name"], environment=row["environment"]),
            value=row["remaining_usd"],
            expected=None,
            unit="USD",
            grade=Grade.LIKELY,
            evidence=[_at(str(row["basis"]).split(",")[0], 0, "remaining", row["remaining_usd"])],
            next_step=NextStep(
                text=f"{act}{f' by {money.usd(add)}' if add else ''}{by and ',' + by}.",
                where="account page" if row["what"] == "balance" else "/keys",
                who="finance" if row["what"] == "balance" else OWNER,
            ),
            mark="M",
        )


def _left(row: dict[Any, Any]) -> str:
    """Say how long a limit lasts."""
    if row["remaining_usd"] <= 0:
        return "is used up"
    usual = f"about {row['runs_out_on']}, " if row["runs_out_on"] else ""
    left = money.usd(row["remaining_usd"])
    return f"has {left} left and runs out {usual}{row['runs_out_early']} if use is high"


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
            who="finance",
        ),
        mark="M",
    )


def _field(cap: Standing) -> str:
    return "limit_usd" if cap.source == "key_state" else "cap_amount"


def _at(source: str, row: int, field: str, value: object) -> Evidence:
    return Evidence(
        source=source, row=row, field=field, value=value, join=Join.ID if row else Join.NONE
    )
