"""What the server saw of a cell, as attempts."""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import parsedate_to_datetime

from runbook_lib import classifier
from runbook_lib.sandbox import front
from runbook_lib.sandbox.live import Seen
from runbook_lib.sandbox.replies import Reply, Stop
from runbook_lib.verify.records import Attempt

Billed = Callable[[str], Decimal | None]
"""Tells what the gateway billed for an answer, by its x-client-request-id."""


def attempt(seen: Seen, began: float, *, billed: Billed, dropped: float = math.inf) -> Attempt:
    """Tell one attempt as the server saw it.

    Args:
        seen: What the server noted.
        began: When the cell began, `time.monotonic`.
        billed: Tells what was billed for it.
        dropped: When the server dropped the cell's connections; endless for never.

    Returns:
        The attempt; its number is still 0.
    """
    line, reply = seen.line, seen.reply
    left = _left(seen, dropped)
    level = "" if left or seen.ended is None else _level(seen)
    return Attempt(
        number=0,
        at_s=seen.at - began,
        ended_s=None if seen.ended is None else seen.ended - began,
        model=line["model"],
        path=line["path"],
        stream=reply is not None and reply.stream,
        status=line["status"],
        fault=line["fault"],
        code=_code(seen),
        whole=level == "good",
        text=reply.answer.said.text if level and reply is not None and reply.answer else "",
        sent_bytes=line["bytes_out"],
        first_byte_s=None if seen.first is None else seen.first - began,
        retry_after_s=None if reply is None else _asked(reply, seen.at),
        cost_usd=billed(line.get("client_request_id", "")),
        request_ids=tuple(line.get("request_ids", ())),
        left=left,
        counter=dict(line["attempt"]),
        call=seen.call,
    )


def unheard(at_s: float, fault: str, *, stream: bool, call: int) -> Attempt:
    """Make an attempt of which no request came through: refused, not resolved, no handshake.

    Args:
        at_s: Seconds since the cell began.
        fault: What stopped it.
        stream: Whether the cell streams.
        call: Call it belongs to; 0 where that cannot be told.
    """
    return Attempt(
        number=0,
        at_s=at_s,
        ended_s=at_s,
        model="",
        path="",
        stream=stream,
        status=None,
        fault=fault,
        call=call,
    )


def numbered(found: Iterable[Attempt]) -> list[Attempt]:
    """Number attempts by their order of arrival."""
    ordered = sorted(found, key=lambda one: one.at_s)
    return [replace(one, number=number) for number, one in enumerate(ordered, start=1)]


def _left(seen: Seen, dropped: float) -> bool:
    """Whether the caller went away: the server ended neither this answer nor the cell."""
    fault, reply = seen.fault, seen.reply
    if fault is not None and (fault.socket in front.CLOSED or fault.socket in front.RESET):
        return False
    if reply is not None and reply.stop in (Stop.CUT, Stop.RESET):
        return False
    return bool(seen.line["left"]) and (seen.ended or math.inf) < dropped


def _level(seen: Seen) -> str:
    """What of a good answer went over the wire, in the words of `Fault.leaves`."""
    reply, fault = seen.reply, seen.fault
    answer = None if reply is None else reply.answer
    if reply is None or answer is None or answer.problem is not None or answer.status != 200:
        return ""
    if answer.surface is None or answer.stream_end not in ("", "complete"):
        return ""
    if fault is None:
        return "good"
    spared = not fault.socket and (not fault.spoil or (fault.streams and not reply.stream))
    return "good" if spared else fault.leaves


def _code(seen: Seen) -> str:
    """The gateway's code: as it decided, or as its words read where a fault wrote them."""
    written, reply, fault = seen.line.get("code", ""), seen.reply, seen.fault
    if written or reply is None or fault is None or fault.socket:
        return str(written)
    if fault.answer is None:
        return ""
    judged = classifier.classify(reply.status, b"".join(reply.pieces), reply.headers)
    return judged.code or ""


def _asked(reply: Reply, at: float) -> float | None:
    """Seconds the answer asks to wait, endless ones too; None for none that can be kept."""
    sent = datetime.now(UTC) - timedelta(seconds=time.monotonic() - at)
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        for value in reply.named(name):
            seconds = _seconds(value, unit, sent)
            if seconds is not None and seconds >= 0:
                return seconds
    return None


def _seconds(value: str, unit: float, sent: datetime) -> float | None:
    try:
        number = float(value) * unit
    except ValueError:
        return _until(value, sent)
    return None if math.isnan(number) else number


def _until(date: str, sent: datetime) -> float | None:
    try:
        return (parsedate_to_datetime(date) - sent).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return None
