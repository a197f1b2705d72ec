"""The tables and figures of a drill-down; those that split spend add up to the same total."""

from collections.abc import Iterator
from decimal import Decimal
from math import ceil

import pandas as pd

from runbook_lib import money
from runbook_lib.analysis import bridge, drill, lost, units
from runbook_lib.analysis import spend_findings as found
from runbook_lib.analysis.caps.shown import month_frame
from runbook_lib.analysis.spend_material import Spent, Worked
from runbook_lib.findings import MOST_ROWS, Exhibit

SPIKES = [
    *("event", "status", "repeat_of", "account", "key_name", "model", "grain", "start", "end"),
    *("observed_usd", "expected_usd", "impact_usd", "kind", "requests", "note"),
]
"""Columns of the table of spikes."""

HOURS = ["hour_local", "account", "key_name", "environment", "model", "endpoint"]
"""What the finest table is split by."""


def of(spent: Spent, work: Worked) -> dict[str, Exhibit]:
    """Make the exhibits of a drill-down.

    Args:
        spent: What the store answered.
        work: What was reckoned of it.

    Returns:
        Name → exhibit, in the order of the page.
    """
    made = [*_split(spent, work), *_moved_by(spent, work), *_held(spent, work), _rows(spent, work)]
    return {item.name: item for item in made}


def _split(spent: Spent, work: Worked) -> Iterator[Exhibit]:
    """Spend from every side; each adds up to the same total."""
    by, top = spent.by, spent.top
    owned = drill.owned(spent.rolled, spent.keys)
    days = drill.by_day(owned, by, top=min(top, 9))
    yield _exhibit("by_day", f"Spend by day and {_word(by)}", days, "stacked")
    yield _exhibit("by_weekday", "When in the week", drill.by_weekday(spent.rolled), "weekly")
    yield _exhibit("cost_sizes", "What one request costs", spent.bands["request"], "sizes")
    split = drill.split(owned, by, top=top)
    yield _exhibit("split", f"Spend by {_word(by)}", split, note=_next(spent))
    costs = units.unit_costs(spent.rolled, spent.bands)
    told = "The mean is of the sums; the others name the band that 10, 50, 90, 99 % reach."
    yield _exhibit("unit_costs", "Unit costs, and how they are spread", costs, note=told)
    kinds = drill.by_kind(spent.rolled, work.weights)
    yield _exhibit("by_kind", "Spend by kind of token", kinds)
    for name in ("endpoint", *drill.OWNED):
        part = drill.split(owned, name, top=top)
        yield _exhibit(f"by_{name}", f"Spend by {_word(name)}", part)
    yield _by_hour(owned)


def _by_hour(owned: pd.DataFrame) -> Exhibit:
    """The finest table: hour, key, model and endpoint; of very many lines the dearest."""
    named = owned.assign(**{name: drill.named(owned[name]) for name in HOURS[2:]})
    lines = drill.summed(named, HOURS)
    order = lines["cost_usd"].map(abs).sort_values(ascending=False, kind="stable").index
    shown, rest = lines.loc[sorted(order[:MOST_ROWS])], lines.loc[order[MOST_ROWS:]]
    return Exhibit(
        name="by_hour",
        title="Spend by hour, key, environment, model and endpoint",
        frame=shown.reset_index(drop=True),
        left_out=len(rest),
        left_out_usd=money.total(rest["cost_usd"]),
    )


def _moved_by(spent: Spent, work: Worked) -> Iterator[Exhibit]:
    """What moved: the bridge, whole and by key, and the spikes with what is behind them."""
    told = "Dearer is orange, cheaper is blue; the steps add up to the change exactly."
    steps, by_key, chart = _steps(work.split), work.split, "waterfall"
    if spent.before is None:
        told, chart = "No usage rows are held of the time before: nothing to compare with.", ""
        steps, by_key = steps.iloc[:0], by_key.iloc[:0]
    yield _exhibit("bridge", "Why spend moved", steps, chart, told)
    yield _exhibit("bridge_by_key", "Why spend moved, key by key", by_key)
    chart = "strip" if len(spent.strip) else ""
    yield _exhibit("spike_strip", _strip_title(spent), spent.strip, chart)
    events = spent.spikes.events[SPIKES]
    yield _exhibit("spikes", "Hours and days unlike the key's own past", events)
    yield _exhibit("spike_causes", "What is behind each spike", work.causes)
    told = "Lines for planned.csv: keep those that were meant; the next run is silent about them."
    yield _exhibit("to_mark", "If a spike was meant", _to_mark(work.raised), note=told)


