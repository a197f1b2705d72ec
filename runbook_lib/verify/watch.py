"""Watches a client from inside its process: where it connects, what it writes, how it dies.

Runs in the process of the client, which may be another Python without this package: nothing but
the standard library here. Connections go to this machine or nowhere: a client that brings an
address of its own must not reach it with anybody's money.
"""

import io
import json
import os
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any

INVALID = ".invalid"
_BUNDLE = 64 << 10
"""Bytes of a file of authorities that is somebody's own, not the internet's."""

_EXIT = os._exit


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
    """Takes the place of a standard stream: counts what is written, and keeps nothing."""

    encoding = "utf-8"
    errors = "replace"

    def __init__(self, number: int) -> None:
        super().__init__()
        self._number = number
        self.written = 0
        self.buffer = _Bytes(self)

    def write(self, text: str) -> int:
        """Count a text."""
        self.written += len(text.encode("utf-8", "replace"))
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
        self._output.written += size
        return size

    def fileno(self) -> int:
        return self._output.fileno()


class Watch:
    """Everything that is watched in a process of the client.

    Attributes:
        channel: Where it is told.
        output: Stands for standard output.
        port: Port of the base URL; 0 while no call is made.
        refusing: Connections to it are told before they are made.
        spared: Processes that no signal may reach: the verifier and what it needs.
        call: Number of the call that runs here.
    """

    def __init__(self, channel: Channel, *, commands: bool) -> None:
        self.channel = channel
        self.output = Output(1)
        self.port, self.refusing = 0, False
        self.spared: tuple[int, ...] = ()
        self.call: ContextVar[int] = ContextVar("torouter_call", default=0)
        starts = () if commands else ("subprocess.Popen", "os.posix_spawn", "os.system")
        self._watched: dict[str, Callable[..., None]] = {
            "socket.connect": self._connect,
            "socket.getaddrinfo": self._lookup,
            "os.kill": self._kill,
            "os.killpg": self._kill,
            **dict.fromkeys(starts, self._starts),
        }

    def begin(self) -> None:
        """Watch from now on, in this process and those forked from it; it cannot be undone."""
        sys.stdout, sys.stderr = self.output, Output(2)
        sys.addaudithook(self._hear)
        for name in ("load_verify_locations", "load_default_certs", "set_default_verify_paths"):
            setattr(ssl.SSLContext, name, _small_only(getattr(ssl.SSLContext, name)))

    def begin_child(self, channel: Channel) -> None:
        """Watch a forked process of the client, which tells by a channel of its own."""
        self.channel = channel
        os._exit = self._leave  # type: ignore[assignment]
        os.register_at_fork(
            after_in_child=channel.leave, after_in_parent=lambda: self.note("forked")
        )

    def begin_cell(self, port: int, *, refusing: bool) -> None:
        """Watch one cell.

        Args:
            port: Port of its base URL.
            refusing: Tell connections to it before they are made.
        """
        self.port, self.refusing = port, refusing
        self.output.written = 0

    def note(self, what: str, detail: str = "") -> None:
        """Tell something about the cell."""
        if self.port:
            self.channel.tell("note", what, detail)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        heard = self._watched.get(event)
        if heard is not None and not self.channel.elsewhere:
            heard(*arguments)

    def _leave(self, status: int) -> None:
        self.channel.tell("leaves", f"it ended its process with status {status}")
        _EXIT(status)

    def _kill(self, process: int, signal: int, *_: Any) -> None:
        if process in (-1, *self.spared):
            self.note("signals")
            raise PermissionError("this process is not the client's own")
        if signal and process in (0, os.getpid(), os.getpgid(0)) and self.port:
            how = f"it sent signal {int(signal)} to its own process"
            self.channel.tell("leaves", how)

    def _starts(self, *_: Any) -> None:
        self.note("started")

    def _connect(self, held: socket.socket, address: Any) -> None:
        if held.family not in (socket.AF_INET, socket.AF_INET6) or not isinstance(address, tuple):
            return
        host, port = str(address[0]), address[1]
        if not here(host):
            self._outside(host, port)
            raise ConnectionRefusedError(f"{host} is no address of this machine")
        if port != self.port:
            self.note("connected", host)
        elif self.refusing:
            self.channel.tell("try", self.call.get(), time.monotonic())

    def _lookup(self, host: Any, port: Any, *_: Any) -> None:
        name = host.decode("ascii", "replace") if isinstance(host, bytes) else str(host or "")
        if here(name) or _numeric(name):
            return
        if name.endswith(INVALID) and str(port) == str(self.port):
            self.channel.tell("try", self.call.get(), time.monotonic())
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
