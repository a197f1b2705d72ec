"""When each limit runs out, the binding one first, and by when to act."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd

from runbook_lib.analysis.caps.frames import objects
from runbook_lib.analysis.caps.grid import Held, day_of
from runbook_lib.analysis.caps.material import CapMaterial, amount_of, to_type
from runbook_lib.analysis.caps.outlook import SUM_HALF, Outlook, look_at, outlooks
from runbook_lib.analysis.caps.planned import planned_factor
from runbook_lib.analysis.caps.sized import Sized
from runbook_lib.analysis.caps.standing import Balance, Standing

LONGEST_DAYS = 365.0
"""Days beyond which nothing is said to run out."""

SPANS = (1, 7, 30)

COLUMNS = [
    *(
        "what",
        "account",
        "key_name",
        "environment",
        "window",
        "limit_usd",
        "used_usd",
        "remaining_usd",
    ),
    *("used_share", "elapsed_share", "burn_rate", "usd_a_day", "runs_out_on", "runs_out_early"),
    *("act_by", "amount_usd", "basis"),
]


def whole_views(
    material: CapMaterial, held: Held, account: str | None = None
) -> dict[str, Outlook]:
    """Give the outlook of all keys of an account together, by window; empty without history.

    Args:
        material: Reads plans and `now`.
        held: Spend by key and day.
        account: Which; None for all.

    Returns:
        Outlooks of a day, a week and a month.
    """
    mine = np.array([account is None or one == account for one in held.accounts], dtype=bool)
    usd = held.usd[mine]
    known = ~np.isnan(usd)
    line = np.where(known.any(axis=0), np.nansum(usd, axis=0), np.nan)[None]
    if known.any(axis=0).sum() < 2:
        return {}
    made = {}
    for window, days in zip(("1d", "7d", "month"), SPANS, strict=True):
        parts = planned_factor(material.planned, held.names, now=material.now, days=days)
        weights = np.nansum(held.usd[:, -30:], axis=1) * mine
        share = weights.sum()
        factor = np.array([float((parts * weights).sum() / share) if share > 0 else 1.0])
        made[window] = outlooks(look_at(line, days), factor=factor, own_half=SUM_HALF)[0]
    return made


def days_until(views: Mapping[str, Outlook], remaining: Decimal, share: float) -> float | None:
    """Give the days until *remaining* is spent.

    Args:
        views: Outlooks of a day, a week and a month.
        remaining: USD left.
        share: Quantile of the spend: 0.5 for the usual course, 0.9 for a fast one.

    Returns:
        Days; None where it lasts longer than a year, or nothing is spent.
    """
    if remaining <= 0:
        return 0.0
    spent = np.maximum.accumulate(
        [0.0, *(views[window].quantile(share) for window in ("1d", "7d", "month"))]
    )
    days = np.array([0.0, *SPANS])
    left = float(remaining)
    if left <= spent[-1]:
        place = int(np.searchsorted(spent, left))
        step = (left - spent[place - 1]) / (spent[place] - spent[place - 1])
        return float(days[place - 1] + step * (days[place] - days[place - 1]))
    if spent[-1] <= 0:
        return None
    reached = left / (spent[-1] / SPANS[-1])
    return float(reached) if reached <= LONGEST_DAYS else None


def act_by(early: date | None, today: date, lead_days: int) -> date | None:
    """Give the last working day on which a top-up still arrives in time, today at the earliest."""
    if early is None:
        return None
    day = early - timedelta(days=lead_days)
    day -= timedelta(days=max(0, day.weekday() - 4))  # on Saturday and Sunday nobody acts
    return max(day, today)


def clocks(
    material: CapMaterial,
    held: Held,
    keys: Sequence[Sized],
    caps: Sequence[Standing],
    accounts: Sequence[Balance],
) -> pd.DataFrame:
    """Give every clock in one table.

    Args:
        material: Reads `now`, `lead_days` and plans.
        held: Spend by key and day.
        keys: Every key with its outlooks.
        caps: What is set.
        accounts: Balances by account.

    Returns:
        A row a limit, soonest first: `what` (balance, key cap, window), `account`, `key_name`,
        `environment`, `window`, `limit_usd`, `used_usd`, `remaining_usd` (Decimal USD),
        `used_share`, `elapsed_share`, `burn_rate` (used over elapsed share: above 1 it ends early),
        `usd_a_day` (p50), `runs_out_on` (date at p50), `runs_out_early` (at p90), `act_by` (date),
        `amount_usd` (to add so that thirty days at p90 are covered), `basis`. None where unknown
        or not before a year is over; a window that rolls over first does not run out.
    """
    rows: list[dict[str, Any]] = []
    by_name = {one.key_name: one for one in keys}
    for one in accounts:
        views = whole_views(material, held, one.account)
        if views:
            made = _row(material, views, remaining=one.usd, basis=one.basis)
            rows.append({**made, "account": one.account or None})
    for cap in caps:
        own = by_name.get(cap.key_name)
        if cap.remaining_usd is not None and own is not None and own.views:
            rows.append(
                _row(material, own.views, remaining=cap.remaining_usd, basis=cap.source, cap=cap)
            )
    never = date.max
    order = sorted(
        range(len(rows)),
        key=lambda at: (
            rows[at]["runs_out_early"] or never,
            rows[at]["runs_out_on"] or never,
            str(rows[at]["key_name"]),
            str(rows[at]["window"]),
        ),
    )
    return objects([rows[at] for at in order], COLUMNS)


def _row(
    material: CapMaterial,
    views: Mapping[str, Outlook],
    *,
    remaining: Decimal,
    basis: str,
    cap: Standing | None = None,
) -> dict[str, object]:
    now = material.now
    ends = [_when(material, days_until(views, remaining, share), cap) for share in (0.5, 0.9)]
    rolls = cap is not None and cap.window != "total"
    need = amount_of(views["month"].quantile(0.9)) - remaining
    today = _local(material, now)
    used = _share(cap)
    elapsed = None if cap is None else cap.elapsed(now)
    return {
        "what": "balance" if cap is None else "window" if rolls else "key cap",
        "key_name": None if cap is None else cap.key_name,
        "environment": None if cap is None else cap.environment or None,
        "window": None if cap is None else cap.window,
        "limit_usd": None if cap is None else cap.limit_usd,
        "used_usd": None if cap is None else cap.used_usd,
        "remaining_usd": remaining,
        "used_share": used,
        "elapsed_share": None if elapsed is None else round(elapsed, 4),
        "burn_rate": None if used is None or not elapsed else round(used / elapsed, 2),
        "usd_a_day": amount_of(views["7d"].quantile(0.5) / 7),
        "runs_out_on": ends[0],
        "runs_out_early": ends[1],
        "act_by": None if rolls else act_by(ends[1], today, material.lead_days),
        "amount_usd": None if rolls else to_type(need) if need > 0 else Decimal(0),
        "basis": basis,
    }


def _share(cap: Standing | None) -> float | None:
    if cap is None or cap.used_usd is None or not cap.limit_usd:
        return None
    return round(float(cap.used_usd / cap.limit_usd), 4)


def _when(material: CapMaterial, days: float | None, cap: Standing | None) -> date | None:
    if days is None:
        return None
    at = material.now + timedelta(days=days)
    rolls = cap is not None and cap.window != "total" and days > 0
    if cap is not None and rolls and (cap.resets is None or at >= cap.resets):
        return None
    return _local(material, at)


def _local(material: CapMaterial, at: datetime) -> date:
    return day_of(at, material.timezone)
