"""Hostile requests get the gateway's own error, never a stack trace, and the process goes on."""

from collections.abc import Iterator

import pytest
from gateway_kit import CHAT, GEMINI, MESSAGES, Running, running


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One sandbox for all of them: it must outlive every one."""
    with running(tmp_path_factory.mktemp("sandbox")) as found:
        yield found


def test_deep_json_is_a_broken_body(run: Running) -> None:
    """A parser without a limit would end the process."""
    deep = b'{"a":' * 200_000
    headers = {"authorization": f"Bearer {run.secret('prod-web')}"}
    found = run.client.post(CHAT, headers=headers, content=deep)
    assert found.status_code == 400
    assert found.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    "body",
    [
        b"\x00\xff\xfe",
        b"[]",
        b"null",
        b'"text"',
        b"1" * 5000,
        b'{"model": 1}',
        b'{"model": "\\ud800"}',
        b'{"model": {"a": []}, "stream": "yes", "max_tokens": -1}',
        b'{"model": "gpt-5.4", "max_tokens": 1e999, "stream_options": 3}',
        b'{"model": "gpt-5.4", "max_tokens": 99999999999999999999999}',
        b'{"model": "gpt-5.4-nano", "reasoning_effort": "\\",\\n"}',
        b"\xef\xbb\xbf{}",
    ],
)
def test_odd_bodies_are_judged_or_refused(body: bytes, run: Running) -> None:
    """Whatever the fields hold, the answer is the gateway's."""
    for path, key in ((CHAT, "prod-web"), (MESSAGES, "prod-assistant"), (GEMINI, "prod-vision")):
        headers = {"authorization": f"Bearer {run.secret(key)}"}
        found = run.client.post(path, headers=headers, content=body)
        assert found.status_code in (200, 400, 404)
        assert b"Traceback" not in found.content
        assert found.json()


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"])
def test_a_wrong_method_is_a_wrong_path(method: str, run: Running) -> None:
    """The family has no 405: what it does not route is not found."""
    assert run.client.request(method, CHAT).status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        '/v1beta/models/gemini-2.5-pro:generateContent"x',
        "/v1beta/models/a,b:generateContent",
        "/v1beta/models/%00:generateContent",
        "/v1/chat/completions/../models",
        "/v1/%2e%2e/%ff",
        "/sandbox/nothing",
        "/sandbox/keys/%00",
    ],
)
def test_odd_paths_are_not_found(path: str, run: Running) -> None:
    """A path is never written into a table as it came."""
    headers = {"x-goog-api-key": run.secret("prod-vision")}
    assert run.client.post(path, headers=headers, json={}).status_code in (404, 405)


@pytest.mark.parametrize(
    "content",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS hello",
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: x\r\n\r\n",
        b"POST /v1/responses HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nZZ\r\n",
        b"\r\n" * 10 + b"\x00" * 100 + b"\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\nhost: x\r\nx-huge: " + b"y" * (2 << 20) + b"\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\nhost: x\r\nx-bad: a\x00b\r\n\r\n",
    ],
    ids=["tls", "length", "chunk", "binary", "huge", "hosts", "nul"],
)
def test_what_is_no_http_is_a_bad_request(content: bytes, run: Running) -> None:
    """The server says so, closes, and serves the next one."""
    found = run.raw(content)
    assert not found or found.startswith(b"HTTP/1.1 400 ")
    assert b"Traceback" not in found
    assert run.post().status_code == 200


def test_many_and_odd_headers_are_no_trouble(run: Running) -> None:
    """Header values are bytes of anybody."""
    lines = [
        f"POST {CHAT} HTTP/1.1",
        "host: x",
        f"authorization: Bearer {run.secret('prod-web')}",
        "content-length: 2",
        "connection: close",
        *(f"x-{number}: {number}" for number in range(5000)),
    ]
    head = (
        "\r\n".join(lines).encode() + b'\r\nx-request-id: \xff\xfe\r\nuser-agent: "\\\xe9\r\n\r\n{}'
    )
    assert run.raw(head).startswith(b"HTTP/1.1 400")
    assert run.client.get("/sandbox/log").status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "keys", b"nonsense"),
        ("POST", "keys", b'{"name": "=cmd"}'),
        ("POST", "keys", b'{"name": "prod-web"}'),
        ("POST", "keys", b'{"name": "a", "group": "none"}'),
        ("POST", "keys", b'{"name": "a", "cap": "NaN"}'),
        ("POST", "keys", b'{"name": "a", "networks": ["x"]}'),
        ("POST", "keys", b'{"name": "a", "windows": 3}'),
        ("PATCH", "keys/none", b"{}"),
        ("PATCH", "keys/prod-web", b'{"windows": {"9y": "1"}}'),
        ("PATCH", "channels/none", b"{}"),
        ("PATCH", "channels/openai-a", b'{"health": "tired"}'),
        ("PATCH", "accounts/none", b"{}"),
        ("POST", "top_up", b'{"amount": "-1"}'),
        ("POST", "clock", b'{"advance_s": -1}'),
        ("POST", "clock", b'{"advance_s": "nan"}'),
        ("POST", "clock", b"[" * 100_000),
        ("GET", "log?since=x", b""),
        ("POST", "faults", b'{"fault": ["a"]}'),
        ("POST", "faults", b"{" * 100_000),
    ],
)
def test_a_wrong_act_is_refused_in_a_sentence(
    method: str, path: str, body: bytes, run: Running
) -> None:
    """The sandbox's own paths are no less careful."""
    found = run.client.request(method, f"/sandbox/{path}", content=body)
    assert found.status_code == 400
    assert found.json()["error"]
