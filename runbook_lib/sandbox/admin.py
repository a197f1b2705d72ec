"""The sandbox's own paths: acts of people, faults, the clock, the log.

| Path | Does |
|---|---|
| `GET /sandbox/state` | keys with their secrets, balances, logins, channels, the time |
| `POST /sandbox/keys`, `PATCH`/`DELETE /sandbox/keys/NAME` | make, change, delete a key |
| `POST /sandbox/top_up`, `PATCH /sandbox/accounts/NAME` | money; limits of an account |
| `PATCH /sandbox/channels/NAME` | health, models, priority of an upstream |
| `PATCH /sandbox/groups/NAME` | switch a group off, limit its requests per minute |
| `GET`/`POST`/`DELETE /sandbox/faults` | names and rules; plant; clear |
| `GET`/`POST /sandbox/clock` | the time; `advance_s`, `speed` |
| `GET`/`DELETE /sandbox/log` | an attempt a line; `?run=` and `?since=` choose |
| `POST /sandbox/export` | write the console's files now |
"""

import json
import re
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from runbook_lib.errors import ParameterError
from runbook_lib.sandbox import console_forms, fault_files, faults, prices, ticks
from runbook_lib.sandbox.channels import PerMinute
from runbook_lib.sandbox.faults import CATALOGUE
from runbook_lib.sandbox.keys import SPANS
from runbook_lib.sandbox.live import Live

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_MOST = 1 << 20


async def _fields(request: Request) -> dict[str, Any]:
    body = await _content(request)
    try:
        found = json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        raise ParameterError("body", len(body), hint="a JSON object") from error
    if not isinstance(found, dict):
        raise ParameterError("body", type(found).__name__, hint="a JSON object")
    return found


async def _content(request: Request) -> bytes:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > _MOST:
            raise ParameterError("body", "over 1 MiB", hint="less")
    return bytes(body)


