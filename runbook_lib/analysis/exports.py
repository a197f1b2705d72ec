"""Whether the exports are whole: seams of pages, files that overlap, rows that stand twice."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from runbook_lib import clock, money
from runbook_lib.analysis.diagnosis import rolled_up
from runbook_lib.analysis.words import counted
from runbook_lib.contract import PAGE_ROWS
from runbook_lib.findings import Finding, Grade, NextStep, Severity, Status

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    import pandas as pd

    from runbook_lib.clock import Window

PAGED = ("usage export", "usage list")
"""Kinds of file the console writes page by page."""


def seen(exports: "pd.DataFrame", repeated: "pd.DataFrame", window: "Window") -> "pd.DataFrame":
    """Tell of each file that reaches into a window what is odd about it.

    Args:
        exports: As `Store.exports` gives them.
        repeated: As `Store.repeated` gives them for the window.
        window: The span asked.

    Returns:
        One row a file: `account`, `source_file`, `kind`, `rows`, `rejected`, `elsewhere` (held by
        another file too, counted once), `repeated` (copies of a row without an id in the same file
        at the same microsecond: all count), `repeated_usd` (Decimal USD of the copies beyond the
        first), `seam` (bool: it ends exactly at the end of a page, and nothing older is held),
        `first_at`, `last_at` (aware UTC), `notes`.
    """
    inside = (exports["first_at"] < window.end) & (exports["last_at"] >= window.start)
    made = exports[inside].reset_index(drop=True)
    twice = _copies(repeated)
    names = list(zip(made["account"], made["source_file"], strict=True))
    made["repeated"] = [twice.get(name, (0, money.ZERO))[0] for name in names]
    made["repeated_usd"] = [twice.get(name, (0, money.ZERO))[1] for name in names]
    oldest = exports.groupby("account")["first_at"].min()
    whole = made["rows"] + made["rejected"]
    paged = made["kind"].isin(PAGED) & (whole > 0) & (whole % PAGE_ROWS == 0)
    made["seam"] = paged & (made["first_at"] <= made["account"].map(oldest))
    order = ["account", "source_file", "kind", "rows", "rejected", "elsewhere", "repeated"]
    return made[[*order, "repeated_usd", "seam", "first_at", "last_at", "notes"]]


def _copies(repeated: "pd.DataFrame") -> dict[tuple[str, str], tuple[int, Any]]:
    """Count the copies by file: times of whole seconds say nothing, several rows may share one."""
    exact = repeated[repeated["ts"].dt.microsecond % 1000 != 0]
    found: dict[tuple[str, str], tuple[int, Any]] = {}
    for row in exact.to_dict("records"):
        name, more = (row["account"], row["source_file"]), int(row["copies"]) - 1
        count, usd = found.get(name, (0, money.ZERO))
        found[name] = (count + more, usd + more * money.or_zero(row["cost_usd"]))
    return found


def findings(files: "pd.DataFrame", place: "ZoneInfo") -> Iterator[Finding]:
    """Tell of seams and repeats, and say once what overlaps.

    Args:
        files: As `seen` gives them.
        place: Zone in which times are told.

    Returns:
        A finding for each file that is odd, and one for rows that several files hold.
    """
    for row in files.to_dict("records"):
        if row["seam"]:
            yield _seam(row, place)
        if row["repeated"]:
            yield _repeats(row)
    several = int(files["elsewhere"].fillna(0).sum())
    if several:
        yield Finding(
            rule="export-overlap",
            status=Status.PASS,
            severity=Severity.INFO,
            title=f"{counted(several, 'usage row')} stand in several files and count once",
            value=several,
            unit="usage rows",
            evidence=[rolled_up("usage", "source_file", several)],
            mark="M",
        )


def _seam(row: Mapping[Any, Any], place: "ZoneInfo") -> Finding:
    count = int(row["rows"]) + int(row["rejected"])
    first = clock.clock_time(row["first_at"], place, seconds=False)
    return Finding(
        rule="export-seam",
        severity=Severity.MEDIUM,
        title=f"{row['source_file']} has exactly {count:,} rows, whole pages of the console, and "
        f"nothing before {first} is held: older rows may be missing",
        value=count,
        unit="usage rows",
        grade=Grade.LIKELY,
        evidence=[rolled_up("usage", "source_file", row["source_file"])],
        next_step=NextStep(
            text="Export the days before as well; rows that both files hold count once.",
            where="/usage",
            who="on call",
        ),
        mark="M",
    )


def _repeats(row: Mapping[Any, Any]) -> Finding:
    told = counted(int(row["repeated"]), "usage row")
    return Finding(
        rule="export-repeats",
        severity=Severity.MEDIUM,
        title=f"{row['source_file']} holds {told} twice, equal to the microsecond: pages moved "
        f"while it was written, and {money.usd(row['repeated_usd'])} may count twice",
        value=int(row["repeated"]),
        expected=0,
        unit="usage rows",
        impact_usd=row["repeated_usd"],
        grade=Grade.LIKELY,
        evidence=[rolled_up("usage", "source_file", row["source_file"])],
        next_step=NextStep(
            text="Take in the list of the console too: its rows have ids, and count once.",
            where="/usage",
            who="finance",
        ),
        mark="M",
    )
