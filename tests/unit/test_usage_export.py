"""Exports of every form are read exactly: what cannot be is refused with its reason and line."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from runbook_lib.errors import InputError, UnknownSourceError
from tests.unit.usage_kit import FULL, ROW, export, read, rows

SECRET = "sk-" + "0123456789abcdef"
FAMILIES = {
    "2025-12-18": (
        "Model,Type,Input Tokens,Output Tokens,Cache Tokens,Total Cost,Billing Type,"
        "First Token (ms),Duration (ms),Time"
    ),
    "2025-12-19": (
        "Model,Type,Input Tokens,Output Tokens,Cache Read Tokens,Cache Write Tokens,Total Cost,"
        "Billing Type,First Token (ms),Duration (ms),Time"
    ),
    "2025-12-28": (
        "Time,API Key Name,Model,Type,Input Tokens,Output Tokens,Cache Read Tokens,"
        "Cache Creation Tokens,Rate Multiplier,Billed Cost,Original Cost,Billing Type,"
        "First Token (ms),Duration (ms)"
    ),
    "0.1.88": (
        "Time,API Key Name,Model,Reasoning Effort,Inbound Endpoint,Type,Input Tokens,"
        "Output Tokens,Cache Read Tokens,Cache Creation Tokens,Rate Multiplier,Billed Cost,"
        "Original Cost,First Token (ms),Duration (ms)"
    ),
    "0.1.144": FULL,
    "without rate": FULL.replace("Rate Multiplier,", "").replace("Original Cost,", ""),
    "output speed": f"{FULL},Output Speed (tokens/s)",
    "operators": f"{FULL},User-Agent,Group Name,Group ID,Request ID",
}
OLD = {
    "Cache Tokens": "1360",
    "Cache Write Tokens": "0",
    "Total Cost": "0.00229260",
    "Billing Type": "0",
    "Output Speed (tokens/s)": "88.1",
    "User-Agent": "OpenAI/Python 3.54.0",
    "Group Name": "openai-std",
    "Group ID": "22",
    "Request ID": "client:f6828d16-68aa-45e7-8e65-09745104e0e6",
}
TRANSLATED = (
    "时间,API 密钥,模型,状态,思考模式,推理强度,请求协议,入站端点,类型,HTTP 状态,错误码,错误信息,"
    "输入 Token,输出 Token,缓存读取 Token,缓存创建 Token,倍率,实际费用,原始费用,免扣原因,"
    "首 Token (ms),耗时 (ms)"
)


@pytest.mark.parametrize("header", FAMILIES.values(), ids=FAMILIES.keys())
def test_every_column_family_is_read(tmp_path: Path, header: str) -> None:
    """Consoles of all versions are in use; the user cannot choose which one exports."""
    intake = read(tmp_path, export({**OLD}, header=header))
    (row,) = rows(intake)
    assert (intake.rows, intake.rejected) == (1, 0)
    assert row["ts"] == datetime(2026, 11, 24, 5, 43, 2, 661639, tzinfo=UTC)
    assert row["cost_usd"] == Decimal("0.0022926")
    assert (row["model"], row["request_type"]) == ("gpt-5.4-mini", "stream")
    assert (row["input_tokens"], row["output_tokens"]) == (907, 463)
    assert (row["ttft_ms"], row["duration_ms"]) == (249.0, 1499.0)
    assert row["reasoning_effort"] is None
    assert intake.usd_used == Decimal("0.0022926")


def test_the_sum_of_cached_tokens_is_not_taken_for_one_of_its_parts(tmp_path: Path) -> None:
    """The oldest export has one sum of tokens read and written; splitting it would be a guess."""
    intake = read(tmp_path, export(OLD, header=FAMILIES["2025-12-18"]))
    (row,) = rows(intake)
    assert row["cache_read_tokens"] is None
    assert "Cache Tokens" in row["extra"]
    assert any("Cache Tokens" in note for note in intake.notes)


def test_the_translated_form_lists_failed_requests(tmp_path: Path) -> None:
    """One relative writes Chinese names and failed requests with their status and code."""
    cells = (
        "2026-11-24T13:43:02+08:00,prod-web,gpt-5.4,失败,已启用,'-,openai,/v1/messages,流式,"
        "429,rate_limited,too many requests for this key today,1,0,0,0,1,0.00000000,0.00000000,"
        "upstream_error,,120"
    )
    (row,) = rows(read(tmp_path, f"\ufeff{TRANSLATED}\n{cells}"))
    assert (row["status"], row["code"], row["request_type"]) == (429, "rate_limited", "stream")
    assert (row["key_name"], row["duration_ms"]) == ("prod-web", 120.0)
    assert "today" not in (row["extra"] or "")


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(export({}, {}).encode("utf-8-sig"), id="byte order mark"),
        pytest.param(export({}, {}).encode("utf-16"), id="UTF-16"),
        pytest.param("\ufeff".encode("utf-16-be") + export({}, {}).encode("utf-16-be"), id="BE"),
        pytest.param(export({}, {}, end="\r\n"), id="CRLF"),
        pytest.param(export({}, {}, end="\r"), id="CR"),
        pytest.param(export({}, {}).replace("\n", "\r\n", 1), id="mixed ends"),
        pytest.param(export({}, {}) + "\n", id="last line ended"),
        pytest.param(export({}, {}) + "\n\n\n", id="blank lines"),
        pytest.param(export({}, {}, delimiter=";"), id="semicolon"),
        pytest.param(export({}, {}, delimiter="\t"), id="tab"),
        pytest.param(
            export({"Billed Cost": "0,00229260"}, {"Billed Cost": "0,0022926"}, delimiter=";"),
            id="decimal comma",
        ),
        pytest.param(export({}, {}, header=",".join(reversed(FULL.split(",")))), id="other order"),
        pytest.param(export({}, {}).replace(FULL, FULL.upper()), id="upper case"),
        pytest.param(export({}, {}).replace(FULL, FULL.replace(" ", "_")), id="underscores"),
        pytest.param(export({}, {}).replace(FULL, FULL.replace(",", " , ")), id="blanks"),
    ],
)
def test_the_way_a_file_is_written_changes_nothing(tmp_path: Path, content: str | bytes) -> None:
    """Spreadsheets save as they like; the rows are the same."""
    intake = read(tmp_path, content)
    assert (intake.rows, intake.rejected) == (2, 0)
    assert {row["cost_usd"] for row in rows(intake)} == {Decimal("0.0022926")}
    assert {row["key_name"] for row in rows(intake)} == {"prod-web"}
    assert {row["row_number"] for row in rows(intake)} == {1, 2}


@pytest.mark.parametrize(
    ("column", "cell", "field", "value"),
    [
        pytest.param("API Key Name", "'-dev", "key_name", "-dev", id="guarded name"),
        pytest.param("API Key Name", "'=cmd()", "key_name", "=cmd()", id="guarded formula"),
        pytest.param("API Key Name", "'quoted'", "key_name", "'quoted'", id="own apostrophe"),
        pytest.param("API Key Name", "NA", "key_name", "NA", id="named NA"),
        pytest.param("API Key Name", "null", "key_name", "null", id="named null"),
        pytest.param("API Key Name", "", "key_name", None, id="no name"),
        pytest.param("API Key Name", "00123", "key_name", "00123", id="digits"),
        pytest.param("API Key Name", "a\nb", "key_name", "a\nb", id="newline"),
        pytest.param("API Key Name", 'a"b,c', "key_name", 'a"b,c', id="quote and comma"),
        pytest.param("API Key Name", "клавиша\u202e🔑", "key_name", "клавиша\u202e🔑", id="signs"),
        pytest.param("API Key Name", "a\x00b", "key_name", "a\ufffdb", id="NUL"),
        pytest.param("API Key Name", SECRET, "key_name", "[secret removed]", id="key"),
        pytest.param("Reasoning Effort", "High", "reasoning_effort", "high", id="effort"),
        pytest.param("Billing Mode", "按量", "billing_mode", "token", id="translated mode"),
        pytest.param("Type", "WS", "request_type", "ws", id="type"),
        pytest.param("Billed Cost", "", "cost_usd", None, id="unknown cost"),
        pytest.param("Billed Cost", "0", "cost_usd", Decimal(0), id="no cost"),
        pytest.param("Billed Cost", "1e-9", "cost_usd", Decimal("1e-9"), id="exponent"),
        pytest.param("Billed Cost", "0.1234567891", "cost_usd", Decimal("0.1234567891"), id="ten"),
        pytest.param("Billed Cost", "'-0.50000000", "cost_usd", Decimal("-0.5"), id="refund"),
        pytest.param("Billed Cost", "-0.5", "cost_usd", Decimal("-0.5"), id="negative"),
        pytest.param("Billed Cost", "$1,234.50", "cost_usd", Decimal("1234.5"), id="US thousands"),
        pytest.param("Billed Cost", "US$0.5", "cost_usd", Decimal("0.5"), id="currency sign"),
        pytest.param("Billed Cost", "(0.5)", "cost_usd", Decimal("-0.5"), id="bookkeeping minus"),
        pytest.param("Input Tokens", "12.0", "input_tokens", 12, id="whole float"),
        pytest.param("Input Tokens", "1,234,567", "input_tokens", 1_234_567, id="thousands"),
        pytest.param("Input Tokens", str(10**18), "input_tokens", 10**18, id="large"),
        pytest.param("Input Tokens", "9007199254740993", "input_tokens", 2**53 + 1, id="exact"),
        pytest.param("Input Tokens", "", "input_tokens", None, id="unknown tokens"),
        pytest.param("Duration (ms)", "1.5s", "duration_ms", 1500.0, id="unit"),
        pytest.param("Duration (ms)", "12.25", "duration_ms", 12.25, id="fraction"),
    ],
)
def test_a_cell_is_read_exactly(
    tmp_path: Path, column: str, cell: str, field: str, value: object
) -> None:
    """Nothing is rounded, trimmed to a number or taken for unknown that stands there."""
    intake = read(tmp_path, export({column: cell}))
    (row,) = rows(intake)
    assert (intake.rejected, row[field]) == (0, value)


@pytest.mark.parametrize(
    ("column", "cell", "reason"),
    [
        pytest.param("Billed Cost", "0.12345678901", "more than ten decimals", id="too fine"),
        pytest.param("Billed Cost", "1.5e-10", "more than ten decimals", id="too fine exponent"),
        pytest.param("Billed Cost", "NaN", "not finite", id="NaN"),
        pytest.param("Billed Cost", "Infinity", "not finite", id="infinite"),
        pytest.param("Billed Cost", "999999999", "too large", id="too large"),
        pytest.param("Billed Cost", "¥1.20", "not in USD", id="other currency"),
        pytest.param("Billed Cost", "1,23", "no number", id="decimal comma in a comma file"),
        pytest.param("Billed Cost", "1_0.5", "no number", id="underscore"),
        pytest.param("Billed Cost", "free", "no number", id="word"),
        pytest.param("Input Tokens", "12.5", "no whole number", id="half a token"),
        pytest.param("Input Tokens", "-1", "negative", id="negative count"),
        pytest.param("Input Tokens", str(10**19), "too large", id="count too large"),
        pytest.param("Input Tokens", "1_0", "no number", id="count with underscore"),
        pytest.param("Duration (ms)", "-5", "cannot be", id="negative length"),
        pytest.param("Duration (ms)", "inf", "", id="infinite length"),
        pytest.param("Duration (ms)", str(10**18), "cannot be", id="length of ages"),
        pytest.param("Time", "", "time", id="no time"),
        pytest.param("Time", "2026-11-24", "time", id="a day"),
        pytest.param("Time", "2026-11-24T13:43:02", "without an offset", id="no offset"),
        pytest.param("Time", "2026-13-24T13:43:02Z", "cannot be read", id="no such month"),
        pytest.param("Time", "2026-11-24T13:43:02+99:99", "cannot be read", id="no such offset"),
        pytest.param("Time", "9999-11-24T13:43:02Z", "2000 to 2100", id="far future"),
        pytest.param("Time", "infinity", "time", id="the engine's own words"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_reason(
    tmp_path: Path, column: str, cell: str, reason: str
) -> None:
    """A guess is worse than a gap: the row is counted, with its line, its reason and its cost."""
    intake = read(tmp_path, export({}, {column: cell}, {}))
    assert (intake.rows, intake.rejected) == (2, 1)
    (reject,) = intake.rejects
    assert reason in reject.reason
    assert (reject.row, reject.line) == (2, 3)
    assert sum(intake.reasons.values()) == 1
    assert intake.usd_used == 2 * Decimal("0.0022926")
    known = Decimal(0) if column == "Billed Cost" else Decimal("0.0022926")
    assert intake.usd_rejected == known
    assert [row["row_number"] for row in rows(intake)] == [1, 3]


def test_times_without_an_offset_are_read_in_the_zone_that_is_given(tmp_path: Path) -> None:
    """Where the zone skips an hour or has it twice, the time is refused, never guessed."""
    times = ["2026-03-29 01:59:59", "2026-03-29 02:30:00", "2026-10-25 02:30:00"]
    content = export(*({"Time": time} for time in times))
    intake = read(tmp_path, content, zone="Europe/Berlin")
    assert [row["ts"].isoformat() for row in rows(intake)] == ["2026-03-29T00:59:59+00:00"]
    assert intake.reasons == {"ts: time that its zone skips or has twice": 2}


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        pytest.param("2026-11-24T05:43:02Z", "2026-11-24T05:43:02+00:00", id="Z"),
        pytest.param("2026-11-24T00:43:02.5-05:00", "2026-11-24T05:43:02.500000+00:00", id="west"),
        pytest.param(
            "2026-11-24T05:43:02.123456789Z", "2026-11-24T05:43:02.123456+00:00", id="nanoseconds"
        ),
        pytest.param("1795498982", "2026-11-24T05:43:02+00:00", id="seconds"),
        pytest.param("1795498982123", "2026-11-24T05:43:02.123000+00:00", id="milliseconds"),
        pytest.param("2099-01-01T00:00:00Z", "2099-01-01T00:00:00+00:00", id="future"),
    ],
)
def test_an_instant_is_read_in_every_form(tmp_path: Path, text: str, instant: str) -> None:
    """Exports of relatives and of other tools write times differently."""
    (row,) = rows(read(tmp_path, export({"Time": text})))
    assert row["ts"].isoformat() == instant


def test_rows_of_the_wrong_width_are_refused(tmp_path: Path) -> None:
    """A cell too many shifts all that follow; cells that are only empty do no harm."""
    good = export({}).split("\n")[1]
    lines = [FULL, good, f"{good},1", good.rsplit(",", 3)[0], f"{good},,", good]
    intake = read(tmp_path, "\n".join(lines))
    assert (intake.rows, intake.rejected) == (3, 2)
    assert {r.line: r.reason for r in intake.rejects} == {
        3: "18 cells instead of 17",
        4: "14 cells instead of 17",
    }


def test_a_cut_last_line_is_told(tmp_path: Path) -> None:
    """A download that broke off looks whole but for its last line."""
    intake = read(tmp_path, export({}, {})[:-60])
    assert (intake.rows, intake.rejected) == (1, 1)
    assert any("cut in its last line" in note for note in intake.notes)


def test_an_open_quote_costs_one_line_not_the_rest(tmp_path: Path) -> None:
    """A stray quote must not swallow the rows after it."""
    lines = export(*([{}] * 200)).split("\n")
    lines[3] = lines[3].replace("prod-web", '"prod-web')
    intake = read(tmp_path, "\n".join(lines))
    assert (intake.rows, intake.rejected) == (199, 1)
    assert intake.rejects[0].line == 4


def test_files_that_were_joined_are_read_through(tmp_path: Path) -> None:
    """The header of the second part is no row."""
    intake = read(tmp_path, export({}) + "\n" + export({}))
    assert (intake.rows, intake.rejected, intake.other_lines) == (2, 0, 1)


def test_a_header_only_is_an_export_without_rows(tmp_path: Path) -> None:
    """A quiet week is no error, but it is told."""
    intake = read(tmp_path, FULL)
    assert (intake.rows, intake.rejected, intake.staged) == (0, 0, None)
    assert any("no row" in note for note in intake.notes)


def test_an_empty_file_and_a_foreign_table_are_refused(tmp_path: Path) -> None:
    """What is no export must not become one with no rows."""
    with pytest.raises(InputError):
        read(tmp_path, "")
    with pytest.raises(UnknownSourceError):
        read(tmp_path, "a,b,c,d,e,f,g\n1,2,3,4,5,6,7")


def test_of_two_columns_with_one_meaning_the_first_counts(tmp_path: Path) -> None:
    """Which of them is right cannot be told, so the other is kept and the doubt is said."""
    names = f"{FULL},Billed Cost"
    cells = ",".join([*ROW.values(), "9.99"])
    intake = read(tmp_path, f"{names}\n{cells}")
    (row,) = rows(intake)
    assert row["cost_usd"] == Decimal("0.0022926")
    assert "9.99" in row["extra"]
    assert any("two columns mean cost_usd" in note for note in intake.notes)


def test_unknown_columns_are_kept_and_secrets_are_not(tmp_path: Path) -> None:
    """A sheet from elsewhere can carry the keys themselves."""
    header = f"{FULL},Team,API Secret,Where"
    change = {"Team": "growth", "API Secret": "hunter2", "Where": SECRET}
    (row,) = rows(read(tmp_path, export(change, header=header)))
    assert "growth" in row["extra"]
    assert "hunter2" not in row["extra"]
    assert "sk-0123" not in row["extra"]


def test_gaps_seams_and_days_without_rows_are_told(tmp_path: Path) -> None:
    """An export that lacks a page or a day looks like a quiet time."""
    hours = [f"2026-11-{day}T{hour:02}:00:00Z" for day in (20, 22) for hour in range(20)]
    content = export(*({"Time": hours[place // 25]} for place in range(1000)))
    notes = read(tmp_path, content, name="usage_2026-11-18_to_2026-11-24.csv").notes
    assert any("begins at 2026-11-18" in note for note in notes)
    assert any("ends at 2026-11-24" in note for note in notes)
    assert any("without a row" in note for note in notes)
    assert any("exactly 1,000 rows" in note for note in notes)


@pytest.mark.shared
def test_the_recorded_exports_are_read_whole(gateway: Path, tmp_path: Path) -> None:
    """Real files of the console: every row is used, every cent counted."""
    path = gateway / "usage_2026-11-24_to_2026-11-24.csv"
    intake = read(tmp_path, path.read_bytes(), name=path.name)
    assert (intake.rows, intake.rejected) == (4611, 0)
    assert intake.usd_used == Decimal("27.02297093")
