"""The classifier: its rules, and the recorded answers of a running gateway."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runbook_lib.classifier import Classification, classify, request_ids

LIMIT = '{"error":{"message":"x","type":"rate_limit_error"},"type":"error"}'


@pytest.mark.parametrize(
    ("body", "retry"),
    [
        pytest.param('{"error":{"code":"API_KEY_QUOTA_EXHAUSTED"}}', "never", id="cap"),
        pytest.param('{"error":"rate limit exceeded"}', "backoff", id="rate, no wait named"),
        pytest.param('{"error":{"type":"rate_limit_exceeded"}}', "window", id="key window"),
        pytest.param('{"error":{"type":"rate_limit_error"}}', "backoff", id="undecided"),
        pytest.param('{"code":"INVALID_AUTH_RATE_LIMITED"}', "after", id="address blocked"),
        pytest.param(None, None, id="nobody read the body"),
    ],
)
def test_429_is_judged_by_its_code(body: str | None, retry: str | None) -> None:
    """At the spend cap a 429 is final; at the rate limit it is not."""
    assert classify(429, body).retry == retry


@pytest.mark.parametrize(
    ("value", "cause", "seconds"),
    [
        pytest.param(None, "key_window_used_up", None, id="none"),
        pytest.param("1", "user_rpm", 1.0, id="seconds"),
        pytest.param("1.5", "user_rpm", 1.5, id="fraction"),
        pytest.param("60", "user_rpm", 60.0, id="a minute"),
        pytest.param("60.5", "platform_quota_used_up", 60.5, id="over a minute"),
        pytest.param("277403", "platform_quota_used_up", 277403.0, id="days"),
        pytest.param("1500ms", "user_rpm", 1.5, id="milliseconds"),
        pytest.param(" 36 ", "user_rpm", 36.0, id="blanks"),
        pytest.param("0", "user_rpm", 0.0, id="zero"),
    ],
)
def test_retry_after_decides_between_window_minute_and_quota(
    value: str | None, cause: str, seconds: float | None
) -> None:
    """One code, three limits: waiting a minute for a seven-day window wastes the night."""
    headers = {} if value is None else {"RETRY-AFTER": value}
    judged = classify(429, '{"error":{"type":"rate_limit_exceeded"}}', headers)
    assert (judged.cause, judged.retry_after_s) == (cause, seconds)


@pytest.mark.parametrize(
    "value",
    ["-5", "soon", "nan", "inf", "1e400", "9" * 400, "", "١٢", "Wed, 21 Oct 2015 07:28:00 GMT"],
)
def test_an_unusable_retry_after_decides_nothing(value: str) -> None:
    """A wait that cannot be read must not make a key's window out of a limit by the minute."""
    judged = classify(429, '{"error":{"type":"rate_limit_exceeded"}}', {"retry-after": value})
    assert judged.candidates == ("user_rpm", "group_rpm", "platform_quota_used_up")
    assert (judged.retry, judged.retry_after_s) == (None, None)


def test_a_date_in_retry_after_counts_from_the_answers_own_date() -> None:
    """The caller's clock can be minutes off; the answer carries the server's."""
    headers = {
        "date": "Tue, 24 Nov 2026 05:00:00 GMT",
        "retry-after": "Tue, 24 Nov 2026 05:00:20 GMT",
    }
    judged = classify(429, '{"error":{"type":"rate_limit_exceeded"}}', headers)
    assert (judged.cause, judged.retry_after_s) == ("user_rpm", 20.0)


def test_milliseconds_come_before_seconds() -> None:
    """Both SDKs read the header in milliseconds first."""
    headers = [("retry-after", "900"), ("Retry-After-Ms", "1500")]
    assert classify(429, "", headers).retry_after_s == 1.5


@pytest.mark.parametrize(
    ("status", "retry"),
    [
        *[(400, "never"), (401, "never"), (403, None), (404, "never"), (418, "never"), (429, None)],
        *[(408, "backoff"), (409, "backoff"), (500, "backoff"), (503, "backoff"), (501, "never")],
    ],
)
def test_a_new_code_gets_a_safe_default_that_says_so(status: int, retry: str | None) -> None:
    """Gateways grow codes: nothing is re-sent blindly, and nobody is told a made-up cause."""
    judged = classify(status, '{"error":{"code":"BRAND_NEW_CODE","message":"x"}}')
    assert (judged.code, judged.cause, judged.known) == ("BRAND_NEW_CODE", "unknown", False)
    assert (judged.domain, judged.retry, judged.mark) == (None, retry, "?")
    assert judged.fix.startswith("This code is in no list")


