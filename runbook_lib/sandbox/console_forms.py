"""Forms of the console's API: a user, a group, a key, a usage row, sums (contract §7, M).

As on the real one a usage row carries the full key: who reads the list must strip it.
"""

import json
from collections.abc import Callable, Iterable
from typing import Any

from runbook_lib.sandbox import exports, prices, ticks
from runbook_lib.sandbox.channels import Group
from runbook_lib.sandbox.keys import SPANS, Account, Key
from runbook_lib.sandbox.machine import Refusal, Row
from runbook_lib.sandbox.plans import SPANS as PLAN_SPANS
from runbook_lib.sandbox.plans import PlanWindow, Subscription

Form = dict[str, Any]

_IMAGES: Form = {
    "image_count": 0,
    "image_size": None,
    "image_input_size": None,
    "image_output_size": None,
    "image_input_tokens": 0,
    "image_input_cost": 0,
    "image_output_tokens": 0,
    "image_output_cost": 0,
    "image_size_source": None,
    "image_size_breakdown": None,
}
TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_creation_tokens")


def usd(amount: int) -> int | float:
    """A number of USD without the noise of binary fractions."""
    value = prices.usd(amount)
    return int(value) if value == value.to_integral_value() else float(value)


def _time(at: int | None) -> str | None:
    return None if at is None else ticks.server_time(at)


def email(account: Account) -> str:
    """The address an account logs in with."""
    return f"{account.name}@example.com"


def user(account: Account, at: int) -> Form:
    """Write the owner of an account."""
    return {
        "id": account.id,
        "email": email(account),
        "username": account.name,
        "role": "user",
        "balance": usd(account.balance),
        "frozen_balance": 0,
        "concurrency": account.concurrency,
        "status": "active" if account.active else "disabled",
        "allowed_groups": None,
        "last_active_at": _time(at),
        "created_at": _time(account.since),
        "updated_at": _time(at),
        "balance_notify_enabled": True,
        "balance_notify_threshold_type": "fixed",
        "balance_notify_threshold": None,
        "balance_notify_extra_emails": None,
        "total_recharged": usd(sum(row[2] for row in account.ledger if row[1] == "top_up")),
        "rpm_limit": account.per_minute.limit,
    }


def group(held: Group, since: int) -> Form:
    """Write a group; what it would charge for pictures, sound and search is left out."""
    limits = held.plan.limits if held.plan is not None else {}
    return {
        "id": held.id,
        "name": held.name,
        "description": "",
        "platform": held.protocol,
        "rate_multiplier": held.multiplier / prices.MULTIPLIER_PARTS,
        "is_exclusive": False,
        "status": "active" if held.enabled else "inactive",
        "subscription_type": "standard" if held.plan is None else "subscription",
        **{f"{name}_limit_usd": _limit(limits.get(name)) for name in PLAN_SPANS},
        "rpm_limit": held.per_minute.limit,
        "created_at": _time(since),
        "updated_at": _time(since),
    }


def _limit(amount: int | None) -> int | float | None:
    return None if amount is None else usd(amount)


def key(held: Key) -> Form:
    """Write a key, with its secret."""
    windows = {window.name: window for window in held.windows}
    limits: Form = {f"rate_limit_{name}": 0 for name in SPANS}
    used: Form = {f"usage_{name}": 0 for name in SPANS}
    starts: Form = {f"window_{name}_start": None for name in SPANS}
    for name, window in windows.items():
        limits[f"rate_limit_{name}"], used[f"usage_{name}"] = usd(window.limit), usd(window.used)
        starts[f"window_{name}_start"] = _time(window.start)
    return {
        "id": held.id,
        "user_id": held.account.id,
        "key": held.secret,
        "name": held.name,
        "group_id": held.group.id if held.group else None,
        "status": "inactive" if held.disabled else "active",
        "ip_whitelist": [str(network) for network in held.networks] or None,
        "ip_blacklist": None,
        "last_used_at": _time(held.last_used_at),
        "last_used_ip": held.last_used_ip or None,
        "quota": usd(held.cap or 0),
        "quota_used": usd(held.used if held.cap is not None else 0),
        "expires_at": _time(held.expires_at),
        "created_at": _time(held.created_at),
        "updated_at": _time(held.changed_at or held.created_at),
        "current_concurrency": 0,
        **limits,
        **used,
        **starts,
    }


def full_key(held: Key, at: int) -> Form:
    """Write a key with its owner and its group."""
    whole = {**key(held), "user": user(held.account, at)}
    return whole | ({"group": group(held.group, held.account.since)} if held.group else {})


def usage_row(number: int, row: Row, at: int) -> Form:
    """Write one row of the list: that of the export, with owner, full key and group."""
    found: Form = json.loads(exports.list_item(number, row))
    return found | {
        **_IMAGES,
        "user": user(row.key.account, at),
        "api_key": key(row.key),
        "group": group(row.group, row.key.account.since),
    }


def refusal(number: int, item: Refusal, body: str) -> Form:
    """Write one failed request with the body that its caller was sent."""
    return {**json.loads(exports.refusal_item(number, item)), "error_body": body}


def summed(rows: Iterable[Row], place: Callable[[Row], str]) -> dict[str, Form]:
    """Add rows up by a place: requests, tokens, costs."""
    sums: dict[str, list[int]] = {}
    for row in rows:
        held = sums.setdefault(place(row), [0] * 7)
        tokens = row.tokens
        counts = (tokens.input, tokens.output, tokens.cache_read, tokens.cache_write)
        for at, value in enumerate((1, *counts, row.cost.original, row.cost.billed)):
            held[at] += value
    return {
        name: {
            "requests": held[0],
            **dict(zip(TOKENS, held[1:5], strict=True)),
            "total_tokens": sum(held[1:5]),
            "cost": usd(held[5]),
            "actual_cost": usd(held[6]),
        }
        for name, held in sums.items()
    }


def subscription(held: Subscription, owner: Account, bought: Group, at: int) -> Form:
    """Write a subscription and how far its windows are used."""
    known = held.known(at)
    windows = {window.name: window for window in held.windows}
    used = {f"{name}_usage_usd": usd(known.get(name, 0)) for name in PLAN_SPANS}
    starts = {
        f"{name}_window_start": _time(windows[name].start if name in windows else None)
        for name in PLAN_SPANS
    }
    told = {
        "id": held.id,
        "user_id": owner.id,
        "group_id": bought.id,
        "starts_at": _time(held.starts_at),
        "expires_at": _time(held.expires_at),
        "status": "suspended" if held.paused else "active",
        **starts,
        **used,
        "created_at": _time(held.starts_at),
        "updated_at": _time(at),
        "group": group(bought, owner.since),
    }
    progress = {
        "id": held.id,
        "group_name": bought.name,
        "expires_at": _time(held.expires_at),
        "expires_in_days": max(0, -(-(held.expires_at - at) // ticks.DAY)),
    }
    for window in held.windows:
        limit, spent = held.plan.limits[window.name], known[window.name]
        progress[window.name] = _progress(window, limit, spent, at)
    return {"subscription": told, "progress": progress}


def _progress(window: PlanWindow, limit: int, spent: int, at: int) -> Form:
    end = None if window.start is None else window.start + PLAN_SPANS[window.name]
    return {
        "limit_usd": usd(limit),
        "used_usd": usd(spent),
        "remaining_usd": usd(max(0, limit - spent)),
        "percentage": min(100, round(100 * spent / limit, 2)) if limit else 100,
        "window_start": _time(window.start),
        "resets_at": _time(end),
        "resets_in_seconds": 0 if end is None else (end - at) // ticks.SECOND,
    }
