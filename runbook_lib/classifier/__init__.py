"""Classify an answer of the gateway: code, cause, whose side, whether to retry, what to do.

    classify(429, '{"code":"API_KEY_QUOTA_EXHAUSTED","message":"…"}').retry  # "never"

Decided by rule, never by message text: messages can be in any language and operators replace them.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from runbook_lib.classifier import headers as heads
from runbook_lib.classifier import judge, reading, streams, whole
from runbook_lib.classifier.headers import Headers, request_ids
from runbook_lib.classifier.judge import Classification
from runbook_lib.classifier.logged import classify_logged
from runbook_lib.classifier.reading import Body, Kind, Symbols
from runbook_lib.classifier.streams import End, Stream
from runbook_lib.contract import Shape, Wait

__all__ = ["Classification", "classify", "classify_logged", "request_ids"]

_SHAPES = {
    Kind.UNREAD: Shape.UNREAD,
    Kind.EMPTY: Shape.EMPTY,
    Kind.PAGE: Shape.PLAIN,
    Kind.TEXT: Shape.PLAIN,
}


def classify(
    status: int | None,
    body: str | bytes | Mapping[str, Any] | None = None,
    headers: Headers | None = None,
) -> Classification:
    """Tell what an answer means.

    Args:
        status: HTTP status; None when no answer came.
        body: Text or bytes as they came, an event stream whole; JSON that an SDK has decoded is
            taken too. None when nobody read it, "" when it was empty.
        headers: Names in any case, several lines of one name as pairs or a list of values.

    Returns:
        The classification. Never raises, whatever stands in body or headers.

    Source: contract §3 and §4; the mark of the rule stands in the result.
    """
    found = heads.lines(headers)
    wait, seconds = heads.retry_after(found)
    held = reading.read(
        body, content_type=_first(found, "content-type").lower(), promised=_promised(found)
    )
    number = judge.number(status)
    if number is None:
        judged = judge.of(("unknown",))
    elif 200 <= number < 300:
        judged = _accepted(number, held, wait)
    else:
        judged = judge.refused(number, _symbols(held, number), wait)
    return replace(judged, retry_after_s=seconds, request_ids=request_ids(headers))


def _accepted(status: int, body: Body, wait: Wait) -> Classification:
    """Judge an answer whose status says that nothing failed."""
    if body.kind is Kind.PAGE:
        return judge.of(("wrong_base_path",))
    if body.kind is Kind.STREAM:
        return _streamed(streams.read_text(body.text), wait)
    if body.kind is Kind.JSON:
        return _decoded(body.value, wait)
    if body.kind is Kind.CUT:
        return _cut(body, wait)
    if body.kind is Kind.EMPTY and status in (204, 205):
        return judge.of(("success",))
    if body.kind is Kind.TEXT and not body.short:
        return judge.of(("unknown",))
    return judge.of(("unknown", "success"))


def _decoded(value: Any, wait: Wait) -> Classification:
    if whole.is_pieces(value):
        return _streamed(streams.read_values(value), wait)
    if whole.has_error(value):
        return judge.inside(reading.symbols(value), wait)
    answer = whole.is_whole(value)
    if answer is None:
        return judge.of(("unknown", "success"))
    return judge.of(("success",) if answer else ("unknown",))


def _cut(body: Body, wait: Wait) -> Classification:
    """Judge JSON that ends early: by what stands at its beginning, and by who cut it."""
    if whole.has_error(body.value):
        return judge.inside(reading.symbols(body.value), wait)
    if body.short or whole.begins_well(body.value):
        return judge.of(("success",))
    return judge.of(("unknown", "success"))


def _streamed(stream: Stream, wait: Wait) -> Classification:
    if stream.end is End.ERROR:
        found = reading.symbols(stream.error)
        return judge.broken(found, begun=stream.begun_before_error, wait=wait)
    return judge.ended(stream.end)


def _symbols(body: Body, status: int) -> Symbols:
    """Find the symbols of a refusal, in whatever form it came."""
    if body.kind is Kind.STREAM:
        return reading.symbols(streams.read_text(body.text).error, status)
    if body.kind in _SHAPES:
        return Symbols(shape=_SHAPES[body.kind])
    value = body.value[0] if isinstance(body.value, list) and body.value else body.value
    return reading.symbols(value, status)


def _first(found: Mapping[str, list[str]], name: str) -> str:
    values = found.get(name)
    return values[0] if values else ""


def _promised(found: Mapping[str, list[str]]) -> int | None:
    """Length the answer announced; None without one, or where it was packed on the way."""
    text = _first(found, "content-length").strip()
    packed = _first(found, "content-encoding").strip().lower() not in ("", "identity")
    return int(text) if text.isdecimal() and len(text) < 16 and not packed else None
