"""The gateway over HTTP: an ASGI app around the one state machine.

`/sandbox/…` is the sandbox's own; every other path is the gateway's.
"""

import asyncio
import time
from dataclasses import replace
from email.utils import format_datetime
from functools import lru_cache
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from runbook_lib.errors import ParameterError
from runbook_lib.sandbox import answers, faults, front, lanes, ticks, wire
from runbook_lib.sandbox.faults import Fault
from runbook_lib.sandbox.live import Live, Seen
from runbook_lib.sandbox.replies import Reply, Stop

_QUICK = 10 * ticks.MILLI
"""A refusal that takes less is sent at once."""

_FIRST_ATTEMPT = "x-stainless-retry-count"


class GatewayApp:
    """Answers every path that is not the sandbox's own.

    Attributes:
        live: What it answers from.
        server: Set once it listens; needed for connections that are refused.
    """

    def __init__(self, live: Live, own: ASGIApp) -> None:
        self.live = live
        self.own = own
        self.server: front.FrontServer | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        if scope["path"].startswith("/sandbox/"):
            await self.own(scope, receive, send)
            return
        call = _Call(self, scope, receive, send)
        try:
            await call.run()
        except ConnectionResetError:
            call.seen.line["left"] = True
        finally:
            call.seen.ended = call.seen.ended or time.monotonic()


@lru_cache(maxsize=8)
def _date(second: int) -> str:
    return format_datetime(ticks.instant(second * ticks.SECOND), usegmt=True)


