"""Prepaid balances by account, as of now."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

import numpy as np

from runbook_lib import money
from runbook_lib.analysis.caps.grid import Held
from runbook_lib.analysis.caps.material import CapMaterial, text_of
from runbook_lib.analysis.caps.refs import Ref
from runbook_lib.analysis.caps.standing import cell_of
from runbook_lib.findings import Evidence, Join

_ZERO = Decimal(0)

MOMENT = timedelta(minutes=1)
"""How far apart readings are taken for one moment."""

APART = Decimal("0.01")
"""Share of a balance by which readings of one moment may differ: calls go on meanwhile."""

TABLES = {"ledger": "ledger.csv", "key_state": "live answer"}
"""Where a reading is from, for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """A prepaid balance: of which account (None: of all), USD as of now, and where it is from.

    Attributes:
        account: The account, empty where none is named; None where one balance stands for all.
        key: The key whose own answer tells it, where answers of one account contradict each
            other: it holds for that key alone. None for a balance of the account.
        usd: USD as of now.
        basis: In words.
        cell: The cell of the reading.
    """

    account: str | None
    usd: Decimal
    basis: str
    cell: Evidence
    key: Ref | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A balance as it was read: account, key (None for a ledger), time, table, USD, cell."""

    account: str
    key: Ref | None
    at: datetime
    source: str
    usd: Decimal
    cell: Evidence


def balances(material: CapMaterial, held: Held) -> list[Balance]:
    """Give the balance of every account: the one given, or the newest reading less what followed.

    Args:
        material: Reads `balance`, `key_state`, `ledger`, `hourly`, `now`.
        held: The keys, which know their account where an answer does not name it.

    Returns:
        One an account with a reading, in order of their names; one for all where it was given.
        Where readings of one moment contradict each other, the account has none, and each key that
        answered has its own.
    """
    if material.balance is not None:
        given = material.usd(material.balance)
        if given is None:
            return []
        cell = Evidence(
            source="parameters", row=0, field="balance", value=material.balance, join=Join.NONE
        )
        return [Balance(account=None, usd=given, basis="given", cell=cell)]
    made = []
    for account, near in sorted(_newest(material, held).items()):
        if _agree(near):
            made.append(_balance(material, held, account, near[-1], None))
        else:
            by_key = {one.key: one for one in near if one.key is not None}
            made += [_balance(material, held, account, by_key[ref], ref) for ref in sorted(by_key)]
    return made


def _balance(
    material: CapMaterial, held: Held, account: str, one: Reading, key: Ref | None
) -> Balance:
    return Balance(
        account=account,
        usd=one.usd + _moved_since(material, held, account, one.at, key),
        basis=f"{TABLES[one.source]} of {material.told(one.at)}",
        cell=one.cell,
        key=key,
    )


def contradicted(material: CapMaterial, held: Held) -> list[str]:
    """Name readings of one account and moment that contradict each other.

    Args:
        material: Reads `balance`, `key_state`, `ledger`, `now`.
        held: The keys.

    Returns:
        A sentence an account, with every value and where it stands.
    """
    if material.balance is not None:
        return []
    return [
        f"the readings of {f'the balance of account {account}' if account else 'one balance'} "
        f"contradict each other: {_values(near)}; each holds for its own key alone. Several "
        "accounts in one? Take in the files of each with --account"
        for account, near in sorted(_newest(material, held).items())
        if not _agree(near)
    ]


def _values(near: Sequence[Reading]) -> str:
    return ", ".join(
        f"{money.usd(one.usd)} ({one.cell.source})"
        for one in sorted(near, key=lambda one: (one.usd, one.cell.source))
    )


def _newest(material: CapMaterial, held: Held) -> dict[str, list[Reading]]:
    """Give the newest readings of each account: all of the moment of the last one, it last."""
    found: dict[str, list[Reading]] = {}
    for one in _readings(material, held):
        found.setdefault(one.account, []).append(one)
    made = {}
    for account, readings in found.items():
        readings.sort(key=lambda one: one.at)  # stable: of one time, the one read last
        last: dict[tuple[str, Ref | None], Reading] = {}
        for one in readings:
            if readings[-1].at - one.at <= MOMENT:
                last[one.source, one.key] = one
        made[account] = sorted(last.values(), key=lambda one: one.at)
    return made


def _agree(near: Sequence[Reading]) -> bool:
    """Tell whether readings of one moment can be of one balance: it moves a little meanwhile."""
    amounts = [one.usd for one in near]
    apart = max(amounts) - min(amounts)
    return apart <= max(APART * max(abs(amount) for amount in amounts), Decimal("0.01"))


def unread(material: CapMaterial) -> int:
    """Count rows of the ledger that are in a currency no rate is given for."""
    count = 0
    for row in material.ledger.to_dict("records"):
        currency = row.get("currency") or "USD"
        for name in ("amount", "balance"):
            amount = row.get(name)
            if isinstance(amount, Decimal) and material.usd(amount, currency) is None:
                count += 1
                break
    return count


def _readings(material: CapMaterial, held: Held) -> Iterator[Reading]:
    """Every reading of a balance up to now."""
    for frame, at, name, source in (
        (material.ledger, "ts", "balance", "ledger"),
        (material.key_state, "asked_at", "balance_usd", "key_state"),
    ):
        if frame.empty or name not in frame:
            continue
        for row in frame[frame[name].notna() & (frame[at] <= material.known_until)].to_dict(
            "records"
        ):
            amount = material.usd(row[name], row.get("currency") or "USD")
            if amount is not None:
                own = held.refs.of(row.get("account"), row.get("key_name"))
                yield Reading(
                    account=own.account if own else text_of(row.get("account")),
                    key=own if source == "key_state" else None,
                    at=row[at],
                    source=source,
                    usd=amount,
                    cell=cell_of(row, source, name, row[name]),
                )


def _moved_since(
    material: CapMaterial, held: Held, account: str, at: datetime, key: Ref | None
) -> Decimal:
    """Top-ups and refunds after a reading, less what was billed; the reading's hour is left out.

    Of a balance that is known by one key only, it is what that key spent.
    """
    total = _ZERO
    if key is None and not material.ledger.empty:
        later = material.ledger[(material.ledger["ts"] > at) & material.ledger["amount"].notna()]
        for row in later[later["ts"] <= material.now].to_dict("records"):
            if text_of(row.get("account")) == account and row["kind"] != "reading":
                total += material.usd(row["amount"], row.get("currency") or "USD") or _ZERO
    hours = material.hourly
    if hours.empty or "bucket" not in hours:
        return total
    own = hours[(hours["bucket"] >= at) & hours["cost_usd"].notna()]
    if key is not None:
        own = own[held.refs.places(own) == held.keys.index(key)]
    elif "account" in own:
        own = own[own["account"].map(text_of) == account]
    elif account or any(ref.account for ref in held.keys):
        home = np.array([ref.account == account for ref in held.keys] + [False])
        mine = home[held.refs.places(own)]  # place -1, no known key, is the last
        own = own[mine]
    return total - sum((cost for cost in own["cost_usd"] if isinstance(cost, Decimal)), _ZERO)
