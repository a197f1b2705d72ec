"""What each key has used of its caps, summed from usage rows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal

import pandas as pd

from runbook_lib import clock
from runbook_lib.analysis.caps.grid import day_of, known_to, local_days
from runbook_lib.analysis.caps.material import LAG_MINUTES, CapMaterial
from runbook_lib.analysis.caps.refs import Ref, Refs

ROLLING = {"5h": timedelta(hours=5), "7d": timedelta(days=7)}
"""Windows that open with a call: what was spent within their length is the most they can hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """Spend by key, from usage rows; refunds lower it.

    Attributes:
        days: USD by key and local day.
        recent: USD by key and rolling window; only of windows the rows reach into.
        starts: First instant of each window that the rows reach into.
        today: Local day; end: instant up to which the usage rows tell everything.
        told: That instant for people.
        zone: IANA zone of days.
    """

    days: Mapping[Ref, Mapping[date, Decimal]] = field(repr=False)
    recent: Mapping[tuple[Ref, str], Decimal] = field(repr=False)
    starts: Mapping[str, datetime]
    today: date
    end: datetime
    told: str
    zone: str

    def of(self, ref: Ref, window: str) -> Decimal | None:
        """Give what a key has used of a window, in USD.

        For "5h" and "7d" it is the most that the window can hold. Of a window the rows don't reach
        into, nothing is known: None. A lifetime ("total") is what the export holds.
        """
        if window == "total":
            return self._sum(ref, date.min)
        if window not in self.starts or self.end < self.starts[window]:
            return None
        if window in ROLLING:
            return max(self.recent.get((ref, window), Decimal(0)), Decimal(0))
        return self._sum(ref, self.today.replace(day=1) if window == "month" else self.today)

    def since(self, ref: Ref, at: datetime) -> Decimal:
        """Give what was spent on the days after that of an instant, in USD."""
        return self._sum(ref, day_of(at, self.zone) + timedelta(days=1))

    def near(self, ref: Ref, at: datetime) -> Decimal:
        """Give what was spent from the day on of which an answer of that instant can lack some."""
        return self._sum(ref, day_of(at - timedelta(minutes=LAG_MINUTES), self.zone))

    def basis(self, window: str) -> str:
        """Say where a number is from."""
        until = f"usage rows up to {self.told}"
        return f"{until}, at most" if window in ROLLING else until

    def _sum(self, ref: Ref, first: date) -> Decimal:
        days = self.days.get(ref, {})
        return max(sum((usd for day, usd in days.items() if day >= first), Decimal(0)), Decimal(0))


def used_of(material: CapMaterial, refs: Refs) -> Used:
    """Sum what is used.

    Args:
        material: Reads `daily`, `recent`, `now`, `data_end`, `timezone`.
        refs: Every key.

    Returns:
        Spend by key. Windows of five hours and a week are unknown where `recent` is not given.
    """
    end = known_to(material)
    starts = {"1d": day_start(material), "month": month_start(material)}
    if "window" in material.recent:
        starts |= {name: material.now - length for name, length in ROLLING.items()}
    return Used(
        days=_by_day(material, refs),
        recent=_recent(material.recent, refs),
        starts=starts,
        today=day_of(material.now, material.timezone),
        end=end,
        told=material.told(end),
        zone=material.timezone,
    )


def day_start(material: CapMaterial, *, later: int = 0) -> datetime:
    """Give the first instant of the local day, or of one some days later."""
    day = day_of(material.now, material.timezone) + timedelta(days=later)
    return datetime(day.year, day.month, day.day, tzinfo=clock.zone(material.timezone))


def month_start(material: CapMaterial, *, later: int = 0) -> datetime:
    """Give the first instant of the local month, or of one some months later."""
    day = day_of(material.now, material.timezone).replace(day=1)
    for _ in range(later):
        day = (day + timedelta(days=32)).replace(day=1)
    return datetime(day.year, day.month, day.day, tzinfo=clock.zone(material.timezone))


def _by_day(material: CapMaterial, refs: Refs) -> dict[Ref, dict[date, Decimal]]:
    frame = material.daily
    found: dict[Ref, dict[date, Decimal]] = {}
    if frame.empty or "key_name" not in frame:
        return found
    places, days = refs.places(frame), local_days(frame, material.timezone)
    for place, day, cost in zip(places, days, frame["cost_usd"], strict=True):
        if place >= 0 and isinstance(cost, Decimal):
            own = found.setdefault(refs.all[place], {})
            own[day] = own.get(day, Decimal(0)) + cost
    return found


def _recent(frame: pd.DataFrame, refs: Refs) -> dict[tuple[Ref, str], Decimal]:
    found: dict[tuple[Ref, str], Decimal] = {}
    if frame.empty:
        return found
    for place, window, cost in zip(
        refs.places(frame), frame["window"], frame["cost_usd"], strict=True
    ):
        if place >= 0 and isinstance(cost, Decimal):
            at = refs.all[place], str(window)
            found[at] = found.get(at, Decimal(0)) + cost
    return found
