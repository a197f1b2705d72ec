"""One line of a call log: the same rules, with the body gone."""

import json

import pytest

from runbook_lib import contract
from runbook_lib.classifier import classify, classify_logged


@pytest.mark.parametrize("row", contract.ROWS, ids=lambda row: f"{row.status} {row.codes[0]}")
def test_a_logged_code_means_what_it_means_in_an_answer(row: contract.Row) -> None:
    """One set of rules: the verdict must not depend on where the code was read."""
    for code in row.codes:
        if code is not None and contract.Shape.GOOGLE not in row.shape:
            body = json.dumps({"error": {"type": code}})
            assert classify_logged(row.status, code) == classify(row.status, body)


def test_null_means_null_in_every_form_a_table_has_it() -> None:
    """Frames write NaN and NA for what a log did not say."""
    nan = float("nan")
    told = classify_logged(429.0, nan, error_type=nan, retry_after_s=nan)  # type: ignore[arg-type]
    assert told == classify_logged(429, None)
    assert classify_logged(nan, None).cause == "unknown"  # type: ignore[arg-type]
    by_window = classify_logged(429, "rate_limit_exceeded", retry_after_s=nan)
    assert by_window.cause == "key_window_used_up"


@pytest.mark.parametrize(
    ("line", "candidates"),
    [
        pytest.param({"stream_end": "complete"}, ("success",), id="whole"),
        pytest.param({}, ("success",), id="no stream"),
        pytest.param({"content_type": "text/html"}, ("wrong_base_path",), id="page"),
        pytest.param(
            {"path": "/chat/completions"}, ("success", "wrong_base_path"), id="path without /v1"
        ),
        pytest.param(
            {"stream_end": "truncated"}, ("stream_broken_after_first_byte",), id="truncated"
        ),
        pytest.param({"stream_end": "reset"}, ("stream_broken_after_first_byte",), id="reset"),
        pytest.param(
            {"stream_end": "error_event"}, ("stream_broken_after_first_byte",), id="error event"
        ),
        pytest.param(
            {"stream_end": "timeout"},
            ("stream_broken_after_first_byte", "client_timeout"),
            id="stalled",
        ),
        pytest.param({"stream_end": "client_closed"}, ("client_abandoned_stream",), id="closed"),
        pytest.param({"error_type": "JSONDecodeError"}, ("unknown",), id="unreadable"),
    ],
)
def test_a_logged_200_is_judged_by_how_it_ended(
    line: dict[str, str], candidates: tuple[str, ...]
) -> None:
    """Status 200 is sent before anyone knows how the stream ends."""
    assert classify_logged(200, None, **line).candidates == candidates  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("code", "cause", "retry"),
    [
        ("stream_read_error", "stream_broken_after_first_byte", None),
        ("upstream_error", "stream_broken_after_first_byte", None),
        ("rate_limit_error", "user_concurrency_limit", "backoff"),
    ],
)
def test_a_logged_error_event_is_judged_by_who_writes_such_codes(
    code: str, cause: str, retry: str | None
) -> None:
    """A 429 inside a 200 comes before the first byte; a broken upstream after it."""
    judged = classify_logged(200, code, stream_end="error_event")
    assert (judged.code, judged.cause, judged.retry) == (code, cause, retry)


@pytest.mark.parametrize(
    ("error_type", "candidates", "retry"),
    [
        ("ReadTimeout", ("unknown", "client_timeout", "upstream_timeout"), None),
        ("httpx.ConnectTimeout", ("unknown",), "backoff"),
        ("ConnectError", ("unknown",), "backoff"),
        ("SSLCertVerificationError", ("unknown",), "never"),
        ("RemoteProtocolError", ("unknown",), None),
        ("asyncio.CancelledError", ("client_abandoned_stream", "client_timeout"), "never"),
        (None, ("unknown",), None),
    ],
)
def test_a_logged_attempt_without_an_answer_says_what_may_be_re_sent(
    error_type: str | None, candidates: tuple[str, ...], retry: str | None
) -> None:
    """What never reached the gateway is safe to send again; what may have run is not."""
    judged = classify_logged(None, None, error_type=error_type)
    assert (judged.candidates, judged.retry) == (candidates, retry)
