"""Take in: make parts, hide what is held twice, show the new state, sweep up."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runbook_lib.sources import engine
from runbook_lib.sources.intake import Intake
from runbook_lib.store import manifest, merge, parts, repeats
from runbook_lib.store.answers import Added
from runbook_lib.store.card import record
from runbook_lib.store.locks import alone, writing
from runbook_lib.store.manifest import PARTS, Manifest, Part
from runbook_lib.store.reader import probe

if TYPE_CHECKING:
    import duckdb

TMP = "tmp"
_READING = ("kind", "rows", "rejected", "columns", "usd_used", "first", "last", "field_map")
"""What is another when a file is read another way."""


def add(
    folder: Path, intakes: Sequence[Intake], *, sample: bool | None, memory_mb: int
) -> list[Added]:
    """Add what was read to the lake in a folder; see `Store.add`."""
    with writing(folder), _link(folder, intakes, memory_mb) as link:
        old = manifest.read(folder)
        sweep(folder, old)
        new = _prepared(link, folder, old, intakes)
        state = replace(new, sample=old.sample if sample is None else sample)
        if state != old:
            number = old.generation + 1
            held = merge.merged(link, folder, state.parts, str(number))
            state = replace(state, parts=tuple(held), generation=number)
            manifest.keep(folder / PARTS)
            manifest.write(folder, state)
            sweep(folder, state)
    return _added(old, new, intakes)


def sweep(folder: Path, state: Manifest) -> None:
    """Remove the files no state and no reader needs: leftovers of a crash, parts replaced."""
    with alone(folder) as nobody:
        if not nobody:
            return
        for path in (folder / PARTS).iterdir():
            if path.name not in state.files:
                path.unlink(missing_ok=True)


@contextmanager
def _link(
    folder: Path, intakes: Sequence[Intake], memory_mb: int
) -> Iterator["duckdb.DuckDBPyConnection"]:
    staged = {intake.staged.parent for intake in intakes if intake.staged is not None}
    spill = folder / TMP / "spill"
    link = engine.connect([folder, *sorted(staged)], spill=spill, memory_mb=memory_mb)
    engine.lock(link)
    try:
        yield link
    finally:
        link.close()


def _prepared(
    link: "duckdb.DuckDBPyConnection", folder: Path, old: Manifest, intakes: Sequence[Intake]
) -> Manifest:
    held = list(old.parts)
    fresh: list[Part] = []
    gone: list[Part] = []
    taken: list[Mapping[str, Any]] = list(old.taken)
    for number, intake in enumerate(intakes):
        if _already(held, taken, intake):
            continue
        before = [part for part in held if _is_of(part, intake)]
        part = parts.build(link, folder, intake, f"{old.generation + 1}-{number}")
        fresh = [p for p in fresh if p not in before] + ([part] if part is not None else [])
        held = [p for p in held if p not in before] + ([part] if part is not None else [])
        gone += before
        taken = [item for item in taken if _identity(item) != _identity(record(intake))]
        taken.append(record(intake))
    settled = repeats.hide(link, folder, held, [*fresh, *gone], str(old.generation + 1))
    return replace(old, parts=tuple(settled), taken=tuple(taken), probe=probe(link))


def _already(held: Sequence[Part], taken: Sequence[Mapping[str, Any]], intake: Intake) -> bool:
    """Tell whether a file was taken in and read the same way.

    Read another way, as with another field map, it takes the place of what was read before, unless
    that has been merged with others.
    """
    asked = record(intake)
    before = next((item for item in taken if _identity(item) == _identity(asked)), None)
    if before is None:
        return False
    replaceable = before["rows"] == 0 or any(_is_of(part, intake) for part in held)
    return not replaceable or all(before[name] == asked[name] for name in _READING)


def _identity(item: Mapping[str, Any]) -> tuple[object, ...]:
    return item["sha256"], item["account"], item["table"]


def _is_of(part: Part, intake: Intake) -> bool:
    return (part.key, part.account, part.table) == (intake.sha256, intake.account, intake.table)


def _added(old: Manifest, new: Manifest, intakes: Sequence[Intake]) -> list[Added]:
    before = list(old.taken)
    answers = []
    for intake in intakes:
        already = _already(old.parts, before, intake)
        before.append(record(intake))
        elsewhere = {
            str(item["account"])
            for item in before
            if (item["sha256"], item["table"]) == (intake.sha256, intake.table)
        }
        repeated = sum(part.hidden_rows for part in new.parts if _is_of(part, intake))
        answers.append(
            Added(
                source_file=intake.source_file,
                table=intake.table,
                kind=intake.kind,
                rows=intake.rows,
                repeated=intake.rows if already else repeated,
                rejected=intake.rejected,
                already=already,
                elsewhere=sorted(elsewhere - {intake.account}),
                notes=tuple(intake.notes),
            )
        )
    return answers
