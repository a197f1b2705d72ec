"""Every public name, rule, error, column, command and notebook says what it is."""

import ast
import importlib
import re
from collections.abc import Iterator
from typing import Any

import pytest

from runbook_lib import __version__, errors, findings, schema

FRAMES = re.compile(r"\bDataFrame\b")
FEW = 3
FEW_INSIDE = 5


def test_what_the_package_offers_is_documented_whole() -> None:
    """What a notebook may call says what it takes, gives and refuses."""
    package = importlib.import_module("runbook_lib")
    for name in package.__all__:
        if not name.startswith("__"):
            text = getattr(package, name).__doc__
            assert "Args:" in text, name
            assert "Returns:" in text, name


def test_frames_and_long_signatures_are_explained(library: list[Any]) -> None:
    """Columns, units and absence are in no signature: the docstring must give them."""
    bad = [
        f"{place} lacks {section}"
        for place, function in _public_functions(library)
        if FRAMES.search(ast.unparse(function.args)) or len(_arguments(function)) > _few(place)
        for section in _lacking(function)
    ]
    assert bad == []


def test_what_gives_a_frame_says_what_a_row_is(library: list[Any]) -> None:
    """A frame without its columns is a riddle."""
    bad = [
        place
        for place, function in _public_functions(library)
        if function.returns and "DataFrame" in ast.unparse(function.returns)
        if "Returns:" not in (ast.get_docstring(function) or "")
        if not _is_property(function)
    ]
    assert bad == []


def test_docstrings_name_only_what_is_there(library: list[Any]) -> None:
    """An argument that went away must go from the docstring too."""
    bad = [
        f"{place}: {name}"
        for place, function in _public_functions(library)
        for name in _documented(function, "Args")
        if name.lstrip("*") not in _arguments(function)
    ]
    assert bad == []


def test_errors_a_function_raises_are_in_its_docstring(library: list[Any]) -> None:
    """Who calls it must know what to expect without reading its body."""
    ours = {name for name, kind in vars(errors).items() if isinstance(kind, type)}
    bad = [
        f"{place} raises {name}"
        for place, function in _public_functions(library)
        for name in sorted(_raised(function) & ours)
        if name not in (ast.get_docstring(function) or "")
    ]
    assert bad == []


def test_every_rule_is_explained_and_used(library: list[Any]) -> None:
    """A rule that nothing raises is a promise; a sentence says what each means."""
    code = "\n".join(m.text for m in library if m.path != "runbook_lib/findings/register.py")
    unused = [rule for rule in findings.RULES if f'"{rule}"' not in code]
    assert unused == []
    assert [rule for rule, text in findings.RULES.items() if not re.fullmatch(r".+\.", text)] == []
    assert [rule for rule in findings.RULES if not re.fullmatch(r"[a-z]+(-[a-z]+)*", rule)] == []


def test_every_rule_that_is_named_is_registered(library: list[Any]) -> None:
    """A finding with a rule nobody registered would fail only when it is made."""
    named = {
        keyword.value.value
        for module in library
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call)
        for keyword in node.keywords
        if keyword.arg == "rule" and isinstance(keyword.value, ast.Constant)
    }
    assert named - findings.RULES.keys() == set()


