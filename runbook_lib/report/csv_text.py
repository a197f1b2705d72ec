"""Rows as CSV for programs and spreadsheets: exact money, times in UTC, and no live formula.

A text that a spreadsheet would run as a formula gets an apostrophe in front (OWASP ASVS 1.2.10,
CWE-1236); numbers are left as they are.
"""

import csv
import io
import math
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from runbook_lib import clock, money, redact
from runbook_lib.report.tables import absent

if TYPE_CHECKING:
    import pandas as pd

DIGITS = 6
"""Digits of a number that is no amount and no count."""

_LIVE = ("=", "+", "-", "@", "\t", "\r", "\n", "\0", "＝", "＋", "－", "＠")


def harmless(text: str) -> str:
    """Make a text that no spreadsheet runs, without secrets or control characters."""
    told = redact.visible(redact.secrets(text))
    return f"'{told}" if text.startswith(_LIVE) or text.lstrip().startswith(_LIVE) else told


def measured(number: float) -> float:
    """Round a share or a measure to six digits, more where its whole part has more."""
    if not math.isfinite(number) or number == 0:
        return number
    return round(number, max(0, DIGITS - 1 - math.floor(math.log10(abs(number)))))


def value(item: Any) -> str:
    """Write one value: amounts exactly, other numbers readably, times in UTC, else nothing."""
    if absent(item):
        return ""
    if hasattr(item, "item") and not isinstance(item, datetime):
        item = item.item()
    if isinstance(item, bool):
        return "true" if item else "false"
    if isinstance(item, Decimal):
        return money.plain(item)
    if isinstance(item, int | float):
        return repr(item if isinstance(item, int) else measured(item))
    if isinstance(item, datetime) and item.utcoffset() is not None:
        return clock.stamp(item)
    if isinstance(item, list | tuple | set):
        return harmless(", ".join(map(str, item)))
    return harmless(item.isoformat() if isinstance(item, date) else str(item))


def of_frame(frame: "pd.DataFrame") -> str:
    """Write a whole frame as CSV.

    Args:
        frame: Any frame; its index is not written.

    Returns:
        One header line, then a line a row; lines end in a line feed.
    """
    columns = [[value(item) for item in frame.iloc[:, at]] for at in range(len(frame.columns))]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([harmless(str(name)) for name in frame.columns])
    writer.writerows(zip(*columns, strict=True))
    return out.getvalue()
