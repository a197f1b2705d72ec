"""What the gateway answers: every refusal as data, and its headers and body to the byte.

Shapes, statuses, codes and messages are those measured (contract §3, M); messages may be Chinese.
Who answers decides the shape: the door (key, user, billing) is flat, a handler speaks its group's
protocol, whatever endpoint was called, and `/v1beta` is always Google's.
"""

import json
from typing import NamedTuple

from runbook_lib.sandbox.channels import NO_ANSWER, Protocol
from runbook_lib.sandbox.prices import Tokens
from runbook_lib.sandbox.wanted import Said

JSON = "application/json; charset=utf-8"
PASSED = "application/json"
"""What an upstream wrote and the gateway passes on."""

STREAM = "text/event-stream"
IN_ONE_PIECE = 2048
"""Bytes of a body that the gateway's server still counts; longer ones come in chunks (M)."""

PAGE = "text/html; charset=utf-8"
TEXT = "text/plain"


class Problem(NamedTuple):
    """Why a request is refused.

    Attributes:
        code: Symbol in the body: the `code` of a flat one, the `type` of a handler's.
        flat: Answered at the door.
        category: Category in the console's list of failed requests; None when it lists it not.
        listed: Status in that list, which is the upstream's where it answered.
        retry_after: Seconds for the header; None for no header.
        passed_on: The body is the upstream's own.
        as_stream: A stream was asked for, and its headers come with the refusal (contract §4, M).
    """

    status: int
    code: str
    message: str
    flat: bool = False
    category: str | None = "other"
    listed: int | None = None
    retry_after: int | None = None
    passed_on: bool = False
    as_stream: bool = False


class Surface(NamedTuple):
    """One endpoint: what it is for, and whose protocol it speaks."""

    name: str
    operation: str
    protocol: Protocol
    path: str


class Answer(NamedTuple):
    """One answer, before anybody writes it out.

    A named tuple, as a history makes one for every attempt.

    Attributes:
        request_ids: Every value of `x-request-id`, in order.
        client_id: Value of `x-client-request-id`; None off the API routes.
        duration: Ticks from arrival to the last byte; `ttft` to the first, streams only.
        stream_end: `complete`, `truncated`, `error_event`; empty where no stream came.
        stream_code: Symbol inside a broken stream.
        broken: What broke the stream, a kind of `channels.STREAM_TROUBLES`; empty for nothing.
        origin: Protocol that the gateway translated into that of the endpoint, or `responses`;
            empty for none.
        model: Model that answered, as the upstream names it; empty on refusals.
        tokens: As the answer's body tells them, input without cached ones.
        said: What the model says.
    """

    status: int
    request_ids: tuple[str, ...]
    client_id: str | None
    content_type: str
    duration: int
    surface: Surface | None = None
    protocol: Protocol | None = None
    problem: Problem | None = None
    ttft: int | None = None
    stream_end: str = ""
    stream_code: str = ""
    model: str = ""
    response_id: str = ""
    tokens: Tokens | None = None
    said: Said = Said()
    broken: str = ""
    origin: str = ""

    @property
    def code(self) -> str:
        """Symbol that a client reads out of it; empty for none."""
        problem = self.problem
        if problem is None:
            return self.stream_code
        name = self.surface.name if self.surface else ""
        if name == "gemini":
            return "" if problem.passed_on else google_status(problem.status)
        return "insufficient_quota" if is_quota_form(problem, name) else problem.code


def _flat(status: int, code: str, message: str, category: str | None = "other") -> Problem:
    return Problem(status, code, message, flat=True, category=category)


KEY_IN_QUERY = _flat(
    400,
    "api_key_in_query_deprecated",
    "API key in query parameter is deprecated. Please use Authorization header instead.",
    None,
)
KEY_REQUIRED = _flat(
    401,
    "API_KEY_REQUIRED",
    "API key is required in Authorization header (Bearer scheme), x-api-key header, "
    "or x-goog-api-key header",
    None,
)
KEY_UNKNOWN = _flat(401, "INVALID_API_KEY", "Invalid API key", None)
KEY_DISABLED = _flat(401, "API_KEY_DISABLED", "API key is disabled", "auth")
KEY_EXPIRED = _flat(403, "API_KEY_EXPIRED", "API key 已过期", "auth")
CAP_REACHED = _flat(429, "API_KEY_QUOTA_EXHAUSTED", "API key 额度已用完")
USER_INACTIVE = _flat(401, "USER_INACTIVE", "User account is not active", "auth")
GROUP_DISABLED = _flat(403, "GROUP_DISABLED", "API Key 所属分组已停用")
BALANCE_AT_DOOR = _flat(403, "INSUFFICIENT_BALANCE", "Insufficient account balance")
INTERNAL = _flat(500, "INTERNAL_ERROR", "Failed to validate API key", None)
IP_BLOCKED = _flat(
    429, "INVALID_AUTH_RATE_LIMITED", "Too many invalid API key attempts, try again later", None
)._replace(retry_after=60)

