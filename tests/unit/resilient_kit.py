"""Clients of every kind at a served sandbox, wrapped by the reference client."""

import asyncio
import itertools
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import anthropic
import httpx
import httpx2
import openai
from gateway_kit import Running, running
from google import genai

from runbook_lib.errors import CallError
from runbook_lib.resilient import Answer, AsyncResilient, Attempt, Resilient

MODELS = {
    "anthropic": ("claude-sonnet-4-6", "claude-haiku-4-5"),
    "gemini": ("gemini-2.5-pro", "gemini-2.5-flash"),
}
KEYS = {"anthropic": "prod-assistant", "gemini": "prod-vision"}
KINDS = ("openai", "responses", "anthropic", "gemini", "httpx", "httpx2")

_RUNS = itertools.count()


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How a call is made.

    Attributes:
        kind: One of `KINDS`.
    """

    kind: str = "openai"
    stream: bool = False
    asynchronous: bool = False

    def __str__(self) -> str:
        form = "stream" if self.stream else "whole"
        return f"{self.kind}-{form}-{'async' if self.asynchronous else 'sync'}"

    @property
    def models(self) -> tuple[str, ...]:
        """Models its key may call, the primary first."""
        return MODELS.get(self.kind, ("gpt-5.4", "gpt-5.4-mini"))


WAYS = [
    Way(kind=kind, stream=stream, asynchronous=mode)
    for kind in KINDS
    for stream in (False, True)
    for mode in (False, True)
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Got:
    """What came of a call.

    Attributes:
        parts: What a stream handed out.
        seen: Models of the attempts, as the server saw them.
        log: Lines of the server's log.
        seconds: How long the call took, without the making of its client.
    """

    answer: Answer | None
    error: CallError | None
    parts: list[str]
    seen: list[str]
    log: list[dict[str, Any]]
    seconds: float

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """The attempts, as the client tells them."""
        found = self.answer or self.error
        assert found is not None
        return found.attempts

    def counts(self, way: Way) -> tuple[int, ...]:
        """Attempts on each model, as the server saw them."""
        return tuple(self.seen.count(model) for model in way.models)


@contextmanager
def served(folder: Path) -> Iterator[Running]:
    """A sandbox whose groups serve two models each."""
    with running(folder) as run:
        gateway = run.live.console.gateway
        name = MODELS["gemini"][1]
        first = gateway.models[MODELS["gemini"][0]]
        gateway.models[name] = replace(first, name=name, answers_as=name)
        group = gateway.keys[KEYS["gemini"]].group
        assert group is not None
        for channel in group.channels:
            channel.answers[name] = name
        yield run


@cache
def _trust() -> ssl.SSLContext:
    return httpx.create_ssl_context()


def _http(way: Way, *, asynchronous: bool) -> Any:
    """An HTTP client as the SDKs make it: it would follow redirects."""
    library = httpx if way.kind in ("gemini", "httpx") else httpx2
    kind = library.AsyncClient if asynchronous else library.Client
    return kind(trust_env=False, follow_redirects=True, verify=_trust())


def client(way: Way, root: str, key: str, http: Any) -> Any:
    """A client of the user's, with the defaults of its SDK, around an HTTP client."""
    if way.kind in ("openai", "responses"):
        kind = openai.AsyncOpenAI if way.asynchronous else openai.OpenAI
        return kind(base_url=f"{root}/v1", api_key=key, http_client=http)
    if way.kind == "anthropic":
        kind = anthropic.AsyncAnthropic if way.asynchronous else anthropic.Anthropic
        return kind(base_url=root, api_key=key, http_client=http)
    if way.kind == "gemini":
        other = _http(way, asynchronous=not way.asynchronous)
        plain, coroutine = (other, http) if way.asynchronous else (http, other)
        options = {"base_url": root, "api_version": "v1beta"}
        options |= {"httpx_client": plain, "httpx_async_client": coroutine}
        return genai.Client(api_key=key, http_options=options)
    http.base_url, http.headers["authorization"] = root, f"Bearer {key}"
    return http


def ask(run: Running, way: Way, fault: str = "", *, base_url: str = "", **options: Any) -> Got:
    """Ask once through a fresh client; *options* go to the reference client."""
    number = f"run-{next(_RUNS)}"
    headers = {"x-sandbox-run": number} | ({"x-sandbox-fault": fault} if fault else {})
    given = {"models": way.models, "seed": 7, "deadline_s": 10.0, **options}
    given["protocol"] = "responses" if way.kind == "responses" else ""
    root = base_url or run.sandbox.listening.base_url
    key = run.secret(KEYS.get(way.kind, "prod-web"))
    asked = {**request(way), "extra_headers": headers}
    if way.asynchronous:
        found = asyncio.run(_ask_async(way, root, key, given, asked))
    else:
        with _http(way, asynchronous=False) as http:
            found = _ask(Resilient(client(way, root, key, http), **given), way, asked)
    answer, error, parts, seconds = found
    log = [seen.line for seen in list(run.live.log) if seen.line.get("run") == number]
    models = [line["model"] for line in log]
    return Got(answer=answer, error=error, parts=parts, seen=models, log=log, seconds=seconds)


def request(way: Way) -> dict[str, Any]:
    """The body of a request in the words of a protocol."""
    if way.kind == "responses":
        return {"input": "hi"}
    if way.kind == "gemini":
        return {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
    most = {"max_tokens": 50} if way.kind == "anthropic" else {}
    return {"messages": [{"role": "user", "content": "hi"}], **most}


def _ask(calls: Resilient, way: Way, asked: dict[str, Any]) -> Any:
    answer, failed, parts, began = None, None, [], time.monotonic()
    try:
        if way.stream:
            stream = calls.call(stream=True, **asked)
            parts.extend(stream)
            answer = stream.answer
        else:
            answer = calls.call(**asked)
    except CallError as error:
        failed = error
    return answer, failed, parts, time.monotonic() - began


async def _ask_async(
    way: Way, root: str, key: str, given: dict[str, Any], asked: dict[str, Any]
) -> Any:
    answer, failed, parts = None, None, []
    async with _http(way, asynchronous=True) as http:
        calls = AsyncResilient(client(way, root, key, http), **given)
        began = time.monotonic()
        try:
            if way.stream:
                stream = await calls.call(stream=True, **asked)
                async for part in stream:
                    parts.append(part)  # noqa: PERF401 (what came before an error counts)
                answer = stream.answer
            else:
                answer = await calls.call(**asked)
        except CallError as error:
            failed = error
        return answer, failed, parts, time.monotonic() - began
