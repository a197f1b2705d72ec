"""Usage drill-down: what was spend, what moved, and which rows did it, as one Report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

import pandas as pd

from runbook_lib import clock, money
from runbook_lib.analysis import bridge, drill, ledgers, lost, priced, spend_causes
from runbook_lib.analysis import spend_findings as found
from runbook_lib.analysis.caps import MonthEnd
from runbook_lib.analysis.caps.against import overrun
from runbook_lib.analysis.caps.shown import month_frame
from runbook_lib.analysis.material import Material
from runbook_lib.analysis.rules import steps_of, worst_first
from runbook_lib.analysis.spend_losses import of_losses
from runbook_lib.analysis.spikes import Spikes
from runbook_lib.clock import Window
from runbook_lib.findings import Coverage, Exhibit, Grade, NextSteps, Report, Verdict
from runbook_lib.pricing import LIST_DATE, PriceList

OVER_RISK = 0.05
"""Odds of passing the budget of the month up to which nothing is said."""

SPIKES = [
    *("event", "status", "repeat_of", "key_name", "model", "grain", "start", "end"),
    *("observed_usd", "expected_usd", "impact_usd", "kind", "requests", "note"),
]
"""Columns of the table of spikes."""


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What the store answered for one drill-down.

    Attributes:
        window: The span asked; before: the one it is compared with, None for none.
        by: What it is split by; top: names shown; key_name, model: filters, empty for none.
        rolled, earlier: Usage of either window by hour, `account`, `key_name`, `model`, `endpoint`.
        hours: Usage of all keys by hour, far enough back to know what is usual.
        past: The roll-up in which spikes were looked for, with `endpoint`.
        spikes: What was found in it; news: what is new on a key, as `first_seen` gives it.
        days: Usage by day, `account`, `model` and `rate_multiplier`, for the check of prices.
        bands: Requests by what each cost. rows: the dearest; left_out, left_out_usd: the others.
        sides: Usage against logs by key, as `reconcile_by` gives it.
        material: Attempts and rows of the window; None where there is no log, or too much.
        strip: Hours of the key with the dearest spike, with its band; empty for none.
        keys, ledger: The optional tables.
        month: How the month of `now` ends, over all keys; None where a filter is set.
        notes: What could not be looked at.
    """

    window: Window
    before: Window | None
    now: datetime
    by: str
    top: int
    key_name: str
    model: str
    rolled: pd.DataFrame
    earlier: pd.DataFrame
    hours: pd.DataFrame
    past: pd.DataFrame
    spikes: Spikes
    news: pd.DataFrame
    days: pd.DataFrame
    bands: pd.DataFrame
    rows: pd.DataFrame
    left_out: int
    left_out_usd: Decimal | None
    sides: pd.DataFrame
    material: Material | None
    strip: pd.DataFrame
    keys: pd.DataFrame
    ledger: pd.DataFrame
    month: MonthEnd | None
    prices: PriceList
    timezone: str = "UTC"
    notes: Sequence[str] = field(default=())


def drilled(spent: Spent) -> Report:
    """Make the Report of a drill-down.

    Args:
        spent: What the store answered.

    Returns:
        The Report: its verdict says what was spent, how that moved and why; every exhibit adds up
        to the same total.

    Source: contract §5-§9 (M).
    """
    weights = priced.weights(
        set(spent.rolled["model"]) | set(spent.earlier["model"]), spent.prices, at=spent.now
    )
    split = bridge.bridge(
        drill.summed(spent.earlier, ["key_name", "model"]),
        drill.summed(spent.rolled, ["key_name", "model"]),
        weights=weights,
    )
    check = priced.check(spent.days, spent.prices)
    losses = None
    if spent.material is not None:
        losses = lost.lost_money(spent.material, weights=weights, within=spent.window)
    raised = spent.spikes.events[spent.spikes.events["status"].isin(["raised", "noted"])]
    causes = spend_causes.causes(raised, spent.past, weights=weights)
    stepped = _touching(ledgers.steps(spent.ledger, spent.hours), spent.window)
    gaps = ledgers.gaps(spent.hours, spent.window)
    findings = worst_first(
        [
            *found.of_spikes(raised, causes),
            *of_losses(losses),
            *found.of_news(spent.news),
            *found.of_prices(check),
            *found.of_sides(spent.sides, logged=losses is not None),
            *found.of_gaps(gaps),
            *found.of_balance(stepped),
            *found.of_owners(spent.rolled, spent.keys),
            *(overrun(spent.month, OVER_RISK) if spent.month is not None else ()),
        ]
    )
    whole = money.total(spent.rolled["cost_usd"].dropna())
    return Report(
        runbook="usage_drilldown",
        verdict=_verdict(spent, whole, split, findings),
        findings=findings,
        exhibits=_exhibits(spent, split, check, losses, causes, stepped, weights),
        next_steps=NextSteps(steps=steps_of(findings)),
        summary=_summary(spent, whole, check),
        coverage=Coverage(
            join_rate=_join_rate(spent.sides),
            unpriced_share=_unpriced(check),
            gaps=[found.told_gap(gap, usual) for gap, usual in gaps],
            partial=list(spent.notes),
        ),
    )


