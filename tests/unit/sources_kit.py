"""Small inputs for the tests of the readers, and short ways to read them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from runbook_lib import sources
from runbook_lib.schema import TABLES
from runbook_lib.sources.intake import Intake

OWN: dict[str, Any] = {
    # One line as the recorder writes it: names of OpenTelemetry, headers as lists.
    "ts": "2026-11-24T05:31:40.300Z",
    "torouter.service": "web-chat",
    "torouter.environment": "production",
    "torouter.key.name": "prod-web",
    "torouter.call.id": "web-1",
    "torouter.attempt": 1,
    "http.request.resend_count": 0,
    "server.address": "127.0.0.1",
    "url.path": "/v1/chat/completions",
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-5.4",
    "gen_ai.request.stream": False,
    "http.response.status_code": 200,
    "http.response.header.x-request-id": ["11111111-aaaa", "req_1"],
    "http.response.header.x-client-request-id": ["22222222-bbbb"],
    "http.response.header.content-type": ["application/json"],
    "duration_ms": 1163.1,
    "gen_ai.response.model": "gpt-5.4-2026-03-05",
    "gen_ai.response.id": "chatcmpl-1",
    "gen_ai.response.finish_reasons": ["stop"],
    "gen_ai.usage.input_tokens": 1000,
    "gen_ai.usage.output_tokens": 20,
    "gen_ai.usage.cache_read.input_tokens": 400,
}

REFUSED: dict[str, Any] = {
    name: value
    for name, value in OWN.items()
    if not name.startswith(("gen_ai.response", "gen_ai.usage"))
} | {
    "http.response.status_code": 429,
    "torouter.error.code": "API_KEY_QUOTA_EXHAUSTED",
    "error.type": "429",
}

GUESSED: dict[str, Any] = {
    # One line of an application's own log: short names, the time at the end of the call.
    "ts": "2026-11-24T05:31:43.886+00:00",
    "lvl": "info",
    "msg": "llm call finished",
    "rid": "33333333-cccc-4444-8888-121212121212, req_2",
    "client_rid": "44444444-dddd",
    "upstream_status": 200,
    "model_name": "gpt-5.4",
    "ms": 1235,
    "api_key_alias": "staging-web",
    "try": 2,
    "job": "doc-1",
    "tok_in": 2247,
    "tok_out": 297,
}


def write(folder: Path, content: Any, name: str = "in.jsonl") -> Path:
    """Write bytes, text, or records as JSON lines."""
    path = folder / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, str):
        path.write_text(content, encoding="utf-8", newline="")
    else:
        path.write_text("".join(json.dumps(record) + "\n" for record in content), encoding="utf-8")
    return path


def read(folder: Path, content: Any, name: str = "in.jsonl", **rest: Any) -> Intake:
    """Read one file of that content; its staging folder is *folder*/staging."""
    staging = folder / "staging"
    staging.mkdir(exist_ok=True)
    (intake,) = sources.read(write(folder, content, name), staging, **rest)
    return intake


def rows(intake: Intake) -> list[dict[str, Any]]:
    """The staged rows, after a look at columns and order."""
    if intake.staged is None:
        assert intake.rows == 0
        return []
    table = pq.read_table(intake.staged)
    assert table.column_names == TABLES[intake.table].names
    assert table.num_rows == intake.rows
    held: list[dict[str, Any]] = table.to_pylist()
    return held


def row(folder: Path, record: Mapping[str, Any], **rest: Any) -> dict[str, Any]:
    """The single row that a single record gives."""
    intake = read(folder, [record], **rest)
    assert intake.rejected == 0, intake.reasons
    (held,) = rows(intake)
    return held


def span(fields: Mapping[str, Any], **rest: Any) -> dict[str, Any]:
    """One span in the JSON encoding of OTLP."""
    return {
        "traceId": "0" * 31 + "1",
        "spanId": "0" * 15 + "2",
        "kind": 3,
        "startTimeUnixNano": "1795498300300000000",
        "endTimeUnixNano": "1795498301463100000",
        "attributes": [{"key": name, "value": _typed(value)} for name, value in fields.items()],
        **rest,
    }


def otlp(spans: Sequence[Mapping[str, Any]], **resource: str) -> dict[str, Any]:
    """One OTLP/JSON document."""
    named = [{"key": name, "value": {"stringValue": text}} for name, text in resource.items()]
    return {
        "resourceSpans": [{"resource": {"attributes": named}, "scopeSpans": [{"spans": spans}]}]
    }


def _typed(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [_typed(item) for item in value]}}
    return {"stringValue": value}


def litellm(**changes: Any) -> dict[str, Any]:
    """One standard logging payload of LiteLLM, cut to the fields that matter."""
    return {
        "id": "msg_1",
        "trace_id": "ci-1",
        "call_type": "acompletion",
        "stream": False,
        "status": "success",
        "custom_llm_provider": "anthropic",
        "model": "claude-haiku-4-5",
        "api_base": "http://127.0.0.1:18080",
        "startTime": 1795498303.78,
        "endTime": 1795498304.1634,
        "completionStartTime": 1795498304.1634,
        "response_time": 0.3834,
        "prompt_tokens": 677,
        "completion_tokens": 33,
        "cache_hit": None,
        "messages": "redacted-by-litellm",
        "response": "redacted-by-litellm",
        "metadata": {
            "user_api_key_alias": "ci-evals",
            "requester_metadata": {"environment": "ci", "service": "ci-evals"},
        },
        "hidden_params": {
            "additional_headers": {
                "llm_provider-x-request-id": "55555555-eeee",
                "llm_provider-x-client-request-id": "66666666-ffff",
                "llm_provider-content-type": "application/json",
            }
        },
        "error_str": None,
        "error_information": None,
    } | changes
