"""The reference client of this package, over the SDK of each protocol."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runbook_lib.verify.asking import Call

NEEDS = "runbook_lib and the SDKs openai, anthropic and google-genai"
PROTOCOLS = ("openai", "responses", "anthropic", "gemini")

_SDKS = ("openai", "anthropic", "google.genai")


def load() -> Any:
    """Import it, and the SDKs."""
    for name in _SDKS:
        importlib.import_module(name)
    return importlib.import_module("runbook_lib.resilient")


def ask(call: "Call") -> Any:
    """Make one call."""
    return load().ask(call.prompt, **_options(call))


async def ask_async(call: "Call") -> Any:
    """Make one call as a coroutine."""
    return await load().ask_async(call.prompt, **_options(call))


def _options(call: "Call") -> dict[str, Any]:
    return {
        "base_url": call.base_url,
        "api_key": call.api_key,
        "models": call.models,
        "stream": call.stream,
        "deadline_s": call.deadline_s,
        "protocol": call.protocol,
    }
