"""Wraps the transport and the response streams of a client; works for httpx and httpx2.

Their classes are looked up in the library the client itself uses: an answer's stream must be of its
own library's kind.
"""

import functools
import sys
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

from runbook_lib.recorder.attempt import Attempt, Settings

LIBRARIES: Final = ("httpx", "httpx2")
_MOST_READ: Final = 65_536
_READ_FOR_S: Final = 2.0
_CONTENT: Final = "_content"


@functools.cache
def kinds(library: str) -> tuple[type[Any], type[Any], type[Any], type[Any]]:
    """Make the wrapping classes for one library.

    Args:
        library: "httpx" or "httpx2", imported by the client already.

    Returns:
        The wrapper of a transport and of a stream, for sync, then for async.
    """
    lib = sys.modules[library]
    return (
        type("RecordedTransport", (_Transport, lib.BaseTransport), {}),
        type("RecordedStream", (_Stream, lib.SyncByteStream), {}),
        type("RecordedAsyncTransport", (_AsyncTransport, lib.AsyncBaseTransport), {}),
        type("RecordedAsyncStream", (_AsyncStream, lib.AsyncByteStream), {}),
    )


class Recorded:
    """Marks a transport that is recorded already."""


class _Transport(Recorded):
    def __init__(self, inner: Any, settings: Settings, stream: type[Any]) -> None:
        self._inner, self._settings, self._stream = inner, settings, stream

    def __enter__(self) -> Any:
        self._inner.__enter__()
        return self

    def __exit__(self, *about: Any) -> None:
        self._inner.__exit__(*about)

    def close(self) -> None:
        self._inner.close()

    def handle_request(self, request: Any) -> Any:
        attempt = Attempt(self._settings, request)
        try:
            response = self._inner.handle_request(request)
        except BaseException as error:
            attempt.over(error)
            raise
        attempt.answered(response)
        if _is_read_already(response, attempt):
            return response
        stream = self._stream(response.stream, attempt)
        if attempt.wants_body():
            shorten_wait(request)
            stream.read_ahead()
            attempt.stop_if_sticky(response, b"".join(stream.held))
        response.stream = stream
        return response


class _AsyncTransport(Recorded):
    def __init__(self, inner: Any, settings: Settings, stream: type[Any]) -> None:
        self._inner, self._settings, self._stream = inner, settings, stream

    async def __aenter__(self) -> Any:
        await self._inner.__aenter__()
        return self

    async def __aexit__(self, *about: Any) -> None:
        await self._inner.__aexit__(*about)

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def handle_async_request(self, request: Any) -> Any:
        attempt = Attempt(self._settings, request)
        try:
            response = await self._inner.handle_async_request(request)
        except BaseException as error:
            attempt.over(error)
            raise
        attempt.answered(response)
        if _is_read_already(response, attempt):
            return response
        stream = self._stream(response.stream, attempt)
        if attempt.wants_body():
            shorten_wait(request)
            await stream.read_ahead()
            attempt.stop_if_sticky(response, b"".join(stream.held))
        response.stream = stream
        return response


def _is_read_already(response: Any, attempt: Attempt) -> bool:
    """Take the body of an answer that was made whole, as test transports do."""
    content = getattr(response, _CONTENT, None)
    if not isinstance(content, bytes):
        return False
    attempt.fed(content)
    attempt.stop_if_sticky(response, content)
    attempt.over()
    return True


def shorten_wait(request: Any) -> None:
    """Let a refused body that never comes hold the caller up for two seconds, not for minutes."""
    waits = request.extensions.get("timeout")
    if isinstance(waits, dict):
        read = waits.get("read")
        waits["read"] = _READ_FOR_S if read is None else min(read, _READ_FOR_S)


class _Held:
    """What both kinds of stream share.

    Attributes:
        held: Pieces read ahead, handed on first.
    """

    def __init__(self, inner: Any, attempt: Attempt) -> None:
        self._inner, self._attempt = inner, attempt
        self._rest: Any = None
        self._failed: Exception | None = None
        self.held: list[bytes] = []

    def __del__(self) -> None:
        self._attempt.over(left=True)


class _Stream(_Held):
    def read_ahead(self) -> None:
        self._rest = iter(self._inner)
        size, end = 0, time.monotonic() + _READ_FOR_S
        try:
            while size < _MOST_READ and time.monotonic() < end:
                chunk = next(self._rest, None)
                if chunk is None:
                    break
                size += len(chunk)
                self.held.append(chunk)
                self._attempt.fed(chunk)
        except Exception as error:  # noqa: BLE001 - the caller's, raised where they read
            self._failed = error
        except BaseException as error:
            self._attempt.over(error)
            self._inner.close()
            raise

    def __iter__(self) -> Iterator[bytes]:
        yield from self.held
        try:
            if self._failed is not None:
                raise self._failed  # noqa: TRY301 - noted below, as if it came now
            if self._rest is not None:
                yield from self._rest
            else:
                for chunk in self._inner:
                    self._attempt.fed(chunk)
                    yield chunk
        except GeneratorExit:
            self._attempt.over(left=True)
            raise
        except BaseException as error:
            self._attempt.over(error)
            raise
        self._attempt.over()

    def close(self) -> None:
        try:
            self._inner.close()
        finally:
            self._attempt.over(left=True)


class _AsyncStream(_Held):
    async def read_ahead(self) -> None:
        self._rest = aiter(self._inner)
        size, end = 0, time.monotonic() + _READ_FOR_S
        try:
            while size < _MOST_READ and time.monotonic() < end:
                chunk = await anext(self._rest, None)
                if chunk is None:
                    break
                size += len(chunk)
                self.held.append(chunk)
                self._attempt.fed(chunk)
        except Exception as error:  # noqa: BLE001 - the caller's, raised where they read
            self._failed = error
        except BaseException as error:
            self._attempt.over(error)
            await self._inner.aclose()
            raise

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self.held:
            yield chunk
        try:
            if self._failed is not None:
                raise self._failed  # noqa: TRY301 - noted below, as if it came now
            if self._rest is not None:
                async for chunk in self._rest:
                    yield chunk
            else:
                async for chunk in self._inner:
                    self._attempt.fed(chunk)
                    yield chunk
        except GeneratorExit:
            self._attempt.over(left=True)
            raise
        except BaseException as error:
            self._attempt.over(error)
            raise
        self._attempt.over()

    async def aclose(self) -> None:
        try:
            await self._inner.aclose()
        finally:
            self._attempt.over(left=True)
