"""The whole: caps against budget and balance, by environment, beside the seed's tiers."""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

import pandas as pd

from runbook_lib import money
from runbook_lib.analysis.caps.frames import objects
from runbook_lib.analysis.caps.material import CapMaterial, to_type
from runbook_lib.analysis.caps.sized import Sized
from runbook_lib.analysis.caps.standing import Standing, environment_of

PROD_SHARE = Decimal("0.9")
STAGING_USD = Decimal(30)
DEV_USD = Decimal(10)
"""Starting points of the best practices: 90 % of the monthly budget, some tens, about ten (D)."""

WHOLE = "(all)"
UNKNOWN = "(no environment)"

MONTHLY = {"5h": Decimal(144), "1d": Decimal(30), "7d": Decimal(30) / 7, "month": Decimal(1)}
"""Windows of a month: what a window's cap allows in thirty days at most."""


def defaults(
    material: CapMaterial, names: Sequence[str], known: Mapping[str, str]
) -> dict[str, Decimal]:
    """Give the starting cap of a month for keys that history says nothing about.

    Args:
        material: Reads `monthly_budget`.
        names: All keys.
        known: Environment of each.

    Returns:
        USD by key. The share of production is split evenly among its keys; a key has none where
        its environment is unknown, or is production and no budget is given.
    """
    budget = budget_usd(material)
    prod = [name for name in names if known.get(name) == "prod"]
    made = {}
    for name in names:
        where = known.get(name, "")
        if where == "prod" and budget is not None:
            made[name] = to_type(budget * PROD_SHARE / len(prod))
        elif where in ("staging", "dev"):
            made[name] = STAGING_USD if where == "staging" else DEV_USD
    return made


def budget_of(
    budget: pd.DataFrame, month: str, usd: Callable[[object, object], Decimal | None]
) -> Decimal | None:
    """Sum the budget of a month over all keys.

    Args:
        budget: Table `budget`: `month`, `key_name`, `amount`, `currency`.
        month: The month, "2026-11".
        usd: Gives an amount of a currency in USD, None where it cannot.

    Returns:
        USD; None where nothing is set.
    """
    if budget.empty:
        return None
    rows = budget[(budget["month"] == month) & budget["key_name"].isna()]
    found = [usd(row["amount"], row["currency"]) for row in rows.to_dict("records")]
    # A part of the budget would pass for the whole: one amount without a rate leaves it unknown.
    return money.total(found) if found and None not in found else None


def budget_usd(material: CapMaterial, environment: str = "") -> Decimal | None:
    """Give the month's budget in USD: the parameter, or the sum of `budget` rows of the month.

    Args:
        material: Reads `monthly_budget`, `budget`, `now`.
        environment: Only the rows of one environment; empty for all.

    Returns:
        USD; None where nothing is set.
    """
    if not environment and material.monthly_budget is not None:
        return material.usd(material.monthly_budget)
    rows = material.budget
    if environment and len(rows):
        rows = rows[[environment_of(name) == environment for name in rows["environment"]]]
    return budget_of(rows, f"{material.now:%Y-%m}", material.usd)


def set_month(caps: Sequence[Standing]) -> dict[str, Decimal]:
    """Give what the caps that are set let each key spend in a month, in USD; the tightest holds."""
    made: dict[str, Decimal] = {}
    for one in caps:
        if one.limit_usd is None:
            continue
        most = one.limit_usd
        if one.window == "total":
            most = one.limit_usd if one.remaining_usd is None else one.remaining_usd
        elif one.window in MONTHLY:
            most = one.limit_usd * MONTHLY[one.window]
        made[one.key_name] = min(most, made.get(one.key_name, most))
    return made


def whole(
    material: CapMaterial,
    keys: Sequence[Sized],
    caps: Sequence[Standing],
    known: Mapping[str, str],
    balance: Decimal | None,
) -> pd.DataFrame:
    """Hold the sums of caps against budget and balance.

    Args:
        material: Reads the budget.
        keys: Every key with its sized caps.
        caps: What is set.
        known: Environment of each key.
        balance: USD; None for unknown.

    Returns:
        A row an environment, then `WHOLE`: `environment`, `keys`, `without_cap` (keys),
        `proposed_usd` (caps of a month by history, or the tier), `set_usd` (what is set lets be
        spent in a month), `tier_usd` (starting points), `p50_usd` and `p90_usd` (sums of the keys'
        month), `budget_usd`, `balance_usd`, `over_commit` (proposed over budget) and
        `set_over_commit`; Decimal USD and ratios as Decimal, None where unknown.
    """
    names = [one.key_name for one in keys]
    tier, fixed = defaults(material, names, known), set_month(caps)
    groups: dict[str, list[Sized]] = {}
    for one in keys:
        groups.setdefault(known.get(one.key_name) or UNKNOWN, []).append(one)
    order = sorted(groups, key=lambda name: (name == UNKNOWN, name != "prod", name))
    parts = [(name, groups[name]) for name in order] + [(WHOLE, list(keys))]
    rows = []
    for name, members in parts:
        proposed = money.total(proposal(one, tier) for one in members)
        held = [fixed[one.key_name] for one in members if one.key_name in fixed]
        budget = budget_usd(material, "" if name == WHOLE else name)
        if budget is None and name == "prod" and budget_usd(material) is not None:
            budget = (budget_usd(material) or money.ZERO) * PROD_SHARE
        rows.append(
            {
                "environment": name,
                "keys": len(members),
                "without_cap": len(members) - len(held),
                "proposed_usd": proposed,
                "set_usd": money.total(held) if held else None,
                "tier_usd": _tier(members, tier),
                "p50_usd": _sum_at(members, 0.5),
                "p90_usd": _sum_at(members, 0.9),
                "budget_usd": budget,
                "balance_usd": balance if name == WHOLE else None,
                "over_commit": _ratio(proposed, budget),
                "set_over_commit": _ratio(money.total(held), budget) if held else None,
            }
        )
    return objects(rows)


def proposal(one: Sized, tier: Mapping[str, Decimal]) -> Decimal | None:
    """Give the cap of a month for a key: from its history, or else its tier; None for neither."""
    return one.caps.get("month") or tier.get(one.key_name)


def _tier(members: Sequence[Sized], tier: Mapping[str, Decimal]) -> Decimal | None:
    found = [tier[one.key_name] for one in members if one.key_name in tier]
    return money.total(found) if found else None


def _sum_at(members: Sequence[Sized], share: float) -> Decimal:
    values = [one.views["month"].quantile(share) for one in members if one.views]
    return money.rounded(Decimal(repr(round(sum(values), 4))), 2)


def _ratio(part: Decimal, whole: Decimal | None) -> Decimal | None:
    return money.rounded(part / whole, 2) if whole else None
