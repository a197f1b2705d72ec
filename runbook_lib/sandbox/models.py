"""Models that the simulated upstreams serve: price, name in the answer, and how long they take."""

from dataclasses import dataclass
from itertools import takewhile
from random import Random

from runbook_lib.sandbox import ticks
from runbook_lib.sandbox.channels import Protocol
from runbook_lib.sandbox.prices import Price


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One model.

    Attributes:
        answers_as: Name that stands in the answer, such as a dated one.
        first_ms: Usual time to the first token.
        token_ms: Usual time for each output token.
    """

    name: str
    protocol: Protocol
    price: Price
    answers_as: str
    first_ms: float
    token_ms: float

    def time(self, output_tokens: int, pace: float, chance: Random) -> tuple[int, int]:
        """Draw the ticks to the first token and to the last, spread as real latencies are."""
        spread = chance.lognormvariate(0, 0.25) * pace * ticks.MILLI
        first = int(self.first_ms * spread)
        return first, first + int(self.token_ms * output_tokens * spread)


def likeness(one: str, other: str) -> int:
    """Count the letters with which two names begin alike: relatives have them in common."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
