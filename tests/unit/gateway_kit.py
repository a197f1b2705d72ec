"""A sandbox on a real loopback port, in a thread of the test's own process."""

import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import httpx
from made_gateway import NOW, Box

from runbook_lib.sandbox import live as lives
from runbook_lib.sandbox import serve, ticks
from runbook_lib.sandbox.faults import Planted
from runbook_lib.sandbox.live import Live
from runbook_lib.sandbox.pace import Clock

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
RESPONSES, GEMINI = "/v1/responses", "/v1beta/models/gemini-2.5-pro:generateContent"
BODIES: dict[str, dict[str, Any]] = {
    CHAT: {"model": "gpt-5.4", "messages": [{"role": "user", "content": "ping"}]},
    RESPONSES: {"model": "gpt-5.4", "input": "ping"},
    MESSAGES: {
        "model": "claude-sonnet-4-6",
        "max_tokens": 32,
        "messages": [{"role": "user", "content": "ping"}],
    },
    GEMINI: {"contents": [{"role": "user", "parts": [{"text": "ping"}]}]},
}
KEYS = {CHAT: "prod-web", RESPONSES: "prod-web", MESSAGES: "prod-assistant", GEMINI: "prod-vision"}


@dataclass
class Running:
    """A sandbox that listens, and a client to call it."""

    sandbox: serve.Sandbox
    client: httpx.Client
    live: Live = field(init=False)

    def __post_init__(self) -> None:
        self.live = self.sandbox.live

    def secret(self, name: str) -> str:
        """The secret of a key."""
        return self.live.console.gateway.keys[name].secret

    def post(
        self, path: str = CHAT, key: str | None = "", *, fault: str = "", **changes: Any
    ) -> httpx.Response:
        """Make a call; *changes* are fields of its body."""
        name = KEYS[path] if key == "" else key
        headers = {} if name is None else {"authorization": f"Bearer {self.secret(name)}"}
        if fault:
            headers["x-sandbox-fault"] = fault
        return self.client.post(path, headers=headers, json={**BODIES[path], **changes})

    def raw(self, content: bytes, *, more: int = 1 << 20) -> bytes:
        """Send bytes as they are, and read until the server closes or has nothing more to say."""
        with socket.create_connection(self.address, timeout=2) as held:
            held.sendall(content)
            found = b""
            try:
                while len(found) < more and (part := held.recv(65536)):
                    found += part
            except (TimeoutError, ConnectionResetError):
                pass
            return found

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        return "127.0.0.1", self.sandbox.server.port

    def log(self) -> list[dict[str, Any]]:
        """What the server saw."""
        return [json.loads(line) for line in self.client.get("/sandbox/log").text.splitlines()]

    def act(self, method: str, path: str, **body: Any) -> httpx.Response:
        """Do something at the sandbox's own paths."""
        return self.client.request(method, f"/sandbox/{path}", json=body).raise_for_status()


@contextmanager
def serving(made: serve.Sandbox) -> Iterator[Running]:
    """Run a sandbox for the length of a block."""
    thread = threading.Thread(target=made.run)
    thread.start()
    try:
        # A context of its own: the usual one reads all certificates, once a client.
        options: dict[str, Any] = {"verify": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), "timeout": 20}
        base = made.listening.base_url
        with httpx.Client(base_url=base, trust_env=False, **options) as client:
            yield Running(made, client)
    finally:
        made.stop()
        thread.join(20)
        assert not thread.is_alive()


@contextmanager
def running(folder: Path, *, pace: float = 0.0, speed: float = 1.0) -> Iterator[Running]:
    """Run the sandbox that `runbook sandbox` starts, with answers at once."""
    with serving(serve.make(folder, pace=pace, speed=speed)) as found:
        yield found


@contextmanager
def boxed(box: Box, folder: Path, *, speed: float = 1.0) -> Iterator[Running]:
    """Run a gateway that a test has put into a situation; its clock begins at `NOW`."""
    with serving(serve.Sandbox(live_of(box, speed=speed), folder)) as found:
        yield found


def put(run: Running, box: Box, *, speed: float = 1.0) -> None:
    """Let a server that runs already answer from another gateway: quicker than a new server."""
    run.live = run.sandbox.server.config.app.live = live_of(box, speed=speed)  # type: ignore[union-attr]


def live_of(box: Box, *, speed: float = 1.0) -> Live:
    """What a server needs around the gateway of a box."""
    made = Live(
        seed=1,
        console=box.console,
        tables={"keys": []},
        clock=Clock(NOW + ticks.SECOND, speed=speed),
        start=NOW,
        pace=lives.PACE if speed > 1 else 0.0,
        chance=Random(1),  # noqa: S311 (a simulation)
        faults=Planted(chance=Random(1)),  # noqa: S311
    )
    for name in box.gateway.keys:
        made.tables["keys"].append(
            {"name": name, "environment": "test", "owner": "team", "services": "test"}
        )
    return made
