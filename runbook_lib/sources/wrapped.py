r"""Log lines as container runtimes and shippers write them, unwrapped to the line of the caller.

Docker puts a line into a JSON object (`{"log": "…\n", "stream": "stdout", "time": …}`), the
container runtimes of Kubernetes put a time, a stream and a tag before it
(`2026-11-24T05:31:40.3Z stdout F …`), both cut long lines in pieces; syslog, `kubectl logs` and
many loggers put a prefix before the JSON object.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runbook_lib.sources import lines

Line = tuple[int, str, Any, bool]
"""Number of the line, its text, what `lines.parsed` made of it, whether it is ended."""

_CRI = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d) (stdout|stderr) ([FP])(?:[\w:]*) ")
_PREFIX = re.compile(r"[^{}\"]{1,200}?[\s:|\])>=-](?=\{\s*\")")
_PIECE = 16_000
_STREAMS = ("stdout", "stderr")


@dataclass(slots=True, kw_only=True)
class Unwrapped:
    """Reads the lines of one file, and counts what it unwrapped.

    Attributes:
        counts: Lines by what was around them: "docker", "cri", "prefix".
    """

    counts: Counter[str] = field(default_factory=Counter)
    _pieces: dict[str, tuple[int, str]] = field(default_factory=dict)

    def read(self, path: Path) -> Iterator[Line]:
        """Yield every line that is not blank, what is around it taken off; pieces are joined.

        A joined line has the number of its first piece. One whose end is missing comes last, as
        not ended.
        """
        for number, raw, ended in lines.raw_lines(path):
            text = None if raw is None else lines.decoded(raw)
            if text is None:
                yield number, "", lines.BROKEN, True
                continue
            made = self.line(number, text, ended=ended)
            if made is not None:
                yield made
        for number, text in self._pieces.values():
            yield number, text, lines.parsed(text), False
        self._pieces.clear()

    def line(self, number: int, text: str, *, ended: bool) -> Line | None:
        """Unwrap one line; None for a piece of one that is not whole yet."""
        value = lines.parsed(text)
        if isinstance(value, dict):
            inner = _docker(value)
            if inner is None:
                return number, text, value, ended
            return self._piece("docker", value["stream"], number, inner, whole=_is_whole(inner))
        if value is lines.BROKEN:
            return number, text, value, ended
        match = _CRI.match(text)
        if match is not None:
            inner = text[match.end() :].rstrip("\r\n")
            whole = match[2] == "F"
            return self._piece("cri", match[1], number, inner, whole=whole, ended=ended)
        held = _behind_prefix(text)
        if held is None:
            return number, text, None, ended
        self.counts["prefix"] += 1
        return number, *held, ended

    def _piece(
        self,
        kind: str,
        stream: str,
        number: int,
        text: str,
        *,
        whole: bool,
        ended: bool = True,
    ) -> Line | None:
        """Put a piece of a line behind those held; gives the line when it is whole."""
        first, held = self._pieces.pop(stream, (number, ""))
        text = held + text
        if not whole and len(text) < lines.LONGEST:
            self._pieces[stream] = first, text
            return None
        self.counts[kind] += 1
        bare = text.strip()
        return first, bare, lines.parsed(bare), ended


def any_record(text: Iterable[str]) -> bool:
    """Tell whether one of some lines is a JSON object, unwrapped."""
    around = Unwrapped()
    made = (around.line(number, line, ended=True) for number, line in enumerate(text))
    return any(line is not None and isinstance(line[2], dict) for line in made)


def _docker(value: Mapping[str, Any]) -> str | None:
    inner = value.get("log")
    return inner if isinstance(inner, str) and value.get("stream") in _STREAMS else None


def _is_whole(inner: str) -> bool:
    """Tell a line from a piece of one: shippers strip the line feed, Docker cuts at 16 KiB."""
    return inner[-1:] == "\n" or len(inner.encode("utf-8", "replace")) < _PIECE


def _behind_prefix(text: str) -> tuple[str, dict[str, Any]] | None:
    """Find the one JSON object that ends a line of text."""
    bare = text.rstrip()
    match = _PREFIX.match(bare) if bare.endswith("}") else None
    if match is None:
        return None
    inner = bare[match.end() :]
    value = lines.parsed(inner)
    return (inner, value) if isinstance(value, dict) else None


def note(counts: Mapping[str, int]) -> str:
    """Say what was unwrapped; empty where nothing was."""
    names = {
        "docker": "out of Docker's JSON",
        "cri": "from behind the container runtime's time and stream",
        "prefix": "from behind a prefix",
    }
    told = [f"{count:,} {names[kind]}" for kind, count in sorted(counts.items())]
    return f"lines were unwrapped: {', '.join(told)}" if told else ""
