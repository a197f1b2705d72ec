"""A caller who leaves, is cancelled or interrupted goes at once, and the line says so."""

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from recorder_kit import CHAT_STREAM, IDS, KEY, head, lines, piece, serving, stream, whole
from recorder_sdks import TRIES, ask, ask_async, close_async, httpx2, make

from runbook_lib.recorder import record, transport

BEGUN = [stream(piece("a") * 3), "stall"]
REFUSED = b'{"error":{"type":"rate_limit_error","message":"x"}}'
CODE = "rate_limit_error"
ASKED = {"model": "m-1", "messages": [], "stream": True}
CHAT = "/v1/chat/completions"


@contextmanager
def _interrupted(when: Callable[[], bool]) -> Iterator[None]:
    """Raise KeyboardInterrupt in the main thread once *when* is true."""

    def wait() -> None:
        while not when():
            time.sleep(0.005)
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=wait, daemon=True).start()
    try:
        with pytest.raises(KeyboardInterrupt):
            yield
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("begun", [False, True], ids=["before-the-answer", "in-the-stream"])
@pytest.mark.parametrize("sdk", ["openai", "anthropic", "httpx2"])
def test_an_interrupt_passes(*, sdk: str, begun: bool, tmp_path: Path) -> None:
    """Ctrl-C ends the program as ever, and the log tells what was under way."""
    path, came = tmp_path / "calls.jsonl", threading.Event()
    with serving(BEGUN if begun else ["stall"]) as server:
        client = record(make(sdk, server.url, KEY, is_async=False), path)
        with _interrupted(lambda: came.is_set() if begun else server.seen == 1):
            got = _begin(sdk, client)
            for _ in got.iter_raw():
                came.set()
        client.close()
    (line,) = lines(path)
    assert line["error.type"] == "KeyboardInterrupt"
    assert line.get("torouter.stream.end") == ("cancelled" if begun else None)


def _begin(sdk: str, client: Any) -> Any:
    """Begin a stream; give the answer of the HTTP client."""
    if sdk == "httpx2":
        return client.send(client.build_request("POST", CHAT, json=ASKED), stream=True)
    asked = {"model": "m-1", "messages": [{"role": "user", "content": "x"}], "stream": True}
    if sdk == "anthropic":
        return client.messages.create(max_tokens=5, **asked).response
    return client.chat.completions.create(**asked).response


@pytest.mark.parametrize("begun", [False, True], ids=["before-the-answer", "in-the-stream"])
@pytest.mark.parametrize("sdk", ["openai", "anthropic", "genai", "httpx", "httpx2"])
def test_a_cancelled_task_stays_cancelled(*, sdk: str, begun: bool, tmp_path: Path) -> None:
    """Cancelling goes through, before the answer and in the middle of a stream."""
    path = tmp_path / "calls.jsonl"

    async def inside(server: Any) -> None:
        client = record(make(sdk, server.url, KEY, is_async=True), path)
        task = asyncio.create_task(ask_async(sdk, client, "x", {}, streaming=True))
        while server.seen == 0:
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await close_async(sdk, client)

    with serving(BEGUN if begun else ["stall"]) as server:
        asyncio.run(inside(server))
    (line,) = lines(path)
    assert line["error.type"] == "CancelledError"
    assert line.get("torouter.stream.end") == ("cancelled" if begun else None)


@pytest.mark.parametrize("how", ["close", "drop"])
@pytest.mark.parametrize("sdk", ["openai", "anthropic", "httpx2"])
def test_a_stream_left_early_is_cancelled(sdk: str, how: str, tmp_path: Path) -> None:
    """Who leaves a stream is billed for all of it: the line must say that it was left."""
    path = tmp_path / "calls.jsonl"
    with serving(BEGUN) as server:
        client = record(make(sdk, server.url, KEY, is_async=False), path)
        got = _begin(sdk, client)
        parts = got.iter_raw()
        next(parts)
        if how == "close":
            got.close()
        del got, parts
        gc.collect()
        client.close()
    (line,) = lines(path)
    assert line["torouter.stream.end"] == "cancelled"
    assert line["gen_ai.response.id"] == "chatcmpl-1"


