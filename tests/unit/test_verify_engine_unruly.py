"""Whatever a client does to its machine, it is told, the other cells go on, and nothing is left."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from engine_kit import (
    Cell,
    Ending,
    cell,
    client,
    ending,
    left_behind,
    one,
    several,
    statuses,
    step,
)

from runbook_lib.verify.play import find_client, play
from runbook_lib.verify.records import Played

NOTHING = "Nothing arrived at the base URL that it was given."


@pytest.fixture(autouse=True)
def nothing_is_left() -> object:
    """Every test ends with no process, no thread and no open file more than before."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    yield
    assert left_behind() == []
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 1


def _with_a_bad_one(model: str = "bad", count: int = 8) -> list[Cell]:
    """Cells of which the third asks for a model that makes the client misbehave."""
    usual = [cell(f"cell {n}", models=("gpt-5.4",), deadline_s=1.0) for n in range(count)]
    usual[2] = cell("cell 2", models=(model,), deadline_s=1.0)
    return usual


def _only_third(found: list[Played], end: Ending) -> Played:
    others = [ending(played) for n, played in enumerate(found) if n != 2]
    assert others == [Ending.TEXT] * len(others)
    assert ending(found[2]) is end
    return found[2]


@pytest.mark.parametrize(
    "name",
    ["sleeps", *(pytest.param(one, marks=pytest.mark.long) for one in ("spins", "never_gives_up"))],
)
def test_a_client_that_hangs_is_given_up(name: str) -> None:
    """Patience is the verifier's: its connections are dropped and its process is ended."""
    first, second = several(name, [cell("one", deadline_s=0.5), cell("two", deadline_s=0.5)])
    for found in (first, second):
        assert ending(found) is Ending.HUNG
        assert 0.75 <= found.outcomes[0].ended_s < 4
        assert found.attempts
        assert all(a.at_s <= found.outcomes[0].ended_s for a in found.attempts)


@pytest.mark.long
def test_a_coroutine_that_blocks_hurts_no_other_cell() -> None:
    """Each cell has a process and a loop of its own."""
    _only_third(several("blocks_its_loop", _with_a_bad_one("slow")), Ending.HUNG)


@pytest.mark.long
def test_code_that_holds_the_interpreter_is_found() -> None:
    """A search that never ends stops every thread of its process, and of no other one."""
    _only_third(several("holds_everything", _with_a_bad_one("slow")), Ending.HUNG)


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("leaves", "it ended its process with status 3"),
        pytest.param("crashes", "its process was ended by SIGSEGV", marks=pytest.mark.long),
        pytest.param("kills_itself", "it sent signal 9 to its own process", marks=pytest.mark.long),
        pytest.param("raises_signal", "its process was ended by SIGTERM", marks=pytest.mark.long),
        ("leaves_elsewhere", "it ended its process with status 5"),
    ],
)
def test_a_client_that_ends_its_process_is_found(name: str, how: str) -> None:
    """The cell that did it died; those that were under way beside it go on."""
    found = _only_third(several(name, _with_a_bad_one()), Ending.DIED)
    assert found.outcomes[0].error == how


def test_a_signal_reaches_no_process_but_its_own() -> None:
    """The verifier runs inside a notebook or a terminal that somebody needs."""
    found = _only_third(several("kills_its_parent", _with_a_bad_one()), Ending.RAISED)
    assert found.outcomes[0].error_type == "PermissionError"
    assert found.notes[0] == (
        "It sent a signal to a process that is not its own; that was refused."
    )


@pytest.mark.long
def test_a_process_that_ends_after_its_answer_has_answered() -> None:
    """The caller had its text; that the process then ended is another thing."""
    assert ending(one("leaves_afterwards")) is Ending.TEXT


