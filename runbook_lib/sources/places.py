"""Which files the paths of an intake stand for, what each is called, and what is left out."""

import os
import stat
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from runbook_lib.errors import InputError
from runbook_lib.sources.opened import check, safe_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One file to read.

    Attributes:
        path: Where it is.
        name: What rows and messages call it: its path inside the folder that was named, else its
            file name, with as many folders before it as tell it from the others.
        named: Whether it was named itself, and not only its folder.
    """

    path: Path
    name: str
    named: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """What some paths stand for.

    Attributes:
        files: The files to read, each once.
        left_out: What lies in a folder and is no regular file, with the reason.
        broken: Named paths that are no file, and folders that cannot be looked into, each with its
            error.
    """

    files: Sequence[Place]
    left_out: Sequence[tuple[str, str]]
    broken: Sequence[tuple[str, InputError]]


def places(paths: Iterable[str | Path]) -> Places:
    """List the files that paths stand for.

    Args:
        paths: Files, which are taken as they are, and folders, which are searched deep, in order
            of name; hidden files in them are left out.

    Returns:
        The files, and what is none.
    """
    found: dict[Path, str] = {}
    named: list[Path] = []
    left_out: dict[str, str] = {}
    broken: list[tuple[str, InputError]] = []
    for path in paths:
        folder = Path(path)
        if _is_folder(folder):
            inside = _inside(folder, broken)
            reasons = {item: _no_file(item) for item in inside}
            left_out |= {safe_name(item): reason for item, reason in reasons.items() if reason}
            good = [item for item, reason in reasons.items() if not reason]
            found |= {item: item.relative_to(folder).as_posix() for item in good}
            continue
        try:
            named.append(check(path))
        except InputError as error:
            broken.append((safe_name(path), error))
    names = found | dict(zip(named, _told_apart(named), strict=True))
    files = [
        Place(path=path, name=safe_name(name), named=path in named) for path, name in names.items()
    ]
    return Places(files=files, left_out=tuple(left_out.items()), broken=broken)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def _inside(folder: Path, broken: list[tuple[str, InputError]]) -> list[Path]:
    """List what is no folder in a folder, deep and in order of name; hidden names are left out."""

    def refused(error: OSError) -> None:
        shown = safe_name(error.filename or folder)
        what = f"cannot be looked into ({error.strerror})"
        broken.append((shown, InputError(shown, what, hint="check its permissions")))

    found: list[Path] = []
    for place, folders, names in os.walk(folder, onerror=refused):
        folders[:] = [name for name in folders if not name.startswith(".")]
        links = [name for name in folders if (Path(place) / name).is_symlink()]
        found += [Path(place) / name for name in (*names, *links) if not name.startswith(".")]
    return sorted(found)


def _no_file(path: Path) -> str:
    """Say why something in a folder is not read; empty for a regular file."""
    if path.is_symlink():
        return "is a link; name it itself" if path.exists() else "is a link that leads nowhere"
    try:
        mode = path.stat().st_mode
    except OSError as error:
        return f"cannot be reached ({error.strerror})"
    return "" if stat.S_ISREG(mode) else "is a pipe, socket or device"


def _told_apart(paths: Sequence[Path]) -> list[str]:
    """Call files by their names, with folders before those that share one."""
    shared = Counter(path.name for path in set(paths))
    return [path.name if shared[path.name] < 2 else _longer(path, paths) for path in paths]


def _longer(path: Path, paths: Sequence[Path]) -> str:
    parts = path.parts
    for length in range(2, len(parts)):
        tail = parts[-length:]
        if sum(other.parts[-length:] == tail for other in set(paths)) < 2:
            return "/".join(tail)
    return path.as_posix()
