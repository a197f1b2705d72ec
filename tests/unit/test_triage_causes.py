"""Causes that only other rows can tell apart: each rule with what it decides and what it leaves."""

from typing import Any

import pytest
from made_material import START, attempt, billed, material

from runbook_lib.analysis.case import judge
from runbook_lib.analysis.diagnosis import Diagnosis
from runbook_lib.analysis.material import Material
from runbook_lib.findings import Grade, Join


def judged(around: Material, row_number: int = 1) -> Diagnosis:
    """The diagnosis of the attempt of one line of the log."""
    place = list(around.attempts["row_number"]).index(row_number)
    return judge(around.attempt(place), around)


def test_an_unread_refusal_borrows_the_nearest_code_of_its_key() -> None:
    """SDKs leave the body of a refused stream unread; its code is that of its neighbours."""
    found = judged(
        material([
            attempt(0, 429, stream=True),
            attempt(5, 429, code="API_KEY_QUOTA_EXHAUSTED"),
            attempt(1, 429, code="rate_limit_exceeded", key_name="other"),
        ])
    )  # fmt: skip
    assert (found.cause, found.retry, found.grade) == ("key_cap_reached", "never", Grade.LIKELY)
    assert any(item.row == 2 and item.join is Join.WINDOW for item in found.evidence)


def test_a_code_too_far_away_is_not_borrowed() -> None:
    """Two minutes on, another limit may have been hit."""
    found = judged(material([attempt(0, 429), attempt(200, 429, code="API_KEY_QUOTA_EXHAUSTED")]))
    assert found.grade is Grade.INCONCLUSIVE
    assert len(found.candidates) > 1
    assert found.wanted


def test_billing_error_is_the_balance_when_the_same_key_says_so() -> None:
    """The form just after crossing zero carries no symbol of its own; the next refusal does."""
    rows = [attempt(0, 403, code="billing_error"), attempt(9, 403, code="INSUFFICIENT_BALANCE")]
    found = judged(material(rows))
    assert (found.cause, found.domain, found.retry) == ("balance_used_up", "account", "never")
    assert found.grade is Grade.CONFIRMED


def test_billing_error_alone_stays_open() -> None:
    """Balance or subscription: without more rows nobody can tell, and no retry rule is given."""
    found = judged(material([attempt(0, 403, code="billing_error")]))
    assert found.retry is None
    assert found.grade is Grade.INCONCLUSIVE


def test_live_answers_decide_too() -> None:
    """A key asked after the incident says what its balance is."""
    state = [{"key_name": "prod-web", "code": "INSUFFICIENT_BALANCE", "row_number": 1,
              "source_file": "v1_usage.json"}]  # fmt: skip
    found = judged(material([attempt(0, 403, code="billing_error")], key_state=state))
    assert found.cause == "balance_used_up"


@pytest.mark.parametrize(
    ("keys", "cause"),
    [
        pytest.param([{"key_name": "prod-web", "replaced_by": "prod-web-v2"}],
                     "old_key_after_rotation", id="replaced"),
        pytest.param([{"key_name": "prod-web"}], "key_unknown_or_deleted", id="not-replaced"),
        pytest.param([], "key_unknown_or_deleted", id="no-inventory"),
    ],
)  # fmt: skip
def test_a_rotated_key_is_told_from_an_unknown_one(keys: list[Any], cause: str) -> None:
    """The inventory knows the successor; the answer does not."""
    held = [{"source_file": "keys.csv", "row_number": 1, **row} for row in keys]
    found = judged(material([attempt(0, 401, code="INVALID_API_KEY")], keys=held))
    assert (found.cause, found.domain) == (cause, "key")


def test_the_audit_log_shows_a_rotation_without_an_inventory() -> None:
    """A successor created and a key deleted before the first refusal make it likely."""
    acts = [
        {"ts": START, "action": "keys.create", "key_name": "prod-web-v2", "row_number": 1,
         "source_file": "audit.csv"},
        {"ts": START, "action": "keys.delete", "source_file": "audit.csv", "row_number": 2},
    ]  # fmt: skip
    found = judged(material([attempt(9, 401, code="INVALID_API_KEY")], audit=acts))
    assert (found.cause, found.grade) == ("old_key_after_rotation", Grade.LIKELY)


