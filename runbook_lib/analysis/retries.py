"""Judge a recorded call log: which retries were wrong, which fallbacks silent, what it cost.

Nothing is run: the attempts of each call are held against what a correct client does. What the log
does not tell (no call ids, no codes, no durations) is said as unknown.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pandas as pd

from runbook_lib import money
from runbook_lib.analysis.oddities import same_model
from runbook_lib.analysis.retries_attempts import DAYS_BY, USAGE_BY, Logged
from runbook_lib.analysis.retries_days import attempts_by_day, fallback_by_day
from runbook_lib.analysis.retries_findings import of_aliases, of_fallback, of_log, of_rule
from runbook_lib.analysis.retries_money import costs, fallback_calls
from runbook_lib.analysis.retries_rules import Marked, marked
from runbook_lib.analysis.rules import worst_first
from runbook_lib.findings import MOST_ROWS, Exhibit, Finding

__all__ = ["DAYS_BY", "USAGE_BY", "Judged", "Logged", "aliases", "judge_log"]

MISTAKES = [
    *("rule", "kind", "ts", "service", "key_name", "model", "call_id", "attempt", "wait_s"),
    *("before_status", "before_code", "before_rule", "before_asked_s", "before_model"),
    *("before_key", "status", "code", "outcome", "stream_end", "cost_usd", "join"),
    *("client_request_id", "source_file", "row_number"),
]
"""Columns of the attempts that broke a rule."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What a log shows.

    Attributes:
        findings: Worst first; a rule that nothing broke passes, one without material is unknown.
        exhibits: `wrong_retries`, `mistakes`, `fallback_by_day`, `fallback_calls`,
            `attempts_by_day`, `model_aliases`.
        calls, attempts: Of the whole window. `judged`: attempts that were looked at singly.
    """

    findings: Sequence[Finding]
    exhibits: Mapping[str, Exhibit]
    calls: int
    attempts: int
    judged: int


def judge_log(logged: Logged, examples: pd.DataFrame | None = None) -> Judged:
    """Judge a recorded call log.

    Args:
        logged: The log, as the store answers for it.
        examples: Attempts that another model answered, to be cited, in the columns of `calls`.

    Returns:
        Findings and exhibits, ready for a Report. Amounts are USD; what cannot be priced is
        unknown, and counted.

    Source: contract §3, §4, §6 (D, M).
    """
    cost, found = costs(logged), list(marked(logged))
    calls = fallback_calls(logged, cost)
    by_day, days = fallback_by_day(logged, calls), attempts_by_day(logged, found)
    pairs = aliases(logged.days)
    cited = logged.attempts if examples is None else examples
    findings = [
        *(item for mark in found for item in of_rule(mark, cost)),
        *of_fallback(by_day, calls),
        *of_aliases(pairs, cited),
        *of_log(logged, days),
    ]
    made = [
        _wrong_retries(found, cost),
        _summary(found, cost),
        _bounded("fallback_by_day", "Share of calls that the fallback answered", by_day),
        _bounded("fallback_calls", "Calls that the fallback answered", calls),
        _bounded("attempts_by_day", "Attempts a call", days),
        _bounded("model_aliases", "Answers of another model than was asked", pairs),
    ]
    return Judged(
        findings=worst_first(findings) if logged.called else list(of_log(logged, days)),
        exhibits={item.name: item for item in made},
        calls=logged.called,
        attempts=int(logged.days["attempts"].sum()),
        judged=len(logged.attempts),
    )


def aliases(days: pd.DataFrame) -> pd.DataFrame:
    """Find the models that another one answers for, a dated form of the same name aside.

    Args:
        days: Attempts by day, split by `DAYS_BY`.

    Returns:
        A row a pair: `account`, `key_name`, `model` (asked), `response_model` (answered),
        `attempts`, `answered` (attempts of the key and model that name who answered); the most
        frequent first.
    """
    named = days.dropna(subset=["model", "response_model"])
    by = ["account", "key_name", "model", "response_model"]
    summed = named.groupby(by, dropna=False, as_index=False)[["attempts"]].sum()
    summed = summed.astype({"attempts": "int64"})
    summed["answered"] = summed.groupby(by[:3], dropna=False)["attempts"].transform("sum")
    other = [
        not same_model(asked, answered)
        for asked, answered in zip(summed["model"], summed["response_model"], strict=True)
    ]
    found: pd.DataFrame = summed[pd.Series(other, index=summed.index, dtype=bool)]
    return found.sort_values("attempts", ascending=False, kind="stable", ignore_index=True)


def _wrong_retries(found: Sequence[Marked], cost: pd.DataFrame) -> Exhibit:
    """Every attempt that broke a rule; one that broke two stands twice."""
    parts = [mark.rows.assign(rule=mark.rule).join(cost) for mark in found if len(mark.rows)]
    rows = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=MISTAKES)
    shown = rows.reindex(columns=MISTAKES)
    return _bounded("wrong_retries", "Attempts that a correct client would not have made", shown)


def _summary(found: Sequence[Marked], cost: pd.DataFrame) -> Exhibit:
    by = ["rule", "kind", "service", "key_name", "code"]
    rows: list[dict[str, Any]] = []
    for mark in found:
        code = mark.rows["before_code"].fillna(mark.rows["code"])
        named = mark.rows.assign(rule=mark.rule, code=code)
        for values, group in named.groupby(by, dropna=False, sort=True):
            known = [usd for usd in cost.loc[group.index, "cost_usd"] if isinstance(usd, Decimal)]
            rows.append(
                {
                    **dict(zip(by, values, strict=True)),
                    "attempts": len(group),
                    "calls": group["call"].nunique(),
                    "cost_usd": money.total(known) if known else None,
                    "cost_unknown": len(group) - len(known),
                    "first": group["ts"].min(),
                    "last": group["ts"].max(),
                }
            )
    columns = [*by, "attempts", "calls", "cost_usd", "cost_unknown", "first", "last"]
    frame = pd.DataFrame(rows, columns=columns)
    return _bounded("mistakes", "What clients did wrong, by rule, service, key and code", frame)


def _bounded(name: str, title: str, frame: pd.DataFrame) -> Exhibit:
    """Make an exhibit of the dearest rows; the rest is counted."""
    ordered = frame
    if "cost_usd" in frame.columns and name != "fallback_by_day":
        usd = frame["cost_usd"].map(lambda one: one if isinstance(one, Decimal) else money.ZERO)
        ordered = frame.loc[(-usd).sort_values(kind="stable").index] if len(frame) else frame
    shown, rest = ordered.head(MOST_ROWS), ordered.iloc[MOST_ROWS:]
    lost = None
    if "cost_usd" in frame.columns:
        lost = money.total(usd for usd in rest["cost_usd"] if isinstance(usd, Decimal))
    return Exhibit(
        name=name,
        title=title,
        frame=_with_none(shown.reset_index(drop=True)),
        left_out=len(rest),
        left_out_usd=lost,
        note="" if len(frame) else "Nothing of the kind in these data.",
    )


def _with_none(frame: pd.DataFrame) -> pd.DataFrame:
    """Let what is unknown among texts and amounts be None, as in every table."""
    held = {
        str(name): column.astype(object).where(column.notna(), None)
        for name, column in frame.items()
        if pd.api.types.is_object_dtype(column) or pd.api.types.is_string_dtype(column)
    }
    return frame.assign(**held)
