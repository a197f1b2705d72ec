"""What a failure allows: the same model again, another model, or neither.

An answer is judged by `classify`, so by its code and never by its message. What came instead of an
answer is told apart here. A cause that lies with the caller, the key or the account is the same
for every model behind that key: nothing is sent again. Source: fault matrix rows 1-54.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from runbook_lib.classifier import Classification, classify
from runbook_lib.classifier.headers import Headers, lines
from runbook_lib.contract import (
    CAUSES,
    RETRY_AFTER_HEADER,
    RETRY_AFTER_MS_HEADER,
    SHOULD_RETRY_HEADER,
    Domain,
    Retry,
)

MOST_TRIES = 3
"""Attempts on one model at most."""

_FEWER = {409: 2, 425: 2, 504: 2, 524: 2, 529: 2}
"""Statuses after which the work may have been done, or a second retry only adds to the load."""

_PASSING = (408, 409, 425)
"""Statuses that pass, whatever sort of error the body says it is."""

_CONTEXT = "context_length_exceeded"
_MODEL = {"model_not_served_by_group", "model_not_allowed", "model_not_found_upstream"}
_SHARED = (Domain.CALLER, Domain.KEY, Domain.ACCOUNT)
_BROKE = "stream_broken_after_first_byte"


class Elsewhere(StrEnum):
    """Which other models may be asked: none, those with a larger window, or all."""

    NO = "no"
    LARGER = "larger"
    ANY = "any"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """How an attempt failed, and what may follow.

    Attributes:
        causes: Words of the contract, the likeliest first, or one of this module for what came
            instead of an answer.
        fix: What to do.
        code: Symbol of the answer; None for none.
        tries: Attempts on one model that it allows, the first included.
        elsewhere: Other models that may be asked.
        wait_s: Seconds the answer asks to wait; infinite for ever, None where it does not ask.
        at_once: The first retry needs no backoff: the request was not worked on.
        config: A setting is wrong; worth a warning even if another model answers.
        billed: The attempt can have been billed.
    """

    causes: tuple[str, ...]
    fix: str
    code: str | None = None
    tries: int = 1
    elsewhere: Elsewhere = Elsewhere.NO
    wait_s: float | None = None
    at_once: bool = False
    config: bool = False
    billed: bool = False

    def __str__(self) -> str:
        told = " or ".join(self.causes)
        return f"{told} ({self.code})" if self.code else told

    @property
    def down(self) -> bool:
        """The model is not to be had now: what a breaker counts."""
        return self.elsewhere is Elsewhere.ANY and not self.config

    def final(self, *, handed: bool) -> "Failure":
        """Give the same of a stream that had begun: it is not sent again.

        Args:
            handed: A part of it was handed out, so another model cannot begin anew either.
        """
        elsewhere = Elsewhere.NO if handed else self.elsewhere
        return replace(self, tries=1, elsewhere=elsewhere, billed=True)


def refused(status: int, found: Classification, headers: Headers) -> Failure:
    """Judge an answer that says that it failed; also an error under status 200."""
    sent = lines(headers)
    failure = Failure(
        causes=found.candidates, code=found.code, fix=found.fix, wait_s=_asked_wait(found, sent)
    )
    again = sent.get(SHOULD_RETRY_HEADER, [""])[0].strip().lower()
    if found.code == _CONTEXT:
        return replace(failure, elsewhere=Elsewhere.LARGER)
    if not _MODEL.isdisjoint(found.candidates):
        return replace(failure, elsewhere=Elsewhere.ANY, config=True)
    passing = status in _PASSING and found.domain in (None, Domain.CALLER)
    if found.retry in (None, Retry.NEVER, Retry.WINDOW) and not passing:
        told = again == "true" and found.domain is Domain.CALLER
        return replace(failure, tries=MOST_TRIES if told else 1)
    return replace(
        failure,
        tries=1 if again == "false" else _FEWER.get(status, MOST_TRIES),
        elsewhere=Elsewhere.NO if found.domain in _SHARED and not passing else Elsewhere.ANY,
        billed=status in (408, 504, 524),
    )


def accepted(body: bytes | str, headers: Headers, *, stream: bool) -> Failure | None:
    """Judge what came under a status that says that nothing failed; None when it is whole."""
    found = classify(200, body, headers)
    if found.cause == "success":
        return None
    if found.code and found.known and found.cause not in (_BROKE, "unknown"):
        return refused(200, found, headers)
    return spoiled(stream=stream)


def spoiled(*, stream: bool) -> Failure:
    """What is no whole answer: billed, so sent again once at most, then to another model."""
    return _OWN[_BROKE if stream else "answer_not_whole"]


def too_large() -> Failure:
    """An answer without end, or one that unpacks to more than is read."""
    return _OWN["answer_too_large"]


def _asked_wait(found: Classification, sent: dict[str, list[str]]) -> float | None:
    """Seconds the answer asks to wait; a number too large to be one means for ever."""
    if found.retry_after_s is not None:
        return found.retry_after_s
    for name in (RETRY_AFTER_MS_HEADER, RETRY_AFTER_HEADER):
        for text in sent.get(name, []):
            try:
                if float(text) == math.inf:
                    return math.inf
            except ValueError:
                continue
    return None


# No answer --------------------------------------------------------------------------------------


def _own(
    cause: str,
    fix: str,
    *,
    tries: int = 2,
    elsewhere: Elsewhere = Elsewhere.ANY,
    at_once: bool = False,
    billed: bool = False,
) -> Failure:
    return Failure(
        causes=(cause,), fix=fix, tries=tries, elsewhere=elsewhere, at_once=at_once, billed=billed
    )


_SAME = "It can be billed: look at the request id before it is sent again."

_OWN = {
    each.causes[0]: each
    for each in (
        _own(
            "name_not_resolved",
            "Correct the host of the base URL, or repair DNS.",
            elsewhere=Elsewhere.NO,
        ),
        _own(
            "tls_failed",
            "Correct the base URL or the certificate; verification stays on.",
            tries=1,
            elsewhere=Elsewhere.NO,
        ),
        _own("not_connected", "See whether the gateway is up and reachable.", tries=MOST_TRIES),
        _own("connection_lost", "Send it again later.", at_once=True, billed=True),
        _own(
            "no_http", "See what answers at the base URL; it is no gateway.", elsewhere=Elsewhere.NO
        ),
        _own("client_timeout", CAUSES["client_timeout"].fix, billed=True),
        _own("answer_not_whole", _SAME, billed=True),
        _own("answer_unreadable", _SAME, billed=True),
        _own("answer_too_large", "Ask for less in one request.", billed=True),
        _own(_BROKE, CAUSES[_BROKE].fix, billed=True),
    )
}


def lost(error: BaseException, *, answered: bool, stream: bool) -> Failure:
    """Tell what came instead of a whole answer.

    Args:
        error: What the client raised; kinds are told by the names of its classes and those of its
            causes, because each SDK brings errors of its own.
        answered: The head of an answer had come.
        stream: A stream was asked for.

    Returns:
        The failure.
    """
    chain = list(_causes(error))
    names = {kind.__name__ for each in chain for kind in type(each).__mro__}
    if "gaierror" in names:
        return _OWN["name_not_resolved"]
    if names & {"ConnectTimeout", "PoolTimeout", "ConnectError"}:
        untrusted = "SSLError" in names and "SSLEOFError" not in names
        return _OWN["tls_failed" if untrusted else "not_connected"]
    if "DecodingError" in names:
        return _OWN["answer_unreadable"]
    if answered and stream:
        return spoiled(stream=True)
    if names & {"TimeoutException", "TimeoutError"}:
        return _OWN["client_timeout"]
    if answered:
        return _OWN["answer_not_whole"]
    parsed = any(type(each).__module__.partition(".")[0] == "h11" for each in chain)
    return _OWN["no_http" if parsed else "connection_lost"]


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Walk to what began it; the HTTP libraries hide their own causes."""
    found: BaseException | None = error
    while found is not None:
        yield found
        theirs = type(found).__module__.partition(".")[0].rstrip("2") in ("httpx", "httpcore")
        found = found.__cause__ or (found.__context__ if theirs else None)
