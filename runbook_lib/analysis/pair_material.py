"""What an audit of a primary and its fallback looks at, and where each fact was read."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import Any

import pandas as pd

from runbook_lib import clock
from runbook_lib.analysis.diagnosis import none_or, rolled_up
from runbook_lib.analysis.oddities import same_model
from runbook_lib.findings import Evidence, Join
from runbook_lib.pricing import LIST, Cost, PriceList, Tokens
from runbook_lib.pricing.models import find

HOURS_BY = ("account", "key_name", "model")
"""What the roll-up of usage by hour, and by minute, is split by."""

RATES_BY = ("account", "key_name", "group_name", "model", "rate_multiplier")
"""What the roll-up of usage over the whole window is split by."""

PROBE_COLUMNS = (
    *("account", "key_name", "model", "question", "asked_at", "status", "code", "supported"),
    *("response_model", "source_file", "row_number"),
)
"""Columns of probes that the audit reads; `supported` is a flag, null where undecided."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A model and the one that stands in for it; a key that is empty is not known."""

    primary: str
    fallback: str
    primary_key: str = ""
    fallback_key: str = ""

    @property
    def title(self) -> str:
        """Both in words."""
        keys = [f" (key {key})" if key else "" for key in (self.primary_key, self.fallback_key)]
        return f"{self.primary}{keys[0]} → {self.fallback}{keys[1]}"


