"""Ports of their own into one running gateway: a caller is known by where it comes in.

Whatever key a caller shows, and even when it sends nothing, its connections and requests are told
apart from those of everybody else; they can be refused, broken, limited and dropped without
touching others.
"""

import asyncio
import re
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from runbook_lib.sandbox import front
from runbook_lib.sandbox.front import Front, FrontServer
from runbook_lib.sandbox.live import Seen

CALL = re.compile(rb"\[call (\d{1,9})\]")
"""How the body of a request may name the call it belongs to."""

ALERT = b"\x15\x03\x01\x00\x02\x02\x28"
"""TLS: handshake failure, as a server without a fitting certificate says it."""

_LANE = "lane"


@dataclass(slots=True, kw_only=True, eq=False)
class Lane:
    """One port of loopback that leads into the gateway.

    Attributes:
        host: Where it listens.
        address: Address that the gateway believes its caller to have.
        most: Connections that may be open at once; more are reset.
        broken_tls: No request gets through: every TLS handshake fails.
        knocks: When each connection came, `time.monotonic`.
        seen: Its attempts, in order.
        turned_away: Connections that were reset because too many were open.
        told: Called by the first connection.
    """

    host: str = "127.0.0.1"
    address: str = "127.0.0.1"
    most: int = 128
    broken_tls: bool = False
    knocks: list[float] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    turned_away: int = 0
    told: Callable[[], None] | None = None
    _open: set[asyncio.Transport] = field(default_factory=set)
    _held: socket.socket | None = None
    _port: int = 0
    _server: asyncio.Server | None = None
    _over: bool = False

    @property
    def port(self) -> int:
        """Its port; it is taken by the first look, and refuses until it listens."""
        if self._held is None:
            self._held = front.take(0, self.host)
            self._port = self._held.getsockname()[1]
        return self._port

    async def listen(self, server: FrontServer) -> None:
        """Let connections in from now on; nothing happens when it listens or is over."""
        if self._over or self._server is not None or not self.port or self._held is None:
            return

        def connection() -> asyncio.Protocol:
            return _Broken(self) if self.broken_tls else _LaneFront(server, self)

        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(connection, sock=self._held, backlog=512)

    def shut(self) -> None:
        """Drop all connections and refuse further ones, for good."""
        if self._over:
            return
        self._over = True
        if self._server is not None and self._held is not None:
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._held)
            # A connection accepted in this very step still needs the server, in the next one.
            loop.call_soon(loop.call_soon, self._server.close)
        elif self._held is not None:
            self._held.close()
        for transport in list(self._open):
            front.reset(transport)

    @property
    def busy(self) -> bool:
        """Whether an answer is under way."""
        return any(seen.ended is None for seen in self.seen)

    def admit(self, transport: asyncio.Transport) -> bool:
        """Count a connection; tell whether it may stay."""
        self.knocks.append(time.monotonic())
        if self.told is not None and len(self.knocks) == 1:
            self.told()
        if self._over or len(self._open) >= self.most:
            self.turned_away += not self._over
            return False
        self._open.add(transport)
        return True

    def gone(self, transport: asyncio.Transport) -> None:
        """Forget a connection."""
        self._open.discard(transport)


class _LaneFront(Front):
    """One connection of a lane."""

    def __init__(self, server: FrontServer, lane: Lane) -> None:
        super().__init__(server.config, server.server_state, {_LANE: lane})
        self._lane = lane

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self.client is not None:
            self.client = (self._lane.address, self.client[1])
        if not self._lane.admit(transport):
            front.reset(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lane.gone(self.transport)
        super().connection_lost(exc)


class _Broken(asyncio.Protocol):
    """A connection on which no handshake succeeds."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        if not self._lane.admit(transport):
            front.reset(transport)

    def data_received(self, data: bytes) -> None:
        if data and self._transport is not None:
            self._transport.write(ALERT)
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self._transport is not None:
            self._lane.gone(self._transport)


def watched(state: Mapping[str, Any]) -> bool:
    """Tell whether a connection came in by a lane, so that somebody will ask what was sent."""
    return state.get(_LANE) is not None


def arrived(state: Mapping[str, Any], seen: Seen, body: bytes) -> None:
    """Hand an attempt to the lane it came in by, if it came in by one.

    Args:
        state: State of the connection.
        seen: The attempt.
        body: Its body.
    """
    lane: Lane | None = state.get(_LANE)
    if lane is None:
        return
    named = CALL.search(body)
    seen.call = int(named[1]) if named else 0
    seen.kept = True
    lane.seen.append(seen)
