"""Let the engine read a usage export that is written exactly as the console writes.

It converts by the declared types and checks that nothing was guessed, rounded or lost: a number
must come back as the text it was. At the first cell in any other form it gives up: then the records
with such cells are read one by one (`usage_mixed`), or all of them (`usage_rows`).
"""

import json
import os
import re
import tempfile
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from runbook_lib.schema import SQL_TYPES, USAGE
from runbook_lib.sources import engine, usage_cells
from runbook_lib.sources.engine import quoted
from runbook_lib.sources.extra import extra
from runbook_lib.sources.intake import Intake, Source
from runbook_lib.sources.stage import instant
from runbook_lib.sources.usage_rows import Form, records

if TYPE_CHECKING:
    import duckdb

_MANY_VALUES = 200_000
"""Different texts of one column that are looked at one by one."""

_TIME, _MIDNIGHT = "____-__-__T__:__:__%", "__________T24%"
_OFFSET = re.compile(r"Z|[+-](?:0\d|1[0-4]):[0-5]\d", re.ASCII)
_FIRST, _LAST = "TIMESTAMPTZ '2000-01-01 00:00:00+00'", "TIMESTAMPTZ '2100-01-01 00:00:00+00'"
_ID = (
    "([a-z_]+:)?([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|(req|msg|resp|chatcmpl)[_-][0-9A-Za-z]+)"
)
_USUAL_ID, _NO_HEX = "client:________-____-____-____-____________", ("'k'", "'z'", "'.'", "chr(0)")
"""The form of nearly every id, and signs without which it can be no key: looked at much faster."""

_HARMLESS = "[0-9.,:+-]{0,40}|[A-Za-z0-9]{1,20}"
_GUARDED = r"^'[=+\-@\t\r]"
_FORMAT = "FORMAT parquet, COMPRESSION lz4_raw, DICTIONARY_SIZE_LIMIT 5000"
"""Costs and ids hardly repeat: no time is spent on dictionaries of them."""

_FIRST_RECORDS = 50
_NEVER = "\x01no text is this\x01"
_MOST_OTHERS = 12
"""Columns nobody declared; more than these may not fit what a row keeps of them."""


def read(source: Source, form: Form) -> Intake | None:
    """Read an export with the engine; None when it must be read record by record.

    The staged file has only the columns the export has, and no row number: its rows lie in the
    order of the export, none missing.

    Args:
        source: The export.
        form: Its encoding, delimiter and header.

    Returns:
        The intake, or None.
    """
    offset = offset_of(source.path, form)
    if offset is None:
        return None
    handle, name = tempfile.mkstemp(prefix="usage-", suffix=".parquet", dir=source.staging)
    os.close(handle)
    staged = Path(name)
    made = _staged(source.path, source.staging, staged, form, offset)
    if made is None:
        staged.unlink(missing_ok=True)
        return None
    rows, used, first, last = made
    if rows == 0:
        staged.unlink()
    return Intake(
        kind="usage export",
        table="usage",
        source_file=source.source_file,
        account=source.account,
        staged=staged if rows else None,
        columns=form.columns,
        rows=rows,
        usd_used=used,
        first_at=instant(first),
        last_at=instant(last),
    )


def _staged(
    path: Path, staging: Path, staged: Path, form: Form, offset: str
) -> tuple[int, Decimal, int | None, int | None] | None:
    """Let the engine write the staged file; None when the export is beyond it."""
    import duckdb

    link = engine.connect([staging], files=[path], spill=staging / "spill")
    engine.lock(link)
    try:
        query = _query(path, form, offset)
        link.execute(f"COPY ({query}) TO {quoted(str(staged))} ({_FORMAT})")
        return _intake(link, staged, form)
    except duckdb.Error:
        return None
    finally:
        link.close()


def _query(path: Path, form: Form, offset: str) -> str:
    source = _source(path, form, "null_padding = false")
    odd = _any_odd(form, offset)
    return (
        f"SELECT CASE WHEN {odd} THEN error('another form') ELSE ts END AS ts, {_rest(form)}"
        f" FROM (SELECT {_all_typed(form)}, COLUMNS('c[0-9]+') FROM {source})"
    )


