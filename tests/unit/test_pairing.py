"""Attempts and usage rows put together: by id, and in bulk by time where the export has none."""

import shutil
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from made_material import attempt, billed, material

from runbook_lib import session
from runbook_lib.analysis.lost import lost_money
from runbook_lib.analysis.pairing import BY_ID, BY_TIME, pair_up
from runbook_lib.analysis.sides import bounded, counted
from runbook_lib.clock import Window
from runbook_lib.runbooks.incidents import around_all
from runbook_lib.store import Store

DAY = Window(start=datetime(2026, 11, 24, tzinfo=UTC), end=datetime(2026, 11, 25, tzinfo=UTC))
"""The day of the recorded run."""


def answered(second: float, **rest: Any) -> dict[str, Any]:
    """An attempt of half a second that was answered, with its tokens."""
    return attempt(second, **{"input_tokens": 100, "output_tokens": 10, **rest})


def test_an_id_decides_and_time_does_not() -> None:
    """A row that names another attempt is not taken by the one that ran at the same moment."""
    found = pair_up(
        material([answered(0), answered(9)], [billed(0.5, request_id="client:client-2")])
    )
    assert found.place.tolist() == [-1, 0]
    assert found.how.tolist() == ["", BY_ID]


def test_a_row_without_an_id_goes_with_the_attempt_of_its_moment() -> None:
    """Same key, model and tokens, two seconds at most, one for one."""
    calls = [answered(0), answered(60), answered(120, output_tokens=11)]
    rows = [billed(0.9), billed(60.4), billed(120.5), billed(300)]
    found = pair_up(material(calls, rows))
    assert found.place.tolist() == [0, 1, -1]
    assert found.how.tolist() == [BY_TIME, BY_TIME, ""]


def test_as_many_are_paired_as_both_have() -> None:
    """Equal calls at once each get a row; what is left over stays alone."""
    found = pair_up(material([answered(n / 10) for n in range(5)], [billed(0.6) for _ in range(3)]))
    assert sorted(found.rows) == [0, 1, 2]
    assert len(found.place[found.place < 0]) == 2


@pytest.mark.parametrize("ahead", [-240.0, 0.0, 45.0])
def test_clocks_that_differ_are_put_right(ahead: float) -> None:
    """The pairs that can be no other tell by how much."""
    calls = [answered(60 * n, output_tokens=10 + n) for n in range(9)]
    rows = [billed(60 * n + 0.5 + ahead, output_tokens=10 + n) for n in range(9)]
    found = pair_up(material(calls, rows))
    assert found.skew_s == pytest.approx(ahead, abs=0.1)
    assert found.place.tolist() == list(range(9))


@pytest.mark.parametrize("ahead", [-240.0, 0.0, 30.0])
def test_equal_calls_every_minute_tell_the_clocks_apart_too(ahead: float) -> None:
    """Regular traffic fits a minute earlier or later as well, but not with its ends."""
    calls = [answered(60 * n) for n in range(60)]
    rows = [billed(60 * n + 0.5 + ahead) for n in range(60)]
    found = pair_up(material(calls, rows))
    assert found.skew_s == pytest.approx(ahead, abs=0.1)
    assert (found.place >= 0).all()


def test_a_log_that_names_no_keys_still_joins() -> None:
    """Model, tokens and moment are enough where nothing else speaks against it."""
    found = pair_up(material([answered(0, key_name=None)], [billed(0.5)]))
    assert found.place.tolist() == [0]


@pytest.mark.parametrize(
    ("call", "row", "paired"),
    [
        pytest.param({"outcome": "refused", "status": 429}, {}, False, id="refused costs nothing"),
        pytest.param({"model": "alias", "response_model": "gpt-5"}, {}, True, id="answered model"),
        pytest.param({}, {"key_name": None}, True, id="key was deleted"),
        pytest.param({}, {"key_name": "other"}, False, id="another key"),
        pytest.param({}, {"duration_ms": None}, True, id="no duration, same end"),
        pytest.param({"outcome": "broken", "output_tokens": 3}, {}, True, id="cut early"),
        pytest.param({"output_tokens": 3}, {}, False, id="whole, other counts"),
        pytest.param({"input_tokens": None}, {}, True, id="counts not logged"),
    ],
)  # fmt: skip
def test_what_goes_together(call: dict[str, Any], row: dict[str, Any], *, paired: bool) -> None:
    """Each part of a row can be unlike the attempt's, and only some may be."""
    found = pair_up(material([answered(0, **call)], [billed(0.5, **row)]))
    assert (found.place[0] == 0) == paired


def test_what_no_id_decides_is_the_error_bar() -> None:
    """A call given up may be any row of its key: the sides differ by that much, and no more."""
    gave_up = attempt(30, None, client_request_id=None)
    rows = [billed(0.5, request_id="client:client-1"), billed(90, request_id="client:x")]
    made = material([answered(0), gave_up], rows)
    sides = bounded(counted(made, pair_up(made), made.window), {"prod-web": Decimal("0.01")})
    bounds = sides.set_index("side")[["cost_usd", "low_usd", "high_usd"]]
    cent = Decimal("0.01")
    assert bounds.loc["both"].tolist() == [cent, cent, 2 * cent]
    assert bounds.loc["usage"].tolist() == [cent, 0, cent]
    assert bounds.loc["calls"].tolist() == [None, 0, cent]


@pytest.fixture(scope="module")
def without_ids(gateway: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The recorded run with the console's export alone: no list, so no ids."""
    folder = tmp_path_factory.mktemp("exports")
    (export,) = gateway.glob("usage_*.csv")
    for item in (export, gateway / "keys.csv"):
        shutil.copy(item, folder)
    shutil.copytree(gateway / "calls", folder / "calls")
    session.take_in([folder], folder / "lake")
    return Store(folder / "lake")


@pytest.mark.shared
def test_an_export_without_ids_says_the_same(recorded_store: Store, without_ids: Store) -> None:
    """Most people have only the CSV: leak, loop, twins and cut streams are found in it as well."""
    both = [lost_money(around_all(store, DAY)).table for store in (recorded_store, without_ids)]
    by = ["kind", "key_name", "model"]
    shown = [table.groupby(by)[["rows", "attempts"]].sum() for table in both]
    pd.testing.assert_frame_equal(*shown)
    billed_usd = [table.groupby(by)["billed_usd"].sum() for table in both]
    for exact, rounded in zip(*billed_usd, strict=True):
        assert abs(exact - rounded) < Decimal("0.000001")


@pytest.mark.shared
def test_counted_row_by_row_is_what_the_store_counts(recorded_store: Store) -> None:
    """Where every row has an id, both ways to reconcile give the same counts and sums."""
    made = around_all(recorded_store, DAY)
    ours = counted(made, pair_up(made), DAY).set_index(["side", "key_name"])
    theirs = recorded_store.reconcile_by(["key_name"], DAY).set_index(["side", "key_name"])
    for name in ("rows", "without_id"):
        assert ours[name].to_dict() == theirs[name].to_dict()
    known = theirs["cost_usd"].dropna()
    assert ours.loc[known.index, "cost_usd"].to_dict() == known.to_dict()
