"""LangChain's ChatOpenAI with fallbacks, and otherwise its defaults."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runbook_lib.verify.asking import Call

NEEDS = "langchain-openai"
PROTOCOLS = ("openai",)


def load() -> Any:
    """Import it."""
    return importlib.import_module("langchain_openai")


def ask(call: "Call") -> dict[str, Any]:
    """Make one call."""
    chain = _chain(call)
    if not call.stream:
        return _said(chain.invoke(call.prompt))
    text, model = "", ""
    for chunk in chain.stream(call.prompt):
        text, model = text + chunk.content, _model(chunk) or model
    return {"text": text, "model": model}


async def ask_async(call: "Call") -> dict[str, Any]:
    """Make one call as a coroutine."""
    chain = _chain(call)
    if not call.stream:
        return _said(await chain.ainvoke(call.prompt))
    text, model = "", ""
    async for chunk in chain.astream(call.prompt):
        text, model = text + chunk.content, _model(chunk) or model
    return {"text": text, "model": model}


def _chain(call: "Call") -> Any:
    first, *others = [
        load().ChatOpenAI(
            model=model,
            base_url=f"{call.base_url}/v1",
            api_key=call.api_key,
            timeout=call.deadline_s,
        )
        for model in call.models
    ]
    return first.with_fallbacks(others) if others else first


def _said(found: Any) -> dict[str, Any]:
    return {"text": found.content, "model": _model(found)}


def _model(found: Any) -> str:
    return str(found.response_metadata.get("model_name", ""))
