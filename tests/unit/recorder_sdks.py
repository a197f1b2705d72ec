"""Clients of every SDK, asked as users ask them; what came and what was raised can be compared.

Two sandboxes with one seed and a clock that stands still answer to the byte the same, ids and all:
one is asked by a plain client, one by a recorded client. The SDKs' own waits are left out: a test
of what is recorded has no use for them.
"""

import asyncio
import gc
import json
import signal
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from gateway_kit import Running
from gateway_kit import serving as running

from runbook_lib.recorder import record
from runbook_lib.sandbox import live as lives
from runbook_lib.sandbox import serve
from runbook_lib.sandbox.live import Seen
from runbook_lib.sandbox.pace import Clock

anthropic = pytest.importorskip("anthropic")
genai = pytest.importorskip("google.genai")
httpx = pytest.importorskip("httpx")
httpx2 = pytest.importorskip("httpx2")
openai = pytest.importorskip("openai")

SDKS = ("openai", "responses", "anthropic", "genai", "httpx", "httpx2")
TRANSLATED = "openai for claude"
"""OpenAI's SDK at a group that speaks Anthropic's protocol."""

CLAUDE = "claude-sonnet-4-6"
MODELS = {"anthropic": CLAUDE, TRANSLATED: CLAUDE, "genai": "gemini-2.5-pro"}
KEYS = {"anthropic": "prod-assistant", TRANSLATED: "prod-assistant", "genai": "prod-vision"}
CHAT = "/v1/chat/completions"
TRIES = 2
"""Attempts of a call that a client makes by itself; plain HTTP clients make one."""


@dataclass
class Told:
    """What a caller saw of one call."""

    parts: list[Any] = field(default_factory=list)
    error: tuple[str, ...] = ()


def model(sdk: str) -> str:
    """The model that this SDK asks for."""
    return MODELS.get(sdk, "gpt-5.4")


def make(sdk: str, url: str, secret: str, *, is_async: bool, timeout: float = 10) -> Any:
    """Make a client of an SDK for a server."""
    if sdk in ("openai", TRANSLATED, "responses", "anthropic"):
        library, base = (anthropic, url) if sdk == "anthropic" else (openai, f"{url}/v1")
        name = "Anthropic" if sdk == "anthropic" else "OpenAI"
        kind = getattr(library, f"Async{name}" if is_async else name)
        client = kind(base_url=base, api_key=secret, timeout=timeout, max_retries=TRIES - 1)
        client._sleep_for_retry = _no_sleep_async if is_async else _no_sleep
        return client
    if sdk == "genai":
        retry = genai.types.HttpRetryOptions(attempts=TRIES, initial_delay=0.001, max_delay=0.002)
        own = {"transport": httpx2.AsyncHTTPTransport()} if find_spec("aiohttp") else None
        options = genai.types.HttpOptions(
            base_url=url,
            api_version="v1beta",
            timeout=int(timeout * 1000),
            retry_options=retry,
            async_client_args=own,  # where aiohttp is installed, the SDK would take it instead
        )
        return genai.Client(api_key=secret, http_options=options)
    library = httpx if sdk == "httpx" else httpx2
    kind = library.AsyncClient if is_async else library.Client
    headers = {"Authorization": f"Bearer {secret}"}
    return kind(base_url=url, timeout=timeout, headers=headers, trust_env=False)


def _no_sleep(**_: Any) -> None:
    """Send again at once."""


async def _no_sleep_async(**_: Any) -> None:
    """Send again at once."""


def _asked(
    sdk: str, client: Any, prompt: str, headers: dict[str, str], *, streaming: bool, is_async: bool
) -> Any:
    """Begin the call: its result, or for an async client what is awaited for it."""
    name = model(sdk)
    messages = [{"role": "user", "content": prompt}]
    if sdk in ("openai", TRANSLATED):
        counted = {"stream_options": {"include_usage": True}} if streaming else {}
        return client.chat.completions.create(
            model=name, messages=messages, stream=streaming, extra_headers=headers, **counted
        )
    if sdk == "responses":
        return client.responses.create(
            model=name, input=prompt, stream=streaming, extra_headers=headers
        )
    if sdk == "anthropic":
        return client.messages.create(
            model=name, max_tokens=30, messages=messages, stream=streaming, extra_headers=headers
        )
    models = client.aio.models if is_async else client.models
    asked = models.generate_content_stream if streaming else models.generate_content
    options = genai.types.HttpOptions(headers=headers)
    config = genai.types.GenerateContentConfig(http_options=options)
    return asked(model=name, contents=prompt, config=config)


