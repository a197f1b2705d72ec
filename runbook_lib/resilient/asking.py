"""Ask with nothing but an address and a key: a client is made for the call and closed after it."""

import functools
import importlib
import ssl
from collections.abc import Sequence
from typing import Any

from runbook_lib.errors import ParameterError
from runbook_lib.resilient.calls import Answer
from runbook_lib.resilient.clients import AsyncResilient, Resilient
from runbook_lib.resilient.health import Health

PROTOCOLS = ("openai", "responses", "anthropic", "gemini", "httpx")


class Text(str):
    """The text of an answer; it knows who gave it, and the ids of all attempts."""

    __slots__ = ("answer",)

    answer: Answer

    @classmethod
    def of(cls, answer: Answer) -> "Text":
        """Take the text of an answer."""
        text = cls(answer.text)
        text.answer = answer
        return text

    @property
    def model(self) -> str:
        """Model that answered."""
        return self.answer.model

    @property
    def request_ids(self) -> tuple[str, ...]:
        """Ids of all attempts."""
        return self.answer.request_ids


def ask(
    prompt: str,
    *,
    base_url: str,
    api_key: str,
    models: Sequence[str],
    stream: bool = False,
    deadline_s: float = 90.0,
    protocol: str = "openai",
) -> Text:
    """Ask a gateway a prompt.

    Args:
        prompt: What to ask.
        base_url: Root of the gateway, without `/v1`.
        api_key: Key.
        models: By preference.
        stream: Ask for a stream; it is read whole.
        deadline_s: Seconds for all attempts, models and waits together.
        protocol: `openai`, `responses`, `anthropic`, `gemini`, or `httpx` without an SDK.

    Returns:
        The text of the answer; `answer` of it tells the rest.

    Raises:
        CallError: no model answered.
        ParameterError: something cannot be used.
    """
    with _http(protocol, asynchronous=False) as http:
        calls = Resilient(
            _client(protocol, base_url.rstrip("/"), api_key, http),
            models=models,
            deadline_s=deadline_s,
            protocol="" if protocol == "httpx" else protocol,
            health=_health(base_url, api_key, protocol),
        )
        if not stream:
            return Text.of(calls.ask(prompt))
        parts = calls.ask(prompt, stream=True)
        for _ in parts:
            pass
        return Text.of(parts.answer)


async def ask_async(
    prompt: str,
    *,
    base_url: str,
    api_key: str,
    models: Sequence[str],
    stream: bool = False,
    deadline_s: float = 90.0,
    protocol: str = "openai",
) -> Text:
    """Ask a gateway a prompt on asyncio; takes, gives and raises what `ask` does."""
    async with _http(protocol, asynchronous=True) as http:
        calls = AsyncResilient(
            _client(protocol, base_url.rstrip("/"), api_key, http),
            models=models,
            deadline_s=deadline_s,
            protocol="" if protocol == "httpx" else protocol,
            health=_health(base_url, api_key, protocol),
        )
        if not stream:
            return Text.of(await calls.ask(prompt))
        parts = await calls.ask(prompt, stream=True)
        async for _ in parts:
            pass
        return Text.of(parts.answer)


@functools.lru_cache(maxsize=256)
def _health(base_url: str, api_key: str, protocol: str) -> Health:
    """What is remembered between the calls of one key."""
    del base_url, api_key, protocol
    return Health()


@functools.cache
def _trust() -> ssl.SSLContext:
    """The authorities that are trusted; reading them costs more than all else of a client."""
    context: ssl.SSLContext = importlib.import_module("httpx").create_ssl_context()
    return context


def _http(protocol: str, *, asynchronous: bool) -> Any:
    """Make the HTTP client of a protocol: the library its SDK uses."""
    if protocol not in PROTOCOLS:
        raise ParameterError("protocol", protocol, hint=f"one of {', '.join(PROTOCOLS)}")
    library = importlib.import_module("httpx" if protocol in ("gemini", "httpx") else "httpx2")
    kind = library.AsyncClient if asynchronous else library.Client
    return kind(verify=_trust(), follow_redirects=False)


def _client(protocol: str, root: str, api_key: str, http: Any) -> Any:
    """Make the client of a protocol around an HTTP client."""
    asynchronous = type(http).__name__.startswith("Async")
    prefix = "Async" if asynchronous else ""
    if protocol == "httpx":
        http.base_url, http.headers["authorization"] = root, f"Bearer {api_key}"
        return http
    if protocol == "gemini":
        both = {True: http, False: _http(protocol, asynchronous=not asynchronous)}
        options = {
            "base_url": root,
            "api_version": "v1beta",
            "httpx_client": both[not asynchronous],
            "httpx_async_client": both[asynchronous],
        }
        return importlib.import_module("google.genai").Client(api_key=api_key, http_options=options)
    home, name = ("anthropic", "Anthropic") if protocol == "anthropic" else ("openai", "OpenAI")
    kind = getattr(importlib.import_module(home), prefix + name)
    base_url = root if protocol == "anthropic" else f"{root}/v1"
    return kind(base_url=base_url, api_key=api_key, http_client=http)
