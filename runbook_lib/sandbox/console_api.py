"""The console's API under `/api/v1`: who logs in sees and changes what belongs to their account.

Paths, forms, refusals and limits are those captured (contract §3.1, §7, M). A key does not help
here: the console knows only the token it gave at login.
"""

import base64
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, NamedTuple

from runbook_lib.errors import ConsoleError
from runbook_lib.sandbox import answers, console_forms, console_lists, ticks
from runbook_lib.sandbox.answers import Problem
from runbook_lib.sandbox.channels import PerMinute
from runbook_lib.sandbox.console import EDITS, Console
from runbook_lib.sandbox.console_lists import Asked
from runbook_lib.sandbox.keys import SPANS, Account
from runbook_lib.sandbox.replies import Reply

LOGINS, LISTS = 20, 60
"""Logins of one address and lists of one account in a minute."""

_SESSION = ticks.DAY
_LOGIN_LIMITED = {
    "error": "rate limit exceeded",
    "message": "Too many requests, please try again later",
}
_LIST_LIMITED = {
    "code": "RATE_LIMITED",
    "message": "Too many requests, please slow down and try again later",
}
_PREFIX = "/api/v1/"


class Sent(NamedTuple):
    """One request to the console."""

    method: str
    path: str
    query: Mapping[str, str]
    body: bytes
    authorization: str
    address: str
    agent: str
    request_id: str | None


Handler = Callable[["Desk", Asked], Any]


