"""What a key may spend over a horizon: a whole distribution of the total, not a sum of days.

The total over the horizon is held against the level of the key (`level`). How such ratios spread is
taken from three places: what was measured beforehand over many keys (`prior`), the account's own
past, and the key's own past. The longer the own past, the more it counts. So a key of three days
has an answer, and a key of ninety days has its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from runbook_lib.analysis.caps.level import WEEK, Floats, Past, Shape, levels, look_back
from runbook_lib.analysis.caps.prior import PROBABILITIES, prior_ratios

DAILY = Shape(top=0.5, newest=0.5, spread=0.4)
LONGER = Shape(mean=0.4, second=0.4, highest=0.2, pull=0.25)

PRIOR_WEIGHT = 100.0
"""Periods that what was measured beforehand counts as."""

CLUSTER = 2.0
"""Periods of one account that count as one: they rise and fall together."""

OWN_HALF = 20.0
"""Own periods of a key beyond those from which on its own past counts half.

They overlap, so that longer ones say less: see `OVERLAP`.
"""

SUM_HALF = ((7.0, 30.0), (4.0, 10.0))
"""The same for many keys together, which are steadier than one: days, and own periods.

Of few months less is known than of few weeks. Tried on sums of keys of which one in ten changes in
a week: p90 holds 89 to 94 of 100 weeks, and 80 to 92 of 100 months.
"""

OVERLAP = 0.3
"""Power of the days of a period by which more of them are needed."""

POOL_ATOMS = 200

OWN_FEWEST = 14
"""Past periods of a key, by the days they began on, that say too little to be counted at all."""

CHANGED = ((1.0, 3.0, 7.0), (0.0055, 0.028, 0.05))
"""Days, and share of such periods in which a key is put to another use altogether.

