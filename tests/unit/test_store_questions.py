"""The questions give what a plain look at all rows gives, in every zone, and say what is left."""

from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from decimal import Decimal
from functools import partial
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runbook_lib import clock, findings
from runbook_lib.errors import InputError, ParameterError, StoreError
from runbook_lib.schema import TABLES
from runbook_lib.store import Filter, Store, questions
from tests.unit import store_kit as kit

ITEMS = [kit.item(number) for number in range(150)]
ATTEMPTS = [kit.attempt(number) for number in range(120)]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A lake with usage rows and attempts that both know part of each other."""
    folder = tmp_path_factory.mktemp("questions")
    made = kit.lake(folder, kit.as_list(ITEMS), kit.as_lines(ATTEMPTS))
    with Store(made.folder) as opened:
        yield opened


@pytest.mark.parametrize("table", ["usage", "calls"])
def test_rows_have_every_column_and_type(store: Store, table: str) -> None:
    """Money is Decimal, times are aware, unknown text is None: analyses rely on it."""
    frame = store.rows(table, Filter()).frame
    assert list(frame.columns) == TABLES[table].names
    for column in TABLES[table].columns:
        held = frame[column.name]
        if column.type == "text":
            assert {type(value) for value in held} <= {str, type(None)}
        elif column.type == "money":
            assert {type(value) for value in held} <= {Decimal, type(None)}
        elif column.type == "int":
            assert str(held.dtype) == "Int64"
        elif column.type == "instant":
            assert str(held.dtype) == "datetime64[us, UTC]"


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Asia/Kolkata", "America/St_Johns"])
@pytest.mark.parametrize("grain", ["hour", "day"])
def test_local_hours_and_days_add_up_to_the_whole(store: Store, zone: str, grain: str) -> None:
    """A day with a change of clocks has 23 or 25 hours; no row falls between two days."""
    rolled = store.roll_up("usage", ["model"], grain=grain, zone=zone)  # type: ignore[arg-type]
    rows = store.rows("usage", Filter()).frame
    local = rows["ts"].dt.tz_convert(ZoneInfo(zone))
    name = local.dt.date if grain == "day" else local.map(_hour)
    by_hand = rows.groupby([name, rows["model"]])["cost_usd"].agg(["sum", "count"])
    label = f"{grain}_local"
    for _, row in rolled.iterrows():
        cost, count = by_hand.loc[(row[label], row["model"])]
        assert (row["cost_usd"], row["requests"]) == (cost, count)
    assert len(rolled) == len(by_hand)
    start = rolled["bucket"].dt.tz_convert(ZoneInfo(zone))
    assert (start.dt.minute == 0).all()
    assert start.map(_hour if grain == "hour" else lambda at: at.date()).tolist() == (
        rolled[label].tolist()
    )


def _hour(at: pd.Timestamp) -> str:
    return at.replace(minute=0, second=0, microsecond=0).isoformat(timespec="minutes")


def test_minutes_are_instants(store: Store) -> None:
    """Blast radius and onset are looked at by minute, which needs no zone."""
    rolled = store.roll_up("calls", ["code"], grain="minute")
    rows = store.rows("calls", Filter()).frame
    assert rolled["attempts"].sum() == len(rows)
    assert set(rolled["bucket"]) == set(rows["ts"].dt.floor("min"))


def test_a_roll_up_counts_and_sums(store: Store) -> None:
    """Each number is that of a plain sum; what is unknown is its own group."""
    rolled = store.roll_up("usage", ["key_name"]).set_index("key_name", drop=False)
    rows = store.rows("usage", Filter()).frame
    assert rolled["key_name"].isna().sum() == 1
    for _, row in rolled.iterrows():
        mine = rows[
            rows["key_name"].isna()
            if row["key_name"] is None
            else rows["key_name"] == row["key_name"]
        ]
        assert row["requests"] == len(mine)
        assert row["input_tokens"] == mine["input_tokens"].sum()
        assert row["cost_usd"] == sum(mine["cost_usd"])
        assert row["max_cost_usd"] == max(mine["cost_usd"])
        assert (row["first_ts"], row["last_ts"]) == (mine["ts"].min(), mine["ts"].max())


def test_a_roll_up_of_attempts_counts_outcomes(store: Store) -> None:
    """Failed are those refused, broken or without an answer."""
    (row,) = store.roll_up("calls", []).to_dict("records")
    rows = store.rows("calls", Filter()).frame
    assert row["attempts"] == len(rows) == 120
    assert row["ok"] == (rows["outcome"] == "ok").sum() == 60
    assert row["failed"] == row["refused"] == 60
    assert row["duration_ms"] == pytest.approx(rows["duration_ms"].sum())
    assert row["max_duration_ms"] == rows["duration_ms"].max()


WHERE = Filter(
    window=clock.Window(start=kit.START, end=kit.START + timedelta(hours=1)),
    equals={"key_name": ["prod-web", None]},
    failed=False,
    min_cost_usd=Decimal("0.01"),
)
WINDOWS = st.tuples(st.integers(-50, 5000), st.integers(0, 5000)).map(
    lambda ends: clock.Window(
        start=kit.START + timedelta(minutes=ends[0]),
        end=kit.START + timedelta(minutes=ends[0] + ends[1]),
    )
)


@settings(max_examples=25)
@given(
    window=st.none() | WINDOWS,
    keys=st.none() | st.lists(st.sampled_from(["prod-web", "prod-batch", "nobody", None])),
    cost=st.none() | st.sampled_from([Decimal(0), Decimal("0.02")]),
    limit=st.integers(0, 30),
    order=st.sampled_from(["newest", "oldest", "dearest"]),
)
def test_a_filter_means_what_it_says(
    store: Store,
    window: clock.Window | None,
    keys: list[str | None] | None,
    cost: Decimal | None,
    limit: int,
    order: str,
) -> None:
    """Rows shown, rows left out and their dollars add up to all that the filter means."""
    where = Filter(
        window=window, equals={} if keys is None else {"key_name": keys}, min_cost_usd=cost
    )
    got = store.rows("usage", where, limit=limit, order=order)  # type: ignore[arg-type]
    rows = store.rows("usage", Filter()).frame
    if window is not None:
        rows = rows[(rows["ts"] >= window.start) & (rows["ts"] < window.end)]
    if keys is not None:
        rows = rows[_mask(name in keys for name in rows["key_name"])]
    if cost is not None:
        rows = rows[_mask(paid >= cost for paid in rows["cost_usd"])]
    assert (got.total, got.left_out) == (len(rows), max(0, len(rows) - limit))
    column = "cost_usd" if order == "dearest" else "ts"
    best = sorted(rows[column], reverse=order != "oldest")[:limit]
    assert got.frame[column].tolist() == best
    shown = sum(got.frame["cost_usd"], Decimal(0))
    assert got.left_out_usd == sum(rows["cost_usd"], Decimal(0)) - shown


def _mask(hits: Iterable[bool]) -> np.ndarray:
    return np.fromiter(hits, dtype=bool)


def test_only_failed_attempts_can_be_asked_for(store: Store) -> None:
    """The two halves are the whole."""
    bad = store.rows("calls", Filter(failed=True))
    good = store.rows("calls", Filter(failed=False))
    assert set(bad.frame["outcome"]) == {"refused"}
    assert bad.total + good.total == 120
    assert bad.left_out_usd is None


def test_any_id_leads_to_its_rows(store: Store) -> None:
    """An engineer holds one id and does not know of what kind it is."""
    joined = "00000004-68aa-45e7-8e65-09745104e0e6"
    asked = ["req-3", "up-5", "resp-7", "call-8", joined, f"client:{joined}", "Req-3", "nobody", ""]
    found = store.find(asked)
    got = found.calls.groupby("asked_id")["attempt"].agg(list).to_dict()
    assert got == {"req-3": [2], "up-5": [2], "resp-7": [2], "call-8": [1, 2], joined: [1]}
    assert sorted(found.usage["asked_id"]) == [joined, f"client:{joined}"]
    assert list(found.missing) == ["Req-3", "nobody"]


def test_many_ids_are_found_at_once(store: Store) -> None:
    """A support case can name thousands."""
    ids = [f"req-{number}" for number in range(10_000)]
    found = store.find(ids)
    assert len(found.calls) == 120
    assert len(found.missing) == 10_000 - 120


def test_an_index_of_another_hash_is_not_trusted(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new engine can hash differently; the id must be found all the same, only slower."""
    from runbook_lib.store import reader

    monkeypatch.setattr(reader, "PROBE", "another")
    with Store(store.folder) as other:
        assert len(other.find(["req-3"]).calls) == 1
        assert len(other.find([ITEMS[3]["request_id"]]).usage) == 1


