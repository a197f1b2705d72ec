"""The end of the month: spent so far, what is still to come, and the day the budget runs over."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

import numpy as np
import pandas as pd

from runbook_lib import clock, money
from runbook_lib.analysis.caps.grid import LONGEST
from runbook_lib.analysis.caps.level import Floats
from runbook_lib.analysis.caps.material import amount_of
from runbook_lib.analysis.caps.outlook import Outlook, look_at, outlooks, sum_half
from runbook_lib.analysis.caps.single import from_first_use
from runbook_lib.errors import ParameterError


@dataclass(frozen=True, slots=True, kw_only=True)
class MonthEnd:
    """How a month ends; amounts in USD.

    Attributes:
        month: "2026-11".
        to_date: Spent since its first day, the unfinished day included.
        days_left: Whole days still to come; the unfinished one counts where it is not over.
        p10, p50, p90: Spend of the whole month; None where the past carries no forecast.
        budget: The budget; None for none.
        odds_over: Odds that the month passes the budget (0–1); None where unknown.
        over_on: Day on which the budget is likely passed, at p50; None for not in this month.
        over_early: The same at p90.
        reason: Why there is no forecast; empty where there is one.
    """

    month: str
    to_date: Decimal
    days_left: int
    p10: Decimal | None
    p50: Decimal | None
    p90: Decimal | None
    budget: Decimal | None
    odds_over: float | None
    over_on: date | None
    over_early: date | None
    reason: str


def month_end(
    daily: pd.DataFrame, budget: Decimal | None, now: datetime, *, timezone: str = "UTC"
) -> MonthEnd:
    """Say how the month of *now* ends.

    Args:
        daily: Usage by day: `day_local` (text or date) or `bucket` (aware UTC), `cost_usd`
            (Decimal USD); rows of one day are summed, unknown costs left out.
        budget: USD of the month; None for none.
        now: Time it is told at, aware.
        timezone: IANA zone of days and months.

    Returns:
        The end of the month; the same input gives the same answer.

    Raises:
        ParameterError: *now* has no offset, or the budget is below 0 or no number.
    """
    if now.utcoffset() is None:
        raise ParameterError("now", now, hint="a time with an offset")
    if budget is not None and (not budget.is_finite() or budget < 0):
        raise ParameterError("budget", budget, hint="an amount from 0 on")
    today = now.astimezone(clock.zone(timezone)).date()
    first, after = _month_of(today)
    days = _by_day(daily, timezone)
    to_date = money.total(usd for day, usd in days.items() if first <= day <= today)
    usd = _line(days, today)
    left = (after - today).days
    views = _views(usd, left)
    # What the unfinished day has spent already is part of the days still to come.
    done = float(to_date - days.get(today, money.ZERO))
    reason = "" if views else _reason(usd)
    known = (
        [amount_of(max(done + views[-1].quantile(at), float(to_date))) for at in _AT]
        if views
        else []
    )
    over = [_day_over(views, done, budget, today, at) for at in (0.5, 0.9)]
    spare = None if budget is None else float(budget) - done
    return MonthEnd(
        month=f"{first:%Y-%m}",
        to_date=to_date,
        days_left=left,
        p10=known[0] if known else None,
        p50=known[1] if known else None,
        p90=known[2] if known else None,
        budget=budget,
        odds_over=_odds(views, spare, to_date, budget),
        over_on=_passed(days, first, today, budget) or over[0],
        over_early=_passed(days, first, today, budget) or over[1],
        reason=reason,
    )


_AT = (0.1, 0.5, 0.9)


def _month_of(day: date) -> tuple[date, date]:
    first = day.replace(day=1)
    return first, (first + timedelta(days=32)).replace(day=1)


def _by_day(daily: pd.DataFrame, timezone: str) -> dict[date, Decimal]:
    found: dict[date, Decimal] = {}
    if daily.empty:
        return found
    if "day_local" in daily:
        when = [date.fromisoformat(str(value)[:10]) for value in daily["day_local"]]
    else:
        when = list(pd.DatetimeIndex(daily["bucket"]).tz_convert(timezone).date)
    for day, usd in zip(when, daily["cost_usd"], strict=True):
        if isinstance(usd, Decimal) and usd.is_finite():
            found[day] = found.get(day, money.ZERO) + usd
    return found


def _line(days: dict[date, Decimal], today: date) -> Floats:
    """Whole days as one row, zero where nothing was spent, from the first use on."""
    begin = max(min(days, default=today), today - timedelta(days=LONGEST))
    count = max(0, (today - begin).days)
    made = np.zeros((1, count))
    for day, usd in days.items():
        if begin <= day < today:
            made[0, (day - begin).days] = float(usd)
    return from_first_use(made)


def _views(usd: Floats, left: int) -> list[Outlook]:
    """The outlook of each number of coming days up to the month's end; empty for no history."""
    if (~np.isnan(usd)).sum() < 2:
        return []
    return [outlooks(look_at(usd, days), own_half=sum_half(days))[0] for days in range(1, left + 1)]


def _reason(usd: Floats) -> str:
    days = int((~np.isnan(usd)).sum())
    return "nothing was spent before today" if days == 0 else "one day of spend is no history"


def _odds(
    views: list[Outlook], spare: float | None, to_date: Decimal, budget: Decimal | None
) -> float | None:
    if budget is not None and to_date > budget:
        return 1.0
    if spare is None or not views:
        return None
    return round(views[-1].odds(max(0.0, spare)), 4)


def _passed(
    days: dict[date, Decimal], first: date, today: date, budget: Decimal | None
) -> date | None:
    """The day on which the budget was passed already."""
    spent = money.ZERO
    for day in sorted(day for day in days if first <= day <= today):
        spent += days[day]
        if budget is not None and spent > budget:
            return day
    return None


def _day_over(
    views: list[Outlook], done: float, budget: Decimal | None, today: date, at: float
) -> date | None:
    if budget is None:
        return None
    for number, view in enumerate(views):
        if done + view.quantile(at) > float(budget):
            return today + timedelta(days=number)
    return None
