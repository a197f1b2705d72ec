"""The reference client: the smallest correct retry and fallback around a client you have.

    calls = Resilient(OpenAI(base_url=…, api_key=…), models=["gpt-5.4", "claude-sonnet-4-6"])
    answer = calls.ask("…")
    answer.text, answer.model, answer.attempts

What it does, and most clients do not: a final refusal ends the call at once; one deadline stands
over all attempts and waits; `Retry-After` is obeyed or the next model asked, never slept through
beyond the deadline; retries have a budget, so an outage is not multiplied; a key that is refused is
not tried on another model; an answer is believed only when it is whole; after a streamed byte
nothing is sent again; the ids of all attempts are kept. Source: fault matrix, reference policy.
"""

import asyncio
import functools
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator, Sequence
from contextlib import suppress
from random import Random
from typing import Any, Literal, overload

import stamina

from runbook_lib.errors import AttemptError, ParameterError
from runbook_lib.resilient import doors
from runbook_lib.resilient.calls import Answer, Attempt, Call, Settings
from runbook_lib.resilient.doors import Door, Pump
from runbook_lib.resilient.health import Health
from runbook_lib.resilient.policy import MOST_TRIES

__all__ = [
    "Answer",
    "AsyncParts",
    "AsyncResilient",
    "Attempt",
    "Health",
    "Parts",
    "Resilient",
    "ask",
    "ask_async",
]


class _Client:
    """What both clients share."""

    _asynchronous = False

    def __init__(
        self,
        client: Any,
        *,
        models: Sequence[str],
        larger: Sequence[str] = (),
        deadline_s: float = 90.0,
        attempt_s: float | None = None,
        idle_s: float = 20.0,
        protocol: str = "",
        health: Health | None = None,
        now: Callable[[], float] = time.monotonic,
        seed: int | None = None,
    ) -> None:
        """Wrap a client.

        Args:
            client: Of openai, anthropic, google-genai, httpx or httpx2, with base URL and key.
            models: By preference; the first is asked first.
            larger: Those of them that may be asked when the prompt is too long for another.
            deadline_s: Seconds for one call, all attempts, models and waits together.
            attempt_s: Seconds in which one attempt must answer, or begin to stream; left out, what
                leaves half the time for other models, or 20 s.
            idle_s: Seconds without a byte after which a stream that has begun counts as broken.
            protocol: `responses` for OpenAI's newer endpoint; left out, what fits the client.
            health: Budget and breakers, to share them among clients.
            now: Clock, in seconds.
            seed: Where chance begins: spread of the waits, and ids.

        Raises:
            ParameterError: one of them cannot be used.
        """
        named = [each for each in models if isinstance(each, str) and each]
        if isinstance(models, str) or not named or len(named) != len(set(models)):
            raise ParameterError("models", models, hint="a list of names, each once")
        if not 0 < deadline_s < float("inf"):
            raise ParameterError("deadline_s", deadline_s, hint="seconds above 0")
        self._door = Door(client, protocol)
        if self._door.asynchronous not in (None, self._asynchronous):
            other = "Resilient" if self._asynchronous else "AsyncResilient"
            raise ParameterError("client", type(client).__name__, hint=f"it to {other}")
        self._failed = (AttemptError, TimeoutError, *self._door.errors)
        self._settings = Settings(
            models=tuple(named),
            larger=frozenset(larger),
            deadline_s=deadline_s,
            attempt_s=attempt_s,
            idle_s=idle_s,
            health=health or Health(),
            now=now,
            chance=Random(seed),  # noqa: S311 (no secret: waits and ids)
        )

    def _call(self, request: dict[str, Any], *, stream: bool) -> Call:
        return Call(self._settings, request, stream=stream)

    def _sending(self, call: Call, turn: Any) -> Any:
        return self._door.send(
            call.request,
            model=turn.model,
            stream=call.stream,
            headers=turn.headers,
            timeout_s=max(0.001, turn.left()),
            asynchronous=self._asynchronous,
        )


