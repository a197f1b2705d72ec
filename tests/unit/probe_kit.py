"""A server for tests that answers as it is told, and remembers every byte it was sent."""

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from runbook_lib import probe

KEY = "canary-" + "0123456789abcdef" * 2
"""A key for tests: no real gateway has it, and it looks like no key of one."""

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
ENVIRON = {"TOROUTER_API_KEY": KEY}

CHAT = {
    "model": "gpt-5.4-2026-03-05",
    "choices": [{"message": {"content": "ok"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1},
}
"""A whole answer of chat completions."""

Answer = bytes | Callable[[socket.socket], None]


@dataclass
class Sink:
    """A server on loopback: what came, and what it says.

    Attributes:
        answers: By words of the request line or body: the first that fits is sent; empty fits all.
        got: Everything it was sent, a piece a connection.
    """

    port: int
    scheme: str = "http"
    answers: Mapping[str, Answer] = field(default_factory=dict)
    got: list[bytes] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Its address."""
        return f"{self.scheme}://127.0.0.1:{self.port}"

    @property
    def key_bytes(self) -> int:
        """How many bytes of the key reached it."""
        return sum(piece.count(KEY.encode()) for piece in self.got) * len(KEY)

    @property
    def asked(self) -> list[str]:
        """Method and path of each request."""
        return [piece.split(b" HTTP/")[0].decode() for piece in self.got if b" HTTP/" in piece]


def said(
    body: Any, status: int = 200, *, headers: Sequence[tuple[str, str]] = (), reason: str = "OK"
) -> bytes:
    """A whole answer."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} {reason}", f"content-length: {len(content)}", "connection: close"]
    lines += [f"{name}: {value}" for name, value in headers]
    if not any(name == "content-type" for name, _ in headers):
        lines.append("content-type: application/json")
    return "\r\n".join([*lines, "", ""]).encode() + content


MODELS = said({"object": "list", "data": [{"id": "gpt-5.4", "type": "model"}]})
STATE = said({"mode": "unrestricted", "balance": 5, "usage": {"total": {"actual_cost": 1}}})
KNOWN: Mapping[str, Answer] = {"GET /v1/models": MODELS, "GET /v1/usage": STATE}


@contextmanager
def listening(
    answers: Mapping[str, Answer] | None = None, *, certificate: Path | None = None
) -> Iterator[Sink]:
    """Run a sink for the length of a block."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        scheme = "http" if certificate is None else "https"
        sink = Sink(server.getsockname()[1], scheme, answers or {"": said(CHAT)})
        over = threading.Event()
        thread = threading.Thread(target=_serve, args=(server, sink, over, certificate))
        thread.start()
        try:
            yield sink
        finally:
            over.set()
            thread.join(10)
            assert not thread.is_alive()


def _serve(
    server: socket.socket, sink: Sink, over: threading.Event, certificate: Path | None
) -> None:
    while not over.is_set():
        try:
            held, _ = server.accept()
        except TimeoutError:
            continue
        with held:
            held.settimeout(2)
            try:
                with _wrapped(held, certificate) as talking:
                    _talk(talking, sink)
            except OSError:
                continue


def _wrapped(held: socket.socket, certificate: Path | None) -> socket.socket:
    if certificate is None:
        return held
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context.wrap_socket(held, server_side=True)


def _talk(held: socket.socket, sink: Sink) -> None:
    got = b""
    place = len(sink.got)
    sink.got.append(got)
    while not _whole(got) and (part := held.recv(65536)):
        got += part
        sink.got[place] = got
    answer = next((one for word, one in sink.answers.items() if word.encode() in got), b"")
    if callable(answer):
        answer(held)
    else:
        held.sendall(answer)


def _whole(got: bytes) -> bool:
    head, found, body = got.partition(b"\r\n\r\n")
    sizes = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return bool(found) and len(body) >= (int(sizes[0].split(b":")[1]) if sizes else 0)


def drip(head: bytes, part: bytes = b" ") -> Callable[[socket.socket], None]:
    """An answer that never ends: a part every few milliseconds, until the client goes."""

    def dripped(held: socket.socket) -> None:
        held.sendall(head)
        until = time.monotonic() + 5
        while time.monotonic() < until:
            held.sendall(part)
            time.sleep(0.005)

    return dripped


def ask(
    sink: Sink,
    *questions: str,
    model: str = "gpt-5.4",
    environ: Mapping[str, str] = ENVIRON,
    limits: probe.Limits | None = None,
    protocol: str = "",
) -> probe.Probed:
    """Ask a sink about one model."""
    wanted = probe.Wanted(model=model, questions=questions, protocol=protocol)
    place = probe.target(sink.url, sandbox=True)
    held = limits or probe.Limits(usd=Decimal(1), call_s=5)
    return probe.run(probe.plan(place, [wanted], at=NOW, limits=held), now=NOW, environ=environ)


def told(probed: probe.Probed) -> dict[str, Any]:
    """Question → its row."""
    return {row["question"]: row for row in probed.frame.to_dict("records")}
