"""Captured answers of a running gateway, and how an answer of ours is held against one."""

import json
import re
from pathlib import Path
from typing import Any

Captured = dict[str, dict[str, Any]]

LEFT_OUT: dict[str, tuple[str, ...]] = {
    "pictures, video, sound and search are not sold here": (
        "allow_image_generation",
        "allow_batch_image_generation",
        "image_rate_independent",
        "image_rate_multiplier",
        "batch_image_discount_multiplier",
        "batch_image_hold_multiplier",
        "video_rate_independent",
        "video_rate_multiplier",
        "image_price_1k",
        "image_price_2k",
        "image_price_4k",
        "video_price_480p",
        "video_price_720p",
        "video_price_1080p",
        "web_search_price_per_call",
        "search_price_per_1k",
        "audio_realtime_price_per_min",
        "audio_tts_price_per_million_chars",
        "audio_stt_price_per_hour",
    ),
    "prices are the same at every hour and every length of context": (
        "long_context_pricing_enabled",
        "peak_rate_enabled",
        "peak_start",
        "peak_end",
        "peak_rate_multiplier",
    ),
    "groups have no rules beside protocol, rate and plan": (
        "claude_code_only",
        "fallback_group_id",
        "fallback_group_id_on_invalid_request",
        "allow_messages_dispatch",
        "allow_live",
        "require_oauth_only",
        "require_privacy_set",
        "max_reasoning_effort",
        "reasoning_effort_mappings",
    ),
    "people log in with a password only": (
        "identities",
        "auth_bindings",
        "identity_bindings",
        "linuxdo_bound",
        "oidc_bound",
        "wechat_bound",
        "dingtalk_bound",
        "run_mode",
    ),
}
"""Fields of captured answers that ours do not have, by the reason."""

IN_PART = {
    "public.settings": "of sixty settings of the page, those that a tool reads: version and zone",
}
"""Answers of which ours has only some fields, each as captured, and why."""

ANOTHER_FORM = {
    "gemini.models": "the recorder's upstream listed models as OpenAI does, ours as Google does",
}
"""Answers whose body is passed on from an upstream that ours is not like, and why."""

_DROPPED = {name for names in LEFT_OUT.values() for name in names}
_CHANGING = ("x-request-id", "x-client-request-id", "retry-after")
_FRAMING = ("content-length", "transfer-encoding")


def read(gateway: Path) -> Captured:
    """The captured answers by name."""
    lines = (gateway / "answers.jsonl").read_text("utf-8").splitlines()
    return {item["name"]: item for item in map(json.loads, lines)}


def lines(headers: list[Any], *, framed: bool = True) -> list[tuple[str, str]]:
    """Header lines in order, values only where they are fixed; *framed* with how the body ends."""
    kept = [(name, value) for name, value in headers if name != "date"]
    kept = [(name, value) for name, value in kept if framed or name not in _FRAMING]
    changing = (*_CHANGING, "content-length")
    return [(name, "" if name in changing else value) for name, value in kept]


def shape(value: Any) -> Any:
    """What a JSON value is made of: names and kinds, one item for a list."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in sorted(value.items()) if key not in _DROPPED}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return "number" if isinstance(value, int | float) else type(value).__name__


def whole(text: str) -> Any | None:
    """Read a captured body; None for one that was cut when it was captured."""
    try:
        return json.loads(text)
    except ValueError:
        return None


def names(text: str) -> set[str]:
    """Names of the fields in a text of JSON, however it was cut."""
    return set(re.findall(r'"(\w+)":', text)) - _DROPPED


def events(text: str) -> list[tuple[str, Any]]:
    """Names and shapes of the events, repeated ones once."""
    found: list[tuple[str, Any]] = []
    for block in text.strip().split("\n\n"):
        named = [line[7:] for line in block.splitlines() if line.startswith("event: ")]
        data = [line[6:] for line in block.splitlines() if line.startswith("data: ")]
        item = (named[0] if named else "", shape(json.loads(data[0])) if data else None)
        if item not in found:
            found.append(item)
    return found
