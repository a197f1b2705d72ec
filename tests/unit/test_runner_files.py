"""The files of a run are all whole or none, stay in their folder, and touch nobody else's."""

import contextlib
import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from runbook_lib.errors import InputError
from runbook_lib.findings import SCHEMA
from runbook_lib.runner import files

ODD = [
    "../../etc/x",
    "a/b",
    "CON",
    ".",
    "..",
    "",
    "a" * 300,
    "a\0b",
    "{x.__class__}",
    "\u202ex",
    "a.",
]


def _content(mark: str) -> dict[str, str]:
    """The files of one run, all with the same mark."""
    names = sorted([files.FINDINGS, files.REPORT, *(f"rows{at}.csv" for at in range(6))])
    told = json.dumps({"schema": SCHEMA, "run": {"files": names}, "mark": mark})
    return {name: told if name == files.FINDINGS else mark * 1000 for name in names}


def _mark(folder: Path) -> str:
    """The one mark all files of a folder have; fails on a mixture."""
    mark = json.loads((folder / files.FINDINGS).read_text())["mark"]
    for path in folder.iterdir():
        if path.name != files.FINDINGS:
            assert path.read_text() == mark * 1000, path.name
    assert {path.name for path in folder.iterdir()} == set(_content(mark))
    return mark


@pytest.mark.parametrize("name", ODD)
def test_a_file_name_stays_in_its_folder(name: str, tmp_path: Path) -> None:
    """Names can come from data; none may lead out or be special on some system."""
    safe = files.safe_name(name)
    assert (tmp_path / safe).resolve().parent == tmp_path.resolve()
    assert safe.isascii()
    assert len(safe) <= 64
    assert safe.upper() not in ("CON", ".", "")


def test_a_usual_name_is_kept() -> None:
    """People look for `attempts.csv`, not for a hash."""
    assert files.safe_name("attempts.csv") == "attempts.csv"


def test_a_second_run_replaces_the_first_whole(tmp_path: Path) -> None:
    """What the first run left and the second does not make goes away; nothing is left beside."""
    out = tmp_path / "out"
    files.put(out, _content("a"))
    assert _mark(out) == "a"
    files.check(out)
    files.put(out, _content("b"))
    assert _mark(out) == "b"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("swaps", [True, False], ids=["one-step", "two-steps"])
def test_it_also_works_where_folders_cannot_be_swapped(tmp_path, monkeypatch, swaps) -> None:
    """Not every system exchanges two folders in one step."""
    if not swaps:
        monkeypatch.setattr(files, "_swapped", lambda *_: False)
    for mark in "ab":
        files.put(tmp_path / "out", _content(mark))
    assert _mark(tmp_path / "out") == "b"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_mount_point_is_filled_file_by_file(tmp_path, monkeypatch) -> None:
    """A folder that is mounted into a container cannot be moved, and its parent not written."""
    out = tmp_path / "out"
    files.put(out, _content("a"))

    monkeypatch.setattr(files, "_swapped", lambda *_: False)
    real = Path.replace

    def refuse(self, to):
        if self.is_dir():
            raise OSError(errno.EBUSY, "busy")
        return real(self, to)

    monkeypatch.setattr(Path, "replace", refuse)
    files.put(out, _content("b"))
    assert _mark(out) == "b"


def test_a_folder_with_files_of_others_is_refused(tmp_path: Path) -> None:
    """`--out .` must not delete somebody's work."""
    (tmp_path / "thesis.doc").write_text("x")
    with pytest.raises(InputError, match=r"thesis\.doc"):
        files.check(tmp_path)
    assert (tmp_path / "thesis.doc").exists()


def test_a_file_beside_an_earlier_run_is_refused_too(tmp_path: Path) -> None:
    """A note put into the folder of a report belongs to somebody."""
    files.put(tmp_path / "out", _content("a"))
    (tmp_path / "out" / "note.txt").write_text("x")
    with pytest.raises(InputError, match=r"note\.txt"):
        files.check(tmp_path / "out")


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    """Said before anything is run."""
    (tmp_path / "out").write_text("x")
    with pytest.raises(InputError, match="is a file"):
        files.check(tmp_path / "out")
    with pytest.raises(InputError, match="cannot be written"):
        files.check(tmp_path / "out" / "deeper")


def test_a_disk_that_is_full_leaves_the_old_report(tmp_path, monkeypatch) -> None:
    """Half a report is worse than yesterday's."""
    out = tmp_path / "out"
    files.put(out, _content("a"))
    calls = iter([None, None])

    def full(_):
        if next(calls, "full") == "full":
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        files.put(out, _content("b"))
    assert _mark(out) == "a"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


WRITER = """
import sys
sys.path.insert(0, {tests!r})
import test_runner_files as t
from pathlib import Path
from runbook_lib.runner import files
at = 0
print("ready", flush=True)
while True:
    at += 1
    files.put(Path({out!r}), t._content("ab"[at % 2]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="folders are swapped in one step on Linux")
def test_killed_at_any_time_it_leaves_an_old_or_a_new_report(tmp_path: Path) -> None:
    """A scheduler kills without asking; whoever reads the folder must not see a mixture."""
    out = tmp_path / "out"
    files.put(out, _content("a"))
    code = WRITER.format(tests=str(Path(__file__).parent), out=str(out))
    for place in range(12):
        with subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout.readline() == "ready\n"
            with contextlib.suppress(subprocess.TimeoutExpired):
                writer.wait(timeout=0.011 * place)
            writer.send_signal(signal.SIGKILL)
            writer.wait()
        assert _mark(out) in "ab"
