"""Charts of spend and caps: legible on a phone, whatever the rows hold."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import made_report
import pandas as pd
import pytest

from runbook_lib.report import caps, figures, heat, minutes, spend, timeline
from runbook_lib.report.exhibit import CHARTS

ZONE = ZoneInfo("UTC")
DAY = date(2026, 11, 24)
LONG = "a-service-with-a-long-name-" * 4


def _days(count: int) -> list[date]:
    return [DAY + timedelta(days=at) for at in range(count)]


def _fan(past: int = 40, future: int = 3) -> pd.DataFrame:
    rows: list[dict[str, Any]] = [
        {"day": day - timedelta(days=past), "spent_usd": Decimal("3.5")} for day in _days(past)
    ]
    rows += [
        {"day": day, **{f"p{at}_usd": Decimal(at) for at in (10, 50, 90)}}
        for day in (DAY, DAY + timedelta(days=6), DAY + timedelta(days=29))[:future]
    ]
    columns = ["day", "spent_usd", "p10_usd", "p50_usd", "p90_usd"]
    return pd.DataFrame(rows, columns=columns, dtype=object)


def _curves(burnt: object = Decimal("1.5")) -> pd.DataFrame:
    rows = [
        {
            "key_name": f"{LONG}{key}",
            "cap_usd": Decimal(cap),
            "odds": 1 / cap,
            "loop_median_usd": burnt,
            "sized": cap == 3,
        }
        for key in range(9)
        for cap in (1, 2, 3, 9)
    ]
    return pd.DataFrame(rows)


def _clocks() -> pd.DataFrame:
    rows = [
        {
            "what": what,
            "account": "partner" if what == "balance" else None,
            "key_name": None if what in ("balance", "budget") else LONG,
            "environment": "prod" if what == "budget" else None,
            "window": "1d" if what == "window" else None,
            "runs_out_early": DAY + timedelta(days=at * 40),
            "runs_out_on": None if at % 2 else DAY + timedelta(days=at * 50),
        }
        for at, what in enumerate(["balance", "budget", "key cap", "window"] * 5)
    ]
    return pd.DataFrame(rows, dtype=object)


def _steps(before: str, *steps: str) -> pd.DataFrame:
    rows = [{"step": "before", "usd": Decimal(before), "total": True}]
    rows += [
        {"step": f"step {at}", "usd": Decimal(usd), "total": False} for at, usd in enumerate(steps)
    ]
    whole = sum((Decimal(usd) for usd in steps), Decimal(before))
    return pd.DataFrame([*rows, {"step": "now", "usd": whole, "total": True}])


def _by_day() -> pd.DataFrame:
    rows = [
        (f"2026-11-{day:02d}", f"{LONG}{name}", 1, Decimal(name))
        for day in range(1, 31)
        for name in range(11)
    ]
    return pd.DataFrame(rows, columns=["day_local", "model", "requests", "cost_usd"])


def _weekly(one: str = "9.5") -> pd.DataFrame:
    days = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
    rows = [
        (day, hour, Decimal(one) if (day, hour) == ("Sat", 3) else Decimal("0.1"))
        for day in days
        for hour in range(24)
    ]
    return pd.DataFrame(rows, columns=["weekday", "hour", "cost_usd"])


def _strip() -> pd.DataFrame:
    start = datetime(2026, 11, 16, tzinfo=UTC)
    return pd.DataFrame(
        {
            "start": pd.to_datetime([start + timedelta(hours=at) for at in range(100)], utc=True),
            "observed_usd": [Decimal("0.5")] * 100,
            "low_usd": [None] * 50 + [Decimal("0.1")] * 50,
            "high_usd": [None] * 50 + [Decimal("0.7")] * 50,
            "mark": [""] * 99 + ["spike"],
        }
    )


def _sizes() -> pd.DataFrame:
    edges = [None, *(Decimal(1).scaleb(at) for at in range(-5, 2)), None]
    rows = [(low, high, 5, Decimal(2)) for low, high in pairwise(edges)]
    return pd.DataFrame(rows, columns=["from_usd", "to_usd", "requests", "cost_usd"])


def _heat() -> pd.DataFrame:
    rows = [
        (f"{LONG}{at}", span, at % 2 == 0, "error")
        for at in range(9)
        for span in (None, "once", "twice", "5s", "ever")
    ]
    return pd.DataFrame(rows, columns=["case", "duration", "stream", "verdict"])


FRAMES = {
    "timeline": made_report.attempts,
    "minutes": made_report.minutes,
    "heat": _heat,
    "stacked": _by_day,
    "waterfall": lambda: _steps("55.88", "2.19", "-3.37", "0", "5.19"),
    "weekly": _weekly,
    "strip": _strip,
    "sizes": _sizes,
    "fan": _fan,
    "curves": _curves,
    "runway": _clocks,
}


@pytest.mark.parametrize("name", FRAMES)
def test_every_chart_is_legible_on_a_phone(name: str) -> None:
    """At 376 pixels nothing is cut off, and words are still eight pixels high."""
    picture = CHARTS[name](FRAMES[name](), ZONE, title="What is drawn, and in which unit " * 4)
    width = int.from_bytes(picture.png[16:20], "big")
    assert figures._LEAST * width <= 376
    assert 9 / 72 * figures._DPI * 376 / width >= 8
    assert len(picture.words) > 40
    assert len(picture.caption) <= len(picture.words)


def test_every_chart_is_tried() -> None:
    """A chart that is added has to fit a phone as well."""
    assert set(FRAMES) == set(CHARTS)
    drawers = {timeline.picture, minutes.picture, heat.picture, spend.stacked, caps.fan}
    assert drawers <= set(CHARTS.values())


@pytest.mark.parametrize(
    ("frame", "floor"),
    [
        pytest.param(_steps("55.88", "2.19", "-3.37", "5.19"), 51.0, id="small-steps"),
        pytest.param(_steps("10", "12", "-3"), 0.0, id="large-steps"),
        pytest.param(_steps("0", "3"), 0.0, id="from-nothing"),
        pytest.param(_steps("5", "-7"), 0.0, id="below-zero"),
        pytest.param(_steps("0", "0"), 0.0, id="nothing"),
    ],
)
def test_steps_too_thin_to_see_raise_the_axis(frame: pd.DataFrame, floor: float) -> None:
    """Steps of 4 % on bars from 0 are lines; where the axis starts elsewhere it says so."""
    assert spend._floor(frame.to_dict("records")) == floor
    assert spend.waterfall(frame, ZONE, title="Why").png


def test_one_dear_hour_does_not_pale_the_others() -> None:
    """The colours are those of usual hours."""
    assert spend._usual_most(_weekly()["cost_usd"].astype(float)) == pytest.approx(0.15)
    assert spend._usual_most(_weekly("0.1")["cost_usd"].astype(float)) == pytest.approx(0.1)
    assert spend._usual_most(pd.Series([0.0, 0.0])) == 1.0


@pytest.mark.parametrize(
    ("frame", "told"),
    [
        pytest.param(_fan(future=0), "none can be told", id="no-forecast"),
        pytest.param(_fan(past=0), "to 2026-12-23: $50.00 ($10.00 to $90.00)", id="no-past"),
    ],
)
def test_a_fan_is_drawn_from_what_there_is(frame: pd.DataFrame, told: str) -> None:
    """A key of yesterday has no forecast, and its days are still shown."""
    assert told in caps.fan(frame, ZONE, title="Spent").words


@pytest.mark.parametrize("burnt", [Decimal(0), None], ids=["nothing", "unknown"])
def test_a_loop_that_costs_nothing_has_no_place_on_a_log(burnt: object) -> None:
    """It is left out of the line and still in the words."""
    assert "$3.00 a day" in caps.curves(_curves(burnt), ZONE, title="Odds").words


@pytest.mark.parametrize(
    ("name", "told"),
    [
        pytest.param("prod-web", "prod-web", id="short"),
        pytest.param("a-service-with-a-long-name-041", "a-service-…name-041", id="long"),
    ],
)
def test_a_long_name_keeps_its_end(name: str, told: str) -> None:
    """Names often differ there only."""
    assert figures.short(name, 19) == told


@pytest.mark.parametrize("steps", [("27.85", "0"), ("27.85", "-30"), ("0", "0")])
def test_an_amount_over_a_bar_does_not_reach_the_title(
    steps: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step of no height at the top once took the room away that its amount stands in."""
    drawn = []
    monkeypatch.setattr(figures, "png", lambda figure: drawn.append(figure) or b"")
    spend.waterfall(_steps("0", *steps), ZoneInfo("UTC"), title="Why spend moved")
    (axes,) = drawn[0].axes
    low, high = axes.get_ylim()
    top = max([0.0, *(bar.get_bbox().y1 for bar in axes.patches)])
    assert high - top >= 0.1 * (high - low)


def test_a_month_that_began_today_has_a_mark() -> None:
    """One point makes no line: the legend would name what is not there."""
    end = {
        "month": "2026-11",
        "to_date_usd": Decimal("27.85"),
        "days_left": 7,
        "budget_usd": None,
        **dict.fromkeys(("p10_usd", "p50_usd", "p90_usd")),
    }
    drawn = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "png", lambda figure: drawn.append(figure) or b"")
        caps.month([], end, factor=Decimal(1), unit="USD")
    (line,) = drawn[0].axes[0].get_lines()
    assert line.get_marker() == "o"
