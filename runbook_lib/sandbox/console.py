"""Acts of people on the gateway: keys, caps, money, channels; each leaves a row in the audit table.

What happens to an upstream by itself is no act: `Channel.turn` changes it without a trace.
"""

import json
from dataclasses import dataclass
from decimal import Decimal

from runbook_lib.sandbox import prices, ticks
from runbook_lib.sandbox.keys import SPANS, Account, Key, SpendWindow
from runbook_lib.sandbox.machine import Gateway

ADDRESS = "203.0.113.10"
AGENT = "Mozilla/5.0 (X11; Linux x86_64) console"


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One row of the audit table.

    Attributes:
        change: What was set, as the console was sent it; None where nothing was.
        target: Id in the path; None where there is none.
    """

    at: int
    account: Account
    action: str
    method: str
    path: str
    request_id: str
    change: dict[str, object] | None
    target: int | None

    @property
    def body(self) -> str:
        """The change as the table stores it; empty for none."""
        return "" if self.change is None else json.dumps(self.change, separators=(",", ":"))


class Console:
    """The console of one gateway; `acts` is its audit table, in order."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.acts: list[Act] = []
        self._next_key = 50

    def create_key(
        self,
        at: int,
        name: str,
        *,
        account: str,
        group: str | None,
        cap: str | None = None,
        windows: dict[str, str] | None = None,
        networks: list[str] | None = None,
        expires_days: int | None = None,
    ) -> Key:
        """Make a key; its secret comes from the seed and is written nowhere.

        Args:
            at: Tick of the act.
            name: Name of the key.
            account: Name of the account it belongs to.
            group: Name of its group; None leaves it without one.
            cap: Spending cap in USD.
            windows: Window (`5h`, `1d`, `7d`) → limit in USD.
            networks: Addresses that may use it, as CIDRs; None or empty for all.
            expires_days: Days until it expires; None for never.

        Returns:
            The key.

        Raises:
            KeyError: there is no such account or group.
        """
        owner = self.gateway.accounts[account]
        limits = windows or {}
        key = Key(
            id=self._next_key,
            name=name,
            secret=f"sk-{self.gateway.chance.getrandbits(256):064x}",
            account=owner,
            group=None if group is None else self.gateway.groups[group],
            created_at=at,
            cap=prices.units(cap) if cap is not None else None,
            windows=_windows(limits),
            expires_at=at + expires_days * ticks.DAY if expires_days else None,
        )
        key.allow(networks or [])
        self._next_key += 1
        self.gateway.add_key(key)
        change = _wanted(key, expires_days, networks or [])
        change |= _limits(cap, limits)
        self._note(at, owner, "keys.create", "POST", "/api/v1/keys", change)
        return key

    def delete_key(self, at: int, name: str) -> None:
        """Delete a key; it is unknown from this tick on."""
        key = self.gateway.keys[name]
        self.gateway.drop_key(key, at)
        self._note(at, key.account, "keys.delete", "DELETE", "/api/v1/keys/:id", None, key.id)

    def set_cap(self, at: int, name: str, cap: str | None) -> None:
        """Set the spending cap of a key in USD; None takes it away."""
        key = self.gateway.keys[name]
        key.cap = prices.units(cap) if cap is not None else None
        self._update(at, key, {"quota": _number(cap or "0")})

    def set_window(self, at: int, name: str, window: str, limit: str) -> None:
        """Set the limit of a window of a key in USD."""
        key = self.gateway.keys[name]
        kept = [item for item in key.windows if item.name != window]
        key.windows = [*kept, SpendWindow(name=window, limit=prices.units(limit))]
        self._update(at, key, {f"rate_limit_{window}": _number(limit)})

    def set_networks(self, at: int, name: str, networks: list[str]) -> None:
        """Set the addresses that may use a key."""
        key = self.gateway.keys[name]
        key.allow(networks)
        self._update(at, key, {"ip_whitelist": networks})

    def set_expiry(self, at: int, name: str, expires_at: int | None) -> None:
        """Set the tick at which a key expires; None for never."""
        key = self.gateway.keys[name]
        key.expires_at = expires_at
        text = ticks.utc_time(expires_at) if expires_at is not None else None
        self._update(at, key, {"expires_at": text})

    def set_disabled(self, at: int, name: str, *, disabled: bool) -> None:
        """Switch a key off or on."""
        key = self.gateway.keys[name]
        key.disabled = disabled
        self._update(at, key, {"status": "inactive" if disabled else "active"})

    def top_up(self, at: int, account: str, amount: str) -> None:
        """Add USD to the balance of an account."""
        owner = self.gateway.accounts[account]
        owner.credit(at, "top_up", prices.units(amount))
        path = "/api/v1/payment/orders"
        self._note(at, owner, "payment.create", "POST", path, {"amount": _number(amount)})

    def set_channel(self, at: int, name: str, health: str, *, share: float = 1.0) -> None:
        """Change a channel as its operator does; the act belongs to no account of the sample."""
        channel = self.gateway.channels[name]
        channel.turn(health, share=share)
        operator = Account(id=1, name="operator", email="o***", balance=0)
        path = "/api/v1/admin/accounts/:id"
        change: dict[str, object] = {"status": health}
        self._note(at, operator, "accounts.update", "PUT", path, change, channel.id)

    def _update(self, at: int, key: Key, change: dict[str, object]) -> None:
        self._note(at, key.account, "keys.update", "PUT", "/api/v1/keys/:id", change, key.id)

    def _note(
        self,
        at: int,
        account: Account,
        action: str,
        method: str,
        path: str,
        change: dict[str, object] | None,
        target: int | None = None,
    ) -> None:
        self.acts.append(
            Act(
                at=at,
                account=account,
                action=action,
                method=method,
                path=path,
                request_id=self.gateway.uuid(),
                change=None if change is None else dict(sorted(change.items())),
                target=target,
            )
        )


def _windows(limits: dict[str, str]) -> list[SpendWindow]:
    return [
        SpendWindow(name=span, limit=prices.units(limits[span])) for span in SPANS if span in limits
    ]


def _wanted(key: Key, expires_days: int | None, networks: list[str]) -> dict[str, object]:
    change: dict[str, object] = {"name": key.name}
    if expires_days:
        change["expires_in_days"] = expires_days
    if key.group is not None:
        change["group_id"] = key.group.id
    if networks:
        change["ip_whitelist"] = networks
    return change


def _limits(cap: str | None, windows: dict[str, str]) -> dict[str, object]:
    found: dict[str, object] = {"quota": _number(cap)} if cap is not None else {}
    return found | {f"rate_limit_{span}": _number(limit) for span, limit in windows.items()}


def _number(amount: str) -> int | float:
    value = Decimal(amount)
    return int(value) if value == value.to_integral_value() else float(value)
