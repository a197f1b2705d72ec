"""Tables: what can be read at a glance, short enough to scroll past, and nothing lost."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from zoneinfo import ZoneInfo

import live_nodes
import made_report
import pandas as pd
import pytest

from runbook_lib import findings
from runbook_lib.report import answer, columns, csv_text, exhibit, tables

UTC = ZoneInfo("UTC")


def _text(html: str) -> str:
    return " ".join("".join(live_nodes.parsed(html).text).split())


def _rows(count: int) -> findings.Exhibit:
    frame = pd.DataFrame({"name": [f"row {at:03d}" for at in range(count)], "share": 0.25})
    return findings.Exhibit(name="held", title="Held", frame=frame)


@pytest.mark.parametrize(
    ("value", "name", "told"),
    [
        pytest.param(0.92227723203, "share", "92.2 %", id="share"),
        pytest.param(1.1522, "used_share", "115.2 %", id="share-over-one"),
        pytest.param(4.61, "burn_rate", "4.61", id="ratio"),
        pytest.param(0.00641459451, "usd_per_request", "$0.0064", id="unit-cost"),
        pytest.param(2688.758540553, "tokens_per_request", "2,689", id="large"),
        pytest.param(0.0038, "sleep_s", "0.0038", id="small"),
        pytest.param(0.0, "sleep_s", "0", id="zero"),
        pytest.param(Decimal("789.85832682"), "balance_after", "789.86", id="amount"),
        pytest.param(Decimal("0.006"), "set_now", "0.006", id="typed"),
        pytest.param(date(2026, 11, 24), "review_on", "2026-11-24", id="day"),
    ],
)
def test_a_number_has_the_digits_that_people_read(value, name: str, told: str) -> None:
    """Sixteen digits are noise; two of a small amount are not."""
    assert tables.shown(value, name, UTC).told == told


@pytest.mark.parametrize(
    ("name", "head"),
    [
        pytest.param("duration_ms", "Duration (ms)", id="unit"),
        pytest.param("usd_per_1k_output", "USD per 1,000 output", id="unit-cost"),
        pytest.param("p90_usd", "p90 (USD)", id="quantile"),
        pytest.param("ip_address", "IP address", id="address"),
        pytest.param("ts", "Time", id="time"),
        pytest.param("", "Value", id="empty"),
    ],
)
def test_a_head_reads_as_words(name: str, head: str) -> None:
    """Names of columns are for programs."""
    assert columns.head(name) == head


@pytest.mark.parametrize(
    ("rows", "folded", "note"),
    [
        pytest.param(15, "", "", id="few"),
        pytest.param(16, "One more row", "A run writes all 16 rows to held.csv.", id="one-more"),
        pytest.param(65, "The next 50 rows", "A run writes all 65 rows to held.csv.", id="all"),
        pytest.param(900, "The next 50 rows", "65 of 900 rows are shown", id="many"),
    ],
)
def test_a_long_table_shows_its_first_rows_and_names_the_file(
    rows: int, folded: str, note: str
) -> None:
    """A page one scrolls for minutes is not read; what is folded away or left out is said."""
    html, plain = exhibit.html(_rows(rows))
    text = _text(html)
    assert folded in text
    assert note in text
    assert ("A run writes" in text) is (15 < rows <= 65)
    assert f"row {min(rows, 65) - 1:03d}" in text
    assert len(plain.splitlines()) == 2 + min(rows, 15)


def test_what_is_for_programs_is_in_the_file_only() -> None:
    """The gateway's own fields as JSON make every row as high as a hand."""
    frame = pd.DataFrame({"key_name": ["web"], "extra": ['{"id": 88397}'], "slot": [1994465]})
    item = findings.Exhibit(name="held", title="Held", frame=frame)
    text = _text(exhibit.html(item)[0])
    assert "88397" not in text
    assert "A run writes more columns to held.csv." in text
    assert "88397" in csv_text.of_frame(frame)


