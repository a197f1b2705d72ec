"""How a client is asked and what it gives, inside the client's process.

Nothing but the standard library here: the process may be another Python without this package.
"""

import asyncio
import contextlib
import inspect
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runbook_lib.verify.watch import Watch

MOST_TEXT = 1 << 20
"""Characters of a text that are told; a longer one is no answer of the sandbox."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What a client is asked.

    Attributes:
        base_url: Root of the gateway.
        models: In order of preference.
        deadline_s: Seconds for the whole call.
    """

    protocol: str
    prompt: str
    base_url: str
    api_key: str
    models: list[str]
    stream: bool
    deadline_s: float


Ask = Callable[[Call], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """How the client is called: plainly, as a coroutine, or both ways."""

    plain: Ask | None = None
    coroutine: Ask | None = None


def _ended(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    with contextlib.suppress(ValueError):
        return f"ended by {signal.Signals(-status).name}"
    return f"ended by signal {-status}"


class Job:
    """The calls of one cell, in a process of their own."""

    def __init__(self, order: Mapping[str, Any], client: Client, watch: "Watch") -> None:
        self._order, self._client, self._watch = order, client, watch
        self._call = Call(**order["call"])
        self._numbers = iter(range(1, order["calls"] + 1))
        self._lock = threading.Lock()
        self._started = time.monotonic()

    def run(self) -> None:
        """Make the calls; what happens is told through the channel."""
        wants = self._order["asynchronous"]
        together = min(self._order["at_once"], self._order["calls"])
        if self._client.plain is None or (wants and self._client.coroutine is not None):
            asyncio.run(self._gathered(together))
        elif together == 1:
            self._plainly()
        else:
            threads = [threading.Thread(target=self._plainly) for _ in range(together)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        self._watch.channel.tell("over", self._watch.output.written)

    def _next(self) -> int | None:
        with self._lock:
            return next(self._numbers, None)

    def _pause(self, number: int) -> float:
        """Seconds until this call is due."""
        due = self._started + (number - 1) * self._order["every_s"]
        return max(0.0, due - time.monotonic())

    def _plainly(self) -> None:
        while (number := self._next()) is not None:
            time.sleep(self._pause(number))
            self._begin(number)
            try:
                ask = self._client.plain or (lambda _: None)
                found = ask(self._asked(number))
                value = asyncio.run(_awaited(found)) if inspect.isawaitable(found) else found
            except BaseException as error:  # noqa: BLE001 (what a client raises is what it gives)
                self._end(number, raised(error))
            else:
                self._end(number, given(value))

    async def _gathered(self, together: int) -> None:
        await asyncio.gather(*(self._in_turn() for _ in range(together)))

    async def _in_turn(self) -> None:
        while (number := self._next()) is not None:
            await asyncio.sleep(self._pause(number))
            self._begin(number)
            task = asyncio.ensure_future(self._coroutine(number))
            after = self._order["cancel_after_s"]
            if after is not None:
                asyncio.get_running_loop().call_later(after, task.cancel)
            await asyncio.wait({task})
            self._end(number, _finished(task))

    async def _coroutine(self, number: int) -> Any:
        ask = self._client.coroutine or (lambda _: None)
        try:
            value = ask(self._asked(number))
            return given(await value if inspect.isawaitable(value) else value)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 (what a client raises is what it gives)
            return raised(error)

    def _asked(self, number: int) -> Call:
        return replace(self._call, prompt=self._call.prompt.replace("{call}", f"{number:05d}"))

    def _begin(self, number: int) -> None:
        self._watch.call.set(number)
        self._watch.channel.tell("began", number, time.monotonic())

    def _end(self, number: int, found: dict[str, Any]) -> None:
        if self._watch.channel.elsewhere:
            os._exit(0)  # a child that the client forked came back here: its parent tells
        self._watch.channel.tell("ended", number, time.monotonic(), found)


async def _awaited(value: Any) -> Any:
    return await value


def _finished(task: "asyncio.Future[Any]") -> dict[str, Any]:
    if task.cancelled():
        return {"ending": "cancelled"}
    found: dict[str, Any] = task.result()
    return found


def given(value: Any) -> dict[str, Any]:
    """Read what a client returned: a text, or something with `text`, `model`, `request_ids`."""
    text = value if isinstance(value, str) else _part(value, "text")
    told = {"model": _word(value, "model"), "ids": _ids(value)}
    if not isinstance(text, str) or not text:
        return {"ending": "no text", **told}
    return {"ending": "text", "text": text[:MOST_TEXT], **told}


def raised(error: BaseException) -> dict[str, Any]:
    """Read what a client raised."""
    try:
        said = str(error)
    except BaseException:  # noqa: BLE001 (a class of the client's own can fail here too)
        said = ""
    return {
        "ending": "raised",
        "type": type(error).__name__,
        "error": said[:2000],
        "status": _status(error),
        "ids": _ids(error),
    }


def _status(error: BaseException) -> int | None:
    """The HTTP status of an exception, in the places where clients keep it."""
    held = (error, "status_code"), (error, "code"), (_part(error, "response"), "status_code")
    found = (_part(value, name) for value, name in held)
    return next((one for one in found if type(one) is int and 100 <= one <= 599), None)


def _part(value: Any, name: str) -> Any:
    if isinstance(value, Mapping):
        return value.get(name)
    try:
        return getattr(value, name, None)
    except BaseException:  # noqa: BLE001 (a property of the client's own can fail)
        return None


def _word(value: Any, name: str) -> str:
    found = _part(value, name)
    return found[:200] if isinstance(found, str) else ""


def _ids(value: Any) -> list[str]:
    """Ids of attempts, as `request_ids` or as the one `request_id` of an SDK's error.

    An SDK joins the lines of one header by commas; they are taken apart again.
    """
    found = _part(value, "request_ids")
    if not isinstance(found, list | tuple):
        found = [_part(value, "request_id")]
    single = (one.split(",") for one in found[:1000] if isinstance(one, str))
    return [one.strip()[:300] for several in single for one in several][:1000]


# What can be a client ---------------------------------------------------------------------------


def of_function(function: Callable[..., Any]) -> Client:
    """Call a user's function as agreed."""

    def ask(call: Call) -> Any:
        return function(
            call.prompt,
            base_url=call.base_url,
            api_key=call.api_key,
            models=list(call.models),
            stream=call.stream,
            deadline_s=call.deadline_s,
        )

    inner = type(function).__call__ if not inspect.isroutine(function) else function
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(inner):
        return Client(coroutine=ask)
    return Client(plain=ask)


def of_command(words: list[str]) -> Client:
    """Run a command that finds what it is asked in its environment."""

    def ask(call: Call) -> str:
        environment = {
            **os.environ,
            "TOROUTER_PROMPT": call.prompt,
            "TOROUTER_BASE_URL": call.base_url,
            "TOROUTER_API_KEY": call.api_key,
            "TOROUTER_MODELS": ",".join(call.models),
            "TOROUTER_STREAM": "1" if call.stream else "0",
            "TOROUTER_DEADLINE_S": f"{call.deadline_s:g}",
            "TOROUTER_PROTOCOL": call.protocol,
        }
        held = subprocess.Popen(  # noqa: S603 (the command is the user's own)
            words,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        return _output(held)

    return Client(plain=ask)


def _output(held: "subprocess.Popen[bytes]") -> str:
    """Read what a command writes to its end."""
    errors: list[bytes] = []
    reader = threading.Thread(target=lambda: errors.append(_drained(held.stderr)), daemon=True)
    reader.start()
    text = _drained(held.stdout).decode("utf-8", "replace").rstrip("\r\n")
    status = held.wait()
    reader.join(1.0)
    if status:
        said = b"".join(errors)[-1000:].decode("utf-8", "replace")
        raise ChildProcessError(f"{_ended(status)} {said}".strip())
    return text


def _drained(source: Any) -> bytes:
    """Read to the end, and keep what may be told."""
    kept: bytes = source.read(4 * MOST_TEXT)
    while source.read(1 << 16):
        pass
    return kept
