"""What a cap would have done to the past, and what it does to a loop."""

import numpy as np
import pytest

from runbook_lib.analysis.caps.replay import loops, replay


def test_a_day_is_stopped_when_its_cap_is_reached() -> None:
    """One USD an hour under a cap of 6: the 7th hour is refused, and all after it that day."""
    hours = np.ones((1, 48))
    hours[0, 24:] = 0.1
    done = replay(hours, np.array([6.0]), "1d")
    assert (done.trips[0], done.windows[0], done.first[0]) == (1, 2, 6)
    assert done.stopped_usd[0] == pytest.approx(18.0)
    assert done.blocked_min[0] == pytest.approx(18 * 60)


def test_the_hour_in_which_a_cap_is_passed_counts_in_part() -> None:
    """A cap of 6.5 is reached in the middle of the 7th hour: thirty minutes of it are refused."""
    done = replay(np.ones((1, 24)), np.array([6.5]), "1d")
    assert done.blocked_min[0] == pytest.approx(17.5 * 60)
    assert done.stopped_usd[0] == pytest.approx(17.5)


def test_a_cap_just_reached_stops_nothing() -> None:
    """Where nothing more was to come, nobody met a 429."""
    hours = np.zeros((1, 24))
    hours[0, :6] = 1.0
    done = replay(hours, np.array([6.0]), "1d")
    assert (done.trips[0], done.stopped_usd[0], done.blocked_min[0]) == (0, 0.0, 0.0)


def test_a_five_hour_window_opens_with_the_first_call() -> None:
    """It does not start on the clock: hours 3 to 7 are one, hour 8 opens another."""
    hours = np.zeros((1, 24))
    hours[0, 3:9] = 1.0
    done = replay(hours, np.array([4.0]), "5h")
    assert (done.windows[0], done.trips[0], done.first[0]) == (2, 1, 7)
    assert done.stopped_usd[0] == pytest.approx(1.0)


def test_keys_do_not_touch_each_other() -> None:
    """All keys are replayed at once; each must be as if it were alone."""
    rng = np.random.default_rng(4)
    hours = rng.gamma(0.5, 1, (6, 240)) * (rng.random((6, 240)) < 0.5)
    caps = np.array([0.5, 1, 2, 4, 8, np.inf])
    for window in ("5h", "1d", "7d", "month"):
        together = replay(hours, caps, window)
        for place in range(6):
            alone = replay(hours[[place]], caps[[place]], window)
            assert alone.trips[0] == together.trips[place]
            assert alone.stopped_usd[0] == pytest.approx(together.stopped_usd[place])
        assert together.trips[-1] == 0
        assert (np.diff(together.stopped_usd[:0]) <= 0).all()


def test_a_loop_costs_its_burn_until_the_cap() -> None:
    """One USD a day, ten times that in a loop: a cap of 5 USD stops it after about half a day."""
    hours = np.full((1, 24 * 10), 1 / 24)
    made = loops(hours, np.array([5.0]), factor=10.0)
    assert 5 <= made.median_h[0] <= 13
    assert made.median_usd[0] == pytest.approx(made.median_h[0] * 10 / 24, rel=0.1)
    assert made.worst_h[0] >= made.median_h[0]
    assert made.not_stopped[0] == 0


def test_a_cap_above_the_loop_never_stops_it() -> None:
    """Twelve times the day is more than a loop of ten can reach: it must be said, not hidden."""
    made = loops(np.full((1, 240), 1 / 24), np.array([12.0]), factor=10.0)
    assert made.not_stopped[0] == 1
    assert np.isinf(made.worst_h[0])


def test_a_key_of_one_day_has_no_loop_figures() -> None:
    """Without a second day there is nothing to run a loop over."""
    assert np.isnan(loops(np.ones((1, 24)), np.array([5.0]), factor=10.0).median_h[0])
