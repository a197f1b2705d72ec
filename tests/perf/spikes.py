"""How long the search for spikes takes over a thousand keys and ninety days of hours.

python -m tests.perf.spikes
"""

import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

KEYS, DAYS, MODELS = 1000, 90, 2
END = datetime(2026, 11, 23, tzinfo=UTC)


def measure(rows: int) -> Iterator[tuple[str, float, str]]:
    """Time the whole analysis, the better of two runs; its size does not depend on *rows*."""
    del rows
    from runbook_lib.analysis.spikes import find_spikes

    hourly, took = roll_up(), []
    for _ in range(2):
        start = time.perf_counter()
        spikes = find_spikes(hourly, now=END)
        took.append(time.perf_counter() - start)
    if not (spikes.events["status"] == "raised").any():
        raise AssertionError("a thousand keys of gamma noise hold some records")
    yield "spikes, 1,000 keys x 90 days of hours", min(took), "s"


def roll_up() -> Any:
    """Make a roll-up as the store gives it: every key spends in most hours, on two models."""
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(7)
    hours = DAYS * 24
    course = 2 + np.sin(np.arange(hours) / 24 * 2 * np.pi)
    usd = course * rng.gamma(2.0, 0.5, (KEYS, MODELS, hours)) * rng.lognormal(0, 1, (KEYS, 1, 1))
    used = rng.random(usd.shape) < 0.5
    key, model, hour = np.nonzero(used)
    first = END - timedelta(hours=hours)
    return pd.DataFrame(
        {
            "bucket": pd.Timestamp(first) + pd.to_timedelta(hour, unit="h"),
            "key_name": np.char.add("key-", key.astype(str)).astype(object),
            "model": np.char.add("model-", model.astype(str)).astype(object),
            "requests": pd.array(np.ones(len(key), dtype=int), dtype="Int64"),
            "cost_usd": [Decimal(f"{value:.10f}") for value in usd[used]],
        }
    )


if __name__ == "__main__":
    for figure in measure(0):
        sys.stdout.write(f"{figure}\n")
