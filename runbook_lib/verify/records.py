"""What passes between the parts: a cell to play, and what was seen on either side of the socket.

A *case* is a situation of the fault matrix; a *cell* is one case in one duration, over one
protocol, streaming or not, sync or async. Every cell has a key of its own, so the server knows
whose attempt it sees without trusting the client.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum


class Place(StrEnum):
    """Where a cell's base URL points."""

    GATEWAY = "gateway"
    REFUSED = "refused"
    """A port of its own where nothing listens, for as long as the first step says."""
    UNRESOLVED = "unresolved"
    """A host name that no resolver knows."""
    TLS_BROKEN = "tls"
    """A port where every TLS handshake fails."""
    PLAIN_ON_TLS = "plain"
    """An https address where a server speaks plain HTTP."""


class Role(StrEnum):
    """Which of a cell's models a step means."""

    ANY = "any"
    PRIMARY = "primary"
    FALLBACK = "fallback"


class Ending(StrEnum):
    """How a call of the client ended."""

    TEXT = "text"
    RAISED = "raised"
    HUNG = "hung"
    """It had not ended when patience ran out."""
    DIED = "died"
    """Its process ended."""
    CANCELLED = "cancelled"
    """It was cancelled as the cell asked, and let itself be."""
    NO_TEXT = "no text"
    """It returned something that holds no text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What the server does to the attempts of a cell; steps are used up in order.

    Attributes:
        fault: Name of a fault of the sandbox.
        times: Attempts it hits; 0 for every one.
        for_s: Seconds from its first hit; 0 for always.
        p: Probability of each hit, above 0 to 1.
        role: Which models it hits.
    """

    fault: str
    times: int = 0
    for_s: float = 0.0
    p: float = 1.0
    role: Role = Role.ANY


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One thing to play.

    Attributes:
        id: `case/duration/protocol/stream|whole/sync|async`; unique and stable.
        duration: `once`, `twice`, `5s`, `ever`, or empty where there is none.
        protocol: `openai`, `responses`, `anthropic` or `gemini`.
        models: In order of preference; the first is the primary.
        deadline_s: Given to the client; seconds for one call, all attempts together.
        patience_s: Seconds the verifier waits beyond the deadline before it calls a call hung.
        calls: Calls made in this cell; at_once: how many of them at the same time.
        every_s: Seconds from the start of one call to that of the next, as far as `at_once` lets
            them; 0 for as soon as can be.
        cancel_after_s: Seconds after which the call is cancelled (async cells); None for never.
        situation: Real state of the cell's key instead of faults: `cap_usd`, `window_5h_usd`,
            `balance_usd`, as text.
    """

    id: str
    case: str
    duration: str = ""
    protocol: str = "openai"
    stream: bool = False
    asynchronous: bool = False
    steps: Sequence[Step] = ()
    models: Sequence[str] = ()
    deadline_s: float = 10.0
    patience_s: float = 2.0
    place: Place = Place.GATEWAY
    calls: int = 1
    at_once: int = 1
    every_s: float = 0.0
    cancel_after_s: float | None = None
    situation: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt as the server saw it. Times are seconds since the cell began.

    Attributes:
        number: Order of arrival in the cell, from 1.
        status: As sent; None when no head was sent.
        fault: Fault it met; empty for none.
        code: Code of the gateway's error; empty for none.
        whole: The client had a whole and good answer.
        text: The answer's text when it was sent whole; never written anywhere.
        sent_bytes: Bytes of the answer's body; first_byte_s: when the first of a stream left,
            None for none.
        retry_after_s: Wait that the answer asked for, None for none.
        cost_usd: What the gateway billed for it; None for nothing.
        left: The client went away before the end.
        counter: Values of the headers by which SDKs count attempts.
        call: Which of the cell's calls it belongs to, from 1, as its prompt tells (each call of a
            cell asks something of its own); 0 where that cannot be told.
    """

    number: int
    at_s: float
    ended_s: float | None
    model: str
    path: str
    stream: bool
    status: int | None
    fault: str = ""
    code: str = ""
    whole: bool = False
    text: str = ""
    sent_bytes: int = 0
    first_byte_s: float | None = None
    retry_after_s: float | None = None
    cost_usd: Decimal | None = None
    request_ids: Sequence[str] = ()
    left: bool = False
    counter: Mapping[str, str] = field(default_factory=dict)
    call: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One call as its caller saw it. Times are seconds since the cell began.

    Attributes:
        text: What it gave; never written anywhere.
        model: Model it says has answered; empty when it does not say.
        request_ids: Ids of attempts that it shows; empty when it shows none.
        error_type: Class of the exception; error: its text, redacted and cut; empty for none.
        call: Which of the cell's calls it is, as its attempts name it; 0 where it is the only one.
        status: `status_code` of the exception, where it has one.
    """

    ending: Ending
    started_s: float
    ended_s: float
    text: str = ""
    model: str = ""
    request_ids: Sequence[str] = ()
    error_type: str = ""
    error: str = ""
    status: int | None = None
    call: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """A cell that was played.

    Attributes:
        attempts: In order of arrival; outcomes: one a call, in order of their start.
        connections: Connections the cell opened, where they can be told apart.
        strays: Attempts that came with no key, or with another than the cell's.
        leaks: Attempts that followed an answer to another host and brought the cell's key there.
        notes: What else was seen, a sentence each: it wrote to its output, left a child behind.
    """

    cell: Cell
    attempts: Sequence[Attempt]
    outcomes: Sequence[Outcome]
    connections: int | None = None
    strays: int = 0
    leaks: int = 0
    notes: Sequence[str] = ()