def _request(
    sdk: str, client: Any, prompt: str, headers: dict[str, str], *, streaming: bool
) -> Any:
    messages = [{"role": "user", "content": prompt}]
    body = {"model": model(sdk), "messages": messages, "stream": streaming}
    return client.build_request("POST", CHAT, json=body, headers=headers)


def _shown(part: Any) -> str:
    dump = getattr(part, "model_dump_json", None)
    if dump is None:
        return repr(part)
    text: str = dump(exclude={"sdk_http_response"}, warnings=False)
    return text


def _failed(error: BaseException) -> tuple[str, ...]:
    cause = type(error.__cause__).__name__ if error.__cause__ is not None else ""
    code = getattr(error, "status_code", getattr(error, "code", ""))
    return (type(error).__name__, cause, str(code), str(error))


def _head(got: Any) -> list[Any]:
    kept = [(name, value) for name, value in got.headers.multi_items() if name != "date"]
    return [got.status_code, *kept]


def ask(sdk: str, client: Any, prompt: str, headers: dict[str, str], *, streaming: bool) -> Told:
    """Ask as a user would, to the end of the answer."""
    told = Told()
    try:
        if sdk.startswith("httpx"):
            asked = _request(sdk, client, prompt, headers, streaming=streaming)
            got = client.send(asked, stream=streaming)
            told.parts += _head(got)
            told.parts.append(b"" if streaming else got.content)
            try:
                for part in got.iter_raw() if streaming else ():
                    told.parts[-1] += part
            finally:
                got.close()
            return told
        got = _asked(sdk, client, prompt, headers, streaming=streaming, is_async=False)
        for part in got if streaming else [got]:
            told.parts.append(_shown(part))
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - what foreign code raises
        told.error = _failed(error)
    return told


async def ask_async(
    sdk: str, client: Any, prompt: str, headers: dict[str, str], *, streaming: bool
) -> Told:
    """As `ask`."""
    told = Told()
    try:
        if sdk.startswith("httpx"):
            asked = _request(sdk, client, prompt, headers, streaming=streaming)
            got = await client.send(asked, stream=streaming)
            told.parts += _head(got)
            told.parts.append(b"" if streaming else got.content)
            try:
                if streaming:
                    async for part in got.aiter_raw():
                        told.parts[-1] += part
            finally:
                await got.aclose()
            return told
        got = await _asked(sdk, client, prompt, headers, streaming=streaming, is_async=True)
        if not streaming:
            told.parts.append(_shown(got))
            return told
        async for part in got:
            told.parts.append(_shown(part))
    except (Exception, asyncio.CancelledError) as error:
        told.error = _failed(error)
        if isinstance(error, asyncio.CancelledError):
            raise
    return told


async def close_async(sdk: str, client: Any) -> None:
    """Close an async client, whatever its library calls it."""
    if sdk == "genai":
        await client.aio.aclose()
        client.close()
        return
    close = client.aclose if hasattr(client, "aclose") else client.close
    with suppress(RuntimeError):
        await close()


class Still(Clock):
    """A clock that stands still until it is set; who waits for a time has it at once."""

    def now(self) -> int:
        """Give the tick it is."""
        return self._base

    async def until(self, at: int) -> None:
        """Wait for nothing."""


@contextmanager
def twins(folder: Path) -> Iterator[tuple[Running, Running]]:
    """Run two sandboxes that answer the same requests with the same bytes."""
    with ExitStack() as stack:
        made = []
        for name in ("plain", "recorded"):
            live = lives.begin(7, datetime(2026, 11, 24, 4, tzinfo=UTC), pace=0.0)
            live.clock = Still(live.start)
            made.append(stack.enter_context(running(serve.Sandbox(live, folder / name))))
        yield made[0], made[1]


STALLS = ("no_answer", "stream_stall")
WAITS = (*STALLS, "slow_first_byte", "slow_drip", "refused")
"""Faults that are waited out; both clients wait at once."""

ONCE = "redirect"
"""Faults of this beginning are met once: what is sent to the new place meets it no more."""


