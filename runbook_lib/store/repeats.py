"""Hide the rows that another part holds as well: what is taken in twice counts once.

Parts are asked in a fixed order, the richest first, so the result does not depend on the order in
which files came. Nothing is deleted: each part has a list of its hidden rows, made anew for the
span of time that an addition touches.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from runbook_lib.store import parts as part_files
from runbook_lib.store import repeated_calls, repeated_rows, repeated_usage
from runbook_lib.store.manifest import PARTS, Part
from runbook_lib.store.sides import Side

if TYPE_CHECKING:
    import duckdb

_SLACK_US = {"usage": 2_000_000, "calls": 3_600_000_000}
"""How far apart the times of one row in two inputs may be: a time cut to seconds, two clocks."""

_MOST_RUNS = 64

_Hider = Callable[["duckdb.DuckDBPyConnection", Sequence[Side]], None]
_HIDERS: dict[str, _Hider] = {"usage": repeated_usage.hide, "calls": repeated_calls.hide}


def hide(
    link: "duckdb.DuckDBPyConnection",
    folder: Path,
    parts: Sequence[Part],
    fresh: Sequence[Part],
    number: str,
) -> list[Part]:
    """Find what the fresh parts repeat, and what now repeats them.

    Args:
        link: Connection that may write in the lake.
        folder: The lake.
        parts: All parts, the fresh ones among them.
        fresh: Parts that were just made, and parts that were just taken away.
        number: Ends the names of the files that are written.

    Returns:
        The parts, with their lists of hidden rows.
    """
    done = {part.file: part for part in parts}
    for table, account in sorted({(p.table, p.account) for p in fresh}):
        alike = [p for p in parts if (p.table, p.account) == (table, account)]
        if not alike:
            continue
        new = [p for p in fresh if (p.table, p.account) == (table, account)]
        settle = _settled if table in _HIDERS else _settled_small
        for part in settle(link, folder, alike, new, number):
            done[part.file] = part
    return [done[part.file] for part in parts]


def _settled(
    link: "duckdb.DuckDBPyConnection",
    folder: Path,
    alike: Sequence[Part],
    fresh: Sequence[Part],
    number: str,
) -> list[Part]:
    table = alike[0].table
    slack = _SLACK_US[table]
    low = min(p.first for p in fresh if p.first is not None) - slack
    high = max(p.last for p in fresh if p.last is not None) + slack
    touched = [
        p
        for p in alike
        if p.first is not None
        and p.last is not None
        and p.first <= high + slack
        and p.last >= low - slack
    ]
    sides = [
        Side(
            link=link,
            folder=folder,
            part=part,
            name=f"hidden_{place}",
            low=low,
            high=high,
            slack=slack,
            fresh=part in fresh,
        )
        for place, part in enumerate(sorted(touched, key=richness))
    ]
    for side in sides:
        side.begin()
    _HIDERS[table](link, sides)
    return [_listed(link, folder, side, number) for side in sides]


def richness(part: Part) -> tuple[object, ...]:
    """Order parts by what they tell, most first; ties are settled by content, never by time."""
    with_id = "request_id" in part.carried or part.table != "usage"
    return (not with_id, part.rank, -part.decimals, -len(part.carried), part.key)


def _settled_small(
    link: "duckdb.DuckDBPyConnection",
    folder: Path,
    alike: Sequence[Part],
    fresh: Sequence[Part],  # noqa: ARG001 - a small table is looked at whole
    number: str,
) -> list[Part]:
    ordered = sorted(alike, key=richness)
    found = repeated_rows.hidden(link, folder, ordered)
    settled = []
    for part in ordered:
        values = ", ".join(f"({position})" for position in found[part.file])
        query = f"SELECT pos, NULL::TIMESTAMPTZ AS ts, false AS own FROM (VALUES {values}) t(pos)"
        settled.append(_with_list(link, folder, part, query if values else "", number))
    return settled


def _listed(link: "duckdb.DuckDBPyConnection", folder: Path, side: Side, number: str) -> Part:
    part = side.part
    count = side.count()
    query = f"SELECT pos, ts, own FROM {side.name} ORDER BY pos"
    listed = _with_list(link, folder, part, query if count else "", number)
    side.end()
    return listed


def _with_list(
    link: "duckdb.DuckDBPyConnection", folder: Path, part: Part, query: str, number: str
) -> Part:
    """Write the list of hidden rows of a part; no query, no list."""
    if not query:
        return replace(part, hidden="", hidden_rows=0, runs=())
    file = folder / PARTS / f"{part.file.removesuffix('.parquet')}.hidden-{number}.parquet"
    count = part_files.copy(link, query, file)
    part_files.flush(file)
    return replace(part, hidden=file.name, hidden_rows=count, runs=_runs(file))


def _runs(file: Path) -> tuple[tuple[int, int], ...]:
    """Give the hidden positions as spans where they are few: two exports that overlap in time."""
    import numpy as np
    import pyarrow.parquet as pq

    positions = pq.read_table(file, columns=["pos"]).column("pos").to_numpy()
    ends = np.flatnonzero(np.diff(positions) != 1)
    if len(ends) >= _MOST_RUNS:
        return ()
    first = positions[np.concatenate([[0], ends + 1])].tolist()
    last = positions[np.concatenate([ends, [len(positions) - 1]])].tolist()
    return tuple(zip(first, last, strict=True))
