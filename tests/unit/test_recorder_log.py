"""The file of the call log stays whole, whatever happens to its writers."""

import json
import logging
import os
import shutil
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from runbook_lib.recorder import record
from runbook_lib.recorder.log import LogFile

httpx2 = pytest.importorskip("httpx2")

LINE = json.dumps({"a": "x" * 200})


def _write(path: str, count: int, max_bytes: int = 0) -> None:
    _lines_into(LogFile(Path(path), max_bytes=max_bytes), count)


def _lines_into(log: LogFile, count: int) -> None:
    for _ in range(count):
        log.write(LINE)


def test_threads_do_not_mix_their_lines(tmp_path: Path) -> None:
    """Half a line of one in a line of another would lose both."""
    log = LogFile(tmp_path / "calls.jsonl")
    threads = [threading.Thread(target=_lines_into, args=(log, 100)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "calls.jsonl").read_text().splitlines() == [LINE] * 400


WRITER = """
import json, sys, threading
from pathlib import Path
from runbook_lib.recorder.log import LogFile

path, name, threads, count, max_bytes, daily = sys.argv[1:]
log = LogFile(Path(path), max_bytes=int(max_bytes), daily=daily == "True")

def write(number):
    for at in range(int(count)):
        size = (at * 37 + number * 411) % 3000
        log.write(json.dumps({"writer": f"{name}/{number}", "at": at, "pad": "x" * size}))
        if at == number == 0:
            print(flush=True)

held = [threading.Thread(target=write, args=(number,)) for number in range(int(threads))]
for thread in held:
    thread.start()
"""
FOR_EVER = 10**9


def _writing(path: Path, name: int, *, count: int, **how: Any) -> subprocess.Popen[bytes]:
    asked = (path, name, how["threads"], count, how["max_bytes"], how["daily"])
    command = [sys.executable, "-c", WRITER, *map(str, asked)]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a writer in the middle of its writing."""
    assert process.stdout is not None
    assert process.stdout.readline() == b"\n"
    process.kill()
    process.communicate()


FEW, HUNDRED = (3, 1, 3, 60), (20, 10, 5, 500)


@pytest.mark.parametrize(
    ("aside", "sizes"),
    [
        pytest.param("by-size", FEW, id="few-by-size"),
        pytest.param("one-file", HUNDRED, id="one-file", marks=pytest.mark.long),
        pytest.param("by-size", HUNDRED, id="by-size", marks=pytest.mark.long),
        pytest.param("by-day", HUNDRED, id="by-day", marks=pytest.mark.long),
    ],
)
def test_writers_that_are_killed_cost_at_most_their_last_line(
    *, aside: str, sizes: tuple[int, int, int, int], tmp_path: Path
) -> None:
    """Workers share one log, some set it aside, some are killed: all other lines are there."""
    processes, killed, threads, count = sizes
    path = tmp_path / "calls.jsonl"
    how = {
        "threads": threads,
        "max_bytes": 50_000 if aside == "by-size" else 0,
        "daily": aside == "by-day",
    }
    if aside == "by-day":
        LogFile(path).write(json.dumps({"writer": "yesterday/0", "at": 0}))
        os.utime(path, (86_400, 86_400))
    doomed = [_writing(path, number, count=FOR_EVER, **how) for number in range(killed)]
    others = [_writing(path, number, count=count, **how) for number in range(killed, processes)]
    for process in doomed:
        _kill(process)
        if aside == "by-day":
            with suppress(FileNotFoundError):
                os.utime(path, (86_400, 86_400))
    for process in others:
        process.communicate()
        assert process.returncode == 0
    files = list(tmp_path.glob("*.jsonl"))
    assert (len(files) > 1) is (aside != "one-file")
    alive = {f"{at}/{thread}" for at in range(killed, processes) for thread in range(threads)}
    broken, numbers = 0, defaultdict(list)
    for line in (line for file in files for line in file.read_bytes().split(b"\n") if line):
        try:
            value = json.loads(line)
        except ValueError:
            broken += 1
            continue
        numbers[value["writer"]].append(value["at"])
    assert broken <= killed
    for name, found in numbers.items():
        whole = name in alive
        assert sorted(found) == list(range(count if whole else len(found)))
    assert alive <= numbers.keys()


def test_a_torn_line_is_ended_first(tmp_path: Path) -> None:
    """Without the line break the next line would be lost with the torn one."""
    path = tmp_path / "calls.jsonl"
    path.write_bytes(b'{"torn": ')
    _write(str(path), 1)
    assert path.read_text() == f'{{"torn": \n{LINE}\n'


def test_a_child_after_a_fork_writes_on(tmp_path: Path) -> None:
    """A lock held while the process forks must not stop the child for ever."""
    path = tmp_path / "calls.jsonl"
    log = LogFile(path)
    log.write(LINE)
    with log._lock:
        pid = os.fork()
        if pid == 0:
            log.write(LINE)
            os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    assert path.read_text().splitlines() == [LINE, LINE]


def test_a_file_of_yesterday_is_set_aside(tmp_path: Path) -> None:
    """One file a day, whoever writes first."""
    path = tmp_path / "calls.jsonl"
    log = LogFile(path, daily=True)
    log.write(LINE)
    os.utime(path, (0, 0))
    log.write(LINE)
    assert sorted(file.read_text() for file in tmp_path.iterdir()) == [f"{LINE}\n"] * 2


def _answered(path: Path) -> int:
    """Make a call that is recorded there; give its status."""
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, json={"id": "x"}))
    with record(httpx2.Client(transport=transport), path) as client:
        client.get("http://made/v1/models")
        return int(client.get("http://made/v1/models").status_code)


def _is_folder(folder: Path) -> Path:
    (folder / "calls.jsonl").mkdir()
    return folder / "calls.jsonl"


def _below_a_file(folder: Path) -> Path:
    (folder / "file").write_text("")
    return folder / "file" / "calls.jsonl"


def _full(folder: Path) -> Path:
    del folder
    return Path("/dev/full")


def _locked(folder: Path) -> Path:
    (folder / "locked").mkdir(mode=0o500)
    return folder / "locked" / "calls.jsonl"


@pytest.mark.parametrize("trouble", [_is_folder, _below_a_file, _full, _locked])
def test_what_cannot_be_written_is_warned_of_once(
    trouble: Callable[[Path], Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A full or forbidden disk costs one warning, not a call."""
    path = trouble(tmp_path)
    if path == Path("/dev/full") and not path.exists():
        pytest.skip("only where there is /dev/full")
    if trouble is _locked and os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    with caplog.at_level(logging.WARNING):
        assert _answered(path) == 200
    assert [record_.name for record_ in caplog.records] == ["runbook_lib.recorder.log"]


def test_a_file_that_may_not_grow_keeps_whole_lines(tmp_path: Path) -> None:
    """A limit of the system cuts a line in the middle: what is left of it is taken back."""
    path = tmp_path / "calls.jsonl"
    script = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from runbook_lib.recorder.log import LogFile\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "log = LogFile(Path(sys.argv[1]))\n"
        "for _ in range(20): log.write(sys.argv[2])\n"
    )
    asked = [sys.executable, "-c", script, str(path), LINE]
    ran = subprocess.run(asked, check=True, capture_output=True, text=True, timeout=30)
    assert ran.stderr.count("cannot be written") == 1
    assert path.read_text().splitlines() == [LINE] * (1000 // (len(LINE) + 1))


def test_a_folder_that_is_removed_is_made_again(tmp_path: Path) -> None:
    """Who clears a folder while the service runs loses what was in it, and nothing more."""
    path = tmp_path / "logs" / "calls.jsonl"
    log = LogFile(path)
    log.write(LINE)
    shutil.rmtree(path.parent)
    log.write(LINE)
    assert path.read_text().splitlines() == [LINE]


def test_a_writer_that_holds_the_lock_stops_nobody(tmp_path: Path) -> None:
    """A writer can be stopped by a debugger; the others go on."""
    fcntl = pytest.importorskip("fcntl")
    path = tmp_path / "calls.jsonl"
    with path.open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        LogFile(path, max_bytes=10).write(LINE)
        LogFile(path, max_bytes=10).write(LINE)
    assert path.read_text().splitlines() == [LINE] * 2


def test_the_log_is_for_its_owner_only(tmp_path: Path) -> None:
    """Ids and names of keys are nobody else's business."""
    LogFile(tmp_path / "calls.jsonl").write(LINE)
    assert (tmp_path / "calls.jsonl").stat().st_mode & 0o077 == 0
