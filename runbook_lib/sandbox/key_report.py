"""What a key is told about itself: its usage, its models, its rate (contract §2, §7, M).

`isValid` is true for exhausted, expired and unfunded keys alike, so it means nothing; `quota.used`
is up to five minutes old, the sums of usage are not.
"""

from typing import Any

from runbook_lib.sandbox import prices, ticks
from runbook_lib.sandbox.keys import Key, SpendWindow
from runbook_lib.sandbox.machine import Gateway, Row
from runbook_lib.sandbox.plans import Subscription

_LATELY = 5 * ticks.MINUTE
_DAYS_SHOWN = 30
_NAMES = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
_CREATED = (*_NAMES[:3], "cache_creation_tokens")
"""Names of the token counts: the days have other ones than the rest."""


def answer(surface: str, gateway: Gateway, key: Key, at: int) -> dict[str, Any]:
    """Build the body of an endpoint that tells of the key.

    Args:
        surface: Name of the endpoint: `usage`, `billing` or `models`.
        gateway: The gateway.
        key: The key that asks.
        at: Tick of the question.
    """
    if surface == "usage":
        return usage_answer(gateway, key, at)
    return _billing(key, at) if surface == "billing" else models_answer(gateway, key)


def gemini_answer(gateway: Gateway, key: Key, asked: str) -> dict[str, Any]:
    """Build the body of `GET /v1beta/models` as Google writes it, or of one of them.

    Args:
        gateway: The gateway.
        key: The key that asks.
        asked: Name of one model; empty for the list.
    """
    items = [_google(name) for name in _names(gateway, key)]
    return _google(asked) if asked else {"models": items}


def _google(name: str) -> dict[str, Any]:
    return {
        "name": f"models/{name}",
        "version": "001",
        "displayName": name.replace("-", " ").title(),
        "inputTokenLimit": 1_048_576,
        "outputTokenLimit": 65_536,
        "supportedGenerationMethods": ["generateContent", "countTokens"],
    }


def usage_answer(gateway: Gateway, key: Key, at: int) -> dict[str, Any]:
    """Build the body of `GET /v1/usage` for a key.

    Args:
        gateway: The gateway; what has ended by *at* is charged first.
        key: The key that asks.
        at: Tick of the question.
    """
    gateway.settle(at)
    limited = key.cap is not None or bool(key.windows) or key.expires_at is not None
    body: dict[str, Any] = {
        "daily_usage": _daily(key, at),
        "isValid": True,
        "mode": "quota_limited" if limited else "unrestricted",
        "usage": _sums(gateway, key, at),
    }
    if key.days:
        body["model_stats"] = _models(key)
    if limited:
        return body | _limits(key, at)
    if key.group is not None and key.subscription is not None:
        return body | _plan(key.group.name, key.subscription, at)
    balance = _usd(key.account.balance)
    plan = {"balance": balance, "planName": "钱包余额", "remaining": balance, "unit": "USD"}
    return body | plan


