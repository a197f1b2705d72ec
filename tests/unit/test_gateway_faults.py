"""Every fault by its name has its effect on the wire, and rules say whom it hits and how often."""

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from gateway_kit import CHAT, GEMINI, MESSAGES, RESPONSES, Running, running

from runbook_lib import classify
from runbook_lib.contract import CAUSES, ROWS
from runbook_lib.errors import ParameterError
from runbook_lib.sandbox import faults, front
from runbook_lib.sandbox.faults import CATALOGUE

CAUSED = [name for name in CATALOGUE if name in CAUSES]
ANSWERED = [name for name, fault in CATALOGUE.items() if fault.answer and name not in CAUSES]
SPOILED = [name for name, fault in CATALOGUE.items() if fault.spoil and not fault.streams]
STREAMS = [name for name, fault in CATALOGUE.items() if fault.streams]
SOCKETS = [name for name, fault in CATALOGUE.items() if fault.socket]

FROM_EVIDENCE = {
    "upstream_outage",
    "channel_cooldown",
    "old_key_after_rotation",
    "client_timeout",
    "client_abandoned_stream",
    "duplicate_send",
    "client_fallback",
    "model_alias",
    "runaway_loop",
    "unlogged_use",
    "unknown",
    "success",
}
"""Causes that no single answer can show."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One sandbox for all faults that leave it as it was."""
    with running(tmp_path_factory.mktemp("sandbox")) as found:
        yield found


def test_every_cause_that_an_answer_can_show_is_a_fault() -> None:
    """Who learns by failing must be able to meet every cause of the contract."""
    assert set(CAUSES) - FROM_EVIDENCE - set(CATALOGUE) == set()


NEVER_SEEN = "an internal name that no answer carries"
OTHERS = "the console's other names for a missing or invalid token, read in its source"
PASSED = "what an upstream of Gemini wrote, where ours writes its own"
NOT_MET = {
    (429, None): PASSED,
    (529, None): "the status alone, which the version measured does not send",
    **{(429, f"API_KEY_RATE_{span}_EXCEEDED"): NEVER_SEEN for span in ("5H", "1D", "7D")},
    **{(429, f"{who}_RPM_EXCEEDED"): NEVER_SEEN for who in ("USER", "GROUP")},
    **{(401, code): OTHERS for code in ("INVALID_AUTH_HEADER", "EMPTY_TOKEN")},
    **{(401, code): OTHERS for code in ("TOKEN_EXPIRED", "TOKEN_REVOKED")},
}
"""Rows of the table of errors that no fault shows, and why."""


def test_every_row_of_the_table_of_errors_can_be_met(run: Running) -> None:
    """Status and code of each, by some fault on some endpoint; what is left out has its reason."""
    inside = [f for f in CATALOGUE.values() if not (f.socket or f.delay_s or f.spoil)]
    found = [
        run.post(path, fault=f.name) for f in inside for path in (CHAT, MESSAGES, RESPONSES, GEMINI)
    ]
    cut = "stream_broken_after_first_byte"
    streams = ((CHAT, "prod-docs"), (MESSAGES, ""), (RESPONSES, ""))
    found += [run.post(path, key, fault=cut, stream=True) for path, key in streams]
    met = set()
    for item in found:
        seen = classify(item.status_code, item.content, item.headers.multi_items())
        met.add((item.status_code, seen.code))
    rows = {(row.status, code) for row in ROWS for code in row.codes}
    assert rows - met == NOT_MET.keys()


@pytest.mark.parametrize("name", CAUSED)
def test_a_cause_on_demand_is_the_cause_that_is_read(name: str, run: Running) -> None:
    """The classifier is the judge: what was asked for is what it finds, or among its candidates."""
    if name == "stream_broken_after_first_byte":
        path, stream = MESSAGES, True
    else:
        path, stream = (GEMINI if name == "model_not_found_upstream" else CHAT), False
    found = run.post(path, fault=name, **({"stream": True} if stream else {}))
    seen = classify(found.status_code, found.content, found.headers.multi_items())
    assert name in (seen.cause, *seen.candidates)
    assert found.headers["x-request-id"]


