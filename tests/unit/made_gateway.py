"""A small gateway that tests can put into any situation, and shorthands to call it."""

from typing import Any

from runbook_lib.sandbox import prices, ticks
from runbook_lib.sandbox.answers import Answer
from runbook_lib.sandbox.channels import Channel, Group, PerMinute, Protocol
from runbook_lib.sandbox.console import Console
from runbook_lib.sandbox.door import Request
from runbook_lib.sandbox.keys import Account
from runbook_lib.sandbox.machine import Gateway
from runbook_lib.sandbox.models import Model
from runbook_lib.sandbox.prices import Tokens

NOW = ticks.parse("2026-11-18T04:00:24Z")
"""Noon and 24 seconds in the server's zone."""

MODELS = {
    "gpt-5.4": ("openai", {"input": "2.5", "output": "15", "cache_read": "0.25"}),
    "gpt-5.4-mini": ("openai", {"input": "0.75", "output": "4.5", "cache_read": "0.075"}),
    "text-embedding-3-small": ("openai", {}),
    "claude-sonnet-4-6": (
        "anthropic",
        {"input": "3", "output": "15", "cache_read": "0.3", "cache_write": "3.75"},
    ),
    "gemini-2.5-pro": ("gemini", {"input": "1.25", "output": "10", "cache_read": "0.125"}),
}
PATHS: dict[str, str] = {
    "openai": "/v1/chat/completions",
    "anthropic": "/v1/messages",
    "gemini": "/v1beta/models/gemini-2.5-pro:generateContent",
}
USUAL = {"openai": "gpt-5.4", "anthropic": "claude-sonnet-4-6", "gemini": "gemini-2.5-pro"}


class Box:
    """One gateway with an account, and a group `<protocol>` with two channels for each protocol."""

    def __init__(self, *, balance: str = "100", seed: str = "test") -> None:
        self.gateway = Gateway(seed)
        self.console = Console(self.gateway)
        for name, (protocol, price) in MODELS.items():
            self.gateway.models[name] = Model(
                name=name,
                protocol=protocol,  # type: ignore[arg-type]
                price=prices.price(price),
                answers_as=name,
                first_ms=200,
                token_ms=5,
            )
        self.account = Account(id=8, name="team", email="t***", balance=0)
        self.account.credit(NOW - ticks.DAY, "top_up", prices.units(balance))
        self.gateway.accounts["team"] = self.account
        for protocol in ("openai", "anthropic", "gemini"):
            self.group(protocol, protocol, channels=2)
            self.group(f"solo-{protocol}", protocol, channels=1)

    def group(self, name: str, protocol: Protocol, *, channels: int, **fields: Any) -> Group:
        """Add a group with so many channels, named `<group>-1` and on."""
        serves = {item: item for item, (owner, _) in MODELS.items() if owner == protocol}
        made = [
            Channel(id=number, name=f"{name}-{number}", protocol=protocol, answers=dict(serves))
            for number in range(1, channels + 1)
        ]
        self.gateway.channels.update({item.name: item for item in made})
        group = Group(
            id=len(self.gateway.groups) + 1,
            name=name,
            protocol=protocol,
            multiplier=prices.parts("1.5"),
            channels=made,
            **fields,
        )
        self.gateway.groups[name] = group
        return group

    def key(self, group: str | None = "openai", name: str = "prod-web", **fields: Any) -> str:
        """Add a key and give its secret."""
        key = self.console.create_key(NOW, name, account="team", group=group, **fields)
        return key.secret

    def call(self, secret: str | None, at: int = NOW, **fields: Any) -> Answer:
        """Send one request; the model and path are the usual ones of the key's group."""
        return self.gateway.handle(self.request(secret, **fields), at)

    def request(self, secret: str | None, **fields: Any) -> Request:
        """Build one request, as `call` sends it."""
        key = self.gateway.find_key(secret)
        protocol = key.group.protocol if key is not None and key.group else "openai"
        usual = {
            "path": PATHS[protocol],
            "model": USUAL[protocol],
            "tokens": Tokens(234, 57, 700, 300 if protocol == "anthropic" else 0),
        }
        return Request(secret=secret, **{**usual, **fields})

    def health(self, group: str, health: str, **fields: Any) -> None:
        """Turn every channel of a group."""
        for channel in self.gateway.groups[group].channels:
            channel.turn(health, **fields)

    def per_minute(self, limit: int) -> None:
        """Limit the requests per minute of the account."""
        self.account.per_minute = PerMinute(limit=limit)


def codes(answers: list[Answer]) -> list[tuple[int, str]]:
    """Status and code of each answer."""
    return [(answer.status, answer.code) for answer in answers]
