"""Every limit of a key or an account really stops it, when and as the contract says."""

import pytest
from made_gateway import NOW, Box, codes

from runbook_lib.sandbox import prices, ticks
from runbook_lib.sandbox.prices import Tokens

DEAR = Tokens(0, 1000)
"""A thousand output tokens of gpt-5.4: 0.015 USD before the multiplier of 1.5, 0.0225 billed."""

LATER = NOW + ticks.HOUR


def test_a_cap_is_soft_checked_before_and_charged_after() -> None:
    """Calls under way overshoot the cap: who sizes caps must know by how much."""
    box = Box()
    secret = box.key(cap="0.02")
    together = [box.call(secret, NOW + n, tokens=DEAR) for n in range(3)]
    after = box.call(secret, LATER)
    assert [answer.status for answer in together] == [200, 200, 200]
    assert (after.status, after.code) == (429, "API_KEY_QUOTA_EXHAUSTED")
    assert box.gateway.keys["prod-web"].used == prices.units("0.0675")


def test_a_raised_cap_lets_calls_pass_at_once() -> None:
    """Edits act at once; the next step of a cap incident relies on it."""
    box = Box()
    secret = box.key(cap="0.02")
    box.call(secret, tokens=DEAR)
    refused = box.call(secret, LATER)
    box.console.set_cap(LATER, "prod-web", "5")
    assert codes([refused, box.call(secret, LATER + 1)]) == [
        (429, "API_KEY_QUOTA_EXHAUSTED"),
        (200, ""),
    ]


@pytest.mark.parametrize(
    ("window", "still_closed", "open_again"),
    [
        pytest.param("5h", 5 * ticks.HOUR, 5 * ticks.HOUR + ticks.MINUTE, id="5h-from-first-call"),
        pytest.param("1d", 11 * ticks.HOUR, 12 * ticks.HOUR, id="1d-at-server-midnight"),
        pytest.param("7d", 6 * ticks.DAY, 7 * ticks.DAY - 12 * ticks.HOUR, id="7d-at-midnight"),
    ],
)
def test_a_window_rolls_over_where_it_was_measured(
    window: str, still_closed: int, open_again: int
) -> None:
    """5 h counts from the first charge, 1 d and 7 d from midnight of the server's zone."""
    box = Box()
    secret = box.key(windows={window: "0.01"})
    first = box.call(secret, tokens=DEAR)
    charged = NOW + first.duration if window == "5h" else NOW - NOW % ticks.MINUTE
    before, after = box.call(secret, charged + still_closed - 1), None
    after = box.call(secret, charged + open_again)
    assert codes([first, before, after]) == [(200, ""), (429, "rate_limit_exceeded"), (200, "")]
    assert before.problem is not None
    assert before.problem.retry_after is None


def test_a_used_up_window_is_answered_before_an_unknown_model() -> None:
    """A wrong model hides behind the window: measured, and it misleads."""
    box = Box()
    secret = box.key(windows={"1d": "0.01"})
    unknown = box.call(secret, model="gpt-9-nope")
    box.call(secret, tokens=DEAR)
    assert codes([unknown, box.call(secret, LATER, model="gpt-9-nope")]) == [
        (404, "model_not_found"),
        (429, "rate_limit_exceeded"),
    ]


@pytest.mark.parametrize(
    ("address", "status"),
    [
        pytest.param("203.0.113.7", 200, id="inside-the-range"),
        pytest.param("203.0.114.7", 403, id="one-range-further"),
        pytest.param("198.51.100.9", 200, id="single-address"),
        pytest.param("198.51.100.10", 403, id="next-address"),
        pytest.param("2001:db8::1", 403, id="other-family"),
        pytest.param("not an address", 403, id="no-address"),
    ],
)
def test_an_allowlist_is_read_as_networks(address: str, status: int) -> None:
    """The allowlist decides by CIDR, and the refusal costs nothing."""
    box = Box()
    secret = box.key(networks=["203.0.113.0/24", "198.51.100.9"])
    answer = box.call(secret, ip=address)
    assert answer.status == status
    assert answer.code == ("" if status == 200 else "ACCESS_DENIED")


