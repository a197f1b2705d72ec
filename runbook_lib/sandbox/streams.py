"""Writes streams: the events of each endpoint, whole and broken, in the forms captured.

A stream breaks as the family does (contract §4, M): chat completions end silently, unless they are
translated; responses and messages say so in an event. What was passed on has blanks after commas,
what the gateway wrote itself has none.
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
_FIRST = {"role": "assistant", "content": ""}
_CUT = {
    "code": "upstream_stream_read_error",
    "message": "Upstream response stream was interrupted",
    "type": "upstream_error",
}
_PARTS = 4
_PINGS = 5
"""Lines that keep a stream open while its upstream hangs: one in ten seconds."""


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
    name = answer.surface.name if answer.surface else ""
    writers = {"messages": _messages, "gemini": _gemini}
    if name in writers:
        said = writers[name](answer)
    elif name == "responses":
        said = _responses(answer, second)
    else:
        said = _chat(answer, second, with_usage=with_usage)
    return [*said, *_pings(answer), *_broken(answer)]


def pings(answer: Answer) -> int:
    """How many lines keep the stream open before it breaks; they come ten seconds apart."""
    known = answer.origin == "responses" or (answer.surface and answer.surface.name == "responses")
    return _PINGS if answer.broken == "hangs" and known else 0


def _pings(answer: Answer) -> list[bytes]:
    return [PING] * pings(answer)


def _whole(answer: Answer) -> bool:
    return answer.stream_end == "complete"


def _broken(answer: Answer) -> list[bytes]:
    """What tells the caller that the stream broke; nothing where it just ends."""
    name = answer.surface.name if answer.surface else ""
    if not answer.broken:
        return []
    if answer.broken == "errs":
        return [error_event(answer, named=name == "messages")]
    if answer.origin == "responses":
        return [event({"error": _CUT}, "error", tight=True)]
    cut = {"messages": _cut_message, "responses": _cut_response}
    return cut[name](answer) if name in cut else []


def _cut_message(_: Answer) -> list[bytes]:
    message = "upstream stream disconnected: connection reset by peer"
    inner = {"message": message, "type": "stream_read_error"}
    again = {"type": "upstream_error", "message": "Upstream request failed"}
    return [
        event({"error": inner, "type": "error"}, "error", tight=True),
        event({"type": "error", "error": again}, tight=True),
    ]


def _cut_response(answer: Answer) -> list[bytes]:
    failed = {
        "id": f"resp_{answer.request_ids[0].replace('-', '')[:32]}",
        "object": "response",
        "model": answer.model,
        "status": "failed",
        "output": [],
        "error": _FAILED,
    }
    return [
        event({"type": "error", "sequence_number": 0, "error": _BROKEN}, tight=True),
        event({"type": "response.failed", "response": failed}, "response.failed", tight=True),
    ]


def _late_refusal(answer: Answer) -> list[bytes]:
    """A 429 inside a 200: who waited for a slot had the status already (contract §4, M)."""
    problem = answer.problem
    inner = {"type": problem.code, "message": problem.message} if problem else {}
    content: dict[str, Any] = {"error": inner}
    if answer.protocol == "anthropic":
        content = {"type": "error", **content}
    return [PING, event(content, "error", tight=True)]


def _parts(answer: Answer, text: str) -> list[str]:
    size = max(1, -(-len(text) // _PARTS))
    parts = [text[at : at + size] for at in range(0, len(text), size)]
    return parts if _whole(answer) else parts[:2]


def _chat(answer: Answer, second: int, *, with_usage: bool) -> Iterator[bytes]:
    tight = bool(answer.origin)
    head = {
        "id": answer.response_id,
        "object": "chat.completion.chunk",
        "created": second,
        "model": answer.model,
    }
    first = {"role": "assistant"} if answer.origin == "responses" else _FIRST
    reason = "tool_calls" if answer.said.tool else "stop"
    deltas = [(first, None), *((delta, None) for delta in _chat_deltas(answer))]
    for delta, finish in [*deltas, *([({}, reason)] if _whole(answer) else [])]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        yield event({**head, "choices": [choice]}, tight=tight)
    if not _whole(answer):
        return
    if with_usage:
        usage = bodies.chat(answer, answer.tokens or Tokens(), second)["usage"]
        yield event({**head, "choices": [], "usage": usage}, tight=tight)
    yield b"data: [DONE]\n\n"


def _chat_deltas(answer: Answer) -> Iterator[dict[str, Any]]:
    if not answer.said.tool:
        yield from ({"content": part} for part in _parts(answer, answer.said.text))
        return
    call = bodies.chat_tool(answer)
    begun = {**call, "function": {**call["function"], "arguments": ""}}
    yield {"tool_calls": [{"index": 0, **begun}]}
    for part in _parts(answer, answer.said.arguments):
        yield {"tool_calls": [{"index": 0, "function": {"arguments": part}}]}


def _messages(answer: Answer) -> Iterator[bytes]:
    full = bodies.message(answer, answer.tokens or Tokens())
    usage = {**full["usage"], "output_tokens": 1}
    start = {**full, "content": [], "stop_reason": None, "usage": usage}
    block: dict[str, Any] = {"type": "text", "text": ""}
    if answer.said.tool:
        block = bodies.message_tool(answer)
    steps: list[dict[str, Any]] = [
        {"type": "message_start", "message": start},
        {"type": "content_block_start", "index": 0, "content_block": block},
        {"type": "ping"},
    ]
    for part in _parts(answer, answer.said.arguments or answer.said.text):
        delta = {"type": "text_delta", "text": part}
        if answer.said.tool:
            delta = {"type": "input_json_delta", "partial_json": part}
        steps.append({"type": "content_block_delta", "index": 0, "delta": delta})
    if _whole(answer):
        stop = {"stop_reason": full["stop_reason"], "stop_sequence": None}
        steps += [
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": stop, "usage": full["usage"]},
            {"type": "message_stop"},
        ]
    yield from (event(step, step["type"], tight=bool(answer.origin)) for step in steps)


Steps = list[tuple[str, dict[str, Any]]]


def _responses(answer: Answer, second: int) -> Iterator[bytes]:
    full = bodies.response(answer, answer.tokens or Tokens(), second)
    item = full["output"][0]
    begun = {**full, "status": "in_progress", "output": [], "usage": None}
    still: dict[str, Any] = {"arguments": ""} if answer.said.tool else {"content": []}
    added = {**item, "status": "in_progress", **still}
    said = _tool_steps if answer.said.tool else _text_steps
    steps: Steps = [
        ("created", {"response": begun}),
        ("output_item.added", {"output_index": 0, "item": added}),
        *said(answer, item),
    ]
    if _whole(answer):
        steps.append(("output_item.done", {"output_index": 0, "item": item}))
        steps.append(("completed", {"response": full}))
    for number, (step, content) in enumerate(steps):
        name = f"response.{step}"
        yield event(
            {"type": name, "sequence_number": number, **content}, name, tight=bool(answer.origin)
        )


def _text_steps(answer: Answer, item: dict[str, Any]) -> Steps:
    at = {"item_id": item["id"], "output_index": 0, "content_index": 0}
    blank = {"type": "output_text", "text": "", "annotations": []}
    parts = _parts(answer, answer.said.text)
    steps: Steps = [("content_part.added", {**at, "part": blank})]
    steps += [("output_text.delta", {**at, "delta": part}) for part in parts]
    if _whole(answer):
        steps.append(("output_text.done", {**at, "text": answer.said.text}))
        steps.append(("content_part.done", {**at, "part": item["content"][0]}))
    return steps


def _tool_steps(answer: Answer, item: dict[str, Any]) -> Steps:
    at = {"item_id": item["id"], "output_index": 0}
    parts = _parts(answer, answer.said.arguments)
    steps: Steps = [("function_call_arguments.delta", {**at, "delta": part}) for part in parts]
    if _whole(answer):
        whole = {**at, "name": answer.said.tool, "arguments": answer.said.arguments}
        steps.append(("function_call_arguments.done", whole))
    return steps


def _gemini(answer: Answer) -> Iterator[bytes]:
    full = bodies.gemini(answer, answer.tokens or Tokens())
    parts = [{"text": part} for part in _parts(answer, answer.said.text)]
    if answer.said.tool:
        parts = full["candidates"][0]["content"]["parts"]
    for number, part in enumerate(parts):
        candidate: dict[str, Any] = {"content": {"parts": [part], "role": "model"}, "index": 0}
        if _whole(answer) and number == len(parts) - 1:
            candidate["finishReason"] = "STOP"
        yield event({**full, "candidates": [candidate]})


def error_event(answer: Answer, *, named: bool) -> bytes:
    """Write the event of an error in the middle of a stream, with or without its `event:` line."""
    inner = {"type": "upstream_error", "message": "The server had an error"}
    content: dict[str, Any] = {"error": inner}
    if answer.protocol == "anthropic":
        content = {"type": "error", **content}
    return event(content, "error" if named else "", tight=True)
