"""The picture around a failure: what failed and what was answered, minute by minute."""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from runbook_lib import clock
from runbook_lib.report import figures

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

MOST_BARS = 240
"""Bars drawn; a longer span gets wider bars."""

_COUNTS = ["failed", "ok", "same"]
_WIDTHS = (1, 2, 5, 10, 15, 30, 60, 120, 360, 720, 1440)
_MARKS = (("onset", "first failure"), ("target", "this request"), ("end", "last failure"))


def wider(frame: "pd.DataFrame") -> tuple["pd.DataFrame", int]:
    """Sum minutes to bars, few enough to be told apart.

    Args:
        frame: One row a minute (UTC): `minute`, `failed`, `ok`, and as far as held `same`
            (failures with the same code).

    Returns:
        The frame with `minute` (start of the bar), `failed`, `ok`, `same`, and the minutes a bar.
    """
    import pandas as pd

    held = frame.set_index("minute").reindex(columns=_COUNTS).fillna(0)
    spanned = (held.index.max() - held.index.min()).total_seconds() / 60 + 1
    width = next((step for step in _WIDTHS if spanned / step <= MOST_BARS), _WIDTHS[-1])
    bars = held.groupby(pd.Grouper(freq=f"{width}min")).sum().astype(int)
    return bars.rename_axis("minute").reset_index(), width


def words(frame: "pd.DataFrame", marks: Mapping[str, Any], zone: ZoneInfo) -> str:
    """Tell the picture in words.

    Args:
        frame: Bars, as `wider` gives them.
        marks: Instants by name: onset, target, end.
        zone: Zone times are told in.

    Returns:
        One or two sentences.
    """
    failed, ok = int(frame["failed"].sum()), int(frame["ok"].sum())
    start, end = (
        clock.clock_time(at, zone, seconds=False)
        for at in (frame["minute"].min(), frame["minute"].max())
    )
    told = f"From {start} to {end}: {failed:,} failed, {ok:,} answered."
    if failed:
        peak = frame.iloc[int(frame["failed"].argmax())]
        at = clock.clock_time(peak["minute"], zone, seconds=False)
        told += f" Most failures in one bar: {int(peak['failed']):,} at {at}."
    said = [f"{name}: {clock.clock_time(marks[key], zone)}" for key, name in _MARKS if key in marks]
    return f"{told} Marked: {'; '.join(said)}." if said else told


def picture(frame: "pd.DataFrame", zone: ZoneInfo, *, title: str) -> figures.Picture:
    """Draw failures above answered requests, on the reporting zone's clock.

    Args:
        frame: As `wider` takes it; `attrs` may hold the instants `onset`, `target` and `end`.
        zone: Zone of the axis.
        title: Title of the picture.

    Returns:
        The picture with its words.
    """
    marks = {key: at for key, _ in _MARKS if isinstance(at := frame.attrs.get(key), datetime)}
    with figures.drawing(figures.WIDE, 4.0) as figure:
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[2.2, 1])
        if frame.empty:
            figures.title(top, title)
            told = f"{title}: no request in this span."
            return figures.Picture(png=figures.png(figure), words=told, caption=told)
        bars, width = wider(frame)
        _bars(top, bars, width)
        _answered(bottom, bars, width)
        _marks(top, marks)
        _clock(bottom, bars, zone)
        title = title if width == 1 else f"{title} (bars of {width} minutes)"
        figures.title(top, title)
        figure.legend(loc="outside lower left", frameon=False, fontsize=9, ncols=3)
        told = f"{title}. {words(bars, marks, zone)}"
        return figures.Picture(png=figures.png(figure), words=told, caption=told)


def _bars(axes: "Axes", bars: "pd.DataFrame", width: int) -> None:
    others = bars["failed"] - bars["same"].clip(upper=bars["failed"])
    wide: dict[str, Any] = {
        "width": width / 1440,
        "align": "edge",
        "linewidth": 0.4,
        "edgecolor": "white",
    }
    same = bars["failed"] - others
    if same.any():
        axes.bar(bars["minute"], same, color=figures.COLOURS["bad"], label="same failure", **wide)
    name = "other failures" if same.any() else "failures"
    if others.any() or not same.any():
        axes.bar(
            bars["minute"],
            others,
            bottom=same,
            color=figures.COLOURS["other"],
            hatch="///",
            label=name,
            **wide,
        )
    axes.set_ylabel("failed")
    axes.set_ylim(0, max(1, bars["failed"].max()) * 1.3)
    _whole_numbers(axes)


def _answered(axes: "Axes", bars: "pd.DataFrame", width: int) -> None:
    tone = figures.COLOURS["good"]
    axes.bar(
        bars["minute"], bars["ok"], width=width / 1440, align="edge", color=tone, label="answered"
    )
    axes.set_ylabel("answered")
    axes.set_ylim(0, max(1, bars["ok"].max()) * 1.1)
    _whole_numbers(axes)


def _whole_numbers(axes: "Axes") -> None:
    from matplotlib.ticker import MaxNLocator

    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.grid(axis="y", color="#E3E3E3", linewidth=0.7)
    axes.set_axisbelow(True)


def _marks(axes: "Axes", marks: Mapping[str, datetime]) -> None:
    from matplotlib import dates

    untyped: Any = dates
    top = axes.get_ylim()[1]
    heights = {"onset": 0.97, "target": 0.86, "end": 0.75}
    for key, name in _MARKS:
        if key in marks:
            line = ":" if key == "target" else "--"
            place = untyped.date2num(marks[key])
            axes.axvline(place, color=figures.COLOURS["mark"], lw=1.1, ls=line)
            axes.text(place, top * heights[key], f" {name} ", **_beside(axes, place))


def _beside(axes: "Axes", place: float) -> dict[str, Any]:
    left, right = axes.get_xlim()
    late = place > left + (right - left) * 0.8
    return {
        "size": 9,
        "va": "top",
        "ha": "right" if late else "left",
        "bbox": {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.5},
    }


def _clock(axes: "Axes", bars: "pd.DataFrame", zone: ZoneInfo) -> None:
    from matplotlib import dates

    untyped: Any = dates
    ticks = untyped.AutoDateLocator(tz=zone, minticks=3, maxticks=7)
    axes.xaxis.set_major_locator(ticks)
    axes.xaxis.set_major_formatter(untyped.ConciseDateFormatter(ticks, tz=zone))
    offset = bars["minute"].iloc[0].astimezone(zone).strftime("%z")
    axes.set_xlabel(f"time in {zone.key} (UTC{offset[:3]}:{offset[3:]})")
