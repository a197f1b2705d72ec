"""How good the data are: what was left out and what no file covers is said, never hidden."""

from datetime import UTC, datetime, timedelta

import pytest

from runbook_lib.analysis.inputs import findings_of_inputs
from runbook_lib.analysis.words import counted
from runbook_lib.clock import Window
from runbook_lib.findings import Input, Status

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
