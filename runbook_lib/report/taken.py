"""What taking in files did, as lines for people and as content for programs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Protocol

from runbook_lib import redact
from runbook_lib.sources.intake import Intake

MOST_REJECTS = 3
"""Rejected records of a file that are shown with their line."""


class Taken(Protocol):
    """What any record of an intake has.

    Attributes:
        intakes: What was read, one a file and table.
        added: What the store made of each, in the same order: `already`, `repeated`, `elsewhere`.
        skipped, broken: Files that were not used, each with why.
        held: Rows the store holds now, by table.
        hints: What people should know of all of it.
        exit_code: What the command ends with.
    """

    @property
    def intakes(self) -> Sequence[Intake]: ...  # noqa: D102 - told above
    @property
    def added(self) -> Sequence[Any]: ...  # noqa: D102
    @property
    def skipped(self) -> Sequence[tuple[str, str]]: ...  # noqa: D102
    @property
    def broken(self) -> Sequence[tuple[str, str]]: ...  # noqa: D102
    @property
    def held(self) -> Mapping[str, int]: ...  # noqa: D102
    @property
    def hints(self) -> Sequence[str]: ...  # noqa: D102
    @property
    def exit_code(self) -> int: ...  # noqa: D102


def content(taken: Taken) -> dict[str, Any]:
    """Give what was done as plain values."""
    return {
        "exit_code": taken.exit_code,
        "files": [
            {
                "file": item.source_file,
                "kind": item.kind,
                "table": item.table,
                "account": item.account,
                "rows": item.rows,
                "repeated": added.repeated,
                "already": added.already,
                "also_in_accounts": list(added.elsewhere),
                "rejected": item.rejected,
                "other_lines": item.other_lines,
                "reasons": dict(item.reasons),
                "rejects": [asdict(reject) for reject in item.rejects],
                "field_map": dict(item.field_map),
                "notes": list(item.notes),
            }
            for item, added in zip(taken.intakes, taken.added, strict=True)
        ],
        "skipped": [{"file": path, "reason": reason} for path, reason in taken.skipped],
        "broken": [{"file": path, "reason": reason} for path, reason in taken.broken],
        "held": dict(taken.held),
        "hints": list(taken.hints),
    }


def lines(taken: Taken) -> Iterator[str]:
    """Tell what was done in lines for a terminal."""
    for item, added in zip(taken.intakes, taken.added, strict=True):
        held = ", taken in before" if added.already else f", {added.repeated:,} held already"
        tail = held if added.already or added.repeated else ""
        yield (
            f"{redact.safe(item.source_file)}: {item.kind}, {_rows(item.rows)}, "
            f"{item.rejected:,} rejected{tail}"
        )
        yield from _details(item)
        if added.elsewhere:
            yield _elsewhere(item, added.elsewhere)
    for path, reason in taken.skipped:
        yield f"{path}: skipped, {reason}"
    for _, reason in taken.broken:
        yield f"not read: {reason}"
    for hint in taken.hints:
        yield f"hint: {redact.safe(hint, limit=1000)}."
    held = ", ".join(f"{table} {_rows(rows)}" for table, rows in taken.held.items())
    yield f"The store holds now: {held or 'nothing'}."


def _rows(count: int) -> str:
    return f"{count:,} row" if count == 1 else f"{count:,} rows"


def _details(item: Intake) -> Iterator[str]:
    for reason, count in item.reasons.items():
        yield f"  {count:,} rejected: {redact.safe(reason)}"
    for reject in item.rejects[:MOST_REJECTS]:
        line = f"line {reject.line}" if reject.line is not None else f"record {reject.row}"
        value = f" ({reject.field} is {reject.value})" if reject.field else ""
        says = f"; it has: {redact.safe(reject.sample, limit=120)}" if reject.sample else ""
        yield f"    {line}: {redact.safe(reject.reason)}{value}{says}"
    if item.other_lines:
        are = "other line that is no call" if item.other_lines == 1 else "other lines, no calls"
        yield f"  {item.other_lines:,} {are}"
    if item.field_map:
        pairs = ", ".join(f"{column} = {field}" for column, field in item.field_map.items())
        yield f"  fields as guessed (change with --map): {redact.safe(pairs, limit=1000)}"
    for note in item.notes:
        yield f"  note: {redact.safe(note, limit=400)}"


def _elsewhere(item: Intake, accounts: Sequence[str]) -> str:
    """Say that the same bytes are held under another account too."""
    names = ", ".join(redact.safe(name) if name else "no account" for name in accounts)
    own = redact.safe(item.account) if item.account else "no account"
    return (
        f"  note: these very bytes are held under {names} already; under {own} their rows count "
        "a second time (to mend it, take all files in again into a new folder)"
    )
