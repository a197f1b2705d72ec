"""The sample: whole, exact, the same for the same seed, without a secret, in the real forms."""

import csv
import gzip
import hashlib
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from runbook_lib import contract, findings, redact, sources
from runbook_lib.sandbox import (
    SCENARIOS,
    Sample,
    Scenario,
    account_of,
    history,
    prices,
    write_sample,
)
from runbook_lib.sandbox.history import History

WEEKS = 1
"""Enough for every form, and quick."""


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """The last week of the sample."""
    return write_sample(tmp_path_factory.mktemp("sample"), weeks=WEEKS)


@pytest.fixture(scope="module")
def shipped() -> History:
    """The history that everybody gets: ten weeks of seed 7."""
    return history.make(7)


@pytest.fixture(scope="module")
def calls(shipped: History) -> dict[str, list[dict[str, Any]]]:
    """Attempts by each of their ids."""
    found: dict[str, list[dict[str, Any]]] = {}
    for line in map(json.loads, shipped.log):
        ids = [*line.get("http.response.header.x-request-id", []), line["torouter.call.id"]]
        for name in ids:
            found.setdefault(name, []).append(line)
    return found


def text(path: Path) -> str:
    """Content of a file, unpacked."""
    raw = path.read_bytes()
    return (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode()


def items(path: Path) -> list[dict[str, Any]]:
    """Rows of a list of the console, amounts as Decimal."""
    rows: list[dict[str, Any]] = json.loads(text(path), parse_float=Decimal)["data"]["items"]
    return rows


def digests(folder: Path) -> dict[str, str]:
    """Digest of every file, by its path in the folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


# The truth --------------------------------------------------------------------------------------


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda item: item.name)
def test_every_scenario_has_its_request_in_the_log(
    scenario: Scenario, calls: dict[str, list[dict[str, Any]]]
) -> None:
    """What the machine answered is what the scenario says, or the truth is none."""
    attempts = calls[scenario.request_id]
    answered = [
        (line["http.response.status_code"], line.get("torouter.error.code", ""))
        for line in attempts
    ]
    assert (scenario.status, scenario.code) in answered
    if scenario.status != 200:
        assert 200 not in [status for status, _ in answered]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda item: item.name)
def test_every_scenario_speaks_the_words_of_the_contract(scenario: Scenario) -> None:
    """Cause, domain and retry rule are those of the contract, rules those of the register."""
    known = contract.CAUSES[scenario.cause]
    assert known.retry == scenario.retry
    if scenario.cause != "client_fallback":  # it takes the domain of what it fell back from
        assert known.domain == scenario.domain
    assert {*scenario.must, *scenario.must_not} <= set(findings.RULES)
    assert not set(scenario.must) & set(scenario.must_not)


def test_ids_and_names_of_scenarios_are_unique() -> None:
    """One id, one truth."""
    assert len({item.request_id for item in SCENARIOS}) == len(SCENARIOS)
    assert len({item.name for item in SCENARIOS}) == len(SCENARIOS)


def test_the_cap_is_reached_by_spending(shipped: History) -> None:
    """No row is written by hand: the key's rows of its life add up to more than the cap was."""
    acts = shipped.console.acts
    caps = [act for act in acts if act.action == "keys.update" and "quota" in (act.change or {})]
    cap = prices.units(str(caps[0].change["quota"])) if caps[0].change else 0
    rows = shipped.console.gateway.rows
    spent = sum(
        row.cost.billed for row in rows if row.key.name == "prod-docs" and row.end < caps[1].at
    )
    assert cap <= spent < cap + prices.units("0.5")


def test_ordinary_days_have_a_few_failures_of_their_own(shipped: History) -> None:
    """A triage that calls every failure an incident must be found out."""
    lines = [json.loads(line) for line in shipped.log]
    quiet = [line for line in lines if line["ts"].startswith("2026-11-15")]
    failed = [line for line in quiet if line["http.response.status_code"] != 200]
    assert 0 < len(failed) < 0.1 * len(quiet)


def test_the_leaked_key_is_in_the_rows_and_in_no_log(shipped: History) -> None:
    """What nobody logged is found only by comparing."""
    rows = shipped.console.gateway.rows
    strange = {row.client_id for row in rows if row.request.ip == "192.0.2.200"}
    logged = "\n".join(shipped.log)
    assert len(strange) > 100
    assert not any(name in logged for name in strange)


# Money ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("account", ["team", "partner"])
def test_rows_and_ledger_agree_to_the_last_digit(account: str, shipped: History) -> None:
    """What came in less what was billed is the balance, to 1e-10 USD."""
    gateway = shipped.console.gateway
    ledger = gateway.accounts[account].ledger
    paid_in = sum(amount for _, kind, amount, _ in ledger if kind == "top_up")
    billed = sum(row.cost.billed for row in gateway.rows if row.key.account.name == account)
    assert paid_in - billed == ledger[-1][3]


def test_every_row_is_original_times_multiplier(sample: Sample) -> None:
    """The list has ten decimals and no rest."""
    for row in items(sample.folder / "usage_rows.json.gz"):
        parts = ("input_cost", "output_cost", "cache_read_cost", "cache_creation_cost")
        assert sum(Decimal(row[name]) for name in parts) == row["total_cost"]
        assert row["actual_cost"] == row["total_cost"] * Decimal(row["rate_multiplier"])


# Files ------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_bytes(sample: Sample, tmp_path: Path) -> None:
    """A report on the sample can be compared from machine to machine."""
    for name, seed in (("again", 7), ("other", 8)):
        write_sample(tmp_path / name, seed=seed, weeks=WEEKS)
    first, again, other = map(digests, (sample.folder, tmp_path / "again", tmp_path / "other"))
    assert first == again
    assert set(first) == set(other)
    same = [name for name in first if first[name] == other[name]]
    assert set(same) <= {"budget.csv"}


def test_no_file_holds_a_key(sample: Sample) -> None:
    """Keys are made from the seed and stay in the machine."""
    for path in sample.folder.rglob("*.*"):
        assert "sk-" not in text(path), path.name


@pytest.mark.long
def test_no_file_holds_a_secret(sample: Sample) -> None:
    """Nor is there anything else that only looks like one."""
    for path in sample.folder.rglob("*.*"):
        assert not redact.has_secret(text(path)), path.name


@pytest.fixture(scope="module")
def intakes(sample: Sample, tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """The sample as it is taken in."""
    staging = tmp_path_factory.mktemp("staging")
    return [
        item
        for path in sources.files([sample.folder])
        for item in sources.read(path, staging, account=account_of(path))
    ]


def test_every_file_is_read_without_a_reject(intakes: list[Any]) -> None:
    """Our own readers take every form as the gateway, the clients and the user write it."""
    assert {item.rejected for item in intakes} == {0}
    assert {item.table for item in intakes} == {
        "usage", "calls", "refusals", "keys", "key_state", "audit", "ledger", "budget",
    }  # fmt: skip


def test_two_accounts_never_share_a_ledger(intakes: list[Any]) -> None:
    """The partner's balance beside the company's would be the balance of nobody."""
    ledgers = {item.account: item.rows for item in intakes if item.table == "ledger"}
    assert ledgers.keys() == {"", "partner"}
    assert {item.account for item in intakes if item.table == "usage"} == {"", "partner"}
    assert {item.account for item in intakes if item.table == "calls"} == {""}


def test_the_export_is_newest_first_with_a_mark_and_no_last_newline(sample: Sample) -> None:
    """Cells and order of the console's own export, by the rules of 0.1.144."""
    content = text(sample.folder / "usage_2026-11-16_to_2026-11-23.csv")
    rows = list(csv.reader(content.removeprefix("\ufeff").splitlines()))
    times = [row[0] for row in rows[1:]]
    assert content.startswith("\ufeffTime,API Key Name,Model")
    assert not content.endswith("\n")
    assert {len(row) for row in rows} == {17}
    assert times[0] > times[-1]
    assert {row[3] for row in rows[1:]} == {"'-"}


def test_answers_join_with_rows_by_the_second_id(sample: Sample) -> None:
    """Every answered call of the log has its usage row; broken responses have none."""
    known = {
        row["request_id"]
        for path in sample.folder.rglob("usage_rows.json.gz")
        for row in items(path)
    }
    lines = map(json.loads, text(sample.folder / "calls.jsonl").splitlines())
    answered = [
        f"client:{line['http.response.header.x-client-request-id'][0]}"
        for line in lines
        if line["http.response.status_code"] == 200
        and "http.response.header.x-client-request-id" in line
        and line["url.path"] != "/v1/responses"
        and line.get("torouter.error.code") != "rate_limit_error"
    ]
    assert len(answered) > 5_000
    assert [name for name in answered if name not in known] == []


# The recorded forms -----------------------------------------------------------------------------


def header(path: Path) -> str:
    """First line of a file."""
    return text(path).splitlines()[0]


@pytest.mark.shared
@pytest.mark.parametrize(
    ("ours", "recorded"),
    [
        pytest.param(
            "usage_2026-11-16_to_2026-11-23.csv",
            "usage_2026-11-24_to_2026-11-24.csv",
            id="usage-export",
        ),
        pytest.param("audit.csv", "audit.csv", id="audit"),
        pytest.param("keys.csv", "keys.csv", id="keys"),
    ],
)
def test_tables_have_the_recorded_columns(
    ours: str, recorded: str, sample: Sample, gateway: Path
) -> None:
    """The same columns in the same order as on a running gateway."""
    assert header(sample.folder / ours) == header(gateway / recorded)


@pytest.mark.shared
@pytest.mark.parametrize("name", ["usage_rows.json.gz", "usage_errors.json.gz"])
def test_lists_have_the_recorded_fields(name: str, sample: Sample, gateway: Path) -> None:
    """Every form of a list item that we write was recorded, in that order."""
    recorded = {tuple(item) for item in items(gateway / name)}
    assert {tuple(item) for item in items(sample.folder / name)} <= recorded


@pytest.mark.shared
def test_the_call_log_has_the_recorded_names(
    calls: dict[str, list[dict[str, Any]]], gateway: Path
) -> None:
    """The simulated clients log what the recorded ones did, and `Retry-After` where it came."""
    mine = {name for attempts in calls.values() for line in attempts for name in line}
    assert mine - names(gateway / "calls" / "calls.jsonl") == {"torouter.retry_after_s"}


def names(path: Path) -> set[str]:
    """All field names of a call log."""
    return {name for line in text(path).splitlines() for name in json.loads(line)}
