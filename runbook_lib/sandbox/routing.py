"""How one request finds the channel that serves it, or the refusal when none does."""

from random import Random
from typing import NamedTuple

from runbook_lib.sandbox import answers, ticks
from runbook_lib.sandbox.answers import Problem
from runbook_lib.sandbox.channels import (
    FAULTS,
    NO_ANSWER,
    PATIENCE,
    SWITCHES,
    Channel,
    Group,
    is_final,
)

TRY = 60 * ticks.MILLI
"""Time one failing try takes, at most; a hanging upstream takes longer (`PATIENCE`)."""


class Route(NamedTuple):
    """Who serves a request, or why nobody does.

    Attributes:
        channel: The channel; None when no candidate answered.
        problem: The refusal; with a channel, the one that it passed on.
        spent: Ticks lost on failing tries.
        trouble: `cuts` or `slow` when the channel does that to this request.
    """

    channel: Channel | None
    problem: Problem | None
    spent: int
    trouble: str = ""


def route(group: Group, model: str, asked: str, at: int, chance: Random) -> Route:
    """Try the channels of a group in turn; the order and the rules are those of `channels`.

    Args:
        group: Group of the key.
        model: Model that is asked of the channels.
        asked: Model as the caller named it, for the message.
        at: Tick of the first try.
        chance: Where chance decides.
    """
    if group.channels and not group.serves(model):
        return Route(None, answers.model_unknown(asked), TRY // 10)
    tried: list[Channel] = []
    spent, status = TRY // 10, None
    while len(tried) <= SWITCHES[group.protocol]:
        channel = group.choose(model, at, tried, chance)
        if channel is None:
            break
        tried.append(channel)
        channel.last_used = at + len(tried)
        trouble = channel.health if channel.hit(chance) else ""
        if trouble not in FAULTS:
            channel.worked()
            return Route(channel, None, spent if status else 0, trouble)
        status = FAULTS[trouble]
        spent += PATIENCE.get((group.protocol, status), int(TRY * (0.3 + 0.7 * chance.random())))
        if is_final(status, group.protocol):
            return Route(channel, answers.upstream_failed(status, group.protocol), spent)
        channel.failed(status, at)
        if status == NO_ANSWER and group.protocol == "anthropic":
            break
    if status is None:
        return Route(None, answers.no_channel(group.protocol), spent)
    return Route(None, answers.upstream_failed(status, group.protocol), spent)
