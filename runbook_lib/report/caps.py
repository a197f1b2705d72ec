"""Pictures of caps: what is to come, what a cap lets through, and what ends first."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from runbook_lib import money
from runbook_lib.report import figures
from runbook_lib.report.spend import SHADES, dollars

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

MOST_KEYS = 7
"""Keys whose curves are drawn, the dearest; all are in the table."""

MOST_CLOCKS = 14
"""Limits that are drawn, the first to end; all are in the table."""


def fan(frame: "pd.DataFrame", _zone: ZoneInfo, *, title: str) -> figures.Picture:
    """Draw the spend of the last days, running up, and the spread of what is to come.

    Args:
        frame: Rows with `day` (date) and `spent_usd` (Decimal USD) of the past, then rows with
            `day` and `p10_usd`, `p50_usd`, `p90_usd`: totals from today to that day.
        title: Title of the picture.

    Returns:
        The picture; its words give the totals to come.
    """
    past = frame[frame["spent_usd"].notna()].tail(30)
    future = frame[frame["p50_usd"].notna()]
    with figures.drawing(figures.WIDE, 4.6) as figure:
        left, right = figure.subplots(2, 1)
        spent = past["spent_usd"].astype(float)
        left.bar(_numbers(past["day"]), spent, color=figures.COLOURS["good"])
        left.set_ylabel("spent, a day")
        _dates(left, most=6)
        dollars(left)
        figures.title(left, title)
        _to_come(right, future)
        said = "; ".join(
            f"to {row['day']}: {money.usd(row['p50_usd'])} "
            f"({money.usd(row['p10_usd'])} to {money.usd(row['p90_usd'])})"
            for row in future.to_dict("records")
        )
        told = f"{title}. Totals to come, p50 (p10 to p90): {said or 'none can be told'}."
        return figures.Picture(png=figures.png(figure), words=told, caption=told)


def _to_come(axes: "Axes", future: "pd.DataFrame") -> None:
    """Draw what adds up from today on, with its spread."""
    axes.set_ylabel("to come, in all")
    if future.empty:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "no forecast", ha="center", va="center", transform=axes.transAxes)
        return
    ends = _numbers(future["day"])
    days = [ends[0] - 1, *ends]
    low, mid, high = (
        [0.0, *future[name].astype(float)] for name in ("p10_usd", "p50_usd", "p90_usd")
    )
    axes.fill_between(days, low, high, color="#F3D9B1", label="p10 to p90")
    axes.plot(days, mid, color=figures.COLOURS["bad"], marker="o", ms=4, label="p50")
    axes.legend(loc="upper left", frameon=False, fontsize=9, ncols=2)
    axes.margins(y=0.2)
    axes.set_ylim(bottom=0)
    _dates(axes, most=6)
    dollars(axes)


def month(
    spent: Sequence[Mapping[str, Any]], end: Mapping[str, Any], *, factor: Decimal, unit: str
) -> figures.Picture:
    """Draw the spend of a month adding up, and where it ends, against the budget.

    Args:
        spent: Days with `day` (date) and `spent_usd` (Decimal USD or None), of this month or not.
        end: `month` ("2026-11"), `to_date_usd`, `days_left`, `p10_usd`, `p50_usd`, `p90_usd`,
            `budget_usd` (Decimal USD; None for unknown).
        factor: Units of the currency that is drawn for one USD.
        unit: Name of that currency.

    Returns:
        The picture; its words give the amounts.
    """
    first, last, today = _month_ends(str(end["month"]), int(end["days_left"] or 0))
    days, sums = _adding_up(spent, first, today)
    to_date, budget = float(end["to_date_usd"] * factor), end["budget_usd"]
    ends = [end[name] for name in ("p10_usd", "p50_usd", "p90_usd")]
    with figures.drawing(4.4, 2.6) as figure:
        axes = figure.subplots()
        days, sums = [*days, today], [*(value * float(factor) for value in sums), to_date]
        mark = "o" if len(days) == 1 else ""  # one point makes no line
        axes.plot(days, sums, color=figures.COLOURS["good"], lw=2, marker=mark, label="spent")
        if None not in ends and last > today:
            low, likely, high = (float(amount * factor) for amount in ends)
            axes.fill_between(
                [today, last], [to_date, low], [to_date, high], color="#F3D9B1", label="low to high"
            )
            axes.plot(
                [today, last], [to_date, likely], color=figures.COLOURS["bad"], label="likely"
            )
        if budget is not None:
            axes.axhline(
                float(budget * factor), color="#444444", ls=(0, (5, 3)), lw=1.2, label="budget"
            )
        axes.set_xlim(first, last)
        axes.set_ylim(0, 1.4 * max([*axes.get_ylim(), 1e-6]))
        _dates(axes, most=5)
        _units(axes, unit)
        axes.legend(loc="upper left", frameon=False, fontsize=9, ncols=2)
        figures.title(axes, f"Adding up by day, {unit}")
        told = [f"spent so far {_told(end['to_date_usd'], factor, unit)}"]
        if None not in ends:
            least, mid, most = (_told(amount, factor, unit) for amount in ends)
            told.append(f"by the month's end {mid} is likely, from {least} to {most}")
        told.append("no budget" if budget is None else f"budget {_told(budget, factor, unit)}")
        said = f"The month adding up: {'; '.join(told)}."
        return figures.Picture(png=figures.png(figure), words=said, caption=said)


def _month_ends(name: str, days_left: int) -> tuple[float, float, float]:
    """Give the first and the last day of a month, and the day it is told on, as numbers."""
    first = date.fromisoformat(f"{name}-01")
    last = (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)
    today = max(first, last - timedelta(days=max(0, days_left - 1)))
    return float(first.toordinal()), float(last.toordinal()), float(today.toordinal())


def _adding_up(
    spent: Sequence[Mapping[str, Any]], first: float, today: float
) -> tuple[list[float], list[float]]:
    days, sums, total = [], [], money.ZERO
    for row in spent:
        at, usd = float(row["day"].toordinal()), row["spent_usd"]
        if usd is not None and first <= at < today:
            total += usd
            days.append(at)
            sums.append(float(total))
    return days, sums


def _told(usd: Decimal, factor: Decimal, unit: str) -> str:
    told = money.usd(usd * factor)
    return told if unit == "USD" else f"{unit} {told.replace('$', '')}"


def _units(axes: "Axes", unit: str) -> None:
    """Write the vertical axis in a currency."""
    dollars(axes)
    if unit != "USD":
        axes.yaxis.set_major_formatter("{x:,.0f}")


def _numbers(days: Any) -> list[float]:
    return [float(day.toordinal()) for day in days]


def _dates(axes: "Axes", most: int = 9) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    low, high = axes.get_xlim()
    form = "%d %b" if high - low < 300 else "%b %Y"

    def told(value: float, _: object) -> str:
        return f"{date.fromordinal(round(value)):{form}}".lstrip("0") if value >= 1 else ""

    axes.xaxis.set_major_locator(MaxNLocator(most, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(told))


def curves(frame: "pd.DataFrame", _zone: ZoneInfo, *, title: str) -> figures.Picture:
    """Draw the odds of a trip, and what a loop costs, against the cap of a day.

    Args:
        frame: One row a key and cap: `key_name`, `cap_usd` (Decimal USD), `odds` (0–1),
            `loop_median_usd` (Decimal USD or None), `sized` (bool: the cap that is proposed).
        title: Title of the picture.

    Returns:
        The picture; its words give the proposed caps.
    """
    names = list(dict.fromkeys(frame["key_name"]))[:MOST_KEYS]
    with figures.drawing(figures.WIDE, 6.0) as figure:
        left, right = figure.subplots(2, 1)
        for place, name in enumerate(names):
            own = frame[frame["key_name"] == name]
            tone, caps = SHADES[place % len(SHADES)], own["cap_usd"].astype(float)
            label = figures.short(name, 20)
            left.plot(caps, 100 * own["odds"].astype(float), color=tone, label=label)
            burnt = own["loop_median_usd"].astype(float)
            right.plot(caps, burnt.where(burnt > 0), color=tone)  # nothing has no place on a log
            at = own[own["sized"].astype(bool)]
            left.scatter(at["cap_usd"].astype(float), 100 * at["odds"].astype(float), color=tone)
            burnt = at["loop_median_usd"].astype(float)
            right.scatter(at["cap_usd"].astype(float), burnt.where(burnt > 0), color=tone)
        for axes, label in ((left, "odds of a trip in a day, %"), (right, "cost of a loop, USD")):
            axes.set_xlim(float(frame["cap_usd"].min()) * 0.8, float(frame["cap_usd"].max()) * 1.2)
            axes.set_xscale("log")
            _amounts(axes.xaxis)
            axes.set_xlabel("cap of a day, USD")
            axes.set_ylabel(label)
            axes.grid(color="#E3E3E3", linewidth=0.7)
        if (frame["loop_median_usd"].dropna() > 0).any():
            right.set_yscale("log")
            _amounts(right.yaxis)
        if names:
            figure.legend(loc="outside lower left", ncols=3, frameon=False, fontsize=9)
        figures.title(left, title)
        said = _proposed(frame)
        told = f"{title}. Proposed, marked by a dot: {said or 'none'}."
        caption = f"{title}; a dot is the proposed cap." if said else told
        return figures.Picture(png=figures.png(figure), words=told, caption=caption)


def _amounts(axis: Any) -> None:
    """Write whole powers of ten as amounts, and nothing between them."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _proposed(frame: "pd.DataFrame") -> str:
    rows = frame[frame["sized"].astype(bool)].to_dict("records") if len(frame) else []
    return "; ".join(
        f"{row['key_name']} {money.usd(row['cap_usd'])} a day, {100 * row['odds']:.1f} % odds"
        for row in rows
    )


