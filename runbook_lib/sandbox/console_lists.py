"""What the console's API lists for one account: keys, groups, usage, sums, failed requests."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from runbook_lib.errors import ConsoleError
from runbook_lib.sandbox import answers, console_forms, console_query, exports, ticks
from runbook_lib.sandbox.answers import Answer
from runbook_lib.sandbox.channels import Group
from runbook_lib.sandbox.console_query import Span
from runbook_lib.sandbox.keys import Account, Key
from runbook_lib.sandbox.machine import Gateway, Refusal, Row
from runbook_lib.sandbox.surfaces import surface_of

VERSION = "0.1.179"
"""Version of the family whose console this is."""

_REFUSALS_A_PAGE = 100
_DAYS, _MOST_DAYS = 30, 90


class Asked(NamedTuple):
    """One request of somebody who has logged in.

    Attributes:
        owner: Who; None before they have.
        target: Number in the path.
        by: Address and agent.
    """

    gateway: Gateway
    owner: Account | None
    at: int
    query: Mapping[str, str]
    target: str
    fields: Mapping[str, Any]
    by: tuple[str, str]

    @property
    def account(self) -> Account:
        """Who has logged in.

        Raises:
            ConsoleError: nobody has.
        """
        if self.owner is None:
            raise ConsoleError(401, "User not authenticated")
        return self.owner

    def rows(self) -> list[Row]:
        """Usage rows of the account, oldest first."""
        return [row for row in self.gateway.rows if row.key.account is self.account]

    def key(self, number: str = "") -> Key:
        """Find the live key of a number, the one in the path where none is given.

        Raises:
            ConsoleError: there is none, or it is somebody else's.
        """
        wanted = number or self.target
        for key in self.gateway.keys.values():
            if str(key.id) == wanted and key.deleted_at is None:
                if key.account is not self.account:
                    break
                return key
        raise ConsoleError(404, "api key not found", reason="API_KEY_NOT_FOUND")

    def group(self, number: object) -> Group | None:
        """Find a group by its number, None where none is given.

        Raises:
            ConsoleError: there is none of this number.
        """
        if number is None:
            return None
        for group in self.gateway.groups.values():
            if group.id == number:
                return group
        raise ConsoleError(404, "group not found", reason="GROUP_NOT_FOUND")


def settings() -> dict[str, Any]:
    """What everybody may know: version and zone of the server."""
    return {
        "registration_enabled": False,
        "site_name": "Sandbox",
        "table_default_page_size": 20,
        "table_page_size_options": [10, 20, 50],
        "payment_enabled": False,
        "version": VERSION,
        "server_timezone": ticks.SERVER_ZONE,
        "server_utc_offset": "+08:00",
    }


def profile(asked: Asked) -> dict[str, Any]:
    """Who has logged in, and their balance."""
    return {**console_forms.user(asked.account, asked.at), "email_bound": True}


def keys(asked: Asked) -> dict[str, Any]:
    """The keys of the account, newest first."""
    held = [
        key
        for key in asked.gateway.keys.values()
        if key.account is asked.account and key.deleted_at is None
    ]
    held.sort(key=lambda key: -key.id)
    page = console_query.page(asked.query)
    forms = [console_forms.full_key(key, asked.at) for key in _cut(held, page)]
    return _paged(forms, len(held), page)


def one_key(asked: Asked) -> dict[str, Any]:
    """One key."""
    return console_forms.full_key(asked.key(), asked.at)


def groups(asked: Asked) -> list[dict[str, Any]]:
    """Groups that the account may use: those it has bought, and all without a plan."""
    bought = asked.account.subscriptions
    return [
        console_forms.group(group, asked.account.since)
        for group in asked.gateway.groups.values()
        if group.plan is None or group.id in bought
    ]


def subscriptions(asked: Asked) -> list[dict[str, Any]]:
    """Subscriptions of the account and how far they are used."""
    by_id = {group.id: group for group in asked.gateway.groups.values()}
    return [
        console_forms.subscription(held, asked.account, by_id[number], asked.at)
        for number, held in asked.account.subscriptions.items()
    ]


def usage(asked: Asked) -> dict[str, Any]:
    """Usage rows, newest first unless asked otherwise; their ids are those of the export."""
    rows = _mine(asked)
    fitting = console_query.chosen(rows, asked.query, asked.at)
    wanted = {id(row) for row in fitting if _of_key(asked, row)}
    numbered = enumerate(rows, exports.FIRST_ROW)
    found = [(number, row) for number, row in numbered if id(row) in wanted]
    if asked.query.get("sort_order") != "asc":
        found.reverse()
    page = console_query.page(asked.query)
    forms = [console_forms.usage_row(number, row, asked.at) for number, row in _cut(found, page)]
    return _paged(forms, len(found), page)


def _mine(asked: Asked) -> list[Row]:
    _check_key(asked)
    return asked.rows()


def _check_key(asked: Asked) -> None:
    """Refuse another account's key, and an unknown one."""
    number = asked.query.get("api_key_id", "").strip()
    if not number:
        return
    if not number.isdigit():
        raise ConsoleError(400, "Invalid api_key_id")
    owners = {str(key.id): key.account for key in asked.gateway.keys.values()}
    if number not in owners:
        raise ConsoleError(404, "api key not found", reason="API_KEY_NOT_FOUND")
    if owners[number] is not asked.account:
        message = "Not authorized to access this API key's usage records"
        raise ConsoleError(403, message)


def _of_key(asked: Asked, row: Row) -> bool:
    number = asked.query.get("api_key_id", "").strip()
    return not number or str(row.key.id) == number


def _spanned(asked: Asked) -> tuple[Span, list[Row]]:
    """The rows of the days that are asked for, and these days."""
    span = console_query.span(asked.query, asked.at)
    rows = [row for row in _mine(asked) if span.start <= row.end < span.end and _of_key(asked, row)]
    return span, rows


