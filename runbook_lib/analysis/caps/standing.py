"""The caps that are set, from the inventory and from live answers, in USD with what is used."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pandas as pd

from runbook_lib.analysis.caps.grid import Held
from runbook_lib.analysis.caps.material import CURRENCIES, CapMaterial, text_of
from runbook_lib.analysis.caps.refs import Ref, file_of, row_of
from runbook_lib.analysis.caps.used import Used, day_start, month_start, used_of
from runbook_lib.findings import Evidence, Join

LENGTH_DAYS = {"5h": 5 / 24, "1d": 1.0, "7d": 7.0, "month": 30.0}
"""Days of a window; a lifetime cap ("total") has none."""

PLAN = "plan_"
"""How the windows of a subscription begin in `key_state`."""

_ZERO, A_CENT = Decimal(0), Decimal("0.01")


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One cap as it is set now.

    Attributes:
        ref: The key.
        window: total, 5h, 1d, 7d or month.
        amount, currency: As it is set; limit_usd: in USD, None for CNY without a rate.
        used_usd, remaining_usd: Of it; None where unknown.
        exact: Used as a live answer tells it; else summed from usage rows.
        basis: What used is from, in words.
        began, resets: Span of the window or of the key's life, where known.
        source: "keys" or "key_state".
        cell: The cell the cap stands on.
        inventory_usd: What the inventory says where the answer is live; None for nothing.
        inventory_currency: The currency the inventory names for it.
    """

    ref: Ref
    window: str
    amount: Decimal
    currency: str
    limit_usd: Decimal | None
    used_usd: Decimal | None
    remaining_usd: Decimal | None
    exact: bool
    basis: str
    began: datetime | None
    resets: datetime | None
    source: str
    cell: Evidence
    inventory_usd: Decimal | None = None
    inventory_currency: str = ""

    @property
    def named(self) -> str:
        """The currency it is set in: the one the inventory names, or else the gateway's."""
        return self.inventory_currency or self.currency


def standing(material: CapMaterial, held: Held) -> list[Standing]:
    """Give the caps that are set, live answers over the inventory.

    Args:
        material: Reads `keys`, `key_state`, `daily`, `recent`, `now` and the rate.
        held: The keys.

    Returns:
        One a key and window, in that order.
    """
    used = used_of(material, held.refs)
    found = {(one.ref, one.window): one for one in _of_inventory(material, held, used)}
    for live in _of_answers(material, held, used):
        found[live.ref, live.window] = _over(live, found.get((live.ref, live.window)))
    return [found[place] for place in sorted(found, key=lambda at: (at[0][::-1], at[1]))]


def plans(material: CapMaterial, held: Held) -> list[Standing]:
    """Give what the keys' subscriptions let them spend, from live answers.

    Args:
        material: Reads `key_state` and `now`.
        held: The keys.

    Returns:
        One a key and window (1d, 7d, month). The keys of one group share it.
    """
    found = _of_answers(material, held, used_of(material, held.refs), plan=True)
    return [replace(one, window=one.window.removeprefix(PLAN)) for one in found]


def _over(live: Standing, own: Standing | None) -> Standing:
    """Keep what the inventory knows beside a live answer."""
    if own is None:
        return live
    made = replace(live, inventory_usd=own.limit_usd, inventory_currency=own.currency)
    if live.window != "total":
        return made
    return replace(made, began=live.began or own.began, resets=live.resets or own.resets)


def _of_inventory(material: CapMaterial, held: Held, used: Used) -> list[Standing]:
    rows = []
    for row in material.keys.to_dict("records"):
        amount = row.get("cap_amount")
        ref = held.refs.of(row.get("account"), row.get("key_name"))
        if not isinstance(amount, Decimal) or not amount.is_finite() or ref is None:
            continue
        window = text_of(row.get("cap_window")) or "total"
        currency = text_of(row.get("cap_currency")) or "USD"
        limit = material.usd(amount, currency) if currency in CURRENCIES else None
        spent = used.of(ref, window)
        began, resets = _span(material, window, row)
        rows.append(
            Standing(
                ref=ref,
                window=window,
                amount=amount,
                currency=currency,
                limit_usd=limit,
                used_usd=spent,
                remaining_usd=_left(limit, spent),
                exact=False,
                basis=used.basis(window),
                began=began,
                resets=resets,
                source="keys",
                cell=cell_of(row, "keys", "cap_amount", amount),
            )
        )
    return rows


