"""The numbers to type into /keys: one a key and window, all in one currency."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from runbook_lib import money
from runbook_lib.analysis.caps.grid import Held
from runbook_lib.analysis.caps.material import CapMaterial, amount_of, below
from runbook_lib.analysis.caps.refs import Ref
from runbook_lib.analysis.caps.sized import Sized
from runbook_lib.analysis.caps.standing import Standing
from runbook_lib.analysis.caps.tiers import defaults

FIELDS = ("total", "1d", "7d", "5h")
"""Windows that /keys has a field for."""

MONTH_DAYS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Typed:
    """What to type into one field.

    Attributes:
        number: The number, in *currency*; None where there is none, with the reason in *note*.
        currency: That of everything that is typed.
        room: USD that may still be spent; what is behind the number.
        used: USD that a lifetime quota has used so far; None for a window.
        note: What the number rests on.
    """

    number: Decimal | None
    currency: str
    room: Decimal | None
    used: Decimal | None
    note: str

    @property
    def told(self) -> str:
        """The number as one types it: "0.49 USD"."""
        return "" if self.number is None else f"{money.plain(self.number)} {self.currency}"


def typed_of(
    material: CapMaterial, keys: Sequence[Sized], caps: Sequence[Standing], held: Held
) -> dict[tuple[Ref, str], Typed]:
    """Give the number of every key and field.

    Args:
        material: Reads currency, rate and `review_days`.
        keys: Every key.
        caps: What is set: what it has used counts.
        held: Spend, for what a lifetime quota has used.

    Returns:
        One a key and window of `FIELDS`. A lifetime quota gets used so far + what it may spend
        until the review; a window gets its cap.
    """
    fixed = {(one.ref, one.window): one for one in caps}
    tier = defaults(material, keys)
    made = {}
    for place, one in enumerate(keys):
        for window in FIELDS:
            used = None
            if window == "total":
                used = _used(fixed.get((one.ref, window)), held, place)
            made[one.ref, window] = _typed(material, one, window, tier.get(one.ref), used)
    return made


def allowed(
    material: CapMaterial, keys: Sequence[Sized], typed: Mapping[tuple[Ref, str], Typed]
) -> dict[Ref, Decimal]:
    """Give what each lifetime number lets be spent in a month, in USD.

    Args:
        material: Reads the rate and `review_days`.
        keys: The keys.
        typed: As `typed_of` gives it.

    Returns:
        USD by key; none where there is no number.
    """
    made = {}
    for one in keys:
        total = typed[one.ref, "total"]
        usd = None if total.number is None else material.usd(total.number, total.currency)
        if usd is not None:
            left = usd - (total.used or money.ZERO)
            made[one.ref] = money.rounded(left * MONTH_DAYS / material.review_days, money.SCALE)
    return made


def _typed(
    material: CapMaterial, one: Sized, window: str, tier: Decimal | None, used: Decimal | None
) -> Typed:
    room, note = (None, one.ended) if one.ended else _room(material, one, window, tier)
    number = None
    if room is not None:
        number = _number(material, room, used or money.ZERO, down=not one.caps)
    return Typed(number=number, currency=material.currency, room=room, used=used, note=note)


def _number(material: CapMaterial, room: Decimal, used: Decimal, *, down: bool) -> Decimal:
    """Round up what history asks for, and down what is a share of the budget."""
    if not down:
        return material.typed(room + used, material.currency)
    rate = Decimal(1) if material.currency == "USD" else material.cny_per_usd or Decimal(1)
    return below((room + used) * rate, room * rate)


def _room(
    material: CapMaterial, one: Sized, window: str, tier: Decimal | None
) -> tuple[Decimal | None, str]:
    """Give what a key may spend, in USD, and what that rests on; or why there is no number."""
    if one.caps:
        month = one.caps["month"] * material.review_days / MONTH_DAYS
        return (month if window == "total" else one.caps[window]), "by its history"
    if window != "total":
        return None, "no history yet"
    if tier is None:
        return None, f"{one.reason}; {_lacking(one)}"
    return tier, f"starting point of its environment: {one.reason}"


def _lacking(one: Sized) -> str:
    """Say why there is no starting point."""
    if not one.environment:
        return "give its environment"
    if one.environment == "prod":
        return "give the budget"
    return f"no starting point for {one.environment}"


def _used(now: Standing | None, held: Held, place: int) -> Decimal:
    if now is not None and now.used_usd is not None:
        return now.used_usd
    return amount_of(float(np.nansum(held.usd[place]) + held.today[place]))
