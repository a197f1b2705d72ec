"""How far an hour lies off the past of its own key: one detector, two marks, no look-ahead.

**jump** asks: is this hour unlike the hour before? It is the step from the hour before, over the
size steps usually have; once as it is and once without the step the usual day makes at this time,
and the smaller of the two counts. So neither the morning rise nor a busy evening is a jump. The
usual size is the 90 % quantile of the steps of two weeks into hours in use: how much a key varies
is not learned from the hours it sleeps.

**record** asks: has this hour ever been so dear? It is the logarithm of the hour over the highest
of the last seven days within three hours of this time of day (and of the hour before), over the
spread of the daily peaks of these days. The spread leans on a usual one while days are few. A
steady key is far beyond its record at half as much again, a wild one not at three times as much.

Jump finds what is unusual, up and down, and finds it again each time. Record finds what was never
seen, and stays quiet on keys whose past is as wild: it is the one to be woken for. Thresholds are
the same for all keys, since both marks are in units of the key's own past.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runbook_lib.analysis.spikes import rolling
from runbook_lib.analysis.spikes.rolling import Floats

Flags = NDArray[np.bool_]

JUMP = 4.5
"""From here on an hour is unusual. By cross-validation over series; anything from 4 to 5 does."""

RECORD = 1.5
"""From here on an hour is beyond its record. By cross-validation: one in four key-weeks has one."""

STEP_SHARE, STEP_NORMAL = 0.9, 1.645
"""Quantile of the steps that gives their usual size, and its value for a spread of one."""

SMALLEST_STEP = 0.1
"""Usual size of a step at least, as part of the mean: a key without noise still has some."""

SMALLEST_PEAK = 0.5
"""A record at least, as part of the mean of hours in use: one over next to nothing is none."""

USUAL_SPREAD, USUAL_WEIGHT = 0.5, 3
"""Spread of the logarithm of peaks before any is known, and how many peaks it counts for."""

HEIGHTS = ((2, 3, 5, 7, 14, 28, 60), (0.56, 0.85, 1.16, 1.35, 1.70, 2.01, 2.32))
"""By how many spreads the highest of so many peaks stands over their middle, on average."""

STEPS_NEEDED = 6
"""Known steps into hours in use, below which no jump can be told."""

SEASONS_NEEDED = 2
"""Times the same time must be known to say what is usual at it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grain:
    """What the past of a series means at one size of step.

    Attributes:
        name: "hour", "day" or "minute". `seconds`: length of a step.
        season: Steps after which the usual course repeats, 0 for none; `seasons` of them count.
        near: Steps on either side that count as the same time of the course.
        block: Steps that have one peak; `blocks` of them count.
        memory: Steps of which the usual size of a step and the mean are learned.
        least: Known steps below which nothing is judged.
        refresh: Steps after which the usual size of a step is renewed.
        quiet: Steps below the line that do not end an event.
        whole: Whether only steps that have ended are looked at: half a day looks like a drop.
        both: Whether a step must be a jump and a record to count: where the past is thin.
    """

    name: str
    seconds: int
    season: int
    seasons: int
    near: int
    block: int
    blocks: int
    memory: int
    least: int
    refresh: int
    quiet: int
    whole: bool = False
    both: bool = False