def test_usage_and_attempts_are_held_against_each_other(store: Store) -> None:
    """Rows no log explains, and attempts nobody billed, with their dollars."""
    all_of_it = store.reconcile()
    billed = store.rows("usage", Filter()).frame["cost_usd"]
    assert (all_of_it.both, all_of_it.only_usage, all_of_it.only_calls) == (120, 30, 0)
    assert all_of_it.both_usd + all_of_it.only_usage_usd == sum(billed)
    assert all_of_it.both_failed == 60
    none = store.reconcile(clock.Window(start=kit.START, end=kit.START))
    assert (none.both, none.only_usage, none.only_calls) == (0, 0, 0)


def test_rows_are_counted_by_what_each_cost(store: Store) -> None:
    """Every row with a cost is in one band, and the bands hold all the money."""
    bands = store.spread()
    costs = store.rows("usage", Filter()).frame["cost_usd"]
    assert bands["requests"].sum() == len(costs)
    assert sum(bands["cost_usd"]) == sum(costs)
    for band in bands.to_dict("records"):
        low, high = band["from_usd"], band["to_usd"]
        inside = [cost for cost in costs if (low is None or cost >= low) and cost < high]
        assert len(inside) == band["requests"]


def test_sides_can_be_told_for_each_key(store: Store) -> None:
    """A key that is used and never logged shows only when keys are told apart."""
    whole, parts = store.reconcile(), store.reconcile_by(["key_name"])
    for side, rows in (("both", whole.both), ("usage", whole.only_usage)):
        assert parts.loc[parts["side"] == side, "rows"].sum() == rows
    assert sum(parts["cost_usd"].dropna()) == whole.both_usd + whole.only_usage_usd
    with pytest.raises(ParameterError):
        store.reconcile_by(["user_agent", "endpoint"])


