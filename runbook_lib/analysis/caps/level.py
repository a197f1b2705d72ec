"""The level of a key: what a coming day of it is measured against.

Keys are spiky and sparse, so no single average will do. A level is a blend of the mean day, the
highest days and the newest ones. For longer horizons it is drawn a little towards the typical key
of the account: small keys grow by larger factors than large ones.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

WEEK, FORTNIGHT = 7, 14

FEWEST_PEERS = 8
"""Keys an account needs before its typical key says something about another."""

PULL_LIMITS = (0.4, 4.0)
"""However far apart keys are, pooling never changes a level by more than this."""

TINY = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How a level is made; chosen by cross-validation over keys, one for a length of horizon.

    Attributes:
        mean, highest, second: Share of the mean, highest and second-highest day of the last week.
        top: Share of the highest day of the last fortnight.
        newest: Share of the highest of the last three days.
        pull: How far the level is drawn to the typical key, on a log scale: 0 not, 1 wholly.
        spread: Power of (highest over mean day): spiky keys need more room than steady ones.
    """

    mean: float = 0.0
    highest: float = 0.0
    second: float = 0.0
    top: float = 0.0
    newest: float = 0.0
    pull: float = 0.0
    spread: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What is known of every key before each day; all arrays are (keys, days + 1), in USD.

    Column d knows the days before day d only; the last column knows everything.

    Attributes:
        mean, highest, second: Of the last seven days that are known.
        top: Highest of the last fourteen days.
        newest: Highest of the last three days.
        days: Known days, at most a fortnight (count).
    """

    mean: Floats = field(repr=False)
    highest: Floats = field(repr=False)
    second: Floats = field(repr=False)
    top: Floats = field(repr=False)
    newest: Floats = field(repr=False)
    days: Floats = field(repr=False)


def look_back(usd: Floats) -> Past:
    """Describe the past of every key at the start of every day.

    Args:
        usd: USD by key and day, NaN before the key's first use.

    Returns:
        The past; a key without a known day has zeros.
    """
    padded = np.concatenate([np.full((len(usd), FORTNIGHT), np.nan), usd], axis=1)
    windows = np.lib.stride_tricks.sliding_window_view(padded, FORTNIGHT, axis=1)
    known = ~np.isnan(windows)
    filled = np.where(known, windows, 0.0)
    week = filled[:, :, -WEEK:]
    ranked = np.partition(week, (WEEK - 2, WEEK - 1), axis=2)
    count = known[:, :, -WEEK:].sum(axis=2)
    return Past(
        mean=week.sum(axis=2) / np.maximum(count, 1),
        highest=ranked[:, :, -1],
        second=ranked[:, :, -2],
        top=filled.max(axis=2),
        newest=week[:, :, -3:].max(axis=2),
        days=known.sum(axis=2).astype(float),
    )


def levels(past: Past, shape: Shape) -> Floats:
    """Give the level of every key at the start of every day, in USD a day.

    Args:
        past: As `look_back` gives it.
        shape: How the level is made.

    Returns:
        An array as those of *past*; 0 where the key never spent. A key that rests has a share of
        what its fortnight had.
    """
    blend = (
        shape.mean * past.mean
        + shape.highest * past.highest
        + shape.second * past.second
        + shape.top * past.top
        + shape.newest * past.newest
    )
    own = np.maximum(blend, 0.1 * past.top)
    if shape.spread:
        ratio = past.highest / np.maximum(past.mean, TINY)
        own = own * np.where(past.mean > 0, np.maximum(ratio, 1.0) / 2, 1.0) ** shape.spread
    return own * _pull(own, shape.pull)


def _pull(own: Floats, pull: float) -> Floats:
    """How many times pooling changes each level."""
    factor = np.ones_like(own)
    for day in range(own.shape[1]):
        used = own[:, day] > 0
        if pull and used.sum() >= FEWEST_PEERS:
            typical = np.median(own[used, day])
            factor[used, day] = np.clip((typical / own[used, day]) ** pull, *PULL_LIMITS)
    return factor
