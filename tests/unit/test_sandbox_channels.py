"""Failover, cooldowns, ids, streams and money: what the gateway does behind the door."""

from decimal import Decimal

import pytest
from made_gateway import NOW, PATHS, Box, codes

from runbook_lib.sandbox import prices, ticks
from runbook_lib.sandbox.prices import Tokens


def served(box: Box) -> list[str]:
    """Channels of the usage rows so far, in order of their end."""
    box.gateway.settle(NOW + ticks.DAY)
    return [row.channel.name for row in box.gateway.rows]


def test_the_channel_used_least_recently_is_next() -> None:
    """Equal channels share the load in turn."""
    box = Box()
    secret = box.key()
    for n in range(4):
        box.call(secret, NOW + n * ticks.MINUTE)
    names = served(box)
    assert names[0] != names[1]
    assert names[:2] == names[2:]


def test_a_lower_priority_number_goes_first() -> None:
    """A reserve channel serves only when the first cannot."""
    box = Box()
    first, reserve = box.gateway.groups["anthropic"].channels
    reserve.priority = 2
    secret = box.key("anthropic")
    box.call(secret)
    box.call(secret, NOW + ticks.MINUTE)
    first.turn("down")
    box.call(secret, NOW + 2 * ticks.MINUTE)
    assert served(box) == [first.name, first.name, reserve.name]


@pytest.mark.parametrize("health", ["down", "rate_limited", "unauthorized", "model_gone"])
def test_failover_is_invisible_to_the_client(health: str) -> None:
    """One channel fails, the other answers: 200, one row, only the time tells."""
    box = Box()
    box.gateway.groups["openai"].channels[0].turn(health)
    answer = box.call(box.key())
    assert (answer.status, served(box)) == (200, ["openai-2"])


def test_a_rejected_request_is_passed_on_and_not_tried_elsewhere() -> None:
    """A 400 of the upstream is the caller's fault on every channel."""
    box = Box()
    box.health("anthropic", "rejects")
    answer = box.call(box.key("anthropic"))
    assert codes([answer]) == [(400, "invalid_request_error")]
    used = [channel.last_used for channel in box.gateway.groups["anthropic"].channels]
    assert sum(at > 0 for at in used) == 1


def test_a_network_error_does_not_fail_over_in_anthropic_groups() -> None:
    """Measured: OpenAI groups go on to the next channel, Anthropic groups do not."""
    box = Box()
    for group in ("openai", "anthropic"):
        box.gateway.groups[group].channels[0].turn("unreachable")
        box.gateway.groups[group].channels[1].last_used = 1
    answers = [box.call(box.key("openai", "a")), box.call(box.key("anthropic", "b"))]
    assert codes(answers) == [(200, ""), (502, "upstream_error")]


def test_after_a_429_the_only_channel_is_set_aside_for_five_seconds() -> None:
    """One upstream refusal, then 503 for the next calls: a cooldown, not an outage."""
    box = Box()
    box.health("solo-openai", "rate_limited")
    secret = box.key("solo-openai")
    first = box.call(secret)
    box.health("solo-openai", "ok")
    at = [NOW + 4 * ticks.SECOND, NOW + 5 * ticks.SECOND]
    assert codes([first, *(box.call(secret, tick) for tick in at)]) == [
        (429, "rate_limit_error"),
        (503, "api_error"),
        (200, ""),
    ]


def test_a_repeated_5xx_sets_openai_channels_aside_even_after_the_repair() -> None:
    """Most failures of an outage appear as 503, some of them when the provider is back."""
    box = Box()
    secret = box.key("solo-openai")
    box.health("solo-openai", "down")
    during = [box.call(secret, NOW + n * ticks.SECOND) for n in range(3)]
    box.health("solo-openai", "ok")
    back = [box.call(secret, NOW + n * ticks.SECOND) for n in (4, 12)]
    assert [answer.status for answer in [*during, *back]] == [502, 502, 503, 503, 200]


def test_a_repeated_5xx_sets_no_anthropic_channel_aside() -> None:
    """There every failure of an outage is 502."""
    box = Box()
    secret = box.key("anthropic")
    box.health("anthropic", "down")
    answers = [box.call(secret, NOW + n * ticks.SECOND) for n in range(5)]
    assert {answer.status for answer in answers} == {502}


def test_a_channel_without_credentials_waits_for_its_repair() -> None:
    """401 and 402 of an upstream set it aside until somebody repairs it."""
    box = Box()
    secret = box.key("solo-anthropic")
    box.health("solo-anthropic", "unauthorized")
    first, next_day = box.call(secret), box.call(secret, NOW + ticks.DAY)
    box.health("solo-anthropic", "ok")
    assert codes([first, next_day, box.call(secret, NOW + ticks.DAY + 1)]) == [
        (502, "upstream_error"),
        (503, "api_error"),
        (200, ""),
    ]


def test_an_unknown_kind_of_health_is_an_error() -> None:
    """A typing mistake in a scenario must not pass as a healthy channel."""
    with pytest.raises(KeyError):
        Box().health("openai", "sick")