def stats(asked: Asked) -> dict[str, Any]:
    """Sums over some days, and by endpoint."""
    _, rows = _spanned(asked)
    whole = console_forms.summed(rows, lambda _: "").get("", dict.fromkeys(_SUMS, 0))
    took = sum(row.duration for row in rows) / ticks.MILLI
    ends = console_forms.summed(rows, lambda row: row.request.path)
    kept = ("requests", "total_tokens", "cost", "actual_cost")
    return {
        "total_requests": whole["requests"],
        "total_input_tokens": whole["input_tokens"],
        "total_output_tokens": whole["output_tokens"],
        "total_cache_tokens": whole["cache_read_tokens"] + whole["cache_creation_tokens"],
        "total_cache_creation_tokens": whole["cache_creation_tokens"],
        "total_cache_read_tokens": whole["cache_read_tokens"],
        "total_tokens": whole["total_tokens"],
        "total_cost": whole["cost"],
        "total_actual_cost": whole["actual_cost"],
        "average_duration_ms": took / len(rows) if rows else 0,
        "endpoints": [
            {"endpoint": path, **{name: sums[name] for name in kept}} for path, sums in ends.items()
        ],
    }


_SUMS = ("requests", *console_forms.TOKENS, "total_tokens", "cost", "actual_cost")


def trend(asked: Asked) -> dict[str, Any]:
    """Sums by day or hour."""
    span, rows = _spanned(asked)
    grain = "hour" if asked.query.get("granularity") == "hour" else "day"
    return {
        "end_date": span.last,
        "granularity": grain,
        "start_date": span.first,
        "trend": _trend(asked, rows, grain),
    }


def _trend(asked: Asked, rows: list[Row], grain: str) -> list[dict[str, Any]]:
    zone = console_query.zone_of(asked.query.get("timezone", ""))
    form = "%Y-%m-%d %H:00" if grain == "hour" else "%Y-%m-%d"

    def place(row: Row) -> str:
        return ticks.instant(row.end).astimezone(zone).strftime(form)

    sums = console_forms.summed(rows, place)
    return [{"date": name, **sums[name]} for name in sorted(sums)]


def models(asked: Asked) -> dict[str, Any]:
    """Sums by model, the most requested first."""
    span, rows = _spanned(asked)
    return {"end_date": span.last, "models": _models(rows), "start_date": span.first}


def _models(rows: list[Row]) -> list[dict[str, Any]]:
    sums = console_forms.summed(rows, lambda row: row.request.model)
    order = sorted(sums, key=lambda name: -sums[name]["requests"])
    return [{"model": name, **sums[name]} for name in order]


def snapshot(asked: Asked) -> dict[str, Any]:
    """Both at once, as the console's page asks for them."""
    span, rows = _spanned(asked)
    return {
        "end_date": span.last,
        "generated_at": ticks.utc_seconds(asked.at),
        "granularity": "day",
        "models": _models(rows),
        "start_date": span.first,
        "trend": _trend(asked, rows, "day"),
    }


def key_days(asked: Asked) -> dict[str, Any]:
    """Sums of one key by day."""
    key, text = asked.key(), asked.query.get("days", "")
    days = int(text) if text.isdigit() and 0 < int(text[:4]) <= _MOST_DAYS else _DAYS
    first = ticks.server_midnight(asked.at) - (days - 1) * ticks.DAY
    rows = [row for row in asked.rows() if row.key is key and row.end >= first]
    sums = console_forms.summed(rows, lambda row: ticks.server_day(row.end))
    items = [
        {"date": day, **{name.replace("creation", "write"): n for name, n in sums[day].items()}}
        for day in sorted(sums)
    ]
    last = ticks.server_day(asked.at)
    return {"days": days, "end_date": last, "items": items, "start_date": ticks.server_day(first)}


def refusals(asked: Asked) -> dict[str, Any]:
    """Failed requests, newest first."""
    held = _refused(asked)
    page = console_query.page(asked.query)
    page = page._replace(size=min(page.size, _REFUSALS_A_PAGE))
    numbered = list(enumerate(held, 1))[::-1]
    forms = [_refusal(number, item) for number, item in _cut(numbered, page)]
    for form in forms:
        del form["error_body"]
    return _paged(forms, len(held), page)


def one_refusal(asked: Asked) -> dict[str, Any]:
    """One failed request, with the body its caller was sent.

    Raises:
        ConsoleError: there is none of this number.
    """
    held, number = _refused(asked), int(asked.target)
    if not 0 < number <= len(held):
        raise ConsoleError(404, "error log not found", reason="ERROR_LOG_NOT_FOUND")
    return _refusal(number, held[number - 1])


def _refused(asked: Asked) -> list[Refusal]:
    own = [item for item in asked.gateway.refusals if item.key.account is asked.account]
    return sorted(own, key=lambda item: item.at)


def _refusal(number: int, item: Refusal) -> dict[str, Any]:
    protocol = item.key.group.protocol if item.key.group else None
    surface = surface_of(item.request.path)
    status = item.problem.status
    answer = Answer(status, (), None, answers.JSON, 0, surface, protocol, item.problem)
    return console_forms.refusal(number, item, answers.problem_body(answer, item.problem))


def _cut(items: list[Any], page: console_query.Page) -> list[Any]:
    start = (page.number - 1) * page.size
    return items[start : start + page.size]


def _paged(items: list[dict[str, Any]], total: int, page: console_query.Page) -> dict[str, Any]:
    return {
        "items": items,
        "total": total,
        "page": page.number,
        "page_size": page.size,
        "pages": max(1, math.ceil(total / page.size)),
    }
