"""The socket in front of the app: what no ASGI server lets an app do.

The protocol is uvicorn's own; it hands its transport to the app, which can then write bytes that
are no HTTP, reset the connection, or leave it open. The server can stop listening for a while.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Any

from uvicorn import Config, Server
from uvicorn.protocols.http.h11_impl import H11Protocol

from runbook_lib.sandbox.replies import Reply

MOST_HEADERS = 1 << 20
"""Bytes of headers that are read at most, as the gateway's own server does."""

TRANSPORT = "transport"
"""Name under which the app finds the transport in its scope's state."""

_DRIP_S = 0.2
_TICK_S, _SOON_S = 0.5, 0.005


class Front(H11Protocol):
    """One connection; what is no HTTP is answered in the gateway's words."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Hand the transport to the app."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, TRANSPORT: transport}

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, in the words of the gateway's server."""
        del msg
        super().send_400_response("400 Bad Request")


class FrontServer(Server):
    """A server that can stop listening for a while; its `port` stays the same."""

    port = 0

    def __init__(self, config: Config, listener: socket.socket) -> None:
        super().__init__(config)
        self._address = listener.getsockname()[:2]
        self.port = self._address[1]
        self._closed_until: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._told = asyncio.Event()

    def end(self) -> None:
        """End it at once; safe from another thread."""
        self.should_exit = True
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._told.set)

    async def main_loop(self) -> None:
        """Serve until it is told to end, and notice that at once."""
        self._loop = asyncio.get_running_loop()
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._told.wait(), _TICK_S)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the port, let answers under way end, and cancel what takes too long."""
        for server in self.servers:
            server.close()
        for held in sockets or []:
            held.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        ends = asyncio.get_running_loop().time() + (self.config.timeout_graceful_shutdown or 0)
        while self.server_state.connections or self.server_state.tasks:
            await asyncio.sleep(_SOON_S)
            if asyncio.get_running_loop().time() > ends:
                break
        for task in list(self.server_state.tasks):
            task.cancel()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to who runs the server."""
        yield

    def no_longer(self) -> None:
        """Do not begin to listen again."""
        if self._closed_until is not None:
            self._closed_until.cancel()

    def refuse(self, seconds: float) -> None:
        """Refuse connections for so long; those that are open are closed."""
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            transport = getattr(connection, TRANSPORT, None)
            if transport is not None:
                transport.abort()
        self._closed_until = asyncio.get_running_loop().create_task(self._listen_after(seconds))

    async def _listen_after(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        loop = asyncio.get_running_loop()
        config, state = self.config, self.server_state

        def connection() -> asyncio.Protocol:
            return Front(config, state, self.lifespan.state)

        host, port = self._address
        self.servers = [await loop.create_server(connection, host, port)]


def reset(transport: asyncio.Transport) -> None:
    """Reset a connection instead of closing it."""
    held = transport.get_extra_info("socket")
    if held is not None:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def listen(port: int) -> socket.socket:
    """Listen on loopback; port 0 takes a free one.

    Raises:
        OSError: the port is taken.
    """
    made = take(port)
    made.listen(512)
    return made


def take(port: int, host: str = "127.0.0.1") -> socket.socket:
    """Take a port of loopback without listening: whoever connects is refused.

    Raises:
        OSError: the port is taken.
    """
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
    except OSError:
        made.close()
        raise
    return made


# What needs the socket itself -----------------------------------------------------------------


def _head(reply: Reply, *extra: tuple[str, str]) -> bytes:
    headers = [*reply.headers, ("connection", "close"), *extra]
    lines = [f"HTTP/1.1 {reply.status} OK", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")


def _whole(reply: Reply, shift: int = 0) -> tuple[bytes, bytes]:
    body = b"".join(reply.pieces)
    return _head(reply, ("content-length", str(max(0, len(body) + shift)))), body


def _half(reply: Reply) -> bytes:
    head, body = _whole(reply)
    return head + body[: len(body) // 2]


def _headers_only(reply: Reply) -> bytes:
    head, _ = _whole(reply)
    return head[: len(head) // 2]


def _chunked(reply: Reply, tail: bytes) -> bytes:
    body = b"".join(reply.pieces)[:64]
    head = _head(reply, ("transfer-encoding", "chunked"))
    return head + f"{len(body):x}\r\n".encode() + body + b"\r\n" + tail


def _with_header(reply: Reply, *lines: tuple[str, str]) -> bytes:
    body = b"".join(reply.pieces)
    return _head(reply, *lines, ("content-length", str(len(body)))) + body


Bytes = Callable[[Reply], bytes]

CLOSED: dict[str, Bytes] = {
    "close_before_bytes": lambda _: b"",
    "cut_in_headers": _headers_only,
    "cut_in_body": _half,
    "bad_chunk_size": lambda reply: _chunked(reply, b"ZZZ\r\nxx\r\n0\r\n\r\n"),
    "missing_last_chunk": lambda reply: _chunked(reply, b""),
    "content_length_too_long": lambda reply: b"".join(_whole(reply, 10)),
    "content_length_too_short": lambda reply: b"".join(_whole(reply, -10)),
    "garbage": lambda _: b"\x00\xff\x13\x37 this is no HTTP\r\n\r\n" * 4,
    "bad_status_line": lambda reply: b"HTTP/9.9 banana\r\n" + _head(reply).partition(b"\r\n")[2],
    "huge_header": lambda reply: _with_header(reply, ("x-huge", "x" * (1 << 20))),
    "control_characters": lambda reply: _with_header(reply, ("x-odd", "a\x01b\x07c")),
    "many_headers": lambda reply: _with_header(
        reply, *((f"x-many-{number}", "x") for number in range(20_000))
    ),
}
"""Faults that write some bytes and close."""

RESET: dict[str, Bytes] = {
    "reset_before_bytes": lambda _: b"",
    "reset_in_headers": _headers_only,
    "reset_in_body": _half,
}
"""Faults that write some bytes and reset the connection."""

OPEN = ("slow_drip", "no_answer")
"""Faults that leave the connection open."""


async def play(name: str, reply: Reply, transport: asyncio.Transport) -> int:
    """Carry out a fault on the socket.

    Returns:
        Bytes written; the connection is closed, save for `no_answer`.
    """
    if name == "slow_drip":
        return await _drip(reply, transport)
    if name == "no_answer":
        return 0
    content = (CLOSED.get(name) or RESET[name])(reply)
    if content:
        transport.write(content)
    if name in CLOSED:
        transport.close()
        return len(content)
    await asyncio.sleep(0.02 if content else 0)  # let the bytes leave before the reset
    reset(transport)
    return len(content)


async def _drip(reply: Reply, transport: asyncio.Transport) -> int:
    """A body without an end, a byte at a time, until the caller leaves."""
    transport.write(_head(reply, ("transfer-encoding", "chunked")))
    body = b"".join(reply.pieces) or b" "
    sent = 0
    while not transport.is_closing():
        transport.write(
            b"1\r\n" + body[sent : sent + 1] + b"\r\n" if sent < len(body) else b"1\r\n \r\n"
        )
        sent += 1
        await asyncio.sleep(_DRIP_S)
    return sent


def loopback_config(app: Any) -> Config:
    """Settings of the server: quiet, one process, the gateway's limits."""
    return Config(
        app,
        http=Front,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="critical",  # what a hostile request does is in our own log
        access_log=False,
        server_header=False,
        date_header=False,  # the app tells the time of its own clock
        proxy_headers=False,
        h11_max_incomplete_event_size=MOST_HEADERS,
        timeout_graceful_shutdown=2,
        timeout_keep_alive=65,
    )
