"""Sends one request through a client the user made, and gives the raw answer.

The user's client keeps its key, its proxy and its hooks; only its retries are off, and it follows
no redirect: a key must not travel to another host. The SDKs of OpenAI and Anthropic offer that for
paths of one's own (`client.post`). Google's SDK has no such door, so its HTTP client is used with
the address and headers the SDK holds.
"""

import contextvars
import functools
import inspect
import queue
import ssl
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote

from runbook_lib.errors import ParameterError

PATHS: Final = {
    "openai": "/chat/completions",
    "responses": "/responses",
    "anthropic": "/v1/messages",
    "httpx": "/chat/completions",
}
PROTOCOLS: Final = (*PATHS, "gemini")
_HOMES: Final = {
    "openai": ("openai", "responses"),
    "anthropic": ("anthropic",),
    "google": ("gemini",),
    "httpx": ("httpx", "openai"),
    "httpx2": ("httpx", "openai"),
}
_ERRORS: Final = ("APIStatusError", "APIConnectionError", "RequestError")
MOST_TOKENS: Final = 1024
"""Output tokens a prompt may cost where the protocol wants a number."""


class Door:
    """A client of openai, anthropic, google-genai, httpx or httpx2, sync or async.

    Attributes:
        errors: What it raises when no answer came, or one that says that it failed.
    """

    def __init__(self, client: Any, protocol: str = "") -> None:
        """Look at a client.

        Args:
            client: As the user made it, with base URL and key.
            protocol: One of `PROTOCOLS`; "" for what fits the client.

        Raises:
            ParameterError: it is no such client, or does not speak the protocol.
        """
        homes = {kind.__module__.partition(".")[0] for kind in type(client).__mro__}
        self._home = next((home for home in _HOMES if home in homes), "")
        fitting = _HOMES.get(self._home, ())
        if not fitting:
            kinds = "a client of openai, anthropic, google-genai or httpx"
            raise ParameterError("client", type(client).__name__, hint=kinds)
        self.protocol = protocol or fitting[0]
        if self.protocol not in fitting:
            raise ParameterError("protocol", protocol, hint=f"one of {', '.join(fitting)}")
        self._client = client
        held = [sys.modules.get(name) for name in ("openai", "anthropic", "httpx", "httpx2")]
        found = [getattr(module, name, None) for module in held for name in _ERRORS]
        self.errors: tuple[type[Exception], ...] = tuple(each for each in found if each)

    @property
    def asynchronous(self) -> bool | None:
        """Whether it is an async client; None where it can be both."""
        if self._home == "google":
            return None
        return inspect.iscoroutinefunction(self._client.post)

    def body_of(self, prompt: str) -> dict[str, Any]:
        """Make the request that asks a prompt."""
        message = {"role": "user", "content": prompt}
        if self.protocol == "responses":
            return {"input": prompt}
        if self.protocol == "gemini":
            return {"contents": [{"role": "user", "parts": [{"text": prompt}]}]}
        if self.protocol == "anthropic":
            return {"messages": [message], "max_tokens": MOST_TOKENS}
        return {"messages": [message]}

    def send(
        self,
        request: Mapping[str, Any],
        *,
        model: str,
        stream: bool,
        headers: Mapping[str, str],
        timeout_s: float,
        asynchronous: bool,
    ) -> Any:
        """Send a request once.

        Args:
            request: Its body, without model and stream; `extra_headers` are sent as headers.
            model: Model to ask.
            stream: Ask for a stream.
            headers: Headers of this attempt.
            timeout_s: Seconds that the client itself waits for the next byte.
            asynchronous: Give what must be awaited.

        Returns:
            The answer with its body unread, from `raw_answer`; awaitable of an async client.
        """
        body = dict(request)
        sent = {**(body.pop("extra_headers", None) or {}), **headers}
        if self.protocol != "gemini":
            body |= {"model": model} | ({"stream": True} if stream else {})
        if self._home in ("openai", "anthropic"):
            options = {
                "headers": {**sent, "X-Stainless-Raw-Response": "stream"},
                "max_retries": 0,
                "timeout": timeout_s,
                "follow_redirects": False,
            }
            path = PATHS[self.protocol]
            return self._client.post(path, cast_to=object, body=body, options=options)
        http, url = self._client, self._path()
        if self._home == "google":
            http, url, own = self._of_google(model, stream=stream, asynchronous=asynchronous)
            sent = {**own, **sent}
        asked = http.build_request("POST", url, json=body, headers=sent, timeout=timeout_s)
        return http.send(asked, stream=True, follow_redirects=False)

    def _path(self) -> str:
        """The path behind the base URL of an HTTP client, which may end with the version."""
        if self._home == "google":
            return ""
        path = PATHS[self.protocol]
        based = str(self._client.base_url).rstrip("/").endswith("/v1")
        return path if based else f"/v1{path}"

    def _of_google(self, model: str, *, stream: bool, asynchronous: bool) -> tuple[Any, str, Any]:
        held = self._client._api_client  # noqa: SLF001 - the SDK follows redirects with the key
        http = held._async_httpx_client if asynchronous else held._httpx_client  # noqa: SLF001
        options = held.get_read_only_http_options()
        verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
        parts = (options["base_url"].rstrip("/"), options["api_version"], "models", quote(model))
        return http, f"{'/'.join(filter(None, parts))}:{verb}", options["headers"]


