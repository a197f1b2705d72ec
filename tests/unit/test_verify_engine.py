"""What is played is what the cell says, and both sides of the socket are told as they were."""

import asyncio
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from engine_kit import Ending, Place, Role, cell, client, ending, one, several, statuses, step

from runbook_lib.errors import ParameterError
from runbook_lib.verify.play import play
from runbook_lib.verify.records import Played


def _fields(played: Played) -> list[object]:
    """All that must be the same when the same is played again: no times, no ids."""
    seen = [
        (a.number, a.status, a.fault, a.code, a.model, a.whole, a.text, a.cost_usd, a.call)
        for a in played.attempts
    ]
    got = [(o.ending, o.text, o.model, o.error, o.error_type) for o in played.outcomes]
    return [played.cell.id, seen, got, played.strays, played.notes]


def test_both_sides_of_a_good_call_are_told() -> None:
    """The judge compares what was sent with what was given, and what it cost."""
    found = one("plain")
    (attempt,), (outcome,) = found.attempts, found.outcomes
    assert (attempt.status, attempt.whole, attempt.call, attempt.model) == (200, True, 1, "gpt-5.4")
    assert attempt.path == "/v1/chat/completions"
    assert outcome.ending is Ending.TEXT
    assert outcome.text == attempt.text != ""
    assert attempt.cost_usd is not None
    assert Decimal("0.00001") < attempt.cost_usd < Decimal("0.01")
    assert 0 <= attempt.at_s <= (attempt.ended_s or 0) <= outcome.ended_s + 0.1
    assert len(attempt.request_ids) == 2
    assert (found.connections, found.strays, found.leaks, list(found.notes)) == (1, 0, 0, [])


def test_steps_are_used_up_in_order() -> None:
    """Once this, twice that, then nothing: as the case is written."""
    found = one("tries", step("status_503", 1), step("cap_nested", 2), models=("gpt-5.4",))
    assert statuses(found) == [503, 429, 429]
    assert found.attempts[1].code == "API_KEY_QUOTA_EXHAUSTED"
    again = one("tries", step("status_503", 1), step("rate_limit", 1))
    assert statuses(again) == [503, 429, 200]
    assert ending(again) is Ending.TEXT


def test_a_step_can_mean_the_primary_or_the_fallbacks() -> None:
    """Whether a fallback helps depends on whom a fault hits."""
    down = one("tries", step("status_500", role=Role.PRIMARY))
    assert [(a.model, a.status) for a in down.attempts] == [
        *[("gpt-5.4", 500)] * 3,
        ("gpt-5.4-mini", 200),
    ]
    other = one("tries", step("status_500", role=Role.FALLBACK), models=("a", "b", "c"))
    assert statuses(other) == [200]
    both = [step("status_500", role=Role.PRIMARY), step("status_502", role=Role.FALLBACK)]
    third = one("tries", *both, models=("a", "b", "c"))
    assert statuses(third) == [500] * 3 + [502] * 6


def test_a_step_can_end_by_time() -> None:
    """A fault of some seconds is over for whoever waits."""
    found = one("tries", step("status_503", for_s=0.1))
    assert statuses(found) in ([503, 503, 200], [503, 200])


@pytest.mark.long
def test_chance_is_the_cells_own() -> None:
    """The same seed hits the same attempts, whatever other cells do meanwhile."""
    wanted = cell("random", step("status_503", p=0.4), calls=40)
    alone = several("plain", [wanted])[0]
    crowd = several("plain", [replace(wanted, id=f"other {n}") for n in range(5)] + [wanted])[-1]
    assert statuses(alone) == statuses(crowd)
    assert 5 < statuses(alone).count(503) < 30
    assert statuses(several("plain", [wanted], seed=2)[0]) != statuses(alone)


@pytest.mark.long
def test_the_same_seed_plays_the_same() -> None:
    """A matrix that changes by itself can block no release."""
    faults = ["status_503", "cap_nested", "retry_after_1", "empty_body", "reset_before_bytes"]
    cells = [
        cell(f"{fault} {times}", step(fault, times), deadline_s=3.0)
        for fault in faults
        for times in (1, 0)
    ]
    for name in ("tries", "draws"):
        first, second = several(name, cells), several(name, cells)
        assert list(map(_fields, first)) == list(map(_fields, second))


@pytest.mark.long
def test_the_clients_own_chance_is_seeded_by_cell() -> None:
    """Jitter of a client is part of what must repeat; two cells still draw differently."""
    first, second = several("draws", [cell("one"), cell("two")])
    assert first.outcomes[0].text != second.outcomes[0].text


