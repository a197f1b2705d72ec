"""What a drill-down is made of: the answers of the store, and what was asked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from zoneinfo import ZoneInfo

import pandas as pd

from runbook_lib import clock
from runbook_lib.analysis.caps import MonthEnd
from runbook_lib.analysis.lost import Lost
from runbook_lib.analysis.material import Material
from runbook_lib.analysis.priced import Weights
from runbook_lib.analysis.spikes import Spikes
from runbook_lib.clock import Window
from runbook_lib.pricing import PriceList


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What the store answered for one drill-down.

    Attributes:
        window: The span asked; before: the one it is compared with, None for none; span: that of
            all usage rows.
        by: What it is split by; top: names shown; key_name, model: filters, empty for none.
        rolled, earlier: Usage of either window by hour, `account`, `key_name`, `model`, `endpoint`.
        hours: Usage of all keys by hour, far enough back to know what is usual.
        past: The roll-up in which spikes were looked for, with `endpoint`.
        spikes: What was found in it; news: what is new on a key, as `first_seen` gives it.
        check: Billed against prices by model, as `priced.settled` gives it; suspects: the dearest
            rows of the models that sums leave open.
        bands: Measure → requests by bands of it, as `Store.spread` gives them.
        rows: The dearest rows; left_out, left_out_usd: the others.
        exports, repeated: Files of usage rows, and rows that stand twice in one, as the store gives
            them.
        sides: Usage against logs by key, as `reconcile_by` gives it; empty, and not used, where
            there is *material*.
        material: Attempts and rows of the window; None where there is no log, or too much.
        logs: All attempts held, by `key_name`, with `first_ts` and `last_ts`.
        strip: Hours of the key with the dearest spike, with its band; empty for none.
        keys, ledger: The optional tables.
        month: How the month of `now` ends, over all keys; None where a filter is set.
        notes: What could not be looked at.
    """

    window: Window
    span: Window
    before: Window | None
    now: datetime
    by: str
    top: int
    key_name: str
    model: str
    rolled: pd.DataFrame
    earlier: pd.DataFrame
    hours: pd.DataFrame
    past: pd.DataFrame
    spikes: Spikes
    news: pd.DataFrame
    check: pd.DataFrame
    suspects: pd.DataFrame
    bands: Mapping[str, pd.DataFrame]
    exports: pd.DataFrame
    repeated: pd.DataFrame
    rows: pd.DataFrame
    left_out: int
    left_out_usd: Decimal | None
    sides: pd.DataFrame
    material: Material | None
    logs: pd.DataFrame
    strip: pd.DataFrame
    keys: pd.DataFrame
    ledger: pd.DataFrame
    month: MonthEnd | None
    prices: PriceList
    timezone: str = "UTC"
    notes: Sequence[str] = field(default=())

    @property
    def equals(self) -> dict[str, str]:
        """The filters that are set: column → name."""
        given = (("key_name", self.key_name), ("model", self.model))
        return {column: name for column, name in given if name}

    @property
    def logged(self) -> bool:
        """Whether some call log covers a part of the window."""
        first, last = self.logs["first_ts"], self.logs["last_ts"]
        return bool(((first < self.window.end) & (last >= self.window.start)).any())

    @property
    def known(self) -> bool:
        """Whether usage rows are held from about the time that is asked."""
        return self.window.meets(self.span)

    @property
    def filtered(self) -> bool:
        """Whether less than all spend is looked at."""
        return bool(self.equals)

    def mine(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Keep what the filters mean.

        Args:
            frame: Any frame with `key_name` and `model`.

        Returns:
            Its rows that have the key and the model asked for.
        """
        for column, name in self.equals.items():
            frame = frame[frame[column] == name]
        return frame

    @cached_property
    def place(self) -> ZoneInfo:
        """The zone in which people are told times."""
        return clock.zone(self.timezone)


@dataclass(frozen=True, kw_only=True)
class Worked:
    """What was reckoned of it, once, for findings and exhibits.

    Attributes:
        weights: Prices of models, as `priced.weights` gives them.
        split: The bridge by key. odd_rows: rows billed otherwise than tokens × price.
        losses: Money that bought nothing, None where there is no log.
        sides: Usage against logs, as `sides.bounded` gives it.
        raised: Spikes that are told; causes: what is behind each.
        steps: Steps of the balance; gaps: spans the exports lack, with the rows usual in each.
        files: Exports, as `exports.seen` gives them.
    """

    weights: Weights
    split: pd.DataFrame
    odd_rows: pd.DataFrame
    losses: Lost | None
    sides: pd.DataFrame
    raised: pd.DataFrame
    causes: pd.DataFrame
    steps: pd.DataFrame
    gaps: Sequence[tuple[Window, float]]
    files: pd.DataFrame
