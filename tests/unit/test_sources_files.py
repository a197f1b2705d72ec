"""The dispatch: a file is what its content says, and nothing dangerous is opened."""

import gzip
import io
import json
import os
import socket
import zipfile
from pathlib import Path

import pytest
import sources_kit as kit
from sources_kit import OWN

from runbook_lib import sources
from runbook_lib.errors import InputError, RunbookError, UnknownSourceError

LINE = (json.dumps(OWN) + "\n").encode()


def one_sentence(error: RunbookError) -> str:
    """The message, after a look at its form: one line, one sentence, no traceback."""
    text = str(error)
    assert "\n" not in text
    assert text.endswith(".")
    assert "Traceback" not in text
    return text


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:9/x.csv",
        "https://gateway.invalid/usage.csv",
        "s3://bucket/key.csv",
        "file:///etc/passwd",
        "FTP://host.invalid/x",
    ],
)
@pytest.mark.usefixtures("sockets_blocked")
def test_no_address_is_ever_fetched(tmp_path: Path, address: str) -> None:
    """A name in a list of files must not make this machine call another one."""
    for form in (address, Path(address)):
        with pytest.raises(InputError, match="address") as caught:
            sources.read(form, tmp_path)
        one_sentence(caught.value)
        with pytest.raises(InputError, match="address"):
            sources.files([form])


def test_nothing_but_a_regular_file_is_opened(tmp_path: Path) -> None:
    """A pipe would hang the intake, a device would never end."""
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    plug = tmp_path / "plug.csv"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(plug))
        for path in (pipe, plug, Path("/dev/zero")):
            with pytest.raises(InputError, match="pipe, socket or device") as caught:
                sources.read(path, tmp_path)
            one_sentence(caught.value)


def test_a_link_is_followed_only_where_it_was_named(tmp_path: Path) -> None:
    """Mounted exports are often links; a link inside a folder could lead anywhere."""
    folder = tmp_path / "data"
    folder.mkdir()
    real = kit.write(tmp_path, [OWN], "real.jsonl")
    (folder / "link.jsonl").symlink_to(real)
    (folder / "gone.jsonl").symlink_to(tmp_path / "nowhere")
    assert sources.files([folder]) == []
    assert sources.read(folder / "link.jsonl", tmp_path)[0].rows == 1
    with pytest.raises(InputError, match="leads nowhere"):
        sources.read(folder / "gone.jsonl", tmp_path)


@pytest.mark.parametrize("path", ["nowhere.csv", "a\0b", "x" * 300, "in.jsonl/child"])
def test_what_is_not_there_is_said(tmp_path: Path, path: str) -> None:
    """One sentence with the path as given, whatever stands in it."""
    kit.write(tmp_path, [OWN])
    with pytest.raises(InputError, match="does not exist") as caught:
        sources.read(f"{tmp_path}/{path}", tmp_path)
    one_sentence(caught.value)


def test_a_folder_is_for_the_list_of_files(tmp_path: Path) -> None:
    """`read` takes one file; `files` takes folders: deep, in order, hidden ones left out."""
    data = tmp_path / "data"
    for name in ("b.jsonl", "a/z.csv", ".git/config", "a/.hidden"):
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).write_text("x", encoding="utf-8")
    os.mkfifo(data / "pipe")
    with pytest.raises(InputError, match="folder"):
        sources.read(data, tmp_path)
    found = sources.files([data, data / "b.jsonl"])
    assert [path.relative_to(data).as_posix() for path in found] == ["a/z.csv", "b.jsonl"]


@pytest.mark.parametrize(
    "content",
    [b"", b"\n \r\n", b"\xef\xbb\xbf", gzip.compress(b"")],
    ids=["nothing", "blanks", "byte-order-mark", "packed-nothing"],
)
def test_an_empty_file_is_said(tmp_path: Path, content: bytes) -> None:
    """Empty is not "no failures": the export may have failed."""
    with pytest.raises(InputError, match="empty"):
        kit.read(tmp_path, content)


