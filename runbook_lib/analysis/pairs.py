"""Near-equal calls a moment apart: one request sent twice, as two calls."""

from typing import Any

import numpy as np
import pandas as pd

TWIN_S = 2.0
"""Two sends of one request lie at most this far apart (a double click, a doubled event)."""

HABIT, HABIT_S = 2, 30.0
"""So many more of the same signature within this time make it a habit."""

BUSY_PER_MINUTE = 10
"""Above this rate equal inputs meet by chance, so the outputs must be equal too."""

SIGNATURE = ["key_name", "service", "model", "input_tokens", "cache_read_tokens"]
"""What two sends of one request share."""


def twins(attempts: pd.DataFrame) -> "pd.Series[int]":
    """Pair near-equal calls.

    A signature that comes back again and again within half a minute is a habit (a job with a
    constant prompt), and no pair.

    Args:
        attempts: `Material.attempts`; reads `outcome`, `start`, `call_id`, `output_tokens` and the
            columns of `SIGNATURE`.

    Returns:
        For each paired attempt (index of *attempts*) the index of the other; empty when none.
    """
    ok = attempts[(attempts["outcome"] == "ok") & (attempts["input_tokens"].fillna(0) > 0)]
    keyed = ok.assign(cache_read_tokens=ok["cache_read_tokens"].fillna(0)).sort_values("start")
    since = keyed.groupby(SIGNATURE, dropna=False, sort=False)["start"].diff().fillna(np.inf)
    keyed = keyed.assign(since=since, at=keyed.index)
    grouped = keyed.groupby(SIGNATURE, dropna=False, sort=False)
    keyed["other"] = grouped["at"].shift(1)
    second = keyed[(keyed["since"] <= TWIN_S) & (_others_near(keyed, grouped) < HABIT)]
    if second.empty:
        return pd.Series(dtype="int64")
    a, b = ok.loc[second["other"].astype("int64")], ok.loc[second.index]
    apart = a["call_id"].fillna("a").to_numpy() != b["call_id"].fillna("b").to_numpy()
    alike = _tokens(a) == _tokens(b)
    kept = apart & (alike | ~_busy(ok).loc[a.index].to_numpy())
    first, last = a.index[kept], b.index[kept]
    return pd.concat([pd.Series(last, index=first), pd.Series(first, index=last)])


def _others_near(keyed: pd.DataFrame, grouped: Any) -> "pd.Series[int]":
    """How many more of one signature, beside a pair, lie within HABIT_S: at most 4 are counted."""
    before = grouped["since"].shift(1).fillna(np.inf)
    after = grouped["since"].shift(-1).fillna(np.inf)
    further = before + grouped["since"].shift(2).fillna(np.inf)
    later = after + grouped["since"].shift(-2).fillna(np.inf)
    gaps = pd.DataFrame({0: before, 1: further, 2: after, 3: later}, index=keyed.index)
    return (gaps <= HABIT_S).sum(axis=1)


def _tokens(frame: pd.DataFrame) -> "np.ndarray":
    return np.asarray(frame["output_tokens"].fillna(-1), dtype="int64")


def _busy(ok: pd.DataFrame) -> "pd.Series":
    minute = (ok["start"] // 60).astype("int64")
    by = [ok["key_name"], ok["service"], minute]
    rate: pd.Series = ok.groupby(by, dropna=False)["start"].transform("size")
    return rate > BUSY_PER_MINUTE
