"""Recorded traffic: four logs of the same attempts say the same, and every file has a place."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sources_kit as kit

from runbook_lib import sources
from runbook_lib.errors import UnknownSourceError
from runbook_lib.sources.intake import Intake

pytestmark = pytest.mark.shared

Rows = dict[Any, dict[str, Any]]
MADE_BY_THE_FILE = {"source_file", "row_number", "extra", "traceparent"}


def read(path: Path, staging: Path) -> Intake:
    """Read one recorded file."""
    (intake,) = sources.read(path, staging)
    return intake


def by_id(rows: list[dict[str, Any]]) -> Rows:
    """The rows by the id that each answer brought."""
    held = {row["client_request_id"]: row for row in rows if row["client_request_id"]}
    assert len(held) == sum(row["client_request_id"] is not None for row in rows)
    return held


@pytest.fixture(scope="module")
def own(gateway: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The callers' own log, all services."""
    intake = read(gateway / "calls" / "calls.jsonl", tmp_path_factory.mktemp("own"))
    assert (intake.kind, intake.rows, intake.rejected, intake.other_lines) == (
        "call log",
        6971,
        0,
        0,
    )
    return kit.rows(intake)


def test_every_attempt_has_an_outcome_that_its_status_allows(own: list[dict[str, Any]]) -> None:
    """The counts are those that the recording tells of itself."""
    counts = dict.fromkeys(("ok", "refused", "broken", "no_answer", "abandoned"), 0)
    for row in own:
        counts[row["outcome"]] += 1
    assert counts == {"ok": 4535, "refused": 2183, "broken": 103, "no_answer": 126, "abandoned": 24}


def test_failed_attempts_have_the_retry_rule_of_their_code(own: list[dict[str, Any]]) -> None:
    """At a spend cap a retry is useless, in an outage it is not."""
    rules = {(row["code"], row["retry"]) for row in own if row["code"]}
    assert ("insufficient_quota", "never") in rules
    assert ("API_KEY_EXPIRED", "never") in rules
    assert ("upstream_error", "backoff") in rules
    assert {row["retry"] for row in own if row["outcome"] in ("ok", "abandoned")} == {None}


def test_spans_equal_our_own_log_field_by_field(
    gateway: Path, tmp_path: Path, own: list[dict[str, Any]]
) -> None:
    """Two exporters of one recorder: nothing may depend on which file was given."""
    intake = read(gateway / "calls" / "otlp_batch-summaries.jsonl.gz", tmp_path)
    assert (intake.kind, intake.rows, intake.rejected) == ("OTLP spans", 724, 0)
    ours = {
        (row["call_id"], row["attempt"]): row for row in own if row["service"] == "batch-summaries"
    }
    theirs = {(row["call_id"], row["attempt"]): row for row in kit.rows(intake)}
    assert theirs.keys() == ours.keys()
    for name, row in theirs.items():
        told = {column for column in row if column not in MADE_BY_THE_FILE}
        assert {c: row[c] for c in told} == {c: ours[name][c] for c in told}


@pytest.mark.parametrize(
    ("name", "kind", "count"),
    [
        ("litellm_ci-evals.jsonl", "LiteLLM log", 183),
        ("app_doc-pipeline.log", "application log", 734),
    ],
)
def test_other_logs_agree_with_our_own(
    gateway: Path, tmp_path: Path, own: list[dict[str, Any]], name: str, kind: str, count: int
) -> None:
    """Whichever log is at hand, the attempt is the same: ids, status, code, tokens, start."""
    intake = read(gateway / "calls" / name, tmp_path)
    assert (intake.kind, intake.rows, intake.rejected) == (kind, count, 0)
    ours, theirs = by_id(own), by_id(kit.rows(intake))
    assert len(theirs) == count
    for key, row in theirs.items():
        mine = ours[key]
        same = ("request_ids", "call_id", "key_name", "model", "status", "output_tokens")
        assert {column: row[column] for column in same} == {c: mine[c] for c in same}
        assert row["code"] == mine["code"]
        assert row["input_tokens"] in (mine["input_tokens"], None)
        assert abs(row["ts"] - mine["ts"]) <= timedelta(milliseconds=2)
        assert row["retry"] == mine["retry"]


def test_litellm_tells_every_input_the_application_log_none(gateway: Path, tmp_path: Path) -> None:
    """One protocol never counts cached tokens, the other does without saying how many."""
    for name, told in (("litellm_ci-evals.jsonl", 125), ("app_doc-pipeline.log", 0)):
        rows = kit.rows(read(gateway / "calls" / name, tmp_path))
        assert sum(row["input_tokens"] is not None for row in rows) == told


def test_lines_of_the_application_are_counted_apart(gateway: Path, tmp_path: Path) -> None:
    """220 lines of text and 407 of other JSON stand between the calls."""
    intake = read(gateway / "calls" / "app_doc-pipeline.log", tmp_path)
    assert (intake.other_lines, intake.rejected) == (627, 0)


def test_every_file_of_the_folder_has_its_place(gateway: Path, tmp_path: Path) -> None:
    """What is no source is said to be none; the rest is read without a reject."""
    unknown, tables = set(), dict[str, int]()
    for path in sources.files([gateway]):
        if path.name.startswith("usage_") and "errors" not in path.name:
            continue
        try:
            intake = read(path, tmp_path)
        except UnknownSourceError:
            unknown.add(path.name)
            continue
        assert intake.rejected == 0
        tables[intake.table] = tables.get(intake.table, 0) + intake.rows
    assert unknown == {"README.md", "answers.jsonl", "truth.json"}
    assert tables["keys"] == 16
    assert tables["audit"] == 19
    assert tables["refusals"] == 58 + 137 + 1940
    assert tables["key_state"] == 33
