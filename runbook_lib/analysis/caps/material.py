"""What the sizing of caps is given, checked before anything is reckoned."""

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any

import pandas as pd

from runbook_lib import clock, money
from runbook_lib.errors import ParameterError

CURRENCIES = ("USD", "CNY")

LAG_MINUTES = 5
"""Minutes by which the gateway's own count of a cap can lag (contract §7, M)."""

REVIEW_DAYS = 30
"""Days after which caps are looked at again."""

IN_FLIGHT = 10
"""Calls at once that an overshoot is reckoned with where the data do not say."""


SOON = timedelta(hours=1)
"""How long after *now* a live answer or a reading still tells of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CapMaterial:
    """What is known when caps are sized; every frame may be empty.

    Attributes:
        now: Time the caps are sized at, aware.
        daily: Usage by day and key: `account`, `key_name`, `day_local` (text or date, in
            *timezone*) or `bucket` (aware UTC), `cost_usd` (Decimal USD). Days without rows are
            zero from the key's first use on.
        hourly: Usage by hour and key: `account`, `key_name`, `hour_local` (text) or `bucket`
            (aware UTC), `cost_usd`; `requests` and `max_cost_usd` (dearest single call) where
            known.
        keys: The inventory: `account`, `key_name`, `environment`, `owner`, `replaced_by`,
            `cap_amount`, `cap_currency`, `cap_window`, `created_at`, `expires_at`.
        key_state: Live answers: `account`, `key_name`, `asked_at`, `window`, `limit_usd`,
            `used_usd`, `reset_at`, `balance_usd`, `cost_usd`.
        ledger: `ts`, `kind`, `amount`, `currency`, `balance`.
        budget: `environment`, `key_name`, `month`, `amount`, `currency`.
        planned: `account`, `start`, `end`, `key_name`, `factor`, `note`.
        recent: Usage by key and rolling window ("5h", "7d") up to now: `account`, `key_name`,
            `window`, `cost_usd`; without columns where it was not asked.
        calls: Newest attempts of the call log: `account`, `key_name`, `ts` (start), `duration_ms`.
        billed: Newest usage rows: `account`, `key_name`, `ts` (end), `duration_ms`.
        unseen: Attempts and usage rows of the same days that are not among these, in that order.
        risk: Share of usual periods in which a cap may stop honest use, over 0 and under 0.5.
        monthly_budget: Budget of a month in *currency*; None where not given.
        currency: USD or CNY: of *monthly_budget* and *balance*, and all that is typed.
        cny_per_usd: CNY of one USD, with *rate_date* and *rate_source*; None for none.
        balance: Prepaid balance in *currency*; None to take the newest reading.
        lead_days: Days a top-up takes.
        loop_factor: Times the usual load at which a loop burns.
        timezone: IANA zone of days and months.
        data_end: End of the usage export; the day it falls on counts as unfinished. None: *now*.
        review_days: Days until caps are looked at again.
        in_flight: Calls at once that an overshoot is reckoned with where neither calls nor usage
            rows say it.
    """

    now: datetime
    daily: pd.DataFrame = field(default_factory=pd.DataFrame, repr=False)
    hourly: pd.DataFrame = field(default_factory=pd.DataFrame, repr=False)
    keys: pd.DataFrame = field(default_factory=pd.DataFrame, repr=False)
    key_state: pd.DataFrame = field(default_factory=pd.DataFrame, repr=False)
    ledger: pd.DataFrame = field(default_factory=pd.DataFrame, repr=False)
    budget: pd.DataFrame = field(default_factory=pd.DataFrame, repr=False)
    planned: pd.DataFrame = field(default_factory=pd.DataFrame, repr=False)
    recent: pd.DataFrame = field(default_factory=pd.DataFrame, repr=False)
    calls: pd.DataFrame = field(default_factory=pd.DataFrame, repr=False)
    billed: pd.DataFrame = field(default_factory=pd.DataFrame, repr=False)
    unseen: tuple[int, int] = (0, 0)
    risk: float = 0.05
    monthly_budget: Decimal | None = None
    currency: str = "USD"
    cny_per_usd: Decimal | None = None
    rate_date: str = ""
    rate_source: str = ""
    balance: Decimal | None = None
    lead_days: int = 3
    loop_factor: float = 10.0
    timezone: str = "UTC"
    data_end: datetime | None = None
    review_days: int = REVIEW_DAYS
    in_flight: int = IN_FLIGHT

    def __post_init__(self) -> None:
        _check_numbers(self)
        clock.zone(self.timezone)
        if self.now.utcoffset() is None:
            raise ParameterError("now", self.now, hint="a time with an offset")
        if self.currency not in CURRENCIES:
            raise ParameterError("currency", self.currency, hint=" or ".join(CURRENCIES))
        if self.cny_per_usd is not None and not 0 < self.cny_per_usd < 10_000:
            raise ParameterError("cny_per_usd", self.cny_per_usd, hint="CNY of one USD, over 0")
        if self.currency == "CNY" and self.cny_per_usd is None:
            raise ParameterError("cny_per_usd", None, hint="the rate, as amounts are in CNY")
        if self.rate_date and not re.fullmatch(r"\d{4}-\d{2}-\d{2}", self.rate_date):
            raise ParameterError("rate_date", self.rate_date, hint="a day such as 2026-11-24")

    @property
    def known_until(self) -> datetime:
        """The latest reading of a key or a balance that tells of *now*.

        Data end with their last row, and are read off a little later.
        """
        return self.now + SOON

    def told(self, at: datetime) -> str:
        """Write an instant in the zone of the report: "2026-11-24 13:43 UTC"."""
        return f"{at.astimezone(clock.zone(self.timezone)):%Y-%m-%d %H:%M %Z}"

    def usd(self, amount: object, currency: object = None) -> Decimal | None:
        """Give an amount in USD; None where it is unknown, or is CNY and no rate is given."""
        if not isinstance(amount, Decimal) or not amount.is_finite():
            return None
        named = str(currency) if isinstance(currency, str) and currency else self.currency
        if named == "USD":
            return amount
        if named != "CNY" or not self.cny_per_usd:
            return None
        return money.rounded(amount / self.cny_per_usd, money.SCALE)

    def rate_note(self) -> str:
        """Say which rate stands behind amounts in CNY; empty where none is used."""
        if self.cny_per_usd is None:
            return ""
        day = f" of {self.rate_date}" if self.rate_date else ", its date not given"
        source = f" by {self.rate_source}" if self.rate_source else ", its source not given"
        return f"1 USD = {money.plain(self.cny_per_usd)} CNY{day}{source}"

    def typed(self, usd: Decimal, currency: str) -> Decimal:
        """Give the amount to type in a currency, rounded up to two digits."""
        if currency == "USD" or self.cny_per_usd is None:
            return to_type(usd)
        return to_type(usd * self.cny_per_usd)

    def told_typed(self, usd: Decimal) -> str:
        """Write an amount as it is typed: "60 CNY"."""
        return f"{money.plain(self.typed(usd, self.currency))} {self.currency}"


def _check_numbers(given: CapMaterial) -> None:
    """Refuse numbers nothing can be reckoned with.

    Raises:
        ParameterError: one of them is out of bounds, or no number.
    """
    if not 0 < given.risk < 0.5:
        raise ParameterError("risk", given.risk, hint="a share over 0 and under 0.5, such as 0.05")
    if not 1 < given.loop_factor <= 1e6:
        raise ParameterError("loop_factor", given.loop_factor, hint="a factor over 1, such as 10")
    if not 0 <= given.lead_days <= 365:
        raise ParameterError("lead_days", given.lead_days, hint="days from 0 to 365")
    if not 1 <= given.review_days <= 365:
        raise ParameterError("review_days", given.review_days, hint="days from 1 to 365")
    if not 0 <= given.in_flight <= 1_000_000:
        raise ParameterError("in_flight", given.in_flight, hint="a number of calls from 0 on")
    for name in ("monthly_budget", "balance"):
        value = getattr(given, name)
        if value is not None and (not value.is_finite() or abs(value) > money.LARGEST):
            raise ParameterError(name, value, hint="an amount")
    if given.monthly_budget is not None and given.monthly_budget <= 0:
        raise ParameterError("monthly_budget", given.monthly_budget, hint="an amount over 0")


def to_type(amount: Decimal) -> Decimal:
    """Round an amount up to what one would type: two digits, at least a cent."""
    if amount <= Decimal("0.01"):
        return Decimal("0.01")
    step = Decimal(1).scaleb(max(amount.adjusted() - 1, -2))
    made = (amount / step).to_integral_value(rounding=ROUND_CEILING) * step
    return (
        made.quantize(Decimal("0.01")) if made != made.to_integral_value() else Decimal(int(made))
    )


def below(amount: Decimal, room: Decimal | None = None) -> Decimal:
    """Round an amount down to what one would type, at least a cent.

    Args:
        amount: The amount.
        room: Part of it that matters, whose two digits are kept; None for all of it.

    Returns:
        The amount, less at most a tenth of *room*.
    """
    step = Decimal(1).scaleb(max((amount if room is None else room).adjusted() - 1, -2))
    made = max((amount / step).to_integral_value(rounding=ROUND_FLOOR) * step, Decimal("0.01"))
    whole = made == made.to_integral_value()
    return Decimal(int(made)) if whole else made.quantize(Decimal("0.01"))


def amount_of(value: float, decimals: int = 4) -> Decimal:
    """Make an amount of a reckoned number: it is an estimate, so four decimals are plenty."""
    return money.rounded(Decimal(repr(float(value))), decimals)


def text_of(value: Any) -> str:
    """Give a text of a frame's cell, empty for unknown."""
    return value if isinstance(value, str) else ""
