"""Every attempt of the real SDKs is a line, over real sockets; the caller sees no difference."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from recorder_kit import CANARY, CHAT_STREAM, KEY, chat, head, lines, piece, serving, stream
from recorder_kit import whole as answer

from runbook_lib import sources
from runbook_lib.recorder import record

openai = pytest.importorskip("openai")
anthropic = pytest.importorskip("anthropic")
genai = pytest.importorskip("google.genai")
httpx = pytest.importorskip("httpx")
httpx2 = pytest.importorskip("httpx2")

ASKED = [{"role": "user", "content": CANARY}]
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-x",
    "content": [{"type": "text", "text": CANARY}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 12, "output_tokens": 3, "cache_read_input_tokens": 4},
}
GEMINI = {
    "candidates": [
        {"content": {"parts": [{"text": CANARY}], "role": "model"}, "finishReason": "STOP"}
    ],
    "usageMetadata": {"promptTokenCount": 12, "candidatesTokenCount": 3, "totalTokenCount": 15},
    "modelVersion": "gemini-x",
    "responseId": "g-1",
}


def _event(kind: str, **value: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **value})}\n\n".encode()


MESSAGE_STREAM = (
    _event("message_start", message={**MESSAGE, "content": [], "stop_reason": None})
    + _event("content_block_start", index=0, content_block={"type": "text", "text": ""})
    + _event("content_block_delta", index=0, delta={"type": "text_delta", "text": CANARY})
    + _event("content_block_stop", index=0)
    + _event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 3})
    + _event("message_stop")
)
GEMINI_STREAM = b"data: " + json.dumps(GEMINI).encode() + b"\n\n"
WHOLE = {
    "openai": (chat(), CHAT_STREAM),
    "anthropic": (json.dumps(MESSAGE).encode(), MESSAGE_STREAM),
    "genai": (json.dumps(GEMINI).encode(), GEMINI_STREAM),
}
LONG = ("anthropic", "genai", "httpx")
SDKS = ["openai", "httpx2", *(pytest.param(sdk, marks=pytest.mark.long) for sdk in LONG)]


def make(sdk: str, url: str, *, is_async: bool) -> Any:
    """Make a client of an SDK for a server."""
    if sdk == "openai":
        kind = openai.AsyncOpenAI if is_async else openai.OpenAI
        return kind(base_url=f"{url}/v1", api_key=KEY, timeout=1)
    if sdk == "anthropic":
        kind = anthropic.AsyncAnthropic if is_async else anthropic.Anthropic
        return kind(base_url=url, api_key=KEY, timeout=1)
    if sdk == "genai":
        retry = genai.types.HttpRetryOptions(attempts=3, initial_delay=0.01, max_delay=0.02)
        options = genai.types.HttpOptions(base_url=url, timeout=1000, retry_options=retry)
        return genai.Client(api_key=KEY, http_options=options)
    library = httpx if sdk == "httpx" else httpx2
    kind = library.AsyncClient if is_async else library.Client
    return kind(base_url=url, timeout=1, headers={"Authorization": f"Bearer {KEY}"})


def ask(sdk: str, client: Any, *, streaming: bool) -> Any:
    """Ask as a user would; give what came, or the name of what was raised."""
    try:
        if sdk == "openai":
            got = client.chat.completions.create(model="m-1", messages=ASKED, stream=streaming)
            return [str(p) for p in got] if streaming else str(got)
        if sdk == "anthropic":
            got = client.messages.create(
                model="m-1", max_tokens=5, messages=ASKED, stream=streaming
            )
            return [str(p) for p in got] if streaming else str(got)
        if sdk == "genai":
            if streaming:
                parts = client.models.generate_content_stream(model="m-1", contents=CANARY)
                return [p.text for p in parts]
            return client.models.generate_content(model="m-1", contents=CANARY).text
        body = {"model": "m-1", "messages": ASKED, "stream": streaming}
        if streaming:
            with client.stream("POST", "/v1/chat/completions", json=body) as got:
                return got.status_code, b"".join(got.iter_raw())
        got = client.post("/v1/chat/completions", json=body)
    except Exception as error:  # noqa: BLE001 - foreign code; its kind is what is compared
        return type(error).__name__
    return got.status_code, got.content


async def ask_async(sdk: str, client: Any, *, streaming: bool) -> Any:
    """As `ask`."""
    try:
        if sdk in ("openai", "anthropic"):
            more = {"max_tokens": 5} if sdk == "anthropic" else {}
            create = client.messages.create if more else client.chat.completions.create
            got = await create(model="m-1", messages=ASKED, stream=streaming, **more)
            return [str(p) async for p in got] if streaming else str(got)
        if sdk == "genai":
            if streaming:
                parts = await client.aio.models.generate_content_stream(
                    model="m-1", contents=CANARY
                )
                return [p.text async for p in parts]
            return (await client.aio.models.generate_content(model="m-1", contents=CANARY)).text
        body = {"model": "m-1", "messages": ASKED, "stream": streaming}
        if streaming:
            async with client.stream("POST", "/v1/chat/completions", json=body) as got:
                return got.status_code, b"".join([p async for p in got.aiter_raw()])
        got = await client.post("/v1/chat/completions", json=body)
    except Exception as error:  # noqa: BLE001 - foreign code; its kind is what is compared
        return type(error).__name__
    return got.status_code, got.content


def run(
    sdk: str, url: str, *, is_async: bool, streaming: bool, path: Path | None, **options: Any
) -> Any:
    """Make a client, record it where a path is given, and ask once."""
    if not is_async:
        client = make(sdk, url, is_async=False)
        if path is not None:
            assert record(client, path, key_name="prod-web", **options) is client
        try:
            return ask(sdk, client, streaming=streaming)
        finally:
            client.close()

    async def inside() -> Any:
        client = make(sdk, url, is_async=True)
        if path is not None:
            record(client, path, key_name="prod-web", **options)
        try:
            return await ask_async(sdk, client, streaming=streaming)
        finally:
            if sdk == "genai":
                await client.aio.aclose()
                client.close()
            else:
                await (client.aclose() if hasattr(client, "aclose") else client.close())

    return asyncio.run(inside())


def _answers(sdk: str, fault: str, *, streaming: bool) -> list[Any]:
    plain, events = WHOLE.get(sdk, WHOLE["openai"])
    good = stream(events) if streaming else answer(200, plain)
    limit = b'{"error":{"type":"rate_limit_error","message":"slow"}}'
    short = b"Content-Length: 900\r\nConnection: close\r\n\r\n" + plain[:40]
    table: dict[str, list[Any]] = {
        "good": [good],
        "429-once": [answer(429, limit, b"retry-after-ms: 1\r\n"), good],
        "503-once": [answer(503, b"<html>", b"retry-after-ms: 1\r\n", "text/html"), good],
        "401": [answer(401, b'{"code":"INVALID_API_KEY","message":"no"}')],
        "cut": [stream(events[: len(events) // 2]) if streaming else [head(200) + short]],
        "reset": [[stream(events[:150]), "reset"] if streaming else [head(200) + short, "reset"]],
        "stall": [[stream(events[:150]), "stall"] if streaming else [head(200) + short, "stall"]],
        "error": [stream(b'data: {"error":{"type":"upstream_error","message":"x"}}\n\n')],
        "empty": [
            stream(b"" if sdk == "genai" else b": ping\n\n") if streaming else answer(200, b"{}")
        ],
        "garbage": [[b"\x00\x01 this is no HTTP\r\n\r\n"]],
    }
    return table[fault]


FAULTS = [
    *("good", "429-once", "401", "error", "empty"),
    *(pytest.param(name, marks=pytest.mark.long) for name in ("503-once", "cut", "reset")),
]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("streaming", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("sdk", SDKS)
def test_every_attempt_is_a_line_and_the_caller_sees_no_difference(
    *, sdk: str, is_async: bool, streaming: bool, fault: str, tmp_path: Path
) -> None:
    """An attempt without a line is a question nobody can answer; a changed answer is a fault."""
    path = tmp_path / "calls.jsonl"
    answers = _answers(sdk, fault, streaming=streaming)
    with serving(*answers) as server:
        plain = run(sdk, server.url, is_async=is_async, streaming=streaming, path=None)
        sent = server.seen
    with serving(*answers) as server:
        same = run(sdk, server.url, is_async=is_async, streaming=streaming, path=path)
        assert server.seen == sent
    assert same == plain
    held = lines(path)
    assert len(held) == sent
    assert len({line["torouter.call.id"] for line in held}) == 1
    assert [line["torouter.attempt"] for line in held] == list(range(1, sent + 1))
    assert [line["http.request.resend_count"] for line in held] == list(range(sent))
    for line in held:
        assert line["http.response.header.x-request-id"] == ["6f1c-one", "req_two"]
        assert line["http.response.header.x-client-request-id"] == ["c-three"]
        assert line["gen_ai.request.model"] == "m-1"
    text = path.read_text()
    assert "canary" not in text
    if fault == "429-once":
        assert held[0]["torouter.error.code"] == "rate_limit_error"
    if fault == "good":
        assert held[0]["gen_ai.usage.output_tokens"] == 3
        assert held[0].get("torouter.stream.end") == ("complete" if streaming else None)
    if fault == "empty" and streaming:
        assert held[0]["torouter.stream.end"] == "empty"
    if fault == "error":
        assert held[0]["torouter.error.code"] == "upstream_error"
        assert held[0]["torouter.stream.end"] == "error_event"
    if fault == "cut" and streaming:
        assert held[0]["torouter.stream.end"] == "truncated"


@pytest.mark.long
@pytest.mark.parametrize("fault", ["stall", "garbage"])
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("sdk", ["openai", "anthropic", "httpx", "httpx2"])
def test_what_never_comes_whole_is_a_line(
    *, sdk: str, is_async: bool, fault: str, tmp_path: Path
) -> None:
    """A stream that stops and an answer that is no HTTP raise the same as ever."""
    path = tmp_path / "calls.jsonl"
    seen = []
    for place in (None, path):
        with serving(*_answers(sdk, fault, streaming=True)) as server:
            got = run(sdk, server.url, is_async=is_async, streaming=True, path=place)
            seen.append((got, server.seen))
    assert seen[0] == seen[1]
    held = lines(path)
    assert len(held) == seen[1][1]
    kind = "ReadTimeout" if fault == "stall" else "RemoteProtocolError"
    assert {line["error.type"] for line in held} == {kind}
    end = "timeout" if fault == "stall" else None
    assert {line.get("torouter.stream.end") for line in held} == {end}


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("sdk", SDKS)
def test_a_refused_connection_is_a_line(*, sdk: str, is_async: bool, tmp_path: Path) -> None:
    """Hooks of the client never see what got no answer."""
    path = tmp_path / "calls.jsonl"
    with serving(None) as server:
        url = server.url
    run(sdk, url, is_async=is_async, streaming=False, path=path)
    held = lines(path)
    assert held
    assert all("http.response.status_code" not in line for line in held)
    assert {line["error.type"] for line in held} == {"ConnectError"}


@pytest.mark.parametrize("sdk", ["openai", "anthropic"])
@pytest.mark.parametrize("streaming", [False, True], ids=["whole", "stream"])
def test_a_sticky_429_is_stopped_only_when_asked(
    *, sdk: str, streaming: bool, tmp_path: Path
) -> None:
    """The SDKs send a spent cap again and again; stopping that changes what is sent."""
    body = b'{"code":"API_KEY_QUOTA_EXHAUSTED","message":"x"}'
    for stop, sent in ((False, 3), (True, 1)):
        path = tmp_path / f"{stop}.jsonl"
        with serving(answer(429, body, b"retry-after-ms: 1\r\n")) as server:
            got = run(
                sdk,
                server.url,
                is_async=False,
                streaming=streaming,
                path=path,
                stop_sticky=stop,
            )
            assert server.seen == sent
        assert got == "RateLimitError"
        held = lines(path)
        assert [line.get("torouter.stopped_retry", False) for line in held] == [stop] * sent
        assert {line["torouter.error.code"] for line in held} == {"API_KEY_QUOTA_EXHAUSTED"}


def test_the_log_is_read_without_a_map(tmp_path: Path) -> None:
    """What the recorder writes is what the intake knows."""
    import pyarrow.parquet as pq

    path = tmp_path / "calls.jsonl"
    limit = answer(429, b'{"code":"API_KEY_QUOTA_EXHAUSTED"}', b"retry-after-ms: 1\r\n")
    with serving(limit, stream(CHAT_STREAM)) as server:
        run("openai", server.url, is_async=False, streaming=True, path=path)
    staging = tmp_path / "staging"
    staging.mkdir()
    (intake,) = sources.read(path, staging)
    rows = pq.read_table(next(staging.glob("*.parquet"))).to_pylist()
    assert intake.rows == len(rows) == 2
    assert [row["code"] for row in rows] == ["API_KEY_QUOTA_EXHAUSTED", None]
    assert [row["retry"] for row in rows] == ["never", None]
    assert [row["outcome"] for row in rows] == ["refused", "ok"]
    assert [row["stream_end"] for row in rows] == [None, "complete"]
    assert [row["output_tokens"] for row in rows] == [None, 3]
    assert {row["request_ids"] for row in rows} == {"6f1c-one,req_two"}
    assert {row["key_name"] for row in rows} == {"prod-web"}


def test_a_stream_left_early_is_cancelled(tmp_path: Path) -> None:
    """Who leaves a stream is billed for all of it: the line must say that it was left."""
    path = tmp_path / "calls.jsonl"
    with serving([stream(piece("a") * 3), "stall"]) as server:
        client = record(make("openai", server.url, is_async=False), path)
        got = client.chat.completions.create(model="m-1", messages=ASKED, stream=True)
        next(iter(got))
        got.close()
        client.close()
    assert lines(path)[0]["torouter.stream.end"] == "cancelled"


def test_a_cancelled_task_stays_cancelled(tmp_path: Path) -> None:
    """Cancelling must go through, before the answer and in the middle of a stream."""
    path = tmp_path / "calls.jsonl"

    async def inside(url: str) -> None:
        client = record(make("httpx2", url, is_async=True), path)
        task = asyncio.create_task(ask_async("httpx2", client, streaming=True))
        while server.seen == 0:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await client.aclose()

    with serving(["stall"]) as server:
        asyncio.run(inside(server.url))
    with serving([stream(piece("a")), "stall"]) as server:
        asyncio.run(inside(server.url))
    first, second = lines(path)
    assert first["error.type"] == second["error.type"] == "CancelledError"
    assert second["torouter.stream.end"] == "cancelled"
