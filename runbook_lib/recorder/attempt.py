"""One attempt, from its request to the line of the log."""

import json
import logging
import math
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from runbook_lib import contract
from runbook_lib.classifier import classify
from runbook_lib.recorder import calls, facts
from runbook_lib.recorder.log import LogFile
from runbook_lib.recorder.scan import Scanner

_LOG = logging.getLogger(__name__)
OWN_FAULTS: Final = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, OSError)
"""What a strange request or answer could make our own reading fail with; never the caller's."""

_AGAIN = frozenset({408, 409, 425, 429})
_STICKY = (contract.Retry.NEVER, contract.Retry.WINDOW)
_LEFT = frozenset({"CancelledError", "Cancelled", "GeneratorExit", "KeyboardInterrupt"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a recorder writes into every line, and where.

    Attributes:
        log: The file.
        fixed: Fields that are the same in every line.
        stop_sticky: Whether a 429 that waiting cannot cure is marked so that SDKs stop.
    """

    log: LogFile
    fixed: dict[str, Any]
    stop_sticky: bool


class Attempt:
    """Watches one attempt and writes its line once.

    Args:
        settings: Of the recorder.
        request: Request of httpx or httpx2.

    Attributes:
        stream_asked: Whether the request asks for a stream.
    """

    def __init__(self, settings: Settings, request: Any) -> None:
        self._settings = settings
        self._line: dict[str, Any] = {}
        self._call: calls.Call | None = None
        self._scanner: Scanner | None = None
        self._raw: Any = ()
        self._plain: dict[str, str] = {}
        self._status: int | None = None
        self._ttft: float | None = None
        self._events = self._written = self.stream_asked = self.stopped = False
        self._at = time.time()
        try:
            self._read_request(request)
        except OWN_FAULTS as fault:
            _own_fault(fault)
        self._begun = time.perf_counter()

    def _read_request(self, request: Any) -> None:
        sent, url = request.headers, request.url
        body = getattr(request, "_content", None)
        number = sent.get("x-stainless-retry-count", "")
        resend = int(number) if number.isdecimal() and len(number) < 6 else None
        mark = hash((request.method, str(url), body))
        self._call, attempt, count = calls.joined(id(self._settings), resend, mark)
        found, self.stream_asked = facts.asked(url.path, body)
        self._line = {
            "ts": "",
            **self._settings.fixed,
            "torouter.call.id": self._call.id,
            "torouter.attempt": attempt,
            "http.request.resend_count": count,
            "server.address": facts.clean(url.host),
            "http.request.method": facts.clean(request.method, 20),
            "url.path": facts.clean(url.path, 500),
            **found,
        }
        for name, field in (("traceparent", "traceparent"), ("user-agent", "user_agent.original")):
            if value := sent.get(name):
                self._line[field] = facts.clean(value)

    def answered(self, response: Any) -> None:
        """Note status and headers of the answer."""
        try:
            self._status = int(response.status_code)
            self._raw = response.headers.raw
            found, self._plain, note = facts.headers(self._raw)
            self._line |= found
            if note:
                self._line["torouter.recorder.note"] = note
        except OWN_FAULTS as fault:
            _own_fault(fault)
        kind = self._plain.get("content-type", "").lower()
        self._events = "event-stream" in kind
        packed = self._plain.get("content-encoding", "").strip().lower()
        self._scanner = Scanner(encoding=packed, events=self._events)

    def wants_body(self) -> bool:
        """Tell whether the body must be read now, as an SDK may never read it."""
        refused = self._status is not None and self._status >= 400
        return refused and (
            self.stream_asked or (self._settings.stop_sticky and self._status == 429)
        )

    def stop_if_sticky(self, response: Any, body: bytes) -> None:
        """Mark a 429 that waiting cannot cure, if the user wants that."""
        if not self._settings.stop_sticky or self._status != 429:
            return
        try:
            if classify(429, body, _pairs(self._raw)).retry in _STICKY:
                response.headers[contract.SHOULD_RETRY_HEADER] = "false"
                self._line["torouter.stopped_retry"] = True
        except OWN_FAULTS as fault:
            _own_fault(fault)

    def fed(self, chunk: bytes) -> None:
        """Take a piece of the body, as it came."""
        if self._ttft is None:
            self._ttft = time.perf_counter() - self._begun
        if self._scanner is not None and not self._written:
            try:
                self._scanner.feed(chunk)
            except OWN_FAULTS as fault:
                _own_fault(fault)

    def over(self, error: BaseException | None = None, *, left: bool = False) -> None:
        """Write the line.

        Args:
            error: What ended the attempt; None when the body came to its end.
            left: The caller closed the answer before its end.
        """
        if self._written:
            return
        self._written = True
        lasted = time.perf_counter() - self._begun
        try:
            self._finish(error, left=left)
            self._line["ts"] = datetime.fromtimestamp(self._at, UTC).isoformat("T", "microseconds")
            self._line["duration_ms"] = round(lasted * 1000, 3)
            if self._ttft is not None and (self.stream_asked or self._events):
                self._line["ttft_ms"] = round(self._ttft * 1000, 3)
            self._settings.log.write(json.dumps(self._line, ensure_ascii=False))
        except OWN_FAULTS as fault:
            _own_fault(fault)

    def _finish(self, error: BaseException | None, *, left: bool) -> None:
        status, line = self._status, self._line
        if self._call is not None:
            self._call.failed = status is None or status >= 500 or status in _AGAIN
        if status is not None:
            line["http.response.status_code"] = status
        name = type(error).__name__ if error is not None else ""
        if self._scanner is not None and status is not None:
            self._scanner.end()
            if self._scanner.note:
                line["torouter.recorder.note"] = self._scanner.note
            if status < 400:
                self._read_answer(self._scanner, name, left=left)
            else:
                self._read_refusal(status, self._scanner)
        if name:
            line["error.type"] = name

    def _read_refusal(self, status: int, scanner: Scanner) -> None:
        self._judge(status, scanner.head if scanner.size or not scanner.note else None)
        self._line["error.type"] = str(status)

    def _judge(self, status: int, body: bytes | None) -> None:
        # headers that speak of the body as it was packed would mislead: it is unpacked here
        pairs = [pair for pair in _pairs(self._raw) if not pair[0].startswith("content-length")]
        judged = classify(status, body, pairs)
        if judged.code:
            self._line["torouter.error.code"] = facts.clean(judged.code)
        if judged.retry is not None:
            self._line["torouter.retry"] = str(judged.retry.value)
        if judged.retry_after_s is not None and math.isfinite(judged.retry_after_s):
            self._line["torouter.retry_after_s"] = judged.retry_after_s

    def _read_answer(self, scanner: Scanner, name: str, *, left: bool) -> None:
        line = self._line
        line |= facts.answered(scanner.pieces())
        finishes = scanner.finishes()
        if finishes:
            line["gen_ai.response.finish_reasons"] = [facts.clean(text) for text in finishes]
        failed = scanner.error if self._events else b""
        if failed:
            self._judge(200, b"event: error\n" + failed + b"\n\n")
        elif not self._events and b'"error"' in scanner.head:
            self._judge(self._status or 200, scanner.head)
            failed = b"error" if "torouter.error.code" in line else b""
        if failed and "error.type" not in line:
            line["error.type"] = line.get("torouter.error.code", "error")
        if self.stream_asked or self._events or (left and not self._is_whole(scanner)):
            end = self._end_of(scanner, name, failed=bool(failed), left=left)
            if end:
                line["torouter.stream.end"] = end

    def _is_whole(self, scanner: Scanner) -> bool:
        return any(
            name.lower() == b"content-length" and value == str(scanner.size).encode()
            for name, value in self._raw
        )

    def _end_of(self, scanner: Scanner, name: str, *, failed: bool, left: bool) -> str:
        if name:
            return _how(name)
        if failed:
            return "error_event"
        if self._has_end(scanner):
            return "complete"
        if left:
            return "cancelled"
        if scanner.note:
            return ""
        if not scanner.some and not (scanner.finishes() and not self._events):
            return "empty"
        return "truncated"

    def _has_end(self, scanner: Scanner) -> bool:
        provider = self._line.get("gen_ai.provider.name")
        if provider == "gemini":
            return bool(scanner.finishes())
        chat = self._line.get("url.path", "").endswith("/chat/completions")
        return scanner.done and (bool(scanner.finishes()) or not chat)


def _how(name: str) -> str:
    if name in _LEFT:
        return "cancelled"
    if "Timeout" in name:
        return "timeout"
    return "truncated" if name == "RemoteProtocolError" else "reset"


def _pairs(raw: Any) -> list[tuple[str, str]]:
    return [(name.decode("latin-1").lower(), value[:4096].decode("latin-1")) for name, value in raw]


def _own_fault(fault: BaseException) -> None:
    _LOG.warning("A call could not be recorded whole (%s).", type(fault).__name__)
