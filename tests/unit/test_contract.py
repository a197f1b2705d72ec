"""The gateway's facts as data: every row of the error table, every name of a cause."""

import json
from typing import Any

import pytest

from runbook_lib import contract
from runbook_lib.classifier import classify
from runbook_lib.contract import CAUSES, ROWS, Row, Shape, Wait

NAMES = {
    "caller": "request_malformed request_rejected request_rejected_by_upstream request_too_large "
    "key_not_sent key_in_query wrong_path wrong_base_path wrong_protocol_for_key "
    "endpoint_not_offered model_not_served_by_group ip_blocked_after_bad_keys "
    "console_token_missing console_token_invalid console_login_wrong console_rate_limited "
    "console_request_rejected login_rate_limited client_timeout client_abandoned_stream "
    "duplicate_send runaway_loop",
    "key": "key_unknown_or_deleted key_disabled key_expired key_cap_reached key_window_used_up "
    "key_without_group ip_not_allowed model_not_allowed old_key_after_rotation unlogged_use",
    "account": "balance_used_up no_active_subscription subscription_window_used_up "
    "platform_quota_used_up user_inactive group_not_allowed user_rpm user_concurrency_limit "
    "user_waiting_queue_full",
    "upstream": "upstream_failed upstream_overloaded upstream_rate_limited upstream_timeout "
    "stream_broken_after_first_byte upstream_outage channel_cooldown client_fallback",
    "gateway": "gateway_internal group_disabled model_alias",
    None: "success unknown group_rpm model_not_found_upstream no_channel_available operator_only",
}
"""Words of contract §3.3 by the side that must act; None where it is open."""

