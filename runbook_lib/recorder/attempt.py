"""One attempt, from its request to the line of the log."""

import json
import logging
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Self

from runbook_lib import contract, redact
from runbook_lib.classifier import classify
from runbook_lib.recorder import calls, facts
from runbook_lib.recorder.ending import Ending, pairs
from runbook_lib.recorder.log import LogFile
from runbook_lib.recorder.scan import Scanner

_LOG = logging.getLogger(__name__)
_OWN_FAULTS: Final = (
    *(ValueError, TypeError, LookupError, AttributeError, ArithmeticError, OSError),
    *(RuntimeError, MemoryError),
)
"""What a strange request or answer could make our own reading fail with; never the caller's."""

_AGAIN: Final = frozenset({408, 409, 425, 429})
_MOVED: Final = frozenset({301, 302, 303, 307, 308, 401})
_STICKY: Final = (contract.Retry.NEVER, contract.Retry.WINDOW)
_KEYS: Final = (b"authorization", b"x-api-key", b"x-goog-api-key")
_RETRY_COUNT: Final = b"x-stainless-retry-count"
_TO_JSON: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


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

    As a context it is the reading of a body: what ends the block is how the attempt ended.

    Args:
        settings: Of the recorder.
        request: Request of httpx or httpx2.

    Attributes:
        status: Of the answer; None before it, or without one.
    """

    def __init__(self, settings: Settings, request: Any) -> None:
        self.status: int | None = None
        self._settings, self._request = settings, request
        self._line: dict[str, Any] = {}
        self._call: calls.Call | None = None
        self._scanner: Scanner | None = None
        self._raw: Any = ()
        self._secrets: list[str] = []
        self._ttft: float | None = None
        self._events = self._written = self._stream_asked = False
        self._at = time.time()
        try:
            self._read_request(request)
        except _OWN_FAULTS as fault:
            _own_fault(fault)
        self._begun = time.perf_counter()

    def _read_request(self, request: Any) -> None:
        url, body = request.url, getattr(request, "_content", None)
        resend, agent, secrets = None, "", []
        for name, value in request.headers.raw:
            low = name.lower()
            if low == b"user-agent":
                agent = value.decode("latin-1")
            elif low == _RETRY_COUNT:
                resend = int(value) if value.isdigit() and len(value) < 6 else None
            elif low in _KEYS and len(key := value.decode("latin-1").removeprefix("Bearer ")) > 7:
                secrets.append(key)
        self._secrets = secrets
        self._call, attempt, count = calls.joined(
            id(self._settings),
            resend,
            mark=(request.method, url, hash(body)),
            sent=request.extensions.get("timeout"),
        )
        found, self._stream_asked = facts.asked(url.path, body)
        if self._call.redirected:  # which passes the body on unseen, or drops it
            found = {**self._call.asked, **found}
            self._stream_asked = found.get("gen_ai.request.stream", False)
        self._call.asked = found
        self._line = {
            "ts": "",
            **self._settings.fixed,
            "torouter.call.id": self._call.id,
            "torouter.attempt": attempt,
            "http.request.resend_count": count,
            "server.address": facts.same(url.host),
            "http.request.method": facts.same(request.method, 20),
            "url.path": facts.same(url.path, 500),
            **found,
        }
        if agent:
            self._line["user_agent.original"] = facts.same(agent)
        if span := _current_span():
            self._line["traceparent"] = span

    def answered(self, response: Any) -> None:
        """Note status and headers of the answer."""
        packed = ""
        try:
            self.status = int(response.status_code)
            self._raw = response.headers.raw
            found, plain, note = facts.headers(self._raw)
            self._line |= found
            if note:
                self._line["torouter.recorder.note"] = note
            self._events = "event-stream" in plain.get("content-type", "").lower()
            packed = plain.get("content-encoding", "").strip().lower()
        except _OWN_FAULTS as fault:
            _own_fault(fault)
        self._scanner = Scanner(encoding=packed, events=self._events)

    @property
    def may_be_sticky(self) -> bool:
        """Whether the body must be known before the SDK sees the answer."""
        return self._settings.stop_sticky and self.status == 429

    def stop_if_sticky(self, response: Any, body: bytes) -> None:
        """Mark a 429 that waiting cannot cure, if the user wants that."""
        if not self.may_be_sticky:
            return
        try:
            if classify(429, body, pairs(self._raw)).retry in _STICKY:
                response.headers[contract.SHOULD_RETRY_HEADER] = "false"
                if "x-goog-api-client" not in self._request.headers:  # does not know it
                    self._line["torouter.stopped_retry"] = True
        except _OWN_FAULTS as fault:
            _own_fault(fault)

    def fed(self, chunk: bytes) -> None:
        """Take a piece of the body, as it came."""
        if self._ttft is None:
            self._ttft = time.perf_counter() - self._begun
        if self._scanner is not None and not self._written:
            try:
                self._scanner.feed(chunk)
            except _OWN_FAULTS as fault:
                _own_fault(fault)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        left = isinstance(error, GeneratorExit)
        self.over(None if left else error, left=left)

    def over(self, error: BaseException | None = None, *, left: bool = False) -> None:
        """Write the line, if it is not written yet.

        Args:
            error: What ended the attempt; None when the body came to its end.
            left: The caller closed the answer before its end.
        """
        if self._written:
            return
        self._written = True
        lasted = time.perf_counter() - self._begun
        try:
            self._finish("" if error is None else type(error).__name__, left=left)
        except _OWN_FAULTS as fault:
            _own_fault(fault)
            self._line["torouter.recorder.note"] = "not recorded whole"
        self._line["ts"] = datetime.fromtimestamp(self._at, UTC).isoformat("T", "microseconds")
        self._line["duration_ms"] = round(lasted * 1000, 3)
        try:
            text = _TO_JSON(self._line)
            for secret in self._secrets:
                if secret in text:  # told back by the server, in a field of ours
                    text = text.replace(secret, redact.MASK)
            self._settings.log.write(text)
        except _OWN_FAULTS as fault:
            _own_fault(fault)
        self._request = self._scanner = None

    def _finish(self, error: str, *, left: bool) -> None:
        status, line = self.status, self._line
        if self._call is not None:
            self._call.failed = status is None or status >= 500 or status in _AGAIN
            self._call.moved = status in _MOVED
        # instruments below us put it in only while they send
        if trace := self._request.headers.get("traceparent"):
            line["traceparent"] = facts.clean(trace)
        if status is not None:
            line["http.response.status_code"] = status
        if self._scanner is not None and status is not None:
            end = Ending(
                status=status,
                raw=self._raw,
                scanner=self._scanner,
                events=self._events,
                stream_asked=self._stream_asked,
                asked=line,
                error=error,
                left=left,
            )
            line |= end.fields()
            if self._ttft is not None and status < 300 and (self._stream_asked or self._events):
                line["ttft_ms"] = round(self._ttft * 1000, 3)
        if error:
            line["error.type"] = error


def _current_span() -> str:
    """The trace context of the caller, where the process uses OpenTelemetry; else empty."""
    module = sys.modules.get("opentelemetry.trace")
    if module is None:
        return ""
    span = module.get_current_span().get_span_context()
    if not span.is_valid:
        return ""
    return f"00-{span.trace_id:032x}-{span.span_id:016x}-{int(span.trace_flags):02x}"


def _own_fault(fault: BaseException) -> None:
    _LOG.warning("A call could not be recorded whole (%s).", type(fault).__name__)
