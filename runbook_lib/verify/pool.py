"""Plays cells in a few processes of the client, many cells at once, and none at another's cost."""

import asyncio
import re
import signal
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from runbook_lib.verify.client import ClientSpec
from runbook_lib.verify.gateway import Door, Gateway
from runbook_lib.verify.process import Process
from runbook_lib.verify.records import Cell, Ending, Outcome, Played
from runbook_lib.verify.run import Run

WORKERS = 2
TOGETHER = 120
"""Cells that one process has under way at most; most of them wait."""

CROWD = 10
"""Calls at once from which a cell is crowded."""

COMMANDS_TOGETHER = 4
ALONE = 4
"""Processes that play, one cell at a time each, the cells of a process that died."""

_BEGINNING = 1
"""Cells of one process that have not reached the server yet: making a client is what costs."""

_BEGINNING_S = 1.0
_MOST_DEATHS = 24
_THREAD = re.compile(rb"(?:Current t|T)hread 0x([0-9a-f]+)")


class Pool:
    """Plays cells.

    Attributes:
        played: Index of a cell → what was seen.
        doors: Index of a cell → where its client is sent.
        ways: Whether the client can be called plainly (`plain`), as a coroutine (`asynchronous`).
        crowds: Cells of many calls at once; a process plays one of them at a time.
        alone: Cells that are played one at a time, as one of them ended its process.
    """

    def __init__(
        self,
        spec: ClientSpec,
        gateway: Gateway,
        cells: Sequence[Cell],
        told: Callable[[int], None] | None = None,
    ) -> None:
        self.spec, self.gateway, self._cells, self._told = spec, gateway, cells, told
        self.doors: dict[int, Door] = dict(enumerate(gateway.doors(cells)))
        self._made = len(cells)
        order = sorted(range(len(cells)), key=lambda index: -cells[index].deadline_s)
        crowded = [index for index in order if cells[index].at_once >= CROWD]
        self._queue = deque(index for index in order if cells[index].at_once < CROWD)
        self.crowds: deque[int] = deque(crowded)
        self.alone: deque[int] = deque()
        self._deaths = 0
        self.played: dict[int, Played] = {}
        self.ways: dict[str, bool] = {}
        self._notes: dict[int, dict[str, None]] = {}

    async def play(self) -> list[Played]:
        """Play all cells.

        Returns:
            What was seen, in the order of the cells.

        Raises:
            ParameterError: the client cannot be loaded.
        """
        together = COMMANDS_TOGETHER if self.spec.kind == "command" else TOGETHER
        while self._queue or self.crowds or self.alone:
            workers = min(WORKERS, len(self._queue) + len(self.crowds))
            slots = [_Slot(self, self._queue, together) for _ in range(workers)]
            slots += [_Slot(self, self.alone, 1) for _ in range(min(ALONE, len(self.alone)))]
            await _all(slots)
        return [self._noted(index) for index in range(len(self._cells))]

    def _noted(self, index: int) -> Played:
        played = self.played[index]
        return replace(played, notes=[*played.notes, *self._notes.get(index, ())])

    def take(self, queue: deque[int]) -> int | None:
        """Take the next cell that is to be played; None for none."""
        while queue and self._hopeless:
            self._give_up(queue.popleft())
        return queue.popleft() if queue else None

    @property
    def _hopeless(self) -> bool:
        """Whether the client ends its process in most cells."""
        return self._deaths >= _MOST_DEATHS and self._deaths * 2 > len(self.played)

    def _give_up(self, index: int) -> None:
        why = f"Not played: this client had ended its process {self._deaths} times before."
        died = Outcome(ending=Ending.DIED, started_s=0.0, ended_s=0.0)
        cell = self._cells[index]
        self.keep(index, Played(cell=cell, attempts=[], outcomes=[died], notes=[why]))

    def keep(self, index: int, played: Played) -> None:
        """Keep what was seen of a cell."""
        self.played[index] = played
        if self._told is not None:
            self._told(len(self.played))

    def say(self, sentence: str, indices: Sequence[int]) -> None:
        """Note something once about cells, or about the first of all where none is known."""
        for index in indices or [0]:
            said = self._notes.setdefault(index, {})
            said[sentence] = None

    def died(self, runs: Sequence[Run], culprit: Run | None) -> None:
        """Sort what was under way when a process ended: one of them did it, the others go on.

        Args:
            runs: The cells, save the culprit.
            culprit: The one that did it; None where that is not known.
        """
        self._deaths += 1
        for run in reversed(runs):
            run.stop()
            run.door.forget()
            self._made += 1
            (self.doors[run.index],) = self.gateway.doors([run.cell], start=self._made)
            crowd = run.cell.at_once >= CROWD
            among = self.crowds if crowd else self._queue
            (among if culprit is not None else self.alone).appendleft(run.index)


async def _all(slots: Sequence["_Slot"]) -> None:
    """Serve with all slots; the first error ends them all, and each ends its process in peace."""
    tasks = {asyncio.create_task(slot.serve()): slot for slot in slots}
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        for task, slot in tasks.items():
            if not slot.ending:
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in tasks:
        if not task.cancelled():
            task.result()


