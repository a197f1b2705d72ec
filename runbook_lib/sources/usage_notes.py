"""What people should know of an export beside its rows: gaps, seams, a missing page."""

from collections.abc import Sequence

from runbook_lib.sources.intake import Intake
from runbook_lib.sources.usage_rows import Form

PAGE = 1000
"""Rows the console fetches at a time for its export (contract §7)."""


def notes(intake: Intake, form: Form) -> Sequence[str]:
    """List what the rows of an export say about its being whole."""
    return ()
