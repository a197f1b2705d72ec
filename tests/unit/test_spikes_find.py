"""Spikes of a roll-up: found, priced, told once, and silent where there is nothing to say."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runbook_lib.analysis.spikes import Spikes, expected_band, find_spikes
from runbook_lib.clock import Window
from runbook_lib.errors import ParameterError
from tests.unit.spikes_kit import START, Costs, hours, rolled, steady

COUNT = 700
END = START + hours(COUNT)
LOOP = slice(600, 603)


def looped(usd: float = 20.0, *, where: slice = LOOP) -> np.ndarray:
    """A steady key with a loop of three hours."""
    values = steady(COUNT)
    values[where] += usd
    return values


def told(spikes: Spikes) -> pd.DataFrame:
    """What people read: the alarms, and what is only unusual."""
    shown = spikes.events["status"].isin(["raised", "noted"])
    return spikes.events[shown].reset_index(drop=True)


def found(costs: Costs, **more: Any) -> pd.DataFrame:
    return told(find_spikes(rolled(costs), now=END, **more))


def plan(start: int, end: int, *, key: str | None = "app", factor: float | None = None) -> Any:
    """A plan for some hours."""
    row = {"start": START + hours(start), "end": START + hours(end), "key_name": key}
    return pd.DataFrame([{**row, "factor": factor, "note": "load test"}])


def test_a_loop_is_one_event_with_its_exact_money() -> None:
    """Three hours of a loop are one thing that happened, not three, and its price is the bill."""
    values = looped()
    (event,) = found({("app", "m"): values}).to_dict("records")
    assert (event["start"], event["end"]) == (START + hours(600), START + hours(603))
    assert event["observed_usd"] == sum(Decimal(f"{usd:.10f}") for usd in values[LOOP])
    assert event["observed_usd"] - event["expected_usd"] == event["impact_usd"]
    assert abs(float(event["impact_usd"]) - 60) < 1.5
    assert (event["kind"], event["direction"], event["grain"]) == ("record", "up", "hour")
    assert event["low_usd"] < event["expected_usd"] / 3 < event["high_usd"] < 22
    assert event["past_from"] < event["start"]
    assert event["usual_requests"] < event["requests"]


def test_model_and_day_of_the_same_spike_are_repeats_of_it() -> None:
    """Who is told the same thing four times mutes all four."""
    costs = {("app", "m1"): looped(), ("app", "m2"): steady(COUNT, seed=2)}
    events = find_spikes(rolled(costs), now=END).events
    (one,) = events[events["status"] == "raised"]["event"]
    repeats = events[events["status"] == "repeat"]
    assert set(repeats["repeat_of"]) == {one}
    assert {"m1"} == set(repeats["model"].dropna())
    assert "m2" not in set(events["model"])


def test_a_spike_that_the_total_hides_is_raised_on_its_model() -> None:
    """A dear model on a busy key is lost in the noise of the key."""
    busy = steady(COUNT, usd=200, noise=0.5)
    spikes = found({("app", "big"): busy, ("app", "small"): looped(30)})
    small = spikes[spikes["start"] == START + hours(600)]
    assert list(small["scope"]) == ["model"]
    assert list(small["model"]) == ["small"]


def test_a_day_that_is_dear_without_any_dear_hour_is_told() -> None:
    """A leak may well spend a little more each hour, around the clock."""
    rng = np.random.default_rng(3)
    values = rng.gamma(0.3, 3.0, 24 * 60)
    values[24 * 50 : 24 * 51] += 3.0
    spikes = told(find_spikes(rolled({("app", "m"): values}), now=START + timedelta(days=60)))
    days = spikes[spikes["grain"] == "day"]
    assert list(days["start"]) == [START + timedelta(days=50)]
    assert float(days["impact_usd"].iloc[0]) == pytest.approx(72, abs=25)


def test_what_costs_less_than_the_floor_is_not_told() -> None:
    """Three times a cent is a record, and nobody's concern."""
    spikes = find_spikes(rolled({("app", "m"): looped()}), now=END, floor_usd=Decimal(100))
    assert told(spikes).empty
    assert set(spikes.events["status"]) == {"below_floor"}


def test_a_lasting_change_is_one_event_that_ends_when_it_is_usual() -> None:
    """A price that tripled for good is told once, not each day for ever."""
    values = steady(COUNT)
    values[500:] *= 4
    (event,) = found({("app", "m"): values}).query("direction == 'up'").to_dict("records")
    assert event["start"] == START + hours(500)
    assert timedelta(days=2) < event["end"] - event["start"] < timedelta(days=6)


