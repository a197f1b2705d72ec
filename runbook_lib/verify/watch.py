"""Watches a client from inside its process: where it connects, what it writes, how it dies.

Runs in the process of the client, which may be another Python without this package: nothing but
the standard library here. Connections go to this machine or nowhere: a client that brings an
address of its own must not reach it with anybody's money.
"""

import faulthandler
import io
import json
import os
import random
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any

CALL: ContextVar[tuple[int, int] | None] = ContextVar("torouter_call", default=None)
"""Job and number of the call that runs here."""

CHANCE: ContextVar[random.Random | None] = ContextVar("torouter_chance", default=None)
"""Chance of the cell that runs here."""

INVALID = ".invalid"
_BUNDLE = 64 << 10
"""Bytes of a file of authorities that is somebody's own, not the internet's."""

_DRAWS = (
    *("random", "uniform", "randint", "randrange", "choice", "choices", "shuffle", "sample"),
    *("expovariate", "gauss", "normalvariate", "triangular", "betavariate", "lognormvariate"),
    *("getrandbits", "randbytes", "paretovariate", "weibullvariate", "gammavariate"),
)
_STARTS = {
    "subprocess.Popen": "started a process",
    "os.posix_spawn": "started a process",
    "os.system": "started a process",
    "os.forkpty": "forked",
}


_EXIT = os._exit
_MOST_EXITS = 20


class Channel:
    """Lines of JSON to the verifier and back."""

    def __init__(self, held: socket.socket) -> None:
        self._held = held
        self._lock = threading.Lock()
        self.elsewhere = False
        """Set in a child of this process, which has nothing to tell."""

    def tell(self, *parts: Any) -> None:
        """Send one line; a child and a process whose verifier is gone send none."""
        if self.elsewhere:
            return
        line = json.dumps(parts).encode() + b"\n"
        try:
            with self._lock:
                self._held.sendall(line)
        except OSError:
            _EXIT(0)

    def lines(self) -> Any:
        """Read what the verifier sends, until it closes."""
        with self._held.makefile("rb") as source:
            for line in source:
                yield json.loads(line)

    def leave(self) -> None:
        """Forget the channel, in a child."""
        self.elsewhere = True
        self._held.close()


