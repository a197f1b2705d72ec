"""What a drill-down finds where rows were billed otherwise than tokens × price."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pandas as pd

from runbook_lib import money
from runbook_lib.analysis import priced
from runbook_lib.analysis.diagnosis import rolled_up
from runbook_lib.analysis.spend_findings import MOST_CITED, known, name_of
from runbook_lib.analysis.words import counted
from runbook_lib.findings import Evidence, Finding, Grade, Join, NextStep, Severity, Subject

PRICE_ACTS = {
    "differs": (Severity.MEDIUM, "cost-differs", "Ask the operator for the price of the model."),
    "not billed": (Severity.LOW, "cost-differs", "Expect this cost once it has a price."),
    "refund": (Severity.INFO, "cost-differs", "Hold it against what you asked back."),
    "no price": (Severity.LOW, "unpriced-rows", "Put its price into prices.csv."),
    "no cost": (Severity.MEDIUM, "unpriced-rows", "Fetch an export that has the costs."),
}
"""Verdict of the price check → severity, rule and act."""


def of_prices(check: pd.DataFrame, odd: pd.DataFrame) -> Iterator[Finding]:
    """Tell of rows that were billed otherwise than tokens × price, or that nobody can price.

    Args:
        check: Verdicts, as `priced.settled` gives them.
        odd: Single rows that were billed otherwise, as `priced.odd_rows` gives them.

    Returns:
        One finding a line that does not agree; impact is the difference in USD. Where sums tell
        nothing, the rows that were looked at do.
    """
    lines = check.to_dict("records")
    agreed = {(line["model"], line["rate_multiplier"]) for line in _of(lines, "agrees")}
    differing = {(line["model"], line["rate_multiplier"]) for line in _of(lines, "differs")}
    for line in lines:
        name = (line["model"], line["rate_multiplier"])
        if line["verdict"] == "differs" and line["why"] == priced.LISTED and name not in agreed:
            yield _other_price(line, _odd_of(line, odd))
        elif line["verdict"] in PRICE_ACTS:
            yield _priced(line, _odd_of(line, odd))
        elif line["verdict"] in priced.SUSPECT and name not in differing:
            differing.add(name)
            rows = _odd_of(line, odd)
            if len(rows):
                yield _priced({**line, **_summed(rows)}, rows)


def _other_price(line: Mapping[Any, Any], rows: pd.DataFrame) -> Finding:
    """A model of which no request is billed at the list's price has another one here."""
    times = line["billed_usd"] / line["expected_usd"] if line["expected_usd"] else money.ZERO
    return replace(
        _priced(line, rows),
        severity=Severity.LOW,
        title=f"Model {name_of(line['model'])} has another price here than in the list: "
        f"{counted(int(line['requests']), 'request')}, {money.usd(line['billed_usd'])}, "
        f"{float(times):.3g} times the list",
        next_step=NextStep(
            text="Put the price that holds into prices.csv; what differs from it is told then.",
            where="prices.csv",
            who="finance",
        ),
    )


def _of(lines: Sequence[Mapping[Any, Any]], verdict: str) -> list[Mapping[Any, Any]]:
    return [line for line in lines if line["verdict"] == verdict]


def _odd_of(line: Mapping[Any, Any], odd: pd.DataFrame) -> pd.DataFrame:
    """The single rows that a line of the check stands on."""
    billed = odd["billed_usd"]
    sides = {"refund": billed < 0, "not billed": billed == 0}
    factor = odd["rate_multiplier"].map(lambda value: value if isinstance(value, Decimal) else None)
    same = factor.isna() if line["rate_multiplier"] is None else factor == line["rate_multiplier"]
    return odd[(odd["model"] == line["model"]) & same & sides.get(line["verdict"], billed > 0)]


def _summed(rows: pd.DataFrame) -> dict[str, object]:
    """A line that differs, made of its rows."""
    sums = {name: money.total(rows[name]) for name in ("billed_usd", "expected_usd")}
    less = sums["billed_usd"] - sums["expected_usd"]
    return {**sums, "verdict": "differs", "requests": len(rows), "difference_usd": less}


def _priced(line: Mapping[Any, Any], rows: pd.DataFrame) -> Finding:
    severity, rule, act = PRICE_ACTS[line["verdict"]]
    billed, less = line["billed_usd"], line["difference_usd"]
    back = line["verdict"] == "refund"
    fact = f"billed {money.usd(billed)}"
    if back:
        fact = f"{money.usd(billed)} in all: money that was given back"
    elif isinstance(less, Decimal):
        fact += f" where tokens × price is {money.usd(line['expected_usd'])}"
    else:
        fact += f": {line['why']}"
    noun, where = ("refund", "/usage") if back else ("request", "prices.csv")
    return Finding(
        rule=rule,
        severity=severity,
        title=f"Model {name_of(line['model'])}: {counted(int(line['requests']), noun)}, {fact}",
        subject=Subject(model=known(line["model"])),
        value=billed,
        expected=line["expected_usd"],
        unit="USD",
        impact_usd=abs(less) if isinstance(less, Decimal) else None,
        grade=Grade.LIKELY,
        evidence=[rolled_up("usage", "cost_usd", billed), *_cited(rows)],
        next_step=NextStep(text=act, where=where, who="finance"),
        mark="M",
    )


def _cited(rows: pd.DataFrame) -> Iterator[Evidence]:
    for row in rows.head(MOST_CITED).to_dict("records"):
        yield Evidence(
            source=str(row["source_file"]),
            row=int(row["row_number"]),
            field="cost_usd",
            value=row["billed_usd"],
            join=Join.NONE,
        )
