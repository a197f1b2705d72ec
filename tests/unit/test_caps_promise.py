"""The promise: caps typed a week ago, and the week that came, give the odds that were told."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from runbook_lib.clock import Window
from runbook_lib.findings import Report
from runbook_lib.runbooks.caps import size_caps
from runbook_lib.session import open_store
from runbook_lib.store import Filter, Store
from tests.unit.caps_kit import NOW, store_of

WEEK = timedelta(days=7)

END = {"made": NOW, "sample": datetime(2026, 11, 22, tzinfo=UTC)}
"""End of the last whole day of each store."""

LARGEST = {"5h": 5, "1d": 24, "7d": 168}
"""Hours in a row whose spend a window caps."""


def held_week(store: Store, end: datetime) -> dict[tuple[str, str], np.ndarray]:
    """Read what each key spent in the week before *end*, as 7 days of 24 hours."""
    where = Filter(window=Window(start=end - WEEK, end=end))
    rolled = store.roll_up("usage", ["account", "key_name"], grain="hour", where=where)
    found: dict[tuple[str, str], np.ndarray] = {}
    for row in rolled.to_dict("records"):
        hour = int((row["bucket"] - (end - WEEK)) / timedelta(hours=1))
        line = found.setdefault((row["account"], row["key_name"]), np.zeros(168))
        line[hour] += float(row["cost_usd"])
    return found


def spent(line: np.ndarray, window: str) -> list[float]:
    """Give the spend that each window of the week had to hold; the dearest hours for "5h"."""
    if window == "7d":
        return [line.sum()]
    days = line.reshape(7, 24)
    length = LARGEST[window]
    return [max(day[at : at + length].sum() for at in range(25 - length)) for day in days]


def replayed(store: Store, end: datetime) -> pd.DataFrame:
    """Hide the week before *end*, type the caps as of its start, and hold the week against them.

    Args:
        store: The lake.
        end: End of the week that is hidden.

    Returns:
        One row a key and window that came: `key`, `days` (of history), `window`, `odds`
        (promised), `spent`, `typed` (USD), `tripped`.
    """
    report = size_caps(store, now=(end - WEEK).isoformat())
    came = held_week(store, end)
    known = report.exhibits["caps"].frame
    days = {(row.account or "", row.key_name): row.days for row in known.itertuples()}
    rows = []
    to_type = {
        (row["account"] or "", row["key_name"], row["window"]): row
        for row in report.exhibits["to_type"].frame.to_dict("records")
    }
    for row in known.to_dict("records"):
        ref = row["account"] or "", row["key_name"]
        if row["window"] == "month" or row["odds"] is None:
            continue
        other = to_type[*ref, row["window"]]
        assert other["currency"] == "USD"
        # A key that has ended has its odds and its cap, and nothing to type.
        assert other["type"] in (None, row["cap_usd"])
        told = {"key": ref, "days": days[ref], "window": row["window"], "odds": row["odds"]}
        typed = float(row["cap_usd"])
        rows += [
            {**told, "spent": total, "typed": typed, "tripped": total > typed}
            for total in spent(came.get(ref, np.zeros(168)), row["window"])
        ]
    return pd.DataFrame(rows)


def at_most(trials: int, odds: float, share: float) -> int:
    """Give the number of trips that is passed with a probability of 1 - *share* only (binomial)."""
    below = 0.0
    for trips in range(trials + 1):
        below += comb(trials, trips) * odds**trips * (1 - odds) ** (trials - trips)
        if below >= share:
            return trips
    return trials


def interval(part: pd.DataFrame) -> tuple[float, float]:
    """Give the share of trips that the promise allows, 95 times of 100.

    Windows of one key trip together: a day over its cap is five hours over theirs, and a key that
    grows trips on many days. So they count as fewer trials, by how alike the windows of a key are.
    """
    odds = float(part["odds"].mean())
    apart = (part["tripped"] - part["odds"]).groupby(part["key"]).sum()
    alone = float((part["odds"] * (1 - part["odds"])).sum())
    trials = round(len(part) / max(1.0, float((apart**2).sum()) / alone))
    return at_most(trials, odds, 0.025) / trials, at_most(trials, odds, 0.975) / trials


def lines(count: int, changes: float) -> Iterator[tuple[str, np.ndarray]]:
    """Make nine weeks of keys of every kind: steady and spiky, busy every day or on some.

    Args:
        count: Keys.
        changes: Share of keys that are put to another use in a week.
    """
    rng = np.random.default_rng(8)
    for place in range(count):
        shape, busy = (0.7, 2.0, 30.0)[place % 3], (1.0, 0.5)[place % 2]
        days = rng.gamma(shape, 1 / shape, 63) * (rng.random(63) < busy)
        moved = np.exp(np.cumsum((rng.random(9) < changes) * rng.normal(0, 1.2, 9)))
        yield f"key-{place:02}", days * rng.lognormal(0, 1.5) * np.repeat(moved, 7)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store of sixty keys, of which one in ten is put to another use in a week."""
    return store_of(tmp_path_factory.mktemp("promise"), dict(lines(60, 0.1)))


