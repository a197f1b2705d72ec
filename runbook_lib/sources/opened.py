"""Open an input file safely: a plain local file, its bytes hashed, honest gzip unpacked in bounds.

Nothing is ever fetched, whatever looks like an address; nothing but a regular file is opened; a
packed file may not grow without measure.
"""

import hashlib
import os
import re
import stat
import tempfile
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from runbook_lib import redact
from runbook_lib.errors import InputError, UnknownSourceError

LARGEST_UNPACKED = 16 * 1024**3
"""Bytes a packed file may unpack to."""

LARGEST_RATIO = 300
"""Times its size a packed file may grow; logs grow 10 to 60 times, a bomb a thousand."""

_BLANKS = b"\xef\xbb\xbf \t\r\n"
_FREE_TO_GROW = 1024 * 1024
_CHUNK = 1024 * 1024
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]+:/+")
_OTHER_PACKING = {
    b"PK\x03\x04": "a zip archive (or a workbook)",
    b"PK\x05\x06": "an empty zip archive",
    b"BZh": "a bzip2 file",
    b"\xfd7zXZ": "an xz file",
    b"\x28\xb5\x2f\xfd": "a zstd file",
    b"7z\xbc\xaf": "a 7z archive",
    b"PAR1": "a Parquet file",
    b"SQLite format 3": "a SQLite database",
    b"%PDF": "a PDF document",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """An input file that can be read.

    Attributes:
        path: Plain UTF-8 file: the input itself, or its unpacked copy in the staging folder.
        source_file: What rows and messages call the input.
        digest: Waits for the SHA-256 of the input's bytes as stored, which is taken meanwhile.
        notes: What was done to read it.
    """

    path: Path
    source_file: str
    digest: Callable[[], str]
    notes: tuple[str, ...] = ()


def safe_name(path: str | Path) -> str:
    """Write a path for a message: no secret, one visible line."""
    return redact.safe(str(path), limit=300)


def check(path: str | Path) -> Path:
    """Make sure that a path is a regular local file that may be read.

    Raises:
        InputError: it is an address, is missing, or is no regular file.
    """
    text = str(path)
    shown = safe_name(text)
    if _URL.match(text):
        raise InputError(shown, "is an address, not a file", hint="download it and give its path")
    try:
        mode = Path(path).stat().st_mode
    except (OSError, ValueError) as error:
        link = isinstance(error, FileNotFoundError) and Path(path).is_symlink()
        what = "is a link that leads nowhere" if link else "does not exist or cannot be reached"
        raise InputError(shown, what, hint="check the path") from None
    if stat.S_ISDIR(mode):
        raise InputError(shown, "is a folder", hint="give its files, or the folder to the intake")
    if not stat.S_ISREG(mode):
        raise InputError(
            shown, "is a pipe, socket or device", hint="save what it gives to a file first"
        )
    return Path(path)


@contextmanager
def opened(path: str | Path, staging: Path, *, name: str = "") -> Iterator[Opened]:
    """Open an input file; an unpacked copy lives in *staging* until the block ends.

    Args:
        path: The input.
        staging: Folder for an unpacked copy.
        name: What rows and messages call it; its file name where none is given.

    Raises:
        InputError: it is no regular file, is empty, cannot be read, or grows without measure.
        UnknownSourceError: it is packed in another way, or no text.
    """
    real = check(path)
    made: list[Path] = []
    beside = ThreadPoolExecutor(1)  # hashing takes as long as a tenth of reading a large export
    try:
        head = _first(real)
        hashed = beside.submit(_digest, real)
        notes: tuple[str, ...] = ()
        if head.startswith(b"\x1f\x8b"):
            real = _unpacked(real, staging, made)
            head = _head(real, safe_name(path))
        _refuse_other_bytes(head, safe_name(path))
        if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
            real, notes = _as_utf8(real, staging, made), (*notes, "read as UTF-16")
            head = _head(real, safe_name(path))
        if b"\r" in head and b"\n" not in head:
            real, notes = _with_newlines(real, staging, made), (*notes, "its lines end in CR")
        called = safe_name(name or Path(path).name)
        yield Opened(path=real, source_file=called, digest=hashed.result, notes=notes)
    finally:
        beside.shutdown()
        for copy in made:
            copy.unlink(missing_ok=True)


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise _unreadable(path, error) from None
    return digest.hexdigest()


def _first(path: Path) -> bytes:
    """The first bytes of an input that is not empty."""
    try:
        with path.open("rb") as file:
            head = file.read(4096)
    except OSError as error:
        raise _unreadable(path, error) from None
    if not head.strip(_BLANKS) and path.stat().st_size <= len(head):
        raise InputError(safe_name(path), "is empty", hint="export it again")
    return head


def _unreadable(path: Path, error: OSError) -> InputError:
    what = f"cannot be read ({error.strerror or 'input error'})"
    return InputError(safe_name(path), what, hint="check its permissions")


def _head(path: Path, shown: str) -> bytes:
    """The first bytes of an unpacked copy, which messages call as its input."""
    with path.open("rb") as file:
        head = file.read(4096)
    if not head.strip(_BLANKS):
        raise InputError(shown, "is empty once unpacked", hint="export it again")
    return head


def _copy(staging: Path, made: list[Path]) -> BinaryIO:
    handle, name = tempfile.mkstemp(prefix="unpacked-", suffix=".tmp", dir=staging)
    made.append(Path(name))
    return os.fdopen(handle, "wb")


def _unpacked(path: Path, staging: Path, made: list[Path]) -> Path:
    packed = path.stat().st_size
    allowed = min(LARGEST_UNPACKED, max(_FREE_TO_GROW, LARGEST_RATIO * packed))
    written = 0
    with path.open("rb") as source, _copy(staging, made) as target:
        for chunk in _inflated(source, safe_name(path)):
            written += len(chunk)
            if written > allowed:
                raise InputError(
                    safe_name(path),
                    f"unpacks to more than {allowed // 1024**2} MiB from {packed // 1024} KiB",
                    hint="no log or export packs that well; unpack it yourself if you trust it",
                )
            target.write(chunk)
    return made[-1]


def _inflated(source: BinaryIO, shown: str) -> Iterator[bytes]:
    """Unpack gzip in chunks of bounded size, member after member."""
    member, started = zlib.decompressobj(wbits=31), False
    data = source.read(_CHUNK)
    try:
        while data:
            started = True
            out = member.decompress(data, _CHUNK)
            if out:
                yield out
            data = member.unconsumed_tail or (b"" if member.eof else source.read(_CHUNK))
            if member.eof:
                data = (member.unused_data or source.read(_CHUNK)).lstrip(b"\0")
                member, started = zlib.decompressobj(wbits=31), False
    except zlib.error:
        raise InputError(shown, "is a damaged gzip file", hint="fetch it again") from None
    if started and not member.eof:
        raise InputError(shown, "is a gzip file that is cut off", hint="fetch it again")


def _refuse_other_bytes(head: bytes, shown: str) -> None:
    for magic, what in _OTHER_PACKING.items():
        if head.startswith(magic):
            raise UnknownSourceError(shown, f"{what}: unpack it first" if "ar" in what else what)
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return
    if not head.strip(b"\0"):
        raise InputError(shown, "holds nothing but zero bytes", hint="copy or export it again")
    if shown.endswith(".gz") and head.startswith(b"\x1f"):
        raise InputError(shown, "is a gzip file that is cut off", hint="fetch it again")
    odd = sum(byte < 9 or 13 < byte < 32 for byte in head if byte != 27)
    if odd > len(head) // 50 + 2:
        raise UnknownSourceError(shown, "binary data")


def _with_newlines(path: Path, staging: Path, made: list[Path]) -> Path:
    with path.open("rb") as source, _copy(staging, made) as target:
        while chunk := source.read(_CHUNK):
            target.write(chunk.replace(b"\r", b"\n"))
    return made[-1]


def _as_utf8(path: Path, staging: Path, made: list[Path]) -> Path:
    try:
        with path.open(encoding="utf-16", newline="") as source, _copy(staging, made) as target:
            while text := source.read(_CHUNK):
                target.write(text.encode("utf-8", "replace"))
    except UnicodeError:
        raise UnknownSourceError(safe_name(path.name), "broken UTF-16") from None
    return made[-1]
