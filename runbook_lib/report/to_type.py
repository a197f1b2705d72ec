"""The table to type from as people read it: a row a key, a column a window."""

from typing import TYPE_CHECKING

from runbook_lib.report import words
from runbook_lib.report.brief import typed
from runbook_lib.report.tables import ABSENT, Column, Shown, absent

if TYPE_CHECKING:
    import pandas as pd


def columns(frame: "pd.DataFrame", *, first: int = 0, most: int = 25) -> list[Column]:
    """Lay out what to type, a row a key, dearest first.

    Args:
        frame: As the exhibit `to_type` has it: a row a key and window.
        first: Number of the first key shown.
        most: Keys shown.

    Returns:
        Key, environment, a column a window with what is set and the odds under the number, and the
        day of the review.
    """
    rows = [
        {str(name): None if absent(value) else value for name, value in row.items()}
        for row in frame.to_dict("records")
    ]
    lines = typed.lines(rows)[first : first + most]
    kept = [
        Column(head="Key", cells=[[_named(line)] for line in lines]),
        Column(head="Environment", cells=[[_text(line.environment)] for line in lines]),
    ]
    for window, name in typed.WINDOWS.items():
        cells = [[_cell(line, window)] for line in lines]
        kept.append(Column(head=f"{name} ({window})", cells=cells))
    days = [next((cell.get("review_on") for cell in line.cells.values()), None) for line in lines]
    return [*kept, Column(head="Review on", cells=[[_text(str(day or ABSENT))] for day in days])]


def keys(frame: "pd.DataFrame") -> int:
    """Count the keys of a frame.

    Args:
        frame: As the exhibit `to_type` has it; reads `account` and `key_name`.

    Returns:
        Keys; a name in two accounts is two.
    """
    names = [name for name in ("account", "key_name") if name in frame.columns]
    return int(frame[names].drop_duplicates().shape[0])


def _text(told: str) -> Shown:
    return Shown(told=told, whole=len(told) <= typed.MOST_NAME)


def _named(line: typed.Line) -> Shown:
    """Give the name of a key; under it why nothing is typed, or what else is to be done with it."""
    under = line.reason or line.act
    whole = len(line.key_name) <= typed.MOST_NAME and not under
    return Shown(told=line.key_name, under=under, whole=whole)


def _cell(line: typed.Line, window: str) -> Shown:
    """Give the number to type in a window; under it what is set, and the odds of a trip."""
    cell = line.cells.get(window, {})
    if cell.get("type") is None:
        why = "" if line.reason else str(cell.get("note") or "")
        return Shown(told=ABSENT, under=why, right=True)
    number = f"{typed.number(cell['type'])} {cell.get('currency') or ''}".strip()
    now, share = cell.get("set_now"), cell.get("odds")
    under = [f"now {typed.number(now)}"] if now is not None else []
    under += [words.share(share)] if isinstance(share, int | float) else []
    return Shown(told=number, under=" · ".join(under), right=True)
