"""What is true of a client in all its cells: learnt first, so that single cells are judged fairly.

Whether it has a fallback at all, whether its text can be compared, which flavours work where
nothing is wrong, what a call costs, and whether it pauses between attempts.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from statistics import fmean, median

from runbook_lib.verify import joined, policy
from runbook_lib.verify.records import Attempt, Cell, Ending, Outcome, Played
from runbook_lib.verify.vectors import Case, Fallback, Retry

Flavour = tuple[str, bool, bool]
"""Protocol, streaming, async."""

EXACT, CONTAINS, NONE = "exact", "contains", "none"
"""How the client's text compares with the gateway's: the same, around it, or not at all."""

_FEW_WAITS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is true of a client.

    Attributes:
        falls_back: It asked for a second model somewhere, or nothing was played that would have
            shown it; `could_fall_back`: cells in which it should have.
        text: How its text compares with the gateway's.
        broken: Flavours that fail where nothing is wrong, and how.
        prices: Mean cost of an answer in USD, by protocol.
        healthy_s: Median seconds of a call where nothing is wrong, by flavour.
        hasty: Rows of the matrix in which it sends again without a pause.
    """

    falls_back: bool = True
    could_fall_back: int = 0
    text: str = EXACT
    broken: Mapping[Flavour, str] = field(default_factory=dict)
    prices: Mapping[str, Decimal] = field(default_factory=dict)
    healthy_s: Mapping[Flavour, float] = field(default_factory=dict)
    hasty: frozenset[int] = frozenset()

    def price(self, cell: Cell) -> Decimal:
        """Estimate what one answer costs in a cell, in USD."""
        return self.prices.get(cell.protocol, Decimal(0))


def flavour(cell: Cell) -> Flavour:
    """Name the flavour of a cell."""
    return cell.protocol, cell.stream, cell.asynchronous


def learn(played: Sequence[Played], cases: Mapping[str, Case]) -> Facts:
    """Learn what is true of the client.

    Args:
        played: Every cell that was played.
        cases: The cases by name.

    Returns:
        The facts.
    """
    healthy = [one for one in played if is_healthy(cases[one.cell.case])]
    wanted = [one for one in played if _shows_fallback(one, cases[one.cell.case])]
    used = any(call.fallbacks() for one in played for call in joined.of(one))
    several = any(len(one.cell.models) > 1 for one in played)
    return Facts(
        falls_back=used or (several and not wanted),
        could_fall_back=len(wanted),
        text=_text(healthy),
        broken={flavour(one.cell): why for one in healthy if (why := _fails(one))},
        prices=_prices(played),
        healthy_s=_times(healthy),
        hasty=_hasty(played, cases),
    )


def is_healthy(case: Case) -> bool:
    """Tell whether nothing is done to the client in a case."""
    return not case.steps and not case.situation and case.place == "gateway" and case.calls == 1


def _shows_fallback(played: Played, case: Case) -> bool:
    """Tell whether a client with a fallback uses it here: the primary fails for good."""
    cell = played.cell
    lasting = cell.duration in ("5s", "ever") and case.expect.fallback is Fallback.WANTED
    return lasting and len(cell.models) > 1 and case.expect.retry is not Retry.NEVER


def _fails(played: Played) -> str:
    """Tell how a healthy cell failed; empty when it did not."""
    outcome = next(iter(played.outcomes), None)
    if not played.attempts:
        return "nothing arrived"
    known = [*played.cell.models, ""]
    if all(one.model not in known for one in played.attempts):
        return "other models"
    if outcome is None or outcome.ending is not Ending.TEXT:
        return outcome.error_type or outcome.ending.value if outcome else "no outcome"
    return ""


def _text(healthy: Sequence[Played]) -> str:
    pairs = [
        (plain(outcome.text), plain(attempt.text))
        for one in healthy
        for outcome in one.outcomes
        if outcome.ending is Ending.TEXT
        for attempt in one.attempts[-1:]
        if attempt.whole
    ]
    if all(given == sent for given, sent in pairs):
        return EXACT
    return CONTAINS if all(sent in given for given, sent in pairs) else NONE


def plain(text: str) -> str:
    """Give a text with all blanks alike, as models and clients differ in them."""
    return " ".join(text.split())


def matches(outcome: Outcome, attempt: Attempt, text: str) -> bool:
    """Tell whether the text a caller got is the one that an attempt brought.

    Args:
        outcome: What the caller got.
        attempt: An attempt whose answer was sent, whole or so that it can be read.
        text: How the client's text compares, of `Facts`.
    """
    given, sent = plain(outcome.text), plain(attempt.text)
    if not sent:
        return False
    if text == EXACT:
        return given == sent
    return sent in given if text == CONTAINS else bool(given)


def _prices(played: Sequence[Played]) -> dict[str, Decimal]:
    costs: dict[str, list[Decimal]] = defaultdict(list)
    for one in played:
        for attempt in one.attempts:
            if attempt.cost_usd is not None and attempt.cost_usd > 0:
                costs[one.cell.protocol].append(attempt.cost_usd)
    return {
        protocol: (sum(found, Decimal(0)) / len(found)).quantize(Decimal("1e-10"))
        for protocol, found in costs.items()
    }


def _times(healthy: Sequence[Played]) -> dict[Flavour, float]:
    spans: dict[Flavour, list[float]] = defaultdict(list)
    for one in healthy:
        spans[flavour(one.cell)] += [call.seconds for call in joined.of(one) if call.answered]
    return {name: median(found) for name, found in spans.items() if found}


def _hasty(played: Sequence[Played], cases: Mapping[str, Case]) -> frozenset[int]:
    """Find the rows whose retries come without a pause, by the mean of all that were seen.

    A single short wait is no proof: full jitter draws from zero on.
    """
    waits: dict[int, list[float]] = defaultdict(list)
    for one in played:
        case = cases[one.cell.case]
        if case.expect.retry is not Retry.MUST or case.place != "gateway" or case.row == 32:
            continue
        for call in joined.of(one):
            waits[case.row] += [joined.wait_s(*pair) for pair in call.pairs()]
    return frozenset(
        row
        for row, found in waits.items()
        if len(found) >= _FEW_WAITS and fmean(found) < policy.LEAST_BACKOFF_S
    )
