"""From marked steps to events: one for each thing that happened, however long it lasts."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from runbook_lib.analysis.spikes.marks import RECORD, Grain, Marks
from runbook_lib.analysis.spikes.rolling import Floats

Direction = Literal["up", "down"]
Kind = Literal["record", "jump"]


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
        marked: Steps that count in this direction.
        excused: Steps that were planned.
    """

    values: Floats
    course: Floats
    usual: Floats
    low: Floats
    high: Floats
    jump: Floats
    record: Floats
    marked: NDArray[np.bool_]
    excused: NDArray[np.bool_]

    def expected(self, start: int) -> Floats:
        """Give what is usual from a step on; the mean of its past where there is no course.

        A mean that went on would learn from the event itself.
        """
        return np.where(np.isnan(self.course[start:]), self.usual[start], self.course[start:])


def events(
    values: Floats, marks: Marks, excused: NDArray[np.bool_], *, grain: Grain, first: int
) -> list[Event]:
    """Gather the marked steps of some series into events.

    Coming back from below, or falling back from above, is the end of an event and none itself.

    Args:
        values: A row per series, a column per step.
        marks: Their marks.
        excused: Steps whose height was planned.
        grain: Size of the steps.
        first: Number of the first of these series.

    Returns:
        The events, by series, direction and start.
    """
    with np.errstate(invalid="ignore"):
        sides: list[tuple[Direction, NDArray[np.bool_]]] = [
            ("up", marks.up & (values > marks.usual)),
            ("down", marks.down & (values < marks.usual)),
        ]
    found = []
    for direction, marked in sides:
        for row in np.flatnonzero(marked.any(axis=1)):
            track = Track(
                values=values[row],
                course=marks.course[row],
                usual=marks.usual[row],
                low=marks.low[row],
                high=marks.high[row],
                jump=marks.jump[row],
                record=marks.record[row],
                marked=marked[row],
                excused=excused[row],
            )
            found += _runs(track, direction, series=first + int(row), grain=grain)
    return sorted(found, key=lambda event: (event.series, event.direction, event.start))


def _runs(track: Track, direction: Direction, *, series: int, grain: Grain) -> list[Event]:
    found: list[Event] = []
    end = 0
    for start in np.flatnonzero(track.marked):
        if start < end:
            continue
        end = _end(track, int(start), direction, grain.quiet)
        found.append(_event(track, int(start), end, direction, series))
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
    steps = np.flatnonzero(away | track.marked[start:])
    breaks = np.flatnonzero(np.diff(steps) > quiet + 1)
    return start + int(steps[breaks[0]] if len(breaks) else steps[-1]) + 1


def _event(track: Track, start: int, end: int, direction: Direction, series: int) -> Event:
    span = slice(start, end)
    marked = track.marked[span]
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


def _beyond(track: Track, span: slice, marked: NDArray[np.bool_]) -> bool:
    return bool((track.record[span][marked] >= RECORD).any())
