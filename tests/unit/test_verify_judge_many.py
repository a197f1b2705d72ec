"""The judge on many calls: success, storm, herd, breaker and return, ids, the rehearsed stop."""

from dataclasses import replace
from random import Random

import pytest
from verify_kit import FIRST, SECOND, alone, attempt, cell, falls_back, played, rules

from runbook_lib.verify import many
from runbook_lib.verify.records import Attempt, Cell, Ending, Outcome, Played


def _call(number: int, at: float, ended: float, ending: Ending = Ending.RAISED) -> Outcome:
    text = "the cap holds until someone raises it" if ending is Ending.TEXT else ""
    return Outcome(ending=ending, started_s=at, ended_s=ended, text=text, call=number)


def _many(where: Cell, attempts: list[Attempt], outcomes: list[Outcome]) -> Played:
    return played(where, sorted(attempts, key=lambda one: one.at_s), outcomes=outcomes)


def _outage(*, asks: list[bool], back: int) -> Played:
    """60 calls, four a second; the primary is down for six seconds.

    Args:
        asks: Whether a call in the outage asks the primary first.
        back: Number of the first call afterwards that is answered by the primary.
    """
    where = cell("outage_and_return")
    attempts, outcomes = [], []
    for number in range(1, 61):
        at = 0.25 * (number - 1)
        down = at < 6.0
        if down and asks[number - 1]:
            attempts.append(attempt(503, at, fault="status_503", call=number))
        model = SECOND if down or number < back else FIRST
        attempts.append(attempt(200, at + 0.05, model, call=number))
        outcomes.append(_call(number, at, at + 0.1, Ending.TEXT))
    return _many(where, attempts, outcomes)


def test_a_breaker_leaves_the_failing_primary_alone() -> None:
    """The first failures are allowed, and a probe now and then."""
    asks = [number < 6 or number == 15 for number in range(60)]
    assert rules(_outage(asks=asks, back=30), falls_back()) == []


def test_asking_a_dead_primary_in_every_call_is_named() -> None:
    """Every user waits for the same failure again."""
    assert rules(_outage(asks=[True] * 60, back=25), falls_back()) == ["no-breaker"]


def test_staying_on_the_fallback_for_good_is_named() -> None:
    """The dearer model answers until somebody looks at the bill."""
    asks = [number < 6 for number in range(60)]
    one = _outage(asks=asks, back=1000)
    assert rules(one, falls_back()) == ["does-not-return"]
    seen = many.outage(one)
    assert seen is not None
    assert seen.returned_s is None
    assert round(seen.watched_s) == 9


def test_a_client_without_a_fallback_needs_no_breaker() -> None:
    """There is nothing it could go to meanwhile."""
    only = _outage(asks=[True] * 60, back=25)
    kept = [one for one in only.attempts if one.model == FIRST]
    failed = [
        replace(one, ending=Ending.RAISED) if one.started_s < 6.0 else one for one in only.outcomes
    ]
    assert rules(replace(only, attempts=kept, outcomes=failed), alone()) == []


@pytest.mark.parametrize(
    ("attempts", "found"), [(1.0, []), (1.5, []), (2.0, ["retry-storm"]), (3.0, ["retry-storm"])]
)
def test_an_outage_is_not_multiplied(attempts: float, found: list[str]) -> None:
    """Three attempts a call are three times the load on what is down already."""
    where = cell("total_outage")
    tries = [
        attempt(503, 0.01 * number, fault="status_503", call=number % 200 + 1)
        for number in range(int(attempts * 200))
    ]
    calls = [_call(number, 0.0, 4.5) for number in range(1, 201)]
    one = _many(where, tries, calls)
    assert rules(one) == found
    assert many.amplification(one) == {FIRST: attempts}


def _herd(waits: list[float]) -> Played:
    where = cell("herd")
    tries = []
    for number, wait in enumerate(waits, start=1):
        tries += [
            attempt(503, 0.0, fault="status_503", call=number),
            attempt(503, wait, fault="status_503", call=number),
        ]
    return _many(where, tries, [_call(n, 0.0, 2.0) for n in range(1, len(waits) + 1)])


def _drawn(low: float, high: float, n: int, *, noise: float = 0.05) -> list[float]:
    chance = Random(f"{low} {high} {n}")  # noqa: S311
    return [chance.uniform(low, high) + chance.uniform(0, noise) for _ in range(n)]


