"""An earlier run asked again: with the parameters it wrote down, and on the same input or not."""

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runbook_lib import redact
from runbook_lib.errors import InputError, ParameterError
from runbook_lib.findings import SCHEMA, Input, plain
from runbook_lib.runner import files, notebooks
from runbook_lib.runner.outcome import MAX_AGE_HOURS
from runbook_lib.version import __version__

SHOWN = 5
"""Names of files told in one sentence at most."""

_HINT = "give the findings.json of an earlier run"
_FORMS = "torouter-runbooks/findings/"
_DATA = "data_dir"
_FACTS = ("sha256", "rows", "rejected", "first_at", "last_at")
_ADAPTER = re.compile(r"[a-z0-9-]+")

_REACHES: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "request_id": (lambda value: str(value).lstrip().startswith("@"), "read a file"),
    "cases": (bool, "read a file"),
    "client": (lambda value: not _ADAPTER.fullmatch(str(value)), "start a program"),
    "live": (lambda value: value is not False, "send live calls"),
}
"""Parameters that can reach beyond the data: which of their values do, and what these would do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """What an earlier run wrote down of itself.

    Attributes:
        runbook: Its name.
        version: Version of the program that ran it.
        now: Time it was judged as of, as text.
        parameters: What it was asked, without the folder of its data.
        inputs: Name, kind, sha256, rows and span of each input.
        fail_on, max_age_hours: What it was judged by.
    """

    runbook: str
    version: str
    now: str
    parameters: Mapping[str, Any]
    inputs: Sequence[Mapping[str, Any]]
    fail_on: str
    max_age_hours: float


def read(path: Path) -> Earlier:
    """Read the `findings.json` of an earlier run, or that in the folder of one.

    Raises:
        InputError: it cannot be read, is none, or is of another form.
    """
    place = path / files.FINDINGS if path.is_dir() else path
    shown = redact.safe(place)
    content = _json(place)
    form = content.get("schema") if isinstance(content, dict) else None
    if not isinstance(form, str) or not form.startswith(_FORMS):
        raise InputError(shown, "is no findings.json", hint=_HINT)
    if form != SCHEMA:
        what = f"is of the form {redact.safe(form)}, and this program knows {SCHEMA}"
        raise InputError(shown, what, hint="run it anew, or use the program that wrote it")
    try:
        return _earlier(content["run"])
    except (KeyError, TypeError, ValueError) as error:
        what = f"lacks what a run writes down ({redact.safe(error)})"
        raise InputError(shown, what, hint=_HINT) from error


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        what = f"cannot be read as JSON ({redact.safe(error)})"
        raise InputError(redact.safe(path), what, hint=_HINT) from error


def _earlier(run: Mapping[str, Any]) -> Earlier:
    texts = {name: run[name] for name in ("runbook", "version", "now")}
    texts["fail_on"] = run.get("fail_on", "high")
    for name, value in texts.items():
        if not isinstance(value, str):
            raise TypeError(f"{name} is no text")
    parameters = {name: value for name, value in dict(run["parameters"]).items() if name != _DATA}
    inputs = [{name: item[name] for name in ("name", "kind", *_FACTS)} for item in run["inputs"]]
    hours = float(run.get("max_age_hours", MAX_AGE_HOURS))
    return Earlier(**texts, parameters=parameters, inputs=inputs, max_age_hours=hours)


def chosen(names: Sequence[str], earlier: Earlier) -> list[str]:
    """Give the runbook to run: that of the earlier run.

    Raises:
        ParameterError: *names*, which were asked for, are others, or there is none of its name.
    """
    for name in names:
        if name != earlier.runbook:
            hint = f"{redact.safe(earlier.runbook)}, which that run was of, or no name"
            raise ParameterError("NAME", redact.safe(name), hint=hint)
    return [notebooks.find(earlier.runbook).name]


def parameters(earlier: Earlier, typed: Mapping[str, Any]) -> dict[str, Any]:
    """Give the parameters of an earlier run, with those that were typed over them.

    A file that is passed on is read, not obeyed: what starts a program, reads a file or costs money
    must be typed. Where the earlier run was judged by the clock, it is its time that counts now.

    Args:
        earlier: The earlier run.
        typed: Values from the command line.

    Returns:
        All values by name; the folder of the data only where it was typed.

    Raises:
        ParameterError: a value was removed as a secret, or must be typed.
    """
    held = {name: value for name, value in earlier.parameters.items() if name not in typed}
    for name, value in held.items():
        _refuse(name, value)
    if not held.get("now", "typed"):
        held["now"] = earlier.now
    return {**held, **typed}


def _refuse(name: str, value: Any) -> None:
    shown, word = redact.safe(name), redact.safe(value)
    if redact.MASK in str(value):
        hint = f"it with -p {shown}=…: it was taken for a secret and not written down"
        raise ParameterError(shown, word, hint=hint)
    reaches, what = _REACHES.get(name, (bool, ""))
    if what and reaches(value):
        hint = f"it with -p {shown}=…: what would {what} is not taken from a findings.json"
        raise ParameterError(shown, word, hint=hint)


def differences(earlier: Earlier, inputs: Sequence[Input]) -> list[str]:
    """Say how the input differs from that of an earlier run: a sentence a kind, naming the files.

    Args:
        earlier: The earlier run.
        inputs: What the store holds now.

    Returns:
        The sentences; empty where every file is there with the same bytes, read the same way.
    """
    before, now = _by_file(earlier.inputs), _by_file([plain(item) for item in inputs])
    both = [name for name in before if name in now and before[name] != now[name]]
    changed = [name for name in both if _bytes(before[name]) != _bytes(now[name])]
    kinds = {
        "missing": [name for name in before if name not in now],
        "added": [name for name in now if name not in before],
        "of other bytes": changed,
        "read in another way": [name for name in both if name not in changed],
    }
    return [
        f"{len(names)} input {'file is' if len(names) == 1 else 'files are'} {kind} "
        f"compared with the earlier run: {_listed(names)}"
        for kind, names in kinds.items()
        if names
    ]


def _by_file(inputs: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], Counter[Any]]:
    """What is known of the inputs of each name and kind; several files can share both."""
    found: dict[tuple[str, str], Counter[Any]] = {}
    for item in inputs:
        held = found.setdefault((str(item["name"]), str(item["kind"])), Counter())
        held[tuple(str(item[fact]) for fact in _FACTS)] += 1
    return found


def _bytes(facts: Counter[Any]) -> Counter[str]:
    return Counter(one[0] for one in facts.elements())


def _listed(names: Sequence[tuple[str, str]]) -> str:
    shown = [redact.safe(name) for name in sorted({name for name, _ in names})]
    more = f" and {len(shown) - SHOWN} more" if len(shown) > SHOWN else ""
    return ", ".join(shown[:SHOWN]) + more


def by_another(earlier: Earlier) -> str:
    """Say where another version of this program made the earlier run; empty for the same."""
    if earlier.version == __version__:
        return ""
    was = redact.safe(earlier.version)
    return f"That run was made by version {was}, this is {__version__}: rules may have changed."
