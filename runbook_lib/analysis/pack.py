"""The support pack: what to paste into a ticket and into the handover, redacted.

It holds ids, times, codes, counts and the names of keys: never a key, a prompt or an answer.
"""

import html
import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from runbook_lib import clock, money, redact
from runbook_lib.analysis.around import label
from runbook_lib.analysis.case import Case
from runbook_lib.analysis.diagnosis import none_or
from runbook_lib.analysis.words import counted
from runbook_lib.findings import Attachment, Finding, NextStep, Verdict

MOST_IDS = 20
"""Ids of the same failure that are listed at most."""


def packs(
    case: Case,
    verdict: Verdict,
    findings: Sequence[Finding],
    step: NextStep,
    *,
    asked: Sequence[str] = (),
) -> list[Attachment]:
    """Write the support pack of a case.

    Args:
        case: The request, or the one that stands for several.
        verdict: What the report says.
        findings: All its findings.
        step: The first act to take.
        asked: The ids of all, where several were asked.

    Returns:
        The pack as Markdown and as JSON.
    """
    facts = _facts(case, verdict)
    if len(asked) > 1:
        more = len(asked) - MOST_IDS
        facts["all ids asked"] = [*asked[:MOST_IDS], *([f"and {more} more"] if more > 0 else [])]
    attempts = [_attempt(row) for row in case.call]
    handed = handover(case, verdict, step)
    body = {
        "facts": facts,
        "attempts": attempts,
        "handover": handed,
        "findings": [item.title for item in findings],
    }
    lines = [*table("Attempts", attempts), "", "## Findings", ""]
    lines += [f"- {item.level}: {cell(item.title)}" for item in findings]
    return written(body, [*opening(handed, facts), *lines])


def written(body: dict[str, Any], lines: Sequence[str]) -> list[Attachment]:
    """Make the files of a pack: for people, and for programs."""
    machine = json.dumps(_clean(body), indent=1, ensure_ascii=False)
    return [
        Attachment(name="support-pack.md", text="\n".join(lines) + "\n"),
        Attachment(name="support-pack.json", text=machine + "\n"),
    ]


def handover(case: Case, verdict: Verdict, step: NextStep) -> list[str]:
    """Five lines for the next person: what, since when, who is hit, what it costs, what to do."""
    spell, place = case.spell, case.material.place
    since, hit = "one request", "nobody else that the data show"
    if spell is not None:
        state = {True: "goes on", False: "over", None: "end not seen"}[spell.goes_on]
        since = f"{both(spell.onset, place)}, {state}"
        hit = (
            f"{counted(spell.attempts, 'attempt')} on {', '.join(spell.keys[:5]) or 'unnamed keys'}"
        )
    retry = f"retry: {verdict.retry}" if verdict.retry else "nothing may be sent again by itself"
    return [
        f"What: {verdict.title} ({verdict.grade})",
        f"Since: {since}",
        f"Hit: {hit}",
        f"Cost: this call {money.usd(case.cost_usd)}; {retry}",
        f"Do: {step.text} ({step.where or 'on call'}, {step.who or 'on call'})",
    ]


def _facts(case: Case, verdict: Verdict) -> dict[str, Any]:
    row = case.subject
    return {
        "asked id": case.asked,
        "cause": f"{verdict.cause}: {label(verdict.cause or 'unknown')}",
        "grade": str(verdict.grade),
        "side": verdict.domain or "undecided",
        "key name": none_or(row.key_name, str),
        "model": none_or(row.model, str),
        "time": both(row.ts, case.material.place),
        "cost": money.usd(case.cost_usd),
        "ids of the same failure": _ids(case),
    }


def _ids(case: Case) -> list[str]:
    spell = case.spell
    if spell is None:
        return []
    frame = case.material.attempts
    same = frame[frame["ts"].between(spell.onset, spell.last) & frame["key_name"].isin(spell.keys)]
    same = same[same["outcome"] == case.subject.outcome]
    return [str(ids) for ids in same["request_ids"].dropna().head(MOST_IDS)]


def _attempt(row: Any) -> dict[str, Any]:
    names = (
        "attempt",
        "status",
        "code_read",
        "model",
        "request_ids",
        "client_request_id",
        "stream_end",
        "duration_ms",
    )
    plain = {name: none_or(getattr(row, name), _json_value) for name in names}
    return {"started": clock.stamp(row.ts.to_pydatetime()), **plain}


def _json_value(value: Any) -> Any:
    return value if isinstance(value, str) else float(value) if value % 1 else int(value)


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return redact.visible(redact.secrets(value))
    if isinstance(value, dict):
        return {key: _clean(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_clean(item) for item in value]
    return value


def both(at: datetime, place: ZoneInfo) -> str:
    """Write an instant in the reporting zone, with UTC beside it where that differs."""
    utc, local = clock.clock_time(at, ZoneInfo("UTC")), clock.clock_time(at, place)
    return utc if place.utcoffset(at) == timedelta(0) else f"{local} ({utc})"


def opening(handed: Sequence[str], facts: dict[str, Any]) -> list[str]:
    """Begin the Markdown of a pack: what to hand over, and the facts."""
    lines = ["# Support pack", "", "## Handover", ""]
    lines += [f"- {cell(line)}" for line in handed]
    lines += ["", "## Facts", "", "| fact | value |", "|---|---|"]
    return lines + [f"| {name} | {cell(value)} |" for name, value in facts.items()]


def table(title: str, rows: Sequence[dict[str, Any]]) -> list[str]:
    """Write rows as a table under a heading; nothing where there are none."""
    if not rows:
        return []
    heads = list(rows[0])
    lines = ["", f"## {title}", "", f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    return lines + [f"| {' | '.join(cell(row[name]) for name in heads)} |" for row in rows]


def cell(value: Any) -> str:
    """Write a value into Markdown, so that nothing of it is live."""
    if isinstance(value, list):
        return cell(", ".join(str(item) for item in value))
    text = html.escape(redact.safe("–" if value is None else value, limit=2000), quote=False)
    return "".join(f"\\{char}" if char in "\\`*_[]|#" else char for char in text)
