"""Is the fallback a fallback? What both share, and whether the key may call the model at all.

Each check passes, fails, or is unknown and says what is missing. A thing that both share is named:
what takes the primary down through it takes the fallback down too.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Any

import pandas as pd

from runbook_lib import clock, money, pricing, redact
from runbook_lib.analysis.diagnosis import none_or, rolled_up
from runbook_lib.analysis.oddities import same_model
from runbook_lib.analysis.pair_material import PairMaterial, cited, of_key
from runbook_lib.analysis.words import counted
from runbook_lib.findings import (
    Evidence,
    Finding,
    Grade,
    NextStep,
    Severity,
    Status,
    Subject,
)

Value = int | float | Decimal | str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One question about a pair, answered.

    Attributes:
        rule: Name in `findings.RULES`. `asks`: the question in a few words.
        status: pass, fail or unknown. `missing`: what would decide, where it is unknown.
        title: What is so, in a sentence.
        severity: How bad it is where it fails.
        step, where, who: What to do about it.
    """

    rule: str
    asks: str
    status: Status
    title: str
    severity: Severity = Severity.MEDIUM
    grade: Grade = Grade.CONFIRMED
    value: Value = None
    expected: Value = None
    unit: str = ""
    missing: str = ""
    evidence: Sequence[Evidence] = ()
    step: str = ""
    where: str = "/keys"
    who: str = "key owner"
    mark: str = "D"
    impact_usd: Decimal | None = None

    def finding(self, material: PairMaterial) -> Finding:
        """Make the finding; one that does not fail is no worse than information."""
        failed = self.status is Status.FAIL
        text = self.step if failed else f"Give {self.missing}." if self.missing else ""
        return Finding(
            rule=self.rule,
            severity=self.severity if failed else Severity.INFO,
            status=self.status,
            title=self.title,
            subject=Subject(
                key_name=material.pair.fallback_key or None, model=material.pair.fallback
            ),
            value=self.value,
            expected=self.expected,
            unit=self.unit,
            impact_usd=self.impact_usd if failed else None,
            grade=Grade.INCONCLUSIVE if self.status is Status.UNKNOWN else self.grade,
            evidence=tuple(self.evidence),
            next_step=NextStep(text=text, where=self.where, who=self.who) if text else None,
            mark=self.mark,
        )


def unknown(rule: str, asks: str, missing: str, **rest: Any) -> Check:
    """Make the check that data do not decide.

    Args:
        rule: Name in `findings.RULES`.
        asks: The question in a few words.
        missing: What would decide it.
        rest: Other fields of the check.

    Returns:
        The check, unknown.
    """
    return Check(
        rule=rule,
        asks=asks,
        status=Status.UNKNOWN,
        title=f"{asks[0].upper()}{asks[1:].rstrip('?')}: not known without {missing}",
        missing=missing,
        **rest,
    )


def likely(rule: str, asks: str, title: str, cites: Sequence[Evidence]) -> Check:
    """Make the check that passes by what the data show, as far as they go."""
    return Check(
        rule=rule,
        asks=asks,
        status=Status.PASS,
        grade=Grade.LIKELY,
        title=title,
        evidence=cites,
        mark="M",
    )


REFUSED = (401, 402, 403, 429)
"""Statuses of a question about a key that speak against the key; others against the question."""

KEYS_MISSING = "the name of the key each model is called with"
INVENTORY_MISSING = "keys.csv with the group of both keys"


def shared_fate(material: PairMaterial) -> Iterator[Check]:
    """What takes both down at once: key, group, vendor, balance."""
    yield same_key(material)
    yield same_group(material)
    yield same_vendor(material)
    yield same_balance(material)


def same_key(material: PairMaterial) -> Check:
    """A refusal of the key (cap, window, expiry, address) takes both."""
    rule, asks, pair = "fallback-same-key", "same key?", material.pair
    if not pair.primary_key or not pair.fallback_key:
        return unknown(rule, asks, KEYS_MISSING)
    same = pair.primary_key == pair.fallback_key and len(set(material.accounts)) == 1
    return Check(
        rule=rule,
        asks=asks,
        status=Status.FAIL if same else Status.PASS,
        severity=Severity.HIGH,
        title=f"Both use key {pair.fallback_key}: its cap, windows, expiry and addresses stop both"
        if same
        else f"The fallback has a key of its own, {pair.fallback_key}",
        value=pair.fallback_key,
        evidence=_first_rows(material.keys, pair.fallback_key, "key_name"),
        step="Give the fallback a key of its own, best in another group.",
    )


