"""A server that means harm gets a valid line, and the caller what they would have seen."""

import gzip
import json
import sys
import tracemalloc
import zlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from recorder_kit import KEY, chat, lines, piece, serving, whole
from recorder_sdks import httpx2

from runbook_lib.recorder import record
from runbook_lib.recorder.scan import Scanner


def _head(extra: bytes, body: bytes, kind: bytes = b"application/json") -> bytes:
    return (
        b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n" % (kind, len(body))
        + extra
        + b"\r\n"
        + body
    )


BOMB = gzip.compress(b"x" * (80 << 20))
LONG = b"X-Request-ID: " + b"i" * 300 + b"\r\n"
TEN = b"".join(b"X-Request-ID: id-%d\r\n" % number for number in range(10))
HOSTILE: dict[str, bytes] = {
    "ten-ids": _head(TEN, chat()),
    "long-id": _head(LONG, chat()),
    "control": _head(b"X-Request-ID: a\x1b[31mb\xff\r\n", chat()),
    "key-as-id": _head(b"X-Request-ID: " + KEY.encode() + b"\r\n", chat()),
    "huge-header": _head(b"X-Request-ID: " + b"z" * 1_000_000 + b"\r\n", chat()),
    "bomb": _head(b"Content-Encoding: gzip\r\n", BOMB),
    "no-gzip": _head(b"Content-Encoding: gzip\r\n", chat()),
    "gzip": _head(b"Content-Encoding: gzip\r\n", gzip.compress(chat())),
    "other": _head(b"Content-Encoding: br, gzip\r\n", chat()),
    "raw-deflate": _head(b"Content-Encoding: deflate\r\n", zlib.compress(chat(), wbits=-15)),
    "wrapped-deflate": _head(b"Content-Encoding: deflate\r\n", zlib.compress(chat())),
    "after-gzip": _head(b"Content-Encoding: gzip\r\n", gzip.compress(chat()) + b"z" * 200_000),
    "utf-16": _head(b"", chat().decode().encode("utf-16")),
    "many-ids": _head(
        b"X-Request-ID: " + b",".join([b"i-%d" % n for n in range(900)]) + b"\r\n", b""
    ),
    "deep": _head(b"", b"[" * 60_000),
    "no-utf8": _head(b"", b"\xff\xfe" * 100),
    "lines": _head(b"", b"data: x\n" * 1_000_000, b"text/event-stream"),
    "one-line": _head(b"", b"data: " + b"y" * 5_000_000, b"text/event-stream"),
    "cr": _head(b"", piece("a").replace(b"\n", b"\r"), b"text/event-stream"),
}


def _raw(client: Any) -> tuple[Any, bytes]:
    got, held = "", bytearray()
    try:
        body = {"model": "m-1", "stream": True}
        with client.stream("POST", "/v1/chat/completions", json=body) as answer:
            got = answer.status_code
            for part in answer.iter_raw():
                held += part
    except httpx2.HTTPError as error:
        got = type(error).__name__
    return got, bytes(held)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_answers_change_nothing(name: str, tmp_path: Path) -> None:
    """The recorder reads what strangers send: it must neither fail nor alter it."""
    path = tmp_path / "calls.jsonl"
    with serving(HOSTILE[name]) as server:
        with httpx2.Client(base_url=server.url) as client:
            plain = _raw(client)
        with record(httpx2.Client(base_url=server.url), path) as client:
            assert _raw(client) == plain
    (line,) = lines(path)
    text = path.read_text()
    assert len(text) < 20_000
    assert "canary" not in text
    ids = line.get("http.response.header.x-request-id", [])
    expected = {"ten-ids": [f"id-{n}" for n in range(10)], "long-id": ["i" * 300]}
    if name in expected:
        assert ids == expected[name]
    if name in ("gzip", "raw-deflate", "wrapped-deflate", "after-gzip"):
        assert line["gen_ai.usage.output_tokens"] == 3
    if name in ("bomb", "no-gzip", "other", "many-ids"):
        assert line["torouter.recorder.note"]


# Bodies ------------------------------------------------------------------------------------------


