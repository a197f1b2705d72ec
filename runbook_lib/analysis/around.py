"""What is around a failure: who else was hit, since when, and whether it goes on.

Everything here works on the roll-up by minute, so that hours of heavy traffic stay a small frame.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from runbook_lib.analysis.diagnosis import Diagnosis, none_or
from runbook_lib.analysis.material import FAILED, Material, each
from runbook_lib.contract import CAUSES

QUIET = pd.Timedelta(minutes=30)
"""Failures further apart than this are two spells, not one."""

BRIEF = pd.Timedelta(minutes=3)
"""The same for trouble behind the gateway: two of them can follow each other closely."""

LULL = pd.Timedelta(minutes=90)
"""Beyond the window failures are counted by hour; further apart than this they are two spells."""

FRESH = pd.Timedelta(minutes=5)
"""A spell whose last failure lies this close to the end of the data has not been seen to end."""

UPSTREAM_CAUSES = frozenset(
    {
        "upstream_outage",
        "upstream_failed",
        "upstream_rate_limited",
        "channel_cooldown",
        "no_channel_available",
        "upstream_overloaded",
        "gateway_internal",
    }
)
"""Causes behind the gateway: their failures show under several statuses."""


LIMITED_CAUSES = frozenset({"upstream_rate_limited", "channel_cooldown"})
"""Those of them that show as a 429 too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spell:
    """One spell of the same failure.

    Attributes:
        kin: Minutes of the roll-up that fail the same way (`bucket`, key, model, `attempts` …).
        onset, last: First and last of these failures.
        recovered: First success in the same scope after the last failure; None when none.
        goes_on: True when it was not seen to end, False when it was, None when nothing can tell.
        attempts, calls_hit: Failed attempts, and keys hit.
    """

    kin: pd.DataFrame
    onset: pd.Timestamp
    last: pd.Timestamp
    recovered: pd.Timestamp | None
    goes_on: bool | None
    attempts: int
    keys: Sequence[str]


def spell(attempt: Any, found: Diagnosis, material: Material) -> Spell | None:
    """Find the spell of the same failure around an attempt.

    Args:
        attempt: A row of `material.attempts`.
        found: Its diagnosis.
        material: Holds the roll-up by minute.

    Returns:
        The spell, None when the window holds no failure of this kind.
    """
    minutes = material.minutes
    kin = minutes[_kin(attempt, found, minutes)].sort_values("bucket")
    kin = _same_spell(kin, attempt.ts, BRIEF if found.cause in UPSTREAM_CAUSES else QUIET)
    if kin.empty:
        return None
    last = _last(attempt, found, kin, material)
    recovered = _recovered(attempt, found, kin, last, material)
    return Spell(
        kin=kin,
        onset=kin["first_ts"].min(),
        last=last,
        recovered=recovered,
        goes_on=_goes_on(last, recovered, material),
        attempts=int(kin["attempts"].sum()),
        keys=tuple(sorted(kin["key_name"].dropna().unique())),
    )


def _last(attempt: Any, found: Diagnosis, kin: pd.DataFrame, material: Material) -> pd.Timestamp:
    """The last failure of the spell, also beyond the window."""
    last = kin["last_ts"].max()
    beyond = material.later
    for row in each(beyond[_kin(attempt, found, beyond)].sort_values("first_ts")):
        if row.first_ts - last > LULL:
            break
        last = max(last, row.last_ts)
    return last


def _recovered(
    attempt: Any, found: Diagnosis, kin: pd.DataFrame, last: pd.Timestamp, material: Material
) -> pd.Timestamp | None:
    """The first success in the scope of the failure after its last one, to the bucket."""
    for frame in (material.minutes, material.later):
        scope = frame[_scope(attempt, found, kin, frame)]
        after = scope[(scope["outcome"] == "ok") & (scope["last_ts"] > last)]
        if len(after):
            return max(after["first_ts"].min(), last)
    return None


def _goes_on(last: pd.Timestamp, recovered: Any, material: Material) -> bool | None:
    if recovered is not None and not pd.isna(recovered):
        return False
    if material.data_end is None:
        return None
    return True if material.data_end - last <= FRESH else None


def _kin(attempt: Any, found: Diagnosis, minutes: pd.DataFrame) -> "pd.Series":
    failed = minutes["outcome"].isin(FAILED)
    if found.cause in UPSTREAM_CAUSES:
        status = minutes["status"].fillna(0)
        ours = found.cause in LIMITED_CAUSES
        limited = (status == 429) & ours & minutes["code"].fillna("").isin(["rate_limit_error", ""])
        beyond = ((status >= 500) | limited) & failed
        shared = found.cause == "gateway_internal"
        return beyond & (shared | minutes["provider"].eq(attempt.provider)).fillna(value=False)
    if attempt.outcome != "refused":
        same = minutes["outcome"] == attempt.outcome
        ends = none_or(attempt.stream_end, str)
        return same if ends is None else same & minutes["stream_end"].notna()
    same = failed & (minutes["status"] == attempt.status).fillna(value=False)
    code = none_or(attempt.code_read, str)
    own = minutes["key_name"] == attempt.key_name
    unread = minutes["code"].isna() & own
    return same & ((minutes["code"] == code) | unread if code else minutes["code"].isna())


def _same_spell(kin: pd.DataFrame, at: pd.Timestamp, quiet: pd.Timedelta) -> pd.DataFrame:
    if kin.empty:
        return kin
    breaks = kin["first_ts"].diff() > quiet
    number = breaks.cumsum()
    here = kin["bucket"] <= at
    wanted = number[here].max() if here.any() else number.iloc[0]
    return kin[number == wanted]