def flagged(path: Path, form: Form, offset: str) -> str:
    """Write the query of all records, the odd ones marked.

    Args:
        path: A plain local file.
        form: Its encoding, delimiter and header.
        offset: Offset of its times, as `offset_of` gives it.

    Returns:
        A query of the columns the export has and `odd`; the order is that of the file. Of an odd
        record nothing else may be believed. The engine fails where a record has too many cells.
    """
    source = _source(path, form, f"null_padding = true, nullstr = {quoted(_NEVER)}")
    last = f"c{len(form.header.names) - 1}"
    odd = f"coalesce({last} IS NULL OR {_any_odd(form, offset)}, false)"
    return (
        f"SELECT ts, {_rest(form)}, {odd} AS odd"
        f" FROM (SELECT {_all_typed(form)}, COLUMNS('c[0-9]+') FROM {source})"
    )


def _source(path: Path, form: Form, options: str) -> str:
    """Write what reads the cells of a file as texts, amounts without their apostrophe."""
    columns = ", ".join(f"'c{place}': 'VARCHAR'" for place in range(len(form.header.names)))
    source = (
        f"read_csv({quoted(str(path.resolve()))}, columns = {{{columns}}}, auto_detect = false,"
        f" header = true, delim = {quoted(form.delimiter)}, quote = '\"', escape = '\"',"
        f" strict_mode = true, {options})"
    )
    places = form.header.places
    costs = [places[name] for name in _named(form) if USAGE.by_name[name].type == "money"]
    plain = ", ".join(f"{_unguarded(f'c{place}')} AS c{place}" for place in costs)
    return f"(SELECT * REPLACE ({plain}) FROM {source})" if costs else source


def _named(form: Form) -> list[str]:
    return [name for name in USAGE.names if name in form.header.places]


def _all_typed(form: Form) -> str:
    places = form.header.places
    return ", ".join(f"{_typed(name, f'c{places[name]}')} AS {name}" for name in _named(form))


def _rest(form: Form) -> str:
    """Write the columns beside the time."""
    rest = ", ".join(_kept(name) for name in _named(form) if name != "ts")
    return f"{rest}, {_extra(form)} AS extra" if form.header.others else rest


def _any_odd(form: Form, offset: str) -> str:
    places = form.header.places
    tests = [_odd(name, f"c{places[name]}", offset) for name in _named(form)]
    tests += [_untold(f"c{place}") for place in form.header.others.values()]
    return " OR ".join(f"({test})" for test in tests if test)


def _kept(name: str) -> str:
    return f"CAST({name} AS DOUBLE) AS {name}" if USAGE.by_name[name].type == "real" else name


def _unguarded(cell: str) -> str:
    """Write an amount without the apostrophe that the console puts before a minus."""
    return f"CASE WHEN starts_with({cell}, '''-') THEN substr({cell}, 2) ELSE {cell} END"


def _extra(form: Form) -> str:
    """Write the JSON object of the columns nobody declared, as `extra.extra` writes it."""
    fields = ", ".join(
        f"CASE WHEN c{place} <> '' THEN {quoted(json.dumps(name, ensure_ascii=False))}"
        f" || ': \"' || c{place} || '\"' END"
        for name, place in form.header.others.items()
        if extra({name: "1"}) is not None
    )
    if not fields:
        return "CAST(NULL AS VARCHAR)"
    return f"'{{' || nullif(concat_ws(', ', {fields}), '') || '}}'"


def _untold(cell: str) -> str:
    """Write what tells that a cell is more than a number or a plain word."""
    return f"NOT regexp_full_match({cell}, {quoted(_HARMLESS)})"


def _typed(name: str, cell: str) -> str:
    """Write how a cell becomes a value; empty is unknown."""
    if name == "request_type":
        return f"lower(nullif({cell}, ''))"
    if name == "reasoning_effort":
        return f"lower(CASE WHEN {cell} IN ('', '-', '''-') THEN NULL ELSE {cell} END)"
    if name == "billing_mode":
        return f"CASE {cell} WHEN 'Token' THEN 'token' WHEN '' THEN NULL ELSE {cell} END"
    kind = USAGE.by_name[name].type
    if kind == "text":
        guarded = f"regexp_matches({cell}, {quoted(_GUARDED)})"
        bare = f"CASE WHEN {guarded} THEN substr({cell}, 2) ELSE {cell} END"
        return f"CASE WHEN starts_with({cell}, '''') THEN {bare} ELSE nullif({cell}, '') END"
    return f"try_cast({cell} AS {'BIGINT' if kind == 'real' else SQL_TYPES[kind]})"


