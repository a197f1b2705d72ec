"""Generated bad logs and tables: no traceback, and no line is lost."""

import json
import string
import tempfile
from pathlib import Path
from typing import Any

import pytest
import sources_kit as kit
from hypothesis import given, settings
from hypothesis import strategies as st
from long_kit import EXAMPLES

from runbook_lib import redact, sources
from runbook_lib.errors import InputError
from runbook_lib.sources.intake import Intake

words = st.text(max_size=12)
numbers = st.one_of(
    st.integers(), st.floats(), st.integers(2**62, 2**70), st.sampled_from([0, -1, 200, 429, 1e18])
)
leaves = st.one_of(st.none(), st.booleans(), numbers, words)
anything = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)
bases = st.sampled_from(
    [
        kit.OWN,
        kit.REFUSED,
        kit.GUESSED,
        kit.litellm(),
        kit.litellm(status="failure", error_information={"error_code": "502"}),
        kit.otlp([kit.span(kit.OWN)]),
        {"lvl": "info", "msg": "other"},
    ]
)


@st.composite
def records(draw: st.DrawFn) -> dict[str, Any]:
    """A record of some make, with fields lost, spoiled, renamed and added."""
    record = dict(draw(bases))
    names = st.sampled_from(sorted(record))
    for name in draw(st.lists(names, max_size=3, unique=True)):
        value = record.pop(name)
        change = draw(st.sampled_from(["drop", "spoil", "rename"]))
        if change == "spoil":
            record[name] = draw(anything)
        elif change == "rename":
            record[draw(words)] = value
    if draw(st.booleans()):
        record[draw(words)] = draw(anything)
    return record


@st.composite
def logs(draw: st.DrawFn) -> bytes:
    """A log of such records and of lines that are none, perhaps cut off or with bad bytes."""
    line = st.one_of(
        records().map(lambda record: json.dumps(record).encode()),
        words.map(lambda text: text.encode("utf-8", "surrogatepass")),
        st.binary(max_size=20),
        st.just(b""),
    )
    end = draw(st.sampled_from([b"\n", b"\r\n"]))
    whole = end.join(draw(st.lists(line, max_size=8)))
    return whole[: len(whole) - draw(st.integers(0, 40))] if draw(st.booleans()) else whole


def lines_in(content: bytes) -> int:
    """Lines that are not blank, as an editor would count them."""
    return sum(bool(line.strip(b" \t\r\n\xef\xbb\xbf")) for line in content.split(b"\n"))


def read(folder: Path, content: bytes | str, name: str) -> Intake | None:
    """Read a file; None where one sentence says why it cannot be."""
    path = kit.write(folder, content, name)
    refusal = ""
    intake = None
    try:
        (intake,) = sources.read(path, folder)
    except InputError as error:
        refusal = str(error)
    assert "\n" not in refusal
    assert list(folder.glob("*.tmp")) == []
    return intake


def check_log(content: bytes) -> None:
    """Read a log: either one sentence, or every line accounted for."""
    with tempfile.TemporaryDirectory() as name:
        intake = read(Path(name), content, "in.jsonl")
        if intake is None:
            return
        rows = kit.rows(intake)
        held = intake.rows + intake.rejected + intake.other_lines
        if intake.table == "calls" and b"resourceSpans" not in content and content[:1] != b"[":
            assert held == lines_in(content)
        assert sum(intake.reasons.values()) == intake.rejected == len(intake.rejects)
        assert len(rows) == intake.rows


@given(logs())
@settings(max_examples=300)
def test_no_bad_log_breaks_the_reader(content: bytes) -> None:
    """Lines in = rows + rejected + other lines, whatever stands in them."""
    check_log(content)


@pytest.mark.long
@given(logs())
@settings(max_examples=2 * EXAMPLES)
def test_no_bad_log_breaks_the_reader_long(content: bytes) -> None:
    """The same, many times."""
    check_log(content)


cells = st.one_of(
    st.sampled_from(["", "k", "5", "1,5", "2026-11-24T00:00Z", "2026-11-24", "USD", "total", '"']),
    words,
)
headers = st.sampled_from(
    [
        "key_name,environment,created_at,cap_amount,cap_currency,cap_window,note",
        "ts,kind,amount,currency,balance",
        "environment,key_name,month,amount,currency",
        "model,token_kind,usd_per_million,from,to",
        "start,end,key_name,factor,note",
        "created_at,actor_email,action,path,request_body,status_code,extra",
    ]
)


@st.composite
def tables(draw: st.DrawFn) -> str:
    """A table of the user's with odd cells, quotes, delimiters and row lengths."""
    header = draw(headers)
    wide = header.count(",") + 1
    lines = draw(st.lists(st.lists(cells, min_size=wide - 1, max_size=wide + 1), max_size=5))
    joint = draw(st.sampled_from([",", ";", "\t"]))
    text = "\n".join(joint.join(line) for line in [header.split(","), *lines])
    return text.encode("utf-8", "replace").decode()


@given(tables())
@settings(max_examples=200)
def test_no_bad_table_breaks_the_reader(text: str) -> None:
    """Every record is used or rejected with a reason; none is shifted into other columns."""
    with tempfile.TemporaryDirectory() as name:
        intake = read(Path(name), text, "t.csv")
        if intake is None:
            return
        if '"' not in text and len(text.splitlines()) == text.count("\n") + 1:
            records = [line for line in text.splitlines()[1:] if line]
            assert intake.rows + intake.rejected == len(records)
        assert len(kit.rows(intake)) == intake.rows
        assert sum(intake.reasons.values()) == intake.rejected


documents = st.one_of(
    st.builds(lambda items: {"code": 0, "data": {"items": items}}, st.lists(anything, max_size=3)),
    st.builds(
        lambda body: {"status": 200, "headers": {}, "asked_at": "x", "body": body},
        st.dictionaries(
            st.sampled_from(["mode", "quota", "rate_limits", "usage", "balance", "data", "object"]),
            anything,
        ),
    ),
    anything,
)


@given(documents)
@settings(max_examples=200)
def test_no_bad_document_breaks_the_reader(document: Any) -> None:
    """Live answers and lists of the console can change shape from version to version."""
    with tempfile.TemporaryDirectory() as name:
        intake = read(Path(name), json.dumps(document), "models_k.json")
        assert intake is None or intake.rows == len(kit.rows(intake))


@given(st.from_regex(redact._SECRETS, fullmatch=True))
def test_the_fast_look_misses_no_secret(secret: str) -> None:
    """Texts it passes are never searched, so it must pass none that holds a secret."""
    text = f"https://{secret}@host.invalid?{secret}"
    if redact.has_secret(text):
        assert redact.suspect(text)


@pytest.mark.parametrize(
    "secret",
    [
        "sk-" + string.ascii_lowercase,
        "AIza" + "A" * 30,
        "eyJ" + "a" * 12 + "." + "b" * 8 + ".c",
        "rt_" + "0" * 32,
        "bearer " + "x" * 12,
        "https://h.invalid/?key=" + "abc",
        "https://user:" + "pass@h.invalid/",
    ],
)
def test_the_fast_look_sees_every_kind_of_secret(secret: str) -> None:
    """One example of each kind that the exact search knows."""
    assert redact.has_secret(secret)
    assert redact.suspect(secret)
