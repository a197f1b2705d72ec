"""Small notebooks for tests of the runner: a cell or two around the made Report."""

from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from runbook_lib.runner import notebooks

PARAMETERS = """request_id: str = "req-1"  # an id
count: int = 3  # a number
window_hours: float = 2.0  # hours
deep: bool = False  # a flag
models: list[str] = []  # models
data_dir: str = "sandbox"  # folder
timezone: str = "UTC"  # zone
now: str = ""  # time
"""

REPORT = f"""import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import made_report, runbook_lib.report
runbook_lib.report.install()
made_report.report(request_id)
"""


def write(folder: Path, name: str = "made", *, verdict: str = REPORT, load: str = "") -> Path:
    """Write a notebook of this name with these cells."""
    cells = [
        new_markdown_cell("# Made\n\n**Question** Why?", id="title"),
        new_code_cell(PARAMETERS, id="parameters", metadata={"tags": ["parameters"]}),
        new_code_cell(load or "1 + 1", id="load"),
        new_code_cell(verdict, id="verdict"),
    ]
    notebook = new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "P", "language": "python"}
    path = folder / f"{name}.ipynb"
    nbformat.write(notebook, path)
    return path


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of notebooks that stands for that of the project, with one in it."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    write(folder)
    monkeypatch.setattr(notebooks, "folder", lambda: folder)
    return folder