@pytest.mark.parametrize("name", ANSWERED)
def test_an_answer_of_a_fault_comes_to_the_byte(name: str, run: Running) -> None:
    """Status, body and extra headers are those that the table of faults names."""
    found = run.post(fault=name)
    written = CATALOGUE[name].answer or {}
    assert found.status_code == written["status"]
    assert found.text == written["body"]
    for header, value in written.get("headers", {}).items():
        assert found.headers[header] == value


@pytest.mark.parametrize("name", SPOILED)
def test_a_spoiled_answer_is_billed_and_differs(name: str, run: Running) -> None:
    """The gateway did its work and charges for it; only the caller gets something else."""
    run.act("GET", "state")
    before = len(run.live.console.gateway.rows)
    with run.client.stream(
        "POST",
        CHAT,
        headers={"authorization": f"Bearer {run.secret('prod-web')}", "x-sandbox-fault": name},
        json={"model": "gpt-5.4", "messages": []},
    ) as found:
        raw = b"".join(found.iter_raw())
    run.act("GET", "state")
    assert found.status_code == 200
    assert len(run.live.console.gateway.rows) == before + 1
    ids = found.headers.get_list("x-request-id")
    clean = b'"model": "gpt-5.4-2026-03-05"' in raw and raw.endswith(b"}}}")
    clean = clean and b'"choices": []' not in raw
    assert not clean or len(ids) != 2 or "content-encoding" in found.headers


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("path", [CHAT, RESPONSES, MESSAGES], ids=["chat", "responses", "messages"])
def test_a_spoiled_stream_is_no_clean_stream(name: str, path: str, run: Running) -> None:
    """A stream of every protocol ends or looks otherwise than a whole one."""
    key = "prod-assistant" if path == MESSAGES else "prod-web"
    headers = {"authorization": f"Bearer {run.secret(key)}", "x-sandbox-fault": name}
    body = {"model": "claude-haiku-4-5" if path == MESSAGES else "gpt-5.4-nano", "stream": True}
    got, broke = [], False
    try:
        with run.client.stream("POST", path, headers=headers, json=body, timeout=0.5) as found:
            assert found.status_code == 200
            got.extend(found.iter_raw())
    except httpx.HTTPError:
        broke = True
    ends = {CHAT: b"data: [DONE]", RESPONSES: b"response.completed", MESSAGES: b"message_stop"}
    text = b"".join(got)
    odd = (b"\r\n", b": note", b"\xef\xbb\xbf", b"\xff", b'"x", \n', b" " * 99, b"x" * 99, b":\n:")
    spoiled = any(sign in text for sign in odd) or b"error" in text or len(got) > 200
    again = not text.rstrip().endswith(ends[path].removeprefix(b"data: "))
    assert broke or spoiled or text.count(ends[path]) != (2 if path != CHAT else 1) or again


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("reset_before_bytes", httpx.ReadError),
        ("close_before_bytes", httpx.RemoteProtocolError),
        ("reset_in_headers", httpx.ReadError),
        ("cut_in_headers", httpx.RemoteProtocolError),
        ("reset_in_body", httpx.ReadError),
        ("cut_in_body", httpx.RemoteProtocolError),
        ("bad_chunk_size", httpx.RemoteProtocolError),
        ("missing_last_chunk", httpx.RemoteProtocolError),
        ("content_length_too_long", httpx.RemoteProtocolError),
        ("garbage", httpx.RemoteProtocolError),
        ("bad_status_line", httpx.RemoteProtocolError),
        ("huge_header", httpx.RemoteProtocolError),
        ("many_headers", httpx.RemoteProtocolError),
        ("no_answer", httpx.ReadTimeout),
    ],
)
def test_a_fault_of_the_socket_is_felt_by_a_client(
    name: str, error: type[Exception], run: Running
) -> None:
    """What no ASGI server lets an app do reaches a real client as a real error."""
    headers = {"authorization": f"Bearer {run.secret('prod-web')}", "x-sandbox-fault": name}
    held = httpx.Client(base_url=run.client.base_url, timeout=0.3, trust_env=False)
    with held as client, pytest.raises(error):
        client.post(CHAT, headers=headers, json={"model": "gpt-5.4-nano"})
    assert run.log()[-1]["fault"] == name