@pytest.mark.parametrize("name", ["calls.jsonl.gz", "calls.csv", "calls"])
def test_honest_gzip_is_read_whatever_its_name(tmp_path: Path, name: str) -> None:
    """Rotated logs are packed, and tools rename them."""
    packed = gzip.compress(LINE * 20) + gzip.compress(LINE) + b"\0" * 512
    intake = kit.read(tmp_path, packed, name)
    assert (intake.rows, intake.source_file) == (21, name)
    assert [path.suffix for path in (tmp_path / "staging").iterdir()] == [".parquet"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        pytest.param(gzip.compress(LINE * 500)[:-20], "is a gzip file that is cut off", id="cut"),
        pytest.param(gzip.compress(LINE)[:10], "is a gzip file that is cut off", id="head-only"),
        pytest.param(b"\x1f", "is a gzip file that is cut off", id="one-byte"),
        pytest.param(gzip.compress(b" \n"), "is empty once unpacked", id="blank-inside"),
        pytest.param(b"", "is empty", id="empty"),
        pytest.param(b"\0" * 5000, "holds nothing but zero bytes", id="zeros"),
        pytest.param(gzip.compress(b"\0" * 99), "holds nothing but zero bytes", id="zeros-inside"),
    ],
)
def test_a_gzip_file_that_is_none_is_told_by_its_own_name(
    tmp_path: Path, content: bytes, told: str
) -> None:
    """The name of a temporary copy would help nobody."""
    with pytest.raises(InputError, match=told) as caught:
        kit.read(tmp_path, content, "calls.jsonl.gz")
    assert "calls.jsonl.gz" in one_sentence(caught.value)
    assert "unpacked-" not in str(caught.value)


def test_a_gzip_bomb_is_refused(tmp_path: Path) -> None:
    """Ten kilobytes must not become gigabytes of disk."""
    bomb = gzip.compress(b"1\n" * 5_000_000, 9)
    assert len(bomb) < 12_000
    with pytest.raises(InputError, match="unpacks to more than") as caught:
        kit.read(tmp_path, bomb, "usage.csv")
    one_sentence(caught.value)
    assert list((tmp_path / "staging").iterdir()) == []


@pytest.mark.parametrize(
    ("content", "word"),
    [
        pytest.param(gzip.compress(os.urandom(50_000))[:-9], "cut off", id="cut-gzip"),
        pytest.param(gzip.compress(LINE)[:-6] + b"xxxxxx", "damaged", id="damaged-gzip"),
        pytest.param(gzip.compress(gzip.compress(LINE)), "binary", id="packed-twice"),
        pytest.param(b"<!DOCTYPE html><html><title>Log in</title>", "web page", id="login-page"),
        pytest.param(b"  <html>", "web page", id="page"),
        pytest.param(os.urandom(5000).replace(b"\x1f", b"\0"), "binary", id="random-bytes"),
        pytest.param(b"PAR1" + bytes(100), "Parquet", id="parquet"),
        pytest.param(b"SQLite format 3\0" + bytes(100), "SQLite", id="sqlite"),
        pytest.param(LINE.decode().encode("utf-16-le"), "binary", id="utf-16-without-mark"),
        pytest.param(b"hello\nworld\n", "plain text", id="text"),
        pytest.param(b'{"name": "x", "version": "1.0"}', "JSON with the fields", id="package"),
        pytest.param(b'{\n "totals": {"a": 1},\n "list": []\n}', "JSON with", id="pretty-json"),
        pytest.param(b"[1, 2, 3]", "no log of calls", id="numbers"),
        pytest.param(b'{"code":401,"message":"m","reason":"X"}', "refusal", id="console-refusal"),
        pytest.param(b'{"code":0,"data":{"items":[{"id":1}]}}', "console", id="other-list"),
        pytest.param(b'{"code":0,"data":{"items":[]}}', "empty list", id="empty-list"),
        pytest.param(b'{"code":0,"data":{"items":[{"created', "cut-off JSON", id="cut-json"),
        pytest.param(
            b'{"name":"x","request":{},"status":200,"headers":[],"body":""}',
            "captured answers",
            id="captured-answers",
        ),
        pytest.param(b"[" * 100_000, "cut-off JSON", id="deep-json"),
    ],
)
def test_content_of_no_known_source_is_refused(tmp_path: Path, content: bytes, word: str) -> None:
    """Whatever its name promises: one sentence says what it looks like, nothing is left behind."""
    with pytest.raises(InputError, match=word) as caught:
        kit.read(tmp_path, content, "usage_2026-11-24_to_2026-11-24.csv")
    one_sentence(caught.value)
    assert list((tmp_path / "staging").iterdir()) == []


