"""What a client can do otherwise than a correct one: each kind, how bad it is, what to change."""

from dataclasses import dataclass, field
from decimal import Decimal

from runbook_lib.findings import Severity
from runbook_lib.verify.vectors import Level


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of deviation.

    Attributes:
        rule: Its rule in `findings.RULES`.
        severity: Of its finding, where the case asks for no less.
        title: What the client does, as a title goes on: "Sends again what stays refused".
        change: The change to make, one act.
    """

    rule: str
    severity: Severity
    title: str
    change: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Deviation:
    """One thing a client did otherwise, in one cell.

    Attributes:
        level: Of its cell: error or warning.
        expected: What a correct client does; seen: what this one did, without measured times.
        cost_usd: What it cost, or may have cost.
    """

    kind: Kind
    case: str
    cell: str
    level: Level
    expected: str
    seen: str
    cost_usd: Decimal = field(default=Decimal(0))


WRONG_RETRY = Kind(
    rule="client-wrong-retry",
    severity=Severity.HIGH,
    title="Sends again what stays refused",
    change="Read the code of every refusal before a retry; stop at codes that stay. For the "
    "official SDKs, a response hook that sets x-should-retry: false on a final 429 does it.",
)
TOO_MANY = Kind(
    rule="client-too-many-attempts",
    severity=Severity.MEDIUM,
    title="Sends more attempts than the case allows",
    change="Make three attempts a model at most, two where the work may already have been done "
    "and charged (timeouts, 504, 524, cut answers); let only one layer retry.",
)
MISSING_RETRY = Kind(
    rule="client-missing-retry",
    severity=Severity.HIGH,
    title="Gives up where sending again would do",
    change="Retry 408, 409, rate limits, 5xx and lost connections, up to three attempts.",
)
UNDERCUT = Kind(
    rule="client-retry-after-undercut",
    severity=Severity.HIGH,
    title="Sends again sooner than Retry-After asks",
    change="Wait at least as long as Retry-After (or retry-after-ms) says, dates too.",
)
OVERSLEPT = Kind(
    rule="client-waits-too-long",
    severity=Severity.LOW,
    title="Waits much longer than Retry-After asks",
    change="Wait what Retry-After says and a tenth more at most.",
)
SLEPT = Kind(
    rule="client-sleeps-through",
    severity=Severity.HIGH,
    title="Sleeps through a Retry-After that is beyond the deadline",
    change="Compare Retry-After with what is left of the deadline; when it is longer, use the "
    "fallback or raise at once, and say when the limit ends.",
)
NO_BACKOFF = Kind(
    rule="client-no-backoff",
    severity=Severity.HIGH,
    title="Sends again without a pause",
    change="Wait between attempts: about half a second, then twice as long, with jitter; a "
    "Retry-After of 0, in the past or unreadable is no reason not to.",
)
OVER_DEADLINE = Kind(
    rule="client-over-deadline",
    severity=Severity.HIGH,
    title="Goes on after its deadline",
    change="Hold one deadline over all attempts and waits; give each attempt what is left of it.",
)
HUNG = Kind(
    rule="client-hangs",
    severity=Severity.HIGH,
    title="Does not come back",
    change="Hold one deadline over the whole call, and a timeout between two bytes of a stream.",
)
DIED = Kind(
    rule="client-died",
    severity=Severity.CRITICAL,
    title="Takes its process down",
    change="Raise an error instead of ending the process.",
)
WRONG_FALLBACK = Kind(
    rule="client-wrong-fallback",
    severity=Severity.HIGH,
    title="Falls back where no other model can help",
    change="Fall back by class of error: not on a bad request, a key, a cap or a balance, which "
    "hit the fallback on the same key too.",
)
MISSING_FALLBACK = Kind(
    rule="client-missing-fallback",
    severity=Severity.HIGH,
    title="Does not fall back here, although it can",
    change="Fall back on this class of error too, once its retries are used up.",
)
NO_FALLBACK = Kind(
    rule="client-no-fallback",
    severity=Severity.HIGH,
    title="Never uses its second model",
    change="Ask the next model of the list when the first one fails for good.",
)
RESENT = Kind(
    rule="client-resent-after-first-byte",
    severity=Severity.HIGH,
    title="Asks again after a streamed byte had reached the caller",
    change="After the first streamed byte raise an error with what was received; the caller "
    "decides whether to ask again.",
)
SILENT = Kind(
    rule="client-silent-failure",
    severity=Severity.HIGH,
    title="Passes a failure off as an answer",
    change="Check every answer: status, content type, JSON, an error object, a text, and the end "
    "marker of a stream; raise where one is wrong.",
)
GIVES_UP = Kind(
    rule="client-gives-up",
    severity=Severity.MEDIUM,
    title="Raises although an answer was to be had",
    change="Accept what is valid: a late first byte, split events, comment lines, odd ids; and "
    "use all attempts that the policy allows.",
)
KEY_LEAKED = Kind(
    rule="client-key-leaked",
    severity=Severity.CRITICAL,
    title="Sends its key to the host of a redirect",
    change="Do not follow redirects of an API; never send a key to another host.",
)
REDIRECTED = Kind(
    rule="client-follows-redirect",
    severity=Severity.LOW,
    title="Follows a redirect",
    change="Switch redirects off: an API answers where it is asked, so the base URL is wrong.",
)
SWALLOWED = Kind(
    rule="client-error-swallowed",
    severity=Severity.MEDIUM,
    title="Tells only one of two failures",
    change="Report the primary's last error and the fallback's, with model, status and code.",
)
STATUS_LOST = Kind(
    rule="client-status-lost",
    severity=Severity.MEDIUM,
    title="Loses the status of the failure",
    change="Keep the status in the error, not the page that came with it.",
)
MODEL_HIDDEN = Kind(
    rule="client-model-misreported",
    severity=Severity.MEDIUM,
    title="Names another model than the one that answered",
    change="Report the model that the answer names.",
)
IDS_LOST = Kind(
    rule="client-ids-lost",
    severity=Severity.LOW,
    title="Keeps only some of its request ids",
    change="Note x-request-id and x-client-request-id of every attempt in a response hook.",
)
ID_REUSED = Kind(
    rule="client-id-reused",
    severity=Severity.LOW,
    title="Sends one request id with several calls",
    change="Make a new X-Request-ID for every attempt, or send none: support traces by it.",
)
CANCEL_LATE = Kind(
    rule="client-ignores-cancel",
    severity=Severity.HIGH,
    title="Goes on after it was cancelled",
    change="Let a cancellation pass: catch Exception, not BaseException, and do not shield waits.",
)
NO_BREAKER = Kind(
    rule="client-no-breaker",
    severity=Severity.LOW,
    title="Asks the failing primary again in every call",
    change="After a few failures in a row leave the primary alone for some seconds, then probe it.",
)
NO_RETURN = Kind(
    rule="client-does-not-return",
    severity=Severity.MEDIUM,
    title="Stays on its fallback when the primary is back",
    change="Probe the primary every few seconds and return to it.",
)
HERD = Kind(
    rule="client-no-jitter",
    severity=Severity.LOW,
    title="Lets its retries come together",
    change="Draw each wait at random, from half of it or less up to the whole.",
)
STORM = Kind(
    rule="client-retry-storm",
    severity=Severity.HIGH,
    title="Multiplies its calls in an outage",
    change="Hold a retry budget: about one retry for ten calls, shared by all calls of a process.",
)
FAILS_OFTEN = Kind(
    rule="client-fails-too-often",
    severity=Severity.HIGH,
    title="Fails more often than its attempts explain",
    change="Look for an error class that is neither retried nor fallen back from.",
)
NOT_REACHED = Kind(
    rule="client-not-reached",
    severity=Severity.CRITICAL,
    title="Sends nothing to the base URL it is given",
    change="Use base_url and api_key as they are given; no environment variable, no default.",
)
FAILS_HEALTHY = Kind(
    rule="client-fails-healthy",
    severity=Severity.CRITICAL,
    title="Fails where nothing is wrong",
    change="Make the client work against a healthy gateway first; nothing else can be judged.",
)
OTHER_MODEL = Kind(
    rule="client-ignores-models",
    severity=Severity.HIGH,
    title="Asks for models that it was not given",
    change="Ask for the models of the list, the first one first.",
)

WARNINGS = frozenset(
    one.rule
    for one in (
        *(OVERSLEPT, REDIRECTED, MODEL_HIDDEN, IDS_LOST, ID_REUSED),
        *(NO_BREAKER, NO_RETURN, HERD, STATUS_LOST),
    )
)
"""Kinds that make a cell a warning, not an error."""
