"""What was measured of the gateway and surprises its callers: one test for each sentence.

The sentences are those of contract §1, §3.2, §4 and §6; what another file tests is not repeated.
"""

import pytest
from captured_situations import subscribed
from made_gateway import NOW, PATHS, Box, codes

from runbook_lib.sandbox import prices, ticks
from runbook_lib.sandbox.answers import Answer
from runbook_lib.sandbox.channels import SWITCHES
from runbook_lib.sandbox.prices import Tokens

S = ticks.SECOND
DEAR = Tokens(0, 1000)


def every_second(box: Box, secret: str, start: int, seconds: int) -> list[Answer]:
    """One call a second."""
    return [box.call(secret, NOW + (start + n) * S) for n in range(seconds)]


# An outage as its callers see it ---------------------------------------------------------------


def test_most_failures_of_an_outage_appear_as_503() -> None:
    """Channels of an OpenAI group are set aside after a repeated 5xx, so 502 is the exception."""
    box = Box()
    secret = box.key()
    box.health("openai", "down")
    seen = codes(every_second(box, secret, 0, 120))
    assert seen.count((503, "api_error")) > 5 * seen.count((502, "upstream_error")) > 0


def test_calls_fail_for_some_time_after_the_provider_is_back() -> None:
    """A channel that was set aside stays so: failures go on for up to twenty seconds."""
    box = Box()
    secret = box.key()
    box.health("openai", "down")
    every_second(box, secret, 0, 60)
    box.health("openai", "ok")
    after = [answer.status for answer in every_second(box, secret, 60, 30)]
    well = after.index(200)
    assert set(after[:well]) == {503}
    assert 5 <= well <= 20


def test_a_wave_of_upstream_429_looks_mostly_like_503() -> None:
    """Each 429 sets the channel aside for five seconds, and the calls between find none."""
    box = Box()
    secret = box.key("solo-openai")
    box.health("solo-openai", "rate_limited")
    seen = [answer.status for answer in every_second(box, secret, 0, 60)]
    assert seen.count(503) == 4 * seen.count(429)


@pytest.mark.parametrize(
    ("health", "seconds"),
    [
        pytest.param("rate_limited", 5, id="429"),
        pytest.param("overloaded", 600, id="529"),
        pytest.param("model_gone", 1800, id="404"),
    ],
)
def test_one_failure_sets_a_channel_aside_for_so_long(health: str, seconds: int) -> None:
    """Cooldowns after one failure differ by what failed (contract §6)."""
    box = Box()
    secret = box.key("solo-openai")
    box.health("solo-openai", health)
    box.call(secret)
    box.health("solo-openai", "ok")
    before, after = (box.call(secret, NOW + (seconds + n) * S) for n in (-1, 0))
    assert [before.status, after.status] == [503, 200]


