"""A correct client, written by hand over httpx; every decision is a method of its own.

A wrong client overrides one of them, so that it is wrong in exactly one way.
"""

import contextlib
import json
import math
import random
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from broken_clients.parts import Answer, Call, Failed, GaveUp, State

FINAL_CODES = {"API_KEY_QUOTA_EXHAUSTED", "insufficient_quota", "USAGE_LIMIT_EXCEEDED"}
MODEL_CODES = {"model_not_allowed", "model_not_found"}
PASSING = {408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529}
MAYBE_DONE = {425, 504, 524}
MOST_BODY = 16 << 20
AGAIN = {"retry": True, "once": True}


_STATES: dict[tuple[str, str], State] = defaultdict(State)
_LOCK = threading.Lock()


class Careful:
    """The correct client."""

    tries = 3
    first_wait_s = 0.5
    probe_s = 2.0
    idle_s = 2.5

    def __call__(
        self,
        prompt: str,
        *,
        base_url: str,
        api_key: str,
        models: Sequence[str],
        stream: bool,
        deadline_s: float,
    ) -> Any:
        """Ask, within the deadline."""
        end = time.monotonic() + deadline_s
        with httpx.Client(
            base_url=base_url, headers=self._headers(api_key), **self._options()
        ) as http:
            call = Call(prompt, models, stream, end, http, api_key)
            return self._result(self._through(call), call)

    def _headers(self, api_key: str) -> dict[str, str]:
        return {"authorization": f"Bearer {api_key}"}

    def _options(self) -> dict[str, Any]:
        return {"follow_redirects": False, "trust_env": False}

    def _result(self, answer: Answer, call: Call) -> Any:
        del call
        return answer

    # Models and attempts ------------------------------------------------------------------------

    def _through(self, call: Call) -> Answer:
        for model in self._order(call):
            try:
                answer = self._on_model(call, model)
            except Failed as error:
                call.errors[model] = error
                if error.elsewhere:
                    self._note(call.key, model, ok=False)
                if not self._may_fall_back(error) or call.left() <= 0:
                    break
            else:
                self._note(call.key, model, ok=True)
                return answer
        raise self._report(call)

    def _order(self, call: Call) -> list[str]:
        """Put models that were down lately last; one call probes them again."""
        now, shut = time.monotonic(), []
        with _LOCK:
            for model in call.models:
                state = _STATES[call.key, model]
                if state.failed >= 3 and now < state.probe_at:
                    shut.append(model)
                elif state.failed >= 3:
                    state.probe_at = now + self.probe_s
        return [model for model in call.models if model not in shut] + shut

    def _note(self, key: str, model: str, *, ok: bool) -> None:
        with _LOCK:
            state = _STATES[key, model]
            state.failed = 0 if ok else state.failed + 1
            if ok:
                state.tokens = min(20.0, state.tokens + 1)
            elif state.failed == 3:
                state.probe_at = time.monotonic() + self.probe_s

    def _on_model(self, call: Call, model: str) -> Answer:
        number = 0
        while True:
            number += 1
            try:
                return self._attempt(call, model)
            except Failed as error:
                if not self._may_retry(error, number, call, model):
                    raise
                self._sleep(self._wait_s(error, number))

    def _may_retry(self, error: Failed, number: int, call: Call, model: str) -> bool:
        most = 2 if error.once else self.tries
        if error.begun or not error.retry or number >= most:
            return False
        return self._fits(self._wait_s(error, number), call) and self._budget(call.key, model)

    def _fits(self, wait_s: float, call: Call) -> bool:
        return wait_s < call.left() - 0.05

    def _budget(self, key: str, model: str) -> bool:
        with _LOCK:
            state = _STATES[key, model]
            if state.tokens < 1:
                return False
            state.tokens -= 1
            return True

    def _wait_s(self, error: Failed, number: int) -> float:
        if error.wait_s is not None:
            return error.wait_s
        return self.first_wait_s * 2 ** (number - 1) * self._jitter()

    def _jitter(self) -> float:
        return random.uniform(0.4, 1.0)  # noqa: S311

    def _sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def _may_fall_back(self, error: Failed) -> bool:
        return error.elsewhere and not error.begun

    def _report(self, call: Call) -> Exception:
        parts = [
            f"{model}: {error.why} ({error.status or error.kind} {error.code})"
            for model, error in call.errors.items()
        ]
        last = next(reversed(call.errors.values()))
        return GaveUp("; ".join(parts), last.status, call.ids)

    # One attempt --------------------------------------------------------------------------------

    def _attempt(self, call: Call, model: str) -> Answer:
        if call.left() <= 0:
            raise Failed("no time left", kind="deadline")
        body = {
            "model": model,
            "messages": [{"role": "user", "content": call.prompt}],
            "stream": call.stream,
        }
        begun: list[bool] = []
        try:
            with call.http.stream(
                "POST", "/v1/chat/completions", json=body, timeout=self._timeout_s(call)
            ) as found:
                self._keep_ids(call, found)
                if found.status_code != 200:
                    raise self._refused(found, self._body(found, call))
                if call.stream:
                    return self._streamed(found, call, begun)
                return self._whole(self._body(found, call), call)
        except httpx.HTTPError as error:
            raise self._lost(error, begun=bool(begun)) from error

    def _timeout_s(self, call: Call) -> float:
        return max(0.05, min(self.idle_s, call.left()))

    def _keep_ids(self, call: Call, found: httpx.Response) -> None:
        call.ids.append(found.headers.get("x-request-id", ""))

    def _body(self, found: httpx.Response, call: Call) -> bytes:
        parts = bytearray()
        for chunk in found.iter_bytes():
            parts += chunk
            self._in_time(call)
            if len(parts) > MOST_BODY:
                raise Failed("the answer is too large", kind="size", retry=True, once=True)
        return bytes(parts)

    def _in_time(self, call: Call) -> None:
        if call.left() <= 0:
            raise Failed("the deadline came", kind="deadline")

    def _lost(self, error: httpx.HTTPError, *, begun: bool) -> Failed:
        name = type(error).__name__
        chain = f"{error!r} {error.__cause__!r} {error.__context__!r}"
        if isinstance(error, httpx.ConnectError):
            if "SSL" in chain or "certificate" in chain:
                return Failed("no TLS", kind=name)
            if "gaierror" in chain or "Name or service" in chain or "Errno -" in chain:
                return Failed("no such host", kind=name, retry=True, once=True)
            return Failed("not connected", kind=name, retry=True, elsewhere=True)
        late = isinstance(error, httpx.TimeoutException)
        more = {"kind": name, "begun": begun, "once": True, "elsewhere": True}
        return Failed("no answer in time" if late else "connection lost", retry=True, **more)

    # Refusals -----------------------------------------------------------------------------------

    def _refused(self, found: httpx.Response, body: bytes) -> Failed:
        status = found.status_code
        code = self._code_of(body)
        again = found.headers.get("x-should-retry", "").lower()
        wait = self._asked_wait(found.headers)
        sticky = self._is_final(status, code, wait)
        passing = status in PASSING and not sticky
        retry = (passing or (again == "true" and status == 400)) and again != "false"
        return Failed(
            "refused",
            status=status,
            code=code,
            wait_s=wait,
            retry=retry,
            once=status in MAYBE_DONE,
            elsewhere=passing or code in MODEL_CODES or status in (501, 505),
            html=body[:200].decode("utf-8", "replace") if b"<" in body[:20] else "",
        )

    def _is_final(self, status: int, code: str, wait: float | None) -> bool:
        if status != 429:
            return False
        window = code == "rate_limit_exceeded" and (wait is None or wait > 60)
        return code in FINAL_CODES or window or code == "INVALID_AUTH_RATE_LIMITED"

    def _code_of(self, body: bytes) -> str:
        try:
            content = json.loads(body)
        except ValueError:
            return ""
        return self._code_in(content)

    def _code_in(self, content: Any) -> str:
        if not isinstance(content, dict):
            return ""
        inner = content.get("error")
        if isinstance(inner, str):
            return inner
        held = inner if isinstance(inner, dict) else content
        for name in ("code", "type"):
            if isinstance(held.get(name), str):
                return str(held[name])
        return ""

    def _asked_wait(self, headers: httpx.Headers) -> float | None:
        with contextlib.suppress(KeyError, ValueError):
            return self._usable(float(headers["retry-after-ms"]) / 1000)
        text = headers.get("retry-after", "")
        with contextlib.suppress(ValueError):
            return self._usable(float(text))
        with contextlib.suppress(ValueError, TypeError):
            return self._usable(parsedate_to_datetime(text).timestamp() - time.time())
        return None

    def _usable(self, seconds: float) -> float | None:
        if math.isnan(seconds) or seconds <= 0:
            return None
        return seconds

    # Answers ------------------------------------------------------------------------------------

    def _whole(self, body: bytes, call: Call) -> Answer:
        try:
            content = json.loads(body)
        except ValueError as error:
            raise self._unreadable(body) from error
        if isinstance(content, dict) and content.get("error"):
            raise self._error_inside(content)
        return self._answer(content, call)

    def _unreadable(self, body: bytes) -> Failed:
        what = "a web page" if b"<html" in body[:500].lower() else "no JSON"
        return Failed(f"{what} under 200", kind="body", retry=True, once=True, elsewhere=True)

    def _error_inside(self, content: Any) -> Failed:
        code = self._code_in(content)
        final = self._is_final(429, code, None)
        return Failed(
            "an error under 200", code=code, kind="error", retry=not final, elsewhere=not final
        )

    def _answer(self, content: Any, call: Call) -> Answer:
        try:
            choice = content["choices"][0]
            text, model = choice["message"]["content"], content["model"]
        except (KeyError, IndexError, TypeError) as error:
            raise self._odd() from error
        if not text or not choice.get("finish_reason"):
            raise self._odd()
        return Answer(text, model, call.ids)

    def _odd(self) -> Failed:
        return Failed("an answer without its parts", kind="schema", retry=True, once=True)

    # Streams ------------------------------------------------------------------------------------

    def _streamed(self, found: httpx.Response, call: Call, begun: list[bool]) -> Answer:
        text, model, finished, done = "", "", False, False
        for name, data in self._events(found, call):
            if data == "[DONE]":
                done = True
                break
            content = self._event(data, begun=bool(begun))
            if content is None:
                continue
            if isinstance(content, dict) and content.get("error"):
                error = self._error_event(name, content, begun=bool(begun))
                if error is None:
                    done = finished = True
                    break
                raise error
            model = content.get("model", model)
            for choice in content.get("choices", []):
                text += choice.get("delta", {}).get("content") or ""
                finished = finished or bool(choice.get("finish_reason"))
            if text:
                begun[:] = [True]
        self._ended(text, finished=finished, done=done, begun=bool(begun))
        return Answer(text, model, call.ids)

    def _events(self, found: httpx.Response, call: Call) -> Iterator[tuple[str, str]]:
        if "event-stream" not in found.headers.get("content-type", ""):
            raise self._unreadable(self._body(found, call))
        name = ""
        for line in self._lines(found, call):
            if line.startswith("event:"):
                name = line[6:].strip()
            elif line.startswith("data:"):
                yield name, line[5:].strip()
                name = ""

    def _lines(self, found: httpx.Response, call: Call) -> Iterator[str]:
        """Give lines; the deadline is looked at with every chunk, not with every line."""
        held = b""
        for chunk in found.iter_bytes():
            self._in_time(call)
            *lines, held = (held + chunk).split(b"\n")
            yield from (line.rstrip(b"\r").decode("utf-8", "replace") for line in lines)

    def _event(self, data: str, *, begun: bool) -> Any:
        try:
            content = json.loads(data)
        except ValueError as error:
            raise Failed("a broken event", kind="stream", begun=begun, **AGAIN) from error
        if not isinstance(content, dict):
            raise Failed("an odd event", kind="stream", begun=begun, **AGAIN)
        return content

    def _error_event(self, name: str, content: Any, *, begun: bool) -> Failed | None:
        del name
        error = self._error_inside(content)
        error.begun = begun
        return error

    def _ended(self, text: str, *, finished: bool, done: bool, begun: bool) -> None:
        if not text:
            raise Failed("an empty stream", kind="stream", retry=True, once=True, elsewhere=True)
        if not (finished and done):
            raise Failed("a stream without its end", kind="stream", begun=begun)


ask = Careful()
