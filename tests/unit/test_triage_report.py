"""What a triage reports around its verdict: joins, waits, spells, who else, cost, support pack."""

import json
import re
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest
from made_material import START, attempt, billed, material

from runbook_lib import redact
from runbook_lib.analysis import case, triage
from runbook_lib.analysis.around import spell
from runbook_lib.analysis.joins import join
from runbook_lib.analysis.material import Material
from runbook_lib.clock import Window
from runbook_lib.findings import Finding, Grade, Input, Report, Status

CAP = {"code": "API_KEY_QUOTA_EXHAUSTED"}


def made(around: Material, row_number: int = 1, asked: str = "req-1") -> case.Case:
    """The case of the attempt of one line of the log."""
    place = list(around.attempts["row_number"]).index(row_number)
    return case.of_attempts(asked, [around.attempt(place)], around)


def rules(report: Report) -> dict[str, Finding]:
    """The findings of a report by their rule."""
    return {item.rule: item for item in report.findings}


def test_a_join_by_id_says_so() -> None:
    """The second id header is what a usage row stores."""
    around = material([attempt(0)], [billed(0.5, request_id="client:client-1")])
    found = join(around.attempt(0), around)
    assert (found.how, found.cost_usd) == ("id", Decimal("0.01"))


TIMED = {"client_request_id": None, "input_tokens": 100, "output_tokens": 10}


def test_without_an_id_a_row_is_taken_only_when_it_alone_fits() -> None:
    """Time, key, model and tokens narrow it; a guess between two is never made."""
    one = material([attempt(0, **TIMED)], [billed(0.6), billed(0.6, model="other")])
    assert join(one.attempt(0), one).how == "window ±2 s"
    two = material([attempt(0, **TIMED)], [billed(0.6), billed(0.7)])
    found = join(two.attempt(0), two)
    assert (found.row, found.how) == (None, "none")
    assert "2 usage rows fit" in found.note


@pytest.mark.parametrize(
    "off",
    [
        pytest.param({"key_name": "other"}, id="key"),
        pytest.param({"input_tokens": 101}, id="tokens"),
        pytest.param({"model": "other"}, id="model"),
        pytest.param({"duration_ms": 9000.0}, id="time"),
    ],
)
def test_a_row_that_differs_is_not_joined(off: dict[str, Any]) -> None:
    """A near row of another request must not lend its cost."""
    around = material([attempt(0, **TIMED)], [billed(0.6, **off)])
    assert join(around.attempt(0), around).how == "none"


def test_a_window_join_allows_for_the_clients_clock() -> None:
    """A client clock that is a minute behind must not hide its rows."""
    known = [attempt(n, client_request_id=f"c{n}") for n in range(10, 16)]
    rows = [billed(n + 60.5, request_id=f"client:c{n}") for n in range(10, 16)]
    around = material([attempt(0, **TIMED), *known], [*rows, billed(60.6)])
    assert around.skew_s == pytest.approx(60.0)
    assert join(around.attempt(0), around).how == "window ±2 s"
    assert rules(triage.one(made(around, 2)))["clock-skew"].value == pytest.approx(60.0)


def test_a_refused_request_costs_nothing() -> None:
    """That no row exists is no gap in the data."""
    around = material([attempt(0, 429, **CAP)], [billed(0.6)])
    assert made(around).cost_usd == 0


def call_at_the_cap() -> Material:
    """Three attempts of one call, each refused for good, beside another key that works."""
    tries = [attempt(s, 429, call_id="c", attempt=n, **CAP) for n, s in enumerate((0, 1, 3), 1)]
    return material([*tries, attempt(2, key_name="other")])


def test_attempts_of_a_call_stand_together_with_their_waits() -> None:
    """The table of T4: number, ids, status, code, wait, model, cost, and whether it could help."""
    frame = triage.one(made(call_at_the_cap())).exhibits["attempts"].frame
    assert list(frame["attempt"]) == [1, 2, 3]
    assert list(frame["wait_ms"].fillna(-1)) == [-1, 500.0, 1500.0]
    assert list(frame["wrong_retry"]) == [False, True, True]
    assert set(frame["cause"]) == {"key_cap_reached"}


def test_attempts_that_could_not_help_are_counted() -> None:
    """At a spent cap two of three attempts were wasted."""
    report = triage.one(made(call_at_the_cap()))
    assert (rules(report)["wasted-retries"].value, report.verdict.retry) == (2, "never")


