"""Run notebooks without anybody watching: checked parameters, whole outputs, an exit code.

A run leaves `report.ipynb`, `report.html`, `findings.json`, the exhibits as CSV and the attachments
in its folder, all whole or none. Several notebooks get a folder each, and an `index.html`.
"""

import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from runbook_lib import clock, redact
from runbook_lib.errors import ParameterError, RunbookError, RunError, StoppedError
from runbook_lib.findings import Severity
from runbook_lib.runner import execute, files, index, notebooks, outcome
from runbook_lib.runner.kernel import Kernel
from runbook_lib.runner.notebooks import Notebook, Value
from runbook_lib.runner.outcome import Outcome

if TYPE_CHECKING:
    from nbformat import NotebookNode

LEVELS = (*Severity, outcome.NEVER)
"""What `fail_on` can be: a severity, or "never"."""

CELL_TIMEOUT_S = 600
"""Seconds one cell may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How a run ended: its exit code, and the outcome of each notebook in the order asked."""

    exit_code: int
    outcomes: Sequence[Outcome]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What is the same for every notebook of a run."""

    fail_on: str
    max_age_hours: float
    timeout_s: int
    partial: Sequence[str]


def run(
    names: Sequence[str],
    parameters: Mapping[str, Any],
    *,
    out: Path | None = None,
    fail_on: str = Severity.HIGH,
    max_age_hours: float = outcome.MAX_AGE_HOURS,
    timeout_s: int = CELL_TIMEOUT_S,
    partial: Sequence[str] = (),
) -> Result:
    """Run one or several runbooks.

    Args:
        names: Names of notebooks.
        parameters: Values by name, of the declared type or as text; the same for each notebook.
        out: Folder for the files; without it nothing is written.
        fail_on: Severity from which on findings give exit code 1, or "never".
        max_age_hours: Age of the newest row from which on the input is stale.
        timeout_s: Seconds one cell may take.
        partial: What is known beforehand to make the answers not whole, a sentence each.

    Returns:
        The outcomes and the exit code: 0 clean, 1 findings, 2 wrong use, 3 partial,
        4 could not run. A notebook that fails is an outcome with its error, not an exception.

    Raises:
        ParameterError, InputError: wrong use, found before any kernel started.
        KeyboardInterrupt: the run was cancelled, by the keyboard or by SIGTERM; nothing more is
            written, and no kernel is left.
    """
    asked = _checked(names, parameters, fail_on)
    folders = [None if out is None else out if len(asked) == 1 else out / name for name in names]
    for folder in filter(None, folders):
        files.check(folder)
    ask = Ask(fail_on=fail_on, max_age_hours=max_age_hours, timeout_s=timeout_s, partial=partial)
    with _cancelled_by_sigterm():
        done = [
            _outcome(notebook, values, folder, ask)
            for (notebook, values), folder in zip(asked, folders, strict=True)
        ]
    if len(done) == 1:
        return Result(exit_code=done[0].exit_code, outcomes=done)
    if out is not None:
        files.put_one(out / "index.html", index.page(done))
    return Result(exit_code=outcome.of_several(done), outcomes=done)


def _checked(
    names: Sequence[str], parameters: Mapping[str, Any], fail_on: str
) -> list[tuple[Notebook, dict[str, Value]]]:
    if fail_on not in LEVELS:
        raise ParameterError("fail-on", redact.safe(fail_on), hint=f"one of {', '.join(LEVELS)}")
    if not names or len(set(names)) != len(names):
        raise ParameterError("NAME", " ".join(map(redact.safe, names)), hint="each name once")
    found = [notebooks.find(name) for name in names]
    asked = [(notebook, notebooks.checked(notebook, parameters)) for notebook in found]
    for _, values in asked:
        place = clock.zone(str(values.get("timezone", "UTC")))
        if values.get("now"):
            clock.from_parameter("now", str(values["now"]), place)
    return asked


def _outcome(
    notebook: Notebook, values: Mapping[str, Value], folder: Path | None, ask: Ask
) -> Outcome:
    try:
        return _run(notebook, values, folder, ask)
    except StoppedError as error:
        return Outcome(name=notebook.name, exit_code=error.code, error=str(error))
    except RunbookError as error:
        return Outcome(name=notebook.name, exit_code=error.exit_code, error=str(error))


def _run(notebook: Notebook, values: Mapping[str, Value], folder: Path | None, ask: Ask) -> Outcome:
    started_at = datetime.now(UTC)
    with Kernel() as kernel:
        executed = execute.execute(notebook, values, kernel, timeout_s=ask.timeout_s)
        kernel.ask_to_end()
        report = execute.report_of(executed, notebook.name)
        content = outcome.filled(
            report,
            started_at=started_at,
            finished_at=datetime.now(UTC),
            fail_on=ask.fail_on,
            max_age_hours=ask.max_age_hours,
            partial=ask.partial,
        )
        if folder is not None:
            _write(folder, executed, content, report["files"])
    return Outcome(
        name=notebook.name,
        exit_code=content["run"]["exit_code"],
        report=content,
        next_steps=report["next_steps"],
        folder=folder,
    )


def _write(
    folder: Path, executed: "NotebookNode", content: dict[str, Any], held: Mapping[str, str]
) -> None:
    import nbformat

    from runbook_lib.report import page

    texts = {files.safe_name(name): text for name, text in held.items()}
    content["exhibits"] = {
        name: files.safe_name(path) for name, path in content["exhibits"].items()
    }
    content["run"]["files"] = sorted({*texts, files.FINDINGS, files.REPORT, files.NOTEBOOK})
    texts[files.REPORT] = page.render(
        executed,
        title=str(executed.metadata["title"]),
        run=_told(content),
        partial=content["coverage"]["partial"],
    )
    texts[files.NOTEBOOK] = nbformat.writes(executed) + "\n"
    texts[files.FINDINGS] = files.as_json(content)
    try:
        files.put(folder, texts)
    except OSError as error:
        what = f"could not write {redact.safe(folder)} ({error.strerror})"
        raise RunError(content["run"]["runbook"], what, hint="give another --out") from error


def _told(content: Mapping[str, Any]) -> dict[str, str]:
    """What the page tells of the run, label and value."""
    run = content["run"]
    zone = clock.zone(run["timezone"])
    values = ", ".join(f"{name} = {value!r}" for name, value in run["parameters"].items())
    return {
        "Runbook": f"{run['runbook']} {run['version']}",
        "Made at": _in_zone(run["started_at"], zone),
        "Judged as of": _in_zone(run["now"], zone) if run["now"] else "the clock",
        "Parameters": values or "the defaults",
        "Data": "sample data, made from a seed" if run["sample_data"] else "your own",
        "Status": f"{run['status']}, exit code {run['exit_code']}",
    }


def _in_zone(stamp: str, zone: ZoneInfo) -> str:
    """Write an instant of `findings.json` for people, UTC beside it where that differs."""
    at = clock.parse(stamp)
    if at is None:
        return stamp
    told, utc = clock.clock_time(at, zone), clock.clock_time(at, ZoneInfo("UTC"))
    return told if at.astimezone(zone).utcoffset() == timedelta(0) else f"{told} ({utc})"


@contextmanager
def _cancelled_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end a run as the keyboard does, once; ending itself is not disturbed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def cancel(*_: object) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        for number in before:
            signal.signal(number, cancel)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
