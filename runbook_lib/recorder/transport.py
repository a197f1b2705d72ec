"""Wraps the transport and the response streams of a client; works for httpx and httpx2.

Their classes are looked up in the library the client itself uses: an answer's stream must be of its
own library's kind. Nothing is read before the caller reads it, with two exceptions. A refusal that
the caller closes unread, as SDKs do before they try again, is read then, for two seconds at most
and 64 KiB: nobody sees it any more, and it tells why. And with `stop_sticky` a 429 is read before
the SDK decides, with the client's own patience, and handed on as it came.
"""

import asyncio
import functools
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any, Final

from runbook_lib.recorder.attempt import Attempt, Settings

LIBRARIES: Final = ("httpx", "httpx2")
_MOST_READ: Final = 65_536
_READ_FOR_S: Final = 1.0
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
    """A transport that is recorded: what its sync and its async form share.

    Attributes:
        settings: Of the recorder; replaced when the client is recorded again.
    """

    def __init__(self, inner: Any, settings: Settings, stream: type[Any]) -> None:
        self._inner, self.settings, self._stream = inner, settings, stream

    def _watched(self, response: Any, attempt: Attempt, request: Any) -> Any:
        """Let the attempt see the body; give the stream that must be read before it is handed on.

        An answer that was made whole, as test transports do, is over at once.
        """
        attempt.answered(response)
        content = getattr(response, _CONTENT, None)
        if isinstance(content, bytes):
            attempt.fed(content)
            attempt.stop_if_sticky(response, content)
            attempt.over()
            return None
        stream = self._stream(response.stream, attempt, request.extensions)
        response.stream = stream
        return stream if attempt.may_be_sticky else None


class _Transport(Recorded):
    def __enter__(self) -> Any:
        self._inner.__enter__()
        return self

    def __exit__(self, *about: Any) -> None:
        self._inner.__exit__(*about)

    def close(self) -> None:
        self._inner.close()

    def handle_request(self, request: Any) -> Any:
        attempt = Attempt(self.settings, request)
        try:
            response = self._inner.handle_request(request)
        except BaseException as error:
            attempt.over(error)
            raise
        if (stream := self._watched(response, attempt, request)) is not None:
            stream.read_ahead()
            attempt.stop_if_sticky(response, b"".join(stream.held))
        return response


class _AsyncTransport(Recorded):
    async def __aenter__(self) -> Any:
        await self._inner.__aenter__()
        return self

    async def __aexit__(self, *about: Any) -> None:
        await self._inner.__aexit__(*about)

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def handle_async_request(self, request: Any) -> Any:
        attempt = Attempt(self.settings, request)
        try:
            response = await self._inner.handle_async_request(request)
        except BaseException as error:
            attempt.over(error)
            raise
        if (stream := self._watched(response, attempt, request)) is not None:
            await stream.read_ahead()
            attempt.stop_if_sticky(response, b"".join(stream.held))
        return response


class _Held:
    """What both kinds of stream share.

    Attributes:
        held: Pieces read ahead, handed on first.
    """

    def __init__(self, inner: Any, attempt: Attempt, extensions: dict[str, Any]) -> None:
        self._inner, self._attempt, self._extensions = inner, attempt, extensions
        self._source = inner
        self._failed: Exception | None = None
        self._begun = False
        self._left_to_read, self._until = _MOST_READ, 0.0
        self.held: list[bytes] = []

    def __del__(self) -> None:
        self._attempt.over(left=True)

    def _goes_on(self, chunk: bytes) -> bool:
        """Feed the attempt a piece that nobody asked for; tell whether to read another."""
        self._until = self._until or time.monotonic() + _READ_FOR_S
        self._attempt.fed(chunk)
        self._left_to_read -= len(chunk)
        return self._left_to_read > 0 and time.monotonic() < self._until

    @contextmanager
    def _ahead(self) -> Iterator[None]:
        """Keep what fails while reading ahead for who reads; let go who is interrupted."""
        self._begun = True
        try:
            yield
        except Exception as error:  # noqa: BLE001 - the caller's, raised where they read
            self._failed = error
        except BaseException as error:
            self._attempt.over(error)
            raise

    def _says_why(self) -> bool:
        """Tell whether a body that is being closed unread should be read first.

        Not when the caller is interrupted: who cancels waits for nothing.
        """
        status, flying = self._attempt.status, sys.exc_info()[1]
        return (
            not self._begun
            and status is not None
            and status >= 400
            and (flying is None or isinstance(flying, Exception))
        )

    def _is_bounded(self) -> bool:
        """Tell whether the stream obeys the timeout we set, as those of the library do."""
        return type(self._inner).__module__.partition(".")[0] in LIBRARIES

    @contextmanager
    def _last_words(self) -> Iterator[None]:
        """Wait a second at most for each read, and drop what fails: nobody reads any more."""
        waits = self._extensions.pop("timeout", None)
        read = (waits or {}).get("read")
        short = _READ_FOR_S if read is None else min(read, _READ_FOR_S)
        self._extensions["timeout"] = {**(waits or {}), "read": short}
        try:
            with suppress(Exception):  # foreign code; its error would have been nobody's
                yield
        finally:
            del self._extensions["timeout"]
            if waits is not None:
                self._extensions["timeout"] = waits


class _Stream(_Held):
    def read_ahead(self) -> None:
        self._source = iter(self._inner)
        try:
            with self._ahead():
                for chunk in self._source:
                    self.held.append(chunk)
                    if not self._goes_on(chunk):
                        break
        except BaseException:
            self._inner.close()
            raise

    def __iter__(self) -> Iterator[bytes]:
        self._begun = True
        with self._attempt:
            yield from self.held
            if self._failed is not None:
                raise self._failed
            for chunk in self._source:
                self._attempt.fed(chunk)
                yield chunk

    def close(self) -> None:
        try:
            if self._says_why() and self._is_bounded():
                with self._last_words():
                    for chunk in self._inner:
                        if not self._goes_on(chunk):
                            break
                    else:
                        self._attempt.over()
        finally:
            try:
                self._inner.close()
            finally:
                self._attempt.over(left=True)


class _AsyncStream(_Held):
    async def read_ahead(self) -> None:
        self._source = aiter(self._inner)
        try:
            with self._ahead():
                async for chunk in self._source:
                    self.held.append(chunk)
                    if not self._goes_on(chunk):
                        break
        except BaseException:
            await self._inner.aclose()
            raise

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self._begun = True
        with self._attempt:
            for chunk in self.held:
                yield chunk
            if self._failed is not None:
                raise self._failed
            async for chunk in self._source:
                self._attempt.fed(chunk)
                yield chunk

    async def aclose(self) -> None:
        try:
            if self._says_why() and (self._is_bounded() or _on_asyncio()):
                with self._last_words():
                    async with asyncio.timeout(2 * _READ_FOR_S) if _on_asyncio() else nullcontext():
                        async for chunk in self._inner:
                            if not self._goes_on(chunk):
                                break
                        else:
                            self._attempt.over()
        finally:
            try:
                await self._inner.aclose()
            finally:
                self._attempt.over(left=True)


def _on_asyncio() -> bool:
    """Tell whether asyncio can limit the time; trio's users have the limit of each read."""
    try:
        return asyncio.current_task() is not None
    except RuntimeError:
        return False
