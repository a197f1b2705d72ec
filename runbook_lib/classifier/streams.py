"""Read an event stream whole: did it begin, did it carry an error, did it end as it should?

Whole is `[DONE]` and a `finish_reason`, `message_stop`, `response.completed` or Gemini's
`finishReason` (contract §4, M). Events with and without an `event:` line, CRLF, comments and pings
are read alike; what follows an end marker is ignored.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from runbook_lib.classifier.reading import loads

_PINGS = {"ping", "keepalive", "keep-alive", "heartbeat"}
_ANSWERED = {"response.completed", "response.incomplete", "message_stop"}
_FAILED = {"response.failed", "response.cancelled"}
_DONE = "[DONE]"


class End(StrEnum):
    """How a stream ended.

    `whole` as it should; `unmarked` with its finish reason but without `[DONE]`; `empty` before
    any event; `broken` in the middle; `stalled` until the client gave up; `error` by an event that
    says so.
    """

    WHOLE = "whole"
    UNMARKED = "unmarked"
    EMPTY = "empty"
    BROKEN = "broken"
    STALLED = "stalled"
    ERROR = "error"


@dataclass(slots=True, kw_only=True)
class Stream:
    """What was seen of a stream.

    Attributes:
        begun: An event came that is neither ping nor error.
        error: The first error event, as decoded.
        begun_before_error: The stream had begun when it came.
    """

    begun: bool = False
    error: Any = None
    begun_before_error: bool = False
    garbled: bool = False
    done: bool = False
    over: bool = False
    choices: set[Any] = field(default_factory=set)
    finished: set[Any] = field(default_factory=set)
    answered: bool = False

    @property
    def end(self) -> End:
        """How it ended."""
        if self.error is not None:
            return End.ERROR
        if not self.begun:
            return End.BROKEN if self.garbled else End.EMPTY
        if self.garbled:
            return End.BROKEN
        if self.answered:
            return End.WHOLE
        if self.finished and self.finished >= self.choices:
            return End.WHOLE if self.done else End.UNMARKED
        return End.BROKEN


def read_text(text: str) -> Stream:
    """Read a stream as it stood on the wire."""
    stream = Stream()
    for name, data in events(text):
        take(stream, name, data)
        if stream.over:
            break
    return stream


def read_values(values: Iterable[Any]) -> Stream:
    """Read a stream that came as a JSON array, as Gemini sends without `alt=sse`."""
    stream = Stream()
    for value in values:
        _take_value(stream, "", value)
    return stream


def events(text: str) -> Iterator[tuple[str, str]]:
    """Part a stream in events: name and data. A last event without its blank line counts."""
    name = ""
    data: list[str] = []
    for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        if not line:
            if name or data:
                yield name, "\n".join(data)
            name, data = "", []
        elif line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))
        elif line.startswith("event:"):
            name = line[6:].strip()
    if name or data:
        yield name, "\n".join(data)


def take(stream: Stream, name: str, data: str) -> Any:
    """Take the next event of a stream; gives its JSON, None where it has none."""
    start = data.strip()
    if start == _DONE:
        stream.done = stream.over = True
    elif not start:
        if name == "error":
            _fail(stream, {})
    elif name not in _PINGS and start not in _PINGS:
        parsed, value = loads(start)
        if parsed:
            _take_value(stream, name, value)
            return value
        if name == "error":
            _fail(stream, {})
        else:
            stream.garbled = True
    return None


def _take_value(stream: Stream, name: str, value: Any) -> None:
    if not isinstance(value, Mapping):
        stream.garbled = True
        return
    kind = value.get("type")
    if isinstance(kind, str) and kind in _PINGS:
        return
    response = value.get("response")
    if name == "error" or kind == "error" or _is_error(value.get("error")):
        _fail(stream, value)
    elif kind in _FAILED:
        _fail(stream, response if isinstance(response, Mapping) else value)
    else:
        stream.begun = True
        if kind in _ANSWERED:
            stream.answered = stream.over = True
        _take_choices(stream, value)


def _take_choices(stream: Stream, value: Mapping[str, Any]) -> None:
    for choice in _objects(value.get("choices")):
        index = str(choice.get("index", 0))
        stream.choices.add(index)
        if choice.get("finish_reason") not in (None, "", "error"):
            stream.finished.add(index)
    feedback = value.get("promptFeedback")
    blocked = isinstance(feedback, Mapping) and bool(feedback.get("blockReason"))
    if blocked or any(each.get("finishReason") for each in _objects(value.get("candidates"))):
        stream.answered = True


def _fail(stream: Stream, error: Any) -> None:
    if stream.error is None:
        stream.error, stream.begun_before_error = error, stream.begun


def _is_error(error: Any) -> bool:
    return isinstance(error, Mapping | str) and bool(error)


def _objects(values: Any) -> list[Mapping[str, Any]]:
    return (
        [each for each in values if isinstance(each, Mapping)] if isinstance(values, list) else []
    )
