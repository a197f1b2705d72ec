"""When each limit runs out, the binding one first, and by when to act."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from runbook_lib.analysis.caps.balance import Balance
from runbook_lib.analysis.caps.frames import objects
from runbook_lib.analysis.caps.grid import Held, day_of
from runbook_lib.analysis.caps.material import CapMaterial, amount_of, to_type
from runbook_lib.analysis.caps.outlook import Outlook, look_at, outlooks, sum_half
from runbook_lib.analysis.caps.planned import planned_factor
from runbook_lib.analysis.caps.refs import Ref
from runbook_lib.analysis.caps.sized import Sized
from runbook_lib.analysis.caps.standing import LENGTH_DAYS, Standing, plans
from runbook_lib.analysis.caps.tiers import WHOLE, budget_usd
from runbook_lib.analysis.caps.used import month_start, used_of
from runbook_lib.findings import Evidence, Join

LONGEST_DAYS = 365.0
"""Days beyond which nothing is said to run out."""

SPANS = (1, 7, 30)

COLUMNS = [
    *("what", "account", "key_name", "environment", "window", "limit_usd", "used_usd"),
    *("remaining_usd", "used_share", "elapsed_share", "burn_rate", "usd_a_day", "resets_at"),
    *(
        "runs_out_on",
        "runs_out_early",
        "act_by",
        "amount_usd",
        "basis",
        "source_file",
        "row_number",
    ),
]


def together(material: CapMaterial, held: Held, mine: NDArray[np.bool_]) -> dict[str, Outlook]:
    """Give the outlook of several keys together, by window; empty without history.

    Args:
        material: Reads plans and `now`.
        held: Spend by key and day.
        mine: Which keys.

    Returns:
        Outlooks of a day, a week and a month.
    """
    usd = held.usd[mine]
    known = ~np.isnan(usd)
    line = np.where(known.any(axis=0), np.nansum(usd, axis=0), np.nan)[None]
    if known.any(axis=0).sum() < 2:
        return {}
    made = {}
    for window, days in zip(("1d", "7d", "month"), SPANS, strict=True):
        parts = planned_factor(material.planned, held.keys, now=material.now, days=days)
        weights = np.nansum(held.usd[:, -30:], axis=1) * mine
        share = weights.sum()
        factor = np.array([float((parts * weights).sum() / share) if share > 0 else 1.0])
        made[window] = outlooks(look_at(line, days), factor=factor, own_half=sum_half(days))[0]
    return made


def of_account(held: Held, account: str | None) -> NDArray[np.bool_]:
    """Tell which keys are those of an account; None for all."""
    return np.array([account is None or ref.account == account for ref in held.keys], dtype=bool)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One limit as it stands: what it is of, what is left, and where that is from.

    Attributes:
        what: "balance", "budget", "plan" (a subscription), "key cap" or "window".
        views: Outlooks of the spend that it limits.
        limit, used, remaining: USD; None where unknown.
        began, resets: Its span, where known.
        basis: Where the numbers are from, in words; cell: the cell they stand on.
        exact: What is used is told by a live answer; else it is summed or reckoned.
        of: `account`, `key_name`, `environment`, `window`; without those that do not apply.
    """

    what: str
    views: Mapping[str, Outlook] = field(repr=False)
    limit: Decimal | None
    used: Decimal | None
    remaining: Decimal
    began: datetime | None
    resets: datetime | None
    basis: str
    cell: Evidence
    exact: bool = False
    of: Mapping[str, str | None]

    @property
    def rolls(self) -> bool:
        """Whether it is whole again after a while."""
        return self.what in ("window", "budget", "plan")

    @property
    def place(self) -> tuple[Ref, str]:
        """The key and the window it is of; both empty where it is of none."""
        ref = Ref(self.of.get("account") or "", self.of.get("key_name") or "")
        return ref, self.of.get("window") or ""


def limits_of(
    material: CapMaterial,
    held: Held,
    keys: Sequence[Sized],
    caps: Sequence[Standing],
    accounts: Sequence[Balance],
) -> list[Limit]:
    """Gather every limit of which is known what is left.

    Args:
        material: Reads `now` and the budget.
        held: Spend by key and day.
        keys: Every key with its outlooks.
        caps: What is set.
        accounts: Balances by account.

    Returns:
        Balances, budgets of the month, key caps, windows and subscriptions.
    """
    return [
        *_balances(material, held, accounts),
        *_budgets(material, held, keys),
        *_caps(keys, caps),
        *_caps(keys, plans(material, held), what="plan"),
    ]


def timed(material: CapMaterial, limits: Sequence[Limit]) -> list[tuple[dict[str, Any], Limit]]:
    """Say of every limit when it is used up.

    Args:
        material: Reads `now`, `lead_days`, `timezone`.
        limits: As `limits_of` gives them; those of which no spend is forecast are left out.

    Returns:
        A row of `clocks` with its limit each, soonest first.
    """
    rows = [(_row(material, one), one) for one in limits if one.views]
    never = date.max
    return sorted(
        rows,
        key=lambda pair: (
            pair[0]["runs_out_early"] or never,
            pair[0]["runs_out_on"] or never,
            pair[0]["what"],
            *(str(pair[1].of.get(at) or "") for at in ("key_name", "account")),
            *(str(pair[1].of.get(at) or "") for at in ("environment", "window")),
        ),
    )


