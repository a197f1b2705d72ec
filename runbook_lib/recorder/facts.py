"""What a request and an answer tell of themselves, in the names of the call log.

Never a prompt, an answer or a key: only named fields are copied, each bounded and searched for
secrets.
"""

import functools
import json
import re
from collections.abc import Iterable
from typing import Any, Final, TypeGuard

from runbook_lib import contract, redact

LONGEST_TEXT: Final = 200
LONGEST_ID: Final = 512
MOST_IDS: Final = 20
LARGEST_PARSED: Final = 4 << 20
_ENDS_OF_BODY: Final = 4096

_PATHS = (
    ("/chat/completions", "openai", "chat"),
    ("/responses", "openai", "chat"),
    ("/embeddings", "openai", "embeddings"),
    ("/messages/count_tokens", "anthropic", "count_tokens"),
    ("/messages", "anthropic", "chat"),
    (":generateContent", "gemini", "chat"),
    (":streamGenerateContent", "gemini", "chat"),
    (":countTokens", "gemini", "count_tokens"),
    (":embedContent", "gemini", "embeddings"),
    (":batchEmbedContents", "gemini", "embeddings"),
    ("/models", "", "models"),
)
_MODEL_IN_PATH = re.compile(r"/models/([^/:]+)")
_MODEL_IN_BODY = re.compile(rb'(?<!\\)"model"\s*:\s*"([^"\\]{1,200})"')
_STREAM_IN_BODY = re.compile(rb'(?<!\\)"stream"\s*:\s*true')
_IDS = {
    contract.REQUEST_ID_HEADER.encode(): "http.response.header.x-request-id",
    contract.CLIENT_REQUEST_ID_HEADER.encode(): "http.response.header.x-client-request-id",
    b"request-id": "http.response.header.request-id",
}


def clean(text: str, limit: int = LONGEST_TEXT) -> str:
    """Make a text fit to be logged: visible, without secrets, bounded."""
    text = text[: limit + 1]
    if redact.suspect(text):
        text = redact.secrets(text)
    if not (text.isascii() and text.isprintable()):
        text = redact.visible(text).replace("\n", "\\n").replace("\t", "\\t")
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


same = functools.lru_cache(maxsize=512)(clean)
"""As `clean`, for texts that come again with every call: hosts, paths, models."""


def asked(path: str, body: bytes | None) -> tuple[dict[str, Any], bool]:
    """Tell protocol, operation, model and whether a stream was asked.

    Args:
        path: Path of the address.
        body: Body sent; None when it is a stream of its own.

    Returns:
        Fields of the log, and whether a stream was asked.
    """
    found: dict[str, Any] = {}
    for part, provider, operation in _PATHS:
        if path.endswith(part):
            found["gen_ai.operation.name"] = operation
            if provider:
                found["gen_ai.provider.name"] = provider
            break
    model, stream = _in_body(body) if body else (None, False)
    if model is None and (in_path := _MODEL_IN_PATH.search(path)):
        model = in_path[1]
    if path.endswith(":streamGenerateContent"):
        stream = True
    if model is not None:
        found["gen_ai.request.model"] = same(model)
    if body:
        found["gen_ai.request.stream"] = stream
    return found, stream


def _in_body(body: bytes) -> tuple[str | None, bool]:
    if len(body) <= LARGEST_PARSED:
        try:
            value = json.loads(body)
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, dict):
            model = value.get("model")
            return (model if isinstance(model, str) else None), value.get("stream") is True
        return None, False
    ends = body[:_ENDS_OF_BODY] + b" " + body[-_ENDS_OF_BODY:]
    named = _MODEL_IN_BODY.findall(ends)
    return (named[-1].decode("utf-8", "replace") if named else None), bool(
        _STREAM_IN_BODY.search(ends)
    )


def headers(raw: Iterable[tuple[bytes, bytes]]) -> tuple[dict[str, Any], dict[str, str], str]:
    """Read the headers of an answer.

    Returns:
        Fields of the log, the few headers that decide how to read the body, by lower-case name,
        and what had to be cut (empty when nothing was).
    """
    ids: dict[str, list[str]] = {}
    plain: dict[str, str] = {}
    note = ""
    for name, value in raw:
        low = name.lower()
        if low in _IDS:
            for part in value[: 32 * LONGEST_ID].decode("utf-8", "backslashreplace").split(","):
                text = part.strip()
                held = ids.setdefault(_IDS[low], [])
                if not text or text in held:
                    continue
                if len(held) >= MOST_IDS or len(text) > LONGEST_ID:
                    note = "ids were too long or too many"
                if len(held) < MOST_IDS:
                    held.append(clean(text, LONGEST_ID))
        elif low in (b"content-type", b"content-encoding", b"retry-after", b"retry-after-ms"):
            plain.setdefault(low.decode(), value[:1000].decode("latin-1"))
    found: dict[str, Any] = dict(ids)
    if "content-type" in plain:
        found["http.response.header.content-type"] = [same(plain["content-type"])]
    return found, plain, note


def answered(pieces: Iterable[Any]) -> dict[str, Any]:
    """Tell model, id and tokens from what the answer said of itself."""
    found: dict[str, Any] = {}
    for piece in pieces:
        if not isinstance(piece, dict):
            continue
        for holder in (piece, piece.get("response"), piece.get("message")):
            if isinstance(holder, dict):
                _named(holder, found)
                usage = holder.get("usage") or holder.get("usageMetadata")
                if isinstance(usage, dict):
                    _tokens(usage, found)
    return found


_MODEL = "gen_ai.response.model"


def _named(holder: dict[str, Any], found: dict[str, Any]) -> None:
    for field, names in (
        (_MODEL, ("model", "modelVersion")),
        ("gen_ai.response.id", ("id", "responseId")),
    ):
        for name in names:
            value = holder.get(name)
            if isinstance(value, str) and value.split(None, 1) == [value]:
                known = same if field == _MODEL else clean
                found[field] = known(value)  # with a blank in it, it is no name but a text


_INPUT = "gen_ai.usage.input_tokens"
_OUTPUT = "gen_ai.usage.output_tokens"
_READ = "gen_ai.usage.cache_read.input_tokens"
_WRITTEN = "gen_ai.usage.cache_creation.input_tokens"
_TOKENS = (
    ("input_tokens", _INPUT),
    ("prompt_tokens", _INPUT),
    ("promptTokenCount", _INPUT),
    ("output_tokens", _OUTPUT),
    ("completion_tokens", _OUTPUT),
    ("candidatesTokenCount", _OUTPUT),
    ("cache_read_input_tokens", _READ),
    ("cachedContentTokenCount", _READ),
    ("cache_creation_input_tokens", _WRITTEN),
)


def _tokens(usage: dict[str, Any], found: dict[str, Any]) -> None:
    for name, field in _TOKENS:
        if _is_count(usage.get(name)):
            found[field] = usage[name]
    for holder in ("prompt_tokens_details", "input_tokens_details"):
        details = usage.get(holder)
        if isinstance(details, dict):
            for name, field in (("cached_tokens", _READ), ("cache_creation_tokens", _WRITTEN)):
                if _is_count(details.get(name)):
                    found[field] = details[name]
    thoughts = usage.get("thoughtsTokenCount")
    if _is_count(thoughts):  # billed as output, counted beside it
        told = usage.get("candidatesTokenCount")
        found[_OUTPUT] = thoughts + (told if _is_count(told) else 0)


def _is_count(value: Any) -> TypeGuard[int]:
    return type(value) is int and 0 <= value < 2**63