class Output(io.TextIOBase):
    """Takes the place of a standard stream: counts what each call writes, and keeps nothing."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self._number = number
        self.written: dict[int, int] = {}
        self.buffer = _Bytes(self)

    encoding = "utf-8"
    errors = "replace"

    def count(self, size: int) -> None:
        """Count bytes for the job that runs here."""
        job = (CALL.get() or (0, 0))[0]
        self.written[job] = self.written.get(job, 0) + size

    def write(self, text: str) -> int:
        """Count a text."""
        self.count(len(text.encode("utf-8", "replace")))
        return len(text)

    def writable(self) -> bool:
        """It takes everything."""
        return True

    def fileno(self) -> int:
        """The real descriptor, for processes that the client starts."""
        return self._number


class _Bytes(io.RawIOBase):
    def __init__(self, output: Output) -> None:
        super().__init__()
        self._output = output

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        size = memoryview(content).nbytes
        self._output.count(size)
        return size

    def fileno(self) -> int:
        return self._output.fileno()


class Watch:
    """Everything that is watched in this process.

    Attributes:
        output: Stands for standard output.
        ports: Port of a job's base URL → the job.
        refusing: Ports whose connections are told before they are made.
        dropped: Job that was given up → how often its threads were asked to end.
        commands: The client is a command, so starting processes is what it is asked for.
    """

    def __init__(self, channel: Channel, *, commands: bool = False) -> None:
        self.channel, self.commands = channel, commands
        self.output = Output(1)
        self.ports: dict[int, int] = {}
        self.refusing: set[int] = set()
        self.dropped: dict[int, int] = {}
        self._watched: dict[str, Callable[..., None]] = {
            "socket.connect": self._connect,
            "socket.getaddrinfo": self._lookup,
            "os.kill": self._kill,
            "os.killpg": self._kill,
            "time.sleep": lambda *_: None,
            **{name: self._starts(what) for name, what in _STARTS.items()},
        }

    def begin(self) -> None:
        """Watch from now on; it cannot be undone."""
        sys.stdout, sys.stderr = self.output, Output(2)
        faulthandler.enable(file=2, all_threads=False)

        def leave(status: int) -> None:
            self._culprit(f"it ended the process with status {status}")
            _EXIT(status)

        os._exit = leave  # type: ignore[assignment]
        os.register_at_fork(
            after_in_child=self.channel.leave, after_in_parent=lambda: self.note("forked")
        )
        for name in _DRAWS:
            setattr(random, name, _drawn(name, getattr(random, name)))
        sys.addaudithook(self._hear)
        for name in ("load_verify_locations", "load_default_certs", "set_default_verify_paths"):
            setattr(ssl.SSLContext, name, _small_only(getattr(ssl.SSLContext, name)))

    def note(self, what: str, detail: str = "") -> None:
        """Tell something about the call that runs here."""
        self.channel.tell("note", *(CALL.get() or (0, 0)), what, detail)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        heard = self._watched.get(event)
        if heard is not None and not self.channel.elsewhere:
            if self.dropped:
                self._leave_if_dropped()
            heard(*arguments)

    def _leave_if_dropped(self) -> None:
        """End a call that was given up; one that catches even that is put to sleep for ever."""
        job = (CALL.get() or (0, 0))[0]
        if job in self.dropped:
            self.dropped[job] += 1
            if self.dropped[job] > _MOST_EXITS:
                threading.Event().wait()
            raise SystemExit

    def _culprit(self, how: str) -> None:
        running = CALL.get()
        if running is not None:
            self.channel.tell("culprit", *running, how)

    def _kill(self, process: int, signal: int, *_: Any) -> None:
        if signal and process in (0, os.getpid(), os.getpgid(0)):
            self._culprit(f"it sent signal {int(signal)} to its own process")

    def _starts(self, what: str) -> Callable[..., None]:
        def heard(*_: Any) -> None:
            if not self.commands:
                self.note(what)

        return heard

    def _connect(self, held: socket.socket, address: Any) -> None:
        if held.family not in (socket.AF_INET, socket.AF_INET6) or not isinstance(address, tuple):
            return
        host, port = str(address[0]), address[1]
        if not here(host):
            self._outside(host, port)
            raise ConnectionRefusedError(f"{host} is no address of this machine")
        if port in self.refusing:
            self.channel.tell("try", port, (CALL.get() or (0, 0))[1], time.monotonic())
        elif port not in self.ports:
            self.note("connected", host)

    def _lookup(self, host: Any, port: Any, *_: Any) -> None:
        name = host.decode("ascii", "replace") if isinstance(host, bytes) else str(host or "")
        if here(name) or _numeric(name):
            return
        if name.endswith(INVALID) and str(port).isdigit():
            self.channel.tell("try", int(port), (CALL.get() or (0, 0))[1], time.monotonic())
        else:
            self._outside(name, port)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    def _outside(self, host: str, port: Any) -> None:
        if not host.endswith(INVALID):
            self.note("outside", f"{host}:{port}")


def _small_only(usual: Callable[..., None]) -> Callable[..., None]:
    """Load authorities only from small files: the bundles of the internet are of no use here.

    Nothing but this machine can be reached, and no handshake of the sandbox succeeds; yet every SDK
    reads two hundred authorities for each client, which is nine tenths of the work of making one.
    A context without them trusts nobody.
    """

    def load(context: ssl.SSLContext, *given: Any, **named: Any) -> None:
        file = given[0] if given else named.get("cafile")
        small = isinstance(file, str | os.PathLike) and Path(file).stat().st_size < _BUNDLE
        if small or named.get("cadata") is not None:
            usual(context, *given, **named)

    return load


def here(host: str) -> bool:
    """Tell whether a host is this machine."""
    return host in ("", "localhost", "::1", "0.0.0.0", "::", socket.gethostname()) or (  # noqa: S104
        host.removeprefix("::ffff:").startswith("127.") and _numeric(host)
    )


def _numeric(host: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except (OSError, ValueError):
            continue
        return True
    return False


def _drawn(name: str, usual: Callable[..., Any]) -> Callable[..., Any]:
    """A function of `random` that draws from the chance of the cell where there is one."""

    def draw(*arguments: Any, **options: Any) -> Any:
        chance = CHANCE.get()
        return (usual if chance is None else getattr(chance, name))(*arguments, **options)

    return draw
