"""Whatever is sent, the sandbox answers as the gateway does, and goes on: a slice, and at length.

A failure of the sandbox itself would be a 500 in plain text, or a connection without an answer.
"""

import gzip
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from gateway_kit import BODIES, CHAT, GEMINI, MESSAGES, RESPONSES, Running, running
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from long_kit import EXAMPLES

from runbook_lib import sources

COUNT, VECTORS = "/v1/messages/count_tokens", "/v1/embeddings"
STREAMED = GEMINI.replace("generateContent", "streamGenerateContent")
COUNTED = GEMINI.replace("generateContent", "countTokens")
KEYS = {
    **dict.fromkeys((CHAT, RESPONSES, VECTORS), "prod-web"),
    **dict.fromkeys((MESSAGES, COUNT), "prod-assistant"),
    **dict.fromkeys(
        (GEMINI, STREAMED, GEMINI.replace("generateContent", "countTokens")), "prod-vision"
    ),
}
FIELDS = (
    *("model", "stream", "stream_options", "include_usage", "max_tokens", "max_output_tokens", "n"),
    *("max_completion_tokens", "messages", "role", "content", "parts", "text", "type", "name"),
    *("input", "dimensions", "encoding_format", "tools", "tool_choice", "function", "parameters"),
    *("input_schema", "functionDeclarations", "toolConfig", "functionCallingConfig", "mode"),
    *("allowedFunctionNames", "response_format", "json_schema", "schema", "format", "properties"),
    *("items", "enum", "anyOf", "$ref", "$defs", "required", "minItems", "maxLength", "minimum"),
    *("generationConfig", "maxOutputTokens", "responseMimeType", "responseSchema", "contents"),
    *("reasoning_effort", "output_config", "metadata", "temperature", "seed", "user"),
)
WORDS = (
    *("gpt-5.4", "claude-sonnet-4-6", "function", "tool", "any", "none", "required", "auto", "ANY"),
    *("json_schema", "json_object", "application/json", "object", "array", "string", "base64", "#"),
    *("tool_result", "function_call_output", "high", "\x00", "\ud800", "=1+1", 'a",b\n', "é" * 70),
)
QUIET = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]


def values() -> st.SearchStrategy[Any]:
    """JSON that looks like a request, and much that does not."""
    plain = st.none() | st.booleans() | st.integers() | st.integers(10**18, 10**30)
    plain |= st.floats() | st.sampled_from(WORDS) | st.text(max_size=6)
    return st.recursive(
        plain,
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=4), inner, max_size=6)
        ),
        max_leaves=25,
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One sandbox for all of them: it must outlive every one."""
    with running(tmp_path_factory.mktemp("sandbox"), speed=600.0) as found:
        yield found


@pytest.fixture(scope="module")
def playground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Another one, in which acts may spoil every key."""
    with running(tmp_path_factory.mktemp("playground"), speed=600.0) as found:
        yield found


def ours(found: httpx.Response) -> None:
    """The answer is the gateway's: its status, its id, its shape."""
    assert found.status_code in (200, 400, 401, 403, 404, 413, 429), found.text[:200]
    assert found.headers["x-request-id"]
    kind = found.headers["content-type"].partition(";")[0]
    if kind == "application/json":
        assert isinstance(found.json(), dict)
    else:
        assert kind in ("text/event-stream", "text/plain", "text/html")
    assert "Traceback" not in found.text
    assert "Internal Server Error" not in found.text


def ask(run: Running, path: str, body: bytes, **headers: str) -> httpx.Response:
    """Send a body with a good key."""
    sent = {"authorization": f"Bearer {run.secret(KEYS[path])}", **headers}
    return run.client.post(path, headers=sent, content=body)


def any_body(body: object, run: Running) -> None:
    """Send one body everywhere, alone and as the value of each field of a good one."""
    text = json.dumps(body).encode("utf-8", "surrogatepass")
    for path in KEYS:
        ours(ask(run, path, text))


slice_ = settings(max_examples=8, deadline=None, suppress_health_check=QUIET)
at_length = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=QUIET,
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
)


