"""The file of the call log stays whole, whatever happens to its writers."""

import json
import logging
import multiprocessing
import os
import signal
import threading
from pathlib import Path

import pytest

from runbook_lib.recorder.log import LogFile

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


@pytest.mark.parametrize(
    "max_bytes",
    [pytest.param(0, id="one-file", marks=pytest.mark.long), pytest.param(5000, id="set-aside")],
)
def test_processes_lose_no_line(tmp_path: Path, max_bytes: int) -> None:
    """Several workers share one log, also while one of them sets it aside."""
    path = tmp_path / "calls.jsonl"
    spawn = multiprocessing.get_context("spawn")
    held = [spawn.Process(target=_write, args=(str(path), 100, max_bytes)) for _ in range(3)]
    for process in held:
        process.start()
    for process in held:
        process.join()
    files = list(tmp_path.glob("*.jsonl"))
    assert (len(files) > 1) is bool(max_bytes)
    assert [line for file in files for line in file.read_text().splitlines()] == [LINE] * 300


def test_a_killed_writer_costs_at_most_its_last_line(tmp_path: Path) -> None:
    """A worker can be killed at any instant; the others' lines stay readable."""
    path = tmp_path / "calls.jsonl"
    spawn = multiprocessing.get_context("spawn")
    process = spawn.Process(target=_write, args=(str(path), 10**9))
    process.start()
    while not path.exists() or path.stat().st_size < 20_000:
        pass
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    _write(str(path), 10)
    held = path.read_text().splitlines()
    assert sum(line != LINE for line in held) <= 1
    assert held[-10:] == [LINE] * 10


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


def test_what_cannot_be_written_is_warned_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A full or forbidden disk costs a warning, not a call."""
    log = LogFile(tmp_path)  # a folder
    with caplog.at_level(logging.WARNING):
        log.write(LINE)
        log.write(LINE)
    assert len(caplog.records) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only where there is /dev/full")
def test_a_full_disk_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    """The disk is full in the middle of a call: the call goes on."""
    with caplog.at_level(logging.WARNING):
        LogFile(Path("/dev/full")).write(LINE)
    assert len(caplog.records) == 1