def _touching(steps: pd.DataFrame, window: Window) -> pd.DataFrame:
    return steps[(steps["start"] < window.end) & (steps["end"] > window.start)]


def _verdict(spent: Spent, whole: Decimal, split: pd.DataFrame, findings: Sequence[Any]) -> Verdict:
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
            title += f", and {len(failed) - 1} more"
    return Verdict(
        title=title,
        grade=Grade.CONFIRMED if not spent.notes else Grade.LIKELY,
        cause="spend_odd" if failed else "spend_plain",
        domain="key" if failed else None,
    )


def _span(spent: Spent) -> str:
    place = clock.zone(spent.timezone)
    ends = [
        clock.clock_time(at, place, seconds=False) for at in (spent.window.start, spent.window.end)
    ]
    only = [f"key {spent.key_name}"] * bool(spent.key_name) + [f"model {spent.model}"] * bool(
        spent.model
    )
    of = f" on {' and '.join(only)}" if only else ""
    return f"spent{of} from {ends[0]} to {ends[1]}"


def _moved(before: Decimal, change: Decimal) -> str:
    if not change:
        return "the same as the period before"
    share = f" ({_signed_share(change / before)})" if before > 0 else ""
    return f"{_signed(change)}{share} on the period before"


def _signed(usd: Decimal) -> str:
    return f"{'+' if usd > 0 else ''}{money.usd(usd)}"


def _signed_share(share: Decimal) -> str:
    return f"{'+' if share > 0 else ''}{float(share) * 100:.1f} %"


def _summary(spent: Spent, whole: Decimal, check: pd.DataFrame) -> list[tuple[str, str]]:
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
        told.append((f"{spent.month.month} ends at", _ends(spent.month)))
    told.append(("Prices", f"list of {LIST_DATE}, prices.csv before it"))
    return told


def _ends(end: MonthEnd) -> str:
    budget = f", budget {money.usd(end.budget)}" if end.budget is not None else ""
    return f"{money.usd(end.p50)} ({money.usd(end.p10)} to {money.usd(end.p90)}){budget}"


def _join_rate(sides: pd.DataFrame) -> float | None:
    counts = sides.groupby("side")["rows"].sum()
    logged, alone = int(counts.get("both", 0)), int(counts.get("usage", 0))
    return logged / (logged + alone) if logged else None


def _unpriced(check: pd.DataFrame) -> float | None:
    whole = int(check["requests"].sum())
    lacking = check["verdict"].isin(["no price", "no cost"])
    return int(check.loc[lacking, "requests"].sum()) / whole if whole else None


