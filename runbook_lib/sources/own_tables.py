"""Read the tables a user keeps: key inventory, ledger, budget, prices, planned activity."""

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from runbook_lib import clock, money, redact
from runbook_lib.errors import InputError, RecordError
from runbook_lib.schema import BUDGET, KEYS, LEDGER, PLANNED, PRICES, Column, Table
from runbook_lib.sources import call_values, csv_rows
from runbook_lib.sources.intake import Intake, Source
from runbook_lib.sources.stage import Stage, clean

_KINDS = {
    "keys": "key inventory",
    "ledger": "ledger",
    "budget": "budget",
    "prices": "price list",
    "planned": "planned activity",
}
_NEEDS: tuple[tuple[Table, tuple[str, ...]], ...] = (
    (PRICES, ("model", "token_kind", "usd_per_million")),
    (BUDGET, ("month", "amount")),
    (LEDGER, ("ts", "kind", "amount")),
    (LEDGER, ("ts", "kind", "balance")),
    (PLANNED, ("start", "end")),
    (KEYS, ("key_name",)),
)
_WORDS: dict[tuple[str, str], tuple[str, ...]] = {
    ("keys", "cap_window"): ("total", "5h", "1d", "7d", "month"),
    ("keys", "cap_currency"): ("USD", "CNY"),
    ("ledger", "currency"): ("USD", "CNY"),
    ("ledger", "kind"): ("top_up", "refund", "reading"),
    ("budget", "currency"): ("USD", "CNY"),
    ("prices", "token_kind"): ("input", "output", "cache_read", "cache_write", "cache_write_1h"),
}
_MONTH = re.compile(r"\d{4}-(?:0[1-9]|1[0-2])")
_OWNERS = frozenset(
    {"account", "accountid", "accountname", "user", "userid", "username", "useremail"}
    | {"tenant", "tenantid"}
)
_FILLED = frozenset({"account", "source_file", "row_number"})


def table_of(names: Sequence[str]) -> Table | None:
    """Tell by its header which of the user's tables a CSV is; None when it is none of them.

    Every needed column must be there, and at least half of the others must be known.
    """
    held = {csv_rows.norm(name) for name in names}
    for table, needs in _NEEDS:
        known = {csv_rows.norm(column.name) for column in table.columns}
        if {csv_rows.norm(need) for need in needs} <= held and 2 * len(held & known) >= len(held):
            return table
    return None


def is_owner(name: str) -> bool:
    """Tell whether a column of this name says whose rows these are: an account or a user."""
    return csv_rows.norm(name) in _OWNERS


def read(source: Source) -> Intake:
    """Read one table of the user; which one, its header tells.

    Args:
        source: Plain CSV file with a header.

    Returns:
        What was read; a row with a value that does not convert is rejected whole.

    Raises:
        InputError: the header is that of no table, or names a column twice.
    """
    with source.path.open(encoding="utf-8-sig", errors="replace") as file:
        names = csv_rows.header(file.readline())
    table = table_of(names)
    if table is None:
        raise InputError(source.source_file, "has the header of no table", hint="see its columns")
    stage = Stage(table, source, kind=_KINDS[table.name])
    columns = {csv_rows.norm(c.name): c for c in table.columns if c.name not in _FILLED}
    unknown = [name for name in names if csv_rows.norm(name) not in columns]
    if unknown:
        shown = ", ".join(redact.safe(name, limit=40) for name in unknown[:8])
        stage.notes.append(f"unknown columns are left out: {shown}")
    owners = [name for name in names if is_owner(name)]
    with stage:
        for row in csv_rows.rows(source.path, source.source_file):
            take(stage, row, lambda row: _fields(table, columns, row.cells, source.zone))
            for name in owners:
                stage.owner(name, row.cells.get(csv_rows.norm(name)))
    return stage.finish()


def take(
    stage: Stage,
    row: csv_rows.CsvRow,
    fields_of: Callable[[csv_rows.CsvRow], dict[str, object]],
) -> None:
    """Add one CSV record to the stage, or count why it cannot be used."""
    if row.fault:
        stage.reject(row.number, row.line, row.fault, row.sample)
        return
    try:
        fields = fields_of(row)
    except RecordError as error:
        stage.reject(row.number, row.line, error, row.sample)
        return
    stage.add_fields(fields, row.number)


def _fields(
    table: Table, columns: dict[str, Column], cells: dict[str, str], zone: ZoneInfo | None
) -> dict[str, object]:
    fields: dict[str, object] = {}
    for name, column in columns.items():
        value = _cell(table, column, cells.get(name, ""), zone)
        if value is None and not column.nullable and column.name not in _FILLED:
            raise RecordError(f"{column.name} is missing", field=column.name)
        fields[column.name] = value
    _whole_row(table, fields)
    return fields


def _cell(table: Table, column: Column, text: str, zone: ZoneInfo | None) -> object:
    try:
        return cell(table, column, text, zone)
    except RecordError as error:
        raise RecordError(error.reason, field=column.name, value=text) from None


def _whole_row(table: Table, fields: dict[str, object]) -> None:
    """Refuse rows whose values contradict each other."""
    start, end = fields.get("start"), fields.get("end")
    if isinstance(start, datetime) and isinstance(end, datetime) and end <= start:
        raise RecordError("end is not after start")
    if table is BUDGET and not _MONTH.fullmatch(str(fields["month"] or "")):
        raise RecordError("month is not YYYY-MM")
    if table is KEYS and redact.MASK in str(fields["key_name"]):
        raise RecordError("key_name is a key, not its name")


def cell(table: Table, column: Column, text: str, zone: ZoneInfo | None) -> object:
    """Convert one cell by the type of its column; None where it is blank.

    Raises:
        RecordError: the text does not convert.
    """
    if not text:
        return None
    words = _WORDS.get((table.name, column.name))
    if words is not None:
        return _word(column.name, text, words)
    if column.type == "instant":
        return moment(column.name, text, zone)
    if column.type == "money":
        return _amount(column.name, text)
    if column.type == "real":
        return call_values.real(column.name, text)
    if column.type == "int":
        return call_values.whole(column.name, text)
    return clean(text)


def _word(name: str, text: str, words: tuple[str, ...]) -> str:
    for word in words:
        if word.lower() == text.lower():
            return word
    raise RecordError(f"{name} is none of {', '.join(words)}")


def _amount(name: str, text: str) -> Decimal:
    amount = money.parse(text)
    if amount is None:
        raise RecordError(f"{name} is no plain amount")
    return amount


def moment(name: str, text: str, zone: ZoneInfo | None) -> datetime:
    """Read a time; a day alone is its first moment.

    Raises:
        RecordError: it is no time, or has no offset and *zone* is not given.
    """
    whole = f"{text}T00:00:00" if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text) else text
    found = clock.parse(whole, default_zone=zone)
    if found is None:
        bare = clock.parse(whole, default_zone=ZoneInfo("UTC"))
        why = "cannot be read" if bare is None else "has no offset (name its zone)"
        raise RecordError(f"{name} {why}", field=name, value=text)
    return found