@pytest.mark.parametrize(
    ("protocol", "seconds"), [pytest.param("anthropic", 20), pytest.param("gemini", 64)]
)
def test_the_gateway_itself_tries_for_long_before_it_gives_up(protocol: str, seconds: int) -> None:
    """Client timeouts under seventy seconds give up first."""
    box = Box()
    box.health(f"solo-{protocol}", "unavailable")
    answer = box.call(box.key(f"solo-{protocol}"))
    assert (answer.status, answer.duration // S) == (502, seconds)


@pytest.mark.parametrize("protocol", ["openai", "gemini"])
def test_failover_has_an_end(protocol: str) -> None:
    """Ten switches, three for Gemini: what lies behind them is not reached."""
    box = Box()
    most = SWITCHES[protocol]  # type: ignore[index]
    group = box.group("wide", protocol, channels=most + 2)  # type: ignore[arg-type]
    for number, channel in enumerate(group.channels):
        channel.priority = number
        channel.turn("unreachable" if number <= most else "ok")
    assert box.call(box.key("wide")).status == 502
    group.channels[most].turn("ok")
    assert box.call(box.key("wide", "again"), NOW + ticks.HOUR).status == 200


def test_a_502_can_hide_a_wrong_model_upstream() -> None:
    """The upstream's 404 is not passed on."""
    box = Box()
    box.health("openai", "model_gone")
    assert codes([box.call(box.key())]) == [(502, "upstream_error")]


# One status, several meanings -------------------------------------------------------------------


def test_a_429_is_final_or_not_by_its_code_and_headers() -> None:
    """A cap has no Retry-After and stays; the rate says how long and passes."""
    box = Box()
    box.per_minute(1)
    capped, free = box.key(name="capped", cap="0.01"), box.key(name="free")
    box.call(capped, NOW - ticks.HOUR, tokens=DEAR)
    box.call(free)
    at_cap, too_fast = box.call(capped), box.call(free)
    assert at_cap.problem is not None
    assert too_fast.problem is not None
    assert (at_cap.status, at_cap.problem.retry_after) == (429, None)
    assert too_fast.problem.retry_after is not None
    assert 0 < too_fast.problem.retry_after <= 60
    passed = NOW + too_fast.problem.retry_after * S
    assert [box.call(capped, passed).status, box.call(free, passed).status] == [429, 200]


@pytest.mark.parametrize("window", ["daily", "weekly", "monthly"])
def test_a_403_can_pass_with_a_window(window: str) -> None:
    """A plan's window is refused in two forms, one after the other, and passes when it rolls."""
    box = Box()
    secret = box.key("anthropic")
    subscribed(box)
    plan = box.gateway.groups["anthropic"].plan
    assert plan is not None
    for other in {"daily", "weekly", "monthly"} - {window}:
        plan.limits[other] = prices.units(10)
    used = box.account.subscriptions[box.gateway.groups["anthropic"].id].windows
    begun = next(item.start for item in used if item.name == window)
    assert begun is not None
    plan.limits[window] = prices.units("0.01")
    span = {"daily": ticks.DAY, "weekly": 7 * ticks.DAY, "monthly": 30 * ticks.DAY}[window]
    held = box.account.subscriptions[box.gateway.groups["anthropic"].id]
    held.expires_at = NOW + 90 * ticks.DAY
    soon, late, last = NOW + S, NOW + 61 * S, begun + span - S
    times = (soon, late, last, begun + span)
    assert codes([box.call(secret, at) for at in times]) == [
        (403, "billing_error"),
        (429, "USAGE_LIMIT_EXCEEDED"),
        (429, "USAGE_LIMIT_EXCEEDED"),
        (200, ""),
    ]


def test_a_subscription_pays_instead_of_the_balance() -> None:
    """The balance stays, an empty one stops nothing."""
    box = Box(balance="0")
    secret = box.key("anthropic")
    subscribed(box)
    box.gateway.groups["anthropic"].plan.limits["daily"] = prices.units(1)  # type: ignore[union-attr]
    answer = box.call(secret, NOW + ticks.HOUR)
    box.gateway.settle(NOW + 2 * ticks.HOUR)
    assert (answer.status, box.account.balance, len(box.gateway.rows)) == (200, 0, 2)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        pytest.param("none", "SUBSCRIPTION_NOT_FOUND", id="none"),
        pytest.param("paused", "SUBSCRIPTION_INVALID", id="paused"),
        pytest.param("ended", "SUBSCRIPTION_INVALID", id="ended"),
    ],
)
def test_a_key_of_a_plan_needs_a_live_subscription(change: str, code: str) -> None:
    """None, paused and ended are refused at the door, for good."""
    box = Box()
    secret = box.key("anthropic")
    subscribed(box)
    held = box.account.subscriptions[box.gateway.groups["anthropic"].id]
    if change == "none":
        box.account.subscriptions.clear()
    held.paused = change == "paused"
    held.expires_at = NOW if change == "ended" else held.expires_at
    assert codes([box.call(secret, NOW + S)]) == [(403, code)]


# The door ---------------------------------------------------------------------------------------


def test_the_bad_key_of_one_service_blocks_its_address_not_its_neighbours() -> None:
    """119 are no block, the 120th is; it lasts a minute and counts from the block."""
    box = Box()
    secret = box.key()
    for n in range(119):
        box.call("sk-nobody", NOW + n)
    open_still = box.call(secret, NOW + 119)
    box.call("sk-nobody", NOW + 120)
    later = [box.call(secret, NOW + 120 + n * S) for n in (1, 59, 61)]
    assert [open_still.status, *(answer.status for answer in later)] == [200, 429, 429, 200]


def test_bad_keys_of_an_hour_block_nobody() -> None:
    """Only calls within one minute count."""
    box = Box()
    for n in range(200):
        box.call("sk-nobody", NOW + n * S)
    assert box.call(box.key(), NOW + 200 * S).status == 200


def test_any_text_of_sixteen_letters_can_be_a_key() -> None:
    """Keys are `sk-…` or a text of the owner's choice (contract §1)."""
    box = Box()
    key = box.console.create_key(
        NOW, "own", account="team", group="openai", secret="team" + "-" * 12
    )
    assert box.call(key.secret).status == 200


def test_a_key_shows_when_and_whence_it_was_last_let_in() -> None:
    """The console's list has both; a refused call is no use."""
    box = Box()
    secret = box.key(networks=["203.0.113.0/24"])
    box.call(secret, ip="203.0.113.4")
    box.call(secret, NOW + S, ip="192.0.2.1")
    key = box.gateway.keys["prod-web"]
    assert (key.last_used_at, key.last_used_ip) == (NOW, "203.0.113.4")


