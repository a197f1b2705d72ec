"""Lines as container runtimes and log shippers write them give the rows of the bare log."""

import json
from pathlib import Path
from typing import Any

import pytest
import sources_kit as kit
from hypothesis import given, settings
from hypothesis import strategies as st
from sources_kit import GUESSED, OWN, REFUSED

from runbook_lib.sources.wrapped import Unwrapped

RECORDS = [{**OWN, "torouter.call.id": f"c{at}"} for at in range(3)] + [
    {**REFUSED, "torouter.call.id": "c3"}
]
AT = "2026-11-24T05:31:40.300000000Z"


def docker(text: str, **rest: Any) -> str:
    """One line in Docker's JSON."""
    return json.dumps({"log": f"{text}\n", "stream": "stdout", "time": AT, **rest})


def cri(text: str, tag: str = "F") -> str:
    """One line of a container runtime."""
    return f"{AT} stdout {tag} {text}"


WRAPPERS = {
    "docker": docker,
    "docker-with-attributes": lambda text: docker(text, attrs={"tag": "web"}),
    "shipper": lambda text: json.dumps({"log": text, "stream": "stderr", "kubernetes": {"a": 1}}),
    "cri": cri,
    "cri-offset": lambda text: f"2026-11-24T13:31:40.3+08:00 stderr F {text}",
    "kubectl-prefix": lambda text: f"[pod/web-1/web] {text}",
    "kubectl-timestamps": lambda text: f"{AT} {text}",
    "bracketed-time": lambda text: f"[2026-11-24 05:31:40] INFO {text}",
    "syslog": lambda text: f"<14>Nov 24 05:31:40 host-a web[812]: {text}",
    "logger": lambda text: f"2026-11-24 05:31:40,300 INFO llm.calls - {text}",
}


def _without_place(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: row[name] for name in row if name != "source_file"} for row in rows]


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS.keys())
@pytest.mark.parametrize("records", [RECORDS, [GUESSED] * 3], ids=["own", "guessed"])
def test_a_wrapped_log_gives_the_rows_of_the_bare_one(tmp_path: Path, wrap, records) -> None:
    """Nobody can take the wrapper off by hand at three in the morning."""
    bare = kit.read(tmp_path, records)
    made = kit.read(tmp_path, "".join(f"{wrap(json.dumps(one))}\n" for one in records), "pod.log")
    assert (made.rows, made.rejected, made.other_lines) == (len(records), 0, 0)
    assert _without_place(kit.rows(made)) == _without_place(kit.rows(bare))
    (note,) = [note for note in made.notes if note.startswith("lines were unwrapped: ")]
    assert f"unwrapped: {len(records)} " in note


def test_lines_of_a_container_that_are_no_calls_are_counted(tmp_path: Path) -> None:
    """A start-up banner and a health check stand in the same log."""
    lines = [docker("starting on :8080"), docker(""), *map(docker, map(json.dumps, RECORDS))]
    made = kit.read(tmp_path, "\n".join([*lines, *[docker("GET /health 200")] * 9]) + "\n")
    assert (made.rows, made.rejected, made.other_lines) == (4, 0, 11)


@pytest.mark.parametrize("size", [16_384, 40_000])
def test_pieces_of_a_long_line_are_joined(tmp_path: Path, size: int) -> None:
    """Runtimes cut lines at 16 KiB; each piece alone would be broken JSON."""
    text = json.dumps({**OWN, "padding": "x" * size})
    pieces = [text[at : at + 16_384] for at in range(0, len(text), 16_384)]
    as_docker = [json.dumps({"log": piece, "stream": "stdout"}) for piece in pieces[:-1]]
    as_docker += [docker(pieces[-1])]
    as_cri = [cri(piece, "P") for piece in pieces[:-1]] + [cri(pieces[-1])]
    for lines in (as_docker, as_cri):
        made = kit.read(tmp_path, "\n".join([*lines, *lines]) + "\n")
        assert (made.rows, made.rejected, made.other_lines) == (2, 0, 0)
        assert [row["row_number"] for row in kit.rows(made)] == [1, 1 + len(lines)]


def test_streams_of_a_container_are_joined_apart() -> None:
    """An error line between two pieces belongs to neither."""
    around = Unwrapped()
    half = len(json.dumps(OWN)) // 2
    first, last = json.dumps(OWN)[:half], json.dumps(OWN)[half:]
    lines = [cri(first, "P"), f"{AT} stderr F warning", cri(last)]
    made = [around.line(at, text, ended=True) for at, text in enumerate(lines, start=1)]
    assert made[0] is None
    assert made[1] == (2, "warning", None, True)
    assert made[2] == (1, json.dumps(OWN), OWN, True)


@pytest.mark.parametrize("wrap", [docker, cri], ids=["docker", "cri"])
def test_a_broken_record_in_a_wrapper_is_rejected(tmp_path: Path, wrap) -> None:
    """It began as JSON of the caller, so it is a loss, and not another line."""
    lines = [*(wrap(json.dumps(one)) for one in RECORDS), wrap(json.dumps(OWN)[:-9])]
    made = kit.read(tmp_path, "\n".join(lines) + "\n")
    assert (made.rows, made.rejected) == (4, 1)
    assert made.rejects[0].reason == "JSON that cannot be read"
    assert made.rejects[0].line == 5


def test_a_piece_whose_end_is_missing_is_cut_off(tmp_path: Path) -> None:
    """The file was copied while it was written."""
    lines = [*(cri(json.dumps(one)) for one in RECORDS), cri(json.dumps(OWN)[:-9], "P")]
    made = kit.read(tmp_path, "\n".join(lines) + "\n")
    assert (made.rows, made.rejected) == (4, 1)
    assert "cut off" in made.rejects[0].reason


@pytest.mark.parametrize(
    "text",
    [
        'Time,Note\n2026-11-24T05:31:40Z,"{""a"": 1}"',
        "sent {} to {host}",
        '{"log": {"level": "info"}, "stream": "stdout", "model": "m"}',
        '{"log": "text", "stream": true}',
        "set {1, 2}",
        f"{AT} stdout X {{}}",
    ],
)
def test_what_is_no_wrapper_is_left_as_it_is(text: str) -> None:
    """A table with JSON in a cell is no log, and a field of a caller no wrapper."""
    around = Unwrapped()
    made = [around.line(1, line, ended=True) for line in text.splitlines()]
    assert [one and one[1] for one in made] == text.splitlines()
    assert around.counts == {}


@given(st.text(), st.sampled_from(sorted(WRAPPERS)))
@settings(max_examples=300)
def test_any_line_comes_out_of_its_wrapper_as_it_was(noise: str, name: str) -> None:
    """Whatever a caller logs: quotes, braces, other alphabets."""
    held = {**OWN, "msg": noise}
    line = WRAPPERS[name](json.dumps(held, ensure_ascii=False))
    made = Unwrapped().line(7, line, ended=True)
    assert made is not None
    assert (made[0], made[2]) == (7, held)
