"""Usage drill-down: what the store is asked for, and the Report made of it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import pandas as pd

from runbook_lib import clock, report
from runbook_lib.analysis import drill, priced, spend
from runbook_lib.analysis.caps import MonthEnd, month_end
from runbook_lib.analysis.caps.tiers import budget_of
from runbook_lib.analysis.material import Material
from runbook_lib.analysis.spend_material import Spent
from runbook_lib.analysis.spikes import HOUR, MINUTE, expected_band, find_spikes, first_seen
from runbook_lib.clock import Window
from runbook_lib.errors import MissingInputError, ParameterError
from runbook_lib.findings import MOST_ROWS, Report
from runbook_lib.pricing import price_list
from runbook_lib.runbooks import spans
from runbook_lib.runbooks.incidents import around_all
from runbook_lib.runbooks.shared import finished, time_of
from runbook_lib.store import BANDS, Filter

if TYPE_CHECKING:
    from runbook_lib.store import Store

PAST = timedelta(days=70)
"""How far before the window the past of a key is read."""

YOUNG = timedelta(days=3)
"""Data that span less are looked at by the minute."""

MOST_CALLS = 100_000
"""Attempts of a window up to which it is looked through for lost money."""

STRIP = [
    *("key_name", "grain", "start", "observed_usd", "usual_usd", "low_usd", "high_usd"),
    *("mark", "planned"),
]
"""Columns of the strip of one key."""

SPLIT = ("account", "key_name", "model", "endpoint")
SEEN = ("account", "key_name", "ip_address", "user_agent", "model")


def drill_down(
    store: "Store",
    *,
    start: str = "",
    end: str = "",
    compare_start: str = "",
    compare_end: str = "",
    by: str = "model",
    key_name: str = "",
    model: str = "",
    top: int = 10,
    floor_usd: float = 0.1,
    timezone: str = "UTC",
    now: str = "",
) -> Report:
    """Say what was spent, why that moved, what is odd in it, and which rows did it.

    Args:
        store: The lake, from `open_store`.
        start: Start of the window; without an offset it is meant in *timezone*. Empty for the last
            whole week (Monday to Sunday), or for all data where they hold none.
        end: Its end, not part of it; open means the end of the data.
        compare_start: Start of the window it is compared with; empty for the one before, as long.
        compare_end: Its end.
        by: What spend is split by: model, key_name, endpoint, environment, service or owner.
        key_name: Only this key; empty for all.
        model: Only this model; empty for all.
        top: Names shown; the rest is one line.
        floor_usd: USD that a spike must cost beyond the usual to be told.
        timezone: IANA zone of days, hours and times.
        now: Time the report is made for; empty is the clock, on sample data their end.

    Returns:
        The Report. Its exhibits add up to the same total; `rows` are the dearest rows behind it.

    Raises:
        ParameterError: a value cannot be used. MissingInputError: there are no usage rows.

    Source: contract §5-§9 (M).
    """
    report.install()
    place = clock.zone(timezone)
    _checked(by, top, floor_usd)
    span = store.span("usage")
    if span is None:
        raise MissingInputError("There are no usage rows here", hint="take in a usage export")
    _there(store, key_name=key_name, model=model)
    at = time_of(store, now, place)
    window = spans.window(span, start, end, place, at)
    before, notes = spans.before(span, window, compare_start, compare_end, place)
    notes += spans.lacking(span, window, place, at, "the time asked")
    asked = _asked(
        store,
        span,
        window,
        before,
        at,
        (by, top, Decimal(repr(floor_usd))),
        (key_name, model),
        timezone,
        notes,
    )
    made = spend.drilled(asked)
    names = {"start": clock.stamp(window.start), "end": clock.stamp(window.end)}
    ends = [clock.stamp(one) for one in (before.start, before.end)] if before else ["", ""]
    other = {"compare_start": ends[0], "compare_end": ends[1], "by": by, "key_name": key_name}
    rest = {"model": model, "top": top, "floor_usd": floor_usd, "timezone": timezone, "now": now}
    return finished(made, store, {**names, **other, **rest}, asked=window)


def _checked(by: str, top: int, floor_usd: float) -> None:
    if by not in drill.BY:
        raise ParameterError("by", by, hint=f"one of {', '.join(drill.BY)}")
    if not 1 <= top <= 100:
        raise ParameterError("top", top, hint="a number from 1 to 100")
    if not 0 <= floor_usd < float("inf"):
        raise ParameterError("floor_usd", floor_usd, hint="USD from 0 on")


def _there(store: "Store", **asked: str) -> None:
    """Refuse a key or model that no row, no log and no inventory has: most likely it is misspelt.

    Raises:
        ParameterError: it is nowhere.
    """
    for column, name in asked.items():
        if not name:
            continue
        held = [store.roll_up(table, [column])[column] for table in ("usage", "calls")]
        held += [store.table("keys")[column]] if column == "key_name" else []
        known = sorted({one for names in held for one in names if isinstance(one, str) and one})
        if name not in known:
            near = get_close_matches(name, known, n=3, cutoff=0.3) or known[:3] or ["none"]
            raise ParameterError(column, name, hint=f"one that the data have, as {', '.join(near)}")


def _asked(
    store: "Store",
    span: Window,
    window: Window,
    before: Window | None,
    now: datetime,
    shape: tuple[str, int, Decimal],
    names: tuple[str, str],
    timezone: str,
    notes: Sequence[str],
) -> Spent:
    by, top, floor_usd = shape
    key_name, model = names
    given = (("key_name", key_name), ("model", model))
    equals: dict[str, Sequence[str]] = {column: [name] for column, name in given if name}
    inside = Filter(window=window, equals=equals)
    rolled = store.roll_up("usage", SPLIT, grain="hour", where=inside, zone=timezone)
    earlier = rolled.iloc[:0]
    if before is not None:
        where = Filter(window=before, equals=equals)
        earlier = store.roll_up("usage", SPLIT, where=where)
    material, more = _material(store, window, key_name)
    rows = store.rows("usage", inside, limit=MOST_ROWS, order="dearest")
    return Spent(
        window=window,
        span=span,
        before=before,
        now=now,
        by=by,
        top=top,
        key_name=key_name,
        model=model,
        rolled=rolled,
        earlier=earlier,
        rows=rows.frame,
        left_out=rows.left_out,
        left_out_usd=rows.left_out_usd,
        # Row by row says more; the store counts where there are too many.
        sides=_sides(store, window, equals) if material is None else pd.DataFrame(),
        material=material,
        logs=store.roll_up("calls", ["key_name"]),
        keys=store.table("keys"),
        ledger=store.table("ledger"),
        month=None if equals else _month(store, span, now, timezone),
        timezone=timezone,
        notes=[*notes, *more],
        **_watched(store, span, window, equals, now, floor_usd),
        **_counted(store, inside),
        **_priced(store, inside),
    )


def _priced(store: "Store", inside: Filter) -> dict[str, Any]:
    """Billed against prices, and the dearest rows of the models that this leaves open."""
    prices = price_list(store.table("prices"))
    days = ("account", "model", "rate_multiplier")
    rolled = store.roll_up("usage", days, grain="day", where=inside)
    check = priced.check(rolled, prices)
    models = priced.suspects(check)
    where = replace(inside, equals={**inside.equals, "model": models})
    rows = store.rows("usage", where, limit=MOST_ROWS if models else 0, order="dearest").frame
    if models:
        check = priced.settled(rolled, rows, prices)
    return {"prices": prices, "check": check, "suspects": rows}


def _counted(store: "Store", inside: Filter) -> dict[str, Any]:
    """How unit costs are spread, and which rows and files are held twice."""
    return {
        "bands": {measure: store.spread(inside, measure) for measure in BANDS},
        "exports": store.exports(),
        "repeated": store.repeated(inside),
    }


def _watched(
    store: "Store",
    span: Window,
    window: Window,
    equals: dict[str, Sequence[str]],
    now: datetime,
    floor_usd: Decimal,
) -> dict[str, Any]:
    """What is unlike its past: spikes, what is new on a key, and the strip of the dearest."""
    past = _past(store, span, window, equals)
    hours, until = past["hour"], min(now, window.end)
    spikes = find_spikes(
        hours,
        now=until,
        floor_usd=floor_usd,
        planned=store.table("planned"),
        minutes=past.get("minute"),
        window=window,
    )
    return {
        "hours": hours,
        "past": past.get("minute", hours),
        "spikes": spikes,
        "news": _news(store, window, equals, "minute" if "minute" in past else "hour"),
        "strip": _strip(past, spikes.events, until, window),
    }


def _news(
    store: "Store", window: Window, equals: dict[str, Sequence[str]], grain: Any
) -> pd.DataFrame:
    """What is new on a key: the window by its steps, all before it as one."""
    before = Window(start=window.start - PAST, end=window.start)
    parts = [
        store.roll_up("usage", SEEN, where=Filter(window=before, equals=equals)),
        store.roll_up("usage", SEEN, grain=grain, where=Filter(window=window, equals=equals)),
    ]
    filled = [part for part in parts if len(part)] or parts[:1]
    return first_seen(pd.concat(filled), now=window.end, window=window)


def _month(store: "Store", span: Window, now: datetime, timezone: str) -> MonthEnd:
    """How the month of *now* ends, against the rows of its budget in USD."""
    until = Filter(window=Window(start=min(span.start, now), end=now))
    daily = store.roll_up("usage", [], grain="day", where=until, zone=timezone)
    month = f"{now.astimezone(clock.zone(timezone)):%Y-%m}"
    budget = budget_of(store.table("budget"), month, _in_usd)
    return month_end(daily, budget, now, timezone=timezone)


def _in_usd(amount: object, currency: object) -> Decimal | None:
    """An amount of the budget in USD; None for another currency, as no rate is given here."""
    named = currency if isinstance(currency, str) else "USD"
    return amount if named == "USD" and isinstance(amount, Decimal) else None


def _past(
    store: "Store", span: Window, window: Window, equals: dict[str, Sequence[str]]
) -> dict[str, pd.DataFrame]:
    """Usage far enough back to know what is usual; by the minute too where data are young."""
    long = Filter(window=Window(start=window.start - PAST, end=window.end), equals=equals)
    found = {"hour": store.roll_up("usage", SPLIT, grain="hour", where=long)}
    if span.end - span.start < YOUNG:
        found["minute"] = store.roll_up("usage", SPLIT, grain="minute", where=long)
    return found


def _strip(
    past: dict[str, pd.DataFrame], events: pd.DataFrame, now: datetime, window: Window
) -> pd.DataFrame:
    """The hours, or minutes, of the key with the dearest spike; empty where none was raised."""
    raised = events[(events["status"] == "raised") & events["grain"].isin(list(past))]
    if raised.empty:
        return pd.DataFrame(columns=STRIP)
    first = raised.iloc[0]
    band = expected_band(
        past[first["grain"]],
        now=now,
        key_name=first["key_name"],
        account=first["account"],
        window=window,
        grain=MINUTE if first["grain"] == "minute" else HOUR,
    )
    return band.assign(key_name=first["key_name"], grain=first["grain"])[STRIP]


def _sides(store: "Store", window: Window, equals: dict[str, Sequence[str]]) -> pd.DataFrame:
    """Usage against logs by key, of the key and model asked for."""
    sides = store.reconcile_by(["key_name", *(["model"] if "model" in equals else [])], window)
    for column, names in equals.items():
        sides = sides[sides[column].isin(names)]
    return sides.drop(columns="model", errors="ignore").reset_index(drop=True)


def _material(store: "Store", window: Window, key_name: str) -> tuple[Material | None, list[str]]:
    """Attempts and rows of the window, where a log holds some and not too many."""
    only = {"key_name": [key_name]} if key_name else {}
    where = Filter(window=window, equals=only)
    calls, rows = (store.rows(name, where, limit=0).total for name in ("calls", "usage"))
    if not calls:
        return None, []
    if max(calls, rows) > MOST_CALLS:
        return None, [
            f"{calls:,} attempts and {rows:,} usage rows are too many to be put together one by "
            "one; ask for a day, or for one key"
        ]
    return around_all(store, window, equals=only), []
