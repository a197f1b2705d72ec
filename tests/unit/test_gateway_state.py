"""Requests over HTTP change the state of the gateway: limits trip, keys rotate, money adds up."""

import gzip
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

import pytest
from gateway_kit import CHAT, GEMINI, MESSAGES, RESPONSES, Running, running

from runbook_lib import sources
from runbook_lib.sandbox import prices
from runbook_lib.sandbox.prices import Tokens


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Running]:
    """A sandbox of its own, as these tests change its state."""
    with running(tmp_path) as found:
        yield found


def code(found: object) -> str:
    """The symbol in a refusal, wherever it stands."""
    body = found.json()  # type: ignore[attr-defined]
    inner = body.get("error", {})
    return str(body.get("code") or inner.get("code") or inner.get("type"))


def test_the_cap_stops_and_raising_it_lets_pass(run: Running) -> None:
    """At the cap every call is refused for good, also on the free list of models."""
    statuses = [run.post(key="dev-small").status_code for _ in range(8)]
    first = statuses.index(429)
    assert 0 < first < 6
    assert set(statuses[first:]) == {429}
    assert code(run.post(key="dev-small")) == "API_KEY_QUOTA_EXHAUSTED"
    assert code(run.post(RESPONSES, "dev-small")) == "insufficient_quota"
    secret = run.secret("dev-small")
    listed = run.client.get("/v1/models", headers={"authorization": f"Bearer {secret}"})
    assert listed.status_code == 429
    told = run.client.get("/v1/usage", headers={"authorization": f"Bearer {secret}"}).json()
    assert told["status"] == "quota_exhausted"
    assert told["isValid"] is True
    run.act("PATCH", "keys/dev-small", cap="1")
    assert run.post(key="dev-small").status_code == 200


def test_calls_at_once_overshoot_the_cap(tmp_path: Path) -> None:
    """The cap is looked at before a call and charged after it, so calls under way pass it."""
    with running(tmp_path, pace=0.5) as run:
        run.act("PATCH", "keys/dev-small", cap="0.0001")
        with ThreadPoolExecutor(6) as pool:
            got = list(pool.map(lambda _: run.post(key="dev-small").status_code, range(6)))
        run.act("POST", "clock", advance_s=5)
        assert got.count(200) > 1
        assert run.post(key="dev-small").status_code == 429
        assert run.live.console.gateway.keys["dev-small"].used > prices.units("0.0001")


def test_the_balance_ends_in_two_forms(run: Running) -> None:
    """The handler refuses first, the door a minute later; a top-up opens both."""
    while (found := run.post(key="partner-web")).status_code == 200:
        pass
    assert (found.status_code, code(found)) == (403, "billing_error")
    run.act("POST", "clock", advance_s=61)
    assert code(run.post(key="partner-web")) == "INSUFFICIENT_BALANCE"
    run.act("POST", "top_up", account="partner", amount="1")
    assert run.post(key="partner-web").status_code == 200


def test_a_window_is_used_up_and_rolls_over(run: Running) -> None:
    """A window's 429 has no Retry-After; five hours later the key works again."""
    while (found := run.post(MESSAGES, "ci-nightly", max_tokens=4000)).status_code == 200:
        pass
    assert (found.status_code, code(found)) == (429, "rate_limit_exceeded")
    assert "retry-after" not in found.headers
    unknown = run.post(MESSAGES, "ci-nightly", model="nope")
    assert unknown.status_code == 429  # the window is answered before the model
    run.act("POST", "clock", advance_s=5 * 3600)
    assert run.post(MESSAGES, "ci-nightly").status_code == 200


def test_rotation_kills_the_old_key_at_once(run: Running) -> None:
    """New key, switch, delete: the old secret is unknown from that moment, the new one works."""
    old = run.secret("prod-web")
    new = run.act("POST", "keys", name="prod-web-v2", cap="10").json()["secret"]
    assert run.post(key="prod-web-v2").status_code == 200
    run.act("DELETE", "keys/prod-web")
    found = run.client.post(CHAT, headers={"authorization": f"Bearer {old}"}, json={})
    assert (found.status_code, code(found)) == (401, "INVALID_API_KEY")
    assert new != old
    assert run.post(key="prod-web-v2").status_code == 200


def test_the_allowlist_believes_the_forwarded_address(run: Running) -> None:
    """As in the family: the address of `X-Forwarded-For` decides, and the message tells it."""
    run.act("PATCH", "keys/prod-web", networks=["203.0.113.0/24"])
    found = run.post()
    assert found.json()["message"] == "Access denied. Your IP is 127.0.0.1"
    run.client.headers["x-forwarded-for"] = "203.0.113.9, 10.0.0.1"
    assert run.post().status_code == 200


