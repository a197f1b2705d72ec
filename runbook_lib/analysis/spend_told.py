"""What a drill-down says first: its verdict, and the numbers at the head of the page."""

from collections.abc import Sequence
from datetime import time, timedelta
from decimal import Decimal

import pandas as pd

from runbook_lib import clock, money
from runbook_lib.analysis import bridge, drill
from runbook_lib.analysis import spend_findings as found
from runbook_lib.analysis.caps import MonthEnd
from runbook_lib.analysis.spend_material import Spent
from runbook_lib.clock import Window
from runbook_lib.findings import Finding, Grade, Verdict
from runbook_lib.pricing import LIST_DATE


def verdict(
    spent: Spent, whole: Decimal, split: pd.DataFrame, findings: Sequence[Finding]
) -> Verdict:
    """Say what was spent, how that moved, by what, and the worst that was found.

    Args:
        spent: What the store answered.
        whole: Spend of the window, USD.
        split: The bridge, as `bridge.bridge` gives it.
        findings: Worst first.

    Returns:
        The verdict; it is likely, not confirmed, where something could not be looked at.
    """
    if not spent.known:
        return _unknown(spent)
    failed = [
        item for item in findings if item.status == "fail" and item.severity.reaches(found.LOUD)
    ]
    title = f"{money.usd(whole)} {_span(spent)}"
    if spent.before is not None:
        sums = bridge.total(split)
        before, change = sums.get("before_usd", money.ZERO), sums.get("change_usd", money.ZERO)
        title += f", {_moved(before, change)}"
        if change:
            name = max(bridge.FACTORS, key=lambda part: abs(sums[f"{part}_usd"]))
            title += f", mostly by {found.FACTORS[name]} ({_signed(sums[f'{name}_usd'])})"
    if failed:
        title += f". {failed[0].title}"
        if len(failed) > 1:
            title += f", and {len(failed) - 1} more that matter"
    return Verdict(
        title=title,
        grade=Grade.CONFIRMED if not spent.notes else Grade.LIKELY,
        cause="spend_odd" if failed else "spend_plain",
        domain="key" if failed else None,
    )


def _unknown(spent: Spent) -> Verdict:
    """Nothing spent and nothing known are different answers."""
    held = " to ".join(_ends(spent, spent.span))
    asked = " to ".join(_ends(spent, spent.window))
    return Verdict(
        title=f"Nothing is known of {asked}: the usage rows held here are of {held}",
        grade=Grade.INCONCLUSIVE,
        cause="spend_unknown",
    )


def _ends(spent: Spent, window: Window) -> list[str]:
    return [clock.clock_time(at, spent.place, seconds=False) for at in (window.start, window.end)]


def _span(spent: Spent) -> str:
    only = [f"key {spent.key_name}"] * bool(spent.key_name) + [f"model {spent.model}"] * bool(
        spent.model
    )
    of = f" on {' and '.join(only)}" if only else ""
    return f"spent{of} {_time(spent)}"


def _time(spent: Spent) -> str:
    """Name the window by its days where it is whole ones, else by its ends."""
    start, end = (at.astimezone(spent.place) for at in (spent.window.start, spent.window.end))
    last = end.date() - timedelta(days=1)
    if start.time() != time() or end.time() != time() or last < start.date():
        return "from " + " to ".join(_ends(spent, spent.window))
    days = f"{start:%Y-%m-%d}" + (f" to {last:%Y-%m-%d}" if last > start.date() else "")
    return f"{'from' if last > start.date() else 'on'} {days} ({spent.timezone})"


def _moved(before: Decimal, change: Decimal) -> str:
    if not change:
        return "the same as the period before"
    share = f" ({_signed_share(change / before)})" if before > 0 else ""
    return f"{_signed(change)}{share} on the period before"


def _signed(usd: Decimal) -> str:
    return f"{'+' if usd > 0 else ''}{money.usd(usd)}"


def _signed_share(share: Decimal) -> str:
    return f"{'+' if share > 0 else ''}{float(share) * 100:.1f} %"


def summary(spent: Spent, whole: Decimal, check: pd.DataFrame) -> list[tuple[str, str]]:
    """Give names and values for the head of the page: the total and its unit costs.

    Args:
        spent: What the store answered.
        whole: Spend of the window, USD.
        check: Billed against prices, as `priced.check` gives it.

    Returns:
        Name and value, both for people.
    """
    sums = drill.with_units(drill.summed(spent.rolled.assign(all=""), ["all"]))
    told = [("Spent", f"{money.usd(whole)}")]
    if len(sums):
        row = sums.to_dict("records")[0]
        told.append(("Requests", f"{row['requests']:,}"))
        for label, name in (
            ("A request", "usd_per_request"),
            ("1,000 output tokens", "usd_per_1k_output"),
        ):
            if row[name] == row[name]:
                told.append((label, money.usd(Decimal(repr(round(row[name], 8))))))
        if row["cache_hit_share"] == row["cache_hit_share"]:
            told.append(("Read from cache", f"{row['cache_hit_share'] * 100:.1f} %"))
    unknown = int(check.loc[check["verdict"] == "no cost", "requests"].sum())
    if unknown:
        told.append(("Without a cost", f"{unknown:,} requests, in no total"))
    if spent.month is not None and spent.month.p50 is not None:
        told.append((f"{spent.month.month} ends at", _month(spent.month)))
    told.append(("Prices", f"list of {LIST_DATE}, prices.csv before it"))
    return told


def _month(end: MonthEnd) -> str:
    budget = f", budget {money.usd(end.budget)}" if end.budget is not None else ""
    return f"{money.usd(end.p50)} ({money.usd(end.p10)} to {money.usd(end.p90)}){budget}"
