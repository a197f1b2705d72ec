"""What can be odd about a request that was answered, or that only the gateway knows of.

Near-equal calls, a fallback, an alias, a loop: nothing failed, and yet somebody should know. And a
usage row that no log explains: a client that gave up waiting, or somebody else with the key.
"""

import re
from dataclasses import replace
from typing import Any

import pandas as pd

from runbook_lib.analysis.diagnosis import Diagnosis, cite, none_or, settled
from runbook_lib.analysis.joins import start_match
from runbook_lib.analysis.material import FAILED, Material, silent
from runbook_lib.analysis.words import counted
from runbook_lib.findings import Evidence, Grade, Join

LOOP_FACTOR, LOOP_PER_MINUTE = 5.0, 30
"""A loop calls at least this many times the key's usual rate, and at least this often."""


def odd(attempt: Any, base: Diagnosis, material: Material) -> Diagnosis:
    """Look for what is odd about an answered attempt; the first that fits is its cause.

    Args:
        attempt: A row of `material.attempts` with outcome ok.
        base: Its diagnosis by its own answer.
        material: Everything around it.

    Returns:
        The diagnosis, `success` when nothing is odd.
    """
    for rule in (fallback, twin, loop, alias):
        found = rule(attempt, base, material)
        if found is not None:
            return found
    return replace(base, reasons=("it was answered whole",))


def fallback(attempt: Any, base: Diagnosis, material: Material) -> Diagnosis | None:
    """The same call had failed on another model before."""
    if none_or(attempt.call_id, str) is None:
        return None
    before = [
        row
        for row in material.call(attempt.call_id)
        if row.start < attempt.start and row.outcome in FAILED and row.model != attempt.model
    ]
    if not before:
        return None
    last = before[-1]
    return settled(
        base,
        "client_fallback",
        grade=Grade.CONFIRMED,
        domain="upstream" if last.upstream else None,
        reason=f"{counted(len(before), 'attempt')} of this call on {last.model} had failed, the "
        f"last with {none_or(last.status, int) or 'no answer'}; then {attempt.model} answered",
        evidence=[cite(last, "status", last.status)],
    )


def twin(attempt: Any, base: Diagnosis, material: Material) -> Diagnosis | None:
    """The same request was sent a moment before or after, as another call."""
    place = material.twins.get(attempt.Index)
    if place is None:
        return None
    other = material.attempt(place)
    apart = abs(other.start - attempt.start)
    same = none_or(other.output_tokens, int) == none_or(attempt.output_tokens, int)
    return settled(
        base,
        "duplicate_send",
        grade=Grade.CONFIRMED if same else Grade.LIKELY,
        reason=f"call {other.call_id} of the same service asked {other.model} with the same "
        f"{int(attempt.input_tokens)} input tokens {apart:.2f} s apart",
        evidence=[cite(other, "input_tokens", other.input_tokens, join=Join.WINDOW)],
    )


def loop(attempt: Any, base: Diagnosis, material: Material) -> Diagnosis | None:
    """The key is called many times its usual rate, and every call is answered and billed."""
    known = material.rates.get((attempt.key_name, attempt.service))
    if known is None:
        return None
    usual, minutes = known
    here = minutes.get(attempt.ts.floor("min"), 0)
    if here < LOOP_PER_MINUTE or here < LOOP_FACTOR * max(usual, 1.0):
        return None
    return settled(
        base,
        "runaway_loop",
        grade=Grade.LIKELY,
        reason=f"{here:.0f} calls in this minute on {attempt.key_name}, {usual:.0f} are usual",
    )


def alias(attempt: Any, base: Diagnosis, _: Material) -> Diagnosis | None:
    """Another model answered than was asked, a dated form of the same name aside."""
    asked, answered = none_or(attempt.model, str), none_or(attempt.response_model, str)
    if asked is None or answered is None or same_model(asked, answered):
        return None
    return settled(
        base,
        "model_alias",
        grade=Grade.CONFIRMED,
        reason=f"asked was {asked}, the answer names {answered}",
        evidence=[cite(attempt, "response_model", answered)],
    )


