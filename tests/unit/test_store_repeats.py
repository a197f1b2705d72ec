"""What several files hold counts once, in any order, however often it is taken in."""

import itertools
import json
import random
import tempfile
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runbook_lib import sources
from runbook_lib.store import Filter, Store
from tests.unit import store_kit as kit
from tests.unit.sources_kit import span
from tests.unit.test_usage_export import FAMILIES
from tests.unit.usage_kit import FULL

ITEMS = [kit.item(number) for number in range(40)]
LITELLM = {
    "call_type": "acompletion",
    "custom_llm_provider": "openai",
    "model": "gpt-5.4",
    "prompt_tokens": 10,
    "completion_tokens": 5,
    "metadata": {"user_api_key_alias": "prod-web"},
}


def total(store: Store) -> tuple[int, Decimal]:
    """Count and sum the usage rows."""
    (row,) = store.roll_up("usage", []).to_dict("records")
    return row["requests"], row["cost_usd"]


def visible(folder: Path, batches: Sequence[Sequence[str]]) -> tuple[object, ...]:
    """Take in files, some at a time, and give all that is then held."""
    with Store(folder, read_only=False) as store:
        for files in batches:
            kit.take_in(store, folder, *files)
        return kit.whole(store, "usage").to_csv(), kit.whole(store, "calls").to_csv()


@st.composite
def pieces(draw: st.DrawFn) -> tuple[list[str], set[int], set[int]]:
    """Overlapping exports and lists of parts of one history; which rows they hold, and with ids."""
    files, held, named = [], set(), set()
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, 30))
        numbers = range(start, start + draw(st.integers(1, 10)))
        form = draw(st.sampled_from(["list", FULL, FAMILIES["0.1.88"], FAMILIES["without rate"]]))
        items = [ITEMS[number] for number in numbers]
        files.append(kit.as_list(items) if form == "list" else kit.as_csv(items, header=form))
        held |= set(numbers)
        named |= set(numbers) if form == "list" else set()
    return files, held, named


@settings(max_examples=8)
@given(pieces(), st.randoms(use_true_random=False))
def test_any_order_gives_the_same_rows(
    made: tuple[list[str], set[int], set[int]], chance: random.Random
) -> None:
    """Each row once, with its id where any file has it, whatever came first or twice."""
    files, held, named = made
    again = [*files, chance.choice(files)]
    chance.shuffle(again)
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        first = visible(Path(one), [files])
        assert visible(Path(other), [[file] for file in again]) == first
        with Store(one) as store:
            rows = store.rows("usage", Filter()).frame
    assert len(rows) == len(held)
    assert rows["request_id"].notna().sum() == len(named)
    paid = sum(Decimal(str(ITEMS[number]["actual_cost"])) for number in held)
    assert sum(rows["cost_usd"]) == paid


@pytest.mark.parametrize(("first", "second"), [(2, 3), (3, 2), (2, 2)])
def test_equal_rows_count_as_often_as_one_file_has_them(
    tmp_path: Path, first: int, second: int
) -> None:
    """Two requests can be equal to the microsecond; two exports of them are still two requests."""
    files = [kit.as_csv([ITEMS[1]] * count) for count in (first, second)]
    files[1] = files[1].replace("Time,API", "TIME,API")
    assert total(kit.lake(tmp_path, *files))[0] == max(first, second)


@pytest.mark.parametrize("cost", ["0.0000000050", "0.1234567850", "0.0000000150"])
@pytest.mark.parametrize("up", [True, False], ids=["up", "down"])
@pytest.mark.parametrize("list_first", [True, False], ids=["list first", "csv first"])
def test_a_half_may_have_been_rounded_either_way(
    tmp_path: Path, cost: str, *, up: bool, list_first: bool
) -> None:
    """The console rounds a binary number, so of two halves one goes up and one goes down."""
    exact = Decimal(cost)
    rounded = exact + Decimal("5e-9") * (1 if up else -1)
    row = kit.item(1, total_cost=0)
    export = kit.as_csv([{**row, "actual_cost": rounded}])
    listed = kit.as_list([{**row, "actual_cost": 0.25}]).replace("0.25", cost)
    files = [listed, export] if list_first else [export, listed]
    store = kit.lake(tmp_path)
    for file in files:
        kit.take_in(store, tmp_path, file)
    assert total(store) == (1, exact)


def test_a_cost_that_is_not_the_rounded_one_is_another_row(tmp_path: Path) -> None:
    """Near is not equal: a repeat differs by rounding only."""
    row = kit.item(1, total_cost=0, actual_cost=0.001)
    other = {**row, "actual_cost": 0.00100001}
    assert total(kit.lake(tmp_path, kit.as_list([row]), kit.as_csv([other])))[0] == 2


