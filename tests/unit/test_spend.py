"""Drill-down over whole lakes: every table adds up, planted oddities are found, and no others."""

import json
import shutil
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from runbook_lib import clock
from runbook_lib.analysis.drill import BLANK
from runbook_lib.errors import MissingInputError, ParameterError
from runbook_lib.findings import Report, Status
from runbook_lib.report import csv_text
from runbook_lib.runbooks import spend
from runbook_lib.runbooks.spend import drill_down
from runbook_lib.session import open_store
from runbook_lib.store import Filter, Store
from tests.unit import store_kit as kit

SUMMED = (
    *("by_day", "by_weekday", "split", "by_kind", "by_hour"),
    *("by_endpoint", "by_environment", "by_service", "by_owner"),
)
"""Exhibits that split the whole; `rows` does too, where none is left out."""


def failed(report: Report) -> set[tuple[str, str | None]]:
    """Rule and key of what was found."""
    return {
        (item.rule, item.subject.key_name) for item in report.findings if item.status is Status.FAIL
    }


def total(report: Report, name: str) -> Decimal:
    """The sum of an exhibit."""
    return sum(report.exhibits[name].frame["cost_usd"], Decimal(0))


@pytest.fixture(scope="module")
def sample() -> Store:
    """The sample data."""
    return open_store("sandbox")


@pytest.fixture(scope="module")
def week(sample: Store) -> Report:
    """The last week of the sample, on the defaults of the notebook."""
    return drill_down(sample)


@pytest.mark.parametrize(
    "zone",
    [
        pytest.param("UTC", marks=pytest.mark.long),
        pytest.param("Asia/Kolkata", marks=pytest.mark.long),
        "America/St_Johns",
    ],
)
def test_every_table_adds_up_to_the_rows(sample: Store, zone: str) -> None:
    """Whatever the zone: sum of the rows, of the days, of the names, of the bridge."""
    report = drill_down(sample, timezone=zone, by="environment")
    rows = report.exhibits["rows"]
    whole = sum(rows.frame["cost_usd"].dropna(), Decimal(0)) + (rows.left_out_usd or Decimal(0))
    assert whole > 50
    assert [total(report, name) for name in SUMMED] == [whole] * len(SUMMED)
    bands = report.exhibits["cost_sizes"].frame
    assert sum(bands["cost_usd"]) == whole
    steps = report.exhibits["bridge"].frame.set_index("step")["usd"]
    assert steps["now"] == whole
    assert steps.iloc[:-1].sum() == whole


def test_days_of_a_month_with_a_clock_change_add_up(sample: Store) -> None:
    """October has a day of 25 hours in Berlin; no hour is lost and none is counted twice."""
    asked = {"start": "2026-10-01", "end": "2026-11-01", "timezone": "Europe/Berlin"}
    report = drill_down(sample, **asked)
    assert len(set(report.exhibits["by_day"].frame["day_local"])) == 31
    assert total(report, "by_day") == total(report, "split")


def test_the_planted_oddities_of_the_week_are_found(week: Report) -> None:
    """The leak, the loop, the twins, the alias, the fallback, the abandoned and the cut streams."""
    assert failed(week) >= {
        ("unlogged-use", "prod-assistant"),
        ("spend-spike", "prod-assistant"),
        ("first-seen", "prod-assistant"),
        ("runaway-loop", "dev-agent"),
        ("spend-spike", "dev-agent"),
        ("duplicate-charge", "prod-web"),
        ("model-alias", "prod-batch"),
        ("client-fallback", "prod-assistant-oai"),
        ("billed-not-logged", "prod-batch"),
        ("client-abandoned", "prod-web"),
    }
    assert week.verdict.cause == "spend_odd"
    assert week.findings[0].rule == "unlogged-use"


def test_from_the_week_to_the_request_in_three_steps(sample: Store, week: Report) -> None:
    """The dearest name of one table is the filter of the next; the last has the ids."""
    key = drill_down(sample, by="key_name").exhibits["split"].frame["key_name"].iloc[0]
    report = drill_down(sample, key_name=key, by="model")
    assert total(report, "split") < total(week, "split")
    model = report.exhibits["split"].frame["model"].iloc[0]
    rows = drill_down(sample, key_name=key, model=model).exhibits["rows"].frame
    assert set(rows["key_name"]) == {key}
    found = sample.find([rows["request_id"].iloc[0]])
    assert found.usage["cost_usd"].iloc[0] == rows["cost_usd"].max()