@pytest.mark.long
def test_what_ended_with_the_process_of_all_is_played_again() -> None:
    """The system can end it, when memory is short; no cell is blamed for that."""
    ended = []

    def end_it(*_: int) -> None:
        if not ended:
            (first,) = _workers_of(os.getpid())
            os.kill(first, signal.SIGKILL)
            ended.append(first)

    cells = [cell(f"cell {n}", calls=4, every_s=0.2 * n) for n in range(4)]
    found = play(client("plain"), cells, seed=1, told=end_it)
    assert ended
    assert [len(played.outcomes) for played in found] == [4] * 4
    assert {one.ending for played in found for one in played.outcomes} == {Ending.TEXT}


def test_no_cell_knows_what_another_one_saw() -> None:
    """A breaker or a budget of the user's program must not carry over from case to case."""
    cells = [cell("first", step("status_503"), calls=3)] + [cell(f"then {n}") for n in range(5)]
    first, *others = several("remembers", cells)
    assert statuses(first) == [503]
    assert [ending(played) for played in others] == [Ending.TEXT] * 5


def test_calls_are_made_in_the_main_thread() -> None:
    """Signals work there only, and programs use them."""
    assert ending(one("alarms")) is Ending.TEXT


@pytest.mark.long
def test_exit_is_an_error_like_another() -> None:
    """`sys.exit` in a client ends its call, not its process."""
    found = _only_third(several("exits", _with_a_bad_one()), Ending.RAISED)
    assert found.outcomes[0].error_type == "SystemExit"


@pytest.mark.long
def test_a_client_that_always_dies_ends_too() -> None:
    """Each cell dies by itself, and all are played."""
    found = several("always_leaves", [cell(f"cell {n}") for n in range(80)])
    assert {ending(played) for played in found} == {Ending.DIED}
    assert all(played.notes == [NOTHING] for played in found)


def test_what_it_writes_never_reaches_our_output(capfd: pytest.CaptureFixture[str]) -> None:
    """Text, binary and a flood are taken, counted and told."""
    found = one("prints")
    assert ending(found) is Ending.TEXT
    assert any(note.startswith("It wrote 30") for note in found.notes)
    assert "Its process wrote to standard output past Python." in found.notes
    assert ending(one("floods", deadline_s=10.0)) is Ending.TEXT
    assert capfd.readouterr() == ("", "")


@pytest.mark.long
def test_a_fork_tells_nothing_and_does_not_stay() -> None:
    """A child that returns from the call must not answer for its parent."""
    found = one("forks")
    assert found.outcomes[0].text == found.attempts[0].text
    assert found.notes == ["It forked its process."]


def test_a_process_left_behind_is_ended_and_told() -> None:
    """Also one that has made itself independent."""
    found = one("leaves_a_child")
    assert found.notes == ["It left a process behind, which was ended: sleep."]


@pytest.mark.long
def test_a_thousand_connections_are_bounded() -> None:
    """One client must not take the sockets of all."""
    found = one("many_connections", deadline_s=8.0)
    assert found.connections == 1001
    assert any("connections beyond 128 at once were reset" in note for note in found.notes)
    assert ending(found) is Ending.RAISED


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("own_address", "It tried to reach gateway.example:8080, which is not this machine"),
        pytest.param(
            "own_number",
            "It tried to reach 192.0.2.1:8080, which is not this machine",
            marks=pytest.mark.long,
        ),
        ("says_nothing", "Nothing arrived at the base URL"),
    ],
)
def test_a_client_that_goes_elsewhere_is_stopped_and_told(name: str, note: str) -> None:
    """It would spend real money, or nothing at all was verified."""
    found = one(name)
    assert found.attempts == []
    assert any(note in one_note for one_note in found.notes)
    assert "Nothing arrived at the base URL that it was given." in found.notes


def test_a_key_of_the_environment_is_a_stray() -> None:
    """A client that ignores its key is seen by the key that it brings instead."""
    found = one("key_of_the_environment")
    assert (found.attempts, found.strays) == ([], 1)
    assert "1 attempt came without the key that it was given." in found.notes


