"""The stop, rehearsed: a client runs into its cap, its window, an empty balance.

What is wasted: attempts beyond the one that told of the stop in each call, the seconds they took,
and pages: one error pages a person, the further ones say nothing new.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from runbook_lib.verify import joined
from runbook_lib.verify.joined import Call
from runbook_lib.verify.judge import Judged, Verdict
from runbook_lib.verify.records import Attempt, Ending
from runbook_lib.verify.vectors import Also

if TYPE_CHECKING:
    import pandas as pd

NAMES = {"cap_usd": "cap", "window_5h_usd": "5 h window", "balance_usd": "balance"}
"""What a key runs into, by the field of a cell's situation."""

COLUMNS = [
    *("stop", "limit_usd", "protocol", "flavour", "calls", "answered", "refused", "code"),
    *("attempts", "attempts_wasted", "seconds_wasted", "pages", "pages_wasted", "verdict"),
]


def rehearsal(judged: Sequence[Judged]) -> "pd.DataFrame":
    """Tell what a client wastes once its key is stopped.

    Args:
        judged: Every cell after its judgement.

    Returns:
        One row a rehearsal: `stop` (cap, 5 h window, balance), `limit_usd` (text), `protocol`,
        `flavour` (sync, async), `calls`, `answered`, `refused` (calls), `code` (of the stop),
        `attempts` (all), `attempts_wasted` (after the first refusal of each call),
        `seconds_wasted` (s, of refused calls after their first refusal), `pages` (calls that
        raised), `pages_wasted` (all but the first), `verdict`.
    """
    import pandas as pd

    return pd.DataFrame(list(_rows(judged)), columns=COLUMNS)


def _rows(judged: Sequence[Judged]) -> Iterator[list[object]]:
    for one in judged:
        if Also.STOP not in one.case.expect.also or one.verdict is Verdict.NOT_PLAYED:
            continue
        if one.played is None:
            continue
        calls = joined.of(one.played)
        stopped = [call for call in calls if refusals(call)]
        kind, limit = next(iter(one.cell.situation.items()), ("", ""))
        pages = sum(call.outcome.ending is Ending.RAISED for call in calls)
        yield [
            NAMES.get(kind, kind),
            limit,
            one.cell.protocol,
            "async" if one.cell.asynchronous else "sync",
            len(calls),
            sum(call.answered for call in calls),
            len(stopped),
            joined.told(refusals(stopped[0])[0]) if stopped else "",
            len(one.played.attempts),
            sum(len(_after(call)) for call in stopped),
            round(sum(wasted_s(call) for call in stopped), 3),
            pages,
            max(0, pages - 1),
            one.verdict.value,
        ]


def refusals(call: Call) -> list[Attempt]:
    """Give the attempts of a call that were refused."""
    return [one for one in call.attempts if one.status is not None and one.status >= 400]


def _after(call: Call) -> list[Attempt]:
    first = refusals(call)[0]
    return [one for one in call.attempts if one.number > first.number]


def wasted_s(call: Call) -> float:
    """Tell how long a call went on after the refusal that told it everything."""
    first = refusals(call)[0]
    ended = first.at_s if first.ended_s is None else first.ended_s
    return max(0.0, call.outcome.ended_s - ended)
