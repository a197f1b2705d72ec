"""Writes the gateway's side as its console does: the usage export, the lists, the audit table.

Columns, cells and order are those measured of version 0.1.144 and later (contract §7, M). No secret
is ever written: the list's rows lack the key that the console embeds in them.
"""

import csv
import gzip
import io
import json
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

from runbook_lib.sandbox import prices, ticks
from runbook_lib.sandbox.console import Act
from runbook_lib.sandbox.machine import Refusal, Row

COLUMNS = (
    "Time,API Key Name,Model,Reasoning Effort,Inbound Endpoint,IP Address,Type,Billing Mode,"
    "Input Tokens,Output Tokens,Cache Read Tokens,Cache Creation Tokens,Rate Multiplier,"
    "Billed Cost,Original Cost,First Token (ms),Duration (ms)"
)
"""Header of the usage export."""

AUDIT_COLUMNS = (
    "id,created_at,actor_user_id,actor_email,actor_role,auth_method,credential_masked,action,"
    "method,path,request_id,client_ip,user_agent,request_body,status_code,latency_ms,extra"
)
"""Header of the audit table."""

FIRST_ROW = 1001
_BOM = "\ufeff"
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_QUOTED = re.compile('[",\n\r]|^ | $')
_NO_EFFORT = '"\'-"'


def usage_name(start: int, end: int) -> str:
    """Name the export of a span as the console does, by days of the server's zone."""
    return f"usage_{ticks.server_day(start)}_to_{ticks.server_day(end)}.csv"


def write_usage(path: Path, rows: list[Row]) -> None:
    """Write the usage export: newest first, with a byte order mark, without a last newline."""
    with path.open("w", encoding="utf-8", newline="") as out:
        out.write(_BOM + COLUMNS)
        out.writelines(_usage_line(row) for row in reversed(rows))


def _usage_line(row: Row) -> str:
    request, tokens, cost = row.request, row.tokens, row.cost
    first = "" if row.ttft is None else row.ttft // ticks.MILLI
    effort = f'"{request.effort}"' if request.effort else _NO_EFFORT
    return (
        f"\n{ticks.server_time(row.end)},{_cell(row.key.name)},{_cell(request.model)},{effort},"
        f"{_cell(request.path)},{request.ip},{'Stream' if request.stream else 'Sync'},Token,"
        f"{tokens.input},{tokens.output},{tokens.cache_read},{tokens.cache_write},"
        f"{_multiplier(row)},{prices.eight(cost.billed)},{prices.eight(cost.original)},"
        f"{first},{row.duration // ticks.MILLI}"
    )


@lru_cache(maxsize=4096)
def _cell(text: str) -> str:
    """Write a text as the console does: quoted where a CSV needs it, guarded where it is a formula.

    The console puts an apostrophe before what a spreadsheet would run (contract §7, M).
    """
    text = f"'{text}" if text[:1] in _FORMULA else text
    return '"{}"'.format(text.replace('"', '""')) if _QUOTED.search(text) else text


@lru_cache(maxsize=4096)
def _json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _multiplier(row: Row) -> str:
    return f"{row.group.multiplier / prices.MULTIPLIER_PARTS:g}"


def write_rows(path: Path, rows: list[Row], first_id: int) -> None:
    """Write rows as the console's list answers them, newest first; *first_id* is the oldest's."""
    numbered = zip(range(first_id + len(rows) - 1, first_id - 1, -1), reversed(rows), strict=True)
    _write_list(path, (list_item(number, row) for number, row in numbered), len(rows))


