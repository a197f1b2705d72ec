"""What an answer's body tells, from a bounded copy: kept are few lines, read at the end.

The stream itself is never held up: each piece is searched for a handful of words, and nothing is
decoded before the answer is over.
"""

import json
import re
import zlib
from typing import Any, Final

HEAD: Final = 65_536
LONGEST_LINE: Final = 262_144
MOST_UNPACKED: Final = 64 << 20
_PIECE: Final = 1 << 20
_MOST_FINISHES: Final = 16

_USAGE = (b'"usage"', b'"usageMetadata"')
_FINISH = (b'_reason":"', b'_reason": "', b'"finishReason"')
_SOME_FINISH = re.compile(rb'"(?:finish_reason|finishReason|stop_reason)"\s*:\s*"([^"\\]{1,64})"')
_ERROR = re.compile(rb'"error"\s*:\s*[{"]|"type"\s*:\s*"(?:error|response\.failed)"')
_TERMINAL = re.compile(
    rb'^data:\s*\[DONE\]|"type"\s*:\s*"(?:message_stop|response\.(?:completed|incomplete))"'
)
_WORDS = (*_USAGE, *_FINISH, b'"error"', b"[DONE]", b"message_stop", b'"response.', b"event:")


class Scanner:
    """Reads along with one answer.

    Args:
        encoding: Content-Encoding of the answer, lower case.
        events: Whether the body is an event stream.

    Attributes:
        note: What made the copy unreadable; empty when nothing did.
        size: Bytes seen, as they came.
    """

    __slots__ = (
        "_carry",
        "_carry_size",
        "_events",
        "_head",
        "_tail",
        "_unpack",
        "_unpacked",
        "done",
        "error",
        "event_error",
        "finish",
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
        self.finish: list[bytes] = []
        self.done = self.some = self.event_error = False
        self._unpack: Any = None
        if encoding in ("gzip", "x-gzip"):
            self._unpack = zlib.decompressobj(31)
        elif encoding == "deflate":
            self._unpack = zlib.decompressobj()
        elif encoding not in ("", "identity"):
            self.note = f"body packed as {encoding[:20]!r} was not read"

    def feed(self, chunk: bytes) -> None:
        """Take the next piece, as it came."""
        self.size += len(chunk)
        if self.note or not chunk:
            return
        if self._unpack is None:
            self._take(chunk)
            return
        rest = chunk
        while rest and not self.note:
            try:
                piece = self._unpack.decompress(rest, _PIECE)
            except zlib.error:
                self.note = "body could not be unpacked"
                return
            rest = self._unpack.unconsumed_tail
            self._unpacked += len(piece)
            if self._unpacked > MOST_UNPACKED:
                self.note = "body unpacks to more than was read"
            self._take(piece)

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
        if self.first:
            for word in _WORDS:
                if word in block:
                    break
            else:
                return
        for line in block.split(b"\n"):
            self._line(line)

    def _line(self, line: bytes) -> None:
        if line.startswith(b"event:"):
            self.event_error = line[6:].strip() == b"error"
            return
        if not line.startswith((b"data:", b"\xef\xbb\xbfdata:")):
            return
        if not self.some and line[5:].strip():
            self.some = True
        if not self.first:
            self.first = line[:LONGEST_LINE]
        if _USAGE[0] in line or _USAGE[1] in line:
            self.last_usage = line[-LONGEST_LINE:]
        if _SOME_FINISH.search(line) and len(self.finish) < _MOST_FINISHES:
            self.finish += _SOME_FINISH.findall(line)
        if _TERMINAL.search(line):
            self.done = True
        told = b'"error"' in line or b'"response.failed"' in line
        if not self.error and (self.event_error or (told and _ERROR.search(line))):
            self.error = line[:HEAD]

    def end(self) -> None:
        """Read what stands after the last line break."""
        last = b"".join(self._carry).rstrip()
        if last.endswith((b"}", b"]")):  # half an event tells nothing
            self._block(last)
        elif last.startswith(b"data:"):
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
            return [_decoded(line.partition(b"data:")[2]) for line in held if line]
        whole = self.head if len(self._head) < HEAD else b""
        value = _decoded(whole) if whole else None
        if isinstance(value, list):
            return value
        return [value] if value is not None else [_guessed(self.head), _guessed(self._tail)]

    def finishes(self) -> list[str]:
        """Give the finish reasons, each once, in their order."""
        found = self.finish if self._events else _SOME_FINISH.findall(self.head + self._tail)
        return list(dict.fromkeys(text.decode("ascii", "replace") for text in found))


def _decoded(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return _guessed(data)


_COUNT = re.compile(rb'"(\w+)"\s*:\s*(\d{1,15})\b')
_NAMED = re.compile(rb'"(id|model|responseId|modelVersion)"\s*:\s*"([^"\\]{1,200})"')
_COUNTED = re.compile(rb'"(usage|usageMetadata)"\s*:\s*(\{(?:[^{}]|\{[^{}]*\}){0,2000}\})')


def _guessed(data: bytes) -> Any:
    """Read names and counts out of JSON that is not whole here."""
    found: dict[str, Any] = {}
    for name, text in _NAMED.findall(data[:4096]):
        found.setdefault(name.decode(), text.decode("utf-8", "replace"))
    for name, text in _COUNTED.findall(data)[-1:]:
        try:
            found[name.decode()] = json.loads(text)
        except ValueError:
            found[name.decode()] = {key.decode(): int(n) for key, n in _COUNT.findall(text)}
    return found or None
