"""What to type for every key, a row a key: the table of the second page."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from runbook_lib import money
from runbook_lib.report import words
from runbook_lib.report.brief.facts import Row

WINDOWS = {"total": "Lifetime", "5h": "5 hours", "1d": "Day", "7d": "Week"}
"""Windows of a cap, as they are told."""

SIGNS = {"USD": "$", "CNY": "¥"}
"""Signs of the currencies, where both are typed."""

MOST_KEYS = 40
"""Keys that fit on the page beside what is told under the table."""


MOST_NAME = 23
"""Characters of a key's name that have room in the table."""

ACTS = ("replaced by ", "planned: ")
"""How notes begin that ask for an act beside typing."""

ROOMY = 26
"""Keys up to which the lines can stand further apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One key: its name with its account, its environment, and what to type by window.

    Attributes:
        month_usd: What the lifetime cap lets it spend until the review; None for unknown.
        cells: Row of each window, as the exhibit `to_type` has it.
        reason: Why nothing can be typed; empty where something can.
        act: What else is to be done with the key, such as deleting it; empty for nothing.
    """

    key_name: str
    environment: str
    month_usd: Decimal | None
    cells: dict[str, Row]
    reason: str
    act: str


def lines(rows: Sequence[Row]) -> list[Line]:
    """Give one line a key, dearest first; those without a number last."""
    found: dict[str, dict[str, Row]] = {}
    for row in rows:
        account = f" ({row['account']})" if row.get("account") else ""
        name = f"{row.get('key_name') or '(no name)'}{account}"
        found.setdefault(name, {})[str(row.get("window"))] = row
    made = [_line(name, cells) for name, cells in found.items()]
    return sorted(
        made,
        key=lambda line: (line.month_usd is None, -(line.month_usd or money.ZERO), line.key_name),
    )


def _line(name: str, cells: dict[str, Row]) -> Line:
    first = next(iter(cells.values()))
    total = cells.get("total", {})
    empty = all(cell.get("type") is None for cell in cells.values())
    return Line(
        key_name=name,
        environment=str(first.get("environment") or "not named"),
        month_usd=total.get("cap_usd"),
        cells=cells,
        reason=_reason(str(first.get("note") or "no history")) if empty else "",
        act="" if empty else _act(cells),
    )


def _reason(note: str) -> str:
    """Give why there is no number; what the export holds of the use is told for all keys below."""
    said = [part for part in note.split("; ") if not part.startswith("used so far")]
    return "; ".join(said)


def _act(cells: dict[str, Row]) -> str:
    """Give the notes of a key that ask for an act, each once."""
    notes = [str(cell.get("note") or "").split("; ") for cell in cells.values()]
    told = [part for parts in notes for part in parts if part.startswith(ACTS)]
    return "; ".join(dict.fromkeys(told))


def fitting(lines: Sequence[Line]) -> int:
    """Count the lines that fit on the page: a line with an act takes two."""
    room = MOST_KEYS
    for place, line in enumerate(lines):
        room -= 2 if line.act else 1
        if room < 0:
            return place
    return len(lines)


def number(amount: object) -> str:
    """Write an amount as one types it: no sign, no thousands; "–" for none."""
    if not isinstance(amount, Decimal):
        return "–"
    exact = money.plain(amount)
    decimals = len(exact.partition(".")[2])
    return f"{amount:.2f}" if decimals < 2 else exact


def odds(cell: Row) -> str:
    """Write the odds that honest use meets the cap; empty for unknown."""
    held = cell.get("odds")
    return words.share(float(held)) if isinstance(held, int | float) else ""


def currencies(rows: Sequence[Row]) -> list[str]:
    """Give the currencies that are typed."""
    return sorted({str(row["currency"]) for row in rows if row.get("currency")})
