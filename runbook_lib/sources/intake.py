"""What reading one file gives: tidy rows staged as Parquet, and everything that was left out.

Rows in = rows used + rows rejected + other lines; money in = money used + money rejected.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

MOST_OWNERS = 20
"""Accounts or users of one file that are kept apart by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One input as its reader gets it.

    Attributes:
        path: A plain local file, unpacked.
        staging: Folder for what is made of it.
        source_file: What rows and messages call it.
        account: Account the rows belong to; empty where there is one.
        zone: Zone of times without an offset, which are refused without it.
    """

    path: Path
    staging: Path
    source_file: str
    account: str = ""
    zone: ZoneInfo | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    """One record that could not be used.

    Attributes:
        row, line: Its number, and its line where it has one.
        reason: Why.
        sample: What it says, redacted; of a log only the names of its fields.
        field, value: The column that could not be read, and what stands there, short and redacted;
            empty where it is not one column.
    """

    row: int
    line: int | None
    reason: str
    sample: str = ""
    field: str = ""
    value: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """One file, read.

    Attributes:
        kind: Words for people: "usage export", "usage list", "call log", "OTLP spans",
            "LiteLLM log", "application log", "key inventory" …
        table: Name of the table in `schema.TABLES` its rows belong to.
        source_file: Name of the file (no folder); `sha256` of its bytes as stored,
            which `sources.read` adds: it is taken while the reader works.
        account: Account the rows belong to; empty where there is one.
        staged: Parquet file with every column of the table, in the order of the file, made by the
            reader in the staging folder; None when no row could be used.
        columns: Columns this file really carries; the others are null in every row.
        cost_decimals: Decimals of its costs: 8 for the console's CSV, 10 for its list.
        rows: Rows used; `rejected` rows that could not be; `other_lines` lines of an application
            log that are no calls (counted, neither used nor rejected).
        reasons: Rejected rows by reason. `rejects` holds at most the first 1,000 of them.
        usd_used, usd_rejected: Billed cost of the rows used, and of the rejected ones as far as
            their cost could be read.
        notes: What people should know: cut in the middle, a seam, a gap, a repeat.
        field_map: For a guessed log: our column → the field it was read from.
        owners: Accounts or users that its rows name, such as "user_id 8"; at most `MOST_OWNERS`.
    """

    kind: str
    table: str
    source_file: str
    sha256: str = ""
    account: str = ""
    staged: Path | None = None
    columns: frozenset[str] = frozenset()
    cost_decimals: int = 10
    rows: int = 0
    rejected: int = 0
    other_lines: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    rejects: Sequence[Reject] = ()
    usd_used: Decimal = Decimal(0)
    usd_rejected: Decimal = Decimal(0)
    first_at: datetime | None = None
    last_at: datetime | None = None
    notes: Sequence[str] = ()
    field_map: Mapping[str, str] = field(default_factory=dict)
    owners: frozenset[str] = frozenset()
