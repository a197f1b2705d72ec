"""What the two pages tell, read from a Report of `budget_caps`; unknown is None."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from runbook_lib import clock, findings, money
from runbook_lib.report.tables import absent

MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
WHOLE = "(all)"
"""Name of the row that sums all environments."""

BALANCE, MAIN = "Balance", "main account"
"""Name of a balance in the head of the report, and of the account that has no name."""

UNNAMED = {"(no environment)": "not named", WHOLE: "All keys"}

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tender:
    """The currency amounts are told in: USD, or CNY at the rate that was given."""

    code: str = "USD"
    cny_per_usd: Decimal | None = None

    @property
    def factor(self) -> Decimal:
        """Units of it for one USD."""
        return self.cny_per_usd if self.code == "CNY" and self.cny_per_usd else Decimal(1)

    def told(self, usd: Decimal | None) -> str:
        """Write an amount of USD in this currency."""
        if usd is None or self.factor == 1:
            return money.usd(usd)
        return f"CNY {money.usd(usd * self.factor)}".replace("$", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is told.

    Attributes:
        tender: Currency of all amounts but those to type, which have their own.
        rate: The rate in words; empty where none is used.
        month: How the month ends, as the exhibit `month_end` has it; empty where it is unknown.
        spent: Days with what was spent, and totals to come, as the exhibit `fan` has them.
        environments: Caps against the budget, a row an environment, dearest first.
        whole: The same for all of them; empty where it is unknown.
        balances: When each balance is used up, soonest first.
        readings: Balances of which nothing says when: their name, and amount and source as the
            report has them.
        doubts: What is said against a balance.
        typed: What to type, a row a key and window.
        risk: Share of usual windows in which a cap may stop honest use; None where unknown.
    """

    tender: Tender
    rate: str
    month: Row
    spent: Sequence[Row] = field(repr=False)
    environments: Sequence[Row] = field(repr=False)
    whole: Row
    balances: Sequence[Row]
    readings: Sequence[tuple[str, str]]
    doubts: Sequence[str]
    typed: Sequence[Row] = field(repr=False)
    risk: float | None

    @property
    def month_name(self) -> str:
        """The month in words."""
        year, _, number = str(self.month.get("month") or "").partition("-")
        known = number.isdecimal() and 1 <= int(number) <= len(MONTHS)
        return f"{MONTHS[int(number) - 1]} {year}" if known else "This month"


def of(report: findings.Report) -> Facts:
    """Read the facts of a Report."""
    rows = {name: _rows(report, name) for name in ("month_end", "fan", "whole", "clocks")}
    parts = [row for row in rows["whole"] if row.get("environment") != WHOLE]
    parts.sort(key=lambda row: (-(row.get("proposed_usd") or money.ZERO), str(row["environment"])))
    given = report.parameters
    rate = _amount(given.get("cny_per_usd"))
    risk = given.get("risk")
    balances = [row for row in rows["clocks"] if row.get("what") == "balance"]
    return Facts(
        tender=Tender(code=str(given.get("currency") or "USD"), cny_per_usd=rate),
        rate=_rate(rate, str(given.get("rate_date") or ""), str(given.get("rate_source") or "")),
        month=next(iter(rows["month_end"]), {}),
        spent=rows["fan"],
        environments=parts,
        whole=next((row for row in rows["whole"] if _of_all(row)), {}),
        balances=balances,
        readings=_readings(report, {account_name(row) for row in balances}),
        doubts=_doubts(report),
        typed=_rows(report, "to_type"),
        risk=float(risk) if isinstance(risk, int | float) else None,
    )


def _rows(report: findings.Report, name: str) -> list[dict[str, Any]]:
    """Give the rows of an exhibit, what is unknown as None; none where it is not there."""
    held = report.exhibits.get(name)
    if held is None:
        return []
    return [
        {str(column): None if absent(value) else value for column, value in row.items()}
        for row in held.frame.to_dict("records")
    ]


def account_name(row: Row) -> str:
    """Name the account of a row, or its key where a balance is known of one key alone.

    The account without a name is the main one.
    """
    if row.get("key_name"):
        return f"key {row['key_name']}"
    return str(row.get("account") or MAIN)


def _readings(report: findings.Report, told: set[str]) -> list[tuple[str, str]]:
    """Give the balances of the report's head that have no day of their end, used up ones first."""
    known = [
        (name.removeprefix(BALANCE).strip().removeprefix("of ") or MAIN, amount)
        for name, amount in report.summary
        if name == BALANCE or name.startswith(f"{BALANCE} ")
    ]
    made = [(name, str(amount)) for name, amount in known if name not in told]
    return sorted(made, key=lambda one: not used_up(one[1]))


def used_up(amount: str) -> bool:
    """Tell whether a balance, as the report writes it, is nothing or less."""
    return amount.startswith(("-", "$0.00 ")) or amount == "$0.00"


def _doubts(report: findings.Report) -> list[str]:
    """Give the gaps that say that readings of a balance contradict each other."""
    gaps = [*report.coverage.partial, *report.coverage.gaps]
    return [gap for gap in gaps if "balance" in gap and "contradict" in gap]


def _of_all(row: Row) -> bool:
    return row.get("environment") == WHOLE and not row.get("account")


def _amount(value: object) -> Decimal | None:
    amount = money.parse(str(value)) if isinstance(value, int | float | Decimal) else None
    return amount if amount is not None and amount > 0 else None


def _rate(rate: Decimal | None, day: str, source: str) -> str:
    if rate is None:
        return ""
    when = f"of {day}" if day else "(its date is not given)"
    return (
        f"1 USD = {money.plain(rate)} CNY {when}, {source or 'its source is not given'}. "
        "The gateway bills in USD."
    )


def day(value: object) -> str:
    """Write a day without doubt which number is the month: "8 Feb 2027"; empty for unknown."""
    if not isinstance(value, date):
        return ""
    return f"{value.day} {MONTHS[value.month - 1][:3]} {value.year}"


def as_of(report: findings.Report) -> str:
    """Write the time the pages are made for, in the reporting zone."""
    if report.now is None:
        return "time not known"
    place = clock.zone(report.timezone)
    local = report.now.astimezone(place)
    return f"{day(local.date())}, {local:%H:%M} {local:%Z}"
