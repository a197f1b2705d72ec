"""An exhibit as HTML and as text: a picture with the rows behind it, or the rows alone."""

from collections.abc import Callable
from zoneinfo import ZoneInfo

from runbook_lib import clock, findings, money, redact
from runbook_lib.report import figures, markup, minutes, tables, timeline

Drawer = Callable[..., tuple[bytes, str]]

CHARTS: dict[str, Drawer] = {"timeline": timeline.picture, "minutes": minutes.picture}
"""How each chart is drawn: frame and zone in, picture and its words out."""


def counted(item: findings.Exhibit) -> str:
    """Say in one sentence which rows are not shown; empty when all are."""
    rows, told = len(item.frame), []
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
    notes = " ".join(part for part in (item.note, counted(item)) if part)
    note = markup.paragraph(markup.muted(markup.text(notes))) if notes else ""
    if item.chart in CHARTS:
        return _charted(item, zone, note)
    if item.frame.empty:
        told = f"{item.title}: none."
        return markup.paragraph(f"<em>{markup.text(told)}</em>") + note, told
    table = tables.rows(item.frame, item.title, zone)
    return f"{table}{note}", f"{redact.safe(item.title)}\n{tables.plain(item.frame, zone)}"


def _charted(item: findings.Exhibit, zone: ZoneInfo, note: str) -> tuple[str, str]:
    picture, told = CHARTS[item.chart](item.frame, zone, title=item.title)
    figure = figures.html(picture, alt=told, caption=item.title)
    behind = ""
    if not item.frame.empty:
        table = tables.rows(item.frame, item.title, zone)
        behind = markup.details(f"The rows behind it ({len(item.frame):,})", table)
    return f"{figure}{note}{behind}", redact.visible(redact.secrets(told))
