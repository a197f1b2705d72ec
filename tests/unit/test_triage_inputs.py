"""How good the data are: what was left out and what no file covers is said, never hidden."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from runbook_lib.analysis.inputs import findings_of_inputs
from runbook_lib.analysis.words import counted
from runbook_lib.clock import Window
from runbook_lib.errors import InputError
from runbook_lib.findings import Input, Status
from runbook_lib.runbooks.incidents import triage
from runbook_lib.store import Store

AT = datetime(2026, 11, 24, tzinfo=UTC)
HOUR = Window(start=AT, end=AT + timedelta(hours=1))
DAY = Window(start=AT - timedelta(days=1), end=AT + timedelta(days=1))
OLD = Window(start=AT - timedelta(days=9), end=AT - timedelta(days=8))


def held(rejected: int) -> Input:
    """One file with so many records that could not be read."""
    return Input(name="usage.csv", kind="usage export", sha256="0", rows=9, rejected=rejected)


def test_rejected_records_are_a_finding() -> None:
    """A row that could not be read may be the one that is looked for."""
    (found,) = findings_of_inputs([held(3), held(0)], HOUR, {"usage": DAY, "calls": DAY})
    assert (found.rule, found.value, len(found.evidence)) == ("input-rejected", 3, 1)


@pytest.mark.parametrize("span", [pytest.param(None, id="none"), pytest.param(OLD, id="elsewhere")])
def test_a_time_no_file_covers_is_told_and_left_open(span: Window | None) -> None:
    """Then a missing row proves nothing."""
    (found,) = findings_of_inputs([], HOUR, {"usage": span, "calls": DAY})
    assert (found.rule, found.status) == ("input-gap", Status.UNKNOWN)
    assert "usage export" in found.title


def test_whole_data_need_no_word() -> None:
    """Nothing is said where nothing is missing."""
    assert list(findings_of_inputs([held(0)], HOUR, {"usage": DAY, "calls": DAY})) == []


@pytest.mark.parametrize(
    ("number", "noun", "told"),
    [
        (1, "key", "1 key"),
        (2, "key", "2 keys"),
        (0, "entry", "0 entries"),
    ],
)
def test_counts_stand_with_their_noun(number: int, noun: str, told: str) -> None:
    """One key, two keys: a wrong plural is a defect."""
    assert counted(number, noun) == told


@pytest.mark.parametrize("text", ["", "\n \n", "\ufeff\n"], ids=["empty", "blank", "mark-only"])
def test_a_file_without_ids_is_told_by_its_name(tmp_path: Path, text: str) -> None:
    """The list of the night was empty: that is another fault than a wrong parameter."""
    (tmp_path / "ids.txt").write_text(text)
    with pytest.raises(InputError, match=r"ids\.txt holds no id; put an id on each of its lines\."):
        triage(Store(tmp_path, read_only=False), f"@{tmp_path / 'ids.txt'}")


def test_the_time_no_file_covers_is_told_in_the_asked_zone() -> None:
    """The same clock as everywhere in the report."""
    place = ZoneInfo("Asia/Shanghai")
    spans = {"usage": DAY, "calls": None}
    (gap,) = findings_of_inputs([], HOUR, spans, place=place)
    assert gap.title == "No call log covers 2026-11-24 08:00:00 CST to 09:00:00 CST"
