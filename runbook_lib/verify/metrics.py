"""The numbers of a verification: every line of the fault matrix' second table.

Times come from the server's clock where it saw them, and from the caller's where only it did.
"""

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from runbook_lib import redact
from runbook_lib.verify import deviations, joined, many, policy, spread
from runbook_lib.verify.facts import Facts, flavour, is_healthy
from runbook_lib.verify.joined import Call
from runbook_lib.verify.judge import Judged, Verdict
from runbook_lib.verify.records import Ending, Place, Played
from runbook_lib.verify.vectors import Also

if TYPE_CHECKING:
    import pandas as pd

UNKNOWN = math.nan


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One number.

    Attributes:
        scope: What it is about: all, a code, a model, a probability.
        value: NaN where it cannot be told; low, high: its interval, 95 % sure.
        expected: What a correct client has; empty where there is no such thing.
        of: How many calls, attempts or cells it was made from.
    """

    metric: str
    scope: str
    value: float
    unit: str
    of: int
    low: float = UNKNOWN
    high: float = UNKNOWN
    expected: str = ""


def metrics(judged: Sequence[Judged], facts: Facts) -> "pd.DataFrame":
    """Measure a client.

    Args:
        judged: Every cell after its judgement.
        facts: What is true of the client.

    Returns:
        One row a number: `metric`, `scope`, `value`, `unit` (attempts, calls, s, ms, USD, share,
        ratio), `of` (count it was made from), `low`, `high` (95 % interval of a share),
        `expected`. A number that cannot be told is NaN.
    """
    import pandas as pd

    found = list(measured(judged, facts))
    names = list(Metric.__dataclass_fields__)
    return pd.DataFrame([[getattr(one, name) for name in names] for one in found], columns=names)


def measured(judged: Sequence[Judged], facts: Facts) -> Iterator[Metric]:
    """Give every number in the order of the table."""
    played = [one for one in judged if one.verdict is not Verdict.NOT_PLAYED and one.played]
    single = [one for one in played if one.cell.calls == 1 and not is_healthy(one.case)]
    calls = [(one, call) for one in single for call in _calls(one)]
    yield from _attempts(calls, played)
    yield from _retries(played)
    yield from _waits(calls)
    yield from _latency(calls, facts)
    yield from _fallback(calls)
    yield from _success(played, facts)
    yield from _money(played, facts)
    yield _count("silent_failures", "all", _cells_of(played, deviations.SILENT), "cells", played)
    yield from _breaker(played)
    yield from _deadline(calls)
    yield from _cancel(calls)
    yield from _ids(calls)
    yield from _jitter(played)


def _calls(one: Judged) -> list[Call]:
    return joined.of(one.played) if one.played is not None else []


def _cells_of(judged: Iterable[Judged], *kinds: deviations.Kind) -> int:
    rules = {kind.rule for kind in kinds}
    return sum(any(d.kind.rule in rules for d in one.deviations) for one in judged)


def _count(name: str, scope: str, value: int, unit: str, of: Sequence[object]) -> Metric:
    return Metric(metric=name, scope=scope, value=float(value), unit=unit, of=len(of), expected="0")


Pairs = Sequence[tuple[Judged, Call]]


def _attempts(calls: Pairs, played: Sequence[Judged]) -> Iterator[Metric]:
    counts = [float(len(call.attempts)) for _, call in calls]
    for name, value in (
        ("mean", spread.mean(counts)),
        ("p99", spread.percentile(counts, 0.99)),
        ("max", max(counts, default=UNKNOWN)),
    ):
        yield Metric(
            metric="attempts_per_call", scope=name, value=value, unit="attempts", of=len(counts)
        )
    yield Metric(
        metric="amplification",
        scope="single calls",
        value=spread.mean(counts),
        unit="ratio",
        of=len(counts),
    )
    for one in _looking(played, Also.BUDGET):
        for model, ratio in many.amplification(one).items():
            yield Metric(
                metric="amplification",
                scope=f"total outage, {redact.safe(model, limit=80)}",
                value=ratio,
                unit="ratio",
                of=len(one.outcomes),
                expected=f"at most {policy.STORM:.2f}, the store of {policy.BURST} retries aside",
            )


def _looking(played: Iterable[Judged], also: Also) -> list[Played]:
    return [one.played for one in played if one.played and also in one.case.expect.also]


def _retries(played: Sequence[Judged]) -> Iterator[Metric]:
    codes: Counter[str] = Counter()
    for one in played:
        if _cells_of([one], deviations.WRONG_RETRY):
            codes.update(_again(one))
    yield _count("wrong_retries", "all", codes.total(), "attempts", played)
    for code, count in sorted(codes.items()):
        yield _count("wrong_retries", code, count, "attempts", played)
    missing = _cells_of(played, deviations.MISSING_RETRY)
    yield _count("missing_retries", "all", missing, "cells", played)


def _again(one: Judged) -> Iterator[str]:
    """Name what every attempt that should not have been was sent after."""
    final = one.case.steps[-1].fault if one.case.steps else ""
    for call in _calls(one):
        tries = call.by_model().values()
        for first, _ in (pair for found in tries for pair in itertools.pairwise(found)):
            shut = one.cell.place is not Place.GATEWAY
            stopped = first.status is not None and first.status >= 400 and not final
            if shut or stopped or (final and first.fault == final):
                yield joined.told(first)


def _waits(calls: Pairs) -> Iterator[Metric]:
    short, long = [], 0
    for one, call in calls:
        for first, second in call.pairs():
            asked = first.retry_after_s
            if asked is None or not 0 < asked < math.inf:
                continue
            missing = asked - joined.wait_s(first, second)
            if missing > policy.CLOCK_S and one.case.expect.wait_min_s is None:
                short.append(missing)
        long += _cells_of([one], deviations.SLEPT)
    yield _count("retry_after_undercut", "all", len(short), "waits", calls)
    worst = max(short, default=0.0)
    yield Metric(
        metric="retry_after_undercut_worst",
        scope="all",
        value=worst * 1000,
        unit="ms",
        of=len(short),
        expected="0",
    )
    yield _count("retry_after_slept_through", "all", long, "calls", calls)


def _latency(calls: Pairs, facts: Facts) -> Iterator[Metric]:
    added: dict[str, list[float]] = defaultdict(list)
    for one, call in calls:
        base = facts.healthy_s.get(flavour(one.cell))
        if base is None or call.outcome.ending not in (Ending.TEXT, Ending.RAISED):
            continue
        total = max(0.0, call.seconds - base)
        slept = min(total, slept_s(call))
        added["total"].append(total)
        added["sleep"].append(slept)
        added["wire"].append(total - slept)
    for part in ("total", "sleep", "wire"):
        for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
            yield Metric(
                metric="added_latency",
                scope=f"{part}, {name}",
                value=spread.percentile(added[part], share),
                unit="s",
                of=len(added[part]),
            )


def slept_s(call: Call) -> float:
    """Sum the pauses between the attempts of a call, and from the last to its end."""
    tries = list(call.attempts)
    pauses = sum(joined.pause_s(*pair) for pair in itertools.pairwise(tries))
    if tries and call.outcome.ending is Ending.RAISED:
        last = tries[-1]
        ended = last.at_s if last.ended_s is None else last.ended_s
        pauses += max(0.0, call.outcome.ended_s - ended)
    return pauses


def fallback_s(call: Call) -> float | None:
    """Tell the time from the first failure to the first byte of the fallback's answer."""
    others = [one for one in call.fallbacks() if one.whole]
    failed = [one for one in call.of_model(call.primary) if not one.whole]
    if not others or not failed:
        return None
    first = others[0].first_byte_s or others[0].ended_s or others[0].at_s
    began = failed[0].at_s if failed[0].ended_s is None else failed[0].ended_s
    return max(0.0, first - began)


