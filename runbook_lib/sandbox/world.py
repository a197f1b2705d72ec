"""Builds the gateway and the services of the sample from `world.toml`, which a person can read."""

import tomllib
from decimal import Decimal
from importlib.resources import files
from typing import Any

from runbook_lib.sandbox import prices, ticks
from runbook_lib.sandbox.channels import Channel, Group, PerMinute
from runbook_lib.sandbox.console import Console
from runbook_lib.sandbox.keys import Account
from runbook_lib.sandbox.machine import Gateway
from runbook_lib.sandbox.models import Model
from runbook_lib.sandbox.plans import Plan, Subscription

Tables = dict[str, Any]
"""What a TOML file holds."""


def read(name: str) -> Tables:
    """Read a TOML file of this package."""
    return tomllib.loads(files("runbook_lib.sandbox").joinpath(name).read_text("utf-8"))


_AMOUNTS = ("balance", "cap", "limit", "amount", "extra", "to")
_COUNTS = ("rpm", "concurrency", "per_day", "calls")


def scaled_fields(table: Tables, factor: int) -> Tables:
    """Multiply the amounts and counts of one table; what is no number stays."""
    found = dict(table)
    for name in _AMOUNTS:
        if isinstance(found.get(name), str):
            found[name] = str(Decimal(found[name]) * factor)
    for name in _COUNTS:
        if name in found:
            found[name] = found[name] * factor
    if "windows" in found:
        found["windows"] = {k: str(Decimal(v) * factor) for k, v in found["windows"].items()}
    return found


def scaled(tables: Tables, factor: int) -> Tables:
    """Multiply the load of the services with every limit and amount that it meets.

    Args:
        tables: Content of `world.toml`.
        factor: Times the usual load.

    Returns:
        The tables of a company so many times as busy, and so many times as rich.
    """
    parts = {
        name: [scaled_fields(item, factor) for item in tables[name]]
        for name in ("accounts", "keys", "services", "budgets")
    }
    return {**tables, **parts}


def build(tables: Tables, seed: str, at: int) -> Console:
    """Build the gateway of *tables* and make its keys.

    Args:
        tables: Content of `world.toml`.
        seed: Where chance begins.
        at: Tick at which the keys are made.

    Returns:
        The console of the gateway; the first balances are top-ups of the ledger.

    Raises:
        KeyError: a table names what no other has, or a subscription a group without a plan.
    """
    gateway = Gateway(seed)
    for table in tables["models"].values():
        model = _model(table)
        gateway.models[model.name] = model
    for table in tables["channels"]:
        gateway.channels[table["name"]] = _channel(table, gateway)
    for table in tables["groups"]:
        gateway.groups[table["name"]] = _group(table, gateway)
    console = Console(gateway)
    for table in tables["accounts"]:
        gateway.accounts[table["name"]] = _account(table, at)
        gateway.accounts[table["name"]].credit(at, "top_up", prices.units(table["balance"]))
    for number, table in enumerate(tables.get("subscriptions", []), start=1):
        _subscribe(gateway, table, number, at)
    for table in tables["keys"]:
        console.create_key(
            at,
            table["name"],
            account=table["account"],
            group=table["group"],
            cap=table.get("cap"),
            windows=table.get("windows"),
            networks=table.get("networks"),
            expires_days=table.get("expires_days"),
        )
    return console


def _model(table: Tables) -> Model:
    return Model(
        name=table["name"],
        protocol=table["protocol"],
        price=prices.price(table["price"]),
        answers_as=table["answers_as"],
        first_ms=table["first_ms"],
        token_ms=table["token_ms"],
    )


def _channel(table: Tables, gateway: Gateway) -> Channel:
    channel = Channel(
        id=table["id"],
        name=table["name"],
        protocol=table["protocol"],
        priority=table.get("priority", 1),
        answers={name: gateway.models[name].answers_as for name in table["models"]},
        flaky=table.get("flaky", 0.0),
        responses=table.get("responses", False),
    )
    channel.turn("ok")
    return channel


def _group(table: Tables, gateway: Gateway) -> Group:
    return Group(
        id=table["id"],
        name=table["name"],
        protocol=table["protocol"],
        multiplier=prices.parts(table["multiplier"]),
        channels=[gateway.channels[name] for name in table["channels"]],
        aliases=table.get("aliases", {}),
        plan=_plan(table["plan"]) if "plan" in table else None,
    )


def _plan(limits: dict[str, str]) -> Plan:
    return Plan(limits={window: prices.units(amount) for window, amount in limits.items()})


def _subscribe(gateway: Gateway, table: Tables, number: int, at: int) -> None:
    group = gateway.groups[table["group"]]
    if group.plan is None:
        raise KeyError(group.name)
    expires = at + table["days"] * ticks.DAY
    held = Subscription(id=number, plan=group.plan, starts_at=at, expires_at=expires)
    gateway.accounts[table["account"]].subscriptions[group.id] = held


def _account(table: Tables, at: int) -> Account:
    return Account(
        id=table["id"],
        name=table["name"],
        email=table["email"],
        balance=0,
        per_minute=PerMinute(limit=table.get("rpm", 0)),
        concurrency=table.get("concurrency", 0),
        since=at,
    )
