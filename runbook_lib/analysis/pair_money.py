"""What the fallback costs, and how long its key could carry everything the primary carries.

The load is what the primary was really used for, hour by hour, at the price of the fallback. It
runs against whatever ends first: the cap of the key, its windows, the balance of the account.
"""

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

import pandas as pd

from runbook_lib import money, pricing
from runbook_lib.analysis.diagnosis import none_or, rolled_up
from runbook_lib.analysis.pair_checks import Check, likely, unknown
from runbook_lib.analysis.pair_limits import limits
from runbook_lib.analysis.pair_load import (
    FEW_HOURS,
    Load,
    billed,
    filled,
    in_hours,
    lasting,
    load_of,
    needed,
    tens,
)
from runbook_lib.analysis.pair_material import (
    PairMaterial,
    cited,
    of_key,
    tokens_of,
    usd_of,
)
from runbook_lib.findings import Evidence, Grade, Severity, Status

WINDOW_HOURS = {"5h": 5, "1d": 24, "7d": 168, "month": 744}
"""Length of the windows of a key, in hours."""

MUCH_DEARER = Decimal(5)
"""A fallback this many times as dear can empty a budget before somebody looks."""


def price(material: PairMaterial) -> Check:
    """How many times as dear the fallback is, for the tokens the primary really uses."""
    rule, asks, pair = "fallback-dearer", "price ratio?", material.pair
    used = material.mix
    requests = int(used["requests"].sum()) if len(used) else 0
    if not requests:
        return unknown(
            rule, asks, f"usage rows of {pair.primary}: the tokens to compare", where="/usage"
        )
    known = [material.multiplier(key) for key in (pair.primary_key, pair.fallback_key)]
    billed_ones = None not in known
    named = material.prices.cost(pair.fallback, tokens_of(used), at=material.now.to_pydatetime())
    ratio = material.prices.price_ratio(
        pair.primary,
        pair.fallback if named.usd is not None else material.answering,
        tokens_of(used),
        at=material.now.to_pydatetime(),
        requests=requests,
        multipliers=(known[0] or Decimal(1), known[1] or Decimal(1)) if billed_ones else _ONES,
        account=material.accounts[1] or "",
    )
    if ratio.value is None:
        return unknown(rule, asks, needed(ratio.missing), where="prices.csv", who="service owner")
    days = Decimal(str(material.known_hours)) / 24
    more = ((ratio.other.usd or money.ZERO) - (ratio.first.usd or money.ZERO)) / days
    dear = ratio.value > material.most_ratio
    basis = "as billed" if billed_ones else "by list, before the multipliers of the groups"
    return Check(
        rule=rule,
        asks=asks,
        status=Status.FAIL if dear else Status.PASS,
        severity=Severity.MEDIUM if ratio.value > MUCH_DEARER else Severity.LOW,
        grade=Grade.CONFIRMED
        if billed_ones and ratio.other.exact and named.usd is not None
        else Grade.LIKELY,
        title=f"{pair.fallback} costs {ratio.value:f} times {pair.primary} for the same tokens, "
        f"{basis}: {money.usd(abs(more))} {'more' if more >= 0 else 'less'} a day at full load "
        f"(prices of {pricing.about()})",
        value=ratio.value,
        expected=material.most_ratio,
        unit="times",
        impact_usd=tens(more) if more > 0 else None,
        evidence=[rolled_up("usage", "requests", requests)],
        step="Choose a fallback nearer in price, or set a cap for the time of an outage.",
        where="settings of the client",
        who="service owner",
        mark="D",
    )


_ONES = (Decimal(1), Decimal(1))


def capacity(material: PairMaterial) -> Iterator[Check]:
    """Whether the fallback's key can carry all of it, against everything that can end."""
    load, missing = load_of(material)
    if load is None:
        for rule, asks in _ENDS.items():
            yield unknown(rule, asks, missing, where="/usage", who="service owner")
    else:
        yield cap(material, load)
        yield windows(material, load)
        yield balance(material, load)
    yield limits(material)


_ENDS = {
    "fallback-cap-short": "can its cap carry the load?",
    "fallback-window-short": "can its windows carry the load?",
    "fallback-balance-short": "can the balance carry the load?",
}