def test_every_number_of_the_finest_table_is_the_sum_of_its_rows(
    sample: Store, week: Report
) -> None:
    """Hour, key, model and endpoint lead to the rows, to the last decimal."""
    lines = week.exhibits["by_hour"].frame
    for line in lines.sample(25, random_state=7).to_dict("records"):
        start = datetime.fromisoformat(line["hour_local"])
        names = ("account", "key_name", "model", "endpoint")
        blank = {"": [""], BLANK: ["", None]}
        where = Filter(
            window=clock.Window(start=start, end=start + timedelta(hours=1)),
            equals={name: blank.get(line[name], [line[name]]) for name in names},
        )
        rows = sample.rows("usage", where).frame
        assert len(rows) == line["requests"]
        assert sum(rows["cost_usd"].dropna(), Decimal(0)) == line["cost_usd"]


def test_shares_of_the_causes_of_a_spike_add_up_to_one(week: Report) -> None:
    """Ranked causes explain the whole excess, no more and no less."""
    causes = week.exhibits["spike_causes"].frame
    for _, part in causes.groupby(["event", "dimension"]):
        assert part["share"].sum() == pytest.approx(1)
        assert list(part["rank"]) == list(range(1, len(part) + 1))


@pytest.fixture(scope="module")
def recorded(recorded_store: Store) -> Report:
    """The recorded run."""
    return drill_down(recorded_store)


@pytest.mark.shared
def test_the_recorded_run_accuses_what_was_planted_and_nothing_else(
    gateway: Path, recorded: Report
) -> None:
    """Loud findings are the planted ones; their USD are those of the truth."""
    loud = {
        (item.rule, item.subject.key_name)
        for item in recorded.findings
        if item.status is Status.FAIL and item.severity in ("critical", "high", "medium")
    }
    assert loud == {
        ("unlogged-use", "prod-assistant"),
        ("spend-spike", "prod-assistant"),
        ("first-seen", "prod-assistant"),
        ("runaway-loop", "dev-agent"),
        ("spend-spike", "dev-agent"),
        ("billed-not-logged", "prod-batch"),
        ("duplicate-charge", "prod-web"),
    }
    truth = json.loads((gateway / "truth.json").read_text())
    leak = next(one for one in truth["incidents"] if one["kind"] == "leaked_key")
    first = recorded.findings[0]
    assert first.rule == "unlogged-use"
    assert float(first.impact_usd or 0) == pytest.approx(float(leak["billed_usd"]), rel=0.02)
    assert total(recorded, "split") == Decimal("27.8514182575")


def _items(count: int, **changes: Any) -> list[dict[str, Any]]:
    return [kit.item(number, **changes) for number in range(count)]


@pytest.mark.parametrize(
    "items",
    [
        pytest.param(_items(1), id="one row"),
        pytest.param(_items(40, api_key={"id": 1, "name": None}), id="no key has a name"),
        pytest.param(_items(40, actual_cost=0, total_cost=0), id="all free"),
        pytest.param(_items(40, actual_cost=-0.25, total_cost=-0.25), id="refunds"),
        pytest.param(_items(40, input_tokens=10**18), id="huge counts"),
        pytest.param(_items(40, model=""), id="no model has a name"),
        pytest.param(_items(40, actual_cost=0.02, total_cost=0.02), id="all the same"),
        pytest.param(_items(40, inbound_endpoint=None), id="no endpoint"),
        pytest.param([*_items(9), *(kit.item(n) for n in range(900, 940))], id="a gap"),
    ],
)
def test_odd_data_give_a_report_that_adds_up(tmp_path: Path, items: list[dict[str, Any]]) -> None:
    """Nothing is dropped in silence: the tables show what the rows say."""
    with kit.lake(tmp_path, kit.as_list(items)) as store:
        report = drill_down(store, start="2026-03-01", end="2026-05-01", by="key_name")
        whole = sum(store.rows("usage", Filter()).frame["cost_usd"], Decimal(0))
    assert [total(report, name) for name in SUMMED] == [whole] * len(SUMMED)
    assert "nan" not in report.verdict.title.lower()
    tokens = report.exhibits["split"].frame["input_tokens"]
    assert sum(map(int, tokens)) == sum(int(item["input_tokens"]) for item in items)