@slice_
@given(body=values())
def test_any_json_gets_an_answer_of_the_gateway(body: object, run: Running) -> None:
    """No body can make it fail by itself."""
    any_body(body, run)


@pytest.mark.long
@at_length
@given(body=values())
def test_any_json_gets_an_answer_of_the_gateway_at_length(body: object, run: Running) -> None:
    """The same for long."""
    any_body(body, run)


WRONG = [None, True, -1, 1e308, "\x00", [], {}, [[]], {"a": [None]}]


@pytest.mark.parametrize("path", [CHAT, RESPONSES, MESSAGES, GEMINI])
@pytest.mark.parametrize(
    "wrong",
    [WRONG[0], WRONG[7], *(pytest.param(wrong, marks=pytest.mark.long) for wrong in WRONG)],
    ids=repr,
)
def test_a_wrong_type_in_any_field_is_no_failure(path: str, wrong: object, run: Running) -> None:
    """Every field that is read, with every type that it is not."""
    for field in FIELDS:
        ours(ask(run, path, json.dumps({**BODIES[path], field: wrong}).encode()))


def raw_answer(run: Running, content: bytes) -> bytes:
    """Send bytes, end the sending side, and read to the end."""
    with socket.create_connection(run.address, timeout=5) as held:
        held.sendall(content)
        held.shutdown(socket.SHUT_WR)
        parts = []
        try:
            while part := held.recv(65536):
                parts.append(part)
        except ConnectionResetError:
            pass
    return b"".join(parts)


def heads() -> st.SearchStrategy[bytes]:
    """Requests in bytes, from almost right to garbage."""
    method = st.sampled_from(
        [b"GET", b"POST", b"HEAD", b"PUT", b"CONNECT", b"OPTIONS", b"G\x00T", b""]
    )
    target = st.sampled_from(
        [
            b"/v1/models", CHAT.encode(), b"*", b"/", b"//v1//models", b"/v1/../v1/usage", b"/%",
            b"/v1/usage?timezone=%00", b"http://x/v1/models", b"/sandbox/log", b"/api/v1/keys",
            b"/v1beta/models/%ff%fe:generateContent", b"/\xff\xfe", b"/v1/models#x",
            b"/sandbox/state",
        ]
    )  # fmt: skip
    version = st.sampled_from([b"HTTP/1.1", b"HTTP/1.0", b"HTTP/0.9", b"HTTP/2", b"", b"ICY"])
    header = st.sampled_from(
        [
            b"host: x", b"host: y", b"content-length: 5", b"content-length: -1", b"bad header",
            b"expect: 100-continue", b"transfer-encoding: chunked", b"transfer-encoding: gzip",
            b"connection: upgrade", b"upgrade: websocket", b"x-forwarded-for: \xff", b": empty",
            b"authorization: Bearer", b"x-api-key: ", b"x-request-id: " + b"\xe9" * 40,
            b"x\x00y: z", b"te: trailers", b"x-sandbox-fault: status_500;times=x",
            b"x-sandbox-run: \xff", b"x-stainless-retry-count: q",
        ]
    )  # fmt: skip
    end = st.sampled_from([b"\r\n", b"\n", b"\r"])
    body = st.sampled_from([b"", b"hello", b"5\r\nhello\r\n0\r\n\r\n", b"ZZ\r\n", b"-1\r\n", b"{}"])

    def put(parts: tuple[bytes, bytes, bytes, list[bytes], bytes, bytes]) -> bytes:
        verb, where, how, lines, line_end, content = parts
        return line_end.join([b" ".join([verb, where, how]), *lines, b"", content])

    whole = st.tuples(method, target, version, st.lists(header, max_size=5), end, body).map(put)
    return whole | st.binary(max_size=60) | st.lists(whole, min_size=2, max_size=3).map(b"".join)


def any_bytes(content: bytes, run: Running) -> None:
    """Every answer is HTTP; only our own paths and the server's 400 have no request id."""
    found = raw_answer(run, content)
    assert found == b"" or found.startswith(b"HTTP/1.1 ")
    assert b"Traceback" not in found
    assert b"500 Internal Server Error" not in found