@pytest.mark.parametrize(
    ("change", "status", "symbol"),
    [
        pytest.param({"disabled": True}, 401, "API_KEY_DISABLED", id="disabled"),
        pytest.param({"expires_in_s": 0}, 403, "API_KEY_EXPIRED", id="expired"),
        pytest.param({"models": ["gpt-5.4-nano"]}, 403, "model_not_allowed", id="model"),
    ],
)
def test_an_edit_of_a_key_acts_at_once(
    change: dict[str, object], status: int, symbol: str, run: Running
) -> None:
    """Nothing of a key is cached."""
    run.act("PATCH", "keys/prod-web", **change)
    found = run.post()
    assert (found.status_code, code(found)) == (status, symbol)


def test_a_second_upstream_takes_over_and_both_down_is_an_outage(run: Running) -> None:
    """Failover is before the first byte and cannot be seen; after it, channels are set aside."""
    run.act("PATCH", "channels/openai-a", health="down")
    assert {run.post().status_code for _ in range(4)} == {200}
    run.act("PATCH", "channels/openai-b", health="down")
    got = [run.post().status_code for _ in range(6)]
    assert got[0] == 502
    assert got[-1] == 503
    for name in ("openai-a", "openai-b"):
        run.act("PATCH", f"channels/{name}", health="ok")
    assert run.post().status_code == 200


def test_what_no_channel_serves_is_unknown(run: Running) -> None:
    """A model that the operator takes from the last channel is 404 at once, and not listed."""
    solo = {"authorization": f"Bearer {run.secret('prod-support')}"}
    assert run.post(key="prod-support").status_code == 200
    run.act("PATCH", "channels/openai-solo", models=["gpt-5.4-mini"])
    found = run.post(key="prod-support")
    assert (found.status_code, code(found)) == (404, "model_not_found")
    listed = run.client.get("/v1/models", headers=solo).json()["data"]
    assert [item["id"] for item in listed] == ["gpt-5.4-mini"]
    assert run.act("GET", "state").json()["channels"]["openai-solo"]["models"] == ["gpt-5.4-mini"]


def test_acts_of_the_operator_are_in_the_audit_log(run: Running) -> None:
    """What somebody changed must be found by who looks for a reason."""
    run.act("PATCH", "groups/openai-std", rpm=5)
    run.act("PATCH", "accounts/team", concurrency=3)
    run.act("PATCH", "channels/openai-solo", models=["gpt-5.4-mini"])
    run.act("PATCH", "channels/openai-solo", health="down")
    acts = [(act.action, act.change) for act in run.live.console.acts[-4:]]
    assert acts == [
        ("groups.update", {"rpm_limit": 5, "status": "active"}),
        ("users.update", {"concurrency": 3, "rpm_limit": 0, "status": "active"}),
        ("accounts.update", {"models": ["gpt-5.4-mini"]}),
        ("accounts.update", {"status": "down"}),
    ]


def test_a_group_is_switched_off_and_limited(run: Running) -> None:
    """All its keys feel it, those of other groups do not."""
    run.act("PATCH", "groups/openai-std", enabled=False)
    assert code(run.post()) == "GROUP_DISABLED"
    assert run.post(MESSAGES).status_code == 200
    run.act("PATCH", "groups/openai-std", enabled=True, rpm=2)
    run.act("POST", "clock", advance_s=60)
    found = [run.post() for _ in range(3)][-1]
    assert (found.status_code, code(found)) == (429, "rate_limit_exceeded")
    assert 0 < int(found.headers["retry-after"]) <= 60


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("path", [CHAT, RESPONSES, MESSAGES, GEMINI])
def test_a_call_and_its_usage_row_agree(path: str, stream: bool, run: Running) -> None:  # noqa: FBT001
    """Cost = tokens of the answer × price × rate, exactly, and the row is found by the id."""
    if path == GEMINI:
        way = GEMINI.replace("generateContent", "streamGenerateContent") if stream else GEMINI
        headers = {"x-goog-api-key": run.secret("prod-vision")}
        found = run.client.post(way, headers=headers, json={"contents": []})
    else:
        extra = {"stream_options": {"include_usage": True}} if path == CHAT else {}
        found = run.post(path, stream=stream, **(extra if stream else {}))
    run.act("POST", "export")
    row = exported(run.sandbox.folder)[0]
    assert row["request_id"] == f"client:{found.headers['x-client-request-id']}"
    made = run.live.console.gateway.rows[-1]
    model = run.live.console.gateway.models[row["model"]]
    tokens = Tokens(row["input_tokens"], row["output_tokens"])
    cost = prices.cost(model.price, tokens, made.group.multiplier)
    assert Decimal(row["actual_cost"]) == prices.usd(cost.billed)
    assert counted(found.text) == (tokens.input, tokens.output)


