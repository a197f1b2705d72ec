"""The exhibits of a sizing: each table with its title and how to read it."""

import pandas as pd

from runbook_lib import money
from runbook_lib.analysis.caps import exhibits
from runbook_lib.analysis.caps.backtest import by_key, summed
from runbook_lib.analysis.caps.clocks import clocks, of_account, together
from runbook_lib.analysis.caps.effect import curves_table
from runbook_lib.analysis.caps.effective import effective
from runbook_lib.analysis.caps.frames import objects
from runbook_lib.analysis.caps.grid import day_of
from runbook_lib.analysis.caps.inflight import overshoot_table
from runbook_lib.analysis.caps.material import LAG_MINUTES
from runbook_lib.analysis.caps.month import MonthEnd
from runbook_lib.analysis.caps.tiers import DEV_USD, STAGING_USD
from runbook_lib.analysis.caps.work import Worked
from runbook_lib.findings import Exhibit

TITLES = {
    "to_type": "What to type into /keys",
    "caps": "What each key may spend, and the odds of a trip",
    "whole": "All caps against budget and balance",
    "clocks": "What ends first",
    "effective": "What each key can spend at once, and which limit binds",
    "effect": "What the caps would have done, and what they do to a loop",
    "overshoot": "What can be spent beyond a cap",
    "curves": "Odds of a trip and cost of a loop against the cap of a day",
    "fan": "All keys together: spent, and what is to come",
    "planned": "What planned events need",
    "backtest": "What was promised, and what came",
    "month_end": "How the month ends",
}
"""Exhibits in their order, the first the one to act by."""

SEEN = {
    "to_type": [
        *("key_name+account", "environment", "window", "type+currency", "set_now+set_currency"),
        *("set_elsewhere", "cap_usd", "used_usd", "odds", "review_on", "note"),
    ],
    "whole": [
        *("environment+account", "keys", "without_cap", "proposed_usd", "set_usd", "tier_usd"),
        *("p50_usd", "p90_usd", "budget_usd", "balance_usd", "over_commit", "set_over_commit"),
        "over_balance",
    ],
    "clocks": [
        *("what+window", "key_name+account", "environment", "remaining_usd+limit_usd"),
        *("used_share", "elapsed_share", "burn_rate", "usd_a_day", "runs_out_early+runs_out_on"),
        *("act_by", "amount_usd", "resets_at", "basis"),
    ],
}
"""Columns of wide tables that people see; the CSV has all."""


def exhibits_of(work: Worked) -> dict[str, Exhibit]:
    """Give the exhibits, by name in the order of `TITLES`.

    Args:
        work: What was reckoned.

    Returns:
        Exhibits; see the functions of `exhibits`, `effect`, `effective`, `inflight`, `events`,
        `tiers.whole`, `clocks.clocks`, `backtest.summed` and `month_frame` for their columns.
    """
    frames, notes = _frames(work), _notes(work)
    return {
        name: Exhibit(
            name=name,
            title=title,
            frame=frames[name],
            note=notes[name],
            columns=SEEN.get(name, ()),
        )
        for name, title in TITLES.items()
    }


def _frames(work: Worked) -> dict[str, pd.DataFrame]:
    """Give the rows behind every exhibit, by its name."""
    material, held, keys = work.material, work.held, work.keys
    today = day_of(material.now, material.timezone)
    every = together(material, held, of_account(held, None))
    return {
        "to_type": exhibits.to_type_table(material, keys, work.caps, work.typed, work.events),
        "caps": exhibits.caps_table(keys, by_key(work.tests)),
        "whole": work.table,
        "clocks": clocks(work.times),
        "effective": effective(material, keys, work.limits),
        "effect": work.effects,
        "overshoot": overshoot_table(material, held, list(work.flying)),
        "curves": curves_table(material, keys, held),
        "fan": exhibits.fan_table(every, held, today),
        "planned": work.events,
        "backtest": summed(work.tests),
        "month_end": month_frame(work.end),
    }


def _notes(work: Worked) -> dict[str, str]:
    """Give the sentence under every exhibit, by its name."""
    material = work.material
    rate = f" {material.rate_note()}." if material.rate_note() else ""
    return {
        "to_type": "Lifetime quotas (total): used so far and what may be spent until the review. "
        f"Windows: the cap itself. Any one of them holds a loop.{rate}",
        "caps": "Odds are of one window, those in which a key is put to another use included; for "
        "5h they are of the dearest five hours of a day. Tested and tripped: windows of the weeks "
        "held back.",
        "whole": "Proposed: what the numbers to type let be spent in a month; set: what the "
        "tightest cap of each key lets be spent in a month, a window's cap counted for every "
        "window of it, a quota what is left of it. Keys that have ended are left out. The tier is "
        "the starting point: production at most 90 % of the budget, staging "
        f"{money.usd(STAGING_USD)}, development {money.usd(DEV_USD)} a key.{rate}",
        "clocks": "Burn rate: used share over elapsed share; above 1 it ends before its time. The "
        "early day is at p90, the usual one at p50. A window that is whole again first has no day; "
        "whether its cap is too low, the odds tell.",
        "effective": "The least of balance, budget, quota and windows is what a key can spend "
        "now; a window is whole again when it rolls over.",
        "effect": f"A loop at {material.loop_factor:g} times the usual hour, from every hour of "
        "the last week; a key that rested has none. Rehearse the stop with fallback_verification.",
        "overshoot": "Calls under way: the most at one instant of the last week, from start and "
        "end of attempts in the call log and of usage rows (end minus length); where not all rows "
        "were read, of the busiest hour too (requests times mean length, and three standard "
        f"deviations). Times the dearest call, and {LAG_MINUTES} minutes of a loop at "
        f"{material.loop_factor:g} times the usual hour while the gateway's count lags (M).",
        "curves": "The dearest keys; the sized cap is marked.",
        "fan": "p10, p50 and p90 of the total from today to that day.",
        "planned": "From planned.csv: what these days need at p90 without and with the plan, and "
        "the cap of a day to type while it lasts. The forecasts of the next thirty days hold it.",
        "backtest": "The newest weeks were hidden one by one, caps typed as of the day before from "
        "what was known then, and the hidden week replayed against them. Kept: trips are not "
        "clearly more than promised. The interval (95 %) counts all windows of one key as one.",
        "month_end": work.end.reason or "Spent to date and the forecast of the days to come.",
    }


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
