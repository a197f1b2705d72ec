"""Which usage row belongs to which attempt, for a whole window at once.

The id both know decides. The console's export has no ids (contract §7, M): there a row goes with an
attempt of the same key, model and token counts that starts, or ends, at the same moment, one for
one. Equal rows cost the same, so taking one for its twin changes no amount.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from runbook_lib.analysis.joins import WINDOW_S
from runbook_lib.analysis.material import Material, each, seconds, silent

BY_ID, BY_TIME = "id", f"window ±{WINDOW_S:.0f} s"

FEWEST = 5
"""Pairs at one offset that tell how far two clocks differ."""

MOST_EQUAL = 300
"""Equal attempts, and rows, of which the offsets are looked at."""

WIDEST_SKEW_S = 900.0
"""Seconds that two clocks may differ and still be put right."""

EDGE_S = 120.0
"""Seconds beside a log in which a row still counts as of its time: clocks differ."""

TOKENS = ("input_tokens", "output_tokens")


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """Attempts and usage rows put together.

    Attributes:
        place: Of each attempt, the place of its row in `material.rows`; -1 for none.
        how: Of each attempt, "id", "window ±2 s" or "" for none.
        skew_s: Seconds by which the gateway's clock is ahead of the client's.
    """

    place: "pd.Series[int]" = field(repr=False)
    how: "pd.Series[str]" = field(repr=False)
    skew_s: float

    @property
    def rows(self) -> "pd.Series[int]":
        """Places of the rows that have an attempt."""
        return self.place[self.place >= 0]


def pair_up(material: Material) -> Paired:
    """Find the usage row of every attempt; a row goes with one attempt at most.

    Args:
        material: Attempts and usage rows of a window.

    Returns:
        The pairs. A refused attempt costs nothing and has none but by its id; one that its client
        gave up before there was an id has none either: see `given_up`.

    Source: contract §5, §6, §7 (M).
    """
    attempts, rows = material.attempts, material.rows
    place = attempts["client_request_id"].map(material.billed).fillna(-1).astype("int64")
    how = pd.Series(np.where(place >= 0, BY_ID, ""), index=attempts.index, dtype=object)
    left = attempts[(place < 0) & (attempts["outcome"] != "refused")]
    right = rows[~rows.index.isin(place) & ~rows["join_id"].isin(material.logged_ids)]
    skew = material.skew_s
    if skew is None:
        skew = _skew(left, right)
    shifted = right.assign(start=right["start"] - skew, end=right["end"] - skew)
    for one, other in _by_time(left, shifted):
        place[one], how[one] = other, BY_TIME
    return Paired(place=place, how=how, skew_s=skew)


def covered(rows: pd.DataFrame, logs: pd.DataFrame | None) -> "pd.Series[bool]":
    """Tell which usage rows are of a time from which the log of their key is held.

    A log says nothing of what was billed before it began, or after all of it ends.

    Args:
        rows: Usage rows with `key_name` and `start` and `end` (s since 1970).
        logs: Attempts by key: `key_name`, `first_ts`, `last_ts` (aware UTC); None where every row
            counts as covered.

    Returns:
        A flag a row; False for a key that no log has.
    """
    if logs is None:
        return pd.Series(data=True, index=rows.index)
    if logs.empty:
        return pd.Series(data=False, index=rows.index)
    first = seconds(logs.groupby("key_name")["first_ts"].min())
    last = float(seconds(logs["last_ts"]).max())
    since = rows["key_name"].map(first).astype(float)
    nameless = logs.loc[logs["key_name"].isna(), "first_ts"]
    if len(nameless):
        since = since.fillna(float(seconds(nameless).min()))
    return (rows["end"] >= since - EDGE_S) & (rows["start"] <= last + EDGE_S)


def given_up(rows: pd.DataFrame, material: Material, skew_s: float) -> "pd.Series[bool]":
    """Tell which rows start with an attempt whose client gave up; each attempt takes one.

    Args:
        rows: Usage rows that no attempt is known of, in the columns of `material.rows`.
        material: Holds the attempts.
        skew_s: As `Paired` has it.

    Returns:
        True for a row of a call that its client gave up before it had an id.
    """
    frame = material.attempts
    waiting: dict[tuple[Any, Any], list[float]] = {}
    for attempt in each(frame[silent(frame)]):
        waiting.setdefault((attempt.key_name, attempt.model), []).append(attempt.start)
    hits = []
    for row in each(rows):
        starts = waiting.get((row.key_name, row.model), [])
        apart = [abs(at + skew_s - row.start) for at in starts]
        hits.append(bool(apart) and min(apart) <= WINDOW_S)
        if hits[-1]:
            del starts[apart.index(min(apart))]
    return pd.Series(hits, index=rows.index, dtype=bool)


def _by_time(attempts: pd.DataFrame, rows: pd.DataFrame) -> Iterator[tuple[Any, Any]]:
    """Pair what the ids leave: an attempt that has an id goes with a row that has none."""
    named = attempts["client_request_id"].notna()
    sides = (
        (attempts[named], rows[rows["join_id"].isna()]),
        (attempts[~named & ~silent(attempts)], rows),
    )
    gone: set[Any] = set()
    for mine, theirs in sides:
        done: set[Any] = set()
        for left, right, by, time in _passes(mine, theirs):
            open_ones, free = left[~left.index.isin(done)], right[~right.index.isin(gone)]
            for one, other in _one_for_one(open_ones, free, by, time):
                done.add(one)
                gone.add(other)
                yield one, other


def _passes(
    attempts: pd.DataFrame, rows: pd.DataFrame
) -> Iterator[tuple[pd.DataFrame, pd.DataFrame, list[str], str]]:
    """What is held against each other, the surest first: attempts, rows, columns, and a time."""
    timed = rows["duration_ms"].notna()
    # The counts of a stream that broke are those up to the break.
    unknown = attempts[(attempts["outcome"] != "ok") | attempts[list(TOKENS)].isna().any(axis=1)]
    for time, some in (("start", rows[timed]), ("end", rows[~timed])):
        nameless = some[some["key_name"].isna()]  # rows of a key that was deleted
        any_key = attempts[attempts["key_name"].isna()]  # a log that names no keys
        for model in ("model", "response_model"):
            yield attempts, some, ["key_name", model, *TOKENS], time
            yield attempts, nameless, [model, *TOKENS], time
            yield any_key, some, [model, *TOKENS], time
        yield unknown, some, ["key_name", "model"], time


def _one_for_one(
    attempts: pd.DataFrame, rows: pd.DataFrame, by: Sequence[str], time: str
) -> Iterator[tuple[Any, Any]]:
    """Pair as many as lie within `WINDOW_S` of each other, in the order of time."""
    lines: dict[tuple[Any, ...], tuple[list[Any], list[Any]]] = {}
    theirs = ["model" if name == "response_model" else name for name in by]
    for side, frame, names in ((0, attempts, list(by)), (1, rows, theirs)):
        held = frame.dropna(subset=[*names, time]).sort_values(time, kind="stable")
        keys = zip(*(held[name].tolist() for name in names), strict=True)
        for key, at, label in zip(keys, held[time].tolist(), held.index, strict=True):
            lines.setdefault(key, ([], []))[side].append((at, label))
    for left, right in lines.values():
        yield from _met(left, right)


def _met(left: Sequence[Any], right: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    mine = theirs = 0
    while mine < len(left) and theirs < len(right):
        apart = right[theirs][0] - left[mine][0]
        if abs(apart) <= WINDOW_S:
            yield left[mine][1], right[theirs][1]
        mine += apart >= -WINDOW_S
        theirs += apart <= WINDOW_S


def _skew(attempts: pd.DataFrame, rows: pd.DataFrame) -> float:
    """Tell how far the clocks differ: the offset that most pairs of equals have; 0 where too few.

    Regular traffic fits at many offsets, and best at the true one: the others lose its ends.
    """
    by = ["key_name", "model", *TOKENS]
    mine, theirs = (
        {
            key: part.to_numpy()[:MOST_EQUAL]
            for key, part in frame.dropna(subset=by).groupby(by)["end"]
        }
        for frame in (attempts, rows)
    )
    apart = [np.subtract.outer(ends, mine[key]) for key, ends in theirs.items() if key in mine]
    offsets = np.concatenate([part.ravel() for part in apart]) if apart else np.empty(0)
    offsets = np.sort(offsets[np.abs(offsets) <= WIDEST_SKEW_S])
    within = np.searchsorted(offsets, offsets + 1.0, side="right") - np.arange(len(offsets))
    if not len(offsets) or within.max() < FEWEST:
        return 0.0
    best = np.flatnonzero(within == within.max())
    first = best[np.argmin(np.abs(offsets[best]))]
    return float(np.median(offsets[first : first + within[first]]))