class Resilient(_Client):
    """Calls models through a sync client; safe to share among threads."""

    @overload
    def ask(self, prompt: str, *, stream: Literal[False] = False) -> Answer: ...
    @overload
    def ask(self, prompt: str, *, stream: Literal[True]) -> "Parts": ...
    def ask(self, prompt: str, *, stream: bool = False) -> "Answer | Parts":
        """Ask a prompt; like `call` with the shortest request that does."""
        request = self._door.body_of(prompt)
        return self.call(stream=True, **request) if stream else self.call(**request)

    @overload
    def call(self, *, stream: Literal[False] = False, **request: Any) -> Answer: ...
    @overload
    def call(self, *, stream: Literal[True], **request: Any) -> "Parts": ...
    def call(self, *, stream: bool = False, **request: Any) -> "Answer | Parts":
        """Make a call.

        Args:
            stream: Give parts of the text as they come.
            request: Body of the request without its model: messages, tools, limits. What stands in
                `extra_headers` is sent as headers.

        Returns:
            The answer; of a stream an iterator of text, which knows the answer at its end.

        Raises:
            CallError: no model answered. Of a stream, reading raises it.
        """
        call = self._call(request, stream=stream)
        parts = Parts(self._parts(call), call)
        if stream:
            return parts
        for _ in parts:
            pass
        return parts.answer

    def _parts(self, call: Call) -> Generator[str, None, None]:
        for _ in call.models():
            with suppress(AttemptError):
                for attempt in stamina.retry_context(call.again, MOST_TRIES, timeout=None):
                    with attempt:
                        yield from self._attempt(call)
                        return
        raise call.error()

    def _attempt(self, call: Call) -> Iterator[str]:
        turn = call.begin()
        failed: AttemptError | None = None
        pump = Pump(functools.partial(self._opened, call, turn), is_late=call.is_late)
        try:
            answer = pump.next(turn.left())
            turn.head(answer.status_code, answer.headers)
            while (chunk := pump.next(turn.left())) is not None:
                yield from turn.feed(chunk)
            yield from turn.end()
        except self._failed as error:
            failed = turn.lost(error)
        finally:
            pump.leave()
        if failed is not None:
            raise failed

    def _opened(self, call: Call, turn: Any) -> Any:
        """Send; an SDK raises what it takes for a failure, with the answer in the error."""
        try:
            return self._sending(call, turn)
        except self._door.errors as error:
            answer = getattr(error, "response", None)
            if answer is None:
                raise
            return answer


class AsyncResilient(_Client):
    """Calls models through an async client, on asyncio."""

    _asynchronous = True

    @overload
    async def ask(self, prompt: str, *, stream: Literal[False] = False) -> Answer: ...
    @overload
    async def ask(self, prompt: str, *, stream: Literal[True]) -> "AsyncParts": ...
    async def ask(self, prompt: str, *, stream: bool = False) -> "Answer | AsyncParts":
        """Ask a prompt; like `call` with the shortest request that does."""
        request = self._door.body_of(prompt)
        return await (self.call(stream=True, **request) if stream else self.call(**request))

    @overload
    async def call(self, *, stream: Literal[False] = False, **request: Any) -> Answer: ...
    @overload
    async def call(self, *, stream: Literal[True], **request: Any) -> "AsyncParts": ...
    async def call(self, *, stream: bool = False, **request: Any) -> "Answer | AsyncParts":
        """Make a call; see `Resilient.call`.

        Args:
            stream: Give parts of the text as they come.
            request: Body of the request without its model.

        Returns:
            The answer; of a stream an async iterator of text.

        Raises:
            CallError: no model answered. Of a stream, reading raises it.
        """
        call = self._call(request, stream=stream)
        parts = AsyncParts(self._parts(call), call)
        if stream:
            return parts
        async for _ in parts:
            pass
        return parts.answer

    async def _parts(self, call: Call) -> AsyncGenerator[str, None]:
        for _ in call.models():
            with suppress(AttemptError):
                async for attempt in stamina.retry_context(call.again, MOST_TRIES, timeout=None):
                    with attempt:
                        async for part in self._attempt(call):
                            yield part
                        return
        raise call.error()

    async def _attempt(self, call: Call) -> AsyncIterator[str]:
        turn, answer = call.begin(), None
        failed: AttemptError | None = None
        try:
            async with asyncio.timeout(turn.left()):
                answer = await self._opened(call, turn)
            turn.head(answer.status_code, answer.headers)
            chunks = aiter(answer.aiter_bytes())
            while True:
                async with asyncio.timeout(turn.left()):
                    chunk = await anext(chunks, None)
                for part in turn.end() if chunk is None else turn.feed(chunk):
                    yield part
                if chunk is None:
                    break
        except self._failed as error:
            failed = turn.lost(error)
        finally:
            if answer is not None:
                await answer.aclose()
        if failed is not None:
            raise failed

    async def _opened(self, call: Call, turn: Any) -> Any:
        """Send; an SDK raises what it takes for a failure, with the answer in the error."""
        try:
            return doors.raw_answer(await self._sending(call, turn))
        except self._door.errors as error:
            answer = getattr(error, "response", None)
            if answer is None:
                raise
            return answer


