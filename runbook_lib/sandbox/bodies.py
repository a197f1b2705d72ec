"""Writes one answer out: status, headers in order, and the body of everything that is no stream.

Forms are those captured (contract §3.1, §7, M). What an upstream says is passed on as it wrote it,
with blanks after commas; what the gateway writes itself has none, and mostly sorted names.
"""

import json
import zlib
from array import array
from base64 import b64encode
from typing import Any, NamedTuple

from runbook_lib.sandbox import answers, key_report
from runbook_lib.sandbox.answers import Answer
from runbook_lib.sandbox.door import Request
from runbook_lib.sandbox.machine import Forced, Gateway
from runbook_lib.sandbox.prices import Tokens
from runbook_lib.sandbox.surfaces import gemini_model
from runbook_lib.sandbox.wanted import Wish

PAGE = "<!doctype html>\n<html><head><title>Console</title></head><body></body></html>\n"
SAID = "pong"
"""What every simulated model says where nobody gives it words."""


class Written(NamedTuple):
    """An answer as it goes over the wire; *body* None stands for a stream."""

    answer: Answer
    status: int
    headers: list[tuple[str, str]]
    body: bytes | None


def respond(
    gateway: Gateway,
    request: Request,
    at: int,
    *,
    forced: Forced | None = None,
    wish: Wish | None = None,
    words: str = SAID,
) -> Written:
    """Judge a request and write its answer.

    Args:
        gateway: The gateway.
        request: The request.
        at: Tick of its arrival; never before that of the last request.
        forced: A planted fault; None for none.
        wish: What the request wants of the model; None for words.
        words: What the model says where it may say what it likes.

    Returns:
        The answer as it goes over the wire.
    """
    wanted = wish or Wish()
    answer = gateway.handle(request, at, forced)._replace(said=wanted.said(words))
    text = _text(gateway, request, answer, at, wanted)
    body = None if text is None else text.encode()
    length = None if body is None else len(body)
    return Written(answer, answer.status, answers.headers(answer, length), body)


def _text(gateway: Gateway, request: Request, answer: Answer, at: int, wanted: Wish) -> str | None:
    if answer.stream_end:
        return None
    if answer.problem is not None:
        return answers.problem_body(answer, answer.problem)
    if answer.surface is None:
        return PAGE if answer.status == 200 else "404 page not found"
    key = gateway.find_key(request.secret)
    if answer.surface.operation != "list" or key is None:
        return _said(answer, at // 1_000_000, wanted)
    if answer.surface.name == "gemini":
        return json.dumps(key_report.gemini_answer(gateway, key, gemini_model(request.path)))
    return answers.compact(key_report.answer(answer.surface.name, gateway, key, at))


def _said(answer: Answer, second: int, wanted: Wish) -> str:
    """What the model said, in the form of the endpoint."""
    tokens = answer.tokens or Tokens()
    name = answer.surface.name if answer.surface else ""
    if answer.surface is not None and answer.surface.operation == "count":
        count = "totalTokens" if name == "gemini" else "input_tokens"
        return json.dumps({count: tokens.input})
    if name == "chat":
        content = chat(answer, tokens, second)
    elif name == "messages":
        content = message(answer, tokens)
    elif name == "responses":
        content = response(answer, tokens, second)
    else:
        content = gemini(answer, tokens) if name == "gemini" else _vectors(answer, tokens, wanted)
    if not answer.origin:
        return json.dumps(content)
    if (answer.origin, name) == ("gemini", "messages"):
        return answers.compact(content)
    return json.dumps(content, separators=(",", ":"))


def call_id(answer: Answer) -> str:
    """Name the call of a tool: the same in a body and in the events of a stream."""
    return (answer.client_id or "").replace("-", "")[:24]


def chat(answer: Answer, tokens: Tokens, second: int) -> dict[str, Any]:
    """Build the answer of `/v1/chat/completions`, `second` since 1970 where it has one."""
    usage: dict[str, Any] = {
        "prompt_tokens": tokens.input + tokens.cache_read + tokens.cache_write,
        "completion_tokens": tokens.output,
        "total_tokens": sum(tokens),
        "prompt_tokens_details": {"cached_tokens": tokens.cache_read},
    }
    if answer.origin == "gemini":
        del usage["prompt_tokens_details"]
    elif answer.origin == "anthropic":
        usage["prompt_tokens_details"]["cache_creation_tokens"] = tokens.cache_write
    else:
        usage["completion_tokens_details"] = {"reasoning_tokens": 0}
    said: dict[str, Any] = {"role": "assistant", "content": answer.said.text}
    if answer.said.tool:
        said = {"role": "assistant", "content": None, "tool_calls": [chat_tool(answer)]}
    reason = "tool_calls" if answer.said.tool else "stop"
    return {
        "id": answer.response_id,
        "object": "chat.completion",
        "created": second,
        "model": answer.model,
        "choices": [{"index": 0, "message": said, "finish_reason": reason}],
        "usage": usage,
    }


def chat_tool(answer: Answer) -> dict[str, Any]:
    """Build the call of a tool as chat completions tell it."""
    function = {"name": answer.said.tool, "arguments": answer.said.arguments}
    return {"id": f"call_{call_id(answer)}", "type": "function", "function": function}


def message(answer: Answer, tokens: Tokens) -> dict[str, Any]:
    """Build the answer of `/v1/messages`."""
    usage: dict[str, Any] = {
        "input_tokens": tokens.input,
        "cache_creation_input_tokens": tokens.cache_write,
        "cache_read_input_tokens": tokens.cache_read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": tokens.cache_write,
            "ephemeral_1h_input_tokens": 0,
        },
        "output_tokens": tokens.output,
        "service_tier": "standard",
    }
    if answer.origin == "gemini":
        usage = {"input_tokens": tokens.input, "output_tokens": tokens.output}
    block: dict[str, Any] = {"type": "text", "text": answer.said.text}
    if answer.said.tool:
        block = {**message_tool(answer), "input": json.loads(answer.said.arguments)}
    return {
        "id": answer.response_id,
        "type": "message",
        "role": "assistant",
        "model": answer.model,
        "content": [block],
        "stop_reason": "tool_use" if answer.said.tool else "end_turn",
        "stop_sequence": None,
        "usage": usage,
    }


