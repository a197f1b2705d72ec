"""The attempts of a recorded log, each beside the one before it in its call, and what both meant.

Everything is done on whole columns, so that a hundred thousand attempts take seconds. What an
answer meant is decided by `classify_logged` alone; a code that nobody read is borrowed from the
nearest refusal with the same key and status, as in triage.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import Any

import pandas as pd

from runbook_lib.analysis.diagnosis import none_or
from runbook_lib.analysis.material import Material
from runbook_lib.classifier import Classification, classify_logged
from runbook_lib.clock import Window
from runbook_lib.pricing import LIST, PriceList

USAGE_BY = ("account", "key_name", "rate_multiplier")
"""What the roll-up of usage is split by that gives the rate multiplier of each key."""

DAYS_BY = ("account", "key_name", "service", "model", "response_model", "outcome", "attempt")
"""What the roll-up of calls by day is split by: the totals that shares are taken of."""

BEFORE = {
    "outcome": "outcome",
    "status": "status",
    "code_read": "code",
    "borrowed": "borrowed",
    "model": "model",
    "key_name": "key",
    "cause": "cause",
    "retry_rule": "rule",
    "domain": "domain",
    "sure": "sure",
    "retry_after_s": "asked_s",
    "end": "end",
    "timed": "timed",
    "stream": "stream",
    "error_type": "error",
    "source_file": "file",
    "row_number": "row",
}
"""Columns of the attempt before that stand beside an attempt, as `before_…`."""

_JUDGED_BY = [
    *("status", "code_read", "error_type", "stream_end", "content_type", "retry_after_s"),
    "path",
]


@dataclass(frozen=True, kw_only=True)
class Logged:
    """A recorded log, as the store answers for it.

    Attributes:
        calls: All attempts of every call in which something failed, was given up or was sent
            again, in the columns of `calls`.
        days: Attempts of the whole window by local day, split by `DAYS_BY`.
        usage: Usage rows that can belong to these attempts: by their ids, and those of the same
            keys at the time of attempts that got no answer. `logged_ids`: which of the rows' ids
            some log holds.
        rates: Usage of the whole window, split by `USAGE_BY`.
        prices: Prices for what has no usage row, and for what the first model would have cost.
        window: The window looked at, aware UTC. `timezone`: IANA zone of the days.
        left_out: Failed attempts of the window that were not loaded.
    """

    calls: pd.DataFrame
    days: pd.DataFrame
    usage: pd.DataFrame
    rates: pd.DataFrame
    window: Window
    logged_ids: frozenset[str] = frozenset()
    prices: PriceList = field(default=LIST)
    timezone: str = "UTC"
    left_out: int = 0

    @cached_property
    def material(self) -> Material:
        """The same frames in the form triage prepares: clocks, starts, borrowed codes, ids."""
        nothing = pd.DataFrame(columns=["key_name", "group"], dtype=object)
        return Material(
            calls=self.calls,
            usage=self.usage,
            minutes=nothing,
            later=nothing,
            keys=nothing,
            audit=nothing,
            refusals=nothing,
            key_state=nothing,
            window=self.window,
        )

    @cached_property
    def attempts(self) -> pd.DataFrame:
        """The attempts in the order of their calls.

        Adds to the columns of `Material.attempts`: `call` (of account and call id; its own where
        the log names none), `named` (the log names its call), `place` (from 0) and `size` in the
        call, `on_model` (attempts of the call on this model so far, this one counted), `day`
        (local), `cause`, `retry_rule`, `domain`, `sure` (one cause is left), `wait_s` (since the
        end of the one before, NaN where unknown), `same` (model and key are those of the one
        before), and of the one before `before_…` (see `BEFORE`).
        """
        frame = judged(self.material.attempts)
        frame = _in_calls(frame)
        frame["day"] = frame["ts"].dt.tz_convert(self.timezone).dt.strftime("%Y-%m-%d")
        return _beside_the_one_before(frame)

    @cached_property
    def called(self) -> int:
        """Calls of the whole window."""
        return int(self.first_attempts["attempts"].sum())

    @property
    def first_attempts(self) -> pd.DataFrame:
        """The part of `days` that counts calls: their first attempts."""
        number = self.days["attempt"].astype("Int64")
        first: pd.DataFrame = self.days[number.isna() | (number <= 1)]
        return first

    @cached_property
    def multipliers(self) -> Mapping[tuple[str, str], Decimal]:
        """Account and key → the rate multiplier most of its usage rows were billed with."""
        known = self.rates[self.rates["key_name"].notna() & self.rates["rate_multiplier"].notna()]
        found: dict[tuple[str, str], Decimal] = {}
        for row in known.sort_values("requests", kind="stable").to_dict("records"):
            found[str(row["account"]), str(row["key_name"])] = row["rate_multiplier"]
        return found


def judged(frame: pd.DataFrame) -> pd.DataFrame:
    """Say what each attempt meant; equal ones are judged once.

    Args:
        frame: Attempts in the columns of `Material.attempts`.

    Returns:
        The frame with `cause`, `retry_rule` (never, window, after, backoff, or None), `domain`
        (None where undecided), `sure` (one cause is left and the status is known).

    Source: contract §3.
    """
    keys = list(zip(*(frame[name].array for name in _JUDGED_BY), strict=True))
    shown = [tuple(map(str, key)) for key in keys]
    known: dict[tuple[str, ...], Classification] = {}
    for text, key in zip(shown, keys, strict=True):
        if text not in known:
            known[text] = _classified(key)
    found = [known[text] for text in shown]
    made = frame.copy()
    made["cause"] = pd.Series([one.cause for one in found], index=frame.index, dtype=object)
    made["retry_rule"] = pd.Series(
        [one.retry and str(one.retry) for one in found], index=frame.index, dtype=object
    )
    made["domain"] = pd.Series(
        [one.domain and str(one.domain) for one in found], index=frame.index, dtype=object
    )
    made["sure"] = pd.Series(
        [one.known and len(one.candidates) == 1 for one in found], index=frame.index, dtype=bool
    )
    return made


def _classified(key: tuple[Any, ...]) -> Classification:
    status, code, error_type, stream_end, content_type, retry_after_s, path = key
    return classify_logged(
        none_or(status, int),
        none_or(code, str),
        error_type=none_or(error_type, str),
        stream_end=none_or(stream_end, str),
        content_type=none_or(content_type, str),
        retry_after_s=none_or(retry_after_s, float),
        path=none_or(path, str),
    )


def _in_calls(frame: pd.DataFrame) -> pd.DataFrame:
    """Put the attempts of each call together, in order."""
    named = frame["call_id"].notna()
    own = "#" + frame["source_file"] + ":" + frame["row_number"].astype(str)
    made = frame.assign(
        named=named,
        call=frame["account"] + "\n" + frame["call_id"].where(named, own).astype(object),
        number=frame["attempt"].astype("Float64").fillna(0).astype(float),
        timed=frame["duration_ms"].notna(),
    )
    made = made.sort_values(["call", "number", "start"], kind="stable", ignore_index=True)
    calls = made.groupby("call", sort=False)
    made["place"], made["size"] = calls.cumcount(), calls["start"].transform("size")
    made["on_model"] = made.groupby(["call", "model"], sort=False, dropna=False).cumcount() + 1
    return made.drop(columns="number")


def _beside_the_one_before(frame: pd.DataFrame) -> pd.DataFrame:
    calls = frame.groupby("call", sort=False)
    made = frame.copy()
    for name, short in BEFORE.items():
        made[f"before_{short}"] = calls[name].shift(1)
    later = made["place"] > 0
    same = [made[a].fillna("") == made[f"before_{b}"].fillna("") for a, b in _SAME]
    made["same"] = later & same[0] & same[1]
    timed = later & made["before_timed"].fillna(value=False).astype(bool)
    made["wait_s"] = (made["start"] - made["before_end"].astype(float)).where(timed)
    return made


_SAME = (("model", "model"), ("key_name", "key"))
