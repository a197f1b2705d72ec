"""Where things stand: the top level, the layers, what a layer may touch, and how big a piece is."""

import ast
import fnmatch
import subprocess
import sys
from pathlib import Path
from typing import Any

TOP = {
    *("notebooks", "runbook_lib", "tests", "README.md", "requirements.txt"),
    *("pyproject.toml", "Makefile", "CHANGELOG.md", "LICENSE"),
    *(".ci", ".gitignore", ".gitattributes", ".editorconfig", ".git"),
}
GRAB_BAGS = ("util", "utils", "helper", "helpers", "common", "misc", "tools")

LAYERS = [
    "cli",
    "runner | runbooks | session",
    "verify",
    "analysis | report | store | probe | sandbox",
    "sources | recorder | resilient",
    "classifier | pricing | findings",
    "schema | contract | money | clock | redact",
    "errors | version",
]

OUTSIDE = {
    *("os", "io", "pathlib", "shutil", "tempfile", "socket", "subprocess", "time", "urllib"),
    *("http", "httpx", "requests", "matplotlib", "duckdb", "ibis", "papermill", "IPython"),
}
HEAVY = {
    *("pandas", "numpy", "pyarrow", "duckdb", "ibis", "matplotlib", "papermill", "nbformat"),
    *("nbconvert", "nbclient", "jupyter_client", "IPython", "httpx"),
}

MOST_LINES = 400
MOST_FUNCTION_LINES = 50


def test_the_top_level_holds_only_what_belongs_there(root: Path) -> None:
    """A newcomer sees five things and what tools need, nothing else."""
    ignored = [line.rstrip("/") for line in (root / ".gitignore").read_text().split()]
    found = {
        path.name
        for path in root.iterdir()
        if not any(fnmatch.fnmatch(path.name, pattern) for pattern in ignored)
    }
    assert found <= TOP, f"not wanted at the top level: {sorted(found - TOP)}"


def test_no_module_is_a_grab_bag(library: list[Any]) -> None:
    """A module is named after its one thing."""
    bad = [module.path for module in library if Path(module.path).stem.strip("_") in GRAB_BAGS]
    assert bad == []


def test_the_layers_are_those_of_the_design(project: dict[str, Any]) -> None:
    """import-linter holds the order; this holds that nobody bends the order it holds."""
    (contract,) = project["tool"]["importlinter"]["contracts"]
    assert contract["type"] == "layers"
    assert contract["exhaustive"] is True
    assert contract.get("ignore_imports", []) == []
    assert contract["layers"] == LAYERS


def test_analysis_touches_nothing_outside(library: list[Any]) -> None:
    """Frames in, Report out: an analysis can be tested with nothing but a table."""
    bad = [
        f"{module.path}:{node.lineno} imports {name}"
        for module in library
        if module.path.startswith("runbook_lib/analysis/")
        for node in ast.walk(module.tree)
        for name in _imported(node)
        if name in OUTSIDE
    ]
    assert bad == []


def test_analysis_reads_no_clock(library: list[Any]) -> None:
    """`now` is passed in, so that the same rows give the same answer on every day."""
    bad = [
        f"{module.path}:{node.lineno} calls {node.attr}"
        for module in library
        if module.path.startswith("runbook_lib/analysis/")
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute) and node.attr in ("now", "utcnow", "today")
        if isinstance(node.value, ast.Name) and node.value.id in ("datetime", "date", "clock", "pd")
    ]
    assert bad == []


def test_commands_start_light() -> None:
    """`runbook --help` must not pay for tables, plots and kernels."""
    code = "import sys, runbook_lib.cli; print(*sorted({m.partition('.')[0] for m in sys.modules}))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert sorted(HEAVY & set(ran.stdout.split())) == []


def test_importing_the_package_starts_nothing() -> None:
    """`import runbook_lib` costs nothing; names are loaded when they are asked for."""
    code = (
        "import sys, runbook_lib; print(*[m for m in sys.modules if m.startswith('runbook_lib.')])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["runbook_lib.version"]


def test_modules_are_short(modules: list[Any]) -> None:
    """A module fits one head: 400 lines at most, 150 is the aim."""
    bad = [f"{m.path}: {len(m.lines)} lines" for m in modules if len(m.lines) > MOST_LINES]
    assert bad == []


def test_functions_are_short(modules: list[Any]) -> None:
    """A function fits one screen: 50 lines at most beside its docstring, 10 is the aim."""
    sizes = [
        (f"{module.path}:{node.lineno} {node.name}", _lines(node))
        for module in modules
        for node in ast.walk(module.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    assert [f"{name}: {size} lines" for name, size in sizes if size > MOST_FUNCTION_LINES] == []


def _lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    first = node.body[0]
    words = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    told = (first.end_lineno or 0) - first.lineno + 1 if words else 0
    return (node.end_lineno or 0) - node.lineno + 1 - told


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name.partition(".")[0] for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [(node.module or "").partition(".")[0]]
    return []
