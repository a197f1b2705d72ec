"""Prepaid balances by account, as of now."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from runbook_lib.analysis.caps.grid import Held
from runbook_lib.analysis.caps.material import CapMaterial, text_of
from runbook_lib.analysis.caps.standing import cell_of
from runbook_lib.findings import Evidence, Join

_ZERO = Decimal(0)

TABLES = {"ledger": "ledger.csv", "key_state": "live answer"}
"""Where a reading is from, for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """A prepaid balance: of which account (None: of all), USD as of now, and where it is from.

    Attributes:
        account: The account, empty where none is named; None where one balance stands for all.
        usd: USD as of now.
        basis: In words.
        cell: The cell of the reading.
    """

    account: str | None
    usd: Decimal
    basis: str
    cell: Evidence


def balances(material: CapMaterial, held: Held) -> list[Balance]:
    """Give the balance of every account: the one given, or the newest reading less what followed.

    Args:
        material: Reads `balance`, `key_state`, `ledger`, `hourly`, `now`.
        held: The keys, which know their account where an answer does not name it.

    Returns:
        One an account with a reading, in order of their names; one for all where it was given.
    """
    if material.balance is not None:
        given = material.usd(material.balance)
        if given is None:
            return []
        cell = Evidence(
            source="parameters", row=0, field="balance", value=material.balance, join=Join.NONE
        )
        return [Balance(account=None, usd=given, basis="given", cell=cell)]
    newest: dict[str, tuple[Any, str, Decimal, Evidence]] = {}
    for account, *reading in _readings(material, held):
        if account not in newest or reading[0] >= newest[account][0]:
            newest[account] = (reading[0], reading[1], reading[2], reading[3])
    return [
        Balance(
            account=account,
            usd=amount + _moved_since(material, held, account, at),
            basis=f"{TABLES[source]} of {material.told(at)}",
            cell=cell,
        )
        for account, (at, source, amount, cell) in sorted(newest.items())
    ]


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


def _readings(
    material: CapMaterial, held: Held
) -> Iterator[tuple[str, Any, str, Decimal, Evidence]]:
    """Every reading of a balance up to now: account, time, table, USD, cell."""
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
                account = own.account if own else text_of(row.get("account"))
                yield account, row[at], source, amount, cell_of(row, source, name, row[name])


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
    elif account or any(ref.account for ref in held.keys):
        home = np.array([ref.account == account for ref in held.keys] + [False])
        mine = home[held.refs.places(own)]  # place -1, no known key, is the last
        own = own[mine]
    return total - sum((cost for cost in own["cost_usd"] if isinstance(cost, Decimal)), _ZERO)
