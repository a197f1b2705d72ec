"""What several unit tests share: the recorded run, taken in once, and a command line."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sources_kit

from runbook_lib import cli, session
from runbook_lib.store import Store

if TYPE_CHECKING:
    import openai
    from gateway_kit import Running


@pytest.fixture(scope="session")
def recorded_store(gateway: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """The whole recorded folder in a store, opened for reading."""
    folder = tmp_path_factory.mktemp("recorded") / "lake"
    session.take_in([gateway], folder)
    with Store(folder) as store:
        yield store


@pytest.fixture
def command(monkeypatch, capsys):
    """Run a command line; gives its exit code, stdout and stderr."""
    monkeypatch.delenv("RUNBOOK_DATA", raising=False)

    def call(*words: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["runbook", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        told = capsys.readouterr()
        return ended.value.code, told.out, told.err

    return call


@pytest.fixture
def lake(tmp_path: Path, command) -> Path:
    """A store with one call in it."""
    log = tmp_path / "calls.jsonl"
    log.write_text(json.dumps(sources_kit.OWN) + "\n")
    assert command("intake", log, "--data", tmp_path / "lake")[0] == 0
    return tmp_path / "lake"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Running]":
    """One sandbox for the calls of a module; whoever needs another one has a `run` of its own."""
    from resilient_kit import served

    with served(tmp_path_factory.mktemp("sandbox")) as found:
        yield found


@pytest.fixture
def no_waits() -> Iterator[None]:
    """Let the reference client send again at once."""
    import stamina

    with stamina.set_testing(True, attempts=3, cap=True):
        yield


@pytest.fixture
def sdk(run: "Running") -> "Iterator[openai.OpenAI]":
    """The OpenAI SDK, as a user makes it."""
    import openai

    root = run.sandbox.listening.base_url
    with openai.OpenAI(base_url=f"{root}/v1", api_key=run.secret("prod-web")) as client:
        yield client