def test_every_error_stands_in_the_tree() -> None:
    """One place shows all errors, their parents and what a command ends with."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    kinds = [kind for kind in kinds if issubclass(kind, Exception)]
    tree = {}
    above: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        if match := re.fullmatch(r"([ │├└─]+)(\w+Error)\b.*?(?:exit (\d+))?", line):
            indent, name, code = len(match[1]), match[2], match[3]
            above = [one for one in above if one[0] < indent]
            tree[name] = (above[-1][1] if above else "Exception", code)
            above.append((indent, name))
    assert tree.keys() == {kind.__name__ for kind in kinds}
    for kind in kinds:
        parent, code = tree[kind.__name__]
        assert kind.__bases__[0].__name__ == parent
        assert issubclass(kind, errors.RunbookError)
        assert kind.__name__.endswith("Error")
        assert code in (None, str(kind.exit_code)), kind.__name__


def test_errors_live_in_one_module(library: list[Any]) -> None:
    """Whoever wants to catch one looks in `errors.py` and nowhere else."""
    bad = [
        f"{module.path}: {node.name}"
        for module in library
        if module.path != "runbook_lib/errors.py"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ClassDef)
        if node.name.endswith(("Error", "Exception"))
        or any(
            "Error" in ast.unparse(base) or "Exception" in ast.unparse(base) for base in node.bases
        )
    ]
    assert bad == []


@pytest.mark.parametrize("table", schema.TABLES.values(), ids=list(schema.TABLES))
def test_every_column_says_what_it_means(table: schema.Table) -> None:
    """Numbers have a unit, tables say what a row is."""
    assert table.row
    assert [column.name for column in table.columns if not column.meaning] == []
    said = {"cap_currency", "currency"} & set(table.names)  # then a column tells the unit
    numbers = ("real",) if said else ("real", "money")
    assert [c.name for c in table.columns if c.type in numbers and not c.unit] == []


def test_every_command_and_option_is_explained(readme: str) -> None:
    """The README names each command; `--help` explains each of its options."""
    main = importlib.import_module("runbook_lib.cli").commands
    for name, command in main.commands.items():
        assert f"runbook {name}" in readme, name
        assert command.help, name
        bare = [
            option.name
            for option in command.params
            if option.param_type_name == "option" and not option.help
        ]
        assert bare == [], name


def test_every_notebook_is_in_the_readme(notebooks: list[Any], readme: str) -> None:
    """What is not on the first page is not found at three in the night."""
    assert [n.path.stem for n in notebooks if n.path.stem not in readme] == []


def test_every_make_target_is_in_the_readme_or_explained(files: list[Any], readme: str) -> None:
    """`make help` lists all targets, so none may lack its sentence."""
    (makefile,) = [file for file in files if file.path == "Makefile"]
    targets = makefile.text.partition(".PHONY: ")[2].partition("\n")[0].split()
    told = re.findall(r"^([a-z-]+):.*## \w", makefile.text, re.MULTILINE)
    assert sorted(told) == sorted(targets)
    assert [one for one in ("demo", "test", "lab") if f"make {one}" not in readme] == []


def test_changes_a_user_can_see_are_listed(files: list[Any]) -> None:
    """The newest heading is what comes next, or the version that is built."""
    (changes,) = [file for file in files if file.path == "CHANGELOG.md"]
    heads = re.findall(r"^## (.+)$", changes.text, re.MULTILINE)
    assert heads
    assert heads[0].startswith(("Unreleased", __version__))
    assert re.search(r"^- .+\.$", changes.text, re.MULTILINE)


def _public_functions(library: list[Any]) -> Iterator[tuple[str, ast.FunctionDef]]:
    for module in library:
        for node in module.tree.body:
            inner = node.body if isinstance(node, ast.ClassDef) else [node]
            if isinstance(node, ast.ClassDef) and node.name.startswith("_"):
                continue
            for function in inner:
                if isinstance(function, ast.FunctionDef) and not function.name.startswith("_"):
                    yield f"{module.path}:{function.lineno} {function.name}", function


def _few(place: str) -> int:
    """Give the arguments that need no words: fewer where a whole layer is entered than inside."""
    path = place.partition(":")[0]
    return FEW if path.count("/") == 1 or path.endswith("__init__.py") else FEW_INSIDE


def _arguments(function: ast.FunctionDef) -> list[str]:
    given = function.args
    every = [*given.posonlyargs, *given.args, *given.kwonlyargs]
    every += [one for one in (given.vararg, given.kwarg) if one]
    return [one.arg for one in every if one.arg not in ("self", "cls")]


def _lacking(function: ast.FunctionDef) -> list[str]:
    text = ast.get_docstring(function) or ""
    gives = function.returns is not None and ast.unparse(function.returns) != "None"
    wanted = ["Args:"] * bool(_arguments(function)) + ["Returns:"] * gives
    if _is_property(function) or _is_command(function):
        return []
    return [section for section in wanted if section not in text.replace("Yields:", "Returns:")]


def _is_property(function: ast.FunctionDef) -> bool:
    return any("property" in ast.unparse(one) for one in function.decorator_list)


def _is_command(function: ast.FunctionDef) -> bool:
    """Tell whether its docstring is what `--help` shows, where each option has its own words."""
    return any(".command" in ast.unparse(one) for one in function.decorator_list)


def _documented(function: ast.FunctionDef, section: str) -> list[str]:
    text = (ast.get_docstring(function) or "").partition(f"{section}:\n")[2]
    block = re.match(r"(?:    .*\n?|\n(?=    ))*", text)
    return re.findall(r"^    (\*{0,2}\w+)(?: \(.*?\))?:", block[0] if block else "", re.MULTILINE)


def _raised(function: ast.FunctionDef) -> set[str]:
    raised = [node.exc for node in ast.walk(function) if isinstance(node, ast.Raise) and node.exc]
    return {ast.unparse(one.func) if isinstance(one, ast.Call) else "" for one in raised}
