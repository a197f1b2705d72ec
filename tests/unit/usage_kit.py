"""What tests of usage exports share: write a file, read it as a user would, look at its rows."""

import csv
import io
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow.parquet as pq

from runbook_lib import sources
from runbook_lib.schema import USAGE
from runbook_lib.sources.intake import Intake

FULL = (
    "Time,API Key Name,Model,Reasoning Effort,Inbound Endpoint,IP Address,Type,Billing Mode,"
    "Input Tokens,Output Tokens,Cache Read Tokens,Cache Creation Tokens,Rate Multiplier,"
    "Billed Cost,Original Cost,First Token (ms),Duration (ms)"
)
"""Header of the export since 0.1.46, whole (contract §7)."""

ROW: dict[str, str] = {
    "Time": "2026-11-24T13:43:02.661639+08:00",
    "API Key Name": "prod-web",
    "Model": "gpt-5.4-mini",
    "Reasoning Effort": "'-",
    "Inbound Endpoint": "/v1/chat/completions",
    "IP Address": "203.0.113.20",
    "Type": "Stream",
    "Billing Mode": "Token",
    "Input Tokens": "907",
    "Output Tokens": "463",
    "Cache Read Tokens": "1360",
    "Cache Creation Tokens": "0",
    "Rate Multiplier": "0.8",
    "Billed Cost": "0.00229260",
    "Original Cost": "0.00286575",
    "First Token (ms)": "249",
    "Duration (ms)": "1499",
}
"""One row of it, in the form of a recorded one."""


def export(
    *changes: dict[str, str], header: str = FULL, delimiter: str = ",", end: str = "\n"
) -> str:
    """Write an export: the row above, once for each set of changed cells."""
    names = next(csv.reader([header]))
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator=end)
    writer.writerow(names)
    for change in changes:
        cells = {**ROW, **change}
        writer.writerow([cells.get(name, "") for name in names])
    return out.getvalue().removesuffix(end)


def read(folder: Path, content: str | bytes, *, name: str = "usage.csv", zone: str = "") -> Intake:
    """Save a file and read it through the front door."""
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    staging = folder / "staging"
    staging.mkdir(exist_ok=True)
    (intake,) = sources.read(path, staging, zone=ZoneInfo(zone) if zone else None)
    return intake


def rows(intake: Intake) -> list[dict[str, Any]]:
    """Give the staged rows with every column of the table, as the lake would."""
    if intake.staged is None:
        return []
    held = pq.read_table(intake.staged).to_pylist()
    number = {"account": intake.account, "source_file": intake.source_file}
    return [
        {**dict.fromkeys(USAGE.names), **number, "row_number": place, **row}
        for place, row in enumerate(held, start=1)
    ]
