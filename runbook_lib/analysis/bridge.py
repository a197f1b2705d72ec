"""Why spend moved: the change between two windows, split into five factors that add up exactly.

Of one key and model, spend = requests × share of the model × tokens per request × how the input was
cached × price. Each factor goes from its old to its new value in every possible order, and gets
the mean of what it adds (the Shapley value): no order is preferred, the parts add up to the
change, exchanging the windows flips every sign, and a factor that did not move adds nothing.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import combinations
from math import factorial
from typing import TYPE_CHECKING

from runbook_lib import money

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

FACTORS = ("volume", "size", "price", "cache", "mix")
"""More requests, longer ones, dearer tokens, fewer cached ones, dearer models."""

WEIGHTS = {
    "input_tokens": 1.0,
    "cache_read_tokens": 0.1,
    "cache_write_tokens": 1.25,
    "cache_write_1h_tokens": 2.0,
    "output_tokens": 5.0,
}
"""What kinds of token cost against each other where a model's prices are unknown."""

_INPUT = tuple(name for name in WEIGHTS if name != "output_tokens")


def bridge(
    before: "pd.DataFrame",
    after: "pd.DataFrame",
    *,
    by: Sequence[str] = ("key_name",),
    weights: Mapping[str, Mapping[str, float]] | None = None,
) -> "pd.DataFrame":
    """Split the change of spend between two windows.

    Args:
        before: Roll-up of the earlier window by *by* and `model`: reads `requests` (count), the
            token sums `input_tokens`, `output_tokens`, `cache_read_tokens`, `cache_write_tokens`
            (all lifetimes), `cache_write_1h_tokens`, and `cost_usd` (Decimal USD).
        after: The same of the later window.
        by: Columns that name a line.
        weights: Model → kind of token → its price in any unit; None or a model that is missing
            stands for `WEIGHTS`. Only the ratio between kinds matters, never the level.

    Returns:
        One row a value of *by* in either window, the largest change first: *by*, `before_usd`,
        `after_usd`, `change_usd`, then `volume_usd`, `size_usd`, `price_usd`, `cache_usd`,
        `mix_usd` (Decimal USD), whose sum is `change_usd` exactly. A blank name is a line.

    Source: contract §7 (M): `input_tokens` excludes cached tokens.
    """
    import pandas as pd

    lines = _paired(before, after, list(by))
    rows = []
    for names, group in lines.groupby(list(by), dropna=False, sort=True):
        old, new = (money.total(group[f"cost_usd_{side}"]) for side in ("old", "new"))
        rows.append([*names, old, new, new - old, *_parts(group, weights or {})])
    columns = [*by, "before_usd", "after_usd", "change_usd", *(f"{name}_usd" for name in FACTORS)]
    made = pd.DataFrame(rows, columns=columns)
    made[list(by)] = made[list(by)].astype(object).where(made[list(by)].notna(), None)
    order = made["change_usd"].map(abs).sort_values(ascending=False, kind="stable").index
    return made.loc[order].reset_index(drop=True)


def total(split: "pd.DataFrame") -> dict[str, Decimal]:
    """Sum a bridge.

    Args:
        split: As `bridge` gives it.

    Returns:
        Name of the column → Decimal USD, for every column that ends in `_usd`.
    """
    names = [name for name in split.columns if str(name).endswith("_usd")]
    return {str(name): money.total(split[name]) for name in names}


def _paired(before: "pd.DataFrame", after: "pd.DataFrame", by: list[str]) -> "pd.DataFrame":
    """One row a value of *by* and model, with the sums of either window beside each other."""
    import pandas as pd

    keys = [*by, "model"]
    sums = ["requests", *WEIGHTS, "cost_usd"]
    sides = []
    for frame in (before, after):
        held = frame.reindex(columns=[*keys, *sums])
        numbers = held[sums[:-1]].astype("Float64").fillna(0.0).astype(float)
        cost = held["cost_usd"].where(held["cost_usd"].notna(), money.ZERO)
        names = held[keys].astype(object).where(held[keys].notna(), None)
        one = pd.concat([names, numbers, cost.rename("cost_usd")], axis=1)
        one = one.groupby(keys, dropna=False, as_index=False, sort=False).agg(
            dict.fromkeys(sums, "sum")
        )
        one[keys] = one[keys].astype(object)
        sides.append(one)
    both = sides[0].merge(sides[1], on=keys, how="outer", suffixes=("_old", "_new"))
    for side in ("old", "new"):
        counts = [f"{name}_{side}" for name in sums[:-1]]
        both[counts] = both[counts].astype(float).fillna(0.0)
        cost = both[f"cost_usd_{side}"]
        both[f"cost_usd_{side}"] = cost.where(cost.notna(), money.ZERO)
    return both


def _parts(group: "pd.DataFrame", weights: Mapping[str, Mapping[str, float]]) -> list[Decimal]:
    """The parts of one line in the order of `FACTORS`; always computed one way round."""
    old, new = _sums(group, "old"), _sums(group, "new")
    costs = [money.total(group[f"cost_usd_{side}"]) for side in ("old", "new")]
    turned = (costs[0], *old) > (costs[1], *new)
    if turned:
        old, new, costs = new, old, costs[::-1]
    table = [weights.get(str(model), WEIGHTS) for model in group["model"]]
    shares = _shapley(*_factors(old, new, table))
    return [-part if turned else part for part in _exact(shares, costs[1] - costs[0])]


