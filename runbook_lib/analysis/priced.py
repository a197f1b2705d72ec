"""Billed cost against tokens × price: what agrees, what differs, what nobody can price."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from runbook_lib import money
from runbook_lib.pricing import Cost, PriceList, Tokens

if TYPE_CHECKING:
    import pandas as pd

ROUNDING_USD = Decimal("0.00000001")
"""What rounding can make of one request: the CSV has eight decimals (contract §7, M)."""

VERDICTS = {
    "agrees": "billed is tokens × price",
    "differs": "billed is not tokens × price",
    "tiered": "its price depends on the size of each request, of which a sum tells nothing",
    "open": "its sum cannot tell, and it has too many rows to look at each",
    "refund": "a negative amount: money that was given back",
    "not billed": "it has tokens and a price, and was billed 0",
    "no price": "no list and no prices.csv has a price for it",
    "no cost": "the export has no cost for it; it is in no total",
}
"""What a line of the check can be."""

KINDS = {
    "input_tokens": "input",
    "output_tokens": "output",
    "cache_read_tokens": "cache_read",
    "cache_write_tokens": "cache_write",
    "cache_write_1h_tokens": "cache_write_1h",
}
"""Column of a roll-up → kind of token of the price list."""

Weights = Mapping[str, Mapping[str, float]]
"""Model → column of a roll-up → price of its tokens, in any one unit."""

Line = tuple[str, int, Decimal, Decimal | None, str]
"""What was judged: verdict, requests, billed, expected, why."""

LISTED = "held against the list alone: the gateway publishes no prices"
"""Why a line that differs may only have another price (contract §8, D)."""

_PROBE = 1000
"""Tokens by which a price is asked: small enough for the first tier of every model."""


def weights(
    models: Iterable[object], prices: PriceList, *, at: datetime
) -> dict[str, dict[str, float]]:
    """Tell the prices of models, for shares and comparisons.

    Args:
        models: Names of models.
        prices: The price list.
        at: When, aware UTC.

    Returns:
        Model → column of a roll-up (`input_tokens` …) → USD of a million tokens, first tier; a
        model is missing where any of its prices is.
    """
    found = {}
    for model in {name for name in models if isinstance(name, str)}:
        asked = {column: _unit(prices, model, kind, at) for column, kind in KINDS.items()}
        held = {column: price for column, price in asked.items() if price is not None}
        if len(held) == len(KINDS):
            found[model] = held
    return found


def _unit(prices: PriceList, model: str, kind: str, at: datetime) -> float | None:
    counts = {kind: _PROBE}
    if kind == "cache_write_1h":
        counts["cache_write"] = _PROBE
    usd = prices.cost(model, Tokens(**counts), at=at).usd
    return None if usd is None else float(usd) * 1_000_000 / _PROBE


def check(rolled: "pd.DataFrame", prices: PriceList) -> "pd.DataFrame":
    """Hold what was billed against tokens × price × rate multiplier, by sums.

    Args:
        rolled: Roll-up of usage by UTC day, `account`, `model` and `rate_multiplier`: reads
            `bucket`, `requests`, `without_cost` (rows whose cost is unknown), the token sums,
            `cost_usd` and, where there, `max_cost_usd`.
        prices: The price list with the user's overrides.

    Returns:
        One row a model, multiplier and verdict, dearest first: `model`, `rate_multiplier`,
        `verdict` (see `VERDICTS`), `requests`, `billed_usd`, `expected_usd` (Decimal USD; None
        where nobody has a price, or a sum cannot tell it), `difference_usd` (billed − expected),
        `why`. Some verdicts are open until single rows were looked at: see `settled`.

    Source: contract §7, §8 (M): billed = original × multiplier; no prices are published.
    """
    lines = ((row, line) for row in rolled.to_dict("records") for line in _of_sum(row, prices))
    return _table(lines)


def settled(rolled: "pd.DataFrame", rows: "pd.DataFrame", prices: PriceList) -> "pd.DataFrame":
    """Check again, row by row, what sums leave open.

    Args:
        rolled: As `check` takes it.
        rows: Usage rows of the models in doubt, in the columns of their table. A model counts as
            looked through where all its requests are among them; the others stay as their sums say.
        prices: The price list with the user's overrides.

    Returns:
        As `check` gives it; a model that was looked through has a line a verdict of its rows.
    """
    asked = rolled.groupby("model")["requests"].sum()
    seen = rows["model"].value_counts()
    through = {name for name, count in seen.items() if asked.get(name) == count}
    sums = rolled[~rolled["model"].isin(through)].to_dict("records")
    single = rows[rows["model"].isin(through)].to_dict("records")
    lines = [(row, line) for row in sums for line in _of_sum(row, prices)]
    return _table([*lines, *((row, _of_row(row, prices)) for row in single)])


def _table(judged: Iterable[tuple[dict[Any, Any], Line]]) -> "pd.DataFrame":
    """Add lines up by model, multiplier, verdict and reason."""
    import pandas as pd

    lines: dict[tuple[Any, ...], list[Any]] = {}
    for row, (verdict, requests, billed, expected, why) in judged:
        key = (_name(row["model"]), _factor(row["rate_multiplier"]), verdict, why)
        held = lines.setdefault(key, [0, money.ZERO, money.ZERO])
        held[0] += requests
        held[1] += billed
        held[2] = None if expected is None or held[2] is None else held[2] + expected
    rows = [
        (name, factor, verdict, count, billed, expected, _less(billed, expected), why)
        for (name, factor, verdict, why), (count, billed, expected) in lines.items()
    ]
    columns = (
        *("model", "rate_multiplier", "verdict", "requests"),
        *("billed_usd", "expected_usd", "difference_usd", "why"),
    )
    made = pd.DataFrame(rows, columns=list(columns))
    names = made["model"].map(str)
    size = made["billed_usd"].map(abs)
    order = made.assign(size=size, name=names).sort_values(
        ["size", "name", "verdict"], ascending=[False, True, True], kind="stable"
    )
    return made.loc[order.index].reset_index(drop=True)


SUSPECT = ("differs", "tiered", "open")
"""Verdicts that only single rows can settle."""

ODD = [
    *("ts", "request_id", "key_name", "model", "rate_multiplier", "billed_usd", "expected_usd"),
    *("difference_usd", "source_file", "row_number"),
]
"""Columns of the rows that were billed otherwise."""


def suspects(check: "pd.DataFrame") -> list[str]:
    """Name the models whose rows must be looked at singly.

    Args:
        check: As `check` gives it.

    Returns:
        Their names, in order.
    """
    return sorted(set(check.loc[check["verdict"].isin(SUSPECT), "model"].dropna()))


def odd_rows(rows: "pd.DataFrame", prices: PriceList) -> "pd.DataFrame":
    """Hold single usage rows against tokens × price × rate multiplier.

    Args:
        rows: Usage rows, in the columns of their table.
        prices: The price list with the user's overrides.

    Returns:
        The rows that were billed otherwise, the largest difference first, in the columns of `ODD`:
        amounts are Decimal USD, `ts` aware UTC. Rows without a cost or a price are not among them.
    """
    import pandas as pd

    found = []
    for row in rows.to_dict("records"):
        billed, expected = row["cost_usd"], _cost(row, prices, row["ts"]).usd
        if expected is None or not isinstance(billed, Decimal):
            continue
        if abs(billed - expected) > ROUNDING_USD:
            found.append(
                {
                    **row,
                    "billed_usd": billed,
                    "expected_usd": expected,
                    "difference_usd": billed - expected,
                }
            )
    found.sort(key=lambda row: (-abs(row["difference_usd"]), row["ts"]))
    return pd.DataFrame(found, columns=ODD)


def _name(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _factor(value: object) -> Decimal | None:
    return value if isinstance(value, Decimal) else None


def _less(billed: Decimal, expected: Decimal | None) -> Decimal | None:
    return None if expected is None else billed - expected


def _cost(row: Mapping[Any, Any], prices: PriceList, at: Any, requests: int = 1) -> Cost:
    """What the tokens of a line cost at one time."""
    factor = _factor(row["rate_multiplier"])
    return prices.cost(
        _name(row["model"]),
        Tokens(**{kind: _count(row[column]) for column, kind in KINDS.items()}),
        at=at.to_pydatetime(),
        requests=requests,
        multiplier=Decimal(1) if factor is None else factor,
        account=str(row.get("account") or ""),
    )


def _of_row(row: Mapping[Any, Any], prices: PriceList) -> Line:
    """Judge one usage row."""
    billed, cost = row["cost_usd"], _cost(row, prices, row["ts"])
    if not isinstance(billed, Decimal):
        return "no cost", 1, money.ZERO, None, VERDICTS["no cost"]
    if billed < 0:
        return "refund", 1, billed, None, VERDICTS["refund"]
    if cost.usd is None:
        return "no price", 1, billed, None, cost.missing
    if abs(billed - cost.usd) <= ROUNDING_USD:
        return "agrees", 1, billed, cost.usd, ""
    return "differs" if billed else "not billed", 1, billed, cost.usd, _whose(cost)


def _of_sum(row: dict[Any, Any], prices: PriceList) -> Iterable[Line]:
    """Judge a day of a roll-up."""
    lacking = int(row["without_cost"])
    if lacking:
        yield "no cost", lacking, money.ZERO, None, VERDICTS["no cost"]
    requests = int(row["requests"]) - lacking
    if requests <= 0:
        return
    billed = money.or_zero(row["cost_usd"])
    cost = _cost(row, prices, row["bucket"], requests)
    if why := _hindrance(row, prices, cost, billed):
        yield "open", requests, billed, None, why
    elif cost.usd is None:
        yield "no price", requests, billed, None, cost.missing
    else:
        verdict = _verdict(billed, cost.usd, requests, exact=cost.exact)
        yield verdict, requests, billed, cost.usd, _whose(cost) if verdict == "differs" else ""


def _whose(cost: Cost) -> str:
    return LISTED if cost.source == "list" else ""


def _hindrance(row: dict[Any, Any], prices: PriceList, cost: Cost, billed: Decimal) -> str:
    """Say why the sum of a day cannot be held against one price; empty where it can."""
    agrees = cost.usd is not None and (
        _verdict(billed, cost.usd, int(row["requests"]), exact=True) == "agrees"
    )
    if _changes(row, prices, cost, hours=1 if agrees else 24):
        return "its price changes within a day"
    if cost.usd is None:
        return ""
    if int(row["without_cost"]):
        return "some of its requests have tokens and no cost"
    dearest = row.get("max_cost_usd")
    if agrees and isinstance(dearest, Decimal) and dearest > cost.usd + ROUNDING_USD:
        return "one request was billed more than all of its day should be"
    return ""


def _changes(row: dict[Any, Any], prices: PriceList, cost: Cost, *, hours: int) -> bool:
    """Tell whether the same tokens cost something else later on the day, in so many looks."""
    ends = [row["bucket"] + _DAY * part / hours - _TICK for part in range(1, hours + 1)]
    requests = int(row["requests"])
    return any(_cost(row, prices, at, requests).usd != cost.usd for at in ends)


_DAY, _TICK = timedelta(days=1), timedelta(microseconds=1)


def _count(value: Any) -> int:
    return 0 if value is None or value != value or str(value) == "<NA>" else int(value)


def _verdict(billed: Decimal, expected: Decimal, requests: int, *, exact: bool) -> str:
    if abs(billed - expected) <= ROUNDING_USD * requests:
        return "agrees"
    if not exact:
        return "tiered"
    return "not billed" if billed == 0 else "differs"
