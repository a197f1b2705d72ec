"""Read the body of an answer: what kind it is, and which symbols it carries.

Nothing here decides anything, and no text of a body leaves this module but symbols. All work is
linear in the length of the body. Source: contract §3.1.
"""

import codecs
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from runbook_lib.contract import Shape

LONGEST_CODE = 64

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_FIELDS = ("data:", "event:", "id:", "retry:", ":")
_MEND_LIMIT = 65_536
_DEEPEST = 32
_GOOGLE_WORDS = {
    4: {"INVALID_ARGUMENT", "UNAUTHENTICATED", "PERMISSION_DENIED", "NOT_FOUND", "ABORTED"}
    | {"RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ALREADY_EXISTS", "OUT_OF_RANGE", "CANCELLED"},
    5: {"INTERNAL", "UNAVAILABLE", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "DATA_LOSS"},
}
GOOGLE_WORDS = frozenset(_GOOGLE_WORDS[4] | _GOOGLE_WORDS[5])
"""Status words of Google's shape: they repeat the HTTP status and are no symbols of a cause."""


class Kind(StrEnum):
    """What a body is by its content."""

    UNREAD = "unread"
    EMPTY = "empty"
    PAGE = "page"
    STREAM = "stream"
    JSON = "json"
    CUT = "cut"
    TEXT = "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """A body as read: its kind, its text, and its JSON (of a cut one: what could be mended)."""

    kind: Kind
    text: str = ""
    value: Any = None
    short: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Symbols:
    """The symbols of an error body in the order of contract §3.1, its shape, and its own status."""

    names: tuple[str, ...] = ()
    shape: Shape = Shape.SYMBOL
    status: int | None = None


def read(body: Any, *, content_type: str = "", promised: int | None = None) -> Body:
    """Tell what a body is.

    Args:
        body: Text, bytes, JSON already decoded, or None when nobody read it.
        content_type: The header's value; decides only where the content does not.
        promised: Length in bytes that the answer announced; a body held shorter was cut by who
            stored it.
    """
    if body is None:
        return Body(kind=Kind.UNREAD)
    if isinstance(body, Mapping | list):
        return Body(kind=Kind.JSON, value=body)
    text = _decoded(body)
    start = text.lstrip()
    if not start:
        return Body(kind=Kind.STREAM if "event-stream" in content_type else Kind.EMPTY)
    if start[0] == "<" or ("html" in content_type and start[0] not in "{["):
        return Body(kind=Kind.PAGE)
    if _is_stream(start, content_type):
        return Body(kind=Kind.STREAM, text=start)
    return _json(start, short=promised is not None and _size(body) < promised)


def symbols(value: Any, status: int | None = None) -> Symbols:
    """Find the symbols of an error object; an integer is never one, whatever its place.

    Order: `error.code`, `error.type`, `code`, `reason`, `error` as text, `error.status`.
    """
    if not isinstance(value, Mapping):
        return Symbols()
    error = value.get("error")
    inner = error if isinstance(error, Mapping) else {}
    if _number(inner.get("code")) is not None and _symbol(inner.get("status")):
        return _google(inner, status)
    own = _number(inner.get("code")) if inner else _number(value.get("code"))
    found = [
        _symbol(each)
        for each in (
            inner.get("code"),
            inner.get("type"),
            value.get("code"),
            value.get("reason"),
            error,
            None if error is not None else value.get("type"),
            inner.get("status"),
        )
    ]
    names = tuple(dict.fromkeys(name for name in found if name))
    console = not inner and own is not None
    return Symbols(
        names=names,
        shape=Shape.CONSOLE if console else shape_of(names),
        status=own if own is not None and 400 <= own < 600 else None,
    )


def shape_of(names: tuple[str, ...]) -> Shape:
    """Tell Google's shape by its word where nothing else of the body is left."""
    return Shape.GOOGLE if names and names[0] in GOOGLE_WORDS else Shape.SYMBOL


def _google(inner: Mapping[str, Any], status: int | None) -> Symbols:
    word, own = _symbol(inner.get("status")), _number(inner.get("code"))
    family = (status or own or 0) // 100
    if word in GOOGLE_WORDS and family in _GOOGLE_WORDS and word not in _GOOGLE_WORDS[family]:
        return Symbols(shape=Shape.PASSED_ON, status=own)
    return Symbols(names=(word,), shape=Shape.GOOGLE, status=own)


def _symbol(value: Any) -> str:
    """Give a value that can be a symbol; empty for numbers, digits, `error` and long sentences."""
    if not isinstance(value, str):
        return ""
    text = value[: LONGEST_CODE * 2].strip()
    sentence = len(text) > LONGEST_CODE and " " in text
    if sentence or text.lstrip("-").isdigit() or text == "error":
        return ""
    return text[:LONGEST_CODE]


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _decoded(body: Any) -> str:
    if not isinstance(body, bytes | bytearray | memoryview):
        return str(body).removeprefix("\ufeff")
    raw = bytes(body)
    for mark, encoding in _MARKS:
        if raw.startswith(mark):
            return raw[len(mark) :].decode(encoding, "replace")
    return raw.decode("utf-8", "replace")


def _size(body: Any) -> int:
    return len(body.encode("utf-8", "surrogatepass") if isinstance(body, str) else bytes(body))


def _is_stream(start: str, content_type: str) -> bool:
    if start[0] in "{[":
        return False
    return start.startswith(_FIELDS) or "event-stream" in content_type


def _json(start: str, *, short: bool) -> Body:
    parsed, value = loads(start)
    if parsed:
        return Body(kind=Kind.JSON, value=value)
    if start[0] in "{[":
        return Body(kind=Kind.CUT, value=_mended(start[:_MEND_LIMIT]), short=short)
    return Body(kind=Kind.TEXT, text=start[:LONGEST_CODE], short=short)


def loads(text: str) -> tuple[bool, Any]:
    """Parse JSON; False when it is none, or too deep, or holds a number no one can hold."""
    try:
        return True, json.loads(text)
    except (ValueError, RecursionError):
        return False, None


def _mended(text: str) -> Any:
    """Close what a cut left open after the last whole member; None when nothing can be saved."""
    end, stack = 0, ""
    for index, depth in _resting_places(text):
        end, stack = index, depth
    parsed, value = loads(text[:end] + stack)
    return value if parsed else None


def _resting_places(text: str) -> list[tuple[int, str]]:
    """Give the last place where a cut leaves whole members, with the brackets that close it."""
    closers: list[str] = []
    last = (0, "")
    quoted = escaped = False
    for index, char in enumerate(text):
        if quoted:
            quoted, escaped = (escaped or char != '"'), (char == "\\" and not escaped)
        elif char == '"':
            quoted = True
        elif char in "{[":
            closers.append("}" if char == "{" else "]")
            if len(closers) > _DEEPEST:
                break
            last = (index + 1, "".join(reversed(closers)))
        elif char in "}]":
            if not closers:
                break
            closers.pop()
            last = (index + 1, "".join(reversed(closers)))
        elif char == ",":
            last = (index, "".join(reversed(closers)))
    return [last]