class _Call:
    """One request and its reply."""

    def __init__(self, app: GatewayApp, scope: Scope, receive: Receive, send: Send) -> None:
        self.app, self.live = app, app.live
        self.scope, self.receive, self.send = scope, receive, send
        self.seen = Seen({})

    async def run(self) -> None:
        """Read, judge, answer."""
        head = wire.head(self.scope)
        live = self.live
        body = await self._body(head)
        chance = live.chance_of(wire.secret(head))
        request, wish = wire.request(head, body, chance, pace=live.pace)
        key = live.key_name(request.secret)
        run = head.headers.get(wire.RUN, "")
        self._note(head, request.model, key, run)
        lanes.arrived(self.scope["state"], self.seen, body)
        try:
            fault = live.faults.hit(
                head.headers.get(faults.HEADER, ""),
                at=live.clock.now(),
                first=head.headers.get(_FIRST_ATTEMPT) == "0",
                model=request.model,
                key=key,
                path=request.path,
                run=run,
            )
        except ParameterError as error:
            await self._plain(400, str(error))
            return
        reply = self._dated(self._asked(head, body, fault) or live.ask(request, fault, wish))
        self._judged(reply, fault)
        if fault is not None and fault.socket:
            await self._socket(fault, reply)
            return
        if fault is not None and fault.delay_s:
            await asyncio.sleep(fault.delay_s)
        await self._write(reply)

    def _dated(self, reply: Reply) -> Reply:
        """Tell the time of the sandbox, as every server does its own."""
        date = _date(self.live.clock.now() // ticks.SECOND)
        return replace(reply, headers=[("date", date), *reply.headers])

    def _asked(self, head: wire.Head, body: bytes, fault: Fault | None) -> Reply | None:
        """Answer what is for the console; None for everything else."""
        desk = self.live.desk
        if fault is not None or not desk.knows(head.path):
            return None
        return desk.reply(wire.sent(head, body), self.live.clock.now())

    async def _body(self, head: wire.Head) -> bytes:
        """Read the body; what is beyond the limit is read and forgotten."""
        parts: list[bytes] = []
        size, more = 0, head.method not in ("GET", "HEAD")
        while more:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ConnectionResetError
            more = message.get("more_body", False)
            size += len(message["body"])
            if size <= wire.MOST_BODY or not parts:
                parts.append(message["body"])
        self._size = size
        return b"".join(parts) if size <= wire.MOST_BODY else b" " * (wire.MOST_BODY + 1)

    _size = 0

    def _note(self, head: wire.Head, model: str, key: str, run: str) -> None:
        self.seen = self.live.note(
            key=key,
            method=head.method,
            path=head.path[:300],
            model=model[:200],
            run=run[:200],
            attempt={
                name: head.headers[name][:200] for name in wire.COUNTERS if name in head.headers
            },
            sent_request_id=head.headers.get("x-request-id", "")[:200],
            user_agent=head.headers.get("user-agent", "")[:200],
            bytes_in=head.size + self._size,
            bytes_out=0,
            status=None,
            fault="",
            left=False,
        )

    def _judged(self, reply: Reply, fault: Fault | None) -> None:
        if lanes.watched(self.scope["state"]):  # two hundred thousand replies would be too much
            self.seen.keep(reply)
        self.seen.fault = fault
        self.seen.line |= {
            "status": None if fault is not None and fault.socket else reply.status,
            "code": reply.answer.code if reply.answer is not None else "",
            "request_ids": reply.named("x-request-id"),
            "client_request_id": next(iter(reply.named("x-client-request-id")), ""),
            "fault": fault.name if fault is not None else "",
        }

    async def _plain(self, status: int, text: str) -> None:
        """Answer in the sandbox's own words, where the gateway has none."""
        self.seen.line["status"] = status
        headers = [("content-type", "text/plain; charset=utf-8")]
        now = self.live.clock.now()
        body = [text.encode()]
        reply = Reply(status=status, headers=headers, pieces=body, first=now, end=now)
        await self._write(self._dated(reply))

    # The wire -----------------------------------------------------------------------------------

    async def _socket(self, fault: Fault, reply: Reply) -> None:
        transport = self.scope["state"][front.TRANSPORT]
        if fault.socket == "refused":
            if self.app.server is not None:
                self.app.server.refuse(fault.delay_s)
            return
        await self._wait(reply.end, quick=reply.status != 200)
        self.seen.line["bytes_out"] = await front.play(fault.socket, reply, transport)
        if transport.is_closing():
            self.seen.ended = time.monotonic()
        await self._until_gone()

    async def _until_gone(self) -> None:
        while (await self.receive())["type"] != "http.disconnect":
            pass
        self.seen.line["left"] = True

    async def _wait(self, at: int, *, quick: bool = False) -> None:
        """Wait for a tick; who leaves meanwhile is noticed when the wait is a long one."""
        left = at - self.live.clock.now()
        if left <= 0 or (quick and left < _QUICK):
            return
        if left < ticks.SECOND:
            await self.live.clock.until(at)
            return
        waiting = asyncio.ensure_future(self.live.clock.until(at))
        leaving = asyncio.ensure_future(self.receive())
        try:
            done, _ = await asyncio.wait({waiting, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
            leaving.cancel()
        if waiting not in done and leaving.result()["type"] == "http.disconnect":
            raise ConnectionResetError

    async def _write(self, reply: Reply) -> None:
        stream = reply.stream or reply.stop is not None
        pieces = reply.pieces
        headers = list(reply.headers)
        length = sum(map(len, pieces))
        if not stream and length <= answers.IN_ONE_PIECE:
            headers.append(("content-length", str(length)))
        await self._wait(reply.first, quick=reply.status != 200)
        raw = [
            (name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers
        ]
        await self.send({"type": "http.response.start", "status": reply.status, "headers": raw})
        if not stream:
            body = b"" if self.scope["method"] == "HEAD" else b"".join(pieces)
            await self._send(body, more=False)
            return
        for piece, due in zip(pieces, reply.due(), strict=True):
            await self._wait(due)
            await self._send(piece, more=True)
        await self._end(reply)

    async def _end(self, reply: Reply) -> None:
        if reply.stop is None:
            await self._wait(reply.end)
            await self._send(b"", more=False)
            return
        if reply.stop is not Stop.STALL:
            transport: Any = self.scope["state"][front.TRANSPORT]
            await self._send(b"", more=True)
            await asyncio.sleep(0.01)  # let the bytes leave before the end
            front.reset(transport) if reply.stop is Stop.RESET else transport.close()
            self.seen.ended = time.monotonic()
        await self._until_gone()

    async def _send(self, body: bytes, *, more: bool) -> None:
        if body and more:
            self.seen.first = self.seen.first or time.monotonic()
        if self.scope["state"][front.TRANSPORT].is_closing():
            raise ConnectionResetError
        await self.send({"type": "http.response.body", "body": body, "more_body": more})
        self.seen.line["bytes_out"] += len(body)
