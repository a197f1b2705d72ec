"""Call logs of known make: our own lines, OTLP/JSON spans, LiteLLM payloads."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sources_kit as kit
from sources_kit import OWN, REFUSED


def test_our_own_line_fills_its_columns(tmp_path: Path) -> None:
    """Every name of the log has one column; nothing is lost on the way."""
    held = kit.row(tmp_path, OWN, account="a1")
    assert held == {
        "account": "a1",
        "ts": datetime(2026, 11, 24, 5, 31, 40, 300_000, tzinfo=UTC),
        "slot": 1_994_998,
        "call_id": "web-1",
        "attempt": 1,
        "resend_count": 0,
        "request_ids": "11111111-aaaa,req_1",
        "client_request_id": "22222222-bbbb",
        "response_id": "chatcmpl-1",
        "key_name": "prod-web",
        "environment": "production",
        "service": "web-chat",
        "provider": "openai",
        "operation": "chat",
        "model": "gpt-5.4",
        "response_model": "gpt-5.4-2026-03-05",
        "server": "127.0.0.1",
        "path": "/v1/chat/completions",
        "user_agent": None,
        "stream": False,
        "status": 200,
        "content_type": "application/json",
        "code": None,
        "error_type": None,
        "outcome": "ok",
        "retry": None,
        "retry_after_s": None,
        "stream_end": None,
        "finish_reasons": "stop",
        "ttft_ms": None,
        "duration_ms": 1163.1,
        "input_tokens": 600,
        "output_tokens": 20,
        "cache_read_tokens": 400,
        "cache_write_tokens": None,
        "traceparent": None,
        "extra": None,
        "source_file": "in.jsonl",
        "row_number": 1,
    }


@pytest.mark.parametrize(
    ("changes", "tokens"),
    [
        pytest.param({"gen_ai.provider.name": "anthropic"}, 1000, id="anthropic-never-counts-it"),
        pytest.param({"gen_ai.provider.name": "gcp.gemini"}, 600, id="gemini-counts-it"),
        pytest.param({"gen_ai.usage.cache_read.input_tokens": 0}, 1000, id="nothing-cached"),
        pytest.param({"gen_ai.usage.cache_read.input_tokens": None}, 1000, id="none-told-is-none"),
        pytest.param({"gen_ai.usage.cache_read.input_tokens": 1001}, None, id="impossible"),
        pytest.param({"gen_ai.provider.name": "acme"}, None, id="protocol-unknown"),
    ],
)
def test_input_never_holds_cached_tokens(
    tmp_path: Path, changes: dict[str, Any], tokens: int | None
) -> None:
    """Providers count cached tokens differently; a sum over both would be wrong."""
    assert kit.row(tmp_path, OWN | changes)["input_tokens"] == tokens


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        pytest.param({}, "ok", id="answered"),
        pytest.param({"http.response.status_code": 429}, "refused", id="refused"),
        pytest.param({"http.response.status_code": 307}, "refused", id="redirected"),
        pytest.param({"torouter.stream.end": "complete"}, "ok", id="whole-stream"),
        pytest.param({"torouter.stream.end": "truncated"}, "broken", id="cut-stream"),
        pytest.param({"torouter.stream.end": "error_event"}, "broken", id="error-in-stream"),
        pytest.param({"torouter.stream.end": "empty"}, "broken", id="empty-stream"),
        pytest.param({"torouter.stream.end": "transport_error"}, "broken", id="connection-lost"),
        pytest.param({"torouter.stream.end": "client_closed"}, "abandoned", id="client-left"),
        pytest.param(
            {"http.response.header.content-type": ["text/html; charset=utf-8"]},
            "broken",
            id="web-page-under-200",
        ),
        pytest.param({"torouter.error.code": "api_error"}, "broken", id="error-under-200"),
        pytest.param(
            {"http.response.status_code": None, "error.type": "ReadTimeout"},
            "no_answer",
            id="timeout",
        ),
        pytest.param(
            {"http.response.status_code": None, "error.type": "asyncio.CancelledError"},
            "abandoned",
            id="cancelled",
        ),
    ],
)
def test_how_an_attempt_ended(tmp_path: Path, changes: dict[str, Any], outcome: str) -> None:
    """Everything after the intake counts failures by this one word."""
    assert kit.row(tmp_path, OWN | changes)["outcome"] == outcome


@pytest.mark.parametrize(
    ("logged", "kept"),
    [("client_closed", "cancelled"), ("transport_error", "reset"), ("weird", None)],
)
def test_ends_of_streams_have_one_vocabulary(tmp_path: Path, logged: str, kept: str | None) -> None:
    """A word of another recorder is translated or unknown, and stays readable beside the row."""
    held = kit.row(tmp_path, OWN | {"torouter.stream.end": logged})
    assert held["stream_end"] == kept
    assert held["extra"] == f'{{"stream_end_as_logged": "{logged}"}}'


def test_a_failed_attempt_carries_its_retry_rule(tmp_path: Path) -> None:
    """The rule is judged once at the intake, so that every question later sees the same."""
    held = kit.row(tmp_path, REFUSED)
    assert (held["outcome"], held["code"], held["retry"]) == (
        "refused",
        "API_KEY_QUOTA_EXHAUSTED",
        "never",
    )
    assert kit.row(tmp_path, OWN)["retry"] is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"ts": None}, "no time", id="no-time"),
        pytest.param({"ts": "yesterday"}, "time that cannot be read", id="no-such-time"),
        pytest.param(
            {"ts": "2026-11-24T05:31:40"}, "time without an offset (name its zone)", id="naive"
        ),
        pytest.param({"ts": 5}, "time outside 2000 to 2100", id="1970"),
        pytest.param(
            {"http.response.status_code": 999}, "status is no HTTP status", id="no-status"
        ),
        pytest.param({"torouter.attempt": 0}, "attempt is out of range", id="attempt-0"),
        pytest.param(
            {"gen_ai.usage.output_tokens": 1.5}, "output_tokens is no whole number", id="half-token"
        ),
        pytest.param(
            {"gen_ai.usage.output_tokens": -1}, "output_tokens is out of range", id="negative"
        ),
        pytest.param(
            {"gen_ai.usage.output_tokens": 2**63}, "output_tokens is out of range", id="too-large"
        ),
        pytest.param({"duration_ms": "1,5"}, "duration_ms is no number", id="decimal-comma"),
        pytest.param({"duration_ms": float("nan")}, "duration_ms is out of range", id="nan"),
        pytest.param(
            {"gen_ai.request.stream": "maybe"}, "stream is neither true nor false", id="flag"
        ),
    ],
)
def test_what_does_not_convert_is_rejected_with_its_reason(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    """A value is never guessed: the line is counted, named and left out."""
    intake = kit.read(tmp_path, [OWN, OWN | changes])
    assert (intake.rows, intake.rejected, intake.reasons) == (1, 1, {reason: 1})
    assert [(reject.row, reject.line) for reject in intake.rejects] == [(2, 2)]


@pytest.mark.parametrize(
    ("changes", "column", "value"),
    [
        pytest.param({"gen_ai.usage.output_tokens": 10**18}, "output_tokens", 10**18, id="huge"),
        pytest.param({"gen_ai.usage.output_tokens": 20.0}, "output_tokens", 20, id="float-whole"),
        pytest.param({"http.response.status_code": "503"}, "status", 503, id="status-as-text"),
        pytest.param({"http.response.status_code": 0}, "status", None, id="zero-is-no-answer"),
        pytest.param({"torouter.error.code": 403}, "code", None, id="number-is-no-code"),
        pytest.param({"torouter.retry_after_s": "17"}, "retry_after_s", 17.0, id="wait-as-text"),
        pytest.param(
            {"url.path": "https://h.invalid/v1/messages?x=1#y"}, "path", "/v1/messages", id="url"
        ),
        pytest.param(
            {"http.response.header.x-request-id": "a, b"}, "request_ids", "a,b", id="joined-ids"
        ),
        pytest.param(
            {"http.response.header.x-request-id": ["a b"]}, "request_ids", "a b", id="id-with-space"
        ),
        pytest.param(
            {"gen_ai.request.model": "модель\u202e🙂"}, "model", "модель\u202e🙂", id="unicode"
        ),
        pytest.param({"gen_ai.request.model": "a\ud800b"}, "model", "a?b", id="half-surrogate"),
        pytest.param({"gen_ai.request.model": "a\0b"}, "model", "a\ufffdb", id="nul"),
        pytest.param({"ts": 1795498300.3}, "slot", 1_994_998, id="epoch-s"),
        pytest.param({"ts": 1795498300300}, "slot", 1_994_998, id="epoch-ms"),
        pytest.param({"ts": "1795498300300000000"}, "slot", 1_994_998, id="epoch-ns-as-text"),
    ],
)
def test_forms_of_values_that_are_taken(
    tmp_path: Path, changes: dict[str, Any], column: str, value: object
) -> None:
    """Loggers differ in harmless ways; none of them may cost a row."""
    assert kit.row(tmp_path, OWN | changes)[column] == value


def test_times_without_offset_are_read_in_a_named_zone(tmp_path: Path) -> None:
    """Only a person can know the zone; a doubled hour stays refused."""
    zone = ZoneInfo("Europe/Berlin")
    held = kit.row(tmp_path, OWN | {"ts": "2026-11-24T06:31:40.3"}, zone=zone)
    assert held["ts"] == datetime(2026, 11, 24, 5, 31, 40, 300_000, tzinfo=UTC)
    doubled = kit.read(tmp_path, [OWN, OWN | {"ts": "2026-10-25T02:30:00"}], zone=zone)
    assert doubled.reasons == {"time that its zone skips or has twice": 1}


def test_a_broken_line_of_a_pure_log_is_rejected(tmp_path: Path) -> None:
    """Where every line is a call, a line that is none is a call lost."""
    good = kit.write(tmp_path, [OWN] * 40).read_text(encoding="utf-8")
    intake = kit.read(tmp_path, good + "what is this\n" + '{"ts": "2026-11-24T05:3')
    assert (intake.rows, intake.rejected, intake.other_lines) == (40, 2, 0)
    assert [reject.line for reject in intake.rejects] == [41, 42]
    assert "the file is cut off in its last line" in intake.notes


def test_a_call_log_inside_an_application_log(tmp_path: Path) -> None:
    """Lines of an application that are no calls are counted apart, not as rejected."""
    mixed = [OWN, {"lvl": "info", "msg": "up"}, {"lvl": "info", "msg": "down"}, REFUSED]
    intake = kit.read(tmp_path, mixed)
    assert (intake.rows, intake.rejected, intake.other_lines) == (2, 0, 2)
    assert [held["row_number"] for held in kit.rows(intake)] == [1, 4]


def test_spans_and_our_own_lines_say_the_same(tmp_path: Path) -> None:
    """One attempt gives one row, whichever exporter wrote it."""
    fields = {n: v for n, v in OWN.items() if n not in ("ts", "duration_ms", "torouter.service")}
    mine = kit.row(tmp_path, OWN)
    theirs = kit.row(tmp_path, kit.otlp([kit.span(fields)], **{"service.name": "web-chat"}))
    assert theirs.pop("traceparent") == f"00-{'0' * 31}1-{'0' * 15}2-01"
    mine.pop("traceparent")
    assert theirs == mine


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(kit.span({"db.system": "postgresql"}), id="database"),
        pytest.param(kit.span({"url.path": "/v1/chat/completions"}, kind=2), id="server"),
        pytest.param(kit.span({"http.request.method": "GET", "url.path": "/cart"}), id="shop"),
    ],
)
def test_spans_of_other_work_are_other_lines(tmp_path: Path, other: dict[str, Any]) -> None:
    """A trace holds the whole application; only its calls to models are attempts."""
    call = kit.span({"gen_ai.request.model": "m", "http.response.status_code": 200})
    intake = kit.read(tmp_path, [kit.otlp([call, other])])
    assert (intake.kind, intake.rows, intake.other_lines) == ("OTLP spans", 1, 1)


def test_spans_in_one_pretty_document(tmp_path: Path) -> None:
    """Some exporters write one document over many lines."""
    import json

    document = kit.otlp([kit.span({"gen_ai.request.model": "m", "error.type": "503"})] * 3)
    intake = kit.read(tmp_path, json.dumps(document, indent=1))
    assert intake.rows == 3
    assert [held["status"] for held in kit.rows(intake)] == [503] * 3


def test_a_litellm_success(tmp_path: Path) -> None:
    """The payload keeps the gateway's headers under a prefix and times as seconds."""
    held = kit.row(tmp_path, kit.litellm())
    expected = {
        "request_ids": "55555555-eeee",
        "client_request_id": "66666666-ffff",
        "response_id": "msg_1",
        "call_id": "ci-1",
        "attempt": None,
        "key_name": "ci-evals",
        "environment": "ci",
        "service": "ci-evals",
        "status": 200,
        "operation": "chat",
        "server": "127.0.0.1",
        "duration_ms": 383.4,
        "input_tokens": 677,
        "outcome": "ok",
    }
    assert {name: held[name] for name in expected} == expected
    assert held["ts"] == datetime(2026, 11, 24, 5, 31, 43, 780_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        pytest.param("upstream_error", "upstream_error", id="symbol"),
        pytest.param("Something went wrong", None, id="sentence"),
        pytest.param(
            'litellm.RateLimitError: {"type":"error","error":{"type":"rate_limit_error"}}',
            "rate_limit_error",
            id="body-quoted",
        ),
    ],
)
def test_a_litellm_failure_has_no_zeros_and_no_id(
    tmp_path: Path, message: str, code: str | None
) -> None:
    """Its zero tokens were not measured, and its id is only that of the trace."""
    told = {"error_code": "502", "error_class": "InternalServerError", "error_message": message}
    failed = kit.litellm(
        id="ci-1", status="failure", prompt_tokens=0, completion_tokens=0, error_information=told
    )
    held = kit.row(tmp_path, failed)
    assert (held["status"], held["code"], held["outcome"]) == (502, code, "refused")
    assert (held["response_id"], held["input_tokens"], held["output_tokens"]) == (None, None, None)


def test_litellm_names_its_cached_tokens(tmp_path: Path) -> None:
    """LiteLLM counts cached and written tokens as prompt where it names them."""
    usage = {"cache_read_input_tokens": 100, "cache_creation_input_tokens": 50}
    held = kit.row(tmp_path, kit.litellm(metadata={"usage_object": usage}))
    assert (held["input_tokens"], held["cache_read_tokens"]) == (527, 100)


def test_an_answer_from_litellms_own_cache_is_no_attempt(tmp_path: Path) -> None:
    """Nothing was sent, so the gateway can know nothing of it."""
    intake = kit.read(tmp_path, [kit.litellm(), kit.litellm(cache_hit=True)])
    assert (intake.rows, intake.other_lines) == (1, 1)
