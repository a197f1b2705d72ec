"""What stops a request before a channel is looked for, in the order of the family.

The order of key, address and user is read in the family's source (F); that windows come before
models, and the two forms of an empty balance, are measured (contract §3.2, M).
"""

from typing import NamedTuple

from runbook_lib.sandbox import answers, ticks
from runbook_lib.sandbox.answers import Problem, Surface
from runbook_lib.sandbox.channels import Group
from runbook_lib.sandbox.keys import Key
from runbook_lib.sandbox.prices import Tokens
from runbook_lib.sandbox.surfaces import gemini_model, offered

BAD_KEYS = 120
"""Calls with an unknown key in a minute that block an address for a minute (contract §3.2, M)."""

NOTHING = Tokens()


class Request(NamedTuple):
    """One request as it reaches the gateway.

    A named tuple, as a history makes one for every attempt.

    Attributes:
        secret: The key as sent; None for none.
        tokens: What the simulated upstream will count.
        pace: Times the usual time of the model.
        flaw: `key_in_query`, `empty`, `broken` or `too_large`; empty for a well-formed request.
    """

    path: str
    secret: str | None
    model: str = ""
    ip: str = "127.0.0.1"
    tokens: Tokens = NOTHING
    stream: bool = False
    request_id: str | None = None
    user_agent: str = ""
    effort: str = ""
    pace: float = 1.0
    flaw: str = ""


class BadKeys:
    """Counts unknown keys by address, and blocks the address for all its keys."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, int]] = {}

    def blocks(self, address: str, at: int) -> bool:
        """Tell whether an address is blocked now."""
        since, count = self._seen.get(address, (0, 0))
        return count >= BAD_KEYS and at - since < ticks.MINUTE

    def note(self, address: str, at: int) -> None:
        """Count one call with an unknown key."""
        since, count = self._seen.get(address, (at, 0))
        if at - since >= ticks.MINUTE:
            since, count = at, 0
        self._seen[address] = (at if count + 1 == BAD_KEYS else since, count + 1)


def identity(request: Request, key: Key) -> Problem | None:
    """Check the key itself, its addresses, its owner and its group."""
    if key.disabled:
        return answers.KEY_DISABLED
    if not key.admits(request.ip):
        return answers.ip_denied(request.ip)
    if not key.account.active:
        return answers.USER_INACTIVE
    if key.group is not None and not key.group.enabled:
        return answers.GROUP_DISABLED
    return None


def means(key: Key, at: int) -> Problem | None:
    """Check what the key may still spend, as the door knows it."""
    if key.expires_at is not None and at >= key.expires_at:
        return answers.KEY_EXPIRED
    if key.cap is not None and key.used >= key.cap:
        return answers.CAP_REACHED
    if key.group is not None and key.group.plan is not None:
        return _subscribed(key, at)
    if key.account.funds_at_door(at) <= 0:
        return answers.BALANCE_AT_DOOR
    return None


def _subscribed(key: Key, at: int) -> Problem | None:
    held = key.subscription
    if held is None:
        return answers.NO_SUBSCRIPTION
    if held.paused:
        return answers.SUBSCRIPTION_PAUSED
    if not held.starts_at <= at < held.expires_at:
        return answers.SUBSCRIPTION_ENDED
    window = held.used_up_at_door(at)
    return None if window is None else answers.plan_used_up(window, at_door=True)


_FLAWS = {
    "empty": answers.BODY_EMPTY,
    "broken": answers.BODY_BROKEN,
    "too_large": answers.BODY_TOO_LARGE,
}


def form(request: Request, surface: Surface, key: Key) -> Problem | None:
    """Check what the handler can tell without asking anybody."""
    if request.flaw in _FLAWS:
        return _FLAWS[request.flaw]
    if key.group is None:
        return answers.NO_GROUP
    if not offered(surface, key.group.protocol):
        return answers.not_offered(surface)
    if not request.model:
        return answers.MODEL_MISSING
    if key.models and request.model not in key.models:
        return answers.MODEL_NOT_ALLOWED
    return None


def lists(request: Request, surface: Surface, key: Key) -> Problem | None:
    """Check what stops a list of models: Gemini's is for keys of its groups, and for its models."""
    if surface.name != "gemini":
        return None
    if key.group is None or key.group.protocol != "gemini":
        return answers.NOT_GEMINI
    asked = gemini_model(request.path)
    return answers.model_unknown(asked) if asked and not key.group.serves(asked) else None


def limits(key: Key, group: Group, at: int) -> Problem | None:
    """Check balance or plan as they are, windows, and requests per minute, in this order."""
    account = key.account
    if group.plan is not None:
        ended = key.subscription.used_up(at) if key.subscription is not None else None
        if ended is not None:
            return answers.plan_used_up(ended, at_door=False)
    elif account.balance <= 0:
        return answers.BALANCE
    window = key.used_up(at) if key.windows else None
    if window is not None:
        return answers.WINDOWS[window]
    if group.per_minute.limit:
        wait = group.per_minute.wait(at)
        if wait:
            return answers.GROUP_RPM._replace(retry_after=wait)
    if account.per_minute.limit:
        wait = account.per_minute.wait(at)
        if wait:
            return answers.USER_RPM._replace(retry_after=wait)
    return None
