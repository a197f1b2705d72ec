"""Writes streams: the events of each endpoint, whole and broken, in the forms captured.

A stream breaks as the family does (contract §4, M): chat completions end silently, responses and
messages say so in an event. What was passed on has blanks after commas, what the gateway wrote
itself has none.
"""

import json
from collections.abc import Iterator
from typing import Any

from runbook_lib.sandbox import bodies
from runbook_lib.sandbox.answers import Answer
from runbook_lib.sandbox.prices import Tokens

PING = b":\n\n"
"""A line that keeps a waiting connection open."""

_BROKEN = {"type": "upstream_error", "message": "stream_read_error", "code": "stream_read_error"}
_FAILED = {"code": "upstream_error", "message": "Upstream request failed"}
_PARTS = 4


def event(content: Any, name: str = "", *, tight: bool = False) -> bytes:
    """Write one event; *tight* leaves the blanks out, as the gateway itself does."""
    text = json.dumps(content, separators=(",", ":")) if tight else json.dumps(content)
    return (f"event: {name}\n" if name else "").encode() + f"data: {text}\n\n".encode()


def pieces(answer: Answer, second: int, *, with_usage: bool = False) -> list[bytes]:
    """Write the events of a streamed answer, one piece each.

    Args:
        answer: The answer; its `stream_end` says how the stream ends.
        second: Seconds since 1970, for the fields that tell it.
        with_usage: A last chunk with the token counts was asked for (chat completions).
    """
    if answer.problem is not None:
        return _late_refusal(answer)
    whole = answer.stream_end == "complete"
    name = answer.surface.name if answer.surface else ""
    if name == "messages":
        return list(_messages(answer, whole=whole))
    if name == "responses":
        return list(_responses(answer, second, whole=whole))
    if name == "gemini":
        return list(_gemini(answer, whole=whole))
    return list(_chat(answer, second, whole=whole, with_usage=with_usage))


def _late_refusal(answer: Answer) -> list[bytes]:
    """A 429 inside a 200: who waited for a slot had the status already (contract §4, M)."""
    problem = answer.problem
    inner = {"type": problem.code, "message": problem.message} if problem else {}
    content: dict[str, Any] = {"error": inner}
    if answer.protocol == "anthropic":
        content = {"type": "error", **content}
    return [PING, event(content, "error", tight=True)]


def _said(answer: Answer, *, whole: bool) -> list[str]:
    text = answer.text
    size = max(1, -(-len(text) // _PARTS))
    parts = [text[at : at + size] for at in range(0, len(text), size)]
    return parts if whole else parts[:2]


def _chat(answer: Answer, second: int, *, whole: bool, with_usage: bool) -> Iterator[bytes]:
    head = {
        "id": answer.response_id,
        "object": "chat.completion.chunk",
        "created": second,
        "model": answer.model,
    }
    first = {"role": "assistant", "content": ""}
    yield event({**head, "choices": [{"index": 0, "delta": first, "finish_reason": None}]})
    for part in _said(answer, whole=whole):
        delta = {"index": 0, "delta": {"content": part}, "finish_reason": None}
        yield event({**head, "choices": [delta]})
    if whole:
        last = {"index": 0, "delta": {}, "finish_reason": "stop"}
        yield event({**head, "choices": [last]})
        if with_usage:
            usage = bodies.chat(answer, answer.tokens or Tokens(), second)["usage"]
            yield event({**head, "choices": [], "usage": usage})
        yield b"data: [DONE]\n\n"


def _messages(answer: Answer, *, whole: bool) -> Iterator[bytes]:
    full = bodies.message(answer, answer.tokens or Tokens())
    usage = {**full["usage"], "output_tokens": 1}
    start = {**full, "content": [], "stop_reason": None, "usage": usage}
    yield event({"type": "message_start", "message": start}, "message_start")
    block = {"type": "text", "text": ""}
    begin = {"type": "content_block_start", "index": 0, "content_block": block}
    yield event(begin, "content_block_start")
    yield event({"type": "ping"}, "ping")
    for part in _said(answer, whole=whole):
        delta = {"type": "text_delta", "text": part}
        content = {"type": "content_block_delta", "index": 0, "delta": delta}
        yield event(content, "content_block_delta")
    if not whole:
        message = "upstream stream disconnected: connection reset by peer"
        inner = {"message": message, "type": "stream_read_error"}
        yield event({"error": inner, "type": "error"}, "error", tight=True)
        inner = {"type": "upstream_error", "message": "Upstream request failed"}
        yield event({"type": "error", "error": inner}, tight=True)
        return
    yield event({"type": "content_block_stop", "index": 0}, "content_block_stop")
    stop = {"stop_reason": "end_turn", "stop_sequence": None}
    tail = {"type": "message_delta", "delta": stop, "usage": full["usage"]}
    yield event(tail, "message_delta")
    yield event({"type": "message_stop"}, "message_stop")


def _responses(answer: Answer, second: int, *, whole: bool) -> Iterator[bytes]:
    full = bodies.response(answer, answer.tokens or Tokens(), second)
    item = full["output"][0]
    at = {"item_id": item["id"], "output_index": 0, "content_index": 0}
    blank = {"type": "output_text", "text": "", "annotations": []}
    begun = {**full, "status": "in_progress", "output": [], "usage": None}
    steps: list[tuple[str, dict[str, Any]]] = [
        ("created", {"response": begun}),
        (
            "output_item.added",
            {"output_index": 0, "item": {**item, "status": "in_progress", "content": []}},
        ),
        ("content_part.added", {**at, "part": blank}),
    ]
    steps += [("output_text.delta", {**at, "delta": part}) for part in _said(answer, whole=whole)]
    if whole:
        steps += [
            ("output_text.done", {**at, "text": answer.text}),
            ("content_part.done", {**at, "part": item["content"][0]}),
            ("output_item.done", {"output_index": 0, "item": item}),
            ("completed", {"response": full}),
        ]
    for number, (step, content) in enumerate(steps):
        name = f"response.{step}"
        yield event({"type": name, "sequence_number": number, **content}, name)
    if not whole:
        yield event({"type": "error", "sequence_number": 0, "error": _BROKEN}, tight=True)
        failed = {
            "id": answer.response_id,
            "object": "response",
            "model": answer.model,
            "status": "failed",
            "output": [],
            "error": _FAILED,
        }
        content = {"type": "response.failed", "response": failed}
        yield event(content, "response.failed", tight=True)


def _gemini(answer: Answer, *, whole: bool) -> Iterator[bytes]:
    full = bodies.gemini(answer, answer.tokens or Tokens())
    parts = _said(answer, whole=whole)
    for number, part in enumerate(parts):
        last = whole and number == len(parts) - 1
        candidate: dict[str, Any] = {
            "content": {"parts": [{"text": part}], "role": "model"},
            "index": 0,
        }
        if last:
            candidate["finishReason"] = "STOP"
        yield event({**full, "candidates": [candidate]})


def error_event(answer: Answer, *, named: bool) -> bytes:
    """Write the event of an error in the middle of a stream, with or without its `event:` line."""
    inner = {"type": "upstream_error", "message": "The server had an error"}
    content: dict[str, Any] = {"error": inner}
    if answer.protocol == "anthropic":
        content = {"type": "error", **content}
    return event(content, "error" if named else "", tight=True)
