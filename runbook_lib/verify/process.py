"""The process of a client, seen from outside: started clean, heard, ended with all its children."""

import asyncio
import contextlib
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from runbook_lib import redact
from runbook_lib.errors import ParameterError

OTHER_PYTHON = "TOROUTER_CLIENT_PYTHON"
"""Variable that names the interpreter in which clients run, where it is not this one."""

LOADING_S = 60.0
"""Longest time a client's module may take to load."""

_MARK = "TOROUTER_VERIFICATION"
"""Variable by which everything that a client starts is known as its own."""

_DROPPED = re.compile(
    r"(?i)(_API_KEY|_API_BASE|_BASE_URL|_ENDPOINT|_TOKEN|_SECRET|_PASSWORD|_CREDENTIALS|_PROXY)$"
    r"|_API_KEY__|^TOROUTER_"
)
_DECOYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY")
_LINE = 64 << 20
_STATUS_S = 2.0


class Child(NamedTuple):
    """A process in which cells are played: its number, and the two ends of its channel."""

    number: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def tell(self, order: Mapping[str, Any]) -> None:
        """Tell it what to play."""
        self.writer.write(json.dumps(order).encode() + b"\n")


class _Found(NamedTuple):
    """A living process that a cell has started."""

    pid: int
    job: int
    name: str


def environment(mark: str) -> dict[str, str]:
    """Give the environment of a client: no key, address or proxy of the user's.

    Keys that belong to nobody stand where SDKs look for one, so that a client which takes its key
    from there, not from the call, is seen doing it.

    Args:
        mark: What marks everything that the client starts.
    """
    kept = {name: value for name, value in os.environ.items() if not _DROPPED.search(name)}
    decoy = "sk-" + "of-the-environment"  # in two parts: nothing in this file looks like a key
    ours = {
        _MARK: mark,
        "NO_PROXY": "*",
        "PYTHONUNBUFFERED": "1",
        "OBJC_DISABLE_INITIALIZE_FORK_SAFETY": "YES",  # macOS: a fork without an exec may run on
    }
    return {**kept, **dict.fromkeys(_DECOYS, decoy), **ours}


def interpreter(*, ours: bool) -> str:
    """Name the Python in which a client runs.

    Args:
        ours: The client is part of this package and needs it.

    Raises:
        ParameterError: the one that the user names cannot be run.
    """
    named = os.environ.get(OTHER_PYTHON, "")
    if ours or not named:
        return sys.executable
    if not os.access(named, os.X_OK):
        raise ParameterError(OTHER_PYTHON, named, hint="the path of a Python, 3.11 or newer")
    return named


