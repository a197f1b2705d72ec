"""What is asked: one small request for each thing a model must be able to do, in every protocol."""

import base64
import json
import re
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

MODELS, USAGE = "models", "usage"
"""Questions about a key: what it may call, and what is left of its limits."""

ABILITIES: Final = ("stream", "tools", "json_schema", "vision")
"""Questions about a model that is known to answer; the first question is `plain`."""

PLAIN: Final = "plain"

PROTOCOLS: Final = ("openai", "responses", "anthropic", "gemini")

FEW_TOKENS: Final = {"openai": 16, "responses": 16, "anthropic": 1, "gemini": 1}
"""Output that is allowed: one token, or the least that the API takes (Responses: 16)."""

PREAMBLE_TOKENS: Final = 1_000
"""Input that a provider adds for tools and schemas, at most."""

PICTURE_TOKENS: Final = 2_000
"""Input that a picture of one pixel counts as, at most."""

_MODEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._:@+-]|/(?!\.))*")
LONGEST_MODEL = 128

SCHEMA: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {"ok": {"type": "boolean"}},
    "required": ["ok"],
    "additionalProperties": False,
}
_TOOL, _SAYS = "answer_ok", "Say ok."


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request.

    Attributes:
        question: `models`, `usage`, `plain`, or one of `ABILITIES`.
        key_name: Key it is sent with; empty for the only one.
        model: Model asked; empty for a question about the key.
        protocol: One of `PROTOCOLS`.
        path: Path of the gateway. `body`: JSON to post; None for a GET.
    """

    question: str
    key_name: str
    protocol: str
    path: str
    model: str = ""
    body: bytes | None = None

    @property
    def method(self) -> str:
        """GET for what is free, POST for what is billed."""
        return "GET" if self.body is None else "POST"

    @property
    def most_input(self) -> int:
        """Input tokens it can count as: no token is shorter than a byte."""
        size = len(self.body) if self.body else 0
        picture = PICTURE_TOKENS if self.question == "vision" else 0
        return size + PREAMBLE_TOKENS + picture if size else 0

    @property
    def most_output(self) -> int:
        """Output tokens it allows."""
        return FEW_TOKENS[self.protocol] if self.body else 0

    def headers(self, key: str) -> dict[str, str]:
        """Headers of the request, with the key in the one its protocol uses (contract §2)."""
        held = {"content-type": "application/json"} if self.body else {}
        if self.protocol == "anthropic" and self.body:
            return {**held, "x-api-key": key, "anthropic-version": "2023-06-01"}
        if self.protocol == "gemini" and self.body:
            return {**held, "x-goog-api-key": key}
        return {**held, "authorization": f"Bearer {key}"}


def is_model(name: str) -> bool:
    """Tell a name that can stand in a request and a path from anything else."""
    return len(name) <= LONGEST_MODEL and ".." not in name and _MODEL.fullmatch(name) is not None


def of_key(question: str, key_name: str) -> Ask:
    """Make a question about a key; both are free and answer without a model."""
    return Ask(question=question, key_name=key_name, protocol="openai", path=f"/v1/{question}")


def of_model(question: str, key_name: str, model: str, protocol: str) -> Ask:
    """Make a question about a model.

    Args:
        question: `plain` or one of `ABILITIES`.
        key_name: Key it is sent with.
        model: Name as it is asked for.
        protocol: One of `PROTOCOLS`.

    Returns:
        The request.
    """
    made = {"openai": _chat, "responses": _responses, "anthropic": _messages, "gemini": _gemini}
    paths = {
        "openai": "/v1/chat/completions",
        "responses": "/v1/responses",
        "anthropic": "/v1/messages",
    }
    verb = "streamGenerateContent?alt=sse" if question == "stream" else "generateContent"
    path = paths.get(protocol) or f"/v1beta/models/{quote(model, safe='')}:{verb}"
    return Ask(
        question=question,
        key_name=key_name,
        model=model,
        protocol=protocol,
        path=path,
        body=json.dumps(made[protocol](question, model), separators=(",", ":")).encode(),
    )


def _chat(question: str, model: str) -> dict[str, Any]:
    content: Any = _SAYS
    if question == "vision":
        picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
        content = [{"type": "text", "text": _SAYS}, picture]
    body: dict[str, Any] = {
        "model": model,
        "messages": [{"role": "user", "content": content}],
        "max_completion_tokens": FEW_TOKENS["openai"],
    }
    if question == "stream":
        body["stream"] = True
    if question == "tools":
        function = {"name": _TOOL, "parameters": SCHEMA}
        body["tools"] = [{"type": "function", "function": function}]
        body["tool_choice"] = {"type": "function", "function": {"name": _TOOL}}
    if question == "json_schema":
        form = {"name": _TOOL, "strict": True, "schema": SCHEMA}
        body["response_format"] = {"type": "json_schema", "json_schema": form}
    return body


def _responses(question: str, model: str) -> dict[str, Any]:
    body: dict[str, Any] = {
        "model": model,
        "input": _SAYS,
        "max_output_tokens": FEW_TOKENS["responses"],
    }
    if question == "vision":
        picture = {"type": "input_image", "image_url": f"data:image/png;base64,{PIXEL}"}
        content = [{"type": "input_text", "text": _SAYS}, picture]
        body["input"] = [{"role": "user", "content": content}]
    if question == "stream":
        body["stream"] = True
    if question == "tools":
        body["tools"] = [{"type": "function", "name": _TOOL, "parameters": SCHEMA, "strict": True}]
        body["tool_choice"] = {"type": "function", "name": _TOOL}
    if question == "json_schema":
        form = {"type": "json_schema", "name": _TOOL, "strict": True, "schema": SCHEMA}
        body["text"] = {"format": form}
    return body


def _messages(question: str, model: str) -> dict[str, Any]:
    content: Any = _SAYS
    if question == "vision":
        source = {"type": "base64", "media_type": "image/png", "data": PIXEL}
        content = [{"type": "image", "source": source}, {"type": "text", "text": _SAYS}]
    body: dict[str, Any] = {
        "model": model,
        "max_tokens": FEW_TOKENS["anthropic"],
        "messages": [{"role": "user", "content": content}],
    }
    if question == "stream":
        body["stream"] = True
    if question == "tools":
        body["tools"] = [{"name": _TOOL, "input_schema": SCHEMA}]
        body["tool_choice"] = {"type": "tool", "name": _TOOL}
    if question == "json_schema":
        body["output_config"] = {"format": {"type": "json_schema", "schema": SCHEMA}}
    return body


def _gemini(question: str, _: str) -> dict[str, Any]:
    parts: list[dict[str, Any]] = [{"text": _SAYS}]
    if question == "vision":
        parts.append({"inlineData": {"mimeType": "image/png", "data": PIXEL}})
    config: dict[str, Any] = {"maxOutputTokens": FEW_TOKENS["gemini"]}
    body: dict[str, Any] = {"contents": [{"role": "user", "parts": parts}]}
    plain = {name: value for name, value in SCHEMA.items() if name != "additionalProperties"}
    if question == "tools":
        body["tools"] = [{"functionDeclarations": [{"name": _TOOL, "parameters": plain}]}]
        calling = {"mode": "ANY", "allowedFunctionNames": [_TOOL]}
        body["toolConfig"] = {"functionCallingConfig": calling}
    if question == "json_schema":
        config |= {"responseMimeType": "application/json", "responseSchema": plain}
    return {**body, "generationConfig": config}


def _pixel() -> str:
    """A picture of one white pixel, as PNG in base64."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        size, check = struct.pack(">I", len(data)), zlib.crc32(kind + data)
        return size + kind + data + struct.pack(">I", check)

    head = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    parts = [(b"IHDR", head), (b"IDAT", zlib.compress(b"\0\xff")), (b"IEND", b"")]
    png = b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)
    return base64.b64encode(png).decode()


PIXEL: Final = _pixel()
