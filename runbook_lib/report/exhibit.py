"""An exhibit as HTML and as text: a picture with the rows behind it, or the rows alone."""

from collections.abc import Callable
from zoneinfo import ZoneInfo

from runbook_lib import clock, findings, money, redact
from runbook_lib.report import (
    caps,
    columns,
    figures,
    heat,
    markup,
    minutes,
    spend,
    tables,
    timeline,
    to_type,
)

Drawer = Callable[..., figures.Picture]

CHARTS: dict[str, Drawer] = {
    "timeline": timeline.picture,
    "minutes": minutes.picture,
    "heat": heat.picture,
    "stacked": spend.stacked,
    "waterfall": spend.waterfall,
    "weekly": spend.weekly,
    "strip": spend.strip,
    "sizes": spend.sizes,
    "fan": caps.fan,
    "curves": caps.curves,
    "runway": caps.runway,
}
"""How each chart is drawn: frame and zone in, picture out."""


LAID_OUT = {"to_type"}
"""Exhibits whose table has a form of its own, a row a key."""


def counted(item: findings.Exhibit, *, folded: int = 0) -> str:
    """Say in one sentence which rows are not shown; empty when all are.

    Args:
        item: The exhibit.
        folded: Rows that can be folded out under those that are shown.
    """
    rows, told = len(item.frame), []
    held = [str(name) for name in tables.filled(item.frame).columns]
    programs = columns.FOR_PROGRAMS.intersection(map(str, item.frame.columns))
    chosen = {name for spec in columns.chosen(item) for name in spec.split("+")}
    if len(held) < len(item.frame.columns) - len(programs):
        told.append("Columns without a value are left out.")
    if programs or (chosen and not set(held) <= chosen):
        told.append(f"A run writes more columns to {item.name}.csv.")
    if rows > tables.MOST_SHOWN + folded:
        told.append(
            f"{tables.MOST_SHOWN + folded} of {rows:,} rows are shown; a run writes all of them to "
            f"{item.name}.csv."
        )
    elif rows > tables.MOST_SHOWN:
        told.append(f"A run writes all {rows:,} rows to {item.name}.csv.")
    if item.left_out:
        worth = f" ({money.usd(item.left_out_usd)})" if item.left_out_usd is not None else ""
        told.append(f"{item.left_out:,} more rows{worth} did not fit and are only counted.")
    return " ".join(told)


def html(item: findings.Exhibit) -> tuple[str, str]:
    """Make the HTML of an exhibit, and its words."""
    zone = clock.zone(item.timezone)
    if item.chart in CHARTS and not item.frame.empty:
        return _charted(item, zone)
    if item.frame.empty:
        told = f"{item.title}: none."
        empty = markup.paragraph(f"<em>{markup.text(told)}</em>")
        return empty + _note(item.note), redact.safe(told)
    chosen = columns.chosen(item)
    if item.name in LAID_OUT:
        return _by_key(item)
    laid_out = tables.columns(item.frame, zone, chosen=chosen)
    more, count = _more(item, zone)
    note = _note(" ".join(part for part in (item.note, counted(item, folded=count)) if part))
    table, title = tables.rows(laid_out, item.title), redact.safe(item.title)
    return f"{table}{more}{note}", f"{title}\n{tables.plain(laid_out)}"


def _by_key(item: findings.Exhibit) -> tuple[str, str]:
    """Make the table to type from: the first keys, and the next folded away."""
    laid_out, title = to_type.columns(item.frame), redact.safe(item.title)
    count, first = to_type.keys(item.frame), len(laid_out[0].cells)
    rest = to_type.columns(item.frame, first=first, most=tables.MOST_FOLDED)
    more = min(count - first, tables.MOST_FOLDED)
    folded = tables.rows(rest, f"{item.title}, continued")
    told = (
        "Under the number to type: what is set now, if anything is, and the odds of a trip. "
        f"A run writes all {count:,} keys to {item.name}.csv."
    )
    note = _note(" ".join(part for part in (item.note, told) if part))
    below = markup.details(f"The next {more} keys", folded) if more > 0 else ""
    return f"{tables.rows(laid_out, item.title)}{below}{note}", f"{title}\n{tables.plain(laid_out)}"


def _more(item: findings.Exhibit, zone: ZoneInfo) -> tuple[str, int]:
    """Fold the next rows of a table away; gives how many they are."""
    count = min(len(item.frame) - tables.MOST_SHOWN, tables.MOST_FOLDED)
    if count <= 0:
        return "", 0
    laid_out = tables.columns(
        item.frame, zone, chosen=columns.chosen(item), first=tables.MOST_SHOWN, most=count
    )
    summary = f"The next {count} rows" if count > 1 else "One more row"
    return markup.details(summary, tables.rows(laid_out, f"{item.title}, continued")), count


def _note(told: str) -> str:
    return markup.paragraph(markup.muted(markup.text(told))) if told else ""


def _charted(item: findings.Exhibit, zone: ZoneInfo) -> tuple[str, str]:
    picture = CHARTS[item.chart](item.frame, zone, title=item.title)
    laid_out = tables.columns(item.frame, zone, chosen=columns.chosen(item))
    table = tables.rows(laid_out, item.title) + _note(counted(item))
    behind = markup.details(f"The rows behind it ({len(item.frame):,})", table)
    told = redact.visible(redact.secrets(picture.words))
    return f"{figures.html(picture)}{_note(item.note)}{behind}", told
