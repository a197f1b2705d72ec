"""The tables to type from and to plan with: money is Decimal, shares are plain numbers."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from runbook_lib import money
from runbook_lib.analysis.caps.frames import objects
from runbook_lib.analysis.caps.grid import Held, day_of
from runbook_lib.analysis.caps.material import CapMaterial, amount_of
from runbook_lib.analysis.caps.outlook import Outlook
from runbook_lib.analysis.caps.sized import SURE_DAYS, WINDOWS, Sized
from runbook_lib.analysis.caps.standing import Standing
from runbook_lib.analysis.caps.tiers import defaults

if TYPE_CHECKING:
    from runbook_lib.analysis.caps.refs import Ref


def dearest_first(keys: Sequence[Sized]) -> list[int]:
    """Give the places of the keys by the cap of a month, the largest first; none comes last."""
    return sorted(range(len(keys)), key=lambda place: -keys[place].caps.get("month", money.ZERO))


def caps_table(
    keys: Sequence[Sized], tests: Mapping[tuple[int, str], tuple[int, int]]
) -> pd.DataFrame:
    """Give the sized caps, a row a key and window, the dearest key first.

    Args:
        keys: Every key.
        tests: Trips and windows of the back-test by place of the key and window.

    Returns:
        `account`, `key_name`, `environment`, `window`, `days` (history), `p10_usd`, `p50_usd`,
        `p90_usd` (spend of one window), `cap_usd`, `odds` (of a trip in one window), `tested`
        (windows held back), `tripped` (of them), `basis` (own history, pooled, or why there is
        none).
    """
    rows = []
    for place in dearest_first(keys):
        one = keys[place]
        for window in WINDOWS:
            view = one.views.get(window)
            tested = tests.get((place, window))
            at = (0.1, 0.5, 0.9)
            spent = [None if view is None else amount_of(view.quantile(share)) for share in at]
            rows.append(
                {
                    **_of(one),
                    "window": window,
                    "days": one.days,
                    **dict(zip(("p10_usd", "p50_usd", "p90_usd"), spent, strict=True)),
                    "cap_usd": one.caps.get(window),
                    "odds": None if view is None else round(one.odds(window), 4),
                    "tested": tested[1] if tested else None,
                    "tripped": tested[0] if tested else None,
                    "basis": basis_of(one, view),
                }
            )
    return objects(rows)


def _of(one: Sized) -> dict[str, object]:
    """Name the key of a row."""
    return {
        "account": one.ref.account or None,
        "key_name": one.ref.key_name,
        "environment": one.environment or None,
    }


def basis_of(one: Sized, view: Outlook | None) -> str:
    """Say what an answer rests on."""
    if view is None:
        return f"no forecast: {one.reason}"
    own = f"own past {view.own * 100:.0f} %, other keys {100 - view.own * 100:.0f} %"
    return own if one.days >= SURE_DAYS else f"{own}; only {one.days} days are known"


def to_type_table(
    material: CapMaterial,
    keys: Sequence[Sized],
    caps: Sequence[Standing],
    held: Held,
    events: pd.DataFrame,
) -> pd.DataFrame:
    """Give the numbers to type into /keys, a row a key and window, the dearest key first.

    Args:
        material: Reads currency, rate, `now`, `review_days`.
        keys: Every key.
        caps: What is set: its currency stays, and its used amount counts.
        held: Spend, for what a lifetime quota has used.
        events: What plans need, as `events.events_table` gives it.

    Returns:
        `account`, `key_name`, `environment`, `window` (total, 1d, 7d, 5h), `type` (the number),
        `currency`, `set_now` (amount that is set for this window), `set_elsewhere`
        (what is set for the key's other windows), `cap_usd` (behind the number), `used_usd` (so
        far, for "total"), `odds`, `review_on` (date), `note`. A lifetime quota gets used so far +
        what it may spend until the review; a window gets its cap. None where no number can be
        given, with the reason.
    """
    fixed = {(one.ref, one.window): one for one in caps}
    by_ref: dict[Ref, list[Standing]] = {}
    for cap in caps:
        by_ref.setdefault(cap.ref, []).append(cap)
    tier = defaults(material, keys)
    review = day_of(material.now, material.timezone) + timedelta(days=material.review_days)
    rows = []
    for place in dearest_first(keys):
        one = keys[place]
        own = by_ref.get(one.ref, [])
        for window in ("total", "1d", "7d", "5h"):
            now = fixed.get((one.ref, window))
            room, note = _number(material, one, window, tier.get(one.ref))
            used = _used(now, held, place) if window == "total" else None
            number = None if room is None else room + (used or money.ZERO)
            currency = _currency(material, now)
            others = [_told(other) for other in own if other.window != window]
            rows.append(
                {
                    **_of(one),
                    "window": window,
                    "type": None if number is None else material.typed(number, currency),
                    "currency": currency,
                    "set_now": None if now is None else now.amount,
                    "set_elsewhere": "; ".join(others) or None,
                    "cap_usd": room,
                    "used_usd": used,
                    "odds": _odds(one, window),
                    "review_on": review,
                    "note": "".join(
                        [note, _lower_bound(window, now), _event(window, one, events), _gone(one)]
                    ),
                }
            )
    return objects(rows)


def _told(cap: Standing) -> str:
    """Write a cap as it is set: "129.60 USD (total)"."""
    amount = money.plain(cap.amount)
    return f"{amount} {cap.inventory_currency or cap.currency} ({cap.window})"


def _number(
    material: CapMaterial, one: Sized, window: str, tier: Decimal | None
) -> tuple[Decimal | None, str]:
    """Give what a key may spend, in USD, and what that rests on; or why there is no number."""
    if one.caps:
        month = one.caps["month"] * material.review_days / 30
        return (month if window == "total" else one.caps[window]), "by its history"
    if window != "total":
        return None, f"{one.reason}; no number"
    if tier is None:
        return None, f"{one.reason}; give its environment and the budget"
    return tier, f"starting point of its environment: {one.reason}"


def _gone(one: Sized) -> str:
    """Say that a key has a successor."""
    name = one.entry.replaced_by
    return f"; replaced by {name}: delete it once nobody uses it" if name else ""


def _event(window: str, one: Sized, events: pd.DataFrame) -> str:
    """Say which cap of a day to type while a planned event lasts."""
    if window != "1d" or events.empty:
        return ""
    mine = (events["key_name"] == one.ref.key_name) & (
        events["account"].map(lambda account: account or "") == one.ref.account
    )
    return "".join(
        f"; planned: type {money.usd(row['day_cap_usd'])} from {row['from_day']} to {row['to_day']}"
        for row in events[mine].to_dict("records")
    )


def _odds(one: Sized, window: str) -> float | None:
    name = "month" if window == "total" else window
    return round(one.odds(name), 4) if one.views else None


def _used(now: Standing | None, held: Held, place: int) -> Decimal:
    if now is not None and now.used_usd is not None:
        return now.used_usd
    return amount_of(float(np.nansum(held.usd[place]) + held.today[place]))


def _lower_bound(window: str, now: Standing | None) -> str:
    if window != "total" or (now is not None and now.exact):
        return ""
    return "; used so far is what the export holds: look at /keys"


def _currency(material: CapMaterial, now: Standing | None) -> str:
    kept = now.inventory_currency or now.currency if now is not None else ""
    if kept == "CNY" and material.cny_per_usd is not None:
        return "CNY"
    return "USD" if kept == "USD" else material.currency


def fan_table(views: Mapping[str, Outlook], held: Held, today: date) -> pd.DataFrame:
    """Give the past of all keys together by day, and the spread of what is to come.

    Args:
        views: Outlook of all keys together, by window.
        held: Spend by key and day.
        today: First day that is still to come.

    Returns:
        A row a day of the last ninety: `day`, `spent_usd`; then a row for 1, 7 and 30 days ahead:
        `day` (last day of it), `p10_usd`, `p50_usd`, `p90_usd` of the total from *today* to then.
    """
    columns = ["day", "spent_usd", "p10_usd", "p50_usd", "p90_usd"]
    sums = np.nansum(held.usd, axis=0)
    begin = max(0, len(sums) - 90)
    rows: list[dict[str, object]] = [
        {"day": held.day(place), "spent_usd": amount_of(sums[place])}
        for place in range(begin, len(sums))
    ]
    for view in views.values():
        spread = {f"p{at}_usd": amount_of(view.quantile(at / 100)) for at in (10, 50, 90)}
        rows.append({"day": today + timedelta(days=int(view.horizon) - 1), **spread})
    return objects(rows, columns)
