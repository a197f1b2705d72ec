"""Plays cells, many at once, each in a process of its own, and none at another's cost."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace

from runbook_lib.verify.client import MODELS, ClientSpec
from runbook_lib.verify.gateway import Gateway
from runbook_lib.verify.process import Process
from runbook_lib.verify.records import Cell, Played
from runbook_lib.verify.run import Run

TOGETHER = 120
"""Cells under way at most; most of them wait."""

COMMANDS_TOGETHER = 8
CROWD = 10
"""Calls at once from which a cell is crowded; one such cell is played at a time."""

BEGINNING = 2
"""Cells that have not reached the server yet: making a client is what costs."""

_LIVES = 3
"""Processes that may end under a cell before it is blamed for it."""


class Pool:
    """Plays cells.

    Attributes:
        doors: Index of a cell → where its client is sent.
        ways: Whether the client can be called plainly (`plain`), as a coroutine (`asynchronous`).
    """

    def __init__(
        self,
        spec: ClientSpec,
        gateway: Gateway,
        cells: Sequence[Cell],
        told: Callable[[int], None] | None = None,
    ) -> None:
        self._spec, self._gateway, self._cells, self._told = spec, gateway, cells, told
        self.doors = dict(enumerate(gateway.doors(cells)))
        order = sorted(range(len(cells)), key=lambda index: -cells[index].deadline_s)
        self._crowds = deque(index for index in order if cells[index].at_once >= CROWD)
        self._queue = deque(index for index in order if cells[index].at_once < CROWD)
        self._played: dict[int, Played] = {}
        self._lives = dict.fromkeys(order, _LIVES)
        self._under_way: dict[asyncio.Task[Played], Run] = {}
        self._notes: dict[int, dict[str, None]] = {}
        self._indices: list[int] = []
        self._wake = asyncio.Event()
        self.ways: dict[str, bool] = {}

    async def play(self) -> list[Played]:
        """Play all cells.

        Returns:
            What was seen, in the order of the cells.

        Raises:
            ParameterError: the client cannot be loaded.
        """
        while len(self._played) < len(self._cells):
            await self._live()
        return [self._noted(index) for index in range(len(self._cells))]

    def _noted(self, index: int) -> Played:
        played = self._played[index]
        return replace(played, notes=[*played.notes, *self._notes.get(index, ())])

    def _say(self, sentence: str, index: int) -> None:
        self._notes.setdefault(index, {})[sentence] = None

    async def _live(self) -> None:
        """Play with one process of the client, from its start to its end."""
        process = Process(self._spec.settings(self._gateway.first_calls(MODELS)))
        left: list[tuple[int, str]] = []
        try:
            self.ways = await process.start()
            await self._feed(process)
        finally:
            for task in self._under_way:
                task.cancel()
            await asyncio.gather(*self._under_way, return_exceptions=True)
            left = await process.end()
        for job, name in left:
            index = self._indices[job - 1] if job else 0
            self._say(f"It left a process behind, which was ended: {name}.", index)
        if process.written:
            self._say("Its process wrote to standard output past Python.", 0)

    async def _feed(self, process: Process) -> None:
        """Start cells as there is room, until all were played or the process is over."""
        over = asyncio.create_task(process.over.wait())
        try:
            while not process.over.is_set():
                self._wake.clear()
                while (index := self._next()) is not None:
                    self._begin(process, index)
                if not self._under_way:
                    return
                woken = asyncio.create_task(self._wake.wait())
                waiting = {over, woken, *self._under_way}
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                woken.cancel()
                self._keep(alive=not process.over.is_set())
        finally:
            over.cancel()
        if self._under_way:
            await asyncio.wait({*self._under_way})
        self._keep(alive=False)

    def _next(self) -> int | None:
        """Take the next cell that may begin now; None for none."""
        runs = self._under_way.values()
        most = COMMANDS_TOGETHER if self._spec.kind == "command" else TOGETHER
        if len(runs) >= most or sum(not run.reached for run in runs) >= BEGINNING:
            return None
        crowded = any(run.cell.at_once >= CROWD for run in runs)
        if self._crowds and not crowded:
            return self._crowds.popleft()
        return self._queue.popleft() if self._queue else None

    def _begin(self, process: Process, index: int) -> None:
        self._indices.append(index)
        run = Run(
            self.doors[index],
            process,
            index=index,
            job=len(self._indices),
            changed=self._wake.set,
        )
        self._under_way[asyncio.create_task(run.play(self._gateway.seed))] = run

    def _keep(self, *, alive: bool) -> None:
        """Keep what was seen; what ended with the process of all is played again."""
        for task in [task for task in self._under_way if task.done()]:
            run = self._under_way.pop(task)
            played = task.result()
            self._lives[run.index] -= not alive and run.died
            if not alive and run.died and self._lives[run.index]:
                number = len(self._cells) + len(self._indices)
                (self.doors[run.index],) = self._gateway.doors([run.cell], start=number)
                self._queue.appendleft(run.index)
                continue
            self._played[run.index] = played
            if self._told is not None:
                self._told(len(self._played))
