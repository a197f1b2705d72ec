"""How the sandbox is put into the situation of every captured answer, and which ones it cannot be.

Each situation is caused in the state of the gateway; then the captured request itself is sent.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from made_gateway import NOW, Box

from runbook_lib.sandbox import prices, ticks
from runbook_lib.sandbox.bodies import respond
from runbook_lib.sandbox.keys import Account
from runbook_lib.sandbox.plans import Plan, Subscription
from runbook_lib.sandbox.prices import Tokens

DEAR = Tokens(0, 1000)
Act = Callable[[Box], None]


@dataclass(frozen=True, kw_only=True)
class Given:
    """How the sandbox is put into a situation.

    Attributes:
        key: Fields of the key; `known` False sends none that it knows.
        act: What happens once the key is there.
        before: Requests before the one compared, the same ones or those to `first`.
        then: What happens after them.
        path, body: In place of the captured ones, where these name ids or secrets of the recorder.
    """

    group: str | None = "openai"
    key: dict[str, Any] = field(default_factory=dict)
    act: Act | None = None
    before: int = 0
    then: Act | None = None
    speed: float = 1.0
    known: bool = True
    fault: str = ""
    first: str = ""
    path: str = ""
    body: dict[str, Any] | None = None


def sick(group: str, health: str, **fields: Any) -> Given:
    """A key of a group whose channels are in trouble."""
    return Given(group=group, act=lambda box: box.health(group, health), **fields)


def back(group: str, health: str, **fields: Any) -> Given:
    """The same, and well again before the request that is compared."""
    return sick(group, health, before=1, then=lambda box: box.health(group, "ok"), **fields)


def first(group: str, health: str) -> Given:
    """A key of a group whose first channel is in trouble; the second one takes over."""

    def act(box: Box) -> None:
        channels = box.gateway.groups[group].channels
        channels[0].turn(health)
        channels[1].priority = 2

    return Given(group=group, act=act)


def translating(health: str, **fields: Any) -> Given:
    """A group whose only channel speaks the Responses API."""

    def act(box: Box) -> None:
        box.gateway.channels["solo-openai-1"].responses = True
        box.health("solo-openai", health)

    return Given(group="solo-openai", act=act, **fields)


def spent(group: str = "openai", **limits: Any) -> Given:
    """A key that has spent what its limits allow."""
    return Given(group=group, key=limits, act=spend)


def spend(box: Box) -> None:
    """One dear request, charged."""
    key = box.gateway.keys["prod-web"]
    claude = key.group is not None and key.group.protocol == "anthropic"
    path = "/v1/messages" if claude else "/v1/chat/completions"
    respond(box.gateway, box.request(key.secret, path=path, tokens=DEAR), NOW)
    box.gateway.settle(NOW + ticks.HOUR)


def change(act: Act, group: str = "anthropic", **fields: Any) -> Given:
    """A key, and an act after it was made."""
    return Given(group=group, act=act, **fields)


def off(box: Box) -> None:
    box.console.set_disabled(NOW, "prod-web", disabled=True)


def old(box: Box) -> None:
    box.console.set_expiry(NOW, "prod-web", NOW - 1)


def broke(box: Box) -> None:
    box.account.credit(NOW, "refund", -box.account.balance)


def crossed(box: Box) -> None:
    """The balance crosses zero while the door still remembers it."""
    box.account.funds_at_door(NOW)
    box.account.balance = 0


def inactive(box: Box) -> None:
    box.account.active = False


def closed(box: Box) -> None:
    box.gateway.groups["anthropic"].enabled = False


def slow_line(box: Box, *, waiting: int) -> None:
    """One slot, taken for an hour, and so many requests that wait for it already."""
    box.account.concurrency = 1
    box.account.occupy(NOW + ticks.HOUR)
    box.account.waiting = [NOW + ticks.HOUR] * waiting


def slots(box: Box, count: int, *, taken_s: int = 0) -> None:
    """So many calls at once, all of them under way for some seconds."""
    box.account.concurrency = count
    for _ in range(count if taken_s else 0):
        box.account.occupy(NOW + taken_s * ticks.SECOND)


def emptied(box: Box) -> None:
    """A group that has lost its channels."""
    box.gateway.groups["solo-openai"].channels.clear()


def unlisted(box: Box) -> None:
    """A channel that takes every model."""
    box.gateway.channels["solo-openai-1"].answers.clear()


def per_minute(box: Box) -> None:
    box.per_minute(1)


def group_minute(box: Box, limit: int = 1) -> None:
    box.per_minute(0)
    box.gateway.groups["anthropic"].per_minute.limit = limit


def subscribed(box: Box) -> None:
    """A group that is paid by subscription, its day used up a moment ago."""
    limits = {"daily": "0.01", "weekly": "0.05", "monthly": "0.1"}
    plan = Plan(limits={name: prices.units(amount) for name, amount in limits.items()})
    group = box.gateway.groups["anthropic"]
    group.plan = plan
    held = Subscription(id=1, plan=plan, starts_at=NOW, expires_at=NOW + 20 * ticks.DAY)
    box.account.subscriptions[group.id] = held
    held.known(NOW)
    spend(box)


def neighbour(box: Box) -> None:
    """Another account with a key: its number is 51."""
    box.gateway.accounts["other"] = Account(id=9, name="other", email="o***", balance=0)
    box.console.create_key(NOW, "other-web", account="other", group="openai")


CLAUDE = Given(group="anthropic")
GOOGLE = Given(group="gemini")
OPENAI = Given()
NOBODY = Given(known=False)
FULL = Given(
    group="anthropic",
    key={"cap": "25", "windows": {"5h": "5", "1d": "10", "7d": "20"}, "expires_days": 90},
)
USED = Given(before=1, first="/v1/chat/completions")
TODAY = "start_date=2026-11-18&end_date=2026-11-18"
LIST = "/api/v1/usage"

GATEWAY: dict[str, Given] = {
    "success.messages": CLAUDE,
    "success.count_tokens": CLAUDE,
    "success.chat_on_claude_group": CLAUDE,
    "success.responses.stream": OPENAI,
    "models.openai": OPENAI,
    "models.empty": change(emptied, "solo-openai"),
    "auth.none.chat": NOBODY,
    "auth.none.messages": NOBODY,
    "auth.wrong.chat": NOBODY,
    "auth.query.key": NOBODY,
    "auth.query.api_key": OPENAI,
    "auth.gemini.none": NOBODY,
    "auth.gemini.wrong": NOBODY,
    "auth.gemini.query_key_allowed": NOBODY,
    "ip.whitelist.spoof_xff": Given(group="anthropic", key={"networks": ["203.0.113.0/24"]}),
    "ip.whitelist.usage": Given(group="anthropic", key={"networks": ["203.0.113.0/24"]}),
    "group.none": Given(group=None),
    "group.empty.chat": change(emptied, "solo-openai"),
    "model.unknown.mapped": OPENAI,
    "model.unknown.mapped.responses": OPENAI,
    "model.missing.messages": CLAUDE,
    "json.malformed.chat": OPENAI,
    "json.empty.chat": OPENAI,
    "path.unknown.api": NOBODY,
    "path.double_v1": CLAUDE,
    "embeddings.claude": CLAUDE,
    "key.disabled.chat": change(off),
    "key.disabled.usage": change(off),
    "key.expired.messages": change(old),
    "key.expired.models": change(old),
    "key.expired.gemini": change(old, "gemini"),
    "key.quota.models": spent(cap="0.01"),
    "key.quota.usage": spent("anthropic", cap="0.01"),
    "key.quota.responses": spent(cap="0.01"),
    "key.quota.chat_openai": spent(cap="0.01"),
    "window.5h.usage": spent("anthropic", windows={"5h": "0.01"}),
    "window.5h.models": spent("anthropic", windows={"5h": "0.01"}),
    "window.1d.chat": spent(windows={"1d": "0.01"}),
    "window.1d.chat.stream": spent(windows={"1d": "0.01"}),
    "window.7d.responses": spent(windows={"7d": "0.01"}),
    "usage.full": FULL,
    "usage.full.after": replace(FULL, before=1, first="/v1/messages"),
    "usage.days": Given(group="anthropic", before=1, first="/v1/messages"),
    "billing.rate": CLAUDE,
    "balance.zero.messages": change(broke),
    "balance.zero.chat": change(broke, "openai"),
    "balance.zero.models": change(broke),
    "balance.zero.usage": change(broke),
    "balance.tiny.2": change(crossed),
    "subscription.daily_limit.messages": change(subscribed),
    "subscription.daily_limit.usage": change(subscribed),
    "upstream.400.chat": sick("solo-openai", "rejects"),
    "upstream.400.chat.next_call": back("solo-openai", "rejects"),
    "upstream.401.messages": sick("solo-anthropic", "unauthorized"),
    "upstream.401.messages.next_call": sick("solo-anthropic", "unauthorized", before=1),
    "upstream.401.chat": sick("solo-openai", "unauthorized"),
    "upstream.402.messages": sick("solo-anthropic", "unfunded"),
    "upstream.402.chat": sick("solo-openai", "unfunded"),
    "upstream.402.chat.next_call": sick("solo-openai", "unfunded", before=1),
    "upstream.403.messages": sick("solo-anthropic", "forbidden"),
    "upstream.403.chat": sick("solo-openai", "forbidden"),
    "upstream.403.chat.next_call": sick("solo-openai", "forbidden", before=1),
    "upstream.404.messages": sick("solo-anthropic", "model_gone"),
    "upstream.404.chat": sick("solo-openai", "model_gone"),
    "upstream.413.messages": sick("solo-anthropic", "too_large"),
    "upstream.413.chat": sick("solo-openai", "too_large"),
    "upstream.429-ra.messages.next_call": back("solo-anthropic", "rate_limited"),
    "upstream.500.chat.next_call": back("solo-openai", "down"),
    "upstream.502.messages": sick("solo-anthropic", "down"),
    "upstream.502.messages.next_call": back("solo-anthropic", "down"),
    "upstream.503.messages": sick("solo-anthropic", "unavailable", speed=2000.0),
    "upstream.503.messages.next_call": back("solo-anthropic", "unavailable", speed=2000.0),
    "upstream.503.chat": sick("solo-openai", "unavailable"),
    "upstream.503.chat.next_call": back("solo-openai", "unavailable"),
    "upstream.504.messages.next_call": back("solo-anthropic", "down"),
    "upstream.504.chat": sick("solo-openai", "down"),
    "upstream.504.chat.next_call": back("solo-openai", "down"),
    "upstream.529.messages": sick("solo-anthropic", "overloaded"),
    "upstream.529.chat": sick("solo-openai", "overloaded"),
    "upstream.529.chat.next_call": back("solo-openai", "overloaded"),
    "upstream.html.messages": sick("solo-anthropic", "down"),
    "upstream.html.chat": sick("solo-openai", "down"),
    "upstream.close.chat": sick("solo-openai", "unreachable"),
    "failover.messages.first_account_500": first("anthropic", "down"),
    "failover.messages.first_account_401": first("anthropic", "unauthorized"),
    "failover.messages.first_account_404": first("anthropic", "model_gone"),
    "failover.messages.first_account_529": first("anthropic", "overloaded"),
    "failover.messages.first_account_400": first("anthropic", "rejects"),
    "failover.messages.first_account_503": replace(first("anthropic", "unavailable"), speed=2000.0),
    "failover.chat.first_account_404": first("openai", "model_gone"),
    "failover.chat.first_account_close": first("openai", "unreachable"),
    "failover.both_500.messages.stream": sick("anthropic", "down"),
    "failover.both_500.chat": sick("openai", "down"),
    "failover.both_500.responses": sick("openai", "down"),
    "stream.cut0.messages": sick("anthropic", "mutes", speed=2000.0),
    "stream.cut0.responses": sick("openai", "mutes"),
    "stream.cut.messages": Given(group="anthropic", fault="stream_broken_after_first_byte"),
    "stream.cut.chat_via_responses": translating("cuts"),
    "stream.sseerr.chat_via_responses": translating("errs"),
    "stream.hang60_then_cut.chat_via_responses": translating("hangs", speed=2000.0),
    "stream.hang60_then_cut.responses": sick("openai", "hangs", speed=2000.0),
    "rpm.user.0": change(per_minute),
    "rpm.user.1": change(lambda box: box.per_minute(2), before=1),
    "rpm.user.2": change(per_minute, before=1),
    "rpm.group.0": change(group_minute),
    "rpm.group.1": change(lambda box: group_minute(box, 2), before=1),
    "rpm.group.2": change(group_minute, before=1),
    "concurrency.queue.16": change(lambda box: slow_line(box, waiting=16)),
    "concurrency.queue.17": change(lambda box: slow_line(box, waiting=17)),
    "concurrency.queue.0": change(lambda box: slow_line(box, waiting=0), speed=2000.0),
    "concurrency.busy.0": change(lambda box: slots(box, 2)),
    "concurrency.busy.3": change(lambda box: slots(box, 2, taken_s=19), speed=2000.0),
    "concurrency.busy.4": change(lambda box: slots(box, 2, taken_s=6), speed=2000.0),
    "concurrency.hold": change(lambda box: slots(box, 1)),
    "user.inactive": change(inactive),
    "group.disabled": change(closed),
    "rid.inbound_64.messages": CLAUDE,
    "rid.inbound_client.messages": CLAUDE,
    "rid.inbound_session.messages": CLAUDE,
    "rid.inbound_session.chat": OPENAI,
    "rid.inbound.error": NOBODY,
    "body.too_large": OPENAI,
    "gemini.success": GOOGLE,
    "gemini.success.bearer": GOOGLE,
    "gemini.success.query_key": GOOGLE,
    "gemini.stream": GOOGLE,
    "gemini.count": GOOGLE,
    "gemini.models": GOOGLE,
    "gemini.upstream.404": sick("gemini", "model_gone"),
    "gemini.upstream.429.next_call": back("solo-gemini", "rate_limited"),
    "gemini.upstream.500.next_call": back("solo-gemini", "down"),
    "gemini.via_chat": GOOGLE,
    "gemini.via_messages": GOOGLE,
}
"""Name of the answer → its situation."""

CONSOLE: dict[str, Given] = {
    "console.notoken": NOBODY,
    "console.badtoken": NOBODY,
    "public.settings": NOBODY,
    "console.login.ok": Given(body={"email": "team@example.com", "password": "(right)"}),
    "console.login.rate_limited": Given(before=20),
    "console.me": OPENAI,
    "console.profile": OPENAI,
    "keys.expire": Given(path="/api/v1/keys/50"),
    "console.keys.get_missing": OPENAI,
    "console.key.create.custom_short": OPENAI,
    "console.key.create.no_name": OPENAI,
    "console.key.create.bad_group": OPENAI,
    "console.key.create.dup_name": Given(body={"name": "prod-web", "group_id": 2}),
    "console.groups.available": OPENAI,
    "console.groups.rates": OPENAI,
    "console.channels": OPENAI,
    "console.platform_quotas": OPENAI,
    "console.sub.progress": change(subscribed),
    "console.key_daily": replace(USED, path="/api/v1/user/api-keys/50/usage/daily?days=2"),
    "console.errors.get": change(
        group_minute, before=2, first="/v1/messages", path=f"{LIST}/errors/1"
    ),
    "console.usage.page_size_1000": USED,
    "console.usage.page_size_5000": USED,
    "console.usage.filter_key": replace(USED, path=f"{LIST}?api_key_id=50&page_size=1"),
    "console.usage.filter_other_key": Given(act=neighbour, path=f"{LIST}?api_key_id=51"),
    "console.usage.filter_model": Given(
        group="solo-openai", act=unlisted, before=1, first="/v1/chat/completions gpt-9-nope"
    ),
    "console.usage.filter_bad_date": OPENAI,
    "console.usage.filter_dates": replace(USED, path=f"{LIST}?{TODAY}&page_size=1"),
    "console.usage.rate_limited": Given(before=60),
    "console.usage.stats": replace(USED, path=f"{LIST}/stats?{TODAY}"),
    "console.dashboard.trend_hour": replace(
        USED, path=f"{LIST}/dashboard/trend?granularity=hour&{TODAY}"
    ),
    "console.dashboard.models": replace(USED, path=f"{LIST}/dashboard/models?{TODAY}"),
    "console.dashboard.snapshot": replace(USED, path=f"{LIST}/dashboard/snapshot-v2?{TODAY}"),
}
"""The same for the console's API; a token of the sandbox's own login is sent."""

OUT: dict[str, str] = {
    "tz_utc.usage.one": "captured on a server whose zone is UTC; ours is in Asia/Shanghai",
    "tz_utc.v1usage.full": "captured on a server whose zone is UTC; ours is in Asia/Shanghai",
}
"""Captured answers whose situation the sandbox cannot be put into, and why."""
