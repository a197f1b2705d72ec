"""What the tests of spikes share: roll-ups made from a few numbers."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd

START = datetime(2026, 9, 28, tzinfo=UTC)
"""A Monday, with the end of daylight saving time in Europe and America among the next weeks."""

Costs = Mapping[tuple[str | None, str | None], Any]


def hours(count: int) -> timedelta:
    """Give so many hours."""
    return timedelta(hours=count)


def steady(count: int, *, usd: float = 2.0, seed: int = 1, noise: float = 0.1) -> np.ndarray:
    """Spend with a daily course and noise."""
    course = 1 + 0.5 * np.sin(np.arange(count) / 24 * 2 * np.pi)
    return usd * course * np.random.default_rng(seed).gamma(noise**-2, noise**2, count)


HOUR = timedelta(hours=1)


def rolled(costs: Costs, *, start: datetime = START, step: timedelta = HOUR) -> pd.DataFrame:
    """Make a roll-up as the store gives it: a row per bucket, key and model that was used.

    Args:
        costs: Key and model → USD by step; 0 is no row, NaN a row whose cost is unknown.
        start: Start of the first step.
        step: Length of a step.
    """
    rows = [
        {
            "bucket": start + place * step,
            "key_name": key,
            "model": model,
            "requests": max(1, round(abs(usd) * 10)) if usd == usd else 1,
            "cost_usd": Decimal(f"{usd:.10f}") if usd == usd else None,
            "input_tokens": 10**18,
        }
        for (key, model), series in costs.items()
        for place, usd in enumerate(np.asarray(series, dtype=float))
        if usd != 0
    ]
    columns = ["bucket", "key_name", "model", "requests", "cost_usd", "input_tokens"]
    frame = pd.DataFrame(rows, columns=columns)
    types = {"bucket": "datetime64[us, UTC]", "requests": "Int64", "cost_usd": "object"}
    return frame.astype(types).sort_values(["bucket", "key_name"], ignore_index=True)
