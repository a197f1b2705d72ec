"""What the lake holds: the card at the head of a notebook."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from runbook_lib import findings
from runbook_lib.schema import TABLES

if TYPE_CHECKING:
    import pandas as pd

    from runbook_lib.sources.intake import Intake
    from runbook_lib.store.manifest import Manifest, Part

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
KEPT_REJECTS = 20
"""Rejected records an input keeps for the card; the reasons count them all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableCard:
    """One table of the lake.

    Attributes:
        table: Its name.
        rows: Rows that count; `repeated` more are held twice or better by another input.
        first_at, last_at: Span of its times; None where it has none.
    """

    table: str
    rows: int
    repeated: int
    first_at: datetime | None = None
    last_at: datetime | None = None

    def age(self, now: datetime) -> timedelta | None:
        """Tell how old the newest row is; None for a table without times."""
        return None if self.last_at is None else now - self.last_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """Rows, span, rejected rows and files of a lake; shows itself in a notebook.

    Attributes:
        tables: The tables that hold rows, usage and calls first.
        inputs: The files taken in, by name.
        rejected: Rejected rows by reason, over all files.
        notes: What people should know of the files, each with the name of its file.
        owners: Account → accounts or users that its rows name, such as "user_id 8".
        sample: Whether the data are made up.
        timezone: IANA zone in which people are told its times.
    """

    tables: Sequence[TableCard]
    inputs: Sequence[findings.Input]
    rejected: Mapping[str, int]
    notes: Sequence[str]
    sample: bool = False
    owners: Mapping[str, Sequence[str]] = field(default_factory=dict)
    timezone: str = "UTC"

    @property
    def last_at(self) -> datetime | None:
        """Time of the newest row of all."""
        return max((t.last_at for t in self.tables if t.last_at is not None), default=None)

    def age(self, now: datetime) -> timedelta | None:
        """Tell how old the newest row of all is; None when there is none."""
        return None if self.last_at is None else now - self.last_at

    def _repr_mimebundle_(self, **_: object) -> dict[str, Any]:
        return findings.shown(self)


def instant(micros: int | None) -> datetime | None:
    """Turn microseconds since 1970 into an aware UTC instant."""
    return None if micros is None else _EPOCH + timedelta(microseconds=micros)


def micros(at: datetime) -> int:
    """Count the microseconds from 1970 to an aware instant."""
    return (at - _EPOCH) // timedelta(microseconds=1)


def record(intake: "Intake") -> dict[str, Any]:
    """Write down one input for the manifest: all a card tells of it."""
    return {
        "kind": intake.kind,
        "table": intake.table,
        "source_file": intake.source_file,
        "sha256": intake.sha256,
        "account": intake.account,
        "rows": intake.rows,
        "rejected": intake.rejected,
        "other_lines": intake.other_lines,
        "reasons": dict(intake.reasons),
        "rejects": [
            {"row": r.row, "line": r.line, "reason": r.reason, "sample": r.sample}
            for r in intake.rejects[:KEPT_REJECTS]
        ],
        "usd_used": str(intake.usd_used),
        "usd_rejected": str(intake.usd_rejected),
        "first": None if intake.first_at is None else micros(intake.first_at),
        "last": None if intake.last_at is None else micros(intake.last_at),
        "notes": list(intake.notes),
        "columns": sorted(intake.columns),
        "field_map": dict(intake.field_map),
        "owners": sorted(intake.owners),
    }


def card(manifest: "Manifest", *, timezone: str = "UTC") -> Card:
    """Draw the card of one state of the lake."""
    tables = [_table(name, parts) for name in TABLES if (parts := manifest.of(name))]
    rejected: dict[str, int] = {}
    for taken in manifest.taken:
        for reason, count in taken["reasons"].items():
            rejected[reason] = rejected.get(reason, 0) + count
    order = sorted(manifest.taken, key=lambda t: (t["source_file"], t["account"], t["sha256"]))
    return Card(
        tables=tables,
        inputs=[_input(taken) for taken in order],
        rejected=dict(sorted(rejected.items())),
        notes=[f"{taken['source_file']}: {note}" for taken in order for note in taken["notes"]],
        sample=manifest.sample,
        owners=_owners(manifest),
        timezone=timezone,
    )


def exports(manifest: "Manifest") -> "pd.DataFrame":
    """Tell of each file of usage rows what it brought.

    Args:
        manifest: A state of the lake.

    Returns:
        One row a file, in the columns of `Store.exports`.
    """
    import pandas as pd

    hidden = {
        (part.key, part.account): part.hidden_rows for part in manifest.parts if not part.dropped
    }
    rows = [
        (
            taken["account"],
            taken["source_file"],
            taken["kind"],
            taken["rows"],
            taken["rejected"],
            hidden.get((taken["sha256"], taken["account"])),
            instant(taken["first"]),
            instant(taken["last"]),
            "; ".join(taken["notes"]),
        )
        for taken in manifest.taken
        if taken["table"] == "usage"
    ]
    columns = [
        *("account", "source_file", "kind", "rows", "rejected", "elsewhere"),
        *("first_at", "last_at", "notes"),
    ]
    made = pd.DataFrame(rows, columns=columns).sort_values(columns[:3], ignore_index=True)
    made["elsewhere"] = made["elsewhere"].astype("Int64")
    times = {name: pd.to_datetime(made[name], utc=True) for name in ("first_at", "last_at")}
    return made.assign(**times)


def _owners(manifest: "Manifest") -> dict[str, list[str]]:
    named: dict[str, set[str]] = {}
    for taken in manifest.taken:
        named.setdefault(taken["account"], set()).update(taken.get("owners", ()))
    return {account: sorted(names) for account, names in sorted(named.items())}


def _table(name: str, parts: "Sequence[Part]") -> TableCard:
    hidden = sum(part.hidden_rows for part in parts)
    return TableCard(
        table=name,
        rows=sum(part.rows for part in parts) - hidden,
        repeated=hidden + sum(part.dropped for part in parts),
        first_at=instant(min((p.first for p in parts if p.first is not None), default=None)),
        last_at=instant(max((p.last for p in parts if p.last is not None), default=None)),
    )


def _input(taken: Mapping[str, Any]) -> findings.Input:
    return findings.Input(
        name=taken["source_file"],
        kind=taken["kind"],
        sha256=taken["sha256"],
        rows=taken["rows"],
        rejected=taken["rejected"],
        first_at=instant(taken["first"]),
        last_at=instant(taken["last"]),
    )
