"""The caps that are set, from the inventory and from live answers, in USD with what is used."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd

from runbook_lib import clock
from runbook_lib.analysis.caps.grid import Held, day_of
from runbook_lib.analysis.caps.material import CURRENCIES, CapMaterial, amount_of, text_of

LENGTH_DAYS = {"5h": 5 / 24, "1d": 1.0, "7d": 7.0, "month": 30.0}
"""Days of a window; a lifetime cap ("total") has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One cap as it is set now.

    Attributes:
        key_name: The key; environment: as the inventory has it, empty for unknown.
        window: total, 5h, 1d, 7d or month.
        amount, currency: As it is set; limit_usd: in USD, None for CNY without a rate.
        used_usd, remaining_usd: Of it; None where unknown. exact: from a live answer.
        began, resets: Span of the window or of the key's life, where known.
        source: "keys" or "key_state"; row: its number there.
        inventory_usd: What the inventory says where the answer is live; None for nothing.
        inventory_currency: The currency the inventory names for it.
    """

    key_name: str
    environment: str
    window: str
    amount: Decimal
    currency: str
    limit_usd: Decimal | None
    used_usd: Decimal | None
    remaining_usd: Decimal | None
    exact: bool
    began: datetime | None
    resets: datetime | None
    source: str
    row: int
    inventory_usd: Decimal | None = None
    inventory_currency: str = ""

    def elapsed(self, now: datetime) -> float | None:
        """Give the share of the window, or of the key's life, that is over; None for unknown."""
        if self.began is None or self.resets is None or self.resets <= self.began:
            return None
        return min(1.0, max(0.0, (now - self.began) / (self.resets - self.began)))


def environment_of(word: object) -> str:
    """Give the one word for an environment: prod, staging, dev, or what it is called."""
    text = text_of(word).strip().lower()
    for name, words in _SAME.items():
        if text in words:
            return name
    return text


_SAME = {
    "prod": {"prod", "production", "live", "prd"},
    "staging": {"staging", "stage", "stg", "preprod", "pre-production", "test", "qa"},
    "dev": {"dev", "development", "local", "sandbox"},
}


def environments(keys: pd.DataFrame) -> dict[str, str]:
    """Give the environment of each key of the inventory.

    Args:
        keys: The inventory; reads `key_name` and `environment`.

    Returns:
        The word of `environment_of` by key; empty text where the inventory has none.
    """
    if keys.empty or "environment" not in keys:
        return {}
    return {
        str(name): environment_of(word)
        for name, word in zip(keys["key_name"], keys["environment"], strict=True)
    }


def standing(material: CapMaterial, held: Held) -> list[Standing]:
    """List every cap that is set; a live answer takes the place of the inventory's row.

    Args:
        material: Reads `keys`, `key_state`, `now` and the rate.
        held: Spend, for what is used where no live answer says it.

    Returns:
        One a key and window, in that order.
    """
    known = environments(material.keys)
    found = {(one.key_name, one.window): one for one in _of_inventory(material, held, known)}
    for live in _of_answers(material, known):
        found[live.key_name, live.window] = _over(live, found.get((live.key_name, live.window)))
    return [found[place] for place in sorted(found)]


def _over(live: Standing, own: Standing | None) -> Standing:
    """Keep what the inventory knows beside a live answer."""
    if own is None:
        return live
    values = {name: getattr(live, name) for name in live.__slots__}
    values["inventory_usd"] = own.limit_usd
    values["inventory_currency"] = own.currency
    if live.window == "total":
        values["began"] = live.began or own.began
        values["resets"] = live.resets or own.resets
    return Standing(**values)


def _of_inventory(material: CapMaterial, held: Held, known: dict[str, str]) -> list[Standing]:
    place = {name: number for number, name in enumerate(held.names)}
    rows = []
    for row in material.keys.to_dict("records"):
        amount = row.get("cap_amount")
        if (
            not isinstance(amount, Decimal)
            or not amount.is_finite()
            or not text_of(row["key_name"])
        ):
            continue
        window = text_of(row.get("cap_window")) or "total"
        currency = text_of(row.get("cap_currency")) or "USD"
        limit = material.usd(amount, currency) if currency in CURRENCIES else None
        used = _used(material, held, place[row["key_name"]], window)
        began, resets = _span(material, window, row)
        rows.append(
            Standing(
                key_name=row["key_name"],
                environment=known.get(row["key_name"], ""),
                window=window,
                amount=amount,
                currency=currency,
                limit_usd=limit,
                used_usd=used,
                remaining_usd=None if limit is None or used is None else max(limit - used, _ZERO),
                exact=False,
                began=began,
                resets=resets,
                source="keys",
                row=_row(row),
            )
        )
    return rows


_ZERO = Decimal(0)


def _row(row: dict[Any, Any]) -> int:
    number = row.get("row_number")
    return 0 if number is None or pd.isna(number) else int(number)


def _used(material: CapMaterial, held: Held, key: int, window: str) -> Decimal | None:
    """What the export shows as used; a lower bound for a lifetime it does not hold whole."""
    line = np.nan_to_num(held.usd[key], nan=0.0)
    if window == "total":
        return amount_of(float(line.sum() + held.today[key]), 10)
    if window == "1d":
        return amount_of(float(held.today[key]), 10)
    if window == "month":
        days = day_of(material.now, material.timezone).day - 1
        return amount_of(float((line[-days:].sum() if days else 0.0) + held.today[key]), 10)
    return None


