"""How long the short run of the tests takes on two cores."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]


def measure(rows: int) -> Iterator[tuple[str, float, str]]:
    """Run the short run once; its size does not depend on *rows*."""
    del rows
    command = [sys.executable, "-m", "pytest", "-n", "2", "-m", "not long"]
    start = time.perf_counter()
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    took = (time.perf_counter() - start) / 60
    if ran.returncode:
        raise SystemExit(f"the short run fails:\n{ran.stdout[-2000:]}")
    yield "short test run", took, "min"