def _scope(attempt: Any, found: Diagnosis, kin: pd.DataFrame, minutes: pd.DataFrame) -> "pd.Series":
    hit = minutes["key_name"].isin(kin["key_name"].unique())
    if found.domain == "caller":
        same = minutes["model"].eq(attempt.model) & minutes["service"].eq(attempt.service)
        return hit & same.fillna(value=False)
    if found.cause in UPSTREAM_CAUSES:
        return minutes["provider"].eq(attempt.provider).fillna(value=False)
    return hit


def by_minute(attempt: Any, around: Spell, material: Material, *, most: int = 240) -> pd.DataFrame:
    """Count attempts per minute around the request, in the scope of its key and of its failure.

    Returns:
        One row per minute that holds attempts: `minute` (UTC), `same` (failed the same way),
        `failed` (all failures), `ok`; at most *most* of them, the nearest.
    """
    minutes = material.minutes
    keys = set(around.keys) | {attempt.key_name}
    here = minutes[minutes["key_name"].isin(keys)]
    table = (
        pd.DataFrame(
            {
                "same": _sum(around.kin),
                "failed": _sum(here[here["outcome"].isin(FAILED)]),
                "ok": _sum(here[here["outcome"] == "ok"]),
            }
        )
        .fillna(0)
        .astype("int64")
        .rename_axis("minute")
        .reset_index()
    )
    distance = (table["minute"] - attempt.ts).abs()
    nearest = table.loc[distance.nsmallest(most).index]
    return nearest.sort_values("minute", ignore_index=True)


def _sum(frame: pd.DataFrame) -> "pd.Series":
    return frame.groupby("bucket")["attempts"].sum()


def blast_radius(around: Spell, material: Material) -> pd.DataFrame:
    """Who else was hit: the same failure by code × key × model, with its share of the attempts.

    Args:
        around: The spell.
        material: Holds the roll-up by minute, and single attempts.

    Returns:
        One row per code, key, service and model, most failures first: `failed`, `attempts` (all
        outcomes from the first of these failures to the last), `share`, `first`, `last` (UTC).
    """
    by = ["key_name", "service", "model"]
    kin = around.kin
    columns = ["status", "code", *by, "failed", "attempts", "share", "first", "last"]
    if kin.empty:
        return pd.DataFrame(columns=columns)
    hit = kin.groupby(["status", "code", *by], dropna=False, as_index=False).agg(
        failed=("attempts", "sum"), first=("first_ts", "min"), last=("last_ts", "max")
    )
    whole = _attempts_from_to(kin["first_ts"].min(), kin["last_ts"].max(), by, material)
    table = hit.merge(whole, on=by, how="left")
    table["share"] = (table["failed"] / table["attempts"]).round(4)
    order = ["failed", "key_name", "model"]
    return table.sort_values(order, ascending=[False, True, True], ignore_index=True)[columns]


def _attempts_from_to(
    first: pd.Timestamp, last: pd.Timestamp, by: list[str], material: Material
) -> pd.DataFrame:
    """Count the attempts between two instants, both counted in, and not those of whole minutes.

    The minutes at both ends are counted from single attempts. Where these were not loaded, what
    the roll-up says of the first and last attempt of each group decides; a group that lies on both
    sides of an end is counted whole.
    """
    minutes = material.minutes
    ends = {first.floor("min"), last.floor("min")}
    inner = minutes["bucket"].between(min(ends), max(ends)) & ~minutes["bucket"].isin(ends)
    parts = [minutes.loc[inner, [*by, "attempts"]]]
    singles = material.attempts
    for bucket in sorted(ends):
        if material.holds_all(bucket, bucket + pd.Timedelta(minutes=1)):
            edge = singles[(singles["ts"].dt.floor("min") == bucket)].assign(attempts=1)
            edge = edge[edge["ts"].between(first, last)]
        else:
            edge = minutes[minutes["bucket"] == bucket]
            edge = edge[(edge["last_ts"] >= first) & (edge["first_ts"] <= last)]
        parts.append(edge[[*by, "attempts"]])
    both: pd.DataFrame = pd.concat(parts)
    summed: pd.DataFrame = both.groupby(by, dropna=False, as_index=False)[["attempts"]].sum()
    return summed


def blast_by_minute(around: Spell, material: Material) -> pd.DataFrame:
    """Count the same failure by minute × code × key × model.

    Args:
        around: The spell.
        material: Holds the roll-up by minute.

    Returns:
        A row per minute, code, key and model that failed: `minute` (UTC), `key_name`, `model`,
        `code`, `failed`, `attempts` (all outcomes of that key and model), `share`.
    """
    by = ["bucket", "key_name", "model"]
    same = around.kin.groupby([*by, "code"], dropna=False)["attempts"].sum()
    kin = same.rename("failed").reset_index()
    whole = material.minutes.groupby(by, dropna=False, as_index=False)["attempts"].sum()
    table = kin.merge(whole, on=by, how="left").rename(columns={"bucket": "minute"})
    table["share"] = (table["failed"] / table["attempts"]).round(4)
    return table.sort_values(["minute", "key_name", "model"], ignore_index=True)


def label(cause: str) -> str:
    """The cause in plain words, to stand inside a sentence."""
    meaning = CAUSES[cause].meaning if cause in CAUSES else cause.replace("_", " ")
    return meaning[:1].lower() + meaning[1:].rstrip(".")
