"""Parameters kept in a file: JSON and YAML say the same, and nothing is guessed."""

from pathlib import Path

import pytest

from runbook_lib.errors import InputError
from runbook_lib.runner import given


def write(folder: Path, text: str) -> Path:
    """A file with this text."""
    path = folder / "parameters"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "held"),
    [
        pytest.param('{"top": 3, "live": false}', {"top": 3, "live": False}, id="json"),
        pytest.param('\ufeff{"models": ["a"]}', {"models": ["a"]}, id="json-with-a-mark"),
        pytest.param("top: 3\nby: model\n", {"top": "3", "by": "model"}, id="yaml"),
        pytest.param("models:\n- a\n- b\n", {"models": ["a", "b"]}, id="yaml-list"),
        pytest.param("request_id: 1e10\n", {"request_id": "1e10"}, id="no-number-is-guessed"),
        pytest.param("key_name: no\n", {"key_name": "no"}, id="no-flag-is-guessed"),
        pytest.param("start: 2026-11-24\n", {"start": "2026-11-24"}, id="no-date-is-guessed"),
        pytest.param("start: 12:30:00\n", {"start": "12:30:00"}, id="no-sexagesimal"),
        pytest.param("a: !!python/object/apply:os.abort []", {"a": []}, id="no-code-is-run"),
        pytest.param("note: # none\n", {"note": ""}, id="empty"),
    ],
)
def test_a_file_gives_names_and_values(tmp_path: Path, text: str, held: dict) -> None:
    """Types are those the notebook declares, never those a format guesses."""
    assert given.read(write(tmp_path, text)) == held


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param("[1]", "no names and values", id="list"),
        pytest.param("", "no names and values", id="empty"),
        pytest.param("words", "no names and values", id="words"),
        pytest.param('{"top": null}', "no plain value of top", id="null"),
        pytest.param('{"top": {"a": 1}}', "no plain value of top", id="nested"),
        pytest.param("top:\n  a: 1\n", "no plain value of top", id="nested-yaml"),
        pytest.param("models: [[a]]", "no plain value of models", id="lists-in-a-list"),
        pytest.param('{"top": 1, "top": 2}', "given twice", id="twice"),
        pytest.param("top: 1\ntop: 2\n", "given twice", id="twice-in-yaml"),
        pytest.param("a: &a [*a]", "cannot be read", id="endless"),
        pytest.param("top: 1\n---\ntop: 2\n", "cannot be read", id="two-documents"),
        pytest.param("{" * 5000, "cannot be read", id="bottomless"),
        pytest.param("a\0b: 1", "cannot be read", id="nul"),
        pytest.param("x" * 1_000_001, "too large", id="too-large"),
        pytest.param('{"schema": "s", "run": {}}', "--again", id="findings"),
    ],
)
def test_what_is_no_file_of_parameters_is_refused(tmp_path: Path, text: str, told: str) -> None:
    """One sentence, and nothing of the file is run."""
    with pytest.raises(InputError, match=told) as refused:
        given.read(write(tmp_path, text))
    assert len(str(refused.value)) < 600


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    """With its name."""
    with pytest.raises(InputError, match=r"nowhere\.json"):
        given.read(tmp_path / "nowhere.json")
