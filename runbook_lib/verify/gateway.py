"""One sandbox for all cells: each has a key and a port of its own, and meets its own faults."""

import asyncio
import contextlib
import re
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

from runbook_lib.sandbox import prices, serve, ticks
from runbook_lib.sandbox.channels import Group
from runbook_lib.sandbox.faults import Rule
from runbook_lib.sandbox.keys import Account, Key
from runbook_lib.sandbox.lanes import Lane
from runbook_lib.sandbox.models import Model
from runbook_lib.verify import attempts
from runbook_lib.verify.records import Attempt, Cell, Place, Role, Step

GROUPS = {
    "openai": "openai-std",
    "responses": "openai-std",
    "anthropic": "claude-std",
    "gemini": "gemini-std",
}
"""Protocol of a cell → group of its key."""

UNRESOLVED = "gateway.invalid"
"""Ending of a host name that no resolver knows (RFC 6761)."""

_SETTLE_S = 0.03
"""A refused connection is told before it is made; so much later it surely was."""

_FIRST = 60_001
"""Number of the first door that belongs to no cell."""

_FAR = 3600 * ticks.SECOND
_ROOT = re.compile(r"^http://[^/]*/")


@dataclass(slots=True, kw_only=True, eq=False)
class Door:
    """Where the client of one cell is sent, and what comes through.

    Attributes:
        cell: The cell.
        key: Its key.
        lane: Its port.
    """

    gateway: "Gateway"
    cell: Cell
    key: Key
    lane: Lane
    _tries: list[tuple[float, int]] = field(default_factory=list)
    _listens: float | None = None
    _dropped: float = float("inf")
    _waits: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def secret(self) -> str:
        """Key that the client is given."""
        return self.key.secret

    @property
    def host(self) -> str:
        """Host of the base URL."""
        name = f"{self.key.name}.{UNRESOLVED}"
        return name if self.cell.place is Place.UNRESOLVED else "127.0.0.1"

    @property
    def base_url(self) -> str:
        """Root that the client is given."""
        tls = self.cell.place in (Place.TLS_BROKEN, Place.PLAIN_ON_TLS)
        return f"http{'s' if tls else ''}://{self.host}:{self.lane.port}"

    async def open(self) -> None:
        """Listen, unless the cell's place is one that refuses."""
        if self.cell.place is not Place.REFUSED:
            await self.lane.listen(self.gateway.sandbox.server)

    def tried(self, at: float, call: int) -> None:
        """Note that the client is about to connect, or has looked for the host.

        Args:
            at: When, `time.monotonic`.
            call: Which of its calls.
        """
        place = self.cell.place
        if place in (Place.REFUSED, Place.UNRESOLVED) and self._listens is None:
            self._tries.append((at, call))
            if place is Place.REFUSED and 0 < self._refusal.times <= len(self._tries):
                self._later(time.monotonic() + _SETTLE_S)

    def began(self, at: float, *, blind: bool) -> None:
        """Start the time of a refusal.

        Args:
            at: When the first call began.
            blind: The client's attempts cannot be counted, so their number stands for seconds.
        """
        for_s = self._refusal.for_s or (self._refusal.times if blind else 0)
        if self.cell.place is Place.REFUSED and for_s:
            self._later(at + for_s)

    @property
    def _refusal(self) -> Step:
        return self.cell.steps[0] if self.cell.steps else Step(fault="refused")

    def _later(self, at: float) -> None:
        if self._waits:
            return
        task = asyncio.get_running_loop().create_task(self._listen(at))
        self._waits.add(task)

    async def _listen(self, at: float) -> None:
        await asyncio.sleep(at - time.monotonic())
        self._listens = time.monotonic()
        await self.lane.listen(self.gateway.sandbox.server)

    def drop(self) -> None:
        """Drop the client's connections and refuse further ones."""
        self._dropped = min(self._dropped, time.monotonic())
        for task in self._waits:
            task.cancel()
        self.lane.shut()

    def attempts(self, began: float) -> list[Attempt]:
        """Give the attempts so far, in order.

        Args:
            began: When the cell began, `time.monotonic`.
        """
        self.gateway.settle()
        found = [
            attempts.attempt(seen, began, billed=self.gateway.billed, dropped=self._dropped)
            for seen in self.lane.seen
            if seen.line["key"] == self.key.name
        ]
        place, whole = self.cell.place, 1 if self.cell.calls == 1 else 0
        if place in (Place.TLS_BROKEN, Place.PLAIN_ON_TLS):
            self._tries = [(at, whole) for at in self.lane.knocks]
        found += [
            attempts.unheard(at - began, place.value, stream=self.cell.stream, call=call)
            for at, call in self._tries
        ]
        return attempts.numbered(found)

    @property
    def strays(self) -> int:
        """Attempts with no key or another one."""
        return sum(seen.line["key"] != self.key.name for seen in self.lane.seen)

    @property
    def leaks(self) -> int:
        """Attempts at another host with this key."""
        return sum(seen.line["key"] == self.key.name for seen in self.gateway.elsewhere.seen)

    def forget(self) -> None:
        """Let go of everything that belongs to it."""
        self.drop()
        for seen in self.lane.seen:
            seen.reply = None
        live = self.gateway.sandbox.live
        live.console.gateway.drop_key(self.key, live.clock.now())


