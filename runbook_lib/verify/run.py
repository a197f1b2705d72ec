"""One cell under way: what its process tells, what its server sees, and when patience runs out."""

import asyncio
import contextlib
import json
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from runbook_lib import redact
from runbook_lib.verify.gateway import Door
from runbook_lib.verify.process import Child, Process
from runbook_lib.verify.records import Ending, Outcome, Place, Played

PROMPT = "Reply with one word. [call {call}]"
"""What every call asks; the number tells the server which call an attempt belongs to."""

_LATE_S = 0.1
"""Time for what was told in time to be read, before a call is taken for hung."""

_SETTLE_S = 0.3
_STEP_S = 0.01
_BEGINNING_S = 1.0
_NOTES = {
    "forked": "It forked its process.",
    "signals": "It sent a signal to a process that is not its own; that was refused.",
    "connected": "It connected to {}, which is not where it was sent.",
    "outside": "It tried to reach {}, which is not this machine; that was refused.",
}


class Run:
    """One cell under way in a process.

    Attributes:
        index: Of the cell.
        job: Number of the job in its process.
        reached: It has come to the server, or has ended: making its client is over.
    """

    def __init__(
        self,
        door: Door,
        process: Process,
        *,
        index: int,
        job: int,
        changed: Callable[[], None],
    ) -> None:
        self.door, self.index, self.job = door, index, job
        self.cell = door.cell
        self._process, self._changed = process, changed
        self.reached = False
        self._began: dict[int, float] = {}
        self._outcomes: dict[int, Outcome] = {}
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self._notes: dict[str, None] = {}
        self._leaves = ""
        self._hung = asyncio.Event()
        self._since = time.monotonic()

    async def play(self, seed: int) -> Played:
        """Let a process make the calls, and hear it to its end.

        Args:
            seed: Where the client's own chance begins.

        Returns:
            What was seen.
        """
        self.door.lane.told = self.count_as_reached
        await self.door.open()
        asyncio.get_running_loop().call_later(_BEGINNING_S, self.count_as_reached)
        child = await self._process.child()
        child.tell(self._order(seed))
        hearing = asyncio.create_task(self._hear_all(child.reader))
        hanging = asyncio.create_task(self._hung.wait())
        try:
            await asyncio.wait({hearing, hanging}, return_when=asyncio.FIRST_COMPLETED)
            await self._ended(child, well=hearing.done() and hearing.result())
        finally:
            hearing.cancel()
            hanging.cancel()
            for timer in self._timers.values():
                timer.cancel()
            self.door.drop()
        return await self._played()

    async def _hear_all(self, reader: asyncio.StreamReader) -> bool:
        """Take what the process tells; tell whether it came to its end."""
        with contextlib.suppress(OSError):
            while line := await reader.readline():
                what, *parts = json.loads(line)
                if what == "over":
                    self._written(*parts)
                    return True
                self._hear(what, parts)
        return False

    async def _ended(self, child: Child, *, well: bool) -> None:
        if well:
            self._process.give_back(child)
            return
        self.door.drop()
        hung = self._hung.is_set()
        self._process.drop(child)
        if hung:
            self._fail(Ending.HUNG)
        else:
            how = ended(await self._process.status(child))
            self._fail(Ending.DIED, self._leaves or how)

    def _order(self, seed: int) -> dict[str, Any]:
        cell, door = self.cell, self.door
        return {
            "job": self.job,
            "cell": cell.id,
            "seed": seed,
            "port": door.lane.port,
            "refusing": cell.place is Place.REFUSED,
            "asynchronous": cell.asynchronous,
            "calls": cell.calls,
            "at_once": cell.at_once,
            "every_s": cell.every_s,
            "cancel_after_s": cell.cancel_after_s,
            "call": {
                "protocol": cell.protocol,
                "prompt": PROMPT,
                "base_url": door.base_url,
                "api_key": door.secret,
                "models": list(cell.models),
                "stream": cell.stream,
                "deadline_s": cell.deadline_s,
            },
        }

    def count_as_reached(self) -> None:
        """Take it for begun: it came to the server, ended, or takes its time."""
        if not self.reached:
            self.reached = True
            self._changed()

    @property
    def died(self) -> bool:
        """Whether its process ended under it."""
        return any(one.ending is Ending.DIED for one in self._outcomes.values())

    # What the process tells -----------------------------------------------------------------------

    def _hear(self, what: str, parts: Sequence[Any]) -> None:
        heard: dict[str, Callable[..., None]] = {
            "began": self._call_began,
            "ended": self._call_ended,
            "note": self._note,
            "try": self._tried,
            "leaves": self._leaving,
        }
        heard[what](*parts)

    def _leaving(self, how: str) -> None:
        self._leaves = how

    def _written(self, count: int) -> None:
        if count:
            self.say(f"It wrote {count} bytes to its standard output.")

    def _call_began(self, call: int, at: float) -> None:
        self._began[call] = at
        if len(self._began) == 1:
            self.door.began(at, blind=self._process.blind)
        left = at + self.cell.deadline_s + self.cell.patience_s - time.monotonic()
        loop = asyncio.get_running_loop()
        self._timers[call] = loop.call_later(max(0.0, left) + _LATE_S, self._hung.set)

    def _call_ended(self, call: int, at: float, found: Mapping[str, Any]) -> None:
        timer = self._timers.pop(call, None)
        if timer is None:
            return
        timer.cancel()
        self._outcomes[call] = Outcome(
            ending=Ending(found["ending"]),
            call=call,
            started_s=self._began[call] - self.since,
            ended_s=at - self.since,
            text=found.get("text", ""),
            model=redact.safe(found.get("model", "")),
            request_ids=tuple(redact.safe(one, limit=300) for one in found.get("ids", ())),
            error_type=redact.safe(found.get("type", "")),
            error=redact.safe(found.get("error", ""), limit=300),
            status=found.get("status"),
        )
        self.count_as_reached()

    def _note(self, what: str, detail: str) -> None:
        if what in _NOTES:
            self.say(_NOTES[what].format(redact.safe(detail, limit=100)))

    def _tried(self, call: int, at: float) -> None:
        self.door.tried(at, call)
        self.count_as_reached()

    def say(self, sentence: str) -> None:
        """Note something about this cell, once."""
        self._notes[sentence] = None

    @property
    def since(self) -> float:
        """When the cell began: its first call."""
        return min(self._began.values(), default=self._since)

    # How it ends ----------------------------------------------------------------------------------

    def _fail(self, ending: Ending, how: str = "") -> None:
        """Let every call under way, or the next one, end like this; no further one was made."""
        now = time.monotonic()
        under_way = [call for call in self._began if call not in self._outcomes]
        if not under_way and len(self._outcomes) == self.cell.calls:
            self.say(f"After its last call {how}.")
            return
        for call in under_way or [len(self._outcomes) + 1]:
            self._outcomes[call] = Outcome(
                ending=ending,
                call=call,
                started_s=self._began.get(call, now) - self.since,
                ended_s=now - self.since,
                error=redact.safe(how),
            )
        missing = self.cell.calls - len(self._outcomes)
        if missing:
            self.say(f"{missing} of {self.cell.calls} calls were not made after that.")

    async def _played(self) -> Played:
        """Give what was seen, once the server has seen the end of it, and close the door."""
        until = time.monotonic() + _SETTLE_S
        while self.door.lane.busy and time.monotonic() < until:
            await asyncio.sleep(_STEP_S)
        return self._seen()

    def _seen(self) -> Played:
        door, lane = self.door, self.door.lane
        found = door.attempts(self.since)
        if not found and not door.strays and self.cell.place is Place.GATEWAY:
            self.say("Nothing arrived at the base URL that it was given.")
        if door.strays:
            self.say(f"{_attempts(door.strays)} came without the key that it was given.")
        if door.leaks:
            self.say(f"{_attempts(door.leaks)} brought its key to another host.")
        if lane.turned_away:
            self.say(f"{lane.turned_away} connections beyond {lane.most} at once were reset.")
        door.forget()
        outcomes = [self._outcomes[call] for call in sorted(self._outcomes)]
        return Played(
            cell=self.cell,
            attempts=found,
            outcomes=sorted(outcomes, key=lambda one: one.started_s),
            connections=len(lane.knocks),
            strays=door.strays,
            leaks=door.leaks,
            notes=list(self._notes),
        )


def _attempts(count: int) -> str:
    return f"{count} attempt{'' if count == 1 else 's'}"


def ended(status: int | None) -> str:
    """Say how a process ended."""
    if status is None:
        return "its process stopped telling"
    if status >= 0:
        return f"its process ended with status {status}"
    try:
        return f"its process was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"its process was ended by signal {-status}"
