"""From marked steps to events: one for each thing that happened, however long it lasts."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from runbook_lib.analysis.spikes import rolling
from runbook_lib.analysis.spikes.marks import RECORD, Flags, Grain, Marks
from runbook_lib.analysis.spikes.rolling import Floats

Direction = Literal["up", "down"]
Kind = Literal["record", "jump"]

UP_DOWN: tuple[Direction, Direction] = ("up", "down")
DOWN_UP: tuple[Direction, Direction] = ("down", "up")
"""A direction and the other one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One run of steps that are too high, or too low.

    Attributes:
        series: Number of the series. `start`, `end`: first step, and the one after the last.
        direction: Up or down.
        kind: "record" when a step went beyond anything seen, "jump" when it only was unusual.
        peak: The step furthest from the usual.
        marked: Steps that were marked.
        usual: Sum of the values expected in it.
        low, high: The band at the first step: what is outside it is marked.
        jump, record: The largest marks in it, NaN where there is none.
        planned: Whether all its marked steps were planned.
    """

    series: int
    start: int
    end: int
    direction: Direction
    kind: Kind
    peak: int
    marked: int
    usual: float
    low: float
    high: float
    jump: float
    record: float
    planned: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """One series with its marks: what an event is read from.

    Attributes:
        values, course, usual, low, high, jump, record: As in `Marks`, a value a step.
        up, down: Steps that are marked. `back`: those that only come back towards the usual.
        excused: Steps that were planned.
    """

    values: Floats
    course: Floats
    usual: Floats
    low: Floats
    high: Floats
    jump: Floats
    record: Floats
    up: Flags
    down: Flags
    back: Flags
    excused: Flags

    def marked(self, direction: Direction) -> Flags:
        """Give the steps that are marked in a direction."""
        return self.up if direction == "up" else self.down

    def expected(self, start: int) -> Floats:
        """Give what is usual from a step on; the mean of its past where there is no course.

        A mean that went on would learn from the event itself.
        """
        return np.where(np.isnan(self.course[start:]), self.usual[start], self.course[start:])


def events(
    values: Floats, marks: Marks, excused: Flags, *, grain: Grain, first: int = 0
) -> list[Event]:
    """Gather the marked steps of some series into events.

    The step back towards the usual after an event is its end, and starts none.

    Args:
        values: A row per series, a column per step.
        marks: Their marks.
        excused: Steps whose height was planned.
        grain: Size of the steps.
        first: Number of the first of these series.

    Returns:
        The events, by series and start.
    """
    away = np.abs(values - marks.usual)
    with np.errstate(invalid="ignore"):
        back = (away <= rolling.delayed(away, 1)) & ~(marks.up & marks.beyond_record)
    found = []
    for row in np.flatnonzero((marks.up | marks.down).any(axis=1)):
        track = Track(
            values=values[row],
            course=marks.course[row],
            usual=marks.usual[row],
            low=marks.low[row],
            high=marks.high[row],
            jump=marks.jump[row],
            record=marks.record[row],
            up=marks.up[row],
            down=marks.down[row],
            back=back[row],
            excused=excused[row],
        )
        found += _runs(track, series=first + int(row), quiet=grain.quiet)
    return found


def alerts(values: Floats, marks: Marks, *, grain: Grain) -> Flags:
    """Tell which steps of some series are marked in an event: what people are told of.

    Args:
        values: A row per series, a column per step.
        marks: Their marks.
        grain: Size of the steps.

    Returns:
        Flags, of the shape of *values*.
    """
    flags = np.zeros(values.shape, dtype=bool)
    for event in events(values, marks, flags, grain=grain):
        span = slice(event.start, event.end)
        side = marks.up if event.direction == "up" else marks.down
        flags[event.series, span] |= side[event.series, span]
    return flags


def _runs(track: Track, *, series: int, quiet: int) -> list[Event]:
    found: list[Event] = []
    ends: dict[Direction, int] = {"up": -quiet - 1, "down": -quiet - 1}
    for step in np.flatnonzero(track.up | track.down):
        start = int(step)
        direction, other = UP_DOWN if track.up[start] else DOWN_UP
        ended = track.back[start] and start - ends[other] <= quiet
        if start < ends[direction] or ended:
            continue
        ends[direction] = _cut(track, start, _end(track, start, direction, quiet), direction)
        found.append(_event(track, start, ends[direction], direction, series))
    return found


def _end(track: Track, start: int, direction: Direction, quiet: int) -> int:
    """Follow an event to its end: it lasts while the value is outside the band of its start.

    It must lie as far from what has become usual since, so that a lasting change ends when it has
    become the usual.
    """
    sign = 1.0 if direction == "up" else -1.0
    edge = track.high[start] if direction == "up" else track.low[start]
    least = abs(edge - track.usual[start])
    values = sign * track.values[start:]
    with np.errstate(invalid="ignore"):
        away = values >= sign * track.usual[start] + least
        away &= values >= sign * track.expected(start) + least
    steps = np.flatnonzero(away | track.marked(direction)[start:])
    breaks = np.flatnonzero(np.diff(steps) > quiet + 1)
    return start + int(steps[breaks[0]] if len(breaks) else steps[-1]) + 1


def _cut(track: Track, start: int, end: int, direction: Direction) -> int:
    """End an event where what was planned ends, or begins: the rest is an event of its own."""
    marked = track.marked(direction)[start:end]
    other = marked & (track.excused[start:end] != track.excused[start])
    return start + int(np.argmax(other)) if other.any() else end


def _event(track: Track, start: int, end: int, direction: Direction, series: int) -> Event:
    span = slice(start, end)
    marked = track.marked(direction)[span]
    sign = 1.0 if direction == "up" else -1.0
    values = track.values[span]
    usual = np.where(np.isnan(values), np.nan, track.expected(start)[: end - start])
    away = sign * (values - usual)
    record = float(np.fmax.reduce(np.where(marked, track.record[span], np.nan)))
    jump = np.where(marked, sign * track.jump[span], np.nan)
    return Event(
        series=series,
        start=start,
        end=end,
        direction=direction,
        kind="record" if direction == "up" and _beyond(track, span, marked) else "jump",
        peak=start + int(np.nanargmax(away)),
        marked=int(marked.sum()),
        usual=float(np.nansum(usual)),
        low=float(track.low[start]),
        high=float(track.high[start]),
        jump=float(sign * np.fmax.reduce(jump)),
        record=record if direction == "up" else float("nan"),
        planned=bool(track.excused[span][marked].all()),
    )


def _beyond(track: Track, span: slice, marked: Flags) -> bool:
    return bool((track.record[span][marked] >= RECORD).any())
