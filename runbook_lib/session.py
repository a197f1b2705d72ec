"""Open the data a notebook works on, a store or the made-up sample, and take files into a store."""

import hashlib
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from runbook_lib import clock, redact, report
from runbook_lib.errors import InputError, StoreError, UnknownSourceError
from runbook_lib.version import __version__

if TYPE_CHECKING:
    from runbook_lib.sources.intake import Intake
    from runbook_lib.store import Added, Store

SANDBOX = "sandbox"
"""Stands for the sample data wherever a folder is asked for."""

SEED = 7
"""Seed of the sample data."""

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_PACKAGE = Path(__file__).parent
_MADE_BY = ("sandbox", "sources", "store", "schema")


def open_store(data_dir: str | Path = SANDBOX, *, timezone: str = "UTC") -> "Store":
    """Open the rows that were taken in, for reading.

    Args:
        data_dir: Folder given to `runbook intake --data`, or the word "sandbox" for sample data,
            which are made into the user's cache folder the first time (a few seconds).
        timezone: IANA zone in which `intake` tells times.

    Returns:
        The store; `intake` shows what it holds, `sample` tells made-up data.

    Raises:
        InputError: there is no such folder, or nothing was taken in there.
        ParameterError: there is no such zone.
        StoreError: the sample data cannot be written, or the store is broken.
    """
    from runbook_lib.store import Store

    report.install()
    place = clock.zone(timezone).key
    return Store(_sample() if str(data_dir) == SANDBOX else folder(data_dir), timezone=place)


def folder(data_dir: str | Path) -> Path:
    """Check that a path can be a store, without opening it.

    Args:
        data_dir: Path of a folder.

    Returns:
        The folder.

    Raises:
        InputError: it is an address, a file, empty, or not there.
    """
    text = str(data_dir)
    hint = "run `runbook intake FILE --data DIR` first and give the same DIR, or the word sandbox"
    if _ADDRESS.match(text):
        raise InputError(redact.safe(text), "is an address; nothing is fetched", hint=hint)
    path = Path(text).expanduser() if text else Path()
    if not text or "\0" in text or not path.exists():
        raise InputError(redact.safe(text) or '""', "does not exist", hint=hint)
    if not path.is_dir():
        raise InputError(redact.safe(text), "is a file, not the folder of a store", hint=hint)
    if not any(path.iterdir()):
        raise InputError(redact.safe(text), "is empty: nothing was taken in", hint=hint)
    return path


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What taking in some files did.

    Attributes:
        intakes: What was read, one a file and table.
        added: What the store made of each, in the same order.
        skipped: What lies in a folder and is of no known source, each with the reason.
        broken: Files that could not be read, each with a sentence.
        held: Rows the store holds now, by table.
        hints: What people should know of all of it together.
    """

    intakes: Sequence["Intake"]
    added: Sequence["Added"]
    skipped: Sequence[tuple[str, str]] = ()
    broken: Sequence[tuple[str, str]] = ()
    held: Mapping[str, int] = field(default_factory=dict)
    hints: Sequence[str] = ()

    @property
    def exit_code(self) -> int:
        """2 when no file could be read, 3 when something that should have been used was not."""
        if not self.intakes:
            return 2
        return 3 if self.broken or any(item.rejected for item in self.intakes) else 0


def take_in(
    paths: Sequence[str | Path],
    data_dir: str | Path,
    *,
    account: str = "",
    field_map: Mapping[str, str] | None = None,
    zone: ZoneInfo | None = None,
) -> Taken:
    """Read files and folders and add their rows to a store, all at once or not at all.

    A file that cannot be read does not keep the others out.

    Args:
        paths: Files, which should be of a known source, and folders, whose other files are skipped.
        data_dir: Folder of the store; made where it is not there.
        account: Account the rows belong to; empty where there is one.
        field_map: Column of `calls` → field of the log, over the guess.
        zone: Zone of times without an offset, which are rejected without it.

    Returns:
        What was read and added, and what was not.

    Raises:
        InputError: the one path that was given cannot be read or is of no known source, or
            *data_dir* can be no store; nothing was added.
        StoreError: the store cannot be written; nothing was added.
    """
    from runbook_lib import sources
    from runbook_lib.store import Store

    lake, found = _place(data_dir), sources.places(paths)
    alone = len(paths) == 1
    if alone and found.broken:
        raise found.broken[0][1]
    inside = lake.resolve()
    intakes: list[Intake] = []
    skipped = list(found.left_out)
    broken = [(shown, str(error)) for shown, error in found.broken]
    read = partial(sources.read, account=account, field_map=field_map, zone=zone)
    with Store(lake, read_only=False) as store, store.staging() as staging:
        for place in found.files:
            if inside in place.path.resolve().parents:
                continue
            try:
                intakes += read(place.path, staging, name=place.name)
            except InputError as error:
                if alone and place.named:
                    raise
                if isinstance(error, UnknownSourceError) and not place.named:
                    skipped.append((redact.safe(place.path), error.what))
                else:
                    broken.append((redact.safe(place.path), str(error)))
        added = store.add(intakes) if intakes else []
        card = store.intake
    held = {line.table: line.rows for line in card.tables}
    hints = _hints(account, card.owners.get(account, ()), intakes)
    return Taken(
        intakes=intakes, added=added, skipped=skipped, broken=broken, held=held, hints=hints
    )


def _hints(account: str, owners: Sequence[str], intakes: Sequence["Intake"]) -> list[str]:
    """Say where rows of several accounts were put into one."""
    if len(owners) < 2 or not any(item.owners for item in intakes):
        return []
    shown = ", ".join(owners[:5]) + (" …" if len(owners) > 5 else "")
    place = f"account {redact.safe(account)!r}" if account else "one account"
    return [
        f"these rows name {len(owners)} accounts or users ({shown}), and all were put into "
        f"{place}: if they are several accounts of yours, take in the files of each by "
        "themselves with --account NAME, into a new folder"
    ]


def _place(data_dir: str | Path) -> Path:
    text = str(data_dir)
    if not text or "\0" in text or _ADDRESS.match(text) or text == SANDBOX:
        raise InputError(redact.safe(text) or '""', "cannot be a store", hint="name a folder")
    return Path(text).expanduser()


def cache() -> Path:
    """The user's cache folder of this project."""
    home = Path.home()
    places = {
        "darwin": home / "Library" / "Caches",
        "win32": Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local"),
    }
    given = os.environ.get("XDG_CACHE_HOME", "")
    place = Path(given) if Path(given).is_absolute() else places.get(sys.platform, home / ".cache")
    return place / "torouter-runbooks"


