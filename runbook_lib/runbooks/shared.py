"""What the functions behind the notebooks share: the time of a report, its inputs, its gaps."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from runbook_lib import clock
from runbook_lib.analysis.inputs import findings_of_inputs
from runbook_lib.analysis.rules import worst_first
from runbook_lib.analysis.words import counted
from runbook_lib.clock import Window
from runbook_lib.findings import Coverage, Report
from runbook_lib.schema import ROWS

if TYPE_CHECKING:
    from runbook_lib.store import Store


ORIGIN = ["account", "source_file", "row_number", "ts"]
"""What tells a row from every other; two exports can be called the same, hence the time."""


def finished(
    made: Report, store: "Store", parameters: dict[str, object], *, asked: Window | None = None
) -> Report:
    """Add what every report says of its data, its parameters and its time.

    Args:
        made: The Report.
        store: The lake it was made from.
        parameters: What was asked, with `timezone` and `now`.
        asked: The span that the data must cover; None for none.

    Returns:
        The Report with its inputs, its time, and findings of what the data lack.
    """
    spans = {name: store.span(name) for name in ROWS}
    timezone = str(parameters["timezone"])
    place = clock.zone(timezone)
    about = findings_of_inputs(store.intake.inputs, asked, spans, place=place)
    return replace(
        made,
        findings=worst_first([*made.findings, *about]),
        inputs=store.intake.inputs,
        parameters=parameters,
        timezone=timezone,
        now=time_of(store, str(parameters["now"]), place),
        sample_data=store.sample,
        coverage=_with_rejects(made.coverage, store),
    )


def time_of(store: "Store", text: str, place: ZoneInfo) -> datetime:
    """The time a report is made for: as given, on sample data their end, else the clock."""
    if text:
        return clock.from_parameter("now", text, place)
    span = held(store)
    if store.sample and span is not None:
        return span.end
    return datetime.now(UTC)


def _with_rejects(coverage: Coverage, store: "Store") -> Coverage:
    lost = [
        f"{counted(item.rejected, 'record')} of {item.name} could not be read"
        for item in store.intake.inputs
        if item.rejected
    ]
    return replace(coverage, partial=[*coverage.partial, *lost])


def held(store: "Store") -> Window | None:
    """The span of usage and calls together, None where there are neither."""
    spans = [span for span in map(store.span, ROWS) if span is not None]
    if not spans:
        return None
    return Window(start=min(span.start for span in spans), end=max(span.end for span in spans))
