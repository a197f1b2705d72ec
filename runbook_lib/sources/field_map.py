"""Read a JSON log of unknown make: guess which field is which, from names and values.

The guess is shown (`Intake.field_map`) and can be overridden, field by field. A line is an attempt
when it has what only a call to a model has and how it ended; all others are other lines.

The time of a line is when it was written. A line that tells how long the call took was written at
its end, so the start is that much earlier; a field whose name says start is taken as it is, and
`ts_is` = "start" or "end" in the field map decides otherwise.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from runbook_lib import redact
from runbook_lib.errors import InputError, ParameterError, RecordError
from runbook_lib.sources import call_values
from runbook_lib.sources.call_forms import OWN, Parts, symbol
from runbook_lib.sources.field_names import ALIASES, LLM_ONLY, RESULTS, bare, unit_of

Path = tuple[str, ...]
"""Where a field stands in a record: the names from the outside in."""

TS_IS = "ts_is"
_GOOD_SHARE = 0.8
_MAX_FIELDS = 400
_OTEL = {bare(name): column for name, column in OWN.items()}
_IDS = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}(?:, ?\S+)?|req_[A-Za-z0-9]{8,}")
_MODELS = re.compile(r"(?i)(?:[\w.-]+/)?(?:gpt|claude|gemini|o[1-9]|deepseek|qwen|llama|text-emb)")


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldMap:
    """Which field of a log is which column.

    Attributes:
        paths: Column of `calls` → where its value stands.
        ts_is_end: Whether the time of a line is the end of the attempt.
        factors: Columns of time → what their values are multiplied with to give ms.
        from_zero: Whether attempts are counted from 0.
        notes: What people should know of the guess.
    """

    paths: Mapping[str, Path]
    ts_is_end: bool
    factors: Mapping[str, float] = field(default_factory=dict)
    from_zero: bool = False
    notes: Sequence[str] = ()

    @property
    def shown(self) -> dict[str, str]:
        """Column → dotted field, and what its time is, as people may override it."""
        shown = {column: ".".join(path) for column, path in sorted(self.paths.items())}
        return shown | {TS_IS: "end" if self.ts_is_end else "start"}

    def read(self, record: Mapping[str, Any]) -> Parts | None:
        """Read one record; None for a line that is no finished attempt."""
        raw = {column: _at(record, path) for column, path in self.paths.items()}
        marks = [name for name in LLM_ONLY if name in self.paths]
        if marks and all(raw[name] is None for name in marks):
            return None
        if all(raw.get(name) is None for name in RESULTS):
            return None
        for column, factor in self.factors.items():
            if factor != 1.0 and raw.get(column) is not None:
                raw[column] = _scaled(column, raw[column], factor)
        if self.from_zero and isinstance(raw.get("attempt"), int):
            raw["attempt"] += 1
        _part_error(raw)
        return raw, _left_over(record, set(self.paths.values()))


def _scaled(column: str, value: object, factor: float) -> float | None:
    number = call_values.real(column, value)
    return None if number is None else round(number * factor, 6)


def _part_error(raw: dict[str, Any]) -> None:
    """Tell a code of the gateway from an exception or a status in the same field."""
    error = raw.pop("code", None)
    if error is None:
        return
    code = symbol(error)
    if code is not None:
        raw["code"] = code
    if raw.get("error_type") is None and not isinstance(error, dict | list):
        words = str(error).strip()
        raw["error_type"] = words if len(words) <= 64 and words.count(" ") <= 3 else "error"


def _at(record: Mapping[str, Any], path: Path) -> Any:
    value: Any = record
    for name in path:
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


def _left_over(record: Mapping[str, Any], used: set[Path]) -> dict[str, Any]:
    tops = {path[0] for path in used}
    rest = {name: value for name, value in record.items() if name not in tops}
    for name in tops:
        if isinstance(record.get(name), dict):
            inner = {path[1:] for path in used if path[0] == name and len(path) > 1}
            if inner:
                rest[name] = _left_over(record[name], inner)
    return rest


def flat(record: Mapping[str, Any], prefix: Path = ()) -> Iterator[tuple[Path, Any]]:
    """List the fields of a record with where they stand, four levels deep."""
    for name, value in record.items():
        path = (*prefix, name)
        if isinstance(value, dict) and len(path) < 4:
            yield from flat(value, path)
        else:
            yield path, value


def check(override: Mapping[str, str]) -> None:
    """Refuse an override that can fit no log.

    Raises:
        ParameterError: a name is no column that a log can fill, or a field is no text.
    """
    for column, name in override.items():
        if column != "ts" and column != TS_IS and column not in call_values.READ:
            known = ", ".join(["ts", TS_IS, *call_values.READ])
            raise ParameterError("map", redact.safe(column), hint=f"a column of calls: {known}")
        if not isinstance(name, str):
            raise ParameterError("map", redact.safe(name), hint=f"a field name for {column}")
        if column == TS_IS and name not in ("start", "end"):
            raise ParameterError(TS_IS, redact.safe(name), hint='"start" or "end"')


def guess(
    records: Sequence[Mapping[str, Any]], override: Mapping[str, str], *, source: str
) -> FieldMap | None:
    """Guess the field map of a log.

    Args:
        records: Records of the log, at least one of every make of line it has.
        override: Column of `calls` → dotted field, as a person gave it; and `ts_is`.
        source: Name of the file, for messages.

    Returns:
        The map, or None when no record looks like a call to a model.

    Raises:
        InputError: *override* names a field that no line has.
    """
    values = _values(records)
    given = _given(override, values, source)
    likely = _likely(records, values, given)
    if likely is None:
        return None
    values = _values(likely)
    paths = given | _named(values, taken=given)
    paths |= _by_value(values, taken=paths)
    if not _enough(paths):
        return None
    return _finished(paths, values, override.get(TS_IS))


def _values(records: Sequence[Mapping[str, Any]]) -> dict[Path, list[Any]]:
    values: dict[Path, list[Any]] = {}
    for record in records:
        for path, value in flat(record):
            if path in values:
                values[path].append(value)
            elif len(values) < _MAX_FIELDS and not redact.is_secret_name(path[-1]):
                values[path] = [value]
    return values


def _given(
    override: Mapping[str, str], values: Mapping[Path, object], source: str
) -> dict[str, Path]:
    by_name = {".".join(path): path for path in values}
    given: dict[str, Path] = {}
    for column, name in override.items():
        if column == TS_IS:
            continue
        if name not in by_name:
            raise InputError(
                source,
                f"has no field {redact.safe(name)!r} for {column}",
                hint="give a dotted field name that its lines have",
            )
        given[column] = by_name[name]
    return given


def _likely(
    records: Sequence[Mapping[str, Any]], values: Mapping[Path, object], given: Mapping[str, Path]
) -> Sequence[Mapping[str, Any]] | None:
    """Keep the records that have what only a call to a model has; all, where none can be told."""
    marks = {path for column, path in given.items() if column in LLM_ONLY}
    marks |= {path for path in values if _column_of(path) in LLM_ONLY}
    if marks:
        held = [r for r in records if any(_at(r, path) is not None for path in marks)]
        if held:
            return held
    models = [
        record
        for record in records
        if any(isinstance(v, str) and _MODELS.match(v) for _, v in flat(record))
    ]
    if models:
        return models
    return records if {"request_ids", "status"} <= {_column_of(path) for path in values} else None


def _column_of(path: Path) -> str | None:
    """Name the column that a field is called like, whole name before last part."""
    ranked = _ranked(path)
    return ranked[0][1] if ranked else None


def _ranked(path: Path) -> list[tuple[int, str]]:
    """Rank the columns a field is called like: 0 is surest."""
    whole, last = bare("".join(path)), bare(path[-1])
    if whole in _OTEL:
        return [(0, _OTEL[whole])]
    found = []
    for column, words in ALIASES.items():
        if whole in words:
            found.append((1 + words.index(whole), column))
        elif last in words:
            found.append((20 + words.index(last), column))
        elif len(path) > 1 and bare("".join(path[-2:])) in words:
            found.append((15 + words.index(bare("".join(path[-2:]))), column))
    return sorted(found)


def _named(values: Mapping[Path, list[Any]], *, taken: Mapping[str, Path]) -> dict[str, Path]:
    """Choose for each column the best-named field whose values are of its type."""
    offers = sorted(
        (rank, -len(held), path, column)
        for path, held in values.items()
        for rank, column in _ranked(path)
        if path not in taken.values() and column not in taken and _fits(column, held)
    )
    chosen: dict[str, Path] = {}
    for _, _, path, column in offers:
        if column not in chosen and path not in chosen.values():
            chosen[column] = path
    return chosen


def _fits(column: str, held: Sequence[Any]) -> bool:
    """Tell whether at least four in five values of a field are of the type of a column."""
    present = [value for value in held if value is not None]
    if not present:
        return False
    check: Callable[[Any], object] = call_values.READ.get(column, lambda value: value)
    if column in ("ts", "start", "end"):
        check = _any_time
    elif column == "code":  # a number in it is a status, and told apart line by line
        check = call_values.text
    elif column == "attempt":
        check = call_values.READ["resend_count"]
    elif column == "key_name" and any(redact.has_secret(str(value)) for value in present):
        return False
    good = 0
    for value in present:
        try:
            good += not isinstance(value, dict) and check(value) is not None
        except RecordError:
            continue
    return good >= _GOOD_SHARE * len(present)


def _any_time(value: object) -> int:
    from zoneinfo import ZoneInfo

    return call_values.instant(value, ZoneInfo("UTC"))


def _by_value(values: Mapping[Path, list[Any]], *, taken: Mapping[str, Path]) -> dict[str, Path]:
    """Find by what values look like the fields that no name gave away."""
    looks: dict[str, Callable[[Any], bool]] = {
        "ts": lambda v: isinstance(v, str) and len(v) >= 16 and _is_time(v),
        "request_ids": lambda v: isinstance(v, str) and _IDS.fullmatch(v) is not None,
        "status": lambda v: type(v) is int and 200 <= v <= 599,
        "model": lambda v: isinstance(v, str) and len(v) < 80 and _MODELS.match(v) is not None,
    }
    found: dict[str, Path] = {}
    for column, looks_so in looks.items():
        if column in taken or (column == "ts" and ("start" in taken or "end" in taken)):
            continue
        for path, held in values.items():
            present = [value for value in held if value is not None]
            free = path not in taken.values() and path not in found.values()
            if free and present and all(looks_so(value) for value in present):
                found[column] = path
                break
    return found


def _is_time(value: object) -> bool:
    try:
        return _any_time(value) > 0
    except RecordError:
        return False


def _enough(paths: Mapping[str, Path]) -> bool:
    timed = any(name in paths for name in ("ts", "start", "end"))
    named = any(name in paths for name in ("request_ids", *LLM_ONLY))
    return timed and named and any(name in paths for name in RESULTS)


def _finished(
    paths: Mapping[str, Path], values: Mapping[Path, list[Any]], ts_is: str | None
) -> FieldMap:
    """Settle what the time means and in which unit lengths are."""
    chosen = dict(paths)
    start, end = chosen.pop("start", None), chosen.pop("end", None)
    plain = chosen.get("ts")
    timed = "duration_ms" in chosen
    if ts_is is None:
        ts_is = "start" if start or not (timed or end) else "end"
        order = (start, plain, end)
    else:
        order = (plain, end, start) if ts_is == "end" else (plain, start, end)
    chosen["ts"] = next(path for path in order if path is not None)
    ts_is_end = ts_is == "end"
    notes = [_time_note(".".join(chosen["ts"]), timed=timed, ts_is_end=ts_is_end)]
    factors: dict[str, float] = {}
    for column in ("duration_ms", "ttft_ms"):
        if column in chosen:
            factors[column], unit = _unit(chosen[column], values.get(chosen[column], []))
            notes.append(f"{column} is read from {'.'.join(chosen[column])}, taken as {unit}")
    tries = values.get(chosen.get("attempt", ("",)), [])
    return FieldMap(
        paths=chosen,
        ts_is_end=ts_is_end,
        factors=factors,
        from_zero=any(value == 0 and not isinstance(value, bool) for value in tries),
        notes=notes,
    )


def _time_note(name: str, *, timed: bool, ts_is_end: bool) -> str:
    if not ts_is_end:
        return f"{name} is taken as the start of a call"
    told = "its start is the duration earlier" if timed else "its start is not told"
    return f"{name} is taken as the end of a call; {told}"


def _unit(path: Path, held: Sequence[Any]) -> tuple[float, str]:
    """Tell the unit of a length of time by its name, else by its size: models take 0.1 to 100 s."""
    named = unit_of(path[-1])
    if named is not None:
        return named
    sizes = [float(v) for v in held if isinstance(v, int | float) and not isinstance(v, bool)]
    broken = any(not size.is_integer() for size in sizes)
    if sizes and broken and median(sizes) < 100:
        return 1000.0, "s"
    return 1.0, "ms"