def test_an_edited_allowlist_acts_at_once() -> None:
    """What was seen of an address before must not outlive the list."""
    box = Box()
    secret = box.key(networks=["203.0.113.0/24"])
    before = box.call(secret, ip="198.51.100.1")
    box.console.set_networks(NOW, "prod-web", ["198.51.100.0/24"])
    assert [before.status, box.call(secret, ip="198.51.100.1").status] == [403, 200]


def test_a_key_expires_at_its_instant() -> None:
    """One microsecond before it works, at the instant it is refused."""
    box = Box()
    secret = box.key()
    box.console.set_expiry(NOW, "prod-web", LATER)
    assert codes([box.call(secret, LATER - 1), box.call(secret, LATER)]) == [
        (200, ""),
        (403, "API_KEY_EXPIRED"),
    ]


def test_a_deleted_key_is_unknown_and_a_disabled_one_is_not() -> None:
    """After a rotation the old key gives 401 INVALID_API_KEY, like one that never was."""
    box = Box()
    deleted, disabled = box.key(name="old"), box.key(name="off")
    box.console.delete_key(NOW, "old")
    box.console.set_disabled(NOW, "off", disabled=True)
    assert codes([box.call(deleted), box.call(disabled), box.call("sk-nobody")]) == [
        (401, "INVALID_API_KEY"),
        (401, "API_KEY_DISABLED"),
        (401, "INVALID_API_KEY"),
    ]


def test_an_empty_balance_is_refused_in_two_forms_in_this_order() -> None:
    """The handler notices first, the door's copy is a minute old: two codes, one cause."""
    box = Box(balance="0.02")
    secret = box.key()
    spent = box.call(secret, tokens=DEAR)
    soon, late = box.call(secret, NOW + 20 * ticks.SECOND), box.call(secret, LATER)
    box.console.top_up(LATER, "team", "1")
    assert codes([spent, soon, late, box.call(secret, LATER + 1)]) == [
        (200, ""),
        (403, "billing_error"),
        (403, "INSUFFICIENT_BALANCE"),
        (200, ""),
    ]


def test_requests_per_minute_are_counted_by_the_clock_and_say_how_long() -> None:
    """Retry-After leads to the next minute, where the requests pass again."""
    box = Box()
    box.per_minute(2)
    secret = box.key()
    answers = [box.call(secret, NOW + n * ticks.SECOND) for n in range(3)]
    refused = answers[-1].problem
    assert codes(answers) == [(200, ""), (200, ""), (429, "rate_limit_exceeded")]
    assert refused is not None
    assert refused.retry_after == 34
    assert box.call(secret, NOW + 36 * ticks.SECOND).status == 200


def test_a_group_limit_counts_all_its_keys() -> None:
    """The group's limit hits keys that sent little themselves."""
    box = Box()
    box.gateway.groups["openai"].per_minute.limit = 1
    one, other = box.key(name="one"), box.key(name="other")
    assert [box.call(one).status, box.call(other).status] == [200, 429]


def test_more_calls_than_slots_wait_thirty_seconds_and_then_fail() -> None:
    """Concurrency: who waits longer than 30 s is refused then, a full queue refuses at once."""
    box = Box()
    box.account.concurrency = 1
    secret = box.key()
    slow = {"tokens": Tokens(10, 2000)}
    answers = [box.call(secret, NOW + n, **slow) for n in range(20)]
    assert answers[0].status == 200
    assert answers[1].duration > answers[0].duration
    waited = [answer for answer in answers if answer.code == "rate_limit_error"]
    assert max(answer.duration for answer in waited) >= 30 * ticks.SECOND
    assert min(answer.duration for answer in waited) < ticks.SECOND