def test_a_row_that_was_billed_wrong_is_cited(tmp_path: Path) -> None:
    """The sum of a model shows that something differs; the finding names the row."""
    right = {"model": "house", "input_tokens": 1000, "output_tokens": 0, "cache_read_tokens": 0,
             "cache_creation_tokens": 0, "cache_creation_5m_tokens": 0,
             "cache_creation_1h_tokens": 0, "rate_multiplier": 1}  # fmt: skip
    items = [kit.item(n, **right, actual_cost=0.002, total_cost=0.002) for n in range(30)]
    items[17] |= {"actual_cost": 0.5, "total_cost": 0.5}
    kinds = ("input", "output", "cache_read", "cache_write", "cache_write_1h")
    lines = "".join(f"house,{kind},2,2026-01-01T00:00Z,\n" for kind in kinds)
    prices = f"model,token_kind,usd_per_million,from,to\n{lines}"
    with kit.lake(tmp_path, kit.as_list(items), prices) as store:
        report = drill_down(store, start="2026-03-01", end="2026-05-01")
    (found,) = [item for item in report.findings if item.rule == "cost-differs"]
    assert found.impact_usd == Decimal("0.498")
    (odd,) = report.exhibits["priced_rows"].frame.to_dict("records")
    assert odd["request_id"] == items[17]["request_id"]
    assert (odd["source_file"], odd["row_number"]) == (
        found.evidence[1].source,
        found.evidence[1].row,
    )


def test_two_exports_in_two_zones_are_one_usage(tmp_path: Path) -> None:
    """The server moved: the same rows with another offset are the same instants."""
    items = [kit.item(n, actual_cost=0.01, total_cost=0.02) for n in range(60)]
    zone = ZoneInfo("Asia/Shanghai")
    moved = [
        {
            **item,
            "created_at": datetime.fromisoformat(item["created_at"]).astimezone(zone).isoformat(),
        }
        for item in items[20:]
    ]
    with kit.lake(tmp_path, kit.as_csv(items[:40]), kit.as_csv(moved)) as store:
        report = drill_down(store, start="2026-03-01", end="2026-05-01", timezone="Europe/Berlin")
    assert [total(report, name) for name in SUMMED] == [Decimal("0.6")] * len(SUMMED)


