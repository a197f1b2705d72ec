"""How long the sizing of caps takes for a thousand keys and ninety days, headless.

python -m tests.perf.caps
"""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

KEYS, DAYS = 1000, 90
END = datetime(2026, 11, 23, tzinfo=UTC)


def measure(rows: int) -> Iterator[tuple[str, float, str]]:
    """Time the whole sizing in a process of its own; its size does not depend on *rows*."""
    del rows
    done = subprocess.run(
        [sys.executable, __file__, "alone"], check=True, capture_output=True, text=True
    )
    took, peak = json.loads(done.stdout)
    yield "caps, 1,000 keys x 90 days", took, "s"
    yield "caps memory", peak, "GiB"


def alone() -> tuple[float, float]:
    """Size caps once: seconds it takes, and the most memory of the process in GiB."""
    from runbook_lib.analysis.caps import size_caps

    given = material()
    start = time.perf_counter()
    parts = size_caps(given)
    took = time.perf_counter() - start
    if len(parts.exhibits["to_type"].frame) != 4 * KEYS:
        raise AssertionError("every key has four numbers to type")
    return took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2


def material() -> Any:
    """Make what the store would give: spiky and steady keys, by hour and by day."""
    import numpy as np
    import pandas as pd

    from runbook_lib.analysis.caps import CapMaterial

    rng = np.random.default_rng(7)
    hours = DAYS * 24
    course = 2 + np.sin(np.arange(hours) / 24 * 2 * np.pi)
    usd = course * rng.gamma(2.0, 0.5, (KEYS, hours)) * rng.lognormal(0, 1, (KEYS, 1))
    used = rng.random(usd.shape) < rng.choice([0.02, 0.3, 0.8], (KEYS, 1))
    key, hour = np.nonzero(used)
    names = np.char.add("key-", key.astype(str)).astype(object)
    first = pd.Timestamp(END - timedelta(hours=hours))
    hourly = pd.DataFrame(
        {
            "bucket": first + pd.to_timedelta(hour, unit="h"),
            "key_name": names,
            "cost_usd": [Decimal(f"{value:.10f}") for value in usd[used]],
            "max_cost_usd": [Decimal("0.05")] * len(key),
        }
    )
    days = hourly.assign(bucket=hourly["bucket"].dt.floor("D"))
    daily = days.groupby(["bucket", "key_name"], as_index=False)["cost_usd"].sum()
    keys = pd.DataFrame(
        {
            "key_name": [f"key-{number}" for number in range(KEYS)],
            "environment": ["production", "staging", "dev", None] * (KEYS // 4),
            "cap_amount": [Decimal(50)] * KEYS,
            "cap_currency": ["USD"] * KEYS,
            "cap_window": ["1d", "total"] * (KEYS // 2),
            "created_at": [first] * KEYS,
            "expires_at": [pd.NaT] * KEYS,
        }
    )
    empty = pd.DataFrame()
    return CapMaterial(
        daily=daily,
        hourly=hourly,
        keys=keys,
        key_state=empty,
        ledger=empty,
        budget=empty,
        planned=empty,
        now=END,
        monthly_budget=Decimal(1_000_000),
        balance=Decimal(500_000),
    )


if __name__ == "__main__":
    if sys.argv[1:] == ["alone"]:
        sys.stdout.write(json.dumps(alone()))
    else:
        for figure in measure(0):
            sys.stdout.write(f"{figure}\n")
