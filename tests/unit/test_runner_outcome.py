"""What a run ends with: the exit codes, staleness, and a `findings.json` that keeps its form."""

import json
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import jsonschema
import made_report
import numpy as np
import pandas as pd
import pytest

import runbook_lib.report
from runbook_lib import findings, runner
from runbook_lib.findings import Coverage, Severity, Status
from runbook_lib.runner import outcome
from runbook_lib.runner.outcome import Outcome

SCHEMA = json.loads((Path(runbook_lib.report.__file__).parent / "findings.schema.json").read_text())


def _report(severity: Severity | None = None, *, partial: tuple[str, ...] = ()) -> dict:
    made = made_report.report()
    held = made.findings[0]
    found = [replace(held, status=Status.PASS), replace(held, status=Status.UNKNOWN)]
    found += [replace(held, severity=severity)] if severity else []
    return replace(made, findings=found, coverage=Coverage(partial=partial)).to_dict()


def _filled(report: dict, *, fail_on: str = "high", max_age_hours: float = 36.0) -> dict:
    return outcome.filled(
        report,
        started_at=made_report.NOW,
        finished_at=made_report.NOW + timedelta(seconds=3),
        fail_on=fail_on,
        max_age_hours=max_age_hours,
    )


@pytest.mark.parametrize(
    ("severity", "fail_on", "partial", "code"),
    [
        pytest.param(None, "high", (), 0, id="clean"),
        pytest.param(Severity.MEDIUM, "high", (), 0, id="below-the-level"),
        pytest.param(Severity.HIGH, "high", (), 1, id="at-the-level"),
        pytest.param(Severity.CRITICAL, "high", (), 1, id="above-the-level"),
        pytest.param(Severity.INFO, "info", (), 1, id="lowest-level"),
        pytest.param(Severity.CRITICAL, "never", (), 0, id="never"),
        pytest.param(None, "high", ("2 rejected",), 3, id="partial"),
        pytest.param(Severity.HIGH, "high", ("2 rejected",), 1, id="findings-beat-partial"),
        pytest.param(Severity.HIGH, "never", ("2 rejected",), 3, id="never-leaves-partial"),
    ],
)
def test_exit_codes(severity, fail_on: str, partial: tuple[str, ...], code: int) -> None:
    """A scheduler acts on the number alone: only what failed counts, and findings beat partial."""
    content = _filled(_report(severity, partial=partial), fail_on=fail_on)
    assert content["run"]["exit_code"] == code
    assert content["run"]["status"] == ("partial" if partial else "complete")


@pytest.mark.parametrize(
    ("hours", "stale"),
    [pytest.param(0.03, True, id="too-old"), pytest.param(0.04, False, id="fresh-enough")],
)
def test_old_input_makes_a_run_partial(hours, stale) -> None:
    """Yesterday's export says nothing of this night; the newest row counts."""
    content = _filled(_report(), max_age_hours=hours)
    assert content["run"]["exit_code"] == (3 if stale else 0)
    assert [reason[:14] for reason in content["coverage"]["partial"]] == ["the newest row"] * stale


def test_input_of_unknown_age_is_not_stale() -> None:
    """A key inventory has no times."""
    made = made_report.report()
    report = replace(made, inputs=[replace(made.inputs[0], first_at=None, last_at=None)])
    assert outcome.stale(report.to_dict(), 0.0) == []


@pytest.mark.parametrize(
    ("codes", "code"),
    [
        pytest.param([0, 0], 0, id="clean"),
        pytest.param([0, 1], 1, id="findings"),
        pytest.param([0, 3], 3, id="partial"),
        pytest.param([0, 4], 3, id="one-failed"),
        pytest.param([1, 4], 1, id="findings-beat-failed"),
        pytest.param([4, 4], 4, id="all-failed"),
        pytest.param([2, 2], 2, id="all-wrong"),
    ],
)
def test_exit_code_of_several(codes: list[int], code: int) -> None:
    """One notebook of several that fails makes the run partial, not lost."""
    done = [
        Outcome(name=str(at), exit_code=one, error="failed" if one in (2, 4) else "")
        for at, one in enumerate(codes)
    ]
    assert outcome.of_several(done) == code


@pytest.mark.parametrize("made", [made_report.report(), made_report.hostile("<script>")])
def test_findings_json_keeps_its_form(made: findings.Report) -> None:
    """Programs read it by the schema that ships with the package."""
    report = made._repr_mimebundle_()[findings.REPORT_MIME]
    jsonschema.validate(_filled(report), SCHEMA)


def test_only_the_run_differs_between_two_runs() -> None:
    """Same input, same bytes, the run's own times aside."""
    one, two = (_filled(_report(Severity.HIGH)) for _ in range(2))
    assert json.dumps(one) == json.dumps(two)


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        pytest.param(np.int64(7), 7, id="numpy-int"),
        pytest.param(np.float64("nan"), None, id="nan"),
        pytest.param(float("inf"), None, id="infinite"),
        pytest.param(pd.NA, None, id="na"),
        pytest.param(pd.NaT, None, id="nat"),
        pytest.param(np.True_, True, id="numpy-flag"),
        pytest.param(pd.Timestamp(made_report.NOW), "2026-11-24T05:43:02.000000Z", id="instant"),
        pytest.param(Decimal("1.10"), "1.1", id="money"),
        pytest.param(date(2026, 1, 2), "2026-01-02", id="date"),
        pytest.param(None, None, id="none"),
    ],
)
def test_any_value_of_a_frame_becomes_plain_json(value, plain) -> None:
    """Evidence takes values as they are in a frame; a report must never fail on one."""
    assert findings.plain(value) == plain
    json.dumps(findings.plain(value), allow_nan=False)


@pytest.mark.parametrize(
    ("zone", "told"),
    [
        pytest.param("UTC", "2026-11-24 05:43:02 UTC", id="utc"),
        pytest.param(
            "Asia/Shanghai", "2026-11-24 13:43:02 CST (2026-11-24 05:43:02 UTC)", id="shanghai"
        ),
    ],
)
def test_the_foot_of_the_page_is_on_the_asked_clock(zone: str, told: str) -> None:
    """When it was made and as of when it was judged, UTC beside it where that differs."""
    report = {**_report(), "run": {**_report()["run"], "timezone": zone}}
    content = _filled(report)
    assert runner._told(content)["Made at"] == told
    assert runner._told(content)["Judged as of"] == told
