"""Checks on what the server saw: how often a client sends, how soon, and to which model."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from runbook_lib.verify import deviations, joined, policy
from runbook_lib.verify.deviations import Kind
from runbook_lib.verify.facts import Facts
from runbook_lib.verify.joined import Call
from runbook_lib.verify.policy import Wanted
from runbook_lib.verify.records import Attempt, Ending
from runbook_lib.verify.vectors import Also, Case, Fallback, Retry

NOTHING = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One call under judgement."""

    case: Case
    call: Call
    wanted: Wanted
    facts: Facts


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What a check found: the kind, what was wanted and what was seen, and its cost."""

    kind: Kind
    expected: str
    seen: str
    cost_usd: Decimal = NOTHING


Check = Callable[[Seen], Iterator[Fault]]


def too_often(seen: Seen) -> Iterator[Fault]:
    """Find attempts beyond what the case allows a model."""
    for tries, most in _tries(seen):
        extra = tries[most:]
        waits = seen.wanted.retry is Retry.NEVER and _asked_to_wait(
            tries[min(most, len(tries)) - 1]
        )
        if not extra or waits:  # only the wait says never, and its own check judges it
            continue
        yield Fault(
            kind=_kind(seen),
            expected=seen.wanted.words(),
            seen=f"{len(tries)} attempts; sent again after {joined.told(tries[most - 1])}",
            cost_usd=cost(extra, seen),
        )
        return


def _tries(seen: Seen) -> list[tuple[list[Attempt], int]]:
    """Attempts on each model, and how many are allowed.

    Where no request gets through, models cannot be told apart and share what they may send.
    """
    most, found = seen.wanted.attempts, seen.call.by_model()
    found.pop("", None)
    if not seen.wanted.shut:
        return [(tries, most) for tries in found.values()]
    shared = seen.facts.falls_back and seen.wanted.fallback is not Fallback.NEVER
    models = len(seen.call.cell.models) if shared else 1
    every = list(seen.call.attempts)
    return [(every, most * models)]


def _kind(seen: Seen) -> Kind:
    expect = seen.case.expect
    if expect.mid:
        return deviations.RESENT
    return deviations.WRONG_RETRY if expect.retry is Retry.NEVER else deviations.TOO_MANY


def _asked_to_wait(attempt: Attempt) -> bool:
    """Tell whether the answer named a wait: then its own check judges what follows."""
    asked = attempt.retry_after_s
    return asked is not None and asked > 0 and math.isfinite(asked)


def too_soon(seen: Seen) -> Iterator[Fault]:
    """Find waits shorter than Retry-After, or than the case wants."""
    for first, second in seen.call.pairs():
        asked = first.retry_after_s if _asked_to_wait(first) else None
        least = seen.case.expect.wait_min_s
        least = asked if least is None else least
        if least is None or joined.wait_s(first, second) >= least - policy.CLOCK_S:
            continue
        yield Fault(
            kind=deviations.UNDERCUT,
            expected=f"a wait of {_about(asked or least)} or more",
            seen=f"sent again sooner, after {joined.told(first)}",
            cost_usd=cost([second], seen),
        )
        return


def too_late(seen: Seen) -> Iterator[Fault]:
    """Find waits much longer than what was asked for."""
    for first, second in seen.call.pairs():
        most = seen.case.expect.wait_max_s
        if most is None and _asked_to_wait(first):
            most = (first.retry_after_s or 0) * policy.WAIT_ABOVE + policy.WAIT_ABOVE_S
        if most is not None and joined.pause_s(first, second) > most:
            yield Fault(
                kind=deviations.OVERSLEPT,
                expected="the wait that was asked for, and a tenth more at most",
                seen="waited much longer",
            )
            return


def without_pause(seen: Seen) -> Iterator[Fault]:
    """Find retries without backoff, in rows where the client never pauses."""
    if seen.case.row not in seen.facts.hasty:
        return
    if any(joined.wait_s(*pair) < policy.LEAST_BACKOFF_S for pair in seen.call.pairs()):
        yield Fault(
            kind=deviations.NO_BACKOFF,
            expected="a growing pause between attempts, half a second at first",
            seen="sent again at once",
        )


def not_again(seen: Seen) -> Iterator[Fault]:
    """Find single attempts where sending again was the thing to do."""
    call, wanted = seen.call, seen.wanted
    if wanted.retry is not Retry.MUST or call.outcome.ending is not Ending.RAISED:
        return
    left = call.cell.deadline_s - call.seconds
    counts = {len(tries) for tries in call.by_model().values()}
    if counts == {1} and left > policy.SLACK_S:
        models = " on each model" if len(call.attempts) > 1 else ""
        yield Fault(
            kind=deviations.MISSING_RETRY,
            expected=wanted.words(),
            seen=f"gave up after one attempt{models}: {joined.told(call.attempts[0])}",
        )


def wrong_model(seen: Seen) -> Iterator[Fault]:
    """Find a fallback that cannot help."""
    others = seen.call.fallbacks()
    earlier = [one for one in seen.call.attempts if others and one.number < others[0].number]
    first = not earlier and seen.call.cell.calls > 1  # a breaker may have put it first
    if seen.wanted.fallback is not Fallback.NEVER or not others or first:
        return
    last = f" after {joined.told(earlier[-1])}" if earlier else " first"
    yield Fault(
        kind=deviations.WRONG_FALLBACK,
        expected=seen.wanted.words(),
        seen=f"asked the other model{last}",
        cost_usd=cost(others, seen),
    )


def no_fallback(seen: Seen) -> Iterator[Fault]:
    """Find a failure of the primary that a client with a fallback did not fall back from."""
    call, wanted = seen.call, seen.wanted
    lasting = call.cell.duration in ("5s", "ever") or Also.BOTH_ERRORS in seen.case.expect.also
    if wanted.fallback is not Fallback.WANTED or not lasting or call.fallbacks():
        return
    if call.outcome.ending is Ending.RAISED and call.seconds <= call.cell.deadline_s:
        yield Fault(
            kind=deviations.MISSING_FALLBACK,
            expected=wanted.words(),
            seen=f"raised after {joined.told(call.attempts[-1])}"
            if call.attempts
            else "raised, nothing sent",
        )


def redirected(seen: Seen) -> Iterator[Fault]:
    """Find a redirect that was followed."""
    if Also.REDIRECT not in seen.case.expect.also or len(seen.call.attempts) < 2:
        return
    first = seen.call.attempts[0].path
    if any(one.path != first for one in seen.call.attempts[1:]):
        yield Fault(
            kind=deviations.REDIRECTED,
            expected="an error that names the redirect",
            seen=f"followed it after {joined.told(seen.call.attempts[0])}",
        )


def after_deadline(seen: Seen) -> Iterator[Fault]:
    """Find attempts that were sent after the deadline."""
    call = seen.call
    end = call.outcome.started_s + call.cell.deadline_s + policy.LATE_SEND_S
    late = [one for one in call.attempts if one.at_s > end]
    waited = any(_asked_to_wait(one) for one in call.attempts)
    known = call.outcome.ending is Ending.HUNG and not waited  # that it hangs says as much
    if late and not known:
        yield Fault(
            kind=deviations.OVER_DEADLINE,
            expected="nothing is sent after the deadline",
            seen="sent again after it",
            cost_usd=cost(late, seen),
        )


def cost(attempts: Sequence[Attempt], seen: Seen) -> Decimal:
    """Sum what attempts cost or may have cost, in USD.

    Args:
        attempts: Attempts that a correct client would not have made.
        seen: The call they belong to.

    Returns:
        What the gateway billed; an estimate where the work may have been done unseen; nothing for
        refusals, which are free (contract §6, D).
    """
    estimate = seen.facts.price(seen.call.cell)
    return sum(
        (
            estimate if one.cost_usd is None else one.cost_usd
            for one in attempts
            if joined.may_be_charged(one)
        ),
        NOTHING,
    )


def _about(seconds: float) -> str:
    """Give a wait without what changes from run to run: a date is some part of a second off."""
    return f"{math.ceil(seconds * 2) / 2:g} s"


CHECKS: tuple[Check, ...] = (
    too_often,
    too_soon,
    too_late,
    without_pause,
    not_again,
    wrong_model,
    no_fallback,
    redirected,
    after_deadline,
)
"""Checks of one call, by what the server saw."""
