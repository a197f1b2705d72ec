"""The Anthropic SDK with its defaults."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runbook_lib.verify.asking import Call

NEEDS = "anthropic"
PROTOCOLS = ("anthropic",)

_MOST_TOKENS = 1024


def load() -> Any:
    """Import the SDK."""
    return importlib.import_module("anthropic")


def ask(call: "Call") -> dict[str, Any]:
    """Make one call."""
    with load().Anthropic(**_options(call)) as client:
        if not call.stream:
            return _said(client.messages.create(**_asked(call)))
        text, model = "", ""
        for event in client.messages.create(stream=True, **_asked(call)):
            text, model = _next(event, text, model)
        return {"text": text, "model": model}


async def ask_async(call: "Call") -> dict[str, Any]:
    """Make one call as a coroutine."""
    async with load().AsyncAnthropic(**_options(call)) as client:
        if not call.stream:
            return _said(await client.messages.create(**_asked(call)))
        text, model = "", ""
        async for event in await client.messages.create(stream=True, **_asked(call)):
            text, model = _next(event, text, model)
        return {"text": text, "model": model}


def _options(call: "Call") -> dict[str, Any]:
    return {"base_url": call.base_url, "api_key": call.api_key, "timeout": call.deadline_s}


def _asked(call: "Call") -> dict[str, Any]:
    said = [{"role": "user", "content": call.prompt}]
    return {"model": call.models[0], "max_tokens": _MOST_TOKENS, "messages": said}


def _said(found: Any) -> dict[str, Any]:
    """Give what the SDK takes for an answer: a page is a text to it, an error object has none."""
    content = getattr(found, "content", None)
    text = found if isinstance(found, str) else content[0].text if content else ""
    own = getattr(found, "_request_id", None)
    ids = [own] if own else []
    return {"text": text, "model": getattr(found, "model", ""), "request_ids": ids}


def _next(event: Any, text: str, model: str) -> tuple[str, str]:
    if event.type == "content_block_delta" and event.delta.type == "text_delta":
        text += event.delta.text
    elif event.type == "message_start":
        model = event.message.model
    return text, model
