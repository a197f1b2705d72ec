"""Audit a primary and its fallback: would the fallback answer when the primary does not?

Works from files alone: key inventory, live answers, usage, call logs, prices, ledger. What they do
not tell is unknown, with what would decide it. Live probes add what no file holds.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from runbook_lib.analysis.pair_answers import who_answered
from runbook_lib.analysis.pair_checks import Check, may_call, shared_fate
from runbook_lib.analysis.pair_material import (
    HOURS_BY,
    PROBE_COLUMNS,
    RATES_BY,
    Pair,
    PairMaterial,
    complete,
    pairs_of,
)
from runbook_lib.analysis.pair_money import capacity, price
from runbook_lib.analysis.pair_size import abilities, sizes
from runbook_lib.analysis.rules import worst_first
from runbook_lib.findings import Exhibit, Finding, Status

__all__ = [
    "HOURS_BY",
    "PROBE_COLUMNS",
    "RATES_BY",
    "Audited",
    "Pair",
    "PairMaterial",
    "audit",
    "complete",
    "exhibit",
    "pairs_of",
]

COLUMNS = (
    *("primary", "primary_key", "fallback", "fallback_key", "check", "result", "severity"),
    *("grade", "what", "value", "expected", "unit", "missing", "evidence"),
)
"""Columns of the table of an audit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited:
    """What an audit of one pair gave.

    Attributes:
        findings: One a check, failing ones first, worst first.
        rows: The same as rows of `COLUMNS`, in the order they were asked.
    """

    pair: Pair
    findings: Sequence[Finding]
    rows: pd.DataFrame

    @property
    def counts(self) -> dict[Status, int]:
        """How many checks passed, failed, and are unknown."""
        found = [item.status for item in self.findings]
        return {status: found.count(status) for status in Status}


def audit(material: PairMaterial) -> Audited:
    """Audit one pair.

    Args:
        material: Frames of the pair, as the store answers for them.

    Returns:
        Findings and rows: what both share, whether the key may call the fallback, whether sizes
        and abilities fit, the price, how long key and balance carry the load, who really answered.

    Source: contract §1, §2, §3, §5-§8; marks stand in the findings.
    """
    checks = [
        *shared_fate(material),
        *may_call(material),
        *sizes(material),
        *abilities(material),
        price(material),
        *capacity(material),
        who_answered(material),
    ]
    findings = [check.finding(material) for check in checks]
    rows = [
        _row(material.pair, check, finding) for check, finding in zip(checks, findings, strict=True)
    ]
    return Audited(
        pair=material.pair,
        findings=worst_first(findings),
        rows=pd.DataFrame(rows, columns=list(COLUMNS), dtype=object),
    )


def exhibit(audited: Sequence[Audited]) -> Exhibit:
    """Put the audits of all pairs into one table.

    Args:
        audited: One a pair.

    Returns:
        The exhibit `pair_audit`: a row a check and pair: `primary`, `primary_key`, `fallback`,
        `fallback_key`, `check`, `result` (pass, fail, unknown), `severity`, `grade`, `what`,
        `value`, `expected`, `unit`, `missing` (what would decide it), `evidence` (file:record
        field=value).
    """
    parts = [one.rows for one in audited]
    frame = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(COLUMNS))
    counts = [f"{sum(one.counts[status] for one in audited)} {status.value}" for status in Status]
    return Exhibit(
        name="pair_audit",
        title="Is the fallback a fallback?",
        frame=frame,
        note=", ".join(counts) + "." if audited else "No pair of models was given.",
    )


def _row(pair: Pair, check: Check, finding: Finding) -> dict[str, object]:
    shown = [f"{item.source}:{item.row} {item.field}={item.value}" for item in check.evidence[:3]]
    return {
        "primary": pair.primary,
        "primary_key": pair.primary_key or None,
        "fallback": pair.fallback,
        "fallback_key": pair.fallback_key or None,
        "check": check.asks,
        "result": finding.status.value,
        "severity": finding.severity.value,
        "grade": finding.grade.value,
        "what": finding.title,
        "value": None if check.value is None else str(check.value),
        "expected": None if check.expected is None else str(check.expected),
        "unit": check.unit,
        "missing": check.missing or None,
        "evidence": "; ".join(shown) or None,
    }
