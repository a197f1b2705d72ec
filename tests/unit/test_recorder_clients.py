"""Every kind of client is recorded as it is used: copies, loops, transports, hooks, sticky 429s."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from recorder_kit import CHAT_STREAM, IDS, KEY, chat, lines, serving, stream, whole
from recorder_sdks import (
    SDKS,
    TRIES,
    Told,
    anthropic,
    ask,
    ask_async,
    close_async,
    genai,
    httpx,
    httpx2,
    make,
    openai,
)

from runbook_lib import sources
from runbook_lib.errors import ParameterError
from runbook_lib.recorder import record

CAP = whole(429, b'{"code":"API_KEY_QUOTA_EXHAUSTED","message":"x"}')
WINDOW = whole(429, b'{"error":{"type":"rate_limit_exceeded","message":"x"}}')
LIMIT = whole(429, b'{"error":{"type":"rate_limit_error","message":"x"}}')
KINDS = [pytest.param(False, id="sync"), pytest.param(True, id="async")]


def run(
    sdk: str, url: str, *, is_async: bool, streaming: bool, path: Path | None, **options: Any
) -> Told:
    """Make a client, record it where a path is given, and ask once."""
    client = make(sdk, url, KEY, is_async=is_async)
    if path is not None:
        assert record(client, path, key_name="prod-web", **options) is client
    if not is_async:
        told = ask(sdk, client, "x", {}, streaming=streaming)
        client.close()
        return told

    async def inside() -> Told:
        told = await ask_async(sdk, client, "x", {}, streaming=streaming)
        await close_async(sdk, client)
        return told

    return asyncio.run(inside())


@pytest.mark.parametrize("is_async", KINDS)
@pytest.mark.parametrize("sdk", SDKS)
def test_a_refused_connection_is_a_line(*, sdk: str, is_async: bool, tmp_path: Path) -> None:
    """Hooks of the client never see what got no answer."""
    path = tmp_path / "calls.jsonl"
    with serving(None) as server:
        url = server.url
    run(sdk, url, is_async=is_async, streaming=False, path=path)
    held = lines(path)
    assert len(held) == (1 if sdk.startswith("httpx") else TRIES)
    assert all("http.response.status_code" not in line for line in held)
    assert {line["error.type"] for line in held} == {"ConnectError"}


@pytest.mark.parametrize("streaming", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("is_async", KINDS)
@pytest.mark.parametrize("sdk", SDKS)
def test_a_sticky_429_is_stopped_only_when_asked(
    *, sdk: str, is_async: bool, streaming: bool, tmp_path: Path
) -> None:
    """The SDKs send a spent cap again and again; stopped, they raise the same, only sooner."""
    obeys = sdk in ("openai", "responses", "anthropic")
    again = 1 if sdk.startswith("httpx") else TRIES
    told = {}
    for stop in (False, True):
        path = tmp_path / f"{stop}.jsonl"
        with serving(CAP) as server:
            told[stop] = run(
                sdk, server.url, is_async=is_async, streaming=streaming, path=path, stop_sticky=stop
            )
            assert server.seen == (1 if stop and obeys else again)
        held = lines(path)
        marked = stop and sdk != "genai"  # its SDK does not know the header
        assert [line.get("torouter.stopped_retry", False) for line in held] == [marked] * len(held)
        assert {line["torouter.error.code"] for line in held} == {"API_KEY_QUOTA_EXHAUSTED"}
    if sdk.startswith("httpx"):
        assert ("x-should-retry", "false") in told[True].parts
        told[True].parts.remove(("x-should-retry", "false"))
    assert told[True] == told[False]


@pytest.mark.parametrize(
    ("body", "sent"),
    [pytest.param(WINDOW, 1, id="window"), pytest.param(LIMIT, TRIES, id="rate-limit")],
)
def test_only_what_waiting_cannot_cure_is_stopped(body: bytes, sent: int, tmp_path: Path) -> None:
    """A rate limit passes in a second: its retry is right and stays."""
    with serving(body) as server:
        path = tmp_path / "calls.jsonl"
        run("openai", server.url, is_async=False, streaming=True, path=path, stop_sticky=True)
        assert server.seen == sent


@pytest.mark.parametrize("sdk", ["openai", "anthropic"])
def test_copies_of_a_client_are_recorded(sdk: str, tmp_path: Path) -> None:
    """`with_options` and `copy` are how an SDK's user changes one call."""
    path = tmp_path / "calls.jsonl"
    with serving(LIMIT) as server:
        client = make(sdk, server.url, KEY, is_async=False)
        before = client.with_options(max_retries=0)
        record(client, path)
        for copy in (before, client.with_options(max_retries=0), client.copy(max_retries=0)):
            ask(sdk, copy, "x", {}, streaming=False)
        client.close()
    assert len(lines(path)) == server.seen == 3


