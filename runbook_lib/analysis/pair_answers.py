"""Who really answered: the body's model, the usage row's model and the price paid must agree."""

from collections import Counter
from decimal import Decimal
from typing import Any

import pandas as pd

from runbook_lib.analysis.diagnosis import none_or
from runbook_lib.analysis.oddities import same_model
from runbook_lib.analysis.pair_checks import Check, unknown
from runbook_lib.analysis.pair_material import PairMaterial, cited, tokens_in
from runbook_lib.analysis.words import counted
from runbook_lib.contract import bare_id
from runbook_lib.findings import Evidence, Grade, Severity, Status

ROUNDED = Decimal("1e-8")
"""Amounts of an export are rounded to eight decimals (contract §7, M)."""

MARGIN = Decimal("0.001")
"""Share by which the price paid may differ from the list's and still be that of the model."""

CITED = 5

RULE, ASKS = "fallback-answered-by-other", "who really answered?"


def who_answered(material: PairMaterial) -> Check:
    """Hold every answer of the fallback against its usage row and its price.

    Returns:
        The check: it passes when body, row and price of at least one answer agree and no answer
        contradicts; it fails when a body or a row names another model; else it is unknown.
    """
    rule, asks, pair = RULE, ASKS, material.pair
    billed = _rows_by_id(material.billed)
    told = [
        (row, _told(row, billed.get(none_or(row["client_request_id"], str) or ""), material))
        for row in material.answers.to_dict("records")
    ]
    told += [(row, _told(row, None, material)) for row in _probed(material)]
    if not told:
        return unknown(rule, asks, f"answers of {pair.fallback} in a call log", where="call log")
    counts = Counter(kind for _, (kind, _) in told)
    if counts["other"]:
        return _by_other(pair.fallback, told)
    if counts["proven"]:
        return _proven(pair.fallback, told, counts)
    return unknown(
        rule,
        asks,
        f"usage rows with ids and prices of {pair.fallback} for its "
        f"{counted(len(told), 'answer')}{_rest(counts)}",
        where="/usage",
    )


Told = list[tuple[Any, tuple[str, list[Evidence]]]]
"""Each answer, what it proves, and the rows that say so."""


def _by_other(model: str, told: Told) -> Check:
    others = [(row, evidence) for row, (kind, evidence) in told if kind == "other"]
    names = sorted({str(row["response_model"]) for row, _ in others})
    return Check(
        rule=RULE,
        asks=ASKS,
        status=Status.FAIL,
        title=f"{len(others)} of {counted(len(told), 'answer')} to {model} came from "
        f"another model, by body or usage row ({', '.join(names[:3])})",
        severity=Severity.MEDIUM,
        value=len(others),
        expected=0,
        unit=f"answers, of {len(told)}",
        evidence=[one for _, evidence in others[:CITED] for one in evidence],
        step="Ask for the model by its own name, or have the group's mapping removed.",
        who="gateway operator",
        where="support",
        mark="M",
    )


def _proven(model: str, told: Told, counts: Counter[str]) -> Check:
    proven = [evidence for _, (kind, evidence) in told if kind == "proven"]
    return Check(
        rule=RULE,
        asks=ASKS,
        status=Status.PASS,
        grade=Grade.CONFIRMED if len(proven) == len(told) else Grade.LIKELY,
        title=f"Body, usage row and price agree on {model} for {len(proven)} of "
        f"{counted(len(told), 'answer')}{_rest(counts)}",
        value=len(proven),
        expected=len(told),
        unit="answers",
        evidence=[one for evidence in proven[:CITED] for one in evidence],
        mark="M",
    )


def _probed(material: PairMaterial) -> list[Any]:
    """Answers of live probes that name their model; their bills are not known yet."""
    frame = material.probes
    if frame is None or frame.empty:
        return []
    mine = frame[(frame["model"] == material.pair.fallback) & frame["response_model"].notna()]
    return mine.to_dict("records")


def _rest(counts: Counter[str]) -> str:
    words = {"no row": "without a usage row", "no price": "unpriced", "price": "at another price"}
    words["no body"] = "that name no model"
    said = [f"{counts[kind]} {text}" for kind, text in words.items() if counts[kind]]
    return f" ({', '.join(said)})" if said else ""


def _rows_by_id(billed: pd.DataFrame) -> dict[str, Any]:
    return {
        bare_id(row["request_id"]): row
        for row in billed.to_dict("records")
        if isinstance(row["request_id"], str)
    }


def _told(row: Any, billed: Any | None, material: PairMaterial) -> tuple[str, list[Evidence]]:
    """What one answer proves: "proven", "other", or which of the three is not known."""
    asked = material.pair.fallback
    body = none_or(row["response_model"], str)
    evidence = [cited(row, "response_model")] if body is not None else []
    if body is not None and not same_model(asked, body):
        return "other", evidence
    if billed is None:
        return "no row", evidence
    named = none_or(billed["model"], str)
    evidence.append(cited(billed, "model"))
    if named is not None and not same_model(asked, named):
        return "other", evidence
    if body is None or named is None:
        return "no body", evidence
    fits = _price_fits(billed, material)
    if fits is None:
        return "no price", evidence
    field = "original_cost_usd" if none_or(billed["original_cost_usd"], Decimal) else "cost_usd"
    return ("proven" if fits else "price"), [*evidence, cited(billed, field)]


def _price_fits(billed: Any, material: PairMaterial) -> bool | None:
    """Tell whether the amount is that of the model's tokens; None where it cannot be told."""
    paid = none_or(billed["original_cost_usd"], Decimal)
    multiplier = Decimal(1)
    if paid is None:
        paid, multiplier = (
            none_or(billed["cost_usd"], Decimal),
            none_or(billed["rate_multiplier"], Decimal) or Decimal(0),
        )
    unread = none_or(billed["input_tokens"], int) is None
    if paid is None or not multiplier or unread or none_or(billed["output_tokens"], int) is None:
        return None
    cost = material.prices.cost(
        material.pair.fallback,
        tokens_in(billed),
        at=billed["ts"].to_pydatetime(),
        multiplier=multiplier,
        account=str(billed["account"]),
    )
    if cost.usd is None or not cost.usd:
        return None
    return abs(paid - cost.usd) <= max(ROUNDED, MARGIN * cost.usd)