def test_too_many_attempts_are_counted_and_not_put_together(
    sample: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The week of a large team: the store counts both sides, and the report says what is left."""
    monkeypatch.setattr(spend, "MOST_CALLS", 10)
    report = drill_down(sample)
    assert any("too many" in note for note in report.coverage.partial)
    assert report.exhibits["lost_money"].frame.empty
    sides = report.exhibits["reconciled"].frame
    assert sum(sides["cost_usd"].dropna()) == total(report, "split")
    assert (sides["low_usd"] <= sides["high_usd"]).all()


def test_a_window_outside_the_data_says_so(tmp_path: Path) -> None:
    """Nothing spent and nothing known are different answers."""
    with kit.lake(tmp_path, kit.as_list(_items(30))) as store:
        report = drill_down(store, start="2020-01-01", end="2020-01-08")
    assert report.verdict.title.startswith("Nothing is known of 2020-01-01")
    assert (report.verdict.grade, report.verdict.cause) == ("inconclusive", "spend_unknown")
    assert report.coverage.partial
    assert ("input-gap", Status.UNKNOWN) in {(item.rule, item.status) for item in report.findings}


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"by": "colour"}, "by"),
        ({"top": 0}, "top"),
        ({"floor_usd": -1.0}, "floor_usd"),
        ({"floor_usd": float("nan")}, "floor_usd"),
        ({"key_name": "prod-wbe"}, "key_name"),
        ({"model": "gpt-5.4-min"}, "model"),
        ({"timezone": "Mars/Base"}, "timezone"),
        ({"start": "soon"}, "start"),
        ({"start": "2026-04-02", "end": "2026-04-01"}, "end"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_values_that_cannot_be_used_are_refused(
    tmp_path: Path, given: dict[str, Any], name: str
) -> None:
    """One sentence that names the parameter, before anything is read."""
    with kit.lake(tmp_path, kit.as_list(_items(3))) as store, pytest.raises(ParameterError) as told:
        drill_down(store, **given)
    assert told.value.name == name


def test_without_usage_rows_there_is_nothing_to_drill(tmp_path: Path) -> None:
    """A call log alone has no costs."""
    with (
        kit.lake(tmp_path, kit.as_lines([kit.attempt(1)])) as store,
        pytest.raises(MissingInputError),
    ):
        drill_down(store)


def test_a_filter_carries_to_every_finding(sample: Store) -> None:
    """One key is asked: no table and no finding speaks of another, or of the whole account."""
    report = drill_down(sample, key_name="prod-batch", by="endpoint")
    keys = {item.subject.key_name for item in report.findings} - {None}
    assert keys == {"prod-batch"}
    assert {item.rule for item in report.findings} & {"model-alias", "billed-not-logged"}
    assert not {item.rule for item in report.findings} & {"export-gap", "balance-differs"}
    for name in ("reconciled", "lost_money", "by_hour", "rows"):
        assert set(report.exhibits[name].frame["key_name"]) == {"prod-batch"}
    assert total(report, "split") == total(report, "by_hour")
    one = drill_down(sample, key_name="prod-batch", model="summary-small")
    assert set(one.exhibits["lost_money"].frame["model"]) == {"summary-small"}
    assert sum(one.exhibits["reconciled"].frame["cost_usd"].dropna()) == total(one, "split")


def test_the_lines_to_mark_a_spike_silence_it(sample: Store, week: Report, tmp_path: Path) -> None:
    """What the page offers for planned.csv is what the next run honours."""
    raised = {item.subject.key_name for item in week.findings if item.rule == "spend-spike"}
    lines = week.exhibits["to_mark"].frame
    assert set(lines["key_name"]) == raised
    plan = csv_text.of_frame(lines)
    shutil.copytree(sample.folder, tmp_path / "lake")
    with Store(tmp_path / "lake", read_only=False) as store:
        kit.take_in(store, tmp_path, plan)
        again = drill_down(store, now=clock.stamp(sample.span("usage").end))
    assert not {item.rule for item in again.findings} & {"spend-spike"}
    assert set(again.exhibits["spikes"].frame["status"]) >= {"planned"}


def test_planned_activity_is_no_spike(sample: Store, week: Report, tmp_path: Path) -> None:
    """A file that says what was meant is honoured by the next run."""
    spikes = week.exhibits["spikes"].frame
    first = spikes[spikes["key_name"] == "dev-agent"].iloc[0]
    ends = [at.isoformat() for at in (first["start"], first["end"] + timedelta(hours=1))]
    plan = f"start,end,key_name,factor,note\n{ends[0]},{ends[1]},dev-agent,200,load test\n"
    where = Filter(equals={"key_name": ["dev-agent"]})
    mine = sample.rows("usage", where, limit=10**6).frame.to_dict("records")
    items = [
        kit.item(
            number,
            created_at=row["ts"].isoformat(),
            api_key={"id": 1, "name": "dev-agent"},
            actual_cost=float(row["cost_usd"]),
            total_cost=float(row["cost_usd"]),
        )
        for number, row in enumerate(mine)
    ]
    with kit.lake(tmp_path, kit.as_list(items)) as store:
        asked = {"start": "2026-11-16", "end": "2026-11-23"}
        assert ("spend-spike", "dev-agent") in failed(drill_down(store, **asked))
        kit.take_in(store, tmp_path, plan)
        assert ("spend-spike", "dev-agent") not in failed(drill_down(store, **asked))


def test_a_drop_is_told_as_one(tmp_path: Path) -> None:
    """A key that falls silent is no spike: it costs nothing, and nothing of it can be planned."""
    start = datetime(2026, 3, 2, tzinfo=UTC)
    items = [
        kit.item(
            n,
            created_at=(start + timedelta(minutes=10 * n)).isoformat(),
            actual_cost=0.25,
            total_cost=0.25,
            api_key={"id": 1, "name": "steady"},
        )
        for n in range(6 * 24 * 21)
        if not 6 * (24 * 17 + 8) <= n < 6 * (24 * 17 + 16)
    ]
    with kit.lake(tmp_path, kit.as_list(items)) as store:
        report = drill_down(store, start="2026-03-16", end="2026-03-23")
    found = [item for item in report.findings if item.rule == "spend-spike"]
    assert found
    assert {item.severity for item in found} == {"low"}
    assert all(item.impact_usd is None and "more" not in item.title for item in found)
    assert report.exhibits["to_mark"].frame.empty
