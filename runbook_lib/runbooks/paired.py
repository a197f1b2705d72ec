"""What the audit of a primary and its fallback asks the store."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pandas as pd

from runbook_lib.analysis import pair as audits
from runbook_lib.clock import Window
from runbook_lib.pricing import price_list
from runbook_lib.store import Filter

if TYPE_CHECKING:
    from runbook_lib.store import Store
    from runbook_lib.store.answers import Rows

MOST_ROWS = 2_000
"""Single rows that are looked at for each question of an audit."""

MINUTES = timedelta(days=7)
"""How far back the busiest minute is looked for."""


def paired(
    store: "Store",
    pair: audits.Pair,
    window: Window,
    now: datetime,
    *,
    moved: pd.DataFrame | None = None,
    probes: pd.DataFrame | None = None,
    live: pd.DataFrame | None = None,
    cny_per_usd: Decimal | None = None,
) -> audits.PairMaterial:
    """Ask the store for everything an audit of one pair looks at.

    Args:
        store: The lake.
        pair: The models; keys that are not named are looked for in the data.
        window: Span of usage looked at, aware UTC.
        now: Time the audit is made for.
        moved: Calls that a fallback answered (`fallback_calls` of the judged log): tell the keys.
        probes: Answers of live probes.
        live: Live answers about keys, in the columns of `key_state`.
        cny_per_usd: Rate for caps in CNY.

    Returns:
        What `pair.audit` takes.
    """
    rates = store.roll_up("usage", audits.RATES_BY, where=Filter(window=window))
    known = audits.complete(pair, rates, moved)
    largest = _largest(store, known, window)
    (answers, billed), loads = _answers(store, known, window), _loads(store, known, window)
    return audits.PairMaterial(
        pair=known,
        now=pd.Timestamp(now),
        window=window,
        keys=store.table("keys"),
        key_state=with_live(store.table("key_state"), live),
        ledger=store.table("ledger"),
        hours=loads[0],
        minutes=loads[1],
        rates=rates,
        largest=largest.frame,
        largest_left_out=largest.left_out,
        answers=answers,
        billed=billed,
        refusals=_refusals(store, known, window),
        spend=_spend(store, window),
        probes=probes,
        prices=price_list(store.table("prices")),
        cny_per_usd=cny_per_usd,
    )


def with_live(state: pd.DataFrame, live: pd.DataFrame | None) -> pd.DataFrame:
    """Add answers about keys that were just asked to the saved ones.

    Args:
        state: Table `key_state`.
        live: More of the same columns; None for none.

    Returns:
        Both, the saved ones first.
    """
    return state if live is None or live.empty else pd.concat([state, live], ignore_index=True)


def _spend(store: "Store", window: Window) -> pd.DataFrame:
    """Usage of every account by hour."""
    return store.roll_up("usage", ("account",), grain="hour", where=Filter(window=window))


def _largest(store: "Store", pair: audits.Pair, window: Window) -> "Rows":
    """The dearest usage rows of the primary."""
    mine = _of(window, pair.primary_key, pair.primary)
    return store.rows("usage", mine, limit=MOST_ROWS, order="dearest")


def _refusals(store: "Store", pair: audits.Pair, window: Window) -> pd.DataFrame:
    """The newest failed attempts on the fallback's key."""
    keys: Mapping[str, Sequence[str | int | None]] = {"key_name": [pair.fallback_key or None]}
    failed = Filter(window=window, equals=keys, failed=True)
    return store.rows("calls", failed, limit=MOST_ROWS).frame


def _loads(store: "Store", pair: audits.Pair, window: Window) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Usage of both keys by hour, and of the newest days by minute."""
    keys: Mapping[str, Sequence[str | int | None]] = {
        "key_name": [key for key in (pair.primary_key, pair.fallback_key) if key]
    }
    newest = Window(start=max(window.start, window.end - MINUTES), end=window.end)
    hours = store.roll_up(
        "usage", audits.HOURS_BY, grain="hour", where=Filter(window=window, equals=keys)
    )
    minutes = store.roll_up(
        "usage", audits.HOURS_BY, grain="minute", where=Filter(window=newest, equals=keys)
    )
    return hours, minutes


def _answers(
    store: "Store", pair: audits.Pair, window: Window
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The newest answers of the fallback, and the usage rows of their ids."""
    where = _of(window, pair.fallback_key, pair.fallback, outcome=["ok"])
    answers = store.rows("calls", where, limit=MOST_ROWS).frame
    ids = sorted(set(answers["client_request_id"].dropna()))
    return answers, store.find(ids).usage


def _of(window: Window, key: str, model: str, **more: Sequence[str | int | None]) -> Filter:
    """The rows of a model on its key; of every key where that is not known."""
    named: dict[str, Sequence[str | int | None]] = {"key_name": [key]} if key else {}
    return Filter(window=window, equals={"model": [model], **named, **more})
