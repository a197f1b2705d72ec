"""A verification as a whole: tables, findings, next steps, JUnit; the same twice."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from verify_kit import CASES, SECOND, alone, attempt, cell, falls_back, played

from runbook_lib.findings import Severity, Status
from runbook_lib.verify import verdicts
from runbook_lib.verify.records import Attempt, Ending, Outcome, Played
from runbook_lib.verify.verdicts import Verified

HEALTHY = played(cell("healthy"), [attempt(cost_usd=Decimal("0.0004"))], Ending.TEXT)


def _verified(*cells: Played, **more: Any) -> Verified:
    return verdicts.judge_all("mine:ask", list(cells), list(CASES.values()), seed=4, **more)


def _capped(stream: bool = False, times: int = 3, dear: str = "") -> Played:  # noqa: FBT001, FBT002
    tries = [
        attempt(429, 0.5 * n, fault="cap_flat", code="API_KEY_QUOTA_EXHAUSTED")
        for n in range(times)
    ]
    if dear:
        tries[-1] = replace(tries[-1], cost_usd=Decimal(dear))
    return played(cell("cap_flat", stream=stream, asynchronous=times == 1), tries)


def _silent() -> Played:
    broken = attempt(200, fault="empty_object", cost_usd=Decimal("0.0021"))
    return played(cell("empty_object"), [broken], Ending.NO_TEXT)


def _following() -> Played:
    tries = [attempt(307, fault="redirect_307"), attempt(404, 0.1, "", path="/v1/elsewhere")]
    return played(cell("redirect_307"), tries)


def test_the_matrix_has_a_row_a_cell() -> None:
    """Row, case and the ways it was played, the verdict, and why."""
    frame = _verified(HEALTHY, _capped(), _following()).matrix
    assert list(frame["verdict"]) == ["ok", "error", "warning"]
    assert list(frame["row"]) == [0, 19, 54]
    assert list(frame["flavour"]) == ["sync"] * 3
    assert frame["stream"].dtype == bool
    assert frame["expected"][1].startswith("not sent again; no other model")
    assert frame["seen"][0] == "as expected"
    assert frame["cell"].is_unique


def test_the_matrix_holds_no_measured_time() -> None:
    """The same behaviour on a slower machine is the same matrix."""

    def slower(one: Played) -> Played:
        tries = [
            replace(a, at_s=a.at_s * 1.01 + 0.03, ended_s=(a.ended_s or 0) * 1.01 + 0.03)
            for a in one.attempts
        ]
        ends = [replace(o, ended_s=o.ended_s * 1.01 + 0.03) for o in one.outcomes]
        return replace(one, attempts=tries, outcomes=ends)

    cells = (HEALTHY, _capped(), _silent(), _following(), falls_back())
    first, second = _verified(*cells), _verified(*(slower(one) for one in cells))
    assert first.matrix.to_csv() == second.matrix.to_csv()
    assert first.junit == second.junit
    assert first.timings.to_csv() != second.timings.to_csv()


def test_deviations_are_told_by_rule_and_case_dearest_first() -> None:
    """What costs most is repaired first."""
    cells = (HEALTHY, _capped(), _capped(stream=True), _silent())
    frame = _verified(*cells).deviations
    assert list(frame["rule"]) == ["client-silent-failure", "client-wrong-retry"]
    assert list(frame["cells"]) == [1, 2]
    assert list(frame["of"]) == [1, 2]
    assert list(frame["cost_usd"]) == [Decimal("0.0021"), Decimal(0)]
    assert frame["change"].str.len().min() > 30


def test_a_finding_cites_its_cells_and_names_the_change() -> None:
    """Cells by their row in the matrix; one act."""
    verified = _verified(HEALTHY, _capped(), _capped(stream=True), _capped(times=1))
    (found,) = [one for one in verified.findings if one.rule == "client-wrong-retry"]
    assert found.severity is Severity.HIGH
    assert "cap_flat (row 19), 2 of 3 cells" in found.title
    assert [one.row for one in found.evidence] == [2, 3]
    assert all(verified.matrix["verdict"][one.row - 1] == "error" for one in found.evidence)
    assert found.next_step is not None
    assert "stop at codes that stay" in found.next_step.text


def test_a_warning_is_a_low_finding() -> None:
    """A followed redirect does not wake anybody."""
    (found,) = _verified(HEALTHY, _following()).findings
    assert (found.rule, found.severity) == ("client-follows-redirect", Severity.LOW)


def test_no_fallback_is_one_finding() -> None:
    """However many cells show it."""
    more = replace(alone(), cell=cell("status_529", "ever"))
    verified = _verified(HEALTHY, alone(), more)
    assert [one.rule for one in verified.findings] == ["client-no-fallback"]
    assert verified.findings[0].expected == 2
    assert set(verified.matrix["verdict"]) == {"ok"}


def test_who_gave_one_model_is_not_asked_for_a_second() -> None:
    """There is none to fall back to, and the user knows it."""
    single = [
        replace(one, cell=replace(one.cell, models=one.cell.models[:1]))
        for one in (HEALTHY, alone())
    ]
    verified = _verified(*single)
    assert verified.cause == "client_passes"
    assert set(verified.matrix["verdict"]) == {"ok"}


def test_a_client_that_does_all_right_passes() -> None:
    """And that is said, as a finding that passes."""
    verified = _verified(HEALTHY, falls_back())
    assert [one.status for one in verified.findings] == [Status.PASS]
    assert verified.cause == "client_passes"
    assert list(verified.next_steps) == []


def test_what_was_not_played_is_told() -> None:
    """A hole in the matrix is no proof."""
    todo = [HEALTHY.cell, falls_back().cell, cell("cap_flat")]
    verified = _verified(HEALTHY, falls_back(), cells=todo)
    assert list(verified.matrix["verdict"]) == ["ok", "ok", "not played"]
    (found,) = verified.findings
    assert (found.rule, found.status) == ("client-not-tested", Status.UNKNOWN)
    assert "1 of 3 cells" in found.title


def test_what_was_given_up_says_nothing() -> None:
    """A client that ended its process again and again is not tried for ever."""
    died = Outcome(ending=Ending.DIED, started_s=0, ended_s=0)
    why = "Not played: this client had ended its process 24 times before."
    one = replace(_capped(), attempts=[], outcomes=[died], notes=[why])
    row = _verified(HEALTHY, one).matrix.iloc[1]
    assert row["verdict"] == "not played"
    assert row["seen"] == "this client had ended its process 24 times before"


def test_each_case_is_known_again_by_a_fingerprint_of_its_own() -> None:
    """A message about one case must not silence that about another."""
    again = [attempt(401, n, fault="key_unknown_or_deleted") for n in (0, 1)]
    found = _verified(HEALTHY, _capped(), played(cell("key_unknown", "ever"), again)).findings
    assert len(found) == len({one.fingerprint for one in found}) == 2
    assert {one.subject.case for one in found} == {"cap_flat", "key_unknown"}


def test_a_client_that_cannot_be_tested_is_no_client_that_fails() -> None:
    """It never came: that says nothing about its retries."""
    away = replace(
        HEALTHY, attempts=[], outcomes=[Outcome(ending=Ending.RAISED, started_s=0, ended_s=1)]
    )
    verified = _verified(away, _capped())
    assert verified.cause == "client_untested"
    assert verified.findings[0].rule == "client-not-reached"


def test_what_a_client_does_beside_its_calls_is_told_once_a_sentence() -> None:
    """It forked in two cells: one finding."""
    notes = ["It forked its process.", "It started a process."]
    odd = [replace(one, notes=notes) for one in (HEALTHY, falls_back())]
    (found,) = [one for one in _verified(*odd).findings if one.rule == "client-side-effect"]
    assert found.title == "It forked its process (2 of 2 cells)"


def test_each_act_is_told_once_with_its_cases() -> None:
    """Thirty cases, one hook to write."""
    unknown = attempt(401, fault="key_unknown_or_deleted")
    again = played(cell("key_unknown", "ever"), [unknown, replace(unknown, at_s=0.5)])
    steps = _verified(HEALTHY, _capped(), again).next_steps
    assert len(steps) == 1
    assert steps[0].where == "cases cap_flat, key_unknown"


def test_times_are_told_call_by_call() -> None:
    """Sleep and wire, and how long the fallback took."""
    frame = _verified(falls_back()).timings
    (row,) = frame.to_dict("records")
    assert (row["attempts"], row["ended"]) == (3, "text")
    assert row["slept_s"] == pytest.approx(1.58, abs=0.01)
    assert row["total_s"] == pytest.approx(row["slept_s"] + row["wire_s"])
    assert row["fallback_s"] == pytest.approx(1.6, abs=0.01)


def test_a_rehearsed_stop_is_told_in_attempts_seconds_and_pages() -> None:
    """Three answers, five refusals, each sent three times."""
    where = cell("stop_at_cap")
    tries: list[Attempt] = [attempt(200, n, call=n) for n in (1, 2, 3)]
    ends = []
    for n in range(1, 9):
        good = n <= 3
        if not good:
            tries += [
                attempt(429, n + 0.3 * k, call=n, code="API_KEY_QUOTA_EXHAUSTED") for k in (0, 1, 2)
            ]
        ends.append(
            Outcome(
                ending=Ending.TEXT if good else Ending.RAISED,
                started_s=n,
                ended_s=n + (0.02 if good else 0.71),
                text="the cap holds until someone raises it" if good else "",
                call=n,
            )
        )
    (row,) = _verified(played(where, tries, outcomes=ends)).rehearsal.to_dict("records")
    assert (row["stop"], row["limit_usd"], row["code"]) == (
        "cap",
        "0.001",
        "429 API_KEY_QUOTA_EXHAUSTED",
    )
    assert (row["calls"], row["answered"], row["refused"]) == (8, 3, 5)
    assert (row["attempts"], row["attempts_wasted"]) == (18, 10)
    assert row["seconds_wasted"] == pytest.approx(3.5)
    assert (row["pages"], row["pages_wasted"]) == (5, 4)
    assert row["verdict"] == "error"


# JUnit ------------------------------------------------------------------------------------------

# What both common schemas of JUnit's XML take: element → its attributes and its children.
SUITE = ("id", "package", "name", "tests", "failures", "errors", "skipped", "time", "timestamp")
FORM: dict[str, tuple[set[str], list[str]]] = {
    "testsuites": (set(), ["testsuite"]),
    "testsuite": ({*SUITE, "hostname"}, ["properties", "testcase", "system-out", "system-err"]),
    "properties": (set(), ["property"]),
    "property": ({"name", "value"}, []),
    "testcase": ({"name", "classname", "time"}, ["skipped", "failure"]),
    "skipped": ({"message"}, []),
    "failure": ({"type", "message"}, []),
    "system-out": (set(), []),
    "system-err": (set(), []),
}


def _check(element: ET.Element) -> None:
    attributes, children = FORM[element.tag]
    assert set(element.attrib) == attributes, element.tag
    order = [children.index(child.tag) for child in element]
    assert order == sorted(order), element.tag
    for child in element:
        _check(child)


def _suites(seen: Sequence[Played], **more: Any) -> tuple[str, ET.Element]:
    text = _verified(*seen, **more).junit
    return text, ET.fromstring(text)  # noqa: S314 (our own text)


def test_junit_has_the_form_that_servers_read() -> None:
    """A file that the CI server refuses blocks nothing."""
    todo = [HEALTHY.cell, _capped().cell, _following().cell, cell("key_expired")]
    _, root = _suites([HEALTHY, _capped(), _following()], cells=todo)
    _check(root)
    for suite in root:
        tests = suite.findall("testcase")
        assert int(suite.attrib["tests"]) == len(tests)
        assert int(suite.attrib["failures"]) == len(suite.findall("testcase/failure"))
        assert int(suite.attrib["skipped"]) == len(suite.findall("testcase/skipped"))
        assert suite.attrib["time"] == "0"


def test_junit_fails_what_is_an_error_and_not_what_is_a_warning() -> None:
    """A release is blocked by a wrong retry, not by a followed redirect."""
    _, root = _suites([HEALTHY, _capped(), _following()])
    failed = [
        one.attrib["name"] for one in root.iter("testcase") if one.find("failure") is not None
    ]
    assert failed == [_capped().cell.id]
    told = [one.text for one in root.iter("system-out") if one.text]
    assert told == [f"{_following().cell.id}: followed it after 307"]


def test_junit_holds_nothing_that_breaks_it_and_no_secret() -> None:
    """Error classes and codes come from a client's code and a gateway's answers."""
    secret = "sk-" + "a1b2c3d4" * 4
    odd = attempt(429, fault="cap_flat", code=f"<&\x00\ud800 {secret}")
    text, root = _suites([HEALTHY, played(cell("cap_flat"), [odd, replace(odd, at_s=0.5)])])
    _check(root)
    assert secret not in text


def test_a_fallback_does_not_change_what_was_asked_of_a_first_model() -> None:
    """The models of a cell are told apart by name."""
    tries = [attempt(500, fault="status_500"), attempt(200, 0.4, SECOND)]
    one = played(cell("status_500", "once"), tries, Ending.TEXT)
    assert set(_verified(HEALTHY, one).matrix["verdict"]) == {"ok"}
