"""What a line says, where it has it from, and what it never says."""

import json
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from recorder_kit import CANARY, KEY, chat, head, lines, serving, whole
from recorder_sdks import ask, httpx2, make, openai

from runbook_lib.recorder import call, record
from runbook_lib.recorder.scan import Scanner

OWN = "a-key-of-our-own-2026"
SAID = "canary said that"
ECHO = f"canary prompt: {CANARY}"
CANARIES: dict[str, bytes] = {
    "answer": whole(200, chat(f"{SAID} {CANARY}")),
    "error-text": whole(400, json.dumps({"error": ECHO}).encode()),
    "error-code": whole(400, json.dumps({"error": {"code": ECHO, "message": KEY}}).encode()),
    "error-key": whole(401, json.dumps({"error": {"code": KEY, "type": f"no {KEY}"}}).encode()),
    "id-is-text": whole(200, json.dumps({"id": ECHO, "model": ECHO, "usage": {}}).encode()),
    "finish-is-text": whole(200, json.dumps({"choices": [{"finish_reason": ECHO}]}).encode()),
    "kind-is-text": whole(200, b"{}", kind=f"application/json; x={KEY}"),
    "event": whole(
        200,
        f"event: error\ndata: {json.dumps({'error': ECHO})}\n\n".encode(),
        kind="text/event-stream",
    ),
    "own-key-as-id": whole(200, chat(), b"X-Request-ID: " + OWN.encode() + b"\r\n"),
    "page": whole(502, f"<html>{ECHO} {KEY}</html>".encode(), kind="text/html"),
    "cut": head(200, b"Content-Length: 900\r\nConnection: close\r\n\r\n") + ECHO.encode(),
}


@pytest.mark.parametrize("name", CANARIES)
def test_no_prompt_answer_or_key_is_written(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Ids go to support and logs to colleagues: nothing of what was said or proved may be there."""
    path = tmp_path / "calls.jsonl"
    with caplog.at_level(logging.DEBUG, "runbook_lib"), serving(CANARIES[name]) as server:
        for sdk in ("openai", "httpx2"):
            key = OWN if "own" in name else KEY
            client = record(make(sdk, server.url, key, is_async=False), path, stop_sticky=True)
            for streaming in (False, True):
                ask(sdk, client, ECHO, {"x-canary": CANARY}, streaming=streaming)
            client.close()
        headers = {"x-api-key": OWN}
        client = record(httpx2.Client(base_url=server.url, headers=headers), path)
        with client, suppress(httpx2.HTTPError):
            query = {"key": KEY, "q": "canary"}
            client.post("/v1/chat/completions", params=query, json={"model": "m"})
    assert len(lines(path)) >= 5
    written = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert b"canary" not in written.lower()
    assert KEY.encode() not in written
    assert OWN.encode() not in written
    logged = [record_.getMessage() for record_ in caplog.records if "runbook" in record_.name]
    assert "canary" not in "".join(logged)


def test_names_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One setting of the service names it in every line; what is said in the code comes first."""
    path = tmp_path / "calls.jsonl"
    monkeypatch.setenv("TOROUTER_KEY_NAME", "prod-web")
    monkeypatch.setenv("TOROUTER_ENVIRONMENT", "production")
    monkeypatch.setenv("TOROUTER_SERVICE", "web")
    with serving(whole(200, chat())) as server, httpx2.Client(base_url=server.url) as client:
        record(client, path).get("/v1/models")
        record(client, path, environment="staging").get("/v1/models")
    first, second = lines(path)
    assert first["torouter.key.name"] == second["torouter.key.name"] == "prod-web"
    assert first["torouter.service"] == "web"
    assert first["torouter.environment"] == "production"
    assert second["torouter.environment"] == "staging"


SPAN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def _sent(client: Any) -> None:
    client.get("/v1/models", headers={"traceparent": SPAN})


def _instrumented(client: Any) -> None:
    """As OpenTelemetry's own instrument does, below the recorder and while it sends."""
    inner = client._transport._inner
    sends = inner.handle_request

    def handle_request(request: Any) -> Any:
        request.headers = httpx2.Headers({**request.headers, "traceparent": SPAN})
        return sends(request)

    inner.handle_request = handle_request
    client.get("/v1/models")


def _in_a_span(client: Any) -> None:
    trace = pytest.importorskip("opentelemetry.trace")
    context = trace.SpanContext(
        int(SPAN[3:35], 16), int(SPAN[36:52], 16), is_remote=False, trace_flags=trace.TraceFlags(1)
    )
    with trace.use_span(trace.NonRecordingSpan(context)):
        client.get("/v1/models")


@pytest.mark.parametrize("way", [_sent, _instrumented, _in_a_span])
def test_the_trace_of_the_caller_stands_beside_the_id(
    way: Callable[[Any], None], tmp_path: Path
) -> None:
    """Who looks at a trace finds the call, whoever put the trace there."""
    path = tmp_path / "calls.jsonl"
    with serving(whole(200, b"{}")) as server, httpx2.Client(base_url=server.url) as client:
        way(record(client, path))
    assert lines(path)[0]["traceparent"] == SPAN


def test_a_line_that_cannot_be_made_whole_is_marked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A fault of our own reading costs a mark in the line, never the line and never the call."""
    path = tmp_path / "calls.jsonl"
    monkeypatch.setattr(Scanner, "end", lambda _: json.loads("{"))
    with serving(whole(200, chat())) as server, httpx2.Client(base_url=server.url) as client:
        record(client, path).get("/v1/models").raise_for_status()
    (line,) = lines(path)
    assert line["torouter.recorder.note"] == "not recorded whole"
    assert line["http.response.header.x-client-request-id"] == ["c-three"]
    assert "could not be recorded whole (JSONDecodeError)" in caplog.text


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
