"""What a drill-down finds, a function a source: each with its USD, its rows and one act."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

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
    Status,
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

BALANCE_USD = Decimal("0.01")


def of_spikes(events: pd.DataFrame, causes: pd.DataFrame) -> Iterator[Finding]:
    """Tell of every spike that was raised or noted, with what is behind it.

    Args:
        events: Raised and noted events, as `find_spikes` gives them.
        causes: What is behind each, as `spend_causes.causes` gives it.

    Returns:
        One finding an event; impact is USD beyond the usual.
    """
    for event in events.to_dict("records"):
        new = event["kind"] == "record"
        severity = Severity.LOW
        if event["status"] == "raised":
            severity = Severity.HIGH if event["impact_usd"] >= HIGH_USD else Severity.MEDIUM
        who = f"Key {name_of(event['key_name'])}"
        if event["scope"] == "model":
            who += f", model {name_of(event['model'])}"
        fact = (
            f"spent {money.usd(event['observed_usd'])} where {money.usd(event['expected_usd'])} "
            f"is usual, from {clock.clock_time(event['start'], clock.zone('UTC'), seconds=False)}"
        )
        yield Finding(
            rule="spend-spike",
            severity=severity,
            title=f"{who} {fact}{_behind(event, causes)}",
            subject=Subject(key_name=known(event["key_name"]), model=known(event["model"])),
            window=Window(start=event["start"].to_pydatetime(), end=event["end"].to_pydatetime()),
            value=event["observed_usd"],
            expected=event["expected_usd"],
            unit="USD",
            impact_usd=event["impact_usd"],
            grade=Grade.CONFIRMED if new else Grade.LIKELY,
            evidence=[rolled_up("usage", "cost_usd", event["observed_usd"])],
            next_step=NextStep(
                text="Look at the rows of this key and time; mark it in planned.csv if it was "
                "meant.",
                where=f"usage_drilldown with key_name {name_of(event['key_name'])}",
                who="key owner",
            ),
            mark="M",
        )


def _behind(event: Any, causes: pd.DataFrame) -> str:
    first = causes[(causes["event"] == event["event"]) & (causes["rank"] == 1)]
    told = [
        f"{row['name']} {row['share'] * 100:.0f} %"
        for row in first.to_dict("records")
        if row["dimension"] != "endpoint" and row["share"] == row["share"]
    ]
    return f": {', '.join(told)}" if told else ""


def of_news(news: pd.DataFrame) -> Iterator[Finding]:
    """Tell of models, addresses and clients that are new on a key.

    Args:
        news: What is new, as `first_seen` gives it.

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
        at = clock.clock_time(row["first_at"], clock.zone("UTC"), seconds=False)
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


def of_prices(check: pd.DataFrame) -> Iterator[Finding]:
    """Tell of rows that were billed otherwise than tokens × price, or that nobody can price.

    Args:
        check: Verdicts, as `priced.check` gives them.

    Returns:
        One finding a line that does not agree; impact is the difference in USD.
    """
    acts = {
        "differs": (
            Severity.MEDIUM,
            "cost-differs",
            "Ask the operator for the price of the model.",
        ),
        "not billed": (Severity.LOW, "cost-differs", "Expect this cost once it has a price."),
        "no price": (Severity.LOW, "unpriced-rows", "Put its price into prices.csv."),
        "no cost": (Severity.MEDIUM, "unpriced-rows", "Fetch an export that has the costs."),
    }
    for row in check.to_dict("records"):
        if row["verdict"] not in acts:
            continue
        severity, rule, act = acts[row["verdict"]]
        less = row["difference_usd"]
        yield Finding(
            rule=rule,
            severity=severity,
            title=f"Model {name_of(row['model'])}: {counted(int(row['requests']), 'request')}, "
            f"billed {money.usd(row['billed_usd'])}"
            + (f" where tokens × price is {money.usd(row['expected_usd'])}" if less else "")
            + ("" if less else f": {row['why']}"),
            subject=Subject(model=known(row["model"])),
            value=row["billed_usd"],
            expected=row["expected_usd"],
            unit="USD",
            impact_usd=abs(less) if isinstance(less, Decimal) else None,
            grade=Grade.LIKELY,
            evidence=[rolled_up("usage", "cost_usd", row["billed_usd"])],
            next_step=NextStep(text=act, where="prices.csv", who="finance"),
            mark="M",
        )


