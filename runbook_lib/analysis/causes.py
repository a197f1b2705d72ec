"""From one attempt and what is around it to its cause: a chain of rules, each citing its rows.

The answer alone is judged by `classifier.classify_logged`; the rules here separate what only other
rows can separate. A rule that does not apply passes the attempt on; nothing is ever decided by the
text of a message.
"""

import re
from collections.abc import Callable
from dataclasses import replace

import pandas as pd

from runbook_lib.analysis.diagnosis import Attempt, Diagnosis, cite, from_answer, none_or, settled
from runbook_lib.analysis.episodes import Episode, episode_of
from runbook_lib.analysis.material import SLOT_WAIT_S, Material, each
from runbook_lib.analysis.words import counted
from runbook_lib.findings import Grade, Join

TIMEOUT_WORDS = ("timeout", "timedout", "deadline")
"""Parts of exception names that say the client gave up waiting."""

NEARBY_S = 900.0
"""Seconds within which a sibling refusal of the same key explains an undecided one."""

DOOR_REFUSALS, SLOWER = 5, 3.0
"""With so many refusals at the door, one that took so many times as long came from behind it."""

Rule = Callable[[Attempt, Diagnosis, Material], Diagnosis | None]


def diagnose(attempt: Attempt, material: Material) -> Diagnosis:
    """Judge one attempt by its own answer, then by the rows around it.

    Args:
        attempt: A row of `material.attempts`.
        material: Everything around it.

    Returns:
        The diagnosis; `success` when the attempt was answered whole.

    Source: contract §3 (D, D!, M).
    """
    first = from_answer(attempt)
    for rule in RULES:
        settled = rule(attempt, first, material)
        if settled is not None:
            return settled
    return _opened(first)


def _opened(base: Diagnosis) -> Diagnosis:
    if base.cause == "success" or len(base.candidates) < 2:
        unsure = base.cause == "unknown"
        return replace(base, grade=Grade.INCONCLUSIVE if unsure else base.grade)
    shared = base.domain is not None and base.retry is not None
    return replace(
        base,
        grade=Grade.LIKELY if shared else Grade.INCONCLUSIVE,
        wanted=base.wanted or ("the console's list of failed requests for this time",),
    )


def no_answer(attempt: Attempt, base: Diagnosis, _: Material) -> Diagnosis | None:
    """A client that stopped waiting: the gateway may have finished and billed it."""
    if attempt.outcome != "no_answer" and none_or(attempt.stream_end, str) != "timeout":
        return None
    kind = (none_or(attempt.error_type, str) or "").lower().replace("_", "")
    timed_out = any(word in kind for word in TIMEOUT_WORDS) or attempt.stream_end == "timeout"
    if not timed_out:
        return replace(
            base,
            cause="unknown",
            candidates=("unknown",),
            grade=Grade.INCONCLUSIVE,
            domain=None,
            reasons=("no answer came, and the client names no time-out",),
            wanted=("the client's own log of this connection",),
        )
    waited = (attempt.end - attempt.start) if attempt.end > attempt.start else None
    length = f" after {waited:.1f} s" if waited else ""
    return settled(
        base,
        "client_timeout",
        grade=Grade.CONFIRMED,
        reason=f"the client stopped waiting{length} ({attempt.error_type or 'timeout'})",
        evidence=[cite(attempt, "error_type", attempt.error_type)],
    )