def test_a_fallback_after_a_final_answer_is_not_wasted() -> None:
    """Another key or model is another question."""
    rows = [attempt(0, 429, call_id="c", **CAP), attempt(1, call_id="c", key_name="other")]
    assert "wasted-retries" not in rules(triage.one(made(material(rows))))


def test_the_verdict_stands_on_rows_and_names_one_act() -> None:
    """Subject, fact and time; the row and field; what to do, where, who."""
    report = triage.one(made(call_at_the_cap()))
    main = rules(report)["request-failed"]
    assert "prod-web" in main.title
    assert "05:30:00 UTC" in main.title
    assert main.evidence[0].source == "calls.jsonl"
    step = report.next_steps.steps[0]
    assert step.text
    assert step.where
    assert step.who


def outage(later: list[dict[str, Any]] | None = None) -> Material:
    """Five minutes in which every call of two keys fails."""
    rows = [
        attempt(20 * n, 401, code="INVALID_API_KEY", key_name=key)
        for n in range(15)
        for key in ("a", "b")
    ]
    return material([attempt(-60, key_name="a"), *rows, *(later or [])])


def test_the_blast_radius_counts_keys_models_and_share() -> None:
    """Same code × key × model: how many, of how many, first and last."""
    report = triage.one(made(outage(), 2))
    frame = report.exhibits["blast_radius"].frame
    assert list(frame["failed"]) == [15, 15]
    assert list(frame["share"]) == [1.0, 1.0]
    assert frame["first"].min() == pd.Timestamp(START)
    assert rules(report)["blast-radius"].value == 30
    assert report.exhibits["blast_by_minute"].frame["failed"].sum() == 30


def test_a_failure_that_reaches_the_end_of_the_data_goes_on() -> None:
    """Nobody has seen it end."""
    assert rules(triage.one(made(outage(), 2)))["failure-goes-on"].status is Status.FAIL


@pytest.mark.parametrize(
    "second", [pytest.param(400, id="inside"), pytest.param(9000, id="beyond-the-window")]
)
def test_a_success_after_the_last_failure_ends_it(second: float) -> None:
    """Also when it lies beyond the hours searched around the request."""
    report = triage.one(made(outage([attempt(second, key_name="a")]), 2))
    assert rules(report)["failure-over"].status is Status.PASS
    assert "failure-goes-on" not in rules(report)


def test_whether_it_is_over_is_unknown_when_nobody_asks_any_more() -> None:
    """No call since the failure, though the data go on: it cannot be told."""
    around = outage([attempt(9000, key_name="stranger")])
    assert rules(triage.one(made(around, 2)))["failure-goes-on"].status is Status.UNKNOWN


def test_two_spells_hours_apart_are_two_failures() -> None:
    """The onset is that of this failure, not of yesterday's."""
    rows = [attempt(s, 401, code="INVALID_API_KEY") for s in (-6000, -5990, 0, 10)]
    one = made(material(rows), 3)
    found = spell(one.attempt, one.found, one.material)
    assert found is not None
    assert found.onset == pd.Timestamp(START)


def test_what_changed_before_is_a_suspect_and_never_a_cause() -> None:
    """Acts on keys in the hour before the onset are listed, with an open status."""
    acts = [
        {"ts": START - pd.Timedelta(minutes=m), "action": "keys.update", "key_name": "prod-web",
         "source_file": "audit.csv", "row_number": m}
        for m in (5, 90)
    ]  # fmt: skip
    report = triage.one(made(material([attempt(0, 403, code="API_KEY_EXPIRED")], audit=acts)))
    assert list(report.exhibits["changes"].frame["row_number"]) == [5]
    suspect = rules(report)["changed-before"]
    assert (suspect.status, suspect.grade) == (Status.UNKNOWN, Grade.INCONCLUSIVE)


