"""Sends one request through a client the user made, and gives the raw answer.

The user's client keeps its key, its proxy and its hooks; only its retries are off, and it follows
no redirect: a key must not travel to another host. The SDKs of OpenAI and Anthropic offer that for
paths of one's own (`client.post`). Google's SDK has no such door, so its HTTP client is used with
the address and headers the SDK holds.
"""

import contextlib
import contextvars
import inspect
import queue
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote

from runbook_lib.errors import ParameterError

_PATHS: Final = {
    "openai": "/chat/completions",
    "responses": "/responses",
    "anthropic": "/v1/messages",
}
_SPEAKS: Final = {
    "openai": ("openai", "responses"),
    "anthropic": ("anthropic",),
    "google": ("gemini",),
    "httpx": ("openai",),
    "httpx2": ("openai",),
}
_ERRORS: Final = ("APIStatusError", "APIConnectionError", "RequestError")
MOST_TOKENS: Final = 1024
"""Output tokens a prompt may cost where the protocol wants a number."""


class Door:
    """A client of openai, anthropic, google-genai, httpx or httpx2, sync or async.

    Attributes:
        errors: What it raises when no answer came, or one that says that it failed.
    """

    def __init__(self, client: Any, protocol: str = "", *, asynchronous: bool = False) -> None:
        """Look at a client.

        Args:
            client: As the user made it, with base URL and key.
            protocol: `openai`, `responses`, `anthropic` or `gemini`; "" for what fits the client.
            asynchronous: It is used as an async one.

        Raises:
            ParameterError: it is no such client, or does not speak the protocol.
        """
        homes = {kind.__module__.partition(".")[0] for kind in type(client).__mro__}
        self._home = next((home for home in _SPEAKS if home in homes), "")
        if not self._home:
            hint = "a client of openai, anthropic, google-genai or httpx"
            raise ParameterError("client", type(client).__name__, hint=hint)
        if self._home != "google" and asynchronous != inspect.iscoroutinefunction(client.post):
            hint = "Resilient a sync client, AsyncResilient an async one"
            raise ParameterError("client", type(client).__name__, hint=hint)
        speaks = _SPEAKS[self._home]
        self.protocol = protocol or speaks[0]
        if self.protocol not in speaks:
            raise ParameterError("protocol", protocol, hint=f"one of {', '.join(speaks)}")
        self._client, self.asynchronous = client, asynchronous
        held = [sys.modules.get(name) for name in ("openai", "anthropic", "httpx", "httpx2")]
        found = [getattr(module, name, None) for module in held for name in _ERRORS]
        self.errors: tuple[type[Exception], ...] = tuple(each for each in found if each)

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
    ) -> Any:
        """Send a request once.

        Args:
            request: Its body, without model and stream; `extra_headers` are sent as headers.
            model: Model to ask.
            stream: Ask for a stream.
            headers: Headers of this attempt.
            timeout_s: Seconds that the client itself waits for the next byte.

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
            path = _PATHS[self.protocol]
            return self._client.post(path, cast_to=object, body=body, options=options)
        if self._home == "google":
            http, url, own = self._of_google(model, stream=stream)
            sent = {**own, **sent}
        else:
            http, url = self._client, self._path()
        asked = http.build_request("POST", url, json=body, headers=sent, timeout=timeout_s)
        return http.send(asked, stream=True, follow_redirects=False)

    def _path(self) -> str:
        """The path behind the base URL of an HTTP client, which may end with the version."""
        based = str(self._client.base_url).rstrip("/").endswith("/v1")
        return ("" if based else "/v1") + _PATHS[self.protocol]

    def _of_google(self, model: str, *, stream: bool) -> tuple[Any, str, Any]:
        """Give the HTTP client, the address and the headers that Google's SDK holds."""
        held = self._client._api_client  # noqa: SLF001 - the SDK's own way follows redirects
        http = held._async_httpx_client if self.asynchronous else held._httpx_client  # noqa: SLF001
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
        self._answer: Any = None
        self._left = self._ended = False
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
        self._ended = item is None or isinstance(item, BaseException)
        if isinstance(item, BaseException):
            raise item
        self._answer = self._answer or item
        return item

    def leave(self) -> None:
        """Let it end: nobody waits any more. The gateway hears of it by the end of the connection.

        Before the head of an answer the client's own timeout ends it, at about the same time.
        """
        self._left = True
        if (
            self._ended
            or self._answer is None
            or not self._answer.http_version.startswith("HTTP/1")
        ):
            return  # over HTTP/2 other requests share the connection
        stream = self._answer.extensions.get("network_stream")
        held = stream.get_extra_info("socket") if stream is not None else None
        if held is not None:
            with contextlib.suppress(OSError):
                held.shutdown(socket.SHUT_RDWR)
