"""What is behind a spike: which factor, model and endpoint, each with its share of the excess."""

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from runbook_lib import money
from runbook_lib.analysis import bridge, drill

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("event", "key_name", "dimension", "rank", "name", "excess_usd", "share")

_NAMES = {
    "volume": ("more requests", "fewer requests"),
    "size": ("longer requests", "shorter requests"),
    "price": ("dearer tokens", "cheaper tokens"),
    "cache": ("fewer cached tokens", "more cached tokens"),
    "mix": ("dearer models", "cheaper models"),
}
"""Words for a factor that adds to spend, and for one that takes from it."""


def causes(
    events: "pd.DataFrame",
    past: "pd.DataFrame",
    *,
    weights: Mapping[str, Mapping[str, float]] | None = None,
) -> "pd.DataFrame":
    """Rank what is behind each spike, against as long a time of the key's own past.

    Args:
        events: Raised events, as `find_spikes` gives them.
        past: Roll-up of usage by hour or minute and `account`, `key_name`, `model`, `endpoint`,
            with token sums; it must hold the events and what came before them.
        weights: Prices of models, for the split of factors; see `bridge`.

    Returns:
        One row an event, dimension (factor, model, endpoint, token_kind) and name, largest first:
        `event`, `key_name`, `dimension`, `rank` (1 is the largest), `name`, `excess_usd` (Decimal
        USD, above the past), `share` (of the excess; those of a dimension sum to 1; NaN where there
        is no excess).
    """
    import pandas as pd

    rows: list[tuple[Any, ...]] = []
    for event in events.to_dict("records"):
        inside, before = _windows(event, past)
        ratio = _ratio(event)
        rows += _ranked(event, "factor", _factors(inside, before, ratio, weights))
        for name in ("model", "endpoint"):
            rows += _ranked(event, name, _parts(inside, before, ratio, name))
        rows += _ranked(event, "token_kind", _kinds(inside, before, ratio, weights))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _windows(
    event: Mapping[Any, Any], past: "pd.DataFrame"
) -> tuple["pd.DataFrame", "pd.DataFrame"]:
    mine = past[past["key_name"].map(str) == str(event["key_name"])]
    mine = mine[drill.named(mine["account"]) == (event["account"] or drill.BLANK)]
    if event["scope"] == "model":
        mine = mine[mine["model"] == event["model"]]
    inside = mine[(mine["bucket"] >= event["start"]) & (mine["bucket"] < event["end"])]
    before = mine[(mine["bucket"] >= event["past_from"]) & (mine["bucket"] < event["start"])]
    return inside, before


def _ratio(event: Mapping[Any, Any]) -> Decimal:
    """Length of the event over that of its past."""
    long = (event["end"] - event["start"]).total_seconds()
    before = (event["start"] - event["past_from"]).total_seconds()
    return Decimal(repr(long / before)) if before > 0 else money.ZERO


def _scaled(before: "pd.DataFrame", ratio: Decimal, keys: list[str]) -> "pd.DataFrame":
    """What the past would have been in as long a time as the event."""
    made = drill.summed(before, keys)
    for name in drill.SUMS:
        if name in made.columns and name != "cost_usd":
            made[name] = made[name].astype(float) * float(ratio)
    made["cost_usd"] = made["cost_usd"].map(lambda cost: money.rounded(cost * ratio, money.SCALE))
    return made


def _factors(
    inside: "pd.DataFrame",
    before: "pd.DataFrame",
    ratio: Decimal,
    weights: Mapping[str, Mapping[str, float]] | None,
) -> dict[str, Decimal]:
    keys = ["key_name", "model"]
    split = bridge.bridge(_scaled(before, ratio, keys), drill.summed(inside, keys), weights=weights)
    sums = bridge.total(split)
    parts = {name: sums.get(f"{name}_usd", money.ZERO) for name in _NAMES}
    return {_NAMES[name][usd < 0]: usd for name, usd in parts.items()}


def _parts(
    inside: "pd.DataFrame", before: "pd.DataFrame", ratio: Decimal, name: str
) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    now = drill.summed(inside.assign(**{name: drill.named(inside[name])}), [name])
    then = _scaled(before.assign(**{name: drill.named(before[name])}), ratio, [name])
    for frame, sign in ((now, 1), (then, -1)):
        for row in frame.to_dict("records"):
            found[row[name]] = found.get(row[name], money.ZERO) + sign * row["cost_usd"]
    return found


def _kinds(
    inside: "pd.DataFrame",
    before: "pd.DataFrame",
    ratio: Decimal,
    weights: Mapping[str, Mapping[str, float]] | None,
) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    for frame, sign in ((inside, Decimal(1)), (before, -ratio)):
        for row in drill.by_kind(frame, weights).to_dict("records"):
            usd = money.rounded(sign * row["cost_usd"], money.SCALE)
            found[row["token_kind"]] = found.get(row["token_kind"], money.ZERO) + usd
    return found


def _ranked(
    event: Mapping[Any, Any], dimension: str, parts: Mapping[str, Decimal]
) -> list[tuple[Any, ...]]:
    whole = money.total(parts.values())
    order = sorted(parts.items(), key=lambda item: (-item[1] if whole >= 0 else item[1], item[0]))
    return [
        (
            event["event"],
            event["key_name"],
            dimension,
            rank,
            name,
            usd,
            float(usd / whole) if whole else float("nan"),
        )
        for rank, (name, usd) in enumerate(order, start=1)
    ]