@pytest.mark.parametrize(
    ("loaded", "attempts"),
    [pytest.param(True, 5, id="single-attempts"), pytest.param(False, 47, id="roll-up-only")],
)
def test_the_share_is_of_the_attempts_while_it_failed(*, loaded: bool, attempts: int) -> None:
    """Not of whole minutes: two seconds of failures in a busy minute are most, not a tenth."""
    before = [attempt(s) for s in range(10, 30)]
    failing = [attempt(30 + s / 2, 503, code="api_error") for s in range(4)]
    after = [attempt(s) for s in range(33, 55)]
    around = material([*before, *failing, attempt(31.2), *after])
    span = around.window if loaded else None
    around = replace(around, loaded=span)
    report = triage.one(made(around, 21))
    row = report.exhibits["blast_radius"].frame.iloc[0]
    assert row["failed"] == 4
    assert row["attempts"] == attempts
    assert "05:30:30 UTC to 05:30:31 UTC" in report.exhibits["blast_radius"].note


def test_whole_minutes_between_are_counted_from_the_roll_up() -> None:
    """Hours of failures need no single attempts but those at both ends."""
    rows = [
        attempt(15 * n, 401 if n % 2 else 200, code="x" if n % 2 else None) for n in range(1, 40)
    ]
    around = material(rows)
    around = replace(around, loaded=around.window)
    frame = triage.one(made(around)).exhibits["blast_radius"].frame
    assert (frame["failed"].sum(), frame["attempts"].sum()) == (20, 39)


def test_times_are_told_in_the_asked_zone() -> None:
    """Nothing says UTC to who asked for another zone, but where it stands beside."""
    around = replace(outage([attempt(400, key_name="a")]), timezone="Asia/Shanghai")
    one = triage.one(made(around, 2))
    quiet = triage.quiet(Window(start=START, end=START + pd.Timedelta(hours=1)), around)
    two = [made(around, n, f"req-{n}") for n in (2, 3)]
    for report in (one, quiet, triage.many(two, ["lost"], around)):
        told = [report.verdict.title, *(item.title for item in report.findings)]
        told += [item.note for item in report.exhibits.values()]
        told += [text for pair in report.summary for text in pair]
        assert not [text for text in told if "UTC" in text or re.search(r"\dZ\b", text)]
        assert any("CST" in text for text in told)
    pack = one.attachments[0].text
    assert "13:30:00 CST (2026-11-24 05:30:00 UTC)" in pack


def test_a_success_says_what_failed_in_the_window() -> None:
    """An empty picture tells nothing: did nothing fail, or was nothing looked at?"""
    calm = triage.one(made(material([attempt(n) for n in range(5)])))
    assert "Nothing failed in the window" in calm.exhibits["minutes"].note
    rows = [attempt(0), attempt(60, 401, code="x"), attempt(61, 401, code="x", key_name="b")]
    note = triage.one(made(material(rows))).exhibits["minutes"].note
    assert "2 other attempts failed, 1 of them on its key" in note


def test_nothing_is_to_be_done_about_a_success() -> None:
    """No place and no person for an act that is none."""
    report = triage.one(made(material([attempt(n) for n in range(5)])))
    (step,) = report.next_steps.steps
    assert (step.text, step.where, step.who) == ("Nothing to do.", "", "")


def test_below_several_requests_each_section_names_its_own() -> None:
    """Otherwise the attempts of one look like those of all."""
    around = outage()
    cases = [made(around, n, f"req-{n}") for n in (2, 3)]
    report = triage.many(cases, [], around)
    own = [item for name, item in report.exhibits.items() if name not in ("causes", "ids")]
    assert all(item.title.endswith("(request req-2)") for item in own)
    assert ("Shown in the sections below", "request req-2, first of the commonest cause") in list(
        report.summary
    )
    titles = [item.title for item in report.findings]
    assert len(titles) == len(set(titles))
    assert all("key" in title.lower() for title in titles)
    assert "req-2, req-3" in report.attachments[0].text


def test_a_search_that_found_nothing_leaves_a_support_pack() -> None:
    """Whoever is asked next must see what was searched already, and in which exports."""
    held = [
        Input(name="host-a/calls.jsonl", kind="call log", sha256="ab" * 32, rows=7, rejected=1,
              first_at=START, last_at=START)
    ]  # fmt: skip
    report = triage.nowhere(["req-x", CANARY], material([]), held)
    packs = {item.name: item.text for item in report.attachments}
    assert set(packs) == {"support-pack.md", "support-pack.json"}
    assert "| host-a/calls.jsonl | call log | 7 | 1 |" in packs["support-pack.md"]
    assert "req-x" in packs["support-pack.md"]
    assert "both id headers" in packs["support-pack.md"]
    assert json.loads(packs["support-pack.json"])["searched"][0]["rows"] == 7
    assert not any(redact.has_secret(text) for text in packs.values())
    window = Window(start=START, end=START + pd.Timedelta(hours=1))
    quiet = triage.quiet(window, material([attempt(0)]), held)
    assert "outcome of every attempt" in quiet.attachments[0].text


