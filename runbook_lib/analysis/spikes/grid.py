"""Roll-ups as a grid of series by steps, with the exact amounts behind every cell."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from runbook_lib.analysis.spikes.marks import Grain
from runbook_lib.analysis.spikes.rolling import Floats
from runbook_lib.clock import Window
from runbook_lib.errors import ParameterError

NEEDED = ("bucket", "key_name", "requests", "cost_usd")
"""Columns a roll-up must have; `account` and `model` are used where they are there."""

LONGEST_DAYS = 400
"""How far back anything is looked at: no mark needs more, and one stray old row costs no memory."""

CHUNK = 64
"""Series worked on at a time: small enough to stay near the processor."""

LARGEST = 8_000_000
"""Numbers in one stack of peaks at most, however many steps there are."""

Ints = NDArray[np.int64]
Series = tuple[str | None, ...]
Name = tuple[str, str, str]
"""Account, key and model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Series by steps.

    Attributes:
        series: A row per series: `account`, `key_name`, `model` (None: all models of the key).
        names: Account, key and model of each series, empty where there is none.
        grain: Size of the steps.
        first: Number of the first step, counted from 1970; `steps` of them.
        ends: Where the rows of each series end.
        step: Step of each row, from the first; rows are sorted by series and time.
        usd: Its cost, NaN where unknown. `cost_usd`: the same, exact. `requests`: how many.
        holes: Steps that the data do not cover, such as a gap of the export.
    """

    series: pd.DataFrame
    names: Sequence[Name]
    grain: Grain
    first: int
    steps: int
    ends: Ints
    step: Ints
    usd: Floats
    cost_usd: NDArray[np.object_]
    requests: Ints
    holes: NDArray[np.bool_]

    def chunks(self) -> Iterator[tuple[int, Floats]]:
        """Give the values of some series at a time: number of the first, and USD by step."""
        fits = LARGEST // max(1, self.steps * self.grain.blocks)
        size = max(1, min(CHUNK, fits))
        for start in range(0, len(self.names), size):
            ends = self.ends[start : start + size]
            rows = slice(self._begin(start), int(ends[-1]))
            counts = np.diff(ends, prepend=rows.start)
            cell = np.repeat(np.arange(len(ends)), counts) * self.steps + self.step[rows]
            summed = np.bincount(cell, self.usd[rows], len(ends) * self.steps)
            yield start, np.where(self.holes, np.nan, summed.reshape(len(ends), self.steps))

    def series_of(self, number: int) -> Series:
        """Give account, key and model of one series as the data have them, None for none."""
        return tuple(name or None for name in self.names[number])

    def at(self, step: int) -> datetime:
        """Give the start of a step."""
        return datetime.fromtimestamp(self.second(step), UTC)

    def second(self, step: int) -> int:
        """Give the start of a step in seconds since 1970."""
        return (self.first + step) * self.grain.seconds

    def step_of(self, instant: datetime) -> int:
        """Give the step an instant lies in; outside of the grid where it does."""
        return int(instant.timestamp() // self.grain.seconds) - self.first

    def billed(self, series: int, start: int, end: int) -> tuple[Decimal, int]:
        """Sum exactly what one series was billed from one step to before another.

        Returns:
            USD of what is known, and the requests.
        """
        rows = self._rows(series, start, end)
        known = self.cost_usd[rows][~np.isnan(self.usd[rows])]
        return sum(known, Decimal(0)), int(self.requests[rows].sum())

    def mean_requests(self, series: int, start: int, end: int) -> float:
        """Give the mean of the requests a step, from the first use on, 0 where there was none."""
        rows = self._rows(series, start, end)
        if rows.start == rows.stop:
            return 0.0
        return float(self.requests[rows].sum()) / (end - int(self.step[rows.start]))

    def _begin(self, series: int) -> int:
        return int(self.ends[series - 1]) if series else 0

    def _rows(self, series: int, start: int, end: int) -> slice:
        first = self._begin(series)
        low, high = np.searchsorted(self.step[first : self.ends[series]], (start, end))
        return slice(first + int(low), first + int(high))


def read(frame: pd.DataFrame, *, now: datetime) -> pd.DataFrame:
    """Read a roll-up once for all grids.

    Args:
        frame: Roll-up of usage; reads the needed columns, and `account` and `model` where they
            are there.
        now: Buckets that start later are left out, and what is older than anything looks back.

    Returns:
        A row per row that is left: `second` (start of its bucket, since 1970), `account`,
        `key_name`, `model` (None where not there), `usd` (float, NaN unknown), `cost_usd`,
        `requests`.

    Raises:
        ParameterError: a needed column is missing, or the buckets are no aware times.
    """
    lacking = [name for name in NEEDED if name not in frame.columns]
    if lacking:
        raise ParameterError("roll-up", list(frame.columns), hint=f"also {', '.join(lacking)}")
    if not isinstance(frame["bucket"].dtype, pd.DatetimeTZDtype):
        raise ParameterError("bucket", str(frame["bucket"].dtype), hint="aware times")
    naive = frame["bucket"].dt.tz_convert("UTC").dt.tz_localize(None)
    blank = pd.Series(None, index=frame.index, dtype="object")
    rows = pd.DataFrame(
        {
            "second": naive.to_numpy().astype("datetime64[s]").astype(np.int64),
            "account": frame["account"] if "account" in frame.columns else blank,
            "key_name": frame["key_name"],
            "model": frame["model"] if "model" in frame.columns else blank,
            "usd": _numbers(frame["cost_usd"]),
            "cost_usd": frame["cost_usd"],
            "requests": frame["requests"].fillna(0).astype("int64"),
        }
    )
    end = now.timestamp()
    return rows[(rows["second"] >= end - LONGEST_DAYS * 86_400) & (rows["second"] < end)]


def sorted_series(rows: pd.DataFrame, *, models: bool) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Number the series, and sort the rows by them.

    Args:
        rows: As `read` gives them.
        models: A series for each model of a key that has several, instead of one for the key.

    Returns:
        The series (`account`, `key_name`, `model`), in order of their numbers, and the rows of
        `read` with `series`, sorted by it and time.
    """
    by = ["account", "key_name", "model"] if models else ["account", "key_name"]
    kept = rows[_several(rows)] if models else rows.assign(model=None)
    numbered = kept.assign(series=kept.groupby(by, dropna=False, sort=True).ngroup())
    numbered = numbered.sort_values(["series", "second"], kind="stable", ignore_index=True)
    names = numbered.drop_duplicates("series")[["account", "key_name", "model"]]
    return names.reset_index(drop=True), numbered


