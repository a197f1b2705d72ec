"""One call of a client as the official SDKs make it: attempts, waits, and what its log says.

Both SDKs send again on 408, 409, every 429, every 5xx and when no answer came, twice at most, after
0.5 to 8 s or what `Retry-After` asks for up to a minute. They never send a broken stream again.
The log is one JSON line an attempt, never a prompt, an answer or a key.
"""

import json
from dataclasses import dataclass
from random import Random
from typing import Any

from runbook_lib.sandbox import ticks
from runbook_lib.sandbox.answers import Answer
from runbook_lib.sandbox.prices import Tokens

SERVER = "portal.torouter.ai"
LONGEST_OBEYED = 60
"""Seconds of `Retry-After` that are obeyed; longer ones are replaced by the own backoff."""

_AGAIN = frozenset({408, 409, 429})
_FINISH = {"chat": "stop", "responses": "completed", "messages": "end_turn", "gemini": "STOP"}


@dataclass(slots=True, kw_only=True)
class Call:
    """One logical call on its way.

    Attributes:
        id: Id of the call in the log.
        request_id: The caller's own X-Request-ID; None leaves it to the gateway.
        attempt: Number of the next attempt, from 1, fallback included.
        resend: Retries that the SDK has made with the present model.
        patience: Ticks after which the client gives up waiting.
        quits: The client closes the stream early.
        logged: Whether anybody writes a log of it.
        fallback: Where to send it when its own model does not answer; None for nowhere.
        fallback_request_id: As `request_id`, for that attempt.
    """

    id: str
    service: str
    environment: str
    key_name: str
    secret: str
    path: str
    provider: str
    operation: str
    model: str
    stream: bool
    tokens: Tokens
    ip: str
    agent: str
    retries: int
    patience: int
    request_id: str | None = None
    attempt: int = 1
    resend: int = 0
    pace: float = 1.0
    quits: bool = False
    logged: bool = True
    fallback: Any = None
    fallback_request_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the client saw of one answer.

    Attributes:
        status: None when it gave up before one came.
        end: How the stream ended for it; empty where none came.
        after: Ticks from the start of the attempt to its end for the client.
    """

    status: int | None
    end: str
    after: int


def observe(call: Call, answer: Answer, chance: Random) -> Seen:
    """Tell what the client sees, given how long it waits; the network adds a few milliseconds."""
    after = answer.duration + 2_000 + int(chance.random() * 10_000)
    silent = answer.ttft if answer.ttft is not None else after
    if silent > call.patience:
        return Seen(status=None, end="", after=call.patience + int(chance.random() * 8_000))
    if call.quits and answer.ttft is not None and answer.stream_end == "complete":
        read = answer.ttft + int((answer.duration - answer.ttft) * chance.uniform(0.1, 0.7))
        return Seen(status=answer.status, end="cancelled", after=read + 2_000)
    return Seen(status=answer.status, end=answer.stream_end, after=after)


def may_send_again(seen: Seen) -> bool:
    """Tell whether an SDK would send this attempt again, if it has retries left."""
    return seen.status is None or seen.status in _AGAIN or seen.status >= 500


def wait_before_retry(resend: int, answer: Answer, chance: Random) -> int:
    """Give the ticks an SDK waits: what `Retry-After` asks for, else its own backoff."""
    asked = answer.problem.retry_after if answer.problem is not None else None
    if asked is not None and 0 < asked <= LONGEST_OBEYED:
        return asked * ticks.SECOND
    return int(min(0.5 * 2.0**resend, 8.0) * (1 - 0.25 * chance.random()) * ticks.SECOND)


def log_line(call: Call, at: int, answer: Answer, seen: Seen) -> str:
    """Write the line of one attempt, as the recorder does."""
    line: dict[str, Any] = {
        "ts": ticks.utc_millis(at),
        "torouter.service": call.service,
        "torouter.environment": call.environment,
        "torouter.key.name": call.key_name,
        "torouter.call.id": call.id,
        "torouter.attempt": call.attempt,
        "http.request.resend_count": call.resend,
        "server.address": SERVER,
        "http.request.method": "POST",
        "url.path": call.path,
        "gen_ai.operation.name": call.operation,
        "gen_ai.provider.name": call.provider,
        "gen_ai.request.model": call.model,
        "gen_ai.request.stream": call.stream,
        "http.response.status_code": seen.status,
    }
    if seen.status is not None:
        line |= _headers(answer)
    line["duration_ms"] = seen.after / 1000
    if seen.status is None:
        line["error.type"] = "ReadTimeout"
    elif answer.problem is not None:
        line |= _refusal(answer, seen.status)
    else:
        line |= _content(call, answer, seen)
    return json.dumps(line, ensure_ascii=False)


def _headers(answer: Answer) -> dict[str, Any]:
    found: dict[str, Any] = {"http.response.header.x-request-id": list(answer.request_ids)}
    if answer.client_id is not None:
        found["http.response.header.x-client-request-id"] = [answer.client_id]
    found["http.response.header.content-type"] = [answer.content_type]
    return found


def _refusal(answer: Answer, status: int) -> dict[str, Any]:
    problem = answer.problem
    found: dict[str, Any] = {}
    if answer.code:
        found["torouter.error.code"] = answer.code
    if problem is not None and not problem.flat:
        found["torouter.error.type"] = answer.code
    if problem is not None and problem.retry_after is not None:
        found["torouter.retry_after_s"] = problem.retry_after
    if answer.stream_end:
        found["torouter.stream.end"] = answer.stream_end
    return {**found, "error.type": answer.code if status < 400 else str(status)}


def _content(call: Call, answer: Answer, seen: Seen) -> dict[str, Any]:
    name = answer.surface.name if answer.surface else ""
    found: dict[str, Any] = {}
    if answer.ttft is not None:
        found["ttft_ms"] = answer.ttft / 1000
    if answer.stream_code:
        found["torouter.error.code"] = answer.stream_code
    if seen.end:
        found["torouter.stream.end"] = seen.end
    if answer.model:
        found["gen_ai.response.model"] = answer.model
    if answer.response_id:
        found["gen_ai.response.id"] = answer.response_id
    if name in _FINISH and seen.end in ("", "complete"):
        found["gen_ai.response.finish_reasons"] = [_FINISH[name]]
    if answer.tokens is not None and seen.end != "cancelled":
        found |= _usage(call.provider, answer.tokens, name)
    if answer.stream_code:
        found["error.type"] = answer.stream_code
    return found


def _usage(provider: str, tokens: Tokens, surface: str) -> dict[str, int]:
    """Counts as the answer's body tells them: only Anthropic's input leaves cached tokens out."""
    if surface == "embeddings":
        return {"gen_ai.usage.input_tokens": tokens.input}
    whole = tokens.input + (0 if provider == "anthropic" else tokens.cache_read)
    found = {
        "gen_ai.usage.input_tokens": whole,
        "gen_ai.usage.output_tokens": tokens.output,
        "gen_ai.usage.cache_read.input_tokens": tokens.cache_read,
    }
    if provider == "anthropic":
        found["gen_ai.usage.cache_creation.input_tokens"] = tokens.cache_write
    return found
