"""Record every attempt of a client as a line of the call log: one line in your code.

    from runbook_lib.recorder import record

    client = record(OpenAI(), "calls.jsonl", key_name="prod-web", environment="production")
    client = record(AsyncOpenAI(), "calls.jsonl")
    client = record(Anthropic(), "calls.jsonl")          # or AsyncAnthropic
    client = record(genai.Client(), "calls.jsonl")       # its `aio` too
    client = record(httpx.Client(), "calls.jsonl")       # or AsyncClient; httpx2 as well

Names that are left out come from `TOROUTER_KEY_NAME`, `TOROUTER_ENVIRONMENT`, `TOROUTER_SERVICE`.

The SDKs show the id of their last attempt only, and nothing of a stream that breaks. The recorder
sits below their retries. The caller sees the same bytes, objects and exceptions as without it. What
can change is time: a refused stream that is closed unread, as SDKs do before they try again, is
read for two seconds at most, since nobody else would learn its code. And `stop_sticky` changes what
it is asked to.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from runbook_lib.errors import ParameterError
from runbook_lib.recorder import facts
from runbook_lib.recorder.attempt import Settings
from runbook_lib.recorder.calls import call
from runbook_lib.recorder.log import LogFile
from runbook_lib.recorder.transport import LIBRARIES, Recorded, kinds

__all__ = ["call", "record"]

Client = TypeVar("Client")

_TRANSPORT, _MOUNTS = "_transport", "_mounts"
_HOLDERS = ("_client", "_httpx_client", "_async_httpx_client")
_INNER = ("_api_client",)
_PER_LOOP, _MADE_PER_LOOP = "_inner_client_cls", "_loop_clients"
_ELSEWHERE = (
    ("_use_aiohttp", "aiohttp", "httpx_async_client=httpx.AsyncClient()"),
    ("_use_google_auth_sync", "requests", "httpx_client=httpx.Client()"),
)
"""How google-genai tells that it goes around httpx, over what, and the option that ends it."""


def record(
    client: Client,
    path: str | Path,
    *,
    key_name: str = "",
    environment: str = "",
    service: str = "",
    stop_sticky: bool = False,
    max_bytes: int = 0,
    daily: bool = False,
) -> Client:
    """Make every attempt of a client a line of a call log.

    Args:
        client: Client of openai, anthropic, google-genai, httpx or httpx2, sync or async. It is
            changed in place; its copies (`with_options`) are recorded too.
        path: The log; several clients, threads and processes may share it.
        key_name: Name of the key, never the key; left out, `TOROUTER_KEY_NAME`.
        environment: As "production"; left out, `TOROUTER_ENVIRONMENT`.
        service: Who calls; left out, `TOROUTER_SERVICE`.
        stop_sticky: Set the response header `x-should-retry: false` on a 429 that waiting cannot
            cure soon, so that the SDKs stop; the line then says `torouter.stopped_retry`. A 429 is
            then read before the SDK sees it, as long as the client's own timeout allows. OpenAI's
            and Anthropic's SDK obey the header, google-genai does not know it.
        max_bytes: Size at which the file is set aside under a dated name; 0 for never.
        daily: Set the file aside when its day (UTC) is over.

    Returns:
        The same client. One that is recorded already takes the new log and names.

    Raises:
        ParameterError: nothing in the client can be recorded, or some of its calls could not, as
            those of google-genai where aiohttp is installed.

    Source: contract §5 (M) for the ids, `x-should-retry` as measured on both SDKs (M).
    """
    fixed = _fixed(service=service, environment=environment, key_name=key_name)
    log = LogFile(Path(path).absolute(), max_bytes=max_bytes, daily=daily)
    settings = Settings(log=log, fixed=fixed, stop_sticky=stop_sticky)
    found = list(_http_clients(client))
    if not found:
        hint = "a client of openai, anthropic, google-genai, httpx or httpx2"
        raise ParameterError("client", type(client).__name__, hint=hint)
    for library, held in found:
        _wrap(library, held, settings)
    return client


def _fixed(*, service: str, environment: str, key_name: str) -> dict[str, str]:
    """The fields every line has; what is left out comes from the environment."""
    told = (
        ("torouter.service", service or os.environ.get("TOROUTER_SERVICE", "")),
        ("torouter.environment", environment or os.environ.get("TOROUTER_ENVIRONMENT", "")),
        ("torouter.key.name", key_name or os.environ.get("TOROUTER_KEY_NAME", "")),
    )
    return {field: facts.clean(value) for field, value in told if value}


def _http_clients(client: Any) -> Iterator[tuple[str, Any]]:
    """Give the HTTP clients inside a client, each with the library it is of."""
    if hasattr(client, _TRANSPORT):
        for kind in type(client).__mro__:
            library = kind.__module__.partition(".")[0]
            if library in LIBRARIES:
                yield library, client
                return
    for name in _INNER:
        if (inner := getattr(client, name, None)) is not None:
            _check_all_is_seen(inner)
            yield from _http_clients(inner)
            return
    for name in _HOLDERS:
        held = getattr(client, name, None)
        if hasattr(held, _TRANSPORT):
            yield from _http_clients(held)


def _check_all_is_seen(inner: Any) -> None:
    """Refuse a google-genai client some of whose calls would go around the recorder.

    Raises:
        ParameterError: it sends them over another library.
    """
    for name, library, option in _ELSEWHERE:
        if getattr(inner, name, bool)():
            hint = f"it http_options=HttpOptions({option}), so that these calls can be recorded"
            raise ParameterError("client", f"google-genai over {library}", hint=hint)


def _wrap(library: str, held: Any, settings: Settings) -> None:
    sync, stream, async_, async_stream = kinds(library)
    # a transport can be both, as those for tests are; its client is one of them
    make, held_stream = (async_, async_stream) if hasattr(held, "aclose") else (sync, stream)

    def wrapped(inner: Any) -> Any:
        if isinstance(inner, Recorded):
            inner.settings = settings
        if inner is None or isinstance(inner, Recorded):
            return inner
        return make(inner, settings, held_stream)

    setattr(held, _TRANSPORT, wrapped(getattr(held, _TRANSPORT)))
    mounts = getattr(held, _MOUNTS, None)
    if isinstance(mounts, dict):
        for pattern, inner in mounts.items():
            mounts[pattern] = wrapped(inner)
    _wrap_per_loop(library, held, settings)


def _wrap_per_loop(library: str, held: Any, settings: Settings) -> None:
    """Wrap the clients that google-genai makes inside its own, one for each event loop."""
    make = getattr(type(held), _PER_LOOP, None)
    if make is None:
        return

    def made(**options: Any) -> Any:
        client = make(**options)
        _wrap(library, client, settings)
        return client

    setattr(held, _PER_LOOP, made)  # in the place of what an earlier recorder put there
    for client in list(getattr(held, _MADE_PER_LOOP, {}).values()):
        _wrap(library, client, settings)