class Process:
    """The process that has loaded the client and forks one for each cell.

    Attributes:
        blind: Where the client connects cannot be seen from inside.
        over: Set when it has ended.
        written: Bytes that went past Python's own standard output, of all cells together.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = settings
        self.blind = settings["kind"] == "command"
        self._reuses = settings["kind"] == "adapter"
        self._mark = secrets.token_hex(8)
        self._held: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._gone: dict[int, asyncio.Future[int]] = {}
        self._pids: list[int] = []
        self._idle: list[Child] = []
        self.over = asyncio.Event()
        self.written = 0

    async def start(self) -> dict[str, bool]:
        """Start it and load the client.

        Returns:
            Whether the client can be called plainly (`plain`) and as a coroutine (`asynchronous`).

        Raises:
            ParameterError: the client cannot be loaded.
        """
        words = [
            interpreter(ours=self._settings["ours"]),
            "-I",
            str(Path(__file__).with_name("worker.py")),
        ]
        ours, theirs = socket.socketpair()
        with theirs:
            self._held = subprocess.Popen(  # noqa: S603 (this Python, or the one the user names)
                [*words, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment(self._mark),
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self._control = ours.dup()
        reader, self._writer = await asyncio.open_connection(sock=ours, limit=_LINE)
        self._tasks = [asyncio.create_task(self._drain(self._held.stdout))]
        self._send(self._settings)
        return await self._loaded(reader)

    async def _loaded(self, reader: asyncio.StreamReader) -> dict[str, bool]:
        name = self._settings["name"]
        try:
            async with asyncio.timeout(LOADING_S):
                line = await reader.readline()
        except TimeoutError as error:
            hint = f"a module that is imported in less than {LOADING_S:g} s"
            raise ParameterError("client", name, hint=hint) from error
        parts = json.loads(line) if line else ["failed", "a module that leaves its process alive"]
        if parts[0] == "failed":
            raise ParameterError("client", name, hint=redact.safe(parts[1], limit=600))
        self._tasks.append(asyncio.create_task(self._listen(reader)))
        return {"plain": bool(parts[1]), "asynchronous": bool(parts[2])}

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError):
            while line := await reader.readline():
                what, child, number = json.loads(line)
                if what == "began":
                    self._pids.append(number)
                elif not self._gone[child].done():
                    self._gone[child].set_result(number)
        self.over.set()

    async def _drain(self, source: Any) -> None:
        """Read what is written, however much; only its size is kept."""
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), source)
        while part := await reader.read(1 << 16):
            self.written += len(part)

    def _send(self, order: dict[str, Any], *fds: int) -> None:
        """Tell it to do something, and hand it open files; a dead one is told nothing."""
        if self._control is not None:
            with contextlib.suppress(OSError):
                socket.send_fds(self._control, [json.dumps(order).encode() + b"\n"], fds)

    async def child(self) -> Child:
        """Take a process in which a cell can be played: an idle one, or a new one."""
        if self._idle:
            return self._idle.pop()
        ours, theirs = socket.socketpair()
        number = len(self._gone) + 1
        self._gone[number] = asyncio.get_running_loop().create_future()
        with theirs:
            self._send({"child": number, "mark": _MARK}, theirs.fileno())
        reader, writer = await asyncio.open_connection(sock=ours, limit=_LINE)
        return Child(number, reader, writer)

    def give_back(self, child: Child) -> None:
        """Give a process back that has played its cell to the end."""
        if self._reuses:
            self._idle.append(child)
        else:
            child.writer.close()

    def drop(self, child: Child) -> None:
        """End a process with its group."""
        self._send({"drop": child.number})
        child.writer.close()

    async def status(self, child: Child) -> int | None:
        """Wait for the exit status of a process; None when it does not come."""
        done, _ = await asyncio.wait({self._gone[child.number]}, timeout=_STATUS_S)
        return next(iter(done)).result() if done else None

    async def end(self) -> list[tuple[int, str]]:
        """End it and everything it has started.

        Returns:
            Job and name of each process that was left behind; 0 for a job that is not known.
        """
        if self._held is None:
            return []
        for child in self._idle:
            child.writer.close()
        held, left = self._held, self._rest()
        with contextlib.suppress(OSError):
            held.kill()
        await asyncio.get_running_loop().run_in_executor(None, held.wait)
        self._end_all(left)
        self._end_all(self._rest())  # what began in between
        if self._control is not None:
            self._control.close()
        if self._writer is not None:
            self._writer.close()
            with contextlib.suppress(OSError):
                await self._writer.wait_closed()
        await asyncio.wait(self._tasks, timeout=2.0)
        for task in self._tasks:
            task.cancel()
        return [(found.job, found.name) for found in left if found.pid not in self._pids]

    def _rest(self) -> list[_Found]:
        first = 0 if self._held is None else self._held.pid
        return _others(self._mark, [first, *self._pids])

    def _end_all(self, several: Sequence[_Found]) -> None:
        for found in several:
            with contextlib.suppress(OSError):
                os.kill(found.pid, signal.SIGKILL)


def _others(mark: str, sessions: Sequence[int]) -> list[_Found]:
    """Find living processes that carry a mark or belong to a session, save the first of these.

    Only Linux tells; elsewhere the processes of cells are all that can be ended.

    Args:
        mark: What stands in the environment; the job may stand behind it.
        sessions: Sessions of our processes; the first is that of the one which forks.
    """
    found = []
    marked = re.compile(f"{_MARK}={mark}(?:-([0-9]+))?".encode())
    for place in Path("/proc").glob("[0-9]*"):
        pid = int(place.name)
        try:
            name, _, rest = (place / "stat").read_text("utf-8", "replace").rpartition(")")
            state, session = rest.split()[0], int(rest.split()[3])
            named = marked.search((place / "environ").read_bytes())
        except (OSError, ValueError, IndexError):
            continue
        ours = named or session in sessions
        if ours and state not in "ZX" and pid not in (sessions[0], os.getpid()):
            found.append(_Found(pid, int(named[1] or 0) if named else 0, name.partition("(")[2]))
    return found
