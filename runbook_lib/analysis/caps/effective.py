"""What each key can spend at once: the least of balance, budget, quota and windows."""

from collections.abc import Sequence
from decimal import Decimal

import pandas as pd

from runbook_lib.analysis.caps.clocks import Limit, ends_on
from runbook_lib.analysis.caps.frames import objects
from runbook_lib.analysis.caps.material import CapMaterial
from runbook_lib.analysis.caps.sized import Sized
from runbook_lib.analysis.caps.tiers import WHOLE

KINDS = ("balance", "budget", "plan", "total", "month", "7d", "1d", "5h")

GONE = ("expired", "deleted")
"""How it is told that the gateway refuses a key."""

COLUMNS = [
    *("account", "key_name", "environment", "effective_usd", "binds", "ends_first"),
    *("runs_out_early", *(f"{kind}_left_usd" for kind in KINDS)),
]


def effective(
    material: CapMaterial, keys: Sequence[Sized], limits: Sequence[Limit]
) -> pd.DataFrame:
    """Give the effective quota of every key.

    Args:
        material: Reads `now` and `timezone`.
        keys: Every key.
        limits: As `clocks.limits_of` gives them.

    Returns:
        A row a key: `account`, `key_name`, `environment`, `effective_usd` (the least that is left
        of any of its limits; 0 for a key that expired or was deleted), `binds` (which),
        `ends_first` (the limit that is used up first at p90, with its day `runs_out_early`), and
        what is left of each: `balance_left_usd`, `budget_left_usd`, `plan_left_usd` (the least of
        its windows), `total_left_usd`, `month_left_usd`, `7d_left_usd`, `1d_left_usd`,
        `5h_left_usd`; Decimal USD, None for a limit that is not set or not known.
    """
    return objects([_row(material, one, limits) for one in keys], COLUMNS)


def _row(material: CapMaterial, key: Sized, limits: Sequence[Limit]) -> dict[str, object]:
    own = [one for one in limits if _holds(one, key)]
    least = min(own, key=lambda one: one.remaining, default=None)
    ends = [(ends_on(material, one, 0.9), one) for one in own if one.views]
    dated = [(day, one) for day, one in ends if day is not None]
    first = min(dated, key=lambda pair: (pair[0], pair[1].remaining), default=None)
    left: dict[str, Decimal] = {}
    for one in own:
        at = f"{_kind(one)}_left_usd"
        left[at] = min(one.remaining, left.get(at, one.remaining))
    gone = key.ended.split()[0].rstrip(":") if key.ended.startswith(GONE) else ""
    return {
        "account": key.ref.account or None,
        "key_name": key.ref.key_name,
        "environment": key.environment or None,
        "effective_usd": _least(least, gone),
        "binds": gone or (None if least is None else _told(least)),
        "ends_first": None if first is None else _told(first[1]),
        "runs_out_early": None if first is None else first[0],
        **left,
    }


def _least(least: Limit | None, gone: str) -> Decimal | None:
    """Give what may be spent; nothing with a key that is refused."""
    if gone:
        return Decimal(0)
    return None if least is None else max(least.remaining, Decimal(0))


def _holds(one: Limit, key: Sized) -> bool:
    """Tell whether a limit holds a key."""
    if one.what == "balance":
        own = one.of.get("key_name") in (None, key.ref.key_name)
        return own and one.of["account"] in (None, key.ref.account)
    if one.what == "budget":
        return one.of["environment"] in (WHOLE, key.environment)
    return (one.of["account"], one.of["key_name"]) == key.ref


def _kind(one: Limit) -> str:
    return one.what if one.what in ("balance", "budget", "plan") else str(one.of["window"])


def _told(one: Limit) -> str:
    if one.what == "budget":
        whole = one.of["environment"] == WHOLE
        return "budget of the month" if whole else f"budget of {one.of['environment']}"
    if one.what == "plan":
        return f"plan ({one.of['window']})"
    return {"total": "quota"}.get(
        _kind(one), one.what if one.what == "balance" else f"{_kind(one)} cap"
    )
