"""Notebooks: calls and prose in one order, committed clean, and readable by papermill whole."""

import ast
import json
import re
import tokenize
from io import StringIO
from pathlib import Path
from typing import Any

import papermill

WORD = re.compile(r"[a-z]+(-[a-z]+)*")
FIRST = [("title", "markdown"), ("parameters", "code"), ("load", "code"), ("verdict", "code")]
LAST = [("conclude", "markdown"), ("next-steps", "code"), ("see-also", "markdown")]
HEADS = ["**Question**", "**Use when**", "**Needs**", "**Takes**", "**Changes**"]
TYPES = {"str": str, "int": int, "float": float, "bool": bool, "list[str]": list}
EVERYWHERE = {"data_dir", "timezone", "now"}
FORBIDDEN = (
    *(ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda, ast.Try, ast.With),
    *(ast.If, ast.IfExp, ast.For, ast.While, ast.ListComp, ast.DictComp, ast.SetComp),
    *(ast.GeneratorExp, ast.Import, ast.Match),
)
MOST_CODE_LINES = 8
MOST_TEXT_LINES = 12
LOOKS = range(3, 10)
"""Exhibits a notebook shows: three at least, and no more than one can take in."""


def test_cell_ids_are_words_and_unique(notebooks: list[Any]) -> None:
    """Diffs and links stay readable, and a cell keeps its name when others move."""
    for notebook in notebooks:
        ids = [cell["id"] for cell in notebook.cells]
        assert [one for one in ids if not WORD.fullmatch(one)] == []
        assert len(ids) == len(set(ids))


