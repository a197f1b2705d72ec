"""The support pack of a search that found nothing: what was asked, where it was looked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from runbook_lib import clock
from runbook_lib.analysis import pack
from runbook_lib.analysis.words import counted, span_of
from runbook_lib.findings import Attachment, Coverage, Input, NextStep, Verdict

WHERE = (
    "the request id of usage rows; of attempts every value of both id headers, the id of the call "
    "and that of the response"
)
"""What an id is compared with."""

WHAT = "the outcome of every attempt in the call logs"
"""What is looked at in a window."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Searched:
    """What was looked through.

    Attributes:
        inputs: The files.
        place: Zone in which times are told.
        window: The times; None for all there are.
    """

    inputs: Sequence[Input]
    place: ZoneInfo
    window: clock.Window | None = None


def packs(
    verdict: Verdict,
    asked: Sequence[str],
    searched: Searched,
    coverage: Coverage,
    step: NextStep | None,
) -> list[Attachment]:
    """Write the support pack of a search.

    Args:
        verdict: What the report says.
        asked: The ids; none for a window.
        searched: What was looked through.
        coverage: What the data lack.
        step: What to do next; None where nothing is to be done.

    Returns:
        The pack as Markdown and as JSON: ids, names, kinds and spans of files, no secret.
    """
    span = searched.window
    facts: dict[str, Any] = {"asked ids": list(asked[: pack.MOST_IDS])} if asked else {}
    if len(asked) > pack.MOST_IDS:
        facts["more ids asked"] = len(asked) - pack.MOST_IDS
    if span is None:
        facts["compared with"] = WHERE
    else:
        facts["window"] = span_of(span.start, span.end, searched.place)
        facts["looked at"] = WHAT
    lacks = {"not whole": [*coverage.partial], "missing": [*coverage.gaps]}
    facts |= {name: told for name, told in lacks.items() if told}
    files = [_file(item, searched.place) for item in searched.inputs]
    handed = [
        f"What: {verdict.title} ({verdict.grade})",
        f"Searched: {counted(len(files), 'file')}, listed below",
        f"Do: {step.text} ({step.where}; {step.who})" if step else "Do: nothing",
    ]
    body = {"facts": facts, "searched": files, "handover": handed}
    return pack.written(
        body, [*pack.opening(handed, facts), *pack.table("What was searched", files)]
    )


def _file(item: Input, place: ZoneInfo) -> dict[str, Any]:
    times = [at for at in (item.first_at, item.last_at) if at is not None]
    return {
        "file": item.name,
        "kind": item.kind,
        "rows": item.rows,
        "rejected": item.rejected,
        "times": span_of(times[0], times[-1], place) if times else None,
        "sha256": item.sha256[:12],
    }
