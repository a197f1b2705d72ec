"""Checks on many calls of one cell: success, storm, herd, breaker and return, key and stop."""

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median, quantiles

from runbook_lib.verify import deviations, joined, policy
from runbook_lib.verify.facts import Facts
from runbook_lib.verify.joined import Call
from runbook_lib.verify.records import Attempt, Ending, Played
from runbook_lib.verify.sending import Fault
from runbook_lib.verify.vectors import Also, Case

MANY_WAITS = 20
"""Waits below which nothing is said about how they are spread."""

SELDOM = 1e-6
"""Chance of a false alarm about a share of successes."""

_FIRST_CALLS = 5
"""Calls in which a breaker may still be learning."""

_LAST_CALLS = 8
"""Calls at the end by which it should have gone back."""

_HITS = 0.8
"""Share of calls in the outage that ask the primary when there is no breaker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """What a client did while its primary was down, and afterwards.

    Attributes:
        down: Calls begun in the outage, its first ones aside; asked: those that asked the primary.
        probes: Attempts on the primary in those calls.
        returned_s: Seconds from the end of the outage to the next attempt on the primary; None
            when there was none.
        watched_s: Seconds that were watched after the end.
        back: Whether one of the last calls asked the primary.
    """

    down: int
    asked: int
    probes: int
    returned_s: float | None
    watched_s: float
    back: bool


def outage(played: Played) -> Outage | None:
    """Tell what a client did in an outage of its primary and after it.

    Args:
        played: A cell whose first step fails the primary for some seconds.

    Returns:
        What was seen; None where the primary was never asked.
    """
    every = joined.of(played)
    primary = played.cell.models[0]
    hits = [one for one in played.attempts if one.model == primary]
    if not hits or not played.cell.steps or not every:
        return None
    end = hits[0].at_s + played.cell.steps[0].for_s
    down = [one for one in every[_FIRST_CALLS:] if one.outcome.started_s < end - 0.05]
    after = [one.at_s for one in hits if one.at_s >= end]
    last = max(one.outcome.ended_s for one in every)
    return Outage(
        down=len(down),
        asked=sum(bool(one.of_model(primary)) for one in down),
        probes=sum(len(one.of_model(primary)) for one in down),
        returned_s=min(after) - end if after else None,
        watched_s=max(0.0, last - end),
        back=any(one.of_model(primary) for one in every[-_LAST_CALLS:]),
    )


def breaker(case: Case, played: Played, facts: Facts) -> Iterator[Fault]:
    """Find a primary that is asked by every call of an outage, or never again."""
    if Also.BREAKER not in case.expect.also or not facts.falls_back:
        return
    seen = outage(played)
    if seen is None:
        return
    if seen.down >= _FIRST_CALLS and seen.asked >= _HITS * seen.down:
        yield Fault(
            kind=deviations.NO_BREAKER,
            expected="after a few failures the primary is left alone, save for probes",
            seen="every call asked it first",
        )
    if not seen.back:
        yield Fault(
            kind=deviations.NO_RETURN,
            expected="it is probed and asked again once it is back",
            seen=f"not asked again within {seen.watched_s:.0f} s",
        )


def amplification(played: Played) -> dict[str, float]:
    """Give attempts a call for each model that was asked."""
    counted = Counter(one.model for one in played.attempts if one.model)
    return {model: count / max(1, len(played.outcomes)) for model, count in counted.items()}


def storm(case: Case, played: Played, _: Facts) -> Iterator[Fault]:
    """Find a client that multiplies its calls where nothing answers."""
    if Also.BUDGET not in case.expect.also:
        return
    most = policy.STORM + policy.BURST / max(1, len(played.outcomes))
    if max(amplification(played).values(), default=0.0) > most:
        yield Fault(
            kind=deviations.STORM,
            expected="about one attempt a call and model: a retry budget of a tenth",
            seen="most calls were sent again",
        )


def waits(played: Played) -> list[float]:
    """Give the waits before one and the same retry, of the order whose waits are longest.

    Longer waits are less disturbed by a busy machine.
    """
    orders: dict[int, list[float]] = {}
    for call in joined.of(played):
        for tries in call.by_model().values():
            for order, pair in enumerate(itertools.pairwise(tries)):
                orders.setdefault(order, []).append(joined.wait_s(*pair))
    full = [found for found in orders.values() if len(found) >= MANY_WAITS]
    return max(full, key=median, default=[])


def narrowness(found: Sequence[float]) -> float | None:
    """Tell how close waits come together: their shortest tenth over their median, 1 for one wait.

    A busy machine only makes waits longer, so the shortest ones are the truest.
    """
    if len(found) < MANY_WAITS or median(found) <= 0:
        return None
    return quantiles(found, n=10)[0] / median(found)


def narrow(n: int) -> float:
    """Give what `narrowness` may be at most, among so many waits: fewer ones differ more."""
    return policy.EVEN + policy.SPREAD / math.sqrt(n)


def herd(case: Case, played: Played, _: Facts) -> Iterator[Fault]:
    """Find retries that come together."""
    if Also.JITTER not in case.expect.also:
        return
    found = waits(played)
    close = narrowness(found)
    if close is not None and close > narrow(len(found)):
        yield Fault(
            kind=deviations.HERD,
            expected="waits drawn from half of the backoff or less up to the whole",
            seen="waits drawn from a narrow window, or not drawn at all",
        )


def fails_often(case: Case, played: Played, _: Facts) -> Iterator[Fault]:
    """Find fewer successes than single attempts would have, beyond all chance."""
    if Also.SHARE not in case.expect.also or not case.steps:
        return
    p = case.steps[0].p
    fewest = least_successes(len(played.outcomes), 1 - p)
    if successes(played) < fewest:
        yield Fault(
            kind=deviations.FAILS_OFTEN,
            expected=f"successes of more than {1 - p:.0%} of calls, as single attempts have",
            seen="fewer",
        )


def successes(played: Played) -> int:
    """Count the calls that gave a text."""
    return sum(one.ending is Ending.TEXT for one in played.outcomes)


def least_successes(n: int, p: float, *, chance: float = SELDOM) -> int:
    """Give the least number of successes that is not out of all chance.

    Args:
        n: Trials.
        p: Probability of a success.
        chance: Chance of fewer.

    Returns:
        The least k so that fewer than k successes have at most that chance.
    """
    below = 0.0
    for k in range(n + 1):
        below += math.comb(n, k) * p**k * (1 - p) ** (n - k)
        if below > chance:
            return k
    return n


def stop(case: Case, played: Played, _: Facts) -> Iterator[Fault]:
    """Find what a client does after a refusal that is final, call by call."""
    if Also.STOP not in case.expect.also:
        return
    again = [one for one in joined.of(played) if len(_refused(one)) > 1]
    if again:
        yield Fault(
            kind=deviations.WRONG_RETRY,
            expected="one attempt a call once the stop is reached",
            seen=f"sent again after {joined.told(_refused(again[0])[0])}",
        )


def _refused(call: Call) -> list[Attempt]:
    return [one for one in call.attempts if one.status is not None and one.status >= 400]


def same_id(case: Case, played: Played, _: Facts) -> Iterator[Fault]:
    """Find an id that came with several calls: the gateway echoes what a caller sends."""
    if Also.IDS not in case.expect.also:
        return
    calls: dict[str, set[int]] = {}
    for one in played.attempts:
        for name in one.request_ids:
            calls.setdefault(name, set()).add(one.call)
    if any(len(found) > 1 for found in calls.values()):
        yield Fault(
            kind=deviations.ID_REUSED,
            expected="an id of its own for every attempt",
            seen="the same id with several calls",
        )


def leaked(case: Case, played: Played, _: Facts) -> Iterator[Fault]:
    """Find a key that went with a redirect to another host."""
    if Also.REDIRECT not in case.expect.also:
        return
    if played.leaks:
        yield Fault(
            kind=deviations.KEY_LEAKED,
            expected="no key leaves for another host",
            seen="the host of the redirect got the key",
        )


CHECKS = (breaker, storm, herd, fails_often, stop, same_id, leaked)
"""Checks of a whole cell."""
