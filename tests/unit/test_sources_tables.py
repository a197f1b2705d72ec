"""The optional tables: key inventory, audit log, live answers, refusals, the user's own CSV."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sources_kit as kit

from runbook_lib.errors import InputError

KEYS = (
    "key_name,environment,owner,service,group,created_at,expires_at,cap_amount,cap_currency,"
    "cap_window,ip_allowlist,model_allowlist,replaced_by,note\n"
)
AUDIT = (
    # Columns of the family's table, as its database writes them out.
    "id,created_at,actor_user_id,actor_email,actor_role,auth_method,credential_masked,action,"
    "method,path,request_id,client_ip,user_agent,request_body,status_code,latency_ms,extra\n"
)


def test_a_key_inventory_is_read(tmp_path: Path) -> None:
    """One row a cap: a key can stand on several."""
    text = (
        KEYS + "prod-web,production,team,web;search,std,2026-11-24T05:31:40Z,,50,USD,total,"
        "203.0.113.0/24,gpt-5.4;gpt-5.4-mini,,\nprod-web,,,,,,,1.5,cny,1D,,,,hello\n"
    )
    intake = kit.read(tmp_path, text, "anything.txt", account="a1")
    assert (intake.kind, intake.table, intake.rows) == ("key inventory", "keys", 2)
    first, second = kit.rows(intake)
    assert (first["service"], first["cap_amount"], first["expires_at"]) == (
        "web;search",
        Decimal(50),
        None,
    )
    assert first["created_at"] == datetime(2026, 11, 24, 5, 31, 40, tzinfo=UTC)
    assert (second["cap_currency"], second["cap_window"]) == ("CNY", "1d")
    assert {held["account"] for held in (first, second)} == {"a1"}


@pytest.mark.parametrize(
    ("header", "row"),
    [
        pytest.param("key_name,owner,note", "k,o,n", id="fewer"),
        pytest.param("note,OWNER,Key Name", "n,o,k", id="reordered-and-recased"),
        pytest.param("﻿key_name,owner,note", "k,o,n", id="mark-of-utf-8"),
        pytest.param("key_name;owner;note", "k;o;n", id="semicolons"),
        pytest.param("key_name\towner\tnote", "k\to\tn", id="tabs"),
        pytest.param("key_name,owner,note,colour", "k,o,n,red", id="extra"),
        pytest.param('"key_name","owner","note"', '"k","o","n"', id="quoted"),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["lf", "crlf", "cr"])
def test_headers_drift_harmlessly(tmp_path: Path, header: str, row: str, end: str) -> None:
    """Spreadsheets change order, case, delimiter and line ends, not what is meant."""
    (held,) = kit.rows(kit.read(tmp_path, f"{header}{end}{row}"))
    assert (held["key_name"], held["owner"], held["note"]) == ("k", "o", "n")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        pytest.param("k,,", "not as many cells as the header", id="short"),
        pytest.param("k" + "," * 14, "not as many cells as the header", id="long"),
        pytest.param("," * 13, "key_name is missing", id="no-name"),
        pytest.param('k,"open' + "," * 12, "broken quotes", id="open-quote"),
        pytest.param("k,,,,,,,,,," + ",,,", None, id="blank-is-unknown"),
        pytest.param(
            "k,,,,,,,$50,USD,total,,,,", "cap_amount is no plain amount", id="currency-sign"
        ),
        pytest.param('k,,,,,,,"1,5",USD,total,,,,', "cap_amount is no plain amount", id="comma"),
        pytest.param("k,,,,,,,NaN,USD,total,,,,", "cap_amount is no plain amount", id="nan"),
        pytest.param(
            "k,,,,,,,5,EUR,total,,,,", "cap_currency is none of USD, CNY", id="other-currency"
        ),
        pytest.param(
            "k,,,,,,,5,USD,weekly,,,,",
            "cap_window is none of total, 5h, 1d, 7d, month",
            id="other-window",
        ),
        pytest.param(
            "k,,,,,2026-11-24 05:00:00,,,,,,,,",
            "created_at has no offset (name its zone)",
            id="naive-time",
        ),
        pytest.param("k,,,,,soon,,,,,,,,", "created_at cannot be read", id="no-time"),
        pytest.param(
            "sk-" + "a1b2c3d4e5f6" + "," * 13, "key_name is a key, not its name", id="a-real-key"
        ),
    ],
)
def test_a_row_with_a_bad_cell_is_rejected_whole(
    tmp_path: Path, row: str, reason: str | None
) -> None:
    """Half a row would be a guess; the reject is counted and shown instead."""
    intake = kit.read(tmp_path, f"{KEYS}good{',' * 13}\n{row}\n")
    assert intake.reasons == ({} if reason is None else {reason: 1})
    assert intake.rows + intake.rejected == 2


def test_a_column_that_stands_twice_is_refused(tmp_path: Path) -> None:
    """Which of the two is meant cannot be known."""
    with pytest.raises(InputError, match="two columns"):
        kit.read(tmp_path, "key_name,owner,Owner\nk,a,b\n")


def test_days_without_a_time_need_a_zone(tmp_path: Path) -> None:
    """A day begins somewhere; only a person knows where."""
    text = "ts,kind,amount,currency,balance\n2026-11-24,top_up,100,USD,\n"
    assert kit.read(tmp_path, text).rejected == 1
    (held,) = kit.rows(kit.read(tmp_path, text, zone=ZoneInfo("Asia/Shanghai")))
    assert held["ts"] == datetime(2026, 11, 23, 16, tzinfo=UTC)


@pytest.mark.parametrize(
    ("table", "text"),
    [
        ("ledger", "ts,kind,amount,currency,balance\n2026-11-24T00:00:00Z,reading,,USD,-0.01\n"),
        ("budget", "environment,key_name,month,amount,currency\nproduction,,2026-11,100,USD\n"),
        (
            "prices",
            "model,token_kind,usd_per_million,from,to\ngpt-5.4,cache_read,0.1,2026-01-01T00:00Z,\n",
        ),
        ("planned", "start,end,key_name,factor,note\n2026-11-24T00:00Z,2026-11-25T00:00Z,,2,x\n"),
        ("keys", "key_name,note\nk,\n"),
    ],
)
def test_each_own_table_is_known_by_its_header(tmp_path: Path, table: str, text: str) -> None:
    """Users name their files as they like."""
    intake = kit.read(tmp_path, text, "usage.csv")
    assert (intake.table, intake.rows, intake.rejected) == (table, 1, 0)
    assert len(kit.rows(intake)) == 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("month,amount\n2026-13,5\n", "month is not YYYY-MM"),
        ("month,amount\n2026-11,\n", "amount is missing"),
        ("start,end\n2026-11-24T01:00Z,2026-11-24T01:00Z\n", "end is not after start"),
        ("model,token_kind,usd_per_million\nm,thinking,1\n", "token_kind is none of"),
    ],
)
def test_rows_that_cannot_be_meant_are_rejected(tmp_path: Path, text: str, reason: str) -> None:
    """A budget for month 13 would silently never apply."""
    (found,) = kit.read(tmp_path, text).reasons
    assert found.startswith(reason)


def audit_row(action: str, body: str = "", extra: str = "{}", actor: str = "t***") -> str:
    """One row of the audit table."""
    cells = [body.replace('"', '""'), "200", "3", extra.replace('"', '""')]
    quoted = ",".join(f'"{cell}"' for cell in cells)
    return (
        f"1,2026-11-24T05:31:40.069772+00:00,8,{actor},user,jwt,***,{action},POST,/api/v1/keys,"
        f"1cf45bb2,203.0.113.10,Mozilla/5.0,{quoted}\n"
    )


def test_an_audit_log_is_read(tmp_path: Path) -> None:
    """What was set stays readable; a later act finds the name its key was given."""
    text = (
        AUDIT
        + audit_row("keys.update", '{"quota":5}', '{"params":{"id":"62"}}')
        + audit_row("keys.update", '{"name":"prod-web"}', '{"params":{"id":"62"}}')
        + audit_row("keys.create", '{"name":"ci","quota":1,"custom_key":"CANARY"}')
        + audit_row("auth.login", '{"email":"CANARY","password":"CANARY"}', actor="anna@x.invalid")
    )
    intake = kit.read(tmp_path, text)
    assert (intake.table, intake.rows) == ("audit", 4)
    held = kit.rows(intake)
    assert [row["key_name"] for row in held] == ["prod-web", "prod-web", "ci", None]
    assert [row["key_id"] for row in held] == ["62", "62", None, None]
    assert held[2]["change"] == '{"name": "ci", "quota": 1}'
    assert (held[3]["actor"], held[3]["change"]) == ("a***", None)
    assert "CANARY" not in str(held)


def answer(body: dict[str, Any], status: int = 200, **rest: Any) -> str:
    """A live answer as it is saved with its status and time."""
    wrapped = {"status": status, "headers": {}, "asked_at": "2026-11-24T05:44:48+00:00"}
    return json.dumps(wrapped | {"body": body} | rest)


LIMITED = {
    "isValid": True,
    "mode": "quota_limited",
    "quota": {"limit": 50, "remaining": 46.5346843, "used": 3.4653157, "unit": "USD"},
    "rate_limits": [
        {
            "window": "1d",
            "limit": 30,
            "used": 3.7306337,
            "remaining": 26.26936630000001,
            "reset_at": "2026-11-25T00:00:00+08:00",
        }
    ],
    "expires_at": "2027-02-22T13:31:40.067887+08:00",
    "usage": {"total": {"actual_cost": 3.7306337}},
}


def test_a_limited_key_has_a_row_a_window(tmp_path: Path) -> None:
    """Each window fills and rolls over by itself."""
    intake = kit.read(tmp_path, answer(LIMITED), "v1_usage_prod-web.json")
    total, day = kit.rows(intake)
    assert (total["key_name"], total["question"], total["mode"]) == (
        "prod-web",
        "usage",
        "quota_limited",
    )
    assert (total["window"], total["used_usd"]) == ("total", Decimal("3.4653157"))
    assert (day["window"], day["remaining_usd"]) == ("1d", Decimal("26.2693663"))
    assert day["reset_at"] == datetime(2026, 11, 24, 16, tzinfo=UTC)
    assert day["asked_at"] == datetime(2026, 11, 24, 5, 44, 48, tzinfo=UTC)
    assert {row["cost_usd"] for row in (total, day)} == {Decimal("3.7306337")}


@pytest.mark.parametrize(
    ("content", "name", "expected"),
    [
        pytest.param(
            answer({"mode": "unrestricted", "isValid": True, "balance": -0.0009818}),
            "v1_usage_partner.json",
            {"key_name": "partner", "window": None, "balance_usd": Decimal("-0.0009818")},
            id="unrestricted",
        ),
        pytest.param(
            answer({"code": "INVALID_API_KEY", "message": "m"}, 401),
            "v1_usage_old.json",
            {"key_name": "old", "question": "usage", "status": 401, "code": "INVALID_API_KEY"},
            id="refused",
        ),
        pytest.param(
            answer({"object": "list", "data": [{"id": "a"}, {"id": "b"}]}, key_name="k"),
            "x.json",
            {"key_name": "k", "question": "models", "models": "a,b", "status": 200},
            id="models-with-a-name",
        ),
        pytest.param(
            json.dumps({"object": "list", "data": [{"id": "a"}]}),
            "models_k.json",
            {"key_name": "k", "models": "a", "asked_at": None},
            id="bare-body",
        ),
    ],
)
def test_other_live_answers(
    tmp_path: Path, content: str, name: str, expected: dict[str, Any]
) -> None:
    """A refusal is an answer too: it says what the key cannot do."""
    (held,) = kit.rows(kit.read(tmp_path, content, name))
    assert {column: held[column] for column in expected} == expected


def test_a_subscription_has_a_row_a_window(tmp_path: Path) -> None:
    """A plan stops a key as its own windows do, and the gateway tells what is left of it."""
    plan = {
        "daily_limit_usd": 0.01, "daily_usage_usd": 0.003117,
        "monthly_limit_usd": 0.1, "monthly_usage_usd": 0.2,
        "weekly_limit_usd": 0.05, "weekly_usage_usd": 0.003117,
        "weekly_window_start": "2026-11-24T12:43:46.644428+08:00",
    }  # fmt: skip
    body = {"mode": "unrestricted", "planName": "plan-claude", "subscription": plan}
    rows = kit.rows(kit.read(tmp_path, answer(body), "v1_usage_prod-web.json"))
    held = {row["window"]: row for row in rows}
    assert set(held) == {"plan_1d", "plan_7d", "plan_month"}
    assert held["plan_1d"]["remaining_usd"] == Decimal("0.006883")
    assert held["plan_month"]["remaining_usd"] == 0
    assert held["plan_7d"]["reset_at"] == datetime(2026, 12, 1, 4, 43, 46, 644428, tzinfo=UTC)


def test_an_answer_that_names_no_key_says_so(tmp_path: Path) -> None:
    """Without its key an answer tells nothing, and a person can still name it."""
    intake = kit.read(tmp_path, answer(LIMITED), "answer.json")
    assert kit.rows(intake)[0]["key_name"] is None
    assert any("names its key" in note for note in intake.notes)


def test_refusals_are_read_without_their_messages(tmp_path: Path) -> None:
    """Messages come in any language; the list is counted by status, key and time."""
    item = {
        # An item of the console's list of failed requests.
        "id": 4753,
        "created_at": "2026-11-24T13:43:02.467046+08:00",
        "model": "",
        "inbound_endpoint": "/v1/messages",
        "status_code": 403,
        "category": "auth",
        "platform": "anthropic",
        "message": "CANARY",
        "key_name": "contractor-bob",
        "client_ip": "192.0.2.80",
        "group_name": "claude-std",
        "user_agent": "Anthropic/Python 2.12.0",
    }
    items = [item, item | {"status_code": 1000}, item | {"created_at": "x"}, 7]
    page = {"code": 0, "data": {"items": items, "total": 9}}
    intake = kit.read(tmp_path, json.dumps(page))
    (held,) = kit.rows(intake)
    assert (held["ts"], held["model"], held["status"]) == (
        datetime(2026, 11, 24, 5, 43, 2, 467_046, tzinfo=UTC),
        None,
        403,
    )
    assert (intake.rows, intake.rejected) == (1, 3)
    assert "holds 4 of 9 rows: fetch the other pages too" in intake.notes
    assert "CANARY" not in str(held)
