"""Which attempts are held twice: by an id header, else by call id and attempt, else all equal."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from runbook_lib.store.sides import Side

if TYPE_CHECKING:
    import duckdb

_ONE = "client_request_id AS one"
_MANY = "[trim(id) FOR id IN string_split(request_ids, ',') IF trim(id) <> ''] AS many"
_COMPARABLE = "(p.one IS NOT NULL AND r.one IS NOT NULL)"
_BOTH_MANY = "(coalesce(len(p.many), 0) > 0 AND coalesce(len(r.many), 0) > 0)"
_OTHER_ATTEMPT = (
    "coalesce(p.call_id = r.call_id AND p.attempt <> r.attempt"
    " AND p.attempt IS NOT NULL AND r.attempt IS NOT NULL, false)"
)

_TIERS: Sequence[tuple[str, Sequence[str], str]] = (
    ("one", ("one",), "true"),
    ("many", ("id", "call_id", "attempt"), f"NOT {_COMPARABLE}"),
    ("many", ("id", "attempt"), f"NOT {_COMPARABLE} AND NOT {_OTHER_ATTEMPT}"),
    ("many", ("id",), f"NOT {_COMPARABLE} AND NOT {_OTHER_ATTEMPT}"),
    ("call", ("call_id", "attempt"), f"NOT {_COMPARABLE} AND NOT {_BOTH_MANY}"),
    (
        "call",
        ("call_id",),
        f"NOT {_COMPARABLE} AND NOT {_BOTH_MANY} AND (p.attempt IS NULL OR r.attempt IS NULL)",
    ),
    (
        "row",
        ("ts", "k"),
        f"NOT {_COMPARABLE} AND NOT {_BOTH_MANY} AND (p.call_id IS NULL OR r.call_id IS NULL)",
    ),
)
"""How two attempts are known to be one, surest first: what is looked up, by which keys, and what
must hold beside. An echoed `X-Request-ID` is the same for all attempts of a call, so where it leads
to several the attempt decides, then the order of time."""


def hide(link: "duckdb.DuckDBPyConnection", sides: Sequence[Side]) -> None:
    """Hide the attempts of each log that itself or a richer log holds.

    Args:
        link: Connection the sides live on.
        sides: Logs of one account, the richest first.
    """
    for place, side in enumerate(sides):
        if side.fresh:
            _hide_own(side)
        for richer in sides[:place]:
            if side.meets(richer):
                _hide_same(link, side, richer)


def _hide_own(side: Side) -> None:
    """Hide lines that stand twice in one log: same id header, or the same line again."""
    columns = [side.column(n) for n in ("client_request_id", "request_ids", "call_id", "attempt")]
    one, many, call, attempt = columns
    keys = (
        (one, f"{one} IS NOT NULL"),
        (
            f"{many}, {call}, {attempt}",
            f"{one} IS NULL AND {many} IS NOT NULL AND {call} IS NOT NULL"
            f" AND {attempt} IS NOT NULL",
        ),
        (
            f"{call}, {attempt}, ts",
            f"{one} IS NULL AND {many} IS NULL AND {call} IS NOT NULL AND {attempt} IS NOT NULL",
        ),
    )
    for key, condition in keys:
        number = f"row_number() OVER (PARTITION BY {key} ORDER BY file_row_number) AS n"
        side.hide(
            f"SELECT pos, ts FROM ({side.rows([number])} AND {condition}) WHERE n > 1", own=True
        )


def _hide_same(link: "duckdb.DuckDBPyConnection", side: Side, richer: Side) -> None:
    equal = f"hash({', '.join(side.compared(richer)) or '0'}) AS k"
    for name, log, wide in (("mine", side, False), ("theirs", richer, True)):
        columns = [_from(log, _ONE), _from(log, _MANY), *_named(log, ("call_id", "attempt")), equal]
        link.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS {log.rows(columns, wide=wide)}")
    link.execute("CREATE OR REPLACE TEMP TABLE pairs(p BIGINT, r BIGINT)")
    for kind, keys, condition in _TIERS:
        _pair(link, kind, keys, condition)
    side.hide("SELECT pos, ts FROM mine SEMI JOIN pairs ON pos = p")
    for name in ("mine", "theirs", "pairs"):
        link.execute(f"DROP TABLE {name}")


def _from(side: Side, expression: str) -> str:
    for name in ("client_request_id", "request_ids"):
        expression = expression.replace(name, side.column(name), 1)
    return expression


def _named(side: Side, names: Sequence[str]) -> list[str]:
    return [f"{side.column(name)} AS {name}" for name in names]


def _pair(
    link: "duckdb.DuckDBPyConnection", kind: str, keys: Sequence[str], condition: str
) -> None:
    """Pair the attempts that agree and are not yet paired, in the order of time, one for one."""
    link.execute(
        "INSERT INTO pairs SELECT p, r FROM (SELECT *,"
        " row_number() OVER (PARTITION BY p ORDER BY r) AS a,"
        " row_number() OVER (PARTITION BY r ORDER BY p) AS b"
        f" FROM (SELECT DISTINCT p.pos AS p, r.pos AS r FROM ({_open('mine', 'p', kind, keys)}) p"
        f" JOIN ({_open('theirs', 'r', kind, keys)}) r USING ({', '.join(keys)}, n)"
        f" WHERE {condition})) WHERE a = 1 AND b = 1"
    )


def _open(table: str, column: str, kind: str, keys: Sequence[str]) -> str:
    """Write the query of the rows not yet paired, numbered among those of the same keys."""
    rows = f"SELECT * FROM {table} ANTI JOIN pairs ON pos = pairs.{column}"
    if kind == "many":
        rows = f"SELECT *, unnest(many) AS id FROM ({rows})"
    number = f"row_number() OVER (PARTITION BY {', '.join(keys)} ORDER BY ts, pos) AS n"
    return f"SELECT *, {number} FROM ({rows})"