class _Codec:
    """Stands in for the library of an encoding; packed is what zlib packs."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj()
        self.unused_data = b""

    @property
    def eof(self) -> bool:
        """The frame is over."""
        return self._inflate.eof

    def decompress(self, data: bytes) -> bytes:
        """Unpack a piece."""
        out = self._inflate.decompress(data)
        self.unused_data = self._inflate.unused_data
        return out


@pytest.mark.parametrize(
    ("encoding", "library", "made", "body"),
    [
        ("br", "brotli", SimpleNamespace(Decompressor=_Codec), zlib.compress(chat())),
        (
            "zstd",
            "compression.zstd",
            SimpleNamespace(ZstdDecompressor=_Codec),
            zlib.compress(chat()[:50]) + zlib.compress(chat()[50:]),
        ),
        (
            "zstd",
            "zstandard",
            SimpleNamespace(ZstdDecompressor=lambda: SimpleNamespace(decompressobj=_Codec)),
            zlib.compress(chat()),
        ),
        ("br", "brotli", SimpleNamespace(Decompressor=_Codec), b"this is not packed at all"),
    ],
    ids=["br", "zstd-frames", "zstandard", "br-broken"],
)
def test_what_the_client_can_unpack_is_read(
    encoding: str, library: str, made: Any, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client asks for these encodings only where it has their library; then we have it too."""
    for other in ("brotli", "brotlicffi", "compression.zstd", "backports.zstd", "zstandard"):
        monkeypatch.setitem(sys.modules, other, made if other == library else None)
    scanner = Scanner(encoding=encoding, events=False)
    for start in range(0, len(body), 7):
        scanner.feed(body[start : start + 7])
    scanner.end()
    if body.startswith(b"this"):
        assert scanner.note == "body could not be unpacked"
    else:
        assert scanner.pieces()[0]["usage"]["completion_tokens"] == 3


@pytest.mark.parametrize(("encoding", "name"), [("br", "brotli"), ("zstd", "zstandard")])
def test_real_libraries_are_read(encoding: str, name: str) -> None:
    """The stand-ins above say what the libraries do; this says that they do it."""
    library = pytest.importorskip(name)
    pack = library.compress if encoding == "br" else library.ZstdCompressor().compress
    scanner = Scanner(encoding=encoding, events=False)
    scanner.feed(pack(chat()))
    assert scanner.pieces()[0]["usage"]["completion_tokens"] == 3
    bomb = Scanner(encoding=encoding, events=False)
    bomb.feed(pack(b" " * (128 << 20)))
    assert bomb.note == "body unpacks to more than was read"


@pytest.mark.parametrize(
    ("encoding", "events", "piece_", "count"),
    [
        ("", True, b":\n" * 1000, 1000),
        ("", True, b"data: " + b"y" * 60_000, 1000),
        ("", True, piece("some words of an answer") * 100, 100),
        ("", False, b" " * 65_536, 1000),
        ("gzip", False, gzip.compress(b" " * (60 << 20)), 1),
    ],
    ids=["lines", "one-line", "events", "body", "bomb"],
)
def test_memory_is_bounded(*, encoding: str, events: bool, piece_: bytes, count: int) -> None:
    """The copy that is read keeps a little, however much comes."""
    scanner = Scanner(encoding=encoding, events=events)
    tracemalloc.start()
    try:
        for _ in range(count):
            scanner.feed(piece_)
        scanner.end()
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


ARGUMENTS = {"error": {"code": "CANARY_CODE"}, "usage": {"input_tokens": 9}, "finishReason": "STOP"}
CALLED = {
    "candidates": [{"content": {"parts": [{"functionCall": {"name": "f", "args": ARGUMENTS}}]}}],
    "usageMetadata": {"promptTokenCount": 5},
    "responseId": "r-1",
}


def test_what_was_said_is_not_taken_for_an_error(tmp_path: Path) -> None:
    """Gemini puts the arguments of a tool into the answer as they are, whatever their names."""
    path = tmp_path / "calls.jsonl"
    event = b"data: " + json.dumps(CALLED).encode() + b"\n\n"
    kind = "text/event-stream"
    answers = (whole(200, event, kind=kind), whole(200, json.dumps(CALLED).encode()))
    with serving(*answers) as server, httpx2.Client(base_url=server.url) as client:
        record(client, path)
        for way in ("streamGenerateContent", "generateContent"):
            client.post(f"/v1beta/models/m-1:{way}", json={"contents": []})
    for line in lines(path):
        assert "torouter.error.code" not in line
        assert "error.type" not in line
        assert line["gen_ai.usage.input_tokens"] == 5
        assert line["gen_ai.response.id"] == "r-1"


def test_names_in_a_long_answer_are_those_of_the_answer(tmp_path: Path) -> None:
    """Of a body too long to keep, the beginning and the end tell; the middle is what was said."""
    path = tmp_path / "calls.jsonl"
    value = json.loads(chat("x" * 200_000))
    value["choices"][0]["message"]["tool_calls"] = [{"id": "call_1", "model": "not-this"}] * 90
    with serving(whole(200, json.dumps(value).encode())) as server:
        client = record(httpx2.Client(base_url=server.url), path)
        client.post("/v1/chat/completions", json={"model": "m-1"})
        client.close()
    (line,) = lines(path)
    assert line["gen_ai.response.id"] == "chatcmpl-1"
    assert line["gen_ai.response.model"] == "gpt-5-2026"
    assert line["gen_ai.usage.input_tokens"] == 12