def test_pages_of_the_list_that_repeat_a_row_count_it_once(tmp_path: Path) -> None:
    """Paging by offset repeats rows while new ones are written."""
    store = kit.lake(tmp_path, kit.as_list([*ITEMS[:5], *ITEMS[3:8]]))
    assert total(store)[0] == 8
    assert store.intake.tables[0].repeated == 2
    kit.take_in(store, tmp_path, kit.as_list(ITEMS[:8]), kit.as_csv(ITEMS))
    assert total(store)[0] == 40


def test_accounts_are_never_mixed(tmp_path: Path) -> None:
    """Two accounts can have a key of the same name and the same request at the same time."""
    store = kit.lake(tmp_path)
    for account in ("a", "b"):
        kit.take_in(store, tmp_path, kit.as_csv(ITEMS[:3]), account=account)
    assert total(store)[0] == 6
    assert set(store.rows("usage", Filter()).frame["account"]) == {"a", "b"}


def test_the_same_file_twice_is_told_and_does_nothing(tmp_path: Path) -> None:
    """A folder is taken in every night, with all that was there before."""
    store = kit.lake(tmp_path, kit.as_csv(ITEMS))
    before = store.generation
    (added,) = kit.take_in(store, tmp_path, kit.as_csv(ITEMS))
    assert added.already
    assert store.generation == before
    assert total(store)[0] == 40


def test_a_file_that_is_read_another_way_takes_the_place_of_the_first_reading(
    tmp_path: Path,
) -> None:
    """Times without an offset are refused until their zone is named; then the rows must come."""
    text = kit.as_csv(ITEMS[:4]).replace("+00:00", "")
    path = tmp_path / "usage.csv"
    path.write_text(text)
    with Store(tmp_path / "lake", read_only=False) as store:
        for zone, rows in ((None, 0), (ZoneInfo("UTC"), 4), (ZoneInfo("Asia/Tokyo"), 4)):
            kit.take_in(store, tmp_path, kit.as_list(ITEMS[2:6]))
            with store.staging() as staging:
                (added,) = store.add(sources.read(path, staging, zone=zone))
            assert (added.rows, added.already) == (rows, False)
            assert len(store.intake.inputs) == 2
        assert total(store)[0] == 8
        with store.staging() as staging:
            store.add(sources.read(path, staging, zone=ZoneInfo("UTC")))
        assert total(store)[0] == 6


def test_the_result_does_not_change_when_small_parts_are_merged(tmp_path: Path) -> None:
    """A file a day for a quarter: few files stay, and every row of them once."""
    daily = [kit.as_csv(ITEMS[number : number + 3]) for number in range(37)]
    store = kit.lake(tmp_path)
    for file in daily:
        kit.take_in(store, tmp_path, file)
    assert len(list((store.folder / "parts").glob("usage*.parquet"))) < 40
    assert total(store)[0] == 39
    assert [(t.rows, t.repeated) for t in store.intake.tables] == [(39, 3 * 37 - 39)]
    kit.take_in(store, tmp_path, kit.as_list(ITEMS))
    assert total(store)[0] == 40
    assert store.rows("usage", Filter()).frame["request_id"].notna().all()
    assert len(store.find([ITEMS[7]["request_id"]]).usage) == 1
    (added,) = kit.take_in(store, tmp_path, daily[0])
    assert added.already


def test_small_tables_count_equal_rows_once(tmp_path: Path) -> None:
    """An inventory that is taken in again after a change keeps one line for what did not change."""
    old = "key_name,environment,owner\nprod-web,production,web\nprod-batch,production,data\n"
    new = "key_name,environment,owner\nprod-web,production,web\nprod-batch,staging,data\n"
    store = kit.lake(tmp_path, old)
    kit.take_in(store, tmp_path, new)
    keys = store.table("keys")
    assert sorted(zip(keys["key_name"], keys["environment"], strict=True)) == [
        ("prod-batch", "production"),
        ("prod-batch", "staging"),
        ("prod-web", "production"),
    ]


def as_otlp(records: Sequence[dict[str, object]]) -> str:
    """Attempts as OTLP spans."""
    spans = []
    for record in records:
        at = int(kit.pd.Timestamp(str(record["ts"])).value)
        rest = {name: value for name, value in record.items() if name != "ts"}
        ends = {"startTimeUnixNano": str(at), "endTimeUnixNano": str(at + 10**9)}
        spans.append(span(rest, **ends))
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]})


