"""Every key with its caps: for five hours, a day, a week and a month, each with its odds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

import numpy as np

from runbook_lib.analysis.caps.grid import Held
from runbook_lib.analysis.caps.level import Floats, look_back
from runbook_lib.analysis.caps.material import CapMaterial, to_type
from runbook_lib.analysis.caps.outlook import Outlook, look_at, outlooks
from runbook_lib.analysis.caps.planned import planned_factor

WINDOWS: dict[str, tuple[str, int]] = {
    "5h": ("peak", 1),
    "1d": ("total", 1),
    "7d": ("total", 7),
    "month": ("total", 30),
}
"""What a window's cap is made of: what is forecast, and the days of it."""

FEWEST_DAYS = 2
"""Days of history under which there is no forecast."""

SURE_DAYS = 14
"""Days of history from which on a forecast is not said to be from little."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sized:
    """One key, with what it may spend and what to cap it at.

    Attributes:
        key_name: The key.
        days: Days since its first use.
        reason: Why there is no forecast; empty where there is one.
        views: Outlook by window; empty where there is none.
        caps: Cap in USD by window, rounded to what one would type; empty where there is none.
    """

    key_name: str
    days: int
    reason: str
    views: Mapping[str, Outlook] = field(default_factory=dict, repr=False)
    caps: Mapping[str, Decimal] = field(default_factory=dict)

    def odds(self, window: str) -> float:
        """Give the odds that the cap of a window stops the key in one such window."""
        return self.views[window].odds(float(self.caps[window]))


def peaks(held: Held) -> Floats | None:
    """Give the highest five hours of each day, by key and day it is forecast from."""
    if held.hours is None:
        return None
    sums = np.concatenate([np.zeros((*held.hours.shape[:2], 1)), held.hours.cumsum(axis=2)], axis=2)
    made = np.full((held.usd.shape[0], held.usd.shape[1] + 1), np.nan)
    best = (sums[:, :, 5:] - sums[:, :, :-5]).max(axis=2)
    made[:, :-1] = np.where(np.isnan(held.usd), np.nan, best)
    return made


def reason_against(held: Held, key: int) -> str:
    """Say why the history of a key carries no forecast; empty where it does."""
    days = held.history(key)
    if days == 0:
        return "nothing was ever spent on it" if len(held.names) else "no history"
    if days < FEWEST_DAYS:
        return "it was first used on the last day of the export: one day is no history"
    return ""


def sized(material: CapMaterial, held: Held) -> list[Sized]:
    """Size caps for every key.

    Args:
        material: Reads `risk`, `loop_factor`, `planned` and `now`.
        held: Spend by key and day.

    Returns:
        One for each key of *held*, in order. A key without history has a reason instead of caps.
    """
    views: dict[str, Sequence[Outlook]] = {}
    past = look_back(held.usd)
    for window, (kind, days) in WINDOWS.items():
        ratios = look_at(held.usd, days, past=past, sums=peaks(held) if kind == "peak" else None)
        if kind == "peak" and held.hours is None:
            ratios = ratios.without_past()
        factor = planned_factor(material.planned, held.names, now=material.now, days=days)
        views[window] = outlooks(ratios, kind=kind, loop_factor=material.loop_factor, factor=factor)
    return [
        _sized(held, key, {window: made[key] for window, made in views.items()}, material.risk)
        for key in range(len(held.names))
    ]


def _sized(held: Held, key: int, views: dict[str, Outlook], risk: float) -> Sized:
    reason = reason_against(held, key)
    name, days = held.names[key], held.history(key)
    if reason:
        return Sized(key_name=name, days=days, reason=reason)
    caps: dict[str, Decimal] = {}
    least = Decimal(0)
    for window, view in views.items():
        # A longer window never has the smaller cap: the shorter one would never bind.
        raw = max(Decimal(repr(round(view.cap(risk), 8))), least)
        caps[window] = least = to_type(raw)
    return Sized(key_name=name, days=days, reason="", views=views, caps=caps)
