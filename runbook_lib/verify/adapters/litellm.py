"""LiteLLM's Router with its defaults: the first model, the others as fallbacks."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runbook_lib.verify.asking import Call

NEEDS = "litellm"
PROTOCOLS = ("openai", "anthropic")
FORKS = False
"""Its first call starts threads, so none is made before processes are forked."""


def load() -> Any:
    """Import it."""
    return importlib.import_module("litellm")


def ask(call: "Call") -> dict[str, Any]:
    """Make one call."""
    found = _router(call).completion(**_asked(call))
    if not call.stream:
        return _said(found)
    text, model = "", ""
    for chunk in found:
        text, model = text + _piece(chunk), chunk.model or model
    return {"text": text, "model": model}


async def ask_async(call: "Call") -> dict[str, Any]:
    """Make one call as a coroutine."""
    found = await _router(call).acompletion(**_asked(call))
    if not call.stream:
        return _said(found)
    text, model = "", ""
    async for chunk in found:
        text, model = text + _piece(chunk), chunk.model or model
    return {"text": text, "model": model}


def _router(call: "Call") -> Any:
    first, *others = call.models
    root = call.base_url if call.protocol == "anthropic" else f"{call.base_url}/v1"
    deployments = [
        {
            "model_name": model,
            "litellm_params": {
                "model": f"{call.protocol}/{model}",
                "api_base": root,
                "api_key": call.api_key,
            },
        }
        for model in call.models
    ]
    fallbacks = [{first: others}] if others else []
    return load().Router(model_list=deployments, fallbacks=fallbacks, timeout=call.deadline_s)


def _asked(call: "Call") -> dict[str, Any]:
    said = [{"role": "user", "content": call.prompt}]
    return {"model": call.models[0], "messages": said, "stream": call.stream}


def _said(found: Any) -> dict[str, Any]:
    return {"text": found.choices[0].message.content, "model": found.model}


def _piece(chunk: Any) -> str:
    return (chunk.choices[0].delta.content or "") if chunk.choices else ""
