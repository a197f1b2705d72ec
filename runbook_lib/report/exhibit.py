"""An exhibit as HTML and as text: a picture with the rows behind it, or the rows alone."""

from collections.abc import Callable
from zoneinfo import ZoneInfo

from runbook_lib import clock, findings, money, redact
from runbook_lib.report import figures, heat, markup, minutes, spend, tables, timeline

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
}
"""How each chart is drawn: frame and zone in, picture out."""


def counted(item: findings.Exhibit) -> str:
    """Say in one sentence which rows are not shown; empty when all are."""
    rows, told = len(item.frame), []
    if len(tables.filled(item.frame).columns) < len(item.frame.columns):
        told.append("Columns without a value are left out.")
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
    if item.chart in CHARTS:
        return _charted(item, zone)
    if item.frame.empty:
        told = f"{item.title}: none."
        empty = markup.paragraph(f"<em>{markup.text(told)}</em>")
        return empty + _note(item.note), redact.safe(told)
    table = tables.rows(tables.filled(item.frame), item.title, zone)
    note = _note(" ".join(part for part in (item.note, counted(item)) if part))
    return (
        f"{table}{note}",
        f"{redact.safe(item.title)}\n{tables.plain(tables.filled(item.frame), zone)}",
    )


def _note(told: str) -> str:
    return markup.paragraph(markup.muted(markup.text(told))) if told else ""


def _charted(item: findings.Exhibit, zone: ZoneInfo) -> tuple[str, str]:
    picture = CHARTS[item.chart](item.frame, zone, title=item.title)
    behind = ""
    if not item.frame.empty:
        table = tables.rows(tables.filled(item.frame), item.title, zone) + _note(counted(item))
        behind = markup.details(f"The rows behind it ({len(item.frame):,})", table)
    told = redact.visible(redact.secrets(picture.words))
    return f"{figures.html(picture)}{_note(item.note)}{behind}", told