def same_group(material: PairMaterial) -> Check:
    """A group's channels, limits and switch are one for all its keys."""
    rule, asks, pair = "fallback-same-group", "same group?", material.pair
    (one, first), (other, second) = (
        material.group(key) for key in (pair.primary_key, pair.fallback_key)
    )
    if one is None or other is None:
        named = pair.primary_key and pair.fallback_key
        return unknown(rule, asks, INVENTORY_MISSING if named else KEYS_MISSING)
    same = one == other
    return Check(
        rule=rule,
        asks=asks,
        status=Status.FAIL if same else Status.PASS,
        title=f"Both keys are in group {one}: its channels, limits and switch are the same for both"
        if same
        else f"The keys are in groups {one} and {other}",
        value=other,
        evidence=[*first, *second],
        step="Move the fallback's key to a group with other channels.",
        who="gateway operator",
        mark="D M",
    )


def same_vendor(material: PairMaterial) -> Check:
    """An outage of the provider takes every model it makes."""
    rule, asks, pair = "fallback-same-vendor", "same upstream vendor?", material.pair
    makers = [pricing.vendor(name) for name in (pair.primary, material.answering)]
    unmade = [
        name for name, maker in zip((pair.primary, pair.fallback), makers, strict=True) if not maker
    ]
    if unmade:
        return unknown(rule, asks, f"the vendor of {' and '.join(unmade)}", where="price list")
    same = makers[0] == makers[1]
    return Check(
        rule=rule,
        asks=asks,
        status=Status.FAIL if same else Status.PASS,
        title=f"Both models are made by {makers[0]}: an outage there takes both"
        if same
        else f"The models are made by {makers[0]} and {makers[1]}",
        grade=Grade.LIKELY,
        value=makers[1],
        evidence=_named_by(material),
        step="Choose a fallback of another vendor.",
        where="settings of the client",
        who="service owner",
        mark="D",
    )


def same_balance(material: PairMaterial) -> Check:
    """One prepaid balance: when it is empty, nothing answers (402 or 403)."""
    rule, asks, pair = "fallback-same-balance", "same account and balance?", material.pair
    one, other = material.accounts
    if one is None or other is None:
        missing = KEYS_MISSING if not (pair.primary_key and pair.fallback_key) else "keys.csv"
        return unknown(rule, asks, missing)
    same = one == other
    doubt = material.mixed and same
    evidence = [
        row
        for key in (pair.primary_key, pair.fallback_key)
        for row in _first_rows(material.keys, key, "key_name")
    ]
    return Check(
        rule=rule,
        asks=asks,
        status=Status.FAIL if same else Status.PASS,
        grade=Grade.LIKELY if doubt else Grade.CONFIRMED,
        title="Both keys are paid from one balance: when it is used up (402, 403), both are refused"
        + (", unless they belong to different accounts that lie here unnamed" if doubt else "")
        if same
        else f"The keys belong to accounts {one or 'without a name'} and "
        f"{other or 'without a name'}",
        evidence=evidence,
        step="Watch the balance, top up early; or keep the fallback on an account of its own.",
        where="account page",
        who="account owner",
        mark="D!",
    )


def _named_by(material: PairMaterial) -> list[Evidence]:
    rows = material.answers.dropna(subset=["response_model"]).head(1)
    return [cited(row, "response_model") for row in rows.to_dict("records")]


def may_call(material: PairMaterial) -> Iterator[Check]:
    """Whether the fallback's key can call the fallback at all."""
    yield usable(material)
    yield allowed(material)
    yield listed(material)


def usable(material: PairMaterial) -> Check:
    """The key is alive: not expired, replaced, refused or spent."""
    rule, asks, key = "fallback-key-unusable", "is its key usable?", material.pair.fallback_key
    if not key:
        return unknown(rule, asks, KEYS_MISSING)
    bad = next(_unusable(material, key), None)
    if bad is not None:
        return Check(
            rule=rule,
            asks=asks,
            status=Status.FAIL,
            severity=Severity.HIGH,
            title=f"Key {key} {bad[0]}: the fallback would be refused",
            evidence=[bad[1]],
            value=bad[0],
            step="Renew, raise or replace the key of the fallback.",
            mark="D! M",
        )
    states = material.state(key, "usage")
    held = of_key(material.keys, key)
    if states.empty and held.empty:
        return unknown(rule, asks, f"keys.csv, or the answer of GET /v1/usage with key {key}")
    row = (states if len(states) else held).iloc[0]
    return Check(
        rule=rule,
        asks=asks,
        status=Status.PASS,
        grade=Grade.CONFIRMED if len(states) else Grade.LIKELY,
        title=f"Nothing speaks against key {key}",
        evidence=[cited(row, "key_name")],
        mark="M",
    )


