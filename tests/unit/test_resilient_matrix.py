"""Every fault of the matrix, over real sockets: how often, whom, and what the caller gets.

Judged by what the server saw. Waits are skipped (stamina's own switch); their lengths are tried in
`test_resilient_waits.py`. The plainest way is in the short run, all others in the long one.
"""

import pytest
from gateway_kit import Running
from resilient_kit import WAYS, Way, ask

from runbook_lib.sandbox.faults import CATALOGUE

pytestmark = pytest.mark.usefixtures("no_waits")

NEVER = (1, 0)
"""Attempts on the primary and on the fallback."""

MODEL, ONCE, FULL = (1, 1), (2, 2), (3, 3)


def _each(names: str, counts: tuple[int, int]) -> dict[str, tuple[int, int]]:
    return dict.fromkeys(names.split(), counts)


LASTING = {
    # The request, the key or the account is wrong: rows 1 to 7, 10, 12
    **_each(
        "request_malformed request_too_large key_not_sent key_in_query key_unknown_or_deleted "
        "key_disabled key_expired key_without_group balance_used_up balance_just_used_up "
        "user_inactive user_not_found group_disabled request_rejected_by_upstream request_rejected "
        "no_active_subscription subscription_invalid group_not_allowed wrong_path status_400 "
        "status_402 status_405 status_415 status_422 status_451 page_413 context_too_long "
        "console_token_missing console_login_wrong wrong_protocol_for_key",
        NEVER,
    ),
    **_each("model_not_allowed ip_not_allowed model_not_served_by_group", MODEL),
    # What passes, and what may have been done already: rows 8 to 28
    **_each(
        "status_408 status_500 status_502 status_503 status_503_as_stream upstream_failed "
        "gateway_internal no_channel_available page_520 page_522 upstream_overloaded",
        FULL,
    ),
    **_each("status_409 status_425 status_504 page_524 status_529 upstream_timeout", ONCE),
    **_each("status_501 status_505", NEVER),
    **_each("status_500_do_not_retry", MODEL),
    **_each("status_400_do_retry", (3, 0)),
    # Rate limits, with Retry-After and without: rows 13 to 21
    **_each(
        "rate_limit retry_after_0 retry_after_negative retry_after_word retry_after_nan "
        "retry_after_past_date retry_after_date_minus_57",
        FULL,
    ),
    **_each(
        "retry_after_61 retry_after_90 retry_after_120 retry_after_3600 retry_after_86400 "
        "retry_after_1e400 retry_after_inf retry_after_277403 retry_after_date_20 "
        "retry_after_date_63 retry_after_503_3600 retry_after_503_86400",
        MODEL,
    ),
    **_each(
        "ip_blocked_after_bad_keys platform_quota_used_up key_cap_reached key_window_used_up "
        "subscription_window_used_up cap_nested cap_in_type cap_flat cap_as_quota cap_as_stream "
        "cap_message_only cap_in_200",
        NEVER,
    ),
    **_each("rate_limit_string", (3, 0)),
    # Connections: rows 32 to 37
    **_each("reset_before_bytes close_before_bytes reset_in_headers cut_in_headers", ONCE),
    **_each("garbage bad_status_line huge_header many_headers", (2, 0)),
    # Redirects: row 54
    **_each(" ".join(name for name in CATALOGUE if name.startswith("redirect_")), NEVER),
}

WHOLE = {
    # 200 that is no answer, and bodies that break: rows 33, 37 to 42
    **_each(
        "empty_body html_body truncated_json empty_object json_null json_list no_choices "
        "wrong_encoding broken_utf8 wrong_base_path reset_in_body cut_in_body bad_chunk_size "
        "missing_last_chunk content_length_too_long content_length_too_short gzip_bomb",
        ONCE,
    ),
    **_each("error_in_200", FULL),
}

EMPTY_STREAMS = {
    # Before the first event: rows 45 to 47
    **_each(
        "stream_cut_before_first_event stream_empty stream_keepalives_only stream_html empty_body "
        "html_body empty_object json_null json_list wrong_encoding broken_utf8",
        ONCE,
    ),
    **_each("stream_error_first error_in_200", FULL),
}

BROKEN_STREAMS = (
    # After it: rows 48 to 52
    *("stream_cut_mid", "stream_reset_mid", "stream_error_mid", "stream_error_mid_unnamed"),
    *("stream_no_end", "stream_half_event", "stream_broken_after_first_byte"),
    *("stream_broken_json", "stream_invalid_utf8"),
)

FINE = (
    *("no_request_id", "long_request_id", "ten_request_ids", "same_request_id"),
    *("hostile_request_id", "control_characters", "slow_first_byte"),
)
FINE_STREAMS = (
    *("stream_split_everywhere", "stream_crlf", "stream_big_event", "stream_comments"),
    *("stream_bom", "stream_double_end", "stream_data_after_end", "stream_million_lines"),
)