TOKEN_MISSING = _flat(401, "UNAUTHORIZED", "Authorization header is required", None)
TOKEN_INVALID = _flat(401, "INVALID_TOKEN", "Invalid token", None)

NO_SUBSCRIPTION = _flat(
    403, "SUBSCRIPTION_NOT_FOUND", "No active subscription found for this group"
)
SUBSCRIPTION_ENDED = _flat(403, "SUBSCRIPTION_INVALID", "subscription has expired")
SUBSCRIPTION_PAUSED = _flat(403, "SUBSCRIPTION_INVALID", "subscription is suspended")

BALANCE = Problem(403, "billing_error", "insufficient balance", category="quota")
NO_GROUP = Problem(
    403,
    "permission_error",
    "API Key is not assigned to any group and cannot be used. "
    "Please contact the administrator to assign it to a group.",
)
MODEL_NOT_ALLOWED = Problem(403, "model_not_allowed", "model is not allowed for this API key")
BODY_EMPTY = Problem(400, "invalid_request_error", "Request body is empty")
BODY_BROKEN = Problem(400, "invalid_request_error", "Failed to parse request body")
MODEL_MISSING = Problem(400, "invalid_request_error", "model is required")
BODY_TOO_LARGE = Problem(413, "invalid_request_error", "Request body too large, limit is 32MB")
QUEUE_FULL = Problem(
    429, "rate_limit_error", "Too many pending requests, please retry later", category="rate_limit"
)
NO_SLOT = Problem(
    429,
    "rate_limit_error",
    "Concurrency limit exceeded for user, please retry later",
    category="rate_limit",
)
WINDOWS = {
    "5h": Problem(429, "rate_limit_exceeded", "api key 5小时限额已用完"),
    "1d": Problem(429, "rate_limit_exceeded", "api key 日限额已用完"),
    "7d": Problem(429, "rate_limit_exceeded", "api key 7天限额已用完"),
}
USER_RPM = Problem(429, "rate_limit_exceeded", "user requests-per-minute limit exceeded")
GROUP_RPM = Problem(429, "rate_limit_exceeded", "group requests-per-minute limit exceeded")
CUT_MESSAGES = Problem(502, "upstream_error", "Upstream request failed", category="upstream")

_NO_CHANNEL = {
    "openai": "Service temporarily unavailable",
    "anthropic": "No available accounts: no available accounts",
    "gemini": "No available Gemini accounts: no available accounts",
}


def is_quota_form(problem: Problem, surface: str) -> bool:
    """Tell whether a reached cap speaks OpenAI's words: on `/v1/responses` it does (M)."""
    return problem is CAP_REACHED and surface == "responses"


def plan_used_up(window: str, *, at_door: bool) -> Problem:
    """Refuse what a subscription's window no longer pays for; the handler has the first form."""
    message = f"{window} usage limit exceeded"
    if at_door:
        return _flat(429, "USAGE_LIMIT_EXCEEDED", message)
    return Problem(403, "billing_error", message, category="quota")


def ip_denied(address: str) -> Problem:
    """Refuse an address; the message tells the one the gateway saw (M)."""
    return _flat(403, "ACCESS_DENIED", f"Access denied. Your IP is {address}", None)


def no_channel(protocol: Protocol) -> Problem:
    """Refuse a request for which every channel is set aside, or none is there."""
    return Problem(503, "api_error", _NO_CHANNEL[protocol], category="service_unavailable")


def model_unknown(model: str) -> Problem:
    """Refuse a model that no channel of the group is configured for."""
    message = f'Model "{model}" is not supported by any configured account in this group'
    return Problem(404, "model_not_found", message, category="service_unavailable")


NOT_GEMINI = Problem(400, "invalid_request_error", "API key group platform is not gemini")


