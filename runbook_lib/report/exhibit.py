"""An exhibit as HTML and as text: a picture with the rows behind it, or the rows alone."""

from collections.abc import Callable
from zoneinfo import ZoneInfo

from runbook_lib import clock, findings, money, redact
from runbook_lib.report import caps, figures, heat, markup, minutes, spend, tables, timeline

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


def counted(item: findings.Exhibit) -> str:
    """Say in one sentence which rows are not shown; empty when all are."""
    rows, told = len(item.frame), []
    held = [str(name) for name in tables.filled(item.frame).columns]
    chosen = {name for spec in item.columns for name in spec.split("+")}
    if len(held) < len(item.frame.columns):
        told.append("Columns without a value are left out.")
    if chosen and not set(held) <= chosen:
        told.append(f"A run writes more columns to {item.name}.csv.")
    if rows > tables.MOST_SHOWN:
        told.append(
            f"{tables.MOST_SHOWN} of {rows:,} rows are shown; a run writes all of them to "
            f"{item.name}.csv."
        )
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
    laid_out = tables.columns(item.frame, zone, chosen=item.columns)
    note = _note(" ".join(part for part in (item.note, counted(item)) if part))
    table, title = tables.rows(laid_out, item.title), redact.safe(item.title)
    return f"{table}{note}", f"{title}\n{tables.plain(laid_out)}"


def _note(told: str) -> str:
    return markup.paragraph(markup.muted(markup.text(told))) if told else ""


def _charted(item: findings.Exhibit, zone: ZoneInfo) -> tuple[str, str]:
    picture = CHARTS[item.chart](item.frame, zone, title=item.title)
    laid_out = tables.columns(item.frame, zone, chosen=item.columns)
    table = tables.rows(laid_out, item.title) + _note(counted(item))
    behind = markup.details(f"The rows behind it ({len(item.frame):,})", table)
    told = redact.visible(redact.secrets(picture.words))
    return f"{figures.html(picture)}{_note(item.note)}{behind}", told
