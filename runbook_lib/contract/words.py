"""What a cause is: its side, its rule for sending again, its words.

Source: contract §3.2 and §3.3.
"""

from dataclasses import dataclass
from enum import StrEnum


class Domain(StrEnum):
    """Whose side must act; None beside it means undecided."""

    CALLER = "caller"
    KEY = "key"
    ACCOUNT = "account"
    GATEWAY = "gateway"
    UPSTREAM = "upstream"


class Retry(StrEnum):
    """What a correct client does; None beside it means that nothing may be re-sent by itself.

    `never` the same answer comes until a person changes something, `window` until a window rolls
    over, `after` the wait the answer names, `backoff` growing waits of the client's own.
    """

    NEVER = "never"
    WINDOW = "window"
    AFTER = "after"
    BACKOFF = "backoff"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One cause: what it means, whose side must act, whether to send again, and what to do.

    Attributes:
        name: Word of contract §3.3.
        meaning: One plain sentence.
        domain: Side that must act; None where that is open.
        retry: Rule for sending again; None where nothing may be re-sent by itself.
        fix: One short act.
        where: Page of the console, or place on the caller's side, where the act is done.
        who: Person who can do it.
        mark: How well this is known.
        from_answer: Whether the answer alone can show it; False needs logs or usage rows.
    """

    name: str
    meaning: str
    domain: Domain | None
    retry: Retry | None
    fix: str
    where: str
    who: str
    mark: str
    from_answer: bool = True


def cause(
    name: str,
    meaning: str,
    fix: str,
    *,
    domain: Domain | None,
    retry: Retry | None = Retry.NEVER,
    where: str,
    who: str,
    mark: str = "M",
    from_answer: bool = True,
) -> Cause:
    """Make one cause: the words first, then where the act is done.

    Args:
        name: Word of contract §3.3.
        meaning: One plain sentence.
        fix: One short act.
        domain: Side that must act; None where that is open.
        retry: Rule for sending again; None where nothing may be re-sent by itself.
        where: Page of the console, or place on the caller's side.
        who: Person who can do it.
        mark: How well this is known.
        from_answer: Whether the answer alone can show it.

    Returns:
        The cause.
    """
    return Cause(
        name=name,
        meaning=meaning,
        domain=domain,
        retry=retry,
        fix=fix,
        where=where,
        who=who,
        mark=mark,
        from_answer=from_answer,
    )
