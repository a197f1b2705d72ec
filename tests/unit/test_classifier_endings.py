"""What is whole and what is not: streams and bodies under status 200."""

import json
from typing import Any

import pytest

from runbook_lib.classifier import classify

SSE = {"content-type": "text/event-stream"}
JSON = {"content-type": "application/json"}
CHUNK = 'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":%s}]}\n\n'
CHAT = CHUNK % "null"
CHAT_END = CHUNK % '"stop"' + "data: [DONE]\n\n"
START = 'event: message_start\ndata: {"type":"message_start","message":{"content":[]}}\n\n'
STOP = 'event: message_stop\ndata: {"type":"message_stop"}\n\n'
CREATED = 'event: response.created\ndata: {"type":"response.created","response":{"error":null}}\n\n'
GEMINI = 'data: {"candidates":[{"content":{"parts":[{"text":"a"}]}%s}]}\r\n\r\n'
LIMIT = '{"error":{"message":"x","type":"rate_limit_error"},"type":"error"}'
ANSWER = {
    "id": "c",
    "object": "chat.completion",
    "choices": [{"index": 0, "message": {"content": "a"}, "finish_reason": "stop"}],
}

FAULTS_OF_STREAMS = {
    "no event": ("", None),
    "comments only": (": ping\n\n: ping\n\n", None),
    "pings only": ('event: ping\ndata: {"type":"ping"}\n\n', None),
    "web page": ("<!doctype html><html></html>", "never"),
    "error first": (f"event: error\ndata: {LIMIT}\n\n", "backoff"),
    "error after pings, a 429 inside a 200": (f":\n\n:\n\ndata: {LIMIT}\n\n", "backoff"),
    "error in the middle, named": (f"{START}event: error\ndata: {LIMIT}\n\n", None),
    "error in the middle, unnamed": (f"{START}data: {LIMIT}\n\n", None),
    "clean end without a finish reason": (CHAT * 3, None),
    "done without a finish reason": (f"{CHAT}data: [DONE]\n\n", None),
    "finish reason without done": (CHAT_END.replace("data: [DONE]\n\n", ""), None),
    "messages without message_stop": (START, None),
    "responses without response.completed": (CREATED, None),
    "responses that failed": (
        CREATED
        + 'data: {"type":"response.failed","response":{"error":{"code":"upstream_error"}}}\n\n',
        None,
    ),
    "gemini without finishReason": (GEMINI % "", None),
    "half an event": (CHAT + CHAT[:40], None),
    "broken JSON in the middle": (f"{CHAT}data: {{oops\n\n{CHAT_END}", None),
    "one of two choices unfinished": (
        CHAT.replace('"index":0', '"index":1') + CHAT_END,
        None,
    ),
}


@pytest.mark.parametrize(
    ("body", "retry"), FAULTS_OF_STREAMS.values(), ids=FAULTS_OF_STREAMS.keys()
)
def test_a_stream_that_broke_is_never_taken_for_whole(body: str, retry: str | None) -> None:
    """Both SDKs pass these silently; half an answer would go on as a whole one."""
    for text in (body, body.replace("\r\n", "\n").replace("\n", "\r\n")):
        judged = classify(200, text, SSE)
        assert judged.cause != "success"
        assert judged.retry == retry


FAULTS_OF_BODIES = {
    "empty": "",
    "blank": " \n",
    "web page": "<html><body>Sign in</body></html>",
    "{}": "{}",
    "null": "null",
    "[]": "[]",
    "no choices": '{"object":"chat.completion","choices":[]}',
    "choices missing": '{"id":"c","object":"chat.completion"}',
    "cut": json.dumps(ANSWER)[:60],
    "error object": '{"error":{"type":"upstream_error","message":"x"}}',
    "flat error": '{"code":"API_KEY_EXPIRED","message":"x"}',
    "console error": '{"code":401,"message":"x","reason":"INVALID_CREDENTIALS"}',
    "plain text": "upstream connect error",
    "number": "42",
    "text in quotes": '"<html>"',
    "no candidates": '{"candidates":[]}',
    "message without content": '{"type":"message","role":"assistant"}',
    "failed response": '{"object":"response","status":"failed","output":[],"error":null}',
}


@pytest.mark.parametrize("body", FAULTS_OF_BODIES.values(), ids=FAULTS_OF_BODIES.keys())
def test_a_body_that_is_no_answer_is_never_taken_for_one(body: str) -> None:
    """Under status 200 the SDKs return a page as text and an error as an object full of None."""
    for held in (body, body.encode(), b"\xef\xbb\xbf" + body.encode(), body.encode("utf-16")):
        assert classify(200, held, JSON).cause != "success"


