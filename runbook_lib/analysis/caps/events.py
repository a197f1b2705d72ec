"""Planned events: what they need at p90, which cap to type while they last, and by when to act."""

from collections.abc import Sequence
from datetime import timedelta
from math import ceil
from typing import Any

import numpy as np
import pandas as pd

from runbook_lib.analysis.caps.clocks import act_by
from runbook_lib.analysis.caps.frames import objects
from runbook_lib.analysis.caps.grid import Held, day_of
from runbook_lib.analysis.caps.material import CapMaterial, amount_of, text_of, to_type
from runbook_lib.analysis.caps.outlook import Outlook, look_at, outlooks, sum_half
from runbook_lib.analysis.caps.planned import MOST, meeting, usable
from runbook_lib.analysis.caps.sized import Sized

LONGEST_EVENT = 90
"""Days of an event that are forecast at most."""

COLUMNS = [
    *("account", "key_name", "from_day", "to_day", "days", "factor", "usual_p90_usd", "p90_usd"),
    *("extra_usd", "day_cap_usd", "act_by", "note"),
]


def events_table(material: CapMaterial, held: Held, keys: Sequence[Sized]) -> pd.DataFrame:
    """Say what planned events need.

    Args:
        material: Reads `planned`, `now`, `risk`, `lead_days`, `timezone`.
        held: Spend by key and day.
        keys: Every key.

    Returns:
        A row a plan still to come and key it names, or one for all keys together: `account`,
        `key_name` (None for all), `from_day`, `to_day` (dates, both included), `days` (count, to
        come), `factor`, `usual_p90_usd` (of these days without the plan), `p90_usd` (with it),
        `extra_usd` (their difference), `day_cap_usd` (cap of a day to type while it lasts),
        `act_by` (date), `note`. Plans without a usable factor are left out.
    """
    planned = material.planned
    if planned.empty:
        return objects([], COLUMNS)
    coming = planned[usable(planned) & planned["start"].notna() & (planned["end"] > material.now)]
    rows = []
    for plan in coming.sort_values(["start", "end"], kind="stable").to_dict("records"):
        if not text_of(plan["key_name"]):
            rows += _row(material, held, plan, None)
            continue
        for one in keys:
            if one.views and meeting(pd.DataFrame([plan]), one.ref):
                rows += _row(material, held, plan, one)
    return objects(rows, COLUMNS)


def _row(
    material: CapMaterial, held: Held, plan: dict[Any, Any], one: Sized | None
) -> list[dict[str, object]]:
    start, end = max(plan["start"], material.now), plan["end"]
    days = min(LONGEST_EVENT, max(1, ceil((end - start) / timedelta(days=1))))
    factor = min(float(plan["factor"]), MOST)
    view = _outlook(held, days, one)
    if view is None:
        return []
    usual, first = view.quantile(0.9), day_of(start, material.timezone)
    day = None if one is None else _outlook(held, 1, one, factor=factor)
    extra = amount_of(usual * max(factor - 1, 0.0))
    return [
        {
            "account": None if one is None else one.ref.account or None,
            "key_name": None if one is None else one.ref.key_name,
            "from_day": first,
            "to_day": day_of(end - timedelta(microseconds=1), material.timezone),
            "days": days,
            "factor": factor,
            "usual_p90_usd": amount_of(usual),
            "p90_usd": amount_of(usual * factor),
            "extra_usd": extra,
            "day_cap_usd": None if day is None else to_type(amount_of(day.cap(material.risk), 8)),
            "act_by": act_by(first, day_of(material.now, material.timezone), material.lead_days),
            "note": text_of(plan.get("note")) or None,
        }
    ]


def _outlook(held: Held, days: int, one: Sized | None, *, factor: float = 1.0) -> Outlook | None:
    """Give the outlook of one key, or of all together, over some days; None without history."""
    if one is not None:
        place = held.keys.index(one.ref)
        factors = np.full(len(held.keys), factor)
        return outlooks(look_at(held.usd, days), factor=factors, keys=[place])[0]
    known = ~np.isnan(held.usd)
    if known.any(axis=0).sum() < 2:
        return None
    line = np.where(known.any(axis=0), np.nansum(held.usd, axis=0), np.nan)[None]
    return outlooks(look_at(line, days), own_half=sum_half(days))[0]