def _sums(group: "pd.DataFrame", side: str) -> list[tuple[float, ...]]:
    names = ("requests", *WEIGHTS, "cost_usd")
    columns = [group[f"{name}_{side}"].astype(float).tolist() for name in names]
    return list(zip(*columns, strict=True))


def _factors(
    old: Sequence[tuple[float, ...]],
    new: Sequence[tuple[float, ...]],
    table: Sequence[Mapping[str, float]],
) -> tuple[dict[str, "Floats"], dict[str, "Floats"]]:
    """The factors of either window, an entry a model; what one cannot tell it takes of the other.

    Both have `volume` (one number), `mix`, `size` (input and output tokens a request), `cache`
    (price of an input token as it was cached, and of an output token) and `price`.
    """
    import numpy as np

    unit = np.array([[row.get(kind, WEIGHTS[kind]) for kind in WEIGHTS] for row in table])
    sides = [_one_side(np.array(rows, dtype=float), unit) for rows in (old, new)]
    flat = (sides[0]["weighed"] == 0) & (sides[0]["cost"] != 0)
    flat |= (sides[1]["weighed"] == 0) & (sides[1]["cost"] != 0)
    made = [_finish(side, flat) for side in sides]
    for mine, other in (made, made[::-1]):
        for name in ("mix", "size", "cache", "price"):
            mine[name] = np.where(np.isnan(mine[name]), other[name], mine[name])
        for name in ("mix", "size", "cache", "price"):
            mine[name] = np.nan_to_num(mine[name])
    return made[0], made[1]


def _one_side(rows: "Floats", unit: "Floats") -> dict[str, "Floats"]:
    """Requests, tokens and cost of one window; `weighed` are its tokens at the known ratios."""
    kinds = list(WEIGHTS)
    tokens = rows[:, 1:-1].copy()
    long_lived = kinds.index("cache_write_1h_tokens")
    short_lived = kinds.index("cache_write_tokens")
    tokens[:, short_lived] = (tokens[:, short_lived] - tokens[:, long_lived]).clip(min=0)
    return {
        "requests": rows[:, 0],
        "inputs": tokens[:, : len(_INPUT)],
        "output": tokens[:, -1],
        "weighed": (tokens * unit).sum(axis=1),
        "cost": rows[:, -1],
        "unit": unit,
    }


def _finish(side: dict[str, "Floats"], flat: "NDArray[np.bool_]") -> dict[str, "Floats"]:
    """Turn sums into factors, NaN where a window cannot tell; *flat* ones are priced a request."""
    import numpy as np

    with np.errstate(divide="ignore", invalid="ignore"):
        requests, inputs = side["requests"], side["inputs"]
        amount = inputs.sum(axis=1)
        count = requests.sum()
        mix = requests / count if count else np.full(len(requests), np.nan)
        size = np.stack([amount, side["output"]]) / requests
        size = np.where(requests > 0, size, np.nan)
        cached = (inputs * side["unit"][:, : len(_INPUT)]).sum(axis=1) / amount
        price = side["cost"] / side["weighed"]
        price = np.where((side["weighed"] > 0), price, np.nan)
        out = side["unit"][:, -1]
        size = np.where(flat, np.where(requests > 0, [[1.0], [0.0]], np.nan), size)
        cached = np.where(flat, 1.0, np.where(amount > 0, cached, np.nan))
        price = np.where(flat, np.where(requests > 0, side["cost"] / requests, np.nan), price)
    return {
        "volume": np.array([count]),
        "mix": mix,
        "size": size,
        "cache": np.stack([cached, out]),
        "price": price,
    }


def _cost(held: Mapping[str, "Floats"]) -> float:
    unit = (held["size"] * held["cache"]).sum(axis=0)
    return float((held["volume"] * held["mix"] * unit * held["price"]).sum())


def _shapley(old: dict[str, "Floats"], new: dict[str, "Floats"]) -> list[float]:
    """What each factor adds, the mean over all orders in which they could have moved."""
    count = len(FACTORS)
    worth: dict[frozenset[str], float] = {}
    for size in range(count + 1):
        for chosen in combinations(FACTORS, size):
            held = {name: (new if name in chosen else old)[name] for name in FACTORS}
            worth[frozenset(chosen)] = _cost(held)
    parts = []
    for name in FACTORS:
        part = 0.0
        for others in (moved for moved in worth if name not in moved):
            orders = factorial(len(others)) * factorial(count - len(others) - 1)
            part += orders / factorial(count) * (worth[others | {name}] - worth[others])
        parts.append(part)
    return parts


def _exact(parts: Sequence[float], change: Decimal) -> list[Decimal]:
    """Round to ten decimals; what rounding leaves goes to the largest part."""
    made = [Decimal(part).quantize(Decimal(1).scaleb(-money.SCALE)) for part in parts]
    largest = max(range(len(made)), key=lambda place: abs(made[place]))
    made[largest] += change - sum(made)
    return made
