"""The words in which a verdict is told: one place for pages, notebooks and the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from runbook_lib.findings import level

GRADES = {"confirmed": "Confirmed", "likely": "Likely", "inconclusive": "Inconclusive"}
"""How sure a verdict is, as a label."""

RETRIES = {
    "never": ("Do not retry.", "It fails the same way until the cause is removed."),
    "window": ("Retry after the window.", "It can succeed once the window has rolled over."),
    "after": ("Retry after the wait it names.", "The answer says how long to wait."),
    "backoff": ("Back off and retry.", "Wait longer each time, and stop after a few attempts."),
}
"""The retry rule as an order and its reason."""

NO_RETRY_RULE = (
    "Do not re-send it by itself.",
    "Look first whether it was done and billed: a second one could be a duplicate.",
)
"""Said where a cause is known and the contract gives no rule for sending again."""

UNDECIDED = ("Hold retries until the cause is known.", "The data do not say whether one can help.")
"""Said where no cause could be named."""

SEVERAL = ("Each cause has its own rule.", "The table of causes gives it.")
"""Said where several causes stand beside each other and none leads."""

ODD = ("Nothing to retry.", "It was answered and billed; sending it again mends nothing.")
"""Said of requests that did not fail and are worth a word all the same."""

NOT_FAILED = frozenset(
    {
        "client_abandoned_stream",
        "client_fallback",
        "duplicate_send",
        "model_alias",
        "runaway_loop",
        "unlogged_use",
    }
)
"""Causes of that kind."""

ANSWERS = {
    "client_passes": (
        "Nothing to change.",
        "The client did what a correct one does, in every case.",
    ),
    "client_deviates": (
        "Change the client before the next incident does it.",
        "What it does, what a correct one does and what the difference costs stand below.",
    ),
    "spend_odd": (
        "Look at the dearest finding first.",
        "Each says what it cost, whose it is, and which rows it stands on.",
    ),
    "spend_unknown": (
        "Fetch the usage export of that time.",
        "Nothing here says that nothing was spent.",
    ),
    "spend_plain": ("Nothing odd was found.", "The tables below add up to the same total."),
    "caps_sized": (
        "Type the caps of the table, then look again at the review date.",
        "Each has its odds, and what it would have done to your own history.",
    ),
    "no_history": (
        "Start with the caps of the tier.",
        "The history cannot carry an answer yet; the reason stands beside each key.",
    ),
    "client_untested": (
        "Nothing is proved yet.",
        "The client could not be tested; the first finding says why.",
    ),
}
"""Verdicts that are about no failed request: what to do, and why."""

NOTHING_TO_RETRY = ("Nothing to retry.", "Nothing failed.")
"""Said where nothing failed."""

THE_VERDICT = "What the verdict says."
"""Stands for a finding whose title the verdict has already."""

DOMAINS = {
    "caller": "the caller: the client or its network",
    "key": "the key: whoever owns it",
    "account": "the account: whoever pays for it",
    "gateway": "the gateway",
    "upstream": "the upstream: the provider of the model",
}
"""Whose side must act."""

SEVERITIES = ("critical", "high", "medium", "low", "info")
"""Severities, worst first."""


def retry(cause: str | None, rule: str | None) -> tuple[str, str]:
    """Tell in words whether to send again, or what else the verdict asks for.

    Args:
        cause: Cause of the verdict, or its name in `ANSWERS`; "unknown" where none could be named,
            None where several stand beside each other.
        rule: never, window, after or backoff; None where the contract gives none.

    Returns:
        An order such as "Do not retry.", and the reason for it.
    """
    if cause in ANSWERS:
        return ANSWERS[cause]
    if cause in NOT_FAILED:
        return ODD
    if rule in RETRIES:
        return RETRIES[rule]
    if cause == "success":
        return NOTHING_TO_RETRY
    if cause is None:
        return SEVERAL
    return UNDECIDED if cause == "unknown" else NO_RETRY_RULE


def domain(name: str | None) -> str:
    """Tell in words whose side must act; "undecided" where the data do not say."""
    return DOMAINS.get(name or "", name or "undecided")


def side(cause: str | None, name: str | None) -> str:
    """Tell whose side must act; empty where no side has to, or the answer is about no failure."""
    if cause == "success" or (cause in ANSWERS and name is None):
        return ""
    return domain(name)


def share(value: float | None) -> str:
    """Write a share for people: "97.0 %", "unknown" where it could not be measured."""
    return "unknown" if value is None else f"{value * 100:.1f} %"


def lines(report: Mapping[str, Any], *, most: int = 6) -> list[str]:
    """Tell the content of `findings.json` in a few lines of text, the answer first.

    Args:
        report: What `Report.to_dict()` gives.
        most: Findings named at most; the others are counted.

    Returns:
        Lines without control characters, fit for a terminal.
    """
    verdict, coverage = report["verdict"], report["coverage"]
    sample = "  [sample data]" if report["run"]["sample_data"] else ""
    told = [f"{GRADES[verdict['grade']].upper()}: {verdict['title']}{sample}"]
    told.append(" ".join(retry(verdict["cause"], verdict["retry"])))
    cause = " ".join(part for part in (verdict["cause"], verdict["code"]) if part)
    why = "" if verdict["cause"] in ANSWERS else f"Cause: {cause or 'several'}. "
    if who := side(verdict["cause"], verdict["domain"]):
        told.append(f"{why}Must act: {who}.")
    told += _finding_lines(report["findings"], most, verdict["title"])
    told += [f"Not whole: {reason}" for reason in coverage["partial"]]
    step = first_step(report)
    return [*told, f"Next: {step}"] if step else told


def first_step(report: Mapping[str, Any]) -> str:
    """Give the first act to take in one line; empty where there is none."""
    steps = [*report.get("next_steps", ())]
    steps += [item["next_step"] for item in report["findings"] if item["next_step"]]
    return step(steps[0]) if steps else ""


def step(item: Mapping[str, Any]) -> str:
    """Write one next step in one line: what, where, who."""
    place = f" Where: {item['where']}." if item["where"] else ""
    who = f" Who: {item['who']}." if item["who"] else ""
    return f"{item['text']}{place}{who}"


def subject(about: Mapping[str, Any]) -> str:
    """Name what a finding is about: key, model, environment, request; empty for none."""
    names = {"key_name": "key", "model": "model", "environment": "environment"}
    told = [f"{word} {about[name]}" for name, word in names.items() if about.get(name)]
    return ", ".join([*told, *([f"id {about['request_id']}"] if about.get("request_id") else [])])


def _finding_lines(items: Sequence[Mapping[str, Any]], most: int, verdict_title: str) -> list[str]:
    shown = [item for item in items if item["status"] != "pass"]
    shown.sort(key=lambda item: (item["status"] != "fail", SEVERITIES.index(item["severity"])))
    told = []
    for item in shown[:most]:
        title = THE_VERDICT if item["title"] == verdict_title else item["title"]
        told.append(f"  {level(item['status'], item['severity']):<8}  {title}")
    return [*told, f"  … and {len(shown) - most} more"] if len(shown) > most else told
