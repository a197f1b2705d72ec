"""The balance against the usage rows, and the hours an export lacks."""

from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from runbook_lib import money
from runbook_lib.clock import Window

if TYPE_CHECKING:
    import pandas as pd

LEAST_MISSING = 20.0
"""Requests that must be usual in an empty span before it counts as a gap."""

OTHER_WEEKS = 2
"""Weeks beside its own in which an hour of the week must be known to tell what is usual in it."""

STEPS = ("account", "start", "end", "balance_before", "added", "balance_after", "billed_usd")


def steps(
    ledger: "pd.DataFrame", hourly: "pd.DataFrame", window: Window, *, until: datetime
) -> "pd.DataFrame":
    """Hold each step of the balance against the usage rows between its two readings.

    A step is judged where the usage rows of all of it are known: it lies inside the window, begins
    no earlier than the usage of its account, and ends no later.

    Args:
        ledger: Rows of the ledger: `account`, `ts`, `kind` (top_up, refund, reading), `amount`,
            `currency`, `balance`; rows in another currency than USD are left out.
        hourly: Usage by hour: `account`, `bucket` (start, aware), `cost_usd` (Decimal USD). A
            ledger without an account is that of the one account there is; where several are, or
            none fits, nothing is told.
        window: The span asked; *hourly* has nothing after it.
        until: End of all usage rows held.

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
    usage = hourly.assign(account=hourly["account"].astype(object).fillna(""))
    named, all_named = set(known["account"].fillna("")), set(usage["account"])
    for account, own in known.groupby(known["account"].fillna(""), sort=True):
        whose = _match(str(account), named, all_named)
        billed = usage[usage["account"] == whose]
        if whose is None or billed.empty:
            continue
        first, last = _reach(billed, window, until, alone=len(all_named) == 1)
        made = _of_account(str(account), own.to_dict("records"), billed)
        rows += [step for step in made if first <= step[1] and step[2] <= last]
    return pd.DataFrame(rows, columns=[*STEPS, "unexplained_usd", "bound_usd"])


def _match(account: str, ledgers: set[str], usage: set[str]) -> str | None:
    """The account of usage that a ledger is of; None where that is not known."""
    if account in usage:
        return account
    rest = usage - ledgers
    return next(iter(rest)) if not account and len(usage) == len(rest) == 1 else None


def _reach(
    billed: "pd.DataFrame", window: Window, until: datetime, *, alone: bool
) -> tuple[Any, Any]:
    """The span of a window in which all usage of an account is known.

    Without other accounts, usage is known as far as rows are held; with some, the export of this
    one may end sooner, so that its own last hour counts.
    """
    import pandas as pd

    hour = pd.Timedelta(hours=1)
    held = pd.Timestamp(until).ceil("h") if alone else billed["bucket"].max() + hour
    return max(pd.Timestamp(window.start), billed["bucket"].min()), min(window.end, held)


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


def gaps(hourly: "pd.DataFrame", window: Window, *, until: datetime) -> list[tuple[Window, float]]:
    """Find spans of a window without any usage row although many would be usual.

    Args:
        hourly: Usage of all keys by hour: `bucket` (start, aware), `requests`; it should reach
            back some weeks. It has nothing after the window.
        window: The span asked.
        until: End of all usage rows held: an hour after it is not known to be empty.

    Returns:
        Each gap with the requests that are usual in it, as `_usual` tells them.
    """
    import pandas as pd

    if hourly.empty:
        return []
    counts = hourly.groupby("bucket")["requests"].sum().astype(float)
    hour = pd.Timedelta(hours=1)
    start, end, held = (
        pd.Timestamp(at).tz_convert("UTC").floor("h") for at in (window.start, window.end, until)
    )
    start, end = max(start, counts.index.min()), min(end, held)
    last = max(counts.index.max() + hour, end)
    every = pd.date_range(counts.index.min(), last, freq="h", inclusive="left")
    filled = counts.reindex(every, fill_value=0.0)
    asked = (every >= start) & (every < end) & ~every.isin(counts.index)
    found: list[tuple[Window, float]] = []
    missing = _usual(filled)[asked]
    spans = (missing.index.to_series().diff() != hour).cumsum()
    for _, part in missing.groupby(spans):
        if (missed := float(part.sum())) >= LEAST_MISSING:
            ends = (part.index[0].to_pydatetime(), (part.index[-1] + hour).to_pydatetime())
            found.append((Window(start=ends[0], end=ends[1]), missed))
    return found


def _usual(filled: "pd.Series") -> "pd.Series":
    """Tell what is usual in an hour that is empty.

    Args:
        filled: Requests by hour, 0 where there are none; each hour has its start (UTC) as index.

    Returns:
        Requests by hour: the median of the same hour of other weeks, where enough are known. Else
        the mean of that hour of the day, of weekdays for weekdays and of weekends for weekends:
        many services rest then.
    """
    times = filled.index.to_series()
    weekday, hour = times.dt.day_of_week, times.dt.hour
    by_week = filled.groupby([weekday, hour]).transform(_beside)
    return by_week.fillna(filled.groupby([weekday >= 5, hour]).transform("mean"))


def _beside(counts: "pd.Series") -> float:
    """The median of all weeks but the least: an empty hour is the least of its own."""
    others = counts.sort_values().iloc[1:]
    return float(others.median()) if len(others) >= OTHER_WEEKS else float("nan")
