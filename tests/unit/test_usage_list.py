"""The console's list is read to the last decimal, and the keys in it go nowhere."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from runbook_lib.errors import InputError
from runbook_lib.sources.intake import Source
from tests.unit.usage_kit import read, rows

SECRET = "sk-" + "0123456789abcdef" * 2
ITEM: dict[str, Any] = {
    # The shape of a recorded row of the list, with the key that real ones carry.
    "id": 9614,
    "user_id": 8,
    "api_key_id": 64,
    "request_id": "client:f6828d16-68aa-45e7-8e65-09745104e0e6",
    "model": "gpt-5.4-mini",
    "inbound_endpoint": "/v1/chat/completions",
    "input_tokens": 907,
    "output_tokens": 463,
    "cache_creation_tokens": 12,
    "cache_read_tokens": 1360,
    "cache_creation_5m_tokens": 5,
    "cache_creation_1h_tokens": 7,
    "total_cost": 0.00286575,
    "actual_cost": 0.0022926,
    "rate_multiplier": 0.8,
    "request_type": "sync",
    "stream": False,
    "duration_ms": 1499,
    "first_token_ms": None,
    "user_agent": "AsyncOpenAI/Python 3.54.0",
    "ip_address": "198.51.100.30",
    "billing_mode": "token",
    "created_at": "2026-11-24T13:43:02.661639+08:00",
    "api_key": {"id": 64, "name": "dev-agent", "key": SECRET, "status": "active"},
    "group": {"id": 22, "name": "openai-std", "platform": "openai"},
    "user": {"email": "someone@example.com"},
}


def listed(*items: object, total: int | None = None) -> str:
    """Write a page of the list as the console answers it."""
    data: dict[str, object] = {"items": list(items), "page": 1, "pages": 1}
    data["total"] = len(items) if total is None else total
    return json.dumps({"code": 0, "message": "success", "data": data})


def test_a_row_of_the_list_is_read(tmp_path: Path) -> None:
    """It is the one source with ids, addresses and cache lifetimes."""
    intake = read(tmp_path, listed(ITEM), name="rows.json")
    (row,) = rows(intake)
    expected = {
        "ts": datetime(2026, 11, 24, 5, 43, 2, 661639, tzinfo=UTC),
        "request_id": ITEM["request_id"],
        "key_name": "dev-agent",
        "group_name": "openai-std",
        "request_type": "sync",
        "cache_write_tokens": 12,
        "cache_write_5m_tokens": 5,
        "cache_write_1h_tokens": 7,
        "cost_usd": Decimal("0.0022926"),
        "original_cost_usd": Decimal("0.00286575"),
        "ttft_ms": None,
        "duration_ms": 1499.0,
        "user_agent": "AsyncOpenAI/Python 3.54.0",
    }
    assert {name: row[name] for name in expected} == expected
    assert (intake.kind, intake.cost_decimals) == ("usage list", 10)


def test_the_key_in_each_row_goes_nowhere(tmp_path: Path) -> None:
    """Rows of the list contain the full key of the customer."""
    broken = {**ITEM, "actual_cost": "free"}
    intake = read(tmp_path, listed(ITEM, broken), name="rows.json")
    assert intake.staged is not None
    assert SECRET.encode() not in intake.staged.read_bytes()
    assert SECRET not in repr(intake) + str(rows(intake))
    assert "someone@example.com" not in str(rows(intake))


def test_costs_are_taken_from_their_text(tmp_path: Path) -> None:
    """Ten decimals do not survive a float."""
    text = listed(ITEM).replace("0.0022926", "12345678.0000000001")
    (row,) = rows(read(tmp_path, text, name="rows.json"))
    assert row["cost_usd"] == Decimal("12345678.0000000001")


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(listed(ITEM) + "\n" + listed(ITEM), id="a page a line"),
        pytest.param(json.dumps([ITEM, ITEM], indent=1), id="the bare rows"),
        pytest.param(listed(ITEM, ITEM), id="one page"),
    ],
)
def test_pages_are_read_however_they_were_saved(tmp_path: Path, content: str) -> None:
    """People save one page, many pages, or only the rows."""
    from runbook_lib.sources import usage_list

    path = tmp_path / "rows.json"
    path.write_text(content)
    intake = usage_list.read(Source(path=path, staging=tmp_path, source_file="rows.json"))
    assert (intake.rows, intake.rejected) == (2, 0)
    assert intake.usd_used == Decimal("0.0045852")


def test_a_missing_page_is_told(tmp_path: Path) -> None:
    """The list tells how many rows there are; a page alone looks like all."""
    intake = read(tmp_path, listed(ITEM, total=1500), name="rows.json")
    assert any("1 of 1500" in note for note in intake.notes)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param({"input_tokens": 1.5}, "input_tokens: count that is no whole", id="half"),
        pytest.param({"input_tokens": -1}, "negative", id="negative"),
        pytest.param({"input_tokens": True}, "of another type", id="flag"),
        pytest.param({"model": {"a": 1}}, "of another type", id="object"),
        pytest.param({"created_at": None}, "no time", id="no time"),
        pytest.param({"created_at": "2026-11-24T13:43:02"}, "without an offset", id="no offset"),
        pytest.param({"total_cost": 1e-11}, "more than ten decimals", id="too fine"),
    ],
)
def test_a_bad_row_is_refused_with_its_reason(
    tmp_path: Path, change: dict[str, object], reason: str
) -> None:
    """The other rows of the page are used, and the cost of the bad one is counted apart."""
    intake = read(tmp_path, listed(ITEM, {**ITEM, **change}), name="rows.json")
    assert (intake.rows, intake.rejected) == (1, 1)
    assert reason in intake.rejects[0].reason
    assert intake.usd_used == intake.usd_rejected == Decimal("0.0022926")


def test_a_cut_list_is_refused_whole(tmp_path: Path) -> None:
    """Half of a JSON document is no list; nothing of it is used."""
    with pytest.raises(InputError):
        read(tmp_path, listed(*[ITEM] * 20)[:-40], name="rows.json")


@pytest.mark.shared
def test_the_recorded_list_has_all_ten_decimals(gateway: Path, tmp_path: Path) -> None:
    """The main account of the recording, to the last digit."""
    content = (gateway / "usage_rows.json.gz").read_bytes()
    intake = read(tmp_path, content, name="usage_rows.json.gz")
    assert (intake.rows, intake.rejected) == (4611, 0)
    assert intake.usd_used == Decimal("27.0229709575")
    assert "request_id" in intake.columns
