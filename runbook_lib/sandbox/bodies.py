"""Writes one answer out: status, headers in order, and the body of everything that is no stream.

Forms are those captured (contract §3.1, §7, M). What an upstream says is passed on as it wrote it,
with blanks after commas; what the gateway writes itself has none, and sorted names.
"""

import json
from typing import Any, NamedTuple

from runbook_lib.sandbox import answers, key_report
from runbook_lib.sandbox.answers import Answer
from runbook_lib.sandbox.door import Request
from runbook_lib.sandbox.machine import Forced, Gateway
from runbook_lib.sandbox.prices import Tokens

PAGE = "<!doctype html>\n<html><head><title>Console</title></head><body></body></html>\n"
SAID = "pong"
"""What every simulated model says."""


class Written(NamedTuple):
    """An answer as it goes over the wire; *body* None stands for a stream."""

    answer: Answer
    status: int
    headers: list[tuple[str, str]]
    body: bytes | None


def respond(
    gateway: Gateway, request: Request, at: int, *, forced: Forced | None = None, said: str = SAID
) -> Written:
    """Judge a request and write its answer.

    Args:
        gateway: The gateway.
        request: The request.
        at: Tick of its arrival; never before that of the last request.
        forced: A planted fault; None for none.
        said: What the model says.
    """
    answer = gateway.handle(request, at, forced)._replace(text=said)
    text = _text(gateway, request, answer, at)
    body = None if text is None else text.encode()
    length = None if body is None else len(body)
    return Written(answer, answer.status, answers.headers(answer, length), body)


def _text(gateway: Gateway, request: Request, answer: Answer, at: int) -> str | None:
    if answer.stream_end:
        return None
    if answer.problem is not None:
        return answers.problem_body(answer, answer.problem)
    if answer.surface is None:
        return PAGE if answer.status == 200 else "404 page not found"
    key = gateway.find_key(request.secret)
    if answer.surface.name == "usage" and key is not None:
        return answers.compact(key_report.usage_answer(gateway, key, at))
    if answer.surface.operation == "list" and key is not None:
        return answers.compact(key_report.models_answer(key))
    return _said(answer, at // 1_000_000)


def _said(answer: Answer, second: int) -> str:
    """What the model said, in the form of the endpoint."""
    tokens = answer.tokens or Tokens()
    name = answer.surface.name if answer.surface else ""
    if answer.surface is not None and answer.surface.operation == "count":
        count = "totalTokens" if name == "gemini" else "input_tokens"
        return json.dumps({count: tokens.input})
    if name == "chat":
        return json.dumps(chat(answer, tokens, second))
    if name == "messages":
        return json.dumps(message(answer, tokens))
    if name == "responses":
        return json.dumps(response(answer, tokens, second))
    return json.dumps(gemini(answer, tokens) if name == "gemini" else _vectors(answer, tokens))


def chat(answer: Answer, tokens: Tokens, second: int) -> dict[str, Any]:
    """Build the answer of `/v1/chat/completions`, `second` since 1970 where it has one."""
    usage: dict[str, Any] = {
        "prompt_tokens": tokens.input + tokens.cache_read + tokens.cache_write,
        "completion_tokens": tokens.output,
        "total_tokens": sum(tokens),
        "prompt_tokens_details": {"cached_tokens": tokens.cache_read},
    }
    if answer.protocol == "gemini":
        del usage["prompt_tokens_details"]
    elif answer.protocol == "anthropic":
        usage["prompt_tokens_details"]["cache_creation_tokens"] = tokens.cache_write
    else:
        usage["completion_tokens_details"] = {"reasoning_tokens": 0}
    said = {"role": "assistant", "content": answer.text}
    return {
        "id": answer.response_id,
        "object": "chat.completion",
        "created": second,
        "model": answer.model,
        "choices": [{"index": 0, "message": said, "finish_reason": "stop"}],
        "usage": usage,
    }


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
    if answer.protocol == "gemini":
        usage = {"input_tokens": tokens.input, "output_tokens": tokens.output}
    return {
        "id": answer.response_id,
        "type": "message",
        "role": "assistant",
        "model": answer.model,
        "content": [{"type": "text", "text": answer.text}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": usage,
    }


def response(answer: Answer, tokens: Tokens, second: int) -> dict[str, Any]:
    """Build the answer of `/v1/responses`, `second` since 1970 where it has one."""
    said = {"type": "output_text", "text": answer.text, "annotations": []}
    output = {
        "id": f"msg_{answer.response_id[5:21]}",
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "content": [said],
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
    content = {"parts": [{"text": answer.text}], "role": "model"}
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


def _vectors(answer: Answer, tokens: Tokens) -> dict[str, Any]:
    return {
        "object": "list",
        "data": [{"object": "embedding", "index": 0, "embedding": [0.0, 1.0]}],
        "model": answer.model,
        "usage": {"prompt_tokens": tokens.input, "total_tokens": tokens.input},
    }
