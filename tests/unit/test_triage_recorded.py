"""Triage against the truth of recorded incidents: a real gateway, real clients, planted causes."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from runbook_lib.runbooks.incidents import triage
from runbook_lib.store import Filter, Store

pytestmark = pytest.mark.shared

ANSWERED = {"runaway_loop", "client_fallback", "model_alias", "unlogged_use"}
"""Incidents that show in no failed attempt: they are found too, by their own ids."""


@pytest.fixture(scope="module")
def store(recorded_store: Store) -> Store:
    """The whole recorded folder, taken in."""
    return recorded_store


@pytest.fixture(scope="module")
def truth(gateway: Path) -> dict[str, dict[str, Any]]:
    """The planted incidents by id."""
    listed = json.loads((gateway / "truth.json").read_text())["incidents"]
    return {incident["id"]: incident for incident in listed}


def test_nothing_is_lost_or_doubled(store: Store) -> None:
    """Four logs, five exports and three lists of one run are one run."""
    usage = store.roll_up("usage", [])
    assert int(usage["requests"].sum()) == 4829
    assert sum(usage["cost_usd"], Decimal(0)) == Decimal("27.8514182575")
    assert int(store.roll_up("calls", [])["attempts"].sum()) == 6971


def ids_of(incident: dict[str, Any], *, most: int = 5) -> list[str]:
    """Ids the truth names for an incident; of a fallback only those of its attempts."""
    named = incident["request_ids"]
    ids = [*named["x_request_id"][:most], *named["x_client_request_id"][:most]]
    if incident["correct_triage"]["name"] != "client_fallback":
        ids += incident["call_ids"][:most]
    return list(dict.fromkeys(ids))


@pytest.mark.parametrize("whole", [False, pytest.param(True, marks=pytest.mark.long)])
@pytest.mark.parametrize("number", range(1, 23))
def test_every_incident_gets_its_cause(
    number: int, store: Store, truth: Any, *, whole: bool
) -> None:
    """The verdict of every kind of id is the cause, the side and the rule that the truth names.

    The short run asks one id of each incident, of another kind from one to the next; all ids
    at once are asked below.
    """
    incident = truth[f"D{number:02}"]
    right = incident["correct_triage"]
    kinds = ids_of(incident, most=1)
    for request_id in ids_of(incident, most=2) if whole else [kinds[number % len(kinds)]]:
        found = triage(store, request_id).verdict
        got = (found.cause, found.domain, found.retry)
        assert got == (right["name"], right["domain"], right["retry"]), request_id


def test_many_ids_are_grouped_by_cause(store: Store, truth: Any) -> None:
    """All ids at once give each the cause it has alone, and one table of causes."""
    wanted = {
        request_id: incident["correct_triage"]["name"]
        for incident in truth.values()
        for request_id in ids_of(incident)
        if incident["correct_triage"]["name"] not in ANSWERED
    }
    report = triage(store, [*wanted, "never-seen"])
    table = report.exhibits["ids"].frame.set_index("id")["cause"]
    assert {name: table[name] for name in wanted} == wanted
    assert table["never-seen"] == "nowhere"
    assert report.coverage.partial == ["1 id found nowhere"]
    assert report.exhibits["causes"].frame["ids"].sum() == len(wanted)


def test_two_ids_of_one_answer_are_one_request(store: Store) -> None:
    """SDKs show the gateway's id and the upstream's joined by a comma."""
    rows = store.rows("calls", Filter(failed=False), limit=50).frame
    joined = next(ids for ids in rows["request_ids"] if ids and "," in ids)
    alone = triage(store, joined.split(",")[0])
    both = triage(store, joined.replace(",", ", "))
    assert both.verdict == alone.verdict
    assert set(both.exhibits) == set(alone.exhibits)


def test_a_window_is_triaged_like_its_ids(store: Store) -> None:
    """Without any id the failures of a window are grouped by cause."""
    report = triage(store, start="2026-11-24T05:34:00Z", end="2026-11-24T05:34:30Z")
    causes, ids = (report.exhibits[name].frame for name in ("causes", "ids"))
    assert causes["cause"].iloc[0] == "upstream_outage"
    assert set(causes["cause"]) <= {"upstream_outage", "client_timeout"}
    assert sum(causes["cost_usd"].dropna()) == sum(ids["cost_usd"].dropna())


def test_an_outage_counts_its_own_failures_alone(store: Store, truth: Any) -> None:
    """What fails minutes later for another reason belongs to another spell."""
    report = triage(store, truth["D03"]["request_ids"]["x_request_id"][0])
    (hit,) = [item for item in report.findings if item.rule == "blast-radius"]
    assert hit.value == truth["D03"]["counts"]["attempts"]


def test_a_leak_is_counted_to_the_row(store: Store, truth: Any) -> None:
    """Rows at the edge of what was loaded have their attempts before it: nobody is accused."""
    for request_id in truth["D20"]["request_ids"]["x_client_request_id"]:
        report = triage(store, request_id)
        (lost,) = [item for item in report.findings if item.rule == "billed-not-logged"]
        assert lost.value == truth["D20"]["usage_rows"]
        assert lost.impact_usd == Decimal(truth["D20"]["billed_usd"])


def test_a_window_without_failures_is_a_success(store: Store) -> None:
    """A healthy hour is an answer; an hour nobody logged is not."""
    quiet = triage(store, start="2026-11-24T05:31:41Z", end="2026-11-24T05:31:44Z")
    assert (quiet.verdict.cause, quiet.coverage.partial) == ("success", [])
    assert quiet.worst() is None
    blank = triage(store, start="2026-10-01T00:00:00Z", end="2026-10-02T00:00:00Z")
    assert blank.verdict.cause == "unknown"
    assert blank.coverage.partial


def test_same_question_same_bytes(store: Store, truth: Any) -> None:
    """Nothing of the clock or the order of the machine reaches the answer."""
    ids = truth["D10"]["request_ids"]["x_request_id"]

    def answer() -> str:
        return json.dumps(triage(store, ids, now="2026-11-24T06:00:00Z").to_dict(), sort_keys=True)

    assert answer() == answer()


def test_the_wasted_attempts_of_a_spent_cap_are_named(store: Store, truth: Any) -> None:
    """The report names the cap, the attempts the SDK wasted, and the step to take."""
    report = triage(store, truth["D13"]["request_ids"]["x_request_id"][0])
    rules = {item.rule: item for item in report.findings}
    assert rules["wasted-retries"].value == 2
    assert "cap" in report.next_steps.steps[0].text
    assert {"request-failed", "blast-radius", "failure-over"} <= set(rules)


@pytest.mark.usefixtures("sockets_blocked")
def test_files_are_enough(store: Store, truth: Any) -> None:
    """Triage needs no network at all."""
    found = triage(store, truth["D02"]["request_ids"]["x_request_id"][0])
    assert found.verdict.grade == "confirmed"


def test_the_raised_cap_explains_the_recovery_by_its_keys_name(store: Store, truth: Any) -> None:
    """The audit log names the key by a number alone; 14 other keys were made in the same hour."""
    report = triage(store, ids_of(truth["D13"])[0], timezone="Asia/Shanghai")
    frame = report.exhibits["changes"].frame
    ours = frame[frame["whose"] == "this key"]
    raised = ours[ours["what"] == "keys.update"]
    assert list(raised["subject"]) == ["staging-web"]
    assert list(raised["when"]) == ["may explain its end"]
    assert list(frame["whose"].head(len(ours))) == ["this key"] * len(ours)
    (over,) = [item for item in report.findings if item.rule == "failure-over"]
    assert "after keys.update of staging-web (quota: 10) at 13:40:26 CST" in over.title


def test_a_rotation_names_both_keys(store: Store, truth: Any) -> None:
    """The new key and the deletion of the old one are what the request has to do with."""
    frame = triage(store, ids_of(truth["D05"])[0]).exhibits["changes"].frame
    near = frame[frame["whose"].isin(["this key", "its successor"])]
    told = set(zip(near["what"], near["subject"], strict=True))
    assert {("keys.create", "prod-reports-v2"), ("keys.delete", "prod-reports")} <= told