# Ids --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("own", "echoed"),
    [
        pytest.param("trace-1", True, id="short"),
        pytest.param("a" * 64, True, id="64-bytes"),
        pytest.param("a" * 65, False, id="65-bytes"),
        pytest.param("é" * 33, False, id="66-bytes"),
        pytest.param("", False, id="empty"),
    ],
)
def test_the_callers_own_request_id_is_echoed_up_to_64_bytes(own: str, *, echoed: bool) -> None:
    """Readable ids of callers come back; what is too long is replaced by a UUID."""
    box = Box()
    answer = box.call(box.key(), request_id=own)
    assert (answer.request_ids[0] == own) is echoed
    assert len(answer.request_ids[0]) == (len(own) if echoed else 36)


def test_each_protocol_shows_the_upstreams_id_its_own_way() -> None:
    """OpenAI adds it, Gemini replaces both, Anthropic drops it."""
    box = Box()
    found = {
        name: box.call(box.key(name, name)).request_ids
        for name in ("openai", "gemini", "anthropic")
    }
    assert [len(ids) for ids in found.values()] == [2, 2, 1]
    assert found["openai"][1].startswith("req_")
    assert found["gemini"][0] == found["gemini"][1]
    assert not found["anthropic"][0].startswith("req_")


def test_the_second_id_is_always_fresh_and_stands_in_the_usage_row() -> None:
    """It is the only id that joins an answer with its row."""
    box = Box()
    secret = box.key()
    answers = [box.call(secret, NOW + n, request_id="same") for n in range(3)]
    box.gateway.settle(NOW + ticks.HOUR)
    ids = [answer.client_id for answer in answers]
    assert len(set(ids)) == 3
    assert {row.client_id for row in box.gateway.rows} == set(ids)


# Rows and money ---------------------------------------------------------------------------------


def test_a_row_is_dated_by_its_end() -> None:
    """The console's time is the end of the request, not its start."""
    box = Box()
    answer = box.call(box.key())
    box.gateway.settle(NOW + ticks.HOUR)
    assert box.gateway.rows[0].end == NOW + answer.duration


def test_nothing_is_charged_before_the_request_ends() -> None:
    """A balance read in between does not know of it yet."""
    box = Box()
    answer = box.call(box.key())
    box.gateway.settle(NOW + answer.duration - 1)
    before = box.account.balance
    box.gateway.settle(NOW + answer.duration)
    assert before == prices.units(100) > box.account.balance


def test_billed_is_original_times_multiplier_to_ten_decimals() -> None:
    """The figures of a recorded row, recomputed: 0.0020025 and 0.00300375 USD."""
    box = Box()
    box.call(box.key("anthropic"))
    box.gateway.settle(NOW + ticks.HOUR)
    cost = box.gateway.rows[0].cost
    assert prices.usd(cost.original) == Decimal("0.002892")
    assert prices.usd(cost.billed) == Decimal("0.004338")


def test_embeddings_are_stored_at_cost_0() -> None:
    """Measured: a row without a price is not a row without use."""
    box = Box()
    box.call(box.key(), path="/v1/embeddings", model="text-embedding-3-small")
    box.gateway.settle(NOW + ticks.HOUR)
    assert box.gateway.rows[0].cost == prices.Cost(0, 0, 0, 0, 0, 0)
    assert box.gateway.rows[0].tokens.input == 234


@pytest.mark.parametrize(
    ("group", "path", "end", "billed"),
    [
        pytest.param("openai", PATHS["openai"], "truncated", Tokens(), id="chat-silent"),
        pytest.param("openai", "/v1/responses", "error_event", None, id="responses-no-row"),
        pytest.param(
            "anthropic",
            PATHS["anthropic"],
            "error_event",
            Tokens(234, 0, 700, 300),
            id="messages-input-billed",
        ),
    ],
)
def test_a_cut_stream_ends_and_is_billed_as_measured(
    group: str, path: str, end: str, billed: Tokens | None
) -> None:
    """Silent or loud, free or not: it depends on the endpoint (contract §4)."""
    box = Box()
    box.health(group, "cuts")
    answer = box.call(box.key(group), path=path, stream=True)
    box.gateway.settle(NOW + ticks.HOUR)
    assert (answer.status, answer.stream_end) == (200, end)
    assert [row.tokens for row in box.gateway.rows] == ([] if billed is None else [billed])


def test_a_channel_that_cuts_streams_answers_the_rest() -> None:
    """Only streams break in the middle."""
    box = Box()
    box.health("openai", "cuts")
    assert box.call(box.key()).status == 200


def test_a_gateway_that_fails_itself_refuses_every_group_alike() -> None:
    """All keys, models and providers at once: that is how its own fault looks."""
    box = Box()
    secrets = [box.key(name, name) for name in ("openai", "anthropic")]
    box.gateway.broken = True
    assert codes([box.call(secret) for secret in secrets]) == [(500, "INTERNAL_ERROR")] * 2
