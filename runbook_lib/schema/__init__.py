"""The tables: every column with its type, unit, meaning and the names others give it.

OpenTelemetry names are those of the GenAI semantic conventions 1.37, FOCUS names those of 1.2.
`ts` is an aware UTC instant; null is unknown, zero is measured. `input_tokens` never contains
cached tokens. `source_file` and `row_number` lead a row back to its line: the number of the record
in its file, the header not counted.
"""

from runbook_lib.schema.columns import FOCUS_VERSION, OTEL_VERSION, SQL_TYPES, Column, Table
from runbook_lib.schema.others import (
    AUDIT,
    BUDGET,
    KEY_STATE,
    KEYS,
    LEDGER,
    PLAN_WINDOWS,
    PLANNED,
    PRICES,
    REFUSALS,
)
from runbook_lib.schema.rows import CALLS, USAGE

__all__ = [
    "AUDIT",
    "BUDGET",
    "CALLS",
    "FOCUS_VERSION",
    "KEYS",
    "KEY_STATE",
    "LEDGER",
    "OTEL_VERSION",
    "OUTCOMES",
    "PLANNED",
    "PLAN_WINDOWS",
    "PRICES",
    "REFUSALS",
    "ROWS",
    "SQL_TYPES",
    "TABLES",
    "USAGE",
    "Column",
    "Table",
]

TABLES: dict[str, Table] = {
    table.name: table
    for table in (USAGE, CALLS, REFUSALS, KEYS, KEY_STATE, AUDIT, LEDGER, BUDGET, PRICES, PLANNED)
}
"""Every table by its name."""

ROWS = ("usage", "calls")
"""The big tables: they live as Parquet behind the questions of the store; the rest are small."""

OUTCOMES = ("ok", "refused", "broken", "no_answer", "abandoned")
"""How an attempt can end; all but the first and the last are failures."""