class Parts:
    """Parts of a streamed text; ends without an error only when the stream was whole."""

    def __init__(self, parts: Generator[str, None, None], call: Call) -> None:
        self._parts, self._call = parts, call

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        return next(self._parts)

    def close(self) -> None:
        """Leave the stream; the whole answer is billed all the same."""
        self._parts.close()

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """The attempts so far."""
        return tuple(self._call.attempts)

    @property
    def answer(self) -> Answer:
        """The whole answer.

        Raises:
            ParameterError: it has not been read to its end.
        """
        return _whole(self._call)


class AsyncParts:
    """Parts of a streamed text; ends without an error only when the stream was whole."""

    def __init__(self, parts: AsyncGenerator[str, None], call: Call) -> None:
        self._parts, self._call = parts, call

    def __aiter__(self) -> AsyncIterator[str]:
        return self

    async def __anext__(self) -> str:
        return await anext(self._parts)

    async def aclose(self) -> None:
        """Leave the stream; the whole answer is billed all the same."""
        await self._parts.aclose()

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """The attempts so far."""
        return tuple(self._call.attempts)

    @property
    def answer(self) -> Answer:
        """The whole answer.

        Raises:
            ParameterError: it has not been read to its end.
        """
        return _whole(self._call)


def _whole(call: Call) -> Answer:
    if call.answer is None:
        raise ParameterError("answer", None, hint="the stream its time: read it to its end first")
    return call.answer


# Two functions for whoever has an address and a key ---------------------------------------------


@functools.lru_cache(maxsize=256)
def _health(base_url: str, api_key: str, protocol: str) -> Health:
    """What is remembered between the calls of one key."""
    del base_url, api_key, protocol
    return Health()


def ask(
    prompt: str,
    *,
    base_url: str,
    api_key: str,
    models: Sequence[str],
    stream: bool = False,
    deadline_s: float = 90.0,
    protocol: str = "openai",
) -> str:
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
        The text of the answer.

    Raises:
        CallError: no model answered.
        ParameterError: something cannot be used.
    """
    client = doors.make(protocol, base_url, api_key, asynchronous=False)
    health = _health(base_url, api_key, protocol)
    told = "responses" if protocol == "responses" else ""
    try:
        calls = Resilient(
            client, models=models, deadline_s=deadline_s, protocol=told, health=health
        )
        return "".join(calls.ask(prompt, stream=True)) if stream else calls.ask(prompt).text
    finally:
        client.close()


async def ask_async(
    prompt: str,
    *,
    base_url: str,
    api_key: str,
    models: Sequence[str],
    stream: bool = False,
    deadline_s: float = 90.0,
    protocol: str = "openai",
) -> str:
    """Ask a gateway a prompt, on asyncio; see `ask`.

    Args:
        prompt: What to ask.
        base_url: Root of the gateway, without `/v1`.
        api_key: Key.
        models: By preference.
        stream: Ask for a stream; it is read whole.
        deadline_s: Seconds for all attempts, models and waits together.
        protocol: As for `ask`.

    Returns:
        The text of the answer.

    Raises:
        CallError: no model answered.
        ParameterError: something cannot be used.
    """
    client = doors.make(protocol, base_url, api_key, asynchronous=True)
    health = _health(base_url, api_key, protocol)
    told = "responses" if protocol == "responses" else ""
    try:
        calls = AsyncResilient(
            client, models=models, deadline_s=deadline_s, protocol=told, health=health
        )
        if stream:
            return "".join([part async for part in await calls.ask(prompt, stream=True)])
        return (await calls.ask(prompt)).text
    finally:
        await doors.close_async(client)