class Gateway:
    """A sandbox that answers at once, with a door for each cell.

    Attributes:
        sandbox: The one server behind all doors.
        elsewhere: Stands for another host, to which some faults lead.
    """

    def __init__(self, seed: int, folder: Path | None = None) -> None:
        """Take its port; it answers within `running`.

        Args:
            seed: Where chance begins, of keys, answers and faults.
            folder: Where the sandbox leaves its files at its end; None leaves none.
        """
        self.seed = seed
        place = folder or Path(tempfile.gettempdir())
        self.sandbox = serve.make(place, seed=seed, pace=0.0, leaves=folder is not None)
        self.elsewhere = Lane()
        first = [Cell(id=f"first/{name}", case="first", protocol=name) for name in GROUPS]
        self._first = self.doors(first, start=_FIRST)
        self._billed: dict[str, Decimal] = {}
        self._rows = 0

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Answer for the length of a block."""
        listening = asyncio.Event()
        task = asyncio.create_task(self.sandbox.serve(lambda _: listening.set()))
        waiting = asyncio.create_task(listening.wait())
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        while not self.sandbox.server.started and not task.done():
            await asyncio.sleep(0.005)
        await self._lead_elsewhere()
        for door in self._first:
            await door.open()
        try:
            yield
        finally:
            waiting.cancel()
            self.elsewhere.shut()
            for door in self._first:
                door.drop()
            self.sandbox.stop()
            await task

    def first_calls(self, models: Mapping[str, Sequence[str]]) -> dict[str, dict[str, Any]]:
        """Give what an SDK can call to warm up: by protocol, the fields of a call.

        Args:
            models: By protocol.
        """
        return {
            door.cell.protocol: {
                "protocol": door.cell.protocol,
                "prompt": "Hello.",
                "base_url": door.base_url,
                "api_key": door.secret,
                "models": list(models[door.cell.protocol]),
                "deadline_s": 5.0,
            }
            for door in self._first
        }

    async def _lead_elsewhere(self) -> None:
        """Let faults that lead to another host lead to one that can be seen."""
        self.elsewhere.host = other = _other_host()
        await self.elsewhere.listen(self.sandbox.server)
        known = self.sandbox.live.faults.known
        target = f"http://{other}:{self.elsewhere.port}/"
        for name, fault in known.items():
            if name.endswith("_other_host") and fault.answer is not None:
                headers = fault.answer["headers"]
                location = _ROOT.sub(target, headers["location"])
                answer = {**fault.answer, "headers": {**headers, "location": location}}
                known[name] = replace(fault, answer=answer)

    def doors(self, cells: Sequence[Cell], *, start: int = 1) -> list[Door]:
        """Make the doors of cells, in their order, so that the same seed gives the same keys.

        Args:
            cells: The cells.
            start: Number of the first door.

        Raises:
            ParameterError: a step names a fault that there is none of.
        """
        return [self._door(number, cell) for number, cell in enumerate(cells, start=start)]

    def _door(self, number: int, cell: Cell) -> Door:
        live, situation = self.sandbox.live, cell.situation
        console, now = live.console, live.clock.now()
        name = f"cell-{number:05d}"
        account = "team"
        if "balance_usd" in situation:
            account = name
            made = Account(id=1000 + number, name=name, email="c***", balance=0)
            made.credit(now, "top_up", prices.units(situation["balance_usd"]))
            console.gateway.accounts[name] = made
        window = situation.get("window_5h_usd")
        key = console.create_key(
            now,
            name,
            account=account,
            group=GROUPS[cell.protocol],
            cap=situation.get("cap_usd"),
            windows=None if window is None else {"5h": window},
        )
        live.tables["keys"].append({"name": name, "environment": "", "owner": "", "services": ""})
        live.own_chance[name] = Random(f"answers {self.seed} {cell.id}")  # noqa: S311
        chance = Random(f"faults {self.seed} {cell.id}")  # noqa: S311 (chance of a trial)
        live.faults.script(name, rules(cell), chance)
        if key.group is not None:
            self._serve(cell.models, key.group)
        address = f"127.{64 + (number >> 16) % 64}.{number >> 8 & 255}.{number & 255}"
        lane = Lane(
            address=address,
            most=max(128, 2 * cell.at_once),
            broken_tls=cell.place is Place.TLS_BROKEN,
        )
        return Door(gateway=self, cell=cell, key=key, lane=lane)

    def _serve(self, models: Sequence[str], group: Group) -> None:
        """Let a group serve these models; an unknown one costs what its dearest known one does."""
        gateway = self.sandbox.live.console.gateway
        known = [one for one in gateway.models.values() if one.protocol == group.protocol]
        dearest = max(known, key=lambda one: one.price.output)
        for name in models:
            if name not in gateway.models:
                gateway.models[name] = Model(
                    name=name,
                    protocol=group.protocol,
                    price=dearest.price,
                    answers_as=name,
                    first_ms=dearest.first_ms,
                    token_ms=dearest.token_ms,
                )
            for channel in group.channels:
                if channel.answers:
                    channel.answers.setdefault(name, gateway.models[name].answers_as)

    def settle(self) -> None:
        """Charge what has ended, and learn what was billed."""
        live = self.sandbox.live
        gateway = live.console.gateway
        gateway.settle(live.clock.now() + _FAR)
        for row in gateway.rows[self._rows :]:
            self._billed[row.client_id] = Decimal(row.cost.billed) / prices.UNITS
        self._rows = len(gateway.rows)

    def billed(self, client_id: str) -> Decimal | None:
        """Tell what was billed for an answer; None for nothing."""
        return self._billed.get(client_id)


def _other_host() -> str:
    """Name a host of this machine that is another one than 127.0.0.1 to every client."""
    with socket.socket() as held:
        try:
            held.bind(("127.0.0.2", 0))
        except OSError:
            return "localhost"  # some systems have one loopback address only
    return "127.0.0.2"


def rules(cell: Cell) -> list[Rule]:
    """Write the steps of a cell as rules of the sandbox."""
    primary = cell.models[0] if cell.models else ""
    whom = {Role.ANY: "", Role.PRIMARY: primary, Role.FALLBACK: f"!{primary}"}
    unheard = cell.place in (Place.REFUSED, Place.UNRESOLVED, Place.TLS_BROKEN, Place.PLAIN_ON_TLS)
    return [
        Rule(name=step.fault, times=step.times, for_s=step.for_s, p=step.p, model=whom[step.role])
        for step in cell.steps[1 if unheard else 0 :]
    ]