def _unusable(material: PairMaterial, key: str) -> Iterator[tuple[str, Evidence]]:
    for frame in (material.state(key, "usage"), of_key(material.keys, key)):
        for row in frame.to_dict("records"):
            ends = row["expires_at"]
            if not pd.isna(ends) and ends <= material.now:
                yield f"expired at {clock.stamp(ends)}", cited(row, "expires_at")
    for row in of_key(material.keys, key).dropna(subset=["replaced_by"]).to_dict("records"):
        yield f"was replaced by {row['replaced_by']}", cited(row, "replaced_by")
    for question in ("usage", "models"):
        for row in material.state(key, question).to_dict("records"):
            status = none_or(row["status"], int)
            if status in REFUSED:
                code = redact.safe(none_or(row["code"], str) or "without a code", limit=60)
                yield f"was refused with {status} {code}", cited(row, "status")
            left, limit = (none_or(row[n], Decimal) for n in ("remaining_usd", "limit_usd"))
            if left is not None and left <= 0 and limit is not None:
                window = none_or(row["window"], str) or "total"
                what = "cap" if window == "total" else f"{window} window"
                yield f"has spent its {what} of {money.usd(limit)}", cited(row, "remaining_usd")


def allowed(material: PairMaterial) -> Check:
    """The model is on the key's own list, where it keeps one."""
    rule, asks, pair = "fallback-not-allowed", "on the key's model list?", material.pair
    rows = of_key(material.keys, pair.fallback_key)
    if rows.empty:
        named = f"the row of key {pair.fallback_key} in keys.csv"
        return unknown(rule, asks, named if pair.fallback_key else KEYS_MISSING)
    row = rows.iloc[0]
    names = [one.strip() for one in (none_or(row["model_allowlist"], str) or "").split(";")]
    names = [one for one in names if one]
    fits = not names or any(fnmatchcase(pair.fallback.lower(), one.lower()) for one in names)
    said = f"keeps a list of {counted(len(names), 'model')}" if names else "keeps no list"
    return Check(
        rule=rule,
        asks=asks,
        status=Status.PASS if fits else Status.FAIL,
        severity=Severity.HIGH,
        grade=Grade.CONFIRMED if names else Grade.LIKELY,
        title=f"Key {pair.fallback_key} {said}"
        + ("" if fits else f", and {pair.fallback} is not on it: it would be refused with 403"),
        value=len(names),
        unit="models",
        evidence=[cited(row, "model_allowlist")],
        step=f"Add {pair.fallback} to the key's list of models.",
        mark="D",
    )


def listed(material: PairMaterial) -> Check:
    """The gateway lists it for the key, or has served it: listed is not yet served (§2)."""
    rule, asks, pair = "fallback-not-listed", "does the gateway serve it?", material.pair
    key, name = pair.fallback_key, pair.fallback
    if not key:
        return unknown(rule, asks, KEYS_MISSING)
    served = material.served(name, key)
    state = material.state(key, "models").dropna(subset=["models"])
    names = str(state["models"].iloc[0]).split(",") if len(state) else []
    on_list = name in names or any(same_model(name, one) for one in names)
    evidence = [cited(state.iloc[0], "question")] if len(state) else []
    if len(served):
        times = int(served["requests"].sum())
        note = "" if on_list or not len(state) else ", though GET /v1/models does not list it"
        return Check(
            rule=rule,
            asks=asks,
            status=Status.PASS,
            title=f"Key {key} was billed for {counted(times, 'request')} to {name}{note}",
            value=times,
            unit="requests",
            evidence=[*evidence, rolled_up("usage", "requests", times)],
            mark="M",
        )
    if not len(state):
        return unknown(rule, asks, f"the answer of GET /v1/models with key {key}", mark="D M")
    return Check(
        rule=rule,
        asks=asks,
        status=Status.PASS if on_list else Status.FAIL,
        severity=Severity.HIGH,
        grade=Grade.LIKELY,
        title=f"GET /v1/models with key {key} lists {name}; it was never called with it"
        if on_list
        else f"GET /v1/models with key {key} lists {counted(len(names), 'model')}, not {name}",
        value=len(names),
        unit="models",
        evidence=evidence,
        step="Choose a fallback the key's group serves, or a key of another group; one call tells.",
        mark="D M",
    )


def _first_rows(frame: pd.DataFrame, key: str, name: str) -> list[Evidence]:
    return [cited(row, name) for row in of_key(frame, key).head(1).to_dict("records")]