GOOD_ENDINGS = {
    "chat": CHAT + CHAT_END,
    "chat with usage after the finish": CHAT_END.replace(
        "data: [DONE]", 'data: {"choices":[],"usage":{"total_tokens":1}}\n\ndata: [DONE]'
    ),
    "chat, no blank line at the end": (CHAT + CHAT_END).rstrip(),
    "chat, done twice and data after it": f"{CHAT}{CHAT_END}data: [DONE]\n\ndata: junk\n\n",
    "chat by tool call": CHAT_END.replace('"stop"', '"tool_calls"'),
    "chat, two choices": CHAT_END.replace("data: [DONE]\n\n", "")
    + CHAT_END.replace('"index":0', '"index":1'),
    "messages": START + STOP,
    "messages with pings and comments": f':\n\nevent: ping\ndata: {{"a":1}}\n\n{START}{STOP}',
    "messages without event lines": (
        'data: {"type":"message_start"}\n\ndata: {"type":"message_stop"}\n\n'
    ),
    "responses": f'{CREATED}data: {{"type":"response.completed"}}\n\n',
    "responses cut at the token limit": f'{CREATED}data: {{"type":"response.incomplete"}}\n\n',
    "gemini": GEMINI % "" + GEMINI % ',"finishReason":"STOP"',
    "gemini as an array": (
        '[{"candidates":[{"content":{}}]},{"candidates":[{"finishReason":"STOP"}]}]'
    ),
}


@pytest.mark.parametrize("body", GOOD_ENDINGS.values(), ids=GOOD_ENDINGS.keys())
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
def test_a_whole_stream_is_a_success(body: str, newline: str) -> None:
    """A false alarm on a good ending would make every figure of failures worthless."""
    text = body.replace("\r\n", "\n").replace("\n", newline)
    for held in (text, text.encode(), "\ufeff" + text):
        assert classify(200, held, SSE).candidates == ("success",)


GOOD_BODIES: dict[str, Any] = {
    "chat": ANSWER,
    "completion": {"object": "text_completion", "choices": [{"text": "a"}]},
    "message": {"type": "message", "content": [], "stop_reason": "end_turn"},
    "response": {"object": "response", "status": "completed", "output": [], "error": None},
    "response at the token limit": {"object": "response", "status": "incomplete", "output": []},
    "gemini": {"candidates": [{"content": {}, "finishReason": "STOP"}]},
    "gemini, prompt blocked": {"promptFeedback": {"blockReason": "SAFETY"}},
    "count of tokens": {"input_tokens": 42},
    "count of tokens, gemini": {"totalTokens": 42},
    "embeddings": {"object": "list", "data": [{"embedding": [0.1]}]},
    "no models": {"object": "list", "data": []},
    "models, gemini": {"models": [{"name": "models/gemini-2.5-pro"}]},
    "usage": {"mode": "quota_limited", "isValid": True, "quota": {"limit": 1}},
    "console": {"code": 0, "message": "success", "data": None},
    "alive": {"status": "ok"},
}


@pytest.mark.parametrize("body", GOOD_BODIES.values(), ids=GOOD_BODIES.keys())
def test_a_whole_body_is_a_success(body: dict[str, Any]) -> None:
    """Completions, counts, lists, states and the console's envelope are what the gateway gives."""
    for held in (json.dumps(body), json.dumps(body).encode("utf-16"), body):
        judged = classify(200, held)
        assert judged.candidates == ("success",)
        assert (judged.domain, judged.retry, judged.code) == (None, None, None)


@pytest.mark.parametrize(
    ("body", "headers", "candidates"),
    [
        pytest.param('{"choices":[{"mess', {"content-length": "400"}, ("success",), id="promised"),
        pytest.param('{"code":0,"message":"success","data":[{"a', {}, ("success",), id="console"),
        pytest.param('{"data":[{"id":"m"},{"i', {}, ("unknown", "success"), id="who knows"),
        pytest.param(
            '{"error":{"type":"api_error","message":"cu',
            {"content-length": "400"},
            ("no_channel_available",),
            id="an error all the same",
        ),
        pytest.param(
            '{"data":[{"id":"m"},{"i',
            {"content-length": "400", "content-encoding": "gzip"},
            ("unknown", "success"),
            id="length of the packed body",
        ),
    ],
)
def test_cut_json_is_judged_by_who_cut_it(
    body: str, headers: dict[str, str], candidates: tuple[str, ...]
) -> None:
    """Held shorter than announced it was cut by who stored it, not by the gateway."""
    assert classify(200, body, headers).candidates == candidates
