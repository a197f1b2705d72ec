"""A reply as pieces on their way to the wire, and every way to spoil one.

A spoiled reply is a real one, changed after the gateway has judged and charged the request.
"""

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from functools import cache

from runbook_lib.sandbox import bodies, streams, ticks
from runbook_lib.sandbox.answers import Answer

Headers = list[tuple[str, str]]


UNHEARD = ("refused", "reset_before_bytes", "close_before_bytes")
"""Faults of the socket that end a request before the gateway hears of it: nothing is billed."""


PING_EVERY = 10 * ticks.SECOND


class Stop(Enum):
    """How a reply ends before its end: closed, reset, or left open without a word."""

    CUT = "cut"
    RESET = "reset"
    STALL = "stall"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What goes over the wire.

    Attributes:
        headers: Without content-length and transfer-encoding.
        pieces: The body, in one piece or as events.
        first, end: Ticks of the first and the last byte.
        pings: How many of the pieces keep an open stream alive, ten seconds apart.
        stream: The body goes in chunks.
        stop: How it ends early; None for a proper end.
        answer: What the gateway decided; None where a fault answered.
    """

    status: int
    headers: Headers
    pieces: list[bytes]
    first: int
    end: int
    pings: int = 0
    stream: bool = False
    stop: Stop | None = None
    answer: Answer | None = None

    def due(self) -> list[int]:
        """Ticks at which each piece goes out: evenly, and what keeps it alive every ten seconds."""
        pings = self.pings if len(self.pieces) > self.pings + 1 else 0
        spoken = len(self.pieces) - pings
        quiet = pings * PING_EVERY
        span = max(0, self.end - self.first - quiet)
        said = [self.first + span * number // spoken for number in range(spoken)]
        if not pings:
            return said
        begun = self.end - quiet
        kept = [begun + PING_EVERY * number for number in range(pings)]
        return [*said[: spoken - 1], *kept, self.end]

    def named(self, name: str) -> list[str]:
        """Values of the header lines of this name."""
        return [value for key, value in self.headers if key == name]


Spoil = Callable[[Reply], Reply]


def _body(content: bytes, content_type: str | None = None) -> Spoil:
    def change(reply: Reply) -> Reply:
        headers = reply.headers
        if content_type is not None:
            headers = _set(headers, "content-type", content_type)
        return replace(reply, headers=headers, pieces=[content])

    return change


def _set(headers: Headers, name: str, value: str) -> Headers:
    return [*((key, kept) for key, kept in headers if key != name), (name, value)]


def _ids(*values: str) -> Spoil:
    def change(reply: Reply) -> Reply:
        names = ("x-request-id", "x-client-request-id")
        kept = [(key, value) for key, value in reply.headers if key not in names]
        return replace(reply, headers=[*kept, *(("x-request-id", value) for value in values)])

    return change


def _fields(**changes: object) -> Spoil:
    def change(reply: Reply) -> Reply:
        try:
            content = json.loads(b"".join(reply.pieces))
        except ValueError:
            return reply
        known = {key: value for key, value in changes.items() if key in content}
        return replace(reply, pieces=[json.dumps({**content, **known}).encode()])

    return change


def _model(reply: Reply) -> Reply:
    """Answer as another model, in a body and in every event."""
    name = reply.answer.model if reply.answer else ""
    other = b'"another-model-1"'
    old = json.dumps(name).encode()
    return replace(reply, pieces=[piece.replace(old, other) for piece in reply.pieces])


def _half(reply: Reply) -> Reply:
    body = b"".join(reply.pieces)
    return replace(reply, pieces=[body[: len(body) // 2]])


def _encoded(content: Callable[[], bytes] | None) -> Spoil:
    def change(reply: Reply) -> Reply:
        pieces = reply.pieces if content is None else [content()]
        return replace(
            reply, headers=_set(reply.headers, "content-encoding", "gzip"), pieces=pieces
        )

    return change


@cache
def _bomb() -> bytes:
    return gzip.compress(b" " * (64 << 20), 6, mtime=0)


def _events(change: Callable[[list[bytes], Reply], list[bytes]], stop: Stop | None = None) -> Spoil:
    return lambda reply: replace(reply, pieces=change(reply.pieces, reply), stop=stop)


def _blown_up(size: int) -> Callable[[list[bytes], Reply], list[bytes]]:
    """Make the second event so large: blanks in its data, or a comment of its own before it."""

    def change(events: list[bytes], _: Reply) -> list[bytes]:
        at = min(1, len(events) - 1)
        large = events[at]
        if large.startswith(b"data: "):
            large = b"data: " + b" " * size + large[6:]
        else:
            large = b": " + b"x" * size + b"\n\n" + large
        return [*events[:at], large, *events[at + 1 :]]

    return change


def _error(reply: Reply, *, named: bool) -> bytes:
    return streams.error_event(reply.answer, named=named) if reply.answer else b""


def _marker(pieces: list[bytes]) -> int:
    """How many events at the end say that the stream is whole."""
    return 2 if len(pieces) > 3 else 1


_PAGE = bodies.PAGE.encode()
_ERROR = b'{"error":{"message":"Upstream service temporarily unavailable","type":"upstream_error"}}'

SPOILS: dict[str, Spoil] = {
    "empty_body": _body(b""),
    "html_body": _body(_PAGE, "text/html; charset=utf-8"),
    "truncated_json": _half,
    "error_in_200": _body(_ERROR),
    "empty_object": _body(b"{}"),
    "json_null": _body(b"null"),
    "json_list": _body(b"[]"),
    "no_choices": _fields(choices=[], content=[], output=[], candidates=[], data=[]),
    "wrong_model": _model,
    "gzip_bomb": _encoded(_bomb),
    "wrong_encoding": _encoded(None),
    "broken_utf8": _body(b'{"id": "\xff\xfe\xc3", "choices": []}'),
    "no_request_id": _ids(),
    "long_request_id": _ids("x" * 300),
    "ten_request_ids": _ids(*(f"id-{number}" for number in range(10))),
    "same_request_id": _ids("always-the-same"),
    "hostile_request_id": _ids('=HYPERLINK("http://192.0.2.1")<script>alert(1)</script>'),
    "stream_cut_before_first_event": _events(lambda _, __: [], Stop.CUT),
    "stream_error_first": _events(lambda _, reply: [_error(reply, named=True)]),
    "stream_empty": _events(lambda _, __: []),
    "stream_keepalives_only": _events(lambda _, __: [streams.PING] * 5),
    "stream_html": _body(_PAGE, "text/html; charset=utf-8"),
    "stream_cut_mid": _events(lambda events, _: events[: len(events) // 2], Stop.CUT),
    "stream_reset_mid": _events(lambda events, _: events[: len(events) // 2], Stop.RESET),
    "stream_error_mid": _events(
        lambda events, reply: [*events[: len(events) // 2], _error(reply, named=True)]
    ),
    "stream_error_mid_unnamed": _events(
        lambda events, reply: [*events[: len(events) // 2], _error(reply, named=False)]
    ),
    "stream_no_end": _events(lambda events, _: events[: -_marker(events)]),
    "stream_stall": _events(lambda events, _: events[: len(events) // 2], Stop.STALL),
    "stream_broken_json": _events(
        lambda events, _: [*events[:2], b'data: {"id": "x", \n\n', *events[2:]]
    ),
    "stream_split_everywhere": _events(
        lambda events, _: [bytes([byte]) for byte in b"".join(events)]
    ),
    "stream_half_event": _events(
        lambda events, _: [*events[:-1], events[-1][: len(events[-1]) // 2]]
    ),
    "stream_crlf": _events(lambda events, _: [event.replace(b"\n", b"\r\n") for event in events]),
    "stream_no_done": _events(lambda events, _: events[:-1]),
    "stream_big_event": _events(_blown_up(8 << 20)),
    "stream_huge_event": _events(_blown_up(64 << 20)),
    "stream_comments": _events(lambda events, _: [b": note\n\n" + event for event in events]),
    "stream_bom": _events(lambda events, _: [b"\xef\xbb\xbf" + events[0], *events[1:]]),
    "stream_double_end": _events(lambda events, _: [*events, events[-1]]),
    "stream_data_after_end": _events(lambda events, _: [*events, events[min(1, len(events) - 1)]]),
    "stream_million_lines": _events(lambda events, _: [b":\n" * 1_000_000, *events]),
    "stream_invalid_utf8": _events(
        lambda events, _: [events[0], b"data: \xff\xfe\n\n", *events[1:]]
    ),
}
"""Name of the fault → how the reply is changed."""
