"""A call as the recorder logged it and its usage row are one thing: ids, models, tokens, money."""

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from gateway_kit import Running, running
from recorder_sdks import KEYS, TRANSLATED, ask, ask_async, close_async, make

from runbook_lib import sources
from runbook_lib.recorder import record
from runbook_lib.sandbox import prices, wire
from runbook_lib.sandbox.prices import Tokens

BILLED = ("openai", TRANSLATED, "responses", "anthropic", "genai", "httpx2")
CLOSE = Decimal("1e-8")
KINDS = ("input", "output", "cache_read", "cache_write")


def _cached(fields: Any, body: bytes, chance: Any, **_: Any) -> Tokens:
    """Tokens of a prompt that the upstream knew in part and keeps in part."""
    del fields
    size = max(4, len(body) // 4)
    kept = size // 4 if b"claude" in body else 0  # Anthropic alone bills what it keeps
    return Tokens(size - size // 2 - kept, chance.randint(12, 40), size // 2, kept)


def _rows(path: Path, staging: Path, table: str) -> list[dict[str, Any]]:
    """Read a file as the intake does: all of it, without a map."""
    import pyarrow.parquet as pq

    held: list[dict[str, Any]] = []
    for intake in sources.read(path, staging):
        assert (intake.table, intake.rejected) == (table, 0)
        held += pq.read_table(intake.staged).to_pylist()
    return held


def _call_all(run: Running, log: Path) -> None:
    base = run.sandbox.listening.base_url

    async def later(sdk: str, secret: str) -> None:
        client = record(
            make(sdk, base, secret, is_async=True), log, key_name=KEYS.get(sdk, "prod-web")
        )
        for streaming in (False, True):
            told = await ask_async(sdk, client, f"{sdk} async", {}, streaming=streaming)
            assert not told.error
        await close_async(sdk, client)

    for sdk in BILLED:
        secret = run.secret(KEYS.get(sdk, "prod-web"))
        client = record(
            make(sdk, base, secret, is_async=False), log, key_name=KEYS.get(sdk, "prod-web")
        )
        for streaming in (False, True):
            told = ask(sdk, client, f"{sdk} sync", {}, streaming=streaming)
            assert not told.error
        client.close()
        asyncio.run(later(sdk, secret))


@pytest.mark.parametrize(
    "cached",
    [pytest.param(False, id="fresh", marks=pytest.mark.long), pytest.param(True, id="cached")],
)
def test_a_call_and_its_usage_row_agree(
    *, cached: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cent of difference would be a question for support; there is none to 1e-8 USD."""
    log, left, staging = tmp_path / "calls.jsonl", tmp_path / "left", tmp_path / "staging"
    staging.mkdir()
    if cached:
        monkeypatch.setattr(wire, "_tokens", _cached)
    with running(left) as run:
        _call_all(run, log)
        run.act("POST", "export")
        gateway = run.live.console.gateway
        rows = {
            row["request_id"].removeprefix("client:"): row
            for row in _rows(left / "usage_rows.json.gz", staging, "usage")
        }
        calls = _rows(log, staging, "calls")
    assert len(calls) == len(rows) == 4 * len(BILLED)
    for call in calls:
        row = rows[call["client_request_id"]]
        assert call["outcome"] == "ok"
        assert call["stream_end"] == ("complete" if call["stream"] else None)
        assert call["response_model"]
        assert (call["key_name"], call["model"]) == (row["key_name"], row["model"])
        if call["stream"] and "httpx" in call["user_agent"]:
            assert call["input_tokens"] is None  # asked without include_usage: nobody told
            continue
        tokens = Tokens(*(call[f"{kind}_tokens"] or 0 for kind in KINDS))
        assert tokens == Tokens(*(row[f"{kind}_tokens"] for kind in KINDS))
        if cached:
            assert tokens.cache_read
        group = gateway.keys[call["key_name"]].group
        assert group is not None
        cost = prices.cost(gateway.models[call["model"]].price, tokens, group.multiplier)
        assert abs(prices.usd(cost.billed) - row["cost_usd"]) <= CLOSE
