"""Pieces of HTML that look the same in JupyterLab, trusted or not, on the page and in print.

Only `style=` attributes are used, and only properties that JupyterLab's sanitizer keeps. Text takes
the colour of its surroundings, so it reads in a light and in a dark theme; what carries its own
colour carries its own background too. Every value passes through `text` before it gets here.
"""

import html
import re
from collections.abc import Iterable

from runbook_lib import redact

TONES = {
    "bad": "#c8372d",
    "warn": "#b7791f",
    "good": "#2c8a57",
    "plain": "#3a78b5",
    "mute": "#7a818a",
}
"""Colours of borders: each reads on white and on black, and none stands without its word."""

BADGES = {
    "critical": "#7f1416",
    "high": "#b3261e",
    "medium": "#855600",
    "low": "#2b5c8a",
    "info": "#555b63",
    "good": "#1d6b42",
}
"""Backgrounds of labels: white on each has a contrast of at least 5 to 1."""

MUTED = "opacity:0.78"
"""Style of what is secondary."""

_LONG_WORD = re.compile(r"[^\s<>]{15,}")
_JOINT = re.compile(r"([_.:/@,-])(?=\w{2})")
_CELL = "padding:5px 10px;vertical-align:top;border-bottom:1px solid rgba(127,127,127,0.35)"


def text(value: object) -> str:
    """Escape any value for HTML: no secret, no control character, nothing live."""
    return html.escape(redact.visible(redact.secrets(str(value))))


def soft(value: object) -> str:
    """Escape a value as `text` does, and let long words break behind their joints."""
    return _LONG_WORD.sub(lambda word: _JOINT.sub(r"\1<wbr>", word[0]), text(value))


def badge(label: str, kind: str) -> str:
    """Make a label such as HIGH; *kind* is a name of `BADGES`."""
    return (
        f'<span style="display:inline-block;background-color:{BADGES[kind]};color:#ffffff;'
        "font-size:12px;font-weight:600;line-height:1.5;padding:1px 8px;border-radius:3px;"
        f'margin-right:8px;white-space:nowrap">{text(label)}</span>'
    )


def muted(inner: str) -> str:
    """Make small secondary text of ready HTML."""
    return f'<span style="font-size:0.9em;{MUTED}">{inner}</span>'


def heading(label: str, *, level: int = 3) -> str:
    """Make a heading inside an output."""
    style = "margin:18px 0 6px 0;font-size:1.05em;font-weight:600;border:none"
    return f'<h{level} style="{style}">{text(label)}</h{level}>'


def paragraph(inner: str, *, style: str = "") -> str:
    """Make a paragraph of ready HTML."""
    return f'<p style="margin:4px 0;line-height:1.5;{style}">{inner}</p>'


def box(inner: str, *, tone: str) -> str:
    """Frame ready HTML with a coloured edge; *tone* is a name of `TONES`."""
    return (
        f'<div class="rb-box" style="border-left:6px solid {TONES[tone]};'
        "background-color:rgba(127,127,127,0.11);padding:14px 18px;margin:4px 0 14px 0;"
        f'border-radius:4px">{inner}</div>'
    )


def details(summary: str, inner: str) -> str:
    """Fold ready HTML away under a summary, itself ready HTML."""
    return (
        f'<details style="margin:6px 0"><summary style="cursor:pointer">{summary}</summary>'
        f"{inner}</details>"
    )


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Lay out pairs of a label and ready HTML side by side, as many as fit."""
    cells = "".join(
        '<div style="min-width:110px;max-width:420px">'
        f'<div style="font-size:12px;{MUTED}">{text(label)}</div>'
        f'<div style="font-weight:600;overflow-wrap:break-word">{value}</div></div>'
        for label, value in pairs
    )
    style = "display:flex;flex-wrap:wrap;gap:10px 28px;margin:8px 0 4px 0"
    return f'<div style="{style}">{cells}</div>' if cells else ""


def cell(
    inner: str,
    *,
    right: bool = False,
    title: str = "",
    nowrap: bool = False,
    wide: bool = False,
) -> str:
    """Make one cell of a table of ready HTML; *title* is shown when pointed at."""
    style = f"{_CELL};text-align:{'right' if right else 'left'}"
    style += ";white-space:nowrap" if nowrap or right else ""
    style += ";min-width:220px" if wide else ""
    hint = f' title="{text(title)}"' if title else ""
    return f'<td style="{style}"{hint}>{inner}</td>'


def header(label: str, *, right: bool = False) -> str:
    """Make the header of one column."""
    style = f"{_CELL};text-align:{'right' if right else 'left'};font-weight:600"
    return f'<th scope="col" style="{style}">{text(label)}</th>'


def table(caption: str, headers: Iterable[str], rows: Iterable[str], *, kind: str = "") -> str:
    """Make a table that scrolls by itself where it is too wide.

    Args:
        caption: Its title; read out with it.
        headers: What `header` gives, one a column.
        rows: Ready cells, one string a row.
        kind: Name of a class, for the page to lay it out on narrow screens.
    """
    body = "".join(f'<tr style="background:none">{row}</tr>' for row in rows)
    style = "border-collapse:collapse;margin:0;font-size:13px;line-height:1.45;min-width:50%"
    title = "text-align:left;font-weight:600;padding:4px 0 6px 0;caption-side:top;color:inherit"
    return (
        f'<div class="rb-scroll" tabindex="0" role="group" aria-label="{text(caption)}" '
        f'style="overflow-x:auto;margin:6px 0"><table class="rb-table {kind}" style="{style}">'
        f'<caption style="{title}">{text(caption)}</caption>'
        f"<thead><tr>{''.join(headers)}</tr></thead><tbody>{body}</tbody></table></div>"
    )
