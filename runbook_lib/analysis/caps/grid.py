"""Roll-ups as arrays: USD by key and day, and by key and hour, whole days only."""

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal

import numpy as np
import pandas as pd

from runbook_lib import clock
from runbook_lib.analysis.caps.level import Floats
from runbook_lib.analysis.caps.material import CapMaterial, text_of
from runbook_lib.analysis.caps.single import from_first_use

LONGEST = 400
"""Days of the past that are looked at; older ones say nothing of tomorrow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Spend of every key that was used or is in the inventory.

    Attributes:
        names: The keys, in alphabetical order; accounts: the account of each, empty for none.
        days: First whole day and the day after the last, as local dates.
        usd: USD by key and day, NaN before first use; refunds count as 0.
        hours: USD by key, day and hour of the day; None where no hours were given.
        dearest: Dearest single call of each key in USD; 0 where unknown.
        today: USD of each key since the last whole day.
        refunds: Days whose sum was below 0.
    """

    names: list[str]
    accounts: list[str]
    days: tuple[date, date]
    usd: Floats = field(repr=False)
    hours: Floats | None = field(repr=False)
    dearest: Floats = field(repr=False)
    today: Floats = field(repr=False)
    refunds: int

    def day(self, place: int) -> date:
        """Give the date of a column."""
        return self.days[0] + timedelta(days=place)

    def history(self, key: int) -> int:
        """Count the days from the key's first use to the end."""
        return int((~np.isnan(self.usd[key])).sum())


def day_of(at: datetime, timezone: str) -> date:
    """Give the local day of an instant."""
    return at.astimezone(clock.zone(timezone)).date()


def held_of(material: CapMaterial) -> Held:
    """Lay the roll-ups out by key and day.

    Args:
        material: What is given; reads `daily`, `hourly`, `keys`, `now`, `data_end`.

    Returns:
        The arrays. The unfinished day is not among the days; its spend is `today`.
    """
    names = _names(material)
    place = {name: number for number, name in enumerate(names)}
    until = day_of(min(material.data_end or material.now, material.now), material.timezone)
    daily = _placed(material.daily, place, material.timezone)
    first = min(daily["day"], default=until)
    first = max(min(first, until), until - timedelta(days=LONGEST))
    count = (until - first).days
    usd = np.zeros((len(names), count))
    rows = daily[(daily["day"] >= first) & (daily["day"] < until)]
    columns = np.array([(day - first).days for day in rows["day"]], dtype=int)
    np.add.at(usd, (rows["place"].to_numpy(dtype=int), columns), rows["usd"].to_numpy(dtype=float))
    now = daily[daily["day"] >= until]
    today = np.zeros(len(names))
    np.add.at(today, now["place"].to_numpy(dtype=int), now["usd"].to_numpy(dtype=float))
    hours, dearest = _hours(material, place, first, count)
    return Held(
        names=names,
        accounts=_accounts(material, names),
        days=(first, until),
        usd=from_first_use(usd),
        hours=hours,
        dearest=dearest,
        today=np.maximum(today, 0.0),
        refunds=int((usd < 0).sum()),
    )


def _names(material: CapMaterial) -> list[str]:
    frames = (material.daily, material.keys)
    found = {name for frame in frames if "key_name" in frame for name in frame["key_name"]}
    return sorted(name for name in found if isinstance(name, str) and name)


def _accounts(material: CapMaterial, names: list[str]) -> list[str]:
    """Give the account of each key by the first frame that knows it."""
    found: dict[str, str] = {}
    for frame in (material.key_state, material.keys, material.daily):
        if "account" in frame and "key_name" in frame:
            pairs = frame[["key_name", "account"]].drop_duplicates()
            known = zip(pairs["key_name"], pairs["account"], strict=True)
            found |= {str(name): text_of(account) for name, account in known if text_of(account)}
    return [found.get(name, "") for name in names]


def _placed(frame: pd.DataFrame, place: dict[str, int], timezone: str) -> pd.DataFrame:
    """Give rows of known keys with `place`, `day`, `hour` and `usd`; unknown costs are left out."""
    empty = pd.DataFrame({"place": [], "day": [], "hour": [], "usd": [], "dearest": []})
    if frame.empty or "key_name" not in frame:
        return empty
    kept = frame[frame["key_name"].isin(list(place)) & frame["cost_usd"].notna()]
    if kept.empty:
        return empty
    days, hours = _local(kept, timezone)
    dear = kept["max_cost_usd"] if "max_cost_usd" in kept else pd.Series(0.0, index=kept.index)
    return pd.DataFrame(
        {
            "place": kept["key_name"].map(place).to_numpy(),
            "day": days,
            "hour": hours,
            "usd": [float(cost) for cost in kept["cost_usd"]],
            "dearest": [float(cost) if isinstance(cost, Decimal) else 0.0 for cost in dear],
        }
    )


def _local(frame: pd.DataFrame, timezone: str) -> tuple[list[date], list[int]]:
    """Give the local day and hour of each row, from its text or else from its instant."""
    for name in ("hour_local", "day_local"):
        if name in frame:
            texts = [str(value) for value in frame[name]]
            known = {text: date.fromisoformat(text[:10]) for text in set(texts)}
            hours = [int(text[11:13] or 0) for text in texts]
            return [known[text] for text in texts], hours
    local = pd.DatetimeIndex(frame["bucket"]).tz_convert(timezone)
    return list(local.date), list(local.hour)


def _hours(
    material: CapMaterial, place: dict[str, int], first: date, count: int
) -> tuple[Floats | None, Floats]:
    rows = _placed(material.hourly, place, material.timezone)
    dearest = np.zeros(len(place))
    if rows.empty or not count:
        return None, dearest
    where = rows["place"].to_numpy(dtype=int)
    np.maximum.at(dearest, where, rows["dearest"].to_numpy(dtype=float))
    columns = np.array([(day - first).days for day in rows["day"]], dtype=int)
    inside = (columns >= 0) & (columns < count)
    hours = np.zeros((len(place), count, 24))
    spots = (where[inside], columns[inside], rows["hour"].to_numpy(dtype=int)[inside])
    np.add.at(hours, spots, rows["usd"].to_numpy(dtype=float)[inside])
    return np.maximum(hours, 0.0), dearest
