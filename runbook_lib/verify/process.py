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
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
    r"|_API_KEY__|^TOROUTER_|^(ALL|NO|HTTPS?)_PROXY$|^PYTHONPATH$|^PYTHONSTARTUP$"
)
_DECOYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY")
_LINE = 64 << 20
_KEPT = 2000


def environment(mark: str) -> dict[str, str]:
    """Give the environment of a client: no key, address or proxy of the user's.

    Keys that belong to nobody stand where SDKs look for one, so that a client which takes its key
    from there, not from the call, is seen doing it.

    Args:
        mark: What marks everything that the client starts.
    """
    kept = {name: value for name, value in os.environ.items() if not _DROPPED.search(name)}
    decoy = "sk-" + "of-the-environment"  # in two parts: nothing in this file looks like a key
    return {**kept, **dict.fromkeys(_DECOYS, decoy), _MARK: mark, "PYTHONUNBUFFERED": "1"}


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
    """One process in which calls of the client are made.

    Attributes:
        heard: Is given each line that the process tells.
        blind: Where the client connects cannot be seen from inside its process.
        written: Bytes that went past Python's own standard output.
    """

    def __init__(self, settings: dict[str, Any], heard: Callable[[list[Any]], None]) -> None:
        self._settings, self.heard = settings, heard
        self.blind = settings["kind"] == "command"
        self._mark = secrets.token_hex(8)
        self._held: subprocess.Popen[bytes] | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._listening: asyncio.Task[None] | None = None
        self.over = asyncio.Event()
        self.written = 0
        self.last_words = b""
        self.status: int | None = None

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
                stderr=subprocess.PIPE,
                env=environment(self._mark),
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        reader, self._writer = await asyncio.open_connection(sock=ours, limit=_LINE)
        self._tasks = [
            asyncio.create_task(self._drain(self._held.stdout, keep=False)),
            asyncio.create_task(self._drain(self._held.stderr, keep=True)),
        ]
        self.send(self._settings)
        return await self._loaded(reader)

    async def _loaded(self, reader: asyncio.StreamReader) -> dict[str, bool]:
        name = self._settings["name"]
        try:
            async with asyncio.timeout(LOADING_S):
                while True:
                    line = await reader.readline()
                    parts = json.loads(line) if line else ["gone"]
                    if parts[0] in ("loaded", "failed", "gone"):
                        break
        except TimeoutError as error:
            hint = f"a module that is imported in less than {LOADING_S:g} s"
            raise ParameterError("client", name, hint=hint) from error
        if parts[0] == "loaded":
            self._listening = asyncio.create_task(self._listen(reader))
            return {"plain": bool(parts[1]), "asynchronous": bool(parts[2])}
        why = parts[1] if parts[0] == "failed" else "a module that leaves its process alive"
        raise ParameterError("client", name, hint=redact.safe(why, limit=600))

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        try:
            with contextlib.suppress(OSError):
                while line := await reader.readline():
                    self.heard(json.loads(line))
        finally:
            self.over.set()

    def check(self) -> None:
        """Raise what went wrong while listening: a fault of ours, not of the client."""
        if self._listening is not None and self._listening.done():
            self._listening.result()

    async def _drain(self, source: Any, *, keep: bool) -> None:
        """Read what is written, however much; only its size and its end are kept."""
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), source)
        while part := await reader.read(1 << 16):
            if keep:
                self.last_words = (self.last_words + part)[-_KEPT:]
            else:
                self.written += len(part)

    def send(self, order: dict[str, Any]) -> None:
        """Tell the process to do something."""
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(json.dumps(order).encode() + b"\n")

    def kill(self) -> None:
        """End the process at once."""
        if self._held is not None and self._held.poll() is None:
            with contextlib.suppress(OSError):
                self._held.kill()

    async def end(self) -> list[str]:
        """End it and everything it has started.

        Returns:
            Names of the processes that it left behind.
        """
        if self._held is None:
            return []
        held = self._held
        left = _others(held.pid, self._mark)
        ended_itself = held.poll() is not None
        self.kill()
        for pid, _ in left:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        if not ended_itself:
            with contextlib.suppress(OSError):
                os.killpg(held.pid, signal.SIGKILL)
        self.status = await asyncio.get_running_loop().run_in_executor(None, held.wait)
        if self._writer is not None:
            self._writer.close()
            with contextlib.suppress(OSError):
                await self._writer.wait_closed()
        for pid, _ in _others(held.pid, self._mark):  # what began in between
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        await asyncio.wait(self._tasks, timeout=2.0)
        for task in (*self._tasks, self._listening):
            if task is not None:
                task.cancel()
        return [name for _, name in left]


def _others(leader: int, mark: str) -> list[tuple[int, str]]:
    """Find living processes of a session, or that carry a mark: number and name.

    Only Linux tells; elsewhere the process group is all that can be ended.
    """
    found = []
    wanted = f"{_MARK}={mark}".encode()
    for place in Path("/proc").glob("[0-9]*"):
        pid = int(place.name)
        if pid in (leader, os.getpid()):
            continue
        try:
            name, _, rest = (place / "stat").read_text("utf-8", "replace").rpartition(")")
            state, session = rest.split()[0], int(rest.split()[3])
            marked = session == leader or wanted in (place / "environ").read_bytes()
        except (OSError, ValueError, IndexError):
            continue
        if marked and state not in "ZX":
            found.append((pid, name.partition("(")[2]))
    return found
