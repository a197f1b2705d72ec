"""A recorded call log held against what a correct client does: wrong, missing, silent, dear."""

from decimal import Decimal

import pandas as pd
import pytest
from logged_kit import (
    BUSY,
    CAP,
    OK,
    WINDOW,
    broken,
    call,
    failing,
    judge,
    logged,
    refused,
    timed_out,
)
from made_material import START, attempt, billed

from runbook_lib import findings
from runbook_lib.analysis.retries import Judged, judge_log

WRONG = [
    pytest.param([refused(429, **CAP)] * 3, "sticky-retried", 2, 3, id="a cap, twice more"),
    pytest.param([refused(429, **WINDOW)] * 2, "sticky-retried", 1, 2, id="a key's window"),
    pytest.param(
        [refused(429, **BUSY, retry_after_s=1.0), refused(429, **CAP), OK],
        "sticky-retried",
        1,
        1,
        id="sticky after a rate limit",
    ),
    pytest.param(
        [refused(401, code="INVALID_API_KEY")] * 2, "wasted-retries", 1, 2, id="a bad key"
    ),
    pytest.param([refused(404, code="model_not_found"), OK], "wasted-retries", 1, 1, id="404"),
    pytest.param(
        [refused(400, code="invalid_request_error"), {"model": "gpt-5-mini"}],
        "wasted-retries",
        1,
        1,
        id="falls back on a malformed request",
    ),
    pytest.param(
        [refused(403, code="API_KEY_EXPIRED"), refused(403, model="gpt-5-mini", **CAP)],
        "wasted-retries",
        1,
        2,
        id="falls back on the same dead key",
    ),
    pytest.param(
        [refused(403, code="INSUFFICIENT_BALANCE"), {"model": "o", "key_name": "other"}],
        "wasted-retries",
        1,
        1,
        id="falls back within an empty account",
    ),
    pytest.param(
        [refused(429, **CAP), {"model": "gpt-5-mini"}],
        "wasted-retries",
        1,
        0,
        id="falls back on the capped key",
    ),
    pytest.param(
        [refused(429, code="rate limit exceeded", retry_after_s=5.0), OK],
        "wait-too-short",
        1,
        1,
        id="1.5 s where 5 s were asked",
    ),
    pytest.param(
        [refused(503, **BUSY), {"ts": START + pd.Timedelta(seconds=0.52)}],
        "wait-too-short",
        1,
        1,
        id="at once after a 503",
    ),
    pytest.param([broken(), OK], "resent-after-stream", 1, 1, id="after a streamed byte"),
    pytest.param([timed_out()] * 3, "resend-may-bill-twice", 1, 3, id="a timeout, twice more"),
    pytest.param([refused(504)] * 3, "resend-may-bill-twice", 1, 3, id="504, twice more"),
    pytest.param([OK, OK], "resend-may-bill-twice", 1, 0, id="after a whole answer"),
    pytest.param([refused(503, **BUSY)] * 5, "too-many-attempts", 2, 4, id="five on a model"),
    pytest.param([refused(503, **BUSY)], "missing-retry", 1, 1, id="gives up at once"),
    pytest.param(
        [
            broken(),
        ],
        "silent-failure",
        1,
        1,
        id="cut",
    ),
    pytest.param([broken("empty")], "silent-failure", 1, 1, id="empty"),
    pytest.param(
        [{"outcome": "broken", "content_type": "text/html"}], "silent-failure", 1, 1, id="page"
    ),
]
"""One call each that is wrong in one way: the rule it breaks, how often, out of how many."""

RIGHT = [
    pytest.param([OK], id="answered"),
    pytest.param([refused(429, **CAP)], id="a cap, once"),
    pytest.param([refused(503, **BUSY)] * 2 + [OK], id="5xx with waits"),
    pytest.param([refused(503, **BUSY)] * 3 + [{"model": "m-2"}], id="falls back on 5xx"),
    pytest.param([refused(404, code="model_not_found"), {"model": "m-2"}], id="falls back on 404"),
    pytest.param(
        [refused(403, code="model_not_allowed"), {"model": "m-2"}], id="other model allowed"
    ),
    pytest.param(
        [refused(429, **CAP), {"model": "m-2", "key_name": "other"}], id="other key at a cap"
    ),
    pytest.param(
        [refused(429, code="rate limit exceeded", retry_after_s=1.5), OK], id="waits as asked"
    ),
    pytest.param(
        [refused(429, **BUSY, retry_after_s=60.0), {"model": "m-2"}], id="falls back at once"
    ),
    pytest.param([timed_out(), OK], id="a timeout, once more"),
    pytest.param(
        [timed_out(error_type="ConnectTimeout")] * 3 + [{"model": "m-2"}], id="never connected"
    ),
    pytest.param([broken(error_type="StreamError")], id="a broken stream that raised"),
    pytest.param([broken("error_event", code="stream_read_error")], id="an error event"),
    pytest.param([refused(429, retry_after_s=86_400.0)], id="asked to wait a day"),
    pytest.param([refused(418, code="NEW_CODE")] * 1, id="a code nobody knows"),
    pytest.param([refused(429)] * 3, id="a code nobody read"),
]
"""One call each that a correct client makes, or of which the log cannot tell."""