def cell_of(row: Mapping[Any, Any], table: str, name: str, value: object) -> Evidence:
    """Point at one cell of a row of a table."""
    number = row_of(row)
    return Evidence(
        source=file_of(row, table),
        row=number,
        field=name,
        value=value,
        join=Join.ID if number else Join.NONE,
    )


def _left(limit: Decimal | None, used: Decimal | None) -> Decimal | None:
    return None if limit is None or used is None else max(limit - used, _ZERO)


def _span(
    material: CapMaterial, window: str, row: dict[Any, Any]
) -> tuple[datetime | None, datetime | None]:
    if window == "total":
        return _instant(row.get("created_at")), _instant(row.get("expires_at"))
    if window == "1d":
        day = day_start(material)
        return day, day_start(material, later=1)
    if window == "month":
        return month_start(material), month_start(material, later=1)
    return None, None  # when such a window opened, only the gateway knows


def _instant(value: Any) -> datetime | None:
    if value is None or pd.isna(value):
        return None
    made: datetime = pd.Timestamp(value).to_pydatetime()
    return made


def _of_answers(
    material: CapMaterial, held: Held, used: Used, *, plan: bool = False
) -> list[Standing]:
    """The newest live answer up to now of each key and window that names a limit."""
    state = material.key_state
    if state.empty:
        return []
    told = state[state["limit_usd"].notna() & state["window"].notna() & state["key_name"].notna()]
    told = told[told["window"].str.startswith(PLAN) == plan]
    newest: dict[tuple[Ref, str], dict[Any, Any]] = {}
    for row in told.sort_values("asked_at", kind="stable").to_dict("records"):
        ref = held.refs.of(row.get("account"), row["key_name"])
        if ref is not None and row["asked_at"] <= material.known_until:
            newest[ref, row["window"]] = row
    return [_answered(material, used, ref, row) for (ref, _), row in newest.items()]


def _answered(material: CapMaterial, used: Used, ref: Ref, row: dict[Any, Any]) -> Standing:
    """Make a standing cap of one live answer."""
    window, asked = row["window"], row["asked_at"]
    spent = row.get("used_usd")
    spent = spent if isinstance(spent, Decimal) else None
    resets = _instant(row.get("reset_at"))
    length = LENGTH_DAYS.get(window.removeprefix(PLAN))
    began = resets - timedelta(days=length) if resets and length else None
    basis, exact = f"live answer of {material.told(asked)}", True
    if window == "total":
        resets = _instant(row.get("expires_at"))
        since = used.since(ref, asked)
        if spent is not None and since:
            spent, basis = spent + since, f"{basis} and usage rows since"
        # The gateway's own count lags: what is billed is used as well. Where rows have more than
        # these days can explain, the quota was begun anew, and the answer is what stops the key.
        billed = used.of(ref, window) or _ZERO
        if spent is not None and spent + A_CENT / 2 < billed <= spent - since + used.near(
            ref, asked
        ):
            exact = spent >= row["limit_usd"]
            spent, basis = billed, f"{used.basis(window)}, more than the {basis}"
    elif length and resets and resets <= material.now:
        spent, began, resets = _ZERO, None, None  # it has rolled over since it was asked
    limit = row["limit_usd"]
    return Standing(
        ref=ref,
        window=window,
        amount=limit,
        currency="USD",
        limit_usd=limit,
        used_usd=spent,
        remaining_usd=_left(limit, spent),
        exact=exact,
        basis=basis,
        began=began,
        resets=resets,
        source="key_state",
        cell=cell_of(row, "key_state", "limit_usd", limit),
    )
