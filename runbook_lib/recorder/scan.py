"""What an answer's body tells, from a bounded copy: kept are few lines, read at the end.

The stream itself is never held up: each piece is searched for a handful of words, and nothing is
decoded before the answer is over, save what looks like an error.
"""

import json
import re
from typing import Any, Final

from runbook_lib.recorder.unpack import unpacker

HEAD: Final = 65_536
LONGEST_LINE: Final = 262_144
MOST_UNPACKED: Final = 64 << 20
_MOST_FINISHES: Final = 16
_NAMES_WITHIN: Final = 4096

_USAGE = (b'"usage"', b'"usageMetadata"')
_FINISH = (b'_reason":"', b'_reason": "', b'"finishReason"')
_SOME_FINISH = re.compile(
    rb'"(?:finish_reason|finishReason|stop_reason)"\s*:\s*"([A-Za-z][A-Za-z0-9_.-]{0,63})"'
)
_ERROR = re.compile(rb'"error"\s*:\s*[{"]|"type"\s*:\s*"(?:error|response\.failed)"')
_TERMINAL = re.compile(
    rb'^data:\s*\[DONE\]|"type"\s*:\s*"(?:message_stop|response\.(?:completed|incomplete))"'
)
_PING = re.compile(rb'\s*\{\s*"type"\s*:\s*"(?:ping|keepalive|keep-alive|heartbeat)"')
_WORDS = (*_USAGE, *_FINISH, b'"error"', b"[DONE]", b"message_stop", b'"response.', b"event:")


class Scanner:
    """Reads along with one answer.

    Args:
        encoding: Content-Encoding of the answer, lower case.
        events: Whether the body is an event stream.

    Attributes:
        note: What made the copy unreadable; empty when nothing did.
        size: Bytes seen, as they came.
        first, last_usage: Data of the first event, and of the last one with token counts.
        error: The line of the first event that is an error.
        done: The stream said that it is whole.
        some: There was an event.
    """

    __slots__ = (
        "_carry",
        "_carry_size",
        "_event_error",
        "_events",
        "_finish",
        "_head",
        "_tail",
        "_unpack",
        "_unpacked",
        "done",
        "error",
        "first",
        "last_usage",
        "note",
        "size",
        "some",
    )

    def __init__(self, *, encoding: str, events: bool) -> None:
        self._events, self.size, self._unpacked, self.note = events, 0, 0, ""
        self._head, self._tail = bytearray(), b""
        self._carry: list[bytes] = []
        self._carry_size = 0
        self.first = self.last_usage = self.error = b""
        self._finish: list[bytes] = []
        self.done = self.some = self._event_error = False
        self._unpack = None
        if encoding not in ("", "identity"):
            self._unpack = unpacker(encoding)
            if self._unpack is None:
                self.note = f"body packed as {encoding[:20]!r} was not read"

    def feed(self, chunk: bytes) -> None:
        """Take the next piece, as it came."""
        self.size += len(chunk)
        if self.note or not chunk:
            return
        if self._unpack is None:
            self._take(chunk)
            return
        try:
            for piece in self._unpack(chunk):
                self._unpacked += len(piece)
                self._take(piece)
                if self._unpacked > MOST_UNPACKED:
                    self.note = "body unpacks to more than was read"
                    return
        except ValueError:
            self.note = "body could not be unpacked"

    def _take(self, piece: bytes) -> None:
        if len(self._head) < HEAD:
            self._head += piece[: HEAD - len(self._head)]
        if not self._events:
            self._tail = (self._tail + piece)[-HEAD:] if len(piece) < HEAD else piece[-HEAD:]
            return
        if b"\r" in piece:
            piece = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        begun, found, rest = piece.rpartition(b"\n")
        if found:
            block = b"".join((*self._carry, begun)) if self._carry else begun
            self._carry, self._carry_size = [rest] if rest else [], len(rest)
            self._block(block)
        elif self._carry_size < LONGEST_LINE:
            self._carry.append(rest)
            self._carry_size += len(rest)
        else:  # of a line without end only the beginning and the last piece are kept
            self._carry[-1] = rest[-HEAD:]

    def _block(self, block: bytes) -> None:
        if self.first and not self._event_error:
            for word in _WORDS:
                if word in block:
                    break
            else:
                return
        for line in block.split(b"\n"):
            self._line(line)

    def _line(self, line: bytes) -> None:
        if line.startswith(b"event:"):
            self._event_error = line[6:].strip() == b"error"
            return
        if not line.startswith((b"data:", b"\xef\xbb\xbfdata:")):
            return
        data = line.partition(b"data:")[2]
        if not self.first:
            if not data.strip() or _PING.match(data):
                return
            self.some, self.first = True, _bounded(data)
        if _USAGE[0] in line or _USAGE[1] in line:
            self.last_usage = _bounded(data)
        if len(self._finish) < _MOST_FINISHES and _SOME_FINISH.search(line):
            self._finish += _SOME_FINISH.findall(line)
        if _TERMINAL.search(line):
            self.done = True
        told = b'"error"' in line or b'"response.failed"' in line
        if not self.error and (self._event_error or (told and _is_error(line))):
            self.error = line[:HEAD]

    def end(self) -> None:
        """Read what stands after the last line break."""
        last = b"".join(self._carry).rstrip()
        if last.endswith((b"}", b"]")):  # half an event tells nothing
            self._block(last)
        elif last.startswith(b"data:") and last != b"data:":
            self.some = True
        self._carry = []

    @property
    def head(self) -> bytes:
        """The beginning of the body, unpacked, at most `HEAD` bytes."""
        return bytes(self._head)

    def pieces(self) -> list[Any]:
        """Give what the answer said of itself, decoded: the first event and the last usage."""
        if self._events:
            held = [self.first] if self.first == self.last_usage else [self.first, self.last_usage]
            return [_decoded(data) for data in held if data]
        if len(self._head) >= HEAD:
            return [_guessed(self.head + b" " + self._tail)]
        value = _decoded(self.head) if self._head else None
        return value if isinstance(value, list) else [value]

    def finishes(self) -> list[str]:
        """Give the finish reasons, each once, in their order."""
        rest = self._tail if len(self._head) >= HEAD else b""
        found = self._finish if self._events else _SOME_FINISH.findall(self.head + rest)
        return list(dict.fromkeys(text.decode("ascii", "replace") for text in found))


