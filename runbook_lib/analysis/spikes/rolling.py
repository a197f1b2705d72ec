"""Looks back along time, for many series at once: no value here depends on a later one.

Every array has a row per series and a column per step of time; NaN is unknown. "Before" a step
means without the step itself.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def delayed(values: Floats, steps: int, *, fill: float = np.nan) -> Floats:
    """Give the value so many steps earlier, *fill* where there is none."""
    moved = np.full_like(values, fill)
    if steps < values.shape[1]:
        moved[:, steps:] = values[:, : values.shape[1] - steps]
    return moved


def since_first_use(values: Floats) -> Floats:
    """Make unknown what lies before the first use: a key that was not there was not idle."""
    used = ~np.isnan(values) & (values != 0)
    return np.where(np.logical_or.accumulate(used, axis=1), values, np.nan)


def known_before(values: Floats) -> NDArray[np.int64]:
    """Count the known values before each step."""
    known = ~np.isnan(values)
    return np.cumsum(known, axis=1) - known


def mean_before(values: Floats, width: int) -> Floats:
    """Average the known values of the last *width* steps, NaN where there is none.

    Where they are all zero the whole past counts: a key that slept for weeks still has a scale.
    """
    known = ~np.isnan(values)
    sums, counts = (_summed(part) for part in (np.where(known, values, 0.0), known.astype(float)))
    here = np.arange(values.shape[1])
    start = np.maximum(0, here - width)
    with np.errstate(invalid="ignore"):
        recent = (sums[:, here] - sums[:, start]) / (counts[:, here] - counts[:, start])
        whole = sums[:, here] / counts[:, here]
    # Differences of sums leave dust where nothing was used; compare with the sum itself.
    some = recent > 1e-12 * whole
    return np.where(some, recent, whole)


def middle(stack: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """Take the median along the first axis, of what is known.

    Args:
        stack: A few arrays of one shape.

    Returns:
        The median, NaN where nothing is known, and how many values it stands on.
    """
    count = (~np.isnan(stack)).sum(axis=0)
    ordered = np.sort(stack, axis=0)  # what is unknown comes last
    below = np.take_along_axis(ordered, np.maximum((count - 1) // 2, 0)[None], axis=0)[0]
    above = np.take_along_axis(ordered, np.minimum(count // 2, len(stack) - 1)[None], axis=0)[0]
    return np.where(count > 0, 0.5 * (below + above), np.nan), count


def highest_near(values: Floats, near: int) -> Floats:
    """Take the highest value at most *near* steps away on either side, -inf where none is known.

    It knows up to *near* later steps, so it may only be used with a longer delay.
    """
    known = _or_lowest(values)
    best = known.copy()
    for steps in range(1, min(near, values.shape[1] - 1) + 1):
        np.maximum(best[:, steps:], known[:, :-steps], out=best[:, steps:])
        np.maximum(best[:, :-steps], known[:, steps:], out=best[:, :-steps])
    return best


def highest_before(values: Floats, width: int) -> Floats:
    """Take the highest of the *width* steps before each step, -inf where none is known."""
    span, best, done = _or_lowest(values), np.full_like(values, -np.inf), 0
    size = 1  # `span` holds the highest of the last `size` steps, the step itself included
    while done < width:
        if width & size:
            np.maximum(best, delayed(span, 1 + done, fill=-np.inf), out=best)
            done += size
        span = np.maximum(span, delayed(span, size, fill=-np.inf))
        size *= 2
    return best


def highest_ever(values: Floats) -> Floats:
    """Take the highest of all steps before each step, -inf where none is known."""
    return delayed(np.maximum.accumulate(_or_lowest(values), axis=1), 1, fill=-np.inf)


def quantile_before(
    values: Floats, share: float, *, width: int, refresh: int, phase: int, least: int
) -> Floats:
    """Take a quantile of the last *width* steps, renewed every so many steps.

    Between two renewals the older answer stands, which costs nothing in practice and makes the
    work a fraction.

    Args:
        values: What is looked back on; unknown values do not count.
        share: Which quantile, such as 0.9.
        width: Steps looked back on.
        refresh: Steps from one renewal to the next.
        phase: Position of the first column in the rhythm of the renewals.
        least: Known values below which there is no answer.

    Returns:
        The quantile, interpolated; NaN where too little is known.
    """
    found = np.full_like(values, np.nan)
    for start, end in _spans(values.shape[1], refresh, phase):
        seen = values[:, max(0, start - width) : start]
        if seen.shape[1]:
            found[:, start:end] = _quantile(seen, share, least)[:, None]
    return found


def _spans(count: int, refresh: int, phase: int) -> Iterator[tuple[int, int]]:
    start = 0
    while start < count:
        end = min(count, start + refresh - (phase + start) % refresh)
        yield start, end
        start = end


def _quantile(seen: Floats, share: float, least: int) -> Floats:
    ordered = np.sort(seen, axis=1)
    count = (~np.isnan(seen)).sum(axis=1)
    place = share * np.maximum(count - 1, 0)
    below = place.astype(np.int64)
    above = np.minimum(below + 1, np.maximum(count - 1, 0))
    row = np.arange(len(seen))
    value = ordered[row, below] + (place - below) * (ordered[row, above] - ordered[row, below])
    return np.where(count >= least, value, np.nan)


def _summed(values: Floats) -> Floats:
    return np.pad(np.cumsum(values, axis=1), ((0, 0), (1, 0)))


def _or_lowest(values: Floats) -> Floats:
    return np.where(np.isnan(values), -np.inf, values)
