"""What the questions give: small frames with what was left out of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """What taking in one file did.

    Attributes:
        source_file: Name of the file; `table` and `kind` of its rows.
        rows: Rows used; `repeated` of them were held already, by this file or by another.
        rejected: Rows that could not be used.
        already: The very same file had been taken in before: nothing was done.
        elsewhere: Other accounts under which the same bytes are held, and count as well.
        notes: What people should know of it.
    """

    source_file: str
    table: str
    kind: str
    rows: int
    repeated: int
    rejected: int
    already: bool = False
    elsewhere: Sequence[str] = ()
    notes: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What some ids stand for.

    Attributes:
        usage, calls: The rows, in the columns of their tables and `asked_id`, the id that led to
            the row; a row that several ids lead to stands once for each.
        missing: The ids that lead to no row.
    """

    usage: "pd.DataFrame"
    calls: "pd.DataFrame"
    missing: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Single rows, bounded.

    Attributes:
        frame: The rows, in the columns of their table.
        total: Rows the filter means; `left_out` of them did not fit.
        left_out_usd: What those were billed; None for a table without costs.
    """

    frame: "pd.DataFrame"
    total: int
    left_out: int
    left_out_usd: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """Usage rows against attempts, joined by the id that both know.

    Attributes:
        both: Usage rows with an attempt; `both_usd` billed for them, `both_failed` of the attempts
            failed for the client all the same.
        only_usage: Usage rows no log explains; `only_usage_usd` billed for them.
        only_calls: Attempts without a usage row; `only_calls_failed` of them failed.
        usage_without_id, calls_without_id: Rows that no id can join: part of the only-counts.
    """

    both: int = 0
    both_usd: Decimal = Decimal(0)
    both_failed: int = 0
    only_usage: int = 0
    only_usage_usd: Decimal = Decimal(0)
    only_calls: int = 0
    only_calls_failed: int = 0
    usage_without_id: int = 0
    calls_without_id: int = 0
