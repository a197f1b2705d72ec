"""The balance against the usage rows, and the hours an export lacks."""

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from runbook_lib import money
from runbook_lib.clock import Window

if TYPE_CHECKING:
    import pandas as pd

LEAST_MISSING = 20.0
"""Requests that must be usual in an empty span before it counts as a gap."""

STEPS = ("account", "start", "end", "balance_before", "added", "balance_after", "billed_usd")


def steps(ledger: "pd.DataFrame", hourly: "pd.DataFrame") -> "pd.DataFrame":
    """Hold each step of the balance against the usage rows between its two readings.

    Args:
        ledger: Rows of the ledger: `account`, `ts`, `kind` (top_up, refund, reading), `amount`,
            `currency`, `balance`; rows in another currency than USD are left out.
        hourly: Usage by hour: `account`, `bucket` (start, aware), `cost_usd` (Decimal USD).

    Returns:
        One row a step between two rows with a balance: `account`, `start`, `end` (aware UTC),
        `balance_before`, `added` (top-ups and refunds), `balance_after`, `billed_usd` (usage rows
        of the hours between), `unexplained_usd` (what the balance lost beyond them; negative: it
        lost less), `bound_usd` (usage of the two hours that the readings cut: the most that can be
        on the wrong side). All Decimal USD.
    """
    import pandas as pd

    rows: list[tuple[Any, ...]] = []
    known = ledger[ledger["currency"].fillna("USD") == "USD"].sort_values("ts", kind="stable")
    for account, own in known.groupby("account", dropna=False, sort=True):
        billed = hourly[hourly["account"].map(str) == str(account)]
        rows += _of_account(str(account), own.to_dict("records"), billed)
    return pd.DataFrame(rows, columns=[*STEPS, "unexplained_usd", "bound_usd"])


def _of_account(
    account: str, rows: list[dict[Any, Any]], billed: "pd.DataFrame"
) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = []
    last: dict[Any, Any] | None = None
    added = money.ZERO
    for row in rows:
        if last is not None and row["kind"] != "reading":
            added += money.or_zero(row["amount"])
        if not isinstance(row["balance"], Decimal):
            continue
        if last is not None:
            before, after = last["balance"], row["balance"]
            spent, bound = _between(billed, last["ts"], row["ts"])
            lost = before + added - after - spent
            step = (account, last["ts"], row["ts"], before, added, after, spent, lost, bound)
            found.append(step)
        last, added = row, money.ZERO
    return found


def _between(billed: "pd.DataFrame", start: Any, end: Any) -> tuple[Decimal, Decimal]:
    first, last = start.floor("h"), end.floor("h")
    inside = billed[(billed["bucket"] >= first) & (billed["bucket"] < last)]
    cut = billed[billed["bucket"].isin([first, last])]
    return money.total(inside["cost_usd"].dropna()), money.total(cut["cost_usd"].dropna())


def gaps(hourly: "pd.DataFrame", window: Window) -> list[tuple[Window, float]]:
    """Find spans of a window without any usage row although many would be usual.

    Args:
        hourly: Usage of all keys by hour: `bucket` (start, aware), `requests`; it should reach
            back some weeks.
        window: The span asked.

    Returns:
        Each gap with the requests that are usual in it, by the mean of the same hours of the day.
    """
    import pandas as pd

    if hourly.empty:
        return []
    counts = hourly.groupby("bucket")["requests"].sum().astype(float)
    hours = pd.date_range(
        max(counts.index.min(), pd.Timestamp(window.start).floor("h")),
        min(counts.index.max(), pd.Timestamp(window.end)),
        freq="h",
        inclusive="left",
    )
    every = pd.date_range(counts.index.min(), counts.index.max(), freq="h")
    usual = counts.reindex(every, fill_value=0.0).groupby(every.hour).mean()
    found: list[tuple[Window, float]] = []
    start, missed = None, 0.0
    for hour in [*hours, None]:
        if hour is not None and hour not in counts.index:
            start, missed = start or hour, missed + float(usual.get(hour.hour, 0.0))
            continue
        if start is not None and missed >= LEAST_MISSING:
            end = hour if hour is not None else hours[-1] + pd.Timedelta(hours=1)
            found.append((Window(start=start.to_pydatetime(), end=end.to_pydatetime()), missed))
        start, missed = None, 0.0
    return found