def test_falling_silent_is_an_event_and_coming_back_is_none() -> None:
    """The morning after an outage is not a spike."""
    values = steady(COUNT)
    values[606:614] = 0
    (event,) = found({("app", "m"): values}).to_dict("records")
    assert event["direction"] == "down"
    assert event["impact_usd"] < 0
    assert event["start"] == START + hours(606)


def test_planned_activity_is_marked_and_its_note_shown() -> None:
    """The run after the feedback must show that it was heard."""
    spikes = find_spikes(rolled({("app", "m"): looped()}), now=END, planned=plan(599, 604))
    assert told(spikes).empty
    planned = spikes.events[spikes.events["status"] == "planned"]
    assert list(planned["note"].unique()) == ["load test"]


@pytest.mark.parametrize(
    ("given_plan", "status"),
    [
        pytest.param(plan(599, 604, key="other"), "raised", id="another key"),
        pytest.param(plan(599, 604, key=None), "planned", id="all keys"),
        pytest.param(plan(300, 400), "raised", id="another time"),
        pytest.param(plan(599, 604, factor=2.0), "raised", id="more than planned"),
        pytest.param(plan(599, 604, factor=50.0), "planned", id="less than planned"),
        pytest.param(plan(599, 602), "raised", id="longer than planned"),
    ],
)
def test_a_plan_excuses_what_it_says_and_no_more(given_plan: pd.DataFrame, status: str) -> None:
    """A plan that excused everything near it would hide the next loop."""
    values = looped()
    values[601] += 40
    values[602] += 90
    spikes = find_spikes(rolled({("app", "m"): values}), now=END, planned=given_plan)
    hourly = spikes.events.query("grain == 'hour' and scope == 'key'")
    assert hourly["status"].iloc[0] == status  # what was planned of it is told beside


def test_planned_activity_teaches_nothing() -> None:
    """After a planned test of ten times the load, a loop of five times must still be found."""
    values = looped(10)
    values[550:560] += 50
    costs = {("app", "m"): values}
    with_plan = found(costs, planned=plan(549, 561))
    assert list(with_plan["start"]) == [START + hours(600)]


def test_a_plan_without_an_end_is_refused() -> None:
    """A plan for ever would silence a key for ever."""
    endless = plan(1, 2).assign(end=pd.NaT)
    with pytest.raises(ParameterError, match="a start and an end"):
        find_spikes(rolled({("app", "m"): looped()}), now=END, planned=endless)


def minutes_of(values: np.ndarray, start: Any = START) -> pd.DataFrame:
    return rolled({("new", "m"): values}, start=start, step=timedelta(minutes=1))


def test_a_young_key_is_judged_by_its_minutes() -> None:
    """On the first day of a key there is no usual day, but there are minutes before this one."""
    values = np.random.default_rng(1).gamma(25, 0.004, 60)
    values[40:44] += 1.0
    by_minute = minutes_of(values)
    hourly = by_minute.assign(bucket=by_minute["bucket"].dt.floor("h"))
    silent = find_spikes(hourly, now=START + hours(1))
    assert silent.events.empty
    assert list(silent.series["watched"]) == ["none"]
    spikes = find_spikes(hourly, now=START + hours(1), minutes=by_minute)
    (event,) = told(spikes).to_dict("records")
    assert event["start"] == START + timedelta(minutes=40)
    assert event["end"] == START + timedelta(minutes=44)
    assert float(event["impact_usd"]) == pytest.approx(4, rel=0.05)
    assert list(spikes.series["watched"]) == ["minute"]


def test_keys_that_were_young_at_other_times_are_judged_by_their_minutes_too() -> None:
    """A key made last month had its first day as well; minutes of the days after say nothing."""
    rng = np.random.default_rng(1)
    early, late = rng.gamma(25, 0.004, (2, 90))
    early[70] += 2.0
    late[30] += 3.0
    first = minutes_of(early)
    second = minutes_of(late, start=END - hours(2)).assign(key_name="newer")
    noise = minutes_of(np.r_[np.full(40, 0.1), 9.0], start=START + hours(300))
    hourly = pd.concat([rolled({("new", "m"): steady(COUNT)}), second])
    hourly = hourly.assign(bucket=hourly["bucket"].dt.floor("h"))
    minutes = pd.concat([first, second, noise])
    events = told(find_spikes(hourly, now=END, minutes=minutes))
    assert sorted(events["start"]) == [
        START + timedelta(minutes=70),
        END - hours(2) + timedelta(minutes=30),
    ]
    assert set(events["grain"]) == {"minute"}


def test_a_roll_up_by_key_alone_will_do() -> None:
    """Models make the answer finer; without them it is still an answer."""
    frame = rolled({("app", "m"): looped()}).drop(columns="model")
    assert list(told(find_spikes(frame, now=END))["model"]) == [None]


