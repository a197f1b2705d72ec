"""Tell a whole answer under status 200 from what only looks like one.

An answer is believed when it has the shape of something the gateway gives: a completion with its
content, a list, a count, a state, a console envelope. Everything else counts as a failure.
Source: contract §2, §4, §7; fault matrix rows 38-42.
"""

from collections.abc import Mapping
from typing import Any

_NUMBERS = ("input_tokens", "totalTokens", "total_tokens")
_LISTS = ("data", "models", "embeddings")
_COMPLETIONS = ("chat.completion", "text_completion")
_STATES = ("mode", "isValid", "object")
_ALIVE = {"ok", "healthy", "up"}
_FINE = {"ok", "success"}
_UNANSWERED = {"failed", "cancelled"}


def is_whole(value: Any) -> bool | None:
    """Tell whether this JSON is an answer of the gateway, complete in itself.

    None when it has no shape that is known here.
    """
    if not isinstance(value, Mapping) or not value:
        return False
    envelope = _envelope(value)
    if envelope is not None:
        return envelope
    kind = value.get("object")
    if "choices" in value or (isinstance(kind, str) and kind.startswith(_COMPLETIONS)):
        return _has_choices(value.get("choices"))
    if "candidates" in value or "promptFeedback" in value:
        return _has_candidates(value)
    if value.get("type") == "message":
        return isinstance(value.get("content"), list)
    if kind == "response":
        return isinstance(value.get("output"), list) and value.get("status") not in _UNANSWERED
    return True if _is_other(value) else None


def is_pieces(value: Any) -> bool:
    """Tell a stream of Gemini's that came as a JSON array."""
    return isinstance(value, list) and any(
        isinstance(each, Mapping) and ("candidates" in each or "error" in each) for each in value
    )


def has_error(value: Any) -> bool:
    """Tell whether JSON under status 200 says that something failed."""
    if not isinstance(value, Mapping):
        return False
    if value.get("error") or value.get("type") == "error" or value.get("success") is False:
        return True
    code = value.get("code")
    if isinstance(code, str):
        return "data" not in value and code.isidentifier() and code.lower() not in _FINE
    return isinstance(code, int) and code >= 400


def begins_well(value: Any) -> bool:
    """Tell whether what is left of cut JSON is the console's envelope and says success."""
    return isinstance(value, Mapping) and _envelope(value) is True


def _envelope(value: Mapping[str, Any]) -> bool | None:
    """Judge the console's envelope; None when it is none."""
    code = value.get("code")
    if isinstance(code, int) and not isinstance(code, bool):
        return code in (0, 200)
    return None


def _has_choices(choices: Any) -> bool:
    if not isinstance(choices, list) or not choices:
        return False
    return all(
        isinstance(choice, Mapping)
        and (isinstance(choice.get("message"), Mapping) or isinstance(choice.get("text"), str))
        and choice.get("finish_reason") != "error"
        for choice in choices
    )


def _has_candidates(value: Mapping[str, Any]) -> bool:
    candidates = value.get("candidates")
    if isinstance(candidates, list) and candidates:
        return all(
            isinstance(each, Mapping) and ("content" in each or "finishReason" in each)
            for each in candidates
        )
    feedback = value.get("promptFeedback")
    return isinstance(feedback, Mapping) and bool(feedback.get("blockReason"))


def _is_other(value: Mapping[str, Any]) -> bool:
    """Judge counts, lists, states and signs of life."""
    if any(isinstance(value.get(name), list) for name in _LISTS):
        return True
    if any(isinstance(value.get(name), int) for name in _NUMBERS):
        return True
    if isinstance(value.get("embedding"), Mapping):
        return True
    if any(isinstance(value.get(name), str | bool) for name in _STATES):
        return True
    status = value.get("status")
    return isinstance(status, str) and status.lower() in _ALIVE
