"""Usage rows against the callers' log, key by key, with what is unsure of it in USD."""

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np

from runbook_lib import money
from runbook_lib.analysis.material import FAILED
from runbook_lib.analysis.pairing import BY_TIME, Paired, covered

if TYPE_CHECKING:
    import pandas as pd

    from runbook_lib.analysis.material import Material
    from runbook_lib.clock import Window

COLUMNS = (
    *("side", "key_name", "rows", "by_time", "failed", "without_id", "outside_log"),
    *("cost_usd", "low_usd", "high_usd"),
)

_COUNTS = ("by_time", "failed", "without_id", "outside_log", "open")


def dearest(rolled: "pd.DataFrame") -> dict[str, Decimal]:
    """Tell what the dearest row of each key cost.

    Args:
        rolled: Roll-up of usage with `key_name` and `max_cost_usd` (Decimal USD).

    Returns:
        Key ("" for none) → USD.
    """
    found: dict[str, Decimal] = {}
    known = rolled.loc[rolled["max_cost_usd"].notna(), ["key_name", "max_cost_usd"]]
    for row in known.to_dict("records"):
        found[_name(row)] = max(found.get(_name(row), money.ZERO), row["max_cost_usd"])
    return found


def counted(
    material: "Material",
    paired: Paired,
    window: "Window",
    *,
    only: Mapping[str, str] | None = None,
    logs: "pd.DataFrame | None" = None,
) -> "pd.DataFrame":
    """Count rows and attempts of a window by where they are known.

    Args:
        material: Every attempt and usage row of the window, and some around it.
        paired: Which row belongs to which attempt.
        window: Rows that end in it count, and attempts without a row that start in it.
        only: Column (`key_name`, `model`) → the one name that counts; None for all.
        logs: Attempts by key, as `pairing.covered` takes them.

    Returns:
        One row a side and key: `side` ("both", "usage", "calls"), `key_name` (the
        attempt's where the row does not know it, as after the key was deleted), `rows`, `by_time`
        (of them, put together by time), `failed` (attempts), `without_id` (rows no id can join),
        `outside_log` (rows of a time or key that no log covers), `open` (attempts that may have
        been billed for all that is known), `cost_usd` (Decimal USD;
        None for attempts without a row).
    """
    import pandas as pd

    attempts = material.attempts.assign(
        failed=material.attempts["outcome"].isin(FAILED), how=paired.how
    )
    rows = material.rows[window.holds(material.rows["ts"])]
    theirs = attempts.loc[paired.rows.index, ["key_name", "failed", "how"]]
    theirs = theirs.set_axis(paired.rows).reindex(rows.index)
    rows = rows.assign(
        side=np.where(theirs["how"].notna(), "both", "usage"),
        key_name=rows["key_name"].where(rows["key_name"].notna(), theirs["key_name"]),
        by_time=theirs["how"] == BY_TIME,
        failed=theirs["failed"] == True,  # noqa: E712 - unknown where there is no attempt
        without_id=rows["join_id"].isna(),
        outside_log=theirs["how"].isna() & ~covered(rows, logs),
        open=False,
    )
    alone = attempts[(paired.place < 0) & window.holds(attempts["ts"])]
    nameless = alone["client_request_id"].isna()
    idless = alone["key_name"].isin(rows.loc[rows["without_id"], "key_name"])
    alone = alone.assign(
        side="calls",
        by_time=False,
        without_id=nameless,
        outside_log=False,
        open=(alone["outcome"] != "refused") & (nameless | idless),
        cost_usd=None,
    )
    for name, value in (only or {}).items():
        rows, alone = rows[rows[name] == value], alone[alone[name] == value]
    names = ["side", "key_name", *_COUNTS, "cost_usd"]
    made = [
        (side, key if isinstance(key, str) else None, len(part), *_sums(part))
        for (side, key), part in pd.concat([rows[names], alone[names]]).groupby(
            ["side", "key_name"], dropna=False, sort=True
        )
    ]
    columns = ["side", "key_name", "rows", *_COUNTS, "cost_usd"]
    return pd.DataFrame(made, columns=columns)


def _sums(part: "pd.DataFrame") -> tuple[Any, ...]:
    counts = (int(part[name].sum()) for name in _COUNTS)
    costs = [usd for usd in part["cost_usd"] if isinstance(usd, Decimal)]
    return (*counts, None if part["side"].iloc[0] == "calls" else money.total(costs))


def bounded(sides: "pd.DataFrame", dearest: Mapping[str, Decimal]) -> "pd.DataFrame":
    """Say how much of each side is unsure, in USD.

    What no id decides can be on the wrong side: as many rows of a key as it has open attempts, each
    as dear as the dearest row of the key at most.

    Args:
        sides: As `counted` gives it, or `Store.reconcile_by` by `key_name`, which knows of no time
            and no open attempts: there every attempt that has no id counts as open, and where the
            rows have none, every one that did not fail.
        dearest: Key → cost of its dearest row in USD.

    Returns:
        `COLUMNS`: *sides* with `low_usd` and `high_usd` (Decimal USD; None where no row of the key
        is known). Of attempts without a row, the least is 0: refused ones cost nothing.
    """
    import pandas as pd

    made = sides.copy()
    if "open" not in made.columns:
        made["by_time"] = 0
        made["outside_log"] = pd.array([pd.NA] * len(made), dtype="Int64")
        made["open"] = _open(made)
    lines = made.to_dict("records")
    open_ones = {_name(row): int(row["open"]) for row in lines if row["side"] == "calls"}
    unsure = {
        _name(row): min(
            min(open_ones.get(_name(row), 0), int(row["rows"])) * _most(row, dearest),
            money.or_zero(row["cost_usd"]),
        )
        for row in lines
        if row["side"] == "usage"
    }
    bounds = [_bound(row, unsure.get(_name(row), money.ZERO), dearest) for row in lines]
    for place, name in enumerate(("low_usd", "high_usd")):
        made[name] = pd.Series([both[place] for both in bounds], index=made.index, dtype=object)
    return made[list(COLUMNS)]


def _open(sides: "pd.DataFrame") -> list[int]:
    idless = {
        _name(row)
        for row in sides.to_dict("records")
        if row["side"] == "usage" and int(row["without_id"])
    }
    return [
        0
        if row["side"] != "calls"
        else int(row["rows"]) - int(row["failed"])
        if _name(row) in idless
        else int(row["without_id"])
        for row in sides.to_dict("records")
    ]


def _bound(
    row: Mapping[Any, Any], unsure: Decimal, dearest: Mapping[str, Decimal]
) -> tuple[Decimal | None, Decimal | None]:
    if row["side"] == "calls":
        most = dearest.get(_name(row))
        return money.ZERO, None if most is None else int(row["open"]) * most
    cost = money.or_zero(row["cost_usd"])
    return (cost - unsure, cost) if row["side"] == "usage" else (cost, cost + unsure)


def _most(row: Mapping[Any, Any], dearest: Mapping[str, Decimal]) -> Decimal:
    return dearest.get(_name(row), money.ZERO)


def _name(row: Mapping[Any, Any]) -> str:
    return row["key_name"] if isinstance(row["key_name"], str) else ""
