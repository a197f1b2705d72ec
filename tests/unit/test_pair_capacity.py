"""What the fallback costs, and how long its key and balance carry everything."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from made_material import START
from pair_kit import KEYS, PAIR, STATE, USAGE, answer, changed, material, stood_in, told, used

from runbook_lib.analysis.pair_load import load_of
from runbook_lib.findings import Grade, Status


def test_a_price_ratio_says_what_full_load_costs_a_day() -> None:
    """48 hours at 0.675 on the primary, 0.32 on the fallback: 0.355 an hour less."""
    found = told()["fallback-dearer"]
    assert found.value == Decimal("0.4741")
    assert "$8.52 less a day" in found.title
    assert "genai-prices 0.2.3 of 2026-11-10" in found.title
    assert found.impact_usd is None


def test_a_ratio_by_list_is_only_likely() -> None:
    """Without the multipliers of both groups nobody knows what will be billed."""
    found = told(usage=[used(0, rate_multiplier=None)])["fallback-dearer"]
    assert found.grade is Grade.LIKELY
    assert "by list, before the multipliers of the groups" in found.title


def test_the_load_is_the_primarys_use_at_the_fallbacks_price() -> None:
    """Hour by hour; what the fallback's key is billed already comes on top."""
    load, missing = load_of(material())
    assert load is not None, missing
    assert missing == ""
    assert len(load.moved) == 48
    assert set(load.moved) == {Decimal("0.32")}
    assert load.busiest(1) == Decimal("0.3232")
    assert load.busiest(24) == 24 * Decimal("0.32") + Decimal("0.0032")


def test_a_key_that_carries_both_counts_each_use_once() -> None:
    """With one key for both, what moves was on it before."""
    rows = [used(0, key_name="spare", group_name="openai-std"), stood_in(1)]
    load, _ = load_of(material(pair=replace(PAIR, primary_key="spare"), usage=rows))
    assert load is not None
    assert sum(load.own, Decimal(0)) == Decimal("0.0032")


def test_a_cap_of_the_inventory_is_less_what_was_billed() -> None:
    """Without a live answer, what was billed since the key was made is taken off."""
    whole = changed(KEYS, 1, cap_amount=Decimal(3), created_at=START)
    found = told(keys=whole, state=[])["fallback-cap-short"]
    assert (found.status, found.grade) == (Status.FAIL, Grade.CONFIRMED)
    assert "$3.00 left: it carries the whole load for 9.4 h" in found.title
    older = told(keys=changed(whole, 1, created_at=START - timedelta(days=9)), state=[])
    assert older["fallback-cap-short"].grade is Grade.LIKELY


def test_a_cap_in_cny_needs_a_rate_and_uses_it() -> None:
    """7 CNY a USD: 21 CNY are 3 USD."""
    keys = changed(KEYS, 1, cap_amount=Decimal(21), cap_currency="CNY")
    found = told(keys=keys, state=[], cny_per_usd=Decimal(7))["fallback-cap-short"]
    assert "$3.00 left" in found.title


def test_a_key_without_cap_or_windows_ends_never() -> None:
    """No limit is a fact of the inventory, and only as sure as that."""
    keys = changed(KEYS, 1, cap_amount=None, cap_window=None)
    found = told(keys=keys, state=[])
    for rule in ("fallback-cap-short", "fallback-window-short"):
        assert (found[rule].status, found[rule].grade) == (Status.PASS, Grade.LIKELY)


def test_the_balance_is_the_last_reading_less_what_was_spent_since() -> None:
    """The primary is down: its bill no longer falls on the balance, all others still do."""
    rows = [*USAGE, *(used(h, key_name="else", cost_usd=Decimal(1)) for h in range(48))]
    found = told(usage=rows)["fallback-balance-short"]
    # 900 - 48 × 0.675 - 0.0032 - 48 = 819.6 left; an hour costs 0.32 + 1.
    assert "The balance has $819.60 left" in found.title
    assert found.value == pytest.approx(620.8, abs=0.5)


def test_minutes_of_usage_are_no_day() -> None:
    """A rate over eleven minutes is told as such, and a day's window stays open."""
    rows = [used(0, ts=START + timedelta(minutes=n), input_tokens=9000) for n in range(12)]
    state = [*STATE, {**STATE[1], "window": "1d", "limit_usd": Decimal(3)}]
    found = told(usage=[*rows, stood_in(1, ts=START)], state=state)
    assert "(only 11 min of usage are known)" in found["fallback-cap-short"].title
    assert found["fallback-cap-short"].grade is Grade.LIKELY
    assert found["fallback-window-short"].status is Status.UNKNOWN
    assert "at the rate of the 11 min known here" in found["fallback-window-short"].title


def test_a_minute_as_busy_as_the_primarys_proves_the_limits() -> None:
    """Limits are in no export; what was served is."""
    rows = [used(0), *(stood_in(n, ts=START + timedelta(hours=2)) for n in range(3))]
    found = told(usage=rows)["fallback-limits-short"]
    assert (found.status, found.value, found.expected) == (Status.PASS, 3, 1)


def test_a_refusal_that_can_be_the_upstreams_proves_no_limit() -> None:
    """`rate_limit_error` is the account's or the provider's: undecided."""
    row = {**answer(1), "status": 429, "outcome": "refused", "code": "rate_limit_error"}
    assert told(refusals=[row])["fallback-limits-short"].status is not Status.FAIL


def test_the_tightest_window_is_told_with_the_others() -> None:
    """One finding a rule: what fails is not hidden behind what fits."""
    limits = {"5h": Decimal(2), "1d": Decimal(5), "7d": Decimal(100)}
    state = [*STATE, *({**STATE[1], "window": w, "limit_usd": usd} for w, usd in limits.items())]
    found = told(state=state)["fallback-window-short"]
    assert (found.status, found.value, found.expected) == (Status.FAIL, Decimal("7.6832"), 5)
    assert found.title.startswith("The 1d window of key spare holds $5.00")
    assert found.title.endswith("(the others: 5h pass, 7d pass)")
