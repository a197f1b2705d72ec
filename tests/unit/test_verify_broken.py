"""The verifier verified: every wrong client is caught by the case that aims at it, no right one is.

Many clients are played in one process: the first model of a cell names the client that plays it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from types import SimpleNamespace
from typing import Any

import pytest
from broken_clients import wrong
from verify_kit import CASES

from runbook_lib.findings import Status
from runbook_lib.verify import cells, verdicts
from runbook_lib.verify.play import find_client, play
from runbook_lib.verify.records import Cell, Played
from runbook_lib.verify.verdicts import Verified

PLAIN = SimpleNamespace(protocols=("openai",), plain=True, asynchronous=False, stream=True)

PROBE = "upstream_unavailable/ever/whole"
"""Shows whether a client falls back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """A wrong client, the cell that aims at it, and what must be found there.

    Attributes:
        alone: Only this is found in that cell.
    """

    client: str
    cell: str
    rule: str
    alone: bool = True


def _aim(client: str, cell: str, rule: str, *, alone: bool = True) -> Aim:
    return Aim(client=client, cell=cell, rule=rule, alone=alone)


QUICK = [
    _aim("Retries401", "key_unknown/ever/whole", "wrong-retry"),
    _aim("Retries400", "request_malformed/ever/whole", "wrong-retry"),
    _aim("RetriesCap", "cap_flat/ever/stream", "wrong-retry"),
    _aim("IgnoresRetryAfter", "retry_after_1/once/whole", "retry-after-undercut"),
    _aim("FallsBackOn400", "request_malformed/ever/whole", "wrong-fallback"),
    _aim("FallsBackOnCap", "cap_flat/ever/whole", "wrong-fallback"),
    _aim("NeverRetries", "both_down/-/whole", "missing-retry"),
    _aim("NoBackoff", "status_500/ever/whole", "no-backoff"),
    _aim("ResendsAfterFirstByte", "stream_cut_mid/once/stream", "resent-after-first-byte"),
    _aim("PassesCutStream", "stream_no_end/ever/stream", "silent-failure"),
    _aim("PassesPartialText", "stream_cut_mid/ever/stream", "silent-failure"),
    _aim("PassesEmptyStream", "stream_empty/ever/stream", "silent-failure"),
    _aim("PassesPage", "html_body/ever/whole", "silent-failure"),
    _aim("PassesError", "error_in_200/ever/whole", "silent-failure"),
    _aim("PassesEmptyObject", "empty_object/ever/whole", "silent-failure"),
    _aim("IgnoresUnnamedError", "stream_error_mid_unnamed/ever/stream", "silent-failure"),
    _aim("HidesModel", PROBE, "model-misreported"),
    _aim("SwallowsFirstError", "both_down/-/whole", "error-swallowed"),
    _aim("LosesStatus", "page_522/ever/whole", "status-lost"),
    _aim("KeepsLastId", "ids_of_all_attempts/-/whole", "ids-lost"),
    _aim("FollowsRedirects", "redirect_307_away/once/whole", "key-leaked"),
    _aim("RetriesTls", "tls_fails/ever/whole", "wrong-retry"),
    _aim("RetriesBadStatus", "status_505/ever/whole", "wrong-retry"),
    _aim("SameRequestId", "ids_of_many_calls/-/whole", "id-reused"),
    _aim("SplitsBadly", "stream_split_everywhere/ever/stream", "gives-up", alone=False),
    _aim("UsesOwnModel", "healthy/-/whole", "ignores-models"),
    _aim("Stumbles", "healthy/-/whole", "fails-healthy"),
]
"""Wrong clients that a few seconds show."""

SLOW = [
    _aim("SleepsADay", "retry_after_86400/ever/whole", "sleeps-through"),
    _aim("IgnoresDates", "retry_after_date/once/whole", "retry-after-undercut"),
    _aim("LoopsOnZero", "retry_after_0/twice/whole", "no-backoff"),
    _aim("FallsBackOnAll", "key_unknown/ever/whole", "wrong-fallback"),
    _aim("RetriesForever", "status_500/ever/whole", "too-many-attempts"),
    _aim("Multiplies", "status_500/ever/whole", "too-many-attempts"),
    _aim("NoJitter", "herd/-/whole", "no-jitter"),
    _aim("NoBudget", "total_outage/-/whole", "retry-storm"),
    _aim("NoBreaker", "outage_and_return/-/whole", "no-breaker"),
    _aim("NeverReturns", "outage_and_return/-/whole", "does-not-return"),
    _aim("IgnoresDeadline", "slow_drip/ever/whole", "hangs"),
    _aim("NoIdleTimeout", "stream_stall/once/stream", "hangs"),
    _aim(
        "SendsAfterDeadline",
        "deadline_in_backoff/-/whole",
        "over-deadline",
        alone=False,
    ),
    _aim("ResendsAfterTimeout", "no_answer/ever/whole", "too-many-attempts"),
    _aim("GivesUpOnLateByte", "slow_first_byte/ever/whole", "gives-up", alone=False),
    _aim("IgnoresBaseUrl", "healthy/-/whole", "not-reached"),
]
"""Wrong clients that take their time, or many calls."""

ALL = [*QUICK, *SLOW]


@cache
def _cells() -> dict[str, Cell]:
    """Cells of a plain client of one protocol: `case/duration/whole|stream`."""
    made = cells.cells(list(CASES.values()), PLAIN)
    return {one.id.replace("/openai", "").removesuffix("/sync"): one for one in made}


