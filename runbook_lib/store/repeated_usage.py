"""Which usage rows are held twice: by the id, or else equal on the columns both files have."""

from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING

from runbook_lib.store import parts, views
from runbook_lib.store.manifest import PARTS
from runbook_lib.store.sides import Side

if TYPE_CHECKING:
    import duckdb

_COSTS = ("cost_usd", "original_cost_usd")
_LABELS = frozenset({"billing_mode", "reasoning_effort"})
"""Columns the console writes with a capital in its CSV and without in its list."""

_UP = "round({0}, {1})"
_DOWN = "round({0} - sign({0}) * 0.0000000001::DECIMAL(18, 10), {1})"
"""Two ways to round a half: which of them the console's export took cannot be told."""


def hide(link: "duckdb.DuckDBPyConnection", sides: Sequence[Side]) -> None:
    """Hide the rows of each part that itself or a richer one holds.

    Args:
        link: Connection the sides live on.
        sides: Parts of one account, the richest first.
    """
    named = [side for side in sides if "request_id" in side.part.carried]
    for place, side in enumerate(named):
        if side.fresh:
            _hide_own(link, side)
        for richer in named[:place]:
            if side.meets(richer):
                _hide_same_id(side, richer)
    for place, side in enumerate(sides):
        richer_sides = [(other, True) for other in named if other is not side]
        richer_sides += [(other, False) for other in sides[:place]]
        for other, with_id in richer_sides:
            if side.meets(other):
                _hide_equal(link, side, other, with_id=with_id)


def _hide_own(link: "duckdb.DuckDBPyConnection", side: Side) -> None:
    """Hide rows whose id stands before in the same file: pages that repeat what moved meanwhile."""
    twice = parts.twice(side.folder / PARTS / side.part.ids) if side.part.ids else None
    if twice is None:
        return
    link.register("twice", twice)
    numbered = side.rows(
        ["row_number() OVER (PARTITION BY request_id ORDER BY file_row_number) AS n"]
    )
    candidates = f"{numbered} AND hash({views.BARE}) IN (SELECT h FROM twice)"
    side.hide(f"SELECT pos, ts FROM ({candidates}) WHERE n > 1", own=True)
    link.unregister("twice")


def _hide_same_id(side: Side, richer: Side) -> None:
    mine = side.rows(["request_id"])
    theirs = richer.rows(["request_id"], wide=True)
    side.hide(
        f"SELECT p.pos, p.ts FROM ({mine}) p SEMI JOIN ({theirs}) r ON p.request_id = r.request_id"
    )


def _hide_equal(
    link: "duckdb.DuckDBPyConnection", side: Side, other: Side, *, with_id: bool
) -> None:
    """Hide rows without an id that equal a row of the other part, one for one."""
    if "request_id" in side.part.carried and not _any(
        link, f"{side.rows([])} AND request_id IS NULL"
    ):
        return
    names = side.compared(other)
    costs = [name for name in _COSTS if name in names]
    decimals = min(side.part.decimals, other.part.decimals)
    _gather(link, "mine", side, names, decimals, with_id=False)
    _gather(link, "theirs", other, names, decimals, with_id=with_id)
    link.execute("CREATE OR REPLACE TEMP TABLE pairs(p BIGINT, r BIGINT)")
    for ways in product(("up", "down"), repeat=len(costs)):
        _pair(link, [f"{name}_{way}" for name, way in zip(costs, ways, strict=True)])
        if side.part.decimals == other.part.decimals or not _any(
            link, "SELECT 1 FROM mine ANTI JOIN pairs ON pos = p"
        ):
            break
    side.hide("SELECT pos, ts FROM mine SEMI JOIN pairs ON pos = p")
    for name in ("mine", "theirs", "pairs"):
        link.execute(f"DROP TABLE {name}")


def _gather(
    link: "duckdb.DuckDBPyConnection",
    name: str,
    side: Side,
    names: Sequence[str],
    decimals: int,
    *,
    with_id: bool,
) -> None:
    """Reduce rows to their place, their time and a hash of what is compared."""
    plain = [_compared(column) for column in names if column not in _COSTS]
    columns = [f"hash({', '.join(plain) or '0'}) AS k"]
    for cost in (column for column in names if column in _COSTS):
        columns.append(f"{_UP.format(cost, decimals)} AS {cost}_up")
        columns.append(f"{_DOWN.format(cost, decimals)} AS {cost}_down")
    held = "request_id" in side.part.carried
    if not held and with_id:
        condition = " AND false"
    else:
        condition = f" AND request_id IS {'NOT ' if with_id else ''}NULL" if held else ""
    link.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS {side.rows(columns)}{condition}")


def _compared(column: str) -> str:
    return f"lower({column})" if column in _LABELS else column


def _pair(link: "duckdb.DuckDBPyConnection", costs: Sequence[str]) -> None:
    """Pair the rows that are equal and not yet paired: the n-th of the one with that of the other.

    So as many are paired as both have, and the more of the two counts.
    """
    keys = ", ".join(["ts", "k", *costs])
    number = f"row_number() OVER (PARTITION BY {keys} ORDER BY pos) AS n"
    mine = f"SELECT pos, {keys}, {number} FROM mine ANTI JOIN pairs ON pos = p"
    theirs = f"SELECT pos, {keys}, {number} FROM theirs ANTI JOIN pairs ON pos = r"
    same = " AND ".join(f"a.{key} IS NOT DISTINCT FROM b.{key}" for key in ["ts", "k", *costs, "n"])
    link.execute(
        f"INSERT INTO pairs SELECT a.pos, b.pos FROM ({mine}) a JOIN ({theirs}) b ON {same}"
    )


def _any(link: "duckdb.DuckDBPyConnection", query: str) -> bool:
    return link.execute(f"SELECT 1 FROM ({query}) LIMIT 1").fetchone() is not None
