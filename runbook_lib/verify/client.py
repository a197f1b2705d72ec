"""Which client is verified: a function of the user's, a ready adapter, or a command."""

import os
import shlex
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runbook_lib.errors import ParameterError

ADAPTERS: dict[str, tuple[str, ...]] = {
    "openai": ("openai", "responses"),
    "anthropic": ("anthropic",),
    "google-genai": ("gemini",),
    "httpx": ("openai",),
    "litellm": ("openai", "anthropic"),
    "langchain": ("openai",),
    "reference": ("openai", "responses", "anthropic", "gemini"),
}
"""Name of each ready adapter → protocols it speaks."""

PROTOCOLS = ("openai", "responses", "anthropic", "gemini")

MODELS = {
    "openai": ("gpt-5.4", "gpt-5.4-mini"),
    "responses": ("gpt-5.4", "gpt-5.4-mini"),
    "anthropic": ("claude-sonnet-4-6", "claude-haiku-4-5"),
    "gemini": ("gemini-2.5-pro", "gemini-2.5-flash"),
}
"""Models of a cell that names none, by its protocol."""

OURS = ("reference",)
"""Adapters that need this package."""

_HINT = f"module:function, command:WORDS, or one of {', '.join(ADAPTERS)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSpec:
    """A client that can be called.

    Attributes:
        name: As the user named it.
        kind: `function`, `adapter` or `command`.
        protocols: Protocols it speaks; of a function, those that its first calls spoke.
        plain, asynchronous: Whether it can be called plainly, and as a coroutine.
        stream: Whether it can stream; everything does, so far as it is asked to.
        silent: Nothing came to the base URL that its first calls were given.
    """

    name: str
    kind: str
    protocols: Sequence[str] = PROTOCOLS
    plain: bool = True
    asynchronous: bool = False
    stream: bool = True
    silent: bool = False
    words: Sequence[str] = field(default=())

    def settings(self, first: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """What its process must know to load it.

        Args:
            first: Calls by which SDKs are warmed up, by protocol; None for no warming up.
        """
        other = bool(os.environ.get("TOROUTER_CLIENT_PYTHON")) and self.name not in OURS
        searched = os.environ.get("PYTHONPATH", "").split(os.pathsep) if other else sys.path
        return {
            "kind": self.kind,
            "name": self.name,
            "ours": self.name in OURS,
            "words": list(self.words),
            "file": str(_file(self.name)) if self.kind == "adapter" else "",
            "verifier": os.getpid(),
            "warm": dict(first or {}),
            "first_paths": [str(Path.cwd())],
            "paths": [path for path in searched if path],
        }


def named(text: str) -> ClientSpec:
    """Read the name of a client, without loading it.

    Raises:
        ParameterError: it is no name of a client.
    """
    if text in ADAPTERS:
        return ClientSpec(
            name=text, kind="adapter", protocols=ADAPTERS[text], asynchronous=True, plain=True
        )
    kind, _, rest = text.partition(":")
    if kind == "command":
        return ClientSpec(name=text, kind="command", words=_words(text, rest))
    parts = (*kind.split("."), *rest.split("."))
    if not rest or not all(part.isidentifier() for part in parts):
        raise ParameterError("client", text[:200], hint=_HINT)
    return ClientSpec(name=text, kind="function")


def spoken(paths: Iterable[str]) -> tuple[str, ...]:
    """Tell which protocols belong to the paths that a client called."""
    found = {_protocol(path) for path in paths}
    return tuple(protocol for protocol in PROTOCOLS if protocol in found)


def _protocol(path: str) -> str:
    endings = {"/chat/completions": "openai", "/responses": "responses", "/messages": "anthropic"}
    for ending, protocol in endings.items():
        if path.endswith(ending):
            return protocol
    return "gemini" if path.startswith("/v1beta/") else ""


def _file(name: str) -> Path:
    return Path(__file__).parent / "adapters" / f"{name.replace('-', '_')}.py"


def _words(text: str, rest: str) -> list[str]:
    try:
        words = shlex.split(rest)
    except ValueError as error:
        raise ParameterError("client", text[:200], hint=f"a command line ({error})") from error
    if not words or shutil.which(words[0]) is None:
        hint = f"a command that can be run: there is no {words[0]}" if words else "a command line"
        raise ParameterError("client", text[:200], hint=hint)
    return words
