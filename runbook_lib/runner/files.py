"""The files of a run, all whole or none: made beside their place, then moved into it at once."""

import ctypes
import ctypes.util
import errno
import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runbook_lib import redact
from runbook_lib.errors import InputError
from runbook_lib.findings import SCHEMA

FINDINGS = "findings.json"
REPORT = "report.html"
NOTEBOOK = "report.ipynb"

_SAFE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
_RESERVED = re.compile(r"(?i)(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?")
_AT_FDCWD = -100
_SWAP = 2
_NOT_AT_ONCE = (errno.EXDEV, errno.EBUSY, errno.EACCES, errno.EPERM, errno.EROFS)


def safe_name(name: str) -> str:
    """Give a file name that stays in its folder on every system; others become a hash."""
    if _SAFE.fullmatch(name) and not _RESERVED.fullmatch(name) and not name.endswith("."):
        return name
    return f"file-{hashlib.sha256(name.encode('utf-8', 'replace')).hexdigest()[:12]}"


def as_json(content: Mapping[str, Any]) -> str:
    """Write JSON in one form, so that the same content has the same bytes."""
    return json.dumps(content, ensure_ascii=False, indent=2, allow_nan=False) + "\n"


def check(folder: Path) -> None:
    """Refuse a place that holds anything but an earlier run, before anything is run.

    Raises:
        InputError: it is a file, holds other files, or its parent cannot be made.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        if folder.exists() and not folder.is_dir():
            raise InputError(redact.safe(folder), "is a file", hint="give a folder for the report")
        strange = _strange(folder) if folder.is_dir() else []
    except OSError as error:
        what = f"cannot be written ({error.strerror})"
        raise InputError(redact.safe(folder), what, hint="give another --out") from error
    if strange:
        what = f"holds files of others ({redact.safe(strange[0])})"
        raise InputError(redact.safe(folder), what, hint="give a new or an empty folder")


def _strange(folder: Path) -> list[str]:
    held = sorted(path.name for path in folder.iterdir())
    try:
        before = json.loads((folder / FINDINGS).read_text(encoding="utf-8"))
        ours = set(before["run"]["files"]) if before["schema"] == SCHEMA else set()
    except (OSError, ValueError, KeyError, TypeError):
        ours = set()
    return [name for name in held if name not in ours]


def put(folder: Path, files: Mapping[str, str]) -> None:
    """Write files as the whole content of a folder: the old content or the new, never a mixture.

    Where a folder cannot be moved, as a mount point cannot, its files are replaced one by one,
    `findings.json` last.

    Args:
        folder: Place of the files; what an earlier run left there goes.
        files: Text by file name.

    Raises:
        OSError: it cannot be written; the old content is still there.
    """
    try:
        made = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError:
        if not folder.is_dir():
            raise
        _one_by_one(folder, files)
        return
    try:
        _fill(made, files)
        _place(made, folder, files)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _fill(folder: Path, files: Mapping[str, str]) -> None:
    folder.chmod(0o755 & ~_umask())
    for name, text in files.items():
        with (folder / name).open("w", encoding="utf-8", newline="\n") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _place(made: Path, folder: Path, files: Mapping[str, str]) -> None:
    try:
        if not folder.exists() or not any(folder.iterdir()):
            made.replace(folder)
        elif not _swapped(made, folder):
            old = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
            folder.replace(old)
            made.replace(folder)
            shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        if error.errno not in _NOT_AT_ONCE or not folder.is_dir():
            raise
        _one_by_one(folder, files)


def _swapped(one: Path, other: Path) -> bool:
    """Exchange two folders in one step, where the system can."""
    names = {"linux": "renameat2", "darwin": "renamex_np"}
    library = ctypes.CDLL(ctypes.util.find_library("c"), use_errno=True)
    call = getattr(library, names.get(sys.platform, ""), None)
    if call is None:
        return False
    paths = os.fsencode(one), os.fsencode(other)
    if sys.platform == "darwin":
        return bool(call(*paths, ctypes.c_uint(_SWAP)) == 0)
    at = ctypes.c_int(_AT_FDCWD)
    return bool(call(at, paths[0], at, paths[1], ctypes.c_uint(_SWAP)) == 0)


def _one_by_one(folder: Path, files: Mapping[str, str]) -> None:
    old = [path for path in folder.iterdir() if path.is_file()]
    with tempfile.TemporaryDirectory(prefix=".new-", dir=folder) as made:
        _fill(Path(made), files)
        for name in sorted(files, key=lambda name: name == FINDINGS):
            (Path(made) / name).replace(folder / name)
    for path in old:
        if path.name not in files:
            path.unlink()


def put_one(path: Path, text: str) -> None:
    """Write one file: the old one or the whole new one."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    made = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as out:
            out.write(text)
        made.chmod(0o644 & ~_umask())
        made.replace(path)
    finally:
        made.unlink(missing_ok=True)