def test_a_zip_is_refused_with_what_to_do(tmp_path: Path) -> None:
    """An archive can hold many files; a person should choose."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.csv", "x")
        archive.writestr("b.csv", "y")
    with pytest.raises(UnknownSourceError, match="unpack"):
        kit.read(tmp_path, packed.getvalue(), "usage.csv")


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"\xef\xbb\xbf" + LINE, id="mark-of-utf-8"),
        pytest.param(b"\n\n" + LINE, id="blank-lines-first"),
        pytest.param(LINE.replace(b"\n", b"\r\n"), id="crlf"),
        pytest.param(LINE.replace(b"\n", b"\r") * 2, id="cr"),
        pytest.param(LINE.decode().encode("utf-16"), id="utf-16"),
        pytest.param(LINE.rstrip(), id="no-last-newline"),
        pytest.param(b"[" + LINE + b"]", id="list"),
        pytest.param(json.dumps([OWN], indent=2).encode(), id="pretty-list"),
        pytest.param(json.dumps(OWN, indent=2).encode(), id="pretty-record"),
        pytest.param(b"starting\nready\n" * 30_000 + LINE, id="after-a-long-start"),
    ],
)
def test_harmless_forms_of_a_log_are_read(tmp_path: Path, content: bytes) -> None:
    """Editors, shells and Windows change bytes, not what was logged."""
    intake = kit.read(tmp_path, content)
    assert kit.rows(intake)[0]["request_ids"] == "11111111-aaaa,req_1"
    assert intake.rejected == 0


def test_bytes_that_are_no_utf_8_cost_one_line(tmp_path: Path) -> None:
    """One bad byte must not cost the file."""
    intake = kit.read(tmp_path, LINE + LINE.replace(b"web-chat", b"w\xff") + LINE)
    assert (intake.rows, intake.reasons) == (2, {"not UTF-8 or too long": 1})


def test_console_settings_are_noted(tmp_path: Path) -> None:
    """They hold no rows, but name the version and the zone of the server."""
    settings = {"code": 0, "data": {"version": "0.1.179", "server_timezone": "Asia/Shanghai"}}
    intake = kit.read(tmp_path, json.dumps(settings))
    assert (intake.kind, intake.rows, intake.staged) == ("console settings", 0, None)
    assert intake.notes == ("version 0.1.179, server time zone Asia/Shanghai",)


def test_the_digest_is_that_of_the_bytes_as_stored(tmp_path: Path) -> None:
    """By it the store knows a file it has already."""
    import hashlib

    packed = gzip.compress(LINE)
    assert kit.read(tmp_path, packed).sha256 == hashlib.sha256(packed).hexdigest()


KEY = "sk-" + "CANARY0123456789abcdef"


@pytest.mark.parametrize(
    "place",
    [
        {"gen_ai.request.model": f"m {KEY}"},
        {"error.type": f"Bearer {KEY}"},
        {"url.path": "https://h.invalid/v1/x?api_key" + f"={KEY}"},
        {"server.address": f"https://u:{KEY}" + "@h.invalid/"},
        {"api_key": KEY},
        {"http.request.header.authorization": [f"Bearer {KEY}"]},
        {"headers": {"x-api-key": KEY, "Cookie": f"a={KEY}"}},
        {"unknown": f"x {KEY}"},
        {"deep": {"er": [f"{KEY}"]}},
        {KEY: 1},
        {"prompt": f"CANARY {KEY}"},
        {"messages": [{"role": "user", "content": "CANARY"}]},
        {"gen_ai.input.messages": "CANARY"},
        {"body": {"anything": "CANARY"}},
        {"note": "CANARY a sentence of many words that could be a prompt"},
    ],
    ids=lambda place: next(iter(place))[:20],
)
@pytest.mark.parametrize("escaped", [False, True], ids=["plain", "escaped"])
def test_no_key_and_no_prompt_reaches_the_lake(
    tmp_path: Path, place: dict[str, object], *, escaped: bool
) -> None:
    """What is once in a Parquet file is copied, shared and kept."""
    line = json.dumps(OWN | place)
    if escaped:
        line = line.replace("sk-", "\\u0073k-").replace("://", ":\\/\\/")
    intake = kit.read(tmp_path, line + "\n" + line[:-5] + "\n")
    assert (intake.rows, intake.rejected) == (1, 1)
    assert "CANARY" not in str(kit.rows(intake))
    assert "CANARY" not in str(intake)