@pytest.mark.parametrize(
    ("place", "steps", "seen", "end"),
    [
        pytest.param(Place.REFUSED, [step("refused", 2)], [None, None, 200], "text", id="twice"),
        pytest.param(Place.REFUSED, [step("refused")], [None] * 6, "raised", id="ever"),
        pytest.param(Place.REFUSED, [], [None] * 6, "raised", id="no-step", marks=pytest.mark.long),
        pytest.param(
            Place.REFUSED,
            [step("refused", 1), step("status_503", 1)],
            [None, 503, 200],
            "text",
            id="then-503",
            marks=pytest.mark.long,
        ),
        pytest.param(Place.UNRESOLVED, [], [None] * 6, "raised", id="unresolved"),
    ],
)
def test_where_nobody_listens_attempts_are_counted_too(
    place: Place, steps: list, seen: list, end: str
) -> None:
    """No server sees a refused connection; the client's own process does."""
    found = one("tries", *steps, place=place)
    assert statuses(found) == seen
    assert ending(found).value == end
    unheard = [a.fault for a in found.attempts if a.status is None]
    assert set(unheard) == {place.value}


@pytest.mark.long
def test_a_refusal_can_end_by_time() -> None:
    """The port listens after so many seconds, counted from the first call."""
    found = one("tries", step("refused", for_s=0.15), place=Place.REFUSED)
    assert statuses(found)[-1] == 200
    assert 2 <= len(found.attempts) <= 5


@pytest.mark.parametrize("place", [Place.TLS_BROKEN, Place.PLAIN_ON_TLS])
def test_a_broken_handshake_is_an_attempt(place: Place) -> None:
    """No request comes through, and yet the client tried."""
    found = one(replace(client("x"), name="httpx", kind="adapter"), place=place)
    assert [(a.status, a.fault, a.call) for a in found.attempts] == [(None, place.value, 1)]
    assert ending(found) is Ending.RAISED


def test_calls_of_a_cell_are_told_apart() -> None:
    """Waits and retries are judged call by call, even of calls that run at the same time."""
    found = one("tries", step("status_503", p=0.3), calls=12, at_once=4)
    assert len(found.outcomes) == 12
    assert {attempt.call for attempt in found.attempts} == set(range(1, 13))
    assert {outcome.call for outcome in found.outcomes} == set(range(1, 13))
    starts = [outcome.started_s for outcome in found.outcomes]
    assert starts == sorted(starts)
    assert starts[0] == 0


@pytest.mark.long
def test_calls_can_be_spaced() -> None:
    """A breaker shows its behaviour over time."""
    found = one("plain", calls=4, every_s=0.2)
    starts = [outcome.started_s for outcome in found.outcomes]
    assert [round(start, 1) for start in starts] == [0.0, 0.2, 0.4, 0.6]


@pytest.mark.long
def test_coroutines_run_at_the_same_time() -> None:
    """A herd of coroutines shares one loop, as in the user's program."""
    found = one("coroutine", calls=30, at_once=30, asynchronous=True)
    assert len(found.attempts) == 30
    assert {outcome.ending for outcome in found.outcomes} == {Ending.TEXT}


@pytest.mark.long
@pytest.mark.parametrize(
    ("situation", "seen"),
    [
        pytest.param({"cap_usd": "0.0005"}, (429, "API_KEY_QUOTA_EXHAUSTED"), id="cap"),
        pytest.param({"window_5h_usd": "0.0005"}, (429, "rate_limit_exceeded"), id="window"),
        pytest.param({"balance_usd": "0.0005"}, (403, "billing_error"), id="balance"),
    ],
)
def test_money_runs_out_for_real(situation: dict[str, str], seen: tuple[int, str]) -> None:
    """A stop is rehearsed with real state: the calls before it are answered and billed."""
    found = one("plain", situation=situation, calls=8)
    kinds = [(a.status, a.code) for a in found.attempts]
    assert kinds[0] == (200, "")
    assert kinds[-1] == seen
    spent = sum((a.cost_usd or 0 for a in found.attempts), Decimal(0))
    assert Decimal("0.0005") <= spent < Decimal("0.003")
    assert one("plain").attempts[0].status == 200  # nobody else's money


def test_a_key_that_follows_a_redirect_is_seen() -> None:
    """Another host must not get the key."""
    found = one("follows", step("redirect_307_other_host"))
    assert found.leaks == 1
    assert "1 attempt brought its key to another host." in found.notes
    assert one("plain", step("redirect_307_other_host")).leaks == 0


@pytest.mark.parametrize(
    ("fault", "asked"),
    [
        ("retry_after_1_5", 1.5),
        ("retry_after_ms_1500", 1.5),
        ("retry_after_0", 0.0),
        ("retry_after_date_20", pytest.approx(20, abs=1.1)),
        ("retry_after_1e400", float("inf")),
        ("retry_after_inf", float("inf")),
        ("retry_after_negative", None),
        ("retry_after_past_date", None),
        ("retry_after_word", None),
        ("retry_after_nan", None),
        ("rate_limit", None),
    ],
)
def test_the_wait_that_was_asked_for_is_read(fault: str, asked: object) -> None:
    """Whether a client waited long enough is judged against this."""
    assert _faulted(fault, stream=False).attempts[0].retry_after_s == asked


_PLAYED: dict[str, Played] = {}


