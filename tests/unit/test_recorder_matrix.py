"""Every fault of the sandbox × every SDK × sync and async × streaming or not.

Each attempt the server saw is a line with all its ids, and the caller sees to the byte what they
see without the recorder.
"""

import gzip
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from gateway_kit import Running
from recorder_sdks import SDKS, Both, Seat, model, twins

from runbook_lib.classifier import classify
from runbook_lib.sandbox.faults import CATALOGUE
from runbook_lib.sandbox.live import Seen
from runbook_lib.sandbox.replies import SPOILS

CANARY = "canary-5d1c"
NO_HEAD = {
    *("reset_before_bytes", "close_before_bytes", "reset_in_headers", "cut_in_headers", "garbage"),
    *("bad_status_line", "huge_header", "many_headers", "no_answer", "refused"),
}
"""Faults that end an attempt before the client has a status: there are no ids to record."""

_BY_END: dict[str, tuple[str, ...]] = {
    "empty": (
        *("empty_body", "empty_object", "json_null", "json_list", "broken_utf8", "gzip_bomb"),
        *("stream_empty", "stream_keepalives_only"),
    ),
    "truncated": (
        *("truncated_json", "stream_no_end", "stream_half_event", "stream_cut_mid"),
        *("stream_cut_before_first_event", "cut_in_body", "bad_chunk_size", "missing_last_chunk"),
    ),
    "error_event": (
        *("stream_error_first", "stream_error_mid", "stream_error_mid_unnamed", "error_in_200"),
        *("cap_in_200", "cap_in_first_event", "user_concurrency_limit"),
    ),
    "reset": ("stream_reset_mid", "reset_in_body"),
    "timeout": ("stream_stall",),
    "cancelled": ("slow_drip",),
    # some SDKs give up what they cannot read, some have their end before it breaks
    "empty cancelled": ("html_body", "wrong_base_path", "stream_html"),
    "cancelled complete": ("stream_broken_json", "stream_invalid_utf8", "stream_bom"),
    "complete truncated": (
        *("content_length_too_long", "content_length_too_short", "stream_no_done"),
    ),
    "truncated error_event": ("stream_broken_after_first_byte",),
    "": ("wrong_encoding",),
}
ENDS = {fault: ends.split() or [None] for ends, faults in _BY_END.items() for fault in faults}
"""How the stream ends under a fault; `complete` under every other one that is answered with 200."""

SLICE = (
    *("key_cap_reached", "rate_limit", "status_401", "error_in_200", "cut_in_body", "garbage"),
    *("stream_broken_after_first_byte", "stream_error_mid_unnamed", "ten_request_ids"),
)
SOME = [name for name in SLICE if name in CATALOGUE]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, Running]]:
    """Twin sandboxes for all tests: every one asks both alike."""
    with twins(tmp_path_factory.mktemp("twins")) as found:
        yield found


def _wrong(fault: str, both: Both, *, sdk: str, streaming: bool) -> list[str]:
    """Say everything that does not hold of a call."""
    found = []
    if both.told[0] != both.told[1]:
        found.append(f"told apart: {both.told}")
    if len(both.seen[0]) != len(both.seen[1]):
        found.append(f"sent {len(both.seen[0])} times without, {len(both.seen[1])} with")
    away = [line for line in both.lines if line.get("error.type") == "ConnectError"]
    here = [line for line in both.lines if line not in away]
    if away and fault != "refused" and "other_host" not in fault:
        found.append("not connected")
    if len(here) != len(both.seen[1]):
        found.append(f"{len(both.seen[1])} attempts, {len(here)} lines")
    if len({line["torouter.call.id"] for line in both.lines}) != 1:
        found.append("more than one call")
    if [line["torouter.attempt"] for line in both.lines] != list(range(1, len(both.lines) + 1)):
        found.append("attempts are not numbered")
    for line, seen in zip(here, both.seen[1], strict=False):
        found += _wrong_line(fault, line, seen, sdk=sdk, streaming=streaming)
    return [f"{fault}: {text}" for text in found]


def _wrong_line(
    fault: str, line: dict[str, Any], seen: Seen, *, sdk: str, streaming: bool
) -> Iterator[str]:
    number = seen.line["attempt"].get("x-stainless-retry-count")
    expected: dict[str, Any] = {
        "torouter.key.name": "prod-web",
        "torouter.service": "web",
        "gen_ai.request.model": model(sdk),
        "gen_ai.request.stream": streaming,
    }
    if number is not None:
        expected["http.request.resend_count"] = int(number)
    if fault not in NO_HEAD:
        gives_up = sdk == "genai"  # at comments, pings and what else it does not know
        expected |= _answered(fault, line, seen, streaming=streaming, gives_up=gives_up)
    elif "http.response.status_code" in line or "error.type" not in line:
        yield f"an answer where there is none: {line}"
    for name, value in expected.items():
        if line.get(name) != value:
            yield f"{name} is {line.get(name)!r}, not {value!r}"