@dataclass(frozen=True, kw_only=True)
class PairMaterial:
    """Frames of one audit, with the columns of their tables.

    Attributes:
        pair: The models and keys.
        now: Time the audit is made for, aware UTC.
        window: Span of the usage looked at.
        keys, key_state, ledger: The optional tables, empty where nobody gave them.
        hours: Usage of both keys by hour, split by `HOURS_BY`. `minutes`: the same by minute, for
            the newest days; can be empty.
        rates: Usage of all keys over the window, split by `RATES_BY`.
        largest: Usage rows of the primary on its key, the dearest first; `largest_left_out` more
            were not loaded.
        answers: Attempts of the fallback on its key that were answered. `billed`: usage rows of
            their ids. `refusals`: attempts on the fallback's key that failed.
        spend: Usage by hour and account, all keys.
        probes: Answers of live probes in `PROBE_COLUMNS`; None where none were made.
        prices: What models cost. `cny_per_usd`: rate for caps in CNY, None where nobody gave it.
        hours_needed: How long the fallback must carry everything.
        most_ratio: How many times as dear it may be.
    """

    pair: Pair
    now: pd.Timestamp
    window: clock.Window
    keys: pd.DataFrame
    key_state: pd.DataFrame
    ledger: pd.DataFrame
    hours: pd.DataFrame
    rates: pd.DataFrame
    largest: pd.DataFrame
    answers: pd.DataFrame
    billed: pd.DataFrame
    refusals: pd.DataFrame
    spend: pd.DataFrame
    minutes: pd.DataFrame | None = None
    probes: pd.DataFrame | None = None
    prices: PriceList = field(default=LIST)
    cny_per_usd: Decimal | None = None
    largest_left_out: int = 0
    hours_needed: float = 24.0
    most_ratio: Decimal = Decimal(2)

    @cached_property
    def accounts(self) -> tuple[str | None, str | None]:
        """Accounts of both keys; None where no row names the key, or rows of several accounts."""
        return self._account(self.pair.primary_key), self._account(self.pair.fallback_key)

    def _account(self, key: str) -> str | None:
        frames = (self.keys, self.key_state, self.rates)
        found = {str(name) for frame in frames for name in of_key(frame, key)["account"].dropna()}
        return found.pop() if key and len(found) == 1 else None

    def multiplier(self, key: str) -> Decimal | None:
        """The rate multiplier of a key: its own newest, else that of another key of its group."""
        known = self.rates[self.rates["rate_multiplier"].notna()].sort_values("last_ts")
        mine = of_key(known, key)
        if mine.empty:
            group = self.group(key)[0]
            mine = known[known["group_name"] == group] if group else mine
        return None if mine.empty else mine["rate_multiplier"].iloc[-1]

    def group(self, key: str) -> tuple[str | None, list[Evidence]]:
        """The group of a key with the row that says so: of the inventory, else of usage rows."""
        held = of_key(self.keys, key).dropna(subset=["group"])
        if len(held):
            row = held.iloc[0]
            return str(row["group"]), [cited(row, "group")]
        billed = of_key(self.rates, key).dropna(subset=["group_name"]).sort_values("last_ts")
        if billed.empty:
            return None, []
        name = str(billed["group_name"].iloc[-1])
        return name, [rolled_up("usage", "group_name", name)]

    def served(self, model: str, key: str) -> pd.DataFrame:
        """Give the part of `rates` in which a key was billed for a model.

        Args:
            model: Name as asked; a dated form of it counts.
            key: Name of the key.

        Returns:
            The rows, in the columns of `rates`; none where it never was.
        """
        rows = of_key(self.rates, key)
        alike = [same_model(model, str(name)) for name in rows["model"].fillna("")]
        found: pd.DataFrame = rows[pd.Series(alike, index=rows.index, dtype=bool)]
        return found

    @cached_property
    def load(self) -> pd.DataFrame:
        """Hours in which the primary was used on its key, in the order of time."""
        rows = of_key(self.hours, self.pair.primary_key)
        mine: pd.DataFrame = rows[rows["model"] == self.pair.primary]
        return mine.sort_values("bucket", ignore_index=True)

    @cached_property
    def answering(self) -> str:
        """The model behind the fallback's name: the one answers name, where the list has no such.

        A group can map a name of its own to a model.
        """
        named = self.answers["response_model"].dropna()
        if len(named) and find(self.pair.fallback) is None:
            return str(named.iloc[0])
        return self.pair.fallback

    @cached_property
    def known_hours(self) -> float:
        """Hours that usage is known for, over all keys: whole ones, or a part of the first day."""
        times = self.spend[["first_ts", "last_ts"]].dropna()
        if times.empty:
            return 1 / 60
        first, last = times["first_ts"].min(), times["last_ts"].max()
        if last - first >= pd.Timedelta(days=1):
            return (last.floor("h") - first.floor("h")) / pd.Timedelta(hours=1) + 1
        return max((last - first).total_seconds() / 3600, 1 / 60)

    @cached_property
    def mix(self) -> pd.DataFrame:
        """Usage of the primary over the window, on its key where that is known."""
        rows = self.rates[self.rates["model"] == self.pair.primary]
        return of_key(rows, self.pair.primary_key) if self.pair.primary_key else rows

    def cost(self, tokens: Tokens, *, requests: int = 1, multiplier: Decimal = Decimal(1)) -> Cost:
        """Price tokens on the fallback: by its own name, else as the model behind it."""
        account = self.accounts[1] or ""
        found = Cost()
        for name in dict.fromkeys((self.pair.fallback, self.answering)):
            found = self.prices.cost(
                name,
                tokens,
                at=self.now.to_pydatetime(),
                requests=requests,
                multiplier=multiplier,
                account=account,
            )
            if found.usd is not None:
                break
        return found

    def state(self, key: str, question: str) -> pd.DataFrame:
        """Give the newest live answer of a key to one question.

        Args:
            key: Name of the key; empty for unknown.
            question: "usage" or "models".

        Returns:
            Rows of `key_state`, one a window; none where it was never asked.
        """
        asked = of_key(self.key_state, key)
        asked = asked[asked["question"] == question]
        if asked.empty:
            return asked
        newest = asked["asked_at"].max()
        return asked[asked["asked_at"] == newest] if not pd.isna(newest) else asked

    @cached_property
    def mixed(self) -> bool:
        """Whether several accounts lie here under one name: two ledgers, or two balances at once.

        Only the account of the fallback's key counts.
        """
        account = self.accounts[1]
        ledger = self.ledger[self.ledger["account"] == account]
        rows = ledger[["source_file", "row_number"]]
        several = ledger["source_file"].nunique() > 1 or bool(rows.duplicated().any())
        known = self.key_state[self.key_state["account"] == account].dropna(subset=["balance_usd"])
        at_once = known.groupby("asked_at")["balance_usd"].nunique()
        return several or bool((at_once > 1).any())