@pytest.mark.parametrize(
    ("low", "high", "n", "found"),
    [
        pytest.param(0.5, 0.5, 100, ["no-jitter"], id="none"),
        pytest.param(0.75, 1.0, 240, ["no-jitter"], id="a quarter"),
        pytest.param(0.5, 1.0, 240, [], id="a half"),
        pytest.param(0.5, 1.0, 40, [], id="a half, few"),
        pytest.param(0.0, 1.0, 240, [], id="full"),
        pytest.param(0.5, 0.5, 19, [], id="too few to tell"),
    ],
)
def test_retries_do_not_come_together(low: float, high: float, n: int, found: list[str]) -> None:
    """What failed together must not come back together."""
    assert rules(_herd(_drawn(low, high, n))) == found


def test_the_longest_waits_tell_most() -> None:
    """Noise of a busy machine weighs less on them."""
    where = cell("herd")
    tries = [
        attempt(503, at, fault="status_503", call=number)
        for number in range(1, 31)
        for at in (0.0, 0.4, 1.4)
    ]
    found = many.waits(_many(where, tries, [_call(n, 0.0, 2.0) for n in range(1, 31)]))
    assert found == pytest.approx([1.0] * 30)


@pytest.mark.parametrize(
    ("good", "found"), [(60, []), (45, []), (20, ["fails-too-often"])], ids=str
)
def test_more_failures_than_single_attempts_would_have_are_named(
    good: int, found: list[str]
) -> None:
    """Beyond all chance, so that no unlucky run accuses anybody."""
    where = cell("thirty_percent")
    tries = [attempt(200, 0.1 * n, call=n) for n in range(1, good + 1)]
    endings = [Ending.TEXT] * good + [Ending.RAISED] * (60 - good)
    calls = [_call(n, 0.0, 0.5, ending) for n, ending in enumerate(endings, start=1)]
    assert rules(_many(where, tries, calls)) == found


@pytest.mark.parametrize(("n", "p"), [(60, 0.7), (60, 0.99), (100, 0.5)])
def test_the_least_number_of_successes_is_out_of_all_chance(n: int, p: float) -> None:
    """The bound is the smallest that a millionth of all runs misses."""
    chance = Random(5)  # noqa: S311
    least = many.least_successes(n, p)
    seen = min(sum(chance.random() < p for _ in range(n)) for _ in range(2000))
    assert 0 < least <= seen
    assert many.least_successes(n, p, chance=0.5) > least


def test_one_id_for_several_calls_is_named() -> None:
    """Support finds five requests under one id."""
    where = cell("ids_of_many_calls")
    calls = [_call(n, 0.1 * n, 0.1 * n + 0.05, Ending.TEXT) for n in range(1, 6)]
    same = [attempt(200, 0.1 * n, call=n, request_ids=("mine", f"up-{n}")) for n in range(1, 6)]
    own = [replace(one, request_ids=(f"id-{one.call}",)) for one in same]
    assert rules(_many(where, same, calls)) == ["id-reused"]
    assert rules(_many(where, own, calls)) == []


def test_a_stop_is_met_once_a_call() -> None:
    """What comes after the first refusal of a call is waste."""
    where = cell("stop_at_cap")
    good = [attempt(200, 0.1 * n, call=n) for n in (1, 2, 3)]
    refused = [attempt(429, 1.0 * n, call=n, code="API_KEY_QUOTA_EXHAUSTED") for n in range(4, 9)]
    calls = [
        _call(n, 1.0 * n, 1.0 * n + 0.05, Ending.TEXT if n < 4 else Ending.RAISED)
        for n in range(1, 9)
    ]
    assert rules(_many(where, [*good, *refused], calls)) == []
    again = [replace(one, at_s=one.at_s + 0.5) for one in refused]
    assert rules(_many(where, [*good, *refused, *again], calls)) == ["wrong-retry"]


def test_calls_meet_their_own_attempts_whatever_order_they_began_in() -> None:
    """Calls at once start in any order; an answer of another call is no answer of this one."""
    where = cell("one_percent")
    texts = ["first text", "second text"]
    tries = [attempt(200, 0.1, call=n, text=texts[n - 1]) for n in (1, 2)]
    calls = [
        replace(_call(n, at, 0.3, Ending.TEXT), text=texts[n - 1])
        for n, at in ((2, 0.0), (1, 0.01))
    ]
    assert rules(_many(where, tries, calls)) == []
    swapped = [replace(one, call=3 - one.call) for one in calls]
    assert rules(_many(where, tries, swapped)) == ["silent-failure"]