def of_sides(sides: pd.DataFrame, *, logged: bool) -> Iterator[Finding]:
    """Say how much of what was billed a log explains.

    Args:
        sides: Usage against logs by key, as `reconcile_by` gives it.
        logged: Whether a call log covers the window.

    Returns:
        A finding for each key that nobody logs, and one for the whole.
    """
    counts = sides.groupby("side")["rows"].sum()
    both, alone = int(counts.get("both", 0)), int(counts.get("usage", 0))
    if not logged or not both:
        yield Finding(
            rule="billed-not-logged",
            status=Status.UNKNOWN,
            severity=Severity.INFO,
            title="No call log covers this window: what was billed cannot be held against it",
            grade=Grade.INCONCLUSIVE,
            next_step=NextStep(text="Take in the callers' log.", where="intake", who="on call"),
            mark="M",
        )
        return
    keys = sides[(sides["side"] == "both")]["key_name"].map(str)
    silent = sides[(sides["side"] == "usage") & ~sides["key_name"].map(str).isin(keys)]
    for row in silent.to_dict("records"):
        yield Finding(
            rule="billed-not-logged",
            severity=Severity.LOW,
            title=f"Key {name_of(row['key_name'])}: {counted(int(row['rows']), 'usage row')}, "
            f"{money.usd(row['cost_usd'])}, and no service logs it",
            subject=Subject(key_name=known(row["key_name"])),
            value=int(row["rows"]),
            expected=0,
            unit="usage rows",
            impact_usd=row["cost_usd"],
            grade=Grade.LIKELY,
            evidence=[rolled_up("usage", "key_name", row["key_name"])],
            next_step=NextStep(
                text="Take in the log of the services that use it.", where="intake", who="key owner"
            ),
            mark="M",
        )
    yield Finding(
        rule="billed-not-logged",
        status=Status.PASS,
        severity=Severity.INFO,
        title=f"{both:,} of {both + alone:,} usage rows have their attempt in a log",
        value=both,
        expected=both + alone,
        unit="usage rows",
        evidence=[rolled_up("usage", "request_id", both)],
        mark="M",
    )


def told_gap(gap: Window, usual: float) -> str:
    """Write a gap of the export in words."""
    place = clock.zone("UTC")
    ends = [clock.clock_time(at, place, seconds=False) for at in (gap.start, gap.end)]
    return f"no usage row from {ends[0]} to {ends[1]}, where about {usual:.0f} are usual"


def of_gaps(gaps: Sequence[tuple[Window, float]]) -> Iterator[Finding]:
    """Tell of spans the export lacks."""
    for gap, usual in gaps:
        yield Finding(
            rule="export-gap",
            severity=Severity.MEDIUM,
            title=f"The usage rows have a gap: {told_gap(gap, usual)}",
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


def of_balance(steps: pd.DataFrame) -> Iterator[Finding]:
    """Tell of steps of the balance that usage rows do not explain.

    Args:
        steps: Steps, as `ledgers.steps` gives them.

    Returns:
        One finding a step that differs by more than its bound; impact in USD.
    """
    for row in steps.to_dict("records"):
        apart = abs(row["unexplained_usd"])
        if apart <= row["bound_usd"] + BALANCE_USD:
            continue
        more = "more" if row["unexplained_usd"] > 0 else "less"
        yield Finding(
            rule="balance-differs",
            severity=Severity.MEDIUM,
            title=f"The balance lost {money.usd(apart)} {more} than the usage rows from "
            f"{clock.clock_time(row['start'], clock.zone('UTC'), seconds=False)} on explain",
            window=Window(start=row["start"].to_pydatetime(), end=row["end"].to_pydatetime()),
            value=row["unexplained_usd"],
            expected=money.ZERO,
            unit="USD",
            impact_usd=apart,
            grade=Grade.LIKELY,
            evidence=[rolled_up("ledger", "balance", row["balance_after"])],
            next_step=NextStep(
                text="Look for keys, accounts or hours that the exports lack.",
                where="/usage",
                who="finance",
            ),
            mark="M",
        )


def of_owners(rolled: pd.DataFrame, keys: pd.DataFrame) -> Iterator[Finding]:
    """Name the spend that the key inventory gives to nobody.

    Args:
        rolled: Usage with `key_name` and `cost_usd` (Decimal USD).
        keys: The key inventory; nothing is said without one.

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
    names = sorted({name_of(name) for name in rest["key_name"]})
    yield Finding(
        rule="unallocated-spend",
        severity=Severity.LOW,
        title=f"{money.usd(cost)} belong to nobody in keys.csv: {', '.join(names[:6])}",
        value=cost,
        expected=money.ZERO,
        unit="USD",
        impact_usd=cost,
        evidence=[rolled_up("usage", "key_name", ", ".join(names[:20]))],
        next_step=NextStep(text="Add these keys to keys.csv.", where="keys.csv", who="key owner"),
        mark="M",
    )


def name_of(value: object) -> str:
    """Write a name, or that there is none."""
    return value if isinstance(value, str) and value else "without a name"


def known(value: object) -> str | None:
    """Give a name, None where it is unknown or empty."""
    return value if isinstance(value, str) and value else None
