"""What an attempt came to: its code, its rule, what the answer tells, and how a stream ended."""

import math
import re
from dataclasses import dataclass
from typing import Any, Final

from runbook_lib.classifier import classify
from runbook_lib.recorder import facts
from runbook_lib.recorder.scan import Scanner

Headers = list[tuple[bytes, bytes]]

_LEFT: Final = frozenset(
    {"CancelledError", "Cancelled", "GeneratorExit", "KeyboardInterrupt", "SystemExit"}
)
_LONGEST_VALUE: Final = 4096
_CODE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}|rate limit exceeded")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """An attempt that is over, with an answer.

    Attributes:
        status: Of HTTP.
        raw: Headers as they came.
        scanner: What was seen of the body.
        events: The answer is an event stream.
        stream_asked: The request asked for one.
        asked: What the request told: protocol and path.
        error: Name of the exception that ended it; empty for none.
        left: The caller closed the answer before its end.
    """

    status: int
    raw: Headers
    scanner: Scanner
    events: bool
    stream_asked: bool
    asked: dict[str, Any]
    error: str
    left: bool

    def fields(self) -> dict[str, Any]:
        """Give the fields of the log that only the end can tell."""
        self.scanner.end()
        found: dict[str, Any] = {}
        if self.scanner.note:
            found["torouter.recorder.note"] = self.scanner.note
        if self.status >= 400:
            found |= judged(self.status, self._refusal(), self.raw)
            found["error.type"] = str(self.status)
        else:
            found |= self._answer()
        return found

    def _refusal(self) -> bytes | None:
        """The body of a refusal; None where nobody read it, which is not an empty one."""
        scanner = self.scanner
        unread = bool(scanner.note) or self.left or bool(self.error)
        return None if unread and not scanner.head else scanner.head

    def _answer(self) -> dict[str, Any]:
        scanner = self.scanner
        found = facts.answered(scanner.pieces())
        if finishes := scanner.finishes():
            found["gen_ai.response.finish_reasons"] = [facts.clean(text) for text in finishes]
        failed = scanner.error if self.events else b""
        if failed:
            found |= judged(200, b"event: error\n" + failed + b"\n\n", self.raw)
        elif b'"error"' in scanner.head and not (self.events and scanner.some):
            found |= judged(self.status, scanner.head, self.raw)
            failed = b"error" if "torouter.error.code" in found else b""
        if failed:
            found["error.type"] = found.get("torouter.error.code", "error")
        if self.status < 300 and (end := self._end(failed=bool(failed))):
            found["torouter.stream.end"] = end
        return found

    def _end(self, *, failed: bool) -> str:
        """How the stream ended; empty for what is no stream, or where it cannot be known."""
        scanner = self.scanner
        if not (self.stream_asked or self.events or (self.left and not self._is_whole())):
            return ""
        if self.error:
            return _how(self.error)
        if failed:
            return "error_event"
        if self._has_end():
            return "complete"
        if scanner.note:
            return ""
        if self.left:
            return "cancelled"
        if not scanner.some and not (scanner.finishes() and not self.events):
            return "empty"
        return "truncated"

    def _is_whole(self) -> bool:
        return any(
            name.lower() == b"content-length" and value == str(self.scanner.size).encode()
            for name, value in self.raw
        )

    def _has_end(self) -> bool:
        if self.asked.get("gen_ai.provider.name") == "gemini":
            return bool(self.scanner.finishes())
        chat = self.asked.get("url.path", "").endswith("/chat/completions")
        return self.scanner.done and (bool(self.scanner.finishes()) or not chat)


def _how(error: str) -> str:
    if error in _LEFT:
        return "cancelled"
    if "Timeout" in error:
        return "timeout"
    return "truncated" if error == "RemoteProtocolError" else "reset"


def pairs(raw: Headers) -> list[tuple[str, str]]:
    """Decode headers, each value bounded.

    The length is left out: it speaks of the body as it was packed, and the body is unpacked here.
    """
    return [
        (name.decode("latin-1").lower(), value[:_LONGEST_VALUE].decode("latin-1"))
        for name, value in raw
        if name.lower() != b"content-length"
    ]


def judged(status: int, body: bytes | None, raw: Headers) -> dict[str, Any]:
    """Give code, retry rule and wait of an answer that failed; only what reads like a code is."""
    told = classify(status, body, pairs(raw))
    found: dict[str, Any] = {}
    if told.code and _CODE.fullmatch(told.code):
        found["torouter.error.code"] = facts.clean(told.code)
    if told.retry is not None:
        found["torouter.retry"] = str(told.retry.value)
    if told.retry_after_s is not None and math.isfinite(told.retry_after_s):
        found["torouter.retry_after_s"] = told.retry_after_s
    return found
