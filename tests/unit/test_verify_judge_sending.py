"""The judge on what the server saw: how often, how soon, and to which model a client sends."""

from dataclasses import replace
from decimal import Decimal

import pytest
from verify_kit import FIRST, SECOND, alone, attempt, cell, falls_back, judged, played, rules

from runbook_lib.verify.judge import Verdict
from runbook_lib.verify.records import Attempt, Ending, Place


def _tries(
    status: int | None, fault: str, times: tuple[float, ...], **more: object
) -> list[Attempt]:
    return [attempt(status, at, fault=fault, **more) for at in times]


def test_one_attempt_is_right_where_the_refusal_stays() -> None:
    """The cap refuses until a person raises it."""
    tries = _tries(429, "cap_flat", (0.0,), code="API_KEY_QUOTA_EXHAUSTED")
    one = judged(played(cell("cap_flat"), tries), falls_back())
    assert one.verdict is Verdict.OK
    assert one.seen == "as expected"


def test_a_retry_of_a_refusal_that_stays_is_named_with_its_code() -> None:
    """Whoever reads it must see which code the client does not know."""
    tries = _tries(429, "cap_flat", (0.0, 0.5, 1.4), code="API_KEY_QUOTA_EXHAUSTED")
    (found,) = judged(played(cell("cap_flat"), tries)).deviations
    assert found.kind.rule == "client-wrong-retry"
    assert found.seen == "3 attempts; sent again after 429 API_KEY_QUOTA_EXHAUSTED"


def test_a_retry_that_luckily_works_is_wrong_all_the_same() -> None:
    """Once it was 401: a client that retries it will do so when it stays, too."""
    tries = [*_tries(401, "key_unknown", (0.0,)), attempt(200, 0.5)]
    assert rules(played(cell("key_unknown", "once"), tries, Ending.TEXT)) == ["wrong-retry"]


def test_after_a_rate_limit_the_cap_stops_the_client() -> None:
    """The first attempt after a limit is right, the one after the cap is not."""
    limited = attempt(429, 0.0, fault="rate_limit")
    capped = [attempt(429, at, fault="cap_flat") for at in (0.5, 1.5)]
    where = cell("cap_after_rate_limit")
    assert rules(played(where, [limited, capped[0]])) == []
    assert rules(played(where, [limited, *capped])) == ["wrong-retry"]


@pytest.mark.parametrize(("attempts", "found"), [(1, []), (2, []), (3, ["too-many-attempts"])])
def test_what_may_have_been_charged_is_sent_again_once(attempts: int, found: list[str]) -> None:
    """A 504 may hide work that was done and billed."""
    tries = _tries(504, "status_504", (0.0, 0.5, 1.4)[:attempts])
    assert rules(played(cell("status_504", "ever"), tries)) == found


def test_three_attempts_are_enough() -> None:
    """Two layers that retry multiply: six and more attempts for one call."""
    tries = _tries(500, "status_500", (0.0, 0.5, 1.4, 3.0))
    assert rules(played(cell("status_500", "ever"), tries)) == ["too-many-attempts"]
    assert rules(played(cell("status_500", "ever"), tries[:3])) == []


def test_giving_up_at_once_is_a_missing_retry() -> None:
    """A 500 that passes must not reach the user."""
    tries = _tries(500, "status_500", (0.0,))
    assert rules(played(cell("status_500", "once"), tries)) == ["missing-retry"]


def test_a_fallback_at_once_is_no_missing_retry() -> None:
    """The other model is as good as another attempt."""
    tries = [*_tries(500, "status_500", (0.0,)), attempt(200, 0.1, SECOND)]
    assert rules(played(cell("status_500", "once"), tries, Ending.TEXT)) == []


def test_fewer_attempts_than_three_are_allowed() -> None:
    """Three are the most, not the least: two failures in a row may beat a client with two."""
    tries = _tries(500, "status_500", (0.0, 0.5))
    assert rules(played(cell("status_500", "twice"), tries)) == []


# Waits ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wait", "found"),
    [
        pytest.param(0.5, ["retry-after-undercut"], id="half of it"),
        pytest.param(0.98, [], id="a timer's breadth early"),
        pytest.param(1.0, [], id="exactly"),
        pytest.param(2.5, [], id="a busy machine"),
        pytest.param(7.0, ["waits-too-long"], id="far too long"),
    ],
)
def test_retry_after_is_the_least_wait(wait: float, found: list[str]) -> None:
    """Who comes sooner is refused again; slack is in the client's favour."""
    first = attempt(429, 0.0, fault="retry_after_1", retry_after_s=1.0)
    one = played(cell("retry_after_1"), [first, attempt(200, wait)], Ending.TEXT)
    assert rules(one) == found


