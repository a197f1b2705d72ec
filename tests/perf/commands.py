"""How long the commands take: the help, and a whole triage against an empty notebook."""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

BIN = Path(sys.executable).parent
HELPS = 9
PAIRS = 5


def measure(rows: int) -> Iterator[tuple[str, float, str]]:
    """Measure the commands on the sample data; their size does not depend on *rows*."""
    del rows
    helps = [_timed([BIN / "runbook", "--help"]) for _ in range(HELPS + 1)][1:]
    yield "runbook --help", statistics.median(helps), "s"
    with tempfile.TemporaryDirectory() as folder:
        pairs = list(_pairs(Path(folder)))
    yield "triage run", statistics.median(ours for ours, _ in pairs), "s"
    yield "empty notebook", statistics.median(empty for _, empty in pairs), "s"
    ratio = statistics.median(ours / empty for ours, empty in pairs)
    yield "triage run / empty notebook", ratio, "x"


def _pairs(folder: Path) -> Iterator[tuple[float, float]]:
    """Time both one after the other: a busy moment hits both. The first pair warms up."""
    empty = folder / "empty.ipynb"
    _write_empty(empty)
    ours = [BIN / "runbook", "run", "incident_triage", "--sandbox", "--out", folder / "out"]
    theirs = [BIN / "papermill", empty, folder / "ran.ipynb"]
    for number in range(PAIRS + 1):
        pair = _timed(ours, fine=(0, 1)), _timed(theirs)
        if number:
            yield pair


def _write_empty(path: Path) -> None:
    import nbformat

    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("", id="nothing")])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    notebook.metadata["language_info"] = {"name": "python"}
    nbformat.write(notebook, path)


def _timed(command: Sequence[Path | str], *, fine: Sequence[int] = (0,)) -> float:
    """Run a command and give its wall time in seconds; an unexpected exit code is an error."""
    start = time.perf_counter()
    ran = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    took = time.perf_counter() - start
    if ran.returncode not in fine:
        raise SystemExit(f"{command[1]} ended with {ran.returncode}:\n{ran.stderr}")
    return took
