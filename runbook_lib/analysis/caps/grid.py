"""Roll-ups as arrays: USD by key and day, and by key and hour, whole days only."""

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal

import numpy as np
import pandas as pd

from runbook_lib import clock
from runbook_lib.analysis.caps.level import Floats
from runbook_lib.analysis.caps.material import CapMaterial
from runbook_lib.analysis.caps.refs import Ref, Refs, refs_of
from runbook_lib.analysis.caps.single import from_first_use

HOUR = timedelta(hours=1)

LONGEST = 400
"""Days of the past that are looked at; older ones say nothing of tomorrow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Spend of every key that was used or is in the inventory.

    Attributes:
        refs: The keys; arrays go by their place.
        days: First whole day and the day after the last, as local dates.
        usd: USD by key and day, NaN before first use; refunds count as 0.
        hours: USD by key, day and hour of the day; None where no hours were given.
        hours_from: Place of the first day of which hours were given.
        dearest: Dearest single call of each key in USD; 0 where unknown.
        today: USD of each key since the last whole day.
        nameless: USD of rows that name no key: no cap can hold them.
        refunds: Days whose sum was below 0.
    """

    refs: Refs
    days: tuple[date, date]
    usd: Floats = field(repr=False)
    hours: Floats | None = field(repr=False)
    hours_from: int
    dearest: Floats = field(repr=False)
    today: Floats = field(repr=False)
    refunds: int
    nameless: float

    @property
    def keys(self) -> list[Ref]:
        """The keys, in the order of the arrays."""
        return self.refs.all

    def day(self, place: int) -> date:
        """Give the date of a column."""
        return self.days[0] + timedelta(days=place)

    def history(self, key: int) -> int:
        """Count the days from the key's first use to the end."""
        return int((~np.isnan(self.usd[key])).sum())


def day_of(at: datetime, timezone: str) -> date:
    """Give the local day of an instant."""
    return at.astimezone(clock.zone(timezone)).date()


def known_to(material: CapMaterial) -> datetime:
    """Give the instant up to which the usage rows tell everything, not after now.

    It is that of the last row, as nobody knows whether the days after it were cheap or not
    exported. Where the rest of its day is no longer than keys together have rested before, the day
    is over: an export of a whole day seldom ends in its last second.

    Args:
        material: Reads `data_end`, `now`, `hourly`, `timezone`.

    Returns:
        Now, the last row, or the end of its day.
    """
    end = min(material.data_end or material.now, material.now)
    day = day_of(end, material.timezone) + timedelta(days=1)
    over = datetime(day.year, day.month, day.day, tzinfo=clock.zone(material.timezone))
    rest = over - end
    return over if over <= material.now and rest <= _longest_rest(material.hourly) else end


def _longest_rest(hourly: pd.DataFrame) -> timedelta:
    """Give the longest time without a row in the newest fortnight of hours; at least one hour."""
    if hourly.empty or "bucket" not in hourly:
        return HOUR
    hours = pd.DatetimeIndex(hourly["bucket"]).unique().sort_values()
    hours = hours[hours >= hours[-1] - pd.Timedelta(days=14)]
    gaps = hours[1:] - hours[:-1]
    return max(HOUR, gaps.max().to_pytimedelta()) if len(gaps) else HOUR


def held_of(material: CapMaterial) -> Held:
    """Lay the roll-ups out by key and day.

    Args:
        material: What is given; reads `daily`, `hourly`, `keys`, `now`, `data_end`.

    Returns:
        The arrays. The unfinished day is not among the days; its spend is `today`.
    """
    refs = refs_of(material)
    until = day_of(known_to(material), material.timezone)
    daily = _placed(material.daily, refs, material.timezone)
    first = min(daily["day"], default=until)
    first = max(min(first, until), until - timedelta(days=LONGEST))
    count = (until - first).days
    usd = np.zeros((len(refs.all), count))
    rows = daily[(daily["day"] >= first) & (daily["day"] < until)]
    columns = np.array([(day - first).days for day in rows["day"]], dtype=int)
    np.add.at(usd, (rows["place"].to_numpy(dtype=int), columns), rows["usd"].to_numpy(dtype=float))
    now = daily[daily["day"] >= until]
    today = np.zeros(len(refs.all))
    np.add.at(today, now["place"].to_numpy(dtype=int), now["usd"].to_numpy(dtype=float))
    hours, hours_from, dearest = _hours(material, refs, first, count)
    return Held(
        refs=refs,
        days=(first, until),
        usd=from_first_use(usd),
        hours=hours,
        hours_from=hours_from,
        dearest=dearest,
        today=np.maximum(today, 0.0),
        refunds=int((usd < 0).sum()),
        nameless=_nameless(material.daily),
    )


def _nameless(daily: pd.DataFrame) -> float:
    if daily.empty or "key_name" not in daily:
        return 0.0
    rows = daily[daily["key_name"].isna() | (daily["key_name"] == "")]
    return float(sum(cost for cost in rows["cost_usd"] if isinstance(cost, Decimal)))


def _placed(frame: pd.DataFrame, refs: Refs, timezone: str) -> pd.DataFrame:
    """Give rows of known keys with `place`, `day`, `hour` and `usd`; unknown costs are left out."""
    empty = pd.DataFrame({"place": [], "day": [], "hour": [], "usd": [], "dearest": []})
    if frame.empty or "key_name" not in frame:
        return empty
    place = refs.places(frame)
    known = (place >= 0) & frame["cost_usd"].notna().to_numpy()
    kept = frame[known]
    if kept.empty:
        return empty
    days, hours = _local(kept, timezone)
    dear = kept["max_cost_usd"] if "max_cost_usd" in kept else pd.Series(0.0, index=kept.index)
    return pd.DataFrame(
        {
            "place": place[known],
            "day": days,
            "hour": hours,
            "usd": [float(cost) for cost in kept["cost_usd"]],
            "dearest": [float(cost) if isinstance(cost, Decimal) else 0.0 for cost in dear],
        }
    )


def local_days(frame: pd.DataFrame, timezone: str) -> list[date]:
    """Give the local day of each row of a roll-up.

    Args:
        frame: Reads `hour_local` or `day_local` (text or date), or else `bucket` (aware UTC).
        timezone: IANA zone, for `bucket`.

    Returns:
        A day a row.
    """
    return _local(frame, timezone)[0]


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
    material: CapMaterial, refs: Refs, first: date, count: int
) -> tuple[Floats | None, int, Floats]:
    rows = _placed(material.hourly, refs, material.timezone)
    dearest = np.zeros(len(refs.all))
    if rows.empty or not count:
        return None, 0, dearest
    where = rows["place"].to_numpy(dtype=int)
    np.maximum.at(dearest, where, rows["dearest"].to_numpy(dtype=float))
    columns = np.array([(day - first).days for day in rows["day"]], dtype=int)
    inside = (columns >= 0) & (columns < count)
    hours = np.zeros((len(refs.all), count, 24))
    spots = (where[inside], columns[inside], rows["hour"].to_numpy(dtype=int)[inside])
    np.add.at(hours, spots, rows["usd"].to_numpy(dtype=float)[inside])
    since = int(columns[inside].min(initial=count))
    return np.maximum(hours, 0.0), since, dearest