class _Slot:
    """A place for one process after another.

    Attributes:
        ending: Its process is being ended, which must not be broken off.
    """

    def __init__(self, pool: Pool, queue: deque[int], together: int) -> None:
        self._pool, self._queue, self._together = pool, queue, together
        self._runs: dict[int, Run] = {}
        self._by_port: dict[int, Run] = {}
        self._ended: list[Run] = []
        self._error: BaseException | None = None
        self._finished: list[Run] = []
        self._wake = asyncio.Event()
        self._culprit: tuple[int, str] | None = None
        self.ending = False
        self._jobs = 0
        self._process: Process | None = None

    async def serve(self) -> None:
        """Play cells until none is left in the queue."""
        while (index := self._next()) is not None:
            self._back(index)
            await self._live()

    def _next(self) -> int | None:
        """Take a cell that may be played beside those under way."""
        crowded = any(run.cell.at_once >= CROWD for run in self._runs.values())
        if self._together > 1 and not crowded and self._pool.crowds:
            return self._pool.take(self._pool.crowds)
        return self._pool.take(self._queue)

    def _back(self, index: int) -> None:
        crowded = self._together > 1 and self._pool.doors[index].cell.at_once >= CROWD
        (self._pool.crowds if crowded else self._queue).appendleft(index)

    async def _live(self) -> None:
        """One process, from its start to its end."""
        process = self._process = Process(self._pool.spec.settings(), self._hear)
        self._culprit, self._finished, self._wake = None, [], asyncio.Event()
        left: list[str] = []
        try:
            self._pool.ways = await process.start()
            watching = asyncio.create_task(self._watch(process))
            await self._feed(process)
            watching.cancel()
            process.check()
        finally:
            self.ending = True
            left = await process.end()
            self.ending = False
        self._buried(process, left)

    async def _watch(self, process: Process) -> None:
        await process.over.wait()
        self._wake.set()

    async def _feed(self, process: Process) -> None:
        """Start cells as there is room, until none is left or the process is over."""
        while not process.over.is_set():
            self._wake.clear()
            self._keep()
            if self._room and (index := self._next()) is not None:
                await self._begin(process, index)
                continue
            if not self._runs:
                return
            await self._wake.wait()
        self._keep()

    def _keep(self) -> None:
        """Keep what was seen of the cells that have ended."""
        if self._error is not None:
            raise self._error
        while self._ended:
            run = self._ended.pop()
            self._finished.append(run)
            self._pool.keep(run.index, run.played())

    @property
    def _room(self) -> bool:
        beginning = sum(not run.reached for run in self._runs.values())
        return len(self._runs) < self._together and beginning < _BEGINNING

    async def _begin(self, process: Process, index: int) -> None:
        self._jobs += 1
        run = Run(
            self._pool.doors[index],
            process,
            index=index,
            job=self._jobs,
            changed=self._wake.set,
            done=self._end,
        )
        self._runs[run.job] = self._by_port[run.door.lane.port] = run
        await run.start(self._pool.gateway.seed)
        asyncio.get_running_loop().call_later(_BEGINNING_S, run.count_as_reached)

    def _end(self, run: Run, error: BaseException | None) -> None:
        self._error = error or self._error
        if self._runs.pop(run.job, None) is None:
            return
        self._by_port.pop(run.door.lane.port, None)
        self._ended.append(run)
        self._wake.set()

    def _hear(self, parts: list[Any]) -> None:
        what, *rest = parts
        if what == "try":
            port, call, at = rest
            if port in self._by_port:
                self._by_port[port].tried(at, call)
            return
        run = self._runs.get(rest[0])
        if what == "culprit":
            self._culprit = (rest[0], rest[2])
        elif run is not None:
            run.hear(what, *rest[1:])

    # When a process is over -------------------------------------------------------------------

    def _buried(self, process: Process, left: Sequence[str]) -> None:
        runs = list(self._runs.values())
        self._runs, self._by_port = {}, {}
        starters = [run.index for run in self._finished if run.started_processes]
        for name in sorted(set(left)):
            self._pool.say(f"It left a process behind, which was ended: {name}.", starters)
        if process.written:
            self._pool.say("Its process wrote to standard output past Python.", [])
        if runs:
            self._sort_out(process, runs)

    def _sort_out(self, process: Process, runs: list[Run]) -> None:
        run, how = self._who(process, runs)
        self._pool.died([other for other in runs if other is not run], run)
        if run is not None:
            run.fail(*((Ending.HUNG,) if run.frozen else (Ending.DIED, how)))
            self._pool.keep(run.index, run.played())

    def _who(self, process: Process, runs: list[Run]) -> tuple[Run | None, str]:
        """Find the cell that ended it, and how: by its word, its thread, or being alone."""
        how = ended(process.status)
        if len(runs) == 1:
            return runs[0], self._culprit[1] if self._culprit else how
        if self._culprit is not None:
            job, how = self._culprit
            return next((run for run in runs if run.job == job), None), how
        crashed = _THREAD.search(process.last_words)
        thread = int(crashed[1], 16) if crashed else 0
        owners = [run for run in runs if run.owns(thread)]
        return (owners[0] if len(owners) == 1 else None), how


def ended(status: int | None) -> str:
    """Say how a process ended."""
    if status is None or status >= 0:
        return f"its process ended with status {status}"
    try:
        return f"its process was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"its process was ended by signal {-status}"