def _bounded(data: bytes) -> bytes:
    if len(data) <= LONGEST_LINE:
        return data
    return data[:_NAMES_WITHIN] + b" " + data[-LONGEST_LINE:]


def _is_error(line: bytes) -> bool:
    """Tell an error from an answer that has the word in what it says, as arguments of a tool."""
    if not _ERROR.search(line):
        return False
    try:
        value = json.loads(line.partition(b"data:")[2])
    except (ValueError, RecursionError):
        return True  # half of one
    return isinstance(value, dict) and (
        bool(value.get("error")) or value.get("type") in ("error", "response.failed")
    )


_COUNT = re.compile(rb'"(\w+)"\s*:\s*(\d{1,15})\b')
_NAMED = re.compile(rb'"(id|model|responseId|modelVersion)"\s*:\s*"([^"\\]{1,200})"')
_NAMED_LAST = re.compile(rb'"(responseId|modelVersion)"\s*:\s*"([^"\\]{1,200})"')
_COUNTED = re.compile(rb'"(usage|usageMetadata)"\s*:\s*(\{(?:[^{}]|\{[^{}]*\}){0,2000}\})')


def _decoded(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return _guessed(data)


def _guessed(data: bytes) -> Any:
    """Read names and counts out of JSON that is not whole here.

    Names of OpenAI and Anthropic stand at the beginning, those of Gemini at the end; the same words
    between belong to what was said.
    """
    found: dict[str, Any] = {}
    for name, text in (
        *_NAMED.findall(data[:_NAMES_WITHIN]),
        *_NAMED_LAST.findall(data[-_NAMES_WITHIN:]),
    ):
        found.setdefault(name.decode(), text.decode("utf-8", "replace"))
    for name, text in _COUNTED.findall(data)[-1:]:
        try:
            found[name.decode()] = json.loads(text)
        except ValueError:
            found[name.decode()] = {key.decode(): int(n) for key, n in _COUNT.findall(text)}
    return found or None
