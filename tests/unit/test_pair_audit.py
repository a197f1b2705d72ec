"""Is the fallback a fallback: every check passes, fails, or is unknown with what is missing."""

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest
from made_material import START
from pair_kit import (
    FALLBACK,
    KEYS,
    LEDGER,
    PAIR,
    PRIMARY,
    STATE,
    USAGE,
    answer,
    audited,
    changed,
    material,
    stood_in,
    told,
    used,
)

from runbook_lib import findings
from runbook_lib.analysis.pair import Pair, complete, exhibit, pairs_of
from runbook_lib.findings import Grade, Severity, Status

RULES = {name for name in findings.RULES if name.startswith("fallback-")}
SURE = {"confirmed", "likely"}


def test_a_sound_pair_passes_what_files_can_tell() -> None:
    """Only the shared balance fails, and only abilities need a probe."""
    found = audited()
    assert {item.rule for item in found.findings} == RULES
    assert {item.rule for item in found.findings if item.status == "fail"} == {
        "fallback-same-balance"
    }
    assert {item.rule for item in found.findings if item.status == "unknown"} == {
        *("fallback-lacks-tools", "fallback-lacks-schema", "fallback-lacks-vision"),
        *("fallback-lacks-stream", "fallback-small-output"),
    }


def test_every_answer_cites_its_rows_or_says_what_is_missing() -> None:
    """A check that rests on nothing would be a guess."""
    for item in audited().findings:
        if item.status is Status.UNKNOWN:
            assert item.grade is Grade.INCONCLUSIVE
            assert "not known without" in item.title
            assert item.next_step is not None
        else:
            assert item.evidence, item.rule


