"""A plain client over httpx as people write it: one attempt, the status looked at, no more."""

import importlib
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runbook_lib.verify.asking import Call

NEEDS = "httpx"
PROTOCOLS = ("openai",)


def load() -> Any:
    """Import the library."""
    return importlib.import_module("httpx")


def ask(call: "Call") -> dict[str, Any]:
    """Make one call."""
    with load().Client(**_options(call)) as client:
        if not call.stream:
            return _said(client.post("/v1/chat/completions", json=_asked(call)))
        with client.stream("POST", "/v1/chat/completions", json=_asked(call)) as found:
            found.raise_for_status()
            return _read(found, found.iter_lines())


async def ask_async(call: "Call") -> dict[str, Any]:
    """Make one call as a coroutine."""
    async with load().AsyncClient(**_options(call)) as client:
        if not call.stream:
            return _said(await client.post("/v1/chat/completions", json=_asked(call)))
        async with client.stream("POST", "/v1/chat/completions", json=_asked(call)) as found:
            found.raise_for_status()
            return _read(found, [line async for line in found.aiter_lines()])


def _options(call: "Call") -> dict[str, Any]:
    return {
        "base_url": call.base_url,
        "headers": {"authorization": f"Bearer {call.api_key}"},
        "timeout": call.deadline_s,
    }


def _asked(call: "Call") -> dict[str, Any]:
    said = [{"role": "user", "content": call.prompt}]
    return {"model": call.models[0], "messages": said, "stream": call.stream}


def _said(found: Any) -> dict[str, Any]:
    found.raise_for_status()
    body = found.json()
    return {
        "text": body["choices"][0]["message"]["content"],
        "model": body["model"],
        "request_ids": [found.headers.get("x-request-id", "")],
    }


def _read(found: Any, lines: Iterable[str]) -> dict[str, Any]:
    text, model = "", ""
    for line in lines:
        if not line.startswith("data: ") or line == "data: [DONE]":
            continue
        chunk = json.loads(line.removeprefix("data: "))
        model = chunk["model"]
        if chunk["choices"]:
            text += chunk["choices"][0]["delta"].get("content") or ""
    own = found.headers.get("x-request-id", "")
    return {"text": text, "model": model, "request_ids": [own]}
