"""The sandbox over real sockets against captured answers: the same request, the same answer.

Each situation is caused in the state of the gateway; then the captured request itself is sent.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from gateway_kit import BODIES, Running, boxed
from made_gateway import NOW, Box

from runbook_lib.sandbox import prices, ticks
from runbook_lib.sandbox.bodies import respond
from runbook_lib.sandbox.prices import Tokens

pytestmark = pytest.mark.shared

DEAR = Tokens(0, 1000)
Act = Callable[[Box], None]


@dataclass(frozen=True, kw_only=True)
class Given:
    """How the sandbox is put into a situation: a key, an act, and calls before the one compared."""

    group: str | None = "openai"
    key: dict[str, Any] = field(default_factory=dict)
    act: Act | None = None
    before: int = 0
    speed: float = 1.0
    known: bool = True
    fault: str = ""
    first: str = ""


def sick(group: str, health: str, **fields: Any) -> Given:
    """A key of a group whose channels are in trouble."""
    return Given(group=group, act=lambda box: box.health(group, health), **fields)


def first(group: str, health: str) -> Given:
    """A key of a group whose first channel is in trouble; the second one takes over."""

    def act(box: Box) -> None:
        channels = box.gateway.groups[group].channels
        channels[0].turn(health)
        channels[1].priority = 2

    return Given(group=group, act=act)


def spent(group: str = "openai", **limits: Any) -> Given:
    """A key that has spent what its limits allow."""

    def act(box: Box) -> None:
        secret = box.gateway.keys["prod-web"].secret
        path = "/v1/messages" if group == "anthropic" else "/v1/chat/completions"
        respond(box.gateway, box.request(secret, path=path, tokens=DEAR), NOW)
        box.gateway.settle(NOW + ticks.HOUR)

    return Given(group=group, key=limits, act=act)


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


def slots(box: Box, count: int) -> None:
    """So many calls at once, and none under way."""
    box.account.concurrency = count


def emptied(box: Box) -> None:
    """A group that has lost its channels."""
    box.gateway.groups["solo-openai"].channels.clear()


def per_minute(box: Box) -> None:
    box.per_minute(1)


def group_minute(box: Box) -> None:
    box.per_minute(0)
    box.gateway.groups["anthropic"].per_minute.limit = 1


CLAUDE = Given(group="anthropic")
GOOGLE = Given(group="gemini")
OPENAI = Given()
NOBODY = Given(known=False)
FULL = Given(
    group="anthropic",
    key={"cap": "25", "windows": {"5h": "5", "1d": "10", "7d": "20"}, "expires_days": 90},
)

SITUATIONS: dict[str, Given] = {
    "success.messages": CLAUDE,
    "success.count_tokens": CLAUDE,
    "success.chat_on_claude_group": CLAUDE,
    "success.responses.stream": OPENAI,
    "models.openai": OPENAI,
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
    "model.unknown.mapped": OPENAI,
    "model.unknown.mapped.responses": OPENAI,
    "model.missing.messages": CLAUDE,
    "json.malformed.chat": OPENAI,
    "json.empty.chat": OPENAI,
    "path.unknown.api": NOBODY,
    "path.double_v1": CLAUDE,
    "embeddings.claude": CLAUDE,
    "console.notoken": NOBODY,
    "console.badtoken": NOBODY,
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
    "window.1d.chat": spent(windows={"1d": "0.01"}),
    "window.1d.chat.stream": spent(windows={"1d": "0.01"}),
    "window.7d.responses": spent(windows={"7d": "0.01"}),
    "usage.full": FULL,
    "balance.zero.messages": change(broke),
    "balance.zero.chat": change(broke, "openai"),
    "balance.zero.models": change(broke),
    "balance.zero.usage": change(broke),
    "balance.tiny.2": change(crossed),
    "upstream.400.chat": sick("solo-openai", "rejects"),
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
    "upstream.429-ra.messages.next_call": sick("solo-anthropic", "rate_limited", before=1),
    "upstream.502.messages": sick("solo-anthropic", "down"),
    "upstream.503.messages": sick("solo-anthropic", "unavailable", speed=2000.0),
    "upstream.503.chat": sick("solo-openai", "unavailable"),
    "upstream.504.chat": sick("solo-openai", "down"),
    "upstream.529.messages": sick("solo-anthropic", "overloaded"),
    "upstream.529.chat": sick("solo-openai", "overloaded"),
    "upstream.529.chat.next_call": sick("solo-openai", "overloaded", before=1),
    "upstream.html.messages": sick("solo-anthropic", "down"),
    "upstream.html.chat": sick("solo-openai", "down"),
    "upstream.close.chat": sick("solo-openai", "unreachable"),
    "failover.messages.first_account_500": first("anthropic", "down"),
    "failover.messages.first_account_401": first("anthropic", "unauthorized"),
    "failover.messages.first_account_404": first("anthropic", "model_gone"),
    "failover.messages.first_account_529": first("anthropic", "overloaded"),
    "failover.messages.first_account_400": first("anthropic", "rejects"),
    "failover.chat.first_account_404": first("openai", "model_gone"),
    "failover.chat.first_account_close": first("openai", "unreachable"),
    "failover.both_500.messages.stream": sick("anthropic", "down"),
    "failover.both_500.chat": sick("openai", "down"),
    "failover.both_500.responses": sick("openai", "down"),
    "stream.cut.messages": Given(group="anthropic", fault="stream_broken_after_first_byte"),
    "rpm.user.0": change(per_minute),
    "rpm.user.2": change(per_minute, before=1),
    "rpm.group.2": change(group_minute, before=1),
    "concurrency.queue.16": change(lambda box: slow_line(box, waiting=16)),
    "concurrency.queue.0": change(lambda box: slow_line(box, waiting=0), speed=2000.0),
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
    "gemini.upstream.429.next_call": sick("solo-gemini", "rate_limited", before=1),
    "gemini.upstream.500.next_call": GOOGLE,
    "gemini.via_chat": GOOGLE,
    "gemini.via_messages": GOOGLE,
    "group.empty.chat": change(emptied, "solo-openai"),
    "concurrency.busy.0": change(lambda box: slots(box, 2)),
    "concurrency.hold": change(lambda box: slots(box, 1)),
    "concurrency.queue.17": change(lambda box: slow_line(box, waiting=17)),
    "window.5h.models": spent("anthropic", windows={"5h": "0.01"}),
    "usage.days": Given(group="anthropic", before=1, first="/v1/messages"),
    "usage.full.after": replace(FULL, before=1, first="/v1/messages"),
    "rpm.user.1": change(lambda box: box.per_minute(2), before=1),
    "rpm.group.0": change(group_minute),
    "upstream.400.chat.next_call": OPENAI,
    "upstream.502.messages.next_call": CLAUDE,
    "failover.messages.first_account_503": replace(first("anthropic", "unavailable"), speed=2000.0),
}


@pytest.fixture(scope="session")
def captured(gateway: Path) -> dict[str, dict[str, Any]]:
    """The captured answers by name."""
    lines = (gateway / "answers.jsonl").read_text("utf-8").splitlines()
    return {item["name"]: item for item in map(json.loads, lines)}


def send(run: Running, asked: dict[str, Any], secret: str, fault: str) -> httpx.Response:
    """Send the captured request with a key of the sandbox."""
    headers = dict(asked.get("headers") or {})
    schemes = {
        "bearer": ("authorization", f"Bearer {secret}"),
        "x-api-key": ("x-api-key", secret),
        "goog": ("x-goog-api-key", secret),
    }
    if asked["auth"] is not None:
        name, value = schemes[asked["auth"]]
        headers[name] = value
    if fault:
        headers["x-sandbox-fault"] = fault
    body = asked.get("body")
    if body == "<33 MiB>":
        content: Any = b" " * (33 << 20)
    elif body is None or isinstance(body, str):
        content = (body or "").encode()
    else:
        content = json.dumps(body).encode()
    path = asked["path"].replace("sk-<64 hex>", secret)
    return run.client.request(asked["method"], path, headers=headers, content=content)


@pytest.mark.parametrize("name", SITUATIONS)
def test_the_captured_request_gets_the_captured_answer(
    name: str, captured: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    """Status, headers in order, and the body: to the byte for refusals, in shape for the rest."""
    given, real = SITUATIONS[name], captured[name]
    box = Box()
    secret = box.key(given.group, **given.key) if given.known else "sk-nobody"
    if given.act is not None:
        given.act(box)
    with boxed(box, tmp_path, speed=given.speed) as run:
        for _ in range(given.before):
            asked = real["request"]
            if given.first:
                asked = {
                    **asked,
                    "method": "POST",
                    "path": given.first,
                    "body": BODIES[given.first],
                }
            send(run, asked, secret, given.fault)
        made = send(run, real["request"], secret, given.fault)
    assert made.status_code == real["status"]
    assert lines(made.headers.multi_items()) == lines(real["headers"])
    content_type = made.headers["content-type"]
    if content_type == "text/event-stream":
        # The recorder's Gemini ended in every event; a real one says so in its last.
        last = -1 if name == "gemini.stream" else 0
        assert events(made.text)[last:] == events(real["body"])[last:]
    elif real["status"] == 200:
        assert shape(made.json()) == shape(whole(real["body"], made.json()))
    elif "request_id" not in real["body"]:
        assert made.text == real["body"]


@pytest.mark.parametrize(
    "name", ["rid.inbound_64.messages", "rid.inbound.error"], ids=["served", "refused"]
)
def test_the_callers_own_id_comes_back(
    name: str, captured: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    """Who sends an X-Request-ID must find it again, in answers of both kinds."""
    asked = captured[name]["request"]
    box = Box()
    secret = box.key("anthropic")
    with boxed(box, tmp_path) as run:
        made = send(run, asked, secret, "")
    assert made.headers["x-request-id"] == asked["headers"]["X-Request-ID"]


def lines(headers: list[Any]) -> list[tuple[str, str]]:
    """Header lines whose values are fixed, and only the names of the others."""
    changing = ("x-request-id", "x-client-request-id", "content-length", "retry-after")
    return [(name, "" if name in changing else value) for name, value in headers if name != "date"]


def whole(text: str, otherwise: Any) -> Any:
    """Read a captured body; some were cut when they were captured, and say nothing of shape."""
    try:
        return json.loads(text)
    except ValueError:
        return otherwise


def events(text: str) -> list[tuple[str, Any]]:
    """Names and shapes of the events, repeated ones once."""
    found: list[tuple[str, Any]] = []
    for block in text.strip().split("\n\n"):
        named = [line[7:] for line in block.splitlines() if line.startswith("event: ")]
        data = [line[6:] for line in block.splitlines() if line.startswith("data: ")]
        item = (named[0] if named else "", shape(json.loads(data[0])) if data else None)
        if item not in found:
            found.append(item)
    return found


def shape(value: Any) -> Any:
    """What a JSON value is made of: names and kinds, one item for a list."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in sorted(value.items())}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return "number" if isinstance(value, int | float) else type(value).__name__


def test_prices_of_the_situations_are_real() -> None:
    """A thousand tokens of answer are more than the caps above, or nothing would be spent."""
    rate = prices.price({"output": "15"})
    assert prices.cost(rate, DEAR, 10_000).billed > prices.units("0.01")
