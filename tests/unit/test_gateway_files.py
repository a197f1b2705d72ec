"""What the sandbox leaves: whole at every moment, without a reject, and right to the last digit."""

import contextlib
import gzip
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from gateway_kit import BODIES, CHAT, GEMINI, KEYS, MESSAGES, RESPONSES, Running, running

from runbook_lib import sources
from runbook_lib.recorder import record
from runbook_lib.sandbox import prices
from runbook_lib.sandbox.prices import Tokens


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Running]:
    """A sandbox of its own."""
    with running(tmp_path / "sandbox") as found:
        yield found


def taken(folder: Path, staging: Path) -> list[sources.Intake]:
    """Read a folder as `intake` does."""
    staging.mkdir(exist_ok=True)
    return [item for path in sources.files([folder]) for item in sources.read(path, staging)]


def test_the_money_in_the_files_is_the_money_of_the_gateway(run: Running, tmp_path: Path) -> None:
    """The list to ten decimals, the export to its eight; ledgers tell what is left."""
    for _ in range(3):
        for path in (CHAT, RESPONSES, MESSAGES, GEMINI):
            run.post(path)
        run.post(key="partner-web")
    run.act("POST", "export")
    gateway, folder = run.live.console.gateway, run.sandbox.folder
    billed = sum(prices.usd(row.cost.billed) for row in gateway.rows)
    read = taken(folder, tmp_path / "staging")
    assert sum(item.rejected for item in read) == 0
    used = {"usage list": Decimal(0), "usage export": Decimal(0)}
    for item in read:
        if item.kind in used:
            used[item.kind] += item.usd_used
    assert used["usage list"] == billed
    assert abs(used["usage export"] - billed) <= len(gateway.rows) * Decimal("5e-9")
    for name, place in (("team", folder), ("partner", folder / "partner_account")):
        last = (place / "ledger.csv").read_text("utf-8").splitlines()[-1].split(",")
        assert Decimal(last[4]) == prices.usd(gateway.accounts[name].balance)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("path", [CHAT, RESPONSES, MESSAGES, GEMINI])
def test_a_recorded_call_and_its_row_agree(
    path: str, *, stream: bool, run: Running, tmp_path: Path
) -> None:
    """Tokens that the recorder read, at the price of the model, are what was billed."""
    log = tmp_path / "calls.jsonl"
    key = KEYS[path]
    extra: dict[str, Any] = {"stream": True} if stream and path != GEMINI else {}
    way = path.replace("generateContent", "streamGenerateContent") if stream else path
    if stream and path == CHAT:
        extra["stream_options"] = {"include_usage": True}
    with httpx.Client(base_url=run.client.base_url, trust_env=False) as plain:
        client = record(plain, log, key_name=key, environment="test", service="test")
        headers = {"authorization": f"Bearer {run.secret(key)}"}
        client.post(way, headers=headers, json={**BODIES[path], **extra}).raise_for_status()
    run.act("POST", "export")
    line = json.loads(log.read_text("utf-8").splitlines()[-1])
    packed = gzip.decompress((run.sandbox.folder / "usage_rows.json.gz").read_bytes())
    row = json.loads(packed, parse_float=Decimal)["data"]["items"][0]
    ids = line["http.response.header.x-client-request-id"]
    assert row["request_id"] == f"client:{ids[0] if isinstance(ids, list) else ids}"
    tokens = Tokens(line["gen_ai.usage.input_tokens"], line["gen_ai.usage.output_tokens"])
    gateway = run.live.console.gateway
    rate = gateway.models[row["model"]].price
    cost = prices.cost(rate, tokens, gateway.rows[-1].group.multiplier)
    assert abs(prices.usd(cost.billed) - row["actual_cost"]) <= Decimal("1e-8")


def test_what_lies_there_is_whole_at_every_moment(run: Running) -> None:
    """Exports are written while calls run and while others read them."""
    stop, folder = threading.Event(), run.sandbox.folder
    run.post()
    run.act("POST", "export")

    def busy() -> None:
        with httpx.Client(base_url=run.client.base_url, trust_env=False) as client:
            while not stop.is_set():
                headers = {"authorization": f"Bearer {run.secret('prod-web')}"}
                client.post(CHAT, headers=headers, json=BODIES[CHAT])
                client.post("/sandbox/export")

    thread = threading.Thread(target=busy)
    thread.start()
    counts = []
    try:
        for _ in range(40):
            packed = gzip.decompress((folder / "usage_rows.json.gz").read_bytes())
            page = json.loads(packed)["data"]
            assert len(page["items"]) == page["total"]
            export = next(folder.glob("usage_2*.csv")).read_text("utf-8-sig")
            assert all(line.count(",") == 16 for line in export.split("\n"))
            counts.append(page["total"])
        while len(run.live.console.gateway.rows) < counts[0] + 3:
            pass
        counts.append(len(run.live.console.gateway.rows))
    finally:
        stop.set()
        thread.join()
    assert counts == sorted(counts)
    assert counts[-1] > counts[0]


@pytest.mark.long
def test_a_killed_sandbox_leaves_whole_files(tmp_path: Path) -> None:
    """Whatever moment it dies in, a reader finds the export before or the one after."""
    command = [sys.executable, "-m", "runbook_lib.cli", "sandbox", "--json", "--pace", "0"]
    for number in range(8):
        folder = tmp_path / str(number)
        process = subprocess.Popen(
            [*command, "--data", str(folder)], stdout=subprocess.PIPE, text=True
        )
        try:
            told = json.loads(process.stdout.readline())  # type: ignore[union-attr]
            headers = {"authorization": f"Bearer {told['keys']['prod-web']}"}
            with httpx.Client(
                base_url=told["base_url"], trust_env=False, headers=headers
            ) as client:
                for _ in range(100):
                    client.post(CHAT, json=BODIES[CHAT])
                client.post("/sandbox/export")
                killer = threading.Timer(0.01 * number, process.send_signal, [signal.SIGKILL])
                killer.start()
                with contextlib.suppress(httpx.HTTPError):
                    while killer.is_alive():
                        client.post("/sandbox/export")
                killer.join()
        finally:
            process.kill()
            process.communicate()
        read = taken(folder, tmp_path / "staging")
        assert sum(item.rejected for item in read) == 0
        assert [item.rows for item in read if item.kind == "usage export"] == [100]
