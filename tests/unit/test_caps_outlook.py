"""The forecast behind caps: a distribution of the total, honest about what it knows."""

import numpy as np
import pytest

from runbook_lib.analysis.caps.level import look_back
from runbook_lib.analysis.caps.outlook import look_at, outlooks, totals
from runbook_lib.analysis.caps.prior import PROBABILITIES, prior_ratios
from runbook_lib.analysis.caps.single import from_first_use, outlook_of
from tests.perf.scoring import cap

RNG = np.random.default_rng(11)
PEERS = [RNG.gamma(1.0, scale, 40) * (RNG.random(40) < 0.6) for scale in RNG.lognormal(1, 1, 30)]


@pytest.mark.parametrize("horizon", [1, 7, 30])
def test_odds_and_quantiles_are_one_distribution(horizon: int) -> None:
    """A cap at the 90 % quantile must have odds of 10 %: the two are printed side by side."""
    view = outlook_of(PEERS[0], PEERS[1:], horizon)
    shares = np.linspace(0.3, 0.97, 20)
    values = [view.quantile(share) for share in shares]
    assert values == sorted(values)
    for share, value in zip(shares, values, strict=True):
        # A share of the days has no spend at all: there the odds say what is above 0.
        assert view.odds(value) == pytest.approx(1 - share, abs=0.02) or value == 0


def test_a_lower_risk_never_gives_a_lower_cap() -> None:
    """Who asks for fewer trips must not be given more."""
    for horizon in (1, 7, 30):
        view = outlook_of(PEERS[3], PEERS[4:], horizon)
        caps = [view.cap(risk) for risk in (0.3, 0.2, 0.1, 0.05, 0.02, 0.01)]
        assert caps == sorted(caps)


@pytest.mark.parametrize("factor", [1e-3, 7.2, 1e4])
def test_the_currency_of_the_history_does_not_matter(factor: float) -> None:
    """Caps scale with the spend: a history in CNY gives the same cap in CNY."""
    plain = outlook_of(PEERS[0], PEERS[1:], 7).cap(0.05)
    other = outlook_of(PEERS[0] * factor, [peer * factor for peer in PEERS[1:]], 7).cap(0.05)
    assert other == pytest.approx(plain * factor)


def test_a_cap_of_a_day_always_stops_a_loop_on_the_next_day() -> None:
    """However spiky a key, a loop at ten times its mean must not run on for ever."""
    for line in PEERS:
        limit = cap(line, 1, 0.001, PEERS)
        assert limit < 10 * line[-7:].mean() or line[-7:].mean() == 0


@pytest.mark.parametrize(
    ("line", "why"),
    [
        pytest.param(np.zeros(10), "never used", id="zeros"),
        pytest.param(np.r_[np.zeros(9), 5.0], "used yesterday for the first time", id="one-day"),
        pytest.param(np.r_[np.ones(9), 1e6], "a giant day", id="giant"),
        pytest.param(np.r_[-5.0, np.ones(9)], "a refund", id="refund"),
        pytest.param(np.full(10, np.nan), "nothing known", id="unknown"),
    ],
)
def test_odd_histories_give_a_finite_cap(line: np.ndarray, why: str) -> None:
    """NaN in a cap would end up in a form somebody types from."""
    for horizon in (1, 3, 7, 30):
        limit = cap(line, horizon, 0.05, [])
        assert np.isfinite(limit), why
        assert limit >= 0, why


def test_refunds_do_not_lower_a_cap() -> None:
    """A credit of last week says nothing about what a key needs next week."""
    line = np.r_[np.ones(9), -50.0]
    assert cap(line, 7, 0.05, []) == cap(np.r_[np.ones(9), 0.0], 7, 0.05, [])


def test_days_before_the_first_use_are_not_zeros() -> None:
    """A key of three days is young, not mostly idle."""
    made = from_first_use(np.array([[0.0, 0.0, 3.0, 0.0, 1.0]]))
    assert np.isnan(made[0, :2]).all()
    assert list(made[0, 2:]) == [3.0, 0.0, 1.0]


def test_no_forecast_knows_what_comes_after_it() -> None:
    """A level of a day is made of the days before it: the back-test rests on that."""
    usd = from_first_use(np.stack(PEERS))
    whole, cut = look_back(usd), look_back(usd[:, :25])
    for name in ("mean", "highest", "second", "top", "newest", "days"):
        assert np.array_equal(getattr(whole, name)[:, :26], getattr(cut, name))


def test_totals_are_those_of_the_days_ahead() -> None:
    """Three days from day 1 are days 1, 2 and 3; unknown where they are not over."""
    made = totals(np.array([[1.0, 2.0, 4.0, 8.0]]), 3)
    assert list(made[0, :2]) == [7.0, 14.0]
    assert np.isnan(made[0, 2:]).all()


def test_own_past_counts_more_the_longer_it_is() -> None:
    """A steady key of ninety days needs less room than one of ten days with the same mean."""
    rng = np.random.default_rng(5)
    line = rng.normal(10, 0.5, 90)
    peers = list(rng.gamma(0.5, 10, (12, 90)))
    long = outlook_of(line, peers, 1)
    short = outlook_of(line[-10:], [peer[-10:] for peer in peers], 1)
    assert long.own > 0.5 > short.own
    assert long.cap(0.05) < short.cap(0.05)


@pytest.mark.parametrize("horizon", [1, 7])
def test_promised_odds_come_true_on_keys_that_stay_as_they_are(horizon: int) -> None:
    """On stationary keys, spiky ones too, the share of trips is no higher than was promised."""
    rng = np.random.default_rng(3)
    shape = rng.choice([0.5, 2.0, 50.0], (240, 1))
    busy = rng.random((240, 90)) < rng.choice([0.4, 1.0], (240, 1))
    usd = from_first_use(
        rng.gamma(shape, 1 / shape, (240, 90)) * busy * rng.lognormal(0, 2, (240, 1))
    )
    origin = 90 - horizon
    views = outlooks(look_at(usd[:, :origin], horizon))
    came = usd[:, origin:].sum(axis=1)
    tripped = np.mean([total > view.cap(0.05) for total, view in zip(came, views, strict=True)])
    promised = np.mean([view.odds(view.cap(0.05)) for view in views])
    assert tripped <= promised + 2 * np.sqrt(promised * (1 - promised) / 240)
    assert (
        0.75
        <= np.mean([total <= view.quantile(0.9) for total, view in zip(came, views, strict=True)])
        <= 1
    )


def test_the_same_history_gives_the_same_bytes() -> None:
    """Two runs a day apart on one export must not differ."""
    first, second = (outlook_of(PEERS[0], PEERS[1:], 7) for _ in range(2))
    assert first.ratios.tobytes() == second.ratios.tobytes()
    assert (first.cap(0.05), first.odds(3.0)) == (second.cap(0.05), second.odds(3.0))


@pytest.mark.parametrize("kind", ["total", "peak"])
def test_what_was_measured_beforehand_is_a_distribution(kind: str) -> None:
    """Ratios ascend, one for each part of the probabilities, at every horizon."""
    assert PROBABILITIES[0] == 0
    assert PROBABILITIES[-1] == 1
    assert (np.diff(PROBABILITIES) > 0).all()
    for horizon in (1, 2, 5, 7, 30):
        ratios = prior_ratios(horizon, kind)
        assert len(ratios) == len(PROBABILITIES) - 1
        assert (np.diff(ratios) >= 0).all()
        assert (ratios >= 0).all()
