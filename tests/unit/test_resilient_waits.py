"""How long the reference client waits: sleeping is skipped, and the clock it reads moves on."""

import time
from dataclasses import dataclass, field
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
import tenacity
import tenacity.nap
from gateway_kit import Running
from resilient_kit import Way, ask

from runbook_lib.resilient import Health

PLAIN = Way()
ALONE = ("gpt-5.4",)


@dataclass
class Skipping:
    """A clock that is moved on by what would have been slept."""

    slept: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        """Do not."""
        self.slept.append(seconds)

    def now(self) -> float:
        """Seconds, those that were not slept included."""
        return time.monotonic() + sum(self.slept)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Skipping:
    """Skip the sleeps of stamina, which sleeps as tenacity does."""
    made = Skipping()
    monkeypatch.setattr(tenacity.nap, "time", SimpleNamespace(sleep=made.sleep))
    monkeypatch.setattr(tenacity, "time", SimpleNamespace(monotonic=made.now))
    return made


def waits(run: Running, clock: Skipping, fault: str, **options: Any) -> list[float]:
    """The waits of one call."""
    before = len(clock.slept)
    ask(run, PLAIN, fault, now=clock.now, **{"deadline_s": 90.0, **options})
    return clock.slept[before:]


@pytest.mark.parametrize("seed", range(20))
def test_waits_grow_and_reach_the_fallback_in_two_seconds(
    seed: int, run: Running, clock: Skipping
) -> None:
    """Too short a wait hits a gateway that is down; too long a one keeps the caller from help."""
    first, second = waits(run, clock, "status_503", models=ALONE, seed=seed)
    assert 0.375 <= first <= 0.9
    assert first <= second
    assert first + second <= 1.9


@pytest.mark.parametrize(
    ("fault", "asked"),
    [
        ("retry_after_1", 1.0),
        ("retry_after_1_5", 1.5),
        ("retry_after_ms_1500", 1.5),
        ("retry_after_date_3", 3.0),
        ("retry_after_date_20", 20.0),
        ("retry_after_90", 90.0),
        ("rate_limit_string", 1.0),
    ],
)
def test_a_wait_that_is_asked_for_is_kept(
    fault: str, asked: float, run: Running, clock: Skipping
) -> None:
    """Not less, which is refused again; and at most a twentieth more, which spreads many clients.

    A date is a whole second, so up to one second of it has passed already.
    """
    (wait,) = waits(run, clock, f"{fault};times=1", deadline_s=200.0)
    least = asked - 1.01 if "date" in fault else asked
    assert least <= wait <= asked * 1.05


def test_long_waits_are_kept_as_long_as_the_deadline_allows(run: Running, clock: Skipping) -> None:
    """Stamina ends after 45 s where nobody tells it otherwise."""
    assert [
        round(wait) for wait in waits(run, clock, "retry_after_90;times=2", deadline_s=300.0)
    ] == [
        90,
        90,
    ]


@pytest.mark.parametrize(
    "fault",
    [
        "retry_after_0",
        "retry_after_negative",
        "retry_after_word",
        "retry_after_nan",
        "retry_after_past_date",
        "retry_after_date_minus_57",
    ],
)
def test_what_is_no_wait_is_answered_with_a_backoff_of_its_own(
    fault: str, run: Running, clock: Skipping
) -> None:
    """A loop without a pause is the worst answer to a server that is in trouble."""
    assert [0.375 <= wait <= 1.9 for wait in waits(run, clock, fault, models=ALONE)] == [True] * 2


@pytest.mark.parametrize(
    ("fault", "asked"),
    [
        ("retry_after_90", 90.0),
        ("retry_after_3600", 3600.0),
        ("retry_after_86400", 86400.0),
        ("retry_after_1e400", float("inf")),
        ("retry_after_inf", float("inf")),
        ("retry_after_503_3600", 3600.0),
    ],
)
def test_nobody_sleeps_beyond_the_deadline(
    fault: str, asked: float, run: Running, clock: Skipping
) -> None:
    """The other model is asked at once; without one the caller hears how long it would take."""
    got = ask(run, PLAIN, fault, now=clock.now, deadline_s=60.0)
    assert got.seen == list(PLAIN.models)
    alone = ask(run, PLAIN, fault, now=clock.now, models=ALONE)
    assert alone.error is not None
    assert alone.error.retry_after_s == asked
    assert f"asks to wait {asked:g} s" in str(alone.error)
    assert clock.slept == []


@pytest.mark.parametrize("deadline_s", [0.3, 1.0, 1.6, 2.5])
def test_nothing_is_sent_after_the_deadline(
    deadline_s: float, run: Running, clock: Skipping
) -> None:
    """A wait that ends after the deadline is not begun."""
    began = clock.now()
    got = ask(run, PLAIN, "status_503", now=clock.now, deadline_s=deadline_s, seed=None)
    assert got.error is not None
    assert sum(clock.slept) < deadline_s
    assert clock.now() - began < deadline_s + 1
    assert 1 <= len(got.seen) <= 6


def test_a_retry_that_cannot_end_in_time_is_not_begun(run: Running, clock: Skipping) -> None:
    """After silence it would be silence again, and billed: the time belongs to the other model."""
    slow = {"deadline_s": 1.3, "attempt_s": 0.5, "now": clock.now}
    assert ask(run, PLAIN, "no_answer", models=ALONE, **slow).seen == list(ALONE)
    assert ask(run, PLAIN, "no_answer", **slow).seen == list(PLAIN.models)
    assert clock.slept == []


def test_what_was_never_worked_on_is_sent_again_at_once(run: Running, clock: Skipping) -> None:
    """A reset before the first byte is what a restarted gateway does with idle connections."""
    (wait,) = waits(run, clock, "reset_before_bytes;times=1")
    assert wait <= 0.1


def test_many_clients_do_not_come_back_together(run: Running, clock: Skipping) -> None:
    """A hundred that fail at once and wait alike would fail at once again: the herd."""
    found = [
        waits(run, clock, "status_503;times=1", seed=seed, health=Health())[0]
        for seed in range(100)
    ]
    bins = [0] * 10
    for wait in found:
        bins[min(9, int((wait - min(found)) / (max(found) - min(found)) * 10))] += 1
    assert max(bins) <= 3 * 10
    assert all(a != b for a, b in pairwise(sorted(found)))


def test_the_same_seed_waits_alike(run: Running, clock: Skipping) -> None:
    """A trial that cannot be repeated proves nothing."""
    one, other = (waits(run, clock, "status_503", seed=3) for _ in range(2))
    assert one == other
