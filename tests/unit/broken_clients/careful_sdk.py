"""A correct async client over the openai SDK, whose own retries are off, with a policy of its own.

Written as one loop over a plan of attempts; `careful` is written as a class of decisions.
"""

import asyncio
import json
import random
import time
from collections.abc import Sequence
from email.utils import parsedate_to_datetime
from types import SimpleNamespace
from typing import Any

import openai

STOPS = {"API_KEY_QUOTA_EXHAUSTED", "insufficient_quota", "USAGE_LIMIT_EXCEEDED"}
PASSES = {408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529}
MODEL = {"model_not_allowed", "model_not_found"}
UNSURE = {425, 504, 524}
HEALTH: dict[tuple[str, str], list[float]] = {}


class NoAnswer(RuntimeError):  # noqa: N818 (a client's own word)
    """What all attempts came to."""

    def __init__(self, told: list[str], status: int | None, ids: list[str]) -> None:
        super().__init__(" | ".join(told))
        self.status_code, self.request_ids = status, ids


class Trouble(Exception):  # noqa: N818
    """One attempt's failure and what it allows: attempts in all, another model, a wait."""

    def __init__(
        self,
        why: str,
        tries: int = 1,
        *,
        other: bool = False,
        wait: float | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(why)
        self.tries, self.other, self.wait, self.status = tries, other, wait, status


async def ask(
    prompt: str,
    *,
    base_url: str,
    api_key: str,
    models: Sequence[str],
    stream: bool,
    deadline_s: float,
) -> Any:
    """Ask, within the deadline."""
    end = time.monotonic() + deadline_s - 0.05
    told: list[str] = []
    ids: list[str] = []
    status: int | None = None
    http = openai.DefaultAsyncHttpxClient(follow_redirects=False)
    async with openai.AsyncOpenAI(
        base_url=f"{base_url}/v1", api_key=api_key, max_retries=0, http_client=http, timeout=2.5
    ) as client:
        for model in _order(api_key, models):
            trouble = await _model(client, model, prompt, stream, end, ids, told, api_key)
            if not isinstance(trouble, Trouble):
                return trouble
            status = trouble.status
            if not trouble.other or time.monotonic() >= end:
                break
    raise NoAnswer(told, status, ids)


async def _model(
    client: Any,
    model: str,
    prompt: str,
    stream: bool,  # noqa: FBT001
    end: float,
    ids: list[str],
    told: list[str],
    key: str,
) -> Any:
    """Ask one model as often as is allowed; give the answer or the last trouble."""
    health = HEALTH.setdefault((key, model), [20.0, 0.0, 0.0])  # tokens, failed calls, probe at
    trouble = Trouble("no time left")
    for number in range(1, 4):
        left = end - time.monotonic()
        if left <= 0:
            break
        try:
            async with asyncio.timeout(left):
                once = _streamed if stream else _whole
                found = await once(client, model, prompt, ids)
        except TimeoutError:
            trouble = Trouble("the deadline came")
        except Trouble as error:
            trouble = error
        else:
            health[0], health[1] = min(20.0, health[0] + 1), 0.0
            return found
        told.append(f"{model} #{number}: {trouble}")
        wait = trouble.wait or 0.5 * 2 ** (number - 1) * random.uniform(0.3, 1.0)  # noqa: S311
        if number >= trouble.tries or wait >= end - time.monotonic() or health[0] < 1:
            break
        health[0] -= 1
        await asyncio.sleep(wait)
    health[1] += trouble.other
    if health[1] == 3:
        health[2] = time.monotonic() + 2.0
    return trouble


def _order(key: str, models: Sequence[str]) -> list[str]:
    """Put models that failed three calls in a row last, save for one probe in two seconds."""
    first, last = [], []
    for model in models:
        health = HEALTH.get((key, model), [20.0, 0.0, 0.0])
        down = health[1] >= 3 and time.monotonic() < health[2]
        if health[1] >= 3 and not down:
            health[2] = time.monotonic() + 2.0
        (last if down else first).append(model)
    return first + last


async def _whole(client: Any, model: str, prompt: str, ids: list[str]) -> Any:
    messages = [{"role": "user", "content": prompt}]
    try:
        raw = await client.chat.completions.with_raw_response.create(model=model, messages=messages)
        ids.append(raw.headers.get("x-request-id", ""))
        content = json.loads(await _text(raw))
    except openai.APIError as error:
        raise _trouble(error, ids) from error
    except ValueError as error:
        raise Trouble("no JSON under 200", 2, other=True) from error
    choice = _first(content)
    if choice is None or not choice.get("finish_reason"):
        raise _inside(content)
    text = choice.get("message", {}).get("content")
    if not text:
        raise Trouble("an answer without a text", 2)
    return SimpleNamespace(text=text, model=content.get("model", ""), request_ids=ids)


async def _text(raw: Any) -> str:
    found = raw.text
    return str(found() if callable(found) else found)


def _first(content: Any) -> Any:
    if not isinstance(content, dict) or not isinstance(content.get("choices"), list):
        return None
    return content["choices"][0] if content["choices"] else None


def _inside(content: Any) -> Trouble:
    inner = content.get("error") if isinstance(content, dict) else None
    if isinstance(inner, dict):
        if inner.get("code") in STOPS:
            return Trouble(f"{inner['code']} under 200")
        return Trouble(f"an error under 200: {inner.get('type')}", 3, other=True)
    return Trouble("an answer without its parts", 2)


async def _streamed(client: Any, model: str, prompt: str, ids: list[str]) -> Any:
    messages = [{"role": "user", "content": prompt}]
    text, named, whole = "", "", False
    try:
        stream = await client.chat.completions.create(model=model, messages=messages, stream=True)
        ids.append(stream.response.headers.get("x-request-id", ""))
        async with stream:
            async for chunk in stream:
                named = chunk.model or named
                for choice in chunk.choices or []:
                    text += choice.delta.content or ""
                    whole = whole or bool(choice.finish_reason)
    except openai.APIError as error:
        trouble = _trouble(error, ids)
        raise Trouble(str(trouble)) if text else trouble from error
    except Exception as error:
        broken = Trouble(f"a broken stream: {type(error).__name__}", 1 if text else 2)
        raise broken from error
    if not text:
        raise Trouble("an empty stream", 2, other=True)
    if not whole:
        raise Trouble("a stream without its end")
    return SimpleNamespace(text=text, model=named, request_ids=ids)


def _trouble(error: openai.APIError, ids: list[str]) -> Trouble:
    if isinstance(error, openai.APIStatusError):
        return _refused(error, ids)
    chain = []
    at: BaseException | None = error
    while at is not None:
        chain.append(f"{type(at).__name__} {at}")
        at = at.__cause__ or at.__context__
    said = " ".join(chain)
    if "SSL" in said:
        return Trouble("no TLS")
    if "Errno -" in said or "Name or service" in said:
        return Trouble("no such host", 2)
    if "ConnectError" in said:
        return Trouble("not connected", 3, other=True)
    body = error.body if isinstance(error.body, dict) else {}
    if body.get("code") in STOPS:
        return Trouble(str(body["code"]))
    return Trouble(f"connection lost: {type(error).__name__}", 2, other=True)


def _refused(error: openai.APIStatusError, ids: list[str]) -> Trouble:
    headers, status = error.response.headers, error.status_code
    ids.append(headers.get("x-request-id", ""))
    code, wait, again = _code(error), _wait(headers), headers.get("x-should-retry", "")
    why = f"{status} {code}"
    window = code == "rate_limit_exceeded" and (wait is None or wait > 60)
    if code in STOPS or (status == 429 and window):
        return Trouble(why, status=status)
    if status in PASSES:
        tries = 1 if again == "false" else 2 if status in UNSURE else 3
        return Trouble(why, tries, other=True, wait=wait, status=status)
    elsewhere = code in MODEL or status in (501, 505)
    return Trouble(why, 3 if again == "true" else 1, other=elsewhere, status=status)


def _code(error: openai.APIStatusError) -> str:
    try:
        content = error.response.json()
    except ValueError:
        return ""
    inner = content.get("error", content) if isinstance(content, dict) else {}
    if not isinstance(inner, dict):
        return str(inner)
    return str(inner.get("code") or inner.get("type") or "")


def _wait(headers: Any) -> float | None:
    try:
        if "retry-after-ms" in headers:
            seconds = float(headers["retry-after-ms"]) / 1000
        else:
            seconds = float(headers.get("retry-after", "nan"))
    except ValueError:
        try:
            seconds = parsedate_to_datetime(headers["retry-after"]).timestamp() - time.time()
        except (ValueError, TypeError):
            return None
    return seconds if seconds > 0 else None
