"""The audit of pairs in recorded traffic: a fallback that worked, and a name that is an alias."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pair_kit import NOW
from test_pair_audit import RULES

from runbook_lib import sources
from runbook_lib.analysis.pair import Pair, audit
from runbook_lib.findings import Grade, Status
from runbook_lib.runbooks.paired import paired
from runbook_lib.runbooks.shared import held
from runbook_lib.store import Store


@pytest.fixture(scope="module")
def recorded(gateway: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """The recorded folder with its key inventory and live answers, taken in."""
    folder = tmp_path_factory.mktemp("lake")
    named = ("calls/calls.jsonl", "usage_rows.json.gz", "keys.csv", "answers")
    files = [
        path
        for name in named
        for path in (sorted((gateway / name).iterdir()) if name == "answers" else [gateway / name])
    ]
    with Store(folder, read_only=False) as store, store.staging() as staging:
        store.add([one for path in files for one in sources.read(path, staging)])
    with Store(folder) as opened:
        yield opened


@pytest.mark.shared
@pytest.mark.long
def test_a_recorded_fallback_that_worked_is_told_as_one(recorded: Store) -> None:
    """78 calls moved in the outage, to another key, group and vendor; who answered agrees."""
    window = held(recorded)
    assert window is not None
    keys = {"primary_key": "prod-assistant", "fallback_key": "prod-assistant-oai"}
    pair = Pair(primary="claude-sonnet-4-6", fallback="gpt-5.4", **keys)
    found = {item.rule: item for item in audit(paired(recorded, pair, window, window.end)).findings}
    passed = {rule for rule, item in found.items() if item.status is Status.PASS}
    assert passed >= RULES - {
        *("fallback-same-balance", "fallback-lacks-tools", "fallback-lacks-schema"),
        *("fallback-lacks-vision", "fallback-cap-short", "fallback-balance-short"),
    }
    who = found["fallback-answered-by-other"]
    assert (who.value, who.expected, who.grade) == (78, 78, Grade.CONFIRMED)
    cap = found["fallback-cap-short"]
    assert cap.title.startswith("The cap has $19.45 left")
    assert (cap.status, cap.grade) == (Status.FAIL, Grade.LIKELY)


@pytest.mark.shared
@pytest.mark.long
def test_a_recorded_alias_is_no_proof_of_the_model_asked(recorded: Store) -> None:
    """The group answers `summary-small` with another model, every time."""
    window = held(recorded)
    assert window is not None
    pair = Pair(primary="gpt-5.4-mini", fallback="summary-small", primary_key="prod-batch")
    found = {item.rule: item for item in audit(paired(recorded, pair, window, NOW)).findings}
    who = found["fallback-answered-by-other"]
    assert (who.status, who.value, who.unit) == (Status.FAIL, 250, "answers, of 250")
    assert found["fallback-same-key"].status is Status.FAIL
