"""Groups and the channels behind them: who serves a request, and what failing does to a channel.

Order of choice (contract §6, D M): channels that are not set aside and serve the model, then the
lowest priority, then the one used least recently, then chance. The gateway fails over before the
first byte only, never on a request the upstream rejects, and never to another model.
"""

from dataclasses import dataclass, field
from random import Random
from typing import Literal

from runbook_lib.sandbox import ticks
from runbook_lib.sandbox.plans import Plan

Protocol = Literal["openai", "anthropic", "gemini"]

NO_ANSWER = 0
"""Stands for the upstream's status where the connection itself failed."""

FAULTS: dict[str, int] = {
    "rejects": 400,
    "unauthorized": 401,
    "unfunded": 402,
    "forbidden": 403,
    "model_gone": 404,
    "too_large": 413,
    "rate_limited": 429,
    "down": 500,
    "unavailable": 503,
    "overloaded": 529,
    "unreachable": NO_ANSWER,
}
"""What each kind of failing channel answers, whole answers and streams alike."""

STREAM_TROUBLES = ("cuts", "errs", "hangs", "mutes")
"""Kinds that hit streams only: the connection ends, an error comes as an event, nothing comes for a
minute before the connection ends, the connection ends before the first event."""

_FINAL: dict[Protocol, frozenset[int]] = {
    "openai": frozenset({400, 413}),
    "anthropic": frozenset({400}),
    "gemini": frozenset({400, 404}),
}

SWITCHES: dict[Protocol, int] = {"openai": 10, "anthropic": 10, "gemini": 3}
"""Failovers at most for one request (contract §6, M)."""

ASIDE: dict[int, int] = {
    429: 5 * ticks.SECOND,
    529: 10 * ticks.MINUTE,
    404: 30 * ticks.MINUTE,
    401: ticks.FOREVER,
    402: ticks.FOREVER,
    403: ticks.FOREVER,
}
"""How long one failure of a kind sets a channel aside; FOREVER is until it is repaired (M)."""

ASIDE_5XX = 10 * ticks.SECOND
"""Set aside after a repeated 5xx, OpenAI groups only; a second time lasts twice as long (M)."""

PATIENCE: dict[tuple[Protocol, int], int] = {
    ("anthropic", 503): 20 * ticks.SECOND,
    ("gemini", 503): 64 * ticks.SECOND,
}
"""How long the gateway itself tries again before it gives up (contract §6, M)."""


def is_final(status: int, protocol: Protocol) -> bool:
    """Tell whether an upstream's answer is passed on instead of trying another channel (M)."""
    return status in _FINAL[protocol]


@dataclass(slots=True, kw_only=True)
class PerMinute:
    """Requests counted by the minute of the clock; refused ones count too. 0 is no limit."""

    limit: int = 0
    minute: int = -1
    count: int = 0

    def wait(self, at: int) -> int:
        """Count a request; give the seconds to wait when it is one too many, else 0."""
        minute, into = divmod(at, ticks.MINUTE)
        if minute != self.minute:
            self.minute, self.count = minute, 0
        self.count += 1
        if self.count <= self.limit:
            return 0
        return max(1, 60 - into // ticks.SECOND)


@dataclass(slots=True, kw_only=True)
class Channel:
    """One upstream connection.

    Attributes:
        answers: Model asked of the upstream → name it answers with; empty serves every model.
        health: `ok`, `slow`, or a kind of `FAULTS` or `STREAM_TROUBLES`.
        share: Share of the requests that the trouble hits, 0–1.
        factor: Times the usual time it takes while `slow`.
        flaky: Share of requests that it answers 500 even on an ordinary day.
        responses: It speaks the Responses API, so that chat completions are translated.
        set_aside_until: Tick from which it is chosen again.
        failures: Failures in a row.
    """

    id: int
    name: str
    protocol: Protocol
    priority: int = 1
    answers: dict[str, str] = field(default_factory=dict)
    health: str = "ok"
    share: float = 1.0
    factor: float = 1.0
    flaky: float = 0.0
    responses: bool = False
    set_aside_until: int = 0
    last_used: int = 0
    failures: int = 0

    def serves(self, model: str) -> bool:
        """Tell whether it serves a model."""
        return not self.answers or model in self.answers

    def turn(self, health: str, *, share: float = 1.0, factor: float = 1.0) -> None:
        """Change how the upstream does; a channel that waits for repair is chosen again at once.

        Raises:
            KeyError: there is no such kind of health.
        """
        if health == "ok" and self.flaky:
            health, share = "down", self.flaky
        if health not in FAULTS and health not in ("ok", "slow", *STREAM_TROUBLES):
            raise KeyError(health)
        self.health, self.share, self.factor = health, share, factor
        if self.set_aside_until == ticks.FOREVER:
            self.set_aside_until = 0

    def hit(self, chance: Random) -> bool:
        """Tell whether this request meets the channel's trouble."""
        return self.health != "ok" and (self.share >= 1 or chance.random() < self.share)

    def failed(self, status: int, at: int) -> None:
        """Set the channel aside as its failure asks for."""
        self.failures += 1
        span = ASIDE.get(status, 0)
        if not span and self.protocol == "openai" and self.failures > 1:
            span = ASIDE_5XX * min(self.failures - 1, 2)
        self.set_aside_until = ticks.FOREVER if span == ticks.FOREVER else at + span

    def worked(self) -> None:
        """Forget the failures in a row."""
        self.failures = 0


@dataclass(slots=True, kw_only=True)
class Group:
    """What a key belongs to: a protocol, a rate, channels, and names mapped to models.

    Attributes:
        multiplier: In parts, see `prices`.
        aliases: Model asked → model that is asked of the channel and priced.
        plan: Its limits where it is paid by subscription; None where the balance pays.
    """

    id: int
    name: str
    protocol: Protocol
    multiplier: int
    channels: list[Channel]
    aliases: dict[str, str] = field(default_factory=dict)
    per_minute: PerMinute = field(default_factory=PerMinute)
    enabled: bool = True
    plan: Plan | None = None

    def serves(self, model: str) -> bool:
        """Tell whether a channel is configured for a model, set aside or not."""
        return any(channel.serves(model) for channel in self.channels)

    def choose(self, model: str, at: int, tried: list[Channel], chance: Random) -> Channel | None:
        """Choose the channel for one try, None when none is left now."""
        best: list[Channel] = []
        for channel in self.channels:
            if channel.set_aside_until > at or channel in tried or not channel.serves(model):
                continue
            rank = (channel.priority, channel.last_used)
            first = (best[0].priority, best[0].last_used) if best else rank
            if rank < first:
                best = [channel]
            elif rank == first:
                best.append(channel)
        if len(best) > 1:
            return chance.choice(best)
        return best[0] if best else None
