"""Read a caller's own log: every attempt becomes a row of `calls`, whatever the log is called.

Our own lines, OTLP/JSON spans and LiteLLM payloads are known by their names; any other JSON log is
read through a guessed field map. Lines that a container runtime or a log shipper wrapped are
unwrapped first. In a log of nothing but calls every line must be one; in the log of an application,
lines that are no calls are counted apart.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from runbook_lib import redact
from runbook_lib.errors import RecordError, UnknownSourceError
from runbook_lib.schema import CALLS
from runbook_lib.sources import call_forms, field_map, lines, wrapped
from runbook_lib.sources.call_rows import Rows
from runbook_lib.sources.field_map import FieldMap
from runbook_lib.sources.intake import Intake, Source
from runbook_lib.sources.stage import Stage
from runbook_lib.sources.wrapped import Line, Unwrapped

KINDS = {"own": "call log", "otlp": "OTLP spans", "litellm": "LiteLLM log", "": "application log"}
_SAMPLES_A_SHAPE, _SAMPLES, _OTHER_SHARE = 50, 4000, 0.05
_LOOK = 2000
_NAME = re.compile(r'"([A-Za-z][\w.@\-]{0,40})"\s*:')
_CUT = "cut off: the last line is not whole"


@dataclass(slots=True, kw_only=True)
class _Look:
    """What a first look shows: at the whole of a log of unknown make, else at its beginning."""

    forms: Counter[str] = field(default_factory=Counter)
    unknown: int = 0
    plain: int = 0
    samples: list[Mapping[str, Any]] = field(default_factory=list)
    shapes: Counter[Any] = field(default_factory=Counter)

    def take(self, value: Any) -> None:
        """Count one line, and keep some of every shape of unknown record."""
        if value is lines.BROKEN:
            return
        if value is None:
            self.plain += 1
            return
        form = call_forms.form_of(value)
        if form is not None:
            self.forms[form] += 1
            return
        self.unknown += 1
        shape = tuple([(name, item.__class__) for name, item in value.items()])
        if len(self.samples) < _SAMPLES and self.shapes[shape] < _SAMPLES_A_SHAPE:
            self.shapes[shape] += 1
            self.samples.append(value)


def read(source: Source, *, field_map: Mapping[str, str] | None = None) -> Intake:
    """Read one call log.

    Args:
        source: Plain file of JSON lines, a JSON document of spans, or a JSON list of records.
        field_map: Column of `calls` → dotted field, over the guess; for logs of unknown make.

    Returns:
        What was read. Lines in = rows + rejected + other lines, spans counting as lines.

    Raises:
        UnknownSourceError: no line is a call.
        InputError: *field_map* names a field that no line has.
    """
    whole = _as_one_document(source.path, source.source_file)
    look = _look(_lines(source.path, whole, Unwrapped()), to_the_end=bool(field_map))
    guessed = _guess(look, field_map or {}, source.source_file)
    if not look.forms and guessed is None:
        raise UnknownSourceError(source.source_file, _looks_like(look))
    stage = Stage(CALLS, source, kind=KINDS[look.forms.most_common(1)[0][0] if look.forms else ""])
    reader, around = _Reader(stage, look, guessed, source.zone), Unwrapped()
    with stage:
        for line in _lines(source.path, whole, around):
            reader.take(line)
    if around.counts:
        stage.notes.append(wrapped.note(around.counts))
    return reader.finish()


def _look(log: Iterator[Line], *, to_the_end: bool) -> _Look:
    look = _Look()
    for number, _, value, _ in log:
        look.take(value)
        if number >= _LOOK and look.forms and not to_the_end:
            break
    return look


def _looks_like(look: _Look) -> str:
    if not look.samples:
        return "text that is no log of calls"
    names = [".".join(path) for path, _ in field_map.flat(look.samples[0])][:6]
    return redact.safe(f"JSON with the fields {', '.join(names)}", limit=120)


def _guess(look: _Look, override: Mapping[str, str], source_file: str) -> FieldMap | None:
    if not look.samples:
        return None
    if look.forms and not override:
        return None
    return field_map.guess(look.samples, override, source=source_file)


def _as_one_document(path: Path, source_file: str) -> list[Any] | None:
    """Give the records of a file that is one JSON document over many lines; None for lines."""
    first = next(lines.raw_lines(path), None)
    text = lines.decoded(first[1]) if first and first[1] else None
    if text is None or not lines.begins_json(text):
        return None
    if text.lstrip()[0] == "{" and lines.parsed(text) is not lines.BROKEN:
        return None
    if path.stat().st_size > lines.LARGEST_DOCUMENT:
        return None
    value = lines.document(path, source_file)
    if isinstance(value, dict):
        return [value]
    return value if isinstance(value, list) else None


def _lines(path: Path, whole: list[Any] | None, around: Unwrapped) -> Iterator[Line]:
    if whole is not None:
        for number, value in enumerate(whole, start=1):
            yield number, "", value if isinstance(value, dict) else None, True
        return
    yield from around.read(path)


def _names(text: str) -> str:
    """Show of a line only the names of its fields: a value could be a key, a prompt, an answer."""
    return ", ".join(_NAME.findall(text[:2000])[:8])


class _Reader:
    """Turns the lines of one log into rows, rejects and other lines."""

    def __init__(
        self, stage: Stage, look: _Look, guessed: FieldMap | None, zone: ZoneInfo | None
    ) -> None:
        self.stage, self.guessed = stage, guessed
        self.rows = Rows(account=stage.account, source_file=stage.source_file, zone=zone)
        calls = sum(look.forms.values()) + (look.unknown if guessed is not None else 0)
        others = look.plain + (0 if guessed is not None else look.unknown)
        self.strict = others <= _OTHER_SHARE * (calls + others) or others == 1
        self.span = 0

    def take(self, line: Line) -> None:
        """Take one line."""
        number, text, value, ended = line
        if value is lines.BROKEN:
            reason = "not UTF-8 or too long" if not text else "JSON that cannot be read"
            self.stage.reject(number, number, reason if ended else _CUT, _names(text))
            return
        if value is None:
            self._other(number, text, "no JSON object")
            return
        cleaned = not text or "\\" in text or redact.suspect(text)
        form = call_forms.form_of(value)
        if form == "otlp":
            self._spans(number, value, cleaned=cleaned)
        elif form == "own":
            self._row(call_forms.own(value), number, text, cleaned=cleaned)
        elif form == "litellm":
            self._row(call_forms.litellm(value), number, text, cleaned=cleaned, cached_told=False)
        elif self.guessed is not None:
            self._guessed(self.guessed, value, number, text, cleaned=cleaned)
        else:
            self._other(number, text, "no call")

    def finish(self) -> Intake:
        """Close the stage and add what people should know."""
        if self.stage.reasons.get(_CUT):
            self.stage.notes.append("the file is cut off in its last line")
        if self.guessed is not None:
            self.stage.notes.extend(self.guessed.notes)
        if self.rows.unknown_input:
            self.stage.notes.append(
                f"input_tokens is unknown where the log does not tell how many of them were cached "
                f"(rows: {self.rows.unknown_input:,}); the number as logged is in extra"
            )
        return self.stage.finish(field_map=self.guessed.shown if self.guessed else None)

    def _other(self, number: int, text: str, reason: str) -> None:
        if self.strict:
            self.stage.reject(number, number, reason, _names(text))
        else:
            self.stage.other_lines += 1

    def _guessed(
        self, guessed: FieldMap, value: dict[str, Any], number: int, text: str, *, cleaned: bool
    ) -> None:
        try:
            parts = guessed.read(value)
        except RecordError as error:
            self.stage.reject(number, number, error, _names(text))
            return
        if parts is None:
            self.stage.other_lines += 1
            return
        end = guessed.ts_is_end
        self._row(parts, number, text, cleaned=cleaned, cached_told=False, ts_is_end=end)

    def _spans(self, number: int, document: dict[str, Any], *, cleaned: bool) -> None:
        found = False
        for parts in call_forms.spans(document):
            found = True
            self.span += 1
            if parts is None:
                self.stage.other_lines += 1
            else:
                self._row(parts, self.span, "", cleaned=cleaned, line=number)
        if not found:
            self.stage.other_lines += 1

    def _row(
        self,
        parts: call_forms.Parts | None,
        number: int,
        text: str,
        *,
        cleaned: bool,
        line: int | None = None,
        cached_told: bool = True,
        ts_is_end: bool = False,
    ) -> None:
        if parts is None:
            self.stage.other_lines += 1
            return
        try:
            row = self.rows.make(
                *parts, number, cleaned=cleaned, cached_told=cached_told, ts_is_end=ts_is_end
            )
        except RecordError as error:
            self.stage.reject(number, line or number, error, _names(text))
            return
        self.stage.add(row)