HOUR = Grain(
    name="hour",
    seconds=3600,
    season=24,
    seasons=7,
    near=3,
    block=24,
    blocks=7,
    memory=336,
    least=48,
    refresh=24,
    quiet=6,
)
DAY = Grain(
    name="day",
    seconds=86_400,
    season=7,
    seasons=4,
    near=3,
    block=1,
    blocks=28,
    memory=56,
    least=14,
    refresh=1,
    quiet=1,
    whole=True,
)
MINUTE = Grain(
    name="minute",
    seconds=60,
    season=0,
    seasons=0,
    near=0,
    block=1,
    blocks=60,
    memory=120,
    least=3,
    refresh=1,
    quiet=5,
    both=True,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """How every step of every series lies to its own past; one shape, NaN where not judged.

    Attributes:
        jump: Step from the one before, in usual steps; negative is down.
        record: Logarithm over the own record, in spreads of the own peaks; 0 equals the record.
        course: Value expected by the season: middle of the same time in the last ones.
        usual: Value expected: the course, or the mean so far where there is none.
        low, high: The band: what is below or above it is marked.
        up, down: What is marked as too high, and as too low.
    """

    jump: Floats
    record: Floats
    course: Floats
    usual: Floats
    low: Floats
    high: Floats
    up: Flags
    down: Flags

    @property
    def beyond_record(self) -> Flags:
        """Steps beyond anything the series has seen: what to be woken for."""
        return self.record >= RECORD


def mark(
    values: Floats, *, grain: Grain = HOUR, first: int = 0, learn: Flags | None = None
) -> Marks:
    """Mark every step of every series by its own past, never by what comes later.

    Args:
        values: A row per series, a column per step, in any unit; NaN is unknown, 0 is idle.
        grain: Size of the steps.
        first: Number of the first column, counted in steps since 1970.
        learn: Steps to learn from; all where not given. Others are judged all the same.

    Returns:
        The marks, of the shape of *values*.
    """
    past = values if learn is None else np.where(learn, values, np.nan)
    past = rolling.since_first_use(past)
    known = rolling.known_before(past) >= grain.least
    values = np.where(known, values, np.nan)
    level = rolling.mean_before(np.abs(past), grain.memory)
    course = _course(past, grain)
    jump, low, high_jump = _jump(values, past, course, level, grain=grain, first=first)
    record, high_record = _record(values, past, grain)
    up = (jump >= JUMP) & (record >= RECORD) if grain.both else (jump >= JUMP) | (record >= RECORD)
    high = (np.maximum if grain.both else np.fmin)(high_jump, high_record)
    return Marks(
        jump=jump,
        record=record,
        course=course,
        usual=np.where(known, np.where(np.isnan(course), level, course), np.nan),
        low=np.where(known, low, np.nan),
        high=np.where(known, high, np.nan),
        up=up,
        down=(jump <= -JUMP) & (not grain.both),
    )


def _course(past: Floats, grain: Grain) -> Floats:
    """Give the middle of the same time in the last seasons, NaN where it is known but once."""
    if not grain.season:
        return np.full_like(past, np.nan)
    lags = range(grain.season, grain.season * (grain.seasons + 1), grain.season)
    median, count = rolling.middle(np.stack([rolling.delayed(past, lag) for lag in lags]))
    return np.where(count >= SEASONS_NEEDED, median, np.nan)


def _jump(
    values: Floats, past: Floats, course: Floats, level: Floats, *, grain: Grain, first: int
) -> tuple[Floats, Floats, Floats]:
    """Give the jump, and the ends of the band inside which nothing is one."""
    before = rolling.delayed(past, 1)
    turn = np.nan_to_num(course - rolling.delayed(course, 1))
    plain = _size(past - before, past, level, grain=grain, first=first)
    adjusted = _size(past - before - turn, past, level, grain=grain, first=first)
    with np.errstate(invalid="ignore", divide="ignore"):
        one, other = (values - before) / plain, (values - before - turn) / adjusted
    smaller = np.where(np.abs(one) < np.abs(other), one, other)
    same = np.sign(one) == np.sign(other)
    jump = np.where(np.isnan(one) | np.isnan(other), np.nan, np.where(same, smaller, 0.0))
    high = before + np.maximum(JUMP * plain, turn + JUMP * adjusted)
    low = before + np.minimum(-JUMP * plain, turn - JUMP * adjusted)
    return jump, low, high


def _size(steps: Floats, past: Floats, level: Floats, *, grain: Grain, first: int) -> Floats:
    """Give the usual size of a step, from the steps into what was in use."""
    usual = rolling.quantile_before(
        np.where(past != 0, np.abs(steps), np.nan),
        STEP_SHARE,
        width=grain.memory,
        refresh=grain.refresh,
        phase=first % grain.refresh,
        least=min(STEPS_NEEDED, grain.least - 1),
    )
    return np.maximum(usual / STEP_NORMAL, SMALLEST_STEP * level)


def _record(values: Floats, past: Floats, grain: Grain) -> tuple[Floats, Floats]:
    """Give the record mark, and the value from which on it counts."""
    in_use = np.where(past != 0, np.abs(past), np.nan)
    floor = SMALLEST_PEAK * rolling.mean_before(in_use, grain.memory)
    record = np.maximum(_highest(past, grain), floor)
    spread = _spread(past, floor, grain)
    with np.errstate(invalid="ignore", divide="ignore"):
        over = (np.log(np.maximum(values, 0.0)) - np.log(record)) / spread
    return over, record * np.exp(RECORD * spread)


def _highest(past: Floats, grain: Grain) -> Floats:
    """Give the highest of the step before and of the same time in the last seasons."""
    if not grain.season:
        return rolling.highest_ever(past)
    best, wide = rolling.delayed(past, 1, fill=-np.inf), rolling.highest_near(past, grain.near)
    best = np.where(np.isnan(best), -np.inf, best)
    for season in range(1, grain.seasons + 1):
        np.maximum(best, rolling.delayed(wide, season * grain.season, fill=-np.inf), out=best)
    return best


def _spread(past: Floats, floor: Floats, grain: Grain) -> Floats:
    """Give the spread of the logarithms of the own peaks, leaning on the usual one."""
    peak = rolling.highest_before(past, grain.block)
    lags = (grain.block * number for number in range(grain.blocks))
    peaks = np.stack([rolling.delayed(peak, lag, fill=-np.inf) for lag in lags])
    with np.errstate(invalid="ignore", divide="ignore"):
        logs = np.where(np.isfinite(peaks), np.log(np.maximum(peaks, floor)), np.nan)
    median, count = rolling.middle(logs)
    top = np.fmax.reduce(logs, axis=0)
    own = np.nan_to_num((top - median) / np.interp(count, *HEIGHTS))
    weight = count + USUAL_WEIGHT
    return np.sqrt((count * own**2 + USUAL_WEIGHT * USUAL_SPREAD**2) / weight)
