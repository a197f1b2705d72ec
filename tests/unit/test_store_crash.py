"""A crash leaves the old state or the new, readers see one state, and two writers never meet."""

import os
import shutil
import subprocess
import sys
import threading
from decimal import Decimal
from pathlib import Path

import pytest

from runbook_lib.errors import StoreError
from runbook_lib.store import Filter, Store, manifest, parts, repeats
from tests.unit import store_kit as kit

ITEMS = [kit.item(number) for number in range(60)]
OLD, NEW = ITEMS[:20], ITEMS[10:50]
WRITER = """
import os, sys
from pathlib import Path
from runbook_lib import sources
from runbook_lib.store import Store, parts

left = int(sys.argv[2])

def counted(act):
    def acted(*given, **more):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), 9)
        return act(*given, **more)
    return acted

with Store(sys.argv[1], read_only=False) as store, store.staging() as staging:
    intakes = [i for path in sys.argv[3:] for i in sources.read(path, staging)]
    os.fsync, os.open = counted(os.fsync), counted(os.open)
    parts.copy, Path.replace, Path.unlink = map(counted, (parts.copy, Path.replace, Path.unlink))
    store.add(intakes)
"""
"""A writer that is killed at its nth step: a file opened, written, flushed, renamed or removed."""


def held(folder: Path) -> int:
    """Count the usage rows a new reader sees."""
    with Store(folder) as store:
        return store.rows("usage", Filter(), limit=0).total


def is_whole(folder: Path) -> None:
    """Check that every file the lake names is there and can be read, and nothing is doubled."""
    with Store(folder) as store:
        frame = store.rows("usage", Filter()).frame
        assert frame["ts"].is_unique
        assert sum(frame["cost_usd"]) == store.roll_up("usage", [])["cost_usd"][0]


STEPS = {
    "before the parts": (parts, "build"),
    "before the index": (parts, "index"),
    "before the parts are flushed": (parts, "flush"),
    "before repeats are hidden": (repeats, "hide"),
    "before the manifest": (manifest, "write"),
}


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS.keys())
def test_an_end_at_any_step_leaves_the_old_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: tuple[object, str]
) -> None:
    """A full disk, a lost power: what was not finished never happened, and can be done again."""
    store = kit.lake(tmp_path, kit.as_list(OLD))

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(*step, full)
        with pytest.raises(StoreError, match="nothing was added"):
            kit.take_in(store, tmp_path, kit.as_list(NEW))
    assert held(store.folder) == 20
    is_whole(store.folder)
    kit.take_in(store, tmp_path, kit.as_list(NEW))
    assert held(store.folder) == 50
    store.close()


def test_what_a_crash_left_is_swept(tmp_path: Path) -> None:
    """Leftovers of a dead writer do not pile up; what a reader may use stays."""
    store = kit.lake(tmp_path, kit.as_list(OLD))
    left = store.folder / "parts" / "usage-left.parquet"
    left.write_bytes(b"half")
    with Store(store.folder):
        kit.take_in(store, tmp_path, kit.as_list(NEW[:15]))
        assert left.exists()
    kit.take_in(store, tmp_path, kit.as_list(NEW))
    assert not left.exists()
    assert {path.name for path in (store.folder / "parts").iterdir()} == set(
        manifest.read(store.folder).files
    )


@pytest.mark.parametrize(
    "step",
    [
        pytest.param(step, marks=[] if step in (3, 11, 15, 99) else [pytest.mark.long])
        for step in (1, 3, 5, 7, 9, 11, 12, 13, 14, 15, 17, 19, 20, 99)
    ],
)
def test_a_killed_writer_leaves_the_old_state_or_the_new(tmp_path: Path, step: int) -> None:
    """Killed at whatever step: nothing half, and the next writer goes on at once."""
    store = kit.lake(tmp_path, kit.as_list(OLD))
    store.close()
    file = tmp_path / "new.json"
    file.write_text(kit.as_list(NEW))
    command = [sys.executable, "-c", WRITER, str(store.folder), str(step), str(file)]
    path = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    ended = subprocess.run(command, env=path, check=False).returncode
    assert held(store.folder) in ((20, 50) if ended else (50,))
    is_whole(store.folder)
    with Store(store.folder, read_only=False) as again:
        kit.take_in(again, tmp_path, kit.as_list(NEW))
    assert held(store.folder) == 50


def test_a_second_writer_is_told_to_wait(tmp_path: Path) -> None:
    """Two writers would lose the one what the other added; readers go on meanwhile."""
    from runbook_lib.store import locks

    store = kit.lake(tmp_path, kit.as_list(OLD))
    with locks.writing(store.folder):
        with pytest.raises(StoreError, match="written by another"):
            kit.take_in(store, tmp_path, kit.as_list(NEW))
        assert held(store.folder) == 20
    kit.take_in(store, tmp_path, kit.as_list(NEW))
    assert held(store.folder) == 50


def test_readers_see_whole_states_while_a_writer_adds(tmp_path: Path) -> None:
    """Notebooks stay open for hours while exports are taken in every night."""
    store = kit.lake(tmp_path, kit.as_list(ITEMS[:1]))
    seen: list[int] = []
    faults: list[BaseException] = []
    done = threading.Event()

    def look() -> None:
        try:
            while not done.is_set():
                seen.append(held(store.folder))
        except BaseException as fault:  # noqa: BLE001 - told in the main thread
            faults.append(fault)

    readers = [threading.Thread(target=look) for _ in range(3)]
    with Store(store.folder) as old:
        for reader in readers:
            reader.start()
        for count in range(2, 8):
            kit.take_in(store, tmp_path, kit.as_list(ITEMS[: 4 * count]))
        done.set()
        for reader in readers:
            reader.join()
        assert faults == []
        assert old.rows("usage", Filter(), limit=0).total == 1
    assert set(seen) <= {1, *range(8, 32, 4)}
    assert held(store.folder) == 28


def test_a_reader_keeps_its_state_when_its_files_are_merged_away(tmp_path: Path) -> None:
    """A question asked an hour later is answered from the same rows."""
    store = kit.lake(tmp_path)
    for number in range(31):
        kit.take_in(store, tmp_path, kit.as_csv(ITEMS[number : number + 1]))
    with Store(store.folder) as old:
        for number in range(31, 36):
            kit.take_in(store, tmp_path, kit.as_csv(ITEMS[number : number + 1]))
        assert old.rows("usage", Filter()).total == 31
        assert held(store.folder) == 36


def test_a_lake_that_nobody_may_write_to_can_be_read(tmp_path: Path) -> None:
    """A shared folder is often mounted for reading only."""
    store = kit.lake(tmp_path, kit.as_list(OLD))
    store.close()
    shutil.rmtree(store.folder / "tmp")
    for path in [*store.folder.rglob("*"), store.folder]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        assert held(store.folder) == 20
    finally:
        for path in [store.folder, *store.folder.rglob("*")]:
            path.chmod(0o755)


def test_money_is_kept_over_many_additions(tmp_path: Path) -> None:
    """What every file used is what the lake holds and hides."""
    store = kit.lake(tmp_path)
    for count in range(5, 60, 9):
        kit.take_in(store, tmp_path, kit.as_list(ITEMS[:count]))
    paid = sum(Decimal(str(row["actual_cost"])) for row in ITEMS[:59])
    assert store.roll_up("usage", [])["cost_usd"][0] == paid
    (card,) = store.intake.tables
    assert card.rows + card.repeated == sum(range(5, 60, 9))
