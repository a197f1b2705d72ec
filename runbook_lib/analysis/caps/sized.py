"""Every key with its caps: for five hours, a day, a week and a month, each with its odds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

import numpy as np

from runbook_lib.analysis.caps.ended import ended_of
from runbook_lib.analysis.caps.grid import Held, day_of
from runbook_lib.analysis.caps.level import Floats, look_back
from runbook_lib.analysis.caps.material import CapMaterial, to_type
from runbook_lib.analysis.caps.outlook import Outlook, look_at, outlooks
from runbook_lib.analysis.caps.planned import planned_factor
from runbook_lib.analysis.caps.refs import NOBODY, Entry, Ref, entries

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
        ref: The key; label: its name as people are told.
        entry: What the inventory knows of it.
        days: Days since its first use.
        reason: Why there is no forecast; empty where there is one.
        ended: Why nothing is typed for it any more; empty for a key that goes on.
        views: Outlook by window; empty where there is none.
        caps: Cap in USD by window, rounded to what one would type; empty where there is none.
    """

    ref: Ref
    label: str
    entry: Entry
    days: int
    reason: str
    views: Mapping[str, Outlook] = field(default_factory=dict, repr=False)
    caps: Mapping[str, Decimal] = field(default_factory=dict)
    ended: str = ""

    @property
    def environment(self) -> str:
        """Where it is used; empty for unknown."""
        return self.entry.environment

    @property
    def owner(self) -> str:
        """Who acts on it."""
        return self.entry.owner or "key owner"

    def odds(self, window: str) -> float:
        """Give the odds that the cap of a window stops the key in one such window."""
        return self.views[window].odds(float(self.caps[window]))


def peaks(held: Held) -> Floats | None:
    """Give the dearest five hours of each day, by key and day it is forecast from."""
    if held.hours is None:
        return None
    sums = np.concatenate([np.zeros((*held.hours.shape[:2], 1)), held.hours.cumsum(axis=2)], axis=2)
    made = np.full((held.usd.shape[0], held.usd.shape[1] + 1), np.nan)
    best = (sums[:, :, 5:] - sums[:, :, :-5]).max(axis=2)
    made[:, :-1] = np.where(np.isnan(held.usd), np.nan, best)
    made[:, : held.hours_from] = np.nan  # no hours is not the same as nothing spent
    return made


def reason_against(held: Held, key: int, today: date) -> str:
    """Say why the history of a key carries no forecast; empty where it does."""
    days = held.history(key)
    if days == 0 and held.today[key] > 0:
        begun = "today" if held.days[1] == today else "on the last day of the export"
        return f"its history begins {begun}"
    if days == 0:
        return "nothing was ever spent on it"
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
    factors = {
        window: planned_factor(material.planned, held.keys, now=material.now, days=days)
        for window, (_, days) in WINDOWS.items()
    }
    views = views_of(held.usd, peaks(held), loop_factor=material.loop_factor, factors=factors)
    labels, known = held.refs.labels(), entries(material, held.refs)
    ended, today = ended_of(material, held.refs, known), day_of(material.now, material.timezone)
    made = []
    for key, ref in enumerate(held.keys):
        reason = reason_against(held, key, today)
        own = {} if reason else {window: found[key] for window, found in views.items()}
        made.append(
            Sized(
                ref=ref,
                label=labels[ref],
                entry=known.get(ref, NOBODY),
                days=held.history(key),
                reason=reason,
                views=own,
                caps=caps_of(own, material.risk),
                ended=ended.get(ref, ""),
            )
        )
    return made


def views_of(
    usd: Floats,
    highest: Floats | None,
    *,
    loop_factor: float,
    factors: Mapping[str, Floats] | None = None,
    keys: Sequence[int] | None = None,
) -> dict[str, list[Outlook]]:
    """Give the outlooks of every window, from what is known up to a day.

    Args:
        usd: USD by key and day, NaN before first use.
        highest: Dearest five hours by key and day, as `peaks` gives them; None for unknown.
        loop_factor: Times the usual load at which a loop burns.
        factors: Times the usual total each key is planned to spend, by window; None for no plans.
        keys: Places of the keys that are asked for; None for all.

    Returns:
        Outlooks by window, the shortest first, in order of the keys.
    """
    past = look_back(usd)
    views = {}
    for window, (kind, days) in WINDOWS.items():
        ratios = look_at(usd, days, past=past, sums=highest if kind == "peak" else None)
        if kind == "peak" and highest is None:
            ratios = ratios.without_past()
        views[window] = outlooks(
            ratios,
            kind=kind,
            loop_factor=loop_factor,
            factor=None if factors is None else factors[window],
            keys=keys,
        )
    return views


def caps_of(views: Mapping[str, Outlook], risk: float) -> dict[str, Decimal]:
    """Give the caps of one key, rounded to what one would type.

    Args:
        views: Outlook by window, the shortest window first.
        risk: Share of usual windows a cap may stop.

    Returns:
        USD by window. A longer window never has the smaller cap: the shorter would never bind.
    """
    caps: dict[str, Decimal] = {}
    least = Decimal(0)
    for window, view in views.items():
        raw = max(Decimal(repr(round(view.cap(risk), 8))), least)
        caps[window] = least = to_type(raw)
    return caps
