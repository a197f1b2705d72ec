"""A gateway that is running: the one state machine, a clock, the planted faults, and a log.

Nothing of the gateway is modelled here; this holds together what a server needs beside it.
"""

import json
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

from runbook_lib.sandbox import bodies, streams, ticks, world
from runbook_lib.sandbox.console import Console
from runbook_lib.sandbox.console_api import Desk
from runbook_lib.sandbox.door import Request
from runbook_lib.sandbox.faults import Fault, Planted
from runbook_lib.sandbox.pace import Clock
from runbook_lib.sandbox.replies import SPOILS, UNHEARD, Reply
from runbook_lib.sandbox.wanted import Wish

MOST_LINES = 200_000
"""Attempts that the log keeps; the oldest go first."""

PACE = 0.1
"""Models answer ten times as fast as those of the sample, so that trying costs no patience."""

_WORDS = [
    "the",
    "cap",
    "holds",
    "until",
    "someone",
    "raises",
    "it",
    "and",
    "every",
    "call",
    "after",
    "that",
    "is",
    "refused",
    "with",
    "one",
    "answer",
    "while",
    "the",
    "balance",
    "stays",
    "where",
    "it",
    "was",
    "and",
    "the",
    "log",
    "says",
    "which",
    "key",
    "asked",
    "for",
    "what",
    "and",
    "when",
]


@dataclass(slots=True)
class Seen:
    """One attempt as the server saw it: a line of `GET /sandbox/log`.

    Attributes:
        at: When its request had come; seconds of the machine's own clock (`time.monotonic`), as
            the two below, so that another process of this machine can be compared.
        first: When the first byte of a streamed body left; None for none.
        ended: When the answer had left, or the caller; None while it is under way.
        reply: What was to be sent; None where nothing was, or where it came by no lane.
        fault: The fault it met; None for none, and likewise.
        call: Number of the call that its body names, see `lanes.CALL`; 0 for none.
        kept: Whether its reply is kept.
    """

    line: dict[str, Any]
    at: float = 0.0
    first: float | None = None
    ended: float | None = None
    reply: Reply | None = None
    fault: Fault | None = None
    call: int = 0
    kept: bool = False

    def keep(self, reply: Reply) -> None:
        """Keep a reply where somebody asked for it: the log holds many attempts, and no bodies."""
        if self.kept:
            self.reply = reply

    def text(self) -> str:
        """Write it as JSON."""
        return json.dumps(self.line, ensure_ascii=False, separators=(",", ":"))