@dataclass
class Seat:
    """A plain client at one twin and a recorded one at the other, asked in turn or at once.

    Attributes:
        log: Call log of the recorded client.
    """

    pair: tuple[Running, Running]
    sdk: str
    is_async: bool
    streaming: bool
    log: Path
    runner: asyncio.Runner | None = None
    clients: dict[float, list[Any]] = field(default_factory=dict)

    def __enter__(self) -> "Seat":
        self.runner = asyncio.Runner() if self.is_async else None
        return self

    def __exit__(self, *about: object) -> None:
        for client in (client for clients in self.clients.values() for client in clients):
            if self.runner is not None:
                self.runner.run(close_async(self.sdk, client))
            else:
                client.close()
        if self.runner is not None:
            self.runner.close()

    def _clients(self, timeout: float) -> list[Any]:
        if timeout not in self.clients:
            secret = self.pair[0].secret(KEYS.get(self.sdk, "prod-web"))
            self.clients[timeout] = [
                make(
                    self.sdk,
                    twin.sandbox.listening.base_url,
                    secret,
                    is_async=self.is_async,
                    timeout=timeout,
                )
                for twin in self.pair
            ]
            record(self.clients[timeout][1], self.log, key_name="prod-web", service="web")
        return self.clients[timeout]

    def ask(self, fault: str, prompt: str) -> "Both":
        """Meet a fault with both clients.

        Args:
            fault: Name of it.
            prompt: What is asked; another one for every call.
        """
        after = {"refused": ";for_s=0.2"}.get(fault, ";times=1" if ONCE in fault else "")
        headers = {"x-sandbox-fault": fault + after, "x-sandbox-run": prompt}
        size = self.log.stat().st_size if self.log.exists() else 0
        clients = self._clients(0.3 if fault in STALLS else 10.0)
        for twin in self.pair:
            twin.live.clock.change(advance_s=1)
        one = partial(
            self._one, prompt=prompt, headers=headers, patience=0.5 if fault == "slow_drip" else 0
        )
        told = [
            repr(told).replace(f":{twin.address[1]}", ":PORT")
            for told, twin in zip(self._told(one, clients, fault), self.pair, strict=True)
        ]
        while fault == "refused" and not all(map(_listens, self.pair)):
            time.sleep(0.02)
        seen = [
            [seen for seen in twin.live.log if seen.line["run"] == prompt] for twin in self.pair
        ]
        lines = self._lines(size)
        if len(lines) < len(seen[1]):  # an SDK can leave an answer lie until it is cleared away
            gc.collect()
            if self.runner is not None:
                self.runner.run(asyncio.sleep(0.01))
            lines = self._lines(size)
        return Both(told=told, seen=seen, lines=lines)

    def _told(self, one: Callable[[Any], Any], clients: list[Any], fault: str) -> list[Told]:
        if self.runner is not None:
            asked = [one(client) for client in clients]
            return self.runner.run(_all(asked, at_once=fault in WAITS))
        if fault not in WAITS or fault == "slow_drip":  # its patience ends by a signal
            return [one(client) for client in clients]
        with ThreadPoolExecutor() as pool:
            return list(pool.map(one, clients))

    def _one(self, client: Any, *, prompt: str, headers: dict[str, str], patience: float) -> Any:
        """Ask one of the two: what was told, or for async clients what is awaited for it."""
        if self.runner is not None:
            asked = ask_async(self.sdk, client, prompt, headers, streaming=self.streaming)
            return _patient(asked, patience) if patience else asked
        if not patience:
            return ask(self.sdk, client, prompt, headers, streaming=self.streaming)
        before = signal.signal(signal.SIGALRM, signal.default_int_handler)
        signal.setitimer(signal.ITIMER_REAL, patience)
        try:
            told = ask(self.sdk, client, prompt, headers, streaming=self.streaming)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        return Told(error=told.error)  # how many drops came is chance

    def _lines(self, after: int) -> list[dict[str, Any]]:
        if not self.log.exists():
            return []
        with self.log.open("rb") as held:
            held.seek(after)
            return [json.loads(line) for line in held]


@dataclass
class Both:
    """What two clients saw of one call, what their servers saw, and what was recorded."""

    told: list[str]
    seen: list[list[Seen]]
    lines: list[dict[str, Any]]


async def _all(asked: list[Any], *, at_once: bool) -> list[Told]:
    return await asyncio.gather(*asked) if at_once else [await one for one in asked]


async def _patient(asked: Any, seconds: float) -> Told:
    try:
        async with asyncio.timeout(seconds):
            return await asked
    except TimeoutError:
        return Told(error=("TimeoutError",))


def _listens(twin: Running) -> bool:
    with suppress(OSError), socket.create_connection(twin.address, timeout=1):
        return True
    return False
