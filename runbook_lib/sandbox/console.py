"""Acts of people on the gateway: keys, caps, money, channels; each leaves a row in the audit table.

What happens to an upstream by itself is no act: `Channel.turn` changes it without a trace.
"""

import json
from copy import copy
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from runbook_lib.sandbox import prices, ticks
from runbook_lib.sandbox.keys import SPANS, Account, Key, SpendWindow
from runbook_lib.sandbox.machine import Gateway

if TYPE_CHECKING:
    from collections.abc import Callable

ADDRESS = "203.0.113.10"
BROWSER = (ADDRESS, "Mozilla/5.0 (X11; Linux x86_64) console")
"""Address and agent of the people at the console."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One row of the audit table.

    Attributes:
        change: What was set, as the console was sent it; None where nothing was.
        target: Id in the path; None where there is none.
        ip, agent: Whence it was done, and with what.
    """

    at: int
    account: Account
    action: str
    method: str
    path: str
    request_id: str
    change: dict[str, Any] | None
    target: int | None
    ip: str
    agent: str

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
        secret: str | None = None,
        by: tuple[str, str] = BROWSER,
    ) -> Key:
        """Make a key; its secret comes from the seed and is written nowhere.

        Args:
            at: Tick of the act.
            name: Name of the key; other keys may have the same, as on the real console.
            account: Name of the account it belongs to.
            group: Name of its group; None leaves it without one.
            cap: Spending cap in USD.
            windows: Window (`5h`, `1d`, `7d`) → limit in USD.
            networks: Addresses that may use it, as CIDRs; None or empty for all.
            expires_days: Days until it expires; None for never.
            secret: A secret of its owner's choice; None makes one.
            by: Address and agent of who does it.

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
            secret=secret or f"sk-{self.gateway.chance.getrandbits(256):064x}",
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
        self._note(at, owner, ("keys.create", "POST", "/api/v1/keys"), change, by=by)
        return key

    def delete_key(self, at: int, name: str, *, by: tuple[str, str] = BROWSER) -> None:
        """Delete a key; it is unknown from this tick on."""
        key = self.gateway.keys[name]
        self.gateway.drop_key(key, at)
        what = ("keys.delete", "DELETE", "/api/v1/keys/:id")
        self._note(at, key.account, what, None, key.id, by=by)

    def edit_key(
        self, at: int, key: Key, change: dict[str, Any], *, by: tuple[str, str] = BROWSER
    ) -> None:
        """Change a key as the console is told to: all of it, as one act, or nothing.

        Args:
            at: Tick of the act.
            key: The key.
            change: Fields of the console: `quota`, `rate_limit_5h` and its like (USD, 0 for none),
                `ip_whitelist`, `expires_at` (RFC 3339, or None), `status`, `group_id`, `name`.
            by: Address and agent of who does it.

        Raises:
            KeyError: there is no such group.
            ValueError: a value cannot be used.
        """
        for held in (copy(key), key):  # what cannot be used must not be done by half
            for field, value in change.items():
                _EDITS[field](self.gateway, held, value)
        key.changed_at = at
        what = ("keys.update", "PUT", "/api/v1/keys/:id")
        self._note(at, key.account, what, change, key.id, by=by)

    def set_cap(self, at: int, name: str, cap: str | None) -> None:
        """Set the spending cap of a key in USD; None takes it away."""
        self.edit_key(at, self.gateway.keys[name], {"quota": _number(cap or "0")})
        if cap is not None:  # a cap of 0 stops it at once, which the form of the console cannot say
            self.gateway.keys[name].cap = prices.units(cap)

    def set_window(self, at: int, name: str, window: str, limit: str) -> None:
        """Set the limit of a window of a key in USD."""
        self.edit_key(at, self.gateway.keys[name], {f"rate_limit_{window}": _number(limit)})

    def set_networks(self, at: int, name: str, networks: list[str]) -> None:
        """Set the addresses that may use a key."""
        self.edit_key(at, self.gateway.keys[name], {"ip_whitelist": networks})

    def set_expiry(self, at: int, name: str, expires_at: int | None) -> None:
        """Set the tick at which a key expires; None for never."""
        text = ticks.utc_time(expires_at) if expires_at is not None else None
        self.edit_key(at, self.gateway.keys[name], {"expires_at": text})

    def set_disabled(self, at: int, name: str, *, disabled: bool) -> None:
        """Switch a key off or on."""
        status = "inactive" if disabled else "active"
        self.edit_key(at, self.gateway.keys[name], {"status": status})

    def log_in(self, at: int, account: Account, *, by: tuple[str, str]) -> None:
        """Note that somebody logged in."""
        self._note(at, account, ("auth.login", "POST", "/api/v1/auth/login"), None, by=by)

    def top_up(self, at: int, account: str, amount: str) -> None:
        """Add USD to the balance of an account."""
        owner = self.gateway.accounts[account]
        owner.credit(at, "top_up", prices.units(amount))
        what = ("payment.create", "POST", "/api/v1/payment/orders")
        self._note(at, owner, what, {"amount": _number(amount)})

    def set_channel(self, at: int, name: str, health: str, *, share: float = 1.0) -> None:
        """Change a channel as its operator does."""
        channel = self.gateway.channels[name]
        channel.turn(health, share=share)
        self.operate(at, "accounts", {"status": health}, channel.id)

    def operate(self, at: int, what: str, change: dict[str, Any], target: int) -> None:
        """Note an act of the operator, which belongs to no account of the sample.

        Args:
            at: Tick of the act.
            what: `accounts`, which are the channels, `groups` or `users`.
            change: What was set.
            target: Id of what was changed.
        """
        operator = Account(id=1, name="operator", email="o***", balance=0)
        act = (f"{what}.update", "PUT", f"/api/v1/admin/{what}/:id")
        self._note(at, operator, act, change, target)

    def _note(
        self,
        at: int,
        account: Account,
        what: tuple[str, str, str],
        change: dict[str, Any] | None,
        target: int | None = None,
        *,
        by: tuple[str, str] = BROWSER,
    ) -> None:
        action, method, path = what
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
                ip=by[0],
                agent=by[1],
            )
        )


def _edit_cap(_: Gateway, key: Key, value: Any) -> None:
    amount = _amount(value)
    key.cap = amount or None


def _edit_window(window: str) -> "Callable[[Gateway, Key, Any], None]":
    def edit(_: Gateway, key: Key, value: Any) -> None:
        limit = _amount(value)
        kept = [item for item in key.windows if item.name != window]
        made = [SpendWindow(name=window, limit=limit)] if limit else []
        key.windows = [*kept, *made]

    return edit


def _edit_expiry(_: Gateway, key: Key, value: Any) -> None:
    key.expires_at = None if value in (None, "") else ticks.parse(str(value))


def _edit_networks(_: Gateway, key: Key, value: Any) -> None:
    key.allow([str(network) for network in value or []])


def _edit_status(_: Gateway, key: Key, value: Any) -> None:
    if value not in ("active", "inactive"):
        raise ValueError(value)
    key.disabled = value == "inactive"


def _edit_group(gateway: Gateway, key: Key, value: Any) -> None:
    key.group = next((item for item in gateway.groups.values() if item.id == value), None)
    if key.group is None:
        raise KeyError(value)


def _edit_name(_: Gateway, key: Key, value: Any) -> None:
    key.name = str(value)


_EDITS: "dict[str, Callable[[Gateway, Key, Any], None]]" = {
    "quota": _edit_cap,
    "ip_whitelist": _edit_networks,
    "expires_at": _edit_expiry,
    "status": _edit_status,
    "group_id": _edit_group,
    "name": _edit_name,
    **{f"rate_limit_{window}": _edit_window(window) for window in SPANS},
}
EDITS = frozenset(_EDITS)
"""Fields of a key that can be changed."""


def _amount(value: Any) -> int:
    amount = Decimal(str(value)[:40]) if isinstance(value, str | int | float) else Decimal("NaN")
    if not amount.is_finite() or not 0 <= amount < 10**9:
        raise ValueError(str(value)[:40])
    return prices.units(amount)


def _windows(limits: dict[str, str]) -> list[SpendWindow]:
    return [
        SpendWindow(name=span, limit=prices.units(limits[span])) for span in SPANS if span in limits
    ]


def _wanted(key: Key, expires_days: int | None, networks: list[str]) -> dict[str, Any]:
    change: dict[str, Any] = {"name": key.name}
    if expires_days:
        change["expires_in_days"] = expires_days
    if key.group is not None:
        change["group_id"] = key.group.id
    if networks:
        change["ip_whitelist"] = networks
    return change


def _limits(cap: str | None, windows: dict[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {"quota": _number(cap)} if cap is not None else {}
    return found | {f"rate_limit_{span}": _number(limit) for span, limit in windows.items()}


def _number(amount: str) -> int | float:
    value = Decimal(amount)
    return int(value) if value == value.to_integral_value() else float(value)
