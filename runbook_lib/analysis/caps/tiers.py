"""The whole: caps against budget and balance, by environment, beside the seed's tiers."""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

import pandas as pd

from runbook_lib import money
from runbook_lib.analysis.caps.balance import Balance
from runbook_lib.analysis.caps.frames import objects
from runbook_lib.analysis.caps.grid import day_of
from runbook_lib.analysis.caps.material import CapMaterial, below
from runbook_lib.analysis.caps.refs import Ref, environment_of
from runbook_lib.analysis.caps.sized import Sized
from runbook_lib.analysis.caps.standing import Standing

PROD_SHARE = Decimal("0.9")
STAGING_USD = Decimal(30)
DEV_USD = Decimal(10)
"""Starting points of the best practices: 90 % of the monthly budget, some tens, about ten (D)."""

OTHERS_USD = {"staging": STAGING_USD, "dev": DEV_USD}

WHOLE = "(all)"
UNKNOWN = "(no environment)"
UNNAMED = "(not named)"

MONTHLY = {"5h": Decimal(144), "1d": Decimal(30), "7d": Decimal(30) / 7, "month": Decimal(1)}
"""Windows of a month: what a window's cap allows in thirty days at most."""


def defaults(material: CapMaterial, keys: Sequence[Sized]) -> dict[Ref, Decimal]:
    """Give the starting cap of a month for keys that history says nothing about.

    Args:
        material: Reads `monthly_budget`.
        keys: All keys; their environment.

    Returns:
        USD by key that has not ended. The share of production is what staging and development
        leave of the budget, at least half and at most `PROD_SHARE` of it, split evenly among its
        keys and rounded down. A key has none where its environment has none, or is production and
        no budget is given.
    """
    budget, live = budget_usd(material), [one for one in keys if not one.ended]
    made = {one.ref: OTHERS_USD[one.environment] for one in live if one.environment in OTHERS_USD}
    prod = [one.ref for one in live if one.environment == "prod"]
    if budget is not None and prod:
        left = max(budget - money.total(made.values()), budget / 2)
        each = below(min(budget * PROD_SHARE, left) / len(prod))
        made |= dict.fromkeys(prod, each)
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
        material: Reads `monthly_budget`, `budget`, `now`, `timezone`.
        environment: Only the rows of one environment; empty for all.

    Returns:
        USD; None where nothing is set.
    """
    if not environment and material.monthly_budget is not None:
        return material.usd(material.monthly_budget)
    rows = material.budget
    if environment and len(rows):
        rows = rows[[environment_of(name) == environment for name in rows["environment"]]]
    month = day_of(material.now, material.timezone)
    return budget_of(rows, f"{month:%Y-%m}", material.usd)


def set_month(caps: Sequence[Standing]) -> dict[Ref, Decimal]:
    """Give what the caps that are set let each key spend in a month, in USD; the tightest holds."""
    made: dict[Ref, Decimal] = {}
    for one in caps:
        if one.limit_usd is None:
            continue
        most = one.limit_usd
        if one.window == "total":
            most = one.limit_usd if one.remaining_usd is None else one.remaining_usd
        elif one.window in MONTHLY:
            most = one.limit_usd * MONTHLY[one.window]
        made[one.ref] = min(most, made.get(one.ref, most))
    return made


def whole(
    material: CapMaterial,
    keys: Sequence[Sized],
    caps: Sequence[Standing],
    balance: Sequence[Balance],
    proposed: Mapping[Ref, Decimal],
) -> pd.DataFrame:
    """Hold the sums of caps against budget and balance.

    Args:
        material: Reads the budget.
        keys: Every key with its sized caps.
        caps: What is set.
        balance: Balances by account.
        proposed: USD that each key's number to type lets be spent in a month.

    Returns:
        A row an environment, then `WHOLE`, and `WHOLE` of each account where there are several:
        `environment`, `account` (None for all), `keys`, `without_cap` (keys), `proposed_usd` (what
        the numbers to type let be spent in a month), `set_usd` (what is set lets
        be spent in a month), `tier_usd` (starting points), `p50_usd` and `p90_usd` (sums of the
        keys' month), `budget_usd`, `balance_usd`, `over_commit` (proposed over budget),
        `set_over_commit`,
        `over_balance` (set, or else proposed, over balance) and `times_tier` (the same over tier);
        Decimal USD and ratios as Decimal, None where unknown.
    """
    tier, fixed = defaults(material, keys), set_month(caps)
    rows = []
    for name, account, members in _parts(keys):
        limit = None if account is not None else _budget(material, name)
        left = _balance(balance, account) if name == WHOLE else None
        asked = money.total(proposed.get(one.ref) for one in members)
        held = [fixed[one.ref] for one in members if one.ref in fixed]
        allowed = money.total(held) if held else None
        start = _tier(members, tier)
        rows.append(
            {
                "environment": name,
                "account": UNNAMED if account == "" else account,
                "keys": len(members),
                "without_cap": len(members) - len(held),
                "proposed_usd": asked,
                "set_usd": allowed,
                "tier_usd": start,
                "p50_usd": _sum_at(members, 0.5),
                "p90_usd": _sum_at(members, 0.9),
                "budget_usd": limit,
                "balance_usd": left,
                "over_commit": _ratio(asked, limit),
                "set_over_commit": _ratio(allowed, limit),
                "over_balance": _ratio(asked if allowed is None else allowed, left),
                "times_tier": _ratio(asked if allowed is None else allowed, start),
            }
        )
    return objects(rows)


def _parts(keys: Sequence[Sized]) -> list[tuple[str, str | None, list[Sized]]]:
    """Part the keys: by environment, all of them, and by account where there are several."""
    groups: dict[str, list[Sized]] = {}
    for one in keys:
        groups.setdefault(one.environment or UNKNOWN, []).append(one)
    order = sorted(groups, key=lambda name: (name == UNKNOWN, name != "prod", name))
    parts: list[tuple[str, str | None, list[Sized]]] = [
        (name, None, groups[name]) for name in order
    ]
    parts.append((WHOLE, None, list(keys)))
    accounts = sorted({one.ref.account for one in keys})
    if len(accounts) > 1:
        parts += [(WHOLE, at, [one for one in keys if one.ref.account == at]) for at in accounts]
    return parts


def _budget(material: CapMaterial, name: str) -> Decimal | None:
    """Give the budget of an environment; rows of `budget` are parts of their own sum only."""
    own = budget_usd(material, "" if name == WHOLE else name)
    if name != WHOLE and material.monthly_budget is not None:
        own = None
    every = budget_usd(material)
    return every * PROD_SHARE if own is None and name == "prod" and every is not None else own


def _balance(balance: Sequence[Balance], account: str | None) -> Decimal | None:
    """Give the balance of an account, or of all: unknown where one balance stands for all."""
    if any(one.key is not None for one in balance if account in (None, one.account)):
        return None  # readings that contradict each other add up to nothing
    mine = [one.usd for one in balance if account is None or one.account == account]
    return money.total(mine) if mine else None


def _tier(members: Sequence[Sized], tier: Mapping[Ref, Decimal]) -> Decimal | None:
    found = [tier[one.ref] for one in members if one.ref in tier]
    return money.total(found) if found else None


def _sum_at(members: Sequence[Sized], share: float) -> Decimal:
    values = [one.views["month"].quantile(share) for one in members if one.views]
    return money.rounded(Decimal(repr(round(sum(values), 4))), 2)


def _ratio(part: Decimal | None, whole: Decimal | None) -> Decimal | None:
    """Give a ratio; None where either is unknown, or the whole is not above 0."""
    return money.rounded(part / whole, 2) if part is not None and whole and whole > 0 else None
