"""Attempts and usage rows put together, every join stamped `id`, `window ±s` or `none`.

A usage row carries `client:` and the answer's `X-Client-Request-ID`; its time is the END of the
request (contract §5, M). Where that id was not logged, a row is looked for by start, key, model and
tokens, and taken only when it is the one that fits. Refused requests cost nothing and have no row.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pandas as pd

from runbook_lib import money
from runbook_lib.analysis.material import Material, each

REFUSED = "refused requests cost nothing"
"""Why a refused attempt has no row (contract §6, D M)."""

WINDOW_S = 2.0
"""Seconds by which the starts of an attempt and its row may differ, clocks put right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """An attempt and its usage row.

    Attributes:
        row: The usage row, None where there is none.
        how: "id", "window ±2 s" or "none"; `note` says why there is none.
    """

    row: Any | None
    how: str
    note: str = ""

    @property
    def cost_usd(self) -> Decimal | None:
        """Billed cost in USD; 0 for a refused request, None where no row was found."""
        if self.note == REFUSED:
            return money.ZERO
        return None if self.row is None else self.row.cost_usd


def join(attempt: Any, material: Material) -> Joined:
    """Find the usage row of one attempt.

    Args:
        attempt: A row of `material.attempts`.
        material: Holds the usage rows around it.

    Returns:
        The row with how it was found; never a guess between several.

    Source: contract §5, §6 (M).
    """
    if isinstance(attempt.client_request_id, str):
        place = material.billed.get(attempt.client_request_id)
        if place is not None:
            return Joined(row=material.row(place), how="id")
    if attempt.outcome == "refused":
        return Joined(row=None, how="none", note=REFUSED)
    if isinstance(attempt.client_request_id, str) and material.billed:
        return Joined(row=None, how="none", note="no usage row has this id")
    return _by_window(attempt, material)


def _by_window(attempt: Any, material: Material) -> Joined:
    rows = material.rows
    free = rows[~rows["join_id"].isin(material.logged_ids)]
    found = _fitting(attempt, free, material)
    if len(found) == 1:
        return Joined(row=next(each(found)), how=f"window ±{WINDOW_S:.0f} s")
    if len(found):
        return Joined(row=None, how="none", note=f"{len(found)} usage rows fit, none is taken")
    return Joined(row=None, how="none", note="no usage row fits by time, key and model")


def _fitting(attempt: Any, rows: pd.DataFrame, material: Material) -> pd.DataFrame:
    skew = material.skew_s or 0.0
    near = rows[(rows["start"] - skew - attempt.start).abs() <= WINDOW_S]
    near = near[near["key_name"].isna() | (near["key_name"] == attempt.key_name)]
    near = near[near["model"].isin([attempt.model, attempt.response_model])]
    for name in ("input_tokens", "output_tokens"):
        value = getattr(attempt, name)
        if not pd.isna(value):
            near = near[near[name].isna() | (near[name] == value)]
    if len(near) > 1:
        apart = (near["start"] - skew - attempt.start).abs().sort_values()
        if apart.iloc[0] <= 0.1 * max(apart.iloc[1], 0.05):
            return near.loc[[apart.index[0]]]
    return near


def start_match(row: Any, attempts: pd.DataFrame, material: Material) -> Any | None:
    """Find the attempt that starts together with a usage row.

    Args:
        row: A row of `material.rows`.
        attempts: The attempts to choose from, in the columns of `material.attempts`.
        material: Knows how far the two clocks differ.

    Returns:
        The nearest attempt with the same model within `WINDOW_S`, None when there is none.
    """
    skew = material.skew_s or 0.0
    near = attempts[(attempts["start"] + skew - row.start).abs() <= WINDOW_S]
    near = near[(near["model"] == row.model) | (near["response_model"] == row.model)]
    if near.empty:
        return None
    closest = (near["start"] + skew - row.start).abs().idxmin()
    return next(each(near.loc[[closest]]))