@pytest.fixture(scope="module")
def sample() -> Store:
    """The sample data."""
    return open_store("sandbox")


@pytest.mark.parametrize("which", ["made", pytest.param("sample", marks=pytest.mark.long)])
def test_the_held_week_gives_the_odds_that_were_promised(
    which: str, request: pytest.FixtureRequest
) -> None:
    """Over all keys and windows, and for each window: trips within the interval of their odds."""
    came = request.getfixturevalue("came" if which == "made" else "came_sample")
    for window, part in [("all", came), *came.groupby("window")]:
        low, high = interval(part)
        share = part["tripped"].mean()
        assert low <= share <= high, (window, len(part), part["odds"].mean(), share)


@pytest.fixture(scope="module")
def came(made: Store) -> pd.DataFrame:
    """The replay of the made store."""
    return replayed(made, END["made"])


@pytest.fixture(scope="module")
def came_sample(sample: Store) -> pd.DataFrame:
    """The replay of the sample data."""
    return replayed(sample, END["sample"])


def test_the_interval_tells_a_broken_promise(came: pd.DataFrame) -> None:
    """Half of the number typed trips far more often than was promised: the test above can fail."""
    half = came.assign(tripped=came["spent"] > came["typed"] / 2)
    assert half["tripped"].mean() > interval(half)[1]


@pytest.mark.long
def test_keys_that_stay_as_they_are_trip_no_more_than_promised(tmp_path: Path) -> None:
    """The odds hold the chance of another use; without one, there are fewer trips, not more."""
    came = replayed(store_of(tmp_path, dict(lines(60, 0.0))), NOW)
    assert len(came) == 60 * (7 + 7 + 1)
    assert 0 < came["tripped"].mean() <= came["odds"].mean()


@pytest.mark.parametrize("which", ["made", pytest.param("sample", marks=pytest.mark.long)])
def test_the_page_shows_the_same_replay(which: str, request: pytest.FixtureRequest) -> None:
    """What the page says of the last week is that replay, to the last trip."""
    store: Store = request.getfixturevalue(which)
    told = shown(size_caps(store, now=END[which].isoformat()))
    came = request.getfixturevalue("came" if which == "made" else "came_sample")
    came = came[came["days"] >= 7]
    for window, part in [("all", came), *came.groupby("window")]:
        row = told[window, "last week"]
        assert row["periods"] == len(part)
        assert row["tripped"] == pytest.approx(part["tripped"].mean(), abs=1e-4)
        assert row["promised"] == pytest.approx(part["odds"].mean(), abs=1e-4)
        assert row["low"] <= row["promised"]
        assert row["kept"] is True


def shown(report: Report) -> dict[tuple[str, str], dict[Any, Any]]:
    """Give the rows of the back-test by window and what was held back."""
    rows = report.exhibits["backtest"].frame.to_dict("records")
    return {(row["window"], row["held_back"]): row for row in rows}


@pytest.mark.long
def test_what_is_known_later_changes_nothing(made: Store, tmp_path: Path) -> None:
    """Caps as of a week ago are those of a store that ends there: nothing of the week leaks in."""
    moved = {name: np.append(line[:-7], np.zeros(7)) for name, line in lines(60, 0.1)}
    cut = size_caps(store_of(tmp_path, moved), now=(NOW - WEEK).isoformat())
    whole = size_caps(made, now=(NOW - WEEK).isoformat())
    for name in ("to_type", "caps", "effect", "backtest", "month_end"):
        pd.testing.assert_frame_equal(whole.exhibits[name].frame, cut.exhibits[name].frame)
