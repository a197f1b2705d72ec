"""The known forms of a caller's log: our own, OTLP/JSON spans, LiteLLM's logging payload.

Each turns one record into values by column of `calls` and the fields left over. Our own form is
that of the recorder; OTLP is the JSON encoding of OpenTelemetry traces 1.x with the GenAI names of
`schema.OTEL_VERSION` (and the older ones it replaced); LiteLLM's is its standard logging payload.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeGuard

from runbook_lib.schema import CALLS

Record = dict[str, Any]
Parts = tuple[Record, Record]
"""Values by column, and the fields of no column."""

OWN: dict[str, str] = {column.otel: column.name for column in CALLS.columns if column.otel} | {
    "ts": "ts",
    "duration_ms": "duration_ms",
    "ttft_ms": "ttft_ms",
    "traceparent": "traceparent",
    "service.name": "service",
    "deployment.environment.name": "environment",
    "deployment.environment": "environment",
    "gen_ai.system": "provider",
    "gen_ai.usage.prompt_tokens": "input_tokens",
    "gen_ai.usage.completion_tokens": "output_tokens",
    "http.status_code": "status",
    "http.response.header.retry-after": "retry_after_s",
    "url.full": "path",
    "http.url": "path",
}
"""Field of our own log or attribute of a span → column of `calls`."""

_OWN_MARKS = ("torouter.call.id", "torouter.attempt", "torouter.key.name")
_API_PATHS = re.compile(
    r"/(?:chat/completions|responses|embeddings|messages(?:/count_tokens)?"
    r"|models/[^/]+:\w+)$"
)
_SYMBOL = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)+|[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+")
_CLIENT_KINDS = (3, "3", "SPAN_KIND_CLIENT", "CLIENT", 0, None, 1, "SPAN_KIND_INTERNAL")


def form_of(record: Mapping[str, Any]) -> str | None:
    """Name the known form of a record: "own", "otlp" or "litellm"; None for any other."""
    if "resourceSpans" in record or "resource_spans" in record:
        return "otlp"
    if any(mark in record for mark in _OWN_MARKS) or (
        "ts" in record and "gen_ai.request.model" in record
    ):
        return "own"
    if "startTime" in record and ("hidden_params" in record or "custom_llm_provider" in record):
        return "litellm"
    return None


def symbol(value: object) -> str | None:
    """Give the text if it reads like a code of the gateway: words of one case joined by "_"."""
    bare = value.strip() if isinstance(value, str) else ""
    if len(bare) <= 64 and (_SYMBOL.fullmatch(bare) or bare == "rate limit exceeded"):
        return bare
    return None


def own(record: Mapping[str, Any]) -> Parts:
    """Read one line of our own log."""
    raw: Record = {}
    rest: Record = {}
    for name, value in record.items():
        column = OWN.get(name)
        if column is None:
            if name != "http.request.method":
                rest[name] = value
        elif raw.get(column) is None:
            raw[column] = value
    return raw, rest


def spans(document: Mapping[str, Any]) -> Iterator[Parts | None]:
    """Read the spans of one OTLP/JSON document; None for a span that is no call to the gateway."""
    for group in _list(document.get("resourceSpans", document.get("resource_spans"))):
        resource = _attributes(_dict(group.get("resource")).get("attributes"))
        for scope in _list(group.get("scopeSpans", group.get("scope_spans"))):
            for span in _list(scope.get("spans")):
                yield _span(span, resource)


def _list(value: object) -> list[Record]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _dict(value: object) -> Record:
    return value if isinstance(value, dict) else {}


def _span(span: Record, resource: Record) -> Parts | None:
    fields = _attributes(span.get("attributes"))
    if not _is_call(span, fields):
        return None
    named = {name: resource[name] for name in resource if name in OWN}
    raw, rest = own(named | fields)
    for name in ("torouter.service", "torouter.environment"):
        if fields.get(name) is not None:
            raw[OWN[name]] = fields[name]
    start, end = (_nanos(span.get(f"{name}TimeUnixNano")) for name in ("start", "end"))
    raw["ts"] = start
    if start is not None and end is not None and raw.get("duration_ms") is None:
        raw["duration_ms"] = round((end - start) / 1e6, 3)
    error = raw.get("error_type")
    if raw.get("status") is None and isinstance(error, str) and re.fullmatch(r"[1-5]\d\d", error):
        raw["status"] = error
    trace, own_id = span.get("traceId"), span.get("spanId")
    if isinstance(trace, str) and isinstance(own_id, str):
        raw.setdefault("traceparent", f"00-{trace}-{own_id}-01")
    return raw, rest


def _is_call(span: Record, fields: Record) -> bool:
    """Tell whether a span is an attempt of a client: by its names, its path or its id headers."""
    if span.get("kind") not in _CLIENT_KINDS:
        return False
    if "gen_ai.request.model" in fields or "torouter.call.id" in fields:
        return True
    if "http.response.header.x-client-request-id" in fields:
        return True
    path = str(fields.get("url.path") or fields.get("url.full") or fields.get("http.url") or "")
    return _API_PATHS.search(path.partition("?")[0]) is not None


def _nanos(value: object) -> int | None:
    try:
        return int(value) if isinstance(value, str | int) else None
    except ValueError:
        return None


def _attributes(pairs: object) -> Record:
    return {
        pair["key"]: _value(pair.get("value"))
        for pair in _list(pairs)
        if isinstance(pair.get("key"), str)
    }


def _value(wrapped: object) -> Any:
    """Unwrap a typed value of OTLP/JSON; 64-bit integers come as text."""
    if not isinstance(wrapped, dict) or len(wrapped) != 1:
        return None
    ((kind, value),) = wrapped.items()
    if kind in ("stringValue", "boolValue", "doubleValue"):
        return value
    if kind == "intValue":
        return value
    if kind == "arrayValue":
        return [_value(item) for item in _list(_dict(value).get("values"))]
    return None


_LITELLM: dict[str, str] = {
    "startTime": "ts",
    "trace_id": "call_id",
    "custom_llm_provider": "provider",
    "call_type": "operation",
    "model": "model",
    "api_base": "server",
    "stream": "stream",
}
_LITELLM_HEADERS = {
    "x-request-id": "request_ids",
    "x-client-request-id": "client_request_id",
    "content-type": "content_type",
    "retry-after": "retry_after_s",
}
_LITELLM_READ = frozenset(_LITELLM) | {
    "id",
    "status",
    "endTime",
    "completionStartTime",
    "response_time",
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "metadata",
    "hidden_params",
    "model_parameters",
    "error_information",
    "error_str",
    "model_group",
    "saved_cache_cost",
}


def litellm(record: Mapping[str, Any]) -> Parts | None:
    """Read one standard logging payload; None where LiteLLM answered from its own cache."""
    if record.get("cache_hit") in (True, "True", "true"):
        return None
    raw: Record = {column: record.get(name) for name, column in _LITELLM.items()}
    provider, model = raw["provider"], raw["model"]
    if isinstance(model, str) and isinstance(provider, str):
        raw["model"] = model.removeprefix(f"{provider}/")
    if raw["stream"] is None:
        raw["stream"] = _dict(record.get("model_parameters")).get("stream")
    hidden = _dict(record.get("hidden_params"))
    for name, value in _dict(hidden.get("additional_headers")).items():
        column = _LITELLM_HEADERS.get(name.lower().removeprefix("llm_provider-"))
        if column is not None:
            raw[column] = value
    metadata = _dict(record.get("metadata"))
    caller = _dict(metadata.get("requester_metadata"))
    raw["key_name"] = metadata.get("user_api_key_alias")
    raw["environment"], raw["service"] = caller.get("environment"), caller.get("service")
    raw.update(_times(record))
    failed = record.get("status") == "failure"
    raw.update(_failure(record) if failed else _success(record, metadata))
    return raw, {name: value for name, value in record.items() if name not in _LITELLM_READ}


def _times(record: Mapping[str, Any]) -> Record:
    start, end, first = (record.get(n) for n in ("startTime", "endTime", "completionStartTime"))
    times: Record = {}
    if _is_number(start) and _is_number(end):
        times["duration_ms"] = round((end - start) * 1000, 3)
    elif _is_number(record.get("response_time")):
        times["duration_ms"] = round(record["response_time"] * 1000, 3)
    if record.get("stream") is True and _is_number(start) and _is_number(first):
        times["ttft_ms"] = round((first - start) * 1000, 3)
    return times


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e18


def _failure(record: Mapping[str, Any]) -> Record:
    """Read a failed call: its zeros are not measured, and its id is only that of the trace."""
    told = _dict(record.get("error_information"))
    status = str(told.get("error_code") or "").strip()
    message = told.get("error_message")
    return {
        "status": status if re.fullmatch(r"[1-5]\d\d", status) else None,
        "code": symbol(message) or _code_in(message),
        "error_type": told.get("error_class") or "failure",
    }


def _code_in(message: object) -> str | None:
    """Find the code in the body of the answer, which LiteLLM quotes inside its message."""
    if not isinstance(message, str) or "{" not in message or len(message) > 20_000:
        return None
    try:
        body, _ = json.JSONDecoder().raw_decode(message, message.index("{"))
    except (ValueError, RecursionError):
        return None
    return code_of(_dict(body))


def code_of(body: Mapping[str, Any]) -> str | None:
    """Find the code in a body of the gateway, in the order of contract §3.1."""
    error = body.get("error")
    inner = _dict(error)
    for value in (
        inner.get("code"),
        inner.get("type"),
        body.get("code"),
        body.get("reason"),
        error,
        inner.get("status"),
    ):
        if (found := symbol(value)) is not None:
            return found
    return None


def _success(record: Mapping[str, Any], metadata: Record) -> Record:
    """Read an answered call; LiteLLM counts cached tokens as input where it names them."""
    usage = _dict(metadata.get("usage_object"))
    cached = usage.get("cache_read_input_tokens")
    if cached is None:
        cached = _dict(usage.get("prompt_tokens_details")).get("cached_tokens")
    written = usage.get("cache_creation_input_tokens")
    prompt = record.get("prompt_tokens")
    if record.get("custom_llm_provider") == "anthropic" and isinstance(prompt, int):
        shares = [share for share in (cached, written) if type(share) is int]
        prompt = max(0, prompt - sum(shares))
    own_id = record.get("id")
    return {
        "status": 200,
        "response_id": None if own_id == record.get("trace_id") else own_id,
        "input_tokens": prompt,
        "output_tokens": record.get("completion_tokens"),
        "cache_read_tokens": cached,
        "cache_write_tokens": written,
    }