@dataclass(slots=True, kw_only=True)
class Live:
    """Everything a running sandbox holds.

    Attributes:
        tables: What it was built from, in the form of `world.toml`.
        start: Tick at which it began.
        pace: Times the usual time of a model; 0 answers at once.
        desk: The console's API.
        left: Files that were left in its folder, by their place in it.
    """

    seed: int
    console: Console
    tables: world.Tables
    clock: Clock
    start: int
    pace: float
    chance: Random
    faults: Planted
    log: deque[Seen] = field(default_factory=lambda: deque(maxlen=MOST_LINES))
    own_chance: dict[str, Random] = field(default_factory=dict)
    """Name of a key → chance of its own: its answers are the same whatever others ask."""

    desk: Desk = field(init=False)
    left: set[Path] = field(default_factory=set)
    _number: Iterator[int] = field(default_factory=lambda: count(1))
    _names: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.desk = Desk(self.console, self.seed)

    def note(self, **fields: Any) -> Seen:
        """Begin the log line of an attempt."""
        at = self.clock.now()
        line = {"number": next(self._number), "time": ticks.utc_time(at), **fields}
        seen = Seen(line, at=time.monotonic())
        self.log.append(seen)
        return seen

    def key_name(self, secret: str | None) -> str:
        """Name the key of a secret; a deleted one keeps its name, an unknown one has none."""
        if not secret:
            return ""
        held = self.console.gateway.keys.values()
        if secret not in self._names and len(self._names) < len(held):
            self._names = {key.secret: key.name for key in held}
        return self._names.get(secret, "")

    def chance_of(self, secret: str | None) -> Random:
        """Give the chance that decides what a caller is answered."""
        return self.own_chance.get(self.key_name(secret), self.chance)

    def ask(self, request: Request, fault: Fault | None, wish: Wish) -> Reply:
        """Let the gateway judge a request, and write its reply.

        Args:
            request: The request.
            fault: The planted fault that it meets; None for none.
            wish: What the request wants of the model.
        """
        at = self.clock.now()
        if fault is not None and fault.answer is not None:
            return self._answered(fault, at)
        if fault is not None and fault.socket in UNHEARD:
            return Reply(status=0, headers=[], pieces=[], first=at, end=at)
        if fault is not None and fault.path:
            request = request._replace(path=fault.path)
        forced = fault.forced if fault is not None else None
        gateway = self.console.gateway
        words = self._words(request)
        written = bodies.respond(gateway, request, at, forced=forced, wish=wish, words=words)
        answer = written.answer
        if written.body is None:
            pieces = streams.pieces(answer, at // ticks.SECOND, with_usage=wish.usage)
        else:
            pieces = [written.body]
        reply = Reply(
            status=written.status,
            headers=written.headers[:-1],
            pieces=pieces,
            first=at + (answer.duration if answer.ttft is None else answer.ttft),
            end=at + answer.duration,
            pings=streams.pings(answer),
            stream=written.body is None,
            answer=answer,
        )
        return self._spoiled(reply, fault)

    def _words(self, request: Request) -> str:
        words = max(1, request.tokens.output)
        first = self.chance_of(request.secret).randrange(len(_WORDS))
        return " ".join(_WORDS[(first + n) % len(_WORDS)] for n in range(words))

    def _spoiled(self, reply: Reply, fault: Fault | None) -> Reply:
        if fault is None or not fault.spoil or reply.status != 200:
            return reply
        return reply if fault.streams and not reply.stream else SPOILS[fault.spoil](reply)

    def _answered(self, fault: Fault, at: int) -> Reply:
        """Give the answer that a fault has of its own; nothing is asked and nothing is billed."""
        written = fault.answer or {}
        gateway = self.console.gateway
        headers = [
            ("content-type", written.get("content_type", "application/json; charset=utf-8")),
            *written.get("headers", {}).items(),
            ("x-client-request-id", gateway.uuid()),
            ("x-request-id", gateway.uuid()),
        ]
        if "retry_date_s" in written:
            when = ticks.instant(at + written["retry_date_s"] * ticks.SECOND)
            headers.append(("retry-after", format_datetime(when, usegmt=True)))
        body = written.get("body", "").encode()
        return Reply(status=written["status"], headers=headers, pieces=[body], first=at, end=at)


def begin(seed: int, now: datetime, *, pace: float = PACE, speed: float = 1.0) -> Live:
    """Start a gateway with the keys of `live.toml`.

    Args:
        seed: Where chance begins; secrets of keys come from it too.
        now: The instant it begins, aware.
        pace: Times the usual time of a model; 0 answers at once.
        speed: Seconds of the sandbox in one real second.
    """
    common, own = world.read("world.toml"), world.read("live.toml")
    added = {name: [*common[name], *own[name]] for name in ("channels", "groups")}
    tables = {**common, **own, **added}
    for channel in tables["channels"]:
        channel.pop("flaky", None)  # what fails here was asked to
    start = ticks.tick(now)
    console = world.build(tables, f"live {seed}", start)
    chance = Random(f"answers {seed}")  # noqa: S311 (a simulation, no secret)
    return Live(
        seed=seed,
        console=console,
        tables=tables,
        clock=Clock(start, speed=speed),
        start=start,
        pace=pace,
        chance=chance,
        faults=Planted(chance=Random(f"faults {seed}")),  # noqa: S311
    )