def raw_answer(given: Any) -> Any:
    """Give the answer of the HTTP library, which an SDK may have wrapped."""
    return getattr(given, "http_response", given)


class Pump(threading.Thread):
    """Reads one answer in a thread of its own.

    A read that blocks cannot be ended from outside, and each byte of a slow answer starts its
    timeout anew. Who waits for this thread can stop waiting whenever it likes.
    """

    def __init__(self, send: Callable[[], Any], *, is_late: Callable[[], bool]) -> None:
        """Begin to read.

        Args:
            send: Sends the request; gives the answer, or raises.
            is_late: Tells that the call is over.
        """
        super().__init__(name="resilient-read", daemon=True)
        self._send, self._is_late = send, is_late
        self._items: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._left = False
        self._context = contextvars.copy_context()
        self.start()

    def run(self) -> None:
        """Read until the end, until it is late, or until nobody waits any more."""
        try:
            self._context.run(self._read)
        except BaseException as error:  # noqa: BLE001 - raised where the caller waits
            self._items.put(error)

    def _read(self) -> None:
        answer = raw_answer(self._send())
        try:
            self._items.put(answer)
            for chunk in answer.iter_bytes():
                if self._left or self._is_late():
                    raise TimeoutError
                self._items.put(chunk)
            self._items.put(None)
        finally:
            answer.close()

    def next(self, seconds: float) -> Any:
        """Wait for the next item: first the answer, then its bytes, at last None.

        Raises:
            TimeoutError: it did not come in time. What reading raised is raised too.
        """
        try:
            item = self._items.get(timeout=max(0.0, seconds))
        except queue.Empty:
            raise TimeoutError from None
        if isinstance(item, BaseException):
            raise item
        return item

    def leave(self) -> None:
        """Let it end; nobody waits any more."""
        self._left = True


# Clients for a gateway's address ----------------------------------------------------------------


@functools.cache
def _trust() -> ssl.SSLContext:
    """The authorities that are trusted; reading them costs more than all else of a client."""
    import httpx

    return httpx.create_ssl_context()


def make(protocol: str, base_url: str, api_key: str, *, asynchronous: bool) -> Any:
    """Make the client of a protocol.

    Args:
        protocol: One of `PROTOCOLS`.
        base_url: Root of the gateway, without `/v1`.
        api_key: Key.
        asynchronous: Make an async one.

    Returns:
        The client; `close` or `close_async` ends it.

    Raises:
        ParameterError: there is no such protocol.
    """
    root = base_url.rstrip("/")
    options: dict[str, Any] = {"verify": _trust(), "follow_redirects": False}
    if protocol in ("openai", "responses"):
        import openai

        if asynchronous:
            http = openai.DefaultAsyncHttpxClient(**options)
            return openai.AsyncOpenAI(base_url=f"{root}/v1", api_key=api_key, http_client=http)
        plain = openai.DefaultHttpxClient(**options)
        return openai.OpenAI(base_url=f"{root}/v1", api_key=api_key, http_client=plain)
    if protocol == "anthropic":
        import anthropic

        if asynchronous:
            http = anthropic.DefaultAsyncHttpxClient(**options)
            return anthropic.AsyncAnthropic(base_url=root, api_key=api_key, http_client=http)
        plain = anthropic.DefaultHttpxClient(**options)
        return anthropic.Anthropic(base_url=root, api_key=api_key, http_client=plain)
    import httpx

    if protocol == "gemini":
        from google import genai

        both = {"httpx_client": httpx.Client, "httpx_async_client": httpx.AsyncClient}
        made: Any = {name: kind(**options) for name, kind in both.items()}
        made |= {"base_url": root, "api_version": "v1beta"}
        return genai.Client(api_key=api_key, http_options=made)
    if protocol == "httpx":
        headers = {"authorization": f"Bearer {api_key}"}
        kind = httpx.AsyncClient if asynchronous else httpx.Client
        return kind(base_url=root, headers=headers, **options)
    raise ParameterError("protocol", protocol, hint=f"one of {', '.join(PROTOCOLS)}")


async def close_async(client: Any) -> None:
    """Close an async client of any kind."""
    held = getattr(client, "aio", client)
    await (held.aclose() if hasattr(held, "aclose") else held.close())
    if held is not client:
        client.close()