def test_what_is_open_when_the_program_ends_is_a_line(tmp_path: Path) -> None:
    """A script that ends in the middle of a stream has made a call all the same."""
    path = tmp_path / "calls.jsonl"
    script = (
        "import sys, httpx2\n"
        "from runbook_lib.recorder import record\n"
        "client = record(httpx2.Client(), sys.argv[1])\n"
        "asked = client.build_request('POST', sys.argv[2], json={'stream': True})\n"
        "got = client.send(asked, stream=True)\n"
        "parts = got.iter_raw()\n"
        "next(parts)\n"
        "ring = [parts]; ring.append(ring)\n"
    )
    with serving(BEGUN) as server:
        asked = [sys.executable, "-c", script, str(path), f"{server.url}{CHAT}"]
        subprocess.run(asked, check=True, timeout=30)
    (line,) = lines(path)
    assert line["torouter.stream.end"] == "cancelled"
    assert line["http.response.header.x-request-id"] == ["6f1c-one", "req_two"]


# Refusals that are closed unread ----------------------------------------------------------------


def _slow(pause: Any) -> list[Any]:
    """A refusal whose body is half there, and the rest after a pause."""
    length = b"Content-Length: %d\r\n\r\n" % len(REFUSED)
    return [head(429, length) + REFUSED[:20], pause, REFUSED[20:]]


@pytest.mark.parametrize(
    ("sdk", "is_async"),
    [
        pytest.param("openai", False, id="openai-sync"),
        pytest.param("openai", True, id="openai-async", marks=pytest.mark.long),
        pytest.param("anthropic", False, id="anthropic-sync", marks=pytest.mark.long),
        pytest.param("anthropic", True, id="anthropic-async", marks=pytest.mark.long),
    ],
)
def test_a_refusal_that_never_ends_holds_nobody_up(
    *, sdk: str, is_async: bool, tmp_path: Path
) -> None:
    """The SDK closes it unread and tries again; waiting for its code has an end."""
    path = tmp_path / "calls.jsonl"
    told = []
    for place in (None, path):
        with serving(_slow("stall"), whole(401, b'{"code":"INVALID_API_KEY"}')) as server:
            client = make(sdk, server.url, KEY, is_async=is_async, timeout=60)
            if place is not None:
                record(client, place)
            begun = time.monotonic()
            told.append(_ask(sdk, client, is_async=is_async))
            assert time.monotonic() - begun < 4  # the server waits for five seconds
            assert server.seen == TRIES
    assert told[0] == told[1]
    first, second = lines(path)
    assert first["http.response.status_code"] == 429
    assert "torouter.error.code" not in first
    assert second["torouter.error.code"] == "INVALID_API_KEY"


def _ask(sdk: str, client: Any, *, is_async: bool) -> Any:
    if not is_async:
        told = ask(sdk, client, "x", {}, streaming=True)
        client.close()
        return told

    async def inside() -> Any:
        told = await ask_async(sdk, client, "x", {}, streaming=True)
        await close_async(sdk, client)
        return told

    return asyncio.run(inside())


@pytest.mark.long
@pytest.mark.parametrize("stop", [False, True], ids=["as-ever", "stop-sticky"])
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("sdk", ["openai", "anthropic", "httpx2"])
def test_a_slow_refusal_reaches_the_caller_whole(
    *, sdk: str, is_async: bool, stop: bool, tmp_path: Path
) -> None:
    """Who reads it waits as long as they would have, and has every byte of it."""
    path = tmp_path / "calls.jsonl"
    told = []
    for place in (None, path):
        with serving(_slow(2.5)) as server:
            client = make(sdk, server.url, KEY, is_async=is_async, timeout=60)
            if sdk != "httpx2":
                client = client.with_options(max_retries=0)
            if place is not None:
                record(client, place, stop_sticky=stop)
            told.append(_ask(sdk, client, is_async=is_async))
    assert told[0] == told[1]
    (line,) = lines(path)
    assert line["torouter.error.code"] == CODE