def _held(spent: Spent, work: Worked) -> Iterator[Exhibit]:
    """What was held against something else: logs, prices, files, the balance, the budget."""
    losses = _lost(work.losses)
    title = "Money that bought nothing, or more than was asked"
    yield _exhibit("lost_money", title, losses, note=_together(losses))
    told = "cost_usd lies between low_usd and high_usd, whatever the rows without an id turn out."
    title = "Usage rows against the callers' log, key by key"
    yield _exhibit("reconciled", title, work.sides, note=told)
    yield _exhibit("first_seen", "New on a key", spent.news)
    yield _exhibit("prices", "Billed against tokens × price", spent.check)
    yield _exhibit("priced_rows", "Rows billed otherwise than tokens × price", work.odd_rows)
    yield _exhibit("exports", "Files of usage rows", work.files)
    yield _exhibit("balance", "Balance against usage rows", work.steps)
    if spent.month is not None:
        note = "Spent to date and the forecast of the days to come, against the budget."
        title = f"How {spent.month.month} ends"
        frame = month_frame(spent.month)
        yield _exhibit("month_end", title, frame, note=spent.month.reason or note)


def _rows(spent: Spent, work: Worked) -> Exhibit:
    """The dearest rows, with the id of the attempt that each was put together with."""
    frame = spent.rows.copy()
    ids = {}
    if spent.material is not None and work.losses is not None:
        held, rows = work.losses.paired.rows, spent.material.rows
        names = spent.material.attempts.loc[held.index, "client_request_id"]
        where = rows.iloc[held.to_numpy()][["source_file", "row_number"]]
        ids = dict(zip(where.itertuples(index=False, name=None), names, strict=True))
    places = zip(frame["source_file"], frame["row_number"], strict=True)
    told = pd.Series([ids.get(place) for place in places], index=frame.index, dtype=object)
    frame.insert(list(frame.columns).index("request_id") + 1, "attempt_id", told)
    more = "; the rest with key_name or model set" if spent.left_out else ""
    return Exhibit(
        name="rows",
        title="The dearest rows behind it",
        frame=frame,
        left_out=spent.left_out,
        left_out_usd=spent.left_out_usd,
        note="Ask incident_triage for the request_id of any of them, or where the export has none "
        f"for the attempt_id of the log{more}.",
    )


def _exhibit(
    name: str, title: str, frame: pd.DataFrame, chart: str = "", note: str = ""
) -> Exhibit:
    return Exhibit(name=name, title=title, frame=frame, chart=chart, note=note)


def _to_mark(raised: pd.DataFrame) -> pd.DataFrame:
    """Lines as `planned.csv` has them, one a spike, with the factor that excuses it."""
    raised = raised[raised["direction"] == "up"]
    usual = raised["expected_usd"].astype(float)
    times = raised["observed_usd"].astype(float) / usual.where(usual > 0)
    return pd.DataFrame(
        {
            "start": raised["start"],
            "end": raised["end"],
            "key_name": raised["key_name"],
            "factor": times.map(lambda value: ceil(value) if value == value else None),
            "note": [f"event {number}" for number in raised["event"]],
        }
    ).reset_index(drop=True)


def _word(by: str) -> str:
    return {"key_name": "key"}.get(by, by)


def _steps(split: pd.DataFrame) -> pd.DataFrame:
    sums = bridge.total(split)
    rows = [("before", sums.get("before_usd", money.ZERO), True)]
    rows += [
        (found.FACTORS[name], sums.get(f"{name}_usd", money.ZERO), False) for name in bridge.FACTORS
    ]
    rows.append(("now", sums.get("after_usd", money.ZERO), True))
    return pd.DataFrame(rows, columns=["step", "usd", "total"])


def _strip_title(spent: Spent) -> str:
    if spent.strip.empty:
        return "No hour unlike the past of its key"
    key, grain = spent.strip[["key_name", "grain"]].iloc[0]
    return f"Key {key} by {grain}, against its own past"


def _together(losses: pd.DataFrame) -> str:
    """Say what all of it comes to."""
    if losses.empty:
        return ""
    low, high = (
        money.total(usd for usd in losses[name] if isinstance(usd, Decimal))
        for name in ("lost_low_usd", "lost_high_usd")
    )
    open_ones = int(losses["lost_high_usd"].isna().sum())
    more = f", and {open_ones} without a bound" if open_ones else ""
    return f"Together between {money.usd(low)} and {money.usd(high)}{more}."


def _lost(losses: lost.Lost | None) -> pd.DataFrame:
    return pd.DataFrame(columns=list(lost.COLUMNS)) if losses is None else losses.table


def _next(spent: Spent) -> str:
    if spent.by in ("model", "key_name"):
        return f"Down one level: the same with {spent.by} set to a name of this table."
    return "Down one level: the same by key_name, or with key_name set."
