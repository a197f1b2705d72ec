"""The verdicts of a verification as tables: the matrix, the deviations by cost, the times."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from runbook_lib.verify import joined, metrics
from runbook_lib.verify.deviations import Deviation
from runbook_lib.verify.judge import Judged, Verdict

if TYPE_CHECKING:
    import pandas as pd

MATRIX = [
    *("row", "case", "duration", "protocol", "stream", "flavour"),
    *("verdict", "expected", "seen", "cell"),
]
DEVIATIONS = [
    *("rule", "row", "case", "level", "cells", "of", "cost_usd"),
    *("expected", "seen", "change"),
]
TIMINGS = [
    *("cell", "call", "attempts", "ended", "total_s", "slept_s", "wire_s", "fallback_s"),
]

_UNIT = Decimal("1e-10")


def matrix_of(judged: Sequence[Judged]) -> "pd.DataFrame":
    """Give the verdict of every cell.

    Args:
        judged: Every cell after its judgement.

    Returns:
        One row a cell: `row` (of the fault matrix), `case`, `duration` (empty for none),
        `protocol`, `stream` (bool), `flavour` (sync, async), `verdict` (ok, warning, error, not
        played), `expected`, `seen`, `cell` (id). No measured times.
    """
    import pandas as pd

    rows = [
        (
            one.case.row,
            one.case.name,
            one.cell.duration,
            one.cell.protocol,
            one.cell.stream,
            "async" if one.cell.asynchronous else "sync",
            one.verdict.value,
            one.expected,
            one.seen,
            one.cell.id,
        )
        for one in judged
    ]
    return pd.DataFrame(rows, columns=MATRIX)


Group = tuple[str, str]
"""Rule and case."""


def groups(judged: Sequence[Judged]) -> dict[Group, list[Deviation]]:
    """Group deviations by rule and case, in the order of the cases."""
    found: dict[Group, list[Deviation]] = defaultdict(list)
    for one in judged:
        for deviation in one.deviations:
            found[deviation.kind.rule, one.case.name].append(deviation)
    return found


def deviations_of(judged: Sequence[Judged]) -> "pd.DataFrame":
    """Give what the client did otherwise, dearest first.

    Args:
        judged: Every cell after its judgement.

    Returns:
        One row a rule and case: `rule`, `row`, `case`, `level` (error, warning), `cells` (that
        show it), `of` (cells of the case that were played), `cost_usd` (USD, Decimal: what was
        billed or may have been beyond a correct client's), `expected`, `seen`, `change`.
    """
    import pandas as pd

    cases = {one.case.name: one.case for one in judged}
    of = played_cells(judged)
    rows = [
        (
            rule,
            cases[case].row,
            case,
            _level(found),
            len(found),
            of[case],
            cost(found),
            found[0].expected,
            commonest(found),
            found[0].kind.change,
        )
        for (rule, case), found in groups(judged).items()
    ]
    rows.sort(key=lambda row: (-row[6], row[3], row[1], row[0], row[2]))
    return pd.DataFrame(rows, columns=DEVIATIONS)


def played_cells(judged: Sequence[Judged]) -> Mapping[str, int]:
    """Count the cells of each case that say something."""
    counts: dict[str, int] = defaultdict(int)
    for one in judged:
        counts[one.case.name] += one.verdict is not Verdict.NOT_PLAYED
    return counts


def _level(found: Sequence[Deviation]) -> str:
    return str(min(one.level for one in found))


def cost(found: Sequence[Deviation]) -> Decimal:
    """Sum what deviations cost or may have cost, in USD."""
    whole = sum((one.cost_usd for one in found), Decimal(0))
    return whole.quantize(_UNIT) if whole else Decimal(0)


def commonest(found: Sequence[Deviation]) -> str:
    """Give what most of them saw, the first of equals."""
    seen = [one.seen for one in found]
    return max(dict.fromkeys(seen), key=seen.count)


def timings_of(judged: Sequence[Judged]) -> "pd.DataFrame":
    """Give the times of every call.

    Args:
        judged: Every cell after its judgement.

    Returns:
        One row a call: `cell` (id), `call` (number), `attempts` (count), `ended` (how), `total_s`,
        `slept_s` (between and after attempts), `wire_s` (the rest), `fallback_s` (from the first
        failure to the fallback's first byte, NaN without one); all in seconds.
    """
    import pandas as pd

    rows = []
    for one in judged:
        for number, call in enumerate(joined.of(one.played) if one.played else [], start=1):
            slept = min(call.seconds, metrics.slept_s(call))
            other = metrics.fallback_s(call)
            rows.append(
                (
                    one.cell.id,
                    number,
                    len(call.attempts),
                    call.outcome.ending.value,
                    round(call.seconds, 4),
                    round(slept, 4),
                    round(call.seconds - slept, 4),
                    metrics.UNKNOWN if other is None else round(other, 4),
                )
            )
    return pd.DataFrame(rows, columns=TIMINGS)