def _answered(
    fault: str, line: dict[str, Any], seen: Seen, *, streaming: bool, gives_up: bool
) -> dict[str, Any]:
    said = seen.line
    status = 200 if said["status"] is None else said["status"]
    ids = [part.strip() for value in said["request_ids"] for part in value.split(",")]
    client = said["client_request_id"]
    expected = {
        "http.response.status_code": status,
        "http.response.header.x-request-id": list(dict.fromkeys(ids)) or None,
        "http.response.header.x-client-request-id": [client] if client else None,
    }
    written = CATALOGUE[fault].answer
    if status >= 400 and said["fault"] == fault and written is not None:
        told = classify(status, written.get("body", ""), written.get("headers", {}))
        expected["torouter.error.code"] = told.code or None
        expected["torouter.retry"] = told.retry.value if told.retry else None
        if "retry_date_s" not in written:
            expected["torouter.retry_after_s"] = told.retry_after_s
        if fault == "cap_message_only":
            expected["torouter.error.code"] = None  # a text is no code, and can quote a prompt
    elif status >= 400:
        passed_on = said["code"] == "INTERNAL" and status < 500  # Google's word for another status
        expected["torouter.error.code"] = None if passed_on else said["code"] or None
    elif status == 200:
        kind = "".join(line.get("http.response.header.content-type", []))
        events = streaming or "event-stream" in kind
        ends = ENDS.get(fault, ["complete"]) if events else [None]
        if events and gives_up:
            ends = [*ends, "cancelled"]
        end = line.get("torouter.stream.end")
        expected["torouter.stream.end"] = end if end in ends else ends
        if end == "error_event":
            expected["error.type"] = line.get("torouter.error.code", "a code")
    return expected


def _all_hold(seat: Seat, faults: list[str], pair: tuple[Running, Running]) -> None:
    wrong: list[str] = []
    with seat:
        for number, fault in enumerate(faults):
            name = f"{seat.sdk} {'async' if seat.is_async else 'sync'} {seat.streaming}"
            both = seat.ask(fault, f"{CANARY} {number} {name} {fault}")
            wrong += _wrong(fault, both, sdk=seat.sdk, streaming=seat.streaming)
    assert not wrong, "\n".join(wrong)
    text = seat.log.read_text()
    assert CANARY not in text
    assert pair[0].secret("prod-web") not in text


WAYS = [
    pytest.mark.parametrize("streaming", [False, True], ids=["whole", "stream"]),
    pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"]),
    pytest.mark.parametrize("sdk", SDKS),
]


def _every_way(test: Any) -> Any:
    for mark in WAYS:
        test = mark(test)
    return test


@_every_way
def test_some_faults_are_recorded_and_change_nothing(
    *, sdk: str, is_async: bool, streaming: bool, pair: tuple[Running, Running], tmp_path: Path
) -> None:
    """An attempt without a line is a question nobody can answer; a changed answer is a fault."""
    _all_hold(Seat(pair, sdk, is_async, streaming, tmp_path / "calls.jsonl"), SOME, pair)


@pytest.fixture
def smaller(monkeypatch: pytest.MonkeyPatch, sdk: str) -> None:
    """Masses are whole for the HTTP clients; an SDK takes up to forty seconds to read them."""
    if sdk.startswith("httpx"):
        return
    lines, bomb = [b":\n" * 20_000], [gzip.compress(b" " * (4 << 20), mtime=0)]
    bombed = SPOILS["gzip_bomb"]
    fewer = {
        "stream_million_lines": lambda reply: replace(reply, pieces=lines + reply.pieces),
        "gzip_bomb": lambda reply: replace(bombed(reply), pieces=bomb),
    }
    for name, spoil in fewer.items():
        monkeypatch.setitem(SPOILS, name, spoil)


@pytest.mark.long
@pytest.mark.usefixtures("smaller")
@_every_way
def test_every_fault_is_recorded_and_changes_nothing(
    *, sdk: str, is_async: bool, streaming: bool, pair: tuple[Running, Running], tmp_path: Path
) -> None:
    """What only one of them does under one fault is what nobody would think of trying."""
    faults = [name for name in CATALOGUE if name not in SOME]
    _all_hold(Seat(pair, sdk, is_async, streaming, tmp_path / "calls.jsonl"), faults, pair)
