"""What the recorder costs a call on loopback: the same client with and without it, in turns."""

import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit"))

from recorder_kit import chat, serving, whole

from runbook_lib.recorder import record

ROUNDS, PAIRS = 8, 100
WARM_UP = 50
SLOW_S = 0.01
BODY = {"model": "m-1", "messages": [{"role": "user", "content": "hello" * 40}]}


def _one(client: Any) -> float:
    begun = time.perf_counter()
    client.post("/v1/chat/completions", json=BODY).raise_for_status()
    return (time.perf_counter() - begun) * 1000


def _cost(answer: Any, log: Path) -> tuple[float, float]:
    """Call a server with and without the recorder, in turns.

    Each pair is two calls right after each other, so that what the machine does beside it hits
    both. Of the rounds the one counts in which plain calls were fastest: it was disturbed least.

    Args:
        answer: Of the server.
        log: Call log.

    Returns:
        Medians of that round in ms: of a plain call, and of what the recorder adds.
    """
    import httpx2

    rounds = []
    with serving(answer) as server:
        plain = httpx2.Client(base_url=server.url)
        held = record(httpx2.Client(base_url=server.url), log, key_name="bench")
        for _ in range(WARM_UP):
            _one(plain)
            _one(held)
        for _ in range(ROUNDS):
            added, alone = [], []
            for number in range(PAIRS):
                first, second = (plain, held) if number % 2 else (held, plain)
                times = {id(first): _one(first), id(second): _one(second)}
                added.append(times[id(held)] - times[id(plain)])
                alone.append(times[id(plain)])
            rounds.append((statistics.median(alone), statistics.median(added)))
        plain.close()
        held.close()
    return min(rounds)


def measure(rows: int = 0) -> Iterator[tuple[str, float, str]]:
    """Measure the cost of a recorded call; it does not depend on *rows*.

    Args:
        rows: Not used.

    Yields:
        Name, value and unit: what is added to a call that is answered at once (median of pairs,
        ms), and its share of a call that takes 10 ms (%).
    """
    del rows
    answer = whole(200, chat("x" * 400))
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "calls.jsonl"
        _, added = _cost(answer, log)
        yield "recorder: added to a call", added, "ms"
        alone, added = _cost([SLOW_S, answer], log)
        yield "recorder: share of a 10 ms call", 100 * added / alone, "%"
