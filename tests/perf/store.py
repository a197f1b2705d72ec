"""How fast rows are taken in and found, beside the engine used by hand on the same files.

    python -m tests.perf.store 10000000

Each way runs in its own process, in turns, and the better of two runs counts: a busy machine slows
both alike.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Figure = tuple[str, float, str]
ROOT = Path(__file__).parents[2]
TURNS = 2
ASKED = 21

_COLUMNS = """
    strftime(make_timestamp(1795498982661639 - i * 4320000), '%Y-%m-%dT%H:%M:%S.%f') || '+08:00'
        AS "Time",
    'prod-' || (i % 23) AS "API Key Name",
    'model-' || (hash(i) % 17) AS "Model",
    '''-' AS "Reasoning Effort",
    '/v1/chat/completions' AS "Inbound Endpoint",
    '203.0.113.' || (i % 250) AS "IP Address",
    CASE WHEN i % 3 = 0 THEN 'Stream' ELSE 'Sync' END AS "Type",
    'Token' AS "Billing Mode",
    hash(i) % 5000 AS "Input Tokens",
    hash(i + 1) % 900 AS "Output Tokens",
    hash(i + 2) % 3000 AS "Cache Read Tokens",
    0 AS "Cache Creation Tokens",
    '0.8' AS "Rate Multiplier",
    CAST((hash(i) % 9999999)::BIGINT / 1e8 AS DECIMAL(18, 8)) AS "Billed Cost",
    CAST((hash(i) % 9999999)::BIGINT / 8e7 AS DECIMAL(18, 8)) AS "Original Cost",
    CASE WHEN i % 3 = 0 THEN (hash(i + 5) % 2000)::VARCHAR END AS "First Token (ms)",
    hash(i + 7) % 20000 AS "Duration (ms)"
"""
_ID = """, 'client:' || uuid() AS "Request ID" """

_BY_HAND = """
import duckdb, json, resource, sys, time
start = time.perf_counter()
link = duckdb.connect()
link.execute("SET enable_progress_bar = false")
link.execute(
    f"COPY (SELECT * FROM read_csv('{sys.argv[1]}')) TO '{sys.argv[2]}/plain.parquet'"
)
print(json.dumps({"seconds": time.perf_counter() - start}))
"""
_OURS = """
import json, resource, sys, time
from pathlib import Path
import duckdb
from runbook_lib.sources import read
from runbook_lib.store import Store
start = time.perf_counter()
with Store(sys.argv[2], read_only=False) as store, store.staging() as staging:
    store.add(read(Path(sys.argv[1]), staging))
    seconds = time.perf_counter() - start
    rows = store.intake.tables[0].rows
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"seconds": seconds, "rows": rows, "peak_mb": peak}))
"""


def measure(rows: int) -> list[Figure]:
    """Measure with an export of that many rows: (what, value, unit).

    "x" values are ratios: the rate of taking in as part of the plain rate (higher is better), the
    time of a look-up as a multiple of that by hand (lower is better).
    """
    with tempfile.TemporaryDirectory(prefix="runbook-perf-") as name:
        folder = Path(name)
        plain = _taking_in(folder, rows, "17 columns", "")
        named = _taking_in(folder, rows, "with ids", _ID)
        return _worst(plain, named) + plain + named + _looking_up(folder / "lake")


def _worst(*runs: Sequence[Figure]) -> list[Figure]:
    """Give the figures that count: the slower rate and the larger memory of the two exports."""
    rate = min(value for run in runs for name, value, _ in run if name.startswith("rate"))
    peak = max(value for run in runs for name, value, _ in run if name.startswith("peak"))
    return [("add CSV / plain COPY rate", rate, "x"), ("add CSV memory", peak / 1024, "GiB")]


def export(path: Path, rows: int, more: str = "") -> None:
    """Write an export of the console's form with that many rows, newest first."""
    import duckdb

    with duckdb.connect() as link:
        link.execute(
            f"COPY (SELECT {_COLUMNS} {more} FROM range({rows}) AS t(i)) TO '{path}'"  # noqa: S608 - our own text
            ' (FORMAT csv, HEADER, FORCE_QUOTE ("Reasoning Effort"))'
        )


def _taking_in(folder: Path, rows: int, label: str, more: str) -> list[Figure]:
    file, lake = folder / "usage.csv", folder / "lake"
    export(file, rows, more)
    plain: list[dict[str, Any]] = []
    ours: list[dict[str, Any]] = []
    for _ in range(TURNS):
        plain.append(_run(_BY_HAND, file, folder))
        shutil.rmtree(lake, ignore_errors=True)
        ours.append(_run(_OURS, file, lake))
    if {run["rows"] for run in ours} != {rows}:
        raise AssertionError(f"{rows} rows were written and {ours[0]['rows']} taken in")
    fast, own = (min(run["seconds"] for run in runs) for runs in (plain, ours))
    return [
        (f"plain COPY to Parquet, {label}", fast, "s"),
        (f"taking in, {label}", own, "s"),
        (f"rate of taking in, {label}", fast / own, "x"),
        (f"peak memory of taking in, {label}", max(run["peak_mb"] for run in ours), "MiB"),
    ]


def _run(program: str, *given: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, given)],
        capture_output=True,
        check=True,
        text=True,
        cwd=ROOT,
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _looking_up(lake: Path) -> list[Figure]:
    import duckdb

    from runbook_lib.store import Filter, Store

    with Store(lake) as store, duckdb.connect() as link:
        link.execute("SET TimeZone = 'UTC'")
        step = Filter()
        ids = store.rows("usage", step, limit=ASKED, order="dearest").frame["request_id"]
        (ids_file,) = (lake / "parts").glob("*.ids.parquet")
        rows_file = ids_file.with_name(ids_file.name.replace(".ids.", "."))
        first = _timed(lambda text: store.find([text]), ids[:1])
        ours = _timed(lambda text: store.find([text]), ids)
        hand = _timed(lambda text: _by_index(link, ids_file, rows_file, text), ids)
        scan = _timed(lambda text: _by_scan(link, rows_file, text), ids[:5])
        start = time.perf_counter()
        store.roll_up("usage", ["key_name", "model"], grain="day", zone="Europe/Berlin")
        rolled = time.perf_counter() - start
    return [
        ("find one id, first of a process", first, "s"),
        ("find one id", ours, "s"),
        ("by hand through the index", hand, "s"),
        ("by hand without it", scan, "s"),
        ("find one id / DuckDB by hand", ours / hand, "x"),
        ("roll-up by day, key and model", rolled, "s"),
    ]


def _timed(ask: Callable[[str], object], ids: Any) -> float:
    times = []
    for text in ids:
        start = time.perf_counter()
        ask(text)
        times.append(time.perf_counter() - start)
    return sorted(times)[len(times) // 2]


def _by_index(link: Any, ids_file: Path, rows_file: Path, text: str) -> object:
    bare = text.removeprefix("client:")
    found = link.sql(f"SELECT epoch_us(ts) FROM '{ids_file}' WHERE h = hash('{bare}')").fetchall()  # noqa: S608 - our own text
    instants = ", ".join(f"make_timestamptz({at})" for (at,) in found)
    return link.sql(
        f"SELECT * FROM '{rows_file}' WHERE ts IN ({instants}) AND request_id = '{text}'"  # noqa: S608 - our own text
    ).to_arrow_table()


def _by_scan(link: Any, rows_file: Path, text: str) -> object:
    return link.sql(f"SELECT * FROM '{rows_file}' WHERE request_id = '{text}'").to_arrow_table()  # noqa: S608 - our own text


if __name__ == "__main__":
    for what, value, unit in measure(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000):
        sys.stdout.write(f"{what:<45} {value:10.3f} {unit}\n")
