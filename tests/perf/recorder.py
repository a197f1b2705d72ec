"""What the recorder costs a call on loopback: the same client with and without it, in turns."""

import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit"))

from recorder_kit import chat, serving, whole

from runbook_lib.recorder import record

CALLS = 400
TEN_MS = 10.0


def _one(client: Any) -> float:
    begun = time.perf_counter()
    body = {"model": "m-1", "messages": [{"role": "user", "content": "hello" * 40}]}
    client.post("/v1/chat/completions", json=body).raise_for_status()
    return (time.perf_counter() - begun) * 1000


def measure(rows: int = 0) -> list[tuple[str, float, str]]:
    """Measure the median cost of a recorded call; it does not depend on *rows*.

    Returns:
        Name, value and unit: added ms (median of pairs), and its share of a 10 ms call.
    """
    del rows
    import httpx2

    with tempfile.TemporaryDirectory() as folder, serving(whole(200, chat("x" * 400))) as server:
        plain = httpx2.Client(base_url=server.url)
        held = record(httpx2.Client(base_url=server.url), Path(folder) / "calls.jsonl")
        for client in (plain, held):
            for _ in range(50):
                _one(client)
        added = []
        for number in range(CALLS):
            first, second = (plain, held) if number % 2 else (held, plain)
            times = {id(first): _one(first), id(second): _one(second)}
            added.append(times[id(held)] - times[id(plain)])
        plain.close()
        held.close()
    cost = statistics.median(added)
    return [
        ("recorder: added to a call on loopback, median", cost, "ms"),
        ("recorder: share of a 10 ms call", 100 * cost / TEN_MS, "%"),
    ]
