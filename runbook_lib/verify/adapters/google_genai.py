"""Google's SDK with its defaults."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runbook_lib.verify.asking import Call

NEEDS = "google-genai"
PROTOCOLS = ("gemini",)


def load() -> Any:
    """Import the SDK."""
    return importlib.import_module("google.genai")


def ask(call: "Call") -> dict[str, Any]:
    """Make one call."""
    with load().Client(**_options(call)) as client:
        if not call.stream:
            return _said(client.models.generate_content(**_asked(call)))
        text, model = "", ""
        for chunk in client.models.generate_content_stream(**_asked(call)):
            text, model = text + (chunk.text or ""), chunk.model_version or model
        return {"text": text, "model": model}


async def ask_async(call: "Call") -> dict[str, Any]:
    """Make one call as a coroutine."""
    async with load().Client(**_options(call)).aio as client:
        if not call.stream:
            return _said(await client.models.generate_content(**_asked(call)))
        text, model = "", ""
        async for chunk in await client.models.generate_content_stream(**_asked(call)):
            text, model = text + (chunk.text or ""), chunk.model_version or model
        return {"text": text, "model": model}


def _options(call: "Call") -> dict[str, Any]:
    wait_ms = int(call.deadline_s * 1000)
    options = {"base_url": call.base_url, "api_version": "v1beta", "timeout": wait_ms}
    return {"api_key": call.api_key, "http_options": options}


def _asked(call: "Call") -> dict[str, Any]:
    return {"model": call.models[0], "contents": call.prompt}


def _said(found: Any) -> dict[str, Any]:
    return {"text": found.text, "model": found.model_version or ""}