def spent_balance(attempt: Attempt, base: Diagnosis, material: Material) -> Diagnosis | None:
    """`billing_error` has two meanings; what the same key is answered nearby decides."""
    if set(base.candidates) < {"balance_used_up"} or "balance_used_up" not in base.candidates:
        return None
    if len(base.candidates) < 2:
        return None
    for code, cause in (
        ("INSUFFICIENT_BALANCE", "balance_used_up"),
        ("USAGE_LIMIT_EXCEEDED", "subscription_window_used_up"),
    ):
        sibling = _nearest(attempt, material, code)
        if sibling is not None:
            reason = f"the same key is answered {code} nearby"
            found = cite(sibling, "code", code, join=Join.WINDOW)
            return settled(base, cause, grade=Grade.CONFIRMED, reason=reason, evidence=[found])
    state = material.key_state
    asked = state[
        (state["key_name"] == attempt.key_name) & (state["code"] == "INSUFFICIENT_BALANCE")
    ]
    if len(asked):
        found = cite(next(each(asked)), "code", "INSUFFICIENT_BALANCE", join=Join.WINDOW)
        reason = "asked live, the key is answered INSUFFICIENT_BALANCE"
        return settled(
            base, "balance_used_up", grade=Grade.CONFIRMED, reason=reason, evidence=[found]
        )
    return None


def _nearest(attempt: Attempt, material: Material, code: str) -> Attempt | None:
    frame = material.attempts
    same = frame[(frame["key_name"] == attempt.key_name) & (frame["code"] == code)]
    same = same[(same["start"] - attempt.start).abs() <= NEARBY_S]
    if same.empty:
        return None
    closest = (same["start"] - attempt.start).abs().idxmin()
    return next(each(same.loc[[closest]]))


def rotated_key(attempt: Attempt, base: Diagnosis, material: Material) -> Diagnosis | None:
    """A refused key that has a successor was rotated, and somebody still sends the old one."""
    if base.cause != "key_unknown_or_deleted" or none_or(attempt.key_name, str) is None:
        return None
    held = material.keys[material.keys["key_name"] == attempt.key_name]
    heirs = held[held["replaced_by"].notna()]
    if len(heirs):
        heir = next(each(heirs))
        return settled(
            base,
            "old_key_after_rotation",
            grade=_rotation_grade(attempt, material),
            reason=f"the inventory says {attempt.key_name} was replaced by {heir.replaced_by}",
            evidence=[cite(heir, "replaced_by", heir.replaced_by, join=Join.WINDOW)],
        )
    return _rotation_in_audit(attempt, base, material)


def _rotation_grade(attempt: Attempt, material: Material) -> Grade:
    acts = material.audit
    gone = acts[(acts["action"] == "keys.delete") & (acts["ts"] <= attempt.ts)]
    worked = material.usage[
        (material.usage["key_name"] == attempt.key_name) & (material.usage["ts"] < attempt.ts)
    ]
    return Grade.CONFIRMED if len(gone) or len(worked) else Grade.LIKELY


def _rotation_in_audit(attempt: Attempt, base: Diagnosis, material: Material) -> Diagnosis | None:
    acts = material.audit[material.audit["ts"] <= attempt.ts]
    named = acts["key_name"].fillna("")
    heirs = acts[(acts["action"] == "keys.create") & named.str.match(_successor(attempt.key_name))]
    gone = acts[acts["action"] == "keys.delete"]
    if heirs.empty or gone.empty or gone["ts"].max() < heirs["ts"].min():
        return None
    heir = next(each(heirs.tail(1)))
    return settled(
        base,
        "old_key_after_rotation",
        grade=Grade.LIKELY,
        reason=f"{heir.key_name} was created and a key deleted before the first refusal",
        evidence=[cite(heir, "key_name", heir.key_name, join=Join.WINDOW)],
    )


def _successor(key_name: str) -> str:
    stem = re.sub(r"-v\d+$", "", key_name)
    return re.escape(stem) + r"-v\d+$"


