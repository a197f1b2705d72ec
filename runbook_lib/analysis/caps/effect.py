"""What caps do: to the key's own past, to a loop, and beyond themselves."""

from collections.abc import Sequence
from decimal import Decimal

import numpy as np
import pandas as pd

from runbook_lib.analysis.caps.frames import objects
from runbook_lib.analysis.caps.grid import Held
from runbook_lib.analysis.caps.inflight import UnderWay, lag_usd
from runbook_lib.analysis.caps.level import Floats
from runbook_lib.analysis.caps.material import CapMaterial, amount_of
from runbook_lib.analysis.caps.replay import Loops, Replay, loops, replay
from runbook_lib.analysis.caps.sized import WINDOWS, Sized
from runbook_lib.analysis.caps.standing import Standing

CURVE_STEPS = 24
"""Points of a curve, from a fifth of the sized cap to five times it."""

CURVE_KEYS = 12
"""Dearest keys that get curves."""

EFFECTS = [
    *("account", "key_name", "window", "kind", "cap_usd", "windows", "trips", "first_trip"),
    *("blocked_min", "stopped_usd", "loop_median_h", "loop_worst_h", "loop_median_usd"),
    *("loop_worst_usd", "loop_not_stopped", "overshoot_usd"),
]

CURVES = [
    *("account", "key_name", "cap_usd", "odds", "loop_median_usd", "loop_median_h", "sized"),
]


def effect_table(
    material: CapMaterial,
    keys: Sequence[Sized],
    caps: Sequence[Standing],
    held: Held,
    flying: Sequence[UnderWay],
) -> pd.DataFrame:
    """Say what caps do: to the key's own past, to a loop, and beyond themselves.

    Args:
        material: Reads `loop_factor`.
        keys: Every key with its sized caps.
        caps: What is set; a window that is set is replayed beside the sized one.
        held: Spend by hour.
        flying: Calls under way at once, by key.

    Returns:
        A row a key, window and kind ("sized" or "set"): `account`, `key_name`, `cap_usd`, `windows`
        (opened in the past), `trips`, `first_trip` (date), `blocked_min`, `stopped_usd`; for the
        day also `loop_median_h`, `loop_worst_h`, `loop_median_usd`, `loop_worst_usd`,
        `loop_not_stopped` (share), None where the key rested all week; `overshoot_usd`. Empty
        without hours.
    """
    if held.hours is None:
        return objects([], EFFECTS)
    hours = held.hours[:, held.hours_from :].reshape(len(held.keys), -1)
    under = np.array([one.count for one in flying]) * held.dearest
    over = under + lag_usd(held.hours, factor=material.loop_factor)
    rows: list[dict[str, object]] = []
    for window in WINDOWS:
        chosen = {"sized": [one.caps.get(window) for one in keys]}
        fixed = {one.ref: one.limit_usd for one in caps if one.window == window}
        if fixed:
            chosen["set"] = [fixed.get(ref) for ref in held.keys]
        for kind, amounts in chosen.items():
            limits = np.array([np.inf if cap is None else float(cap) for cap in amounts])
            done = replay(hours, limits, window)
            burnt = None
            if window == "1d":
                burnt = loops(hours, limits, factor=material.loop_factor)
            rows += _effects(held, window, kind, amounts, done, burnt, over)
    return objects(rows, EFFECTS)


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
                "account": held.keys[place].account or None,
                "key_name": held.keys[place].key_name,
                "window": window,
                "kind": kind,
                "cap_usd": cap,
                "windows": int(done.windows[place]),
                "trips": int(done.trips[place]),
                "first_trip": held.day(held.hours_from + first // 24) if first >= 0 else None,
                "blocked_min": round(float(done.blocked_min[place])),
                "stopped_usd": amount_of(done.stopped_usd[place]),
                **_loop(burnt, place),
                "overshoot_usd": amount_of(over[place]),
            }
        )
    return rows


def _loop(burnt: Loops | None, place: int) -> dict[str, object]:
    """Give the figures of a loop; None where there are none, or the key had nothing to multiply."""
    rested = burnt is None or not burnt.worst_usd[place] > 0
    made: dict[str, object] = {}
    for name in ("median_h", "worst_h", "not_stopped"):
        value = float("nan") if rested else float(getattr(burnt, name)[place])
        made[f"loop_{name}"] = round(value, 4) if np.isfinite(value) else None
    for name in ("median_usd", "worst_usd"):
        value = float("nan") if rested else float(getattr(burnt, name)[place])
        made[f"loop_{name}"] = amount_of(value) if np.isfinite(value) else None
    return made


def curves_table(material: CapMaterial, keys: Sequence[Sized], held: Held) -> pd.DataFrame:
    """Give odds of a trip and the cost of a loop against the cap of a day, for the dearest keys.

    Args:
        material: Reads `loop_factor`.
        keys: Every key.
        held: Spend by hour.

    Returns:
        A row a key and cap: `account`, `key_name` (with its account where the name alone could
        mean two), `cap_usd`, `odds` (in one day), `loop_median_usd`, `loop_median_h` (None where
        not stopped in two days, or no hours are known), `sized` (True on the row of the sized cap).
    """
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
                    "account": one.ref.account or None,
                    "key_name": one.label,
                    "cap_usd": amount_of(cap),
                    "odds": round(one.views["1d"].odds(float(cap)), 4),
                    "loop_median_usd": _loop(burnt, number)["loop_median_usd"],
                    "loop_median_h": _loop(burnt, number)["loop_median_h"],
                    "sized": bool(cap == sized),
                }
            )
    return objects(rows, CURVES)


def _curve(material: CapMaterial, held: Held, place: int, steps: Floats) -> Loops | None:
    if held.hours is None:
        return None
    line = held.hours[place, held.hours_from :].reshape(1, -1)
    return loops(np.repeat(line, len(steps), axis=0), steps, factor=material.loop_factor)