def same_model(asked: str, answered: str) -> bool:
    """Tell whether two names are one model: a date, a vendor or `-thinking` does not count."""
    return _bare(asked) == _bare(answered)


def _bare(model: str) -> str:
    name = model.rsplit("/", 1)[-1].removesuffix("-thinking").removesuffix("-latest")
    return re.sub(r"-(?:\d{4}-\d{2}-\d{2}|\d{8})$", "", name).lower()


def unlogged(row: Any, material: Material) -> Diagnosis:
    """Explain a usage row that no attempt joins by id.

    Args:
        row: A row of `material.rows`.
        material: Everything around it.

    Returns:
        `client_timeout` when an abandoned attempt starts with it, `unlogged_use` when the key is
        logged by its services and this row is not, else `success` with the log that is missing.

    Source: contract §3.3, §5, §6 (M).
    """
    base = Diagnosis(
        cause="unknown",
        code=None,
        domain=None,
        retry=None,
        grade=Grade.INCONCLUSIVE,
        evidence=(cite(row, "request_id", row.request_id),),
    )
    given_up = start_match(row, _given_up(row, material), material)
    if given_up is not None:
        return settled(
            base,
            "client_timeout",
            grade=Grade.LIKELY,
            reason=f"an attempt of {given_up.service} that gave up waiting starts at the same "
            "moment, with the same key and model: the gateway finished and billed it",
            evidence=[cite(given_up, "error_type", given_up.error_type, join=Join.WINDOW)],
        )
    logged = material.rows[
        (material.rows["key_name"] == row.key_name)
        & material.rows["join_id"].isin(material.logged_ids)
    ]
    if logged.empty:
        return _served(row, base)
    return _stranger(row, base, logged)


def _served(row: Any, base: Diagnosis) -> Diagnosis:
    """Without any log of the key the row alone speaks: served, unless nothing came of it."""
    empty = not (none_or(row.output_tokens, int) or none_or(row.input_tokens, int))
    wanted = (f"the call log of the services that use {none_or(row.key_name, str) or 'the key'}",)
    if empty:
        reason = "the row counts no tokens, as that of a stream that broke does"
        names = ("stream_broken_after_first_byte", "success")
        return replace(base, cause=names[0], candidates=names, reasons=(reason,), wanted=wanted)
    reason = (
        "the gateway served and billed it; no call log here covers this key, so whether the "
        "client got the whole answer is not known"
    )
    told = settled(base, "success", grade=Grade.LIKELY, reason=reason)
    return replace(told, wanted=wanted)


def _given_up(row: Any, material: Material) -> pd.DataFrame:
    frame = material.attempts
    waiting = silent(frame)
    known = none_or(row.key_name, str) is not None
    return frame[waiting & (frame["key_name"] == row.key_name)] if known else frame[waiting]


def _stranger(row: Any, base: Diagnosis, logged: pd.DataFrame) -> Diagnosis:
    strange = []
    for name, words in (("ip_address", "address"), ("user_agent", "agent")):
        value = none_or(getattr(row, name), str)
        if value is not None and value not in set(logged[name].dropna()):
            strange.append((name, f"{words} {value}"))
    seen = " and ".join(words for _, words in strange)
    rows = counted(len(logged), "row")
    reason = f"of this key {rows} can be found in the logs of its services, this one not; " + (
        f"its {seen} is that of no logged row" if strange else "address and agent are known ones"
    )
    evidence = [
        Evidence(
            source=row.source_file, row=int(row.row_number), field=name, value=getattr(row, name)
        )
        for name, _ in strange
    ]
    return settled(
        base,
        "unlogged_use",
        grade=Grade.CONFIRMED if strange else Grade.LIKELY,
        reason=reason,
        evidence=evidence,
    )
