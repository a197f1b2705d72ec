"""Let the engine read a usage export that is written exactly as the console writes."""

from pathlib import Path

from runbook_lib.sources.intake import Intake
from runbook_lib.sources.usage_rows import Form


def read(
    path: Path, staging: Path, form: Form, *, source_file: str, sha256: str, account: str
) -> Intake | None:
    """Read an export with the engine; None when it must be read record by record."""
    return None
