"""What ends too soon, and sums that allow more than there is."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pandas as pd

from runbook_lib import clock, money
from runbook_lib.analysis.caps.against import FINANCE, subject, told_number
from runbook_lib.analysis.caps.clocks import LONGEST_DAYS, Limit
from runbook_lib.analysis.caps.material import CapMaterial
from runbook_lib.analysis.caps.sized import Sized
from runbook_lib.analysis.caps.tiers import UNNAMED, WHOLE
from runbook_lib.analysis.caps.work import Worked
from runbook_lib.analysis.diagnosis import rolled_up
from runbook_lib.findings import (
    Evidence,
    Finding,
    Grade,
    Join,
    NextStep,
    Severity,
    Subject,
)

WINDOW_USED = 0.5
"""Share of a window that is used before its end is worth telling."""

Timed = tuple[dict[str, Any], Limit]
"""A row of `clocks` and the limit it is of."""

MUCH_OVER_TIER = Decimal(3)
"""Times the starting point from which on what is set for an environment is flagged."""


def over_budget(table: pd.DataFrame) -> Iterator[Finding]:
    """Tell of caps that together allow more than the budget, or than the balance.

    Args:
        table: Caps against budget and balance, as `tiers.whole` gives it.

    Returns:
        One finding for the budget, with every environment over its own, and one for each balance
        that its caps pass; what is set counts, or else what is proposed. Where nothing is set,
        what is proposed for all keys is told by `asks_more`.
    """
    rows = table.to_dict("records")
    asked = [row for row in rows if row["environment"] == WHOLE and row["set_usd"] is None]
    over = [row for row in rows if _over(row, "budget_usd") and row not in asked]
    if over:
        yield _over_budget(over)
    accounts = [row for row in rows if row["account"] is not None] or rows
    for row in accounts:
        if _over(row, "balance_usd"):
            yield _over_balance(row)


def beyond(table: pd.DataFrame) -> tuple[Decimal, Decimal] | None:
    """Give what is proposed for all keys, and the budget, where it is more than that.

    Args:
        table: Caps against budget and balance, as `tiers.whole` gives it.

    Returns:
        USD a month each; None where the proposal is within the budget, or there is none.
    """
    for row in table.to_dict("records"):
        if row["environment"] == WHOLE and row["account"] is None:
            asked, budget = row["proposed_usd"], row["budget_usd"]
            return (asked, budget) if budget is not None and asked > budget else None
    return None


def asks_more(table: pd.DataFrame, *, known: bool) -> Iterator[Finding]:
    """Tell that the numbers to type are more than the budget, so that nobody types on unaware.

    Args:
        table: Caps against budget and balance, as `tiers.whole` gives it.
        known: Whether history asks for any of them; else they are starting points.

    Returns:
        One finding, or none.
    """
    over = beyond(table)
    if over is None:
        return
    asked, budget = over
    who = "History asks" if known else "The starting points ask"
    yield Finding(
        rule="budget-below-caps",
        severity=Severity.MEDIUM,
        title=f"{who} for {money.usd(asked)} a month, the budget is {money.usd(budget)}: caps "
        "that honest use fits in cannot hold it",
        value=asked,
        expected=budget,
        unit="USD a month",
        impact_usd=asked - budget,
        grade=Grade.LIKELY,
        evidence=[_of_whole(f"{WHOLE} proposed_usd", asked)],
        next_step=NextStep(
            text="Before anything is typed: agree on a larger budget, or on which keys get less "
            "than they use; the dearest stand first in the table.",
            where="budget_caps",
            who=FINANCE,
        ),
        mark="D",
    )


def _of_whole(name: str, value: object) -> Evidence:
    """Point at a cell of the exhibit `whole`."""
    return Evidence(source="whole", row=0, field=name, value=value, join=Join.NONE)


def _allowed(row: Mapping[Any, Any]) -> Decimal | None:
    value: Decimal | None = row["proposed_usd"] if row["set_usd"] is None else row["set_usd"]
    return value


def _over(row: Mapping[Any, Any], limit: str) -> bool:
    allowed = _allowed(row)
    return allowed is not None and row[limit] is not None and allowed > row[limit]


def _kind(row: Mapping[Any, Any]) -> str:
    return "proposed" if row["set_usd"] is None else "set"


def _over_budget(over: Sequence[Mapping[Any, Any]]) -> Finding:
    whole = next((row for row in over if row["environment"] == WHOLE), None)
    parts = [row for row in over if row is not whole]
    parts.sort(key=lambda row: row["budget_usd"] - (_allowed(row) or money.ZERO))
    told = ", ".join(
        f"{row['environment']} {money.usd(_allowed(row))} of {money.usd(row['budget_usd'])}"
        for row in parts
    )
    first = whole or parts[0]
    allowed, limit = _allowed(first) or money.ZERO, first["budget_usd"]
    if whole is not None:
        title = f"All caps together allow {money.usd(allowed)} a month ({_kind(first)}), the "
        title += f"budget is {money.usd(limit)}" + (f": {told}" if told else "")
    else:
        title = f"Caps allow more a month than the budget of their environment: {told}"
    return Finding(
        rule="caps-over-budget",
        severity=Severity.MEDIUM,
        title=title,
        subject=Subject(environment=first["environment"] if len(over) == 1 and parts else None),
        value=allowed,
        expected=limit,
        unit="USD",
        impact_usd=allowed - limit,
        grade=Grade.LIKELY,
        evidence=[
            _of_whole(f"{row['environment']} {_kind(row)}_usd", _allowed(row)) for row in over
        ],
        next_step=NextStep(
            text="Lower the caps of the keys whose set cap is furthest above the number to type, "
            "or raise the budget.",
            where="/keys",
            who=FINANCE,
        ),
        mark="D",
    )


def _over_balance(row: Mapping[Any, Any]) -> Finding:
    allowed, limit = _allowed(row) or money.ZERO, row["balance_usd"]
    whose = f" of account {row['account']}" if row["account"] else ""
    whose = " of the main account" if row["account"] == UNNAMED else whose
    return Finding(
        rule="caps-over-budget",
        severity=Severity.LOW if limit > 0 else Severity.HIGH,
        title=f"All caps{whose} together allow {money.usd(allowed)} a month ({_kind(row)}), the "
        f"balance is {money.usd(limit)}",
        value=allowed,
        expected=limit,
        unit="USD",
        impact_usd=allowed - max(limit, money.ZERO),
        grade=Grade.LIKELY,
        evidence=[rolled_up("keys", "cap_amount", allowed)],
        next_step=NextStep(
            text=f"Don't count on the caps{whose} to keep the balance: it can be used up before "
            "any of them stops. Top up by the day that the table of what ends first gives; where "
            "it gives none, today.",
            where="account page",
            who=FINANCE,
        ),
        mark="D",
    )


def over_tier(table: pd.DataFrame) -> Iterator[Finding]:
    """Flag environments whose caps are far above the starting point of the best practices.

    Args:
        table: Caps against budget and balance, as `tiers.whole` gives it.

    Returns:
        A finding for each environment of which what is set passes three times its tier.
    """
    for row in table.to_dict("records"):
        if row["environment"] == WHOLE or row["set_usd"] is None or not row["tier_usd"]:
            continue
        if row["set_usd"] <= MUCH_OVER_TIER * row["tier_usd"]:
            continue
        yield Finding(
            rule="caps-over-tier",
            severity=Severity.LOW,
            title=f"The caps of {row['environment']} allow {money.usd(row['set_usd'])} a month, "
            f"{row['times_tier']} times the starting point of {money.usd(row['tier_usd'])}",
            subject=Subject(environment=row["environment"]),
            value=row["set_usd"],
            expected=row["tier_usd"],
            unit="USD a month",
            impact_usd=row["set_usd"] - row["tier_usd"],
            grade=Grade.LIKELY,
            evidence=[rolled_up("keys", "cap_amount", row["set_usd"])],
            next_step=NextStep(
                text=f"Lower the caps of {row['environment']} to the proposed "
                f"{money.usd(row['proposed_usd'])} together.",
                where="/keys",
                who=FINANCE,
            ),
            mark="D",
        )


def ending(material: CapMaterial, times: Sequence[Timed], today: date) -> list[Timed]:
    """Find limits that end before somebody who acts in the usual time can change it.

    Args:
        material: Reads `lead_days`.
        times: What ends when, as `clocks.timed` gives it.
        today: Local day.

    Returns:
        Those that end within the lead and a week if use is high. A window that is hardly used is
        none of them: whether it is too low, its odds tell. The budget of a month has a finding of
        its own: `against.overrun`.
    """
    horizon = min(material.lead_days + 7, LONGEST_DAYS)
    return [
        (row, one)
        for row, one in times
        if one.what != "budget"
        and row["runs_out_early"] is not None
        and (row["runs_out_early"] - today).days <= horizon
        and (one.what not in ("window", "plan") or (row["used_share"] or 0) >= WINDOW_USED)
    ]


def running_out(work: Worked, times: Sequence[Timed], today: date) -> Iterator[Finding]:
    """Tell of limits that end soon.

    Args:
        work: Reads the keys, what is set and what to type.
        times: As `ending` gives them.
        today: Local day.

    Returns:
        A finding for each, high where it ends within the lead at usual use.
    """
    by_ref = {one.ref: one for one in work.keys}
    for row, limit in times:
        own = None if limit.what == "balance" else by_ref[limit.place[0]]
        yield _running_out(work, row, limit, own, today)


def _running_out(
    work: Worked, row: dict[str, Any], limit: Limit, own: Sized | None, today: date
) -> Finding:
    material = work.material
    usual = row["runs_out_on"]
    done = limit.exact and limit.remaining <= 0
    soon = usual is not None and (usual - today).days <= material.lead_days
    whose = _whose(limit)
    label = own.label if own is not None else ""
    name = f"Key {label} ({row['window']} cap)" if own is not None else f"The balance{whose}"
    add = f" by {money.usd(row['amount_usd'])}" if row["amount_usd"] else ""
    act = f"Top up the balance{whose}{add}" if own is None else _raised(work, limit, own)
    if limit.what == "plan":
        name = f"The plan of key {label} ({row['window']})"
        act = f"Move calls of {label} to another group, or take a larger plan"
    by = f", at the latest on {row['act_by']}" if row["act_by"] else ""
    return Finding(
        rule="runs-out",
        severity=Severity.HIGH if soon else Severity.MEDIUM,
        title=f"{name} {_left(material, row)}",
        subject=Subject() if own is None else subject(own),
        value=row["remaining_usd"],
        expected=None,
        unit="USD",
        grade=Grade.CONFIRMED if done else Grade.LIKELY,
        evidence=[limit.cell, *_since(limit)],
        next_step=NextStep(
            text=f"{act}{by}.",
            where="account page" if own is None else "/keys",
            who=FINANCE if own is None else own.owner,
        ),
        mark="M",
    )


def _whose(limit: Limit) -> str:
    """Say whose a balance is: one key's where that key alone tells it."""
    name, account = limit.of.get("key_name"), limit.of.get("account")
    key = f" behind key {name}" if name and limit.what == "balance" else ""
    return key + (f" of account {account}" if account else "")


