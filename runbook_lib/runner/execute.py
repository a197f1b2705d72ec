"""One notebook through papermill, from checked parameters to the Report it holds."""

import gc
import importlib
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from runbook_lib import errors, findings, redact
from runbook_lib.errors import RunbookError, RunError, StoppedError
from runbook_lib.runner.kernel import Kernel
from runbook_lib.runner.notebooks import Notebook, Value

if TYPE_CHECKING:
    from nbformat import NotebookNode

NOT_NEEDED = ("rfc3987_syntax", "pyarrow")
"""Optional modules that only cost here: a grammar of addresses, and a client of remote files."""


@contextmanager
def without(*names: str) -> Iterator[None]:
    """Let optional modules look absent while something else is imported."""
    held = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(held))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in held:
            sys.modules.pop(name, None)


def load() -> None:
    """Import what runs notebooks and makes pages; a kernel can start meanwhile."""
    gc.disable()
    try:
        with without(*NOT_NEEDED):
            for name in ("papermill.execute", "nbconvert.exporters.html"):
                importlib.import_module(name)
    finally:
        gc.enable()
    logging.getLogger("papermill").setLevel(logging.CRITICAL)
    logging.getLogger("traitlets").setLevel(logging.CRITICAL)


def execute(
    notebook: Notebook, values: Mapping[str, Value], kernel: Kernel, *, timeout_s: int
) -> "NotebookNode":
    """Run a notebook in a kernel that was started for it.

    Args:
        notebook: The runbook.
        values: Its parameters, checked.
        kernel: Kernel of its own.
        timeout_s: Seconds one cell may take.

    Returns:
        The executed notebook, without a path of this machine in it.

    Raises:
        RunError: a cell took too long, the kernel died, or the notebook stopped early.
        StoppedError: the library refused something inside.
    """
    load()
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    try:
        executed = _through_papermill(notebook, values, kernel, timeout_s)
    except PapermillExecutionError as error:
        raise _reached(notebook.name, error) from None
    except CellTimeoutError:
        hint = "give a longer --timeout, or a smaller window"
        raise RunError(
            notebook.name, f"took more than {timeout_s} s in one cell", hint=hint
        ) from None
    except (DeadKernelError, RuntimeError) as error:
        what = f"lost its kernel ({redact.safe(error)})"
        raise RunError(notebook.name, what, hint="look whether memory ran out") from None
    executed.metadata.papermill.update(
        input_path=notebook.path.name, output_path="report.ipynb", environment_variables={}
    )
    executed.metadata["title"] = notebook.title
    return executed


def _through_papermill(
    notebook: Notebook, values: Mapping[str, Value], kernel: Kernel, timeout_s: int
) -> "NotebookNode":
    import nbformat
    from papermill.execute import execute_notebook

    from runbook_lib.runner.manager import Adopted

    with Adopted(kernel) as manager:
        return execute_notebook(
            nbformat.read(notebook.path, as_version=4),
            None,
            parameters=dict(values),
            kernel_name="python3",
            progress_bar=False,
            request_save_on_cell_execute=False,
            execution_timeout=timeout_s,
            km=manager,
        )


def _reached(name: str, error: Any) -> RunbookError:
    """Tell our own errors, which say what to do, from a fault in the code."""
    kind = getattr(errors, str(error.ename), None)
    sentence = redact.safe(error.evalue, limit=1000)
    if isinstance(kind, type) and issubclass(kind, RunbookError):
        return StoppedError(sentence, kind.exit_code)
    what = f"stopped with {redact.safe(error.ename)}: {sentence}"
    return RunError(name, what, hint="this is a fault of the runbook or of its surroundings")


def report_of(notebook: "NotebookNode", name: str) -> dict[str, Any]:
    """Take the machine-readable part of the Report out of an executed notebook.

    The rows of the exhibits and the attachments leave the notebook with it: they are files of
    their own, and would only make the notebook big.

    Raises:
        RunError: no cell gave a Report, or a cell was not run.
    """
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    held = [output.data for output in outputs if findings.REPORT_MIME in output.get("data", {})]
    if not held or any(cell.execution_count is None for cell in cells):
        hint = "restore the notebook from the release"
        raise RunError(name, "ended without a report", hint=hint)
    report = dict(held[-1][findings.REPORT_MIME])
    for data in held:
        data[findings.REPORT_MIME] = {
            key: value for key, value in data[findings.REPORT_MIME].items() if key != "files"
        }
    return report