def as_litellm(records: Sequence[dict[str, object]]) -> str:
    """Attempts as LiteLLM logs them: no number of the attempt."""
    lines = []
    for record in records:
        at = kit.pd.Timestamp(str(record["ts"])).timestamp()
        headers = {
            f"llm_provider-{name}": ", ".join(record[f"http.response.header.{name}"])  # type: ignore[arg-type]
            for name in ("x-request-id", "x-client-request-id")
            if record.get(f"http.response.header.{name}")
        }
        lines.append(
            {
                **LITELLM,
                "trace_id": record["torouter.call.id"],
                "status": "success",
                "startTime": at,
                "endTime": at + 1,
                "hidden_params": {"additional_headers": headers},
            }
        )
    return kit.as_lines(lines)


NO_CLIENT_ID = {"http.response.header.x-client-request-id": None}
NO_IDS = {**NO_CLIENT_ID, "http.response.header.x-request-id": None}
ECHOED = {**NO_CLIENT_ID, "http.response.header.x-request-id": ["mine"]}
CASES = {
    "both headers": [kit.attempt(number) for number in range(6)],
    "one header": [kit.attempt(number, **NO_CLIENT_ID) for number in range(6)],
    "no answer": [kit.attempt(number, **NO_IDS) for number in range(6)],
    "own id on all attempts": [kit.attempt(number, **ECHOED) for number in range(6)],
}


@pytest.mark.parametrize(
    ("records", "order"),
    [
        pytest.param(records, order, marks=marks, id=f"{name}-{order}")
        for at, (name, records) in enumerate(CASES.items())
        for number, order in enumerate(itertools.permutations(range(3)))
        for marks in ([] if at == 0 or number % 3 == at % 3 else [pytest.mark.long],)
    ],
)
def test_an_attempt_in_several_logs_counts_once(
    tmp_path: Path, records: list[dict[str, object]], order: tuple[int, ...]
) -> None:
    """Own log, spans and proxy log tell of the same attempts; the richest telling is kept."""
    logs = [kit.as_lines(records), as_otlp(records), as_litellm(records)]
    store = kit.lake(tmp_path)
    for place in order:
        kit.take_in(store, tmp_path, logs[place])
    calls = store.rows("calls", Filter()).frame
    assert len(calls) == 6
    assert sorted(zip(calls["call_id"], calls["attempt"], strict=True)) == [
        (f"call-{call}", attempt) for call in range(3) for attempt in (1, 2)
    ]
    assert calls["outcome"].tolist().count("refused") == 3


def test_attempts_that_differ_are_all_kept(tmp_path: Path) -> None:
    """Logs of two services share nothing, not even when their times do."""
    mine = [kit.attempt(number) for number in range(4)]
    other = [
        kit.attempt(
            number,
            **{
                "torouter.call.id": f"other-{number}",
                "http.response.header.x-request-id": [f"other-{number}"],
                "http.response.header.x-client-request-id": [f"other-client-{number}"],
            },
        )
        for number in range(4)
    ]
    store = kit.lake(tmp_path, kit.as_lines(mine), kit.as_lines(other))
    assert store.rows("calls", Filter()).total == 8


def test_a_log_that_repeats_its_lines_counts_them_once(tmp_path: Path) -> None:
    """A log that was shipped twice into one file."""
    lines = kit.as_lines([kit.attempt(number) for number in range(4)])
    store = kit.lake(tmp_path, lines + lines)
    assert store.rows("calls", Filter()).total == 4


@pytest.mark.shared
@pytest.mark.parametrize(
    "seed", [0, pytest.param(1, marks=pytest.mark.long), pytest.param(2, marks=pytest.mark.long)]
)
def test_the_recorded_folder_has_its_totals_in_any_order(
    gateway: Path, tmp_path: Path, seed: int
) -> None:
    """Exports of two versions, lists, three accounts and four forms of logs, all taken in twice."""
    files = [path for path in sources.files([gateway]) if _readable(path)]
    random.Random(seed).shuffle(files)  # noqa: S311 - a shuffle, no secret
    with Store(tmp_path / "lake", read_only=False) as store:
        for batch in (files[: 7 * seed], files[7 * seed :], files[:5]):
            with store.staging() as staging:
                store.add([i for path in batch for i in sources.read(path, staging)])
        assert total(store) == (4829, Decimal("27.8514182575"))
        assert store.rows("calls", Filter(), limit=1).total == 6971


@pytest.mark.shared
def test_the_recorded_exports_alone_have_their_rounded_total(gateway: Path, tmp_path: Path) -> None:
    """The CSV rounds each row, so its sum is another one, and known."""
    files = sorted(gateway.rglob("usage_20*.csv"))
    with Store(tmp_path / "lake", read_only=False) as store:
        with store.staging() as staging:
            store.add([i for path in files for i in sources.read(path, staging)])
        assert total(store) == (4829, Decimal("27.85141823"))


def _readable(path: Path) -> bool:
    return path.name not in ("truth.json", "README.md", "answers.jsonl")
