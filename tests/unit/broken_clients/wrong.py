"""Clients that are wrong in one way each: the careful one with one decision taken otherwise."""

# ruff: noqa: ARG002 (a decision that is taken otherwise need not look at what it is given)

import math
import time
from collections.abc import Iterator
from typing import Any

import httpx

from broken_clients.careful import Careful
from broken_clients.parts import Answer, Call, Failed


class Retries401(Careful):
    """A key that is refused is sent again: it might have been a hiccup."""

    def _refused(self, found: httpx.Response, body: bytes) -> Failed:
        error = super()._refused(found, body)
        error.retry = error.retry or error.status == 401
        return error


class Retries400(Careful):
    """A bad request is sent again."""

    def _refused(self, found: httpx.Response, body: bytes) -> Failed:
        error = super()._refused(found, body)
        error.retry = error.retry or error.status == 400
        return error


class RetriesCap(Careful):
    """Every 429 is sent again."""

    def _refused(self, found: httpx.Response, body: bytes) -> Failed:
        error = super()._refused(found, body)
        error.retry = error.retry or error.status == 429
        return error


class SleepsADay(Careful):
    """Retry-After is obeyed, whatever it says."""

    def _fits(self, wait_s: float, call: Call) -> bool:
        return True


class IgnoresRetryAfter(Careful):
    """It knows better how long to wait."""

    def _asked_wait(self, headers: httpx.Headers) -> float | None:
        return None


class IgnoresDates(Careful):
    """Retry-After is a number of seconds, or it is not there."""

    def _asked_wait(self, headers: httpx.Headers) -> float | None:
        try:
            return self._usable(float(headers.get("retry-after", "nan")))
        except ValueError:
            return None


class LoopsOnZero(Careful):
    """Retry-After: 0 says that it may come at once, so it comes at once."""

    def _usable(self, seconds: float) -> float | None:
        return None if math.isnan(seconds) else max(0.0, seconds)


class FallsBackOn400(Careful):
    """Another model may understand what this one does not."""

    def _may_fall_back(self, error: Failed) -> bool:
        return super()._may_fall_back(error) or error.status == 400


class FallsBackOnCap(Careful):
    """The cap is the model's fault."""

    def _may_fall_back(self, error: Failed) -> bool:
        return super()._may_fall_back(error) or error.code == "API_KEY_QUOTA_EXHAUSTED"


class FallsBackOnAll(Careful):
    """Whatever happens, the next model is asked."""

    def _may_fall_back(self, error: Failed) -> bool:
        return not error.begun


class NeverFallsBack(Careful):
    """Its list of models has a first entry."""

    def _may_fall_back(self, error: Failed) -> bool:
        return False


class NeverRetries(Careful):
    """One attempt a model."""

    tries = 1

    def _may_retry(self, error: Failed, number: int, call: Call, model: str) -> bool:
        return False


class RetriesForever(Careful):
    """It does not give up before its deadline."""

    tries = 10_000

    def _wait_s(self, error: Failed, number: int) -> float:
        return min(0.6, super()._wait_s(error, min(number, 2)))


class Multiplies(Careful):
    """Its attempts are retried by a layer above, three times."""

    first_wait_s = 0.2

    def _on_model(self, call: Call, model: str) -> Answer:
        for number in (1, 2, 3):
            try:
                return super()._on_model(call, model)
            except Failed as error:
                if number == 3 or not error.retry:
                    raise
        raise AssertionError

    def _budget(self, key: str, model: str) -> bool:
        return True


class NoBackoff(Careful):
    """It sends again at once."""

    def _wait_s(self, error: Failed, number: int) -> float:
        return error.wait_s or 0.0


class NoJitter(Careful):
    """Everybody waits as long."""

    def _jitter(self) -> float:
        return 1.0


class NoBudget(Careful):
    """Three attempts are always allowed, in an outage too."""

    def _budget(self, key: str, model: str) -> bool:
        return True


class NoBreaker(Careful):
    """Every call tries the primary first."""

    def _order(self, call: Call) -> list[str]:
        return list(call.models)


class NeverReturns(Careful):
    """What failed three times is left for good."""

    probe_s = 10_000.0


class IgnoresDeadline(Careful):
    """The deadline is the server's business."""

    def _in_time(self, call: Call) -> None:
        return


class NoIdleTimeout(Careful):
    """A stream takes as long as it takes."""

    def _timeout_s(self, call: Call) -> Any:
        return None


class SendsAfterDeadline(Careful):
    """The wait is not compared with what is left."""

    def _fits(self, wait_s: float, call: Call) -> bool:
        return wait_s < 10

    def _attempt(self, call: Call, model: str) -> Answer:
        call.end = max(call.end, time.monotonic() + 1.0)
        return super()._attempt(call, model)


class ResendsAfterTimeout(Careful):
    """A request that was not answered in time is sent again and again."""

    idle_s = 0.5

    def _lost(self, error: httpx.HTTPError, *, begun: bool) -> Failed:
        failed = super()._lost(error, begun=begun)
        failed.once = False
        return failed


class ResendsAfterFirstByte(Careful):
    """A stream that breaks is begun again."""

    def _may_retry(self, error: Failed, number: int, call: Call, model: str) -> bool:
        if error.begun:
            return number < 2
        return super()._may_retry(error, number, call, model)