_FAILING = "primary refusing, resetting or answering 5xx"
_STICKY = "error of the model that stays"


def _fallback(calls: Pairs) -> Iterator[Metric]:
    groups: dict[str, list[float]] = {_FAILING: [], _STICKY: []}
    for one, call in calls:
        took = fallback_s(call)
        if took is None or one.cell.duration == "once":
            continue
        if one.case.row in (22, 23, 25, 26, 29, 32):
            groups[_FAILING].append(took)
        elif one.case.row == 5:
            groups[_STICKY].append(took)
    for scope, most in ((_FAILING, 2.0), (_STICKY, 0.05)):
        for name, value in (
            ("p50", spread.percentile(groups[scope], 0.5)),
            ("max", max(groups[scope], default=UNKNOWN)),
        ):
            yield Metric(
                metric="time_to_fallback",
                scope=f"{scope}, {name}",
                value=value,
                unit="s",
                of=len(groups[scope]),
                expected=f"at most {most:g} s",
            )


def _success(played: Sequence[Judged], facts: Facts) -> Iterator[Metric]:
    for one in _looking(played, Also.SHARE):
        p, n = one.cell.steps[0].p, len(one.outcomes)
        good = many.successes(one)
        low, high = spread.wilson(good, n)
        tries = 6 if facts.falls_back else 3
        yield Metric(
            metric="success_rate",
            scope=f"p = {p:.0%}",
            value=good / n if n else UNKNOWN,
            unit="share",
            of=n,
            low=low,
            high=high,
            expected=f"1 - p^{tries} = {1 - p**tries:.6f} where nothing limits retries",
        )


