"""What was done around a failure: on whose key, and whether before it or at its end."""

import json
from typing import Any

import pandas as pd
import pytest
from made_material import START, attempt, billed, material
from test_triage_report import made, rules

from runbook_lib.analysis import triage
from runbook_lib.findings import Report


def act(minute: float, action: str = "keys.update", **rest: Any) -> dict[str, Any]:
    """One act of the audit log, so many minutes after START."""
    at = START + pd.Timedelta(minutes=minute)
    return {"ts": at, "action": action, "source_file": "audit.csv", "row_number": 1, **rest}


def acts_around(*done: dict[str, Any], later: float | None = 700) -> Report:
    """Ten minutes in which key a is refused, with acts around; it works again at second *later*."""
    rows = [attempt(60 * n, 401, code="API_KEY_DISABLED", key_name="a") for n in range(11)]
    rows += [attempt(-60, key_name="a"), attempt(30, key_name="b")]
    rows += [] if later is None else [attempt(later, key_name="a")]
    rows += [attempt(9000, key_name="b")]
    extra = json.dumps({"key.id": 64})
    return triage.one(
        made(material(rows, [billed(0, key_name="a", extra=extra)], audit=list(done)))
    )


def test_acts_on_the_key_of_the_request_come_first_and_others_last() -> None:
    """A key deleted elsewhere must not stand before the one that was switched off here."""
    report = acts_around(
        act(-5, key_name="b"),
        act(-6, key_id="64", change='{"status": "inactive"}'),
        act(-7, "payment.create", actor="t***"),
        act(-8, "auth.login", actor="t***"),
        act(3, key_name="b"),
    )
    frame = report.exhibits["changes"].frame
    assert list(frame["subject"]) == ["a", "b", "t***"]
    assert list(frame["whose"]) == ["this key", "another key", "an account"]
    assert frame["change"].iloc[0] == "status: inactive"
    assert "2 acts on what it has nothing to do with" in report.exhibits["changes"].note
    suspect = rules(report)["changed-before"]
    assert suspect.value == 1
    assert "keys.update, a (status: inactive)" in suspect.title
    assert "changed-before" not in rules(acts_around(act(-5, key_name="b")))


@pytest.mark.parametrize(
    ("later", "rule"),
    [
        pytest.param(700, "failure-over", id="recovered"),
        pytest.param(None, "failure-goes-on", id="nobody-asks-any-more"),
    ],
)
def test_an_act_at_the_end_may_explain_the_recovery(later: float | None, rule: str) -> None:
    """Who reads that it is over wants to know why, before it comes back."""
    report = acts_around(
        act(11, key_id="64", change='{"status": "active"}'), act(2, key_name="a"), later=later
    )
    frame = report.exhibits["changes"].frame
    assert list(frame["when"]) == ["may explain its end", "while it failed"]
    assert "keys.update of a (status: active) at 05:41:00 UTC" in rules(report)[rule].title
    assert "changed-before" not in rules(report)


def test_a_successor_of_the_key_has_to_do_with_it() -> None:
    """A rotation touches two names."""
    report = acts_around(act(-5, "keys.create", key_name="a-v2"))
    assert list(report.exhibits["changes"].frame["whose"]) == ["its successor"]


def test_an_act_of_another_account_has_nothing_to_do_with_it() -> None:
    """Keys of two accounts can have one name."""
    report = acts_around(act(-5, key_name="a", account="partner"))
    assert list(report.exhibits["changes"].frame["whose"]) == ["another account"]