def test_a_long_wait_before_a_429_is_the_accounts_own_concurrency() -> None:
    """The gateway holds a call for half a minute before it refuses it."""
    rows = [
        attempt(0, 429, code="rate_limit_error", duration_ms=30_004.0),
        attempt(20, 429, code="rate_limit_error", duration_ms=3.0),
    ]
    around = material(rows)
    assert judged(around).cause == "user_concurrency_limit"
    assert judged(around, 2).cause == "user_concurrency_limit"
    assert judged(around, 2).grade is Grade.LIKELY


@pytest.mark.parametrize(
    ("category", "cause"),
    [
        pytest.param("rate_limit", "user_waiting_queue_full", id="ours"),
        pytest.param("upstream", "upstream_rate_limited", id="theirs"),
    ],
)
def test_the_list_of_refusals_tells_whose_429_it_was(category: str, cause: str) -> None:
    """The console's own list carries a category, the answer does not."""
    listed = [{"ts": START, "key_name": "prod-web", "status": 429, "category": category,
               "source_file": "usage_errors.json", "row_number": 1}]  # fmt: skip
    found = judged(material([attempt(0, 429, code="rate_limit_error")], refusals=listed))
    assert (found.cause, found.retry) == (cause, "backoff")


def refusal(second: float, status: int, key_name: str = "prod-web", **rest: Any) -> dict[str, Any]:
    """A quick failure behind the gateway."""
    code = {429: "rate_limit_error", 502: "upstream_error", 503: "api_error"}[status]
    return attempt(second, status, code=code, key_name=key_name, duration_ms=20.0, **rest)


def test_many_5xx_of_one_provider_are_an_outage() -> None:
    """503 without a channel belongs to the outage that took the channels."""
    rows = [refusal(n, 502 if n % 3 else 503, f"key-{n % 2}") for n in range(12)]
    rows += [attempt(n, provider="anthropic", key_name="key-c") for n in range(12)]
    around = material(rows)
    assert {judged(around, n).cause for n in range(1, 13)} == {"upstream_outage"}


def test_a_lone_502_is_no_outage() -> None:
    """One failed request says nothing of the provider as a whole."""
    found = judged(material([refusal(0, 502), *[attempt(n) for n in range(1, 20)]]))
    assert (found.cause, found.retry) == ("upstream_failed", "backoff")


def test_one_channel_that_cools_down_spaces_its_refusals() -> None:
    """With a single channel two upstream 429 cannot lie closer than its cooldown."""
    rows = [refusal(s, 429) for s in (0, 6, 12)]
    rows += [refusal(s, 503) for s in (1, 2, 4, 7, 9, 13)]
    assert {judged(material(rows), n).cause for n in range(1, 10)} == {"channel_cooldown"}


def test_refusals_closer_than_a_cooldown_need_several_channels() -> None:
    """Then the provider limits the rate, and another channel would not help."""
    rows = [refusal(s, 429) for s in (0, 1, 3, 4)] + [refusal(s, 503) for s in (2, 5, 6)]
    assert {judged(material(rows), n).cause for n in range(1, 8)} == {"upstream_rate_limited"}


def test_several_groups_at_once_are_no_single_channel() -> None:
    """A provider that limits everybody is not one channel that cools down."""
    rows = [refusal(s, 429, key) for key in ("a", "b") for s in (0, 6, 12)]
    rows += [refusal(s, 503, "a") for s in (1, 2)]
    assert judged(material(rows)).cause == "upstream_rate_limited"


def test_a_503_alone_stays_undecided() -> None:
    """Operator, gateway or upstream may be behind it: no side is named."""
    found = judged(material([refusal(0, 503), attempt(1)]))
    assert (found.cause, found.domain, found.retry) == ("no_channel_available", None, "backoff")


def test_a_time_out_is_the_clients() -> None:
    """The gateway may have finished and billed what the client stopped waiting for."""
    found = judged(material([attempt(0, None, error_type="ReadTimeout", duration_ms=2500.0)]))
    assert (found.cause, found.domain, found.retry) == ("client_timeout", "caller", "never")


def test_a_refused_connection_is_not_called_a_time_out() -> None:
    """What is not known is said."""
    found = judged(material([attempt(0, None, error_type="ConnectError")]))
    assert (found.cause, found.grade) == ("unknown", Grade.INCONCLUSIVE)


