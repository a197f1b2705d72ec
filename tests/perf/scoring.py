"""Entry points for scoring against known answers: one thin function for each thing that is scored.

Whoever scores names the function, such as `tests.perf.scoring:price`, and brings the data. The
functions only hand over to the library, so what is scored is what users get.
"""

from decimal import Decimal
from typing import Any

from runbook_lib import pricing


def price(case: Any) -> tuple[Decimal, Decimal] | None:
    """Price one answer of a provider.

    Args:
        case: Has `usage` (counts by the price list's names), `model`, `provider` (who answered) and
            `at` (aware UTC).

    Returns:
        What its input and its output cost in USD; None where no price is known.
    """
    return pricing.listed(case.usage, case.model, provider=case.provider, at=case.at)