def denied(attempt: Attempt, base: Diagnosis, material: Material) -> Diagnosis | None:
    """ACCESS_DENIED is the address or the model: the inventory or the past tells which."""
    if not {"ip_not_allowed", "model_not_allowed"} <= set(base.candidates):
        return None
    held = material.keys[material.keys["key_name"] == attempt.key_name]
    lists = held[held["model_allowlist"].notna()]
    if len(lists) and attempt.model not in re.split(r"[;\s]+", lists["model_allowlist"].iloc[0]):
        row = next(each(lists))
        return settled(
            base,
            "model_not_allowed",
            grade=Grade.CONFIRMED,
            reason=f"{attempt.model} is not on the model allowlist of the inventory",
            evidence=[cite(row, "model_allowlist", row.model_allowlist, join=Join.WINDOW)],
        )
    served = material.attempts[
        (material.attempts["key_name"] == attempt.key_name)
        & (material.attempts["model"] == attempt.model)
        & (material.attempts["outcome"] == "ok")
    ]
    fenced = held[held["ip_allowlist"].notna()]
    if served.empty and fenced.empty:
        return None
    row = next(each(served if len(served) else fenced))
    name = "model" if len(served) else "ip_allowlist"
    told = (
        f"the same key is served {attempt.model} at other times, so it is the address"
        if len(served)
        else "the inventory has an address allowlist for this key"
    )
    found = cite(row, name, getattr(row, name), join=Join.WINDOW)
    sure = Grade.CONFIRMED if len(served) else Grade.LIKELY
    return settled(base, "ip_not_allowed", grade=sure, reason=told, evidence=[found])


def waited_for_a_slot(attempt: Attempt, base: Diagnosis, material: Material) -> Diagnosis | None:
    """A 429 after half a minute, or beside such ones, is the account's own concurrency."""
    if "user_concurrency_limit" not in base.candidates or len(base.candidates) < 2:
        return None
    if attempt.end - attempt.start >= SLOT_WAIT_S:
        reason = f"it waited {attempt.end - attempt.start:.0f} s for a slot before the refusal"
        waited = cite(attempt, "duration_ms", attempt.duration_ms)
        return settled(
            base, "user_concurrency_limit", grade=Grade.CONFIRMED, reason=reason, evidence=[waited]
        )
    frame = material.attempts
    queue = frame[
        (frame["key_name"] == attempt.key_name)
        & (frame["code_read"] == "rate_limit_error")
        & (frame["end"] - frame["start"] >= SLOT_WAIT_S)
        & (frame["start"] <= attempt.start + 60)
        & (frame["end"] >= attempt.start - 60)
    ]
    if queue.empty:
        return None
    first = next(each(queue))
    return settled(
        base,
        "user_concurrency_limit",
        grade=Grade.LIKELY,
        reason=f"{counted(len(queue), 'call')} of the same key waited for a slot at that time",
        evidence=[cite(first, "duration_ms", first.duration_ms, join=Join.WINDOW)],
    )


def refusal_list(attempt: Attempt, base: Diagnosis, material: Material) -> Diagnosis | None:
    """The console's list tells whether a 429 came from the account or from upstream."""
    if "upstream_rate_limited" not in base.candidates or len(base.candidates) < 2:
        return None
    listed = material.refusals[
        (material.refusals["key_name"] == attempt.key_name)
        & (material.refusals["status"] == 429)
        & ((material.refusals["ts"] - attempt.ts).abs() <= pd.Timedelta(seconds=60))
        & material.refusals["category"].isin(["upstream", "rate_limit"])
    ]
    if listed.empty or listed["category"].nunique() != 1:
        return None
    row = next(each(listed))
    ours = row.category == "rate_limit"
    return settled(
        base,
        "user_waiting_queue_full" if ours else "upstream_rate_limited",
        grade=Grade.LIKELY,
        reason=f"the console lists the refusal as {row.category}",
        evidence=[cite(row, "category", row.category, join=Join.WINDOW)],
    )