def cap(material: PairMaterial, load: Load) -> Check:
    """How long what is left of the key's spending cap lasts."""
    rule, asks, key = "fallback-cap-short", _ENDS["fallback-cap-short"], material.pair.fallback_key
    state = material.state(key, "usage")
    total = state[state["window"] == "total"]
    if len(total):
        row = total.iloc[0]
        left = none_or(row["remaining_usd"], Decimal)
        if left is not None:
            # What was billed since the question was asked, the answer cannot know.
            return _lasts(material, load, rule, asks, left, [cited(row, "remaining_usd")], "cap")
    held = of_key(material.keys, key)
    if held.empty and state.empty:
        return unknown(rule, asks, f"the cap of key {key} (keys.csv or GET /v1/usage)")
    capped = held[held["cap_window"] == "total"]
    if capped.empty:
        cites = [cited((state if len(state) else held).iloc[0], "key_name")]
        return likely(rule, asks, f"Key {key} has no spending cap", cites)
    row = capped.iloc[0]
    limit = usd_of(row["cap_amount"], row["cap_currency"], material.cny_per_usd)
    if limit is None:
        return unknown(rule, asks, f"the cap of key {key} in USD (a rate for CNY)")
    used = money.total(of_key(material.rates, key)["cost_usd"])
    begun = row["created_at"]
    whole = not pd.isna(begun) and begun >= material.window.start
    grade = Grade.CONFIRMED if whole else Grade.LIKELY
    cites = [cited(row, "cap_amount"), rolled_up("usage", "cost_usd", used)]
    return _lasts(material, load, rule, asks, limit - used, cites, "cap", grade=grade)


def windows(material: PairMaterial, load: Load) -> Check:
    """Whether the busiest hours fit into the windows of the key; their unit is taken as USD (M).

    The tightest window is told, with what the others say.
    """
    rule, key = "fallback-window-short", material.pair.fallback_key
    asks = _ENDS[rule]
    state, held = material.state(key, "usage"), of_key(material.keys, key)
    if state.empty and held.empty:
        return unknown(rule, asks, f"the windows of key {key} (keys.csv or GET /v1/usage)")
    found = dict(_limits(material, state, held))
    if not found:
        cites = [cited((state if len(state) else held).iloc[0], "key_name")]
        return likely(rule, asks, f"Key {key} has no windows", cites)
    checks = {
        name: unknown(rule, asks, f"the {name} window of key {key} in USD (a rate for CNY)")
        if limit is None
        else _window(material, load, name, limit, cites)
        for name, (limit, cites) in found.items()
    }
    tightest = min(checks, key=lambda name: _order(checks[name]))
    others = [f"{name} {check.status.value}" for name, check in checks.items() if name != tightest]
    more = f" (the others: {', '.join(others)})" if others else ""
    return replace(checks[tightest], title=f"{checks[tightest].title}{more}")


def _order(check: Check) -> tuple[int, Decimal]:
    """Failing windows first, then open ones; among equals the one that is filled most."""
    ranks = {Status.FAIL: 0, Status.UNKNOWN: 1, Status.PASS: 2}
    most, limit = check.value, check.expected
    share = money.ZERO
    if isinstance(most, Decimal) and isinstance(limit, Decimal) and limit > 0:
        share = most / limit
    return ranks[check.status], -share


def _window(
    material: PairMaterial, load: Load, name: str, limit: Decimal, cites: list[Evidence]
) -> Check:
    """Hold the busiest span of a window against its limit; too little usage decides nothing."""
    rule, key = "fallback-window-short", material.pair.fallback_key
    asks, length = _ENDS[rule], WINDOW_HOURS[name]
    most, few = load.busiest(length), _few(load, length)
    fits = most <= limit
    if fits and few and load.rate(length) * length > limit:
        missing = f"usage of {in_hours(length)}: at the rate of the {in_hours(load.known_hours)} "
        return unknown(rule, asks, f"{missing}known here it would not fit", where="/usage")
    hours = None if fits else lasting(limit, load.rate(1))
    over = "" if fits else f"; it would be used up after {in_hours(hours)} of the peak"
    return Check(
        rule=rule,
        asks=asks,
        status=Status.PASS if fits else Status.FAIL,
        severity=Severity.HIGH if hours is not None and hours < 1 else Severity.MEDIUM,
        grade=Grade.CONFIRMED if load.exact and not few else Grade.LIKELY,
        title=f"The {name} window of key {key} holds {money.usd(limit)}; the busiest {name} "
        f"would cost {money.usd(most)}{few}{over}",
        value=tens(most),
        expected=tens(limit),
        unit="USD",
        evidence=cites,
        step=f"Raise the {name} window to at least {money.usd(most)}.",
        mark="D! M",
    )