@pytest.mark.parametrize(
    ("rule", "changes", "severity", "says"),
    [
        pytest.param(
            "fallback-same-key",
            {"pair": replace(PAIR, primary_key="spare"), "usage": [used(0, key_name="spare")]},
            Severity.HIGH, "Both use key spare", id="one key",
        ),
        pytest.param(
            "fallback-same-group", {"keys": changed(KEYS, 1, group="claude-std")},
            Severity.MEDIUM, "Both keys are in group claude-std", id="one group",
        ),
        pytest.param(
            "fallback-same-vendor", {"pair": replace(PAIR, fallback="claude-haiku-4-5")},
            Severity.MEDIUM, "made by anthropic", id="one vendor",
        ),
        pytest.param(
            "fallback-key-unusable", {"keys": changed(KEYS, 1, expires_at=START)},
            Severity.HIGH, "expired at 2026-11-24", id="expired",
        ),
        pytest.param(
            "fallback-key-unusable", {"keys": changed(KEYS, 1, replaced_by="spare-v2")},
            Severity.HIGH, "was replaced by spare-v2", id="replaced",
        ),
        pytest.param(
            "fallback-key-unusable", {"state": changed(STATE, 1, remaining_usd=Decimal(0))},
            Severity.HIGH, "has spent its cap of $500.00", id="spent",
        ),
        pytest.param(
            "fallback-key-unusable",
            {"state": [{"question": "models", "status": 401, "code": "INVALID_API_KEY"}]},
            Severity.HIGH, "was refused with 401 INVALID_API_KEY", id="refused",
        ),
        pytest.param(
            "fallback-not-allowed", {"keys": changed(KEYS, 1, model_allowlist="gpt-5.4-mini; o3")},
            Severity.HIGH, "keeps a list of 2 models, and gpt-5.4 is not on it", id="not allowed",
        ),
        pytest.param(
            "fallback-not-listed",
            {"state": changed(STATE, 0, models="gpt-5.4-mini,o3"), "usage": USAGE[:48]},
            Severity.HIGH, "lists 2 models, not gpt-5.4", id="not listed",
        ),
        pytest.param(
            "fallback-small-context",
            {"pair": replace(PAIR, fallback="gpt-4"), "usage": USAGE},
            Severity.HIGH, "gpt-4 takes 8,192 tokens of input", id="too small",
        ),
        pytest.param(
            "fallback-lacks-tools",
            {"probes": [{"question": "tools", "supported": False, "status": 400}]},
            Severity.HIGH, "gpt-5.4 refuses tool calls (400)", id="no tools",
        ),
        pytest.param(
            "fallback-dearer",
            {"pair": replace(PAIR, primary="gpt-5.4-nano"),
             "usage": [used(0, model="gpt-5.4-nano"), stood_in(1)]},
            Severity.MEDIUM, "gpt-5.4 costs 6.5641 times gpt-5.4-nano", id="dear",
        ),
        pytest.param(
            "fallback-cap-short", {"state": changed(STATE, 1, remaining_usd=Decimal(2))},
            Severity.MEDIUM, "it carries the whole load for 6.2 h of a day as the busiest",
            id="cap for hours",
        ),
        pytest.param(
            "fallback-cap-short", {"state": changed(STATE, 1, remaining_usd=Decimal("0.1"))},
            Severity.HIGH, "for 19 min of a day as the busiest", id="cap for minutes",
        ),
        pytest.param(
            "fallback-window-short",
            {"state": [*STATE, {**STATE[1], "window": "5h", "limit_usd": Decimal(1)}]},
            Severity.MEDIUM, "the busiest 5h would cost $1.60; it would be used up after 3.1 h",
            id="window",
        ),
        pytest.param(
            "fallback-balance-short", {"ledger": changed(LEDGER, 0, balance=Decimal(40))},
            Severity.MEDIUM, "The balance has $7.60 left", id="balance",
        ),
        pytest.param(
            "fallback-limits-short",
            {"refusals": [{**answer(1), "ts": START, "status": 429, "outcome": "refused",
                           "code": "rate_limit_exceeded", "retry_after_s": 20.0}]},
            Severity.MEDIUM, "was refused 1 times for its rate already (user_rpm)", id="rate",
        ),
        pytest.param(
            "fallback-answered-by-other", {"answers": [answer(1, response_model="gpt-5.4-mini")]},
            Severity.MEDIUM, "1 of 1 answer to gpt-5.4 came from another model", id="body",
        ),
        pytest.param(
            "fallback-answered-by-other",
            {"usage": [used(0), stood_in(1, model="gpt-5.4-mini")]},
            Severity.MEDIUM, "1 of 1 answer to gpt-5.4 came from another model", id="usage row",
        ),
    ],
)  # fmt: skip
def test_each_weakness_fails_and_is_named(
    rule: str, changes: dict[str, Any], severity: Severity, says: str
) -> None:
    """One thing wrong with a sound pair is one check that fails, in words a person can act on."""
    found = told(**changes)[rule]
    assert (found.status, found.severity) == (Status.FAIL, severity), found.title
    assert says in found.title
    assert found.evidence
    assert found.next_step is not None


