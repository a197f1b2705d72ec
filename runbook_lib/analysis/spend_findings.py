"""What a drill-down finds, a function a source: each with its USD, its rows and one act."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd

from runbook_lib import clock, money
from runbook_lib.analysis import drill
from runbook_lib.analysis.diagnosis import rolled_up
from runbook_lib.analysis.words import counted
from runbook_lib.clock import Window
from runbook_lib.findings import (
    Finding,
    Grade,
    NextStep,
    Severity,
    Subject,
)

LOUD = Severity.MEDIUM
"""From here on a finding is part of the verdict."""

FACTORS = {
    "volume": "volume",
    "size": "request size",
    "price": "price",
    "cache": "caching",
    "mix": "model mix",
}
"""Words for the parts of a bridge."""

HIGH_USD = Decimal(1)
"""A spike of a new record that costs this much beyond the usual is worth a page."""

LEAST_SHARE = Decimal("0.01")
"""A spike that costs less than this share of all spend is worth a line, and no alarm."""

BALANCE_USD = Decimal("0.01")
"""What a step of the balance may differ beside its bound: what people write is rounded."""

WHOLE = 0.97
"""A cause with this share of an excess stands for all of it: others may have shrunk meanwhile."""

MOST_CITED = 8
"""Rows, or steps of the balance, that a finding cites; the exhibit has all."""


_SPIKE_ACTS = {
    "up": "Look at the rows of this key and time; mark it in planned.csv if it was meant.",
    "down": "See whether the service still runs, and whether the export is whole.",
}


def of_spikes(
    events: pd.DataFrame, causes: pd.DataFrame, place: ZoneInfo, whole: Decimal
) -> Iterator[Finding]:
    """Tell of every spike that was raised or noted, with what is behind it.

    Args:
        events: Raised and noted events, as `find_spikes` gives them.
        causes: What is behind each, as `spend_causes.causes` gives it.
        place: Zone in which times are told.
        whole: What was spent in the window, USD: what is a trifle of it is no alarm.

    Returns:
        One finding an event; impact is USD beyond the usual.
    """
    for event in events.to_dict("records"):
        new = event["kind"] == "record"
        severity = Severity.LOW
        if event["status"] == "raised" and event["impact_usd"] >= HIGH_USD:
            severity = Severity.HIGH
        elif event["status"] == "raised" and event["impact_usd"] >= LEAST_SHARE * whole:
            severity = Severity.MEDIUM
        who = f"Key {name_of(event['key_name'])}"
        if event["scope"] == "model":
            who += f", model {name_of(event['model'])}"
        fact = (
            f"spent {money.usd(event['observed_usd'])} where {money.usd(event['expected_usd'])} "
            f"is usual, from {clock.clock_time(event['start'], place, seconds=False)}"
        )
        yield Finding(
            rule="spend-spike",
            severity=severity,
            title=f"{who} {fact}: {_behind(event, causes)}".removesuffix(": "),
            subject=Subject(key_name=known(event["key_name"]), model=known(event["model"])),
            window=Window(start=event["start"].to_pydatetime(), end=event["end"].to_pydatetime()),
            value=event["observed_usd"],
            expected=event["expected_usd"],
            unit="USD",
            impact_usd=event["impact_usd"] if event["direction"] == "up" else None,
            grade=Grade.CONFIRMED if new else Grade.LIKELY,
            evidence=[rolled_up("usage", "cost_usd", event["observed_usd"])],
            next_step=NextStep(
                text=_SPIKE_ACTS[event["direction"]],
                where=f"usage_drilldown with key_name {name_of(event['key_name'])}",
                who="key owner",
            ),
            mark="M",
        )


def _behind(event: Any, causes: pd.DataFrame) -> str:
    first = causes[(causes["event"] == event["event"]) & (causes["rank"] == 1)]
    told = {
        row["dimension"]: row["name"]
        + ("" if row["share"] >= WHOLE else f" ({row['share'] * 100:.0f} % of it)")
        for row in first.to_dict("records")
        if row["share"] == row["share"]
    }
    return "; ".join(told[name] for name in ("factor", "model") if name in told)


def of_news(news: pd.DataFrame, place: ZoneInfo) -> Iterator[Finding]:
    """Tell of models, addresses and clients that are new on a key.

    Args:
        news: What is new, as `first_seen` gives it.
        place: Zone in which times are told.

    Returns:
        One finding a row; impact is all USD billed to it.
    """
    for row in news.to_dict("records"):
        stranger = "ip_address" in row["new"] or "user_agent" in row["new"]
        burst = row["stage"] == "burst"
        several = "," in row["new"]
        loud = Severity.HIGH if burst and several else Severity.MEDIUM
        values = [
            str(row[name]) for name in ("ip_address", "user_agent", "model") if known(row[name])
        ]
        at = clock.clock_time(row["first_at"], place, seconds=False)
        then = f", then {counted(int(row['burst_requests']), 'request')}" if burst else ""
        yield Finding(
            rule="first-seen",
            severity=loud if stranger and several else Severity.INFO,
            title=f"Key {name_of(row['key_name'])} is used from {', '.join(values)} for the first "
            f"time at {at}: {counted(int(row['probe_requests']), 'request')}{then}",
            subject=Subject(key_name=known(row["key_name"]), model=known(row["model"])),
            value=int(row["requests"]),
            expected=0,
            unit="requests",
            impact_usd=row["cost_usd"],
            grade=Grade.CONFIRMED,
            evidence=[rolled_up("usage", row["new"], ", ".join(values))],
            next_step=NextStep(
                text="Ask the owner whether this is theirs; rotate the key if nobody knows it.",
                where="/keys",
                who="key owner",
            ),
            mark="M",
        )


def told_gap(gap: Window, usual: float, place: ZoneInfo) -> str:
    """Write a gap of the export in words."""
    ends = [clock.clock_time(at, place, seconds=False) for at in (gap.start, gap.end)]
    return f"no usage row from {ends[0]} to {ends[1]}, where about {usual:.0f} are usual"


def of_gaps(gaps: Sequence[tuple[Window, float]], place: ZoneInfo) -> Iterator[Finding]:
    """Tell of spans the export lacks."""
    for gap, usual in gaps:
        yield Finding(
            rule="export-gap",
            severity=Severity.MEDIUM,
            title=f"The usage rows have a gap: {told_gap(gap, usual, place)}",
            window=gap,
            value=0,
            expected=round(usual),
            unit="usage rows",
            grade=Grade.LIKELY,
            evidence=[rolled_up("usage", "ts", clock.stamp(gap.start))],
            next_step=NextStep(
                text="Export that span again; if it stays empty, nothing was served.",
                where="/usage",
                who="on call",
            ),
            mark="M",
        )


def of_balance(steps: pd.DataFrame, place: ZoneInfo) -> Iterator[Finding]:
    """Tell where the balance moved otherwise than usage rows explain, once an account and way.

    Args:
        steps: Steps, as `ledgers.steps` gives them.
        place: Zone in which times are told.

    Returns:
        At most two findings an account: it lost more, or less, by more than each step's bound;
        impact in USD.
    """
    bounds = zip(steps["unexplained_usd"], steps["bound_usd"], strict=True)
    beyond = [abs(usd) > bound + BALANCE_USD for usd, bound in bounds]
    odd = steps[pd.Series(beyond, index=steps.index, dtype=bool)]
    ways = odd["unexplained_usd"] > 0
    for (account, more), lines in odd.groupby(["account", ways], dropna=False, sort=True):
        usd = money.total(lines["unexplained_usd"])
        start, end = lines["start"].min(), lines["end"].max()
        told = [clock.clock_time(at, place, seconds=False) for at in (start, end)]
        of = f" of account {account}" if account else ""
        yield Finding(
            rule="balance-differs",
            severity=Severity.MEDIUM,
            title=f"The balance{of} lost {money.usd(abs(usd))} {'more' if more else 'less'} than "
            f"the usage rows explain, in {counted(len(lines), 'step')} from {told[0]} to {told[1]}",
            window=Window(start=start.to_pydatetime(), end=end.to_pydatetime()),
            value=usd,
            expected=money.ZERO,
            unit="USD",
            impact_usd=abs(usd),
            grade=Grade.LIKELY,
            evidence=[
                rolled_up("ledger", "balance", row["balance_after"])
                for row in lines.head(MOST_CITED).to_dict("records")
            ],
            next_step=NextStep(
                text="Look for keys, accounts or hours that the exports lack.",
                where="/usage",
                who="finance",
            ),
            mark="M",
        )


def of_owners(
    rolled: pd.DataFrame, keys: pd.DataFrame, logged: Sequence[str] = ()
) -> Iterator[Finding]:
    """Name the spend that the key inventory gives to nobody.

    Args:
        rolled: Usage with `account`, `key_name` and `cost_usd` (Decimal USD).
        keys: The key inventory; nothing is said without one.
        logged: Keys that the callers' log names for rows that name none: they were deleted.

    Returns:
        One finding, none where everything has an owner.
    """
    if keys.empty:
        return
    owned = drill.owned(rolled, keys)
    rest = owned[owned["owner"].isin([drill.UNALLOCATED, drill.BLANK])]
    cost = money.total(rest["cost_usd"].dropna())
    if not cost:
        return
    several = rolled["account"].nunique() > 1
    pairs = zip(rest["key_name"], rest["account"], strict=True)
    names = sorted({_of_account(name, whose if several else "") for name, whose in pairs})
    deleted = f" (deleted keys: {', '.join(logged[:6])}, by the log)" if logged else ""
    only = bool(logged) and not any(map(known, rest["key_name"]))
    act = "Keep the rows of deleted keys in keys.csv, and take in the console's list, which names "
    act = act + "them." if only else "Add these keys to keys.csv."
    yield Finding(
        rule="unallocated-spend",
        severity=Severity.LOW,
        title=f"{money.usd(cost)} belong to nobody in keys.csv: {', '.join(names[:6])}{deleted}",
        value=cost,
        expected=money.ZERO,
        unit="USD",
        impact_usd=cost,
        evidence=[rolled_up("usage", "key_name", ", ".join(names[:20]))],
        next_step=NextStep(text=act, where="keys.csv", who="key owner"),
        mark="M",
    )


def _of_account(key: object, account: object) -> str:
    """Write a key, with its account where another has keys too."""
    return name_of(key) + (f" of account {account}" if known(account) else "")


def name_of(value: object) -> str:
    """Write a name, or that there is none."""
    return value if isinstance(value, str) and value else "without a name"


def known(value: object) -> str | None:
    """Give a name, None where it is unknown or empty."""
    return value if isinstance(value, str) and value else None
