"""The OpenAI SDK with its defaults: chat completions, or responses where the cell asks for them."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runbook_lib.verify.asking import Call

NEEDS = "openai"
PROTOCOLS = ("openai", "responses")


def load() -> Any:
    """Import the SDK."""
    return importlib.import_module("openai")


def ask(call: "Call") -> dict[str, Any]:
    """Make one call."""
    with load().OpenAI(**_options(call)) as client:
        if call.protocol == "responses":
            return _responses(client, call)
        return _chat(client, call)


async def ask_async(call: "Call") -> dict[str, Any]:
    """Make one call as a coroutine."""
    async with load().AsyncOpenAI(**_options(call)) as client:
        if call.protocol == "responses":
            return await _responses_async(client, call)
        return await _chat_async(client, call)


def _options(call: "Call") -> dict[str, Any]:
    return {
        "base_url": f"{call.base_url}/v1",
        "api_key": call.api_key,
        "timeout": call.deadline_s,
    }


def _messages(call: "Call") -> dict[str, Any]:
    return {"model": call.models[0], "messages": [{"role": "user", "content": call.prompt}]}


def _chat(client: Any, call: "Call") -> dict[str, Any]:
    if not call.stream:
        return _said(client.chat.completions.create(**_messages(call)))
    text, model = "", ""
    for chunk in client.chat.completions.create(stream=True, **_messages(call)):
        text, model = text + _piece(chunk), chunk.model
    return {"text": text, "model": model}


async def _chat_async(client: Any, call: "Call") -> dict[str, Any]:
    if not call.stream:
        return _said(await client.chat.completions.create(**_messages(call)))
    text, model = "", ""
    async for chunk in await client.chat.completions.create(stream=True, **_messages(call)):
        text, model = text + _piece(chunk), chunk.model
    return {"text": text, "model": model}


def _said(found: Any) -> dict[str, Any]:
    """Give what the SDK takes for an answer: a page is a text to it, an error object has none."""
    choices = getattr(found, "choices", None)
    return _given(found, choices[0].message.content if choices else "")


def _given(found: Any, text: str) -> dict[str, Any]:
    text = found if isinstance(found, str) else text
    return {"text": text, "model": getattr(found, "model", ""), "request_ids": _ids(found)}


def _piece(chunk: Any) -> str:
    return (chunk.choices[0].delta.content or "") if chunk.choices else ""


def _ids(found: Any) -> list[str]:
    own = getattr(found, "_request_id", None)
    return [own] if own else []


def _responses(client: Any, call: "Call") -> dict[str, Any]:
    asked = {"model": call.models[0], "input": call.prompt}
    if not call.stream:
        found = client.responses.create(**asked)
        return _given(found, found.output_text if getattr(found, "output", None) else "")
    text, model = "", ""
    for event in client.responses.create(stream=True, **asked):
        text, model = _next(event, text, model)
    return {"text": text, "model": model}


async def _responses_async(client: Any, call: "Call") -> dict[str, Any]:
    asked = {"model": call.models[0], "input": call.prompt}
    if not call.stream:
        found = await client.responses.create(**asked)
        return _given(found, found.output_text if getattr(found, "output", None) else "")
    text, model = "", ""
    async for event in await client.responses.create(stream=True, **asked):
        text, model = _next(event, text, model)
    return {"text": text, "model": model}


def _next(event: Any, text: str, model: str) -> tuple[str, str]:
    if event.type == "response.output_text.delta":
        text += event.delta
    elif event.type == "response.created":
        model = event.response.model
    return text, model
