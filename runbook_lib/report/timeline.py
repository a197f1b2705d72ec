"""The picture of one call: its attempts one under the other, and the waits between them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from runbook_lib import clock, redact
from runbook_lib.report import figures
from runbook_lib.report.tables import absent

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

MOST_DRAWN = 24
"""Attempts drawn; the table under the picture has all."""

_OUTCOMES = {
    "ok": ("good", "answered"),
    "refused": ("bad", "refused"),
    "broken": ("other", "answer not whole"),
    "no_answer": ("none", "no answer"),
    "abandoned": ("faint", "given up by the caller"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt as drawn: seconds since the first one, and what it says."""

    start_s: float
    length_s: float
    wait_s: float | None
    outcome: str
    name: str
    result: str


def attempts(frame: "pd.DataFrame") -> list[Attempt]:
    """Read the attempts of a frame, at most `MOST_DRAWN` of them.

    Args:
        frame: One row an attempt, in order: `started_at`, `duration_ms`, `outcome`, and as far as
            held `attempt`, `wait_ms` (before it), `status`, `code`, `model`, `label`.

    Returns:
        What is drawn, in the order of the frame.
    """
    lines = frame.head(MOST_DRAWN).to_dict("records")
    if not lines:
        return []
    first = min(line["started_at"] for line in lines)
    return [_attempt(line, first, place) for place, line in enumerate(lines, start=1)]


def _attempt(line: Mapping[Any, Any], first: datetime, place: int) -> Attempt:
    def held(name: str) -> Any:
        value = line.get(name)
        return None if absent(value) else value

    status, code, wait = held("status"), held("code"), held("wait_ms")
    outcome = str(held("outcome") or "")
    length = float(held("duration_ms") or 0) / 1000
    words = [str(status)] if status is not None else []
    words += [str(code)] if code else []
    told = " ".join(words) or _OUTCOMES.get(outcome, ("", outcome))[1]
    number = held("attempt")
    name = held("label") or " ".join(
        str(part) for part in (number if number is not None else place, held("model")) if part
    )
    return Attempt(
        start_s=(line["started_at"] - first).total_seconds(),
        length_s=length,
        wait_s=None if wait is None else float(wait) / 1000,
        outcome=outcome,
        name=redact.safe(name, limit=28),
        result=f"{redact.safe(told, limit=34)} · {span(length)}",
    )


def span(seconds: float) -> str:
    """Write a short length of time: "85 ms", "2.5 s", "3 min"."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 120 else clock.ago(timedelta(seconds=seconds))


def words(drawn: Sequence[Attempt], total: int) -> str:
    """Tell the picture in words."""
    told = "; ".join(
        f"{item.name} at +{item.start_s:.1f} s: {item.result}"
        + (f", after a wait of {span(item.wait_s)}" if item.wait_s else "")
        for item in drawn[:12]
    )
    more = f"; and {total - 12} more" if total > 12 else ""
    return f"{counted(total)}. {told}{more}."


def counted(total: int) -> str:
    """Count attempts in words."""
    return f"{total} attempt{'s' if total != 1 else ''}"


def picture(frame: "pd.DataFrame", zone: ZoneInfo, *, title: str) -> figures.Picture:
    """Draw the attempts of a call.

    Args:
        frame: As `attempts` takes it.
        zone: Zone of the instant the seconds are counted from.
        title: Title of the picture.

    Returns:
        The picture with its words.
    """
    drawn, caption = attempts(frame), f"{title}: {counted(len(frame))}."
    with figures.drawing(figures.WIDE, max(1.7, 1.2 + 0.5 * len(drawn))) as figure:
        axes = figure.subplots()
        unit = _draw(axes, drawn)
        if drawn:
            at = clock.clock_time(frame["started_at"].min(), zone)
            axes.set_xlabel(f"{unit} since {at}")
            first, last = (
                clock.clock_time(frame["started_at"].iloc[place], zone) for place in (0, -1)
            )
            caption = f"{caption[:-1]}, {first} to {last}."
        figures.title(axes, title)
        told = f"{title}. {words(drawn, len(frame))}"
        return figures.Picture(png=figures.png(figure), words=told, caption=caption)


def _draw(axes: "Axes", drawn: Sequence[Attempt]) -> str:
    """Draw the bars, each under its words; gives the unit of the axis in words."""
    last = max((item.start_s + item.length_s for item in drawn), default=1.0) or 0.001
    thinnest = last * 0.006
    for place, item in enumerate(drawn):
        tone = _OUTCOMES.get(item.outcome, ("none", ""))[0]
        length = max(item.length_s, thinnest)
        axes.barh(
            place,
            length,
            left=item.start_s,
            height=0.42,
            color=figures.COLOURS[tone],
            hatch="///" if item.outcome == "no_answer" else None,
            edgecolor="#444444",
            linewidth=0.6,
        )
        axes.text(0, place - 0.27, f"{item.name}: {item.result}", size=9, va="bottom")
        if item.wait_s and place:
            _wait(axes, item, place, last)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_xlim(-last * 0.01, last * 1.02)
    axes.set_ylim(len(drawn) - 0.6, -0.9)
    axes.grid(axis="x", color="#E3E3E3", linewidth=0.7)
    axes.set_axisbelow(True)
    if last >= 1:
        return "seconds"
    axes.xaxis.set_major_formatter(lambda value, _: f"{value * 1000:g}")
    return "milliseconds"


def _wait(axes: "Axes", item: Attempt, place: int, last: float) -> None:
    """Draw the wait before an attempt, with its length where there is room behind the words."""
    start = item.start_s - (item.wait_s or 0)
    axes.plot([start, item.start_s], [place, place], color="#666666", lw=1.1, ls=(0, (2, 2)))
    if item.wait_s and item.wait_s > last * 0.2:
        told = f"waits {span(item.wait_s)}"
        middle = (start + item.start_s) / 2
        axes.text(middle, place + 0.06, told, size=9, ha="center", va="top", color="#444444")
