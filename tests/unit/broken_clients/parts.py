"""What the careful client works with: a failed attempt, an answer, a call, what is remembered."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx


class Failed(Exception):  # noqa: N818 (a client's own word)
    """One attempt that failed."""

    def __init__(self, why: str, **more: Any) -> None:
        super().__init__(why)
        self.why = why
        self.status: int | None = more.get("status")
        self.code: str = more.get("code", "")
        self.wait_s: float | None = more.get("wait_s")
        self.retry: bool = more.get("retry", False)
        self.once: bool = more.get("once", False)
        self.elsewhere: bool = more.get("elsewhere", False)
        self.begun: bool = more.get("begun", False)
        self.kind: str = more.get("kind", "")
        self.html: str = more.get("html", "")


class GaveUp(Exception):  # noqa: N818
    """No model answered."""

    def __init__(self, text: str, status: int | None, request_ids: list[str]) -> None:
        super().__init__(text)
        self.status_code, self.request_ids = status, request_ids


@dataclass
class Answer:
    """What the caller gets."""

    text: str
    model: str
    request_ids: list[str]


@dataclass
class State:
    """What is remembered of one key and model between calls."""

    tokens: float = 20.0
    failed: int = 0
    probe_at: float = 0.0


@dataclass
class Call:
    """One call under way."""

    prompt: str
    models: Sequence[str]
    stream: bool
    end: float
    http: httpx.Client
    key: str
    ids: list[str] = field(default_factory=list)
    errors: dict[str, Failed] = field(default_factory=dict)

    def left(self) -> float:
        """Give the seconds until the deadline."""
        return self.end - time.monotonic()