def test_obeying_the_wait_is_no_leave_to_go_on_for_ever() -> None:
    """Three attempts are the most, however politely they are spaced."""
    tries = _tries(429, "retry_after_1", (0.0, 1.1, 2.2, 3.3), retry_after_s=1.0)
    assert "too-many-attempts" in rules(played(cell("retry_after_1"), tries))


def test_another_model_need_not_wait() -> None:
    """The wait was asked for by one model's limit."""
    first = attempt(429, 0.0, fault="retry_after_1", retry_after_s=1.0)
    one = played(cell("retry_after_1"), [first, attempt(200, 0.1, SECOND)], Ending.TEXT)
    assert rules(one) == []


def test_a_wait_beyond_the_deadline_is_not_slept_through() -> None:
    """Retry-After of a day: fall back or raise at once."""
    where = cell("retry_after_86400")
    first = attempt(429, 0.0, fault="retry_after_86400", retry_after_s=86400.0)
    assert rules(played(where, [first], ended=0.1), falls_back()) == []
    assert rules(played(where, [first], Ending.HUNG, ended=6.0)) == ["sleeps-through"]
    assert rules(played(where, [first], ended=3.9)) == ["sleeps-through"]


def test_trying_again_before_a_long_wait_is_over_is_named_as_such() -> None:
    """Own backoff in place of a day is refused again, and the attempt may cost."""
    where = cell("retry_after_3600")
    tries = _tries(429, "retry_after_3600", (0.0, 0.5), retry_after_s=3600.0)
    assert rules(played(where, tries)) == ["retry-after-undercut"]


def test_endless_waits_are_no_waits() -> None:
    """No number holds 1e400: own backoff is allowed, sleeping is not."""
    where = cell("retry_after_1e400")
    tries = _tries(429, "retry_after_1e400", (0.0, 0.5), retry_after_s=float("inf"))
    assert rules(played(where, tries)) == []
    assert rules(played(where, tries[:1], Ending.HUNG, ended=6.0)) == ["sleeps-through"]


def test_a_loop_without_a_pause_is_named() -> None:
    """Retry-After: 0 is no invitation to hammer."""
    tries = [*_tries(429, "retry_after_0", (0.0, 0.004)), attempt(200, 0.008)]
    one = played(cell("retry_after_0"), tries, Ending.TEXT)
    assert rules(one) == ["no-backoff"]


def test_one_short_wait_is_no_proof_of_none() -> None:
    """Full jitter draws from zero on: only the mean of a row tells."""
    short = played(
        cell("status_500", "twice"),
        [*_tries(500, "status_500", (0.0, 0.01)), attempt(200, 0.7)],
        Ending.TEXT,
    )
    assert rules(short) == []


# Fallback ---------------------------------------------------------------------------------------


def test_a_fallback_that_cannot_help_is_named() -> None:
    """The second model behind the same key meets the same cap."""
    tries = [
        attempt(429, 0.0, fault="cap_flat", code="API_KEY_QUOTA_EXHAUSTED"),
        attempt(429, 0.1, SECOND, fault="cap_flat"),
    ]
    (found,) = judged(played(cell("cap_flat"), tries)).deviations
    assert found.kind.rule == "client-wrong-fallback"
    assert found.seen == "asked the other model after 429 API_KEY_QUOTA_EXHAUSTED"


def test_a_fallback_on_a_model_that_is_not_served_is_allowed() -> None:
    """The other model may be on the key's list."""
    tries = [attempt(403, 0.0, fault="model_not_allowed"), attempt(200, 0.1, SECOND)]
    assert rules(played(cell("model_not_allowed", "ever"), tries, Ending.TEXT)) == []


def test_a_missing_fallback_counts_only_for_clients_that_have_one() -> None:
    """No fallback at all is one finding, not fifty."""
    tries = _tries(529, "status_529", (0.0, 0.5, 1.4))
    one = played(cell("status_529", "ever"), tries)
    assert rules(one) == []
    assert rules(one, falls_back()) == ["missing-fallback"]


# Streams, redirects, deadline, shut doors -------------------------------------------------------


def test_asking_again_after_a_streamed_byte_is_named() -> None:
    """The caller has shown the first words already."""
    broken = attempt(200, 0.0, fault="stream_cut_mid", stream=True, first_byte_s=0.01)
    where = cell("stream_cut_mid", "once", stream=True)
    again = played(where, [broken, attempt(200, 0.5)], Ending.TEXT)
    assert rules(again) == ["resent-after-first-byte"]
    assert rules(played(where, [broken])) == []


