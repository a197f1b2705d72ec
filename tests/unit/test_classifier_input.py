"""The classifier on bad input: nothing raises, nothing is made up."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runbook_lib import contract
from runbook_lib.classifier import Classification, classify, classify_logged


def consistent(judged: Classification) -> bool:
    """Tell whether domain and retry are what the candidates share."""
    names = judged.candidates
    special = judged.cause == "unknown" or judged.code == "rate limit exceeded"
    return (
        judged.cause == names[0]
        and len(names) == len(set(names)) <= 4
        and judged.domain == contract.shared_domain(names)
        and (special or judged.retry == contract.shared_retry(names) or not judged.known)
    )


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("[" * 200_000, id="deep list"),
        pytest.param('{"a":' * 200_000, id="deep object"),
        pytest.param('{"error":{"code":' + "9" * 10_000 + "}}", id="endless number"),
        pytest.param('{"error":{"code":"\\ud800"}}', id="lone surrogate, escaped"),
        pytest.param('{"error":{"code":"\ud800"}}', id="lone surrogate"),
        pytest.param(b"\xff\xfe\x00\xd8" * 1000, id="broken UTF-16"),
        pytest.param(b"data: \xff\xfe\n\n" * 1000, id="broken UTF-8"),
        pytest.param("data: {}\n\n" * 300_000, id="many events"),
        pytest.param("data:" + "x" * 5_000_000, id="one long line"),
        pytest.param('{"data":["' + "x" * 5_000_000, id="long and cut"),
        pytest.param(b"\x1f\x8b\x08" + bytes(1000), id="packed"),
    ],
)
def test_hostile_bodies_are_judged_like_any_other(body: str | bytes) -> None:
    """What an attacker or a broken proxy sends must not stop a runbook."""
    for status in (200, 429):
        assert consistent(classify(status, body, {"content-length": "9" * 30}))


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
KEYS = st.sampled_from(
    [
        "error",
        "code",
        "type",
        "reason",
        "status",
        "message",
        "choices",
        "candidates",
        "data",
        "object",
        "content",
        "finish_reason",
        "finishReason",
        "response",
        "success",
    ]
)
CODES = st.sampled_from([code for row in contract.ROWS for code in row.codes if code])
TREES = st.recursive(
    SCALARS | CODES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
LINES = st.builds(
    lambda field, value, end: f"{field}{value}{end}",
    st.sampled_from(["data: ", "event: ", ":", "id:", "data:"]),
    TREES.map(json.dumps) | st.text(max_size=20) | st.just("[DONE]"),
    st.sampled_from(["\n\n", "\r\n\r\n", "\n", "\r", ""]),
)
BODIES = (
    st.none()
    | st.text(max_size=80)
    | st.binary(max_size=80)
    | TREES.map(json.dumps)
    | TREES.map(json.dumps).flatmap(lambda text: st.integers(0, len(text)).map(lambda n: text[:n]))
    | st.lists(LINES, max_size=6).map("".join)
)
HEADERS = st.dictionaries(
    st.sampled_from(["Retry-After", "retry-after-ms", "content-type", "Content-Length", "date"]),
    st.text(max_size=20)
    | st.sampled_from(["0", "36", "nan", "text/html", "text/event-stream", "-1"])
    | st.lists(st.text(max_size=8), max_size=2),
)


@settings(max_examples=300, deadline=None)
@given(st.none() | st.integers(-5, 1000) | st.sampled_from([200, 429, 403]), BODIES, HEADERS)
def test_anything_is_judged_and_nothing_raises(
    status: int | None, body: str | bytes | None, headers: dict[str, Any]
) -> None:
    """Domain and retry are what the candidates share, whatever came."""
    judged = classify(status, body, headers)
    assert consistent(judged)
    assert set(judged.candidates) <= set(contract.CAUSES)
    assert judged.code is None or 0 < len(judged.code) <= 64
    assert classify(status, body, list(headers.items())) == judged


@settings(max_examples=200, deadline=None)
@given(
    st.none() | st.integers(-5, 1000),
    st.none() | CODES | st.text(max_size=80),
    st.none() | st.text(max_size=20) | st.sampled_from(["ReadTimeout", "ConnectError", "429"]),
    st.none() | st.sampled_from(["complete", "truncated", "error_event", "empty", "what"]),
    st.none() | st.floats(),
)
def test_any_line_of_a_log_is_judged_and_nothing_raises(
    status: int | None,
    code: str | None,
    error_type: str | None,
    stream_end: str | None,
    retry_after_s: float | None,
) -> None:
    """Logs are written by other people's code."""
    judged = classify_logged(
        status,
        code,
        error_type=error_type,
        stream_end=stream_end,
        retry_after_s=retry_after_s,
    )
    assert consistent(judged)
