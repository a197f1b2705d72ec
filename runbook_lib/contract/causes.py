"""The names of causes: one word, one meaning, one side that must act, one rule for sending again.

A cause with no domain can lie on more than one side. Marks: D documented, D! documented with a
contradiction, M measured on a gateway of the same family, F read in its source, ? known nowhere.
Source: contract §3.3; meanings and fixes from §3.2 and §4.
"""

from functools import partial

from runbook_lib.contract.words import Cause, Domain, Retry, cause

_caller = partial(cause, domain=Domain.CALLER, where="code of the service", who="service owner")
_config = partial(cause, domain=Domain.CALLER, where="settings of the service", who="service owner")
_key = partial(cause, domain=Domain.KEY, where="/keys", who="key owner")
_account = partial(cause, domain=Domain.ACCOUNT, where="account page", who="account owner")
_upstream = partial(
    cause,
    domain=Domain.UPSTREAM,
    retry=Retry.BACKOFF,
    where="status page of the provider",
    who="on-call engineer",
)
_support = partial(cause, domain=Domain.GATEWAY, where="support", who="gateway operator")
_console = partial(cause, domain=Domain.CALLER, where="console", who="who calls the console")

_ALL = (
    # From the answer alone.
    _caller(
        "request_malformed",
        "The body, a parameter or the model name is not what the endpoint takes.",
        "Fix the request.",
        mark="D M",
    ),
    _caller(
        "request_rejected",
        "The gateway refused the content of the request.",
        "Change the request.",
        mark="D M",
    ),
    _caller(
        "request_rejected_by_upstream",
        "The provider refused the request; the gateway does not fail over on it.",
        "Change the request to what the provider of this model takes.",
    ),
    _caller(
        "request_too_large",
        "The body is larger than the gateway or the provider takes.",
        "Send less in one request.",
    ),
    _config(
        "key_not_sent",
        "No key came with the request, or not in a header the gateway reads.",
        "Send the key in its header.",
        mark="D M",
    ),
    _config(
        "key_in_query",
        "The key was in the URL, where logs can see it.",
        "Send the key in its header, and rotate it if the URL was logged.",
        mark="D M",
    ),
    _config(
        "wrong_path",
        "The path is none of the gateway's.",
        "Correct the base URL or the path.",
        mark="D M",
    ),
    _config(
        "wrong_base_path",
        "A web page came instead of an API answer: the base URL leads to the console.",
        "Put /v1 (Gemini: /v1beta) at the end of the base URL, and count a web page as a failure.",
    ),
    _config(
        "wrong_protocol_for_key",
        "The key's group does not speak the protocol that was used.",
        "Use the SDK of the group's protocol, or a key of another group.",
    ),
    _caller(
        "endpoint_not_offered",
        "The key's group does not offer this endpoint.",
        "Use another endpoint, or a key of another group.",
    ),
    _caller(
        "model_not_served_by_group",
        "No channel of the key's group serves this model.",
        "Ask for a model the group serves.",
        mark="D M",
    ),
    _config(
        "ip_blocked_after_bad_keys",
        "Too many calls with a bad key came from this address; it blocks good keys there too.",
        "Find the service that uses the bad key; the block ends after 60 s without it.",
        retry=Retry.AFTER,
    ),
    _key(
        "key_unknown_or_deleted",
        "The gateway does not know this key: never made, mistyped, revoked or deleted.",
        "Check the key, or make a new one and give it to the service.",
        mark="D M",
    ),
    _key(
        "key_disabled",
        "The key is switched off.",
        "Switch the key on, or rotate it.",
        mark="D M",
    ),
    _key(
        "key_expired",
        "The key is past its expiry; the console can still call it active.",
        "Extend the expiry, or rotate the key.",
        mark="D! M",
    ),
    _key(
        "key_cap_reached",
        "The key has spent its cap.",
        "Raise the cap or rotate the key, and stop retrying on this code.",
        mark="D! M",
    ),
    _key(
        "key_window_used_up",
        "The key has used up its 5-hour, 1-day or 7-day window.",
        "Wait until the window rolls over, or raise its limit.",
        retry=Retry.WINDOW,
    ),
    _key("key_without_group", "The key belongs to no group.", "Give the key a group."),
    _key(
        "ip_not_allowed",
        "The address the gateway saw is not allowed for this key.",
        "Add the address to the key's allowlist, or call from an allowed one.",
        mark="D! M",
    ),
    _key(
        "model_not_allowed",
        "The model is not on the key's whitelist.",
        "Add the model to the key's whitelist, or ask for another.",
        mark="D",
    ),
    _account(
        "balance_used_up",
        "The prepaid balance is used up.",
        "Top up the account.",
        where="billing page",
        mark="D! M",
    ),
    _account(
        "no_active_subscription",
        "The account has no subscription for this group, or it is expired or paused.",
        "Renew the subscription.",
        where="billing page",
        mark="D M",
    ),
    _account(
        "subscription_window_used_up",
        "The daily, weekly or monthly window of the subscription is used up.",
        "Wait until the window rolls over, or change the plan.",
        retry=Retry.WINDOW,
        where="billing page",
        mark="D M",
    ),
    _account(
        "platform_quota_used_up",
        "The user's quota for this platform is used up.",
        "Wait until it rolls over, or have it raised.",
        retry=Retry.WINDOW,
        mark="F",
    ),
    _account(
        "user_inactive",
        "The owner of the key is missing, suspended or not verified.",
        "Verify the account, or ask support.",
        mark="D M",
    ),
    _account(
        "group_not_allowed",
        "The account may not use the key's group.",
        "Move the key to a group the account may use.",
        where="/keys",
    ),
    _account(
        "user_rpm",
        "The user sent more requests in a minute than allowed.",
        "Wait as Retry-After says and slow down, or have the limit raised.",
        retry=Retry.AFTER,
    ),
    _account(
        "group_rpm",
        "The group got more requests in a minute than allowed; others in it count too.",
        "Wait as Retry-After says and slow down, or have the limit of the group raised.",
        domain=None,
        retry=Retry.AFTER,
    ),
    _account(
        "user_concurrency_limit",
        "The user has as many requests running as allowed.",
        "Lower the parallelism, or have the limit raised.",
        retry=Retry.BACKOFF,
    ),
    _account(
        "user_waiting_queue_full",
        "Too many requests of the user already wait for a free place.",
        "Lower the parallelism, or have the limit raised.",
        retry=Retry.BACKOFF,
    ),
    _upstream(
        "upstream_failed",
        "Every channel that was tried failed at the provider.",
        "Wait or use the fallback model; report the request id if it lasts.",
        mark="D M",
    ),
    _upstream(
        "upstream_overloaded",
        "The provider says it is overloaded.",
        "Wait or use the fallback model.",
    ),
    _upstream(
        "upstream_rate_limited",
        "The provider limits the gateway's channels.",
        "Back off with jitter; report it if it lasts.",
    ),
    _upstream(
        "upstream_timeout",
        "The provider did not answer in time; the work may have been done and billed.",
        "Ask for less in one request, and retry at most once.",
        mark="D",
    ),
    _upstream(
        "model_not_found_upstream",
        "The provider does not know the model the gateway mapped the request to.",
        "Ask for another model, or have the operator correct the mapping.",
        domain=None,
        retry=Retry.NEVER,
    ),
    _upstream(
        "stream_broken_after_first_byte",
        "The stream ended without its end marker, or with an error, after it had begun.",
        "Count the answer as incomplete; do not re-send it by itself, input can be billed.",
        retry=None,
    ),
    _support(
        "gateway_internal",
        "The gateway itself is in trouble.",
        "Wait, and report the request id if it lasts.",
        retry=Retry.BACKOFF,
        mark="D F",
    ),
    _support(
        "group_disabled",
        "The operator switched off or deleted the key's group.",
        "Move the key to another group.",
        where="/keys",
        who="key owner",
    ),
    _support(
        "no_channel_available",
        "No channel can take the request now; gateway, operator or upstream may be behind it.",
        "Wait or use the fallback model; ask for a second channel in the group if it repeats.",
        domain=None,
        retry=Retry.BACKOFF,
        mark="D M",
    ),
    _console(
        "console_token_missing",
        "The console's API was called without a session token.",
        "Log in and send the session token; an API key does not work there.",
    ),
    _console(
        "console_token_invalid",
        "The session token of the console is wrong or too old.",
        "Log in again.",
    ),
    _console("console_login_wrong", "E-mail or password is wrong.", "Correct the login."),
    _console(
        "console_rate_limited",
        "One address, key or session asks too often.",
        "Slow down and wait as Retry-After says.",
        retry=Retry.AFTER,
        mark="D M",
    ),
    _console(
        "console_request_rejected",
        "The console refused the request.",
        "Correct the request to the console.",
    ),
    _console(
        "login_rate_limited",
        "Too many logins were tried from one address.",
        "Wait as Retry-After says, then correct the login.",
        retry=Retry.AFTER,
    ),
    _console(
        "operator_only",
        "Only an operator of the gateway may do this.",
        "Ask the operator.",
        domain=None,
        who="gateway operator",
    ),
    _caller("success", "Nothing failed.", "Nothing to do.", domain=None, retry=None),
    _caller(
        "unknown",
        "What is known does not tell the cause.",
        "Keep the request id and have a person look before it is sent again.",
        domain=None,
        retry=None,
        mark="?",
    ),
    # Only with more evidence.
    _upstream(
        "upstream_outage",
        "Calls to one provider fail across keys for a while.",
        "Wait or use the fallback model; report request ids and the window if it lasts.",
        from_answer=False,
    ),
    _upstream(
        "channel_cooldown",
        "The gateway set one channel aside after a failure, and the group has no other.",
        "Back off; ask for a second channel in the group.",
        from_answer=False,
    ),
    _key(
        "old_key_after_rotation",
        "A service still uses a key that was replaced and deleted.",
        "Give the service the new key and restart it.",
        where="settings of the service",
        who="service owner",
        from_answer=False,
    ),
    _config(
        "client_timeout",
        "The client gave up before the gateway answered; the work can be billed.",
        "Raise the client's timeout above the slow tail (the gateway can take 64 s).",
        from_answer=False,
    ),
    _caller(
        "client_abandoned_stream",
        "The client closed the stream early; the whole answer is billed.",
        "Nothing failed; count the full cost.",
        from_answer=False,
    ),
    _caller(
        "duplicate_send",
        "The same request was sent twice, and both are billed.",
        "Send once: debounce, or use one call id.",
        from_answer=False,
    ),
    _upstream(
        "client_fallback",
        "The service moved to its other model while the first failed.",
        "Nothing to repair; check that it moved back and what it cost.",
        retry=Retry.NEVER,
        from_answer=False,
    ),
    _support(
        "model_alias",
        "Another model than the one asked answered, by configuration.",
        "Nothing failed; ask the operator if it is not wanted.",
        from_answer=False,
    ),
    _caller(
        "runaway_loop",
        "A service sends many like requests in a loop.",
        "Stop the loop, and set a cap on the key.",
        from_answer=False,
    ),
    _key(
        "unlogged_use",
        "Billed rows that no known service logged: a leak until explained.",
        "Rotate the key now, then look for the leak.",
        from_answer=False,
    ),
)

CAUSES: dict[str, Cause] = {each.name: each for each in _ALL}
"""Every cause by its name."""

MOST_CANDIDATES = 4
"""Causes an answer is given at most."""


def shared_domain(names: tuple[str, ...]) -> Domain | None:
    """Give the domain that all these causes have, else None."""
    domains = {CAUSES[name].domain for name in names}
    return domains.pop() if len(domains) == 1 else None


def shared_retry(names: tuple[str, ...]) -> Retry | None:
    """Give the retry rule that all these causes have, else None."""
    rules = {CAUSES[name].retry for name in names}
    return rules.pop() if len(rules) == 1 else None