def test_cells_stand_in_the_order_every_runbook_has(notebooks: list[Any]) -> None:
    """Who knows one runbook finds the verdict, the acts and the limits of all of them."""
    for notebook in notebooks:
        cells = [(cell["id"], cell["cell_type"]) for cell in notebook.cells]
        looks = cells[len(FIRST) : -len(LAST)]
        assert cells[: len(FIRST)] == FIRST
        assert cells[-len(LAST) :] == LAST
        assert all(name.startswith("look-") for name, _ in looks)
        assert [kind for _, kind in looks] == ["markdown", "code"] * (len(looks) // 2)
        assert len(looks) // 2 in LOOKS


def test_notebooks_are_committed_without_outputs(notebooks: list[Any]) -> None:
    """An output could hold somebody's data, and makes every diff unreadable."""
    for notebook in notebooks:
        ran = [cell["id"] for cell in notebook.code if cell["outputs"] or cell["execution_count"]]
        assert ran == [], notebook.path.name


def test_notebooks_keep_no_trace_of_a_machine(notebooks: list[Any]) -> None:
    """Whoever saves one must not change lines that say which Python ran it."""
    for notebook in notebooks:
        metadata = json.loads(notebook.path.read_text(encoding="utf-8"))["metadata"]
        assert metadata.keys() <= {"kernelspec", "language_info", "title"}, notebook.path.name
        assert metadata["kernelspec"]["name"] == "python3"
        assert metadata.get("language_info", {}).keys() <= {"name"}, notebook.path.name


def test_cells_are_short(notebooks: list[Any]) -> None:
    """A code cell shows one thing; a text cell is read at three in the night.

    The parameters stand in one cell, a line each, however many a runbook has.
    """
    limits = {"code": MOST_CODE_LINES, "markdown": MOST_TEXT_LINES}
    for notebook in notebooks:
        long = [
            f"{cell['id']}: {lines} lines"
            for cell in notebook.cells
            if (lines := len(_source(cell).splitlines())) > limits[cell["cell_type"]]
            if cell["id"] != "parameters"
        ]
        assert long == [], notebook.path.name


def test_the_title_says_what_a_reader_must_know_first(notebooks: list[Any]) -> None:
    """Question, when to use it, what it needs, how long it takes, what it changes."""
    for notebook in notebooks:
        title = _source(notebook.cell("title"))
        assert title.startswith("# ")
        assert [head for head in HEADS if head not in title] == [], notebook.path.name


def test_every_look_asks_a_question(notebooks: list[Any]) -> None:
    """A heading that is a question tells why the exhibit under it is there."""
    for notebook in notebooks:
        looks = [c for c in notebook.cells if c["id"].startswith("look-")]
        heads = [_source(c).splitlines()[0] for c in looks if c["cell_type"] == "markdown"]
        assert [head for head in heads if not re.fullmatch(r"## .+\?", head)] == []


def test_code_cells_only_call(notebooks: list[Any]) -> None:
    """Whatever branches, loops or defines belongs to the library, where it has a test."""
    for notebook in notebooks:
        bad = [
            f"{cell['id']}: {type(node).__name__}"
            for cell in notebook.code
            for node in ast.walk(ast.parse(_source(cell)))
            if isinstance(node, FORBIDDEN)
        ]
        assert bad == [], notebook.path.name


def test_notebooks_import_the_library_itself_and_nothing_else(notebooks: list[Any]) -> None:
    """What a notebook may use is what `runbook_lib` offers at its top."""
    from_where = [
        (notebook.path.name, node.module)
        for notebook in notebooks
        for cell in notebook.code
        for node in ast.walk(ast.parse(_source(cell)))
        if isinstance(node, ast.ImportFrom)
    ]
    assert [one for one in from_where if one[1] != "runbook_lib"] == []


def test_notebooks_name_no_file(notebooks: list[Any]) -> None:
    """Where data lie is a parameter; a path in a cell runs on one machine only."""
    texts = [
        (notebook.path.name, cell["id"], node.value)
        for notebook in notebooks
        for cell in notebook.code
        for node in ast.walk(ast.parse(_source(cell)))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    assert [one for one in texts if re.search(r"[/\\]|\.(csv|json|html|png)", one[2])] == []


def test_parameters_are_tagged_for_papermill(notebooks: list[Any]) -> None:
    """Without its tag papermill puts values before the defaults, which then win."""
    for notebook in notebooks:
        tagged = [c["id"] for c in notebook.cells if "parameters" in c["metadata"].get("tags", [])]
        assert tagged == ["parameters"], notebook.path.name


def test_every_parameter_has_a_type_a_default_and_help(notebooks: list[Any]) -> None:
    """Papermill loses, without a word, what has `|` in its type or `=` or `#` in value or help."""
    for notebook in notebooks:
        parameters = _parameters(notebook)
        assert parameters.keys() >= EVERYWHERE, notebook.path.name
        for name, (kind, value, comment) in parameters.items():
            assert kind in TYPES, f"{name}: {kind}"
            assert type(value) is TYPES[kind], f"{name}: {value!r} is no {kind}"
            assert comment, f"{name} has no help comment"
            assert not re.search(r"[=#]", f"{value}{comment}"), f"{name}: {comment}"


def test_papermill_sees_every_parameter(notebooks: list[Any]) -> None:
    """`runbook describe` and every scheduler read parameters through papermill's inspection."""
    for notebook in notebooks:
        seen = papermill.inspect_notebook(str(notebook.path))
        wanted = _parameters(notebook)
        assert list(seen) == list(wanted)
        assert {name: one["help"] for name, one in seen.items()} == {
            name: comment for name, (_, _, comment) in wanted.items()
        }
        assert {name: one["inferred_type_name"] for name, one in seen.items()} == {
            name: kind for name, (kind, _, _) in wanted.items()
        }


def test_every_parameter_is_used(notebooks: list[Any]) -> None:
    """A parameter that nothing reads is a promise that is not kept."""
    for notebook in notebooks:
        used = {
            node.id
            for cell in notebook.code
            if cell["id"] != "parameters"
            for node in ast.walk(ast.parse(_source(cell)))
            if isinstance(node, ast.Name)
        }
        assert _parameters(notebook).keys() - used == set(), notebook.path.name


def test_notebooks_are_no_app(notebooks: list[Any]) -> None:
    """No widget, prompt or magic: a headless run gives the same document as an interactive one."""
    for notebook in notebooks:
        bad = [
            cell["id"]
            for cell in notebook.code
            if re.search(r"widget|input\(|getpass|^\s*[%!]", _source(cell), re.MULTILINE)
        ]
        assert bad == [], notebook.path.name


def test_file_names_are_runbook_names(notebooks: list[Any], root: Path) -> None:
    """The stem is what one types after `runbook run`."""
    assert [
        n.path.name for n in notebooks if not re.fullmatch(r"[a-z_]+\.ipynb", n.path.name)
    ] == []
    assert [path.name for path in (root / "notebooks").iterdir() if path.suffix != ".ipynb"] == []


def _source(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def _parameters(notebook: Any) -> dict[str, tuple[str, object, str]]:
    """Name → type as written, default, help comment; anything else in the cell fails."""
    source = _source(notebook.cell("parameters"))
    comments = {
        token.start[0]: token.string.removeprefix("#").strip()
        for token in tokenize.generate_tokens(StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    found = {}
    for node in ast.parse(source).body:
        assert isinstance(node, ast.AnnAssign), f"line {node.lineno} is no typed parameter"
        assert node.value is not None, f"line {node.lineno} has no default"
        kind, value = ast.unparse(node.annotation), ast.literal_eval(node.value)
        found[ast.unparse(node.target)] = (kind, value, comments.get(node.end_lineno or 0, ""))
    return found
