"""What will be sent, said before it is sent: the calls in order, and what each can cost at most."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from runbook_lib import money, pricing, redact
from runbook_lib.errors import ParameterError
from runbook_lib.pricing import LIST, PriceList, Tokens
from runbook_lib.probe import asks
from runbook_lib.probe.asks import ABILITIES, MODELS, PLAIN, PROTOCOLS, USAGE, Ask
from runbook_lib.probe.target import Target

WORST_MULTIPLIER = Decimal(5)
"""Rate multiplier of a group that is reckoned with where nobody gave one."""

MOST_CALLS = 1_000

_BY_VENDOR = {"anthropic": "anthropic", "google": "gemini"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A model to ask about.

    Attributes:
        key_name: Key it is called with; empty where there is one only.
        protocol: One of `PROTOCOLS`; empty for that of the model's maker.
        questions: Of `ABILITIES`; a plain question always comes first.
    """

    model: str
    key_name: str = ""
    protocol: str = ""
    questions: Sequence[str] = ABILITIES


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a run may use.

    Attributes:
        calls: Calls in all. `usd`: what they may cost at the worst price.
        call_s: Seconds a call may take; the gateway itself can take 64 (contract §6, M).
        total_s: Seconds all of them may take. `answer_bytes`: bytes of an answer that are read.
    """

    calls: int = 20
    usd: Decimal = Decimal("0.10")
    call_s: float = 75.0
    total_s: float = 300.0
    answer_bytes: int = 1 << 20

    def __post_init__(self) -> None:
        if not 0 < self.calls <= MOST_CALLS:
            raise ParameterError("max_calls", self.calls, hint=f"1 to {MOST_CALLS}")
        if not self.usd.is_finite() or self.usd < 0:
            raise ParameterError("max_usd", self.usd, hint="an amount of USD, 0 or more")
        if not (0 < self.call_s <= 600 and 0 < self.total_s <= 3600):
            raise ParameterError("seconds", (self.call_s, self.total_s), hint="up to 600 and 3600")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One call, and what it can cost at most in USD."""

    ask: Ask
    worst_usd: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What would be sent; showing it sends nothing.

    Attributes:
        steps: Calls in order. `left_out`: what is not asked, a sentence each.
        multiplier: Rate multiplier the worst prices are reckoned with.
    """

    target: Target
    steps: Sequence[Step]
    limits: Limits
    multiplier: Decimal
    left_out: Sequence[str] = field(default=())

    @property
    def worst_usd(self) -> Decimal:
        """What all calls together can cost at most."""
        return money.total(step.worst_usd for step in self.steps)

    @property
    def key_names(self) -> list[str]:
        """Keys it needs, each once."""
        return list(dict.fromkeys(step.ask.key_name for step in self.steps))

    def __str__(self) -> str:
        models = list(dict.fromkeys(step.ask.model for step in self.steps if step.ask.model))
        keys = ", ".join(redact.safe(name) or "the only one" for name in self.key_names)
        lines = [
            f"Probes at {self.target.root}: up to {len(self.steps)} calls, up to "
            f"{money.usd(self.worst_usd)} (limits: {self.limits.calls} calls, "
            f"{money.usd(self.limits.usd)}; prices of {pricing.about()}, times "
            f"{self.multiplier:f} for the group)",
            f"Models: {', '.join(map(redact.safe, models)) or 'none'}; keys: {keys or 'none'}",
            *(f"Left out: {redact.safe(text)}" for text in self.left_out),
        ]
        return "\n".join(lines)


def plan(
    target: Target,
    wanted: Sequence[Wanted],
    *,
    at: datetime,
    limits: Limits | None = None,
    prices: PriceList = LIST,
    multiplier: Decimal = WORST_MULTIPLIER,
) -> Plan:
    """Plan the calls that fit into the limits, and say which do not.

    Args:
        target: Where they go, from `target`.
        wanted: Models to ask about; the keys among them are asked for their limits first.
        at: Time whose prices count, aware UTC.
        limits: What may be used.
        prices: What models cost; a model without a price is not asked, as it could cost anything.
        multiplier: Rate multiplier that no group exceeds.

    Returns:
        The plan; nothing is sent.

    Raises:
        ParameterError: a model, protocol, question or multiplier is none.
    """
    held = limits or Limits()
    if not multiplier.is_finite() or multiplier <= 0:
        raise ParameterError("multiplier", multiplier, hint="a factor above 0")
    steps: list[Step] = []
    left_out: list[str] = []
    for ask in _asks(wanted):
        worst = worst_usd(ask, prices, at=at, multiplier=multiplier)
        if worst is None and target.loopback:
            worst = money.ZERO  # the sandbox's money is nobody's
        why = _kept_out(ask, worst, steps, held)
        if worst is None or why:
            left_out.append(why)
        else:
            steps.append(Step(ask=ask, worst_usd=worst))
    return Plan(
        target=target,
        steps=steps,
        limits=held,
        multiplier=multiplier,
        left_out=tuple(dict.fromkeys(left_out)),
    )


def _kept_out(ask: Ask, worst: Decimal | None, steps: Sequence[Step], limits: Limits) -> str:
    """Say why a call does not fit; empty where it does."""
    what = f"{ask.question} of {ask.model or ask.key_name or 'the key'}"
    left = limits.usd - money.total(step.worst_usd for step in steps)
    if worst is None:
        return f"{ask.model}: nobody knows a price of it (give prices.csv)"
    if len(steps) >= limits.calls:
        return f"{what}: the limit is {limits.calls} calls"
    if worst > left:
        return f"{what}: it could cost {money.usd(worst)}, {money.usd(left)} are left"
    return ""


def worst_usd(ask: Ask, prices: PriceList, *, at: datetime, multiplier: Decimal) -> Decimal | None:
    """Tell what a call can cost at most.

    Args:
        ask: The call.
        prices: What models cost.
        at: Time whose prices count.
        multiplier: Rate multiplier of the group.

    Returns:
        USD; 0 for what is free, None where nobody knows a price of the model.
    """
    if ask.body is None:
        return money.ZERO
    size, output = ask.most_input, ask.most_output
    mixes = (
        Tokens(input=size, output=output),
        Tokens(cache_write=size, cache_write_1h=size, output=output),
    )
    costs = [prices.cost(ask.model, mix, at=at, multiplier=multiplier).usd for mix in mixes]
    known = [cost for cost in costs if cost is not None]
    return max(known) if known else None


def _asks(wanted: Sequence[Wanted]) -> Iterator[Ask]:
    """Questions about each key, then about each model: plain first."""
    for name in dict.fromkeys(one.key_name for one in wanted):
        yield asks.of_key(MODELS, name)
        yield asks.of_key(USAGE, name)
    for one in dict.fromkeys((w.model, w.key_name, w.protocol, tuple(w.questions)) for w in wanted):
        model, key_name, protocol, questions = one
        spoken = protocol or _BY_VENDOR.get(pricing.vendor(model) or "", PROTOCOLS[0])
        _checked(model, spoken, questions)
        for question in (PLAIN, *dict.fromkeys(questions)):
            yield asks.of_model(question, key_name, model, spoken)


def _checked(model: str, protocol: str, questions: Sequence[str]) -> None:
    if not asks.is_model(model):
        raise ParameterError("models", redact.safe(model), hint="names of models")
    if protocol not in PROTOCOLS:
        raise ParameterError("protocol", redact.safe(protocol), hint=", ".join(PROTOCOLS))
    odd = [question for question in questions if question not in ABILITIES]
    if odd:
        raise ParameterError("questions", odd, hint=f"some of {', '.join(ABILITIES)}")
