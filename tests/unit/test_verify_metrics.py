"""The numbers of a verification are right: each against a cell that was counted by hand."""

import math
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from verify_kit import CASES, FIRST, SECOND, attempt, cell, played

from runbook_lib.verify import joined, judge, metrics, spread
from runbook_lib.verify.facts import Facts
from runbook_lib.verify.records import Ending, Outcome, Played


def _numbers(*cells: Played) -> dict[tuple[str, str], Any]:
    judged, facts = judge.judge(cells, CASES)
    frame = metrics.metrics(judged, facts)
    return {(row.metric, row.scope): row for row in frame.itertuples()}


def _value(name: str, scope: str, *cells: Played) -> float:
    return float(_numbers(*cells)[name, scope].value)


HEALTHY = played(cell("healthy"), [attempt(cost_usd=Decimal("0.0004"))], Ending.TEXT, ended=0.05)


def _retried() -> Played:
    """Two failures of 0.01 s, 0.5 s and 1.0 s of sleep, then the answer in 0.05 s."""
    tries = [
        attempt(500, 0.0, fault="status_500", ended_s=0.01),
        attempt(500, 0.51, fault="status_500", ended_s=0.52),
        attempt(200, 1.52, ended_s=1.57),
    ]
    return played(cell("status_500", "twice"), tries, Ending.TEXT, ended=1.57)


def test_attempts_are_counted_by_the_server() -> None:
    """Three for one call, one for another."""
    single = played(cell("cap_flat"), [attempt(429, fault="cap_flat")])
    found = _numbers(_retried(), single)
    assert found["attempts_per_call", "mean"].value == 2.0
    assert found["attempts_per_call", "max"].value == 3.0
    assert found["attempts_per_call", "p99"].value == 3.0
    assert found["amplification", "single calls"].value == 2.0


def test_amplification_of_an_outage_is_told_by_model() -> None:
    """A fallback has its own load to bear."""
    where = cell("total_outage")
    tries = [attempt(503, 0.1, fault="status_503", call=n % 200 + 1) for n in range(220)]
    tries += [attempt(503, 0.2, SECOND, fault="status_503", call=n + 1) for n in range(200)]
    calls = [Outcome(ending=Ending.RAISED, started_s=0, ended_s=1, call=n) for n in range(1, 201)]
    found = _numbers(played(where, tries, outcomes=calls))
    assert found["amplification", f"total outage, {FIRST}"].value == 1.1
    assert found["amplification", f"total outage, {SECOND}"].value == 1.0


def test_wrong_retries_are_counted_by_code() -> None:
    """The code says what the client does not know."""
    capped = [
        attempt(429, at, fault="cap_flat", code="API_KEY_QUOTA_EXHAUSTED") for at in (0, 0.5, 1.5)
    ]
    unknown = [attempt(401, at, fault="key_unknown_or_deleted", code="INVALID") for at in (0, 0.5)]
    found = _numbers(played(cell("cap_flat"), capped), played(cell("key_unknown", "ever"), unknown))
    assert found["wrong_retries", "all"].value == 3
    assert found["wrong_retries", "429 API_KEY_QUOTA_EXHAUSTED"].value == 2
    assert found["wrong_retries", "401 INVALID"].value == 1


def test_right_retries_are_no_wrong_ones() -> None:
    """A 500 that passes is retried by everybody."""
    found = _numbers(_retried())
    assert found["wrong_retries", "all"].value == 0
    assert [scope for name, scope in found if name == "wrong_retries"] == ["all"]


def test_a_retry_after_that_is_undercut_is_measured() -> None:
    """By how much, in the worst of them."""
    early = [attempt(429, 0.0, fault="retry_after_1", retry_after_s=1.0), attempt(200, 0.4)]
    less = [attempt(429, 0.0, fault="retry_after_1_5", retry_after_s=1.5), attempt(200, 1.3)]
    found = _numbers(
        played(cell("retry_after_1"), early, Ending.TEXT),
        played(cell("retry_after_1_5"), less, Ending.TEXT),
    )
    assert found["retry_after_undercut", "all"].value == 2
    assert found["retry_after_undercut_worst", "all"].value == pytest.approx(600)