def test_a_model_without_a_price_is_charged_as_its_nearest_relative() -> None:
    """A group that takes every name bills an unknown one at a family's price (contract §7)."""
    box = Box()
    box.gateway.channels["solo-openai-1"].answers.clear()
    secret = box.key("solo-openai")
    box.call(secret, model="gpt-5.4-mini-next", tokens=Tokens(1000, 1000))
    box.call(secret, NOW + S, model="gpt-5.4-mini", tokens=Tokens(1000, 1000))
    box.gateway.settle(NOW + ticks.HOUR)
    unknown, known = box.gateway.rows
    assert unknown.request.model == "gpt-5.4-mini-next"
    assert unknown.cost == known.cost


# Streams that break -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("group", "path", "health", "end", "code", "rows"),
    [
        pytest.param("openai", "", "cuts", "truncated", "", [Tokens()], id="chat"),
        pytest.param(
            "translated", "", "cuts", "error_event", "upstream_stream_read_error", [Tokens()],
            id="chat-over-responses",
        ),
        pytest.param(
            "openai", "/v1/responses", "cuts", "error_event", "stream_read_error", [],
            id="responses",
        ),
        pytest.param(
            "anthropic", "", "cuts", "error_event", "stream_read_error",
            [Tokens(234, 0, 700, 300)], id="messages",
        ),
        pytest.param("gemini", "", "cuts", "truncated", "", [Tokens()], id="gemini"),
        pytest.param("openai", "", "errs", "error_event", "upstream_error", [Tokens()], id="error"),
        pytest.param("openai", "", "hangs", "truncated", "", [Tokens()], id="hangs"),
    ],
)  # fmt: skip
def test_each_endpoint_tells_of_a_broken_stream_in_its_own_way(
    group: str, path: str, health: str, end: str, code: str, rows: list[Tokens]
) -> None:
    """What the client gets and what is billed, row by row of contract §4."""
    box = Box()
    box.group("translated", "openai", channels=1).channels[0].responses = True
    box.health(group, health)
    secret = box.key(group)
    answer = box.call(secret, stream=True, path=path or PATHS.get(group, PATHS["openai"]))
    box.gateway.settle(NOW + ticks.HOUR)
    assert (answer.status, answer.stream_end, answer.code) == (200, end, code)
    assert [row.tokens for row in box.gateway.rows] == rows
    whole = box.call(secret, NOW + ticks.HOUR, path=path or PATHS.get(group, PATHS["openai"]))
    assert whole.stream_end == ""


@pytest.mark.parametrize(
    ("group", "status"), [("openai", 200), ("anthropic", 200), ("gemini", 429)]
)
def test_a_stream_that_waits_in_vain_has_pings_before_its_refusal(group: str, status: int) -> None:
    """The 429 comes inside a 200, save where no pings are sent."""
    box = Box()
    box.account.concurrency = 1
    box.account.occupy(NOW + ticks.HOUR)
    answer = box.call(box.key(group), stream=True)
    assert answer.status == status
    assert answer.problem is not None
    assert answer.problem.code == "rate_limit_error"
    assert answer.duration >= 30 * S


def test_a_stream_that_hangs_takes_a_minute_more() -> None:
    """Nothing comes for a minute before the connection ends."""
    box = Box()
    box.health("openai", "hangs")
    answer = box.call(box.key(), stream=True)
    assert answer.duration >= 60 * S


@pytest.mark.parametrize("group", ["openai", "anthropic"])
def test_before_the_first_event_a_failure_is_an_ordinary_error(group: str) -> None:
    """Sometimes it has the headers of a stream; nothing is billed."""
    box = Box()
    box.health(group, "mutes")
    path = "/v1/responses" if group == "openai" else PATHS[group]
    secret = box.key(group)
    answer = box.call(secret, stream=True, path=path)
    box.gateway.settle(NOW + ticks.HOUR)
    assert (answer.status, answer.content_type) == (502, "text/event-stream")
    assert (answer.stream_end, box.gateway.rows) == ("", [])
    assert box.call(secret, NOW + ticks.HOUR, path=path).status == 200


def test_failover_happens_before_the_first_event_only() -> None:
    """A stream that never began is tried elsewhere, one that broke is not."""
    box = Box()
    one, other = box.gateway.groups["openai"].channels
    other.last_used = 1
    secret = box.key()
    one.turn("mutes")
    unbegun = box.call(secret, stream=True)
    one.turn("cuts")
    one.last_used, other.last_used = 0, 1
    broken = box.call(secret, NOW + ticks.HOUR, stream=True)
    assert [unbegun.stream_end, broken.stream_end] == ["complete", "truncated"]


def test_what_the_caller_abandons_is_billed_in_full() -> None:
    """The row is there at the end the request would have had (contract §6)."""
    box = Box()
    answer = box.call(box.key(), stream=True)
    assert box.gateway.rows == []
    box.gateway.settle(NOW + answer.duration)
    assert box.gateway.rows[0].tokens == Tokens(234, 57, 700, 0)