@pytest.mark.parametrize("name", ["reset_before_bytes", "close_before_bytes"])
def test_what_the_gateway_never_heard_is_not_billed(name: str, run: Running) -> None:
    """A connection that ends before a byte costs nothing, so sending again is safe."""
    run.act("GET", "state")
    before = len(run.live.console.gateway.rows)
    with pytest.raises(httpx.HTTPError):
        run.post(fault=name)
    run.act("GET", "state")
    assert len(run.live.console.gateway.rows) == before


def test_control_characters_reach_the_caller(run: Running) -> None:
    """HTTP libraries let some of them pass, so who logs headers must be ready for them."""
    assert run.post(fault="control_characters").headers["x-odd"] == "a\x01b\x07c"


def test_a_body_longer_than_it_says_is_cut_by_the_client(run: Running) -> None:
    """With too small a Content-Length the caller gets the front of the body and no error."""
    found = run.post(fault="content_length_too_short")
    assert not found.text.endswith("}}}")


def test_a_drip_never_ends(run: Running) -> None:
    """Only a total deadline ends such an answer; each byte resets a read timeout."""
    secret = run.secret("prod-web")
    head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {secret}\r\n"
    body = b'{"model":"gpt-5.4-nano"}'
    asked = f"{head}x-sandbox-fault: slow_drip\r\ncontent-length: {len(body)}\r\n\r\n".encode()
    with socket.create_connection(run.address, timeout=2) as held:
        held.sendall(asked + body)
        got = b""
        while got.count(b"\r\n1\r\n") < 2:
            got += held.recv(4096)
    assert got.startswith(b"HTTP/1.1 200")


def test_nobody_listens_for_a_while(tmp_path: Path) -> None:
    """Refused connections are made by closing the port, and it opens again."""
    with running(tmp_path) as own:
        with pytest.raises(httpx.HTTPError):
            own.post(fault="refused;for_s=0.4")
        refused = 0
        while True:
            try:
                found = own.post()
                break
            except httpx.ConnectError:
                refused += 1
        assert refused > 0
        assert found.status_code == 200


def test_a_tls_handshake_fails(run: Running) -> None:
    """A client must meet a broken handshake without any certificate being made."""
    host, port = run.sandbox.listening.tls_url.removeprefix("https://").split(":")
    context = ssl.create_default_context()
    held = socket.create_connection((host, int(port)), timeout=2)
    with held, pytest.raises(ssl.SSLError):
        context.wrap_socket(held, server_hostname="localhost")


REFUSED = [
    name for name, fault in CATALOGUE.items() if fault.refusal is not None and name not in CAUSES
]


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_of_a_fault_has_its_status_and_code(name: str, run: Running) -> None:
    """Other codes of one cause, as the table writes them."""
    found, written = run.post(fault=name), CATALOGUE[name].refusal or {}
    assert found.status_code == written["status"]
    assert written["code"] in found.text


def test_every_fault_of_the_table_is_tried_here() -> None:
    """A new fault needs a test that sees its effect."""
    tried = {*CAUSED, *ANSWERED, *SPOILED, *STREAMS, *SOCKETS, *REFUSED}
    assert set(CATALOGUE) - tried == {"balance_just_used_up", "slow_first_byte"}
    known = {*front.CLOSED, *front.RESET, *front.OPEN, "refused"}
    assert {CATALOGUE[name].socket for name in SOCKETS} == known


def test_a_late_answer_is_late_and_whole(run: Running) -> None:
    """A slow first byte is no failure."""
    found = run.post(fault="slow_first_byte")
    assert found.status_code == 200
    assert found.elapsed.total_seconds() >= 1