def sample_folder() -> Path:
    """The place of the sample data: another one for every version of what makes them."""
    made_by = hashlib.sha256()
    for name in _MADE_BY:
        for source in sorted((_PACKAGE / name).rglob("*")):
            if source.suffix in (".py", ".toml", ".json"):
                made_by.update(source.read_bytes())
    return cache() / f"sample-{__version__}-{SEED}-{made_by.hexdigest()[:12]}"


def _sample() -> Path:
    """Make the sample data where they are not yet; whoever comes second takes the first's."""
    place = sample_folder()
    if place.is_dir():
        return place
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".making-", dir=place.parent) as made:
            _make(Path(made) / "files", Path(made) / "lake")
            _keep(Path(made) / "lake", place)
    except OSError as error:
        what = f"cannot be made for the sample data ({error.strerror})"
        raise StoreError(
            redact.safe(place), what, hint="set XDG_CACHE_HOME to another folder"
        ) from error
    return place


def _make(raw: Path, lake: Path) -> None:
    from runbook_lib import sandbox, sources
    from runbook_lib.store import Store

    raw.mkdir()
    sandbox.write_sample(raw, seed=SEED)
    with Store(lake, read_only=False) as store, store.staging() as staging:
        taken = [
            item
            for place in sources.places([raw]).files
            for item in sources.read(
                place.path, staging, name=place.name, account=sandbox.account_of(place.path)
            )
        ]
        store.add(taken, sample=True)


def _keep(lake: Path, place: Path) -> None:
    try:
        lake.rename(place)
    except OSError:
        if not place.is_dir():
            raise
        shutil.rmtree(lake)
