"""Endpoints the gateway has, and which group offers which (contract §2, D M)."""

from runbook_lib.sandbox.answers import Surface
from runbook_lib.sandbox.channels import Protocol

SURFACES: dict[str, Surface] = {
    item.path: item
    for item in (
        Surface("chat", "chat", "openai", "/v1/chat/completions"),
        Surface("responses", "chat", "openai", "/v1/responses"),
        Surface("embeddings", "embeddings", "openai", "/v1/embeddings"),
        Surface("messages", "chat", "anthropic", "/v1/messages"),
        Surface("count_tokens", "count", "anthropic", "/v1/messages/count_tokens"),
        Surface("models", "list", "openai", "/v1/models"),
        Surface("usage", "list", "openai", "/v1/usage"),
        Surface("billing", "list", "openai", "/v1/sub2api/billing"),
    )
}
"""Endpoints with a fixed path; those of Gemini carry the model in it."""

_GEMINI = "/v1beta/models"
_ONLY: dict[str, frozenset[Protocol]] = {
    "embeddings": frozenset({"openai"}),
    "count_tokens": frozenset({"anthropic"}),
    "gemini": frozenset({"gemini"}),
}


def surface_of(path: str) -> Surface | None:
    """Find the endpoint of a path, None where the gateway has none."""
    surface = SURFACES.get(path)
    if surface is not None or not path.startswith(_GEMINI):
        return surface
    operation = "count" if path.endswith(":countTokens") else "chat"
    return Surface("gemini", operation if ":" in path else "list", "gemini", path)


def gemini_model(path: str) -> str:
    """Read the model out of a Gemini path; empty when there is none."""
    return path.removeprefix(_GEMINI).removeprefix("/").partition(":")[0]


def offered(surface: Surface, protocol: Protocol) -> bool:
    """Tell whether a group of this protocol offers an endpoint."""
    only = _ONLY.get(surface.name)
    return only is None or protocol in only


def is_api(path: str) -> bool:
    """Tell whether a wrong path is answered 404; others reach the console's web page (M)."""
    return path.startswith(("/v1/", "/v1beta/", "/api/"))
