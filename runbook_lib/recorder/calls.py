"""Which attempts belong to one call.

The SDKs number what they send again (`x-stainless-retry-count`), and they do so in the thread or
task of the call: the attempt before is the last one of the same context. Clients that do not number
are grouped when they send the same body again after a failure.
"""

import itertools
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True)
class Call:
    """One logical call on its way.

    Attributes:
        id: Id in the log.
        owner: Recorder that saw its last attempt.
        resend: Number of the last retry of the SDK.
        print: Hash of method, address and body of the last attempt.
        failed: Whether the last attempt may be sent again.
        thread: Thread of the last attempt.
        count: Numbers the attempts, from 1.
    """

    id: str
    owner: int = 0
    resend: int = 0
    print: int = 0
    failed: bool = False
    thread: int = 0
    count: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))


_LAST: ContextVar[Call | None] = ContextVar("runbook_last_call", default=None)
_GIVEN: ContextVar[Call | None] = ContextVar("runbook_given_call", default=None)


@contextmanager
def call(call_id: str = "") -> Iterator[str]:
    """Hold everything sent inside as attempts of one call, whatever client sends it.

    For a fallback of your own: `with call(): primary(); fallback()`.

    Args:
        call_id: Id to log; left out, a fresh one.

    Yields:
        The id.
    """
    held = Call(id=call_id or fresh_id())
    token = _GIVEN.set(held)
    try:
        yield held.id
    finally:
        _GIVEN.reset(token)


def fresh_id() -> str:
    """Give an id that no other call has."""
    return f"call-{uuid.uuid4().hex}"


def joined(owner: int, resend: int | None, print_: int) -> tuple[Call, int, int]:
    """Find the call of the attempt that is being sent.

    Args:
        owner: The recorder that asks.
        resend: Number of the retry as the SDK says it; None from clients that do not number.
        print_: Hash of method, address and body.

    Returns:
        The call, the number of the attempt from 1, and the retries made before it.
    """
    last, given = _LAST.get(), _GIVEN.get()
    same = last is not None and last.owner == owner and last.thread == threading.get_ident()
    if given is not None:
        held = given
        again = held.owner == owner and held.print == print_ and held.failed
    elif last is not None and same and _goes_on(last, resend, print_):
        held, again = last, True
    else:
        held, again = Call(id=fresh_id()), False
    count = resend if resend is not None else (held.resend + 1 if again else 0)
    held.owner, held.resend, held.print = owner, count, print_
    held.failed, held.thread = False, threading.get_ident()
    _LAST.set(held)
    return held, next(held.count), count


def _goes_on(last: Call, resend: int | None, print_: int) -> bool:
    if resend is None:
        return last.failed and last.print == print_
    return resend > 0 and last.resend in (resend - 1, resend)
