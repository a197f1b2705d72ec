"""How good the data are: records that could not be read, and times that no file covers."""

from collections.abc import Iterator, Sequence
from zoneinfo import ZoneInfo

from runbook_lib import clock
from runbook_lib.analysis.words import counted, span_of
from runbook_lib.findings import Evidence, Finding, Grade, Input, Join, NextStep, Severity, Status

_UTC = ZoneInfo("UTC")


def findings_of_inputs(
    inputs: Sequence[Input],
    asked: clock.Window | None,
    spans: dict[str, clock.Window | None],
    *,
    place: ZoneInfo = _UTC,
) -> Iterator[Finding]:
    """Say what was left out, and which part of the window no data cover.

    Args:
        inputs: The files taken in.
        asked: The times the question is about, aware UTC; None where it names none.
        spans: Span of the usage rows and of the calls, None where there are none.
        place: Zone in which times are told.

    Returns:
        Findings of the rules `input-rejected` and `input-gap`, none where all is whole.
    """
    lost = [item for item in inputs if item.rejected]
    if lost:
        yield _rejected(lost)
    if asked is None:
        return
    for table, words in (("usage", "usage export"), ("calls", "call log")):
        span = spans.get(table)
        if span is None or span.end <= asked.start or span.start >= asked.end:
            yield _gap(words, asked, place)


def _rejected(lost: Sequence[Input]) -> Finding:
    count = sum(item.rejected for item in lost)
    return Finding(
        rule="input-rejected",
        severity=Severity.LOW,
        title=f"{counted(count, 'record')} of {counted(len(lost), 'file')} could not be read",
        value=count,
        expected=0,
        unit="records",
        evidence=[
            Evidence(source=item.name, row=0, field="rejected", value=item.rejected, join=Join.NONE)
            for item in lost
        ],
        next_step=NextStep(
            text="Take the files in again with --json to see each record and its reason.",
            where="runbook intake",
            who="on call",
        ),
    )


def _gap(words: str, asked: clock.Window, place: ZoneInfo) -> Finding:
    return Finding(
        rule="input-gap",
        severity=Severity.LOW,
        status=Status.UNKNOWN,
        title=f"No {words} covers {span_of(asked.start, asked.end, place)}",
        window=asked,
        grade=Grade.INCONCLUSIVE,
        next_step=NextStep(
            text=f"Fetch the {words} of that time and run this again.",
            where="/usage" if words == "usage export" else "the log of the client",
            who="on call",
        ),
    )