def _span(
    material: CapMaterial, window: str, row: dict[Any, Any]
) -> tuple[datetime | None, datetime | None]:
    place = clock.zone(material.timezone)
    local = material.now.astimezone(place)
    day = local.replace(hour=0, minute=0, second=0, microsecond=0)
    if window == "total":
        return _instant(row.get("created_at")), _instant(row.get("expires_at"))
    if window == "1d":
        return day, day + timedelta(days=1)
    if window == "month":
        first = day.replace(day=1)
        return first, (first + timedelta(days=32)).replace(day=1)
    return None, None


def _instant(value: Any) -> datetime | None:
    if value is None or pd.isna(value):
        return None
    made: datetime = pd.Timestamp(value).to_pydatetime()
    return made


def _of_answers(material: CapMaterial, known: dict[str, str]) -> list[Standing]:
    """The newest live answer of each key and window that names a limit."""
    state = material.key_state
    if state.empty:
        return []
    told = state[state["limit_usd"].notna() & state["window"].notna() & state["key_name"].notna()]
    newest = told.sort_values("asked_at", kind="stable").drop_duplicates(
        ["key_name", "window"], keep="last"
    )
    rows = []
    for row in newest.to_dict("records"):
        used = row.get("used_usd")
        resets = _instant(row.get("reset_at"))
        length = LENGTH_DAYS.get(row["window"])
        if row["window"] == "total":
            resets = _instant(row.get("expires_at"))
        used = used if isinstance(used, Decimal) else None
        began = resets - timedelta(days=length) if resets and length else None
        if length and resets and resets <= material.now:
            used, began, resets = _ZERO, None, None  # it has rolled over since it was asked
        limit = row["limit_usd"]
        rows.append(
            Standing(
                key_name=row["key_name"],
                environment=known.get(row["key_name"], ""),
                window=row["window"],
                amount=limit,
                currency="USD",
                limit_usd=limit,
                used_usd=used,
                remaining_usd=None if used is None else max(limit - used, _ZERO),
                exact=True,
                began=began,
                resets=resets,
                source="key_state",
                row=_row(row),
            )
        )
    return rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """A prepaid balance: of which account (None: of all), USD as of now, and where it is from."""

    account: str | None
    usd: Decimal
    basis: str


def balances(material: CapMaterial, held: Held) -> list[Balance]:
    """Give the balance of every account: the one given, or the newest reading less what followed.

    Args:
        material: Reads `balance`, `key_state`, `ledger`, `hourly`, `now`.
        held: The account of each key, where the roll-up does not name it.

    Returns:
        One an account with a reading, in order of their names; one for all where it was given.
    """
    if material.balance is not None:
        given = material.usd(material.balance)
        return [] if given is None else [Balance(account=None, usd=given, basis="given")]
    newest: dict[str, tuple[Any, str, Decimal]] = {}
    for account, at, basis, amount in _readings(material, held):
        if account not in newest or at >= newest[account][0]:
            newest[account] = (at, basis, amount)
    return [
        Balance(
            account=account,
            usd=amount + _moved_since(material, held, account, at),
            basis=f"{basis}, read {clock.stamp(at)}",
        )
        for account, (at, basis, amount) in sorted(newest.items())
    ]


def _readings(material: CapMaterial, held: Held) -> Iterator[tuple[str, Any, str, Decimal]]:
    """Every reading of a balance up to now: account, time, where it is from, USD."""
    of_key = dict(zip(held.names, held.accounts, strict=True))
    for frame, at, name, basis in (
        (material.ledger, "ts", "balance", "ledger"),
        (material.key_state, "asked_at", "balance_usd", "key_state"),
    ):
        if frame.empty or name not in frame:
            continue
        for row in frame[frame[name].notna() & (frame[at] <= material.now)].to_dict("records"):
            amount = material.usd(row[name], row.get("currency") or "USD")
            if amount is not None:
                account = text_of(row.get("account")) or of_key.get(str(row.get("key_name")), "")
                yield account, row[at], basis, amount


def _moved_since(material: CapMaterial, held: Held, account: str, at: Any) -> Decimal:
    """Top-ups and refunds after a reading, less what was billed; the reading's hour is left out."""
    total = _ZERO
    if not material.ledger.empty:
        later = material.ledger[(material.ledger["ts"] > at) & material.ledger["amount"].notna()]
        for row in later[later["ts"] <= material.now].to_dict("records"):
            if text_of(row.get("account")) == account and row["kind"] != "reading":
                total += material.usd(row["amount"], row.get("currency") or "USD") or _ZERO
    hours = material.hourly
    if hours.empty or "bucket" not in hours:
        return total
    own = hours[(hours["bucket"] >= at) & hours["cost_usd"].notna()]
    if "account" in own:
        own = own[own["account"].map(text_of) == account]
    elif account or any(held.accounts):
        of_key = dict(zip(held.names, held.accounts, strict=True))
        own = own[own["key_name"].map(lambda name: of_key.get(name, "")) == account]
    return total - sum((cost for cost in own["cost_usd"] if isinstance(cost, Decimal)), _ZERO)
