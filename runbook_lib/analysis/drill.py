"""Spend from the total down: by day, by name, by kind of token, with what one unit costs.

Everything here is made of one roll-up by hour, so every table adds up to the same total.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from runbook_lib import money
from runbook_lib.errors import ParameterError

if TYPE_CHECKING:
    import pandas as pd

TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
"""Sums of a roll-up that count tokens; reasoning tokens are part of the output (contract §7)."""

SUMS = ("requests", *TOKENS, "cache_write_5m_tokens", "cache_write_1h_tokens", "cost_usd")

OWNED = ("environment", "service", "owner")
"""Columns that the key inventory knows, and usage rows do not."""

BY = ("model", "key_name", "endpoint", *OWNED)
"""What spend can be split by."""

OTHER = "(other)"
BLANK = "(blank)"
UNALLOCATED = "(not in keys.csv)"
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def owned(rolled: "pd.DataFrame", keys: "pd.DataFrame") -> "pd.DataFrame":
    """Add what the key inventory says of each key.

    Args:
        rolled: Any frame with `account` and `key_name`, or `key_name` alone.
        keys: The key inventory: `account`, `key_name`, `environment`, `service`, `owner`; several
            rows a key where it has several caps, services or owners. A row without an account is
            of any account that has no row of its own.

    Returns:
        *rolled* with `environment`, `service` and `owner`; `UNALLOCATED` where the inventory does
        not have the key, `BLANK` where it has it without a value. A key with several services is
        one line: "a; b". A key whose account is not known has what is said of its name.
    """
    import pandas as pd

    told = _inventory(keys)
    made = rolled.copy()
    pairs = zip(_texts(made, "account"), _texts(made, "key_name"), strict=True)
    said = [_said(told, *pair) for pair in pairs]
    for place, name in enumerate(OWNED):
        made[name] = pd.Series([one[place] for one in said], made.index, object)
    return made


_NOBODY = (UNALLOCATED,) * len(OWNED)


def _said(
    told: Mapping[tuple[str | None, str], tuple[str, ...]], account: str, key: str
) -> tuple[str, ...]:
    whose = (account, "") if account else ("", None)
    return next((told[one, key] for one in whose if (one, key) in told), _NOBODY)


def _inventory(keys: "pd.DataFrame") -> dict[tuple[str | None, str], tuple[str, ...]]:
    """What is said of a key: by account and name, and under None by its name alone."""
    rows: dict[tuple[str | None, str], list[dict[Any, Any]]] = {}
    lines = zip(
        _texts(keys, "account"), _texts(keys, "key_name"), keys.to_dict("records"), strict=True
    )
    for account, key, row in lines:
        if key:
            for whose in (account, None):
                rows.setdefault((whose, key), []).append(row)
    return {key: tuple(_joined(lines, name) for name in OWNED) for key, lines in rows.items()}


def _joined(rows: Sequence[Mapping[Any, Any]], name: str) -> str:
    values = [row[name] for row in rows if isinstance(row[name], str) and row[name]]
    return "; ".join(dict.fromkeys(values)) or BLANK


def _texts(frame: "pd.DataFrame", name: str) -> list[str]:
    """The texts of a column; empty where one is unknown, or the column is not there."""
    if name not in frame.columns:
        return [""] * len(frame)
    return [value if isinstance(value, str) else "" for value in frame[name]]


def named(values: "pd.Series") -> "pd.Series":
    """Write unknown and empty names as `BLANK`, so that no group is lost."""
    told = values.astype(object)
    return told.where(told.notna() & (told != ""), BLANK)


def split(rolled: "pd.DataFrame", by: str, *, top: int) -> "pd.DataFrame":
    """Sum a roll-up by one column: the dearest names, and the rest as one line.

    Args:
        rolled: Roll-up; reads `SUMS` and *by*.
        by: Column to split by.
        top: Names shown, from 1; the others are one line, `OTHER`.

    Returns:
        One row a name, dearest first, `OTHER` last: *by*, `requests`, the token sums, `cost_usd`
        (Decimal USD), `share` of the cost (0–1; NaN where the total is 0), and the unit costs of
        `with_units`. The rows sum to the whole of *rolled*; a blank name is `BLANK`.

    Raises:
        ParameterError: there is no such column, or *top* is below 1.
    """
    import pandas as pd

    if by not in rolled.columns:
        raise ParameterError("by", by, hint=f"one of {', '.join(BY)}")
    if top < 1:
        raise ParameterError("top", top, hint="a number from 1 on")
    sums = summed(rolled.assign(**{by: named(rolled[by])}), [by])
    order = sums.assign(size=sums["cost_usd"].map(abs), name=sums[by].astype(str))
    order = order.sort_values(["size", "name"], ascending=[False, True], kind="stable")
    first, rest = sums.loc[order.index[:top]], sums.loc[order.index[top:]]
    if len(rest):
        other = summed(rest.assign(**{by: f"{OTHER}: {len(rest):,} more"}), [by])
        first = pd.concat([first, other])
    whole = money.total(sums["cost_usd"])
    made = first.reset_index(drop=True)
    made["share"] = [float(cost / whole) if whole else float("nan") for cost in made["cost_usd"]]
    return with_units(made)


def summed(rolled: "pd.DataFrame", keys: Sequence[str]) -> "pd.DataFrame":
    """Sum a roll-up once more.

    Args:
        rolled: Roll-up with `SUMS`.
        keys: Columns to keep.

    Returns:
        One row a combination of *keys* that is there, in their order: *keys* and `SUMS`; unknown
        costs and counts add nothing. Counts are int64, and Python's integers where that is too
        small for their sum.
    """
    import pandas as pd

    present = [name for name in SUMS if name in rolled.columns]
    filled = rolled[[*keys, *present]].copy()
    for name in present:
        zero: Any = money.ZERO if name == "cost_usd" else 0
        filled[name] = filled[name].where(filled[name].notna(), zero)
    huge = [name for name in present if name != "cost_usd" and _is_huge(filled[name])]
    for name in huge:
        filled[name] = pd.Series([int(count) for count in filled[name]], filled.index, object)
    made = filled.groupby(list(keys), dropna=False, sort=True, as_index=False)[present].sum()
    whole = [name for name in present if name not in ("cost_usd", *huge)]
    made[whole] = made[whole].astype("int64")
    made["cost_usd"] = made["cost_usd"].astype(object).map(money.or_zero)
    return made


def _is_huge(counts: "pd.Series") -> bool:
    return float(counts.astype(float).abs().sum()) >= 2.0**62


def with_units(sums: "pd.DataFrame") -> "pd.DataFrame":
    """Add what one unit costs.

    Args:
        sums: As `summed` gives them.

    Returns:
        *sums* with `usd_per_request`, `usd_per_1k_output` (all cost over output tokens),
        `cache_hit_share` (cached share of the input read) and `tokens_per_request` (float; NaN
        where there is nothing to divide by).
    """
    made = sums.copy()
    cost = made["cost_usd"].astype(float)
    requests = made["requests"].astype(float)
    output = made["output_tokens"].astype(float)
    read = made["cache_read_tokens"].astype(float)
    taken = made["input_tokens"].astype(float) + read + made["cache_write_tokens"].astype(float)
    made["usd_per_request"] = cost / requests.where(requests > 0)
    made["usd_per_1k_output"] = 1000 * cost / output.where(output > 0)
    made["cache_hit_share"] = read / taken.where(taken > 0)
    made["tokens_per_request"] = (taken + output) / requests.where(requests > 0)
    return made


def by_day(rolled: "pd.DataFrame", by: str, *, top: int) -> "pd.DataFrame":
    """Sum spend by local day and name, for the dearest names and the rest.

    Args:
        rolled: Roll-up by hour; reads `hour_local` ("2026-11-24T13:00+01:00"), `SUMS` and *by*.
        by: Column to split by.
        top: Names kept apart; the others are `OTHER`.

    Returns:
        One row a day and name: `day_local` (text, "2026-11-24"), *by*, `requests`, `cost_usd`
        (Decimal USD); days in order. A day without rows has none.
    """
    names = named(rolled[by])
    sizes = summed(rolled.assign(**{by: names}), [by])
    order = sizes.assign(size=sizes["cost_usd"].map(abs)).sort_values(
        ["size", by], ascending=[False, True], kind="stable"
    )
    kept = set(order[by][:top])
    days = rolled["hour_local"].str[:10]
    told = rolled.assign(day_local=days, **{by: names.where(names.isin(kept), OTHER)})
    return summed(told, ["day_local", by])[["day_local", by, "requests", "cost_usd"]]


def by_weekday(rolled: "pd.DataFrame") -> "pd.DataFrame":
    """Sum spend by weekday and hour of the local clock.

    Args:
        rolled: Roll-up by hour; reads `hour_local` ("2026-11-24T13:00+01:00") and `SUMS`.

    Returns:
        168 rows: `weekday` (Mon–Sun), `hour` (0–23), `requests`, `cost_usd` (Decimal USD), 0 where
        there was nothing.
    """
    import pandas as pd

    told = rolled.assign(
        weekday=pd.to_datetime(rolled["hour_local"].str[:10]).dt.day_of_week,
        hour=rolled["hour_local"].str[11:13].astype("int64"),
    )
    sums = summed(told, ["weekday", "hour"]).set_index(["weekday", "hour"])
    places = pd.MultiIndex.from_product([range(7), range(24)], names=["weekday", "hour"])
    made = sums[["requests", "cost_usd"]].reindex(places).reset_index()
    made["requests"] = made["requests"].fillna(0).astype("int64")
    made["cost_usd"] = made["cost_usd"].map(money.or_zero)
    made["weekday"] = made["weekday"].map(dict(enumerate(WEEKDAYS)))
    return made


def by_kind(
    rolled: "pd.DataFrame", weights: Mapping[str, Mapping[str, float]] | None = None
) -> "pd.DataFrame":
    """Split spend by kind of token, at the ratio of their prices.

    Args:
        rolled: Roll-up with `model` and `SUMS`.
        weights: Model → kind → price in any unit; None or a missing model stands for
            `bridge.WEIGHTS`.

    Returns:
        One row a kind: `token_kind` (input, output, cache_read, cache_write_5m, cache_write_1h, or
        request where a cost has no tokens), `tokens`, `cost_usd` (Decimal USD; the rows sum to the
        total), `share`.
    """
    import pandas as pd

    from runbook_lib.analysis.bridge import WEIGHTS

    sums = summed(rolled.assign(model=named(rolled["model"])), ["model"])
    spent = dict.fromkeys((*_KINDS.values(), "request"), money.ZERO)
    counts = dict.fromkeys(spent, 0)
    for line in sums.to_dict("records"):
        tokens = {kind: int(line[kind]) for kind in _KINDS}
        tokens["cache_write_tokens"] -= tokens["cache_write_1h_tokens"]
        price = (weights or {}).get(str(line["model"]), WEIGHTS)
        parts = {
            kind: Decimal(count) * Decimal(str(price.get(kind, WEIGHTS[kind])))
            for kind, count in tokens.items()
        }
        for kind, count in tokens.items():
            counts[_KINDS[kind]] += count
        _share_out(spent, parts, line["cost_usd"])
    whole = money.total(spent.values())
    rows = [
        (kind, counts[kind], cost, float(cost / whole) if whole else float("nan"))
        for kind, cost in spent.items()
        if cost or counts[kind]
    ]
    return pd.DataFrame(rows, columns=["token_kind", "tokens", "cost_usd", "share"])


_KINDS = {
    "input_tokens": "input",
    "output_tokens": "output",
    "cache_read_tokens": "cache_read",
    "cache_write_tokens": "cache_write_5m",
    "cache_write_1h_tokens": "cache_write_1h",
}


def _share_out(spent: dict[str, Decimal], parts: Mapping[str, Decimal], cost: Decimal) -> None:
    """Share a cost out in proportion; what rounding leaves goes to the largest part."""
    whole = money.total(parts.values())
    if not whole:
        spent["request"] += cost
        return
    left = cost
    for kind, part in parts.items():
        share = money.rounded(cost * part / whole, money.SCALE)
        spent[_KINDS[kind]] += share
        left -= share
    spent[_KINDS[max(parts, key=lambda kind: parts[kind])]] += left