def rejected_by_whom(attempt: Attempt, base: Diagnosis, material: Material) -> Diagnosis | None:
    """A 400 is the gateway's own or the provider's: the console's list or its length tells."""
    if not {"request_malformed", "request_rejected_by_upstream"} <= set(base.candidates):
        return None
    listed = material.refusals[
        (material.refusals["key_name"] == attempt.key_name)
        & (material.refusals["status"] == attempt.status)
        & ((material.refusals["ts"] - attempt.ts).abs() <= pd.Timedelta(seconds=60))
        & (material.refusals["category"] == "upstream")
    ]
    if len(listed):
        row = next(each(listed))
        return settled(
            base,
            "request_rejected_by_upstream",
            grade=Grade.LIKELY,
            reason="the console lists the refusal as upstream",
            evidence=[cite(row, "category", row.category, join=Join.WINDOW)],
        )
    door = material.attempts[material.attempts["status"].isin([401, 403]).fillna(value=False)]
    own = (attempt.end - attempt.start) * 1000
    if len(door) < DOOR_REFUSALS:
        return None
    usual = float(door["duration_ms"].median())
    beyond = own > SLOWER * usual
    return settled(
        base,
        "request_rejected_by_upstream" if beyond else "request_malformed",
        grade=Grade.LIKELY,
        reason=f"it took {own:.0f} ms, refusals at the door take {usual:.0f} ms here",
        evidence=[cite(attempt, "duration_ms", attempt.duration_ms)],
    )


def requests_a_minute(attempt: Attempt, base: Diagnosis, material: Material) -> Diagnosis | None:
    """A limit of requests a minute is the group's when other groups pass at the same time."""
    if set(base.candidates) != {"user_rpm", "group_rpm"}:
        return None
    frame = material.attempts
    near = frame[(frame["start"] - attempt.start).abs() <= 60]
    refused = near[near["code_read"] == attempt.code_read]
    others = near[near["group"] != attempt.group]
    passed = others[others["outcome"] == "ok"]
    if refused["group"].nunique() > 1:
        reason = "keys of several groups are refused at once"
        return settled(base, "user_rpm", grade=Grade.LIKELY, reason=reason)
    if len(passed) >= 5:
        reason = f"{len(passed)} calls of other groups passed within a minute"
        return settled(base, "group_rpm", grade=Grade.LIKELY, reason=reason)
    return None


def provider_trouble(attempt: Attempt, base: Diagnosis, material: Material) -> Diagnosis | None:
    """Failures behind the gateway are told apart by who else fails, and how they are spaced."""
    if not attempt.upstream or base.cause == "upstream_overloaded":
        return None
    episode = episode_of(attempt, material.attempts)
    if episode is None:
        return None
    name, reason = _named(attempt, base, episode)
    if name is None:
        return None
    return settled(
        base,
        name,
        grade=Grade.LIKELY if episode.calls < 10 else Grade.CONFIRMED,
        reason=reason,
        evidence=episode.evidence,
    )


def _named(attempt: Attempt, base: Diagnosis, episode: Episode) -> tuple[str | None, str]:
    if base.cause == "gateway_internal" or (episode.everywhere and episode.hard):
        if episode.calls > 1:
            return "gateway_internal", f"{episode.scope} fail at once: {episode.counts}"
        return None, ""
    if episode.overloaded and episode.overloaded * 2 >= episode.hard:
        return "upstream_overloaded", f"{episode.counts} over {episode.scope}"
    if episode.hard and episode.hard >= episode.limited:
        if episode.calls >= 3:
            return "upstream_outage", f"{episode.counts} over {episode.scope} of {attempt.provider}"
        return None, ""
    if episode.limited and episode.starved and episode.one_channel:
        return "channel_cooldown", (
            f"{episode.counts} in one group while others pass; refusals lie at least "
            f"{episode.spacing_s:.0f} s apart, as one channel that cools down gives them"
        )
    if episode.limited and (episode.starved or episode.groups > 1):
        return "upstream_rate_limited", f"{episode.counts} over {episode.scope}"
    return None, ""


RULES: tuple[Rule, ...] = (
    no_answer,
    spent_balance,
    rotated_key,
    denied,
    waited_for_a_slot,
    provider_trouble,
    refusal_list,
    rejected_by_whom,
    requests_a_minute,
)
