"""`runbook sandbox` as a user starts and ends it: a process, a port, its files."""

import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

FILES = {"audit.csv", "keys.csv", "ledger.csv", "usage_rows.json.gz"}
"""What is left beside the export when one call was answered and none refused."""


@contextmanager
def started(folder: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """Start the command, read its one line, and end it by its own id if a test did not."""
    command = [sys.executable, "-m", "runbook_lib.cli", "sandbox", "--json", "--data", str(folder)]
    process = subprocess.Popen(
        [*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    watchdog = threading.Timer(60, process.kill)
    watchdog.start()
    try:
        yield process, json.loads(process.stdout.readline())
    finally:
        watchdog.cancel()
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "term"])
def test_it_says_where_it_listens_and_leaves_its_files(
    number: signal.Signals, tmp_path: Path
) -> None:
    """The line is all a program needs; after the signal nothing is left but the files."""
    folder = tmp_path / "left"
    with started(folder, "--pace", "0") as (process, told):
        assert set(told) >= {"base_url", "keys", "models", "data_dir"}
        assert told["data_dir"] == str(folder)
        found = httpx.post(
            f"{told['base_url']}/v1/chat/completions",
            headers={"authorization": f"Bearer {told['keys']['prod-web']}"},
            json={"model": told["models"][-3], "messages": []},
            trust_env=False,
        )
        assert found.status_code == 200
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
        assert (process.returncode, errors) == (0, "")
    names = {path.name for path in folder.iterdir()}
    assert {name for name in names if not name.startswith("usage_2")} == FILES
    assert len(names) == len(FILES) + 1
    port = int(told["base_url"].rpartition(":")[2])
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_it_ends_while_a_caller_waits(tmp_path: Path) -> None:
    """A call that hangs must not keep it from ending, and what was billed is in the export."""
    with started(tmp_path) as (process, told):
        host, port = told["base_url"].removeprefix("http://").split(":")
        head = (
            "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n"
            f"authorization: Bearer {told['keys']['prod-web']}\r\n"
            'x-sandbox-fault: no_answer\r\ncontent-length: 19\r\n\r\n{"model":"gpt-5.4"}'
        )
        with socket.create_connection((host, int(port))) as held:
            held.sendall(head.encode())
            log = ""
            while "no_answer" not in log:
                log = httpx.get(f"{told['base_url']}/sandbox/log", trust_env=False).text
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=30)
        assert process.returncode == 0
    export = next(tmp_path.glob("usage_2*.csv")).read_text("utf-8-sig")
    assert export.count("\n") == 1


def test_planted_faults_come_from_a_file(tmp_path: Path) -> None:
    """A scenario that somebody wrote is there from the first call."""
    file = tmp_path / "outage.toml"
    file.write_text('[[rules]]\nname = "upstream_failed"\nmodel = "gpt-5.4"\ntimes = 1\n')
    with started(tmp_path / "left", "--faults", str(file), "--pace", "0") as (_, told):
        headers = {"authorization": f"Bearer {told['keys']['prod-web']}"}
        with httpx.Client(base_url=told["base_url"], headers=headers, trust_env=False) as client:
            got = [
                client.post("/v1/chat/completions", json={"model": "gpt-5.4"}).status_code
                for _ in range(2)
            ]
            kept = client.get("/sandbox/faults").json()["toml"]
    assert got == [502, 200]
    assert kept == file.read_text().replace("times = 1\n", "").replace(
        'model = "gpt-5.4"\n', 'times = 1\nmodel = "gpt-5.4"\n'
    )


@pytest.mark.parametrize("trouble", ["port", "faults", "folder", "now"])
def test_wrong_use_is_said_in_a_sentence(trouble: str, tmp_path: Path) -> None:
    """A taken port or a bad file ends with 2 and no stack trace."""
    taken = socket.create_server(("127.0.0.1", 0))
    bad = tmp_path / "bad.toml"
    bad.write_text("[[rules]]\nname = 'nope'\n")
    options = {
        "port": ["--port", str(taken.getsockname()[1])],
        "faults": ["--faults", str(bad)],
        "folder": ["--data", str(bad)],
        "now": ["--now", "tomorrow"],
    }[trouble]
    with taken:
        ran = subprocess.run(
            [sys.executable, "-m", "runbook_lib.cli", "sandbox", *options],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert ran.returncode == 2
    assert "Traceback" not in ran.stderr
    assert ran.stderr.strip()


def test_two_runs_from_one_start_say_the_same(tmp_path: Path) -> None:
    """With a clock that stands still and a start, a demonstration is the same tomorrow."""
    told = []
    for number in range(2):
        options = ("--speed", "0", "--now", "2026-11-18T13:00:00+08:00")
        with started(tmp_path / str(number), *options) as (_, listening):
            headers = {"authorization": f"Bearer {listening['keys']['prod-web']}"}
            found = httpx.post(
                f"{listening['base_url']}/v1/chat/completions",
                headers=headers,
                json={"model": "gpt-5.4", "messages": []},
                trust_env=False,
            )
            told.append((found.headers.multi_items(), found.text))
    assert told[0] == told[1]
    assert dict(told[0][0])["date"] == "Wed, 18 Nov 2026 05:00:00 GMT"
