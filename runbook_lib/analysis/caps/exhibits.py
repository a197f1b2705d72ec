"""The tables behind the figures and the page: money is Decimal, shares are plain numbers."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal

import numpy as np
import pandas as pd

from runbook_lib import money
from runbook_lib.analysis.caps.frames import objects
from runbook_lib.analysis.caps.grid import Held, day_of
from runbook_lib.analysis.caps.level import Floats
from runbook_lib.analysis.caps.material import LAG_MINUTES, CapMaterial, amount_of
from runbook_lib.analysis.caps.outlook import Outlook
from runbook_lib.analysis.caps.replay import Loops, Replay, loops, overshoot, replay
from runbook_lib.analysis.caps.sized import SURE_DAYS, WINDOWS, Sized
from runbook_lib.analysis.caps.standing import Standing
from runbook_lib.analysis.caps.tiers import defaults

CURVE_STEPS = 24
"""Points of a curve, from a fifth of the sized cap to five times it."""

CURVE_KEYS = 12
"""Dearest keys that get curves."""


def caps_table(
    keys: Sequence[Sized],
    known: Mapping[str, str],
    tests: Mapping[tuple[str, str], tuple[int, int]],
) -> pd.DataFrame:
    """Give the sized caps, a row a key and window.

    Args:
        keys: Every key.
        known: Environment of each.
        tests: Trips and periods of the back-test by key and window.

    Returns:
        `key_name`, `environment`, `window`, `days` (history), `p10_usd`, `p50_usd`, `p90_usd`
        (spend of one window), `cap_usd`, `odds` (of a trip in one window), `tested` (periods),
        `tripped` (of them), `basis` (own history, pooled, or why there is none).
    """
    rows = []
    for one in keys:
        for window in WINDOWS:
            row: dict[str, object] = {
                "key_name": one.key_name,
                "environment": known.get(one.key_name) or None,
                "window": window,
                "days": one.days,
            }
            view = one.views.get(window)
            tested = tests.get((one.key_name, window))
            at = (0.1, 0.5, 0.9)
            spent = [None if view is None else amount_of(view.quantile(share)) for share in at]
            rows.append(
                {
                    **row,
                    **dict(zip(("p10_usd", "p50_usd", "p90_usd"), spent, strict=True)),
                    "cap_usd": one.caps.get(window),
                    "odds": None if view is None else round(one.odds(window), 4),
                    "tested": tested[1] if tested else None,
                    "tripped": tested[0] if tested else None,
                    "basis": basis_of(one, view),
                }
            )
    return objects(rows)


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
    known: Mapping[str, str],
    held: Held,
) -> pd.DataFrame:
    """Give the numbers to type into /keys, a row a key and window.

    Args:
        material: Reads currency, rate, `now`, `review_days`.
        keys: Every key.
        caps: What is set: its currency stays, and its used amount counts.
        known: Environment of each key.
        held: Spend, for what a lifetime quota has used.

    Returns:
        `key_name`, `environment`, `window` (total, 5h, 1d, 7d), `type` (the number), `currency`,
        `cap_usd` (behind it), `used_usd` (so far, for "total"), `set_now` (amount), `odds`,
        `review_on` (date), `note`. A lifetime quota gets used so far + what it may spend until the
        review; a window gets its cap. None where no number can be given, with the reason.
    """
    fixed = {(one.key_name, one.window): one for one in caps}
    tier = defaults(material, [one.key_name for one in keys], known)
    review = day_of(material.now, material.timezone) + timedelta(days=material.review_days)
    rows = []
    for place, one in enumerate(keys):
        for window in ("total", "1d", "7d", "5h"):
            now = fixed.get((one.key_name, window))
            cap = _until_review(material, one) if window == "total" else one.caps.get(window)
            note = "by its history"
            if cap is None and window == "total":
                cap = tier.get(one.key_name)
                note = f"starting point of its environment: {one.reason}"
            if cap is None:
                note = f"{one.reason}; " + (
                    "give its environment and the budget" if window == "total" else "no number"
                )
            used = _used(now, held, place) if window == "total" else None
            number = None if cap is None else cap + (used or money.ZERO)
            currency = _currency(material, now)
            rows.append(
                {
                    "key_name": one.key_name,
                    "environment": known.get(one.key_name) or None,
                    "window": window,
                    "type": None if number is None else material.typed(number, currency),
                    "currency": currency,
                    "cap_usd": cap,
                    "used_usd": used,
                    "set_now": None if now is None else now.amount,
                    "odds": _odds(one, window),
                    "review_on": review,
                    "note": note + _lower_bound(window, now),
                }
            )
    return objects(rows)


def _until_review(material: CapMaterial, one: Sized) -> Decimal | None:
    month = one.caps.get("month")
    return None if month is None else month * material.review_days / 30


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


def effect_table(
    material: CapMaterial, keys: Sequence[Sized], caps: Sequence[Standing], held: Held
) -> pd.DataFrame:
    """Say what caps do: to the key's own past, to a loop, and beyond themselves.

    Args:
        material: Reads `loop_factor`, `in_flight`.
        keys: Every key with its sized caps.
        caps: What is set; a window that is set is replayed beside the sized one.
        held: Spend by hour.

    Returns:
        A row a key, window and kind ("sized" or "set"): `cap_usd`, `windows` (opened in the past),
        `trips`, `first_trip` (date), `blocked_min`, `stopped_usd`; for the day also
        `loop_median_h`, `loop_worst_h`, `loop_median_usd`, `loop_worst_usd`, `loop_not_stopped`
        (share); `overshoot_usd`. Empty without hours.
    """
    columns = [
        *("key_name", "window", "kind", "cap_usd", "windows", "trips", "first_trip"),
        *("blocked_min", "stopped_usd", "loop_median_h", "loop_worst_h", "loop_median_usd"),
        *("loop_worst_usd", "loop_not_stopped", "overshoot_usd"),
    ]
    if held.hours is None:
        return objects([], columns)
    hours = held.hours.reshape(len(held.names), -1)
    over = overshoot(
        held.dearest,
        hours[:, -168:].mean(axis=1),
        in_flight=material.in_flight,
        factor=material.loop_factor,
        lag_minutes=LAG_MINUTES,
    )
    rows: list[dict[str, object]] = []
    for window in WINDOWS:
        chosen = {"sized": [one.caps.get(window) for one in keys]}
        fixed = {one.key_name: one.limit_usd for one in caps if one.window == window}
        if fixed:
            chosen["set"] = [fixed.get(name) for name in held.names]
        for kind, amounts in chosen.items():
            limits = np.array([np.inf if cap is None else float(cap) for cap in amounts])
            done = replay(hours, limits, window)
            burnt = None
            if window == "1d":
                burnt = loops(hours, limits, factor=material.loop_factor)
            rows += _effects(held, window, kind, amounts, done, burnt, over)
    return objects(rows, columns)


def _effects(
    held: Held,
    window: str,
    kind: str,
    amounts: Sequence[Decimal | None],
    done: Replay,
    burnt: Loops | None,
    over: Floats,
) -> list[dict[str, object]]:
    rows = []
    for place, cap in enumerate(amounts):
        if cap is None:
            continue
        first = int(done.first[place])
        rows.append(
            {
                "key_name": held.names[place],
                "window": window,
                "kind": kind,
                "cap_usd": cap,
                "windows": int(done.windows[place]),
                "trips": int(done.trips[place]),
                "first_trip": held.day(first // 24) if first >= 0 else None,
                "blocked_min": round(float(done.blocked_min[place])),
                "stopped_usd": amount_of(done.stopped_usd[place]),
                **_loop(burnt, place),
                "overshoot_usd": amount_of(over[place]),
            }
        )
    return rows


def _loop(burnt: Loops | None, place: int) -> dict[str, object]:
    made: dict[str, object] = {}
    for name in ("median_h", "worst_h", "not_stopped"):
        value = float("nan") if burnt is None else float(getattr(burnt, name)[place])
        made[f"loop_{name}"] = round(value, 4) if np.isfinite(value) else None
    for name in ("median_usd", "worst_usd"):
        value = float("nan") if burnt is None else float(getattr(burnt, name)[place])
        made[f"loop_{name}"] = amount_of(value) if np.isfinite(value) else None
    return made


def curves_table(material: CapMaterial, keys: Sequence[Sized], held: Held) -> pd.DataFrame:
    """Give odds of a trip and the cost of a loop against the cap of a day, for the dearest keys.

    Args:
        material: Reads `loop_factor`.
        keys: Every key.
        held: Spend by hour.

    Returns:
        A row a key and cap: `key_name`, `cap_usd`, `odds` (in one day), `loop_median_usd`,
        `loop_median_h` (None where not stopped in two days, or no hours are known), `sized`
        (True on the row of the sized cap).
    """
    columns = ["key_name", "cap_usd", "odds", "loop_median_usd", "loop_median_h", "sized"]
    able = [place for place, one in enumerate(keys) if one.views]
    able.sort(key=lambda place: -keys[place].views["7d"].quantile(0.5))
    rows = []
    for place in able[:CURVE_KEYS]:
        one = keys[place]
        sized = float(one.caps["1d"])
        steps = np.sort(np.append(sized * np.geomspace(0.2, 5, CURVE_STEPS), sized))
        burnt = _curve(material, held, place, steps)
        for number, cap in enumerate(steps):
            rows.append(
                {
                    "key_name": one.key_name,
                    "cap_usd": amount_of(cap),
                    "odds": round(one.views["1d"].odds(float(cap)), 4),
                    "loop_median_usd": _loop(burnt, number)["loop_median_usd"],
                    "loop_median_h": _loop(burnt, number)["loop_median_h"],
                    "sized": bool(cap == sized),
                }
            )
    return objects(rows, columns)


def _curve(material: CapMaterial, held: Held, place: int, steps: Floats) -> Loops | None:
    if held.hours is None:
        return None
    line = held.hours[place].reshape(1, -1)
    return loops(np.repeat(line, len(steps), axis=0), steps, factor=material.loop_factor)


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
