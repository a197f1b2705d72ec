"""The cases of a verification, as data: what is done to a client, and what it must do then.

`vectors.toml` holds ours and explains the form; users give a file of their own beside it.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from importlib.resources import files
from pathlib import Path
from typing import Any

from runbook_lib import redact
from runbook_lib.errors import VectorError
from runbook_lib.verify import sound
from runbook_lib.verify.records import Place, Role, Step

OURS = "vectors.toml"
"""Name under which our own cases are told."""

MOST_BYTES = 1 << 20
"""Largest file of cases that is read."""

PROTOCOLS = ("openai", "responses", "anthropic", "gemini")
DURATIONS = ("once", "twice", "5s", "ever")


class Retry(StrEnum):
    """Whether the same model is asked again."""

    MUST = "must"
    MAY = "may"
    ONCE = "once"
    """At most once: the work may have been done and charged."""
    NEVER = "never"


class Fallback(StrEnum):
    """Whether another model is asked."""

    WANTED = "wanted"
    MAY = "may"
    NEVER = "never"


class Ends(StrEnum):
    """How the call must end; `TOLD` is told from retry, fallback and duration."""

    TOLD = ""
    ANSWER = "answer"
    ERROR = "error"
    EITHER = "either"


class Also(StrEnum):
    """What else is looked at."""

    BOTH_ERRORS = "both_errors"
    STATUS = "status"
    IDS = "ids"
    JITTER = "jitter"
    BUDGET = "budget"
    BREAKER = "breaker"
    SHARE = "share"
    REDIRECT = "redirect"
    STOP = "stop"


class Level(StrEnum):
    """How bad a wrong retry or fallback is in a case."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Expect:
    """What a correct client does.

    Attributes:
        mid: A streamed byte had reached the caller, so the same model is not asked again.
        attempts_max: Attempts a model, at most.
        wait_min_s, wait_max_s: Between two attempts of a model; None where `Retry-After` tells.
        model: Name that the answer carries where it is not the one asked for.
    """

    retry: Retry
    fallback: Fallback
    ends: Ends = Ends.TOLD
    mid: bool = False
    attempts_max: int = 3
    wait_min_s: float | None = None
    wait_max_s: float | None = None
    model: str = ""
    also: frozenset[Also] = frozenset()
    severity: Level = Level.ERROR


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A situation and what is expected in it; `vectors.toml` explains each field."""

    name: str
    row: int
    what: str
    expect: Expect
    steps: Sequence[Step] = ()
    durations: Sequence[str] = ()
    protocols: Sequence[str] = PROTOCOLS
    stream: str = "both"
    sync: str = "both"
    flavour: str = "all"
    depth: str = "full"
    place: Place = Place.GATEWAY
    calls: int = 1
    at_once: int = 1
    every_s: float = 0.0
    deadline_s: float = 8.0
    patience_s: float = 2.0
    cancel_after_s: float | None = None
    situation: Mapping[str, str] = field(default_factory=dict)


_CHOICES: dict[str, tuple[str, ...]] = {
    "stream": ("both", "only", "no"),
    "sync": ("both", "sync", "async"),
    "flavour": ("all", "protocol", "first"),
    "depth": ("full", "smoke"),
}
_NAMES = {one.name for one in fields(Case)} | {"fault"}
_KINDS: dict[str, type[StrEnum]] = {
    "retry": Retry,
    "fallback": Fallback,
    "ends": Ends,
    "severity": Level,
    "role": Role,
    "place": Place,
    "also": Also,
}
_NUMBERS = ("row", "calls", "at_once", "times", "attempts_max")
_SECONDS = frozenset(
    {"every_s", "deadline_s", "patience_s", "cancel_after_s", "for_s", "p"}
    | {"wait_min_s", "wait_max_s"}
)
_WORD = re.compile(r"[a-z][a-z0-9_]{0,39}")


def load(path: str | Path = "") -> list[Case]:
    """Read our cases, and those of a user's file after them.

    Args:
        path: File with cases of one's own; empty for none.

    Returns:
        Every case, ours first, each in the order of its file.

    Raises:
        VectorError: a case cannot be used: file, case and field are named.
    """
    ours = read(files("runbook_lib.verify").joinpath(OURS).read_text("utf-8"), OURS)
    if not path:
        return ours
    return [*ours, *read(_text(Path(path)), str(path), taken={one.name for one in ours})]


def read(text: str, path: str, *, taken: set[str] | None = None) -> list[Case]:
    """Read cases from TOML.

    Args:
        text: Content of the file.
        path: Its name, for messages.
        taken: Names that cases already have.

    Returns:
        The cases in their order.

    Raises:
        VectorError: it is no such TOML, or a case contradicts itself.
    """
    try:
        tables = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        hint = f"it is no TOML: {redact.safe(str(error), limit=120)}"
        raise VectorError(path, "", "the whole file", hint=hint) from error
    listed = tables.get("cases")
    if not isinstance(listed, list) or not listed or set(tables) != {"cases"}:
        raise VectorError(path, "", "the whole file", hint="give one or more [[cases]], no more")
    used = set(taken or ())
    found = []
    for number, table in enumerate(listed, start=1):
        made = _Reader(path, f"number {number}").case(table)
        if made.name in used:
            raise VectorError(path, made.name, "name", hint="it is taken; give another")
        used.add(made.name)
        found.append(made)
    return found


def _text(path: Path) -> str:
    try:
        if not path.is_file():
            raise VectorError(path, "", "the whole file", hint="give a file with [[cases]]")
        if path.stat().st_size > MOST_BYTES:
            raise VectorError(path, "", "the whole file", hint="it is larger than 1 MiB")
        return path.read_text("utf-8-sig")
    except (OSError, ValueError) as error:
        hint = f"it cannot be read as text ({type(error).__name__})"
        raise VectorError(path, "", "the whole file", hint=hint) from error


class _Reader:
    """Reads one case; knows where it stands, for messages."""

    def __init__(self, path: str, place: str) -> None:
        self.path, self.place = path, place

    def wrong(self, name: str, hint: str) -> VectorError:
        return VectorError(self.path, self.place, redact.safe(name, limit=40), hint=hint)

    def case(self, table: object) -> Case:
        given = self._table(table, "case", _NAMES, ("name", "row", "what", "expect"))
        name = given["name"]
        if not isinstance(name, str) or not _WORD.fullmatch(name):
            raise self.wrong("name", "give small letters, digits and _, 40 at most")
        self.place = name
        if not isinstance(given["what"], str) or not given["what"].strip():
            raise self.wrong("what", "say in one sentence what happens")
        expect = self._expect(given.pop("expect"))
        steps = self._steps(given, expect)
        chosen = {key: self._choice(key, value) for key, value in given.items() if key in _CHOICES}
        words = {
            key: self._words(key, given[key], known)
            for key, known in (("protocols", PROTOCOLS), ("durations", DURATIONS))
            if key in given
        }
        made = {key: self._value(key, value) for key, value in given.items()} | chosen | words
        case = Case(**{**made, "expect": expect, "steps": steps})
        for field_name, hint in sound.faults_of(case):
            raise self.wrong(field_name, hint)
        return case

    def _table(
        self, table: object, kind: str, known: set[str], needed: Sequence[str]
    ) -> dict[str, Any]:
        if not isinstance(table, dict):
            raise self.wrong(kind, "give a table")
        for name in table:
            if name not in known:
                raise self.wrong(name, f"it is unknown; known are {', '.join(sorted(known))}")
        for name in needed:
            if name not in table:
                raise self.wrong(name, "it is missing")
        return dict(table)

    def _expect(self, table: object) -> Expect:
        known = {one.name for one in fields(Expect)}
        given = self._table(table, "expect", known, ("retry", "fallback"))
        also = given.pop("also", [])
        if not isinstance(also, list):
            raise self.wrong("also", "give a list of words")
        looked = frozenset(self._value("also", one) for one in also)
        made = {key: self._value(key, value) for key, value in given.items()}
        return Expect(**{**made, "also": looked})

    def _steps(self, given: dict[str, Any], expect: Expect) -> tuple[Step, ...]:
        fault, listed = given.pop("fault", None), given.pop("steps", None)
        if fault is not None and listed is not None:
            raise self.wrong("fault", "give fault or steps, not both")
        if fault is not None:
            role = Role.ANY if expect.fallback is Fallback.NEVER else Role.PRIMARY
            listed = [{"fault": fault, "role": role.value}]
        if listed is not None and not isinstance(listed, list):
            raise self.wrong("steps", "give a list of tables")
        return tuple(self._step(one) for one in listed or [])

    def _step(self, table: object) -> Step:
        known = {one.name for one in fields(Step)}
        given = self._table(table, "steps", known, ("fault",))
        return Step(**{key: self._value(key, value) for key, value in given.items()})

    def _value(self, name: str, value: Any) -> Any:
        """Check the type of a value by its name, and give it in ours."""
        if name in _KINDS:
            words = [one.value for one in _KINDS[name] if one.value]
            if not isinstance(value, str) or value not in words:
                raise self.wrong(name, f"give one of {', '.join(words)}")
            return _KINDS[name](value)
        if name in _NUMBERS and (isinstance(value, bool) or not isinstance(value, int)):
            raise self.wrong(name, "give a whole number")
        if name in _SECONDS and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise self.wrong(name, "give a number")
        if name == "mid" and not isinstance(value, bool):
            raise self.wrong(name, "give true or false")
        if name in ("fault", "model") and not isinstance(value, str):
            raise self.wrong(name, "give a name")
        return value

    def _choice(self, name: str, value: Any) -> str:
        if value not in _CHOICES[name]:
            raise self.wrong(name, f"give one of {', '.join(_CHOICES[name])}")
        return str(value)

    def _words(self, name: str, value: Any, known: Sequence[str]) -> tuple[str, ...]:
        if not isinstance(value, list) or not value or any(one not in known for one in value):
            raise self.wrong(name, f"give a list of {', '.join(known)}")
        if len(set(value)) < len(value):
            raise self.wrong(name, "name each once")
        return tuple(value)