@pytest.mark.parametrize(
    ("rule", "changes", "missing"),
    [
        pytest.param("fallback-same-key", {"pair": Pair(primary=PRIMARY, fallback=FALLBACK)},
                     "the name of the key each model is called with", id="no keys named"),
        pytest.param("fallback-same-group",
                     {"keys": [], "usage": [used(0, group_name=None)]},
                     "keys.csv with the group of both keys", id="no inventory"),
        pytest.param("fallback-same-vendor", {"pair": replace(PAIR, primary="house-model")},
                     "the vendor of house-model", id="unknown model"),
        pytest.param("fallback-same-balance", {"keys": [], "state": [], "usage": []},
                     "keys.csv", id="no account"),
        pytest.param("fallback-key-unusable", {"keys": [], "state": []},
                     "the answer of GET /v1/usage with key spare", id="no key state"),
        pytest.param("fallback-not-allowed", {"keys": []}, "the row of key spare in keys.csv",
                     id="not in the inventory"),
        pytest.param("fallback-not-listed", {"state": [], "usage": [used(0)]},
                     "the answer of GET /v1/models with key spare", id="no list"),
        pytest.param("fallback-small-context", {"pair": replace(PAIR, fallback="gemini-2.5-pro")},
                     "the context window of gemini-2.5-pro", id="window unknown"),
        pytest.param("fallback-small-context",
                     {"pair": replace(PAIR, fallback="gpt-5.4-mini"), "usage": []},
                     "usage rows of claude-sonnet-4-6", id="smaller and no usage"),
        pytest.param("fallback-lacks-vision", {"probes": [{"question": "vision",
                                                           "supported": None, "status": 503}]},
                     "(the last one decided nothing)", id="probe undecided"),
        pytest.param("fallback-dearer", {"usage": []}, "usage rows of claude-sonnet-4-6",
                     id="no usage"),
        pytest.param("fallback-dearer",
                     {"pair": replace(PAIR, fallback="house-model"), "answers": []},
                     "price of any tokens of house-model", id="unpriced"),
        pytest.param("fallback-cap-short", {"usage": [used(0)], "answers": []},
                     "the rate multiplier of key spare", id="multiplier unknown"),
        pytest.param("fallback-cap-short", {"keys": [], "state": []}, "the cap of key spare",
                     id="cap unknown"),
        pytest.param("fallback-cap-short",
                     {"keys": changed(KEYS, 1, cap_currency="CNY"), "state": []},
                     "in USD (a rate for CNY)", id="CNY without a rate"),
        pytest.param("fallback-balance-short", {"ledger": []}, "(ledger.csv or GET /v1/usage)",
                     id="no ledger"),
        pytest.param("fallback-balance-short",
                     {"ledger": [*LEDGER, {**LEDGER[0], "source_file": "other/ledger.csv"}]},
                     "several accounts lie here under one name", id="two ledgers"),
        pytest.param("fallback-limits-short", {"usage": [used(0), used(0), stood_in(1)]},
                     "(the primary's most is 2 a minute)", id="limits"),
        pytest.param("fallback-answered-by-other", {"answers": []},
                     "answers of gpt-5.4 in a call log", id="no answers"),
        pytest.param("fallback-answered-by-other", {"usage": [used(0)]},
                     "1 without a usage row", id="no rows with ids"),
    ],
)  # fmt: skip
def test_what_data_do_not_tell_is_unknown_and_named(
    rule: str, changes: dict[str, Any], missing: str
) -> None:
    """Unknown is neither good nor bad; it says what to fetch."""
    found = told(**changes)[rule]
    assert found.status is Status.UNKNOWN, found.title
    assert missing in found.title
    assert found.next_step is not None


def test_nothing_at_all_is_unknown_throughout() -> None:
    """Empty frames must end in twenty questions, not in an exception or a number."""
    found = audited(
        keys=[], state=[], usage=[], answers=[], ledger=[],
        pair=Pair(primary="house-a", fallback="house-b"),
    )  # fmt: skip
    assert found.counts == {Status.PASS: 0, Status.FAIL: 0, Status.UNKNOWN: len(RULES)}
    assert not found.rows.isin([float("nan")]).any(axis=None)
    assert found.rows["missing"].notna().all()


def test_a_group_is_known_from_usage_rows_too() -> None:
    """Who keeps no inventory still has exports that name the group."""
    found = told(keys=[])["fallback-same-group"]
    assert (found.status, found.value) == (Status.PASS, "openai-std")


def test_two_accounts_share_no_balance() -> None:
    """A 402 of one is none of the other."""
    keys = changed(KEYS, 1, account="reserve")
    rows = [*(used(h) for h in range(3)), stood_in(1, account="reserve")]
    state = [{**row, "account": "reserve"} for row in STATE]
    found = told(keys=keys, usage=rows, state=state, ledger=[{**LEDGER[0], "account": "reserve"}])
    assert found["fallback-same-balance"].status is Status.PASS
    # The primary's bill is another account's: its end makes no room on this balance.
    assert found["fallback-balance-short"].status is Status.PASS