def clocks(times: Sequence[tuple[dict[str, Any], Limit]]) -> pd.DataFrame:
    """Give every clock in one table.

    Args:
        times: As `timed` gives them.

    Returns:
        A row a limit, soonest first: `what` (balance, budget, plan, key cap, window), `account`,
        `key_name`, `environment`, `window`, `limit_usd`, `used_usd`, `remaining_usd` (Decimal USD),
        `used_share`, `elapsed_share`, `burn_rate` (used over elapsed share: above 1 it ends early),
        `usd_a_day` (p50), `resets_at` (instant), `runs_out_on` (date at p50), `runs_out_early` (at
        p90), `act_by` (date), `amount_usd` (to add so that thirty days at p90 are covered),
        `basis`, and the row it stands on: `source_file`, `row_number`. None where unknown or not
        before a year is over; a window or budget that is whole again first does not run out.
    """
    return objects([row for row, _ in times], COLUMNS)


def _balances(material: CapMaterial, held: Held, accounts: Sequence[Balance]) -> Iterator[Limit]:
    for one in accounts:
        mine = of_account(held, one.account)
        of = {"account": one.account}
        if one.key is not None:
            mine = np.array([ref == one.key for ref in held.keys], dtype=bool)
            of["key_name"] = one.key.key_name
        yield Limit(
            what="balance",
            views=together(material, held, mine),
            limit=None,
            used=None,
            remaining=one.usd,
            began=None,
            resets=None,
            basis=one.basis,
            cell=one.cell,
            of=of,
        )


def _budgets(material: CapMaterial, held: Held, keys: Sequence[Sized]) -> Iterator[Limit]:
    """The plan of the month: for each environment that has one, and for all together."""
    used = used_of(material, held.refs)
    names = sorted({one.environment for one in keys if one.environment})
    for name in [WHOLE, *names]:
        budget = budget_usd(material, "" if name == WHOLE else name)
        mine = np.array([name in (WHOLE, one.environment) for one in keys], dtype=bool)
        spent = [used.of(one.ref, "month") for one, own in zip(keys, mine, strict=True) if own]
        if budget is None or None in spent:
            continue
        done = sum((usd for usd in spent if usd is not None), Decimal(0))
        yield Limit(
            what="budget",
            views=together(material, held, mine),
            limit=budget,
            used=done,
            remaining=max(budget - done, Decimal(0)),
            began=month_start(material),
            resets=month_start(material, later=1),
            basis=f"{_budget_source(material, name)}, {used.basis('month')}",
            cell=Evidence(
                source=_budget_source(material, name),
                row=0,
                field="amount",
                value=budget,
                join=Join.NONE,
            ),
            of={"environment": name, "window": "month"},
        )


def _budget_source(material: CapMaterial, name: str) -> str:
    return "parameters" if name == WHOLE and material.monthly_budget is not None else "budget"


def _caps(keys: Sequence[Sized], caps: Sequence[Standing], *, what: str = "") -> Iterator[Limit]:
    by_ref = {one.ref: one for one in keys}
    for cap in caps:
        own = by_ref.get(cap.ref)
        if cap.remaining_usd is None or own is None:
            continue
        yield Limit(
            what=what or ("key cap" if cap.window == "total" else "window"),
            views=own.views,
            limit=cap.limit_usd,
            used=cap.used_usd,
            remaining=cap.remaining_usd,
            began=cap.began,
            resets=cap.resets,
            basis=cap.basis,
            cell=cap.cell,
            exact=cap.exact,
            of={
                "account": cap.ref.account,
                "key_name": cap.ref.key_name,
                "environment": own.environment or None,
                "window": cap.window,
            },
        )


def _row(material: CapMaterial, one: Limit) -> dict[str, Any]:
    early, usual = (ends_on(material, one, share) for share in (0.9, 0.5))
    need = amount_of(one.views["month"].quantile(0.9)) - one.remaining
    today, lead = day_of(material.now, material.timezone), material.lead_days
    used = None if one.used is None or not one.limit else round(float(one.used / one.limit), 4)
    elapsed = _elapsed(one, material.now)
    return {
        "what": one.what,
        **one.of,
        "account": one.of.get("account") or None,
        "limit_usd": one.limit,
        "used_usd": one.used,
        "remaining_usd": one.remaining,
        "used_share": used,
        "elapsed_share": elapsed,
        "burn_rate": None if used is None or not elapsed else round(used / elapsed, 2),
        "usd_a_day": amount_of(one.views["7d"].quantile(0.5) / 7),
        "resets_at": one.resets if one.rolls else None,
        "runs_out_on": usual,
        "runs_out_early": early,
        "act_by": None if one.what in ("window", "plan") else act_by(early, today, lead),
        "amount_usd": None if one.rolls else to_type(need) if need > 0 else Decimal(0),
        "basis": one.basis,
        "source_file": one.cell.source,
        "row_number": one.cell.row or None,
    }


def _elapsed(one: Limit, now: datetime) -> float | None:
    if one.began is None or one.resets is None or one.resets <= one.began:
        return None
    return round(min(1.0, max(0.0, (now - one.began) / (one.resets - one.began))), 4)


def ends_on(material: CapMaterial, one: Limit, share: float) -> date | None:
    """Give the local day on which a limit is used up; None where it is whole again before."""
    days = days_until(one.views, one.remaining, share)
    if days is None:
        return None
    at = material.now + timedelta(days=days)
    if one.rolls and days > 0 and (at >= (one.resets or _latest(material, one))):
        return None
    return day_of(at, material.timezone)


def _latest(material: CapMaterial, one: Limit) -> datetime:
    """Give the end of a window that could be open: at the latest its length from now."""
    return material.now + timedelta(days=LENGTH_DAYS.get(str(one.of["window"]), 0.0))