@dataclass(slots=True)
class Desk:
    """The console's API of one gateway; passwords and tokens come from its seed."""

    console: Console
    seed: int
    _chance: Random = field(init=False)
    _sessions: dict[str, tuple[Account, int]] = field(default_factory=dict)
    _logins: dict[str, PerMinute] = field(default_factory=dict)
    _lists: dict[str, PerMinute] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._chance = Random(f"console {self.seed}")  # noqa: S311 (a simulation, no secret)

    def password(self, account: Account) -> str:
        """The password of an account's owner."""
        return f"{Random(f'password {self.seed} {account.name}').getrandbits(48):012x}"  # noqa: S311

    def knows(self, path: str) -> bool:
        """Tell whether a path is the console's."""
        return path.startswith(_PREFIX) and any(
            route.path.fullmatch(path, len(_PREFIX)) for route in ROUTES
        )

    def reply(self, sent: Sent, at: int) -> Reply:
        """Answer a request.

        Args:
            sent: The request.
            at: Tick of its arrival.
        """
        more: list[tuple[str, str]] = []
        try:
            status, content = 200, self._done(sent, at)
        except ConsoleError as error:
            status, content = error.status, error.content
            if error.retry_after_s is not None:
                more.append(("retry-after", str(error.retry_after_s)))
        text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
        own = sent.request_id
        request_id = own if own and len(own.encode()) <= 64 else self.console.gateway.uuid()
        headers = [("content-type", answers.JSON), *more, ("x-request-id", request_id)]
        body = [text.encode("utf-8", "replace")]
        return Reply(status=status, headers=headers, pieces=body, first=at, end=at)

    def _done(self, sent: Sent, at: int) -> dict[str, Any]:
        route, target = _find(sent)
        owner = None
        if route is None or not route.open:
            owner = self._owner(sent.authorization, at)
        if route is None:
            raise ConsoleError(404, "404 page not found")
        if route.limited and owner is not None:
            count = self._lists.setdefault(owner.name, PerMinute(limit=LISTS))
            if count.wait(at):
                raise _limited(_LIST_LIMITED)
        fields = _fields(sent.body) if sent.method in ("POST", "PUT") else {}
        gateway, by = self.console.gateway, (sent.address, sent.agent)
        gateway.settle(at)
        return _told(route.handler(self, Asked(gateway, owner, at, sent.query, target, fields, by)))

    def _owner(self, authorization: str, at: int) -> Account:
        scheme, _, token = authorization.partition(" ")
        if not authorization:
            raise _problem(answers.TOKEN_MISSING)
        account, until = self._sessions.get(token.strip(), (None, 0))
        if scheme.lower() != "bearer" or account is None or at >= until:
            raise _problem(answers.TOKEN_INVALID)
        return account

    # Handlers -----------------------------------------------------------------------------------

    def log_in(self, asked: Asked) -> dict[str, Any]:
        """Give a token for an address and its password.

        Raises:
            ConsoleError: there is no such account, or too many have tried.
        """
        address = asked.by[0]
        if self._logins.setdefault(address, PerMinute(limit=LOGINS)).wait(asked.at):
            raise _limited(_LOGIN_LIMITED)
        given = asked.fields
        for account in self.console.gateway.accounts.values():
            right = given.get("password") == self.password(account)
            if given.get("email") == console_forms.email(account) and right:
                break
        else:
            raise ConsoleError(401, "invalid email or password", reason="INVALID_CREDENTIALS")
        self.console.log_in(asked.at, account, by=asked.by)
        token = self._token(account, asked.at)
        self._sessions[token] = (account, asked.at + _SESSION)
        return {
            "access_token": token,
            "refresh_token": f"rt_{self._chance.getrandbits(256):064x}",
            "expires_in": _SESSION // ticks.SECOND,
            "token_type": "Bearer",
            "user": console_forms.user(account, asked.at),
        }

    def _token(self, account: Account, at: int) -> str:
        expires = (at + _SESSION) // ticks.SECOND
        parts = ({"alg": "HS256", "typ": "JWT"}, {"user_id": account.id, "exp": expires})
        written = [json.dumps(part, separators=(",", ":")).encode() for part in parts]
        signed = [*written, self._chance.randbytes(32)]
        return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in signed)

    def create_key(self, asked: Asked) -> dict[str, Any]:
        """Make a key: `name`, `group_id`, `custom_key`, `quota`, limits, `expires_in_days`."""
        given, owner = asked.fields, asked.account
        name, secret = given.get("name"), given.get("custom_key")
        if not isinstance(name, str) or not name:
            raise _invalid(
                "Key: 'CreateAPIKeyRequest.Name' Error:Field validation for 'Name' failed on the "
                "'required' tag"
            )
        self._check_secret(secret)
        group = asked.group(given.get("group_id"))
        try:
            key = self.console.create_key(
                asked.at,
                _plain(name),
                account=owner.name,
                group=group.name if group is not None else None,
                cap=str(given["quota"]) if given.get("quota") else None,
                windows=_limits(given),
                networks=[str(network) for network in given.get("ip_whitelist") or []],
                expires_days=int(given.get("expires_in_days") or 0) or None,
                secret=secret or None,
                by=asked.by,
            )
        except (ValueError, TypeError, ArithmeticError) as error:
            raise _invalid("a value that cannot be used") from error
        return console_forms.key(key)

    def _check_secret(self, secret: object) -> None:
        if not secret:
            return
        text = str(secret)
        if len(text) < 16:
            message = "api key must be at least 16 characters"
            raise ConsoleError(400, message, reason="API_KEY_TOO_SHORT")
        if not re.fullmatch(r"[A-Za-z0-9_-]{16,128}", text):
            message = "api key can only contain letters, numbers, underscores, and hyphens"
            raise ConsoleError(400, message, reason="API_KEY_INVALID_CHARS")
        if self.console.gateway.find_key(text) is not None:
            raise ConsoleError(409, "api key already exists", reason="API_KEY_EXISTS")

    def edit_key(self, asked: Asked) -> dict[str, Any]:
        """Change a key.

        Raises:
            ConsoleError: there is no such key or group, or a value cannot be used.
        """
        key = asked.key()
        change = {name: value for name, value in asked.fields.items() if name in EDITS}
        try:
            self.console.edit_key(asked.at, key, change, by=asked.by)
        except KeyError as error:
            raise ConsoleError(404, "group not found", reason="GROUP_NOT_FOUND") from error
        except (ValueError, TypeError, ArithmeticError) as error:
            raise _invalid("a value that cannot be used") from error
        return console_forms.full_key(key, asked.at)

    def delete_key(self, asked: Asked) -> dict[str, Any]:
        """Delete a key; it is unknown from now on."""
        key = asked.key()
        held = self.console.gateway.keys
        place = next(name for name, item in held.items() if item is key)
        self.console.delete_key(asked.at, place, by=asked.by)
        return {"message": "API key deleted successfully"}


