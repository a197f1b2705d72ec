"""Faults and rules as a file that a person can read, change and give back with `--faults`."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

from runbook_lib.errors import ParameterError
from runbook_lib.sandbox import answers
from runbook_lib.sandbox.answers import Problem
from runbook_lib.sandbox.replies import SPOILS, UNHEARD

_EFFECTS = ("problem", "upstream", "refusal", "answer", "path", "cut", "spoil", "delay_s", "socket")


def written(faults: Iterable[Any], rules: Iterable[Any]) -> str:
    """Write faults and rules as TOML.

    Args:
        faults: Faults that do not come with the package.
        rules: Rules in force, in order.
    """
    made = [_table("faults", item) for item in faults]
    return "\n".join([*made, *(_table("rules", item) for item in rules)])


def _table(name: str, item: Any) -> str:
    given = {
        each.name: getattr(item, each.name)
        for each in fields(item)
        if each.name in ("name", "what") or getattr(item, each.name) != each.default
    }
    lines = [f"{key} = {_value(value)}" for key, value in given.items()]
    return "\n".join([f"[[{name}]]", *lines, ""])


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        inner = ", ".join(f"{_text(str(key))} = {_value(item)}" for key, item in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    return _text(value) if isinstance(value, str) else repr(value)


def _text(text: str) -> str:
    """A basic string of TOML: JSON's, save for what TOML wants escaped beside it."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def check(fault: Any) -> None:
    """Refuse a fault that could not be carried out.

    Raises:
        ParameterError: it has no effect, or one that there is not.
    """
    for each in fields(fault):
        value = getattr(fault, each.name)
        kinds = {"upstream": (int,), "delay_s": (int, float), "cut": (bool,), "streams": (bool,)}
        kinds |= dict.fromkeys(("refusal", "answer"), (Mapping, type(None)))  # type: ignore[arg-type]
        if not isinstance(value, kinds.get(each.name, (str,))):
            raise _wrong(fault, each.name, value)
    if not any(getattr(fault, name) for name in _EFFECTS):
        raise ParameterError("fault", fault.name[:80], hint=f"one of {', '.join(_EFFECTS)}")
    _check_effect(fault)


def _check_effect(fault: Any) -> None:
    if fault.problem and not isinstance(getattr(answers, fault.problem, None), Problem):
        raise _wrong(fault, "problem", fault.problem)
    if fault.spoil and fault.spoil not in SPOILS:
        raise _wrong(fault, "spoil", fault.spoil)
    if fault.socket and fault.socket not in _sockets():
        raise _wrong(fault, "socket", fault.socket)
    if not 0 <= fault.delay_s <= 3600:
        raise _wrong(fault, "delay_s", fault.delay_s)
    if fault.refusal is not None:
        _check_refusal(fault)
    if fault.answer is not None:
        _check_answer(fault)


def _sockets() -> set[str]:
    from runbook_lib.sandbox import front

    return {*front.CLOSED, *front.RESET, *front.OPEN, *UNHEARD}


def _check_refusal(fault: Any) -> None:
    try:
        problem = Problem(**fault.refusal)
    except TypeError:
        raise _wrong(fault, "refusal", fault.refusal) from None
    texts = isinstance(problem.code, str) and isinstance(problem.message, str)
    if not _is_status(problem.status) or not texts:
        raise _wrong(fault, "refusal", fault.refusal)


def _check_answer(fault: Any) -> None:
    answer = fault.answer
    headers = answer.get("headers", {})
    known = {"status", "body", "content_type", "headers", "retry_date_s"}
    texts = [answer.get("body", ""), answer.get("content_type", "")]
    texts += [*headers, *headers.values()] if isinstance(headers, Mapping) else [None]
    fits = all(isinstance(text, str) for text in texts)
    plain = fits and all(text.isprintable() for text in texts[1:])
    when = answer.get("retry_date_s", 0)
    if not (plain and _is_status(answer.get("status")) and type(when) is int):
        raise _wrong(fault, "answer", answer)
    if answer.keys() - known:
        raise _wrong(fault, "answer", answer)


def _is_status(value: object) -> bool:
    return type(value) is int and 200 <= value <= 599


def _wrong(fault: Any, field: str, value: object) -> ParameterError:
    shown = f"{fault.name}: {field} = {value!r}"[:120]
    return ParameterError("fault", shown, hint="what the head of faults.toml names")