def test_the_handler_has_its_own_words_for_an_empty_balance(run: Running) -> None:
    """The first refusal after crossing zero is another than the later ones."""
    assert run.post(fault="balance_just_used_up").json()["error"]["type"] == "billing_error"


# Rules ----------------------------------------------------------------------------------------


def test_a_rule_of_a_request_counts_its_attempts(run: Running) -> None:
    """Two attempts fail, the third gets through, and the next call begins anew."""
    got = [run.post(fault="status_500;times=2").status_code for _ in range(6)]
    assert got == [500, 500, 200, 500, 500, 200]


def test_a_first_attempt_begins_anew(run: Running) -> None:
    """The SDKs count their attempts in a header, so that calls side by side do not mix."""
    headers = {
        "authorization": f"Bearer {run.secret('prod-web')}",
        "x-sandbox-fault": "status_502;times=1",
        "x-stainless-retry-count": "0",
    }
    body = {"model": "gpt-5.4-nano"}
    for retry, status in (("0", 502), ("0", 502), ("1", 200)):
        headers["x-stainless-retry-count"] = retry
        assert run.client.post(CHAT, headers=headers, json=body).status_code == status


def test_a_posted_rule_hits_only_whom_it_names(run: Running) -> None:
    """An outage of one model leaves the other ones alone; cleared, all is well."""
    run.client.post("/sandbox/faults", content="upstream_failed;model=gpt-5.4;times=1")
    assert run.post(model="gpt-5.4-mini").status_code == 200
    assert [run.post().status_code for _ in range(2)] == [502, 200]
    run.act("POST", "faults", fault="key_disabled", key="prod-assistant")
    assert run.post(MESSAGES).status_code == 401
    assert run.post().status_code == 200
    assert (
        run.client.get("/sandbox/faults").json()["rules"][-1] == "key_disabled;key=prod-assistant"
    )
    run.act("DELETE", "faults")
    assert run.post(MESSAGES).status_code == 200


def test_a_rule_ends_with_its_time(run: Running) -> None:
    """The clock of the sandbox decides, so that a minute passes at once."""
    run.client.post("/sandbox/faults", content="status_503;for_s=60")
    assert run.post().status_code == 503
    run.act("POST", "clock", advance_s=61)
    assert run.post().status_code == 200
    run.act("DELETE", "faults")


def test_a_share_of_the_calls_fails(run: Running) -> None:
    """With a probability both outcomes occur; the draw comes from the seed."""
    got = {run.post(fault="status_500;p=0.5").status_code for _ in range(40)}
    assert got == {200, 500}


def test_faults_are_data_a_user_can_write(run: Running) -> None:
    """A fault of one's own, and a rule that uses it, in one TOML text."""
    text = """
        [[faults]]
        name = "teapot"
        what = "I am a teapot."
        answer = { status = 418, body = "{}" }
        [[rules]]
        name = "teapot"
        times = 1
    """
    assert run.client.post("/sandbox/faults", content=text).status_code == 201
    assert [run.post().status_code for _ in range(2)] == [418, 200]
    assert "teapot" in run.client.get("/sandbox/faults").json()["faults"]


@pytest.mark.parametrize(
    "text", ["nope", "status_500;times=x", "status_500;p=2", "status_500;colour=red", "[[rules]"]
)
def test_what_is_no_rule_is_said(text: str, run: Running) -> None:
    """A typo must not look like a fault that never hit."""
    assert run.client.post("/sandbox/faults", content=text).status_code == 400
    assert run.post(fault=text).status_code == 400


def test_a_rule_reads_what_it_writes() -> None:
    """The line of a rule is its whole form."""
    line = "status_500;times=2;for_s=30;p=0.1;model=gpt-5.4;key=a;path=/v1;run=7"
    assert faults.parse(line).line() == line
    with pytest.raises(ParameterError):
        faults.read("[[rules]]\nname = 1\ntimes = 'x'")
