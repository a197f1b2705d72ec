"""Findings, exhibits and the Report: what every runbook gives, and the register of its rules.

The fields are those of `findings.json`. A Report shows itself as HTML through the renderer that
`report` registers here, and carries its own content as a machine-readable part of that output.
"""

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from runbook_lib import clock, money, redact
from runbook_lib.findings.register import RULES

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = "torouter-runbooks/findings/1"
"""Name and version of the form of `findings.json`."""

REPORT_MIME = "application/vnd.torouter.report+json"
"""Type of the part of a notebook's output that holds the whole Report."""

MOST_ROWS = 10_000
"""Rows behind one exhibit at most, dearest first; the rest is counted in rows and USD."""


class Status(StrEnum):
    """Whether the rule holds: `fail` is what needs an act, `unknown` is what cannot be told."""

    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    UNKNOWN = "unknown"


class Severity(StrEnum):
    """How bad, in our words; ordered from worst to least."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    INFO = "info"

    def reaches(self, level: "Severity") -> bool:
        """Tell whether this is as bad as *level* or worse."""
        order = list(Severity)
        return order.index(self) <= order.index(level)


class Grade(StrEnum):
    """How sure a verdict is."""

    CONFIRMED = "confirmed"
    LIKELY = "likely"
    INCONCLUSIVE = "inconclusive"


class Join(StrEnum):
    """How a row was tied to the request: by its id, by time and attributes, or not at all."""

    ID = "id"
    WINDOW = "window"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a finding is about, `case` that of a verification; null where about none."""

    key_name: str | None = None
    model: str | None = None
    environment: str | None = None
    request_id: str | None = None
    case: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One row a finding stands on: file and record number, the field and its value."""

    source: str
    row: int
    field: str
    value: object
    join: Join = Join.ID


@dataclass(frozen=True, slots=True, kw_only=True)
class NextStep:
    """One act a person can do now, where, who does it, and whether to send again."""

    text: str
    where: str = ""
    who: str = ""
    retry: str | None = None


def level(status: str, severity: str) -> str:
    """Give the word for how bad a finding is: its severity, or "unknown" or "pass"."""
    return str(severity if status == Status.FAIL else status)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at: what, how bad, how sure, on which rows, and what to do."""

    rule: str
    severity: Severity
    title: str
    status: Status = Status.FAIL
    subject: Subject = field(default_factory=Subject)
    window: clock.Window | None = None
    value: int | float | Decimal | str | None = None
    expected: int | float | Decimal | str | None = None
    unit: str = ""
    impact_usd: Decimal | None = None
    grade: Grade = Grade.CONFIRMED
    evidence: Sequence[Evidence] = ()
    next_step: NextStep | None = None
    mark: str = ""

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise KeyError(f"rule {self.rule!r} is not registered in findings.RULES")

    @property
    def level(self) -> str:
        """The word for how bad it is, the same wherever a finding is shown."""
        return level(self.status, self.severity)

    @property
    def fingerprint(self) -> str:
        """Same for the same rule and subject in every run: what repeats are known by."""
        about = plain(_fields(self.subject))
        case = about.pop("case")
        named = [] if case is None else [case]  # those without a case keep their fingerprint
        text = json.dumps([self.rule, *about.values(), *named])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exhibit:
    """A table or figure of a Report, with the rows behind it.

    Attributes:
        frame: Rows as shown and as written to CSV; money is Decimal, times aware UTC.
        chart: Name of the figure that `report` draws from it; empty for a table.
        note: One sentence under it: how to read it, what is left out.
        left_out: Rows that did not fit; `left_out_usd` their sum, None where unknown.
        timezone: Reporting zone its times are shown in; a Report sets its own.
        columns: Columns of the table people see, with "+" between those of one cell, such as
            "status+code"; empty for all. The CSV always has all.
    """

    name: str
    title: str
    frame: "pd.DataFrame"
    chart: str = ""
    note: str = ""
    left_out: int = 0
    left_out_usd: Decimal | None = None
    timezone: str = "UTC"
    columns: Sequence[str] = ()

    def _repr_mimebundle_(self, **_: object) -> dict[str, Any]:
        return shown(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The answer in one line: what, how sure, whose side must act, whether to send again."""

    title: str
    grade: Grade
    cause: str | None = None
    code: str | None = None
    domain: str | None = None
    retry: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """A file the answer rests on."""

    name: str
    kind: str
    sha256: str
    rows: int
    rejected: int
    first_at: datetime | None = None
    last_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """How much of the question the data covers; `partial` says why the answer is not whole."""

    join_rate: float | None = None
    unpriced_share: float | None = None
    gaps: Sequence[str] = ()
    partial: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A file the runner writes beside the report, such as a support pack."""

    name: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NextSteps:
    """The next steps of a Report, in order; shows itself as a list."""

    steps: Sequence[NextStep]

    def _repr_mimebundle_(self, **_: object) -> dict[str, Any]:
        return shown(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What one runbook found, whole: shows itself, and writes itself as `findings.json`."""

    runbook: str
    verdict: Verdict
    findings: Sequence[Finding]
    exhibits: Mapping[str, Exhibit]
    next_steps: NextSteps
    summary: Sequence[tuple[str, str]] = ()
    coverage: Coverage = field(default_factory=Coverage)
    inputs: Sequence[Input] = ()
    parameters: Mapping[str, object] = field(default_factory=dict)
    timezone: str = "UTC"
    now: datetime | None = None
    sample_data: bool = False
    attachments: Sequence[Attachment] = ()

    def __post_init__(self) -> None:
        zoned = {
            name: replace(item, timezone=self.timezone) for name, item in self.exhibits.items()
        }
        object.__setattr__(self, "exhibits", zoned)

    def to_dict(self) -> dict[str, Any]:
        """Give the content of `findings.json`, save what only the run knows (times, exit code)."""
        return {
            "schema": SCHEMA,
            "run": {
                "runbook": self.runbook,
                "timezone": self.timezone,
                "now": clock.stamp(self.now),
                "parameters": plain(dict(self.parameters)),
                "sample_data": self.sample_data,
                "inputs": [self._input(item) for item in self.inputs],
            },
            "verdict": plain(_fields(self.verdict)),
            "coverage": plain(_fields(self.coverage)),
            "findings": [_finding(item) for item in self.findings],
            "exhibits": {name: f"{name}.csv" for name in self.exhibits},
        }

    def _input(self, item: Input) -> dict[str, Any]:
        age = None
        if self.now is not None and item.last_at is not None:
            age = max(0, int((self.now - item.last_at).total_seconds()))
        return {**plain(_fields(item)), "age_s": age}

    def worst(self) -> Severity | None:
        """The worst severity among the findings that fail, None where nothing does."""
        failed = [item.severity for item in self.findings if item.status is Status.FAIL]
        return min(failed, key=list(Severity).index, default=None)

    def _repr_mimebundle_(self, **_: object) -> dict[str, Any]:
        return {REPORT_MIME: self.to_dict(), **shown(self)}


Renderer = Callable[[object], dict[str, Any]]
_renderers: list[Renderer] = []


def set_renderer(renderer: Renderer) -> None:
    """Fill the slot through which Reports, exhibits and next steps show themselves."""
    _renderers[:] = [renderer]


def shown(item: object) -> dict[str, Any]:
    """Show an item through the renderer that `report` registered, as plain text without one."""
    return _renderers[0](item) if _renderers else {"text/plain": repr(item)}


def _fields(item: object) -> dict[str, Any]:
    names = [name for kind in type(item).__mro__ for name in getattr(kind, "__slots__", ())]
    return {name: getattr(item, name) for name in names}


def _finding(item: Finding) -> dict[str, Any]:
    return {**plain(_fields(item)), "fingerprint": item.fingerprint}


def plain(value: Any) -> Any:
    """Give any value as JSON has it: amounts and times as text, no secret, nothing invisible."""
    if _unknown(value):
        return None
    if isinstance(value, Decimal):
        return money.plain(value)
    if isinstance(value, datetime):
        return clock.stamp(value)
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, str):
        return redact.visible(redact.secrets(value))
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [plain(item) for item in value]
    if hasattr(type(value), "__slots__") and hasattr(type(value), "__dataclass_fields__"):
        return plain(_fields(value))
    return _plain_number(value)


def _unknown(value: Any) -> bool:
    """Tell what a frame has for unknown."""
    named = type(value).__name__ in ("NoneType", "NAType", "NaTType")
    return named or (isinstance(value, float) and not math.isfinite(value))


def _plain_number(value: Any) -> Any:
    if hasattr(value, "item"):  # a number of numpy
        return plain(value.item())
    return value if isinstance(value, int | float) else plain(str(value))
