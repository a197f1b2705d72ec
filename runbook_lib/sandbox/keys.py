"""Accounts, their keys, and every limit that can stop a key.

Caps and windows are soft (contract §1, M): they are looked at before a call and charged after it,
so calls under way overshoot them. Amounts are units (see `prices`), times are ticks.
"""

import heapq
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from runbook_lib.sandbox import ticks
from runbook_lib.sandbox.channels import Group, PerMinute
from runbook_lib.sandbox.plans import Subscription
from runbook_lib.sandbox.prices import Cost, Tokens

SPANS = {"5h": 5 * ticks.HOUR, "1d": ticks.DAY, "7d": 7 * ticks.DAY}
"""Length of each window of a key, in the order in which they are looked at."""

REPORT_LAG = 5 * ticks.MINUTE
"""How old `quota.used` of `GET /v1/usage` can be (contract §7, M)."""

DOOR_LAG = ticks.MINUTE
"""How old the balance can be that the door looks at.

A balance that has just crossed zero is refused by the handler first and by the door afterwards;
that makes the two forms of one cause follow each other (contract §3.2, M).
"""

SLOT_WAIT = 30 * ticks.SECOND
"""How long a request waits for one of the account's slots (contract §3.2, M)."""

QUEUE = 16
"""Requests that may wait for a slot; one more is refused at once."""


@dataclass(slots=True, kw_only=True)
class SpendWindow:
    """A limit in USD within a span of time; `start` is None until the first charge in it."""

    name: str
    limit: int
    start: int | None = None
    used: int = 0

    def roll(self, at: int) -> None:
        """Forget what was used in a window that is over."""
        if self.start is not None and at >= self.start + SPANS[self.name]:
            self.start, self.used = None, 0

    def charge(self, at: int, amount: int) -> None:
        """Count an amount; 5 h begins with the first charge, days at the server's midnight (M)."""
        self.roll(at)
        if self.start is None:
            self.start = at if self.name == "5h" else ticks.server_midnight(at)
        self.used += amount

    @property
    def reset_at(self) -> int | None:
        """When it rolls over; None while nothing was charged."""
        return None if self.start is None else self.start + SPANS[self.name]


@dataclass(slots=True, kw_only=True)
class Account:
    """One prepaid balance, the limits of its owner, and the owner's masked address.

    Attributes:
        subscriptions: Id of a group with a plan → the subscription of it.
        since: Tick at which it was made.
    """

    id: int
    name: str
    email: str
    balance: int
    active: bool = True
    per_minute: PerMinute = field(default_factory=PerMinute)
    concurrency: int = 0
    door_balance: int = 0
    door_at: int = -ticks.FOREVER
    slots: list[int] = field(default_factory=list)
    waiting: list[int] = field(default_factory=list)
    ledger: list[tuple[int, str, int, int]] = field(default_factory=list)
    subscriptions: dict[int, Subscription] = field(default_factory=dict)
    since: int = 0

    def funds_at_door(self, at: int) -> int:
        """The balance as the door knows it: up to a minute old."""
        if at - self.door_at >= DOOR_LAG:
            self.door_at, self.door_balance = at, self.balance
        return self.door_balance

    def credit(self, at: int, kind: str, amount: int) -> None:
        """Add a top-up, or note a reading, in the ledger; the door knows of it at once."""
        self.balance += amount
        self.door_at = -ticks.FOREVER
        self.ledger.append((at, kind, amount, self.balance))

    def begin(self, at: int) -> int | None:
        """Give the tick at which one of the slots is free; None when the queue is full.

        With *concurrency* 0 there is no limit. A tick more than `SLOT_WAIT` away is a refusal.
        """
        if not self.concurrency or len(self.slots) < self.concurrency:
            return at
        while self.waiting and self.waiting[0] <= at:
            heapq.heappop(self.waiting)
        free = max(at, self.slots[0])
        if free > at and len(self.waiting) >= QUEUE:
            return None
        if free > at:
            heapq.heappush(self.waiting, min(free, at + SLOT_WAIT))
        return free

    def occupy(self, end: int) -> None:
        """Hold a slot until *end*; called once `begin` has given a tick."""
        if not self.concurrency:
            return
        if len(self.slots) < self.concurrency:
            heapq.heappush(self.slots, end)
        else:
            heapq.heapreplace(self.slots, end)


@dataclass(slots=True, kw_only=True)
class Key:
    """One key: whose it is, what it may do, and what it has spent.

    Attributes:
        cap: Spending cap over its whole life; None for none.
        used: Billed so far, which the cap looks at.
        networks: Addresses that may use it; empty for all.
        days: Sums by (day in the server's zone, model): requests, tokens, original, billed, ticks.
        changed_at: Tick of the last act on it; None for none.
        last_used_at, last_used_ip: When and whence it was last let in.
    """

    id: int
    name: str
    secret: str
    account: Account
    group: Group | None
    created_at: int
    cap: int | None = None
    windows: list[SpendWindow] = field(default_factory=list)
    networks: list[IPv4Network | IPv6Network] = field(default_factory=list)
    models: frozenset[str] = frozenset()
    expires_at: int | None = None
    disabled: bool = False
    deleted_at: int | None = None
    changed_at: int | None = None
    last_used_at: int | None = None
    last_used_ip: str = ""
    used: int = 0
    reported: int = 0
    reported_at: int = -ticks.FOREVER
    days: dict[tuple[int, str], list[int]] = field(default_factory=dict)
    _seen: dict[str, bool] = field(default_factory=dict)

    @property
    def subscription(self) -> Subscription | None:
        """What pays for it where its group has a plan; None where the balance does or nobody."""
        return None if self.group is None else self.account.subscriptions.get(self.group.id)

    def allow(self, networks: list[str]) -> None:
        """Set the addresses that may use it, as CIDRs or single addresses.

        Raises:
            ValueError: one is no address or network.
        """
        self.networks = [ip_network(text) for text in networks]
        self._seen.clear()

    def admits(self, address: str) -> bool:
        """Tell whether an address may use it; what is no address may not."""
        if not self.networks:
            return True
        seen = self._seen.get(address)
        if seen is None:
            seen = self._seen[address] = _within(address, self.networks)
        return seen

    def used_up(self, at: int) -> str | None:
        """Name the first window that is used up, None where none is."""
        for window in self.windows:
            window.roll(at)
            if window.used >= window.limit:
                return window.name
        return None

    def charge(self, at: int, model: str, tokens: Tokens, cost: Cost, duration: int) -> None:
        """Count a billed request at its end."""
        billed = cost.billed
        if at - self.reported_at >= REPORT_LAG:
            self.reported, self.reported_at = self.used, at
        self.used += billed
        for window in self.windows:
            window.charge(at, billed)
        place = (ticks.server_midnight(at), model)
        sums = self.days.get(place)
        if sums is None:
            sums = self.days[place] = [0] * 8
        for index, value in enumerate((1, *tokens, cost.original, billed, duration)):
            sums[index] += value

    def reported_use(self, at: int) -> int:
        """What `quota.used` says: up to five minutes old."""
        if at - self.reported_at >= REPORT_LAG:
            self.reported, self.reported_at = self.used, at
        return self.reported


def _within(address: str, networks: list[IPv4Network | IPv6Network]) -> bool:
    try:
        place = ip_address(address)
    except ValueError:
        return False
    return any(place in network for network in networks)
