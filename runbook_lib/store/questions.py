"""The few questions to the lake, each one Ibis expression of filter, join, group, count and sum.

The tables are unbound: the same expression is compiled for DuckDB here and for any other engine.
Only what gives identical answers everywhere is used: integers and decimals, equality joins, no
quantile and no window function; local hours and days come from a joined calendar.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from runbook_lib import clock, schema
from runbook_lib.contract import USAGE_ID_PREFIXES
from runbook_lib.errors import ParameterError

if TYPE_CHECKING:
    import ibis.expr.types as ir

Grain = Literal["minute", "hour", "day"]
Order = Literal["newest", "oldest", "dearest"]

FAILED = ("refused", "broken", "no_answer")
"""Outcomes of an attempt that failed; one its client gave up is none of them."""

_TYPES = {
    "text": "string",
    "int": "int64",
    "money": "decimal(18, 10)",
    "instant": "timestamp('UTC', 6)",
    "flag": "boolean",
    "real": "float64",
    "date": "date",
}
_TOKENS = (
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
)
_OUTCOMES = ("ok", "refused", "broken", "no_answer", "abandoned")
Measure = Literal["request", "tokens", "output", "cached"]

_USD = tuple(Decimal(digit).scaleb(power) for power in range(-5, 2) for digit in (1, 2, 5))

BANDS: Mapping[Measure, Sequence[Decimal]] = {
    "request": _USD,
    "tokens": tuple(Decimal(digit * 10**power) for power in range(1, 7) for digit in (1, 2, 5)),
    "output": _USD,
    "cached": tuple(Decimal(tenths) / 10 for tenths in range(1, 10)),
}
"""Bounds of bands: USD of a request (0.00001, 0.00002, 0.00005 … 50), its tokens (10 … 5,000,000),
USD of its 1,000 output tokens, and the share of its input that was read from cache (0.1 … 0.9)."""

EDGE_MINUTES = 15
"""How far a usage row may end after the window its call started in (contract §6: a minute)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which rows are meant; everything given must hold.

    Attributes:
        window: Half-open span of `ts`.
        equals: Column → values, one of which it must have; None stands for unknown.
        failed: Only failed rows, or only others. A usage row failed when it has a status of 400
            or more, or a code; an attempt when its outcome is refused, broken or no_answer.
        min_cost_usd: Rows of `usage` that were billed at least this.
    """

    window: clock.Window | None = None
    equals: Mapping[str, Sequence[str | int | None]] = field(default_factory=dict)
    failed: bool | None = None
    min_cost_usd: Decimal | None = None


def unbound(name: str) -> "ir.Table":
    """Give a table of the schema for expressions."""
    import ibis

    columns = {c.name: _TYPES[c.type] for c in schema.TABLES[name].columns}
    return ibis.table(columns, name=name)


def calendar() -> "ir.Table":
    """Give the calendar of a zone: where each 15-minute slot falls in local hours and days."""
    import ibis

    columns = {
        "slot": "int64",
        "hour": _TYPES["instant"],
        "hour_local": "string",
        "day": _TYPES["instant"],
        "day_local": "date",
    }
    return ibis.table(columns, name="calendar")


def index(table: str) -> "ir.Table":
    """Give the times of the rows that the ids asked for may lie in."""
    import ibis

    ids = ibis.table({"h": "uint64", "ts": _TYPES["instant"]}, name=f"{table}_ids")
    asked = ibis.table({"h": "uint64"}, name="asked")
    return ids.semi_join(asked, "h").select("ts").distinct()


def found(table: str) -> "ir.Table":
    """Give the rows at the times asked for."""
    import ibis

    asked = ibis.table({"ts": _TYPES["instant"]}, name="asked_at")
    return unbound(table).semi_join(asked, "ts")


def matching(table: str, where: Filter) -> "ir.Table":
    """Give the rows a filter means.

    Raises:
        ParameterError: the filter names a column the table does not have.
    """
    import ibis

    rows = unbound(table)
    if where.window is not None:
        rows = _within(rows, where.window)
    for column, values in where.equals.items():
        rows = rows.filter(_one_of(rows, table, column, values))
    if where.failed is not None:
        failed = _failed(rows, table)
        rows = rows.filter(failed if where.failed else ~failed)
    if where.min_cost_usd is not None:
        if "cost_usd" not in rows.columns:
            raise ParameterError("min_cost_usd", where.min_cost_usd, hint="it for usage only")
        rows = rows.filter(rows.cost_usd >= ibis.literal(where.min_cost_usd, _TYPES["money"]))
    return rows


def single(table: str, where: Filter, *, limit: int, order: Order) -> "ir.Table":
    """Give single rows, the newest, oldest or dearest first.

    Raises:
        ParameterError: the dearest of a table without costs are asked.
    """
    import ibis

    rows = matching(table, where)
    keys: list[Any] = [ibis.desc("ts") if order == "newest" else ibis.asc("ts")]
    if order == "dearest":
        if "cost_usd" not in rows.columns:
            raise ParameterError(
                "order", order, hint="newest or oldest: only usage rows have costs"
            )
        keys = [ibis.desc("cost_usd", nulls_first=False), ibis.desc("ts")]
    return rows.order_by([*keys, "source_file", "row_number"]).limit(limit)


def counted(table: str, where: Filter) -> "ir.Table":
    """Count the rows a filter means, and sum what they were billed."""
    rows = matching(table, where)
    sums = {"rows": rows.count()}
    if table == "usage":
        sums["cost_usd"] = rows.cost_usd.sum()
    return rows.aggregate(**sums)


def rolled(
    table: str, by: Sequence[str], *, grain: Grain | None = None, where: Filter | None = None
) -> "ir.Table":
    """Give counts, sums and ends of rows for each value of columns and each span of time.

    Raises:
        ParameterError: a column the table does not have, or a table that is not rolled up.
    """
    import ibis

    if table not in ("usage", "calls"):
        raise ParameterError("table", table, hint="usage or calls")
    for column in by:
        _known(table, column)
    rows = matching(table, where or Filter())
    keys: list[str] = list(by)
    if grain == "minute":
        rows = rows.mutate(bucket=rows.ts.truncate("m"))
        keys = ["bucket", *keys]
    elif grain is not None:
        rows, spans = _in_calendar(rows, grain)
        keys = [*spans, *keys]
    sums = _usage_sums(rows) if table == "usage" else _calls_sums(rows)
    if not keys:
        return rows.aggregate(**sums)
    ordered = [ibis.asc(key, nulls_first=False) for key in keys]
    return rows.group_by(keys).aggregate(**sums).order_by(ordered)


def banded(where: Filter, measure: Measure = "request") -> "ir.Table":
    """Count usage rows by a measure, in bands of fixed bounds.

    Columns: `band` (place of the first bound above it in `BANDS`, their number beyond the last),
    `requests`, `cost_usd`. Rows that lack the measure are in none.
    """
    import ibis

    rows = matching("usage", where)
    value, kind = _measured(rows, measure)
    rows = rows.mutate(measured=value).filter(value.notnull())
    branches = [
        (rows.measured < ibis.literal(_as(bound, kind), kind), ibis.literal(place, "int64"))
        for place, bound in enumerate(BANDS[measure])
    ]
    band = ibis.cases(*branches, else_=ibis.literal(len(BANDS[measure]), "int64"))
    held = rows.mutate(band=band)
    return (
        held.group_by("band")
        .aggregate(requests=held.count(), cost_usd=held.cost_usd.sum())
        .order_by("band")
    )


def _as(bound: Decimal, kind: str) -> Decimal | float:
    return bound if kind == _TYPES["money"] else float(bound)


def _measured(rows: "ir.Table", measure: Measure) -> tuple[Any, str]:
    """Give a measure of each row, null where it has none, and its type.

    One division of two numbers is rounded alike by every engine, so bands may rest on it.
    """
    if measure == "request":
        return rows.cost_usd, _TYPES["money"]
    counts = {name: rows[name].coalesce(0).cast("float64") for name in _TOKENS[:4]}
    taken = counts["input_tokens"] + counts["cache_read_tokens"] + counts["cache_write_tokens"]
    if measure == "tokens":
        return taken + counts["output_tokens"], "float64"
    if measure == "output":
        thousand = counts["output_tokens"].nullif(0.0) / 1000.0
        return rows.cost_usd.cast("float64") / thousand, "float64"
    return counts["cache_read_tokens"] / taken.nullif(0.0), "float64"


def repeated(where: Filter) -> "ir.Table":
    """Find usage rows that stand more than once in one file and have no id to tell them apart.

    Columns: `account`, `source_file`, `ts`, `cost_usd` of one of them, `copies`.
    """
    rows = matching("usage", where)
    rows = rows.filter(rows.request_id.isnull())
    many = rows.group_by(["source_file", "ts"]).aggregate(copies=rows.count())
    rows = rows.semi_join(many.filter(many.copies > 1), ["source_file", "ts"])
    same = [*("account", "source_file", "ts", "key_name", "model", "endpoint"), *_TOKENS[:4]]
    keys = [*same, "cost_usd", "duration_ms"]
    found = rows.group_by(keys).aggregate(copies=rows.count())
    columns = ["account", "source_file", "ts", "cost_usd", "copies"]
    return found.filter(found.copies > 1).select(columns).order_by(columns)


def reconciled(window: clock.Window | None, by: Sequence[str] = ()) -> "ir.Table":
    """Count usage rows and attempts by where they are known: on both sides or on one.

    Columns: `side` ("both", "usage", "calls"), *by* (columns both tables have; the attempt's where
    the usage row does not know it, as after the key was deleted), `rows`, `failed` (attempts that
    failed), `without_id` (rows that have no id to join by), `cost_usd`.

    Raises:
        ParameterError: a column that one of the two tables does not have.
    """
    import ibis

    for column in by:
        _known("usage", column)
        _known("calls", column)
    usage, calls = unbound("usage"), unbound("calls")
    if window is not None:
        wide = _wide(window)
        usage, calls = _within(usage, wide), _within(calls, wide)
    billed = usage.select(
        id=_bare(usage.request_id),
        usage_ts="ts",
        cost_usd="cost_usd",
        **{f"usage_{name}": name for name in by},
    )
    tried = calls.select(
        call_id_header="client_request_id",
        call_ts="ts",
        bad=_failed(calls, "calls").ifelse(1, 0),
        **{f"call_{name}": name for name in by},
    )
    both = billed.outer_join(tried, billed.id == tried.call_id_header)
    if window is not None:
        at = both.usage_ts.coalesce(both.call_ts)
        both = both.filter((at >= window.start) & (at < window.end))
    side = ibis.cases(
        (both.call_ts.isnull(), "usage"), (both.usage_ts.isnull(), "calls"), else_="both"
    )
    no_id = (both.id.isnull() & both.call_id_header.isnull()).ifelse(1, 0)
    names = {name: both[f"usage_{name}"].coalesce(both[f"call_{name}"]) for name in by}
    rows = both.mutate(side=side, no_id=no_id, **names)
    keys = ["side", *by]
    return (
        rows.group_by(keys)
        .aggregate(
            rows=rows.count(),
            failed=rows.bad.sum(),
            without_id=rows.no_id.sum(),
            cost_usd=rows.cost_usd.sum(),
        )
        .order_by([ibis.asc(key, nulls_first=False) for key in keys])
    )


def _wide(window: clock.Window) -> clock.Window:
    from datetime import timedelta

    return clock.Window.around(window.start, window.end, timedelta(minutes=EDGE_MINUTES))


def _bare(request_id: "ir.StringValue") -> "ir.StringValue":
    import ibis

    branches = [(request_id.startswith(p), request_id.substr(len(p))) for p in USAGE_ID_PREFIXES]
    bare: ir.StringValue = ibis.cases(*branches, else_=request_id)
    return bare


def _within(rows: "ir.Table", window: clock.Window) -> "ir.Table":
    import ibis

    start, end = (ibis.timestamp(at) for at in (window.start, window.end))
    return rows.filter((rows.ts >= start) & (rows.ts < end))


def _known(table: str, column: str) -> None:
    if column not in schema.TABLES[table].by_name:
        raise ParameterError("column", column, hint=f"a column of {table}")


def _one_of(
    rows: "ir.Table", table: str, column: str, values: Sequence[str | int | None]
) -> "ir.BooleanValue":
    import ibis

    _known(table, column)
    given = [value for value in values if value is not None]
    hit = rows[column].isin(given) if given else ibis.literal(value=False)
    return hit | rows[column].isnull() if None in values else hit


def _failed(rows: "ir.Table", table: str) -> "ir.BooleanValue":
    if table == "usage":
        return rows.code.notnull() | (rows.status.coalesce(0) >= 400)
    return rows.outcome.isin(FAILED)


def _in_calendar(rows: "ir.Table", grain: Grain) -> tuple["ir.Table", list[str]]:
    days = calendar()
    local = f"{grain}_local"
    spans = days.select(calendar_slot="slot", bucket=grain, **{local: local})
    return rows.join(spans, rows.slot == spans.calendar_slot), ["bucket", local]


def _usage_sums(rows: "ir.Table") -> dict[str, Any]:
    return {
        "requests": rows.count(),
        "failed": _failed(rows, "usage").ifelse(1, 0).sum(),
        **{name: rows[name].sum() for name in _TOKENS},
        "without_cost": rows.cost_usd.isnull().ifelse(1, 0).sum(),
        "cost_usd": rows.cost_usd.sum(),
        "original_cost_usd": rows.original_cost_usd.sum(),
        "max_cost_usd": rows.cost_usd.max(),
        "first_ts": rows.ts.min(),
        "last_ts": rows.ts.max(),
    }


def _calls_sums(rows: "ir.Table") -> dict[str, Any]:
    length = rows.duration_ms.cast("decimal(18, 3)")
    return {
        "attempts": rows.count(),
        "failed": _failed(rows, "calls").ifelse(1, 0).sum(),
        **{name: (rows.outcome == name).ifelse(1, 0).sum() for name in _OUTCOMES},
        **{name: rows[name].sum() for name in _TOKENS[:4]},
        "duration_ms": length.sum().cast("float64"),
        "max_duration_ms": rows.duration_ms.max(),
        "first_ts": rows.ts.min(),
        "last_ts": rows.ts.max(),
    }
