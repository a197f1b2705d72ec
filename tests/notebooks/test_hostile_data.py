"""Data that mean harm, from the log to the last file: no key gets out, nothing runs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CANARY = "sk-" + "CANARY0123456789abcdef"
SCRIPT = "<script>alert(1)</script>"
FORMULA = '=HYPERLINK("http://evil.invalid/","x")'

LINE = {
    # One attempt as the recorder writes it, with a harmful value wherever a text can stand.
    "ts": "2026-11-24T05:31:40.300Z",
    "torouter.service": SCRIPT,
    "torouter.environment": "\x1b[2J\u202e",
    "torouter.key.name": FORMULA,
    "torouter.call.id": f"call-{CANARY}",
    "torouter.attempt": 1,
    "torouter.error.code": "INVALID_API_KEY",
    "gen_ai.request.model": f"{SCRIPT}{CANARY}",
    "gen_ai.provider.name": "openai",
    "http.response.status_code": 401,
    "http.response.header.x-request-id": ["req-hostile"],
    "http.response.header.content-type": ["application/json"],
    "error.type": f"401 Bearer {CANARY}",
    "url.path": "/v1/chat/completions?" + "key=" + CANARY,
    "authorization": f"Bearer {CANARY}",
    "duration_ms": 12.5,
}


@pytest.fixture(scope="module")
def ran(tmp_path_factory) -> dict[str, str]:
    """Everything that is left after such a log was taken in and triaged: text by its name."""
    folder = tmp_path_factory.mktemp("hostile")
    log, lake, out = folder / "calls.jsonl", folder / "lake", folder / "out"
    log.write_text("".join(json.dumps({**LINE, "torouter.attempt": at}) + "\n" for at in (1, 2)))
    done = [
        _command("intake", log, "--data", lake),
        _command(
            *("run", "incident_triage", "--data", lake, "--out", out),
            *("--now", "2026-11-24T06:00:00Z", "-p", "request_id=req-hostile"),
        ),
    ]
    assert [one.returncode for one in done] == [0, 1], [one.stderr for one in done]
    said = {f"{at} says": one.stdout + one.stderr for at, one in enumerate(done)}
    return said | {path.name: path.read_text(encoding="utf-8") for path in out.iterdir()}


def _command(*words: str | Path) -> subprocess.CompletedProcess:
    keys = {"TOROUTER_API_KEY": CANARY, "TOROUTER_API_KEY__X": CANARY}
    return subprocess.run(
        [sys.executable, "-m", "runbook_lib.cli", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **keys},
    )


def test_no_key_is_in_anything_that_is_left(ran: dict[str, str]) -> None:
    """Neither from the environment nor from the log: not in files, not on the terminal."""
    assert [name for name, text in ran.items() if "CANARY" in text] == []


def test_nothing_steers_the_terminal_or_hides(ran: dict[str, str]) -> None:
    """What is printed is what is there."""
    bad = [name for name, text in ran.items() if "\x1b" in text or "\u202e" in text]
    assert bad == []


def test_no_script_of_the_data_is_live(ran: dict[str, str]) -> None:
    """The key's name and the model are shown as text, on the page and in the notebook."""
    assert SCRIPT not in ran["report.html"]
    assert "&lt;script&gt;" in ran["report.html"]
    html = [
        "".join(output["data"]["text/html"])
        for cell in json.loads(ran["report.ipynb"])["cells"]
        for output in cell.get("outputs", [])
        if "text/html" in output.get("data", {})
    ]
    assert html
    assert [one for one in html if "<script" in one] == []


def test_no_formula_of_the_data_is_live(ran: dict[str, str]) -> None:
    """Every CSV can be opened in a spreadsheet."""
    rows = {name: text for name, text in ran.items() if name.endswith(".csv")}
    assert any("HYPERLINK" in text for text in rows.values())
    assert [name for name, text in rows.items() if ',"=' in text or "\n=" in text] == []
