"""The exhibits of a sizing: each table with its title and how to read it."""

from collections.abc import Sequence

import pandas as pd

from runbook_lib import money
from runbook_lib.analysis.caps import exhibits
from runbook_lib.analysis.caps.backtest import Tried, summed
from runbook_lib.analysis.caps.clocks import whole_views
from runbook_lib.analysis.caps.frames import objects
from runbook_lib.analysis.caps.grid import Held, day_of
from runbook_lib.analysis.caps.month import MonthEnd
from runbook_lib.analysis.caps.tiers import DEV_USD, STAGING_USD
from runbook_lib.analysis.caps.work import Worked
from runbook_lib.findings import Exhibit

TITLES = {
    "to_type": "What to type into /keys",
    "caps": "What each key may spend, and the odds of a trip",
    "whole": "All caps against budget and balance",
    "clocks": "What ends first",
    "effect": "What the caps would have done, and what they do to a loop",
    "curves": "Odds of a trip and cost of a loop against the cap of a day",
    "fan": "All keys together: spent, and what is to come",
    "backtest": "What was promised, and what came",
    "month_end": "How the month ends",
}
"""Exhibits in their order, the first the one to act by."""


def exhibits_of(work: Worked) -> dict[str, Exhibit]:
    """Give the exhibits, by name in the order of `TITLES`.

    Args:
        work: What was reckoned.

    Returns:
        Exhibits; see the functions of `exhibits`, `tiers.whole`, `clocks.clocks`,
        `backtest.summed` and `MonthEnd` for their columns.
    """
    frames, notes = _frames(work), _notes(work)
    return {
        name: Exhibit(name=name, title=title, frame=frames[name], note=notes[name])
        for name, title in TITLES.items()
    }


def _frames(work: Worked) -> dict[str, pd.DataFrame]:
    """Give the rows behind every exhibit, by its name."""
    material, held, keys = work.material, work.held, work.keys
    today = day_of(material.now, material.timezone)
    tests = _tests(held, work.tests)
    return {
        "to_type": exhibits.to_type_table(material, keys, work.caps, work.known, held),
        "caps": exhibits.caps_table(keys, work.known, tests),
        "whole": work.table,
        "clocks": work.times,
        "effect": exhibits.effect_table(material, keys, work.caps, held),
        "curves": exhibits.curves_table(material, keys, held),
        "fan": exhibits.fan_table(whole_views(material, held), held, today),
        "backtest": summed(work.tests),
        "month_end": month_frame(work.end),
    }


def _notes(work: Worked) -> dict[str, str]:
    """Give the sentence under every exhibit, by its name."""
    material = work.material
    rate = f" {material.rate_note()}." if material.rate_note() else ""
    return {
        "to_type": "Lifetime quotas: used so far and what may be spent until the review. "
        f"Windows: the cap itself.{rate}",
        "caps": "Odds are of one window, those in which a key is put to another use included.",
        "whole": "Proposed from history; the tier is the starting point: production 90 % of the "
        f"budget, staging {money.usd(STAGING_USD)}, development {money.usd(DEV_USD)} a key.{rate}",
        "clocks": "Burn rate: used share over elapsed share; above 1 it ends before its time.",
        "effect": f"A loop at {material.loop_factor:g} times the usual hour, from every hour of "
        f"the last week. Overshoot: {material.in_flight} calls under way at the price of the "
        "dearest, and five minutes of a loop while the gateway's count lags.",
        "curves": "The dearest keys; the sized cap is marked.",
        "fan": "p10, p50 and p90 of the total from today to that day.",
        "backtest": "Each period is forecast from what was known before it. The interval counts "
        "periods of one key as one.",
        "month_end": work.end.reason or "Spent to date and the forecast of the days to come.",
    }


def _tests(held: Held, tests: Sequence[Tried]) -> dict[tuple[str, str], tuple[int, int]]:
    """Count trips and periods by key and window."""
    names = {1: "1d", 7: "7d", 30: "month"}
    found = {}
    for one in tests:
        counts = one.rows.groupby("key")["tripped"].agg(["sum", "count"])
        for place, trips, periods in zip(counts.index, counts["sum"], counts["count"], strict=True):
            found[held.names[int(place)], names[one.horizon]] = (int(trips), int(periods))
    return found


def month_frame(end: MonthEnd) -> pd.DataFrame:
    """Give the end of a month as one row, an amount a column that ends in `_usd`.

    Args:
        end: As `month_end` gives it.

    Returns:
        One row: `month`, `to_date_usd`, `days_left`, `p10_usd`, `p50_usd`, `p90_usd`, `budget_usd`
        (Decimal USD), `odds_over`, `over_on`, `over_early` (dates), `reason`; None where unknown.
    """
    names = [
        *("month", "to_date", "days_left", "p10", "p50", "p90", "budget", "odds_over"),
        *("over_on", "over_early", "reason"),
    ]
    made = objects([{name: getattr(end, name) for name in names}])
    amounts = ("to_date", "p10", "p50", "p90", "budget")
    return made.rename(columns={name: f"{name}_usd" for name in amounts})