@pytest.mark.parametrize(
    ("others", "cause"),
    [
        pytest.param([attempt(n, 429, code="rate_limit_exceeded", retry_after_s=30.0, key_name="b")
                      for n in range(3)], "user_rpm", id="several-groups"),
        pytest.param([attempt(n, key_name="b") for n in range(6)], "group_rpm", id="one-group"),
    ],
)  # fmt: skip
def test_a_limit_by_the_minute_is_the_users_or_the_groups(others: list[Any], cause: str) -> None:
    """Who else passes at the same time tells which limit was hit."""
    refused = attempt(1, 429, code="rate_limit_exceeded", retry_after_s=30.0)
    assert judged(material([refused, *others])).cause == cause


def test_access_denied_is_the_address_when_the_model_is_served_otherwise() -> None:
    """The same key and model pass at other times, so it is not the model."""
    found = judged(material([attempt(9, 403, code="ACCESS_DENIED"), attempt(0)]))
    assert (found.cause, found.grade) == ("ip_not_allowed", Grade.CONFIRMED)


def test_access_denied_is_the_model_when_the_inventory_says_so() -> None:
    """A model off the allowlist is refused with the same code."""
    keys = [{"key_name": "prod-web", "model_allowlist": "gpt-4o;o3", "source_file": "keys.csv",
             "row_number": 1}]  # fmt: skip
    found = judged(material([attempt(0, 403, code="ACCESS_DENIED")], keys=keys))
    assert found.cause == "model_not_allowed"


TOKENS = {"input_tokens": 1200, "output_tokens": 77}


def test_two_equal_calls_a_moment_apart_are_one_request_sent_twice() -> None:
    """Both are billed; a third one long after is chance."""
    rows = [attempt(0, **TOKENS), attempt(0.8, **TOKENS), attempt(60, **TOKENS), attempt(3)]
    around = material(rows)
    assert [judged(around, n).cause for n in (1, 2, 3, 4)] == [
        "duplicate_send", "duplicate_send", "success", "success",
    ]  # fmt: skip


def test_a_job_with_a_constant_prompt_is_no_pair() -> None:
    """What comes again and again is a habit."""
    rows = [attempt(s, **TOKENS) for s in (0, 4, 8, 9.5, 14)]
    assert {judged(material(rows), n).cause for n in range(1, 6)} == {"success"}


def test_a_retry_of_the_same_call_is_no_pair() -> None:
    """Attempts of one logical call are retries, not duplicates."""
    rows = [attempt(0, call_id="c", **TOKENS), attempt(1, call_id="c", attempt=2, **TOKENS)]
    assert judged(material(rows)).cause == "success"


def test_a_call_that_moved_to_its_other_model_fell_back() -> None:
    """The answer came, but from the second choice; the first one's trouble is why."""
    rows = [
        refusal(0, 502, call_id="c"),
        attempt(1, call_id="c", attempt=2, model="claude-opus-4-7", provider="anthropic"),
    ]
    found = judged(material(rows), 2)
    assert (found.cause, found.domain, found.retry) == ("client_fallback", "upstream", "never")


@pytest.mark.parametrize(
    ("asked", "answered", "cause"),
    [
        pytest.param("summary-small", "gpt-5", "model_alias", id="alias"),
        pytest.param("gpt-5", "gpt-5-2026-03-17", "success", id="dated"),
        pytest.param("openai/gpt-5", "gpt-5", "success", id="vendor"),
        pytest.param("claude-opus-4-7-thinking", "claude-opus-4-7", "success", id="thinking"),
        pytest.param("gpt-5", None, "success", id="not-logged"),
    ],
)
def test_another_model_is_told_from_a_dated_name(asked: str, answered: Any, cause: str) -> None:
    """A date, a vendor or the thinking suffix does not make another model."""
    assert judged(material([attempt(0, model=asked, response_model=answered)])).cause == cause


def test_a_loop_is_many_times_the_keys_usual_rate() -> None:
    """Every call of it is answered and billed: only the rate shows it."""
    usual = [attempt(60 * minute + 7 * n) for minute in range(1, 9) for n in range(4)]
    loop = [attempt(0.4 * n, input_tokens=n) for n in range(100)]
    around = material(loop + usual)
    assert judged(around).cause == "runaway_loop"
    assert judged(around, 130).cause == "success"


def test_a_busy_key_without_a_past_is_no_loop() -> None:
    """Nothing is usual for a key that was never seen before."""
    assert judged(material([attempt(0.4 * n) for n in range(100)])).cause == "success"


def test_alike_refusals_share_their_cause_but_cite_their_own_rows() -> None:
    """Thousands of ids are judged at once; every answer still stands on its own line."""
    around = material([attempt(n / 10, 429, code="API_KEY_QUOTA_EXHAUSTED") for n in range(3)])
    assert [judged(around, n).evidence[0].row for n in (1, 2, 3)] == [1, 2, 3]