def test_balances_that_differ_at_once_make_one_account_doubtful() -> None:
    """Exports of several accounts taken in without names look like one account."""
    readings = [
        {"key_name": name, "question": "usage", "balance_usd": amount}
        for name, amount in (("a", Decimal(1)), ("b", Decimal(2)))
    ]
    found = told(state=[*STATE, *readings])["fallback-same-balance"]
    assert (found.status, found.grade) == (Status.FAIL, Grade.LIKELY)
    assert "different accounts that lie here unnamed" in found.title


@pytest.mark.parametrize("listed", ["gpt-5.4", "GPT-5.4; o3", "gpt-5*", " ; ", None])
def test_an_allowlist_that_fits_or_is_not_kept_allows(listed: str | None) -> None:
    """Blank means that all models of the group may be called."""
    found = told(keys=changed(KEYS, 1, model_allowlist=listed))["fallback-not-allowed"]
    assert found.status is Status.PASS


def test_what_was_billed_counts_more_than_what_is_listed() -> None:
    """Listed is not yet served, and not listed is not refused (contract §2)."""
    served = told(state=changed(STATE, 0, models="o3"))["fallback-not-listed"]
    assert (served.status, served.grade) == (Status.PASS, Grade.CONFIRMED)
    assert served.title.endswith("though GET /v1/models does not list it")
    only_listed = told(usage=[used(0)])["fallback-not-listed"]
    assert (only_listed.status, only_listed.grade) == (Status.PASS, Grade.LIKELY)


def test_a_smaller_window_passes_while_requests_fit() -> None:
    """What counts is what is really sent; it is only likely to stay so."""
    found = told(pair=replace(PAIR, fallback="gpt-5.4-mini"))["fallback-small-context"]
    assert (found.status, found.grade) == (Status.PASS, Grade.LIKELY)
    assert "the largest request had 100,000" in found.title


def test_an_answer_as_long_as_the_longest_proves_the_output_size() -> None:
    """No list has the most output tokens of a model; an answer of that length has."""
    found = told(answers=[answer(1, output_tokens=10_000)])["fallback-small-output"]
    assert (found.status, found.value, found.expected) == (Status.PASS, 10_000, 10_000)


def test_answers_in_the_log_show_streams_and_tools() -> None:
    """What was done need not be probed."""
    rows = [
        answer(1, stream=True, stream_end="complete"),
        answer(2, finish_reasons="stop,tool_calls"),
    ]
    found = told(answers=rows)
    for rule in ("fallback-lacks-stream", "fallback-lacks-tools"):
        assert (found[rule].status, found[rule].grade) == (Status.PASS, Grade.LIKELY)
    assert found["fallback-lacks-vision"].status is Status.UNKNOWN


def test_a_probe_decides_and_the_newest_one_counts() -> None:
    """A provider adds and takes away abilities."""
    older = {"question": "vision", "supported": False, "status": 400, "asked_at": START}
    found = told(probes=[{"question": "vision"}, older])["fallback-lacks-vision"]
    assert (found.status, found.grade) == (Status.PASS, Grade.CONFIRMED)


def test_an_ability_neither_has_is_no_weakness_of_the_fallback() -> None:
    """Requests that work on the primary will not use it."""
    refused = {"question": "vision", "supported": False, "status": 400}
    rows = [refused, {**refused, "model": PRIMARY, "key_name": "prod"}]
    found = told(probes=rows)["fallback-lacks-vision"]
    assert (found.status, found.title[-9:]) == (Status.PASS, "-4-6 does")


