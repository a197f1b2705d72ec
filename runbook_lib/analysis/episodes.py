"""Runs of failures behind the gateway: who fails together, and how the refusals are spaced.

A channel that was refused upstream (429) is left out for about five seconds, one that failed (5xx)
for ten and more; a group without a channel left answers 503 (contract §3.2, §6, M). So with a
single channel two upstream refusals can never lie closer together than the cooldown.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from runbook_lib import contract
from runbook_lib.analysis.material import each
from runbook_lib.analysis.words import counted
from runbook_lib.findings import Evidence, Join

GAP_S = contract.OUTAGE_ECHO_S + 2.0
"""Failures of one run lie at most this far apart: channels stay out a while after the end (M)."""

THIN_S = 600.0
"""On a key with little traffic failures this far apart are one run, if nothing passed between."""

COOLDOWN_S = 0.9 * contract.COOLDOWN_S[429]
"""Shortest time one channel stays out after an upstream 429 (about five seconds, M)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """One run of failures behind the gateway.

    Attributes:
        start, end: First and last failure, seconds since 1970.
        hard, limited, starved: Attempts answered 5xx, 429, and 503 without a channel.
        overloaded: Those of the 5xx in which the upstream calls itself overloaded.
        calls: Logical calls hit. `keys`, `groups`: how many of them were hit.
        everywhere: Every protocol in use fails, and nothing passes.
        one_channel: Only one group is hit, and its 429 are spaced as one channel gives them.
        spacing_s: Shortest time between two 429 of that group.
        scope, counts: The same for people.
    """

    start: float
    end: float
    hard: int
    overloaded: int
    limited: int
    starved: int
    calls: int
    keys: int
    groups: int
    everywhere: bool
    one_channel: bool
    spacing_s: float
    scope: str
    counts: str
    evidence: tuple[Evidence, ...]


def episode_of(attempt: Any, attempts: pd.DataFrame) -> Episode | None:
    """Find the run of failures an attempt belongs to.

    Args:
        attempt: A row of *attempts* that failed behind the gateway.
        attempts: `Material.attempts`, in time order.

    Returns:
        The run over all groups of its provider, or None when the attempt is in none.
    """
    failing = attempts[attempts["upstream"]]
    own = failing[failing["group"] == attempt.group]
    passed = attempts.loc[
        (attempts["group"] == attempt.group) & (attempts["outcome"] == "ok"), "start"
    ]
    span = chain(
        own["start"].to_numpy(),
        attempt.start,
        GAP_S,
        passed=passed.to_numpy(),
        thin_s=THIN_S,
    )
    if span is None:
        return None
    inside = attempts[attempts["start"].between(*span)]
    failed = inside[inside["upstream"]]
    peers = failed[failed["provider"].eq(attempt.provider) | (failed["group"] == attempt.group)]
    own = own[own["start"].between(*span)]
    hit = peers["group"].nunique()
    spacing = _spacing(own, inside[inside["group"] == attempt.group])
    return Episode(
        start=span[0],
        end=span[1],
        hard=int(_hard(peers).sum()),
        overloaded=int(_overloaded(peers).sum()),
        limited=int((peers["status"] == 429).sum()),
        starved=int(_starved(peers).sum()),
        calls=int(peers["call_id"].nunique() or len(peers)),
        keys=int(peers["key_name"].nunique()),
        groups=int(hit),
        everywhere=_everywhere(inside),
        one_channel=hit == 1 and spacing >= COOLDOWN_S,
        spacing_s=spacing,
        scope=counted(peers["key_name"].nunique(), "key"),
        counts=_counted(peers),
        evidence=_cited(attempt, peers),
    )


def _hard(frame: pd.DataFrame) -> "pd.Series":
    return (frame["status"] >= 500) & ~_starved(frame)


def _starved(frame: pd.DataFrame) -> "pd.Series":
    unnamed = frame["code_read"].isna() | frame["code_read"].isin(["api_error", "INTERNAL"])
    return (frame["status"] == 503) & unnamed


def _overloaded(frame: pd.DataFrame) -> "pd.Series":
    said = (frame["status"] == 503) & frame["code_read"].isin(
        ["overloaded_error", "upstream_error"]
    )
    return said | (frame["status"] == 529)


def _everywhere(inside: pd.DataFrame) -> bool:
    used = inside.dropna(subset=["provider"])
    hit = used.loc[used["upstream"], "provider"].nunique()
    passed = (used["outcome"] == "ok").sum()
    return bool(hit >= 2 and hit == used["provider"].nunique() and passed <= 0.02 * len(used))


def _spacing(own: pd.DataFrame, group: pd.DataFrame) -> float:
    """Shortest time from a 429 to the next answer that must have had a channel, in seconds."""
    limited = own[own["status"] == 429]
    if limited.empty:
        return 0.0
    ends = np.sort(limited["end"].to_numpy())
    passed = group.loc[group["outcome"] == "ok", "start"].to_numpy()
    later = np.sort(np.concatenate([limited["start"].to_numpy(), passed]))
    gaps = []
    for end in ends:
        after = later[later > end]
        if len(after):
            gaps.append(float(after[0] - end))
    return min(gaps, default=COOLDOWN_S)


def _counted(peers: pd.DataFrame) -> str:
    codes = peers["code_read"].fillna("without a code")
    named = peers["status"].astype(str) + " " + codes.astype(str)
    counts = named.value_counts(sort=False).sort_index().sort_values(ascending=False, kind="stable")
    return ", ".join(f"{count} × {name}" for name, count in counts.head(3).items())


def _cited(attempt: Any, peers: pd.DataFrame) -> tuple[Evidence, ...]:
    others = peers[peers["row_number"] != attempt.row_number]
    chosen = pd.concat([others.head(1), others.tail(1)]).drop_duplicates("row_number")
    return tuple(
        Evidence(
            source=row.source_file,
            row=int(row.row_number),
            field="status",
            value=int(row.status),
            join=Join.WINDOW,
        )
        for row in each(chosen)
    )


def chain(
    times: "np.ndarray", at: float, gap_s: float, *, passed: "np.ndarray", thin_s: float
) -> tuple[float, float] | None:
    """Find the run of failures around *at*.

    Two neighbours are in one run when they lie at most *gap_s* apart, or, on a key with little
    traffic, at most *thin_s* with nothing that passed between them.

    Args:
        times: Sorted seconds of failures.
        at: A time among them, or near one.
        gap_s: Largest gap inside a run.
        passed: Sorted seconds of what passed.
        thin_s: Largest gap inside a run where nothing passed in between.

    Returns:
        First and last time of the run, or None when none lies within *gap_s* of *at*.
    """
    if not len(times):
        return None
    near = int(np.abs(times - at).argmin())
    if abs(times[near] - at) > gap_s:
        return None
    gaps = np.diff(times)
    between = np.searchsorted(passed, times[1:]) > np.searchsorted(passed, times[:-1])
    breaks = np.flatnonzero((gaps > thin_s) | ((gaps > gap_s) & between))
    first = int(breaks[breaks < near].max()) + 1 if (breaks < near).any() else 0
    last = int(breaks[breaks >= near].min()) if (breaks >= near).any() else len(times) - 1
    return float(times[first]), float(times[last])
