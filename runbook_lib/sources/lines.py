"""Read a file line by line in bounded memory, each line as a JSON object or as something else."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from runbook_lib.errors import InputError

_BEGINS = re.compile(
    r"\ufeff?\s*(?:\{|\[\s*(?:[{\[\]\"]|-?\d+(?:\.\d+)?\s*[,\]]|(?:true|false|null)\b|$))"
)

LONGEST = 64 * 1024 * 1024
"""Bytes of the longest line that is read; a longer one is refused as a record."""

LARGEST_DOCUMENT = 512 * 1024 * 1024
"""Bytes of the largest single JSON document that is read into memory."""

BROKEN = object()
"""Stands for a line that begins like a JSON object and is none."""


def raw_lines(path: Path) -> Iterator[tuple[int, bytes | None, bool]]:
    """Yield every line that is not blank: number, bytes (None if too long), whether it is ended."""
    with path.open("rb") as file:
        number = 0
        while line := file.readline(LONGEST):
            number += 1
            ended = line.endswith(b"\n")
            if not ended and len(line) >= LONGEST:
                while (more := file.readline(LONGEST)) and not more.endswith(b"\n"):
                    pass
                yield number, None, True
                continue
            if line.strip(b" \t\r\n\xef\xbb\xbf"):
                yield number, line, ended


def decoded(line: bytes) -> str | None:
    """Decode a line as UTF-8 without a mark of byte order, or None."""
    try:
        return line.decode("utf-8-sig" if line.startswith(b"\xef\xbb\xbf") else "utf-8")
    except UnicodeDecodeError:
        return None


def begins_json(text: str) -> bool:
    """Tell whether a text begins as a JSON object or list; "[pod/web]" and "[2026-…" do not."""
    return _BEGINS.match(text) is not None


def parsed(text: str) -> Any:
    """Parse one line: a dict, BROKEN for what only begins like one, None for anything else."""
    if text.lstrip()[:1] != "{":
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return BROKEN
    return value if isinstance(value, dict) else None


def document(path: Path, source_file: str) -> Any:
    """Parse a whole file as one JSON document; BROKEN when it is none.

    Raises:
        InputError: the file is too large to be read at once.
    """
    if path.stat().st_size > LARGEST_DOCUMENT:
        raise InputError(source_file, "is one very large JSON document", hint="give JSON lines")
    text = decoded(path.read_bytes())
    try:
        return BROKEN if text is None else json.loads(text)
    except (ValueError, RecursionError):
        return BROKEN
