"""Budget and breaker: what is remembered of a model between calls, by a clock of the test."""

import threading

import pytest

from runbook_lib.resilient.health import BUDGET, FAILED_CALLS, PROBE_S, Health

TWO = ("a", "b")


def opened(*models: str) -> Health:
    """Health in which these models have failed often enough, at second 0."""
    health = Health()
    for model in models:
        for _ in range(FAILED_CALLS):
            health.failed(model, 0.0)
    return health


def test_in_an_outage_retries_end_with_the_budget() -> None:
    """A thousand calls that all fail add no more than the budget to the load."""
    health = Health()
    assert sum(health.may_retry("a") for _ in range(1000)) == BUDGET
    assert health.may_retry("b")


@pytest.mark.parametrize("share", [0.01, 0.1, 0.3, 0.5])
def test_while_calls_succeed_now_and_then_every_retry_is_allowed(share: float) -> None:
    """A budget that throttles random failures costs the answers it should save."""
    health = Health()
    every = round(1 / share)
    for call in range(1000):
        if call % every == 0:
            assert health.may_retry("a")
        health.answered("a")


def test_a_success_saves_no_more_than_the_budget() -> None:
    """A good week must not pay for a storm."""
    health = Health()
    for _ in range(10_000):
        health.answered("a")
    assert sum(health.may_retry("a") for _ in range(1000)) == BUDGET


def test_a_model_that_is_down_is_asked_last() -> None:
    """It is not left out: a call whose other model fails too still has a chance."""
    health = Health()
    for failed in range(FAILED_CALLS):
        assert health.order(TWO, failed) == (["a", "b"], "")
        health.failed("a", failed)
    assert health.order(TWO, FAILED_CALLS) == (["b", "a"], "")


def test_a_success_between_failures_keeps_it_closed() -> None:
    """Failures in a row open it, not failures over the years."""
    health = Health()
    for _ in range(10):
        for _ in range(FAILED_CALLS - 1):
            health.failed("a", 0.0)
        assert health.order(TWO, 1.0) == (["a", "b"], "")
        health.answered("a")


def test_one_call_asks_first_whether_it_is_back() -> None:
    """The others go on with the other model until that call has come back."""
    health = opened("a")
    late = FAILED_CALLS + PROBE_S
    assert health.order(TWO, PROBE_S / 2) == (["b", "a"], "")
    assert health.order(TWO, late) == (["a", "b"], "a")
    assert health.order(TWO, late) == (["b", "a"], "")


def test_it_is_back_with_its_first_answer() -> None:
    """Within one interval after the outage the primary is the primary again."""
    health = opened("a")
    health.order(TWO, PROBE_S)
    health.answered("a")
    assert health.order(TWO, PROBE_S) == (["a", "b"], "")


def test_a_probe_that_fails_waits_for_the_next_interval() -> None:
    """A model that stays down costs one attempt an interval."""
    health = opened("a")
    asked = 0
    for tenth in range(1, 1001):
        order, _ = health.order(TWO, tenth / 10)
        if order[0] == "a":
            asked += 1
            health.failed("a", tenth / 10)
    assert asked == 100 / PROBE_S


def test_with_every_model_down_their_order_stays() -> None:
    """Then all are as bad, and the preference counts."""
    assert opened("a", "b").order(TWO, 1.0) == (["a", "b"], "")


def test_threads_take_no_token_twice() -> None:
    """A budget that two threads spend at once is none."""
    health, found = Health(budget=500), []

    def spend() -> None:
        found.append(sum(health.may_retry("a") for _ in range(400)))

    threads = [threading.Thread(target=spend) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(found) == 500
