"""The tables of a triage of several requests: a row a cause, and a row an id."""

from collections.abc import Sequence

import pandas as pd

from runbook_lib.analysis import exhibits
from runbook_lib.analysis.around import label
from runbook_lib.analysis.case import Case
from runbook_lib.analysis.diagnosis import none_or
from runbook_lib.findings import MOST_ROWS, Exhibit, Grade


def weakest(cases: Sequence[Case]) -> Grade:
    """Give the least sure grade of several requests."""
    order = list(Grade)
    return max((case.found.grade for case in cases), key=order.index)


def causes(cases: Sequence[Case], ranked: Sequence[str]) -> Exhibit:
    """Put the requests together by cause.

    Args:
        cases: The requests.
        ranked: Their causes, in the order of the rows.

    Returns:
        An exhibit of a row a cause: `cause`, `meaning`, `ids`, `keys` (counts), `first`, `last`
        (UTC), `domain`, `retry`, `grade`, `cost_usd`.
    """
    rows = []
    for name in ranked:
        some = [case for case in cases if case.found.cause == name]
        times = [case.subject.ts for case in some]
        keys = {none_or(case.subject.key_name, str) for case in some}
        first = some[0].found
        rows.append(
            [
                name,
                label(name),
                len(some),
                len(keys),
                min(times),
                max(times),
                first.domain,
                first.retry,
                str(weakest(some)),
                exhibits.total_usd([c.joined.cost_usd for c in some]),
            ]
        )
    columns = [
        "cause",
        "meaning",
        "ids",
        "keys",
        "first",
        "last",
        "domain",
        "retry",
        "grade",
        "cost_usd",
    ]
    return Exhibit(
        name="causes",
        title="Causes",
        frame=pd.DataFrame(rows, columns=columns),
        columns=(
            *("meaning+cause", "ids", "keys", "first", "last", "domain", "retry", "grade"),
            "cost_usd",
        ),
    )


def ids(cases: Sequence[Case], missing: Sequence[str]) -> Exhibit:
    """List every id with what happened to its request.

    Args:
        cases: The requests that were found.
        missing: Ids that no data hold.

    Returns:
        An exhibit of a row an id: `id`, `cause`, `domain`, `retry`, `grade`, `status`, `code`,
        `key_name`, `model`, `at` (UTC), `cost_usd`, `source_file`, `row_number`.
    """
    columns = [
        "id",
        "cause",
        "domain",
        "retry",
        "grade",
        "status",
        "code",
        "key_name",
        "model",
        "at",
        "cost_usd",
        "source_file",
        "row_number",
    ]
    rows = [_id_row(case) for case in cases]
    rows += [[name, "nowhere", *[None] * 7, pd.NaT, None, None, None] for name in missing]
    frame = pd.DataFrame(rows, columns=columns).head(MOST_ROWS)
    return Exhibit(
        name="ids",
        title="Every id",
        frame=frame,
        left_out=max(0, len(rows) - MOST_ROWS),
        columns=("id", "cause", "domain+retry", "grade", "status+code", "key_name+model", "at"),
    )


def _id_row(case: Case) -> list[object]:
    row, found = case.subject, case.found
    return [
        case.asked,
        found.cause,
        found.domain,
        found.retry,
        str(found.grade),
        none_or(getattr(row, "status", None), int),
        found.code,
        none_or(row.key_name, str),
        none_or(row.model, str),
        row.ts,
        case.joined.cost_usd,
        row.source_file,
        row.row_number,
    ]