def counted(text: str) -> tuple[int, int]:
    """Token counts as the answer tells them, in whichever protocol; the last ones count."""
    names = (
        ("prompt_tokens", "completion_tokens"),
        ("promptTokenCount", "candidatesTokenCount"),
        ("input_tokens", "output_tokens"),
    )
    lines = [line.removeprefix("data: ") for line in text.splitlines()]
    usages = []
    for item in (json.loads(line) for line in lines if line.startswith("{")):
        places = (item, item.get("response") or {}, item.get("message") or {})
        usages += [place.get("usage") or place.get("usageMetadata") for place in places]
    usage = [item for item in usages if item][-1]
    one, other = next(pair for pair in names if pair[0] in usage)
    return usage[one], usage[other]


def exported(folder: Path) -> list[dict[str, object]]:
    """The rows of the console's list, newest first, numbers as they are written."""
    packed = (folder / "usage_rows.json.gz").read_bytes()
    return json.loads(gzip.decompress(packed), parse_float=str)["data"]["items"]


def test_the_files_are_those_the_project_reads(run: Running, tmp_path: Path) -> None:
    """Everything it leaves is taken in without a mapping and without a rejected row."""
    for path in (CHAT, MESSAGES, GEMINI):
        run.post(path)
    run.post(key="prod-web", fault="key_disabled")
    run.act("POST", "export")
    staging = tmp_path / "staging"
    staging.mkdir()
    taken = [
        item for path in sources.files([run.sandbox.folder]) for item in sources.read(path, staging)
    ]
    rows = {item.source_file: item.rows for item in taken}
    assert sum(item.rejected for item in taken) == 0
    assert rows["usage_rows.json.gz"] == 3
    assert rows["keys.csv"] == len(run.live.console.gateway.keys)
    assert rows["audit.csv"] >= 1


def test_counters_of_a_key_lag(run: Running) -> None:
    """`quota.used` is up to five minutes old, the sum of usage is not."""
    headers = {"authorization": f"Bearer {run.secret('prod-web')}"}
    run.client.get("/v1/usage", headers=headers)
    run.post()
    told = run.client.get("/v1/usage", headers=headers).json()
    assert told["quota"]["used"] == 0
    assert told["usage"]["total"]["actual_cost"] > 0
    run.act("POST", "clock", advance_s=301)
    assert run.client.get("/v1/usage", headers=headers).json()["quota"]["used"] > 0


def test_too_many_bad_keys_block_good_ones_behind_the_same_address(run: Running) -> None:
    """One service's bad key stops the others of its address for a minute."""
    for _ in range(120):
        run.client.post(CHAT, headers={"authorization": "Bearer " + "nobody"}, json={})
    found = run.post()
    assert (found.status_code, code(found)) == (429, "INVALID_AUTH_RATE_LIMITED")
    assert found.headers["retry-after"] == "60"
    run.act("POST", "clock", advance_s=61)
    assert run.post().status_code == 200


def test_the_log_tells_what_the_server_saw(run: Running) -> None:
    """Attempts are counted at the server, by the header that the caller makes unique."""
    headers = {"authorization": f"Bearer {run.secret('prod-web')}", "x-sandbox-run": "r1"}
    body = {"model": "gpt-5.4-nano"}
    for retry in ("0", "1"):
        headers["x-stainless-retry-count"] = retry
        headers["x-sandbox-fault"] = "status_500;times=1"
        run.client.post(CHAT, headers=headers, json=body)
    run.post()
    seen = [json.loads(x) for x in run.client.get("/sandbox/log?run=r1").text.splitlines()]
    assert [item["status"] for item in seen] == [500, 200]
    assert [item["attempt"]["x-stainless-retry-count"] for item in seen] == ["0", "1"]
    assert seen[1]["key"] == "prod-web"
    assert seen[1]["bytes_out"] > 0
    assert run.secret("prod-web") not in run.client.get("/sandbox/log").text


def test_the_same_seed_gives_the_same_keys_and_answers(tmp_path: Path) -> None:
    """What a person sees today can be shown again tomorrow."""
    told = []
    for number in range(2):
        with running(tmp_path / str(number)) as run:
            said = run.post().json()["choices"][0]["message"]["content"]
            told.append((run.sandbox.listening.keys, said))
    assert told[0] == told[1]