def test_a_cut_stream_that_was_billed_is_money_lost() -> None:
    """The caller got no whole answer and paid for the input all the same."""
    cut = attempt(0, outcome="broken", stream=True, stream_end="truncated")
    report = triage.one(made(material([cut], [billed(0.5, request_id="client:client-1")])))
    lost = rules(report)["billed-failure"]
    assert (lost.impact_usd, lost.grade) == (Decimal("0.01"), Grade.CONFIRMED)


def test_answers_whose_second_id_was_not_logged_are_told() -> None:
    """Without it no usage row can be joined by id."""
    report = triage.one(made(material([attempt(0, 429, client_request_id=None, **CAP)])))
    assert rules(report)["ids-not-logged"].value == 1


def test_a_healthy_request_passes() -> None:
    """Nothing is accused where nothing failed."""
    report = triage.one(made(material([attempt(n) for n in range(5)])))
    assert (report.verdict.cause, report.worst()) == ("success", None)


CANARY = "sk-CANARY" + "0123456789abcdef"


def test_the_support_pack_holds_no_secret_and_nothing_live() -> None:
    """It is pasted into tickets: ids, times and codes, redacted, in Markdown and JSON."""
    evil = f"{CANARY} [x](javascript:alert(1)) <img src=x onerror=alert(1)>\x1b[2J"
    around = material([attempt(0, 429, model=evil, request_ids=f"id,{CANARY}", **CAP)])
    packs = {item.name: item.text for item in triage.one(made(around, asked=CANARY)).attachments}
    assert set(packs) == {"support-pack.md", "support-pack.json"}
    for text in packs.values():
        assert not redact.has_secret(text)
        assert "\x1b" not in text
    assert "<img" not in packs["support-pack.md"]
    assert "[x](" not in packs["support-pack.md"]
    assert len(json.loads(packs["support-pack.json"])["handover"]) == 5


def test_an_id_that_is_nowhere_names_the_exports_to_fetch() -> None:
    """Inconclusive and partial, never a guess."""
    report = triage.nowhere(["req-x"], material([attempt(0)]))
    assert report.verdict.grade is Grade.INCONCLUSIVE
    assert report.coverage.partial == ["1 id found nowhere"]
    assert "usage export" in report.next_steps.steps[0].text
    assert set(report.exhibits) == set(triage.one(made(material([attempt(0)]))).exhibits)


def test_missing_data_are_named() -> None:
    """What could not be looked at is said beside the verdict."""
    gaps = " ".join(triage.one(made(material([attempt(0, 429, **CAP)]))).coverage.gaps)
    for word in ("usage rows", "keys.csv", "audit"):
        assert word in gaps


def test_several_ids_share_a_verdict_only_where_they_agree() -> None:
    """Several causes give no single one; side and rule are claimed only where all share them."""
    around = material([
        attempt(0, 429, **CAP), attempt(1, 429, **CAP), attempt(2, 503, code="api_error"),
    ])  # fmt: skip
    cases = [made(around, n, f"req-{n}") for n in (1, 2, 3)]
    report = triage.many(cases, ["lost"], around)
    verdict = report.verdict
    assert (verdict.cause, verdict.code, verdict.domain, verdict.retry) == (None, None, None, None)
    assert "one by one" in report.next_steps.steps[0].text
    assert list(report.exhibits["causes"].frame["ids"]) == [2, 1]
    assert list(report.exhibits["ids"].frame["id"]) == ["req-1", "req-2", "req-3", "lost"]
    alike = triage.many(cases[:2], [], around).verdict
    assert (alike.cause, alike.domain, alike.retry) == ("key_cap_reached", "key", "never")


def test_every_finding_can_be_written_down() -> None:
    """`findings.json` holds text, numbers and nothing else, and is the same every time."""
    around = outage([attempt(400, key_name="a")])
    first, second = (json.dumps(triage.one(made(around, 2)).to_dict()) for _ in range(2))
    assert first == second