No cap made of the past can carry these, and none should: they look like a loop. The risk asked for
is that of the other periods; the odds that are told cover all of them. It is part of what was
measured beforehand: the account's own past takes its place.
"""

LOOP_GUARD = 0.95
"""A cap for a day stays below this share of a loop's day, so that a loop cannot run on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """How much one key may spend over one horizon.

    Attributes:
        horizon: Days.
        scale: USD that a ratio of 1 stands for, planned activity included.
        ratios: Possible totals over *scale*, ascending.
        below: Probability that the total is below each ratio.
        own: Share of the own past in it (0–1); before: share of what was measured beforehand.
        guard: USD no cap may pass; infinite for none.
    """

    horizon: float
    scale: float
    ratios: Floats = field(repr=False)
    below: Floats = field(repr=False)
    own: float
    before: float
    guard: float = float("inf")

    def quantile(self, share: float) -> float:
        """Give the USD that the total stays below with probability *share*."""
        return float(np.interp(share, self.below, self.ratios) * self.scale)

    def odds(self, cap: float) -> float:
        """Give the probability that the total passes *cap* (USD)."""
        if self.scale <= 0:
            return 0.0
        return float(1 - np.interp(cap / self.scale, self.ratios, self.below))

    def cap(self, risk: float) -> float:
        """Give the cap in USD at *risk*: the share of usual periods it may stop."""
        changed = float(np.interp(self.horizon, *CHANGED)) * self.before
        return min(self.quantile(1 - risk - changed * (1 - risk)), self.guard)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratios:
    """What became of the levels of the past, for one horizon.

    Attributes:
        table: Total over level and days, by key and day on which the period began; NaN where the
            period is not over, or fewer than seven days were known. Beyond a week, weeks follow.
        sums: The totals themselves, in USD; NaN where *table* is.
        level: Level of each key today, USD a day.
        mean: Mean day of each key in the last seven, in USD.
    """

    horizon: int
    table: Floats = field(repr=False)
    sums: Floats = field(repr=False)
    level: Floats = field(repr=False)
    mean: Floats = field(repr=False)

    def without_past(self) -> "Ratios":
        """Forget what became of past levels, where it was not measured."""
        nothing = np.full_like(self.table, np.nan)
        return replace(self, table=nothing, sums=nothing)


def shape_of(horizon: float) -> Shape:
    """Give the shape of levels for a horizon in days."""
    return DAILY if horizon <= 1 else LONGER


def totals(usd: Floats, horizon: int) -> Floats:
    """Sum the *horizon* days from each day on; NaN where they are not all there."""
    made = np.full((usd.shape[0], usd.shape[1] + 1), np.nan)
    if horizon <= usd.shape[1]:
        sums = np.concatenate([np.zeros((len(usd), 1)), np.nancumsum(usd, axis=1)], axis=1)
        made[:, : usd.shape[1] + 1 - horizon] = sums[:, horizon:] - sums[:, :-horizon]
    return made


def look_at(
    usd: Floats, horizon: int, *, past: Past | None = None, sums: Floats | None = None
) -> Ratios:
    """Hold every past period against the level the key had when it began.

    Args:
        usd: USD by key and day, NaN before first use; the last column is the newest whole day.
        horizon: Days.
        past: As `look_back` gives it for *usd*; made here where not given.
        sums: What is forecast, by key and day it begins, where it is not the total of the days.

    Returns:
        The ratios.
    """
    past = look_back(usd) if past is None else past
    level = levels(past, shape_of(horizon))
    parts = [_against(totals(usd, horizon) if sums is None else sums, level * horizon, past)]
    if horizon > WEEK and sums is None:
        # Few months are over. What weeks did is no narrower, so it stands in for them as well.
        table, week = _against(totals(usd, WEEK), level * WEEK, past)
        parts.append((table, week * horizon / WEEK))
    return Ratios(
        horizon=horizon,
        table=np.concatenate([table for table, _ in parts], axis=1),
        sums=np.concatenate([came for _, came in parts], axis=1),
        level=level[:, -1],
        mean=past.mean[:, -1],
    )


def _against(sums: Floats, scale: Floats, past: Past) -> tuple[Floats, Floats]:
    """Hold totals against levels: the ratios and the totals, NaN where too little was known."""
    seen = (scale > 0) & (past.days >= WEEK) & ~np.isnan(sums)
    ratios = np.divide(sums, scale, out=np.full_like(sums, np.nan), where=seen)
    return ratios, np.where(seen, sums, np.nan)


def sum_half(horizon: float) -> float:
    """Give the own periods from which on the own past of many keys together counts half."""
    return float(np.interp(horizon, *SUM_HALF))


def outlooks(
    ratios: Ratios,
    *,
    kind: str = "total",
    loop_factor: float = 10.0,
    factor: Floats | None = None,
    keys: Sequence[int] | None = None,
    own_half: float = OWN_HALF,
) -> list[Outlook]:
    """Give the outlook of every key.

    Args:
        ratios: As `look_at` gives them.
        kind: What was measured beforehand: "total", or "peak" for the highest five hours.
        loop_factor: Times the usual load at which a loop burns; bounds caps of a day.
        factor: Times the usual total each key is planned to spend; None for 1.
        keys: Places of the keys that are asked for; None for all.
        own_half: Own periods from which on the own past counts half.

    Returns:
        One outlook a key, in order.
    """
    before = prior_ratios(ratios.horizon, kind)
    pool = _pool(ratios)
    guards = np.where(
        (ratios.mean > 0) & (ratios.horizon <= 1), LOOP_GUARD * loop_factor * ratios.mean, np.inf
    )
    factors = np.ones(len(ratios.level)) if factor is None else factor
    return [
        _outlook(
            ratios,
            key,
            before,
            pool,
            scale=float(ratios.level[key] * ratios.horizon * factors[key]),
            guard=float(guards[key] * max(1.0, factors[key])),
            own_half=own_half * min(ratios.horizon, WEEK) ** OVERLAP,
        )
        for key in (range(len(ratios.level)) if keys is None else keys)
    ]


def _pool(ratios: Ratios) -> tuple[Floats, float]:
    """The account's own ratios, as atoms, and what they weigh together."""
    known = ~np.isnan(ratios.table)
    if not known.any():
        return np.empty(0), 0.0
    shares = (np.arange(POOL_ATOMS) + 0.5) / POOL_ATOMS
    beyond = np.maximum(known.sum(axis=1) - OWN_FEWEST, 0).sum()
    return np.quantile(ratios.table[known], shares), float(beyond) / ratios.horizon / CLUSTER


def _outlook(
    ratios: Ratios,
    key: int,
    before: Floats,
    pool: tuple[Floats, float],
    *,
    scale: float,
    guard: float,
    own_half: float,
) -> Outlook:
    seen = ~np.isnan(ratios.table[key])
    own = ratios.table[key, seen]
    beyond = max(0.0, len(own) - OWN_FEWEST)
    share = beyond / (beyond + own_half)
    if len(own):
        # A steady key comes back to its own totals, a growing one to its own ratios: both count.
        now = ratios.level[key] * ratios.horizon
        own = np.concatenate([own, ratios.sums[key, seen] / now]) if now > 0 else own
    weight = pool[1] / (pool[1] + PRIOR_WEIGHT)
    atoms = np.concatenate([before, pool[0], own])
    weights = np.concatenate(
        [
            np.diff(PROBABILITIES) * (1 - weight) * (1 - share),
            np.full(len(pool[0]), weight * (1 - share) / max(len(pool[0]), 1)),
            np.full(len(own), share / max(len(own), 1)),
        ]
    )
    order = np.argsort(atoms, kind="stable")
    spread = weights[order]
    below = np.cumsum(spread) - spread / 2
    return Outlook(
        horizon=ratios.horizon,
        scale=scale,
        ratios=atoms[order],
        below=below / spread.sum(),
        own=share,
        before=(1 - weight) * (1 - share),
        guard=guard,
    )