def test_an_unlogged_row_is_the_call_that_stopped_waiting() -> None:
    """The gateway went on and billed it; its start and model are those of the attempt."""
    from runbook_lib.analysis.oddities import unlogged

    gave_up = attempt(0, None, error_type="ReadTimeout", client_request_id=None)
    around = material([gave_up], [billed(4, duration_ms=3990.0, request_id="client:x")])
    found = unlogged(around.row(0), around)
    assert (found.cause, found.domain, found.grade) == ("client_timeout", "caller", Grade.LIKELY)


@pytest.mark.parametrize(
    ("address", "grade"),
    [
        pytest.param("192.0.2.9", Grade.CONFIRMED, id="unknown-address"),
        pytest.param("203.0.113.1", Grade.LIKELY, id="known-address"),
    ],
)
def test_a_row_nobody_logged_is_a_leak_until_explained(address: str, grade: Grade) -> None:
    """Where the services of a key log, a row without a log came from somebody else."""
    from runbook_lib.analysis.oddities import unlogged

    usage = [
        billed(1, request_id="client:client-1", ip_address="203.0.113.1"),
        billed(9, request_id="client:x", ip_address=address),
    ]
    around = material([attempt(0)], usage)
    found = unlogged(around.row(1), around)
    assert (found.cause, found.domain, found.grade) == ("unlogged_use", "key", grade)


def test_without_any_log_of_the_key_nobody_is_accused() -> None:
    """A missing log is no leak: the export to fetch is named."""
    from runbook_lib.analysis.oddities import unlogged

    around = material([attempt(0, key_name="other")], [billed(9, request_id="client:x")])
    found = unlogged(around.row(0), around)
    assert (found.cause, found.grade) == ("success", Grade.LIKELY)
    assert "call log" in found.wanted[0]


def test_an_outage_on_thin_traffic_is_one_run() -> None:
    """A key that calls once a minute sees the same outage, as long as nothing passes between."""
    rows = [refusal(60 * n, 502) for n in range(4)]
    assert judged(material(rows)).cause == "upstream_outage"
    healed = [*rows[:1], attempt(30), *rows[1:2], attempt(90), *rows[2:]]
    assert judged(material(healed)).cause == "upstream_failed"


def test_an_overloaded_provider_is_named_also_by_the_503_that_follow() -> None:
    """Its channels are set aside for minutes; those 503 have the same cause."""
    rows = [attempt(n, 503, code="overloaded_error", provider="anthropic") for n in range(3)]
    rows += [refusal(n, 503, provider="anthropic") for n in range(4, 8)]
    around = material(rows)
    assert {judged(around, n).cause for n in range(1, 8)} == {"upstream_overloaded"}


@pytest.mark.parametrize(
    ("duration_ms", "cause"),
    [
        pytest.param(3.0, "request_malformed", id="at-the-door"),
        pytest.param(90.0, "request_rejected_by_upstream", id="behind-it"),
    ],
)
def test_a_400_that_took_long_was_refused_by_the_provider(duration_ms: float, cause: str) -> None:
    """The gateway refuses in milliseconds; the provider's refusal has to travel."""
    door = [attempt(n, 403, code="API_KEY_EXPIRED", duration_ms=3.0) for n in range(6)]
    refused = attempt(9, 400, code="invalid_request_error", duration_ms=duration_ms)
    found = judged(material([refused, *door]))
    assert (found.cause, found.domain, found.retry) == (cause, "caller", "never")


def test_a_429_inside_a_200_is_the_slot_it_waited_for() -> None:
    """A stream that waits for a slot gets pings, then an error event with the code of a 429."""
    found = judged(material([attempt(
        0, outcome="broken", stream=True, stream_end="error_event", code="rate_limit_error",
        duration_ms=30_010.0,
    )]))  # fmt: skip
    assert (found.cause, found.retry) == ("user_concurrency_limit", "backoff")


def test_a_row_without_tokens_may_be_a_broken_stream() -> None:
    """A chat stream that breaks leaves a row of nothing."""
    from runbook_lib.analysis.oddities import unlogged

    around = material([], [billed(9, request_id="client:x", input_tokens=0, output_tokens=0)])
    found = unlogged(around.row(0), around)
    assert (found.cause, found.grade) == ("stream_broken_after_first_byte", Grade.INCONCLUSIVE)
    assert found.candidates[1] == "success"