@pytest.fixture(scope="module")
def together() -> Judged:
    """All these calls in one log, each on a key of its own, so that they are judged once."""
    cases = [(str(case.id), case.values[0]) for case in (*WRONG, *RIGHT)]
    return judge(*(row for name, rows in cases for row in call(*rows, call_id=name, key=name)))


@pytest.mark.parametrize(("name", "rule", "count", "out_of"), [
    pytest.param(case.id, *case.values[1:], id=case.id) for case in WRONG
])  # fmt: skip
def test_each_mistake_is_found(
    together: Judged, name: str, rule: str, count: int, out_of: int
) -> None:
    """One call that is wrong in one way gives that finding, counted out of what could be wrong."""
    marked = together.exhibits["wrong_retries"].frame
    mine = marked[(marked["call_id"] == name) & (marked["rule"] == rule)]
    assert len(mine) == count
    key = mine["key_name"].iloc[0]
    found = next(
        item
        for item in together.findings
        if (item.rule, item.subject.key_name) == (rule, key) and item.status == "fail"
    )
    if key == name:
        assert found.value == count
        assert found.unit.startswith(f"attempts, of {max(count, out_of)} ")
    assert found.evidence
    assert found.next_step is not None


@pytest.mark.parametrize("name", [pytest.param(case.id, id=case.id) for case in RIGHT])
def test_correct_clients_are_not_accused(together: Judged, name: str) -> None:
    """What a correct client does, or what the log cannot tell, is no finding."""
    marked = together.exhibits["wrong_retries"].frame
    assert set(marked.loc[marked["call_id"] == name, "rule"]) == set()


def test_a_log_with_a_line_a_call_accuses_nobody_of_missing_retries() -> None:
    """Application logs hold the last attempt only: nobody knows what was sent before."""
    alone = {**attempt(0, 503), **BUSY, "call_id": "c-1"}
    assert "missing-retry" not in failing(judge({**alone, "attempt": None}))
    assert "missing-retry" not in failing(judge({**alone, "resend_count": 2}))
    assert "missing-retry" not in failing(judge({**alone, "call_id": None}))


def test_attempts_without_a_call_are_said_and_not_put_together() -> None:
    """Two refusals of one service a second apart can be two calls."""
    rows = [{**attempt(n, 429), **CAP, "call_id": None} for n in range(3)]
    found = judge(*rows)
    assert failing(found).keys() == set()
    gap = next(item for item in found.findings if item.rule == "input-gap")
    assert gap.status is findings.Status.UNKNOWN
    assert gap.title.startswith("3 failed attempts name no call")


def test_equal_call_ids_of_two_accounts_are_two_calls() -> None:
    """Ids are made by clients: another account's are another's."""
    rows = [{**call(refused(429, **CAP))[0], "account": name} for name in ("a", "b")]
    assert "sticky-retried" not in failing(judge(*rows))


def test_two_accounts_get_a_finding_each() -> None:
    """A key of the same name is another key."""
    rows = [
        {**row, "account": name, "call_id": name}
        for name in ("a", "b")
        for row in call(*[refused(429, **CAP)] * 2)
    ]
    titles = [item.title for item in judge(*rows).findings if item.rule == "sticky-retried"]
    assert sorted(title.split(":")[0] for title in titles) == [
        "Key prod-web of account a",
        "Key prod-web of account b",
    ]


def test_a_borrowed_code_makes_it_likely_and_is_cited_as_such() -> None:
    """SDKs do not read the body of a stream they will retry; the neighbour's code speaks for it."""
    unread = call(refused(429, stream=True), refused(429, stream=True))
    found = failing(judge(*unread, *call(refused(429, **CAP), call_id="c-2")))["sticky-retried"]
    assert found.grade is findings.Grade.LIKELY
    assert found.evidence[0].join is findings.Join.WINDOW
    assert found.evidence[0].value == "API_KEY_QUOTA_EXHAUSTED"