def of_key(frame: pd.DataFrame, key: str) -> pd.DataFrame:
    """The rows of one key; none where the key is not known.

    Args:
        frame: Any frame with `key_name`.
        key: Name of the key; empty for unknown.

    Returns:
        The rows, in the order and columns of *frame*.
    """
    found: pd.DataFrame = frame[frame["key_name"] == key] if key else frame.head(0)
    return found


def cited(row: Any, name: str, *, join: Join = Join.ID) -> Evidence:
    """Point at one field of a row of any table."""
    value = row[name]
    shown = None if value is None or pd.isna(value) else value
    if shown is not None and not isinstance(shown, str | int | float | Decimal):
        shown = str(shown)
    return Evidence(
        source=str(row["source_file"]),
        row=int(row["row_number"]),
        field=name,
        value=shown,
        join=join,
    )


def tokens_of(rows: pd.DataFrame) -> Tokens:
    """Sum the tokens of a roll-up or of usage rows.

    Args:
        rows: `input_tokens`, `output_tokens`, `cache_read_tokens`, `cache_write_tokens` and
            `cache_write_1h_tokens` (tokens; unknown adds nothing).

    Returns:
        Their sums.
    """
    names = ("input", "output", "cache_read", "cache_write", "cache_write_1h")
    sums = {
        name: int(rows[f"{name}_tokens"].dropna().sum())
        for name in names
        if f"{name}_tokens" in rows.columns
    }
    return Tokens(**sums)


def tokens_in(row: Mapping[Any, Any]) -> Tokens:
    """Read the tokens of one row; unknown counts as none."""
    names = ("input", "output", "cache_read", "cache_write", "cache_write_1h")
    counts = {name: none_or(row.get(f"{name}_tokens"), int) or 0 for name in names}
    return Tokens(**counts)


def complete(pair: Pair, rates: pd.DataFrame, moved: pd.DataFrame | None = None) -> Pair:
    """Find the keys of a pair in the data, where nobody named them.

    Args:
        pair: The models, and the keys that are known.
        rates: Usage of all keys over the window, split by `RATES_BY`.
        moved: Calls that a fallback answered, as `retries_money.fallback_calls` gives them:
            `key_name`, `model`, `fallback_key`, `fallback_model`.

    Returns:
        The pair with its keys: those of calls that really moved from one model to the other, the
        most frequent first; else the one key that was billed for a model. Where several were, the
        key stays unknown.
    """
    if moved is not None and len(moved):
        both = moved[(moved["model"] == pair.primary) & (moved["fallback_model"] == pair.fallback)]
        both = both[_as_named(both["key_name"], pair.primary_key)]
        both = both[_as_named(both["fallback_key"], pair.fallback_key)]
        seen = both.groupby(["key_name", "fallback_key"]).size().sort_values(kind="stable")
        if len(seen):
            first, second = seen.index[-1]
            return Pair(
                primary=pair.primary,
                fallback=pair.fallback,
                primary_key=str(first),
                fallback_key=str(second),
            )
    return Pair(
        primary=pair.primary,
        fallback=pair.fallback,
        primary_key=pair.primary_key or _only_key(rates, pair.primary),
        fallback_key=pair.fallback_key or _only_key(rates, pair.fallback),
    )


def pairs_of(models: Sequence[str]) -> Iterator[Pair]:
    """Pair the first model with each of the others, in order; a model is no fallback of itself."""
    for other in dict.fromkeys(models[1:]):
        if other != models[0]:
            yield Pair(primary=models[0], fallback=other)


def _as_named(values: "pd.Series[Any]", key: str) -> "pd.Series[bool]":
    return values.notna() if not key else values == key


def _only_key(rates: pd.DataFrame, model: str) -> str:
    keys = set(rates.loc[rates["model"] == model, "key_name"].dropna())
    return str(keys.pop()) if len(keys) == 1 else ""


def usd_of(amount: Any, currency: Any, cny_per_usd: Decimal | None) -> Decimal | None:
    """A cap in USD; None where its currency is unknown, or CNY without a rate."""
    value, named = none_or(amount, Decimal), none_or(currency, str)
    if value is None or not value.is_finite():
        return None
    if named == "USD":
        return value
    if named == "CNY" and cny_per_usd is not None and cny_per_usd > 0:
        return value / cny_per_usd
    return None
