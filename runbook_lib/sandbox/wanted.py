"""What a request wants of its model: plain words, JSON that fits a schema, a tool, or vectors.

The simulated model calls a tool when one is offered, and speaks once it was given the result; so a
client's loop over tools ends. Whatever a request holds, nothing here raises.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from runbook_lib.sandbox.examples import example

Fields = Mapping[str, Any]

DIMENSIONS = 1536
"""Length of a vector that nobody asked another one of."""

_MOST_VECTORS, _MOST_DIMENSIONS = 2048, 4096


class Said(NamedTuple):
    """What the model says: words, or the call of a tool with its arguments as JSON."""

    text: str = ""
    tool: str = ""
    arguments: str = ""


class Wish(NamedTuple):
    """What is wanted.

    Attributes:
        tool: Name of the tool to call; empty for none.
        schema: JSON Schema of its arguments, or of what is said; None for words.
        texts: What vectors are wanted for.
        dimensions: Their length.
        base64: They are wanted as base64 of 32-bit numbers.
        usage: A last event with token counts is wanted.
    """

    tool: str = ""
    schema: Any = None
    texts: tuple[str, ...] = ("",)
    dimensions: int = DIMENSIONS
    base64: bool = False
    usage: bool = False

    def said(self, words: str) -> Said:
        """Answer it, in *words* where no form is asked for."""
        if self.tool:
            return Said(tool=self.tool, arguments=json.dumps(example(self.schema)))
        return Said(words if self.schema is None else json.dumps(example(self.schema)))


class _Tool(NamedTuple):
    name: str
    schema: Any


def wish(surface: str, fields: Fields) -> Wish:
    """Read the wish of a request.

    Args:
        surface: Name of the endpoint.
        fields: Its body.
    """
    if surface == "embeddings":
        return _vectors(fields)
    read = {"chat": _chat, "responses": _responses, "messages": _messages, "gemini": _gemini}
    return read[surface](fields) if surface in read else Wish()


def _wish(tools: Iterator[_Tool], must: str, schema: Any, *, told: bool) -> Wish:
    """Put it together.

    Args:
        tools: Tools that are offered.
        must: Name of the one that must be called; `*` for any, `-` for none, empty for free choice.
        schema: Schema of the words; None for free ones.
        told: The result of a tool is there already.
    """
    held = list(tools)
    fitting = [tool for tool in held if must in ("", "*", tool.name)]
    if fitting and (must or not told):
        return Wish(fitting[0].name, fitting[0].schema)
    return Wish(schema=schema)


def _chat(fields: Fields) -> Wish:
    tools = (
        _tool(_object(item.get("function")), "parameters") for item in _objects(fields, "tools")
    )
    choice = fields.get("tool_choice")
    must = _object(_object(choice).get("function")).get("name") or _word(choice)
    told = any(item.get("role") == "tool" for item in _objects(fields, "messages"))
    form = _object(fields.get("response_format"))
    schema = _schema(form, _object(form.get("json_schema")).get("schema"))
    options = _object(fields.get("stream_options"))
    made = _wish(tools, _text(must), schema, told=told)
    return made._replace(usage=options.get("include_usage") is True)


def _responses(fields: Fields) -> Wish:
    tools = (
        _tool(item, "parameters")
        for item in _objects(fields, "tools")
        if item.get("type") == "function"
    )
    choice = fields.get("tool_choice")
    must = _object(choice).get("name") or _word(choice)
    told = any(item.get("type") == "function_call_output" for item in _objects(fields, "input"))
    form = _object(_object(fields.get("text")).get("format"))
    return _wish(tools, _text(must), _schema(form, form.get("schema")), told=told)


def _messages(fields: Fields) -> Wish:
    tools = (_tool(item, "input_schema") for item in _objects(fields, "tools"))
    choice = _object(fields.get("tool_choice"))
    must = choice.get("name") or {"any": "*", "none": "-"}.get(_text(choice.get("type")), "")
    told = any(
        part.get("type") == "tool_result"
        for item in _objects(fields, "messages")
        for part in _objects(item, "content")
    )
    form = _object(_object(fields.get("output_config")).get("format"))
    form = form or _object(fields.get("output_format"))
    return _wish(tools, _text(must), _schema(form, form.get("schema")), told=told)


def _gemini(fields: Fields) -> Wish:
    declared = (
        item
        for tool in _objects(fields, "tools")
        for item in _objects(tool, "functionDeclarations")
    )
    tools = (_tool(item, "parameters", "parametersJsonSchema") for item in declared)
    config = _object(_object(fields.get("toolConfig")).get("functionCallingConfig"))
    allowed = config.get("allowedFunctionNames")
    mode = {"ANY": "*", "NONE": "-"}.get(_text(config.get("mode")), "")
    must = allowed[0] if mode == "*" and isinstance(allowed, list) and allowed else mode
    told = any(
        "functionResponse" in part
        for item in _objects(fields, "contents")
        for part in _objects(item, "parts")
    )
    form = _object(fields.get("generationConfig"))
    schema = None
    if form.get("responseMimeType") == "application/json":
        schema = form.get("responseSchema") or form.get("responseJsonSchema") or {"type": "object"}
    return _wish(tools, _text(must), schema, told=told)


def _vectors(fields: Fields) -> Wish:
    given, length = fields.get("input"), fields.get("dimensions")
    # A list of numbers is one text, given as tokens.
    many = isinstance(given, list) and given and not isinstance(given[0], int)
    texts = given[:_MOST_VECTORS] if many and isinstance(given, list) else [given]
    fits = type(length) is int and 0 < length <= _MOST_DIMENSIONS
    return Wish(
        texts=tuple(str(text) for text in texts),
        dimensions=length if fits and isinstance(length, int) else DIMENSIONS,
        base64=fields.get("encoding_format") == "base64",
    )


def _schema(form: Fields, schema: Any) -> Any:
    if form.get("type") == "json_object":
        return {"type": "object"}
    return schema if form.get("type") == "json_schema" else None


def _tool(fields: Fields, *places: str) -> _Tool:
    schema = next((fields[place] for place in places if place in fields), {"type": "object"})
    return _Tool(_text(fields.get("name")), schema)


def _word(choice: object) -> str:
    return {"required": "*", "none": "-"}.get(_text(choice), "")


def _text(value: object) -> str:
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def _object(value: object) -> Fields:
    return value if isinstance(value, dict) else {}


def _objects(fields: Fields, name: str) -> Iterator[Fields]:
    found = fields.get(name)
    return (
        (item for item in found if isinstance(item, dict)) if isinstance(found, list) else iter(())
    )