@pytest.mark.parametrize(
    ("rows", "status", "grade", "says"),
    [
        pytest.param([stood_in(1)], "pass", "confirmed", "agree on gpt-5.4 for 1 of 1 answer",
                     id="all three agree"),
        pytest.param([stood_in(1, original_cost_usd=None)], "pass", "confirmed", "1 of 1",
                     id="the billed amount and its multiplier"),
        pytest.param([stood_in(1, original_cost_usd=Decimal("0.0012"))], "unknown",
                     "inconclusive", "1 at another price", id="another model's price"),
        pytest.param([stood_in(1, input_tokens=None)], "unknown", "inconclusive", "1 unpriced",
                     id="tokens unknown"),
    ],
)  # fmt: skip
def test_body_row_and_price_must_agree(rows: Any, status: str, grade: str, says: str) -> None:
    """A body can name any model; the bill is the witness."""
    found = told(usage=[used(0), *rows])["fallback-answered-by-other"]
    assert (found.status, found.grade) == (status, grade)
    assert says in found.title


def test_a_probe_that_another_model_answers_tells_so() -> None:
    """The body of one live answer is enough to know that the name is mapped."""
    rows = [{"question": "plain", "response_model": "gpt-5.4-mini-2026-03-17"}]
    found = told(probes=rows)["fallback-answered-by-other"]
    assert (found.status, found.value, found.unit) == (Status.FAIL, 1, "answers, of 2")
    assert found.evidence[0].source == "rows.csv"
    fine = told(probes=[{"question": "plain", "response_model": "gpt-5.4"}], answers=[])
    assert fine["fallback-answered-by-other"].status is Status.UNKNOWN


def test_a_mapped_name_is_audited_as_the_model_behind_it() -> None:
    """A group maps `house` to a model: window, vendor and price are that one's, as far as known."""
    pair = replace(PAIR, fallback="house")
    rows = [used(0), stood_in(1, model="house")]
    found = told(pair=pair, usage=rows, answers=[answer(1, model="house")])
    assert "house takes 1,050,000 tokens" in found["fallback-small-context"].title
    assert found["fallback-same-vendor"].value == "openai"
    assert found["fallback-dearer"].grade is Grade.LIKELY
    assert found["fallback-answered-by-other"].status is Status.FAIL


def test_keys_of_a_pair_are_found_where_calls_really_moved() -> None:
    """Nobody has to name keys that the log shows; the most frequent pair of keys wins."""
    moved = pd.DataFrame(
        [
            {"key_name": a, "model": PRIMARY, "fallback_key": b, "fallback_model": FALLBACK}
            for a, b in (("prod", "spare"), ("prod", "spare"), ("dev", "dev"))
        ]
    )
    bare = Pair(primary=PRIMARY, fallback=FALLBACK)
    rates = material().rates
    assert complete(bare, rates, moved) == PAIR
    assert complete(replace(bare, primary_key="dev"), rates, moved).fallback_key == "dev"
    assert complete(bare, rates) == PAIR
    several = material(usage=[used(0), used(0, key_name="other")]).rates
    assert complete(bare, several).primary_key == ""


def test_the_first_model_is_paired_with_each_other_once() -> None:
    """Models come in order of preference, and can be named twice."""
    pairs = list(pairs_of(["a", "b", "a", "c", "b"]))
    assert [(one.primary, one.fallback) for one in pairs] == [("a", "b"), ("a", "c")]
    assert list(pairs_of(["a"])) == []


def test_all_pairs_stand_in_one_table() -> None:
    """One exhibit for the notebook; it says what is missing and where each fact was read."""
    shown = exhibit([audited(), audited(pair=replace(PAIR, fallback="claude-haiku-4-5"))])
    assert shown.name == "pair_audit"
    assert len(shown.frame) == 2 * len(RULES)
    first = shown.frame.iloc[0]
    assert (first["check"], first["result"]) == ("same key?", "pass")
    assert first["evidence"] == "rows.csv:2 key_name=spare"
    assert exhibit([]).frame.empty


def test_findings_are_ready_for_a_report() -> None:
    """Whatever is in them can be written as JSON."""
    for item in audited(probes=[{"question": "tools", "supported": False, "status": 400}]).findings:
        json.dumps(findings._finding(item))
