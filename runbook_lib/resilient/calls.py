"""One call and its attempts: what was tried, what may follow, and when it must end.

Nothing here sends or waits; the two clients do, one plain and one async. Source: fault matrix,
reference policy.
"""

import logging
import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from runbook_lib import redact
from runbook_lib.classifier import request_ids
from runbook_lib.classifier.headers import Headers
from runbook_lib.contract import REQUEST_ID_HEADER
from runbook_lib.errors import AttemptError, CallError
from runbook_lib.resilient import policy
from runbook_lib.resilient.health import Health
from runbook_lib.resilient.policy import MOST_TRIES, Elsewhere, Failure
from runbook_lib.resilient.reading import Reader

_LOG = logging.getLogger("runbook_lib.resilient")

_LEAST_WAIT_S: Final = 0.375
_FIRST_WAIT_S: Final = 0.9
_ALL_WAITS_S: Final = 1.9
"""A wait is drawn between the one before it and a ceiling: it grows, and many clients spread; and
the fallback is reached within two seconds."""

_AT_ONCE_S: Final = 0.1
_FOR_OTHERS_S: Final = 20.0
_LEAST_S: Final = 0.05
_DRAIN_S: Final = 0.2
_DATED = re.compile(r"[-@](?:latest|\d{4}-\d{2}-\d{2}|\d{4,8})$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt of a call.

    Attributes:
        number: From 1, over all models of the call.
        model: Model that was asked.
        status: HTTP status; None when no answer came.
        code: Symbol of a refusal; None for none.
        outcome: `answered`, or the likeliest cause of the failure.
        request_ids: Ids of the answer; the one that was sent where no answer came.
        sent_id: Id sent as `x-request-id`, fresh for each attempt.
        waited_s: Seconds since the attempt before had ended.
        duration_s: Seconds it took.
        may_be_billed: It failed, and yet the work can have been done and billed.
    """

    number: int
    model: str
    status: int | None
    code: str | None
    outcome: str
    request_ids: tuple[str, ...]
    sent_id: str
    waited_s: float
    duration_s: float
    may_be_billed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A whole answer.

    Attributes:
        text: Its text; "" where it only calls tools.
        model: Model that answered, as the answer names it.
        asked: Model of the list that was asked.
        body: The answer as it came, decoded; empty for a stream.
        attempts: Every attempt, failed ones too.
        warnings: What should be looked at although an answer came, a sentence each.
    """

    text: str = field(repr=False)
    model: str
    asked: str
    body: Mapping[str, Any] = field(repr=False)
    attempts: tuple[Attempt, ...]
    warnings: tuple[str, ...] = ()

    @property
    def request_ids(self) -> tuple[str, ...]:
        """Ids of all attempts."""
        return tuple(each for one in self.attempts for each in one.request_ids)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a client was told; see `Resilient`."""

    models: tuple[str, ...]
    larger: frozenset[str]
    deadline_s: float
    attempt_s: float | None
    idle_s: float
    health: Health
    now: Callable[[], float]
    chance: Random


class Call:
    """One call.

    Attributes:
        answer: Once it came.
        attempts: So far.
    """

    def __init__(self, settings: Settings, request: Mapping[str, Any], *, stream: bool) -> None:
        self.settings, self.request, self.stream = settings, request, stream
        self.began = self._ended = settings.now()
        self.end = self.began + settings.deadline_s - min(_LEAST_S, settings.deadline_s / 100)
        self.answer: Answer | None = None
        self.attempts: list[Attempt] = []
        self._failures: list[Failure] = []
        self._warnings: list[str] = []
        self._model, self._tries, self._most, self._rest = "", 0, MOST_TRIES, 0
        self._wait_s = _LEAST_WAIT_S

    def left(self) -> float:
        """Seconds until the deadline."""
        return self.end - self.settings.now()

    def is_late(self) -> bool:
        """Tell whether the deadline has passed."""
        return self.left() <= 0

    def models(self) -> Iterator[str]:
        """Give the models to ask, one after the other, as long as another may help."""
        health, now = self.settings.health, self.settings.now
        order, probe = health.order(self.settings.models, now())
        for number, model in enumerate(order, start=1):
            if self._failures and not self._may_ask(model):
                continue
            self._model, self._tries, self._wait_s = model, 0, _LEAST_WAIT_S
            self._most = 1 if model == probe else MOST_TRIES
            self._rest = len(order) - number
            yield model
            failure = self._failures[-1]
            if failure.down:
                health.failed(model, now())
            if failure.config:
                self._warn(f"{model} cannot be called ({failure}): {failure.fix}")

    def _may_ask(self, model: str) -> bool:
        elsewhere = self._failures[-1].elsewhere
        larger = elsewhere is Elsewhere.LARGER and model in self.settings.larger
        return self.left() > _LEAST_S and (larger or elsewhere is Elsewhere.ANY)

    def begin(self) -> "Turn":
        """Begin an attempt on the model at hand; other models need some of the time too."""
        self._tries += 1
        left = limit = self.left()
        if self.settings.attempt_s is not None:
            limit = min(left, self.settings.attempt_s)
        elif self._rest:
            limit = left - min(_FOR_OTHERS_S, left / 2)
        return Turn(self, self._model, self.settings.now() + limit)

    def again(self, error: Exception) -> bool | float:
        """Tell whether to try the same model again: False, or the seconds to wait before it."""
        if not isinstance(error, AttemptError):
            return False
        failure = self._failures[-1]
        if self._tries >= min(failure.tries, self._most):
            return False
        wait = self._next_wait(failure)
        if wait + self.attempts[-1].duration_s >= self.left():  # one like it would come too late
            return False
        return wait if self.settings.health.may_retry(self._model) else False

    def _next_wait(self, failure: Failure) -> float:
        chance, asked = self.settings.chance, failure.wait_s
        if asked is not None and asked >= _LEAST_WAIT_S:
            return asked + chance.uniform(0, min(0.05 * asked, 0.2))
        if failure.at_once and self._tries == 1:
            return chance.uniform(0, _AT_ONCE_S)
        most = _FIRST_WAIT_S if self._tries == 1 else _ALL_WAITS_S - self._wait_s
        self._wait_s = chance.uniform(self._wait_s, most)
        return self._wait_s

    def note(self, turn: "Turn", failure: Failure | None) -> None:
        """Keep what became of an attempt."""
        now = self.settings.now()
        self.attempts.append(
            Attempt(
                number=turn.number,
                model=turn.model,
                status=turn.status,
                code=failure.code if failure else None,
                outcome=failure.causes[0] if failure else "answered",
                request_ids=turn.request_ids or (turn.sent_id,),
                sent_id=turn.sent_id,
                waited_s=turn.began - self._ended,
                duration_s=now - turn.began,
                may_be_billed=failure is not None and failure.billed,
            )
        )
        self._ended = now
        if failure is not None:
            self._failures.append(failure)

    def answered(self, turn: "Turn", reader: Reader) -> None:
        """Keep the answer."""
        self.note(turn, None)
        self.settings.health.answered(turn.model)
        if reader.served and bare(reader.served) != bare(turn.model):
            self._warn(f"{turn.model} was asked, {reader.served} answered")
        if turn.model != self.settings.models[0]:
            self._warn(f"{turn.model} answered instead of {self.settings.models[0]}")
        self.answer = Answer(
            text=reader.text,
            model=reader.served or turn.model,
            asked=turn.model,
            body=reader.body,
            attempts=tuple(self.attempts),
            warnings=tuple(self._warnings),
        )

    def _warn(self, text: str) -> None:
        self._warnings.append(redact.safe(text, limit=500))
        _LOG.warning("%s", self._warnings[-1])

    def result(self) -> Answer:
        """Give the answer.

        Raises:
            CallError: no model answered; tells of each that was asked.
        """
        if self.answer is not None:
            return self.answer
        last = {one.model: f"{one.model}: " for one in self.attempts}
        for one, failure in zip(self.attempts, self._failures, strict=True):
            last[one.model] = f"{one.model}: {failure}, status {one.status or 'none'}"
        failure = self._failures[-1]
        asked = f" The gateway asks to wait {failure.wait_s:g} s." if failure.wait_s else ""
        count, seconds = len(self.attempts), self.settings.now() - self.began
        tried = f"{count} attempt{'s' if count > 1 else ''} in {seconds:.1f} s"
        raise CallError(
            redact.safe(f"No answer after {tried}: {'; '.join(last.values())}.{asked}", limit=1000),
            hint=failure.fix,
            attempts=self.attempts,
            retry_after_s=failure.wait_s,
        )


class Turn:
    """One attempt on its way.

    Attributes:
        status: HTTP status, once it came.
    """

    def __init__(self, call: Call, model: str, until: float) -> None:
        self._call, self.model, self._until = call, model, until
        self.number = len(call.attempts) + 1
        self.began = call.settings.now()
        bits = call.settings.chance.getrandbits(128)
        self.sent_id = str(uuid.UUID(int=bits, version=4))
        self.status: int | None = None
        self.request_ids: tuple[str, ...] = ()
        self._reader: Reader | None = None

    def sending(self) -> dict[str, Any]:
        """What `Door.send` must know of this attempt."""
        left = self.left()
        if self._call.stream:  # between two bytes later on
            left = min(self._call.left(), max(left, self._call.settings.idle_s))
        numbered = {"x-stainless-retry-count": str(self.number - 1)}
        return {
            "model": self.model,
            "stream": self._call.stream,
            "headers": {REQUEST_ID_HEADER: self.sent_id, **numbered},
            "timeout_s": max(0.001, left),
        }

    def left(self) -> float:
        """Seconds to wait for the next bytes."""
        now, reader = self._call.settings.now(), self._reader
        if reader is None or not self._call.stream:
            return self._until - now
        if reader.over:  # let the connection become free
            return min(self._call.end - now, _DRAIN_S)
        until = self._call.end if reader.handed else self._until
        return min(until - now, self._call.settings.idle_s)

    def head(self, status: int, headers: Headers) -> None:
        """Take status and headers."""
        self.status = status
        self.request_ids = request_ids(headers)
        self._reader = Reader(status, headers, stream=self._call.stream)

    def take(self, chunk: bytes | None) -> Iterator[str]:
        """Take the next bytes, None for the end; gives text, and raises `AttemptError`."""
        reader = self._reader
        if reader is None:
            return
        if chunk is not None:
            yield from reader.feed(chunk)
            return
        yield from reader.end()
        self._call.answered(self, reader)

    def lost(self, error: BaseException) -> AttemptError | None:
        """Take what ended it; None when the answer had come whole before."""
        reader = self._reader
        if isinstance(error, AttemptError):
            failure: Failure = error.failure
        elif reader is not None and reader.over:
            self._call.answered(self, reader)
            return None
        else:
            answered = reader is not None
            failure = policy.lost(error, answered=answered, stream=self._call.stream)
        if reader is not None and reader.begun:
            failure = failure.final(handed=reader.handed)
        self._call.note(self, failure)
        return AttemptError(failure)


def bare(model: str) -> str:
    """Give the name of a model without vendor, date and `-thinking`."""
    name = model.rpartition("/")[2].lower()
    return _DATED.sub("", name).removesuffix("-thinking")
