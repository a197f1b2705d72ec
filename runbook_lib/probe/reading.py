"""What an answer to a probe says: whether the model can do it, and who answered."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from runbook_lib import redact
from runbook_lib.classifier import Classification, classify
from runbook_lib.contract import Domain, Retry
from runbook_lib.probe.asks import PLAIN, Ask
from runbook_lib.probe.wire import Heard

LONGEST_NAME = 200

_CUT_SHORT = ("length", "max_tokens", "max_output_tokens")
"""Ends of an answer that was stopped by the few tokens it may have."""

_REFUSED = (400, 404, 405, 415, 422)
"""Statuses by which a model that answers plainly says that it cannot do more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What one answer says.

    Attributes:
        supported: True, False, or None where it decides nothing; `note` says why.
        code, cause, domain, retry: As the classifier reads a refusal; None for what did not fail.
        model: Model the answer names; None where it names none.
    """

    supported: bool | None
    note: str = ""
    code: str | None = None
    cause: str | None = None
    domain: str | None = None
    retry: str | None = None
    model: str | None = None
    request_ids: tuple[str, ...] = ()


def read(ask: Ask, heard: Heard) -> Said:
    """Judge the answer to a question about a model.

    Args:
        ask: What was asked.
        heard: What came back.

    Returns:
        What it says. A refusal of more than plain words counts only beside a plain answer: only
        the caller knows of that one, and asks for it first.
    """
    if heard.status is None or heard.text is None:
        return Said(supported=None, note=heard.trouble)
    found = classify(heard.status, heard.text, heard.headers)
    made = Said(
        supported=None,
        code=found.code,
        cause=found.cause,
        domain=found.domain,
        retry=found.retry,
        model=_model(heard.text),
        request_ids=tuple(redact.safe(one) for one in found.request_ids),
    )
    if 200 <= heard.status < 300:
        return _answered(ask, heard.text, found, made)
    if _refused(ask, heard.status, found):
        return replace(made, supported=False, note=f"refused: {found.cause}")
    return replace(made, supported=None, note=f"not decided: {found.cause}")


def _refused(ask: Ask, status: int, found: Classification) -> bool:
    if ask.question == PLAIN:
        return found.retry in (Retry.NEVER, Retry.WINDOW)
    return status in _REFUSED and found.retry is Retry.NEVER and found.domain is Domain.CALLER


def _answered(ask: Ask, text: str, found: Classification, made: Said) -> Said:
    """An answer under 200 counts when it is whole, and when it shows what was asked for."""
    cut = any(end in _CUT_SHORT for end in _ends(text))
    if found.cause != "success" and not cut:
        return replace(made, supported=None, note=f"not whole: {found.cause}")
    done = replace(made, supported=True, code=None, cause=None, domain=None, retry=None)
    shown = {"tools": _called_a_tool, "json_schema": _said_json}.get(ask.question)
    if shown is None or cut or shown(text):
        return done
    return replace(done, supported=None, note="answered, but not in the form that was asked for")


def _model(text: str) -> str | None:
    named = next(
        (value for name, value in _fields(text) if name in ("model", "modelVersion")), None
    )
    return redact.safe(named, limit=LONGEST_NAME) if isinstance(named, str) and named else None


def _ends(text: str) -> list[str]:
    """What ended an answer, in the words of every protocol, lower case."""
    names = ("finish_reason", "finishReason", "stop_reason", "reason")
    return [
        value.lower() for name, value in _fields(text) if name in names and isinstance(value, str)
    ]


def _called_a_tool(text: str) -> bool:
    kinds = ("tool_use", "function_call")
    return any(
        (name == "type" and value in kinds)
        or (name in ("tool_calls", "functionCall") and bool(value))
        for name, value in _fields(text)
    )


def _said_json(text: str) -> bool:
    """Whether some words of the answer are a JSON object."""
    for name, value in _fields(text):
        if name in ("content", "text") and isinstance(value, str):
            try:
                if isinstance(json.loads(value), dict):
                    return True
            except (ValueError, RecursionError):
                continue
    return False


def document(text: str | None) -> Mapping[str, Any]:
    """Read a body as a JSON object, numbers exact; empty where it is none."""
    try:
        value = json.loads(text or "", parse_float=Decimal)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _fields(text: str) -> Iterator[tuple[str, Any]]:
    """Every named value of a JSON body, or of the events of a stream, at any depth."""
    bodies = [text]
    if "data:" in text and not text.lstrip().startswith(("{", "[")):
        bodies = [
            line.removeprefix("data:") for line in text.splitlines() if line.startswith("data:")
        ]
    for body in bodies:
        try:
            waiting = [json.loads(body)]
        except (ValueError, RecursionError):
            continue
        while waiting:
            value = waiting.pop()
            if isinstance(value, dict):
                yield from value.items()
                waiting.extend(value.values())
            elif isinstance(value, list):
                waiting.extend(value)