def test_a_stream_that_waits_in_vain_gets_its_refusal_inside_200() -> None:
    """The pings have been sent under 200 by then, so the 429 comes as an event."""
    box = Box()
    box.account.concurrency = 1
    secret = box.key()
    box.call(secret, pace=200.0)
    answer = box.call(secret, NOW + 1, stream=True)
    assert (answer.status, answer.stream_end, answer.code) == (
        200,
        "error_event",
        "rate_limit_error",
    )


def test_many_bad_keys_block_their_address_for_good_keys_too() -> None:
    """One service's bad key can stop another behind the same address."""
    box = Box()
    secret = box.key()
    for n in range(120):
        box.call("sk-nobody", NOW + n)
    blocked, elsewhere = box.call(secret, NOW + 200), box.call(secret, NOW + 200, ip="192.0.2.1")
    assert codes([blocked, elsewhere, box.call(secret, NOW + 2 * ticks.MINUTE)]) == [
        (429, "INVALID_AUTH_RATE_LIMITED"),
        (200, ""),
        (200, ""),
    ]


@pytest.mark.parametrize(
    ("turn", "code"),
    [
        pytest.param("disabled", "API_KEY_DISABLED", id="disabled-before-address"),
        pytest.param("address", "ACCESS_DENIED", id="address-before-owner"),
        pytest.param("owner", "USER_INACTIVE", id="owner-before-expiry"),
        pytest.param("expired", "API_KEY_EXPIRED", id="expiry-before-cap"),
        pytest.param("cap", "API_KEY_QUOTA_EXHAUSTED", id="cap-before-balance"),
        pytest.param("balance", "INSUFFICIENT_BALANCE", id="balance-before-body"),
    ],
)
def test_the_door_checks_in_one_order(turn: str, code: str) -> None:
    """Where several things are wrong, the first in the family's order is answered."""
    order = ["disabled", "address", "owner", "expired", "cap", "balance"]
    wrong = order[order.index(turn) :]
    box = Box(balance="0" if "balance" in wrong else "5")
    secret = box.key(cap="0" if "cap" in wrong else "5", networks=["203.0.113.0/24"])
    key = box.gateway.keys["prod-web"]
    key.disabled = "disabled" in wrong
    box.account.active = "owner" not in wrong
    key.expires_at = NOW - 1 if "expired" in wrong else None
    address = "192.0.2.1" if "address" in wrong else "203.0.113.1"
    assert box.call(secret, ip=address, flaw="broken").code == code


def test_refused_requests_cost_nothing() -> None:
    """Refusals by key limits, IP or model leave no usage row and no charge."""
    box = Box()
    secret = box.key(networks=["203.0.113.0/24"], cap="1")
    box.call(secret, ip="192.0.2.1")
    box.call(secret, ip="203.0.113.1", model="gpt-9-nope")
    box.gateway.settle(LATER)
    assert (box.gateway.rows, box.account.balance) == ([], prices.units(100))


def test_acts_of_people_stand_in_the_audit_table_and_troubles_do_not() -> None:
    """An upstream that goes down by itself must not look like a change somebody made."""
    box = Box()
    box.key(cap="5")
    box.console.set_cap(NOW, "prod-web", "7.5")
    box.console.top_up(NOW, "team", "10")
    box.console.set_channel(NOW, "openai-1", "down")
    box.gateway.channels["openai-2"].turn("down")
    box.console.delete_key(NOW, "prod-web")
    acts = [(act.action, act.change, act.target) for act in box.console.acts]
    assert acts == [
        ("keys.create", {"group_id": 1, "name": "prod-web", "quota": 5}, None),
        ("keys.update", {"quota": 7.5}, 50),
        ("payment.create", {"amount": 10}, None),
        ("accounts.update", {"status": "down"}, 1),
        ("keys.delete", None, 50),
    ]