PLAIN = Way()
SLOW = ("gzip_bomb", "slow_first_byte", "stream_big_event", "stream_million_lines")


def _cell(way: Way, fault: str, *more: object, short: tuple[Way, ...]) -> object:
    marks = [] if way in short and fault not in SLOW else [pytest.mark.long]
    return pytest.param(way, fault, *more, marks=marks, id=f"{way}-{fault}")


GOOGLE = {
    # Google's form has no code of its own, and tells less apart
    **_each("model_not_allowed ip_not_allowed", NEVER),
    **_each("ip_blocked_after_bad_keys", MODEL),
}


@pytest.mark.parametrize(
    ("way", "fault", "counts"),
    [
        _cell(way, fault, counts, short=(PLAIN,))
        for way in WAYS
        for fault, counts in {**LASTING, **(EMPTY_STREAMS if way.stream else WHOLE)}.items()
    ],
)
def test_a_lasting_fault_is_tried_as_often_as_it_may_help(
    way: Way, fault: str, counts: tuple[int, int], run: Running
) -> None:
    """Too often costs money and time, too seldom costs the answer; the last word is an error."""
    counts = GOOGLE.get(fault, counts) if way.kind == "gemini" else counts
    got = ask(run, way, fault)
    assert got.error is not None
    assert (got.counts(way), got.parts) == (counts, [])
    assert [one.model for one in got.attempts] == got.seen
    assert got.error.status_code == got.attempts[-1].status
    told = str(got.error)
    assert all(model in told for model, count in zip(way.models, counts, strict=True) if count)


STREAMING = Way(stream=True)
MIXED = (
    Way(kind="anthropic", asynchronous=True),
    Way(kind="gemini", stream=True),
    Way(kind="responses", stream=True, asynchronous=True),
    Way(kind="httpx2"),
)
PASSING = ("status_503", "rate_limit", "reset_before_bytes", "empty_body", "stream_empty")


@pytest.mark.parametrize(
    ("way", "fault"),
    [
        _cell(way, fault, short=(PLAIN, STREAMING, *MIXED))
        for way in WAYS
        for fault in PASSING
        if way.stream or not CATALOGUE[fault].streams
    ],
)
def test_what_passes_is_survived_on_the_same_model(way: Way, fault: str, run: Running) -> None:
    """One failure costs a second attempt, not the answer, and not the model that was wanted."""
    got = ask(run, way, f"{fault};times=1")
    assert got.answer is not None
    assert got.counts(way) == (2, 0)
    assert got.answer.text
    assert [one.outcome == "answered" for one in got.attempts] == [False, True]
    assert len({one.sent_id for one in got.attempts}) == 2
    assert "".join(got.parts) == (got.answer.text if way.stream else "")


@pytest.mark.parametrize(
    ("way", "fault"),
    [
        _cell(way, fault, short=(STREAMING, Way(kind="anthropic", stream=True, asynchronous=True)))
        for way in WAYS
        if way.stream
        for fault in BROKEN_STREAMS
    ],
)
def test_a_stream_that_breaks_is_an_error_and_is_not_sent_again(
    way: Way, fault: str, run: Running
) -> None:
    """What was handed out cannot be taken back: a second answer would be glued to half of one."""
    got = ask(run, way, fault)
    assert got.error is not None
    assert got.counts(way)[0] == 1
    assert got.counts(way)[1] == 0 or got.parts == []
    assert got.attempts[0].may_be_billed


@pytest.mark.parametrize(
    ("way", "fault"),
    [
        _cell(way, fault, short=(PLAIN, STREAMING))
        for way in WAYS
        for fault in ("", *FINE, *(FINE_STREAMS if way.stream else ()))
    ],
)
def test_what_is_odd_but_whole_is_an_answer(way: Way, fault: str, run: Running) -> None:
    """A client that gives up on it loses an answer that was paid for."""
    got = ask(run, way, fault)
    assert got.answer is not None
    assert got.counts(way) == (1, 0)
    assert got.answer.warnings == ()
    assert got.answer.asked == way.models[0]
    assert got.answer.model.startswith(way.models[0])
    assert got.answer.text
    assert "".join(got.parts) == (got.answer.text if way.stream else "")
    assert (not got.answer.body) is way.stream


@pytest.mark.parametrize(
    "way", [_cell(way, "wrong_model", short=(PLAIN, STREAMING)).values[0] for way in WAYS], ids=str
)
def test_another_model_in_the_answer_is_told(way: Way, run: Running) -> None:
    """Who pays for one model and gets another should hear of it."""
    got = ask(run, way, "wrong_model")
    assert got.answer is not None
    assert got.answer.model == "another-model-1"
    assert got.answer.warnings == (f"{way.models[0]} was asked, another-model-1 answered",)
