"""Pictures: drawn whatever the data hold, with all they say in words, the same every time."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import made_report
import pandas as pd
import pytest

from runbook_lib.report import figures, minutes, timeline

ZONE = ZoneInfo("Asia/Shanghai")
PNG = b"\x89PNG"


def test_the_timeline_tells_attempts_and_waits_in_words() -> None:
    """Who cannot see the picture gets each attempt, its end and the wait before it."""
    picture = timeline.picture(made_report.attempts(), ZONE, title="Attempts")
    assert picture.png.startswith(PNG)
    assert "4 attempts" in picture.words
    assert "429 API_KEY_QUOTA_EXHAUSTED" in picture.words
    assert "after a wait of 2.5 s" in picture.words


def test_the_minutes_tell_counts_and_marks_in_words() -> None:
    """Counts, the peak, the first failure and this request, in the reporting zone."""
    picture = minutes.picture(made_report.minutes(), ZONE, title="Failures")
    assert picture.png.startswith(PNG)
    assert "470 failed, 2,454 answered" in picture.words
    assert "first failure: 2026-11-24 13:08:00 CST" in picture.words


@pytest.mark.parametrize("text", ["$x^2$ $\\frac", "名前 🔑", "a\nb", "%s {0}", "\u202eevil"])
def test_any_name_can_be_drawn(text: str) -> None:
    """A dollar sign is no formula, and a letter the font lacks is no warning."""
    frame = made_report.attempts(text).assign(code=text, label=text)
    assert timeline.picture(frame, ZONE, title=text).png.startswith(PNG)
    assert minutes.picture(made_report.minutes(), ZONE, title=text).png.startswith(PNG)


@pytest.mark.parametrize("rows", [0, 1, 200])
def test_any_number_of_attempts_can_be_drawn(rows: int) -> None:
    """None, one and too many: the picture stays readable, the words count all."""
    one = made_report.attempts()
    frame = pd.concat([one] * 50, ignore_index=True).head(rows)
    picture = timeline.picture(frame, ZONE, title="Attempts")
    assert picture.png.startswith(PNG)
    assert f"{rows} attempt" in picture.words


def test_columns_that_are_missing_are_no_fault() -> None:
    """A log without waits or codes still has a timeline."""
    frame = made_report.attempts()[["started_at", "duration_ms", "outcome"]]
    assert "refused" in timeline.picture(frame, ZONE, title="Attempts").words


@pytest.mark.parametrize(
    ("span_minutes", "width"),
    [
        pytest.param(1, 1, id="one-minute"),
        pytest.param(240, 1, id="four-hours"),
        pytest.param(241, 2, id="a-little-more"),
        pytest.param(60 * 24 * 7, 60, id="a-week"),
    ],
)
def test_a_long_span_gets_wider_bars_and_loses_no_failure(span_minutes: int, width: int) -> None:
    """Bars thinner than a pixel show nothing; their sum must stay."""
    start = datetime(2026, 3, 29, tzinfo=UTC)
    frame = pd.DataFrame(
        {
            "minute": pd.to_datetime([start + timedelta(minutes=m) for m in (0, span_minutes - 1)]),
            "failed": [3, 4],
            "ok": [1, 0],
        }
    )
    bars, got = minutes.wider(frame)
    assert got == width
    assert len(bars) <= minutes.MOST_BARS
    assert int(bars["failed"].sum()) == 7


def test_a_span_without_requests_is_drawn_empty() -> None:
    """Nothing in a window is an answer too."""
    picture = minutes.picture(made_report.minutes().iloc[:0], ZONE, title="Failures")
    assert "no request in this span" in picture.words


def test_the_same_rows_give_the_same_picture() -> None:
    """No version, date or random mark is in the file."""
    drawn = [timeline.picture(made_report.attempts(), ZONE, title="x") for _ in range(2)]
    assert drawn[0] == drawn[1]
    assert b"matplotlib" not in drawn[0].png.lower()


def test_a_picture_stands_in_html_with_its_words() -> None:
    """The one form that keeps its words in an untrusted notebook and on the page."""
    html = figures.html(figures.Picture(png=b"x", words='a "b" <c>', caption="<d>"))
    assert 'alt="a &quot;b&quot; &lt;c&gt;"' in html
    assert "data:image/png;base64,eA==" in html
    assert "&lt;d&gt;" in html


@pytest.mark.parametrize("drawer", [timeline.picture, minutes.picture])
def test_a_picture_fits_on_a_phone(drawer) -> None:
    """At 376 pixels nothing is cut off, and the smallest words are still eight pixels high."""
    frame = made_report.attempts() if drawer is timeline.picture else made_report.minutes()
    picture = drawer(frame, ZONE, title="Failures around the request, by minute " * 3)
    width = int.from_bytes(picture.png[16:20], "big")
    assert f"min-width:{round(figures._LEAST * width)}px" in figures.html(picture)
    assert figures._LEAST * width <= 376
    assert 9 / 72 * figures._DPI * 376 / width >= 8


def test_times_of_a_picture_are_in_the_asked_zone() -> None:
    """In its words and its caption alike."""
    for picture in (
        timeline.picture(made_report.attempts(), ZONE, title="Attempts"),
        minutes.picture(made_report.minutes(), ZONE, title="Failures"),
    ):
        assert "CST" in picture.caption
        assert "Z" not in picture.caption.replace("CST", "")
        assert "UTC" not in picture.caption