def _exhibits(
    spent: Spent,
    split: pd.DataFrame,
    check: pd.DataFrame,
    losses: lost.Lost | None,
    causes: pd.DataFrame,
    stepped: pd.DataFrame,
    weights: Mapping[str, Mapping[str, float]],
) -> dict[str, Exhibit]:
    owned = drill.owned(spent.rolled, spent.keys)
    made = [*_split(spent, owned, weights), *_moved_by(spent, split, causes)]
    made += [
        _exhibit("lost_money", "Money that bought nothing, or more than was asked", _lost(losses)),
        _exhibit("reconciled", "Usage rows against the callers' log, key by key", spent.sides),
        _exhibit("first_seen", "New on a key", spent.news),
        _exhibit("prices", "Billed against tokens × price", check),
        _exhibit("balance", "Balance against usage rows", stepped),
        *_month(spent.month),
        Exhibit(
            name="rows",
            title="The dearest rows behind it",
            frame=spent.rows,
            left_out=spent.left_out,
            left_out_usd=spent.left_out_usd,
            note="Ask incident_triage for any request_id of them.",
        ),
    ]
    return {item.name: item for item in made}


def _month(end: MonthEnd | None) -> list[Exhibit]:
    if end is None:
        return []
    note = end.reason or "Spent to date and the forecast of the days to come, against the budget."
    return [_exhibit("month_end", f"How {end.month} ends", month_frame(end), note=note)]


def _split(
    spent: Spent, owned: pd.DataFrame, weights: Mapping[str, Mapping[str, float]]
) -> list[Exhibit]:
    """Spend from every side; each adds up to the same total."""
    by, top = spent.by, spent.top
    days = drill.by_day(owned, by, top=min(top, 9))
    by_owner = [
        _exhibit(f"by_{name}", f"Spend by {_word(name)}", drill.split(owned, name, top=top))
        for name in drill.OWNED
    ]
    split = drill.split(owned, by, top=top)
    return [
        _exhibit("by_day", f"Spend by day and {_word(by)}", days, "stacked"),
        _exhibit("by_weekday", "When in the week", drill.by_weekday(spent.rolled), "weekly"),
        _exhibit("cost_sizes", "What one request costs", spent.bands, "sizes"),
        _exhibit("split", f"Spend by {_word(by)}", split, note=_next(spent)),
        _exhibit("by_kind", "Spend by kind of token", drill.by_kind(spent.rolled, weights)),
        *by_owner,
    ]


def _moved_by(spent: Spent, split: pd.DataFrame, causes: pd.DataFrame) -> list[Exhibit]:
    """What moved: the bridge, whole and by key, and the spikes with what is behind them."""
    told = "Dearer is red, cheaper is blue; the steps add up to the change exactly."
    events = spent.spikes.events[SPIKES]
    chart = "strip" if len(spent.strip) else ""
    return [
        _exhibit("bridge", "Why spend moved", _steps(split), "waterfall", told),
        _exhibit("bridge_by_key", "Why spend moved, key by key", split),
        _exhibit("spike_strip", _strip_title(spent), spent.strip, chart),
        _exhibit("spikes", "Hours and days unlike the key's own past", events),
        _exhibit("spike_causes", "What is behind each spike", causes),
    ]


def _exhibit(
    name: str, title: str, frame: pd.DataFrame, chart: str = "", note: str = ""
) -> Exhibit:
    return Exhibit(name=name, title=title, frame=frame, chart=chart, note=note)


def _word(by: str) -> str:
    return {"key_name": "key"}.get(by, by)


def _steps(split: pd.DataFrame) -> pd.DataFrame:
    sums = bridge.total(split)
    rows = [("before", sums.get("before_usd", money.ZERO), True)]
    rows += [
        (found.FACTORS[name], sums.get(f"{name}_usd", money.ZERO), False) for name in bridge.FACTORS
    ]
    rows.append(("now", sums.get("after_usd", money.ZERO), True))
    return pd.DataFrame(rows, columns=["step", "usd", "total"])


def _strip_title(spent: Spent) -> str:
    key = str(spent.strip["key_name"].iloc[0]) if len(spent.strip) else ""
    return (
        f"Key {key} by hour, against its own past" if key else "No hour unlike the past of its key"
    )


def _lost(losses: lost.Lost | None) -> pd.DataFrame:
    return pd.DataFrame(columns=list(lost.COLUMNS)) if losses is None else losses.table


def _next(spent: Spent) -> str:
    names = {"model": "model", "key_name": "key_name"}
    if spent.by in names:
        return f"Down one level: the same with {names[spent.by]} set to a name of this table."
    return "Down one level: the same by key_name, or with key_name set."
