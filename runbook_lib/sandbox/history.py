"""Ten weeks of history: the gateway and services of `world.toml`, the acts of `scenarios.toml`.

The history ends at a fixed instant, never at the clock, and the same seed gives the same bytes.
"""

import gc
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from runbook_lib.sandbox import ticks, world
from runbook_lib.sandbox.console import Console
from runbook_lib.sandbox.director import Director
from runbook_lib.sandbox.fleet import Fallback, Fleet, Service
from runbook_lib.sandbox.scenarios import SCENARIOS, UPKEEP

END = ticks.parse("2026-11-22T22:00:00Z")
"""The instant the sample ends: its `now`."""

WEEKS = 10
ROWS_A_WEEK = 9_700
"""Usage rows that the world as it is makes in a week."""

LOG_DAYS = 14
"""Days of call log that are kept, as logs are rotated away."""

READINGS_HOUR = 7
"""Hour of the Mondays (UTC) at which somebody notes the balances."""


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What happened: the gateway's side in `console`, the clients' log lines in `log`."""

    console: Console
    log: list[str]
    tables: dict[str, Any]
    start: int
    end: int


def make(
    seed: int,
    *,
    weeks: int = WEEKS,
    acts: Iterable[dict[str, Any]] | None = None,
    rows: int | None = None,
) -> History:
    """Let the weeks before `END` pass.

    Args:
        seed: Where chance begins.
        weeks: Length of the history.
        acts: What is planted; default all scenarios. Acts before the start are left out.
        rows: About how many usage rows to make, by multiplying the load and every limit and
            amount with it; None for the world as it is.

    Returns:
        The history; the same seed gives the same one.
    """
    start = END - weeks * 7 * ticks.DAY
    tables = world.read("world.toml")
    planted = [*(act for item in SCENARIOS for act in item.acts), *UPKEEP]
    planted = planted if acts is None else list(acts)
    if rows is not None:
        factor = max(1, round(rows / (ROWS_A_WEEK * weeks)))
        tables = world.scaled(tables, factor)
        planted = [world.scaled_fields(act, factor) for act in planted]
    console = world.build(tables, f"gateway {seed}", start)
    log_from = END - LOG_DAYS * ticks.DAY
    fleet = Fleet(console.gateway, _services(tables), f"fleet {seed}", log_from)
    director = Director(console, fleet)
    for act in planted:
        if ticks.parse(act["at"]) >= start:
            director.plan(act)
    for at in range(start - start % ticks.DAY, END, ticks.DAY):
        if (at // ticks.DAY + 3) % 7 == 0 and at > start:
            fleet.at(at + READINGS_HOUR * ticks.HOUR, lambda now: _note_balances(console, now))
    with _uncollected():
        fleet.run(start, END)
    _note_balances(console, END)
    return History(console=console, log=fleet.log, tables=tables, start=start, end=END)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Keep the garbage collector from going through a history that only grows: a sixth faster."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def _note_balances(console: Console, at: int) -> None:
    console.gateway.settle(at)
    for account in console.gateway.accounts.values():
        account.ledger.append((at, "reading", 0, account.balance))


def _services(tables: dict[str, Any]) -> list[Service]:
    environments = {table["name"]: table["environment"] for table in tables["keys"]}
    return [_service(table, environments[table["key"]]) for table in tables["services"]]


def _service(table: dict[str, Any], environment: str) -> Service:
    fields = {**table, "environment": environment}
    for name in ("input", "output"):
        low, high = table[name]
        fields[name] = (low, high)
    if "fallback" in table:
        fields["fallback"] = Fallback(**table["fallback"])
    return Service(**fields)