def test_a_fallback_that_drops_the_partial_text_is_allowed() -> None:
    """The caller gets one whole answer of the other model."""
    broken = attempt(200, 0.0, fault="stream_cut_mid", stream=True, first_byte_s=0.01)
    where = cell("stream_cut_mid", "once", stream=True)
    assert rules(played(where, [broken, attempt(200, 0.5, SECOND)], Ending.TEXT)) == []


def test_following_a_redirect_is_a_warning_and_leaking_the_key_an_error() -> None:
    """An API answers where it is asked; a key belongs to one host."""
    where = cell("redirect_307")
    first = attempt(307, 0.0, fault="redirect_307")
    here = attempt(404, 0.1, "", path="/v1/elsewhere")
    assert rules(played(where, [first])) == []
    followed = judged(played(where, [first, here]))
    assert (followed.verdict, rules(played(where, [first, here]))) == (
        Verdict.WARNING,
        ["follows-redirect"],
    )
    away = replace(played(cell("redirect_307_away"), [first]), leaks=1)
    assert judged(away).verdict is Verdict.ERROR
    assert "key-leaked" in rules(away)


def test_nothing_is_sent_after_the_deadline() -> None:
    """Nobody waits for that answer any more, and it is billed."""
    where = cell("status_500", "ever", deadline_s=2.0)
    tries = _tries(500, "status_500", (0.0, 1.0, 2.9))
    assert rules(played(where, tries)) == ["over-deadline"]
    assert rules(played(where, _tries(500, "status_500", (0.0, 1.0, 2.1)))) == []


@pytest.mark.parametrize(
    ("case", "attempts", "found"),
    [
        pytest.param("tls_fails", 1, [], id="TLS: once"),
        pytest.param("tls_fails", 3, ["wrong-retry"], id="TLS: again"),
        pytest.param("no_such_host", 2, [], id="DNS: twice"),
        pytest.param("no_such_host", 3, ["too-many-attempts"], id="DNS: three times"),
        pytest.param("refused", 3, [], id="refused: three times"),
        pytest.param("refused", 4, ["too-many-attempts"], id="refused: four times"),
    ],
)
def test_attempts_that_no_request_came_of_are_counted(
    case: str, attempts: int, found: list[str]
) -> None:
    """Connections and look-ups are attempts too."""
    where = cell(case, "ever")
    tries = [
        attempt(None, at * 0.5, "", fault=where.place.value, path="") for at in range(attempts)
    ]
    assert rules(played(where, tries), alone()) == found


def test_a_second_model_has_attempts_of_its_own_where_nobody_listens() -> None:
    """Models cannot be told apart before a request comes through."""
    where = cell("refused", "ever")
    assert where.place is Place.REFUSED
    tries = [attempt(None, at * 0.5, "", fault="refused", path="") for at in range(6)]
    assert rules(played(where, tries), falls_back()) == []


# What it costs ----------------------------------------------------------------------------------


def test_a_deviation_costs_what_the_gateway_billed_for_it() -> None:
    """Refusals are free; a retry that was answered is not."""
    refused = _tries(401, "key_unknown", (0.0, 0.5))
    free = judged(played(cell("key_unknown", "ever"), refused)).deviations[0]
    assert free.cost_usd == 0
    paid = [*_tries(401, "key_unknown", (0.0,)), attempt(200, 0.5, cost_usd=Decimal("0.0123"))]
    dear = judged(played(cell("key_unknown", "once"), paid, Ending.TEXT)).deviations[0]
    assert dear.cost_usd == Decimal("0.0123")


def test_work_that_may_have_been_done_unseen_is_estimated() -> None:
    """Nobody knows what stands behind a 504: the mean price of an answer is the exposure."""
    tries = _tries(504, "status_504", (0.0, 0.5, 1.4))
    healthy = played(cell("healthy"), [attempt(cost_usd=Decimal("0.002"))], Ending.TEXT)
    one = judged(played(cell("status_504", "ever"), tries), healthy)
    assert one.deviations[0].cost_usd == Decimal("0.002")


def test_the_models_asked_are_those_given() -> None:
    """A client with models of its own is verified against nothing."""
    one = played(cell("status_500", "once"), [attempt(model="my-own"), attempt(200, 0.1)])
    assert "ignores-models" in rules(replace(one, attempts=one.attempts[:1]))
    assert FIRST in judged(one).deviations[-1].expected