def test_the_parts_of_a_span_reconcile_to_the_whole(store: Store) -> None:
    """A row belongs to one window, however the span is cut."""
    cut = [kit.START + timedelta(hours=hours) for hours in (-1, 10, 11, 40, 200)]
    parts = [store.reconcile(clock.Window(start=a, end=b)) for a, b in pairwise(cut)]
    assert sum(part.both + part.only_usage for part in parts) == 150


@pytest.mark.parametrize(
    "ask",
    [
        pytest.param(lambda s: s.rows("usage", Filter(equals={"nope": ["x"]})), id="column"),
        pytest.param(lambda s: s.rows("calls", Filter(), order="dearest"), id="order"),
        pytest.param(lambda s: s.rows("calls", Filter(min_cost_usd=Decimal(1))), id="cost"),
        pytest.param(lambda s: s.roll_up("usage", ["nope"]), id="by"),
        pytest.param(lambda s: s.roll_up("keys", []), id="table"),
        pytest.param(lambda s: s.roll_up("usage", [], grain="day", zone="Mars"), id="zone"),
        pytest.param(lambda s: s.table("usage"), id="large table"),
        pytest.param(lambda s: s.table("users; drop"), id="unknown table"),
    ],
)
def test_a_wrong_question_is_refused(store: Store, ask: object) -> None:
    """It names what is wrong instead of answering something else."""
    with pytest.raises(ParameterError):
        ask(store)  # type: ignore[operator]


def test_values_are_values_not_code(store: Store) -> None:
    """An id or a name from a log may hold any text."""
    evil = "x' OR 1=1 -- \"; DROP TABLE usage;"
    assert store.rows("usage", Filter(equals={"key_name": [evil]})).total == 0
    assert list(store.find([evil]).missing) == [evil]


