"""Generated exports, plain and hostile: no row and no cent is lost, whatever stands in them."""

import csv
import io
import tempfile
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runbook_lib import money
from runbook_lib.errors import RunbookError
from runbook_lib.sources import usage_export, usage_mixed, usage_rows, usage_sql
from runbook_lib.sources.intake import Intake, Source
from tests.unit.long_kit import EXAMPLES
from tests.unit.test_usage_export import FAMILIES, OLD
from tests.unit.usage_kit import ROW, rows

NUMBERS = ["0", "1", "12.0", "12.5", "", "-1", "1e3", "1,234", "x", "nan", str(10**18), str(10**19)]
COSTS = [
    "0.00229260",
    "0",
    "",
    "-0.5",
    "'-0.5",
    "1e-9",
    "1e-11",
    "0.12345678901",
    "$1.5",
    "1,234.5",
    "NaN",
    "Infinity",
    "1_0",
    "99999999",
    "100000000",
    "12345678.1234567891",
    " 1 ",
    "٣",
]
NAMES = ["prod-web", "NA", "null", "", "'-dev", "a,b", 'a"b', "a\nb", "ключ", "\u202egnp", "a\x00b"]
TIMES = [
    "2026-11-24T13:43:02.661639+08:00",
    "2026-11-24T05:43:02Z",
    "2026-11-24T13:43:02",
    "2026-11-24",
    "1795498982",
    "",
    "soon",
    "2026-11-24T24:00:00+08:00",
    "2026-11-24T13:43:02.1234567-03:30",
    "0001-01-01T00:00:00Z",
]
PLAIN: list[dict[str, str]] = [
    {},
    {"Billed Cost": "'-0.50000000", "API Key Name": "'-dev", "Group ID": ""},
    {"Output Speed (tokens/s)": "1e5", "Billing Type": "balance", "First Token (ms)": ""},
]
SAME = ("rows", "rejected", "reasons", "other_lines", "usd_used", "usd_rejected", "columns")
SAME += ("first_at", "last_at")
CELLS = {
    "Time": st.sampled_from(TIMES[:2]) | st.sampled_from(TIMES),
    "API Key Name": st.sampled_from(NAMES),
    "Billed Cost": st.sampled_from(COSTS[:3]) | st.sampled_from(COSTS),
    "Total Cost": st.sampled_from(COSTS),
    "Original Cost": st.sampled_from(COSTS),
    "Input Tokens": st.sampled_from(NUMBERS[:2]) | st.sampled_from(NUMBERS),
    "Duration (ms)": st.sampled_from(NUMBERS),
    "Type": st.sampled_from(["Sync", "Stream", "WS", "流式", ""]),
    "Reasoning Effort": st.sampled_from(["'-", "-", "High", ""]),
}


@st.composite
def exports(draw: st.DrawFn, *, plain: bool = False) -> tuple[str, int]:
    """An export of any family with odd cells, and the number of its rows."""
    names = draw(st.permutations(next(csv.reader([draw(st.sampled_from([*FAMILIES.values()]))]))))
    end = draw(st.sampled_from(["\n", "\r\n"]))
    delimiter = draw(st.sampled_from([",", ";", "\t"]))
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator=end)
    writer.writerow(names)
    count = draw(st.integers(0, 5))
    usual = {**ROW, **OLD, **draw(st.sampled_from(PLAIN))}
    for _ in range(count):
        writer.writerow(
            [usual.get(n, "") if plain or n not in CELLS else draw(CELLS[n]) for n in names]
        )
    return out.getvalue(), count


def source(path: Path) -> Source:
    """An export as its reader gets it, staged beside it."""
    return Source(path=path, staging=path.parent, source_file=path.name)