def list_item(number: int, row: Row) -> str:
    """Write one usage row as the console's list does; *number* is its id."""
    request, tokens, cost, group = row.request, row.tokens, row.cost, row.group
    first = "null" if row.ttft is None else row.ttft // ticks.MILLI
    stream = "true" if request.stream else "false"
    status = "active" if row.key.deleted_at is None else "deleted"
    paid_by = row.key.account.subscriptions.get(group.id)
    plan, billing = ("null", 0) if paid_by is None else (paid_by.id, 1)
    return (
        f'{{"id":{number},"user_id":{row.key.account.id},"api_key_id":{row.key.id},'
        f'"account_id":{row.channel.id},"request_id":"client:{row.client_id}",'
        f'"model":{_json(request.model)},"inbound_endpoint":{_json(request.path)},'
        f'"group_id":{group.id},'
        f'"subscription_id":{plan},"input_tokens":{tokens.input},"output_tokens":{tokens.output},'
        f'"cache_creation_tokens":{tokens.cache_write},"cache_read_tokens":{tokens.cache_read},'
        f'"cache_creation_5m_tokens":{tokens.cache_write},"cache_creation_1h_tokens":0,'
        f'"input_cost":{prices.plain(cost.input)},"output_cost":{prices.plain(cost.output)},'
        f'"cache_creation_cost":{prices.plain(cost.cache_write)},'
        f'"cache_read_cost":{prices.plain(cost.cache_read)},'
        f'"total_cost":{prices.plain(cost.original)},"actual_cost":{prices.plain(cost.billed)},'
        f'"rate_multiplier":{_multiplier(row)},"long_context_billing_applied":false,'
        f'"billing_type":{billing},"request_type":"{"stream" if request.stream else "sync"}",'
        f'"stream":{stream},"openai_ws_mode":false,"duration_ms":{row.duration // ticks.MILLI},'
        f'"first_token_ms":{first},"media_type":null,"user_agent":{json.dumps(request.user_agent)},'
        f'"ip_address":"{request.ip}","cache_ttl_overridden":false,"billing_mode":"token",'
        f'"created_at":"{ticks.server_time(row.end)}",'
        f'"api_key":{{"id":{row.key.id},"name":{_json(row.key.name)},"status":"{status}"}},'
        f'"group":{{"id":{group.id},"name":"{group.name}","platform":"{group.protocol}",'
        f'"rate_multiplier":{_multiplier(row)}}}}}'
    )


def write_refusals(path: Path, refusals: list[Refusal]) -> None:
    """Write the list of failed requests, newest first; it has no request id."""
    count = len(refusals)
    numbered = zip(range(count, 0, -1), reversed(refusals), strict=True)
    _write_list(path, (refusal_item(number, item) for number, item in numbered), count)


def refusal_item(number: int, item: Refusal) -> str:
    """Write one failed request as the console's list does; *number* is its id."""
    request, problem, key = item.request, item.problem, item.key
    content: dict[str, object] = {
        "id": number,
        "created_at": ticks.server_time(item.at),
        "model": "" if problem.flat else request.model,
        "inbound_endpoint": request.path,
        "status_code": problem.listed if problem.listed is not None else problem.status,
        "category": problem.category,
        "platform": key.group.protocol if key.group else "",
        "message": problem.message,
        "key_name": key.name,
        "key_deleted": key.deleted_at is not None,
        "client_ip": request.ip,
        "group_name": key.group.name if key.group else "",
    }
    if not problem.flat:
        content["request_type"] = 2 if request.stream else 1
    content |= {"stream": request.stream and not problem.flat, "user_agent": request.user_agent}
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def _write_list(path: Path, items: Iterator[str], count: int) -> None:
    head = '{"code":0,"message":"success","data":{"items":['
    tail = f'],"total":{count},"page":1,"page_size":{count},"pages":1}}}}'
    # No name and no time in the packed file, so that the same history gives the same bytes.
    with path.open("wb") as raw, gzip.GzipFile("", "wb", 6, raw, mtime=0) as packed:
        text = io.TextIOWrapper(packed, encoding="utf-8", write_through=False)
        text.write(head)
        text.write(",".join(items))
        text.write(tail)
        text.flush()
        text.detach()


def write_audit(path: Path, acts: Iterable[Act]) -> None:
    """Write the audit table of the keys' owners, oldest first, addresses masked."""
    with path.open("w", encoding="utf-8", newline="") as out:
        out.write(AUDIT_COLUMNS + "\n")
        writer = csv.writer(out, lineterminator="\n")
        writer.writerows(_audit_row(number, act) for number, act in enumerate(acts, 130))


def _audit_row(number: int, act: Act) -> list[object]:
    extra = {} if act.target is None else {"params": {"id": str(act.target)}}
    return [
        number,
        ticks.utc_time(act.at),
        act.account.id,
        act.account.email,
        "user",
        "jwt",
        "***",
        act.action,
        act.method,
        act.path,
        act.request_id,
        act.ip,
        act.agent,
        act.body,
        200,
        2 + number % 5,
        json.dumps(extra, separators=(",", ":")),
    ]
