"""The file of the call log: whole lines from threads, tasks and processes, never a failed call."""

import itertools
import logging
import os
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # a system without it still appends whole lines
    fcntl = None

_LOG = logging.getLogger(__name__)
_LOCK_WAIT_S = 0.1
_LOCK_STEP_S = 0.0005
_TRIES = 5


class LogFile:
    """One file that lines are appended to.

    A line is one append under a lock, so that writers never mix. A line that a killed writer left
    torn is ended first. What cannot be written is warned of once and then left out.

    Args:
        path: File; made when missing, its folder too.
        max_bytes: Size above which the file is set aside under the time of its last line, as
            `calls-20261123T235959.999999.jsonl`; 0 for never.
        daily: Whether the file is set aside when the day (UTC) of its last line is over.
    """

    def __init__(self, path: Path, *, max_bytes: int = 0, daily: bool = False) -> None:
        self.path, self.max_bytes, self.daily = path, max_bytes, daily
        self._name, self._warned = str(path), False
        self._fresh()

    def _fresh(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.RLock()  # a stream dropped unread is written while we write
        self._file, self._end = -1, -1

    def write(self, line: str) -> None:
        """Append a line; a failure is warned of once and never raised."""
        if self._pid != os.getpid():  # a lock taken before a fork would never be given back
            self._fresh()
        data = line.encode("utf-8", "backslashreplace") + b"\n"
        try:
            with self._lock:
                self._write(data)
        except OSError as error:
            self._warn(error)

    def _warn(self, error: OSError) -> None:
        if not self._warned:
            self._warned = True
            _LOG.warning("The call log %s cannot be written (%s); calls go on.", self.path, error)

    def _write(self, data: bytes) -> None:
        for tries_left in reversed(range(_TRIES)):  # others may set the file aside while we wait
            if self._file < 0:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0)
                self._file, self._end = os.open(self.path, flags, 0o600), -1
            locked = _take(self._file)
            try:
                held = os.fstat(self._file)
                if not tries_left or (
                    self._is_current(held) and not (locked and self._set_aside(held, len(data)))
                ):  # the last try takes the file as it is: one that is set aside is read as well
                    self._append(data, held.st_size, locked=locked)
                    return
            finally:
                if locked and fcntl is not None:
                    fcntl.flock(self._file, fcntl.LOCK_UN)
            os.close(self._file)
            self._file = -1

    def _is_current(self, held: os.stat_result) -> bool:
        try:
            named = os.stat(self._name)  # noqa: PTH116 - pathlib takes longer than the rest
        except FileNotFoundError:
            return False
        return (named.st_ino, named.st_dev) == (held.st_ino, held.st_dev)

    def _set_aside(self, held: os.stat_result, more: int) -> bool:
        """Rename a file that is full or of another day; tell whether it was."""
        if not held.st_size or not (self.max_bytes or self.daily):
            return False
        last = datetime.fromtimestamp(held.st_mtime, UTC)
        full = self.max_bytes and held.st_size + more > self.max_bytes
        old = self.daily and last.date() != datetime.now(UTC).date()
        if not full and not old:
            return False
        stem, place = f"{self.path.stem}-{last:%Y%m%dT%H%M%S.%f}", self.path
        for number in itertools.count(1):  # a file system's clock can stand still for a while
            more_of_it = f"-{number}" if number > 1 else ""
            place = self.path.with_name(f"{stem}{more_of_it}{self.path.suffix}")
            if not place.exists():  # under the lock nobody else makes it meanwhile
                break
        self.path.rename(place)
        return True

    def _append(self, data: bytes, size: int, *, locked: bool) -> None:
        """Append a line, on a line of its own though the last one of another writer be torn."""
        whole = size in (0, self._end)  # nobody has written since we did
        if not whole and hasattr(os, "pread") and os.pread(self._file, 1, size - 1) != b"\n":
            data = b"\n" + data
        if os.write(self._file, data) != len(data):
            if locked:
                os.ftruncate(self._file, size)
            raise OSError("no space for a whole line")
        self._end = size + len(data)


def _take(file: int) -> bool:
    """Take the lock; a writer that was stopped with it must not stop the callers of others."""
    if fcntl is None:
        return False
    end = 0.0
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            now = time.monotonic()
            end = end or now + _LOCK_WAIT_S
            if now > end:
                return False
            time.sleep(_LOCK_STEP_S)
        else:
            return True