class Admin:
    """The handlers of `/sandbox/…` for one running gateway.

    Attributes:
        export: Writes the console's files into a folder.
        folder: Where they go.
    """

    def __init__(self, live: Live, export: Callable[[Live, Path], None], folder: Path) -> None:
        self.live, self.export, self.folder = live, export, folder

    def app(self) -> Starlette:
        """Build the app."""
        routes = [
            ("/sandbox/state", "GET", self.state),
            ("/sandbox/keys", "POST", self.create_key),
            ("/sandbox/keys/{name}", "PATCH", self.change_key),
            ("/sandbox/keys/{name}", "DELETE", self.delete_key),
            ("/sandbox/top_up", "POST", self.top_up),
            ("/sandbox/accounts/{name}", "PATCH", self.change_account),
            ("/sandbox/channels/{name}", "PATCH", self.change_channel),
            ("/sandbox/groups/{name}", "PATCH", self.change_group),
            ("/sandbox/faults", "GET", self.list_faults),
            ("/sandbox/faults", "POST", self.plant),
            ("/sandbox/faults", "DELETE", self.clear_faults),
            ("/sandbox/clock", "GET", self.tell_time),
            ("/sandbox/clock", "POST", self.set_clock),
            ("/sandbox/log", "GET", self.read_log),
            ("/sandbox/log", "DELETE", self.clear_log),
            ("/sandbox/export", "POST", self.write_export),
        ]
        return Starlette(
            routes=[Route(path, handler, methods=[method]) for path, method, handler in routes],
            exception_handlers=dict.fromkeys(
                (ParameterError, AttributeError, KeyError, TypeError, ValueError, ArithmeticError),
                _refused,
            ),
        )

    async def state(self, _: Request) -> Response:
        """Tell what the gateway holds."""
        gateway, now = self.live.console.gateway, self.live.clock.now()
        gateway.settle(now)
        return JSONResponse(
            {
                "now": ticks.utc_time(now),
                "keys": {
                    key.name: {
                        "secret": key.secret,
                        "group": key.group.name if key.group else None,
                        "account": key.account.name,
                        "cap_usd": None if key.cap is None else prices.plain(key.cap),
                        "used_usd": prices.plain(key.used),
                        "disabled": key.disabled,
                        "deleted": key.deleted_at is not None,
                    }
                    for key in gateway.keys.values()
                },
                "accounts": {
                    item.name: {
                        "balance_usd": prices.plain(item.balance),
                        "email": console_forms.email(item),
                        "password": self.live.desk.password(item),
                    }
                    for item in gateway.accounts.values()
                },
                "groups": {
                    item.name: {"channels": [one.name for one in item.channels]}
                    for item in gateway.groups.values()
                },
                "channels": {
                    item.name: {
                        "health": item.health,
                        "aside": item.set_aside_until > now,
                        "models": sorted(item.answers),
                    }
                    for item in gateway.channels.values()
                },
                "usage_rows": len(gateway.rows),
            }
        )

    async def create_key(self, request: Request) -> Response:
        """Make a key: `name`, `group`, and what else a key can have."""
        given = await _fields(request)
        name = str(given.get("name", ""))
        held = self.live.console.gateway.keys
        if not _NAME.fullmatch(name) or name in held:
            raise ParameterError("name", name[:80], hint="a new name of letters, digits, . _ -")
        key = self.live.console.create_key(
            self.live.clock.now(),
            name,
            account=given.get("account", "team"),
            group=given.get("group", "openai-std"),
            cap=_usd(given.get("cap")),
            windows={span: str(_usd(limit)) for span, limit in given.get("windows", {}).items()},
            networks=list(given.get("networks", [])),
            expires_days=given.get("expires_days"),
        )
        key.models = frozenset(map(str, given.get("models", [])))
        self.live.tables["keys"].append(
            {
                "name": name,
                "environment": str(given.get("environment", "")),
                "owner": str(given.get("owner", "")),
                "services": str(given.get("service", "")),
            }
        )
        return JSONResponse({"name": name, "secret": key.secret}, 201)

    async def change_key(self, request: Request) -> Response:
        """Change a key: `cap`, `windows`, `networks`, `models`, `disabled`, `expires_in_s`."""
        name, given = self._key(request), await _fields(request)
        console, now = self.live.console, self.live.clock.now()
        if "cap" in given:
            console.set_cap(now, name, _usd(given["cap"]))
        for span, limit in given.get("windows", {}).items():
            if span not in SPANS:
                raise ParameterError("windows", span, hint=", ".join(SPANS))
            console.set_window(now, name, span, str(_usd(limit)))
        if "networks" in given:
            console.set_networks(now, name, list(given["networks"]))
        if "models" in given:
            console.gateway.keys[name].models = frozenset(map(str, given["models"]))
        if "disabled" in given:
            console.set_disabled(now, name, disabled=bool(given["disabled"]))
        if "expires_in_s" in given:
            left = given["expires_in_s"]
            at = None if left is None else now + int(float(left) * ticks.SECOND)
            console.set_expiry(now, name, at)
        return JSONResponse({"name": name})

    async def delete_key(self, request: Request) -> Response:
        """Delete a key; it is unknown from now on."""
        name = self._key(request)
        self.live.console.delete_key(self.live.clock.now(), name)
        return JSONResponse({"name": name})

    def _key(self, request: Request) -> str:
        name: str = request.path_params["name"]
        key = self.live.console.gateway.keys.get(name)
        if key is None or key.deleted_at is not None:
            raise ParameterError("key", name[:80], hint="a name of GET /sandbox/state")
        return name

    async def top_up(self, request: Request) -> Response:
        """Add USD to an account: `amount`, `account`."""
        given = await _fields(request)
        account = given.get("account", "team")
        self.live.console.top_up(self.live.clock.now(), account, str(_usd(given.get("amount"))))
        balance = self.live.console.gateway.accounts[account].balance
        return JSONResponse({"account": account, "balance_usd": prices.plain(balance)})

    async def change_account(self, request: Request) -> Response:
        """Change limits: `rpm`, `concurrency`, `active`; `balance` sets it by a reading."""
        given, now = await _fields(request), self.live.clock.now()
        account = self.live.console.gateway.accounts[request.path_params["name"]]
        if "rpm" in given:
            account.per_minute = PerMinute(limit=int(given["rpm"]))
        if "concurrency" in given:
            account.concurrency = int(given["concurrency"])
            account.slots.clear()
        if "active" in given:
            account.active = bool(given["active"])
        if "balance" in given:
            amount = prices.units(str(_usd(given["balance"])))
            account.credit(now, "refund", amount - account.balance)
        change = {
            "concurrency": account.concurrency,
            "rpm_limit": account.per_minute.limit,
            "status": "active" if account.active else "inactive",
        }
        self.live.console.operate(now, "users", change, account.id)
        return JSONResponse({"account": account.name})

    async def change_channel(self, request: Request) -> Response:
        """Change an upstream: `health`, `share`, `priority`, `models` (empty takes any name)."""
        given, name = await _fields(request), request.path_params["name"]
        gateway = self.live.console.gateway
        channel = gateway.channels[name]
        if "health" in given:
            health, share = str(given["health"]), float(given.get("share", 1.0))
            self.live.console.set_channel(self.live.clock.now(), name, health, share=share)
            if health == "ok":
                channel.set_aside_until, channel.failures = 0, 0
        if "models" in given:
            models = [gateway.models[str(model)] for model in given["models"]]
            channel.answers = {model.name: model.answers_as for model in models}
            self.live.console.operate(
                self.live.clock.now(), "accounts", {"models": sorted(channel.answers)}, channel.id
            )
        channel.priority = int(given.get("priority", channel.priority))
        return JSONResponse({"channel": name, "health": channel.health})

    async def change_group(self, request: Request) -> Response:
        """Change a group: `enabled`, `rpm`."""
        given, name = await _fields(request), request.path_params["name"]
        group = self.live.console.gateway.groups[name]
        if "enabled" in given:
            group.enabled = bool(given["enabled"])
        if "rpm" in given:
            group.per_minute = PerMinute(limit=int(given["rpm"]))
        status = "active" if group.enabled else "inactive"
        change = {"rpm_limit": group.per_minute.limit, "status": status}
        self.live.console.operate(self.live.clock.now(), "groups", change, group.id)
        return JSONResponse({"group": name, "enabled": group.enabled})

    async def list_faults(self, _: Request) -> Response:
        """List the names of faults, and the rules in force, as lines and as TOML to keep."""
        planted = self.live.faults
        known = {name: fault.what for name, fault in planted.known.items()}
        rules = [rule.line() for rule in planted.rules]
        own = [fault for fault in planted.known.values() if fault not in CATALOGUE.values()]
        toml = fault_files.written(own, planted.rules)
        return JSONResponse({"faults": known, "rules": rules, "toml": toml})

    async def plant(self, request: Request) -> Response:
        """Plant rules: a line of text, a JSON object, or TOML with `[[rules]]` and `[[faults]]`."""
        text = (await _content(request)).decode("utf-8", "replace").strip()
        planted = self.live.faults
        if text.startswith("{"):
            found = json.loads(text)
            rules = [faults.rule(found)]
        elif "[[" in text:
            made, rules = faults.read(text)
            planted.known |= {fault.name: fault for fault in made}
        else:
            rules = [faults.parse(line) for line in text.splitlines() if line.strip()]
        planted.add(rules)
        return JSONResponse({"rules": [asdict(rule) for rule in rules]}, 201)

    async def clear_faults(self, _: Request) -> Response:
        """Take all rules out of force."""
        self.live.faults.clear()
        return JSONResponse({"rules": []})

    async def tell_time(self, _: Request) -> Response:
        """Tell the time of the sandbox."""
        clock = self.live.clock
        return JSONResponse({"now": ticks.utc_time(clock.now()), "speed": clock.speed})

    async def set_clock(self, request: Request) -> Response:
        """Move ahead: `advance_s`; run faster: `speed`; 0 stands still."""
        given = await _fields(request)
        advance, speed = float(given.get("advance_s", 0)), float(given.get("speed", 1))
        if not (0 <= advance <= 366 * 86_400 and 0 <= speed <= 100_000):
            raise ParameterError(
                "clock", str(given)[:80], hint="advance_s up to a year, speed >= 0"
            )
        self.live.clock.change(advance_s=advance, speed=speed if "speed" in given else None)
        return await self.tell_time(request)

    async def read_log(self, request: Request) -> Response:
        """Give the attempts, one JSON line each."""
        run, since = request.query_params.get("run"), int(request.query_params.get("since", 0))
        lines = [
            seen.text()
            for seen in self.live.log
            if (run is None or seen.line["run"] == run) and seen.line["number"] > since
        ]
        return PlainTextResponse(
            "".join(f"{line}\n" for line in lines), media_type="application/x-ndjson"
        )

    async def clear_log(self, _: Request) -> Response:
        """Forget the attempts."""
        self.live.log.clear()
        return JSONResponse({})

    async def write_export(self, _: Request) -> Response:
        """Write the console's files now."""
        self.export(self.live, self.folder)
        return JSONResponse({"data_dir": str(self.folder)})


def _usd(amount: object) -> str | None:
    """A finite amount of USD as text; None for none.

    Raises:
        ParameterError: it is none, or negative or huge.
    """
    if amount is None:
        return None
    text = str(amount)[:40]
    if not re.fullmatch(r"\d{1,9}(\.\d{1,10})?", text):
        raise ParameterError("amount", text, hint="USD such as 2.5")
    return text


async def _refused(_: Request, error: Exception) -> Response:
    """What cannot be done is said in a sentence."""
    return JSONResponse({"error": str(error)[:300]}, 400)