def test_amounts_of_any_size_keep_their_cents() -> None:
    """Sums are exact, also where a float would have lost the end of them."""
    values = looped(3_000_000.0)
    (event,) = found({("app", "m"): values}).to_dict("records")
    assert event["observed_usd"] == sum(Decimal(f"{usd:.10f}") for usd in values[LOOP])


def test_a_key_with_a_past_is_not_judged_by_minutes() -> None:
    """Minutes are wild; two days of hours say more."""
    late = minutes_of(np.r_[np.full(30, 0.1), 9.0], start=END - hours(1))
    both = {("new", "m"): steady(COUNT)}
    assert told(find_spikes(rolled(both), now=END, minutes=late)).empty


def test_a_key_without_a_past_is_silent_whatever_it_spends() -> None:
    """The first hour of a key has nothing it could be compared with."""
    values = np.zeros(COUNT)
    values[680:] = 500
    spikes = find_spikes(rolled({("new", "m"): values, ("old", "m"): steady(COUNT)}), now=END)
    assert told(spikes).empty
    watched = spikes.series.set_index("key_name")
    assert watched.loc["new", "watched"] == "none"
    assert watched.loc["new", "first_use"] == START + hours(680)
    assert watched.loc["old", "watched"] == "hour"


def test_a_gap_of_the_export_is_neither_a_drop_nor_a_spike() -> None:
    """What the data do not cover is unknown, not idle."""
    values = steady(COUNT)
    values[600:620] = 0
    gap = Window(start=START + hours(600), end=START + hours(620))
    assert not found({("app", "m"): values}).empty
    assert found({("app", "m"): values}, missing=[gap]).empty


def test_an_unknown_cost_is_not_counted_as_nothing() -> None:
    """An hour nobody could price is unknown; as 0 it would be a drop."""
    values = steady(COUNT)
    values[606:612] = np.nan
    assert found({("app", "m"): values}).empty


def test_the_running_hour_can_be_too_high_and_never_too_low() -> None:
    """Five minutes into an hour little is spent; much is too much all the same."""
    now = START + hours(COUNT - 1) + timedelta(minutes=5)
    low, high = steady(COUNT), steady(COUNT)
    low[-1], high[-1] = 0.001, 40
    assert told(find_spikes(rolled({("app", "m"): low}), now=now)).empty
    assert len(told(find_spikes(rolled({("app", "m"): high}), now=now))) == 1


def test_only_events_of_the_window_are_given() -> None:
    """A weekly review shows its week; the weeks before are the past."""
    values = looped()
    values[400:402] += 90
    week = Window(start=START + hours(500), end=END)
    assert list(found({("app", "m"): values}, window=week)["start"]) == [START + hours(600)]
    outside = Window(start=END + hours(10), end=END + hours(20))
    assert found({("app", "m"): values}, window=outside).empty


def test_rows_of_the_future_and_of_long_ago_are_counted() -> None:
    """Nothing is left out in silence."""
    stray = rolled({("app", "m"): [1.0]}, start=START - timedelta(days=4000))
    frame = pd.concat([rolled({("app", "m"): looped()}), stray])
    spikes = find_spikes(frame, now=START + hours(650))
    assert spikes.left_out == 51
    assert len(told(spikes)) == 1


@pytest.mark.parametrize(
    "costs",
    [
        pytest.param({}, id="no row"),
        pytest.param({("app", "m"): [5.0]}, id="one row"),
        pytest.param({("app", "m"): np.full(COUNT, 3.0)}, id="all hours equal"),
        pytest.param({(None, None): steady(COUNT)}, id="blank key"),
        pytest.param({("app", "m"): -steady(COUNT)}, id="refunds only"),
        pytest.param({("app", "m"): np.full(COUNT, np.nan)}, id="no cost known"),
        pytest.param({("app", "m"): [0.0] * 699 + [1.0]}, id="used once"),
    ],
)
def test_nothing_is_raised_where_nothing_happened(costs: Costs) -> None:
    """Odd data are no reason to wake somebody."""
    spikes = find_spikes(rolled(costs), now=END)
    assert told(spikes).query("direction == 'up'").empty
    assert len(spikes.series) == len({key for key, _ in costs})


def test_a_blank_key_is_watched_as_a_key() -> None:
    """What is used without a name is the first that should be seen."""
    spikes = found({(None, "m"): looped(), ("app", "m"): steady(COUNT, seed=5)})
    assert list(spikes["key_name"]) == [None]
    assert len(spikes) == 1


def test_a_refund_lowers_an_hour_and_breaks_nothing() -> None:
    """A negative row is money like any other."""
    values = looped()
    values[300] = -50.0
    spikes = found({("app", "m"): values})
    assert START + hours(600) in set(spikes["start"])
    assert spikes.query("direction == 'up'")["start"].tolist() == [START + hours(600)]