@slice_
@given(content=heads())
def test_any_bytes_get_an_answer_or_a_closed_connection(content: bytes, run: Running) -> None:
    """Half a request, two at once, another protocol: the server says so and goes on."""
    any_bytes(content, run)


@pytest.mark.long
@at_length
@given(content=heads())
def test_any_bytes_get_an_answer_at_length(content: bytes, run: Running) -> None:
    """The same for long."""
    any_bytes(content, run)


def acts() -> st.SearchStrategy[tuple[str, str, object]]:
    """Requests to the sandbox's own paths and to the console."""
    path = st.sampled_from(
        [
            "/sandbox/keys", "/sandbox/keys/prod-web", "/sandbox/keys/x", "/sandbox/top_up",
            "/sandbox/accounts/team", "/sandbox/channels/openai-a", "/sandbox/faults",
            "/sandbox/clock", "/sandbox/log", "/sandbox/export", "/sandbox/state",
            "/api/v1/keys", "/api/v1/keys/50", "/api/v1/auth/login", "/api/v1/usage",
            "/api/v1/usage/stats", "/api/v1/usage/errors/1", "/api/v1/subscriptions/progress",
            "/api/v1/usage/dashboard/trend", "/api/v1/user/api-keys/50/usage/daily",
        ]
    )  # fmt: skip
    names = st.sampled_from(
        [
            *("name", "group", "account", "cap", "windows", "networks", "models", "expires_days"),
            *("disabled", "expires_in_s", "amount", "rpm", "concurrency", "active", "balance"),
            *("health", "share", "priority", "fault", "times", "for_s", "p", "advance_s", "speed"),
            *("quota", "rate_limit_5h", "ip_whitelist", "expires_at", "status", "group_id"),
            *("custom_key", "expires_in_days", "email", "password", "5h", "model", "key"),
        ]
    )
    value = values() | st.sampled_from(["1", "0", "ok", "down", "203.0.113.0/24", "active", "1e9"])
    fields = st.dictionaries(names, value, max_size=4)
    return st.tuples(st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE"]), path, fields)


def any_act(act: tuple[str, str, object], run: Running) -> None:
    """A sentence or an answer, and never a failure of the server."""
    method, path, fields = act
    login = {"email": "team@example.com", "password": run.live.desk.password(team(run))}
    token = run.client.post("/api/v1/auth/login", json=login).json().get("data", {})
    run.act("POST", "clock", advance_s=70)
    found = run.client.request(
        method,
        path,
        content=json.dumps(fields).encode("utf-8", "surrogatepass"),
        headers={"authorization": f"Bearer {token.get('access_token', '')}"},
        params={"page_size": str(fields)[:9], "start_date": str(fields)[:10], "since": "0"},
    )
    assert found.status_code < 500, (act, found.text)
    run.act("DELETE", "faults")
    run.act("POST", "clock", speed=600)


def team(run: Running) -> Any:
    """The account whose keys are tried."""
    return run.live.console.gateway.accounts["team"]


@slice_
@given(act=acts())
def test_any_act_is_done_or_refused_in_a_sentence(
    act: tuple[str, str, object], playground: Running
) -> None:
    """Neither the console nor the sandbox's own paths fail by themselves."""
    any_act(act, playground)


@pytest.mark.long
@at_length
@given(act=acts())
def test_any_act_at_length(act: tuple[str, str, object], playground: Running) -> None:
    """The same for long."""
    any_act(act, playground)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param(
            {"authorization": "Bearer {bad}", "x-api-key": "{good}"}, 401, id="bearer-first"
        ),
        pytest.param({"authorization": "Basic {bad}", "x-api-key": "{good}"}, 200, id="no-bearer"),
        pytest.param({"authorization": "Bearer", "x-goog-api-key": "{good}"}, 200, id="empty"),
        pytest.param({"x-api-key": "{bad}", "x-goog-api-key": "{good}"}, 401, id="x-api-key-first"),
        pytest.param(
            {"authorization": "Bearer {good}", "x-api-key": "{bad}"}, 200, id="good-first"
        ),
        pytest.param({"authorization": "bearer  {good}"}, 200, id="blanks"),
        pytest.param({"authorization": "{good}"}, 401, id="no-scheme"),
        pytest.param({}, 401, id="none"),
    ],
)
def test_of_several_keys_one_counts(headers: dict[str, str], status: int, run: Running) -> None:
    """The order is the gateway's: Bearer, then x-api-key, then x-goog-api-key."""
    words = {"good": run.secret("prod-web"), "bad": "nobody-" + "x" * 20}
    sent = {name: value.format(**words) for name, value in headers.items()}
    assert run.client.post(CHAT, headers=sent, json=BODIES[CHAT]).status_code == status