def test_added_latency_is_split_into_sleep_and_wire() -> None:
    """Only the sleep is the client's own choice."""
    found = _numbers(HEALTHY, _retried())
    assert found["added_latency", "total, p50"].value == pytest.approx(1.52)
    assert found["added_latency", "sleep, p50"].value == pytest.approx(1.5)
    assert found["added_latency", "wire, p50"].value == pytest.approx(0.02)


def test_time_to_fallback_runs_from_the_first_failure_to_the_first_byte() -> None:
    """What the caller waits for, retries of the primary included."""
    tries = [
        attempt(500, 0.0, fault="status_500", ended_s=0.02),
        attempt(500, 0.5, fault="status_500", ended_s=0.52),
        attempt(200, 0.6, SECOND, first_byte_s=0.72, ended_s=0.9),
    ]
    one = played(cell("status_500", "ever"), tries, Ending.TEXT)
    scope = "primary refusing, resetting or answering 5xx"
    assert _value("time_to_fallback", f"{scope}, p50", one) == pytest.approx(0.7)
    model = [attempt(403, 0.0, fault="model_not_allowed"), attempt(200, 0.02, SECOND)]
    sticky = played(cell("model_not_allowed", "ever"), model, Ending.TEXT)
    scope = "error of the model that stays, max"
    assert _value("time_to_fallback", scope, sticky) == pytest.approx(0.02)


def test_success_at_p_percent_has_its_interval() -> None:
    """54 of 60 is 0.9; Wilson's interval of it is known."""
    tries = [attempt(200, 0.1, call=n) for n in range(1, 55)]
    calls = [
        Outcome(
            ending=Ending.TEXT if n <= 54 else Ending.RAISED,
            started_s=0,
            ended_s=1,
            text="the cap holds until someone raises it" if n <= 54 else "",
            call=n,
        )
        for n in range(1, 61)
    ]
    row = _numbers(played(cell("thirty_percent"), tries, outcomes=calls))["success_rate", "p = 30%"]
    assert (row.value, row.of) == (0.9, 60)
    assert (row.low, row.high) == (pytest.approx(0.7985, abs=1e-4), pytest.approx(0.9534, abs=1e-4))


def test_spend_beyond_one_answer_is_told_twice() -> None:
    """What was billed, and what may have been: the dearest attempt is the one that was needed."""
    tries = [
        attempt(None, 0.0, fault="no_answer", cost_usd=Decimal("0.001")),
        attempt(504, 3.0, fault="status_504"),
        attempt(429, 4.0, fault="rate_limit"),
        attempt(200, 5.0, cost_usd=Decimal("0.003")),
    ]
    one = played(cell("no_answer"), tries, Ending.TEXT)
    (call,) = joined.of(one)
    facts = Facts(prices={"openai": Decimal("0.002")})
    assert metrics.confirmed(call) == Decimal("0.001")
    assert metrics.exposure(call, facts) == Decimal("0.003")
    assert _value("duplicate_spend", "billed", one) == pytest.approx(0.001)


def test_silent_failures_are_counted_by_cell() -> None:
    """Must be none."""
    empty = played(cell("empty_object"), [attempt(fault="empty_object")], Ending.NO_TEXT)
    assert _value("silent_failures", "all", empty, HEALTHY) == 1


def test_calls_over_their_deadline_are_counted() -> None:
    """And the worst of them."""
    slow = attempt(200, 0.0, fault="slow_drip", ended_s=None)
    late = played(cell("slow_drip", stream=False), [slow], Ending.RAISED, ended=5.5)
    found = _numbers(late, _retried())
    assert found["over_deadline", "all"].value == 1
    assert found["over_deadline_worst", "all"].value == pytest.approx(2.5)


def test_the_latency_of_a_cancellation_is_measured() -> None:
    """From the cancellation to the end."""
    where = cell("cancel_in_backoff", asynchronous=True)
    one = played(where, [attempt(429, fault="retry_after_3")], Ending.CANCELLED, ended=1.1)
    assert _value("cancel_latency", "max", one) == pytest.approx(0.3)


