"""Names and numbers of the gateway: headers, ids, addresses, end markers, measured times.

Source: contract §2, §4-§7; the mark stands beside each.
"""

from typing import Final

REQUEST_ID_HEADER: Final = "x-request-id"
"""On every answer; several lines or one joined by commas (D, M)."""

CLIENT_REQUEST_ID_HEADER: Final = "x-client-request-id"
"""A second, always fresh id: the one usage rows store (M, since 0.1.132)."""

RETRY_AFTER_HEADER: Final = "retry-after"
RETRY_AFTER_MS_HEADER: Final = "retry-after-ms"
"""What both SDKs read before `Retry-After`; milliseconds."""

SHOULD_RETRY_HEADER: Final = "x-should-retry"
"""`false` stops the retries of both official SDKs."""

USAGE_ID_PREFIXES: Final = ("client:", "local:", "generated:", "web_search:")
"""What a usage row puts before its id; `client:` leads to `X-Client-Request-ID` (M)."""

LONGEST_REQUEST_ID: Final = 200
"""Visible characters of an id at most (D, M)."""

BASE_URLS: Final = {
    "openai": "https://portal.torouter.ai/v1",
    "anthropic": "https://portal.torouter.ai",
    "gemini": "https://portal.torouter.ai/v1beta",
}
"""Base URL each SDK needs (D); in the family `/api/v1` is the console (M)."""

KEY_HEADERS: Final = {
    "openai": "Authorization: Bearer",
    "anthropic": "x-api-key",
    "gemini": "x-goog-api-key",
}
"""Header the key goes in (D)."""

ENDPOINTS: Final = (
    "/v1/chat/completions",
    "/v1/responses",
    "/v1/embeddings",
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/v1/models",
    "/v1beta/models/{model}:generateContent",
    "/v1beta/models/{model}:streamGenerateContent",
    "/v1beta/models/{model}:countTokens",
)
"""Paths of the gateway (D)."""

STREAM_ENDS: Final = {
    "chat": "[DONE] and a finish_reason",
    "responses": "response.completed",
    "messages": "message_stop",
    "gemini": "finishReason",
}
"""What a whole stream ends with (contract §4, M)."""

SHORT_WAIT_S: Final = 60.0
"""`Retry-After` up to here is a limit by the minute, above it a quota (M, F)."""

SLOWEST_ANSWER_S: Final = 64.0
"""How long failover can take before the gateway answers (Gemini 503, M)."""

ADVISED_TIMEOUT_S: Final = 70.0
"""Client timeouts below this give up before the gateway does (M)."""

SLOT_WAIT_S: Final = 30.0
"""How long a call waits for a free place of its user before a 429 (M)."""

COOLDOWN_S: Final = {429: 5.0, 529: 600.0, 404: 1800.0, 500: 10.0}
"""How long a channel is set aside after a status of the upstream; 5xx: this and more (M)."""

OUTAGE_ECHO_S: Final = 18.0
"""How long 503 can go on after the provider is back (M)."""

BAD_KEY_CALLS: Final = 120
BAD_KEY_WINDOW_S: Final = 60.0
"""So many bad-key calls in so many seconds block the whole address for as long (M)."""

KEY_STATE_LAG_S: Final = 300.0
"""How far `quota.used` of `GET /v1/usage` can lie behind (M)."""

PAGE_ROWS = 1000
"""Rows the console fetches at a time, for its list and its export (§7: D, M)."""

USAGE_KEPT_DAYS: Final = 90
REFUSALS_KEPT_DAYS: Final = 30
"""How long the console keeps usage rows and its list of failed requests (M)."""


def bare_id(request_id: str) -> str:
    """Take the prefix off the id of a usage row: people hold the id without it."""
    for prefix in USAGE_ID_PREFIXES:
        bare = request_id.removeprefix(prefix)
        if bare and bare != request_id:
            return bare
    return request_id
