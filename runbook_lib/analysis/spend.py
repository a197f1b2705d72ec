"""Usage drill-down: what was spent, what moved, and which rows did it, as one Report."""

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

import pandas as pd

from runbook_lib import money
from runbook_lib.analysis import (
    bridge,
    drill,
    exports,
    ledgers,
    lost,
    priced,
    sides,
    spend_causes,
    spend_exhibits,
    spend_told,
)
from runbook_lib.analysis import spend_findings as found
from runbook_lib.analysis.caps.against import overrun
from runbook_lib.analysis.rules import steps_of, worst_first
from runbook_lib.analysis.spend_losses import of_losses
from runbook_lib.analysis.spend_material import Spent, Worked
from runbook_lib.analysis.spend_prices import of_prices
from runbook_lib.analysis.spend_sides import of_sides
from runbook_lib.findings import Coverage, Finding, NextSteps, Report

OVER_RISK = 0.05
"""Odds of passing the budget of the month up to which nothing is said."""


def drilled(spent: Spent) -> Report:
    """Make the Report of a drill-down.

    Args:
        spent: What the store answered.

    Returns:
        The Report: its verdict says what was spent, how that moved and why; every exhibit adds up
        to the same total.

    Source: contract §5-§9 (M).
    """
    work = _worked(spent)
    whole = money.total(spent.rolled["cost_usd"].dropna())
    findings = worst_first(_findings(spent, work, whole))
    return Report(
        runbook="usage_drilldown",
        verdict=spend_told.verdict(spent, whole, work.split, findings),
        findings=findings,
        exhibits=spend_exhibits.of(spent, work),
        next_steps=NextSteps(steps=steps_of(findings)),
        summary=spend_told.summary(spent, whole, spent.check),
        coverage=Coverage(
            join_rate=_join_rate(work.sides),
            unpriced_share=_unpriced(spent.check),
            gaps=[found.told_gap(gap, usual, spent.place) for gap, usual in work.gaps],
            partial=list(spent.notes),
        ),
    )


def _worked(spent: Spent) -> Worked:
    weights = priced.weights(
        set(spent.rolled["model"]) | set(spent.earlier["model"]), spent.prices, at=spent.now
    )
    by = ["key_name", "model"]
    raised = spent.spikes.events[spent.spikes.events["status"].isin(["raised", "noted"])]
    losses = _losses(spent, weights)
    return Worked(
        weights=weights,
        split=bridge.bridge(
            drill.summed(spent.earlier, by), drill.summed(spent.rolled, by), weights=weights
        ),
        odd_rows=priced.odd_rows(spent.suspects, spent.prices),
        losses=losses,
        sides=_sides(spent, losses),
        raised=raised,
        causes=spend_causes.causes(raised, spent.past, weights=weights),
        # What an account holds, or when it rests, says nothing of one key or model.
        steps=ledgers.steps(
            spent.ledger.iloc[:0] if spent.filtered else spent.ledger,
            spent.hours,
            spent.window,
            until=spent.span.end,
        ),
        gaps=[]
        if spent.filtered
        else ledgers.gaps(spent.hours, spent.window, until=spent.span.end),
        files=exports.seen(spent.exports, spent.repeated, spent.window),
    )


def _losses(spent: Spent, weights: priced.Weights) -> lost.Lost | None:
    if spent.material is None:
        return None
    losses = lost.lost_money(spent.material, weights=weights, within=spent.window, logs=spent.logs)
    return replace(losses, table=spent.mine(losses.table))


def _sides(spent: Spent, losses: lost.Lost | None) -> pd.DataFrame:
    """Usage against logs: row by row where that can be, else as the store counts it."""
    if spent.material is not None and losses is not None:
        table = sides.counted(
            spent.material, losses.paired, spent.window, only=spent.equals, logs=spent.logs
        )
    else:
        table = spent.sides
    return sides.bounded(table, sides.dearest(spent.rolled))


def _findings(spent: Spent, work: Worked, whole: Decimal) -> Iterator[Finding]:
    yield from found.of_spikes(work.raised, work.causes, spent.place, whole)
    yield from of_losses(work.losses)
    yield from found.of_news(spent.news, spent.place)
    yield from of_prices(spent.check, work.odd_rows)
    yield from of_sides(work.sides, logged=spent.logged)
    yield from found.of_gaps(work.gaps, spent.place)
    yield from exports.findings(work.files, spent.place)
    yield from found.of_balance(work.steps, spent.place)
    yield from found.of_owners(spent.rolled, spent.keys, _deleted(spent, work))
    if spent.month is not None:
        yield from overrun(spent.month, OVER_RISK)


def _deleted(spent: Spent, work: Worked) -> list[str]:
    """Name the keys that the log has for usage rows that name none."""
    if spent.material is None or work.losses is None:
        return []
    held = work.losses.paired.rows
    blank = spent.material.rows["key_name"].isna().to_numpy()[held]
    return sorted(set(spent.material.attempts.loc[held.index[blank], "key_name"].dropna()))


def _join_rate(table: pd.DataFrame) -> float | None:
    counts = table.groupby("side")["rows"].sum()
    logged, alone = int(counts.get("both", 0)), int(counts.get("usage", 0))
    return logged / (logged + alone) if logged else None


def _unpriced(check: pd.DataFrame) -> float | None:
    whole = int(check["requests"].sum())
    lacking = check["verdict"].isin(["no price", "no cost"])
    return int(check.loc[lacking, "requests"].sum()) / whole if whole else None