def test_a_client_that_is_recorded_again_takes_the_new_names(tmp_path: Path) -> None:
    """A cell of a notebook is run twice: no line is doubled, and the last word counts."""
    with serving(whole(200, chat())) as server, httpx2.Client(base_url=server.url) as client:
        record(client, tmp_path / "first.jsonl", key_name="old")
        record(record(client, tmp_path / "calls.jsonl", key_name="old"), tmp_path / "calls.jsonl")
        record(client, tmp_path / "calls.jsonl", key_name="new")
        ask("httpx2", client, "x", {}, streaming=False)
    assert not (tmp_path / "first.jsonl").exists()
    (line,) = lines(tmp_path / "calls.jsonl")
    assert line["torouter.key.name"] == "new"


@pytest.mark.parametrize("is_async", KINDS)
@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
def test_transports_mounts_and_proxies_of_the_user_stay(
    *, library: Any, is_async: bool, tmp_path: Path
) -> None:
    """Whatever way a request takes, it is recorded on it."""
    path = tmp_path / "calls.jsonl"
    base = library.AsyncHTTPTransport if is_async else library.HTTPTransport
    passed = []

    class Own(base):  # type: ignore[misc, valid-type]
        """A transport that a user wrote."""

        def handle_request(self, request: Any) -> Any:
            passed.append(request.url.path)
            return super().handle_request(request)

        async def handle_async_request(self, request: Any) -> Any:
            passed.append(request.url.path)
            return await super().handle_async_request(request)

    with serving(whole(200, chat())) as server:
        kind = library.AsyncClient if is_async else library.Client
        client = record(
            kind(transport=Own(), mounts={"all://mounted": base(proxy=server.url)}), path
        )
        proxied = record(kind(proxy=server.url, trust_env=False), path)
        asked = [
            (client, f"{server.url}/own"),
            (client, "http://mounted/mount"),
            (proxied, "http://elsewhere/proxy"),
        ]
        got: list[int] = []
        if is_async:

            async def inside() -> None:
                for held, url in asked:
                    got.append((await held.get(url)).status_code)
                await client.aclose()
                await proxied.aclose()

            asyncio.run(inside())
        else:
            got += [held.get(url).status_code for held, url in asked]
            client.close()
            proxied.close()
    assert got == [200] * 3
    assert passed == ["/own"]
    assert [line["url.path"] for line in lines(path)] == ["/own", "/mount", "/proxy"]


def test_an_answer_of_a_test_transport_is_a_line(tmp_path: Path) -> None:
    """Tests of a user's code run on answers that were never sent."""
    path = tmp_path / "calls.jsonl"
    answer = httpx2.Response(200, json=json.loads(chat()), headers={"x-request-id": "made"})
    transport = httpx2.MockTransport(lambda _: answer)
    with record(httpx2.Client(transport=transport), path) as client:
        assert client.post("http://made/v1/chat/completions", json={"model": "m"}).json()["id"]
    (line,) = lines(path)
    assert line["http.response.header.x-request-id"] == ["made"]
    assert line["gen_ai.usage.output_tokens"] == 3


def test_hooks_of_the_user_keep_working(tmp_path: Path) -> None:
    """A hook may read the answer, and it still reaches the caller and the log."""
    path, seen = tmp_path / "calls.jsonl", []

    def after(response: Any) -> None:
        seen.append((response.status_code, response.read()))

    hooks = {"request": [lambda request: seen.append(request.method)], "response": [after]}
    with serving(whole(200, chat())) as server:
        client = record(httpx2.Client(base_url=server.url, event_hooks=hooks), path)
        got = client.post("/v1/chat/completions", json={"model": "m"})
        client.close()
    assert seen == ["POST", (200, got.content)]
    assert lines(path)[0]["gen_ai.usage.output_tokens"] == 3


def test_a_closed_client_stays_closed(tmp_path: Path) -> None:
    """Nothing is sent, so there is nothing to record; the error is the library's own."""
    client = httpx2.Client()
    client.close()
    record(client, tmp_path / "calls.jsonl")
    with pytest.raises(RuntimeError, match="closed"):
        client.get("http://127.0.0.1:9/")
    assert not (tmp_path / "calls.jsonl").exists()


