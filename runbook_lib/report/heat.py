"""The picture of a verification: every case against every way it was played."""

from dataclasses import dataclass
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from runbook_lib import redact
from runbook_lib.report import figures

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

VERDICTS = ("ok", "warning", "error", "not played")
"""What a cell can be, best first; a field of the picture shows the worst played one it holds."""

_TONES = {"ok": "#9CC9E5", "warning": "#E69F00", "error": "#D55E00", "not played": "#EFEFEF"}
_LETTERS = {"warning": "#000000", "error": "#FFFFFF"}
_DURATIONS = ("", "once", "twice", "5s", "ever")
_ROW = 0.21
"""Inches a case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Field:
    """Cells of one case in one column: the worst verdict, how many have it, how many there are."""

    verdict: str
    bad: int
    played: int


def fields(frame: "pd.DataFrame") -> dict[tuple[str, tuple[str, str]], _Field]:
    """Sum cells to fields.

    Args:
        frame: One row a cell: `case`, `duration`, `stream` (bool), `verdict`.

    Returns:
        (case, ("whole" or "stream", duration)) → its field.
    """
    found = {}
    kinds = frame["stream"].map({True: "stream", False: "whole"})
    keys = [frame["case"], kinds.rename("kind"), frame["duration"].fillna("")]
    for (case, kind, duration), verdicts in frame["verdict"].groupby(keys, sort=False):
        counts = verdicts.value_counts()
        worst = next(
            (name for name in ("error", "warning", "ok") if counts.get(name, 0)), VERDICTS[-1]
        )
        bad = sum(int(counts.get(name, 0)) for name in ("error", "warning"))
        played = len(verdicts) - int(counts.get("not played", 0))
        found[str(case), (str(kind), str(duration))] = _Field(verdict=worst, bad=bad, played=played)
    return found


def words(frame: "pd.DataFrame") -> str:
    """Tell the picture in words.

    Args:
        frame: As `fields` takes it.

    Returns:
        Counts of cells by verdict, and the cases that hold an error.
    """
    counts = frame["verdict"].value_counts()
    told = [f"{int(counts.get(name, 0)):,} {name}" for name in VERDICTS if counts.get(name, 0)]
    cases = list(dict.fromkeys(frame.loc[frame["verdict"] == "error", "case"]))
    failed = f" Errors in {len(cases)}: {', '.join(cases)}." if cases else ""
    held = frame["case"].nunique()
    return f"{len(frame):,} cells of {held:,} cases: {', '.join(told)}.{failed}"


def picture(frame: "pd.DataFrame", _zone: ZoneInfo, *, title: str) -> figures.Picture:
    """Draw cases (down) against how they were played (across); the colour is the worst verdict.

    Args:
        frame: As `fields` takes it, in the order of the cases.
        title: Title of the picture.

    Returns:
        The picture with its words; the caption counts, the words also name what failed.
    """
    cases = list(dict.fromkeys(frame["case"]))
    found = fields(frame)
    held = {place for _, place in found}
    columns = [
        (kind, span) for kind in ("whole", "stream") for span in _DURATIONS if (kind, span) in held
    ]
    with figures.drawing(figures.WIDE, 1.3 + _ROW * max(3, len(cases))) as figure:
        axes = figure.subplots()
        for down, case in enumerate(cases):
            for across, place in enumerate(columns):
                _draw(axes, found.get((case, place)), across, down)
        _frame(axes, cases, columns)
        axes.set_title(redact.safe(title, limit=64), pad=34)
        _legend(axes)
        caption, _, failed = words(frame).partition(" Errors in")
        said = f"{title}. {caption}"
        told = f"{said} Errors in{failed}" if failed else said
        return figures.Picture(png=figures.png(figure), words=told, caption=said)


def _draw(axes: "Axes", field: _Field | None, across: int, down: int) -> None:
    from matplotlib.patches import Rectangle

    if field is None:
        return
    place = (across - 0.48, down - 0.44)
    axes.add_patch(Rectangle(place, 0.96, 0.88, facecolor=_TONES[field.verdict], linewidth=0))
    if field.verdict in _LETTERS:
        mark = "✕" if field.verdict == "error" else "!"
        count = f" {field.bad}/{field.played}" if field.played > 1 else ""
        axes.text(
            across,
            down,
            f"{mark}{count}",
            color=_LETTERS[field.verdict],
            size=9,
            ha="center",
            va="center_baseline",
        )


def _frame(axes: "Axes", cases: list[str], columns: list[tuple[str, str]]) -> None:
    axes.set_xlim(-0.5, max(1, len(columns)) - 0.5)
    axes.set_ylim(max(1, len(cases)) - 0.5, -0.5)
    axes.set_yticks(range(len(cases)), [redact.safe(case, limit=30) for case in cases], size=9)
    names = [f"{kind}\n{span or 'alone'}" for kind, span in columns]
    axes.set_xticks(range(len(columns)), names, size=9)
    axes.tick_params(length=0, labeltop=True, labelbottom=False)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _legend(axes: "Axes") -> None:
    from matplotlib.patches import Patch

    handles = [Patch(facecolor=_TONES[name], label=name) for name in VERDICTS]
    axes.legend(
        handles=handles,
        loc="upper center",
        bbox_to_anchor=(0.5, 0),
        ncols=4,
        frameon=False,
        fontsize=9,
    )
