"""What a run ends with: clean, findings, partial; and `findings.json` filled with it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from runbook_lib import clock
from runbook_lib.findings import Severity
from runbook_lib.version import __version__

CLEAN, FINDINGS, WRONG_USE, PARTIAL, COULD_NOT_RUN, CANCELLED = 0, 1, 2, 3, 4, 130
"""Exit codes; findings beat partial."""

NEVER = "never"
"""Level of `fail_on` that no finding reaches."""

MAX_AGE_HOURS = 36.0
"""Age of the newest row from which on the input is stale."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one notebook ended.

    Attributes:
        name: Name of the runbook.
        exit_code: What it ends with on its own.
        report: Content of its `findings.json`; None where it failed.
        next_steps: The acts of its Report, in order.
        error: One sentence why it failed; empty where it did not.
        folder: Where its files are; None where none were written.
    """

    name: str
    exit_code: int
    report: Mapping[str, Any] | None = None
    next_steps: Sequence[Mapping[str, Any]] = ()
    error: str = ""
    folder: Path | None = None


def stale(report: Mapping[str, Any], max_age_hours: float) -> list[str]:
    """Say why the data are too old; empty when they are not, or when their age is unknown."""
    ages = [item["age_s"] for item in report["run"]["inputs"] if item["age_s"] is not None]
    if not ages or min(ages) <= max_age_hours * 3600:
        return []
    old = clock.ago(timedelta(seconds=min(ages)))
    return [f"the newest row is {old} older than now; at most {max_age_hours:g} h are allowed"]


def exit_code(report: Mapping[str, Any], fail_on: str) -> int:
    """Judge a report: findings at or above *fail_on* beat what is partial."""
    failed = [item for item in report["findings"] if item["status"] == "fail"]
    level = None if fail_on == NEVER else Severity(fail_on)
    if level and any(Severity(item["severity"]).reaches(level) for item in failed):
        return FINDINGS
    return PARTIAL if report["coverage"]["partial"] else CLEAN


def filled(
    report: Mapping[str, Any],
    *,
    started_at: datetime,
    finished_at: datetime,
    fail_on: str,
    max_age_hours: float,
    partial: Sequence[str] = (),
) -> dict[str, Any]:
    """Fill `findings.json` with what only the run knows.

    Args:
        report: What the notebook's Report says of itself.
        started_at: Start of the run.
        finished_at: Its end.
        fail_on: Severity from which on findings give exit code 1, or "never".
        max_age_hours: Age of the newest row from which on the input is stale.
        partial: Why else the answer is not whole.

    Returns:
        The whole content: `run.status` is "complete" or "partial", and what is stale stands
        under `coverage.partial`.
    """
    content = {name: value for name, value in report.items() if name not in ("files", "next_steps")}
    reasons = [*report["coverage"]["partial"], *stale(report, max_age_hours), *partial]
    content["coverage"] = {**report["coverage"], "partial": reasons}
    content["run"] = {
        **report["run"],
        "version": __version__,
        "started_at": clock.stamp(started_at),
        "finished_at": clock.stamp(finished_at),
        "status": "partial" if reasons else "complete",
        "exit_code": exit_code(content, fail_on),
        "fail_on": fail_on,
        "max_age_hours": max_age_hours,
    }
    return content


def of_several(outcomes: Sequence[Outcome]) -> int:
    """Give the exit code of a run of several notebooks: one that failed makes it partial."""
    codes = [item.exit_code for item in outcomes]
    if all(item.error for item in outcomes):
        return max(codes)
    if FINDINGS in codes:
        return FINDINGS
    return PARTIAL if any(codes) else CLEAN