def test_accounts_with_the_same_key_name_are_apart() -> None:
    """Two accounts may both have a key called prod."""
    one = rolled({("app", "m"): looped()}).assign(account="a")
    other = rolled({("app", "m"): steady(COUNT, seed=7)}).assign(account="b")
    events = told(find_spikes(pd.concat([one, other]), now=END))
    assert list(events["account"]) == ["a"]


def test_the_order_of_rows_and_their_zone_do_not_matter() -> None:
    """Buckets are instants: shown in another zone, over the change of its clocks, they are same."""
    frame = rolled({("app", "m"): looped(), ("b", "m"): steady(COUNT, seed=2)})
    first = find_spikes(frame, now=END).events
    mixed = frame.sample(frac=1, random_state=3)
    mixed["bucket"] = mixed["bucket"].dt.tz_convert("America/New_York")
    pd.testing.assert_frame_equal(find_spikes(mixed, now=END).events, first)


@pytest.mark.parametrize("lacking", ["bucket", "key_name", "requests", "cost_usd"])
def test_a_roll_up_without_a_column_is_refused(lacking: str) -> None:
    """A wrong frame is said at once, by name."""
    with pytest.raises(ParameterError, match=lacking):
        find_spikes(rolled({("app", "m"): looped()}).drop(columns=lacking), now=END)


def test_times_without_a_zone_are_refused() -> None:
    """An hour off is a spike at the wrong time."""
    frame = rolled({("app", "m"): looped()})
    with pytest.raises(ParameterError, match="aware"):
        find_spikes(frame.assign(bucket=frame["bucket"].dt.tz_localize(None)), now=END)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(100, COUNT - 1))
def test_later_rows_never_change_what_was_told(seed: int, cut: int) -> None:
    """Told at noon is told: the evening must not take it back or put it elsewhere."""
    rng = np.random.default_rng(seed)
    values = rng.gamma(0.5, 2.0, COUNT) * (rng.random(COUNT) < 0.7)
    values[rng.integers(0, COUNT, 3)] *= 40
    values[-1] += 0.1
    frame = rolled({("app", "m"): values})

    def seen(now: Any) -> list[tuple[Any, ...]]:
        events = find_spikes(frame, now=now, floor_usd=Decimal(0)).events
        hourly = events.query("grain == 'hour' and scope == 'key'")
        early = hourly[hourly["start"] < START + hours(cut)]
        return sorted(zip(early["start"], early["direction"], early["low_usd"], strict=True))

    assert seen(START + hours(cut)) == seen(END)


def test_the_band_shows_every_hour_and_what_is_marked() -> None:
    """The picture and the alarm must be one thing, and its hours must add up to the bill."""
    values = looped()
    frame = rolled({("app", "m1"): values, ("app", "m2"): steady(COUNT, seed=2)})
    band = expected_band(frame, now=END, key_name="app")
    assert band["observed_usd"].sum() == frame["cost_usd"].sum()
    assert list(band["mark"][LOOP]) == ["record", "", ""]
    judged = band[band["high_usd"].notna()]
    outside = judged["observed_usd"] > judged["high_usd"]
    assert list(outside[outside].index) == list(band.index[band["mark"].isin(["record", "jump"])])
    alone = expected_band(frame, now=END, key_name="app", model="m1")
    assert alone["observed_usd"].sum() == frame[frame["model"] == "m1"]["cost_usd"].sum()


def test_the_band_can_be_cut_to_a_window_and_knows_plans_and_gaps() -> None:
    """What was planned is shaded, what is not covered is blank."""
    gap = Window(start=START + hours(610), end=START + hours(612))
    window = Window(start=START + hours(595), end=START + hours(615))
    frame = rolled({("app", "m"): looped()})
    band = expected_band(
        frame, now=END, key_name="app", planned=plan(600, 603), missing=[gap], window=window
    )
    assert list(band["start"]) == [START + hours(n) for n in range(595, 615)]
    assert list(band.index[band["planned"]]) == [5, 6, 7]
    assert list(band.index[band["observed_usd"].isna()]) == [15, 16]
    whole = expected_band(frame, now=END, key_name="app", planned=plan(600, 603), missing=[gap])
    pd.testing.assert_frame_equal(whole[595:615].reset_index(drop=True), band)


@pytest.mark.parametrize("name", [{"key_name": "none"}, {"key_name": "app", "model": "none"}])
def test_a_band_of_what_is_not_there_is_refused(name: dict[str, str]) -> None:
    """A typo must not draw an empty picture."""
    with pytest.raises(ParameterError, match="none"):
        expected_band(rolled({("app", "m"): looped()}), now=END, **name)