def test_google_clients_are_recorded_in_every_loop(tmp_path: Path) -> None:
    """They make a client of their own for each event loop, also after they were recorded."""
    path = tmp_path / "calls.jsonl"
    with serving(whole(200, b'{"candidates":[]}', b"Connection: close\r\n")) as server:
        client = make("genai", server.url, KEY, is_async=True)
        asyncio.run(ask_async("genai", client, "before", {}, streaming=False))
        record(client, path)
        record(client.aio, path)
        for name in "ab":
            asyncio.run(ask_async("genai", client, name, {}, streaming=False))
        ask("genai", client, "sync", {}, streaming=False)
        client.close()
    assert server.seen == 4
    assert len(lines(path)) == 3


@pytest.mark.parametrize(
    ("way", "library"),
    [("_use_aiohttp", "aiohttp"), ("_use_google_auth_sync", "requests")],
)
def test_a_client_that_goes_around_httpx_is_refused(
    way: str, library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls that are silently not recorded would be missed only when they are needed."""
    client = make("genai", "http://127.0.0.1:9", KEY, is_async=False)
    monkeypatch.setattr(client._api_client, way, lambda: True)
    with pytest.raises(ParameterError, match=f"google-genai over {library}.*client=httpx"):
        record(client, tmp_path / "calls.jsonl")
    client.close()


def test_the_way_out_of_aiohttp_works(tmp_path: Path) -> None:
    """What the message says must be enough."""
    pytest.importorskip("aiohttp")
    options = genai.types.HttpOptions(httpx_async_client=httpx.AsyncClient())
    with pytest.raises(ParameterError, match="aiohttp"):
        record(genai.Client(api_key=KEY), tmp_path / "calls.jsonl")
    record(genai.Client(api_key=KEY, http_options=options), tmp_path / "calls.jsonl")


@pytest.mark.parametrize("thing", [object(), openai, None], ids=["object", "module", "none"])
def test_what_holds_no_client_is_refused(thing: Any, tmp_path: Path) -> None:
    """A wrong argument is said at once, not by an empty log a week later."""
    with pytest.raises(ParameterError, match="client="):
        record(thing, tmp_path / "calls.jsonl")


def test_the_log_is_read_without_a_map(tmp_path: Path) -> None:
    """What the recorder writes is what the intake knows."""
    import pyarrow.parquet as pq

    path = tmp_path / "calls.jsonl"
    with serving(CAP, stream(CHAT_STREAM)) as server:
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


def test_redirects_belong_to_their_call(tmp_path: Path) -> None:
    """Where a call is sent on, every place it passes is an attempt of the one call."""
    path = tmp_path / "calls.jsonl"
    moved = b"HTTP/1.1 307 X\r\nLocation: /v1/other\r\nContent-Length: 0\r\n" + IDS + b"\r\n"
    with serving(moved, moved, whole(503, b"{}"), whole(200, chat())) as server:
        client = record(make("openai", server.url, KEY, is_async=False), path)
        client.chat.completions.create(model="m-1", messages=[])
        client.close()
    held = lines(path)
    assert [line["torouter.attempt"] for line in held] == [1, 2, 3, 4]
    assert [line["http.request.resend_count"] for line in held] == [0, 0, 0, 1]
    assert {line["torouter.call.id"] for line in held} == {held[0]["torouter.call.id"]}
    assert {line["gen_ai.request.model"] for line in held} == {"m-1"}


def test_what_is_sent_again_much_later_is_another_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A check that fails every hour is not one call with a thousand attempts."""
    path = tmp_path / "calls.jsonl"
    with serving(whole(503, b"{}")) as server, httpx2.Client(base_url=server.url) as client:
        record(client, path)
        for soon in (120.0, 0.0):
            monkeypatch.setattr("runbook_lib.recorder.calls._SOON_S", soon)
            for _ in range(2):
                client.post("/v1/chat/completions", json={"model": "m"})
    assert [line["torouter.attempt"] for line in lines(path)] == [1, 2, 1, 1]


def test_sdks_can_share_a_client(tmp_path: Path) -> None:
    """One HTTP client under two SDKs is recorded once."""
    path = tmp_path / "calls.jsonl"
    with serving(CAP) as server, httpx2.Client(trust_env=False) as shared:
        options = {"api_key": KEY, "http_client": shared, "max_retries": 0}
        first = record(openai.OpenAI(base_url=f"{server.url}/v1", **options), path)
        second = record(anthropic.Anthropic(base_url=server.url, **options), path)
        ask("openai", first, "x", {}, streaming=False)
        ask("anthropic", second, "x", {}, streaming=False)
    assert len(lines(path)) == server.seen == 2