def test_the_share_of_attempts_with_a_captured_id_is_told() -> None:
    """Two of three; where the client shows none, it cannot be told."""
    tries = [
        attempt(500, 0.0, fault="status_500", request_ids=("a",)),
        attempt(500, 0.5, fault="status_500", request_ids=("b",)),
        attempt(200, 1.5, request_ids=("c",)),
    ]
    one = played(cell("status_500", "twice"), tries, Ending.TEXT, request_ids=("b", "c"))
    scope = "attempts of calls that show ids"
    assert _value("ids_captured", scope, one) == pytest.approx(2 / 3)
    assert math.isnan(_value("ids_captured", scope, _retried()))


def test_a_breaker_is_measured() -> None:
    """Calls in the outage that asked the primary, attempts on it, seconds until it came back."""
    where = replace(cell("outage_and_return"), calls=12)
    attempts, calls = [], []
    for number in range(1, 13):
        at = float(number - 1)
        asked = number <= 2 or number == 7 or number >= 10
        if asked:
            status = 503 if at < 6 else 200
            fault = "status_503" if at < 6 else ""
            attempts.append(attempt(status, at, fault=fault, call=number))
        if not asked or at < 6:
            attempts.append(attempt(200, at + 0.1, SECOND, call=number))
        calls.append(
            Outcome(
                ending=Ending.TEXT,
                started_s=at,
                ended_s=at + 0.2,
                text="the cap holds until someone raises it",
                call=number,
            )
        )
    found = _numbers(played(where, attempts, outcomes=calls))
    asked = found["breaker", "calls while down that asked the primary"]
    assert (asked.value, asked.of) == (0, 1)
    assert found["breaker", "until it was asked again once back"].value == pytest.approx(0.0)


def test_every_number_of_the_matrix_is_there() -> None:
    """A line that is missing would look like a good one."""
    names = {name for name, _ in _numbers(HEALTHY, _retried())}
    assert names >= {
        *("attempts_per_call", "amplification", "wrong_retries", "missing_retries"),
        *("retry_after_undercut", "retry_after_undercut_worst", "retry_after_slept_through"),
        *("added_latency", "time_to_fallback", "duplicate_spend", "silent_failures"),
        *("over_deadline", "over_deadline_worst", "cancel_latency", "ids_captured"),
    }


# Small statistics -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("good", "n", "low", "high"),
    [
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (5, 10, 0.2366, 0.7634),
        (1, 100, 0.0018, 0.0545),
    ],
)
def test_wilsons_interval_is_the_known_one(good: int, n: int, low: float, high: float) -> None:
    """Values of the usual tables."""
    found = spread.wilson(good, n)
    assert found == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilsons_interval_holds_the_share(drawn: tuple[int, int]) -> None:
    """Whatever was counted, the share lies within."""
    good, n = drawn
    low, high = spread.wilson(good, n)
    assert 0 <= low <= good / n + 1e-12
    assert good / n - 1e-12 <= high <= 1


@given(st.lists(st.floats(0, 100), min_size=1), st.floats(0.01, 1))
def test_a_percentile_is_one_of_the_values(values: list[float], share: float) -> None:
    """So large a share does not exceed it, and no smaller value does that."""
    found = spread.percentile(values, share)
    assert found in values
    assert sum(one <= found for one in values) >= share * len(values) - 1e-9
    assert sum(one < found for one in values) < share * len(values) + 1e-9


def test_the_distance_from_an_even_spread() -> None:
    """Even values are near, one and the same value is far."""
    even = [n / 100 for n in range(1, 101)]
    assert spread.distance(even) == pytest.approx(0.01)
    assert spread.distance([0.5] * 100) == pytest.approx(1.0)
    assert spread.distance([]) is None


def test_nothing_has_no_numbers() -> None:
    """No call, no mean: not zero."""
    assert math.isnan(spread.mean([]))
    assert math.isnan(spread.percentile([], 0.5))
    assert all(math.isnan(one) for one in spread.wilson(0, 0))
    assert spread.smallest_gap([1.0]) is None
    assert spread.smallest_gap([1.0, 1.5, 1.6]) == pytest.approx(0.1)
