"""Answers against captured ones: same status, headers in order, shape, and body where it is fixed.

Every situation below is caused in the machine by its state; the captured answer of the same name
comes from a running gateway of the family.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_gateway import NOW, PATHS, Box

from runbook_lib.sandbox import ticks
from runbook_lib.sandbox.bodies import Written, respond
from runbook_lib.sandbox.prices import Tokens

pytestmark = pytest.mark.shared

DEAR = Tokens(0, 1000)
Made = Callable[[Box], Written]


def ask(box: Box, secret: str | None, at: int = NOW, **fields: Any) -> Written:
    """Send one request and write its answer."""
    return respond(box.gateway, box.request(secret, **fields), at)


def plain(group: str, **fields: Any) -> Made:
    """An ordinary request with a key of this group."""
    return lambda box: ask(box, box.key(group), **fields)


def sick(group: str, health: str, *, calls: int = 1, **fields: Any) -> Made:
    """The last of some calls while the channels of a group are in trouble."""

    def made(box: Box) -> Written:
        box.health(group, health)
        secret = box.key(group)
        return [ask(box, secret, NOW + n * ticks.SECOND, **fields) for n in range(calls)][-1]

    return made


def spent(group: str = "openai", path: str | None = None, **limits: Any) -> Made:
    """A key that has spent what its limits allow."""

    def made(box: Box) -> Written:
        secret = box.key(group, **limits)
        ask(box, secret, tokens=DEAR)
        fields = {} if path is None else {"path": path}
        return ask(box, secret, NOW + ticks.HOUR, **fields)

    return made


def disabled(box: Box, **fields: Any) -> Written:
    """A key that is switched off."""
    secret = box.key("anthropic")
    box.console.set_disabled(NOW, "prod-web", disabled=True)
    return ask(box, secret, **fields)


def expired(group: str, **fields: Any) -> Made:
    """A key past its expiry."""

    def made(box: Box) -> Written:
        secret = box.key(group)
        box.console.set_expiry(NOW, "prod-web", NOW - 1)
        return ask(box, secret, **fields)

    return made


def poor(group: str, **fields: Any) -> Made:
    """An account without money, for long."""

    def made(box: Box) -> Written:
        box.account.credit(NOW, "refund", -box.account.balance)
        return ask(box, box.key(group), **fields)

    return made


def just_poor(box: Box) -> Written:
    """An account that has crossed zero a moment ago."""
    box.account.credit(NOW, "refund", 10**7 - box.account.balance)
    secret = box.key("anthropic")
    ask(box, secret)
    return ask(box, secret, NOW + 30 * ticks.SECOND)


def busy(box: Box, *, waiting: int) -> Written:
    """More calls at once than the account has slots."""
    box.account.concurrency = 1
    secret = box.key("anthropic")
    ask(box, secret, pace=200.0)
    return [ask(box, secret, NOW + 1 + n) for n in range(waiting)][-1]


def rpm(box: Box, *, group: bool) -> Written:
    """One request too many in a minute."""
    box.per_minute(0 if group else 1)
    box.gateway.groups["anthropic"].per_minute.limit = 1 if group else 0
    secret = box.key("anthropic")
    ask(box, secret)
    return ask(box, secret)


def inactive(box: Box) -> Written:
    """A key of a suspended owner."""
    box.account.active = False
    return ask(box, box.key("anthropic"))


def group_off(box: Box) -> Written:
    """A key of a group that its operator has switched off."""
    box.gateway.groups["anthropic"].enabled = False
    return ask(box, box.key("anthropic"))


def empty_group(box: Box) -> Written:
    """A key of a group without channels."""
    box.group("empty", "openai", channels=0)
    return ask(box, box.key("empty"))


CHAT, MESSAGES, GEMINI = PATHS["openai"], PATHS["anthropic"], PATHS["gemini"]

SITUATIONS: dict[str, Made] = {
    "auth.none.chat": lambda box: ask(box, None),
    "auth.none.messages": lambda box: ask(box, None, path=MESSAGES),
    "auth.wrong.chat": lambda box: ask(box, "sk-nobody"),
    "auth.query.key": lambda box: ask(box, None, flaw="key_in_query"),
    "auth.gemini.none": lambda box: ask(box, None, path=GEMINI),
    "auth.gemini.wrong": lambda box: ask(box, "sk-nobody", path=GEMINI),
    "ip.whitelist.usage": lambda box: ask(
        box, box.key(networks=["203.0.113.0/24"]), path="/v1/usage"
    ),
    "group.none": lambda box: ask(box, box.key(None), path=MESSAGES),
    "group.empty.chat": empty_group,
    "group.disabled": group_off,
    "model.unknown.mapped": plain("openai", model="gpt-9-nope"),
    "model.unknown.mapped.responses": plain("openai", model="gpt-9-nope", path="/v1/responses"),
    "model.missing.messages": plain("anthropic", model=""),
    "json.malformed.chat": plain("openai", flaw="broken"),
    "json.empty.chat": plain("openai", flaw="empty"),
    "body.too_large": plain("openai", flaw="too_large", path="/v1/embeddings"),
    "path.unknown.api": lambda box: ask(box, None, path="/api/v1/nope"),
    "path.double_v1": plain("anthropic", path="/v1/v1/messages"),
    "embeddings.claude": plain("anthropic", path="/v1/embeddings"),
    "key.disabled.chat": disabled,
    "key.disabled.usage": lambda box: disabled(box, path="/v1/usage"),
    "key.expired.messages": expired("anthropic"),
    "key.expired.models": expired("anthropic", path="/v1/models"),
    "key.expired.gemini": expired("gemini"),
    "key.quota.models": spent(cap="0.01", path="/v1/models"),
    "key.quota.responses": spent(cap="0.01", path="/v1/responses"),
    "key.quota.chat_openai": spent(cap="0.01"),
    "key.quota.usage": spent("anthropic", cap="0.01", path="/v1/usage"),
    "window.1d.chat": spent(windows={"1d": "0.01"}),
    "window.7d.responses": spent(windows={"7d": "0.01"}, path="/v1/responses"),
    "window.5h.usage": spent("anthropic", windows={"5h": "0.01"}, path="/v1/usage"),
    "usage.full": lambda box: ask(
        box,
        box.key(
            "anthropic", cap="25", windows={"5h": "5", "1d": "10", "7d": "20"}, expires_days=90
        ),
        path="/v1/usage",
    ),
    "balance.zero.messages": poor("anthropic"),
    "balance.zero.chat": poor("openai"),
    "balance.zero.models": poor("anthropic", path="/v1/models"),
    "balance.zero.usage": poor("anthropic", path="/v1/usage"),
    "balance.tiny.2": just_poor,
    "upstream.400.chat": sick("solo-openai", "rejects"),
    "upstream.401.messages": sick("solo-anthropic", "unauthorized"),
    "upstream.401.messages.next_call": sick("solo-anthropic", "unauthorized", calls=2),
    "upstream.401.chat": sick("solo-openai", "unauthorized"),
    "upstream.402.messages": sick("solo-anthropic", "unfunded"),
    "upstream.402.chat": sick("solo-openai", "unfunded"),
    "upstream.402.chat.next_call": sick("solo-openai", "unfunded", calls=2),
    "upstream.403.messages": sick("solo-anthropic", "forbidden"),
    "upstream.403.chat": sick("solo-openai", "forbidden"),
    "upstream.403.chat.next_call": sick("solo-openai", "forbidden", calls=2),
    "upstream.404.messages": sick("solo-anthropic", "model_gone"),
    "upstream.404.chat": sick("solo-openai", "model_gone"),
    "upstream.413.messages": sick("solo-anthropic", "too_large"),
    "upstream.413.chat": sick("solo-openai", "too_large"),
    "upstream.429-ra.messages.next_call": sick("solo-anthropic", "rate_limited", calls=2),
    "upstream.503.messages": sick("solo-anthropic", "unavailable"),
    "upstream.503.chat": sick("solo-openai", "unavailable"),
    "upstream.529.messages": sick("solo-anthropic", "overloaded"),
    "upstream.529.chat": sick("solo-openai", "overloaded"),
    "upstream.529.chat.next_call": sick("solo-openai", "overloaded", calls=2),
    "upstream.close.chat": sick("solo-openai", "unreachable"),
    "failover.both_500.chat": sick("openai", "down"),
    "failover.both_500.responses": sick("openai", "down", path="/v1/responses"),
    "failover.both_500.messages.stream": sick("anthropic", "down", stream=True),
    "gemini.upstream.404": sick("gemini", "model_gone"),
    "gemini.upstream.429.next_call": sick("solo-gemini", "rate_limited", calls=2),
    "rpm.user.2": lambda box: rpm(box, group=False),
    "rpm.group.2": lambda box: rpm(box, group=True),
    "concurrency.queue.16": lambda box: busy(box, waiting=18),
    "concurrency.queue.0": lambda box: busy(box, waiting=1),
    "user.inactive": inactive,
    "success.messages": plain("anthropic"),
    "success.chat_on_claude_group": plain("anthropic", path=CHAT),
    "success.count_tokens": plain("anthropic", path="/v1/messages/count_tokens"),
    "gemini.success": plain("gemini"),
    "gemini.count": plain("gemini", path=GEMINI.replace("generateContent", "countTokens")),
    "gemini.models": plain("gemini", path="/v1beta/models"),
    "models.openai": plain("openai", path="/v1/models"),
}


@pytest.fixture(scope="session")
def captured(gateway: Path) -> dict[str, dict[str, Any]]:
    """The captured answers by name."""
    lines = (gateway / "answers.jsonl").read_text("utf-8").splitlines()
    return {item["name"]: item for item in map(json.loads, lines)}


@pytest.mark.parametrize("name", SITUATIONS)
def test_the_answer_is_the_captured_one(name: str, captured: dict[str, dict[str, Any]]) -> None:
    """A client must not be able to tell the sandbox from the gateway it stands for."""
    real = captured[name]
    made = SITUATIONS[name](Box())
    assert made.body is not None
    assert made.status == real["status"]
    assert lines(made.headers) == lines([(key, value) for key, value in real["headers"]])
    if real["status"] == 200:
        assert shape(json.loads(made.body)) == shape(json.loads(real["body"]))
    elif "request_id" not in real["body"]:
        assert made.body.decode() == real["body"]


@pytest.mark.parametrize("name", SITUATIONS)
def test_the_symbol_is_the_one_a_reader_extracts(
    name: str, captured: dict[str, dict[str, Any]]
) -> None:
    """The log of the simulated clients holds what a real client would have read."""
    made = SITUATIONS[name](Box())
    assert made.answer.code == (captured[name]["expect"]["code"] or "")


def lines(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Header lines whose values are fixed, and only the names of the others."""
    changing = ("x-request-id", "x-client-request-id", "content-length", "transfer-encoding")
    return [(name, "" if name in changing else value) for name, value in headers]


def shape(value: Any) -> Any:
    """What a JSON value is made of: names and kinds, one item for a list."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return "number" if isinstance(value, int | float) else type(value).__name__
