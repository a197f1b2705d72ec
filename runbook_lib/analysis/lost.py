"""Money that bought nothing, or more than was asked: each kind with a lower and an upper bound.

Every attempt and every usage row of a window is looked at once; a row counts in one kind only, in
the order in which triage would name it. What refused requests cost is nothing (contract §6).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd

from runbook_lib import money
from runbook_lib.analysis import bridge
from runbook_lib.analysis.material import FAILED, Material, each
from runbook_lib.analysis.oddities import LOOP_FACTOR, LOOP_PER_MINUTE, same_model
from runbook_lib.analysis.pairing import Paired, covered, given_up, pair_up
from runbook_lib.analysis.priced import Weights
from runbook_lib.clock import Window

SLICE_S = 10
"""Seconds by which the ends of a loop are found."""

Loops = Mapping[tuple[Any, Any, Any], tuple[float, float]]
"""Key, service and minute of a loop → share of its calls that are usual, least rate of one."""

KINDS = {
    "unlogged_use": "used by somebody who does not log: a leaked key, or a service without a log",
    "client_timeout": "the client gave up before the answer; the gateway finished and billed it",
    "duplicate_send": "the same request was sent twice; one of the two bought nothing",
    "runaway_loop": "one client calls many times its usual rate",
    "client_fallback": "answered by the other model after the first had failed",
    "model_alias": "another model answered than was asked",
    "cut_stream": "the stream broke; what had been sent may be of use or not",
    "client_abandoned_stream": "the client closed the stream early; the whole answer is billed",
    "retried_refusal": "sent again although no retry can help; refused requests cost nothing",
    "not_explained": "no log explains it, and nothing speaks for a stranger",
}
"""What a line of the table is about."""

COLUMNS = (
    *("kind", "key_name", "service", "model", "attempts", "rows"),
    *("billed_usd", "lost_low_usd", "lost_high_usd", "first_at", "last_at", "what"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """What was found.

    Attributes:
        table: One row a kind, key, service and model, dearest upper bound first: the columns of
            `COLUMNS`; amounts are Decimal USD, a bound is None where no price is known; times are
            aware UTC, `first_at` and `last_at` those of the rows.
        attempts: `material.attempts` with `kind` (text, "" for none), `billed_usd` (Decimal, 0
            where nothing was billed), `billed_at` (place in `material.rows`, -1 for none) and
            `join`, how that row was found, as `Paired` has it.
        rows: The usage rows that no log explains, with `kind`.
        paired: Which row belongs to which attempt.
    """

    table: pd.DataFrame
    attempts: pd.DataFrame
    rows: pd.DataFrame
    paired: Paired


def lost_money(
    material: Material,
    *,
    weights: Weights | None = None,
    within: Window | None = None,
    logs: pd.DataFrame | None = None,
) -> Lost:
    """Look through a window for money that bought nothing, or more than was asked.

    Args:
        material: Attempts, usage rows and minutes of the window.
        weights: Model → kind of token → price in any one unit, for what another model would have
            cost; a model that is missing has no bound.
        within: The span that is asked: a billed attempt is of it by the time of its row. What lies
            around it only helps to judge. None for all.
        logs: Attempts by key, as `pairing.covered` takes them: a row from before the log of its key
            began is in no line.

    Returns:
        The table and the rows behind it. Without a call log nothing can be lost that is known of:
        the table is empty.

    Source: contract §3.3, §5, §6 (M).
    """
    loops = _loop_minutes(material)
    paired = pair_up(material)
    tagged = _tagged(material, paired, loops)
    attempts, rows = tagged, _unlogged(material, paired, logs)
    if within is not None:
        attempts = attempts[within.holds(_billed_when(tagged, material.rows))]
        rows = rows[within.holds(rows["ts"])]
    known = _Known(
        material=material, weights=weights or {}, loops=loops, costs=tagged["billed_usd"].to_dict()
    )
    lines = [*_lines_of_attempts(attempts, known), *_lines_of_rows(rows)]
    table = pd.DataFrame(sorted(lines, key=_dearest_first), columns=list(COLUMNS))
    return Lost(table=table, attempts=attempts, rows=rows, paired=paired)


def _billed_when(tagged: pd.DataFrame, rows: pd.DataFrame) -> "pd.Series":
    """Give the time of each attempt's usage row, its own where it has none."""
    held = tagged.loc[tagged["billed_at"] >= 0, "billed_at"]
    when = tagged["ts"].copy()
    when.loc[held.index] = rows["ts"].iloc[held.to_numpy()].to_numpy()
    return when


def _dearest_first(line: Any) -> tuple[Any, ...]:
    found = dict(zip(COLUMNS, line, strict=True))
    size = found["billed_usd"] if found["lost_high_usd"] is None else found["lost_high_usd"]
    names = (str(found[name] or "") for name in ("key_name", "service", "model"))
    return (-size, list(KINDS).index(found["kind"]), *names)


