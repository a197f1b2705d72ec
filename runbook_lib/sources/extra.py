"""What becomes of fields nobody declared: kept where harmless, left out where they could tell.

A prompt, an answer or a key must never reach the lake, and a field of unknown name can hold one.
So a name that says secret or content is dropped with all it holds, a value that looks like a key
is masked, and a text of more than a few words is left out.
"""

import json
import math
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from runbook_lib import redact
from runbook_lib.sources.stage import clean

LIMIT = 1000
"""Characters of the JSON object that one row may keep."""

_VALUE_LIMIT, _WORDS, _DEPTH, _ITEMS = 120, 3, 4, 8
_FREE_TEXT = frozenset(
    {"msg", "message", "log", "query", "question", "error_str", "traceback", "stack", "user"}
)


def extra(rest: Mapping[str, Any]) -> str | None:
    """Write the harmless part of unknown fields as a JSON object of bounded length.

    Returns:
        The object, its nested names joined by dots, or None when nothing is left.
    """
    kept: dict[str, Any] = {}
    size = 2
    for name, value in _leaves(rest, "", 0):
        size += len(name) + len(str(value)) + 8
        if size > LIMIT:
            break
        kept[name] = value
    return json.dumps(kept, ensure_ascii=False) if kept else None


def _leaves(fields: Mapping[str, Any], prefix: str, depth: int) -> Iterator[tuple[str, Any]]:
    for name, value in fields.items():
        if value is None or _told(name):
            continue
        path = f"{prefix}{name}"
        if isinstance(value, dict):
            if depth < _DEPTH:
                yield from _leaves(value, f"{path}.", depth + 1)
            continue
        harmless = _harmless(value)
        if harmless is not None:
            yield (path if path.isascii() and len(path) < 80 else clean(path)[:80]), harmless


@lru_cache(maxsize=4096)
def _told(name: str) -> bool:
    """Tell whether a name says that its value must not be kept."""
    return (
        name.lower() in _FREE_TEXT
        or redact.is_secret_name(name)
        or redact.is_content_name(name)
        or redact.has_secret(name)
    )


def _harmless(value: object) -> object | None:
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) < 2**63 else None
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list):
        parts = [_harmless(item) for item in value[:_ITEMS] if not isinstance(item, dict | list)]
        joined = ",".join(str(part) for part in parts if part is not None)
        return joined or None
    if isinstance(value, str) and 0 < len(value) <= _VALUE_LIMIT and value.count(" ") < _WORDS:
        return (
            clean(value)
            if redact.suspect(value) or not value.isascii() or "\x00" in value
            else value
        )
    return None
