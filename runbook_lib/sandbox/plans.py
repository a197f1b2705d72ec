"""Plans: what a subscription lets a group spend in a day, a week and a month.

Soft like the limits of a key: looked at before a call and charged after it. The day begins at the
server's midnight, week and month with their first use, as captured (M). A window that has just
been used up is refused by the handler first and by the door afterwards, as an empty balance is.
"""

from dataclasses import dataclass, field

from runbook_lib.sandbox import ticks

SPANS = {"daily": ticks.DAY, "weekly": 7 * ticks.DAY, "monthly": 30 * ticks.DAY}
"""Length of each window of a plan, in the order in which they are looked at."""

DOOR_LAG = ticks.MINUTE
"""How old the sums can be that the door and `GET /v1/usage` know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Limits of a group that is paid by subscription; window → units, see `prices`."""

    limits: dict[str, int]


@dataclass(slots=True, kw_only=True)
class PlanWindow:
    """What was used of one window; `start` is None before its first use."""

    name: str
    start: int | None = None
    used: int = 0

    def roll(self, at: int) -> bool:
        """Forget what was used in a window that is over; tell whether it was."""
        over = self.start is not None and at >= self.start + SPANS[self.name]
        if over:
            self.start, self.used = None, 0
        return over

    def charge(self, at: int, amount: int) -> None:
        """Count an amount."""
        self.roll(at)
        if self.start is None:
            self.start = ticks.server_midnight(at) if self.name == "daily" else at
        self.used += amount


@dataclass(slots=True, kw_only=True)
class Subscription:
    """One account's subscription of one group.

    Attributes:
        starts_at, expires_at: Ticks.
        paused: Its operator has suspended it.
        windows: One for each limit of the plan.
    """

    id: int
    plan: Plan
    starts_at: int
    expires_at: int
    paused: bool = False
    windows: list[PlanWindow] = field(default_factory=list)
    _known: dict[str, int] = field(default_factory=dict)
    _known_at: int = -ticks.FOREVER

    def __post_init__(self) -> None:
        self.windows = [PlanWindow(name=name) for name in SPANS if name in self.plan.limits]

    def used_up(self, at: int) -> str | None:
        """Name the first window that is used up, None where none is."""
        for window in self.windows:
            window.roll(at)
            if window.used >= self.plan.limits[window.name]:
                return window.name
        return None

    def charge(self, at: int, amount: int) -> None:
        """Count a billed request at its end."""
        for window in self.windows:
            window.charge(at, amount)

    def known(self, at: int) -> dict[str, int]:
        """What was used of each window, as the door knows it: up to a minute old.

        That a window is over it knows at once.
        """
        rolled = [window.roll(at) for window in self.windows]
        if any(rolled) or at - self._known_at >= DOOR_LAG:
            self._known_at = at
            self._known = {window.name: window.used for window in self.windows}
        return self._known

    def used_up_at_door(self, at: int) -> str | None:
        """Name the first window that the door knows to be used up."""
        known = self.known(at)
        return next((name for name in known if known[name] >= self.plan.limits[name]), None)
