"""What the checks of the house read: the files of the checkout, parsed once."""

import ast
import fnmatch
import json
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file of the checkout as text; `tree` is its syntax where it is Python."""

    path: str
    text: str
    tree: ast.Module

    @property
    def lines(self) -> list[str]:
        """Its lines, without their ends."""
        return self.text.splitlines()


@dataclass(frozen=True, slots=True, kw_only=True)
class Notebook:
    """A notebook as committed."""

    path: Path
    cells: list[dict[str, Any]]

    def cell(self, name: str) -> dict[str, Any]:
        """The cell with this id; a missing one fails the test with a sentence."""
        found = [cell for cell in self.cells if cell["id"] == name]
        assert found, f"{self.path.name} has no cell {name!r}"
        return found[0]

    @property
    def code(self) -> list[dict[str, Any]]:
        """Its code cells, in order."""
        return [cell for cell in self.cells if cell["cell_type"] == "code"]


def _walk(folder: Path, ignored: list[str]) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if any(fnmatch.fnmatch(path.name, pattern) for pattern in ignored):
            continue
        if path.is_dir():
            yield from _walk(path, ignored)
        else:
            yield path


@pytest.fixture(scope="session")
def root() -> Path:
    """The top of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def paths() -> list[Path]:
    """Every file of the checkout that git would not ignore."""
    ignored = [line.rstrip("/") for line in (ROOT / ".gitignore").read_text().split()]
    return list(_walk(ROOT, [*ignored, ".git"]))


@pytest.fixture(scope="session")
def files(paths: list[Path]) -> list[Source]:
    """Every file of the checkout as text; Python files are parsed."""
    return [
        Source(
            path=str(path.relative_to(ROOT)),
            text=(text := path.read_text(encoding="utf-8", errors="replace")),
            tree=ast.parse(text if path.suffix == ".py" else ""),
        )
        for path in paths
    ]


@pytest.fixture(scope="session")
def modules(files: list[Source]) -> list[Source]:
    """Every Python file of the checkout, the tests too."""
    return [file for file in files if file.path.endswith(".py")]


@pytest.fixture(scope="session")
def library(modules: list[Source]) -> list[Source]:
    """The modules of `runbook_lib`."""
    return [module for module in modules if module.path.startswith("runbook_lib/")]


@pytest.fixture(scope="session")
def notebooks() -> list[Notebook]:
    """Every notebook; there is at least one."""
    found = [
        Notebook(path=path, cells=json.loads(path.read_text(encoding="utf-8"))["cells"])
        for path in sorted((ROOT / "notebooks").glob("*.ipynb"))
    ]
    assert found, "notebooks/ is empty"
    return found


@pytest.fixture(scope="session")
def project() -> dict[str, Any]:
    """The content of `pyproject.toml`."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def readme() -> str:
    """The README."""
    return (ROOT / "README.md").read_text(encoding="utf-8")
