"""Parameters kept in a file: name and value, as JSON or YAML."""

import json
from pathlib import Path
from typing import Any

from runbook_lib import redact
from runbook_lib.errors import InputError

_HINT = 'give {"name": "value"} as JSON, or lines of name: value as YAML'
_PLAIN = (str, int, float, bool)
LARGEST_B = 1_000_000
"""Bytes such a file may have."""


def read(path: Path) -> dict[str, Any]:
    """Read parameters from a file.

    JSON where it reads as such, else YAML. What YAML would guess (a date, a yes, an octal number)
    stays text, and is turned into the declared type like text from the command line.

    Args:
        path: The file.

    Returns:
        Values by name: text, a number, a flag, or a list of these.

    Raises:
        InputError: it cannot be read, is neither, or holds anything but names and values.
    """
    held = _content(path)
    if not isinstance(held, dict):
        raise InputError(redact.safe(path), "holds no names and values", hint=_HINT)
    if "schema" in held and "run" in held:
        raise InputError(
            redact.safe(path), "is the findings.json of a run", hint="give it to --again instead"
        )
    for name, value in held.items():
        parts = value if isinstance(value, list) else [value]
        if not isinstance(name, str) or not all(isinstance(part, _PLAIN) for part in parts):
            what = f"holds no plain value of {redact.safe(name)}"
            raise InputError(redact.safe(path), what, hint=_HINT)
    return held


def _content(path: Path) -> Any:
    import yaml

    try:
        if path.stat().st_size > LARGEST_B:
            raise InputError(redact.safe(path), "is too large for parameters", hint=_HINT)
        text = path.read_text(encoding="utf-8-sig")
        try:
            return json.loads(text, object_pairs_hook=_once)
        except json.JSONDecodeError:
            return yaml.load(text, Loader=_loader())  # noqa: S506 - it makes texts, lists and maps
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        what = f"cannot be read as JSON or YAML ({redact.safe(error)})"
        raise InputError(redact.safe(path), what, hint=_HINT) from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    held = dict(pairs)
    if len(held) < len(pairs):
        raise ValueError("a name is given twice")
    return held


def _loader() -> Any:
    """A reader of YAML that keeps every value as text and takes each name once."""
    import yaml

    class Loader(yaml.BaseLoader):  # type: ignore[misc]
        def construct_mapping(self, node: Any, **_: Any) -> Any:
            made = self.construct_object
            return _once([(str(made(key)), made(one)) for key, one in node.value])

    return Loader
