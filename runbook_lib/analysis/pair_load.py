"""What the primary carries, hour by hour, at the price of the fallback."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pandas as pd

from runbook_lib import money
from runbook_lib.analysis.pair_checks import KEYS_MISSING
from runbook_lib.analysis.pair_material import PairMaterial, of_key, tokens_in

FEW_HOURS = 24
"""With less than a day of usage the busiest day has not been seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Spending a fallback key would see with everything of the primary on it.

    Attributes:
        moved: USD an hour that the primary's use would cost on the fallback, every hour of the
            span, 0 where it was not used. `own`: USD an hour the fallback's key is billed already.
        primary: USD an hour that the primary was billed.
        exact: False where the price has tiers by size, so that hours could be dearer.
        known_hours: Length of the usage it rests on; a first or last hour can be a part of one.
    """

    moved: "pd.Series[Any]"
    own: "pd.Series[Any]"
    primary: "pd.Series[Any]"
    exact: bool
    known_hours: float

    @property
    def both(self) -> "pd.Series[Any]":
        """Moved and own together, USD an hour."""
        return self.moved + self.own

    def rate(self, hours: int) -> Decimal:
        """USD an hour in the busiest span of so many hours, or of all that is known."""
        return self.busiest(hours) / Decimal(str(min(float(hours), self.known_hours)))

    @property
    def mean(self) -> Decimal:
        """USD an hour over all that is known."""
        return money.total(self.both) / Decimal(str(self.known_hours))

    def busiest(self, hours: int) -> Decimal:
        """The most USD that so many hours in a row would have cost."""
        whole = [int(amount.scaleb(money.SCALE)) for amount in self.both.map(tens)]
        width = max(1, min(hours, len(whole)))
        best = running = sum(whole[:width])
        for place in range(width, len(whole)):
            running += whole[place] - whole[place - width]
            best = max(best, running)
        return Decimal(best).scaleb(-money.SCALE)


def tens(amount: Decimal) -> Decimal:
    """Round an amount to the ten decimals of every table."""
    return money.rounded(amount, money.SCALE)


def needed(missing: str) -> str:
    """Turn "no price of X is known" into what to give: "price of X"."""
    return missing.removeprefix("no ").replace(" is known", "")


def load_of(material: PairMaterial) -> tuple[Load | None, str]:
    """Price the primary's use on the fallback, hour by hour.

    Args:
        material: The audit's frames.

    Returns:
        The load, or None with what is missing.
    """
    pair, rows = material.pair, material.load
    if not pair.primary_key or not pair.fallback_key:
        return None, KEYS_MISSING
    if rows.empty:
        return None, f"usage rows of {pair.primary} on key {pair.primary_key}"
    multiplier = material.multiplier(pair.fallback_key)
    if multiplier is None:
        return None, f"the rate multiplier of key {pair.fallback_key} (a usage row of its group)"
    moved: dict[Any, Decimal] = {}
    exact = True
    for row in rows.to_dict("records"):
        cost = material.cost(tokens_in(row), requests=int(row["requests"]), multiplier=multiplier)
        if cost.usd is None:
            return None, needed(cost.missing)
        moved[row["bucket"]] = moved.get(row["bucket"], money.ZERO) + cost.usd
        exact = exact and cost.exact
    span = span_of(material)
    shared = pair.primary_key == pair.fallback_key
    theirs = of_key(material.hours, pair.fallback_key)
    own = theirs[theirs["model"] != pair.primary] if shared else theirs
    return Load(
        moved=filled(pd.Series(moved), span),
        own=filled(billed(own), span),
        primary=filled(billed(rows), span),
        exact=exact,
        known_hours=min(float(len(span)), material.known_hours),
    ), ""


def billed(rows: pd.DataFrame) -> "pd.Series[Any]":
    """Sum what was billed, hour by hour.

    Args:
        rows: Usage by hour: `bucket`, `cost_usd` (USD; unknown adds nothing).

    Returns:
        USD by bucket.
    """
    known = rows[rows["cost_usd"].notna()]
    return known.groupby("bucket")["cost_usd"].agg(lambda part: sum(part, money.ZERO))


def span_of(material: PairMaterial) -> pd.DatetimeIndex:
    """Every hour from the first to the last in which either key was used."""
    times = material.hours["bucket"]
    return pd.date_range(times.min().floor("h"), times.max().floor("h"), freq="h")


def filled(amounts: "pd.Series[Any]", span: pd.DatetimeIndex) -> "pd.Series[Any]":
    """Give every hour of a span its amount in USD, 0 where there is none."""
    held = {at: amount for at, amount in amounts.items() if isinstance(amount, Decimal)}
    return pd.Series([held.get(at, money.ZERO) for at in span], index=span, dtype=object)


def lasting(left: Decimal, per_hour: Decimal) -> float | None:
    """Hours an amount lasts; None for no end."""
    if left <= 0:
        return 0.0
    return None if per_hour <= 0 else float(left / per_hour)


def in_hours(hours: float | None) -> str:
    """Write a length of time in hours for people."""
    if hours is None:
        return "any time"
    if hours < 1:
        return f"{hours * 60:.0f} min"
    return f"{hours:.1f} h" if hours < 72 else f"{hours / 24:.0f} days"
