"""What several unit tests share: the recorded run, taken in once, and a command line."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sources_kit

from runbook_lib import cli, session
from runbook_lib.store import Store


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
