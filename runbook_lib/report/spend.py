"""Pictures of spend: by day, why it moved, when in the week, against its band, and by size."""

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from runbook_lib import clock, money, redact
from runbook_lib.report import figures

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

SHADES = (
    *("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442"),
    *("#7F7F7F", "#4B3B8F", "#A0522D"),
)
"""Colours of names that stay apart for colour-blind readers (Okabe and Ito, and three more)."""

_OTHER = "(other)"
_HATCHES = ("", "//", "..", "xx", "\\\\")


def stacked(frame: "pd.DataFrame", _zone: ZoneInfo, *, title: str) -> figures.Picture:
    """Draw spend by day, one bar a day, a part a name.

    Args:
        frame: One row a day and name: `day_local` (text), the name in the second column,
            `cost_usd` (Decimal USD).
        title: Title of the picture.

    Returns:
        The picture; its words give every day's sum.
    """
    by = str(frame.columns[1])
    days = sorted(set(frame["day_local"]))
    sums = frame.groupby(by)["cost_usd"].sum().astype(float).sort_values(ascending=False)
    names = [*(name for name in sums.index if name != _OTHER), *_there(_OTHER, sums.index)]
    totals = frame.groupby("day_local")["cost_usd"].sum()
    with figures.drawing(figures.WIDE, 4.2) as figure:
        axes = figure.subplots()
        bottom = dict.fromkeys(days, 0.0)
        for place, name in enumerate(names):
            part = frame[frame[by] == name].set_index("day_local")["cost_usd"].astype(float)
            heights = [float(part.get(day, 0.0)) for day in days]
            axes.bar(
                range(len(days)),
                heights,
                bottom=[bottom[day] for day in days],
                color=SHADES[place % len(SHADES)],
                hatch=_HATCHES[place // len(SHADES) % len(_HATCHES)],
                label=figures.short(name, 20),
                linewidth=0.4,
                edgecolor="white",
            )
            for day, height in zip(days, heights, strict=True):
                bottom[day] += height
        _days(axes, days)
        dollars(axes)
        figures.title(axes, title)
        if names:
            figure.legend(loc="outside lower left", frameon=False, fontsize=9, ncols=3)
        said = "; ".join(f"{day} {money.usd(totals[day])}" for day in days)
        told = f"{title}. {said or 'Nothing was spent'}."
        return figures.Picture(png=figures.png(figure), words=told, caption=_caption(title, totals))


def _there(name: str, names: Any) -> list[str]:
    return [name] if name in names else []


def _caption(title: str, totals: "pd.Series") -> str:
    if totals.empty:
        return f"{title}: nothing was spent."
    dearest, most = max(totals.to_dict().items(), key=lambda item: item[1])
    whole = money.usd(money.total(totals))
    if len(totals) == 1:
        return f"{title}: {whole} on {dearest}."
    return f"{title}: {whole} in {len(totals)} days, most on {dearest} ({money.usd(most)})."


def _days(axes: "Axes", days: Sequence[str]) -> None:
    step = max(1, -(-len(days) // 8))
    places = range(0, len(days), step)
    axes.set_xticks(list(places), [days[place][5:] for place in places], size=9)
    axes.set_xlim(-0.6, max(1, len(days)) - 0.4)


def dollars(axes: "Axes") -> None:
    """Write the vertical axis in USD, whole amounts without cents."""
    from matplotlib.ticker import FuncFormatter

    def told(value: float, _: object) -> str:
        return money.usd(Decimal(str(round(float(value), 6)))).removesuffix(".00")

    axes.yaxis.set_major_formatter(FuncFormatter(told))
    axes.grid(axis="y", color="#E3E3E3", linewidth=0.7)
    axes.set_axisbelow(True)


def waterfall(frame: "pd.DataFrame", _zone: ZoneInfo, *, title: str) -> figures.Picture:
    """Draw how one sum became another, a bar a step.

    Args:
        frame: One row a step: `step` (text), `usd` (Decimal USD), `total` (bool: it stands on the
            ground; the others stand on what came before).
        title: Title of the picture.

    Returns:
        The picture; its words give every step.
    """
    rows = frame.to_dict("records")
    floor = _floor(rows)
    with figures.drawing(figures.WIDE, 3.6) as figure:
        axes = figure.subplots()
        level = 0.0
        for place, row in enumerate(rows):
            base, level = level, level + float(row["usd"])
            if row["total"]:
                base, level = floor, float(row["usd"])
            _step(axes, row, place, base, level)
            if place + 1 < len(rows):
                axes.plot([place + 0.31, place + 0.69], [level, level], color="#666666", lw=0.8)
        names = ["\n".join(redact.safe(row["step"], limit=18).split()) for row in rows]
        axes.set_xticks(range(len(rows)), names, size=9)
        _with_room(axes, floor)
        axes.axhline(floor, color="#666666", lw=0.8)
        dollars(axes)
        figures.title(axes, title)
        if floor:
            axes.set_ylabel(f"axis starts at {money.usd(Decimal(str(round(floor, 6))))}", size=9)
        said = "; ".join(f"{row['step']} {_signed(row)}" for row in rows)
        told = f"{title}: {said}."
        return figures.Picture(png=figures.png(figure), words=told, caption=told)


def _with_room(axes: "Axes", floor: float) -> None:
    """Leave room for the amounts over the bars; those of no height give none by themselves."""
    shown = axes.dataLim if axes.patches else None
    low = min(floor, shown.y0) if shown else floor
    high = max(floor, shown.y1) if shown else floor
    room = 0.16 * (high - low) or 1.0
    axes.set_ylim(low - room if low < floor else low, high + room)


def _floor(rows: Sequence[dict[Any, Any]]) -> float:
    """Where the axis starts: 0, or nearer to the steps where they would be too thin to see."""
    levels, level = [], 0.0
    for row in rows:
        level = float(row["usd"]) if row["total"] else level + float(row["usd"])
        levels.append(level)
    low, high = min(levels, default=0.0), max(levels, default=0.0)
    if low <= 0 or high - low > 0.4 * low:
        return 0.0
    unit = float(Decimal(10) ** Decimal(str(high - low or low)).adjusted())
    return max(0.0, (low - 0.6 * (high - low)) // unit * unit)


def _signed(row: dict[Any, Any]) -> str:
    sign = "+" if row["usd"] > 0 and not row["total"] else ""
    return f"{sign}{money.usd(row['usd'])}"


def _step(axes: "Axes", row: dict[Any, Any], place: int, base: float, level: float) -> None:
    """Draw one bar of a waterfall with its amount over it."""
    tone = "none" if row["total"] else "bad" if level > base else "good"
    axes.bar(place, level - base, bottom=base, color=figures.COLOURS[tone], width=0.62)
    axes.annotate(
        _signed(row),
        (place, max(base, level)),
        xytext=(0, 3),
        textcoords="offset points",
        ha="center",
        size=9,
    )


def weekly(frame: "pd.DataFrame", _zone: ZoneInfo, *, title: str) -> figures.Picture:
    """Draw spend by weekday and hour of the local clock.

    Args:
        frame: 168 rows: `weekday` (Mon–Sun), `hour` (0–23), `cost_usd` (Decimal USD).
        title: Title of the picture.

    Returns:
        The picture; its words name the dearest and the quietest hours.
    """
    days = list(dict.fromkeys(frame["weekday"]))
    held = frame.assign(usd=frame["cost_usd"].astype(float))
    table = held.pivot(index="weekday", columns="hour", values="usd").reindex(days)
    darkest = _usual_most(held["usd"])
    with figures.drawing(figures.WIDE, 2.9) as figure:
        axes = figure.subplots()
        shown = axes.imshow(table.to_numpy(), aspect="auto", cmap="Blues", vmin=0, vmax=darkest)
        axes.set_yticks(range(len(days)), days)
        axes.set_xticks(range(0, 24, 3), [f"{hour:02d}" for hour in range(0, 24, 3)])
        axes.set_xlabel("hour of the local clock")
        above = "max" if float(held["usd"].max()) > darkest else "neither"
        bar = figure.colorbar(shown, ax=axes, pad=0.02, extend=above)
        bar.set_label("USD an hour")
        figures.title(axes, title)
        order = held.sort_values("usd", ascending=False, kind="stable").head(3)
        most = ", ".join(
            f"{row['weekday']} {row['hour']:02d}:00 ({money.usd(row['cost_usd'])})"
            for row in order.to_dict("records")
            if row["cost_usd"]
        )
        whole = held["usd"].sum()
        weekend = held.loc[held["weekday"].isin(["Sat", "Sun"]), "usd"].sum()
        share = f" The weekend has {100 * weekend / whole:.0f} % of it." if whole > 0 else ""
        told = f"{title}. Dearest hours: {most or 'none'}.{share}"
        return figures.Picture(png=figures.png(figure), words=told, caption=told)


def _usual_most(usd: "pd.Series") -> float:
    """The darkest colour: few hours far above all others do not make the rest look the same."""
    spent = usd[usd > 0]
    if spent.empty:
        return 1.0
    return float(min(spent.max(), 1.5 * spent.quantile(0.95)))


def strip(frame: "pd.DataFrame", zone: ZoneInfo, *, title: str) -> figures.Picture:
    """Draw one key's spend by hour inside the band that its own past expects.

    Args:
        frame: One row an hour: `hour` (start, aware), `observed_usd`, `low_usd`, `high_usd`
            (Decimal USD; None where no past tells), `mark` (text, empty for none).
        zone: Zone of the axis.
        title: Title of the picture.

    Returns:
        The picture; its words name the marked hours.
    """
    cost = frame["observed_usd"].astype(float)
    hit = frame[frame["mark"] != ""]
    with figures.drawing(figures.WIDE, 3.0) as figure:
        axes = figure.subplots()
        axes.fill_between(
            frame["start"],
            frame["low_usd"].astype(float).clip(lower=0),
            frame["high_usd"].astype(float),
            color="#CFE3F1",
            step="post",
            label="expected by its own past",
        )
        axes.step(frame["start"], cost, where="post", color=figures.COLOURS["good"], lw=1.1)
        axes.scatter(
            hit["start"],
            hit["observed_usd"].astype(float),
            color=figures.COLOURS["bad"],
            s=22,
            zorder=3,
            label="unlike its past",
        )
        top = max(1e-9, float(cost.max()) if len(cost) else 0.0)
        axes.set_ylim(0, top * 1.25)
        _clock(axes, zone)
        axes.legend(loc="upper left", frameon=False, fontsize=9, ncols=2)
        dollars(axes)
        figures.title(axes, title)
        marked = [
            f"{clock.clock_time(at, zone, seconds=False)} {money.usd(usd)}"
            for at, usd in zip(hit["start"][:12], hit["observed_usd"][:12], strict=True)
        ]
        more = f" and {len(hit) - 12} more" if len(hit) > 12 else ""
        steps = "minutes" if "minute" in set(frame.get("grain", ())) else "hours"
        said = f"{len(hit)} of {len(frame)} {steps} unlike its past"
        caption = f"{title}: {said}."
        words = f"{caption[:-1]}: {'; '.join(marked)}{more}." if marked else caption
        return figures.Picture(png=figures.png(figure), words=words, caption=caption)


def _clock(axes: "Axes", zone: ZoneInfo) -> None:
    from matplotlib import dates

    untyped: Any = dates
    ticks = untyped.AutoDateLocator(tz=zone, minticks=3, maxticks=7)
    axes.xaxis.set_major_locator(ticks)
    axes.xaxis.set_major_formatter(untyped.ConciseDateFormatter(ticks, tz=zone))


def sizes(frame: "pd.DataFrame", _zone: ZoneInfo, *, title: str) -> figures.Picture:
    """Draw how many requests cost how much, and where the money is.

    Args:
        frame: One row a band: `from_usd`, `to_usd` (Decimal USD; None for no end), `requests`,
            `cost_usd` (Decimal USD).
        title: Title of the picture.

    Returns:
        The picture; its words give the shares of the dearest bands.
    """
    rows = frame.to_dict("records")
    names = [_band(row) for row in rows]
    counts = [int(row["requests"]) for row in rows]
    spent = [float(row["cost_usd"]) for row in rows]
    shares = [
        [100 * value / sum(values) if sum(values) else 0.0 for value in values]
        for values in (counts, spent)
    ]
    with figures.drawing(figures.WIDE, 1.2 + 0.32 * max(3, len(rows))) as figure:
        axes = figure.subplots()
        for shift, (label, tone, values) in zip(
            (-0.2, 0.2),
            (("requests", "good", shares[0]), ("spend", "other", shares[1])),
            strict=True,
        ):
            places = [place + shift for place in range(len(rows))]
            tint = figures.COLOURS[tone]
            axes.barh(places, values, height=0.38, color=tint, label=f"% of {label}")
        axes.set_yticks(range(len(rows)), names, size=9)
        axes.set_ylim(max(1, len(rows)) - 0.4, -0.6)
        axes.set_xlabel("share, %")
        axes.grid(axis="x", color="#E3E3E3", linewidth=0.7)
        axes.set_axisbelow(True)
        figure.legend(loc="outside lower right", frameon=False, fontsize=9, ncols=2)
        figures.title(axes, title)
        said = "; ".join(
            f"{name}: {count:,} requests, {money.usd(row['cost_usd'])}"
            for name, count, row in zip(names, counts, rows, strict=True)
        )
        told = f"{title}. {said or 'No request'}."
        return figures.Picture(png=figures.png(figure), words=told, caption=f"{title}.")


def _band(row: dict[Any, Any]) -> str:
    low, high = row["from_usd"], row["to_usd"]
    if isinstance(high, Decimal) and isinstance(low, Decimal):
        return f"{money.usd(low)}–{money.usd(high)}" if high > low else money.usd(low)
    return f"from {money.usd(low)}" if isinstance(low, Decimal) else f"below {money.usd(high)}"
