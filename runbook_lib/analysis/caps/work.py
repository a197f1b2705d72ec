"""Everything reckoned for one sizing, handed on as one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from runbook_lib.analysis.caps.backtest import Tried
from runbook_lib.analysis.caps.balance import Balance
from runbook_lib.analysis.caps.clocks import Limit
from runbook_lib.analysis.caps.grid import Held
from runbook_lib.analysis.caps.inflight import UnderWay
from runbook_lib.analysis.caps.material import CapMaterial
from runbook_lib.analysis.caps.month import MonthEnd
from runbook_lib.analysis.caps.refs import Ref
from runbook_lib.analysis.caps.sized import Sized
from runbook_lib.analysis.caps.standing import Standing
from runbook_lib.analysis.caps.typed import Typed


@dataclass(frozen=True, slots=True, kw_only=True)
class Worked:
    """What was reckoned.

    Attributes:
        material: What was given; held: its spend by key and day.
        keys: Every key with its caps; caps: what is set.
        balance: Balances by account.
        typed: What to type, by key and window.
        limits: Every limit of which is known what is left.
        table: Caps against budget and balance, as `tiers.whole` gives it.
        times: What ends when, as `clocks.timed` gives it.
        effects: What caps do, as `effect.effect_table` gives it.
        events: What plans need, as `events.events_table` gives it.
        flying: Calls under way at once, by key.
        tests: The back-test.
        end: How the month ends.
    """

    material: CapMaterial
    held: Held = field(repr=False)
    keys: Sequence[Sized] = field(repr=False)
    caps: Sequence[Standing] = field(repr=False)
    balance: Sequence[Balance]
    typed: Mapping[tuple[Ref, str], Typed] = field(repr=False)
    limits: Sequence[Limit] = field(repr=False)
    table: pd.DataFrame = field(repr=False)
    times: Sequence[tuple[dict[str, Any], Limit]] = field(repr=False)
    effects: pd.DataFrame = field(repr=False)
    events: pd.DataFrame = field(repr=False)
    flying: Sequence[UnderWay] = field(repr=False)
    tests: Tried = field(repr=False)
    end: MonthEnd

    @property
    def live(self) -> list[Sized]:
        """The keys that have not ended."""
        return [one for one in self.keys if not one.ended]

    @property
    def standing(self) -> list[Standing]:
        """What is set for them."""
        live = {one.ref for one in self.live}
        return [cap for cap in self.caps if cap.ref in live]
