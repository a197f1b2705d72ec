"""The detector: what it may look at, what it must find, and when it must be silent."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runbook_lib.analysis.spikes.marks import DAY, HOUR, MINUTE, Grain, Marks, mark

GRAINS = [pytest.param(grain, id=grain.name) for grain in (HOUR, DAY, MINUTE)]


def course(hours: int = 600, *, seed: int = 1, keys: int = 1) -> np.ndarray:
    """Spend with a daily course and noise of a tenth."""
    rng = np.random.default_rng(seed)
    day = 2 + np.sin(np.arange(hours) / 24 * 2 * np.pi)
    return day * rng.gamma(100, 0.01, (keys, hours))


def same(one: Marks, other: Marks, upto: int | None = None) -> None:
    """Compare all marks, also where there are none."""
    for name in ("jump", "record"):
        first, second = getattr(one, name)[:, :upto], getattr(other, name)[:, :upto]
        np.testing.assert_allclose(first, second, rtol=1e-9, atol=1e-9, err_msg=name)


@st.composite
def histories(draw: st.DrawFn) -> np.ndarray:
    """Two series of any shape: idle, bursts, refunds, gaps, tiny and huge numbers."""
    size = draw(st.integers(1, 420))
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    values = rng.gamma(draw(st.sampled_from([0.05, 1.0, 50.0])), 1.0, (2, size))
    values *= rng.random((2, size)) < draw(st.sampled_from([0.02, 0.5, 1.0]))
    values[:, rng.integers(0, size, 3)] *= draw(st.sampled_from([-1.0, 0.0, 1e6]))
    values[rng.random((2, size)) < draw(st.sampled_from([0.0, 0.2]))] = np.nan
    return values * draw(st.sampled_from([1e-8, 1.0, 1e9]))


@settings(max_examples=40, deadline=None)
@given(histories(), st.sampled_from([HOUR, DAY, MINUTE]), st.integers(0, 500), st.data())
def test_the_future_never_changes_a_mark(
    values: np.ndarray, grain: Grain, first: int, data: st.DataObject
) -> None:
    """An alarm that comes and goes with later rows cannot be trusted, nor can its history."""
    end = data.draw(st.integers(1, values.shape[1]))
    learn = np.random.default_rng(end).random(values.shape) < 0.9
    whole = mark(values, grain=grain, first=first, learn=learn)
    cut = mark(values[:, :end], grain=grain, first=first, learn=learn[:, :end])
    same(cut, whole, end)


@settings(max_examples=30, deadline=None)
@given(histories(), st.sampled_from([HOUR, DAY, MINUTE]), st.sampled_from([2.0**-20, 2.0**20]))
def test_the_unit_of_money_does_not_matter(values: np.ndarray, grain: Grain, factor: float) -> None:
    """A key that spends cents is watched as well as one that spends thousands."""
    same(mark(values * factor, grain=grain), mark(values, grain=grain))


@settings(max_examples=30, deadline=None)
@given(histories(), st.sampled_from([HOUR, DAY, MINUTE]))
def test_what_is_marked_is_what_lies_outside_the_band(values: np.ndarray, grain: Grain) -> None:
    """The band in the picture must be the rule, not an illustration of it."""
    marks = mark(values, grain=grain)
    near = 1e-9 * np.nanmax(np.abs(values), initial=0.0)
    with np.errstate(invalid="ignore"):
        above, below = values > marks.high + near, values < marks.low - near
        clear = np.abs(values - marks.high) > near
        down_clear = np.abs(values - marks.low) > near
    assert (marks.up[clear] == above[clear]).all()
    if not grain.both:
        assert (marks.down[down_clear] == below[down_clear]).all()


@given(st.permutations(range(4)))
@settings(max_examples=5, deadline=None)
def test_keys_do_not_see_each_other(order: list[int]) -> None:
    """What one key does must not move the alarm of another."""
    values = course(300, keys=4)
    values[2] = 0.0
    alone = [mark(values[[row]]) for row in order]
    together = mark(values[order])
    for row, one in enumerate(alone):
        np.testing.assert_array_equal(one.jump[0], together.jump[row])
        np.testing.assert_array_equal(one.record[0], together.record[row])


@pytest.mark.parametrize("grain", GRAINS)
@pytest.mark.parametrize(
    "values",
    [
        pytest.param(np.zeros((1, 500)), id="all zero"),
        pytest.param(np.full((1, 500), 7.25), id="constant"),
        pytest.param(np.full((1, 500), np.nan), id="all unknown"),
        pytest.param(np.array([[1e12]]), id="one step"),
        pytest.param(np.zeros((0, 500)), id="no key"),
        pytest.param(np.zeros((1, 0)), id="no step"),
        pytest.param(-np.abs(course(500)), id="refunds only"),
    ],
)
def test_nothing_is_marked_where_nothing_happens(grain: Grain, values: np.ndarray) -> None:
    """Silence is part of the promise: no history, no noise, no spend, no alarm."""
    marks = mark(values, grain=grain)
    assert not marks.beyond_record.any()
    if (values >= 0).all() or np.isnan(values).all():
        assert not (marks.up | marks.down).any()


@pytest.mark.parametrize("factor", [3, 5, 10])
@pytest.mark.parametrize("hours", [1, 3, 12])
def test_a_loop_on_a_steady_key_is_found_in_its_first_hour(factor: int, hours: int) -> None:
    """A loop costs more with each hour; on a steady key there is no reason to wait."""
    values = course()
    values[0, 500 : 500 + hours] += factor * values.mean()
    marks = mark(values)
    assert marks.up[0, 500]
    assert marks.beyond_record[0, 500]
    assert not marks.up[0, 100:500].any()


def test_a_key_as_wild_as_ever_is_no_record() -> None:
    """Who bursts to thirty times the usual every few days would be alarmed about all the time."""
    rng = np.random.default_rng(4)
    values = rng.gamma(1.0, 1.0, (1, 700))
    values[0, rng.integers(0, 600, 40)] *= 30
    values[0, 650] = 30
    assert not mark(values).beyond_record[0, 650]


def test_the_usual_rise_of_the_morning_is_no_jump() -> None:
    """The step at nine o'clock is large, and there every day."""
    day = np.where((np.arange(24) >= 9) & (np.arange(24) < 18), 20.0, 1.0)
    values = np.tile(day, 25)[None] * np.random.default_rng(2).gamma(100, 0.01, (1, 600))
    marks = mark(values)
    assert not (marks.up | marks.down)[0, 240:].any()


