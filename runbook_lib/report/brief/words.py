"""The answer in sentences that need no knowledge of gateways, quantiles or keys."""

import re
from collections.abc import Iterator
from decimal import Decimal

from runbook_lib.report.brief.facts import MAIN, Facts, Row, account_name, day, used_up

MONTH = 30
"""Days of a month that stops are counted in."""

MOST_READINGS = 2
"""Balances without a day that are told in a sentence; all stand in the table."""


def headline(facts: Facts) -> str:
    """Say how the month ends, against the budget where there is one."""
    name, end, told = facts.month_name, facts.month, facts.tender.told
    spent, likely, high = end.get("to_date_usd"), end.get("p50_usd"), end.get("p90_usd")
    budget = end.get("budget_usd")
    if spent is None:
        return "How the month ends is not known."
    if budget is not None and spent > budget:
        return f"{name} has passed its budget of {told(budget)}: {told(spent)} is spent."
    if likely is None or high is None:
        return f"{told(spent)} is spent in {name}; how it ends cannot be said yet."
    if budget is None:
        return f"{name} is likely to end at {told(likely)}. No budget is given to hold it against."
    if high <= budget:
        return f"{name} is likely to end at {told(likely)}, within its budget of {told(budget)}."
    if likely <= budget:
        return (
            f"{name} may pass its budget of {told(budget)}: {told(likely)} is likely, "
            f"{told(high)} if use is high."
        )
    over = f", on or about {day(end['over_on'])}" if end.get("over_on") is not None else ""
    return (
        f"{name} is likely to pass its budget of {told(budget)}{over}: {told(likely)} by its end."
    )


def tone(facts: Facts) -> str:
    """Name the colour of the answer: one of `markup.TONES`."""
    end = facts.month
    spent, likely, high = (end.get(name) for name in ("to_date_usd", "p50_usd", "p90_usd"))
    budget = end.get("budget_usd")
    if budget is None or spent is None:
        return "warn"
    if spent > budget or (likely is not None and likely > budget):
        return "bad"
    return "good" if high is not None and high <= budget else "warn"


def sentences(facts: Facts) -> Iterator[str]:
    """Say what stands beside the headline: why nothing can be said, the balance, the caps."""
    reason = facts.month.get("reason")
    if reason:
        yield f"There is no forecast: {reason}."
    yield from _balance(facts)
    yield from _caps(facts)


def _balance(facts: Facts) -> Iterator[str]:
    yield from _read(facts)
    if not facts.balances:
        return
    first = facts.balances[0]
    if first.get("act_by") is None:
        yield "The balance lasts longer than a year at this use."
        return
    amount = first.get("amount_usd")
    more = f" by {facts.tender.told(amount)} or more" if amount else ""
    yield (
        f"Top up {account(first)}{more} on {day(first['act_by'])} at the latest: if use is high it "
        f"is used up on {day(first['runs_out_early'])}."
    )


def _read(facts: Facts) -> Iterator[str]:
    """Say what is known of balances that have no day, and what is said against any."""
    if not facts.balances and not facts.readings:
        yield "The balance is not known: give it, or keep a ledger with what the account shows."
    for name, amount in facts.readings[:MOST_READINGS]:
        whose = "" if name == MAIN else f" of {name}"
        end = "it is used up" if used_up(amount) else "how long it lasts cannot be said"
        yield f"The balance{whose} is {amount}; {end}."
    if facts.doubts:
        doubt = facts.doubts[0].partition(":")[0]
        yield f"{doubt[:1].upper()}{doubt[1:]}: report.html has the values."


def account(row: Row) -> str:
    """Name the balance of an account."""
    name = account_name(row)
    return "the balance" if name == MAIN else f"the balance of {name}"


def _caps(facts: Facts) -> Iterator[str]:
    whole, told = facts.whole, facts.tender.told
    proposed, fixed = whole.get("proposed_usd"), whole.get("set_usd")
    if proposed is None:
        return
    share = _of_budget(proposed, whole.get("budget_usd"))
    now = f"; what is set now allows {told(fixed)}" if fixed is not None else ""
    over = _of_budget(fixed, whole.get("budget_usd")) if fixed is not None else ""
    yield f"The proposed caps allow {told(proposed)} a month in all{share}{now}{over}."
    without = int(whole.get("without_cap") or 0)
    if without:
        keys = "key has" if without == 1 else "keys have"
        yield f"{without} {keys} no cap: nothing stops a program that runs away on it."


def _of_budget(amount: Decimal, budget: Decimal | None) -> str:
    return f", {amount / budget * 100:.0f} % of the budget" if budget else ""


def risk(facts: Facts) -> str:
    """Say in one sentence what the risk means."""
    if facts.risk is None:
        return "The risk that was asked for is not known."
    about = round(1 / facts.risk) if facts.risk else 0
    return (
        f"Each cap is set so that honest use meets it in about {facts.risk * 100:g} of 100 usual "
        f"days, weeks or months (one in {about}); then calls fail until somebody raises it. A "
        "lower risk means higher caps, and a program that runs away costs more. The odds in the "
        "table also count times when a key is put to another use altogether, which no cap can "
        "foresee; a number that is rounded up lowers them."
    )


def stops(facts: Facts) -> Iterator[str]:
    """Say how many stops of honest use the day caps mean, and that one number a key is enough."""
    if all(row.get("type") is None for row in facts.typed):
        return
    enough = (
        "Type at least one number a key: any one of them holds a program that runs away, the day "
        "cap or that of 5 hours soonest."
    )
    days = [row for row in facts.typed if row.get("window") == "1d" and row.get("odds") is not None]
    if not days:
        yield enough
        return
    often = max(days, key=lambda row: float(row["odds"]))
    whole = sum(float(row["odds"]) for row in days) * MONTH
    yield (
        f"The day caps stop honest use about {_times(whole)} a month in all (the odds of a day, "
        f"times {MONTH}), at most {_times(float(often['odds']) * MONTH)} a key "
        f"({often.get('key_name')}). {enough}"
    )


def _times(count: float) -> str:
    told = f"{count:.0f}" if count >= 10 else f"{count:.1f}"
    return f"{told} times"


def whole(text: str, most: int) -> str:
    """Shorten a text at the end of a sentence, or of a part of it; within one only if it must be.

    Args:
        text: Sentences, or parts set apart by colons or semicolons.
        most: Characters.

    Returns:
        At most as many characters, where there is an end within them; else all of the text.
    """
    if len(text) <= most:
        return text
    for ends in (r"[.!?](?= )", r"[;:](?= )"):
        found = [at.end() for at in re.finditer(ends, text[: most + 1])]
        if found:
            return text[: found[-1]].rstrip(";: ")
    return text