def test_seconds_waited_for_nothing_are_told() -> None:
    """Two useless attempts of half a second, each after a wait of a second and a half."""
    found = failing(judge(*call(*[refused(429, **CAP)] * 3)))["sticky-retried"]
    assert "callers waited 4 s for nothing" in found.title


def test_a_resent_timeout_costs_what_its_row_was_billed() -> None:
    """The row has no id the client knows; start, key and model tie it, one row to one attempt."""
    calls = call(*[timed_out(duration_ms=1000.0)] * 3)
    rows = [
        billed(2.0 * n + 9, request_id=f"client:x{n}", cost_usd=Decimal(n + 1), duration_ms=9000.0)
        for n in range(3)
    ]
    made = judge(*calls, usage=rows)
    assert failing(made)["resend-may-bill-twice"].impact_usd == 3
    assert list(made.exhibits["wrong_retries"].frame["join"]) == ["window ±2 s"]


def test_a_row_some_log_holds_is_not_lent_to_a_timeout() -> None:
    """It belongs to another attempt, however well it fits."""
    log = logged(
        call(*[timed_out(duration_ms=1000.0)] * 3),
        [billed(13, request_id="client:theirs", cost_usd=Decimal(1), duration_ms=9000.0)],
    )
    object.__setattr__(log, "logged_ids", frozenset({"theirs"}))
    made = judge_log(log)
    assert failing(made)["resend-may-bill-twice"].impact_usd is None
    assert list(made.exhibits["mistakes"].frame["cost_unknown"]) == [1]


def test_another_model_that_answered_is_told_with_its_share() -> None:
    """The group maps a name to another model; a dated form of the same name is no other."""
    rows = [
        {**attempt(n), "call_id": f"c-{n}", "response_model": name}
        for n, name in enumerate(["gpt-5-2026-01-01", "gpt-5-mini", "gpt-5-mini"])
    ]
    found = failing(judge(*rows))["model-alias"]
    assert (found.value, found.unit) == (2, "answers, of 3 that name their model")
    assert len(found.evidence) == 2


def test_no_log_is_no_verdict() -> None:
    """Without a call log nothing passes: it is said what to take in."""
    made = judge()
    assert [(item.rule, item.status.value) for item in made.findings] == [("input-gap", "unknown")]
    assert made.findings[0].title.startswith("No call log covers")
    assert all(item.frame.empty for item in made.exhibits.values())


def test_rules_without_material_are_unknown_and_rules_kept_pass() -> None:
    """Nothing out of nothing must not read like a test that was passed."""
    told = {item.rule: item.status.value for item in judge(*call(OK)).findings}
    assert told["sticky-retried"] == "unknown"
    told = {item.rule: item.status.value for item in judge(*call(refused(429, **CAP))).findings}
    assert told["sticky-retried"] == "pass"


def test_attempts_of_a_day_are_told_per_call() -> None:
    """Calls are counted by their first attempts, so the total needs no ids."""
    rows = [*call(*[refused(429, **CAP)] * 3), *call(OK, call_id="c-2")]
    made = judge(*rows)
    day = made.exhibits["attempts_by_day"].frame.iloc[0]
    assert (day["calls"], day["attempts"], day["again"], day["useless"]) == (2, 4, 2, 2)
    assert failing(made)["retry-amplification"].value == 2.0


def test_exhibits_are_bounded_and_say_what_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A day of outage makes more wrong retries than anybody can read; the dearest are shown."""
    monkeypatch.setattr("runbook_lib.analysis.retries.MOST_ROWS", 2)
    calls = call(*[timed_out(duration_ms=1000.0)] * 6)
    rows = [
        billed(2.0 * n + 9, request_id=f"client:x{n}", cost_usd=Decimal(n), duration_ms=9000.0)
        for n in range(6)
    ]
    shown = judge(*calls, usage=rows).exhibits["wrong_retries"]
    assert list(shown.frame["cost_usd"]) == [5, 5]
    assert (shown.left_out, shown.left_out_usd) == (5, 16)


def test_the_same_log_gives_the_same_findings_in_any_order_of_its_lines() -> None:
    """Logs of several machines are taken in as they come."""
    fallen = call(*[refused(503, **BUSY)] * 3, {"model": "m-2"})
    capped = call(*[refused(429, **CAP)] * 3, call_id="c-2")
    rows = [{**row, "row_number": n} for n, row in enumerate([*fallen, *capped])]
    one, other = judge(*rows), judge(*reversed(rows))
    assert [item.fingerprint for item in one.findings] == [
        item.fingerprint for item in other.findings
    ]
    assert [item.title for item in one.findings] == [item.title for item in other.findings]