def test_the_card_tells_what_is_held(store: Store) -> None:
    """Rows, span, age and files stand at the head of every notebook."""
    card = store.intake
    assert [(t.table, t.rows, t.repeated) for t in card.tables] == [
        ("usage", 150, 0),
        ("calls", 120, 0),
    ]
    assert {item.kind for item in card.inputs} == {"usage list", "call log"}
    assert card.age(kit.START + timedelta(days=30)) == (
        kit.START + timedelta(days=30) - store.rows("usage", Filter(), limit=1).frame["ts"][0]
    )
    assert card._repr_mimebundle_() == findings.shown(card)


@pytest.mark.parametrize("dialect", ["duckdb", "postgres", "clickhouse"])
@pytest.mark.parametrize(
    "ask",
    [
        pytest.param(lambda: questions.index("calls"), id="index"),
        pytest.param(lambda: questions.found("usage"), id="find"),
        pytest.param(lambda: questions.single("usage", WHERE, limit=3, order="dearest"), id="rows"),
        pytest.param(lambda: questions.counted("usage", WHERE), id="count"),
        pytest.param(lambda: questions.rolled("usage", ["model"], grain="day"), id="roll-up"),
        pytest.param(lambda: questions.rolled("calls", [], grain="minute"), id="minutes"),
        *[
            pytest.param(partial(questions.banded, WHERE, measure), id=f"spread of {measure}")
            for measure in questions.BANDS
        ],
        pytest.param(lambda: questions.repeated(WHERE), id="repeated"),
        pytest.param(lambda: questions.reconciled(WHERE.window), id="reconcile"),
        pytest.param(lambda: questions.reconciled(None, ["key_name"]), id="reconcile by"),
    ],
)
def test_a_question_can_be_put_to_any_engine(ask: Callable[[], ir.Table], dialect: str) -> None:
    """Rows of a large team live elsewhere; the question goes there unchanged."""
    assert ibis.to_sql(ask(), dialect=dialect).startswith(("SELECT", "WITH"))


def test_a_lake_may_lie_in_any_folder(tmp_path: Path) -> None:
    """Signs that mean patterns elsewhere are only letters in the name of a folder."""
    folder = tmp_path / "we[i]rd *? 'x\""
    folder.mkdir()
    store = kit.lake(folder, kit.as_list(ITEMS[:3]), kit.as_csv(ITEMS[:5]))
    assert store.rows("usage", Filter()).total == 5
    (tmp_path / "link").symlink_to(store.folder)
    with Store(tmp_path / "link") as linked:
        assert len(linked.find([ITEMS[1]["request_id"]]).usage) == 1


def test_an_empty_lake_answers_with_nothing(tmp_path: Path) -> None:
    """Before anything is taken in, every question has an empty answer."""
    store = kit.lake(tmp_path)
    assert store.rows("usage", Filter()).total == 0
    assert store.roll_up("calls", ["code"], grain="day").empty
    assert list(store.find(["x"]).missing) == ["x"]
    assert store.reconcile().both == 0
    assert store.table("keys").empty
    assert store.intake.tables == []


def test_a_folder_without_a_lake_is_refused(tmp_path: Path) -> None:
    """A wrong path must not look like a lake without rows."""
    with pytest.raises(InputError, match="holds no rows"):
        Store(tmp_path / "nowhere")
    kit.lake(tmp_path, kit.as_list(ITEMS[:1]))
    with Store(tmp_path / "lake") as store, pytest.raises(StoreError, match="opened for reading"):
        store.add([])


def test_a_newer_lake_is_refused(tmp_path: Path) -> None:
    """What an unknown version means cannot be guessed."""
    store = kit.lake(tmp_path, kit.as_list(ITEMS[:1]))
    path = store.folder / "manifest.json"
    path.write_text(path.read_text().replace('"version": 1', '"version": 2'))
    with pytest.raises(StoreError, match="version 2"):
        Store(store.folder)
    path.write_text("{")
    with pytest.raises(StoreError, match="broken"):
        Store(store.folder)
