"""A small fleet of services that call the gateway: their rhythm, their clients, their log.

Everything is an event of one queue in the order of time: acts of people first, then the plan of the
next ten minutes, then attempts. So every refusal, retry and cooldown meets the others as it would
in life.
"""

import heapq
import math
from bisect import bisect
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import accumulate
from random import Random

from runbook_lib.sandbox import ticks
from runbook_lib.sandbox.client import (
    Call,
    log_line,
    may_send_again,
    observe,
    wait_before_retry,
)
from runbook_lib.sandbox.door import Request
from runbook_lib.sandbox.machine import Gateway
from runbook_lib.sandbox.prices import Tokens
from runbook_lib.sandbox.surfaces import surface_of

SLOT = 10 * ticks.MINUTE
"""Span that is planned at once; the load of a service changes between two of them."""

RHYTHMS: dict[str, tuple[int, ...]] = {
    "office": (0, 0, 0, 0, 0, 1, 4, 9, 12, 12, 11, 8, 10, 11, 10, 8, 4, 1, 0, 0, 0, 0, 0, 0),
    "day": (1, 1, 1, 1, 2, 3, 5, 7, 8, 8, 8, 7, 7, 8, 8, 7, 6, 6, 6, 6, 5, 4, 3, 2),
    "night": (0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
    "even": (1,) * 24,
}
"""Weights of the hours of a day, UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fallback:
    """Where a service sends a call that its own model did not answer."""

    key: str
    path: str
    model: str
    agent: str


@dataclass(slots=True, kw_only=True)
class Service:
    """One service: how much it calls, with what, from where.

    Attributes:
        per_day: Calls on a working day, on average.
        weekend: Share of them on a Saturday or Sunday.
        models: Model → weight.
        stream: Share of the calls that stream.
        cached: Share of the calls that read a cache.
        timeout_s: Seconds its client waits; official SDKs wait ten minutes.
        quits: Share of its streams that its user closes early.
        load: Times its usual load.
        old_key, old_share: Key that part of it still sends, and which part.
        doubles: Share of its calls that it sends twice within a second.
    """

    name: str
    environment: str
    key: str
    path: str
    models: dict[str, int]
    per_day: float
    weekend: float
    rhythm: str
    agent: str
    ip: str
    input: tuple[int, int]
    output: tuple[int, int]
    stream: float = 0.0
    cached: float = 0.0
    timeout_s: float = 600.0
    retries: int = 2
    quits: float = 0.012
    fallback: Fallback | None = None
    load: float = 1.0
    old_key: str = ""
    old_share: float = 0.0
    doubles: float = 0.0
    logged: bool = True
    _hours: tuple[float, ...] = field(init=False)
    _names: tuple[str, ...] = field(init=False)
    _chances: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        weights = RHYTHMS[self.rhythm]
        self._hours = tuple(weight / sum(weights) for weight in weights)
        self._names = tuple(self.models)
        self._chances = tuple(accumulate(self.models.values()))

    def expected(self, at: int) -> float:
        """Calls to expect in the slot that begins at a tick."""
        day, into = divmod(at, ticks.DAY)
        share = self.weekend if (day + 3) % 7 >= 5 else 1.0
        return (
            self.per_day * share * self._hours[into // ticks.HOUR] * self.load * SLOT / ticks.HOUR
        )

    def model(self, chance: Random) -> str:
        """Draw a model by its weight, as `Random.choices` does."""
        names, chances = self._names, self._chances
        if len(names) == 1:
            return names[0]
        return names[bisect(chances, chance.random() * chances[-1], 0, len(names) - 1)]


Event = Callable[[int], None]


class Fleet:
    """The services and their queue of events.

    Attributes:
        log: Lines of the call log, by the start of the attempt.
        log_from: Tick before which no line is kept, as logs are rotated away.
    """

    def __init__(self, gateway: Gateway, services: list[Service], seed: str, log_from: int) -> None:
        self.gateway = gateway
        self.services = {item.name: item for item in services}
        self.log: list[str] = []
        self.log_from = log_from
        self._chance = Random(seed)  # noqa: S311 (a simulation, no secret)
        self._queue: list[tuple[int, int, int, Event]] = []
        self._count = 0

    def at(self, at: int, event: Event, *, rank: int = 0) -> None:
        """Put an event into the queue; at one tick, a lower rank comes first."""
        self._count += 1
        heapq.heappush(self._queue, (at, rank, self._count, event))

    def run(self, start: int, end: int) -> None:
        """Let the time from *start* to *end* pass; attempts under way at the end are charged."""
        self.at(start, lambda now: self._plan(now, end), rank=1)
        queue = self._queue
        while queue and queue[0][0] < end:
            at, _, _, event = heapq.heappop(queue)
            event(at)
        self.gateway.settle(end)

    def _plan(self, at: int, end: int) -> None:
        for service in self.services.values():
            for _ in range(self._poisson(service.expected(at))):
                start = at + int(self._chance.random() * SLOT)
                self.send(service, start)
        if at + SLOT < end:
            self.at(at + SLOT, lambda now: self._plan(now, end), rank=1)

    def _poisson(self, mean: float) -> int:
        if not mean:
            return 0
        if mean > 30:
            return max(0, round(self._chance.gauss(mean, math.sqrt(mean))))
        left, count = math.exp(-mean), -1
        product = 1.0
        while product > left:
            product *= self._chance.random()
            count += 1
        return max(count, 0)

    def send(self, service: Service, at: int, **changes: object) -> Call:
        """Plan one call of a service.

        Args:
            service: Who calls.
            at: Tick of its first attempt.
            changes: Fields of the call that are not drawn by chance.

        Returns:
            The call, before it is made.
        """
        call = self._draw(service)
        for name, value in changes.items():
            setattr(call, name, value)
        self.at(at, lambda now: self._attempt(call, now), rank=2)
        if service.doubles and self._chance.random() < service.doubles and not changes:
            self.repeat(call, at + int(self._chance.uniform(0.3, 1.1) * ticks.SECOND))
        return call

    def repeat(self, call: Call, at: int, request_id: str | None = None) -> None:
        """Plan the same request once more, as a call of its own."""
        twin = replace(call, id=self._call_id(call.service), request_id=request_id)
        self.at(at, lambda now: self._attempt(twin, now), rank=2)

    def _draw(self, service: Service) -> Call:
        chance = self._chance
        model = service.model(chance)
        name = service.key
        if service.old_share and chance.random() < service.old_share:
            name = service.old_key
        surface = surface_of(service.path)
        stream = chance.random() < service.stream
        return Call(
            id=self._call_id(service.name),
            service=service.name,
            environment=service.environment,
            key_name=name,
            secret=self.gateway.keys[name].secret,
            path=service.path,
            provider=surface.protocol if surface else "openai",
            operation=surface.operation if surface else "chat",
            model=model,
            stream=stream,
            tokens=self._tokens(service),
            ip=service.ip,
            agent=service.agent,
            retries=service.retries,
            patience=int(service.timeout_s * ticks.SECOND),
            quits=stream and chance.random() < service.quits,
            logged=service.logged,
            fallback=service.fallback,
        )

    def _call_id(self, service: str) -> str:
        return f"{service[:3]}-{self._chance.getrandbits(56):014x}"

    def _tokens(self, service: Service) -> Tokens:
        chance = self._chance
        fresh, output = self._between(service.input), self._between(service.output)
        read = write = 0
        if service.cached and chance.random() < service.cached:
            # Anthropic's cache is written before it is read; the others' is filled by itself.
            first = service.path == "/v1/messages" and chance.random() < 0.4
            amount = int(fresh * chance.uniform(0.6, 1.5))
            read, write = (0, amount) if first else (amount, 0)
        return Tokens(fresh, output, read, write)

    def _between(self, span: tuple[int, int]) -> int:
        low, high = span
        return int(low * (high / low) ** self._chance.random()) if low else high

    # Attempts -----------------------------------------------------------------------------------

    def _attempt(self, call: Call, at: int) -> None:
        answer = self.gateway.handle(
            Request(
                call.path,
                call.secret,
                call.model,
                call.ip,
                call.tokens,
                call.stream,
                call.request_id,
                call.agent,
                "",
                call.pace,
            ),
            at,
        )
        seen = observe(call, answer, self._chance)
        if call.logged and at >= self.log_from:
            self.log.append(log_line(call, at, answer, seen))
        if not may_send_again(seen):
            return
        end = at + seen.after
        if call.resend < call.retries:
            wait = wait_before_retry(call.resend, answer, self._chance)
            call.attempt += 1
            call.resend += 1
            self.at(end + wait, lambda now: self._attempt(call, now), rank=2)
        elif call.fallback is not None:
            self._fall_back(call, end)

    def _fall_back(self, call: Call, at: int) -> None:
        other = call.fallback
        call.key_name, call.secret = other.key, self.gateway.keys[other.key].secret
        call.path, call.model, call.agent = other.path, other.model, other.agent
        call.provider, call.fallback = "openai", None
        call.attempt, call.resend = call.attempt + 1, 0
        call.request_id = call.fallback_request_id
        start = at + int(self._chance.uniform(0.03, 0.12) * ticks.SECOND)
        self.at(start, lambda now: self._attempt(call, now), rank=2)
