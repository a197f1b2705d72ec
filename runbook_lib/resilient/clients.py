"""The two clients: they send what a call asks for and wait as it says, plainly or on asyncio."""

import asyncio
import functools
import math
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator, Sequence
from contextlib import aclosing, suppress
from random import Random
from typing import Any, ClassVar, Literal, overload

import stamina

from runbook_lib.errors import AttemptError, ParameterError
from runbook_lib.resilient.calls import Answer, Call, Settings, Turn
from runbook_lib.resilient.doors import Door, Pump, raw_answer
from runbook_lib.resilient.health import Health
from runbook_lib.resilient.policy import MOST_TRIES


class _Client:
    """What both clients share."""

    _asynchronous: ClassVar[bool]

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
        named = tuple(each for each in models if isinstance(each, str) and each)
        if isinstance(models, str) or not named or len(named) != len(set(models)):
            raise ParameterError("models", models, hint="a list of names, each once")
        for name, value in (("deadline_s", deadline_s), ("idle_s", idle_s)):
            if not (math.isfinite(value) and value > 0):
                raise ParameterError(name, value, hint="seconds above 0")
        self._door = Door(client, protocol, asynchronous=self._asynchronous)
        self._failed: tuple[type[Exception], ...] = (AttemptError, TimeoutError, *self._door.errors)
        self._settings = Settings(
            models=named,
            larger=frozenset(larger),
            deadline_s=deadline_s,
            attempt_s=attempt_s,
            idle_s=idle_s,
            health=health or Health(),
            now=now,
            chance=Random(seed),  # noqa: S311 (no secret: waits and ids)
        )

    def _call(self, request: dict[str, Any], *, stream: bool) -> Call:
        if "model" in request:
            raise ParameterError("model", request["model"], hint="the models to the client itself")
        return Call(self._settings, request, stream=stream)

    def _refusal(self, error: Exception) -> Any:
        """Give the answer in an error that an SDK made of it; raise it again without one."""
        answer = getattr(error, "response", None)
        if answer is None:
            raise error
        return answer


class Resilient(_Client):
    """Calls models through a sync client; safe to share among threads."""

    _asynchronous = False

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
            The answer; of a stream an iterator of text, which has the answer at its end.

        Raises:
            CallError: no model answered. Of a stream, reading raises it.
            ParameterError: the request names a model.
        """
        call = self._call(request, stream=stream)
        if stream:
            return Parts(self._parts(call), call)
        for _ in self._parts(call):
            pass
        return call.result()

    def _parts(self, call: Call) -> Generator[str, None, None]:
        for _ in call.models():
            with suppress(AttemptError):
                for attempt in stamina.retry_context(call.again, MOST_TRIES, timeout=None):
                    with attempt:
                        yield from self._attempt(call)
                        return
        call.result()

    def _attempt(self, call: Call) -> Iterator[str]:
        turn = call.begin()
        failed: AttemptError | None = None
        pump = Pump(functools.partial(self._send, call, turn), is_late=call.is_late)
        try:
            answer = pump.next(turn.left())
            turn.head(answer.status_code, answer.headers)
            chunk: bytes | None = b""
            while chunk is not None:
                chunk = pump.next(turn.left())
                yield from turn.take(chunk)
        except self._failed as error:
            failed = turn.lost(error)
        finally:
            pump.leave()
        if failed is not None:
            raise failed

    def _send(self, call: Call, turn: Turn) -> Any:
        try:
            return raw_answer(self._door.send(call.request, **turn.sending()))
        except self._door.errors as error:
            return self._refusal(error)


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
        """Make a call; takes, gives and raises what `Resilient.call` does."""
        call = self._call(request, stream=stream)
        if stream:
            return AsyncParts(self._parts(call), call)
        async for _ in self._parts(call):
            pass
        return call.result()

    async def _parts(self, call: Call) -> AsyncGenerator[str, None]:
        for _ in call.models():
            with suppress(AttemptError):
                async for attempt in stamina.retry_context(call.again, MOST_TRIES, timeout=None):
                    with attempt:
                        async with aclosing(self._attempt(call)) as parts:
                            async for part in parts:
                                yield part
                        return
        call.result()

    async def _attempt(self, call: Call) -> AsyncGenerator[str, None]:
        turn, answer = call.begin(), None
        failed: AttemptError | None = None
        try:
            async with asyncio.timeout(turn.left()):
                answer = await self._send(call, turn)
            turn.head(answer.status_code, answer.headers)
            chunks = aiter(answer.aiter_bytes())
            chunk: bytes | None = b""
            while chunk is not None:
                async with asyncio.timeout(turn.left()):
                    chunk = await anext(chunks, None)
                for part in turn.take(chunk):
                    yield part
        except self._failed as error:
            failed = turn.lost(error)
        finally:
            if answer is not None:
                await answer.aclose()
        if failed is not None:
            raise failed

    async def _send(self, call: Call, turn: Turn) -> Any:
        try:
            return raw_answer(await self._door.send(call.request, **turn.sending()))
        except self._door.errors as error:
            return self._refusal(error)


class _Parts:
    """What both kinds of parts share."""

    def __init__(self, call: Call) -> None:
        self._call = call

    @property
    def answer(self) -> Answer:
        """The whole answer, once all parts have been read.

        Raises:
            ParameterError: they have not.
        """
        if self._call.answer is None:
            raise ParameterError("answer", None, hint="the stream time: read it to its end first")
        return self._call.answer


class Parts(_Parts):
    """Parts of a streamed text; they end without an error only when the stream was whole."""

    def __init__(self, parts: Generator[str, None, None], call: Call) -> None:
        super().__init__(call)
        self._parts = parts

    def __iter__(self) -> Iterator[str]:
        return self._parts

    def __next__(self) -> str:
        return next(self._parts)

    def close(self) -> None:
        """Leave the stream; the whole answer is billed all the same."""
        self._parts.close()


class AsyncParts(_Parts):
    """Parts of a streamed text; they end without an error only when the stream was whole."""

    def __init__(self, parts: AsyncGenerator[str, None], call: Call) -> None:
        super().__init__(call)
        self._parts = parts

    def __aiter__(self) -> AsyncIterator[str]:
        return self._parts

    async def __anext__(self) -> str:
        return await anext(self._parts)

    async def aclose(self) -> None:
        """Leave the stream; the whole answer is billed all the same."""
        await self._parts.aclose()
