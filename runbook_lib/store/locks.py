"""One writer at a time, and no file taken away from under a reader.

Locks belong to an open file, so they end with their process, however it ends.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from runbook_lib.errors import StoreError

_WRITER, _READERS = ".writer.lock", ".readers.lock"


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Hold the lake for writing.

    Raises:
        StoreError: another writer is at it.
    """
    handle = os.open(folder / _WRITER, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError(
                folder, "is being written by another process", hint="try again when it has ended"
            ) from None
        yield
    finally:
        os.close(handle)


class Reading:
    """Tells writers that files of the lake are in use, until it is closed or the process ends."""

    def __init__(self, folder: Path) -> None:
        self._handle: int | None = None
        with suppress(OSError):  # a folder nobody may write to is swept by nobody
            self._handle = _opened(folder)
        if self._handle is not None:
            fcntl.flock(self._handle, fcntl.LOCK_SH)

    def close(self) -> None:
        """Let go."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


@contextmanager
def alone(folder: Path) -> Iterator[bool]:
    """Tell whether no reader is at the lake; while this is held none can come."""
    handle = os.open(folder / _READERS, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(handle)


def _opened(folder: Path) -> int:
    path = folder / _READERS
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