# Attempts -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What bounds are made of: the loops, and what every attempt was billed, by its place."""

    material: Material
    weights: Weights
    loops: Loops
    costs: Mapping[Any, Decimal]


def _tagged(material: Material, paired: Paired, loops: Loops) -> pd.DataFrame:
    """Give every attempt its kind and what was billed for it."""
    frame = material.attempts.copy()
    place = paired.place
    costs = [*material.rows["cost_usd"], None]
    frame["billed_at"], frame["join"] = place, paired.how
    billed = [money.or_zero(costs[at]) for at in place]
    frame["billed_usd"] = pd.Series(billed, index=frame.index, dtype=object)
    ok = frame["outcome"] == "ok"
    rules = (
        ("retried_refusal", _retried(frame)),
        ("cut_stream", (frame["outcome"] == "broken") & (place >= 0)),
        ("client_abandoned_stream", (frame["outcome"] == "abandoned") & (place >= 0)),
        ("client_fallback", ok & _fell_back(frame)),
        ("duplicate_send", ok & frame.index.isin(material.twins)),
        ("runaway_loop", ok & _looping(frame, loops)),
        ("model_alias", ok & _aliased(frame)),
    )
    kind = np.full(len(frame), "", dtype=object)
    for name, hit in reversed(rules):
        kind[np.asarray(hit, dtype=bool)] = name
    frame["kind"] = kind
    return frame


def _retried(frame: pd.DataFrame) -> "pd.Series[bool]":
    """Attempts that follow, in their call, key and model, one that no retry can mend."""
    known = frame["call_id"].notna()
    sticky = (frame["outcome"] == "refused") & frame["retry"].isin(["never", "window"])
    by = ["call_id", "key_name", "model"]
    before = sticky.astype(int).groupby([frame[name] for name in by], dropna=False).cumsum()
    return known & sticky & (before > 1)


def _fell_back(frame: pd.DataFrame) -> "pd.Series[bool]":
    """Attempts before which the same call had failed on another model."""
    failed = frame["outcome"].isin(FAILED).astype(int)
    earlier = failed.groupby(frame["call_id"], dropna=False).cumsum()
    same = failed.groupby([frame["call_id"], frame["model"]], dropna=False).cumsum()
    return frame["call_id"].notna() & ((earlier - same) > 0)


def _looping(frame: pd.DataFrame, minutes: Loops) -> "pd.Series[bool]":
    """Attempts in the minutes of a loop, cut where it begins and ends.

    A slice of ten seconds belongs to it when it holds half its share of the least rate of a loop:
    it covers the slices at its ends in part.
    """
    pairs = list(zip(frame["key_name"], frame["service"], frame["ts"].dt.floor("min"), strict=True))
    inside = pd.Series([pair in minutes for pair in pairs], index=frame.index, dtype=bool)
    held = frame[inside]
    slices = [held["key_name"], held["service"], held["ts"].dt.floor(f"{SLICE_S}s")]
    count = held.groupby(slices, dropna=False)["ts"].transform("size")
    least = [minutes[pairs[place]][1] * SLICE_S / 120 for place in held.index]
    inside.loc[held.index] = count.to_numpy() >= np.array(least)
    return inside


def _loop_minutes(material: Material) -> Loops:
    """Find the minutes of loops."""
    found = {}
    for (key, service), (usual, minutes) in material.rates.items():
        least = max(LOOP_PER_MINUTE, LOOP_FACTOR * max(usual, 1.0))
        for minute, count in minutes.items():
            if count >= least:
                found[key, service, minute] = (usual / count, least)
    return found


def _aliased(frame: pd.DataFrame) -> "pd.Series[bool]":
    pairs = list(zip(frame["model"], frame["response_model"], strict=True))
    other = {
        pair: isinstance(pair[0], str) and isinstance(pair[1], str) and not same_model(*pair)
        for pair in set(pairs)
    }
    return pd.Series([other[pair] for pair in pairs], index=frame.index, dtype=bool)


def _lines_of_attempts(frame: pd.DataFrame, known: _Known) -> list[Any]:
    lines = []
    held = frame[frame["kind"] != ""]
    by = ["kind", "key_name", "service", "model"]
    for (kind, key, service, model), group in held.groupby(by, dropna=False, sort=True):
        billed = money.total(group["billed_usd"])
        low, high = _bounds(str(kind), group, known)
        lines.append(
            (
                kind,
                *_names(key, service, model),
                len(group),
                int((group["billed_at"] >= 0).sum()),
                billed,
                low,
                high,
                group["ts"].min(),
                group["ts"].max(),
                KINDS[str(kind)],
            )
        )
    return lines


def _names(*names: Any) -> list[str | None]:
    return [name if isinstance(name, str) else None for name in names]