def test_a_new_code_with_a_known_type_is_judged_by_its_type() -> None:
    """Providers put their own code beside a type the contract knows."""
    body = '{"error":{"type":"invalid_request_error","code":"context_length_exceeded"}}'
    judged = classify(400, body)
    assert (judged.code, judged.domain, judged.known) == ("context_length_exceeded", "caller", True)


@pytest.mark.parametrize(
    ("status", "cause", "retry"),
    [
        (301, "wrong_path", "never"),
        (405, "wrong_path", "never"),
        (408, "unknown", "backoff"),
        (409, "unknown", "backoff"),
        (415, "request_malformed", "never"),
        (422, "request_malformed", "never"),
        (425, "unknown", "backoff"),
        (451, "request_rejected", "never"),
        (501, "unknown", "never"),
        (505, "unknown", "never"),
        (520, "gateway_internal", "backoff"),
        (522, "gateway_internal", "backoff"),
        (524, "upstream_timeout", "backoff"),
    ],
)
def test_a_status_of_a_proxy_gets_a_safe_default_that_says_so(
    status: int, cause: str, retry: str
) -> None:
    """What a CDN answers says little of the gateway; its page is no code."""
    judged = classify(status, "<html><title>Error</title></html>", {"content-type": "text/html"})
    assert (judged.cause, judged.retry, judged.known, judged.code) == (cause, retry, False, None)


@pytest.mark.parametrize(
    ("status", "body", "content_type", "cause"),
    [
        pytest.param(404, "404 page not found", "text/plain", "wrong_path", id="text"),
        pytest.param(404, "<html></html>", "text/html", "wrong_path", id="page"),
        pytest.param(404, '{"error":{"message":"x"}}', "", "model_not_served_by_group", id="JSON"),
        pytest.param(502, "<html>nginx</html>", "text/html", "upstream_failed", id="502 page"),
        pytest.param(504, "", "", "upstream_timeout", id="504 empty"),
        pytest.param(413, "<html></html>", "text/html", "request_too_large", id="413 page"),
        pytest.param(
            502,
            '{"error":{"type":"upstream_error"}}',
            "text/event-stream",
            "upstream_failed",
            id="before the first byte",
        ),
        pytest.param(
            429, f"event: error\ndata: {LIMIT}\n\n", "", "user_concurrency_limit", id="as an event"
        ),
    ],
)
def test_a_refusal_without_its_usual_body_is_judged_by_its_status(
    status: int, body: str, content_type: str, cause: str
) -> None:
    """Proxies, CDNs and streams wrap a refusal in their own form."""
    assert classify(status, body, {"content-type": content_type}).cause == cause


