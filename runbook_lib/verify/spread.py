"""Small statistics: percentiles, the interval of a share, how evenly waits are spread."""

import itertools
import math
from collections.abc import Sequence

Z95 = 1.959963984540054
"""Standard deviations on either side that hold 95 %."""


def mean(values: Sequence[float]) -> float:
    """Give the mean; NaN of nothing."""
    return math.fsum(values) / len(values) if values else math.nan


def percentile(values: Sequence[float], share: float) -> float:
    """Give the smallest value that so large a share does not exceed; NaN of nothing.

    Args:
        values: In any order.
        share: Above 0 to 1.
    """
    if not values:
        return math.nan
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def wilson(good: int, n: int, *, z: float = Z95) -> tuple[float, float]:
    """Give Wilson's interval of a share; NaN of nothing.

    Args:
        good: Successes.
        n: Trials.
        z: Standard deviations on either side.

    Returns:
        Lower and upper end, within 0 and 1.
    """
    if n == 0:
        return math.nan, math.nan
    share, square = good / n, z * z
    middle = (share + square / (2 * n)) / (1 + square / n)
    half = z * math.sqrt(share * (1 - share) / n + square / (4 * n * n)) / (1 + square / n)
    return max(0.0, middle - half), min(1.0, middle + half)


def smallest_gap(ordered: Sequence[float]) -> float | None:
    """Give the smallest step between values that follow each other; None for fewer than two."""
    return min((b - a for a, b in itertools.pairwise(ordered)), default=None)


def distance(values: Sequence[float]) -> float | None:
    """Give Kolmogorov's distance from an even spread between 0 and the largest; None for none.

    Full jitter comes near 0; one and the same wait comes near 1.
    """
    most = max(values, default=0.0)
    if most <= 0:
        return None
    ordered, n = sorted(values), len(values)
    return max(
        max((k + 1) / n - value / most, value / most - k / n) for k, value in enumerate(ordered)
    )