def message_tool(answer: Answer) -> dict[str, Any]:
    """Build the call of a tool as messages tell it, its input still empty."""
    return {
        "type": "tool_use",
        "id": f"toolu_{call_id(answer)}",
        "name": answer.said.tool,
        "input": {},
    }


def response(answer: Answer, tokens: Tokens, second: int) -> dict[str, Any]:
    """Build the answer of `/v1/responses`, `second` since 1970 where it has one."""
    said = {"type": "output_text", "text": answer.said.text, "annotations": []}
    output: dict[str, Any] = {
        "id": f"msg_{answer.response_id[5:21]}",
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "content": [said],
    }
    if answer.said.tool:
        output = {
            "id": f"fc_{answer.response_id[5:21]}",
            "type": "function_call",
            "status": "completed",
            "call_id": f"call_{call_id(answer)}",
            "name": answer.said.tool,
            "arguments": answer.said.arguments,
        }
    usage = {
        "input_tokens": tokens.input + tokens.cache_read,
        "input_tokens_details": {"cached_tokens": tokens.cache_read},
        "output_tokens": tokens.output,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": sum(tokens),
    }
    return {
        "id": answer.response_id,
        "object": "response",
        "created_at": second,
        "status": "completed",
        "model": answer.model,
        "output": [output],
        "usage": usage,
        "error": None,
        "incomplete_details": None,
    }


def gemini(answer: Answer, tokens: Tokens) -> dict[str, Any]:
    """Build the answer of `generateContent`."""
    part: dict[str, Any] = {"text": answer.said.text}
    if answer.said.tool:
        arguments = json.loads(answer.said.arguments)
        part = {"functionCall": {"name": answer.said.tool, "args": arguments}}
    content = {"parts": [part], "role": "model"}
    usage = {
        "promptTokenCount": tokens.input + tokens.cache_read,
        "candidatesTokenCount": tokens.output,
        "totalTokenCount": sum(tokens),
        "cachedContentTokenCount": tokens.cache_read,
    }
    return {
        "candidates": [{"content": content, "finishReason": "STOP", "index": 0}],
        "usageMetadata": usage,
        "modelVersion": answer.model,
        "responseId": "r1",
    }


def _vectors(answer: Answer, tokens: Tokens, wanted: Wish) -> dict[str, Any]:
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "index": number, "embedding": _vector(text, wanted)}
            for number, text in enumerate(wanted.texts)
        ],
        "model": answer.model,
        "usage": {"prompt_tokens": tokens.input, "total_tokens": tokens.input},
    }


def _vector(text: str, wanted: Wish) -> list[float] | str:
    """A vector of length one: the same text has the same one, other texts mostly another one."""
    numbers = array("f", bytes(4 * wanted.dimensions))
    numbers[zlib.crc32(text.encode("utf-8", "replace")) % wanted.dimensions] = 1.0
    return b64encode(numbers.tobytes()).decode() if wanted.base64 else numbers.tolist()