def test_an_hour_of_use_is_no_jump_on_a_key_that_mostly_sleeps() -> None:
    """How much a key varies is learned from the hours in use, not from those it sleeps."""
    rng = np.random.default_rng(5)
    values = (rng.random((1, 1000)) < 0.05) * rng.gamma(25, 0.04, (1, 1000))
    marks = mark(values)
    assert marks.up[0, 300:].sum() <= 1


def test_a_drop_is_marked_too() -> None:
    """A key that falls silent at noon is as unusual as one that loops."""
    values = course()
    values[0, 486:489] = 0.0
    marks = mark(values)
    assert marks.down[0, 486]
    assert not marks.up[0, 486:489].any()


def test_a_key_that_slept_for_weeks_and_wakes_is_marked() -> None:
    """Nobody watches a key that is not used: the best one to steal."""
    values = course(1200)
    values[0, 300:1100] = 0.0
    values[0, 1100:] *= 5
    assert mark(values).beyond_record[0, 1100]


@pytest.mark.parametrize("grain", GRAINS)
def test_a_key_without_a_past_is_not_judged(grain: Grain) -> None:
    """Zeros before the first use are no past: the first day of a key is no spike."""
    values = np.zeros((1, 400))
    values[0, 300:] = course(100)[0] * 100
    marks = mark(values, grain=grain)
    assert np.isnan(marks.jump[0, : 300 + grain.least]).all()
    assert np.isnan(marks.record[0, : 300 + grain.least]).all()


def test_unknown_hours_are_neither_zero_nor_judged() -> None:
    """A hole in the export is no drop, and what comes after it no jump."""
    values = course()
    values[0, 400:430] = np.nan
    marks = mark(values)
    assert not (marks.up | marks.down)[0, 390:].any()
    assert np.isnan(marks.record[0, 400:430]).all()


def test_what_is_not_to_be_learned_is_judged_and_forgotten() -> None:
    """A planned load test must not raise the bar for the loop of next week."""
    values = course()
    values[0, 400:406] *= 20
    values[0, 480] *= 5
    learn = np.ones_like(values, dtype=bool)
    learn[0, 400:406] = False
    assert not mark(values).beyond_record[0, 480 - 80 + 96]
    marks = mark(values, learn=learn)
    assert marks.beyond_record[0, 400]
    assert marks.beyond_record[0, 480]


def test_huge_and_tiny_amounts_keep_their_marks() -> None:
    """Amounts of any size, and no warning on the way."""
    for size in (1e-10, 1e18):
        values = course() * size
        values[0, 500] *= 9
        assert mark(values).beyond_record[0, 500]