N, W, A, B = "never", "window", "after", "backoff"
TABLE: list[tuple[int, str, str | None, str, str | None, str | None]] = [
    (400, "invalid_request_error", None, "request_malformed", "caller", N),
    (400, "", None, "request_malformed", "caller", N),
    (400, "api_key_in_query_deprecated", None, "key_in_query", "caller", N),
    (401, "API_KEY_REQUIRED", None, "key_not_sent", "caller", N),
    (401, "INVALID_API_KEY", None, "key_unknown_or_deleted", "key", N),
    (401, "API_KEY_DISABLED", None, "key_disabled", "key", N),
    (401, "USER_NOT_FOUND", None, "user_inactive", "account", N),
    (401, "USER_INACTIVE", None, "user_inactive", "account", N),
    (402, "", None, "balance_used_up", "account", N),
    (402, "INSUFFICIENT_BALANCE", None, "balance_used_up", "account", N),
    (403, "INSUFFICIENT_BALANCE", None, "balance_used_up", "account", N),
    (403, "billing_error", None, "balance_used_up", "account", None),
    (403, "API_KEY_EXPIRED", None, "key_expired", "key", N),
    (401, "API_KEY_EXPIRED", None, "key_expired", "key", N),
    (403, "ACCESS_DENIED", None, "ip_not_allowed", "key", N),
    (403, "model_not_allowed", None, "model_not_allowed", "key", N),
    (403, "SUBSCRIPTION_NOT_FOUND", None, "no_active_subscription", "account", N),
    (403, "SUBSCRIPTION_INVALID", None, "no_active_subscription", "account", N),
    (403, "GROUP_DISABLED", None, "group_disabled", "gateway", N),
    (403, "GROUP_DELETED", None, "group_disabled", "gateway", N),
    (403, "GROUP_NOT_ALLOWED", None, "group_not_allowed", "account", N),
    (403, "permission_error", None, "key_without_group", "key", N),
    (404, "model_not_found", None, "model_not_served_by_group", "caller", N),
    (404, "", None, "model_not_served_by_group", "caller", N),
    (404, "not_found_error", None, "endpoint_not_offered", "caller", N),
    (413, "invalid_request_error", None, "request_too_large", "caller", N),
    (429, "API_KEY_QUOTA_EXHAUSTED", None, "key_cap_reached", "key", N),
    (402, "API_KEY_QUOTA_EXHAUSTED", None, "key_cap_reached", "key", N),
    (429, "insufficient_quota", None, "key_cap_reached", "key", N),
    (429, "rate_limit_exceeded", None, "key_window_used_up", "key", W),
    (429, "rate_limit_exceeded", "36", "user_rpm", None, A),
    (429, "rate_limit_exceeded", "7200", "platform_quota_used_up", "account", W),
    (429, "API_KEY_RATE_5H_EXCEEDED", None, "key_window_used_up", "key", W),
    (429, "API_KEY_RATE_1D_EXCEEDED", None, "key_window_used_up", "key", W),
    (429, "API_KEY_RATE_7D_EXCEEDED", None, "key_window_used_up", "key", W),
    (429, "GROUP_RPM_EXCEEDED", None, "group_rpm", None, A),
    (429, "USER_RPM_EXCEEDED", None, "user_rpm", "account", A),
    (429, "USAGE_LIMIT_EXCEEDED", None, "subscription_window_used_up", "account", W),
    (429, "rate_limit_error", None, "user_concurrency_limit", None, B),
    (429, "rate limit exceeded", "60", "console_rate_limited", "caller", A),
    (429, "INVALID_AUTH_RATE_LIMITED", None, "ip_blocked_after_bad_keys", "caller", A),
    (429, "RATE_LIMITED", "60", "console_rate_limited", "caller", A),
    (500, "", None, "gateway_internal", "gateway", B),
    (500, "INTERNAL_ERROR", None, "gateway_internal", "gateway", B),
    (502, "upstream_error", None, "upstream_failed", "upstream", B),
    (502, "upstream_unavailable", None, "upstream_failed", "upstream", B),
    (502, "", None, "upstream_failed", "upstream", B),
    (503, "api_error", None, "no_channel_available", None, B),
    (503, "upstream_unavailable", None, "no_channel_available", None, B),
    (503, "overloaded_error", None, "upstream_overloaded", "upstream", B),
    (503, "upstream_error", None, "upstream_overloaded", "upstream", B),
    (503, "billing_service_error", None, "gateway_internal", "gateway", B),
    (503, "API_KEY_AUTH_OVERLOADED", None, "gateway_internal", "gateway", B),
    (504, "", None, "upstream_timeout", "upstream", B),
    (529, "overloaded_error", None, "upstream_overloaded", "upstream", B),
    (401, "UNAUTHORIZED", None, "console_token_missing", "caller", N),
    (401, "INVALID_TOKEN", None, "console_token_invalid", "caller", N),
    (401, "INVALID_CREDENTIALS", None, "console_login_wrong", "caller", N),
]
"""Status, code ("" for none), `Retry-After`, first cause, domain, retry: contract §3.2."""

SHAPES: dict[str, Any] = {
    "flat": lambda code: {"code": code, "message": "额度已用完"},
    "openai type": lambda code: {"error": {"message": "x", "type": code}},
    "openai code": lambda code: {"error": {"message": "x", "type": "other_error", "code": code}},
    "number beside": lambda code: {"error": {"message": "x", "type": code, "code": 429}},
    "anthropic": lambda code: {"type": "error", "error": {"type": code, "message": "x"}},
    "inner object": lambda code: {"message": "x", "type": code, "param": None, "code": None},
    "console": lambda code: {"code": 400, "message": "x", "reason": code},
    "text": lambda code: {"error": code, "message": "x"},
}
"""Every shape of contract §3.1 that can carry a symbol."""


BY_TWO = {(401, "API_KEY_EXPIRED"), (402, "API_KEY_QUOTA_EXHAUSTED"), (403, "GROUP_NOT_ALLOWED")}
"""In the console's shape these can be the door's answer or a refusal of the console's own."""


