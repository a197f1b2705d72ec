"""Find the rows that ids stand for, through the index: hash, then time, then the row itself."""

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from runbook_lib import contract, schema
from runbook_lib.store import questions
from runbook_lib.store.answers import Found
from runbook_lib.store.frames import frame
from runbook_lib.store.reader import Reader, asked, compiled

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


def find(reader: Reader, ids: Sequence[str]) -> Found:
    """Find usage rows and attempts by any of their ids; exact and case-sensitive."""
    wanted = list(dict.fromkeys(text for text in ids if text))
    hashes = asked(
        reader.link, [*{form for text in wanted for form in (text, contract.bare_id(text))}]
    )
    usage = _matched(_near(reader, "usage", hashes), wanted, "usage")
    calls = _matched(_near(reader, "calls", hashes), wanted, "calls")
    held = {*usage["asked_id"], *calls["asked_id"]}
    return Found(usage=usage, calls=calls, missing=[text for text in wanted if text not in held])


def _near(reader: Reader, table: str, hashes: "pa.Table") -> "pd.DataFrame":
    import pyarrow as pa

    if not reader.manifest.of(table):
        return _nothing(table)
    at = reader.ask(_sql("index", table), {"asked": hashes})
    if at.empty:
        return _nothing(table)
    instants = pa.table({"ts": pa.array(at["ts"], pa.timestamp("us", tz="UTC"))})
    return reader.ask(_sql("found", table), {"asked_at": instants})


@cache
def _nothing(table: str) -> "pd.DataFrame":
    """Give a frame of a table without rows."""
    import pyarrow as pa

    from runbook_lib.sources.stage import arrow_type

    columns = schema.TABLES[table].columns
    return frame(pa.table({c.name: pa.array([], arrow_type(c.type)) for c in columns}))


@cache
def _sql(question: str, table: str) -> str:
    """Compile a question of fixed form once."""
    return compiled(getattr(questions, question)(table))


def _matched(near: "pd.DataFrame", wanted: Sequence[str], table: str) -> "pd.DataFrame":
    known = _usage_ids if table == "usage" else _call_ids
    asked_for = set(wanted)
    hits = [
        (place, form)
        for place, row in enumerate(near.to_dict("records"))
        for form in dict.fromkeys(known(row))
        if form in asked_for
    ]
    rows = near.iloc[[place for place, _ in hits]].reset_index(drop=True)  # a copy
    rows["asked_id"] = [form for _, form in hits]
    rows["asked_id"] = rows["asked_id"].astype("object")
    return rows.sort_values(["ts", "source_file", "row_number"], kind="stable", ignore_index=True)


def _usage_ids(row: dict[Any, Any]) -> list[str]:
    held = row["request_id"]
    return [] if held is None else [held, contract.bare_id(held)]


def _call_ids(row: dict[Any, Any]) -> list[str]:
    held = [row["call_id"], row["client_request_id"], row["response_id"]]
    many = row["request_ids"]
    return [text for text in held if text] + [t.strip() for t in (many or "").split(",") if t]