def _faulted(fault: str, name: str = "once_each", **fields: object) -> Played:
    """Play one attempt with a fault; all such faults of this file are played at once."""
    place = f"{fault} {name} {fields}"
    if place not in _PLAYED:
        faults = [
            *("retry_after_1_5", "retry_after_ms_1500", "retry_after_0", "retry_after_date_20"),
            *("retry_after_1e400", "retry_after_inf", "retry_after_negative", "retry_after_nan"),
            *("retry_after_past_date", "retry_after_word", "rate_limit", "wrong_model"),
            *("empty_body", "error_in_200", "truncated_json", "html_body", "stream_no_end"),
            *("stream_crlf", "stream_bom", "stream_cut_mid", "slow_first_byte", "huge_header"),
            *("no_answer", "reset_before_bytes", "cut_in_body", "key_cap_reached", "cap_in_200"),
            *("wrong_base_path", "stream_broken_after_first_byte", "stream_split_everywhere"),
        ]
        cells = [
            cell(one_fault, step(one_fault), models=("gpt-5.4",), **fields) for one_fault in faults
        ]
        for found in several(name, cells):
            _PLAYED[f"{found.cell.id} {name} {fields}"] = found
    return _PLAYED[place]


@pytest.mark.parametrize(
    ("fault", "stream", "whole", "text"),
    [
        ("wrong_model", False, True, True),
        ("slow_first_byte", False, True, True),
        ("empty_body", False, False, False),
        ("error_in_200", False, False, False),
        ("cap_in_200", False, False, False),
        ("truncated_json", False, False, False),
        ("html_body", False, False, False),
        ("wrong_base_path", False, False, False),
        ("huge_header", False, False, True),
        ("cut_in_body", False, False, False),
        ("no_answer", False, False, False),
        ("stream_no_end", False, True, True),
        ("stream_no_end", True, False, False),
        ("stream_crlf", True, True, True),
        ("stream_split_everywhere", True, True, True),
        ("stream_bom", True, False, True),
        ("stream_cut_mid", True, False, False),
        ("stream_broken_after_first_byte", True, False, False),
    ],
)
def test_what_was_whole_is_told(fault: str, stream: bool, whole: bool, text: bool) -> None:  # noqa: FBT001
    """A silent failure is a text that no whole answer held: both sides of it must be right."""
    (attempt, *_) = _faulted(fault, stream=stream).attempts
    assert attempt.fault == fault
    assert (attempt.whole, bool(attempt.text)) == (whole, text)


def test_billing_is_told_attempt_by_attempt() -> None:
    """What an outage costs is the sum of what was billed for nothing."""
    assert _faulted("cut_in_body", stream=False).attempts[0].cost_usd
    assert _faulted("no_answer", stream=False).attempts[0].cost_usd
    assert _faulted("reset_before_bytes", stream=False).attempts[0].cost_usd is None
    assert _faulted("key_cap_reached", stream=False).attempts[0].cost_usd is None


def test_streams_tell_their_first_byte() -> None:
    """Time to the first token, and whether anything was seen before the break."""
    stream = _faulted("stream_cut_mid", stream=True).attempts[0]
    assert stream.first_byte_s is not None
    assert stream.at_s <= stream.first_byte_s <= (stream.ended_s or 0)
    assert stream.sent_bytes > 0
    assert _faulted("wrong_model", stream=False).attempts[0].first_byte_s is None


def test_who_goes_away_is_told_from_who_is_sent_away() -> None:
    """A client that gives up is one thing, a server that hangs up another."""
    assert _faulted("no_answer", stream=False).attempts[0].left
    assert not _faulted("cut_in_body", stream=False).attempts[0].left
    assert not _faulted("stream_cut_mid", stream=True).attempts[0].left


def test_an_unknown_fault_is_refused() -> None:
    """A vector with a typing error must not pass as a sunny day."""
    with pytest.raises(ParameterError, match="status_999"):
        one("plain", step("status_999"))


def test_it_plays_inside_a_running_loop() -> None:
    """A notebook's cell runs inside a loop."""

    async def notebook() -> list[Played]:
        return play(client("plain"), [cell()], seed=1)

    assert ending(asyncio.run(notebook())[0]) is Ending.TEXT


def test_progress_is_told() -> None:
    """Who waits a minute wants to see that it goes on."""
    told: list[tuple[int, int]] = []
    play(client("plain"), [cell(f"{n}") for n in range(5)], seed=1, told=lambda *a: told.append(a))
    assert told == [(n, 5) for n in range(1, 6)]


@pytest.mark.long
def test_files_are_left_only_where_they_are_asked_for(tmp_path: Path) -> None:
    """The sandbox's own export shows what the cells cost, when someone wants it."""
    play(client("plain"), [cell()], seed=1, folder=tmp_path)
    assert (tmp_path / "usage.csv").is_file() or list(tmp_path.rglob("*.csv"))


def test_cells_without_models_get_those_of_their_protocol() -> None:
    """A case need not know what the sandbox serves."""
    found = one("plain", models=())
    assert found.attempts[0].model == "gpt-5.4"
    assert found.cell.models


def test_nothing_to_play_is_nothing() -> None:
    """An empty selection is no error here."""
    assert several("plain", []) == []
