"""Writes what the company keeps itself: its inventory of keys, ledger and budget."""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from runbook_lib.sandbox import prices, ticks
from runbook_lib.sandbox.keys import Account, Key

KEY_COLUMNS = (
    "key_name",
    "environment",
    "owner",
    "service",
    "group",
    "created_at",
    "expires_at",
    "cap_amount",
    "cap_currency",
    "cap_window",
    "ip_allowlist",
    "model_allowlist",
    "replaced_by",
    "note",
)
"""Columns of the inventory."""

SUCCESSORS = {"prod-reports": "prod-reports-v2"}
"""Key → the one that took its place."""


def write_keys(path: Path, keys: Iterable[Key], tables: Mapping[str, Any]) -> None:
    """Write `keys.csv`: one row a cap, so a key can stand on several.

    Args:
        path: File to write.
        keys: Keys of the gateway, in order.
        tables: Content of `world.toml`: environment, owner and services of each.
    """
    known = {table["name"]: table for table in tables["keys"]}
    for old, new in SUCCESSORS.items():
        known[new] = {**known[old], "note": ""}
    services: dict[str, list[str]] = {}
    for table in tables["services"]:
        services.setdefault(table["key"], []).append(table["name"])
        if "fallback" in table:
            services.setdefault(table["fallback"]["key"], []).append(table["name"])
    for old, new in SUCCESSORS.items():
        services[new] = services[old]
    write_inventory(path, keys, known, services, SUCCESSORS)


def write_inventory(
    path: Path,
    keys: Iterable[Key],
    known: Mapping[str, Mapping[str, Any]],
    services: Mapping[str, Sequence[str]],
    successors: Mapping[str, str],
) -> None:
    """Write `keys.csv` from what is known of each key.

    Args:
        path: File to write.
        keys: Keys of the gateway, in order.
        known: Key → its environment, owner and note.
        services: Key → services that use it.
        successors: Key → the one that took its place.
    """
    lines = [
        line
        for key in keys
        for line in _key_rows(key, known[key.name], services[key.name], successors)
    ]
    _write(path, KEY_COLUMNS, lines)


def _key_rows(
    key: Key, table: Mapping[str, Any], services: Sequence[str], successors: Mapping[str, str]
) -> Iterator[list[str]]:
    caps: list[tuple[str, int | None]] = [] if key.cap is None else [("total", key.cap)]
    caps += [(window.name, window.limit) for window in key.windows]
    note = table.get("note", "")
    if key.deleted_at is not None:
        note = f"deleted {ticks.utc_seconds(key.deleted_at)}"
    for window, amount in caps or [("", None)]:
        yield [
            key.name,
            table["environment"],
            table["owner"],
            ";".join(services),
            key.group.name if key.group else "",
            ticks.utc_seconds(key.created_at),
            ticks.utc_seconds(key.expires_at) if key.expires_at is not None else "",
            prices.plain(amount) if amount is not None else "",
            "USD" if amount is not None else "",
            window,
            ";".join(str(network) for network in key.networks),
            ";".join(sorted(key.models)),
            successors.get(key.name, "") if key.deleted_at is not None else "",
            note,
        ]


def write_ledger(path: Path, account: Account, *, read_at: int | None = None) -> None:
    """Write `ledger.csv`: top-ups, and the balance as somebody read it.

    Args:
        path: File to write.
        account: The account.
        read_at: Tick at which somebody reads the balance now; None when nobody does.
    """
    read = [] if read_at is None else [(read_at, "reading", 0, account.balance)]
    lines = [
        [
            ticks.utc_seconds(at),
            kind,
            "" if kind == "reading" else prices.plain(amount),
            "USD",
            prices.plain(balance),
        ]
        for at, kind, amount, balance in [*account.ledger, *read]
    ]
    _write(path, ["ts", "kind", "amount", "currency", "balance"], lines)


def write_budget(path: Path, tables: Mapping[str, Any], months: Sequence[str]) -> None:
    """Write `budget.csv`: one amount an environment and month."""
    lines = [
        [table["environment"], "", month, table["amount"], "USD"]
        for month in months
        for table in tables["budgets"]
    ]
    _write(path, ["environment", "key_name", "month", "amount", "currency"], lines)


def _write(path: Path, columns: Sequence[str], lines: Iterable[Sequence[str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(lines)