def not_offered(surface: Surface) -> Problem:
    """Refuse an endpoint that the group does not have; Gemini's has words of its own (F)."""
    if surface.name == "gemini":
        return NOT_GEMINI
    name = {"embeddings": "Embeddings", "count_tokens": "Token counting"}.get(surface.name, "This")
    return Problem(404, "not_found_error", f"{name} API is not supported for this platform")


_FAILED = "Upstream request failed"
_AWAY = "Upstream service temporarily unavailable"
_UPSTREAM: dict[int, tuple[int, str, str]] = {
    400: (400, "invalid_request_error", "Unsupported parameter: foo"),
    401: (
        502,
        "upstream_error",
        "Upstream authentication failed, please contact administrator",
    ),
    403: (502, "upstream_error", "Upstream access forbidden, please contact administrator"),
    402: (502, "upstream_error", _FAILED),
    404: (502, "upstream_error", _FAILED),
    413: (502, "upstream_error", _FAILED),
    429: (429, "rate_limit_error", "Upstream rate limit exceeded, please retry later"),
    529: (503, "overloaded_error", "Upstream service overloaded, please retry later"),
}
_OPENAI: dict[int, tuple[int, str, str]] = {
    413: (413, "invalid_request_error", "Request payload is too large"),
    529: (503, "upstream_error", "Upstream service overloaded, please retry later"),
}


_PASSED = frozenset({("anthropic", 400), ("gemini", 404)})


def upstream_failed(status: int, protocol: Protocol) -> Problem:
    """Refuse a request that every candidate failed, by what the last upstream answered (M)."""
    form = _OPENAI.get(status) if protocol == "openai" else None
    form = form or _UPSTREAM.get(status, (502, "upstream_error", _AWAY))
    listed = form[0] if status == NO_ANSWER else status
    passed = (protocol, status) in _PASSED
    if passed and protocol == "gemini":
        form = (404, "UNAVAILABLE", "model not found")
    return Problem(*form, category="upstream", listed=listed, passed_on=passed)


_GOOGLE = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
}


def google_status(status: int) -> str:
    """Name Google's status for an HTTP status; a failing server is INTERNAL (M)."""
    return _GOOGLE.get(status, "INTERNAL")


def compact(content: object) -> str:
    """Write JSON as the gateway does: sorted names, no blanks."""
    return json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def problem_body(answer: Answer, problem: Problem) -> str:
    """Write the body of a refusal, in the shape of who answers."""
    surface = answer.surface.name if answer.surface else ""
    if problem.passed_on:
        return _upstream_body(answer, problem)
    if surface == "gemini":
        message = "API key is required" if problem is KEY_REQUIRED else problem.message
        form = {
            "code": problem.status,
            "message": message,
            "status": google_status(problem.status),
        }
        return compact({"error": form})
    if is_quota_form(problem, surface):
        quota = {
            "code": "insufficient_quota",
            "message": problem.message,
            "param": None,
            "type": "insufficient_quota",
        }
        return compact({"error": quota})
    if problem.flat:
        return compact({"code": problem.code, "message": problem.message})
    inner = {"error": {"message": problem.message, "type": problem.code}}
    if answer.protocol == "anthropic" and surface != "embeddings":
        return compact({**inner, "type": "error"})
    return compact(inner)


def _upstream_body(answer: Answer, problem: Problem) -> str:
    if answer.protocol == "gemini":
        form = {"code": problem.status, "message": problem.message, "status": problem.code}
        return json.dumps({"error": form})
    inner = {"type": problem.code, "message": problem.message}
    request_id = f"req_{(answer.client_id or '').replace('-', '')[:24]}"
    return json.dumps({"type": "error", "error": inner, "request_id": request_id})


def headers(answer: Answer, body_length: int | None) -> list[tuple[str, str]]:
    """List the headers in the order captured; *body_length* None is a stream."""
    lines = [("content-type", answer.content_type)]
    if answer.surface is not None and answer.surface.name == "billing" and not answer.problem:
        lines = [("cache-control", "no-store"), *lines]
    if answer.content_type == STREAM:
        lines = [("cache-control", "no-cache"), *lines, ("x-accel-buffering", "no")]
    if answer.problem is not None and answer.problem.retry_after is not None:
        lines.append(("retry-after", str(answer.problem.retry_after)))
    if answer.client_id is not None:
        lines.append(("x-client-request-id", answer.client_id))
    lines += [("x-request-id", value) for value in answer.request_ids]
    if body_length is None or body_length > IN_ONE_PIECE:
        return [*lines, ("transfer-encoding", "chunked")]
    return [*lines, ("content-length", str(body_length))]
