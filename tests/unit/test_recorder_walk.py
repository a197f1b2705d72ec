"""As a new user would: a sandbox, ten lines of code, a cap that trips, and what the id tells."""

import csv
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("openai")
pytestmark = pytest.mark.long

USER = """
import json, sys
from openai import APIError, OpenAI
from runbook_lib.recorder import record

told = json.loads(sys.argv[1])
client = OpenAI(base_url=told["base_url"] + "/v1", api_key=told["keys"]["dev-small"])
record(client, "calls.jsonl", key_name="dev-small", environment="development", service="scripts")
ask = [{"role": "user", "content": "canary: what is a cap?"}]
try:
    while True:
        answer = client.chat.completions.create(model="gpt-5.4", messages=ask, stream=%s)
        list(answer)
except APIError as error:
    print(error.response.headers["x-request-id"])
"""


def _runbook(*asked: object, folder: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "runbook_lib.cli", *map(str, asked)]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )


def _calls_until_the_cap(folder: Path, *, streaming: bool) -> tuple[str, dict[str, Any]]:
    """Run a sandbox and the user's program; give the id it printed and what the sandbox told."""
    command = [sys.executable, "-m", "runbook_lib.cli", "sandbox", "--json", "--data", "left"]
    sandbox = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    try:
        assert sandbox.stdout is not None
        told = sandbox.stdout.readline()
        asked = [sys.executable, "-c", USER % streaming, told]
        ran = subprocess.run(
            asked, cwd=folder, capture_output=True, text=True, timeout=60, check=True
        )
        sandbox.send_signal(signal.SIGTERM)
        sandbox.communicate(timeout=30)
    finally:
        sandbox.kill()
        sandbox.communicate()
    return ran.stdout.strip(), json.loads(told)


@pytest.mark.parametrize("streaming", [False, True], ids=["whole", "stream"])
def test_the_report_of_a_call_made_a_minute_ago(*, streaming: bool, tmp_path: Path) -> None:
    """It names the cap, the attempts the SDK wasted, and the step to take."""
    request_id, told = _calls_until_the_cap(tmp_path, streaming=streaming)
    taken = _runbook("intake", "calls.jsonl", "left", "--data", "lake", folder=tmp_path)
    assert taken.returncode == 0, taken.stdout + taken.stderr
    asked = ("incident_triage", "-p", f"request_id={request_id}", "--data", "lake", "--out", "out")
    ran = _runbook("run", *asked, folder=tmp_path)
    assert ran.returncode == 1, ran.stdout + ran.stderr
    out = tmp_path / "out"
    found = json.loads((out / "findings.json").read_text())
    assert found["verdict"]["cause"] == "key_cap_reached"
    assert found["verdict"]["code"] == "API_KEY_QUOTA_EXHAUSTED"
    assert found["verdict"]["grade"] == "confirmed"
    assert found["coverage"]["join_rate"] == 1.0
    by_rule = {finding["rule"]: finding for finding in found["findings"]}
    failed = by_rule["request-failed"]
    assert failed["subject"]["key_name"] == "dev-small"
    assert "cap" in failed["next_step"]["text"]
    assert (failed["next_step"]["where"], failed["next_step"]["retry"]) == ("/keys", "never")
    wasted = by_rule["wasted-retries"]
    assert wasted["value"] == 2
    with (out / "attempts.csv").open(newline="") as file:
        attempts = list(csv.DictReader(file))
    assert [row["attempt"] for row in attempts] == ["1", "2", "3"]
    assert len({row["request_ids"] for row in attempts}) == 3
    assert attempts[-1]["request_ids"] == request_id
    page = (out / "report.html").read_text()
    assert request_id in page
    assert "wasted" in page or "sent again" in page
    written = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert b"canary" not in written
    assert not [secret for secret in told["keys"].values() if secret.encode() in written]