def runway(frame: "pd.DataFrame", _zone: ZoneInfo, *, title: str) -> figures.Picture:
    """Draw when caps and balances are used up, the first on top.

    Args:
        frame: One row a limit, soonest first: `what`, `key_name`, `window` (text or None),
            `runs_out_early` and `runs_out_on` (date or None: not within a year).
        title: Title of the picture.

    Returns:
        The picture; its words give the days of each.
    """
    rows = [row for row in frame.to_dict("records") if row["runs_out_early"] is not None]
    shown = rows[:MOST_CLOCKS]
    with figures.drawing(figures.WIDE, 1.2 + 0.3 * max(2, len(shown))) as figure:
        axes = figure.subplots()
        for place, row in enumerate(shown):
            early = float(row["runs_out_early"].toordinal())
            late = row["runs_out_on"]
            if late is not None:
                ends = [early, float(late.toordinal())]
                axes.plot(ends, [place, place], color=figures.COLOURS["faint"], lw=6, zorder=1)
                axes.scatter(ends[1], place, color=figures.COLOURS["good"], s=40, zorder=2)
            axes.scatter(early, place, color=figures.COLOURS["bad"], marker="D", s=30, zorder=3)
        axes.set_yticks(range(len(shown)), [_limit(row) for row in shown], size=9)
        axes.set_ylim(max(1, len(shown)) - 0.5, -0.5)
        _dates(axes, most=5)
        axes.grid(axis="x", color="#E3E3E3", linewidth=0.7)
        axes.set_xlabel("used up: diamond at p90, dot at p50")
        figures.title(axes, title)
        said = "; ".join(
            f"{_limit(row)}: {row['runs_out_early']} at p90, {row['runs_out_on'] or 'open'} at p50"
            for row in shown
        )
        more = f" {len(rows) - len(shown)} more are in the table." if rows[MOST_CLOCKS:] else ""
        told = f"{title}. {said or 'Nothing is used up within a year'}.{more}"
        return figures.Picture(png=figures.png(figure), words=told, caption=f"{title}.{more}")


def _limit(row: dict[Any, Any]) -> str:
    """Name a limit shortly: whose it is, then what; an environment's budget by its name."""
    who = row["key_name"] or row.get("account") or row.get("environment") or ""
    what = "" if row["what"] in ("key cap", "window") else row["what"]
    parts = (figures.short(who, 18) if who else "", what, row["window"])
    return " ".join(str(part) for part in parts if part)
