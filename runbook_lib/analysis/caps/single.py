"""One cap for one key, from arrays alone: the narrowest door to what the tables use."""

from collections.abc import Sequence

import numpy as np

from runbook_lib.analysis.caps.level import Floats
from runbook_lib.analysis.caps.outlook import Outlook, look_at, outlooks


def from_first_use(usd: Floats) -> Floats:
    """Cut what cannot be told from rest: days before a key's first use become NaN.

    Args:
        usd: USD by key and day, 0 where nothing was spent; a refund (below 0) counts as 0.

    Returns:
        The same, without the days before the first with spend.
    """
    spent = np.maximum(np.nan_to_num(usd, nan=0.0), 0.0)
    began = np.maximum.accumulate(spent > 0, axis=1)
    return np.where(began, spent, np.nan)


def outlook_of(daily: Floats, peers: Sequence[Floats], horizon: int) -> Outlook:
    """Give the outlook of one key among the others of its account.

    Args:
        daily: USD of each day so far.
        peers: The same days of the other keys.
        horizon: Days ahead.

    Returns:
        The outlook of the total over the horizon.
    """
    usd = from_first_use(np.stack([daily, *peers]))
    return outlooks(look_at(usd, horizon), keys=[0])[0]