def test_the_request_keeps_its_own_patience(tmp_path: Path) -> None:
    """A request that its user sends again must not have become impatient."""
    with serving(_slow(0.0)) as server, httpx2.Client(base_url=server.url, timeout=60) as client:
        record(client, tmp_path / "calls.jsonl")
        asked = client.build_request("POST", CHAT, json=ASKED)
        client.send(asked, stream=True).close()
        assert asked.extensions["timeout"]["read"] == 60
    assert lines(tmp_path / "calls.jsonl")[0]["torouter.error.code"] == CODE


def test_who_is_interrupted_waits_for_no_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancelling and Ctrl-C beat the wish to know why a call was refused."""
    monkeypatch.setattr(transport, "_READ_FOR_S", 60.0)
    path = tmp_path / "calls.jsonl"

    async def inside(url: str) -> None:
        async with httpx2.AsyncClient(base_url=url, timeout=60) as client:
            record(client, path)
            with pytest.raises(asyncio.CancelledError):
                async with client.stream("POST", CHAT, json=ASKED):
                    raise asyncio.CancelledError

    with serving(_slow("stall")) as server:
        begun = time.monotonic()
        asyncio.run(inside(server.url))
        with httpx2.Client(base_url=server.url, timeout=60) as client:
            record(client, path)
            with pytest.raises(KeyboardInterrupt), client.stream("POST", CHAT, json=ASKED):
                raise KeyboardInterrupt
        assert time.monotonic() - begun < 4
    assert [line["http.response.status_code"] for line in lines(path)] == [429, 429]


def test_a_refusal_of_a_transport_without_a_timeout_is_not_waited_for(tmp_path: Path) -> None:
    """A transport of the user need not obey the timeout: reading it could take for ever."""

    class Endless(httpx2.SyncByteStream):  # type: ignore[misc]
        """A body that must not be read."""

        def __iter__(self) -> Iterator[bytes]:
            raise AssertionError

    path = tmp_path / "calls.jsonl"
    transport_ = httpx2.MockTransport(lambda _: httpx2.Response(503, stream=Endless()))
    with record(httpx2.Client(transport=transport_), path) as client:
        client.send(
            client.build_request("POST", f"http://x{CHAT}", json=ASKED), stream=True
        ).close()
    (line,) = lines(path)
    assert line["http.response.status_code"] == 503
    assert "torouter.error.code" not in line


def test_a_stream_that_is_read_gives_what_was_read_ahead_first(tmp_path: Path) -> None:
    """With `stop_sticky` a long refusal is read in part before the SDK has it: it stays whole."""
    body = b'{"error":{"type":"rate_limit_error","message":"' + b"y" * 300_000 + b'"}}'
    path = tmp_path / "calls.jsonl"
    with serving(whole(429, body)) as server, httpx2.Client(base_url=server.url) as client:
        record(client, path, stop_sticky=True)
        with client.stream("POST", CHAT, json=ASKED) as got:
            assert b"".join(got.iter_raw()) == body
            assert "x-should-retry" not in got.headers
    assert lines(path)[0]["torouter.error.code"] == CODE


def test_a_whole_stream_is_complete_though_its_sdk_stops_reading(tmp_path: Path) -> None:
    """An SDK leaves at the end marker; that is no early leaving."""
    path = tmp_path / "calls.jsonl"
    more = b"HTTP/1.1 200 X\r\nContent-Type: text/event-stream\r\n" + IDS + b"\r\n" + CHAT_STREAM
    with serving([more, "stall"]) as server:
        client = record(make("openai", server.url, KEY, is_async=False), path)
        assert not ask("openai", client, "x", {}, streaming=True).error
        client.close()
    assert lines(path)[0]["torouter.stream.end"] == "complete"
