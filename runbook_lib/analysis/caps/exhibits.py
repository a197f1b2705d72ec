"""The tables to type from and to plan with: money is Decimal, shares are plain numbers."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
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
from runbook_lib.analysis.caps.typed import FIELDS, Typed

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
    numbers: Mapping[tuple["Ref", str], Typed],
    events: pd.DataFrame,
) -> pd.DataFrame:
    """Give the numbers to type into /keys, a row a key and window, the dearest key first.

    Args:
        material: Reads currency, rate, `now`, `review_days`.
        keys: Every key.
        caps: What is set.
        numbers: As `typed.typed_of` gives them.
        events: What plans need, as `events.events_table` gives it.

    Returns:
        `account`, `key_name`, `environment`, `window` (total, 1d, 7d, 5h), `type` (the number),
        `currency` (one for all), `set_now` (amount that is set for this window), `set_currency`,
        `set_elsewhere` (what is set for the key's other windows), `cap_usd` (behind the number),
        `used_usd` (so far, for "total"), `odds`, `review_on` (date), `note`. None where no number
        can be given, with the reason.
    """
    fixed = {(one.ref, one.window): one for one in caps}
    review = day_of(material.now, material.timezone) + timedelta(days=material.review_days)
    rows = []
    for place in dearest_first(keys):
        one = keys[place]
        for window in FIELDS:
            now, typed = fixed.get((one.ref, window)), numbers[one.ref, window]
            others = [_told(cap) for cap in caps if cap.ref == one.ref and cap.window != window]
            rows.append(
                {
                    **_of(one),
                    "window": window,
                    "type": typed.number,
                    "currency": typed.currency,
                    "set_now": None if now is None else now.amount,
                    "set_currency": None if now is None else now.named,
                    "set_elsewhere": "; ".join(others) or None,
                    "cap_usd": typed.room,
                    "used_usd": typed.used,
                    "odds": None if typed.number is None else _odds(one, window),
                    "review_on": review,
                    "note": typed.note
                    if one.ended
                    else typed.note
                    + _lower_bound(window, now)
                    + _event(material, window, one, events),
                }
            )
    return objects(rows)


def _told(cap: Standing) -> str:
    """Write a cap as it is set: "129.60 USD (total)"."""
    return f"{money.plain(cap.amount)} {cap.named} ({cap.window})"


def _event(material: CapMaterial, window: str, one: Sized, events: pd.DataFrame) -> str:
    """Say which cap of a day to type while a planned event lasts."""
    if window != "1d" or events.empty:
        return ""
    mine = (events["key_name"] == one.ref.key_name) & (
        events["account"].map(lambda account: account or "") == one.ref.account
    )
    return "".join(
        f"; planned: type {material.told_typed(row['day_cap_usd'])} from {row['from_day']} to "
        f"{row['to_day']}"
        for row in events[mine].to_dict("records")
    )


def _odds(one: Sized, window: str) -> float | None:
    name = "month" if window == "total" else window
    return round(one.odds(name), 4) if one.views else None


def _lower_bound(window: str, now: Standing | None) -> str:
    if window != "total" or (now is not None and now.source == "key_state"):
        return ""
    return "; used so far is what the export holds: look at /keys"


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
