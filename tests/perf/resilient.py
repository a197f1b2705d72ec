"""The reference client beside a plain SDK with its defaults: attempts, seconds, wrong moves.

Both call the same sandbox on loopback, in the same run. The plain SDK has no fallback; where it is
slow by design (three attempts with pauses) it makes fewer calls, and the figure is a mean.
"""

import functools
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit"))

import logging

import openai
import stamina
from gateway_kit import Running
from resilient_kit import WAYS, Way, ask, served

from runbook_lib.errors import CallError
from runbook_lib.resilient import Health, Resilient

MODELS = ("gpt-5.4", "gpt-5.4-mini")
MESSAGES = [{"role": "user", "content": "hi"}]
OUTAGE_CALLS = 1_000
AT_ONCE = 50
FEW = 15
DEADLINE_S = 1.0
ON_TIME_S = 0.1
"""How much later than its deadline a call may come back on a busy machine."""

FINAL = (
    *("key_cap_reached", "cap_nested", "cap_in_type", "subscription_window_used_up", "cap_in_200"),
    *(
        "key_window_used_up",
        "key_unknown_or_deleted",
        "balance_used_up",
        "status_400",
        "wrong_path",
    ),
)
NO_ANSWER = (
    *("empty_body", "html_body", "truncated_json", "error_in_200", "empty_object", "json_null"),
    *("json_list", "no_choices", "wrong_base_path"),
)
NO_STREAM = (
    *("stream_empty", "stream_keepalives_only", "stream_html", "stream_cut_mid", "stream_no_end"),
    *("stream_error_mid_unnamed", "stream_half_event", "stream_broken_after_first_byte"),
)
ENDLESS = ("no_answer", "slow_drip", "stream_stall", "retry_after_86400", "status_503")

Figure = tuple[str, float, str]


def measure(rows: int = 0) -> Iterator[Figure]:
    """Measure both clients; nothing depends on *rows*.

    Yields:
        Name, value and unit.
    """
    del rows
    logging.disable(logging.CRITICAL)
    try:
        with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as run:
            for part in (_sticky, _outage, _fallback, _wrong):
                yield from part(run)
    finally:
        logging.disable(logging.NOTSET)


def _sdk(run: Running) -> openai.OpenAI:
    root = run.sandbox.listening.base_url
    return openai.OpenAI(base_url=f"{root}/v1", api_key=run.secret("prod-web"), timeout=20)


def _plain(client: openai.OpenAI, fault: str, name: str = "") -> None:
    headers = {"x-sandbox-fault": fault, "x-sandbox-run": name}
    create = client.chat.completions.create
    try:
        create(model=MODELS[0], messages=MESSAGES, extra_headers=headers)  # type: ignore[arg-type]
    except openai.APIError:
        return


def _ours(calls: Resilient, fault: str, name: str = "") -> None:
    headers = {"x-sandbox-fault": fault, "x-sandbox-run": name}
    try:
        calls.call(messages=MESSAGES, extra_headers=headers)
    except CallError:
        return


def _seconds(act: Callable[[], object]) -> float:
    begun = time.perf_counter()
    act()
    return time.perf_counter() - begun


def _attempts(run: Running, name: str) -> int:
    return sum(seen.line.get("run") == name for seen in list(run.live.log))


def _sticky(run: Running) -> Iterator[Figure]:
    """A reached cap: attempts a call, and what it adds to the time of an answer."""
    with _sdk(run) as client:
        calls = Resilient(client, models=MODELS)
        for name, act in (
            ("reference", functools.partial(_ours, calls)),
            ("openai SDK", functools.partial(_plain, client)),
        ):
            act("", "warm")
            fine = statistics.median(_seconds(lambda: act("", "")) for _ in range(FEW))  # noqa: B023
            took = [_seconds(lambda: act("key_cap_reached", name)) for _ in range(FEW)]  # noqa: B023
            yield (f"sticky 429: attempts, {name}", _attempts(run, name) / FEW, "a call")
            yield (f"sticky 429: added, {name}", max(took) - fine, "s")


def _outage(run: Running) -> Iterator[Figure]:
    """Everything answers 503: attempts a call and model, many calls at the same time."""
    with _sdk(run) as client, ThreadPoolExecutor(AT_ONCE) as pool:
        calls = Resilient(client, models=MODELS)
        since = len(run.live.log)
        list(pool.map(lambda _: _ours(calls, "status_503", "storm"), range(OUTAGE_CALLS)))
        seen = [one.line for one in list(run.live.log)[since:]]
        worst = max(sum(line["model"] == model for line in seen) for model in MODELS)
        yield "outage of 1,000 calls: attempts, reference", worst / OUTAGE_CALLS, "a call and model"
        some = 2 * AT_ONCE
        list(pool.map(lambda _: _plain(client, "status_503", "plain storm"), range(some)))
        found = _attempts(run, "plain storm") / some
        yield "outage of 100 calls: attempts, openai SDK", found, "a call and model"


def _fallback(run: Running) -> Iterator[Figure]:
    """Seconds from the first failure of the primary to the answer of the fallback, the longest."""
    for name, fault in (
        ("answering 5xx", "status_503"),
        ("resetting", "reset_before_bytes"),
        ("refusing a model", "model_not_allowed"),
    ):
        run.client.post("/sandbox/faults", content=f"{fault};model={MODELS[0]}")
        at_once = 1 if fault == "model_not_allowed" else FEW  # thousandths are to be seen
        yield f"time to fallback: primary {name}", _longest(run, at_once), "s"
        run.act("DELETE", "faults")
    closed = "http://127.0.0.1:9"
    yield "time to fallback: primary refusing connections", _longest(run, FEW, base_url=closed), "s"


def _longest(run: Running, at_once: int, **options: Any) -> float:
    def once(seed: int) -> float:
        return _to_fallback(ask(run, Way(), seed=seed, health=Health(), **options))

    with ThreadPoolExecutor(at_once) as pool:
        return max(pool.map(once, range(2 * FEW)))


def _to_fallback(got: Any) -> float:
    """From the end of the first attempt to the end of the first one on the other model."""
    later = got.attempts[1:]
    to = next(place for place, one in enumerate(later) if one.model == MODELS[1])
    return sum(one.waited_s + one.duration_s for one in later[: to + 1])


def _wrong(run: Running) -> Iterator[Figure]:
    """What must not happen, over every SDK, streaming or not, sync and async."""
    retries = silent = 0
    with stamina.set_testing(True, attempts=3, cap=True):  # no waits
        for way in WAYS:
            retries += sum(len(ask(run, way, fault).seen) - 1 for fault in FINAL)
            spoiled = NO_STREAM if way.stream else NO_ANSWER
            silent += sum(ask(run, way, fault).answer is not None for fault in spoiled)
    cells = [
        (way, fault) for way in WAYS for fault in ENDLESS if way.stream or fault != "stream_stall"
    ]

    def late(cell: tuple[Way, str]) -> bool:
        return ask(run, *cell, deadline_s=DEADLINE_S).seconds > DEADLINE_S + ON_TIME_S

    with ThreadPoolExecutor(4) as pool:
        found = sum(pool.map(late, cells))
    yield "wrong retries, reference", retries, f"of {len(WAYS) * len(FINAL)} calls"
    yield "silent failures, reference", silent, "calls"
    yield "calls over the deadline, reference", found, f"of {len(cells)} calls"
