"""Entry points for scoring against known answers: one thin function for each thing that is scored.

Whoever scores names the function, such as `tests.perf.scoring:price`, and brings the data. The
functions only hand over to the library, so what is scored is what users get.
"""

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from runbook_lib import pricing

if TYPE_CHECKING:
    import numpy as np

    from runbook_lib.analysis.spikes.marks import Marks


def price(case: Any) -> tuple[Decimal, Decimal] | None:
    """Price one answer of a provider.

    Args:
        case: Has `usage` (counts by the price list's names), `model`, `provider` (who answered) and
            `at` (aware UTC).

    Returns:
        What its input and its output cost in USD; None where no price is known.
    """
    return pricing.listed(case.usage, case.model, provider=case.provider, at=case.at)


def anomaly_score(t: "np.ndarray", x: "np.ndarray") -> "np.ndarray":
    """Score how unusual each hour of a series is: above 0 too high, below 0 too low."""
    return _marks(t, x).jump[0]


def anomaly_alert(t: "np.ndarray", x: "np.ndarray") -> "np.ndarray":
    """Give the marked hours of all events that people are told of."""
    import numpy as np

    from runbook_lib.analysis.spikes.events import alerts
    from runbook_lib.analysis.spikes.marks import HOUR

    return alerts(np.asarray(x, dtype=float)[None], _marks(t, x), grain=HOUR)[0]


def loop_score(t: "np.ndarray", x: "np.ndarray") -> "np.ndarray":
    """Score how far each hour of a key is beyond its record: 1 equals it, nothing is below 0."""
    import numpy as np

    return np.exp(_marks(t, x).record[0])


def loop_alert(t: "np.ndarray", x: "np.ndarray") -> "np.ndarray":
    """Give the hours beyond the record of the key: those that alarm."""
    return _marks(t, x).beyond_record[0]


def _marks(t: "np.ndarray", x: "np.ndarray") -> "Marks":
    """Mark the hours of one series as the drill-down does."""
    import numpy as np

    from runbook_lib.analysis.spikes.marks import mark

    first = int(t[0].astype("datetime64[h]").astype(int))
    return mark(np.asarray(x, dtype=float)[None], first=first)


def cap(daily: "np.ndarray", horizon_days: int, risk: float, peers: "list[np.ndarray]") -> float:
    """Size one cap in USD for the coming days, from the days so far of a key and its peers."""
    from runbook_lib.analysis.caps.single import outlook_of

    return outlook_of(daily, peers, horizon_days).cap(risk)
