"""The judgement of recorded traffic and of the sample: what was planted is found, nothing else."""

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from runbook_lib import sources
from runbook_lib.analysis.retries import Judged, judge_log
from runbook_lib.runbooks.logged import logged as asked
from runbook_lib.runbooks.shared import held
from runbook_lib.session import open_store
from runbook_lib.store import Store


def wrong(made: Judged) -> dict[tuple[str, str | None], int]:
    """Rule and key → attempts, of the findings that fail."""
    return {
        (item.rule, item.subject.key_name): item.value
        for item in made.findings
        if item.status == "fail" and isinstance(item.value, int)
    }


@pytest.fixture(scope="module")
def recorded(gateway: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judged]:
    """The judgement of the recorded folder."""
    folder = tmp_path_factory.mktemp("lake")
    names = ("calls/calls.jsonl", "usage_rows.json.gz", "keys.csv")
    with Store(folder, read_only=False) as store, store.staging() as staging:
        store.add([one for name in names for one in sources.read(gateway / name, staging)])
    with Store(folder) as opened:
        yield judge_log(*asked(opened, held(opened)))


@pytest.mark.shared
def test_a_recorded_run_shows_its_planted_mistakes_and_no_others(
    recorded: Judged, gateway: Path
) -> None:
    """Counts are those of the truth: attempts beyond the first of each call of the incident."""
    planted = {
        item["id"]: item["counts"]
        for item in json.loads((gateway / "truth.json").read_text())["incidents"]
    }
    again = {name: one["attempts"] - one["calls"] for name, one in planted.items()}
    assert wrong(recorded) == {
        ("silent-failure", "prod-web"): planted["D07"]["attempts"],
        ("silent-failure", "dev-anna"): planted["D01"]["attempts"],
        ("sticky-retried", "staging-web"): again["D13"],
        ("sticky-retried", "ci-nightly"): again["D16"],
        ("resend-may-bill-twice", "prod-batch"): 2 * planted["D09"]["calls"],
        ("missing-retry", "prod-mobile"): 33,
        ("model-alias", "prod-batch"): planted["D22"]["attempts"],
    }
    assert (recorded.calls, recorded.attempts) == (5706, 6971)


@pytest.mark.shared
def test_a_recorded_fallback_is_counted_and_costs_what_was_billed(
    recorded: Judged, gateway: Path
) -> None:
    """The outage moved 78 calls to the other key; their rows are those of that key."""
    truth = json.loads((gateway / "truth.json").read_text())["incidents"]
    fallback = next(item for item in truth if item["id"] == "D04")
    frame = recorded.exhibits["fallback_calls"].frame
    assert set(fallback["call_ids"]) <= set(frame["call_id"])
    assert len(frame) == fallback["counts"]["attempts"]
    assert sum(frame["cost_usd"], Decimal(0)) == Decimal(fallback["billed_usd"])
    assert set(frame["cost_from"]) == {"row"}
    assert frame["extra_usd"].notna().all()


@pytest.mark.shared
def test_what_recorded_timeouts_cost_is_what_their_rows_were_billed(recorded: Judged) -> None:
    """All 126 abandoned attempts have a row nobody logged; a third of them is one too many."""
    frame = recorded.exhibits["wrong_retries"].frame
    timeouts = frame[frame["rule"] == "resend-may-bill-twice"]
    assert timeouts["cost_usd"].notna().all()
    assert set(timeouts["join"]) == {"window ±2 s"}


@pytest.mark.long
def test_the_sample_shows_what_is_planted_in_it() -> None:
    """Ten weeks of ordinary retries accuse nobody; the planted ones are all there."""
    with open_store() as store:
        made = judge_log(*asked(store, held(store)))
    got = wrong(made)
    assert got.keys() == {
        ("silent-failure", "prod-web"),
        ("silent-failure", "prod-mobile"),
        ("silent-failure", "dev-anna"),
        ("sticky-retried", "prod-docs"),
        ("sticky-retried", "ci-nightly"),
        ("sticky-retried", "dev-agent"),
        ("resend-may-bill-twice", "prod-batch"),
        ("missing-retry", "prod-web"),
        ("missing-retry", "partner-web"),
        ("missing-retry", "dev-anna"),
        ("model-alias", "prod-batch"),
    }
    fallbacks = [item for item in made.findings if item.rule == "client-fallback"]
    assert {item.subject.key_name for item in fallbacks} == {"prod-assistant"}
    failed = [item for item in made.findings if item.status == "fail"]
    assert all(item.evidence for item in failed if item.rule != "retry-amplification")