def grid(
    series: pd.DataFrame,
    rows: pd.DataFrame,
    *,
    grain: Grain,
    now: datetime,
    missing: Sequence[Window] = (),
) -> Grid:
    """Lay rows out as a grid.

    Args:
        series: The series, in order of their numbers.
        rows: Sorted by series and time, in buckets no longer than a step.
        grain: Size of the steps wanted.
        now: Steps that must have ended and have not are left out.
        missing: Spans that the data do not cover.

    Returns:
        The grid; without steps where nothing is left.
    """
    if grain.whole:
        rows = rows[rows["second"] < now.timestamp() // grain.seconds * grain.seconds]
    step = rows["second"].to_numpy() // grain.seconds
    first = int(step.min()) if len(step) else 0
    steps = int(step.max()) + 1 - first if len(step) else 0
    counts = np.bincount(rows["series"].to_numpy(), minlength=len(series))
    blank = series.fillna("")
    return Grid(
        series=series,
        names=list(zip(blank["account"], blank["key_name"], blank["model"], strict=True)),
        grain=grain,
        first=first,
        steps=steps,
        ends=np.cumsum(counts).astype(np.int64),
        step=step - first,
        usd=rows["usd"].to_numpy(),
        cost_usd=rows["cost_usd"].to_numpy(dtype=object),
        requests=rows["requests"].to_numpy(),
        holes=covered(missing, grain=grain, first=first, steps=steps),
    )


def covered(spans: Sequence[Window], *, grain: Grain, first: int, steps: int) -> NDArray[np.bool_]:
    """Tell which steps overlap some spans.

    Args:
        spans: Half-open spans.
        grain: Size of the steps.
        first: Number of the first step.
        steps: How many there are.

    Returns:
        A flag a step.
    """
    flags = np.zeros(steps, dtype=bool)
    for span in spans:
        start = int(span.start.timestamp() // grain.seconds) - first
        end = -int(-span.end.timestamp() // grain.seconds) - first
        flags[max(0, start) : max(0, end)] = span.end > span.start
    return flags


def _numbers(costs: pd.Series) -> Floats:
    known = costs.notna().to_numpy()
    numbers = np.full(len(costs), np.nan)
    numbers[known] = costs[known].astype("float64")
    return numbers


def _several(rows: pd.DataFrame) -> "pd.Series[bool]":
    """Tell which rows are of keys with several models: one model is the key itself."""
    named = rows.assign(model=rows["model"].fillna(""))
    return named.groupby(["account", "key_name"], dropna=False)["model"].transform("nunique") > 1