def test_spend_by_any_name_shows_its_unit_costs_first() -> None:
    """What a name costs is read before how its tokens part."""
    frame = pd.DataFrame(
        {
            "owner": ["a"],
            "cache_write_1h_tokens": [7],
            "requests": [3],
            "share": [0.5],
            "usd_per_request": [0.0064145945],
        }
    )
    chosen = columns.chosen(findings.Exhibit(name="by_owner", title="x", frame=frame))
    assert list(chosen)[:4] == ["owner", "requests", "cost_usd", "share"]
    assert "cache_write_1h_tokens" not in chosen
    own = findings.Exhibit(name="by_owner", title="x", frame=frame, columns=["owner"])
    assert list(columns.chosen(own)) == ["owner"]


@pytest.mark.parametrize(
    ("number", "written"),
    [
        pytest.param(0.9222772320372388, "0.922277", id="share"),
        pytest.param(2688.7585405531026, "2688.76", id="unit"),
        pytest.param(1234567.891, "1234568.0", id="whole-part-is-kept"),
        pytest.param(-0.000123456789, "-0.000123457", id="small"),
        pytest.param(5058.0, "5058.0", id="measured"),
        pytest.param(0.0, "0.0", id="zero"),
    ],
)
def test_a_measure_is_written_to_six_digits(number: float, written: str) -> None:
    """The rest is the arithmetic of machines; counts and money stay exact."""
    assert csv_text.value(number) == written
    assert csv_text.value(Decimal("0.9222772320")) == "0.922277232"
    assert csv_text.value(12345678901) == "12345678901"


def test_an_act_is_written_once_and_its_place_each_time() -> None:
    """The place of another key would send people to the wrong one."""
    made = made_report.report()
    steps = [
        findings.NextStep(text="Look.", where=f"usage_drilldown with key_name {name}")
        for name in ("web", "web", "batch")
    ]
    found = [replace(made.findings[0], next_step=one) for one in steps]
    html = answer.html(replace(made, findings=found))
    text = _text(html.partition("What to do</th>")[2])
    assert text.count("Look.") == 1
    assert text.count("As above.") == 2
    assert text.count("with key_name web") == 1
    assert "As above. Where: usage_drilldown with key_name batch." in text


def test_a_verdict_about_no_failure_names_no_side() -> None:
    """An undecided side beside caps would be a riddle."""
    made = made_report.report()
    verdict = replace(made.verdict, cause="caps_sized", domain=None, code=None)
    assert "Must act" not in _text(answer.html(replace(made, verdict=verdict)))


def _to_type(count: int) -> findings.Exhibit:
    rows = [
        {
            "account": None,
            "key_name": f"key-{at:03d}",
            "environment": "prod",
            "window": window,
            "type": None if (at, window) == (1, "7d") else Decimal("5.4"),
            "currency": "USD",
            "cap_usd": Decimal(900 - at),
            "set_now": Decimal("30.0000000000") if window == "1d" else None,
            "odds": 0.0318,
            "review_on": date(2026, 12, 22),
            "note": "no number",
        }
        for at in range(count)
        for window in ("total", "1d", "7d", "5h")
    ]
    return findings.Exhibit(name="to_type", title="Type", frame=pd.DataFrame(rows, dtype=object))


def test_the_table_to_type_from_has_a_row_a_key() -> None:
    """Four windows of a key are typed in one form, so they stand in one row."""
    html, plain = exhibit.html(_to_type(2))
    text = _text(html)
    assert html.count("<tr style") == 2
    assert "5.40 USDnow 30.00 · 3.2 %" in text
    assert "5.40 USD3.2 %" in text
    assert "–no number" in text
    assert "2026-12-22" in text
    assert "A run writes all 2 keys to to_type.csv." in text
    assert len(plain.splitlines()) == 4


def test_many_keys_to_type_are_folded_away() -> None:
    """The dearest first; the file has all."""
    text = _text(exhibit.html(_to_type(99))[0])
    assert "The next 50 keys" in text
    assert "key-074" in text
    assert "key-075" not in text
    assert "A run writes all 99 keys to to_type.csv." in text
