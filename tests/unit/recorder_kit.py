"""A raw server on a real socket that answers as told, and clients of every SDK against it."""

import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

CANARY = "canary-9f3e-prompt"
KEY = "sk" + "-canarykey0123456789abcdef"
IDS = b"X-Request-ID: 6f1c-one\r\nX-Request-ID: req_two\r\nX-Client-Request-ID: c-three\r\n"


def head(status: int, extra: bytes = b"", kind: str = "application/json") -> bytes:
    """Give the head of an answer without its last empty line."""
    return b"HTTP/1.1 %d X\r\nContent-Type: %s\r\n" % (status, kind.encode()) + IDS + extra


def whole(status: int, body: bytes, extra: bytes = b"", kind: str = "application/json") -> bytes:
    """Give an answer with its length."""
    return head(status, extra, kind) + b"Content-Length: %d\r\n\r\n" % len(body) + body


def stream(body: bytes) -> bytes:
    """Give an event stream that ends with the connection."""
    return head(200, b"Connection: close\r\n", "text/event-stream") + b"\r\n" + body


def chat(text: str = CANARY) -> bytes:
    """Give a chat answer as the gateway does."""
    message = {"role": "assistant", "content": text}
    return json.dumps(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": "gpt-5-2026",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15},
        }
    ).encode()


def piece(text: str | None, finish: str | None = None, **more: Any) -> bytes:
    """Give one event of a chat stream."""
    value = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "gpt-5-2026",
        "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}],
        **more,
    }
    return b"data: " + json.dumps(value).encode() + b"\n\n"


USAGE = {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}
CHAT_STREAM = piece(CANARY) + piece(None, "stop", usage=USAGE) + b"data: [DONE]\n\n"


class Server:
    """Answers each request with the next of its answers, the last one for ever.

    An answer is bytes, or a list of bytes, seconds to wait, and the words "reset", "stall"; None
    closes at once.
    """

    def __init__(self, answers: list[Any]) -> None:
        self.answers, self.seen = answers, 0
        self._lock = threading.Lock()
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.ended = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                held, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(held,), daemon=True).start()

    def _serve(self, held: socket.socket) -> None:
        held.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        reader = held.makefile("rb")
        try:
            while _read_request(reader):
                with self._lock:
                    answer = self.answers[min(self.seen, len(self.answers) - 1)]
                    self.seen += 1
                if not self._answer(held, answer):
                    return
        except OSError:
            return
        finally:
            reader.close()
            held.close()

    def _answer(self, held: socket.socket, answer: Any) -> bool:
        for part in [answer] if isinstance(answer, bytes) else answer or []:
            if part == "reset":
                time.sleep(0.02)
                held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return False
            if part == "stall":
                self.ended.wait(5)
                return False
            if isinstance(part, float):
                self.ended.wait(part)
                continue
            held.sendall(part)
        said = answer if isinstance(answer, bytes) else b"".join(filter(_is_bytes, answer or []))
        return b"Content-Length" in said and b"Connection: close" not in said

    def close(self) -> None:
        """Stop."""
        self.ended.set()
        with suppress(OSError):  # closing alone leaves it open while it waits
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def _is_bytes(part: Any) -> bool:
    return isinstance(part, bytes)


def _read_request(reader: Any) -> bool:
    length, line = 0, reader.readline()
    if not line:
        return False
    while line not in (b"\r\n", b""):
        if line.lower().startswith(b"content-length:"):
            length = int(line.split(b":")[1])
        line = reader.readline()
    reader.read(length)
    return True


@contextmanager
def serving(*answers: Any) -> Iterator[Server]:
    """Serve these answers inside."""
    server = Server(list(answers))
    try:
        yield server
    finally:
        server.close()


def lines(path: Path) -> list[dict[str, Any]]:
    """Read a call log."""
    return [json.loads(line) for line in path.read_text().splitlines()]
