"""Pictures: one helper that keeps their words, so that no evidence lives in pixels only.

`<figure><img alt=…><figcaption>` with the picture inside is the only form whose alternative text
survives in JupyterLab, in an untrusted notebook and under a strict content-security policy.
"""

import base64
import io
import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runbook_lib import redact
from runbook_lib.report import markup

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = {
    "bad": "#D55E00",
    "other": "#E69F00",
    "good": "#0072B2",
    "none": "#999999",
    "mark": "#000000",
    "faint": "#D9D9D9",
}
"""Colours that stay apart for colour-blind readers (Okabe and Ito)."""

WIDE = 5.6
"""Width in inches of a picture whose words can be read on a phone without scrolling."""

_DPI = 160
_SHOWN, _LEAST = 0.70, 0.41
"""Width at which a picture is shown, at most and at least, in parts of its own pixels."""

_LINE = 64
_STYLE: Any = {
    "font.size": 10.0,
    "font.family": ["DejaVu Sans"],
    "text.parse_math": False,  # a dollar sign in the data is a dollar sign
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#666666",
    "axes.titlesize": 11.0,
    "axes.titlelocation": "left",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture (PNG), all it says in words, and the short form of them that stands under it."""

    png: bytes
    words: str
    caption: str


@contextmanager
def drawing(width: float, height: float) -> Iterator["Figure"]:
    """Give an empty figure of a size in inches, in the house's style, without global state.

    Letters the font lacks are drawn as boxes without a warning: the words beside the picture have
    them right.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        yield Figure(figsize=(width, height), dpi=_DPI, layout="constrained", facecolor="white")


def title(axes: "Axes", text: str) -> None:
    """Write the title of a picture over its axes, on several lines where it is long."""
    axes.set_title("\n".join(textwrap.wrap(redact.safe(text, limit=180), _LINE)))


def short(name: object, most: int) -> str:
    """Shorten a name in its middle: names often differ at their ends only."""
    told = redact.safe(name)
    if len(told) <= most:
        return told
    tail = most // 2 - 1
    return f"{told[: most - tail - 1]}…{told[-tail:]}"


def png(figure: "Figure") -> bytes:
    """Draw a figure: the same bytes for the same figure."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    out = io.BytesIO()
    canvas: Any = FigureCanvasAgg
    canvas(figure).print_png(out, metadata={"Software": None})
    return out.getvalue()


def html(picture: Picture) -> str:
    """Put a picture and its words into one piece of HTML."""
    data, caption = base64.b64encode(picture.png).decode("ascii"), markup.text(picture.caption)
    width = int.from_bytes(picture.png[16:20], "big")  # where a PNG says it
    most, least = round(_SHOWN * width), round(_LEAST * width)
    return (
        '<figure tabindex="0" style="margin:8px 0;max-width:900px">'
        f'<img alt="{markup.text(picture.words)}" src="data:image/png;base64,{data}" '
        f'style="width:100%;max-width:{most}px;min-width:{least}px;height:auto;'
        'background-color:#ffffff;border-radius:4px">'
        f'<figcaption style="font-size:13px;margin-top:4px">{caption}</figcaption>'
        "</figure>"
    )
