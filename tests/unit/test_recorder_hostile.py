"""A server that means harm gets a valid line, and the caller what they would have seen."""

import gzip
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from recorder_kit import KEY, chat, lines, piece, serving, whole

from runbook_lib.recorder import call, record

httpx2 = pytest.importorskip("httpx2")
openai = pytest.importorskip("openai")


def _head(extra: bytes, body: bytes, kind: bytes = b"application/json") -> bytes:
    return (
        b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n" % (kind, len(body))
        + extra
        + b"\r\n"
        + body
    )


BOMB = gzip.compress(b"x" * (80 << 20))
LONG = b"X-Request-ID: " + b"i" * 300 + b"\r\n"
TEN = b"".join(b"X-Request-ID: id-%d\r\n" % number for number in range(10))
HOSTILE: dict[str, bytes] = {
    "ten-ids": _head(TEN, chat()),
    "long-id": _head(LONG, chat()),
    "control": _head(b"X-Request-ID: a\x1b[31mb\xff\r\n", chat()),
    "key-as-id": _head(b"X-Request-ID: " + KEY.encode() + b"\r\n", chat()),
    "huge-header": _head(b"X-Request-ID: " + b"z" * 1_000_000 + b"\r\n", chat()),
    "bomb": _head(b"Content-Encoding: gzip\r\n", BOMB),
    "no-gzip": _head(b"Content-Encoding: gzip\r\n", chat()),
    "gzip": _head(b"Content-Encoding: gzip\r\n", gzip.compress(chat())),
    "other": _head(b"Content-Encoding: br\r\n", chat()),
    "deep": _head(b"", b"[" * 60_000),
    "no-utf8": _head(b"", b"\xff\xfe" * 100),
    "lines": _head(b"", b"data: x\n" * 200_000, b"text/event-stream"),
    "one-line": _head(b"", b"data: " + b"y" * 5_000_000, b"text/event-stream"),
    "cr": _head(b"", piece("a").replace(b"\n", b"\r"), b"text/event-stream"),
}


def _raw(client: Any) -> tuple[Any, bytes]:
    got, held = "", bytearray()
    try:
        body = {"model": "m-1", "stream": True}
        with client.stream("POST", "/v1/chat/completions", json=body) as answer:
            got = answer.status_code
            for part in answer.iter_raw():
                held += part
    except httpx2.HTTPError as error:
        got = type(error).__name__
    return got, bytes(held)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_answers_change_nothing(name: str, tmp_path: Path) -> None:
    """The recorder reads what strangers send: it must neither fail nor alter it."""
    path = tmp_path / "calls.jsonl"
    with serving(HOSTILE[name]) as server:
        with httpx2.Client(base_url=server.url) as client:
            plain = _raw(client)
        with record(httpx2.Client(base_url=server.url), path) as client:
            assert _raw(client) == plain
    (line,) = lines(path)
    text = path.read_text()
    assert len(text) < 20_000
    assert "canary" not in text
    ids = line.get("http.response.header.x-request-id", [])
    expected = {"ten-ids": [f"id-{n}" for n in range(10)], "long-id": ["i" * 300]}
    if name in expected:
        assert ids == expected[name]
    if name == "gzip":
        assert line["gen_ai.usage.output_tokens"] == 3
    if name in ("bomb", "no-gzip", "other"):
        assert line["torouter.recorder.note"]


def test_a_fallback_of_the_caller_is_one_call(tmp_path: Path) -> None:
    """Two clients and two models can be one call; only the caller knows."""
    path = tmp_path / "calls.jsonl"
    with (
        serving(whole(401, b'{"code":"INVALID_API_KEY"}'), whole(200, chat())) as server,
        httpx2.Client(base_url=server.url) as first,
        httpx2.Client(base_url=server.url) as second,
    ):
        record(first, path)
        record(second, path)
        with call("job-7"):
            first.post("/v1/chat/completions", json={"model": "a"})
            second.post("/v1/chat/completions", json={"model": "b"})
        second.post("/v1/chat/completions", json={"model": "b"})
    held = lines(path)
    assert [line["torouter.call.id"] for line in held[:2]] == ["job-7", "job-7"]
    assert [line["torouter.attempt"] for line in held] == [1, 2, 1]
    assert held[2]["torouter.call.id"] != "job-7"


def test_threads_on_one_client_keep_their_calls_apart(tmp_path: Path) -> None:
    """Attempts of calls that run at once must not be joined to each other's."""
    path = tmp_path / "calls.jsonl"
    limit = whole(429, b'{"error":{"type":"rate_limit_error"}}', b"retry-after-ms: 1\r\n")
    with serving(*[limit] * 8, whole(200, chat())) as server:
        client = record(
            openai.OpenAI(base_url=f"{server.url}/v1", api_key=KEY, max_retries=9), path
        )

        def ask(number: int) -> None:
            client.embeddings.with_raw_response.create(model=f"m-{number}", input="x")

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        client.close()
    by_model: dict[str, set[str]] = {}
    for line in lines(path):
        by_model.setdefault(line["gen_ai.request.model"], set()).add(line["torouter.call.id"])
    assert len(lines(path)) == server.seen
    assert [len(ids) for ids in by_model.values()] == [1] * 8


def test_names_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One setting of the service names it in every line; a query may hold a key and is dropped."""
    path = tmp_path / "calls.jsonl"
    monkeypatch.setenv("TOROUTER_KEY_NAME", "prod-web")
    monkeypatch.setenv("TOROUTER_ENVIRONMENT", "production")
    monkeypatch.setenv("TOROUTER_SERVICE", "web")
    with serving(whole(200, chat())) as server, httpx2.Client(base_url=server.url) as client:
        query = {"key": KEY}
        record(client, path).get("/v1/models", params=query, headers={"traceparent": "00-a-b-01"})
    (line,) = lines(path)
    assert line["torouter.key.name"] == "prod-web"
    assert line["torouter.environment"] == "production"
    assert line["torouter.service"] == "web"
    assert line["traceparent"] == "00-a-b-01"
    assert "canary" not in json.dumps(line)
