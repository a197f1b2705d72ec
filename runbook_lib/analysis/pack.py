"""The support pack: what to paste into a ticket and into the handover, redacted.

It holds ids, times, codes, counts and the names of keys: never a key, a prompt or an answer.
"""

import html
import json
from collections.abc import Sequence
from typing import Any

from runbook_lib import clock, money, redact
from runbook_lib.analysis.around import label
from runbook_lib.analysis.case import Case
from runbook_lib.analysis.diagnosis import none_or
from runbook_lib.analysis.words import counted
from runbook_lib.findings import Attachment, Finding, NextStep, Verdict

MOST_IDS = 20
"""Ids of the same failure that are listed at most."""


def packs(
    case: Case, verdict: Verdict, findings: Sequence[Finding], step: NextStep
) -> list[Attachment]:
    """Write the support pack as Markdown and as JSON."""
    facts = _facts(case, verdict)
    attempts = [_attempt(row) for row in case.call]
    handed = handover(case, verdict, step)
    body = {
        "facts": facts,
        "attempts": attempts,
        "handover": handed,
        "findings": [item.title for item in findings],
    }
    machine = json.dumps(_clean(body), indent=1, ensure_ascii=False)
    return [
        Attachment(name="support-pack.md", text=_markdown(facts, attempts, handed, findings)),
        Attachment(name="support-pack.json", text=machine + "\n"),
    ]


def handover(case: Case, verdict: Verdict, step: NextStep) -> list[str]:
    """Five lines for the next person: what, since when, who is hit, what it costs, what to do."""
    spell = case.spell
    since, hit = "one request", "nobody else that the data show"
    if spell is not None:
        state = {True: "goes on", False: "over", None: "end not seen"}[spell.goes_on]
        since = f"{clock.stamp(spell.onset.to_pydatetime())}, {state}"
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
        "time (UTC)": clock.stamp(row.ts.to_pydatetime()),
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


def _markdown(
    facts: dict[str, Any],
    attempts: Sequence[dict[str, Any]],
    handed: Sequence[str],
    findings: Sequence[Finding],
) -> str:
    lines = ["# Support pack", "", "## Handover", ""]
    lines += [f"- {_cell(line)}" for line in handed]
    lines += ["", "## Facts", "", "| fact | value |", "|---|---|"]
    lines += [f"| {name} | {_cell(value)} |" for name, value in facts.items()]
    if attempts:
        heads = list(attempts[0])
        lines += ["", "## Attempts", "", f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
        lines += [f"| {' | '.join(_cell(row[name]) for name in heads)} |" for row in attempts]
    lines += ["", "## Findings", ""]
    lines += [f"- {item.severity}: {_cell(item.title)}" for item in findings]
    return "\n".join(lines) + "\n"


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return _cell(", ".join(str(item) for item in value))
    text = html.escape(redact.safe("–" if value is None else value, limit=2000), quote=False)
    return "".join(f"\\{char}" if char in "\\`*_[]|#" else char for char in text)