def offset_of(path: Path, form: Form) -> str | None:
    """Give the offset of the first time of a file: the console writes one for all.

    Returns:
        The offset; None where the first records have none, or the engine cannot read such a file.
    """
    if form.encoding != "utf-8-sig" or form.comma or len(form.header.others) > _MOST_OTHERS:
        return None
    place = form.header.places["ts"]
    for record in islice(records(path, form), _FIRST_RECORDS):
        cell = record.cells[place] if place < len(record.cells) else ""
        found = _OFFSET.search(cell, max(0, len(cell) - 6))
        if found and found.end() == len(cell):
            return found[0]
    return None


def _odd(name: str, cell: str, offset: str) -> str:
    """Write what tells that a cell has another form than the console's.

    NULL counts as false; an empty text means that there is nothing to tell here, because `_same`
    looks at the values themselves.
    """
    kind = USAGE.by_name[name].type
    if name == "ts":
        formed = f"{cell} LIKE {quoted(_TIME + offset)} AND {cell} NOT LIKE {quoted(_MIDNIGHT)}"
        return f"ts IS NULL OR NOT ({formed}) OR ts < {_FIRST} OR ts >= {_LAST}"
    if kind in ("int", "real"):
        plain = f"coalesce(CAST({name} AS VARCHAR) <> {cell}, {cell} <> '') OR {name} < 0"
        return plain if kind == "int" else f"{plain} OR {name} > {usage_cells.LARGEST_MS}"
    if kind == "money":
        return f"coalesce(NOT starts_with(CAST({name} AS VARCHAR), {cell}), {cell} <> '')"
    if name == "request_id":
        usual = " AND ".join(
            [
                f"{cell} LIKE {quoted(_USUAL_ID)}",
                *(f"NOT contains({cell}, {sign})" for sign in _NO_HEX),
            ]
        )
        other = f"{cell} <> '' AND NOT regexp_full_match({cell}, {quoted(_ID)})"
        return f"CASE WHEN {usual} THEN false ELSE {other} END"
    return ""


def _intake(
    link: "duckdb.DuckDBPyConnection", staged: Path, form: Form
) -> tuple[int, Decimal, int | None, int | None] | None:
    """Look at what was staged: None when a text is not what it must become."""
    file = f"read_parquet({quoted(str(staged))})"
    if any(other_texts(link, file, name) != [] for name in texts_of(form)):
        return None
    cost = "coalesce(sum(cost_usd), 0)" if "cost_usd" in form.header.places else "0"
    found = link.execute(
        f"SELECT count(*), {cost}, min(epoch_us(ts)), max(epoch_us(ts)) FROM {file}"
    ).fetchone()
    return None if found is None else (found[0], Decimal(found[1]), found[2], found[3])


def texts_of(form: Form) -> list[str]:
    """List the columns whose texts are looked at by value: all but the ids."""
    named = form.header.places
    return [name for name in named if USAGE.by_name[name].type == "text" and name != "request_id"]


def other_texts(
    link: "duckdb.DuckDBPyConnection", file: str, name: str, where: str = "true"
) -> list[str] | None:
    """List the texts of a column that reading them one by one would change.

    Args:
        link: Connection that may read the file.
        file: What reads it, as SQL.
        name: The column.
        where: Which rows, as SQL.

    Returns:
        The texts; None when there are too many different ones to look at.
    """
    values = link.execute(
        f"SELECT DISTINCT {name} FROM {file} WHERE {name} IS NOT NULL AND {where}"
        f" LIMIT {_MANY_VALUES}"
    ).fetchall()
    if len(values) == _MANY_VALUES:
        return None
    one_by_one = usage_cells.reader(name, comma=False, zone=None)
    return [value for (value,) in values if one_by_one(value) != value]
