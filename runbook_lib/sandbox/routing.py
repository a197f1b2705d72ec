"""How one request finds the channel that serves it, or the refusal when none does."""

from random import Random
from typing import NamedTuple

from runbook_lib.sandbox import answers, ticks
from runbook_lib.sandbox.answers import Problem
from runbook_lib.sandbox.channels import (
    FAULTS,
    NO_ANSWER,
    PATIENCE,
    STREAM_TROUBLES,
    SWITCHES,
    Channel,
    Group,
    Protocol,
    is_final,
)

TRY = 60 * ticks.MILLI
"""Time one failing try takes, at most; a hanging upstream takes longer (`PATIENCE`)."""

MUTE = 3 * ticks.SECOND
"""How long Anthropic groups try a stream that ends before its first event (M)."""


class Route(NamedTuple):
    """Who serves a request, or why nobody does.

    Attributes:
        channel: The channel; None when no candidate answered.
        problem: The refusal; with a channel, the one that it passed on.
        spent: Ticks lost on failing tries.
        trouble: `slow` or a kind of `STREAM_TROUBLES` when the channel does that to this request.
    """

    channel: Channel | None
    problem: Problem | None
    spent: int
    trouble: str = ""


def route(
    group: Group, model: str, asked: str, at: int, chance: Random, *, stream: bool = False
) -> Route:
    """Try the channels of a group in turn; the order and the rules are those of `channels`.

    Args:
        group: Group of the key.
        model: Model that is asked of the channels.
        asked: Model as the caller named it, for the message.
        at: Tick of the first try.
        chance: Where chance decides.
        stream: A stream is asked for.

    Returns:
        Who serves it, or the refusal, and the time that was lost.
    """
    if group.channels and not group.serves(model):
        return Route(None, answers.model_unknown(asked), TRY // 10)
    tried: list[Channel] = []
    spent, status, mute = TRY // 10, None, False
    while len(tried) <= SWITCHES[group.protocol]:
        channel = group.choose(model, at, tried, chance)
        if channel is None:
            break
        tried.append(channel)
        channel.last_used = at + len(tried)
        trouble = _trouble(channel, chance, stream=stream)
        if trouble not in FAULTS and trouble != "mutes":
            channel.worked()
            return Route(channel, None, spent if status is not None else 0, trouble)
        mute = trouble == "mutes"
        status = NO_ANSWER if mute else FAULTS[trouble]
        spent += _tried(group.protocol, status, chance, mute=mute)
        if is_final(status, group.protocol):
            return Route(channel, answers.upstream_failed(status, group.protocol), spent)
        channel.failed(status, at)
        if status == NO_ANSWER and group.protocol == "anthropic":
            break
    if status is None:
        return Route(None, answers.no_channel(group.protocol), spent)
    problem = answers.upstream_failed(status, group.protocol)
    return Route(None, problem._replace(as_stream=mute), spent)


def _trouble(channel: Channel, chance: Random, *, stream: bool) -> str:
    trouble = channel.health if channel.hit(chance) else ""
    return "" if trouble in STREAM_TROUBLES and not stream else trouble


def _tried(protocol: Protocol, status: int, chance: Random, *, mute: bool) -> int:
    """Ticks that a failing try takes."""
    usual = int(TRY * (0.3 + 0.7 * chance.random()))
    if mute and protocol == "anthropic":
        return MUTE
    return PATIENCE.get((protocol, status), usual)