def _money(played: Sequence[Judged], facts: Facts) -> Iterator[Metric]:
    exposed, billed, calls = Decimal(0), Decimal(0), 0
    for one in played:
        for call in _calls(one):
            calls += 1
            exposed += exposure(call, facts)
            billed += confirmed(call)
    for scope, amount in (("possible", exposed), ("billed", billed)):
        yield Metric(
            metric="duplicate_spend", scope=scope, value=float(amount), unit="USD", of=calls
        )


def exposure(call: Call, facts: Facts) -> Decimal:
    """Estimate what a call may have cost beyond one answer, in USD."""
    charged = [one for one in call.attempts if joined.may_be_charged(one)]
    price = facts.price(call.cell)
    known = [price if one.cost_usd is None else one.cost_usd for one in charged]
    return sum(sorted(known)[:-1], Decimal(0))


def confirmed(call: Call) -> Decimal:
    """Sum what the gateway billed for a call beyond its dearest attempt, in USD."""
    known = sorted(one.cost_usd for one in call.attempts if one.cost_usd is not None)
    return sum(known[:-1], Decimal(0))


def _breaker(played: Sequence[Judged]) -> Iterator[Metric]:
    for one in _looking(played, Also.BREAKER):
        seen = many.outage(one)
        if seen is None:
            continue
        back = UNKNOWN if seen.returned_s is None else seen.returned_s
        for scope, value, unit in (
            ("calls while down that asked the primary", float(seen.asked), "calls"),
            ("attempts on it meanwhile", float(seen.probes), "attempts"),
            ("until it was asked again once back", back, "s"),
        ):
            yield Metric(metric="breaker", scope=scope, value=value, unit=unit, of=seen.down)


def _deadline(calls: Pairs) -> Iterator[Metric]:
    over = [call.seconds - call.cell.deadline_s for _, call in calls]
    late = [one for one in over if one > policy.SLACK_S]
    yield _count("over_deadline", "all", len(late), "calls", calls)
    yield Metric(
        metric="over_deadline_worst",
        scope="all",
        value=max(late, default=0.0),
        unit="s",
        of=len(calls),
        expected="0",
    )


def _cancel(calls: Pairs) -> Iterator[Metric]:
    took = [
        max(0.0, call.outcome.ended_s - call.outcome.started_s - call.cell.cancel_after_s)
        for _, call in calls
        if call.cell.cancel_after_s is not None
    ]
    yield Metric(
        metric="cancel_latency",
        scope="max",
        value=max(took, default=UNKNOWN),
        unit="s",
        of=len(took),
        expected="at most 0.5 s",
    )


def _ids(calls: Pairs) -> Iterator[Metric]:
    told = [call for _, call in calls if call.outcome.request_ids]
    heard = shown = 0
    for call in told:
        names = {part.strip() for one in call.outcome.request_ids for part in one.split(",")}
        carrying = [one for one in call.attempts if one.request_ids and one.status is not None]
        heard += len(carrying)
        shown += sum(not names.isdisjoint(one.request_ids) for one in carrying)
    yield Metric(
        metric="ids_captured",
        scope="attempts of calls that show ids",
        value=shown / heard if heard else UNKNOWN,
        unit="share",
        of=heard,
        expected="1",
    )


def _jitter(played: Sequence[Judged]) -> Iterator[Metric]:
    for one in _looking(played, Also.JITTER):
        waits = many.waits(one)
        close = many.narrowness(waits)
        gap = spread.smallest_gap(sorted(waits))
        for scope, value, unit, expected in (
            ("tenth over median", close, "ratio", f"at most {many.narrow(max(1, len(waits))):.2f}"),
            ("smallest gap", None if gap is None else gap * 1000, "ms", ""),
            ("Kolmogorov distance from even", spread.distance(waits), "ratio", ""),
        ):
            yield Metric(
                metric="jitter",
                scope=scope,
                value=UNKNOWN if value is None else value,
                unit=unit,
                of=len(waits),
                expected=expected,
            )
