"""Which attempts belong to one call.

The SDKs number what they send again (`x-stainless-retry-count`), and they do so in the thread or
task of the call: the attempt before is the last one of the same context. Clients that do not number
are grouped when they send the same body again soon after a failure. What a redirect makes of a
request belongs to its call, and is no retry.
"""

import itertools
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final

_SOON_S: Final = 120.0
"""What is sent again later, unnumbered, is a call of its own, as that of a check every hour."""

Mark = tuple[str, Any, int]


@dataclass(slots=True, kw_only=True)
class Call:
    """One logical call on its way.

    Attributes:
        id: Id in the log.
        owner: Recorder that saw its last attempt.
        resend: Number of the last retry of the SDK.
        mark: Method, address and hash of the body of the last attempt.
        sent: Object that the last request shares with those a redirect makes of it.
        failed: Whether the last attempt may be sent again.
        moved: Whether its answer was a redirect, or asked for another proof of who calls.
        thread: Thread of the last attempt.
        at: When it was sent, on the clock of `time.monotonic`.
        asked: What its request told: protocol, model, stream.
        redirected: The last attempt is what a redirect made of the one before.
        count: Numbers the attempts, from 1.
    """

    id: str
    owner: int = 0
    resend: int = 0
    mark: Mark | None = None
    sent: object = None
    failed: bool = False
    moved: bool = False
    thread: int = 0
    at: float = 0.0
    asked: dict[str, Any] = field(default_factory=dict)
    redirected: bool = False
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
    held = Call(id=call_id or _IDS.fresh())
    token = _GIVEN.set(held)
    try:
        yield held.id
    finally:
        _GIVEN.reset(token)


class _Ids:
    """Ids that no other process has: a part by chance, made anew after a fork, and a number."""

    def __init__(self) -> None:
        self.again()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self.again)

    def again(self) -> None:
        """Begin with another part by chance."""
        self._own, self._number = os.urandom(12).hex(), itertools.count(1)

    def fresh(self) -> str:
        """Give the next id."""
        return f"call-{self._own}-{next(self._number):x}"


_IDS = _Ids()


def joined(
    owner: int, resend: int | None, *, mark: Mark, sent: object = None
) -> tuple[Call, int, int]:
    """Find the call of the attempt that is being sent.

    Args:
        owner: The recorder that asks.
        resend: Number of the retry as the SDK says it; None from clients that do not number.
        mark: Method, address and hash of the body.
        sent: Object that the request shares with those a redirect makes of it; None for none.

    Returns:
        The call, the number of the attempt from 1, and the retries made before it.
    """
    last, given = _LAST.get(), _GIVEN.get()
    thread, now = threading.get_ident(), time.monotonic()
    mine = last is not None and last.owner == owner and last.thread == thread
    moved = last is not None and mine and last.moved and sent is not None and last.sent is sent
    again = moved or (last is not None and mine and _is_resent(last, resend, mark, now))
    if given is not None:
        held, again = given, again and last is given
    elif last is not None and again:
        held = last
    else:
        held = Call(id=_IDS.fresh())
    count = resend
    if count is None:
        count = held.resend + (not moved) if again else 0
    if not moved:
        held.mark = mark  # what is sent again is the request before the redirect
    held.owner, held.resend, held.sent, held.at = owner, count, sent, now
    held.failed, held.moved, held.redirected, held.thread = False, False, moved, thread
    _LAST.set(held)
    return held, next(held.count), count


def _is_resent(last: Call, resend: int | None, mark: Mark, now: float) -> bool:
    """Tell whether the SDK or its user sends the last attempt again."""
    if resend is None:
        return last.failed and last.mark == mark and now - last.at < _SOON_S
    return resend > 0 and last.resend in (resend - 1, resend)
