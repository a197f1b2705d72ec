"""What the rules on a recorded log say to people: how bad, what happened, what to change."""

from collections.abc import Mapping
from dataclasses import dataclass

from runbook_lib.analysis.retries_rules import MOST_ON_MODEL
from runbook_lib.contract import Retry
from runbook_lib.findings import Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """What a rule says to people.

    Attributes:
        severity: How bad it is. `fact`: what the attempts did, after their count.
        step, where: What to change, and where. `mark`: what the rule rests on.
        nothing: What is said when no attempt broke the rule.
    """

    severity: Severity
    fact: str
    nothing: str
    step: str
    where: str = "client of the service"
    mark: str = "D M"
    retry: str | None = None


WORDINGS: Mapping[str, Wording] = {
    "silent-failure": Wording(
        severity=Severity.HIGH,
        fact="ended with an answer that was not whole, and no error was logged",
        nothing="No answer that was not whole passed for a good one",
        step="Take an answer only when its end marker came and it is no web page; else raise.",
        mark="M",
    ),
    "resent-after-stream": Wording(
        severity=Severity.HIGH,
        fact="were sent again after part of the answer had come",
        nothing="Nothing was sent again after a streamed byte",
        step="After the first byte raise an error with the part that came; do not send again.",
        mark="D M",
    ),
    "resend-may-bill-twice": Wording(
        severity=Severity.MEDIUM,
        fact="were sent again although the work could have been done already",
        nothing="Nothing that may have run was sent again more than once",
        step="Wait longer than the slowest answer (70 s), and send again once at most.",
        mark="M",
    ),
    "sticky-retried": Wording(
        severity=Severity.MEDIUM,
        fact="were sent although a cap or window was used up",
        nothing="Nothing was sent again after a cap or window was used up",
        step="Stop at once on these codes: set x-should-retry to false in a response hook.",
        retry=Retry.NEVER,
    ),
    "wasted-retries": Wording(
        severity=Severity.MEDIUM,
        fact="were sent although no retry could help",
        nothing="No final refusal was sent again",
        step="Stop on this code; fall back only where another key or model can pass.",
        retry=Retry.NEVER,
    ),
    "wait-too-short": Wording(
        severity=Severity.MEDIUM,
        fact="came sooner than they should",
        nothing="Every wait before a retry was long enough",
        step="Wait as long as Retry-After says, else 0.5 s and doubling, with jitter.",
        retry=Retry.AFTER,
    ),
    "too-many-attempts": Wording(
        severity=Severity.MEDIUM,
        fact=f"went beyond {MOST_ON_MODEL} on one model",
        nothing=f"No call was sent to a model more than {MOST_ON_MODEL} times",
        step=f"Send a call to each model at most {MOST_ON_MODEL} times; only one layer may retry.",
        mark="D",
    ),
    "missing-retry": Wording(
        severity=Severity.MEDIUM,
        fact="failed with what passes, and were not tried again",
        nothing="Every failure that passes was tried again",
        step="Send again with growing waits on this code, at most three times.",
        retry=Retry.BACKOFF,
    ),
}
"""Every rule's words."""
