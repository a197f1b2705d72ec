"""The user's own prices: `prices.csv`, by kind of token and span of time."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from runbook_lib import clock, redact
from runbook_lib.pricing.models import KINDS

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnPrice:
    """One price of the user; the span is half-open, an end that is None is open."""

    model: str
    kind: str
    account: str
    usd_per_million: Decimal
    start: datetime | None
    end: datetime | None

    def holds(self, account: str, at: datetime) -> bool:
        """Tell whether it counts for an account at a time."""
        begun = self.start is None or self.start <= at
        return self.account in ("", account) and begun and (self.end is None or at < self.end)

    @property
    def rank(self) -> tuple[bool, bool, float]:
        """Order of those that hold at once: the account's own, then the one that began last."""
        begin = self.start.timestamp() if self.start is not None else 0.0
        return self.account != "", self.start is not None, begin


def read(frame: "pd.DataFrame") -> Iterator[OwnPrice | str]:
    """Read the table `prices`.

    Args:
        frame: `account`, `model`, `token_kind` (input, output, cache_read, cache_write,
            cache_write_1h), `usd_per_million` (USD), `from`, `to` (aware UTC).

    Yields:
        One price a row; for a row that is no price, a sentence that says so.
    """
    for row in frame.to_dict("records"):
        model, kind = _word(row.get("model")).lower(), _word(row.get("token_kind")).lower()
        amount = _amount(row.get("usd_per_million"))
        if not model or kind not in KINDS or amount is None:
            yield _no_price(row)
            continue
        yield OwnPrice(
            model=model,
            kind=kind,
            account=_word(row.get("account")),
            usd_per_million=amount,
            start=_when(row.get("from")),
            end=_when(row.get("to")),
        )


def _word(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


def _amount(value: object) -> Decimal | None:
    known = isinstance(value, Decimal) and value.is_finite() and value >= 0
    return value if known and isinstance(value, Decimal) else None


def _when(value: Any) -> datetime | None:
    """An instant of a frame; None for every form of unknown (NaT is no datetime that equals)."""
    return value if isinstance(value, datetime) and value == value else None


def _no_price(row: Mapping[Any, Any]) -> str:
    model, kind = (redact.safe(_word(row.get(name)) or "?") for name in ("model", "token_kind"))
    begun = _when(row.get("from"))
    since = f" from {clock.stamp(begun)}" if begun is not None else ""
    return f"the price of {kind} of {model}{since} is no amount of USD a million tokens"
