"""The tables and figures of a triage, each with the rows behind it."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pandas as pd

from runbook_lib import money
from runbook_lib.analysis import acts, around
from runbook_lib.analysis.case import FINAL, Case
from runbook_lib.analysis.diagnosis import none_or
from runbook_lib.analysis.joins import Joined
from runbook_lib.analysis.material import FAILED
from runbook_lib.analysis.words import counted, span_of, time_of
from runbook_lib.findings import MOST_ROWS, Exhibit


def exhibits_of(case: Case, *, of: str = "") -> dict[str, Exhibit]:
    """Make every exhibit of one case, in the order the notebook shows them.

    Args:
        case: The request.
        of: How to name it in every title, where the report is about several.

    Returns:
        The exhibits by name.
    """
    made = [attempts(case), *_of_spell(case), joined_rows(case), changes(case)]
    if of:
        made = [replace(item, title=f"{item.title} ({of})") for item in made]
    return {item.name: item for item in made}


def attempts(case: Case) -> Exhibit:
    """Put the attempts of one logical call together with their waits, ids, causes and cost.

    The frame has a row an attempt: `attempt`, `started_at` (UTC), `wait_ms` (since the end of the
    one before), `duration_ms`, `status`, `code`, `outcome`, `cause`, `retry`, `wrong_retry` (the
    answer before it was final), `key_name`, `model`, `response_model`, `request_ids`,
    `client_request_id`, `join`, `cost_usd`, `source_file`, `row_number`.
    """
    rows = list(case.call)
    return Exhibit(
        name="attempts",
        title="Attempts of the call",
        frame=pd.DataFrame(
            [_attempt(n, row, rows, case) for n, row in enumerate(rows)], columns=_ATTEMPT
        ).astype({"duration_ms": "float64", "wait_ms": "float64"}),
        chart="timeline",
        note=_attempts_note(case, len(rows)),
        columns=(
            *("attempt", "started_at", "wait_ms", "duration_ms", "status+code", "cause+retry"),
            *("key_name+model", "client_request_id+request_ids", "join+cost_usd"),
        ),
    )


_ATTEMPT = [
    "attempt",
    "started_at",
    "wait_ms",
    "duration_ms",
    "status",
    "code",
    "outcome",
    "cause",
    "retry",
    "wrong_retry",
    "key_name",
    "model",
    "response_model",
    "request_ids",
    "client_request_id",
    "join",
    "cost_usd",
    "source_file",
    "row_number",
]


def _attempt(n: int, row: Any, rows: Sequence[Any], case: Case) -> list[Any]:
    found, joined = case.judged[n], case.joins[n]
    before = rows[n - 1] if n else None
    wait = None if before is None else round((row.start - before.end) * 1000, 1)
    wrong = before is not None and case.judged[n - 1].retry in FINAL and before.model == row.model
    return [
        none_or(row.attempt, int) or n + 1,
        row.ts,
        wait,
        none_or(row.duration_ms, float),
        none_or(row.status, int),
        found.code,
        row.outcome,
        found.cause,
        found.retry,
        wrong,
        row.key_name,
        row.model,
        row.response_model,
        row.request_ids,
        row.client_request_id,
        joined.how,
        joined.cost_usd,
        row.source_file,
        row.row_number,
    ]


def _attempts_note(case: Case, count: int) -> str:
    if not count:
        return "No client log holds this request; only its usage row is known."
    cost = case.cost_usd
    billed = "no usage row was found for it" if cost is None else f"it cost {money.usd(cost)}"
    wasted = f", {case.wasted} of them could not help" if case.wasted else ""
    return f"{counted(count, 'attempt')}{wasted}; {billed}."


def _of_spell(case: Case) -> list[Exhibit]:
    spell = case.spell
    if spell is None or case.attempt is None:
        table = pd.DataFrame({"minute": pd.Series(dtype="datetime64[us, UTC]")})
        for name in ("same", "failed", "ok"):
            table[name] = pd.Series(dtype="int64")
        empty = Exhibit(
            name="minutes",
            title="Failures around the request",
            frame=table,
            chart="minutes",
            note=_nothing_failed(case),
        )
        return [empty, _radius(None, case), _radius_by_minute(None, case)]
    frame = around.by_minute(case.attempt, spell, case.material)
    frame.attrs = {"target": case.attempt.ts, "onset": spell.onset, "end": spell.last}
    return [
        Exhibit(
            name="minutes",
            title="Failures around the request, by minute",
            frame=frame,
            chart="minutes",
            note=_spell_note(case),
        ),
        _radius(spell, case),
        _radius_by_minute(spell, case),
    ]


def _nothing_failed(case: Case) -> str:
    """Say what failed in the window, where the request itself did not."""
    material = case.material
    minutes = material.minutes
    if case.subject is None or minutes.empty:
        return "There is nothing to count: no attempt was found."
    failed = minutes[minutes["outcome"].isin(FAILED)]
    span = span_of(material.window.start, material.window.end, material.place)
    if failed.empty:
        return f"Nothing failed in the window, {span}."
    own = failed[failed["key_name"] == case.subject.key_name]
    mine, all_ = int(own["attempts"].sum()), int(failed["attempts"].sum())
    return (
        f"The request did not fail. In the window, {span}, {counted(all_, 'other attempt')} "
        f"failed, {mine:,} of them on its key: ask for that window to see why."
    )


def _spell_note(case: Case) -> str:
    spell, place = case.spell, case.material.place
    if spell is None:
        return "Nothing else failed the same way in the window."
    end = {
        True: "it goes on at the end of the data",
        False: f"it is over since {time_of(spell.recovered, place)}"
        if spell.recovered is not None
        else "it is over",
        None: "whether it is over cannot be told from these data",
    }[spell.goes_on]
    return f"First {span_of(spell.onset, spell.last, place).replace(' to ', ', last ')}; {end}."


def _radius(spell: around.Spell | None, case: Case) -> Exhibit:
    frame = _EMPTY_RADIUS if spell is None else around.blast_radius(spell, case.material)
    frame, note = frame.head(MOST_ROWS), "Nobody else was hit."
    if spell is not None and len(frame):
        span = span_of(frame["first"].min(), frame["last"].max(), case.material.place)
        note = (
            f"{counted(spell.attempts, 'attempt')} failed the same way. The share is that of all "
            f"attempts of the same key, service and model from {span}."
        )
    return Exhibit(
        name="blast_radius",
        title="Who else was hit",
        frame=frame,
        note=note,
        columns=(
            *("status+code", "key_name+service", "model", "failed", "attempts", "share"),
            *("first", "last"),
        ),
    )


_EMPTY_RADIUS = pd.DataFrame(
    columns=[
        "status",
        "code",
        "key_name",
        "service",
        "model",
        "failed",
        "attempts",
        "share",
        "first",
        "last",
    ]
)


def _radius_by_minute(spell: around.Spell | None, case: Case) -> Exhibit:
    columns = ["minute", "key_name", "model", "code", "failed", "attempts", "share"]
    frame = pd.DataFrame(columns=columns)
    left_out = 0
    if spell is not None and len(spell.kin):
        whole = around.blast_by_minute(spell, case.material)[columns]
        frame, left_out = whole.head(MOST_ROWS), max(0, len(whole) - MOST_ROWS)
    return Exhibit(
        name="blast_by_minute",
        title="The same failure by code, key, model and minute",
        frame=frame,
        left_out=left_out,
    )


def joined_rows(case: Case) -> Exhibit:
    """Show the usage rows of the call, each stamped with how it was tied to it."""
    pairs = list(zip(case.call, case.joins, strict=True)) or [(None, case.joined)]
    rows = [_joined(attempt, item) for attempt, item in pairs]
    frame = pd.DataFrame(rows, columns=_JOINED)
    cost = money.total(item.cost_usd for _, item in pairs)
    found = counted(sum(item.row is not None for _, item in pairs), "row")
    return Exhibit(
        name="joined_rows",
        title="Usage rows of the call",
        frame=frame,
        note=f"Billed {money.usd(cost)} in {found}. A row's time is the end of the request.",
        columns=(
            *("attempt", "join+note", "ended_at", "request_id", "key_name+model", "input_tokens"),
            *("output_tokens", "cache_read_tokens", "duration_ms", "cost_usd"),
        ),
    )


_JOINED = [
    "attempt",
    "join",
    "note",
    "ended_at",
    "request_id",
    "key_name",
    "model",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "duration_ms",
    "cost_usd",
    "source_file",
    "row_number",
]


def _joined(attempt: Any, item: Joined) -> list[Any]:
    number = None if attempt is None else none_or(attempt.attempt, int)
    row = item.row
    if row is None:
        return [number, item.how, item.note, pd.NaT, *[None] * (len(_JOINED) - 4)]
    known = [none_or(getattr(row, name), _same) for name in _JOINED[4:]]
    return [number, item.how, item.note, row.ts, *known]


def _same(value: Any) -> Any:
    return value


def changes(case: Case) -> Exhibit:
    """Show what was done from an hour before the onset until the recovery."""
    frame = case.changes
    note = "Nothing is known to have changed."
    if case.spell is None:
        note = "The request did not fail, so nothing is looked for before it."
    elif len(frame):
        note = _changes_note(frame)
    return Exhibit(
        name="changes",
        title="What changed before the failure and before its end",
        frame=frame.head(MOST_ROWS),
        note=note,
        columns=("at", "when", "what", "subject+whose", "change", "source_file+row_number"),
    )


def _changes_note(frame: pd.DataFrame) -> str:
    told = [
        f"{counted(len(some), noun)} {what}"
        for when, noun, what in (
            (acts.SUSPECT, "suspect", "in the hour before the onset"),
            (acts.MEANWHILE, "act", "while it failed"),
            (acts.MENDED, "act", "at its end, which may explain it"),
        )
        if len(some := acts.near(frame, when))
    ]
    others = len(frame) - sum(len(acts.near(frame, when)) for when in acts.TIMES)
    if others:
        told.append(f"{counted(others, 'act')} on what it has nothing to do with, at the end")
    return f"{'; '.join(told)}. None of them is proved to be a cause."


def total_usd(costs: Sequence[Decimal | None]) -> Decimal | None:
    """Sum the known costs, None when none is known."""
    known = [cost for cost in costs if cost is not None]
    return money.total(known) if known else None
