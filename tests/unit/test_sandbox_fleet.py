"""Clients of the sample: retries as the official SDKs make them, fallback, timeouts, rhythm."""

import json
from random import Random
from typing import Any

import pytest
from made_gateway import NOW, Box

from runbook_lib.sandbox import ticks
from runbook_lib.sandbox.client import wait_before_retry
from runbook_lib.sandbox.director import Director
from runbook_lib.sandbox.fleet import Fallback, Fleet, Service
from runbook_lib.sandbox.history import make

DAY_START = ticks.parse("2026-11-18T00:00:00Z")


def fleet(box: Box, **fields: Any) -> Fleet:
    """A fleet of one service that calls only when it is told to."""
    service = Service(
        **{
            "name": "web-chat",
            "environment": "production",
            "key": "prod-web",
            "path": "/v1/chat/completions",
            "models": {"gpt-5.4": 1},
            "per_day": 0,
            "weekend": 1.0,
            "rhythm": "even",
            "agent": "OpenAI/Python 3.54.0",
            "ip": "203.0.113.20",
            "input": (100, 200),
            "output": (50, 60),
            **fields,
        }
    )
    return Fleet(box.gateway, [service], "test", DAY_START)


def log_of(box: Box, at: int = NOW, **fields: Any) -> list[dict[str, Any]]:
    """The log of one call."""
    changes = {name: fields.pop(name) for name in ("request_id", "quits") if name in fields}
    clients = fleet(box, **fields)
    clients.send(clients.services["web-chat"], at, **changes)
    clients.run(DAY_START, DAY_START + ticks.DAY)
    return [json.loads(line) for line in clients.log]


@pytest.mark.parametrize(
    ("health", "statuses"),
    [
        pytest.param("ok", [200], id="answered"),
        pytest.param("down", [502, 502, 503], id="5xx-and-cooldown"),
        pytest.param("rejects", [400], id="400-never"),
        pytest.param("rate_limited", [429, 503, 503], id="429-and-cooldown"),
    ],
)
def test_the_sdk_sends_three_times_at_most(health: str, statuses: list[int]) -> None:
    """It sends 429 and 5xx again, and nothing else."""
    box = Box()
    box.key("solo-openai")
    box.health("solo-openai", health)
    lines = log_of(box)
    assert [line["http.response.status_code"] for line in lines] == statuses
    assert [line["torouter.attempt"] for line in lines] == [*range(1, len(statuses) + 1)]


def test_a_sticky_429_is_sent_again_in_vain() -> None:
    """The SDK cannot tell a reached cap from a rate limit: the waste that triage counts."""
    box = Box()
    box.key(cap="0")
    lines = log_of(box, request_id="req-cap")
    assert [line["torouter.error.code"] for line in lines] == ["API_KEY_QUOTA_EXHAUSTED"] * 3
    assert {line["http.response.header.x-request-id"][0] for line in lines} == {"req-cap"}
    clients = [line["http.response.header.x-client-request-id"][0] for line in lines]
    assert len(set(clients)) == 3


def test_retry_after_is_obeyed() -> None:
    """A limit of requests per minute passes by itself when the client waits."""
    box = Box()
    box.per_minute(1)
    secret = box.key()
    box.call(secret, NOW)
    lines = log_of(box, at=NOW + ticks.SECOND)
    assert [line["http.response.status_code"] for line in lines] == [429, 200]
    assert lines[0]["torouter.retry_after_s"] == 35
    assert lines[1]["ts"] >= "2026-11-18T04:01:00"


@pytest.mark.parametrize(("resend", "longest"), [(0, 0.5), (1, 1.0), (4, 8.0), (9, 8.0)])
def test_the_backoff_grows_to_eight_seconds(resend: int, longest: float) -> None:
    """Half a second doubled, at most eight, up to a quarter less."""
    box = Box()
    answer = box.call(box.key())
    waits = [wait_before_retry(resend, answer, Random(n)) for n in range(50)]  # noqa: S311
    assert max(waits) <= longest * ticks.SECOND
    assert min(waits) >= 0.75 * longest * ticks.SECOND


