"""Carries out the acts of `scenarios.toml` when their time comes, on the gateway or a caller."""

from decimal import ROUND_CEILING, Decimal
from typing import TYPE_CHECKING, Any

from runbook_lib.sandbox import prices, ticks
from runbook_lib.sandbox.console import Console
from runbook_lib.sandbox.fleet import Fleet, Service

if TYPE_CHECKING:
    from collections.abc import Callable

STRANGER = ("192.0.2.200", "python-requests/2.31.0")
"""Address and agent of somebody who found a key."""

Fields = dict[str, Any]


class Director:
    """Knows how to carry out every kind of act; an unknown kind is a KeyError."""

    def __init__(self, console: Console, fleet: Fleet) -> None:
        self.console = console
        self.gateway = console.gateway
        self.fleet = fleet
        self._kinds: dict[str, Callable[[int, Fields], None]] = {
            "upstream": self._upstream,
            "gateway": self._gateway,
            "create_key": self._create_key,
            "delete_key": lambda at, act: console.delete_key(at, act["key"]),
            "set_cap_above_used": self._set_cap_above_used,
            "set_window": self._set_window,
            "set_expiry": self._set_expiry,
            "set_disabled": self._set_disabled,
            "top_up": lambda at, act: console.top_up(at, act["account"], act["amount"]),
            "top_up_to": self._top_up_to,
            "load": lambda _, act: setattr(self._service(act), "load", act["factor"]),
            "path": lambda _, act: setattr(self._service(act), "path", act["path"]),
            "egress": lambda _, act: setattr(self._service(act), "ip", act["ip"]),
            "doubles": lambda _, act: setattr(self._service(act), "doubles", act["share"]),
            "rotate": self._rotate,
            "send": self._send,
            "pair": self._pair,
            "burst": self._burst,
            "stranger": self._stranger,
        }

    def plan(self, act: Fields) -> None:
        """Put an act into the fleet's queue."""
        kind = self._kinds[act["do"]]
        self.fleet.at(ticks.parse(act["at"]), lambda at: kind(at, act))

    def _service(self, act: Fields) -> Service:
        return self.fleet.services[act["service"]]

    # The gateway and its upstreams --------------------------------------------------------------

    def _upstream(self, _: int, act: Fields) -> None:
        channel = self.gateway.channels[act["channel"]]
        channel.turn(act["health"], share=act.get("share", 1.0), factor=act.get("factor", 1.0))

    def _gateway(self, _: int, act: Fields) -> None:
        self.gateway.broken = act["broken"]

    # People at the console ----------------------------------------------------------------------

    def _create_key(self, at: int, act: Fields) -> None:
        old = self.gateway.keys[act["like"]]
        self.console.create_key(
            at,
            act["key"],
            account=old.account.name,
            group=old.group.name if old.group else None,
            cap=act.get("cap"),
            expires_days=act.get("expires_days"),
        )

    def _set_cap_above_used(self, at: int, act: Fields) -> None:
        used = prices.usd(self.gateway.keys[act["key"]].used)
        whole = (used + Decimal(act["extra"])).quantize(Decimal("0.1"), rounding=ROUND_CEILING)
        self.console.set_cap(at, act["key"], str(whole))

    def _set_window(self, at: int, act: Fields) -> None:
        self.console.set_window(at, act["key"], act["window"], act["limit"])

    def _set_expiry(self, at: int, act: Fields) -> None:
        self.console.set_expiry(at, act["key"], ticks.parse(act["expires_at"]))

    def _set_disabled(self, at: int, act: Fields) -> None:
        self.console.set_disabled(at, act["key"], disabled=act["disabled"])

    def _top_up_to(self, at: int, act: Fields) -> None:
        """Top up to about a balance, in whole ten cents; never less than ten."""
        missing = Decimal(act["balance"]) - prices.usd(
            self.gateway.accounts[act["account"]].balance
        )
        amount = max(missing, Decimal("0.1")).quantize(Decimal("0.1"))
        self.console.top_up(at, act["account"], str(amount))

    # Clients ------------------------------------------------------------------------------------

    def _rotate(self, _: int, act: Fields) -> None:
        service = self._service(act)
        if service.key != act["key"]:
            service.old_key, service.key = service.key, act["key"]
        service.old_share = act["old_share"]

    def _changes(self, act: Fields) -> Fields:
        skip = ("at", "do", "service", "key", "calls", "seconds", "call_id")
        changes = {name: value for name, value in act.items() if name not in skip}
        if "key" in act:
            changes["key_name"] = act["key"]
            changes["secret"] = self.gateway.keys[act["key"]].secret
        if "call_id" in act:
            changes["id"] = act["call_id"]
        return {"quits": False, **changes}

    def _send(self, at: int, act: Fields) -> None:
        self.fleet.send(self._service(act), at, **self._changes(act))

    def _pair(self, at: int, act: Fields) -> None:
        """Send a request, and the same once more; the second has the id of the act."""
        changes = {**self._changes(act), "request_id": None}
        call = self.fleet.send(self._service(act), at, **changes)
        self.fleet.repeat(call, at + 700 * ticks.MILLI, act["request_id"])

    def _burst(self, at: int, act: Fields) -> None:
        """Spread calls evenly over a span."""
        changes = self._changes(act)
        step = act["seconds"] * ticks.SECOND // act["calls"]
        for number in range(act["calls"]):
            self.fleet.send(self._service(act), at + number * step, **changes)

    def _stranger(self, at: int, act: Fields) -> None:
        """Call with a key of ours from elsewhere; nobody of ours writes a log of it."""
        usual = next(item for item in self.fleet.services.values() if item.key == act["key"])
        ip, agent = STRANGER
        self._burst(
            at,
            {
                **act,
                "service": usual.name,
                "ip": ip,
                "agent": agent,
                "logged": False,
                "stream": False,
                "fallback": None,
                "retries": 0,
            },
        )