@pytest.mark.parametrize(
    ("status", "word", "code", "cause", "domain", "retry"),
    [
        (400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", "request_malformed", "caller", "never"),
        (401, "UNAUTHENTICATED", "UNAUTHENTICATED", "key_not_sent", None, "never"),
        (403, "PERMISSION_DENIED", "PERMISSION_DENIED", "key_expired", None, "never"),
        (404, "NOT_FOUND", "NOT_FOUND", "model_not_served_by_group", None, "never"),
        (404, "UNAVAILABLE", None, "model_not_found_upstream", None, "never"),
        (400, "UNAVAILABLE", None, "request_rejected_by_upstream", "caller", "never"),
        (429, "RESOURCE_EXHAUSTED", "RESOURCE_EXHAUSTED", "key_cap_reached", None, None),
        (429, "UNAVAILABLE", None, "upstream_rate_limited", "upstream", "backoff"),
        (413, "UNKNOWN", "UNKNOWN", "request_too_large", "caller", "never"),
        (500, "INTERNAL", "INTERNAL", "gateway_internal", "gateway", "backoff"),
        (502, "INTERNAL", "INTERNAL", "upstream_failed", "upstream", "backoff"),
        (503, "INTERNAL", "INTERNAL", "no_channel_available", None, "backoff"),
    ],
)
def test_googles_shape_has_no_symbol_of_its_own(
    status: int, word: str, code: str | None, cause: str, domain: str | None, retry: str | None
) -> None:
    """Its word repeats the status; a word of another class comes from the upstream."""
    body = json.dumps({"error": {"code": status, "message": "x", "status": word}})
    judged = classify(status, body)
    assert (judged.code, judged.cause, judged.domain, judged.retry) == (code, cause, domain, retry)
    assert classify(200, body).candidates == judged.candidates


@pytest.mark.parametrize(
    ("status", "reason", "cause", "domain", "retry"),
    [
        (400, "API_KEY_TOO_SHORT", "console_request_rejected", "caller", "never"),
        (404, None, "console_request_rejected", "caller", "never"),
        (403, None, "console_request_rejected", None, "never"),
        (401, "INVALID_CREDENTIALS", "console_login_wrong", "caller", "never"),
        (429, None, "console_rate_limited", "caller", "after"),
        (500, None, "gateway_internal", "gateway", "backoff"),
    ],
)
def test_the_consoles_shape_is_judged_by_its_reason(
    status: int, reason: str | None, cause: str, domain: str | None, retry: str
) -> None:
    """Its code is a number and says nothing."""
    body = {"code": status, "message": "x", **({"reason": reason} if reason else {})}
    judged = classify(status, json.dumps(body))
    assert (judged.code, judged.cause) == (reason, cause)
    assert (judged.domain, judged.retry) == (domain, retry)


def test_no_answer_is_unknown() -> None:
    """Without an answer there is nothing to judge: no guess."""
    judged = classify(None)
    assert (judged.cause, judged.domain, judged.retry) == ("unknown", None, None)


@pytest.mark.parametrize(
    "headers",
    [
        [("X-Request-ID", "a-1"), ("x-request-id", "req_2"), ("X-Client-Request-Id", "c-3")],
        {"x-request-id": "a-1, req_2", "x-client-request-id": ["c-3", "c-3"]},
        {"X-REQUEST-ID": ["a-1", "req_2,"], "x-client-request-id": "c-3"},
    ],
    ids=["lines", "one line", "list"],
)
def test_every_request_id_is_found(headers: Any) -> None:
    """The upstream adds its id as a second line, and clients join the lines by a comma."""
    assert request_ids(headers) == ("a-1", "req_2", "c-3")
    assert classify(200, "{}", headers).request_ids == ("a-1", "req_2", "c-3")


def test_no_text_of_a_body_reaches_the_result() -> None:
    """Messages can hold prompts and keys; a result is written to files and tickets."""
    secret = "sk-" + "a1b2c3d4" * 4
    for body in (
        json.dumps({"error": {"message": "private", "code": secret}}),
        json.dumps({"error": f"private {'words ' * 20}"}),
        json.dumps({"error": {"type": "\u202eevil\x1b[2J", "message": "private"}}),
        "private",
    ):
        text = repr(classify(400, body))
        assert "private" not in text
        assert secret not in text
        assert "\u202e" not in text
        assert "\x1b" not in text


def test_a_long_code_is_bounded() -> None:
    """A code is a symbol, not a place to hide a megabyte."""
    code = classify(400, json.dumps({"error": {"code": "X" * 10**6}})).code
    assert code is not None
    assert len(code) <= 64


def _answers(gateway: Path) -> list[dict[str, Any]]:
    lines = (gateway / "answers.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def _right(judged: Classification, expect: dict[str, Any]) -> bool:
    open_ = len(judged.candidates) > 1
    return (
        (expect["cause"] is None or expect["cause"] in judged.candidates)
        and (judged.domain == expect["domain"] or (open_ and judged.domain is None))
        and (judged.retry == expect["retry"] or (open_ and judged.retry is None))
        and judged.code == expect["code"]
    )


@pytest.mark.shared
@pytest.mark.parametrize("form", [lambda body: body, str.encode], ids=["text", "bytes"])
def test_every_recorded_answer_is_judged_right(gateway: Path, form: Callable[[str], Any]) -> None:
    """The answers of a running gateway, each with what one who reads the message would say."""
    wrong = [
        answer["name"]
        for answer in _answers(gateway)
        if not _right(
            classify(answer["status"], form(answer["body"]), answer["headers"]), answer["expect"]
        )
    ]
    assert wrong == []


UNDECIDED = {
    "billing_error": 403,
    "invalid_request_error": 400,
    "rate_limit_error": 429,
    "rate limit exceeded": 429,
    "rate_limit_exceeded": 429,
    "ACCESS_DENIED": 403,
    "INTERNAL": 503,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
}
"""Codes the contract gives several meanings, with their status."""


@pytest.mark.shared
def test_what_a_rule_can_decide_has_one_candidate(gateway: Path) -> None:
    """A second candidate is a question to a tired person: only where the contract asks it too."""
    open_ = {
        answer["name"]: (judged.code, answer["status"])
        for answer in _answers(gateway)
        if len((judged := classify(answer["status"], answer["body"], answer["headers"])).candidates)
        > 1
    }
    numbers_only = {"console.usage.filter_other_key"}
    assert {
        name
        for name, (code, status) in open_.items()
        if code is None or UNDECIDED.get(code) != status
    } == numbers_only