def _find(sent: Sent) -> tuple["Route | None", str]:
    """Find the route of a request, and the number in its path."""
    for route in ROUTES:
        match = route.path.fullmatch(sent.path, len(_PREFIX))
        if match and route.method == sent.method:
            return route, match[1] if match.re.groups else ""
    return None, ""


def _told(content: Any) -> dict[str, Any]:
    return {"code": 0, "message": "success", "data": content}


def _problem(problem: Problem) -> ConsoleError:
    content = {"code": problem.code, "message": problem.message}
    return ConsoleError(problem.status, problem.message, content=content)


def _limited(content: dict[str, Any]) -> ConsoleError:
    return ConsoleError(429, content["message"], content=content, retry_after_s=60)


def _invalid(what: str) -> ConsoleError:
    return ConsoleError(400, f"Invalid request: {what}")


def _fields(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise _invalid("body is no JSON") from None
    if not isinstance(found, dict):
        raise _invalid("body is no object")
    return found


def _plain(name: str) -> str:
    """A name that can be written into any table."""
    kept = "".join(letter for letter in name if letter.isprintable() and letter not in ',"\\')
    return kept.encode("utf-8", "replace").decode()[:100] or "key"


def _limits(given: Mapping[str, Any]) -> dict[str, str]:
    wanted = {span: given.get(f"rate_limit_{span}") for span in SPANS}
    return {span: str(limit) for span, limit in wanted.items() if limit}


class Route(NamedTuple):
    """One path of the console.

    Attributes:
        open: Nobody needs to have logged in.
        limited: It counts towards `LISTS`.
    """

    method: str
    path: re.Pattern[str]
    handler: Handler
    open: bool = False
    limited: bool = False


def _route(
    method: str, path: str, handler: Any, *, free: bool = False, limited: bool = False
) -> Route:
    pattern = re.compile(re.escape(path).replace("ID", "([0-9]{1,12})"))
    return Route(method, pattern, handler, free, limited)


def _list(path: str, handler: Callable[[Asked], Any], *, limited: bool = False) -> Route:
    return _route("GET", path, lambda _, asked: handler(asked), limited=limited)


ROUTES: tuple[Route, ...] = (
    _route("POST", "auth/login", Desk.log_in, free=True),
    _route("GET", "settings/public", lambda _, __: console_lists.settings(), free=True),
    _list("auth/me", console_lists.profile),
    _list("user/profile", console_lists.profile),
    _list("keys", console_lists.keys),
    _route("POST", "keys", Desk.create_key),
    _list("keys/ID", console_lists.one_key),
    _route("PUT", "keys/ID", Desk.edit_key),
    _route("DELETE", "keys/ID", Desk.delete_key),
    _list("groups/available", console_lists.groups),
    _list("groups/rates", lambda _: {}),
    _list("channels/available", lambda _: []),
    _list("user/platform-quotas", lambda _: {"platform_quotas": []}),
    _list("user/api-keys/ID/usage/daily", console_lists.key_days),
    _list("subscriptions/progress", console_lists.subscriptions),
    _list("usage", console_lists.usage, limited=True),
    _list("usage/errors", console_lists.refusals),
    _list("usage/errors/ID", console_lists.one_refusal),
    _list("usage/stats", console_lists.stats),
    _list("usage/dashboard/trend", console_lists.trend),
    _list("usage/dashboard/models", console_lists.models),
    _list("usage/dashboard/snapshot-v2", console_lists.snapshot),
)
"""Every path of the console, below `/api/v1/`."""