@pytest.mark.parametrize(
    ("name", "end"), [("nothing", Ending.NO_TEXT), ("hostile_error", Ending.RAISED)]
)
def test_odd_results_are_read(name: str, end: Ending) -> None:
    """What is no text is told, and an error that cannot be written breaks nothing."""
    assert ending(one(name)) is end


def test_no_key_stands_in_what_is_told() -> None:
    """Errors of clients hold keys; findings must not."""
    found = one("key_in_error")
    assert found.outcomes[0].error == "cannot use [secret removed]"


@pytest.mark.long
def test_a_call_is_cancelled_as_the_cell_asks() -> None:
    """Half a second is what a cancelled call may take; one that goes on hangs."""
    fields = {"asynchronous": True, "cancel_after_s": 0.2, "deadline_s": 1.0}
    stopped, going = one("lets_itself_be_cancelled", **fields), one("ignores_cancel", **fields)
    assert ending(stopped) is Ending.CANCELLED
    assert 0.2 <= stopped.outcomes[0].ended_s < 0.7
    assert ending(going) is Ending.HUNG


@pytest.mark.long
def test_calls_after_one_that_hung_are_not_made() -> None:
    """The cell ends there, and says how much of it was not played."""
    found = one("sleeps", calls=5, deadline_s=0.4)
    assert [(outcome.ending, outcome.call) for outcome in found.outcomes] == [(Ending.HUNG, 1)]
    assert "4 of 5 calls were not made after that." in found.notes


@pytest.mark.long
def test_the_whole_matrix_survives_them_all() -> None:
    """After any of them the next client is verified as if nothing had been."""
    one("leaves", models=("bad",))
    assert statuses(one("tries", step("status_503", 1))) == [503, 200]


INTERRUPTED = """
import sys
sys.path[:0] = [{place!r}]
from engine_kit import cell, client
from runbook_lib.verify.play import play
try:
    play(client("sleeps"), [cell("a", deadline_s=60.0), cell("b", deadline_s=60.0)], seed=1)
except KeyboardInterrupt:
    sys.exit(42)
"""


@pytest.mark.long
def test_an_interrupt_ends_everything_at_once() -> None:
    """Ctrl-C in a notebook or a terminal leaves nothing running."""
    text = INTERRUPTED.format(place=str(Path(__file__).parent))
    with subprocess.Popen([sys.executable, "-c", text], start_new_session=True) as held:
        until = time.monotonic() + 20
        while not _workers_of(held.pid) and time.monotonic() < until:
            time.sleep(0.05)
        time.sleep(0.5)
        workers = _workers_of(held.pid)
        held.send_signal(signal.SIGINT)
        assert held.wait(10) == 42
    assert workers
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)


def _workers_of(parent: int) -> list[int]:
    """Processes that a process has started."""
    found = Path(f"/proc/{parent}/task/{parent}/children")
    threads = Path(f"/proc/{parent}/task").glob("*/children") if found.exists() else []
    return [int(pid) for each in threads for pid in each.read_text().split()]


@pytest.mark.long
def test_a_verifier_that_is_killed_leaves_no_worker() -> None:
    """Even then: a worker ends when nobody listens any more."""
    text = INTERRUPTED.format(place=str(Path(__file__).parent))
    with subprocess.Popen([sys.executable, "-c", text], start_new_session=True) as held:
        until = time.monotonic() + 20
        while not (workers := _workers_of(held.pid)) and time.monotonic() < until:
            time.sleep(0.05)
        time.sleep(0.5)
        workers = _workers_of(held.pid)
        held.kill()
    until = time.monotonic() + 10
    while any(_alive(pid) for pid in workers) and time.monotonic() < until:
        time.sleep(0.05)
    assert workers
    assert not any(_alive(pid) for pid in workers)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.mark.long
def test_the_loading_of_a_client_is_clean_too(capfd: pytest.CaptureFixture[str]) -> None:
    """A client is looked at before it is played; that leaves nothing either."""
    assert find_client("clients.unruly:prints").protocols == ("openai",)
    assert play(client("plain"), [cell()], seed=1)
    assert capfd.readouterr() == ("", "")
