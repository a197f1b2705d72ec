"""Everything reckoned for one sizing, handed on as one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from runbook_lib.analysis.caps.backtest import Tried
from runbook_lib.analysis.caps.grid import Held
from runbook_lib.analysis.caps.material import CapMaterial
from runbook_lib.analysis.caps.month import MonthEnd
from runbook_lib.analysis.caps.sized import Sized
from runbook_lib.analysis.caps.standing import Balance, Standing


@dataclass(frozen=True, slots=True, kw_only=True)
class Worked:
    """What was reckoned.

    Attributes:
        material: What was given; held: its spend by key and day.
        keys: Every key with its caps; caps: what is set; known: environment of each key.
        balance: Balances by account.
        table: Caps against budget and balance, as `tiers.whole` gives it.
        times: What ends when, as `clocks.clocks` gives it.
        tests: Back-tests by horizon.
        end: How the month ends.
    """

    material: CapMaterial
    held: Held = field(repr=False)
    keys: Sequence[Sized] = field(repr=False)
    caps: Sequence[Standing] = field(repr=False)
    known: Mapping[str, str] = field(repr=False)
    balance: Sequence[Balance]
    table: pd.DataFrame = field(repr=False)
    times: pd.DataFrame = field(repr=False)
    tests: Sequence[Tried] = field(repr=False)
    end: MonthEnd
