"""Budget caps: what the store is asked for, and the Report made of it."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from runbook_lib import clock, report
from runbook_lib.analysis import caps as analysis
from runbook_lib.clock import Window
from runbook_lib.errors import MissingInputError, ParameterError
from runbook_lib.findings import Coverage, NextSteps, Report
from runbook_lib.report import brief
from runbook_lib.runbooks.shared import finished, time_of
from runbook_lib.store import Filter

if TYPE_CHECKING:
    import pandas as pd

    from runbook_lib.store import Store

CHARTS = {"fan": "fan", "curves": "curves", "clocks": "runway"}
"""Exhibits that are drawn."""

HOURS_BACK = timedelta(days=90)
"""How far back spend by the hour is read; days are read whole."""

WEEK = timedelta(days=7)
"""How far back it is read how many calls were under way at once."""

MOST_ROWS = 20_000
"""Single rows that are read for it at most, the newest."""

BY = ("account", "key_name")
"""A key is its name within its account."""


def size_caps(
    store: "Store",
    *,
    risk: float = 0.05,
    monthly_budget: float = -1.0,
    currency: str = "USD",
    cny_per_usd: float = -1.0,
    rate_date: str = "",
    rate_source: str = "",
    balance: float = -1.0,
    lead_days: int = 3,
    loop_factor: float = 10.0,
    timezone: str = "UTC",
    now: str = "",
) -> Report:
    """Say what to type into /keys as a cap, with its odds, and what ends first.

    Args:
        store: The lake, from `open_store`.
        risk: Share of usual periods in which a cap may stop honest use, above 0 and below 0.5.
        monthly_budget: Budget of a month in *currency*; negative for that of `budget.csv`.
        currency: USD or CNY, of the budget, the balance and what is typed.
        cny_per_usd: CNY of one USD; negative for not given.
        rate_date: Day of that rate, such as 2026-11-24.
        rate_source: Where it comes from.
        balance: Prepaid balance in *currency*; negative for the newest reading of the data.
        lead_days: Days a top-up takes.
        loop_factor: Times the usual load at which a runaway loop burns.
        timezone: IANA zone of days and months.
        now: Time the caps are sized at; empty is the clock, on sample data their end.

    Returns:
        The Report: `to_type` is the table to type from; the other exhibits say what it rests on.
        Attached is `finance.html`, two pages for who pays.

    Raises:
        ParameterError: a value cannot be used, or *now* is before the first usage row.
        MissingInputError: there are no usage rows.

    Source: contract §7, §8 (D, M).
    """
    report.install()
    place = clock.zone(timezone)
    span = store.span("usage")
    if span is None:
        raise MissingInputError("There are no usage rows here", hint="take in a usage export")
    at = time_of(store, now, place)
    if at <= span.start:
        first = f"{span.start.astimezone(place):%Y-%m-%d %H:%M %Z}"
        raise ParameterError("now", now, hint=f"a time after the first usage row, {first}")
    given = analysis.CapMaterial(
        now=at,
        risk=risk,
        monthly_budget=_given("monthly_budget", monthly_budget),
        currency=currency,
        cny_per_usd=_given("cny_per_usd", cny_per_usd),
        rate_date=rate_date,
        rate_source=rate_source,
        balance=_given("balance", balance),
        lead_days=lead_days,
        loop_factor=loop_factor,
        timezone=timezone,
        data_end=span.end,
    )
    parts = analysis.size_caps(replace(given, **_frames(store, span, at, timezone)))
    money = {"risk": risk, "monthly_budget": monthly_budget, "currency": currency}
    rate = {"cny_per_usd": cny_per_usd, "rate_date": rate_date, "rate_source": rate_source}
    rest = {"balance": balance, "lead_days": lead_days, "loop_factor": loop_factor}
    asked = {**money, **rate, **rest, "timezone": timezone, "now": now}
    made = finished(_report(parts), store, asked)
    return replace(made, attachments=[*made.attachments, brief.attachment(made)])


def _report(parts: analysis.CapParts) -> Report:
    drawn = {
        name: replace(item, chart=CHARTS.get(name, "")) for name, item in parts.exhibits.items()
    }
    return Report(
        runbook="budget_caps",
        verdict=parts.verdict,
        findings=parts.findings,
        exhibits=drawn,
        next_steps=NextSteps(steps=parts.next_steps),
        summary=parts.summary,
        coverage=Coverage(gaps=parts.gaps),
    )


def _frames(store: "Store", span: Window, now: datetime, timezone: str) -> dict[str, Any]:
    """Spend by day and hour up to now, what is under way at once, and the optional tables."""
    until = Filter(window=Window(start=min(span.start, now), end=now))
    near = Filter(window=Window(start=now - HOURS_BACK, end=now))
    tables = ("keys", "key_state", "ledger", "budget", "planned")
    return {
        "daily": store.roll_up("usage", BY, grain="day", where=until, zone=timezone),
        "hourly": store.roll_up("usage", BY, grain="hour", where=near, zone=timezone),
        "recent": _recent(store, now),
        **_under_way(store, now),
        **{name: store.table(name) for name in tables},
    }


def _recent(store: "Store", now: datetime) -> "pd.DataFrame":
    """Sum what each key spent in the rolling windows that end now, a row a key and window."""
    import pandas as pd

    parts = [
        store.roll_up("usage", BY, where=Filter(window=Window(start=now - length, end=now))).assign(
            window=name
        )
        for name, length in analysis.ROLLING.items()
    ]
    return pd.concat(parts, ignore_index=True)


def _under_way(store: "Store", now: datetime) -> dict[str, Any]:
    """Read the newest attempts and usage rows of the last week, for how many were at once."""
    week = Filter(window=Window(start=now - WEEK, end=now))
    calls, billed = (store.rows(name, week, limit=MOST_ROWS) for name in ("calls", "usage"))
    return {
        "calls": calls.frame,
        "billed": billed.frame,
        "unseen": (calls.left_out, billed.left_out),
    }


def _given(name: str, value: float) -> Decimal | None:
    """An amount as it was typed; None for a negative one, which means not given."""
    if not abs(value) < float("inf"):
        raise ParameterError(name, value, hint="an amount, or a negative number for none")
    return None if value < 0 else Decimal(str(value))