def _limits(
    material: PairMaterial, state: pd.DataFrame, held: pd.DataFrame
) -> Iterator[tuple[str, tuple[Decimal | None, list[Evidence]]]]:
    """Limits by window, live answers before the inventory."""
    for row in held.to_dict("records"):
        if row["cap_window"] in WINDOW_HOURS:
            limit = usd_of(row["cap_amount"], row["cap_currency"], material.cny_per_usd)
            yield row["cap_window"], (limit, [cited(row, "cap_amount")])
    for row in state.to_dict("records"):
        limit = none_or(row["limit_usd"], Decimal)
        if row["window"] in WINDOW_HOURS and limit is not None:
            yield row["window"], (limit, [cited(row, "limit_usd")])


def balance(material: PairMaterial, load: Load) -> Check:
    """How long the prepaid balance lasts with the fallback at full load, all else going on."""
    rule, asks = "fallback-balance-short", _ENDS["fallback-balance-short"]
    account = material.accounts[1]
    left, cites = _balance(material)
    if account is None or left is None:
        which = f"the balance of account {account}" if account else "the balance of the account"
        many = "; several accounts lie here under one name: take each in with --account"
        source = many if material.mixed else " (ledger.csv or GET /v1/usage)"
        return unknown(rule, asks, f"{which}{source}", where="account page", who="account owner")
    spent = material.spend[material.spend["account"] == account]
    rest = filled(billed(spent), load.moved.index)  # type: ignore[arg-type]
    # The primary is down: what it was billed is no longer spent, if this balance pays for it.
    gone = load.primary if material.accounts[0] == account else load.primary * 0
    whole = replace(load, own=rest - gone)
    return _lasts(material, whole, rule, asks, left, cites, "balance")


def _balance(material: PairMaterial) -> tuple[Decimal | None, list[Evidence]]:
    """The balance as it stands, by the newest reading; what was spent since is taken off."""
    pair, account = material.pair, material.accounts[1]
    for key in (pair.fallback_key, pair.primary_key):
        state = material.state(key, "usage").dropna(subset=["balance_usd"])
        mine = state[state["account"] == account]
        if len(mine):
            row = mine.iloc[0]
            return row["balance_usd"], [cited(row, "balance_usd")]
    if material.mixed:
        return None, []
    ledger = material.ledger
    known = ledger[(ledger["account"] == account) & (ledger["currency"] == "USD")]
    known = known.dropna(subset=["balance"]).sort_values("ts", kind="stable")
    if known.empty:
        return None, []
    row = known.iloc[-1]
    spent = material.spend[material.spend["account"] == account]
    since = money.total(spent.loc[spent["bucket"] >= row["ts"], "cost_usd"])
    return row["balance"] - since, [cited(row, "balance")]


def _lasts(
    material: PairMaterial,
    load: Load,
    rule: str,
    asks: str,
    left: Decimal,
    cites: list[Evidence],
    what: str,
    *,
    grade: Grade = Grade.CONFIRMED,
) -> Check:
    """Say how long an amount lasts: at the busiest day's rate, and at the mean."""
    busiest = load.rate(24)
    hours, usual = lasting(left, busiest), lasting(left, load.mean)
    short = hours is not None and hours < material.hours_needed
    lasts = f"{in_hours(hours)} of a day as the busiest, {in_hours(usual)} of a usual one"
    few = _few(load, FEW_HOURS)
    return Check(
        rule=rule,
        asks=asks,
        status=Status.FAIL if short else Status.PASS,
        severity=Severity.HIGH if hours is not None and hours < 1 else Severity.MEDIUM,
        grade=grade if load.exact and not few else Grade.LIKELY,
        title=f"The {what} has {money.usd(left)} left: it carries the whole load for {lasts}{few}",
        value=None if hours is None else round(hours, 2),
        expected=material.hours_needed,
        unit="hours",
        evidence=cites,
        step=f"Make room for {material.hours_needed:g} h of full load: "
        f"{money.usd(tens(busiest * Decimal(str(material.hours_needed))))} of {what}.",
        where="account page" if what == "balance" else "/keys",
        who="account owner" if what == "balance" else "key owner",
        mark="D! M",
    )


def _few(load: Load, hours: int) -> str:
    """Say so where less usage is known than the question is about."""
    known = load.known_hours
    return f" (only {in_hours(known)} of usage are known)" if known < hours - 1 else ""