@pytest.mark.parametrize("limit", [1, 10**6, 10**30, 0, -5, 0.5, "many", None, True])
def test_an_absurd_limit_of_tokens_costs_no_more_than_an_answer(
    limit: object, run: Running
) -> None:
    """What is asked for is a limit, not an order."""
    for field in ("max_tokens", "max_completion_tokens", "n"):
        found = run.post(**{field: limit})
        assert found.json()["usage"]["completion_tokens"] <= 40


@pytest.mark.long
def test_a_hundred_megabytes_are_refused_and_forgotten(run: Running) -> None:
    """The body is read to its end, as the gateway does, and not kept."""

    def pieces() -> Iterator[bytes]:
        for _ in range(100):
            yield b" " * (1 << 20)

    for path, key in KEYS.items():
        headers = {"authorization": f"Bearer {run.secret(key)}"}
        found = run.client.post(path, headers=headers, content=pieces())
        assert found.status_code == 413
        ours(found)
    peak = Path("/proc/self/status").read_text("ascii").partition("VmHWM:")[2].split()[0]
    assert int(peak) < 1 << 20, "the test's own process serves: less than 1 GiB at its peak"


def test_requests_in_one_go_are_answered_in_order(run: Running) -> None:
    """A client may write the next request before it has read the last answer."""
    head = f"GET /v1/models HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {run.secret('prod-web')}"
    one = head + "\r\nx-request-id: r{}\r\n\r\n"
    found = raw_answer(run, "".join(one.format(number) for number in range(5)).encode())
    assert [found.find(f"x-request-id: r{number}".encode()) > 0 for number in range(5)] == [
        True
    ] * 5
    assert found.count(b"HTTP/1.1 200 OK") == 5


def test_http_1_0_gets_a_body_without_chunks(run: Running) -> None:
    """An old client reads to the end of the connection."""
    body = json.dumps({**BODIES[CHAT], "stream": True})
    head = f"POST {CHAT} HTTP/1.0\r\nauthorization: Bearer {run.secret('prod-web')}\r\n"
    found = raw_answer(run, f"{head}content-length: {len(body)}\r\n\r\n{body}".encode())
    assert b"transfer-encoding" not in found.lower()
    assert found.endswith(b"data: [DONE]\n\n")


def test_what_hostile_callers_left_is_still_read_without_a_reject(
    run: Running, tmp_path: Path
) -> None:
    """Names that nobody would choose end in tables that spreadsheets and our readers open."""
    channel = run.live.console.gateway.channels["openai-solo"]
    kept, channel.answers = channel.answers, {}
    for model in ("=1+1", 'a",b\nc', "-x", "plain", "é\u2028", "\ud800"):
        body = json.dumps({**BODIES[CHAT], "model": model}).encode("utf-8", "surrogatepass")
        headers = {"authorization": f"Bearer {run.secret('prod-support')}"}
        assert run.client.post(CHAT, headers=headers, content=body).status_code == 200
    channel.answers = kept
    run.act("POST", "clock", advance_s=60)
    run.act("POST", "export")
    folder = run.sandbox.folder
    staging = tmp_path / "staging"
    staging.mkdir()
    taken = [item for path in sources.files([folder]) for item in sources.read(path, staging)]
    assert [(item.source_file, item.reasons) for item in taken if item.rejected] == []
    packed = gzip.decompress((folder / "usage_rows.json.gz").read_bytes())
    models = {row["model"] for row in json.loads(packed)["data"]["items"]}
    assert {"=1+1", 'a",b\nc', "-x", "plain"} <= models
