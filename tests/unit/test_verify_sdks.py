"""The official SDKs with their defaults show their known faults, and no others.

The table is what they were measured to do on a loopback socket, case by case: openai 3.54,
anthropic 2.12. A new version that behaves otherwise fails here, and the table is then corrected.
"""

import pytest
from verify_kit import CASES

from runbook_lib.verify import cells, verdicts
from runbook_lib.verify.play import find_client, play
from runbook_lib.verify.verdicts import Verified

pytestmark = pytest.mark.long

SLEEPS = {"clock_behind", "ip_blocked", "retry_after_61", "retry_after_90", "retry_after_120"}
SLEEPS_LONG = {
    *("retry_after_3600", "retry_after_86400", "retry_after_277403", "retry_after_1e400"),
    *("retry_after_inf", "retry_after_503_3600", "retry_after_503_86400", "platform_quota"),
}

KNOWN: dict[str, set[str]] = {
    "no-fallback": {""},
    "sleeps-through": {*SLEEPS, "deadline_in_backoff"},
    "over-deadline": {"deadline_in_backoff"},
    "hangs": {"no_answer", "slow_drip"},
    "wrong-retry": {
        *("cap", "cap_as_quota", "cap_flat", "cap_in_type", "cap_nested", "stop_at_cap"),
        *("key_window", "subscription_window", "stop_at_window"),
        *("cap_after_failures", "cap_after_rate_limit", "stream_cap_refused"),
        *("status_501", "status_505", "tls_fails", "plain_on_tls"),
    },
    "too-many-attempts": {
        *("status_504", "page_524", "no_such_host"),
        *("reset_in_headers", "cut_in_headers", "reset_in_body", "cut_in_body"),
        *("missing_last_chunk", "content_length_too_long"),
        *("garbage", "bad_status_line", "bad_chunk_size", "huge_header", "many_headers"),
        "wrong_encoding",
    },
    "silent-failure": {
        *("html_body", "wrong_base_path", "error_in_200", "cap_in_200"),
        *("empty_object", "json_null", "json_list", "no_choices"),
        *("stream_empty", "stream_keepalives_only", "stream_html", "stream_no_end"),
    },
    "follows-redirect": {f"redirect_{status}" for status in (301, 302, 303, 307, 308)},
    "retry-storm": {"total_outage"},
    "no-jitter": {"herd"},
}
"""Rule → cases that both show."""

OWN: dict[str, dict[str, set[str]]] = {
    # chat completions break silently, so that only openai's SDK can pass it; it shows the last id
    "openai": {
        "silent-failure": {"stream_breaks"},
        "ids-lost": {"ids_of_all_attempts", "ids_of_failed_attempts"},
    },
    # obeys a wait of any length, and skips an error event without an `event:` line
    "anthropic": {
        "sleeps-through": SLEEPS_LONG,
        "silent-failure": {"stream_error_mid_unnamed"},
    },
}

AMPLIFIED = 3.0


@pytest.fixture(scope="module", params=["openai", "anthropic"])
def runs(request: pytest.FixtureRequest) -> tuple[str, list[Verified]]:
    """Two whole verifications of one SDK with the same seed."""
    spec = find_client(request.param)
    cases = list(CASES.values())
    todo = cells.cells(cases, spec)
    seen = [play(spec, todo, seed=3) for _ in range(2)]
    return request.param, [
        verdicts.judge_all(request.param, one, cases, cells=todo, seed=3) for one in seen
    ]


def test_an_sdk_shows_its_known_faults_and_no_others(runs: tuple[str, list[Verified]]) -> None:
    """A verifier that invents one, or misses one, cannot be believed about a client of yours."""
    name, (verified, _) = runs
    found: dict[str, set[str]] = {}
    for row in verified.deviations.itertuples():
        found.setdefault(row.rule.removeprefix("client-"), set()).add(row.case)
    for finding in verified.findings:
        if finding.rule not in set(verified.deviations["rule"]):
            found.setdefault(finding.rule.removeprefix("client-"), set()).add("")
    own = OWN[name]
    assert found == {rule: KNOWN.get(rule, set()) | own.get(rule, set()) for rule in {*KNOWN, *own}}


def test_the_same_seed_gives_the_same_bytes(runs: tuple[str, list[Verified]]) -> None:
    """Two runs are compared line by line in a release."""
    _, (first, second) = runs
    assert first.matrix.to_csv() == second.matrix.to_csv()
    assert first.junit == second.junit


def test_its_numbers_are_those_that_were_measured(runs: tuple[str, list[Verified]]) -> None:
    """Three attempts a call at a total outage; a sticky refusal costs 1.1 to 1.5 s."""
    _, (verified, _) = runs
    numbers = {(row.metric, row.scope): row for row in verified.metrics.itertuples()}
    outage = [row.value for key, row in numbers.items() if key[1].startswith("total outage")]
    assert outage == [AMPLIFIED]
    assert numbers["retry_after_undercut", "all"].value == 0
    assert numbers["missing_retries", "all"].value == 0
    times = verified.timings.set_index("cell")["slept_s"]
    capped = times[[cell for cell in times.index if cell.startswith("cap_flat/")]]
    assert capped.min() >= 1.1
    rehearsed = verified.rehearsal
    assert set(rehearsed["stop"]) == {"cap", "5 h window", "balance"}
    capped_rows = rehearsed[rehearsed["stop"] == "cap"]
    assert (capped_rows["attempts_wasted"] == 2 * capped_rows["refused"]).all()
    assert (rehearsed[rehearsed["stop"] == "balance"]["attempts_wasted"] == 0).all()
