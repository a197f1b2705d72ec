"""How fast spend is rolled up and drilled down, beside the engine asked by hand.

    python -m tests.perf.spend 10000000

The rows span ten weeks, so that a week holds a tenth of them.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

Figure = tuple[str, float, str]
ROOT = Path(__file__).parents[2]
TURNS = 3
PAIRS = 1000

_COLUMNS = """
    strftime(make_timestamp(1795498982661639 - i * {step}), '%Y-%m-%dT%H:%M:%S.%f') || '+08:00'
        AS "Time",
    'key-' || (hash(i + 3) % 40) AS "API Key Name",
    'model-' || (hash(i) % 8) AS "Model",
    '''-' AS "Reasoning Effort",
    '/v1/chat/completions' AS "Inbound Endpoint",
    '203.0.113.' || (hash(i + 4) % 6) AS "IP Address",
    'Sync' AS "Type",
    'Token' AS "Billing Mode",
    hash(i) % 5000 AS "Input Tokens",
    hash(i + 1) % 900 AS "Output Tokens",
    hash(i + 2) % 3000 AS "Cache Read Tokens",
    0 AS "Cache Creation Tokens",
    '0.8' AS "Rate Multiplier",
    CAST((hash(i) % 9999999)::BIGINT / 1e8 AS DECIMAL(18, 8)) AS "Billed Cost",
    CAST((hash(i) % 9999999)::BIGINT / 8e7 AS DECIMAL(18, 8)) AS "Original Cost",
    NULL AS "First Token (ms)",
    hash(i + 7) % 20000 AS "Duration (ms)"
"""

_BY_HAND = """
SELECT CAST(ts AT TIME ZONE 'UTC' AS DATE) AS day, key_name, model, count(*) AS requests,
    sum(input_tokens) AS input_tokens, sum(output_tokens) AS output_tokens,
    sum(cache_read_tokens) AS cache_read_tokens, sum(cache_write_tokens) AS cache_write_tokens,
    count(*) FILTER (cost_usd IS NULL) AS without_cost, sum(cost_usd) AS cost_usd,
    sum(original_cost_usd) AS original_cost_usd, max(cost_usd) AS max_cost_usd,
    min(ts) AS first_ts, max(ts) AS last_ts
FROM '{file}' GROUP BY ALL ORDER BY ALL
"""

_OURS = """
import json, resource, sys, time
from runbook_lib.store import Store
with Store(sys.argv[1]) as store:
    store.roll_up("usage", ["key_name"], grain="day", zone="UTC")
    start = time.perf_counter()
    rolled = store.roll_up("usage", ["key_name", "model"], grain="day", zone="UTC")
    seconds = time.perf_counter() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"seconds": seconds, "rows": len(rolled), "peak_mb": peak}))
"""


def measure(rows: int) -> list[Figure]:
    """Measure with that many usage rows: (what, value, unit)."""
    with tempfile.TemporaryDirectory(prefix="runbook-perf-") as name:
        folder = Path(name)
        lake = _lake(folder, rows)
        ours = [_run(_OURS, lake) for _ in range(TURNS)]
        hand = _by_hand(lake)
        best = min(run["seconds"] for run in ours)
        return [
            (f"roll-up by day, key and model, {rows:,} rows", best, "s"),
            ("the same by hand-written SQL", hand, "s"),
            ("roll-up / hand-written SQL", best / hand, "x"),
            ("roll-up memory", max(run["peak_mb"] for run in ours) / 1024, "GiB"),
            *_bridged(lake),
            *_headless(lake, folder / "out"),
        ]


def _lake(folder: Path, rows: int) -> Path:
    import duckdb

    from runbook_lib import session

    file, lake = folder / "usage.csv", folder / "lake"
    columns = _COLUMNS.format(step=70 * 86_400 * 1_000_000 // rows)
    with duckdb.connect() as link:
        link.execute(
            f"COPY (SELECT {columns} FROM range({rows}) AS t(i)) TO '{file}'"  # noqa: S608 - our own text
            ' (FORMAT csv, HEADER, FORCE_QUOTE ("Reasoning Effort"))'
        )
    session.take_in([file], lake)
    file.unlink()
    return lake


def _by_hand(lake: Path) -> float:
    """The same question put by hand to the same file, to Arrow; the best of some turns."""
    import duckdb

    (file,) = (p for p in (lake / "parts").glob("*.parquet") if ".ids." not in p.name)
    times = []
    with duckdb.connect() as link:
        link.execute("SET TimeZone = 'UTC'")
        for _ in range(TURNS):
            start = time.perf_counter()
            link.sql(_BY_HAND.format(file=file)).to_arrow_table()
            times.append(time.perf_counter() - start)
    return min(times)


def _bridged(lake: Path) -> list[Figure]:
    """Bridge random pairs of windows of some keys: how far the parts are from the change."""
    import numpy as np

    from runbook_lib.analysis import bridge, drill
    from runbook_lib.store import Store

    with Store(lake) as store:
        daily = store.roll_up("usage", ["key_name", "model"], grain="day")
    days = np.array(sorted(set(daily["bucket"])))
    rng, farthest, start = np.random.default_rng(7), 0.0, time.perf_counter()
    for _ in range(PAIRS):
        ends = np.sort(rng.choice(len(days), (2, 2)), axis=1)
        keys = [f"key-{number}" for number in rng.choice(40, 3, replace=False)]
        mine = daily[daily["key_name"].isin(keys)]
        windows = [
            mine[(mine["bucket"] >= days[first]) & (mine["bucket"] <= days[last])]
            for first, last in ends
        ]
        by = ["key_name", "model"]
        split = bridge.bridge(*(drill.summed(window, by) for window in windows))
        for line in split.to_dict("records"):
            parts = sum(line[f"{name}_usd"] for name in bridge.FACTORS)
            farthest = max(farthest, abs(float(parts - line["change_usd"])))
    each = (time.perf_counter() - start) / PAIRS
    return [
        ("bridge, 1,000 pairs: parts from change", farthest, "USD"),
        ("bridge of three keys", 1000 * each, "ms"),
    ]


def _headless(lake: Path, out: Path) -> list[Figure]:
    words = ["run", "usage_drilldown", "--data", str(lake), "--fail-on", "never"]
    command = [sys.executable, "-m", "runbook_lib.cli", *words, "--now", "2026-11-24T00:00:00Z"]
    start = time.perf_counter()
    subprocess.run([*command, "--out", str(out)], check=True, capture_output=True, cwd=ROOT)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024**2
    return [("drill-down, whole headless run", seconds, "s"), ("drill-down memory", peak, "GiB")]


def _run(program: str, lake: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", program, str(lake)],
        capture_output=True,
        check=True,
        text=True,
        cwd=ROOT,
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


if __name__ == "__main__":
    for what, value, unit in measure(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000):
        sys.stdout.write(f"{what:<45} {value:10.3f} {unit}\n")