def taken(content: bytes) -> tuple[Intake, list[dict[str, object]]]:
    """Read an export and give its rows."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "usage.csv"
        path.write_bytes(content)
        intake = usage_export.read(source(path))
        return intake, rows(intake)


def billed(intake: Intake, held: list[dict[str, object]]) -> None:
    """Check that what was counted is what was staged."""
    assert len(held) == intake.rows
    assert sum(intake.reasons.values()) == intake.rejected
    assert money.total(row["cost_usd"] for row in held) == intake.usd_used  # type: ignore[misc]


def no_row_is_lost(export: tuple[str, int]) -> None:
    """Rows in = rows used + rows rejected; money in = money used + money rejected."""
    content, count = export
    intake, held = taken(content.encode())
    assert intake.rows + intake.rejected == count
    billed(intake, held)
    assert intake.usd_used + intake.usd_rejected == _money_in(content)


def _money_in(content: str) -> Decimal:
    """Sum the costs of an export, read with the standard library and nothing of ours."""
    known = {"'-0.5": "-0.5", "$1.5": "1.5", "1,234.5": "1234.5"}
    delimiter = max(",;\t", key=content.splitlines()[0].count)
    total = Decimal(0)
    for row in csv.DictReader(io.StringIO(content, newline=""), delimiter=delimiter):
        cell = (row["Billed Cost"] if "Billed Cost" in row else row["Total Cost"]) or ""
        text = known.get(cell, cell).strip()
        if text and text not in ("1_0", "NaN", "Infinity"):
            amount = Decimal(text)
            fits = amount == round(amount, 10) and abs(amount) < Decimal("99999999.9999999999")
            total += amount if fits else 0
    return total


def never_a_traceback(content: bytes) -> None:
    """Any bytes behind a good header are used, refused or an error of ours."""
    try:
        intake, held = taken(content)
    except RunbookError:
        return
    billed(intake, held)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """An export with bytes cut out, put in, doubled, or cut off."""
    content = draw(exports())[0].encode()
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(content)))
        other = draw(st.integers(0, len(content)))
        insert = draw(
            st.sampled_from([b"", b'"', b"\x00", b"\xff", b",", b"\n", b"\r", b"'", b";"])
        )
        low, high = min(place, other), max(place, other)
        content = draw(
            st.sampled_from(
                [
                    content[:low] + insert + content[low:],
                    content[:low] + content[high:],
                    content[:high] + content[low:],
                    content[:high],
                ]
            )
        )
    return content


@settings(max_examples=60)
@given(exports())
def test_no_row_and_no_cent_is_lost(export: tuple[str, int]) -> None:
    """Odd cells of all kinds, in every column family."""
    no_row_is_lost(export)


@settings(max_examples=60)
@given(damaged())
def test_damaged_exports_never_end_in_a_traceback(content: bytes) -> None:
    """Bytes that were cut, doubled or put in."""
    never_a_traceback(content)


@settings(max_examples=100)
@given(exports() | exports(plain=True))
def test_the_engine_reads_what_the_careful_reader_reads(export: tuple[str, int]) -> None:
    """The fast way may give up, but it may never give another row."""
    content, _ = export
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        path = Path(name) / "usage.csv"
        path.write_bytes(content.encode())
        form = usage_export.form_of(path, "usage.csv")
        fast = usage_sql.read(source(path), form)
        patch.setattr(usage_sql, "read", lambda *_, **__: None)
        careful = usage_export.read(source(path))
        if fast is not None:
            assert careful.rejected == 0
            assert _compared(fast) == _compared(careful)
            assert fast.usd_used == careful.usd_used
            assert set(fast.columns) == set(careful.columns)


@st.composite
def mostly_plain(draw: st.DrawFn) -> str:
    """An export as the console writes it, with odd records here and there."""
    names = next(csv.reader([draw(st.sampled_from([*FAMILIES.values()]))]))
    usual = {**ROW, **OLD, **draw(st.sampled_from(PLAIN))}
    odd = st.fixed_dictionaries({}, optional={n: CELLS[n] for n in names if n in CELLS})
    out = io.StringIO()
    end = draw(st.sampled_from(["\n", "\r\n"]))
    writer = csv.writer(out, delimiter=draw(st.sampled_from([",", ";"])), lineterminator=end)
    writer.writerow(names)
    for number in range(draw(st.integers(4, 9))):
        cells = {**usual, "Duration (ms)": str(1000 + number)}
        cells |= draw(odd) if draw(st.integers(0, 3)) == 0 else {}
        row = [cells.get(name, "") for name in names]
        kind = draw(st.sampled_from(["row"] * 9 + ["short", "header", "blank"]))
        writer.writerow({"short": row[:-1], "header": names, "blank": []}.get(kind, row))
    text = out.getvalue()
    return text[: -draw(st.sampled_from([0, 0, 0, len(end), 9]))] or text


def mixed_is_careful(content: str) -> bool:
    """Read an export in the mixed way; whether it was read, and then as record by record."""
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        path = Path(name) / "usage.csv"
        path.write_bytes(content.encode())
        form = usage_export.form_of(path, "usage.csv")
        mixed = usage_mixed.read(source(path), form)
        patch.setattr(usage_sql, "read", lambda *_, **__: None)
        careful = usage_export.read(source(path))
        if mixed is None:
            return False
        assert _compared(mixed) == _compared(careful)
        assert list(mixed.rejects) == list(careful.rejects)
        for field in SAME:
            assert getattr(mixed, field) == getattr(careful, field), field
        assert set(mixed.notes) <= set(careful.notes)
        return True


@settings(max_examples=15)
@given(mostly_plain())
def test_reading_only_the_odd_records_one_by_one_gives_the_same(content: str) -> None:
    """Rows, places, refusals with their lines, money: nothing may tell the two ways apart."""
    mixed_is_careful(content)


@pytest.mark.long
@settings(max_examples=EXAMPLES // 2)
@given(mostly_plain())
def test_the_mixed_way_in_the_long_run(content: str) -> None:
    """The same, many times."""
    mixed_is_careful(content)


def _compared(intake: Intake) -> list[dict[str, object]]:
    return [{**row, "slot": None} for row in rows(intake)]


def test_a_plain_export_is_read_by_the_engine(tmp_path: Path) -> None:
    """What the console writes must not fall to the slow way."""
    from tests.unit.usage_kit import export

    path = tmp_path / "usage.csv"
    path.write_text(export({}, {}), encoding="utf-8-sig")
    form = usage_export.form_of(path, "usage.csv")
    made = usage_sql.read(source(path), form)
    assert made is not None
    assert made.rows == 2


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param({"Billed Cost": "0.001229"}, id="short-cost"),
        pytest.param({"Input Tokens": "1,234"}, id="thousands"),
        pytest.param({"Input Tokens": "x"}, id="refused"),
        pytest.param({"Duration (ms)": str(10**18)}, id="longer-than-can-be"),
        pytest.param({"Time": "2026-11-24T05:43:02Z"}, id="other-offset"),
        pytest.param({"Model": "a model of " + "sk-" + "CANARY0123456789"}, id="secret"),
        pytest.param({"API Key Name": "a,b"}, id="quoted"),
    ],
)
def test_one_odd_cell_does_not_slow_a_whole_export(
    tmp_path: Path, odd: dict[str, str], monkeypatch
) -> None:
    """The engine reads all other records: only one goes through the reader of single records."""
    from tests.unit.usage_kit import export

    read: list[int] = []
    real = usage_rows.fill

    def fill(stage, held, *rest):
        held = list(held)
        read.append(len(held))
        return real(stage, held, *rest)

    monkeypatch.setattr(usage_rows, "fill", fill)
    monkeypatch.setattr(usage_export, "LARGE", 0)
    path = tmp_path / "usage.csv"
    path.write_text(export(*[{}] * 9, odd, *[{}] * 9))
    intake = usage_export.read(source(path))
    assert intake.rows + intake.rejected == 19
    assert read in ([], [1])
    assert "CANARY" not in str(rows(intake))
    assert {path.name, Path(intake.staged or "").name} == {one.name for one in tmp_path.iterdir()}


@pytest.mark.long
@settings(max_examples=EXAMPLES)
@given(exports())
def test_no_row_is_lost_in_the_long_run(export: tuple[str, int]) -> None:
    """The same, many times."""
    no_row_is_lost(export)


@pytest.mark.long
@settings(max_examples=EXAMPLES)
@given(damaged())
def test_damaged_exports_in_the_long_run(content: bytes) -> None:
    """The same, many times."""
    never_a_traceback(content)
