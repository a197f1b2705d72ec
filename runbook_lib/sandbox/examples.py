"""A small JSON value that fits a schema: what a simulated model says when a form is asked of it."""

import math
from collections.abc import Mapping
from typing import Any

_DEPTH, _NODES, _LONGEST = 12, 1000, 10_000
_SHALLOW = 6
"""Depth beyond which only what a schema requires is filled, so that one about itself ends."""

_TEXT = "pong"
_FORMATS = {
    "date-time": "2026-01-01T00:00:00Z",
    "date": "2026-01-01",
    "time": "00:00:00Z",
    "duration": "PT1S",
    "email": "someone@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com",
    "uuid": "00000000-0000-4000-8000-000000000000",
}

Schema = Mapping[str, Any]


def example(schema: Any) -> Any:
    """Make a value that fits a schema of JSON Schema, or of Google's relative of it.

    Args:
        schema: The schema; what is none, too deep, too wide or contradicts itself gives some value.
    """
    root = schema if isinstance(schema, Mapping) else {}
    return _Maker(root).value(root, 0)


class _Maker:
    """Walks one schema, and gives up politely where it has no end."""

    def __init__(self, root: Schema) -> None:
        self.root = root
        self.nodes = 0

    def value(self, schema: Any, depth: int) -> Any:
        self.nodes += 1
        if depth > _DEPTH or self.nodes > _NODES:
            return None
        schema = self.resolved(schema)
        if "const" in schema:
            return schema["const"]
        listed = schema.get("enum")
        if isinstance(listed, list) and listed:
            return listed[0]
        for name in ("anyOf", "oneOf", "allOf"):
            if isinstance(schema.get(name), list) and schema[name]:
                return self.value(schema[name][0], depth + 1)
        kind = _kind(schema)
        if kind == "object":
            return self.object(schema, depth)
        return self.array(schema, depth) if kind == "array" else _plain(kind, schema)

    def resolved(self, schema: Any) -> Schema:
        """Follow references within the schema itself."""
        for _ in range(_DEPTH):
            if not isinstance(schema, Mapping) or not isinstance(schema.get("$ref"), str):
                break
            found: Any = self.root
            for step in filter(None, schema["$ref"].removeprefix("#").split("/")):
                found = found.get(step) if isinstance(found, Mapping) else None
            schema = found
        return schema if isinstance(schema, Mapping) else {}

    def object(self, schema: Schema, depth: int) -> dict[str, Any]:
        properties = schema.get("properties")
        if not isinstance(properties, Mapping):
            return {}
        needed = list(properties)
        if depth >= _SHALLOW:
            required = schema.get("required")
            needed = [name for name in needed if isinstance(required, list) and name in required]
        return {str(name): self.value(properties[name], depth + 1) for name in needed}

    def array(self, schema: Schema, depth: int) -> list[Any]:
        count = _whole(schema.get("minItems"), 0 if depth >= _SHALLOW else 1)
        count = min(count, _whole(schema.get("maxItems"), count), _NODES)
        return [self.value(schema.get("items", {}), depth + 1) for _ in range(count)]


def _kind(schema: Schema) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((item for item in kind if item != "null"), "null")
    if isinstance(kind, str):
        return kind.lower()
    return "object" if "properties" in schema else "array" if "items" in schema else "string"


def _plain(kind: str, schema: Schema) -> Any:
    if kind in ("integer", "number"):
        return _number(schema, whole=kind == "integer")
    if kind in ("boolean", "null"):
        return True if kind == "boolean" else None
    text = _FORMATS.get(str(schema.get("format")), _TEXT)
    text = text.ljust(min(_whole(schema.get("minLength"), 0), _LONGEST), ".")
    return text[: _whole(schema.get("maxLength"), len(text))]


def _number(schema: Schema, *, whole: bool) -> float | int:
    least, most = _limit(schema, "minimum"), _limit(schema, "maximum")
    over = _limit(schema, "exclusiveMinimum")
    if over is not None:
        return math.floor(over) + 1
    if least is not None:
        return math.ceil(least) if whole else least
    if most is not None and most < 1:
        return math.floor(most) if whole else most
    return 1


def _limit(schema: Schema, name: str) -> float | int | None:
    value = schema.get(name)
    fits = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15
    return value if fits else None


def _whole(value: object, otherwise: int) -> int:
    return value if type(value) is int and value >= 0 else otherwise
