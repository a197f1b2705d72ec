"""Which notebooks there are, and which parameters they take: read from their own text, not run.

Parameters are those of the cell tagged `parameters`: one annotated name a line, with a default and
a comment. Values given by text are turned into the declared type and refused before a kernel
starts; papermill would guess types, accept unknown names and paste other values as code.
"""

import ast
import difflib
import io
import json
import math
import re
import tokenize
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runbook_lib import redact
from runbook_lib.errors import ParameterError, RunError

Value = str | int | float | bool | list[str]

_PACKAGE = Path(__file__).parent.parent
_WORD = re.compile(r"[a-z][a-z0-9_]{0,63}")
_FLAGS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_TYPES = ("str", "int", "float", "bool", "list[str]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter of a notebook: its type as written, its default, and what it is for."""

    name: str
    type: str
    default: Value
    help: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Notebook:
    """One runbook: its name, title, question and parameters, and its file."""

    name: str
    path: Path
    title: str
    question: str
    parameters: Mapping[str, Parameter]


def folder() -> Path:
    """The folder of the notebooks: in a checkout beside the package, else inside it."""
    inside = _PACKAGE / "_notebooks"
    return inside if inside.is_dir() else _PACKAGE.parent / "notebooks"


def names() -> list[str]:
    """The names of all runbooks, sorted."""
    return sorted(path.stem for path in folder().glob("*.ipynb") if _WORD.fullmatch(path.stem))


def find(name: str) -> Notebook:
    """Read one runbook by its name.

    Raises:
        ParameterError: there is none of this name.
        RunError: its file is no notebook with a parameters cell.
    """
    known = names()
    if name not in known:
        raise ParameterError("NAME", redact.safe(name), hint=_meant(name, known))
    path = folder() / f"{name}.ipynb"
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        texts = {cell["id"]: "".join(cell["source"]) for cell in cells}
        found = parameters(texts["parameters"])
    except (OSError, ValueError, KeyError, TypeError, SyntaxError) as error:
        what = f"is no notebook that can be run ({redact.safe(error)})"
        raise RunError(name, what, hint="restore it from the release") from error
    title = texts.get("title", "")
    question = re.search(r"\*\*Question\*\*\s*(.+)", title)
    return Notebook(
        name=name,
        path=path,
        title=title.partition("\n")[0].removeprefix("# ").strip() or name,
        question=question[1].strip() if question else "",
        parameters=found,
    )


def parameters(source: str) -> dict[str, Parameter]:
    """Read the parameters of a cell, in order.

    Raises:
        ValueError: a line is no typed parameter with a plain default.
    """
    comments = {
        token.start[0]: token.string.lstrip("# ")
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    found = {}
    for node in ast.parse(source).body:
        if not isinstance(node, ast.AnnAssign) or node.value is None:
            raise ValueError(f"line {node.lineno} of the parameters is no typed default")
        name, kind = ast.unparse(node.target), ast.unparse(node.annotation)
        if kind not in _TYPES:
            raise ValueError(f"the type {kind} of {name} is not known")
        default = ast.literal_eval(node.value)
        told = comments.get(node.end_lineno or 0, "")
        found[name] = Parameter(name=name, type=kind, default=default, help=told)
    return found


def checked(notebook: Notebook, given: Mapping[str, Any]) -> dict[str, Value]:
    """Turn given values into the types the notebook declares.

    Args:
        notebook: The runbook they are for.
        given: Values by name: of the declared type, or text that reads as it.

    Returns:
        The values, in the order of the notebook's parameters.

    Raises:
        ParameterError: a name is unknown, a value does not fit its type or looks like a secret.
    """
    known = notebook.parameters
    for name in given:
        if name not in known:
            raise ParameterError(redact.safe(name), "…", hint=_meant(name, list(known)))
    return {name: _checked(item, given[name]) for name, item in known.items() if name in given}


def _meant(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"{near[0]} (was that meant?)" if near else f"one of {', '.join(known)}"


def _checked(item: Parameter, value: Any) -> Any:
    if item.type == "list[str]":
        return [_text(item.name, part) for part in _parts(item.name, value)]
    if item.type == "str":
        return _text(item.name, value)
    if isinstance(value, str):
        return _from_text(item, value.strip())
    right: tuple[type, ...] = {"int": (int,), "float": (int, float), "bool": (bool,)}[item.type]
    fits = isinstance(value, right) and (item.type == "bool" or not isinstance(value, bool))
    if not fits:
        raise ParameterError(item.name, redact.safe(value), hint=f"a value of type {item.type}")
    return _finite(item.name, float(value)) if item.type == "float" else value


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or "\0" in value or any("\ud800" <= c <= "\udfff" for c in value):
        raise ParameterError(name, redact.safe(value), hint="readable text")
    if redact.has_secret(value):
        hint = "no secret: keys come only from the environment"
        raise ParameterError(name, redact.safe(value), hint=hint)
    return value


def _parts(name: str, value: Any) -> Sequence[Any]:
    if isinstance(value, list):
        return value
    if not isinstance(value, str):
        raise ParameterError(name, redact.safe(value), hint="texts parted by commas")
    if not value.lstrip().startswith("["):
        return [part.strip() for part in value.split(",") if part.strip()]
    try:
        parts = json.loads(value)
    except (ValueError, RecursionError):
        parts = None
    if not isinstance(parts, list):
        raise ParameterError(name, redact.safe(value), hint='a list such as ["a", "b"], or a,b')
    return parts


def _from_text(item: Parameter, text: str) -> Value:
    if item.type == "bool" and text.lower() in _FLAGS:
        return _FLAGS[text.lower()]
    if item.type == "int" and re.fullmatch(r"[+-]?[0-9]{1,18}", text):
        return int(text)
    if item.type == "float":
        try:
            return _finite(item.name, float(text))
        except ValueError:
            pass
    hints = {"bool": "true or false", "int": "a whole number", "float": "a number"}
    raise ParameterError(item.name, redact.safe(text), hint=hints[item.type])


def _finite(name: str, value: float) -> float:
    if not math.isfinite(value):
        raise ParameterError(name, value, hint="a finite number")
    return value