class PassesCutStream(Careful):
    """A stream that ends has ended."""

    def _ended(self, text: str, *, finished: bool, done: bool, begun: bool) -> None:
        super()._ended(text, finished=True, done=True, begun=begun)


class PassesPartialText(Careful):
    """Half an answer is better than none."""

    def _streamed(self, found: httpx.Response, call: Call, begun: list[bool]) -> Answer:
        try:
            return super()._streamed(found, call, begun)
        except httpx.HTTPError:
            if not begun:
                raise
            return Answer("half of it", "", call.ids)


class PassesEmptyStream(Careful):
    """Nothing is an answer too."""

    def _ended(self, text: str, *, finished: bool, done: bool, begun: bool) -> None:
        if text:
            super()._ended(text, finished=finished, done=done, begun=begun)


class PassesPage(Careful):
    """What is no JSON is the text itself."""

    def _whole(self, body: bytes, call: Call) -> Answer:
        if b"<html" in body[:500].lower():
            return Answer(body.decode("utf-8", "replace"), "", call.ids)
        return super()._whole(body, call)


class PassesError(Careful):
    """Status 200 is success, whatever the body says."""

    def _error_inside(self, content: Any) -> Failed:
        raise _NothingError

    def _whole(self, body: bytes, call: Call) -> Answer:
        try:
            return super()._whole(body, call)
        except _NothingError:
            return Answer("", "", call.ids)


class _NothingError(Exception):
    pass


class PassesEmptyObject(Careful):
    """An answer without its parts is an empty answer."""

    def _whole(self, body: bytes, call: Call) -> Answer:
        if body == b"{}":
            return Answer("", "", call.ids)
        return super()._whole(body, call)


class IgnoresUnnamedError(Careful):
    """Only `event: error` is an error; other data it does not know ends the stream."""

    def _error_event(self, name: str, content: Any, *, begun: bool) -> Failed | None:
        if name != "error":
            return None
        return super()._error_event(name, content, begun=begun)


class HidesModel(Careful):
    """The answer is from the model that was wanted, of course."""

    def _result(self, answer: Answer, call: Call) -> Any:
        return Answer(answer.text, call.models[0], answer.request_ids)


class SwallowsFirstError(Careful):
    """The last error is the error."""

    def _report(self, call: Call) -> Exception:
        last = list(call.errors)[-1]
        call.errors = {last: call.errors[last]}
        return super()._report(call)


class LosesStatus(Careful):
    """The page that came is shown to the user."""

    def _report(self, call: Call) -> Exception:
        last = next(reversed(call.errors.values()))
        if not last.html:
            return super()._report(call)
        return RuntimeError("<!doctype html><html>Something went wrong</html>")


class KeepsLastId(Careful):
    """One id is enough."""

    def _result(self, answer: Answer, call: Call) -> Any:
        return Answer(answer.text, answer.model, answer.request_ids[-1:])


class FollowsRedirects(Careful):
    """Wherever the server sends it, it goes, and brings the key."""

    def _refused(self, found: httpx.Response, body: bytes) -> Failed:
        target = found.headers.get("location", "")
        if target.startswith("http"):
            headers = {"authorization": found.request.headers["authorization"]}
            httpx.post(target, headers=headers, json={"model": ""}, timeout=1.0, trust_env=False)
        return super()._refused(found, body)


class RetriesTls(Careful):
    """A handshake that fails may work the next time."""

    def _lost(self, error: httpx.HTTPError, *, begun: bool) -> Failed:
        failed = super()._lost(error, begun=begun)
        failed.retry = True
        return failed


class RetriesBadStatus(Careful):
    """505 is a 5xx."""

    def _refused(self, found: httpx.Response, body: bytes) -> Failed:
        error = super()._refused(found, body)
        error.retry = error.retry or error.status in (501, 505)
        return error


class SameRequestId(Careful):
    """It made one id, once, and uses it for every call."""

    def _headers(self, api_key: str) -> dict[str, str]:
        return {**super()._headers(api_key), "x-request-id": "my-service-request"}


class GivesUpOnLateByte(Careful):
    """Half a second must be enough for the first byte."""

    idle_s = 0.4
    tries = 1


class UsesOwnModel(Careful):
    """It has a model of its own."""

    def _order(self, call: Call) -> list[str]:
        return ["my-own-model"]


class IgnoresBaseUrl(Careful):
    """It was configured once, for another address."""

    def _options(self) -> dict[str, Any]:
        return {**super()._options(), "proxy": "http://127.0.0.1:9"}


class Stumbles(Careful):
    """It never works."""

    def _result(self, answer: Answer, call: Call) -> Any:
        raise KeyError("content")


class SplitsBadly(Careful):
    """It reads chunks as if each were a whole event."""

    def _events(self, found: httpx.Response, call: Call) -> Iterator[tuple[str, str]]:
        for chunk in found.iter_text():
            for line in chunk.split("\n"):
                if line.startswith("data: "):
                    yield "", line[6:]


CLIENTS = {kind.__name__: kind() for kind in Careful.__subclasses__()}


def ask(prompt: str, *, models: Any, **more: Any) -> Any:
    """Be the client that the first model is named after: many clients in one process."""
    return CLIENTS[models[0].split("--")[0]](prompt, models=models, **more)