def _bounds(kind: str, group: pd.DataFrame, known: _Known) -> tuple[Decimal | None, Decimal | None]:
    """Least and most of what was billed for a group that bought nothing, or was too dear."""
    billed = money.total(group["billed_usd"])
    if kind == "duplicate_send":
        return _of_twins(group, known)
    if kind == "runaway_loop":
        return _above_usual(group, known.loops), billed
    if kind in ("client_fallback", "model_alias"):
        extra = _dearer(kind, group, known)
        return (extra, extra)
    return (money.ZERO, billed)


def _of_twins(group: pd.DataFrame, known: _Known) -> tuple[Decimal, Decimal]:
    """What the cheaper, or the dearer, of every pair cost; half of it where both are met here."""
    low = high = money.ZERO
    for place, cost in zip(group.index, group["billed_usd"], strict=True):
        other = known.costs[known.material.twins[place]]
        met = 2 if known.material.twins[place] in group.index else 1
        low, high = low + min(cost, other) / met, high + max(cost, other) / met
    return money.rounded(low, money.SCALE), money.rounded(high, money.SCALE)


def _above_usual(group: pd.DataFrame, loops: Loops) -> Decimal:
    total = money.ZERO
    names = zip(
        group["key_name"],
        group["service"],
        group["ts"].dt.floor("min"),
        group["billed_usd"],
        strict=True,
    )
    for key, service, minute, cost in names:
        total += cost * (1 - Decimal(repr(loops[key, service, minute][0])))
    return money.rounded(total, money.SCALE)


def _dearer(kind: str, group: pd.DataFrame, known: _Known) -> Decimal | None:
    """What the answering model cost above the one asked first; None where a price is unknown."""
    material, weights, total = known.material, known.weights, money.ZERO
    for attempt in each(group):
        if attempt.billed_at < 0:
            continue
        row = material.row(int(attempt.billed_at))
        asked, answered = _asked(kind, attempt, material), _answered(kind, attempt)
        ratio = _ratio(row, weights.get(asked or ""), weights.get(answered or ""))
        if ratio is None:
            return None
        total += attempt.billed_usd * (1 - ratio)
    return money.rounded(total, money.SCALE)


def _asked(kind: str, attempt: Any, material: Material) -> str | None:
    """The model whose price was expected: the one asked, or the first that the call tried."""
    if kind == "model_alias":
        return str(attempt.model)
    first = next(iter(material.call(attempt.call_id)), None)
    return None if first is None else str(first.model)


def _answered(kind: str, attempt: Any) -> str:
    return str(attempt.response_model if kind == "model_alias" else attempt.model)


def _ratio(
    row: Any, asked: Mapping[str, float] | None, answered: Mapping[str, float] | None
) -> Decimal | None:
    """Price of the tokens of a row at one model's prices over those at another's."""
    if asked is None or answered is None:
        return None
    tokens = {
        kind: 0.0 if pd.isna(value := getattr(row, kind)) else float(value)
        for kind in bridge.WEIGHTS
    }
    costs = [
        sum(count * price.get(kind, 0.0) for kind, count in tokens.items())
        for price in (asked, answered)
    ]
    return Decimal(repr(costs[0] / costs[1])) if costs[1] > 0 else Decimal(1)


# Usage rows that no log explains ------------------------------------------------------------------


def _unlogged(material: Material, paired: Paired, logs: pd.DataFrame | None) -> pd.DataFrame:
    """The usage rows of logged keys that no attempt goes with, each with its kind."""
    frame = material.rows
    joined = frame.index.isin(paired.rows)
    owner = pd.Series(list(zip(frame["account"], frame["key_name"], strict=True)), frame.index)
    mine = frame[~joined & owner.isin(owner[joined]) & covered(frame, logs)]
    made = mine.copy()
    strange = pd.Series(data=False, index=mine.index)
    for name in ("ip_address", "user_agent"):
        pairs = pd.Series(list(zip(owner, frame[name], strict=True)), frame.index)
        strange |= mine[name].notna() & ~pairs[mine.index].isin(pairs[joined])
    own = ~strange & given_up(mine, material, paired.skew_s)
    made["kind"] = np.select([strange, own], ["unlogged_use", "client_timeout"], "not_explained")
    return made


def _lines_of_rows(rows: pd.DataFrame) -> list[Any]:
    lines = []
    for (kind, key, model), group in rows.groupby(
        ["kind", "key_name", "model"], dropna=False, sort=True
    ):
        billed = money.total(group["cost_usd"])
        low = money.ZERO if kind == "not_explained" else billed
        lines.append(
            (
                kind,
                *_names(key, None, model),
                0,
                len(group),
                billed,
                low,
                billed,
                group["ts"].min(),
                group["ts"].max(),
                KINDS[str(kind)],
            )
        )
    return lines