@pytest.mark.parametrize(
    ("shape", "status", "code", "wait", "cause", "domain", "retry"),
    [
        pytest.param(shape, *row, id=f"{shape}: {row[0]} {row[1] or 'none'} {row[2] or ''}")
        for row in TABLE
        for shape in (SHAPES if row[1] else ["flat"])
        if shape != "console" or row[:2] not in BY_TWO
    ],
)
def test_every_row_of_the_contract_is_judged_alike_in_every_shape(
    shape: str,
    status: int,
    code: str,
    wait: str | None,
    cause: str,
    domain: str | None,
    retry: str | None,
) -> None:
    """The door, the handlers and the console write one code in eight forms; it means the same."""
    body = SHAPES[shape](code) if code else {"error": {"message": "x"}}
    headers = {"Retry-After": wait} if wait else {}
    judged = classify(status, json.dumps(body), headers)
    assert (judged.cause, judged.domain, judged.retry) == (cause, domain, retry)
    assert judged.code == (code or None)
    assert judged.known


@pytest.mark.parametrize(("status", "code"), sorted(BY_TWO))
def test_a_code_of_the_door_in_the_consoles_shape_keeps_both_causes(status: int, code: str) -> None:
    """The console says GROUP_NOT_ALLOWED too when a key is moved to such a group."""
    judged = classify(status, json.dumps(SHAPES["console"](code)))
    assert len(judged.candidates) > 1
    assert (judged.domain, judged.retry) == (None, "never")


def test_every_name_of_a_cause_has_its_record() -> None:
    """A word that is used and means nothing would end in an empty next step."""
    named = {name: domain for domain, text in NAMES.items() for name in text.split()}
    assert {name: cause.domain for name, cause in CAUSES.items()} == named


@pytest.mark.parametrize("name", sorted(CAUSES))
def test_a_cause_says_what_it_means_and_what_to_do(name: str) -> None:
    """Somebody reads this at three in the morning: one sentence each, and who does it where."""
    cause = CAUSES[name]
    assert cause.meaning.endswith(".")
    assert cause.fix.endswith(".")
    assert cause.where
    assert cause.who
    assert cause.mark in {"D", "D M", "D! M", "D F", "M", "F", "?"}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.status} {row.codes[0]}")
def test_a_row_names_known_causes_and_at_most_four(row: Row) -> None:
    """More than four candidates help nobody; an unknown name would break every report."""
    assert 0 < len(row.causes) <= contract.MOST_CANDIDATES
    assert set(row.causes) <= set(CAUSES)
    assert row.fix
    assert set(row.mark.split()) <= {"D", "D!", "M", "F", "?"}


def test_no_two_rows_claim_the_same_answer() -> None:
    """Which of two rows wins must not depend on their order, save a stricter shape."""
    claims = [
        (row.status, code, wait, shape)
        for row in ROWS
        for code in row.codes
        for wait in row.wait or Wait
        for shape in row.shape or (Shape.SYMBOL, Shape.UNREAD)
    ]
    assert len(claims) == len(set(claims))


def test_domain_and_retry_of_a_row_are_what_its_causes_share() -> None:
    """Two facts in two places drift apart: the row has none of its own."""
    split = next(row for row in ROWS if row.codes == ("billing_error",))
    assert (split.domain, split.retry) == ("account", None)
    whole = next(row for row in ROWS if row.codes == ("API_KEY_EXPIRED",))
    assert (whole.domain, whole.retry) == ("key", "never")


@pytest.mark.parametrize("wait", list(Wait))
def test_every_status_has_a_safe_meaning(wait: Wait) -> None:
    """Any number can arrive as a status; nothing is re-sent that a person must change first."""
    for status in (*range(-1, 1000), 10**9):
        default = contract.by_status(status, wait)
        assert set(default.causes) <= set(CAUSES)
        if 400 <= status < 500 and not default.known and status not in (408, 409, 425):
            assert default.retry == "never", status


@pytest.mark.parametrize(
    ("stored", "bare"),
    [
        pytest.param("client:4c77-b7", "4c77-b7", id="client"),
        pytest.param("web_search:1", "1", id="web-search"),
        pytest.param("req_1:2", "req_1:2", id="no-known-prefix"),
        pytest.param("client:", "client:", id="nothing-behind"),
    ],
)
def test_a_usage_row_joins_by_its_id_without_prefix(stored: str, bare: str) -> None:
    """The gateway writes where the id came from before it."""
    assert contract.bare_id(stored) == bare
