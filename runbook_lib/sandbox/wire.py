"""Reads a request off the wire, as the gateway does; nothing a client sends can raise here.

The key is taken from the headers of every protocol, Gemini paths take it in the query too, and
`X-Forwarded-For` is believed (contract §2, §9, M).
"""

import json
from collections.abc import Mapping
from ipaddress import ip_address
from random import Random
from typing import Any, NamedTuple, NoReturn
from urllib.parse import parse_qsl

from runbook_lib.sandbox import wanted
from runbook_lib.sandbox.console_api import Sent
from runbook_lib.sandbox.door import Request
from runbook_lib.sandbox.prices import Tokens
from runbook_lib.sandbox.surfaces import gemini_model, surface_of
from runbook_lib.sandbox.wanted import Wish

MOST_BODY = 32 * 1024 * 1024
"""Largest body the gateway takes (contract §3.2, M)."""

NOWHERE = "/v1/"
"""A path that the gateway does not have: what a wrong method is answered."""

RUN = "x-sandbox-run"
"""Header by which a caller finds its own attempts in the log."""

COUNTERS = ("x-stainless-retry-count", "x-attempt", RUN)
"""Headers that are noted in the log of attempts, beside the ids."""

_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh")
_LIMITS = ("max_completion_tokens", "max_output_tokens", "max_tokens")
_MOST_TOKENS = 100_000
_GEMINI = (":generateContent", ":streamGenerateContent", ":countTokens")


class Head(NamedTuple):
    """The head of a request: names of headers are in small letters, the last of a name counts."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    peer: str
    size: int


def head(scope: Mapping[str, Any]) -> Head:
    """Read the head out of an ASGI scope."""
    raw: list[tuple[bytes, bytes]] = scope["headers"]
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in raw}
    query = scope["query_string"].decode("latin-1")
    pairs = dict(parse_qsl(query, max_num_fields=None)) if query else {}
    client = scope.get("client")
    size = sum(len(name) + len(value) + 4 for name, value in raw)
    return Head(
        scope["method"], _place(scope["path"]), pairs, headers, client[0] if client else "", size
    )


def _place(path: str) -> str:
    """The path of a target; a proxy's client sends the whole address."""
    scheme, found, rest = path.partition("://")
    return f"/{rest.partition('/')[2]}" if found and scheme in ("http", "https") else path


def secret(head_: Head) -> str | None:
    """Find the key, None where none was sent in a place that counts."""
    scheme, _, token = head_.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    found = head_.headers.get("x-api-key") or head_.headers.get("x-goog-api-key")
    if not found and head_.path.startswith("/v1beta/"):
        found = head_.query.get("key")
    return found.strip() if found else None


def address(head_: Head) -> str:
    """Tell the address as the gateway sees it."""
    first = head_.headers.get("x-forwarded-for", "").partition(",")[0].strip()
    try:
        return str(ip_address(first)) if first else head_.peer
    except ValueError:
        return head_.peer


def sent(head_: Head, body: bytes) -> Sent:
    """Read a request to the console."""
    headers = head_.headers
    return Sent(
        head_.method,
        head_.path,
        head_.query,
        body,
        headers.get("authorization", ""),
        address(head_),
        _text(headers.get("user-agent", ""))[:200],
        headers.get("x-request-id") or None,
    )


def content(body: bytes) -> tuple[dict[str, Any], str]:
    """Read a body: its fields, and the flaw it has, empty for none."""
    if not body:
        return {}, "empty"
    if len(body) > MOST_BODY:
        return {}, "too_large"
    try:
        found = json.loads(body, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return {}, "broken"
    return (found, "") if isinstance(found, dict) else ({}, "broken")


def _no_number(word: str) -> NoReturn:
    raise ValueError(word)


def request(head_: Head, body: bytes, chance: Random, *, pace: float) -> tuple[Request, Wish]:
    """Read a request.

    Args:
        head_: Its head.
        body: Its body.
        chance: Where chance decides how long the answer is.
        pace: Times the usual time of a model.

    Returns:
        The request, and what it wants of the model.
    """
    path = _path(head_)
    surface = surface_of(path)
    posted = surface is not None and surface.operation != "list"
    fields, flaw = content(body) if posted else ({}, "")
    if "key" in head_.query or "api_key" in head_.query:
        flaw = flaw if path.startswith("/v1beta/") else "key_in_query"
    gemini = surface is not None and surface.name == "gemini"
    model = gemini_model(path) if gemini else fields.get("model")
    stream = path.endswith(":streamGenerateContent") or (
        not gemini and fields.get("stream") is True
    )
    stream = stream and surface is not None and surface.operation == "chat"
    effort = fields.get("reasoning_effort")
    read = Request(
        path,
        secret(head_),
        _text(model),
        address(head_),
        _tokens(fields, body, chance, vectors=surface is not None and surface.name == "embeddings"),
        stream,
        head_.headers.get("x-request-id") or None,
        _text(head_.headers.get("user-agent", ""))[:200],
        effort if effort in _EFFORTS else "",
        pace,
        flaw,
    )
    return read, wanted.wish(surface.name if surface is not None else "", fields)


def _path(head_: Head) -> str:
    path = head_.path
    if path.startswith("/api/v1") and surface_of(path[4:]) is not None:
        path = path[4:]
    surface = surface_of(path)
    if surface is None:
        return path
    wanted = "GET" if surface.operation == "list" else "POST"
    named = surface.name != "gemini" or wanted == "GET" or path.endswith(_GEMINI)
    plain = path.isprintable() and '"' not in path and "\\" not in path and "," not in path
    return path if head_.method == wanted and named and plain else NOWHERE


def _text(value: object) -> str:
    """A text that can be written anywhere; what is no text is empty."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def _tokens(fields: Mapping[str, Any], body: bytes, chance: Random, *, vectors: bool) -> Tokens:
    """Count a token for four bytes of the request; the answer's length is drawn, within limits."""
    config = fields.get("generationConfig")
    asked = [fields.get(name) for name in _LIMITS]
    asked.append(config.get("maxOutputTokens") if isinstance(config, dict) else None)
    limits = [n for n in asked if isinstance(n, int) and not isinstance(n, bool) and n > 0]
    output = min([chance.randint(12, 40), *limits, _MOST_TOKENS])
    return Tokens(max(1, len(body) // 4), 0 if vectors else output)