def _of(client: str, *names: str) -> list[Cell]:
    """Cells of a client, and those that show what is true of it."""
    every = dict.fromkeys(["healthy/-/whole", PROBE, *names])
    models = (f"{client}--first", f"{client}--second")
    return [replace(_cells()[name], id=f"{client}/{name}", models=models) for name in every]


def _verified(played: Iterable[Played]) -> Verified:
    return verdicts.judge_all("test", list(played), list(CASES.values()))


def _played(aims: Iterable[Aim]) -> dict[str, Verified]:
    """Play wrong clients together, and judge each by its own cells."""
    todo = {aim.client: _of(aim.client, aim.cell) for aim in aims}
    flat = [cell for made in todo.values() for cell in made]
    seen = play("broken_clients.wrong:ask", flat, seed=11)
    by_id = {one.cell.id: one for one in seen}
    return {client: _verified(by_id[cell.id] for cell in made) for client, made in todo.items()}


@pytest.fixture(scope="module")
def quick() -> dict[str, Verified]:
    """What the quick wrong clients do."""
    return _played(QUICK)


@pytest.fixture(scope="module")
def slow() -> dict[str, Verified]:
    """What the slow wrong clients do."""
    return _played(SLOW)


def _caught(aim: Aim, verified: Verified) -> None:
    where = f"{aim.client}/{aim.cell}"
    (judged,) = [one for one in verified.judged if one.cell.id == where]
    rules = [one.kind.rule.removeprefix("client-") for one in judged.deviations]
    assert aim.rule in rules, judged.seen
    assert not aim.alone or rules == [aim.rule]
    assert f"client-{aim.rule}" in {one.rule for one in verified.findings}
    assert verified.cause in ("client_deviates", "client_untested")


@pytest.mark.parametrize("aim", QUICK, ids=[aim.client for aim in QUICK])
def test_a_wrong_client_is_caught_by_the_case_that_aims_at_it(
    aim: Aim, quick: dict[str, Verified]
) -> None:
    """A verifier that misses a seeded fault would pass the next incident."""
    _caught(aim, quick[aim.client])


def test_every_wrong_client_has_an_aim() -> None:
    """A client nobody aims at proves nothing."""
    assert {aim.client for aim in ALL} | {"NeverFallsBack"} == set(wrong.CLIENTS)
    assert len(ALL) >= 24


@pytest.mark.long
@pytest.mark.parametrize("aim", SLOW, ids=[aim.client for aim in SLOW])
def test_a_slow_wrong_client_is_caught_too(aim: Aim, slow: dict[str, Verified]) -> None:
    """Some mistakes show only after seconds, or over many calls."""
    _caught(aim, slow[aim.client])


@pytest.mark.long
def test_a_client_that_never_falls_back_is_one_finding() -> None:
    """It is one thing to repair, not one a case."""
    names = ["status_529/ever/whole", "status_500/5s/whole"]
    seen = play("broken_clients.wrong:ask", _of("NeverFallsBack", *names), seed=11)
    verified = _verified(seen)
    assert [one.rule for one in verified.findings] == ["client-no-fallback"]
    assert set(verified.matrix["verdict"]) == {"ok"}


@pytest.mark.long
def test_a_client_that_ignores_its_cancellation_is_caught(tmp_path: Any) -> None:
    """A user who closes the page must not pay for three more attempts."""
    spec = find_client("broken_clients.stubborn:ask")
    wanted = ("healthy", "cancel_in_backoff", "cancel_in_answer", "upstream_unavailable")
    todo = [
        one
        for one in cells.cells([CASES[name] for name in wanted], spec)
        if not one.stream and one.duration in ("", "ever")
    ]
    verified = _verified(play(spec, todo, seed=11, folder=tmp_path))
    bad = verified.matrix[verified.matrix["verdict"] == "error"]
    assert set(bad["case"]) == {"cancel_in_backoff", "cancel_in_answer"}
    assert {one.rule for one in verified.findings} == {"client-ignores-cancel"}


# Right clients ----------------------------------------------------------------------------------

RIGHT = ["reference", "broken_clients.careful:ask", "broken_clients.careful_sdk:ask"]


@pytest.mark.long
@pytest.mark.parametrize("client", RIGHT)
def test_no_right_client_is_accused(client: str) -> None:
    """One false alarm, and nobody believes the next one."""
    spec = find_client(client)
    todo = cells.cells(list(CASES.values()), spec)
    verified = verdicts.judge_all(client, play(spec, todo, seed=5), list(CASES.values()))
    bad = verified.matrix[verified.matrix["verdict"] != "ok"]
    assert bad[["cell", "verdict", "seen"]].to_dict("records") == []
    assert [one.status for one in verified.findings] == [Status.PASS]
    assert verified.cause == "client_passes"


SMOKE = ["broken_clients.careful:ask"]


@pytest.mark.parametrize("client", SMOKE)
def test_a_right_client_passes_what_the_wrong_ones_fail(client: str) -> None:
    """The same cells that catch the wrong ones accuse nobody who is right."""
    todo = [_cells()[name] for name in dict.fromkeys([PROBE, *(aim.cell for aim in QUICK)])]
    verified = _verified(play(client, todo, seed=11))
    assert set(verified.matrix["verdict"]) == {"ok"}, verified.deviations.to_string()