def test_a_service_with_a_fallback_moves_to_its_other_model() -> None:
    """The fallback is one more attempt of the same call, with another key and no resends."""
    box = Box()
    box.key("anthropic")
    box.key("openai", "prod-other")
    box.health("anthropic", "down")
    other = Fallback(
        key="prod-other", path="/v1/chat/completions", model="gpt-5.4", agent="OpenAI/Python 3.54.0"
    )
    lines = log_of(box, path="/v1/messages", models={"claude-sonnet-4-6": 1}, fallback=other)
    last = lines[-1]
    assert [line["http.response.status_code"] for line in lines] == [502, 502, 502, 200]
    assert (last["torouter.key.name"], last["torouter.attempt"]) == ("prod-other", 4)
    assert last["http.request.resend_count"] == 0
    assert len({line["torouter.call.id"] for line in lines}) == 1


def test_a_client_that_gives_up_is_billed_all_the_same() -> None:
    """Each abandoned attempt is finished and charged, and leaves no id in the log."""
    box = Box()
    box.key()
    box.health("openai", "slow", factor=100.0)
    lines = log_of(box, timeout_s=10.0)
    assert [line["http.response.status_code"] for line in lines] == [None] * 3
    assert {line["error.type"] for line in lines} == {"ReadTimeout"}
    assert not any("http.response.header.x-request-id" in line for line in lines)
    assert len(box.gateway.rows) == 3


def test_a_stream_closed_by_its_reader_is_billed_in_full() -> None:
    """The log says cancelled, the row has all tokens."""
    box = Box()
    box.key()
    lines = log_of(box, stream=1.0, quits=True)
    assert lines[0]["torouter.stream.end"] == "cancelled"
    assert "gen_ai.usage.output_tokens" not in lines[0]
    assert box.gateway.rows[0].tokens.output >= 50


def test_openais_input_counts_cached_tokens_and_anthropics_does_not() -> None:
    """The log tells what the answer's body tells, the usage row never counts them."""
    box = Box()
    box.key("openai", "prod-web")
    line = log_of(box, cached=1.0)[0]
    row = box.gateway.rows[0]
    whole = row.tokens.input + row.tokens.cache_read
    assert (line["gen_ai.usage.input_tokens"], row.tokens.cache_read > 0) == (whole, True)


@pytest.mark.parametrize(
    ("day", "hour", "expected"),
    [
        pytest.param("18", 9, 12.0, id="working-hour"),
        pytest.param("18", 2, 0.0, id="night"),
        pytest.param("21", 9, 6.0, id="saturday"),
        pytest.param("22", 9, 6.0, id="sunday"),
        pytest.param("23", 9, 12.0, id="monday"),
    ],
)
def test_a_service_has_a_day_and_a_week(day: str, hour: int, expected: float) -> None:
    """Baselines must meet quiet nights and weekends."""
    box = Box()
    box.key()
    service = fleet(box, per_day=101 * 6, weekend=0.5, rhythm="office").services["web-chat"]
    at = ticks.parse(f"2026-11-{day}T{hour:02d}:00:00Z")
    assert service.expected(at) == pytest.approx(expected)


def test_an_unknown_act_is_an_error() -> None:
    """A typing mistake in a scenario must not pass as nothing."""
    box = Box()
    box.key()
    with pytest.raises(KeyError):
        Director(box.console, fleet(box)).plan({"at": "2026-11-18T00:00:00Z", "do": "nothing"})


def test_a_history_without_acts_is_quiet() -> None:
    """What fails then is only the rare trouble of an ordinary day."""
    made = make(7, weeks=1, acts=[])
    statuses = [json.loads(line)["http.response.status_code"] for line in made.log]
    assert sum(status != 200 for status in statuses) < 0.01 * len(statuses)