def used_up(limits: Sequence[Limit]) -> Iterator[Finding]:
    """Tell of balances that are used up where no forecast says so.

    Args:
        limits: As `clocks.limits_of` gives them; those with a forecast are in `running_out`.

    Returns:
        A finding for each: every call behind it is refused.
    """
    for one in limits:
        if one.what != "balance" or one.views or one.remaining > 0:
            continue
        yield Finding(
            rule="runs-out",
            severity=Severity.HIGH,
            title=f"The balance{_whose(one)} is used up: {money.usd(one.remaining)}",
            subject=Subject(key_name=one.of.get("key_name")),
            value=one.remaining,
            unit="USD",
            grade=Grade.LIKELY,
            evidence=[one.cell],
            next_step=NextStep(
                text=f"Top up the balance{_whose(one)} at once.", where="account page", who=FINANCE
            ),
            mark="M",
        )


def _raised(work: Worked, limit: Limit, own: Sized) -> str:
    """Say to what a cap is raised, as the table has it."""
    cap = next((one for one in work.caps if (one.ref, one.window) == limit.place), None)
    number = "" if cap is None else told_number(work.material, cap, own, work.typed)
    if cap is None or not number:
        return f"Raise the cap of {own.label}"
    was = f"{money.plain(cap.amount)} {cap.named}"
    return f"Raise the cap of {own.label} ({cap.window}) from {was} to {number}"


def _since(limit: Limit) -> list[Evidence]:
    """Point at what was spent besides the cell a limit stands on."""
    if limit.what == "balance":
        return [rolled_up("usage", "balance now", limit.remaining)]
    return [rolled_up("usage", "used_usd", limit.used)] if limit.used is not None else []


def _left(material: CapMaterial, row: dict[str, Any]) -> str:
    """Say how long a limit lasts."""
    if row["remaining_usd"] <= 0:
        resets: datetime | None = row["resets_at"]
        if resets is None:
            return "is used up"
        until = resets.astimezone(clock.zone(material.timezone))
        return f"is used up until {until:%H:%M %Z on %Y-%m-%d}"
    usual = f"about {row['runs_out_on']}, " if row["runs_out_on"] else ""
    left = money.usd(row["remaining_usd"])
    return f"has {left} left and runs out {usual}{row['runs_out_early']} if use is high"
