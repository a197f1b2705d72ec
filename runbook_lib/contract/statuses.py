"""What a status alone can mean, where no code came, nobody read it, or it is a new one.

Source: contract §3.2 for the statuses the gateway documents; those of proxies, CDNs and other
servers after the fault matrix (rows 1-27, 54), marked ?.
"""

from dataclasses import dataclass

from runbook_lib.contract.causes import shared_retry
from runbook_lib.contract.rows import Wait
from runbook_lib.contract.words import Retry


@dataclass(frozen=True, slots=True, kw_only=True)
class Default:
    """What is left when only the status is known.

    Attributes:
        causes: Candidates, the likeliest first.
        retry: Rule that is safe under all of them; None where nothing may be re-sent by itself.
        known: Whether the status is one of the contract.
        mark: How well this is known.
    """

    causes: tuple[str, ...]
    retry: Retry | None
    known: bool
    mark: str


def _documented(*causes: str, mark: str = "D M") -> Default:
    return Default(causes=causes, retry=shared_retry(causes), known=True, mark=mark)


def _outside(retry: Retry | None, *causes: str) -> Default:
    return Default(causes=causes or ("unknown",), retry=retry, known=False, mark="?")


_RATE = {
    Wait.ABSENT: _documented(
        "key_cap_reached",
        "key_window_used_up",
        "user_concurrency_limit",
        "upstream_rate_limited",
    ),
    Wait.SHORT: _documented(
        "user_rpm", "group_rpm", "ip_blocked_after_bad_keys", "console_rate_limited"
    ),
    Wait.LONG: _documented("platform_quota_used_up", "key_window_used_up", mark="F"),
}

_DOCUMENTED = {
    400: _documented("request_malformed", "request_rejected", "request_rejected_by_upstream"),
    401: _documented("key_unknown_or_deleted", "key_not_sent", "key_disabled", "user_inactive"),
    402: _documented("balance_used_up", mark="D!"),
    403: _documented(
        "key_expired", "balance_used_up", "ip_not_allowed", "subscription_window_used_up"
    ),
    404: _documented("model_not_served_by_group", "wrong_path", "endpoint_not_offered"),
    413: _documented("request_too_large", mark="M"),
    500: _documented("gateway_internal", mark="D F"),
    502: _documented("upstream_failed"),
    503: _documented("no_channel_available", "upstream_overloaded", "gateway_internal"),
    504: _documented("upstream_timeout", mark="D"),
    529: _documented("upstream_overloaded", mark="F"),
}

_REQUEST = _outside(Retry.NEVER, "request_malformed", "request_rejected")
_CDN = _outside(Retry.BACKOFF, "gateway_internal")
_OUTSIDE = {
    405: _outside(Retry.NEVER, "wrong_path"),
    406: _REQUEST,
    408: _outside(Retry.BACKOFF),
    409: _outside(Retry.BACKOFF),
    411: _REQUEST,
    414: _outside(Retry.NEVER, "request_too_large"),
    415: _REQUEST,
    422: _outside(
        Retry.NEVER, "request_malformed", "request_rejected", "request_rejected_by_upstream"
    ),
    425: _outside(Retry.BACKOFF),
    431: _outside(Retry.NEVER, "request_too_large"),
    451: _outside(Retry.NEVER, "request_rejected", "request_rejected_by_upstream"),
    501: _outside(Retry.NEVER),
    505: _outside(Retry.NEVER),
    524: _outside(Retry.BACKOFF, "upstream_timeout", "gateway_internal"),
    **dict.fromkeys((301, 302, 303, 307, 308), _outside(Retry.NEVER, "wrong_path")),
    **dict.fromkeys((520, 521, 522, 523, 525, 526, 527, 530), _CDN),
}

_CONSOLE = {
    401: _documented("console_token_invalid", "console_login_wrong", mark="M"),
    403: _documented("console_request_rejected", "operator_only", mark="M"),
    429: _documented("console_rate_limited", "login_rate_limited", mark="M"),
}
_CONSOLE_REFUSED = _documented("console_request_rejected", mark="M")
_CONSOLE_BROKEN = _documented("gateway_internal", mark="M")


def by_status(status: int, wait: Wait) -> Default:
    """Give what this status can mean when no code says more."""
    if status == 429:
        return _RATE.get(wait, _RATE[Wait.ABSENT])
    known = _DOCUMENTED.get(status) or _OUTSIDE.get(status)
    if known:
        return known
    if 400 <= status < 500:
        return _outside(Retry.NEVER)
    return _outside(Retry.BACKOFF if 500 <= status < 600 else None)


def by_console_status(status: int) -> Default:
    """Give what this status can mean in an answer of the console's API."""
    if status >= 500:
        return _CONSOLE_BROKEN
    return _CONSOLE.get(status, _CONSOLE_REFUSED)
