"""One cell under way: what its process tells, what its server sees, and when patience runs out."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

from runbook_lib import redact
from runbook_lib.verify.gateway import Door
from runbook_lib.verify.process import Process
from runbook_lib.verify.records import Ending, Outcome, Place, Played

PROMPT = "Reply with one word. [call {call}]"
"""What every call asks; the number tells the server which call an attempt belongs to."""

_LATE_S = 0.1
"""Time for what was told in time to be read, before a call is taken for hung."""

_PONG_S = 2.0
_PING = 0
"""Stands for no call among the timers, but for the question whether the process is alive."""

_SETTLE_S = 0.3
_STEP_S = 0.01
_NOTES = {
    "forked": "It forked its process.",
    "connected": "It connected to {}, which is not where it was sent.",
    "outside": "It tried to reach {}, which is not this machine; that was refused.",
}


class Run:
    """One cell under way in a process.

    Attributes:
        index: Of the cell.
        job: Number of the job in its process.
        reached: It has come to the server, or has ended: making its client is over.
        started_processes: It has started processes of its own.
    """

    def __init__(
        self,
        door: Door,
        process: Process,
        *,
        index: int,
        job: int,
        changed: Callable[[], None],
        done: Callable[["Run", BaseException | None], None],
    ) -> None:
        self.door, self.index, self.job = door, index, job
        self.cell = door.cell
        self._process, self._changed, self._done = process, changed, done
        self.reached = self.frozen = self.started_processes = False
        self._began: dict[int, float] = {}
        self._outcomes: dict[int, Outcome] = {}
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self._notes: dict[str, None] = {}
        self._threads: set[int] = set()
        self._over = False
        self._since = time.monotonic()
        self._loop = asyncio.get_running_loop()

    async def start(self, seed: int) -> None:
        """Open the door and let the process begin."""
        self.door.lane.told = self.count_as_reached
        await self.door.open()
        self._process.send(self._order(seed))

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

    def owns(self, thread: int) -> bool:
        """Tell whether a thread of the process is making one of its calls."""
        return thread in self._threads

    # What the process tells -----------------------------------------------------------------------

    def hear(self, what: str, *parts: Any) -> None:
        """Take what the process tells about this cell."""
        if self._over:
            return
        heard: dict[str, Callable[..., None]] = {
            "began": self._call_began,
            "ended": self._call_ended,
            "over": self._finish,
            "note": self._note,
            "pong": self._hung,
        }
        heard[what](*parts)

    def _call_began(self, call: int, at: float, thread: int) -> None:
        self._began[call] = at
        self._threads.add(thread)
        if len(self._began) == 1:
            self.door.began(at, blind=self._process.blind)
        left = at + self.cell.deadline_s + self.cell.patience_s - time.monotonic()
        self._timers[call] = self._loop.call_later(max(0.0, left) + _LATE_S, self._late)

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

    def _note(self, call: int, what: str, detail: str) -> None:
        del call
        self.started_processes |= what in ("forked", "started a process")
        if what in _NOTES:
            self.say(_NOTES[what].format(redact.safe(detail, limit=100)))

    def say(self, sentence: str) -> None:
        """Note something about this cell, once."""
        self._notes[sentence] = None

    @property
    def since(self) -> float:
        """When the cell began: its first call."""
        return min(self._began.values(), default=self._since)

    # How it ends ----------------------------------------------------------------------------------

    def _late(self) -> None:
        """Patience has run out; a process that answers shows that the call hangs, and not it."""
        if _PING not in self._timers:
            self._process.send({"ping": self.job})
            self._timers[_PING] = self._loop.call_later(_PONG_S, self._freeze)

    def _freeze(self) -> None:
        self.frozen = True
        self._process.kill()

    def _hung(self) -> None:
        self._timers.pop(_PING).cancel()
        if not self._open_calls:
            return  # it ended while the process was asked
        self.door.drop()
        self._process.send({"drop": self.job})
        self.fail(Ending.HUNG)
        self._finish()

    @property
    def _open_calls(self) -> list[int]:
        return [call for call in self._began if call not in self._outcomes]

    def tried(self, at: float, call: int) -> None:
        """Take that the client is about to connect to where nobody may listen."""
        self.door.tried(at, call)
        self.count_as_reached()

    def fail(self, ending: Ending, how: str = "") -> None:
        """Let every call under way end like this; the process is over.

        Args:
            ending: Their ending.
            how: How it came about.
        """
        self._close()
        now = time.monotonic()
        for call in self._open_calls or ([] if self._began else [1]):
            self._outcomes[call] = Outcome(
                ending=ending,
                call=call,
                started_s=self._began.get(call, self.since) - self.since,
                ended_s=now - self.since,
                error=redact.safe(how),
            )
        missing = self.cell.calls - len(self._outcomes)
        if missing:
            self.say(f"{missing} of {self.cell.calls} calls were not made after that.")

    def _finish(self, written: int = 0) -> None:
        self._close()
        if written:
            self.say(f"It wrote {written} bytes to its standard output.")
        settling = self._loop.create_task(self._settle())
        settling.add_done_callback(lambda task: self._done(self, task.exception()))

    def _close(self) -> None:
        self._over = True
        self.stop()

    def stop(self) -> None:
        """Wait for nothing any more."""
        for timer in self._timers.values():
            timer.cancel()

    async def _settle(self) -> None:
        """Let the server see the end of what is under way."""
        until = time.monotonic() + _SETTLE_S
        while self.door.lane.busy and time.monotonic() < until:
            await asyncio.sleep(_STEP_S)
        self._process.send({"forget": self.job, "port": self.door.lane.port})

    def played(self) -> Played:
        """Give what was seen, and close the door."""
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
