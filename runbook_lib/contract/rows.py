"""The error table of the gateway: which status and code mean which causes.

Domain, retry rule, fix, and who does it where follow from the causes. A code of None stands for
an answer without one. `wait` and `shape` are conditions where the code alone does not decide.
Source: contract §3.1 and §3.2; the mark of each row says how well it is known.
"""

from dataclasses import dataclass
from enum import StrEnum

from runbook_lib.contract.causes import CAUSES, shared_domain, shared_retry
from runbook_lib.contract.words import Domain, Retry


class Wait(StrEnum):
    """What `Retry-After` says: no such header, up to 60 s, longer, or nothing usable."""

    ABSENT = "absent"
    SHORT = "short"
    LONG = "long"
    UNUSABLE = "unusable"


class Shape(StrEnum):
    """Form of an error body, where it decides (contract §3.1).

    `google`: an integer code and a status word that only repeats the HTTP status. `passed_on`: the
    same with a word of another status class: not the gateway's, so the upstream's. `console`: an
    integer code on top. `plain`: text or a web page. `empty`: nothing. `unread`: nobody looked.
    `symbol`: all other JSON.
    """

    SYMBOL = "symbol"
    GOOGLE = "google"
    PASSED_ON = "passed_on"
    CONSOLE = "console"
    PLAIN = "plain"
    EMPTY = "empty"
    UNREAD = "unread"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row: a status, its codes, and the causes they can have, the likeliest first."""

    status: int
    codes: tuple[str | None, ...]
    causes: tuple[str, ...]
    mark: str
    wait: tuple[Wait, ...] = ()
    shape: tuple[Shape, ...] = ()

    def fits(self, wait: Wait, shape: Shape) -> bool:
        """Tell whether the conditions of this row hold; none always do."""
        return (not self.wait or wait in self.wait) and (not self.shape or shape in self.shape)

    @property
    def domain(self) -> Domain | None:
        """Side that must act, if all causes have the same."""
        return shared_domain(self.causes)

    @property
    def retry(self) -> Retry | None:
        """Rule for sending again, if all causes have the same."""
        return shared_retry(self.causes)

    @property
    def fix(self) -> str:
        """What to do; where several causes are left, the act for each."""
        return joined_fix(self.causes)


def joined_fix(names: tuple[str, ...]) -> str:
    """Join the fixes of these causes, each once."""
    return " Or: ".join(dict.fromkeys(CAUSES[name].fix for name in names))


def _row(
    status: int,
    codes: tuple[str | None, ...],
    causes: tuple[str, ...],
    mark: str,
    *,
    wait: tuple[Wait, ...] = (),
    shape: tuple[Shape, ...] = (),
) -> Row:
    return Row(status=status, codes=codes, causes=causes, mark=mark, wait=wait, shape=shape)


_REQUEST = ("request_malformed", "request_rejected", "request_rejected_by_upstream")
_GOOGLE_REQUEST = (
    "request_malformed",
    "request_rejected_by_upstream",
    "wrong_protocol_for_key",
    "key_in_query",
)
_NO_WAIT = (Wait.ABSENT, Wait.UNUSABLE)
_GOOGLE = (Shape.GOOGLE,)
_PASSED = (Shape.PASSED_ON,)
_CONSOLE = (Shape.CONSOLE,)
_TEXT = (Shape.PLAIN,)

ROWS: tuple[Row, ...] = (
    _row(400, ("invalid_request_error", None), _REQUEST, "D M"),
    _row(400, ("api_key_in_query_deprecated",), ("key_in_query",), "D M"),
    _row(401, ("API_KEY_REQUIRED",), ("key_not_sent",), "D M"),
    _row(401, ("INVALID_API_KEY",), ("key_unknown_or_deleted",), "D M"),
    _row(401, ("API_KEY_DISABLED",), ("key_disabled",), "D M"),
    _row(401, ("USER_NOT_FOUND", "USER_INACTIVE"), ("user_inactive",), "D M"),
    _row(402, (None, "INSUFFICIENT_BALANCE"), ("balance_used_up",), "D!"),
    _row(403, ("INSUFFICIENT_BALANCE",), ("balance_used_up",), "D! M"),
    _row(403, ("billing_error",), ("balance_used_up", "subscription_window_used_up"), "D! M"),
    _row(403, ("API_KEY_EXPIRED",), ("key_expired",), "D! M"),
    _row(403, ("ACCESS_DENIED",), ("ip_not_allowed", "model_not_allowed"), "D! M"),
    _row(403, ("model_not_allowed",), ("model_not_allowed",), "D"),
    _row(
        403, ("SUBSCRIPTION_NOT_FOUND", "SUBSCRIPTION_INVALID"), ("no_active_subscription",), "D M"
    ),
    _row(403, ("GROUP_DISABLED", "GROUP_DELETED"), ("group_disabled",), "M"),
    _row(403, ("GROUP_NOT_ALLOWED",), ("group_not_allowed",), "M"),
    _row(403, ("permission_error",), ("key_without_group",), "M"),
    _row(404, (None,), ("wrong_path",), "D M", shape=_TEXT),
    _row(404, ("model_not_found",), ("model_not_served_by_group",), "D M"),
    _row(404, (None,), ("model_not_served_by_group",), "D M", shape=(Shape.SYMBOL,)),
    _row(404, ("not_found_error",), ("endpoint_not_offered",), "M"),
    _row(413, ("invalid_request_error", None), ("request_too_large",), "M"),
    _row(429, ("API_KEY_QUOTA_EXHAUSTED", "insufficient_quota"), ("key_cap_reached",), "D! M"),
    _row(429, ("rate_limit_exceeded",), ("key_window_used_up",), "M", wait=(Wait.ABSENT,)),
    _row(429, ("rate_limit_exceeded",), ("user_rpm", "group_rpm"), "M", wait=(Wait.SHORT,)),
    _row(429, ("rate_limit_exceeded",), ("platform_quota_used_up",), "F", wait=(Wait.LONG,)),
    _row(
        429,
        ("rate_limit_exceeded",),
        ("user_rpm", "group_rpm", "platform_quota_used_up"),
        "M",
        wait=(Wait.UNUSABLE,),
    ),
    _row(
        429,
        ("API_KEY_RATE_5H_EXCEEDED", "API_KEY_RATE_1D_EXCEEDED", "API_KEY_RATE_7D_EXCEEDED"),
        ("key_window_used_up",),
        "F",
    ),
    _row(429, ("USER_RPM_EXCEEDED",), ("user_rpm",), "F"),
    _row(429, ("GROUP_RPM_EXCEEDED",), ("group_rpm",), "F"),
    _row(429, ("USAGE_LIMIT_EXCEEDED",), ("subscription_window_used_up",), "D M"),
    _row(
        429,
        ("rate_limit_error",),
        ("user_concurrency_limit", "user_waiting_queue_full", "upstream_rate_limited"),
        "M",
    ),
    _row(429, ("rate limit exceeded",), ("console_rate_limited", "login_rate_limited"), "D M"),
    _row(429, ("INVALID_AUTH_RATE_LIMITED",), ("ip_blocked_after_bad_keys",), "M"),
    _row(429, ("RATE_LIMITED",), ("console_rate_limited",), "M"),
    _row(500, (None, "INTERNAL_ERROR"), ("gateway_internal",), "D F"),
    _row(502, ("upstream_error", "upstream_unavailable", None), ("upstream_failed",), "D M"),
    _row(503, ("api_error", "upstream_unavailable"), ("no_channel_available",), "D M"),
    _row(503, ("overloaded_error", "upstream_error"), ("upstream_overloaded",), "M"),
    _row(503, ("billing_service_error", "API_KEY_AUTH_OVERLOADED"), ("gateway_internal",), "F"),
    _row(504, (None,), ("upstream_timeout",), "D"),
    _row(529, ("overloaded_error", None), ("upstream_overloaded",), "F"),
    # Streams that break after the status was sent (contract §4).
    _row(
        200,
        ("upstream_stream_read_error", "stream_read_error"),
        ("stream_broken_after_first_byte",),
        "M",
    ),
    # The console's API (contract §3.1, shape "console", and the flat codes of its door).
    _row(401, ("UNAUTHORIZED",), ("console_token_missing",), "M"),
    _row(401, ("INVALID_AUTH_HEADER", "EMPTY_TOKEN"), ("console_token_missing",), "F"),
    _row(401, ("INVALID_TOKEN",), ("console_token_invalid",), "M"),
    _row(401, ("TOKEN_EXPIRED", "TOKEN_REVOKED"), ("console_token_invalid",), "F"),
    _row(401, ("INVALID_CREDENTIALS",), ("console_login_wrong",), "M"),
    _row(403, ("FORBIDDEN",), ("operator_only", "console_request_rejected"), "F"),
    _row(
        403,
        ("GROUP_NOT_ALLOWED",),
        ("group_not_allowed", "console_request_rejected"),
        "F",
        shape=_CONSOLE,
    ),
    # Google's shape has no symbol of its own: its word repeats the status (contract §3.1).
    _row(400, ("INVALID_ARGUMENT",), _GOOGLE_REQUEST, "M", shape=_GOOGLE),
    _row(
        401,
        ("UNAUTHENTICATED",),
        ("key_not_sent", "key_unknown_or_deleted", "key_disabled", "user_inactive"),
        "M",
        shape=_GOOGLE,
    ),
    _row(
        403,
        ("PERMISSION_DENIED",),
        ("key_expired", "balance_used_up", "ip_not_allowed", "no_active_subscription"),
        "M",
        shape=_GOOGLE,
    ),
    _row(
        404,
        ("NOT_FOUND",),
        ("model_not_served_by_group", "model_not_found_upstream", "wrong_path"),
        "M",
        shape=_GOOGLE,
    ),
    _row(
        429,
        ("RESOURCE_EXHAUSTED",),
        (
            "key_cap_reached",
            "key_window_used_up",
            "user_concurrency_limit",
            "upstream_rate_limited",
        ),
        "D! M",
        wait=_NO_WAIT,
        shape=_GOOGLE,
    ),
    _row(
        429,
        ("RESOURCE_EXHAUSTED",),
        ("user_rpm", "group_rpm", "ip_blocked_after_bad_keys"),
        "M",
        wait=(Wait.SHORT,),
        shape=_GOOGLE,
    ),
    _row(
        429,
        ("RESOURCE_EXHAUSTED",),
        ("platform_quota_used_up",),
        "F",
        wait=(Wait.LONG,),
        shape=_GOOGLE,
    ),
    _row(400, (None,), ("request_rejected_by_upstream",), "M", shape=_PASSED),
    _row(404, (None,), ("model_not_found_upstream",), "M", shape=_PASSED),
    _row(429, (None,), ("upstream_rate_limited",), "M", shape=_PASSED),
)
"""Every row of the error table, then those of streams, of the console and of Google's shape."""