def _limits(key: Key, at: int) -> dict[str, Any]:
    found: dict[str, Any] = {"status": "active"}
    if key.expires_at is not None:
        found["expires_at"] = ticks.server_time(key.expires_at)
        found["days_until_expiry"] = max(0, (key.expires_at - at) // ticks.DAY)
    if key.cap is not None:
        used = key.reported_use(at)
        left = max(0, key.cap - used)
        found["quota"] = {
            "limit": _usd(key.cap),
            "remaining": _usd(left),
            "unit": "USD",
            "used": _usd(used),
        }
        found |= {"remaining": _usd(left), "unit": "USD"}
        if key.used >= key.cap:
            found["status"] = "quota_exhausted"
    if key.windows:
        found["rate_limits"] = [_window(window, at) for window in key.windows]
    return found


def _plan(name: str, held: Subscription, at: int) -> dict[str, Any]:
    """What is left of a subscription; like the door, it knows what was used a minute ago."""
    known = held.known(at)
    left = [held.plan.limits[window] - used for window, used in known.items()]
    told: dict[str, Any] = {"expires_at": ticks.server_time(held.expires_at)}
    for window in held.windows:
        told[f"{window.name}_limit_usd"] = _usd(held.plan.limits[window.name])
        told[f"{window.name}_usage_usd"] = _usd(known[window.name])
        if window.name == "weekly" and window.start is not None:
            told["weekly_window_start"] = ticks.server_time(window.start)
    remaining = _usd(max(0, min(left, default=0)))
    return {"planName": name, "remaining": remaining, "subscription": told, "unit": "USD"}


def _billing(key: Key, at: int) -> dict[str, Any]:
    parts = key.group.multiplier if key.group is not None else prices.MULTIPLIER_PARTS
    rate = parts / prices.MULTIPLIER_PARTS
    return {
        "object": "sub2api.key_billing",
        "schema_version": 1,
        "billing_scope": "token",
        "group_rate_multiplier": rate,
        "resolved_rate_multiplier": rate,
        "peak_rate_enabled": False,
        "effective_rate_multiplier": rate,
        "observed_at": ticks.utc_time(at).replace("+00:00", "Z"),
    }


def _window(window: SpendWindow, at: int) -> dict[str, Any]:
    window.roll(at)
    found: dict[str, Any] = {
        "limit": _usd(window.limit),
        "remaining": _usd(max(0, window.limit - window.used)),
        "used": _usd(window.used),
        "window": window.name,
        "window_start": None if window.start is None else ticks.server_time(window.start),
    }
    if window.reset_at is not None:
        found["reset_at"] = ticks.server_time(window.reset_at)
    return found


def _daily(key: Key, at: int) -> list[dict[str, Any]]:
    since = ticks.server_midnight(at) - (_DAYS_SHOWN - 1) * ticks.DAY
    days: dict[int, list[int]] = {}
    for (day, _), sums in key.days.items():
        if day >= since:
            days[day] = _added(days.get(day), sums)
    return [
        {"date": ticks.server_day(day), **_counted(days[day]), **_costs(days[day])}
        for day in sorted(days)
    ]


def _models(key: Key) -> list[dict[str, Any]]:
    models: dict[str, list[int]] = {}
    for (_, model), sums in key.days.items():
        models[model] = _added(models.get(model), sums)
    dearest = sorted(models, key=lambda name: -models[name][5])
    return [
        {
            "model": name,
            **_counted(models[name], _CREATED),
            **_costs(models[name]),
            "account_cost": _usd(models[name][5]),
        }
        for name in dearest
    ]


def _sums(gateway: Gateway, key: Key, at: int) -> dict[str, Any]:
    today_at = ticks.server_midnight(at)
    total, today = [0] * 8, [0] * 8
    for (day, _), sums in key.days.items():
        total = _added(total, sums)
        if day == today_at:
            today = _added(today, sums)
    lately = _latest(gateway, key, at)
    tokens = sum(sum(row.tokens) for row in lately)
    return {
        "average_duration_ms": total[7] / ticks.MILLI / total[0] if total[0] else 0,
        "rpm": len(lately) // 5,
        "tpm": tokens // 5,
        "today": {**_counted(today, _CREATED), **_costs(today)},
        "total": {**_counted(total, _CREATED), **_costs(total)},
    }


def _latest(gateway: Gateway, key: Key, at: int) -> list[Row]:
    found = []
    for row in reversed(gateway.rows):
        if row.end < at - _LATELY:
            break
        if row.key is key:
            found.append(row)
    return found


def _added(one: list[int] | None, other: list[int]) -> list[int]:
    return list(other) if one is None else [a + b for a, b in zip(one, other, strict=True)]


def _counted(sums: list[int], names: tuple[str, ...] = _NAMES) -> dict[str, int]:
    tokens = dict(zip(names, sums[1:5], strict=True))
    return {"requests": sums[0], **tokens, "total_tokens": sum(sums[1:5])}


def _costs(sums: list[int]) -> dict[str, Any]:
    return {"cost": _usd(sums[5]), "actual_cost": _usd(sums[6])}


def _usd(amount: int) -> Any:
    """A number that is written with all its digits and without a binary fraction's noise."""
    value = prices.usd(amount)
    return int(value) if value == value.to_integral_value() else float(value)


def models_answer(gateway: Gateway, key: Key) -> dict[str, Any]:
    """Build the body of `GET /v1/models`: what the key's group may call.

    The form is that of the group's protocol; a name that is mapped to a model is listed too. A
    group whose channels say nothing of models, or that has none, gets the built-in catalogue: so
    what is listed need not be served.
    """
    if key.group is None:
        return {"data": [], "object": "list"}
    items = [_listed(name, key.group.protocol) for name in _names(gateway, key)]
    return {"data": items, "object": "list"}


def _names(gateway: Gateway, key: Key) -> list[str]:
    group = key.group
    if group is None:
        return []
    names = {name for channel in group.channels for name in channel.answers} | set(group.aliases)
    if not names:
        names = {
            model.name for model in gateway.models.values() if model.protocol == group.protocol
        }
    return sorted(names)


def _listed(name: str, protocol: str) -> dict[str, Any]:
    title = name.replace("-", " ").title()
    if protocol == "anthropic":
        made = "2026-01-01T00:00:00Z"
        return {"id": name, "type": "model", "display_name": title, "created_at": made}
    return {
        "id": name,
        "object": "model",
        "created": 1767225600,
        "owned_by": "openai",
        "type": "model",
        "display_name": title,
    }
