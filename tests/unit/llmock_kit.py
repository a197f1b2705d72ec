"""The same call against two servers that fail on purpose: PyPI's `llmock`, and our sandbox."""

import os
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import openai
from elsewhere_kit import python_of
from gateway_kit import CHAT, Running

from runbook_lib import classify
from runbook_lib.contract import Retry

ASKED: dict[str, Any] = {"messages": [{"role": "user", "content": "ping"}]}
KEY = "prod-web"
QUIET_S = 0.6
"""How long clients wait for a byte where a fault is that none comes."""
_RUNNING = re.compile(r"Uvicorn running on (http://127\.0\.0\.1:\d+)")
_AGAIN = {"gave_up", "truncated_stream_accepted", "malformed_chunk_ignored"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One fault under both names: ours, and the behaviour that `llmock` is told."""

    ours: str
    theirs: dict[str, Any]
    stream: bool = False
    impatient: bool = False

    @property
    def timeout(self) -> Any:
        """What the call is given beside the defaults."""
        return QUIET_S if self.impatient else openai.NOT_GIVEN


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a server did to the SDK, and what its answer means.

    Attributes:
        attempts: Requests that reached the server. ending: Class of the exception, or how the
            answer ended. retry: Our class for the answer. wait_s: The wait it names, in seconds.
        again: Whether the judge of `llmock` wants it sent again; None where it has no opinion.
    """

    ending: str
    status: int | None
    retry: Retry | None
    wait_s: float | None
    attempts: int = 0
    again: bool | None = None


@dataclass
class Mock:
    """A server of `llmock` that listens."""

    base_url: str
    client: httpx.Client
    process: subprocess.Popen[bytes] = field(repr=False)

    def plant(self, model: str, behaviour: dict[str, Any]) -> None:
        """Let every call for a model fail, for good."""
        told = {"times": None, "match": {"model": model}, **behaviour}
        self.client.post("/_llmock/scenario", json={"behaviors": [told]}).raise_for_status()

    def judged(self, names: list[str]) -> dict[str, tuple[int, bool | None]]:
        """Tell, by name of a pair, the SDK's attempts, and whether its judge wants them again.

        A client that sent once is blamed for giving up, or one that sent twice for sending again;
        where neither is, the judge has no opinion.
        """
        seen = self.client.get("/_llmock/requests").json()["requests"]
        model = {each["seq"]: each["model"] for each in seen}
        blamed = {
            (model[seq], finding["code"])
            for finding in self.client.get("/_llmock/verdict").json()["findings"]
            for seq in finding["requests"]
        }
        attempts = Counter(model.values())
        return {name: (attempts[f"{name} sdk"], _opinion(name, blamed)) for name in names}


def _opinion(name: str, blamed: set[tuple[str, str]]) -> bool | None:
    if any((f"{name} once", code) in blamed for code in _AGAIN):
        return True
    return False if (f"{name} twice", "retried_non_retryable") in blamed else None


@contextmanager
def mocking(folder: Path) -> Iterator[Mock]:
    """Run `llmock serve` from its own environment, for the length of a block."""
    words = [python_of("llmock"), "-m", "llmock.cli", "serve", "--port", "0"]
    kept = {name: text for name, text in os.environ.items() if not name.startswith("LLMOCK_")}
    log = folder / "llmock.log"
    with ExitStack() as held:
        out = held.enter_context(log.open("wb"))
        process = subprocess.Popen(words, stdout=out, stderr=out, cwd=folder, env=kept)
        held.callback(_end, process)
        base = _listening(process, log)
        client = held.enter_context(httpx.Client(base_url=base, trust_env=False, timeout=20))
        yield Mock(base, client, process)


def _listening(process: subprocess.Popen[bytes], log: Path) -> str:
    for _ in range(600):
        if found := _RUNNING.search(log.read_text(errors="replace")):
            return found.group(1)
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.05)
            break
    raise AssertionError(f"llmock does not listen: {log.read_text(errors='replace')[-400:]}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)


# One fault, against both ------------------------------------------------------------------------


def play(run: Running, mock: Mock, pairs: dict[str, Pair]) -> dict[str, tuple[Told, Told]]:
    """Make the call of every pair against both servers: most of the time is waits, so at once."""
    with ThreadPoolExecutor(12) as pool:
        ours = pool.map(partial(_ask_ours, run), pairs.items())
        theirs = pool.map(partial(_ask_theirs, mock), pairs.items())
        told = list(zip(pairs, ours, theirs, strict=True))
    attempts = Counter(line["run"] for line in run.log())
    judged = mock.judged(list(pairs))
    return {
        name: (
            replace(mine, attempts=attempts[name]),
            replace(other, attempts=judged[name][0], again=judged[name][1]),
        )
        for name, mine, other in told
    }


def _ask_ours(run: Running, named: tuple[str, Pair]) -> Told:
    name, pair = named
    headers = {"x-sandbox-fault": pair.ours, "x-sandbox-run": name}
    base, key = run.sandbox.listening.base_url, run.secret(KEY)
    ending = _sdk(f"{base}/v1", key, "gpt-5.4", pair, headers)
    headers |= {"x-sandbox-run": f"{name} wire", "authorization": f"Bearer {key}"}
    return _told(ending, _wire(f"{base}{CHAT}", "gpt-5.4", pair, headers))


def _ask_theirs(mock: Mock, named: tuple[str, Pair]) -> Told:
    name, pair = named
    sdk, once, twice = (f"{name} {way}" for way in ("sdk", "once", "twice"))
    for model in (sdk, once, twice):
        mock.plant(model, pair.theirs)
    ending = _sdk(f"{mock.base_url}/v1", "any", sdk, pair, {})
    wire = [_wire(f"{mock.base_url}{CHAT}", each, pair, {}) for each in (once, twice, twice)]
    return _told(ending, wire[0])


def _told(ending: str, wire: tuple[int | None, bytes | None, Any]) -> Told:
    found = classify(*wire)
    return Told(ending=ending, status=wire[0], retry=found.retry, wait_s=found.retry_after_s)


def _sdk(base: str, key: str, model: str, pair: Pair, headers: dict[str, str]) -> str:
    """Call through the SDK as it comes; tell how it ended."""
    with openai.OpenAI(base_url=base, api_key=key) as client:
        try:
            made = client.chat.completions.create(
                model=model,
                stream=pair.stream,
                extra_headers=headers,
                timeout=pair.timeout,
                **ASKED,
            )
            chunks = list(made) if pair.stream else [made]
        except (openai.OpenAIError, httpx.HTTPError, ValueError) as error:
            return type(error).__name__
    ends = [each.finish_reason for chunk in chunks for each in chunk.choices]
    return "answer" if ends and ends[-1] else "unfinished answer" if ends else "nothing"


def _wire(
    url: str, model: str, pair: Pair, headers: dict[str, str]
) -> tuple[int | None, bytes | None, Any]:
    """Call without an SDK: status, the bytes that came, headers; None where no answer came."""
    body = {"model": model, "stream": pair.stream, **ASKED}
    timeout = QUIET_S if pair.impatient else 20
    status, came, names = None, b"", None
    with (
        suppress(httpx.HTTPError),
        httpx.Client(trust_env=False, timeout=timeout) as client,
        client.stream("POST", url, json=body, headers=headers) as answer,
    ):
        status, names = answer.status_code, answer.headers.multi_items()
        for part in answer.iter_raw():
            came += part
    return status, None if status is None else came, names
