"""The answer in sentences that need no knowledge of gateways, quantiles or keys."""

from collections.abc import Iterator
from decimal import Decimal

from runbook_lib.report.brief.facts import Facts, Row, day


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
    if not facts.balances:
        yield "The balance is not known: give it, or keep a ledger with what the account shows."
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


def account(row: Row) -> str:
    """Name the balance of an account."""
    name = row.get("account")
    return f"the balance of {name}" if name else "the balance"


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
        "lower risk means higher caps, and a program that runs away costs more."
    )
