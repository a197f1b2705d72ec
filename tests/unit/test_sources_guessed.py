"""Logs of unknown make: the field map is guessed, shown and can be overridden."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sources_kit as kit
from sources_kit import GUESSED, OWN

from runbook_lib.errors import InputError, ParameterError, UnknownSourceError

END = datetime(2026, 11, 24, 5, 31, 43, 886_000, tzinfo=UTC)
START = datetime(2026, 11, 24, 5, 31, 42, 651_000, tzinfo=UTC)
BACK_IN_1900 = {**GUESSED, "ms": 4_000_000_000_000}


def test_the_guess_is_shown(tmp_path: Path) -> None:
    """A person must see which field was taken for what, to trust or to correct it."""
    intake = kit.read(tmp_path, [GUESSED])
    assert intake.kind == "application log"
    assert intake.field_map == {
        "attempt": "try",
        "call_id": "job",
        "client_request_id": "client_rid",
        "duration_ms": "ms",
        "input_tokens": "tok_in",
        "key_name": "api_key_alias",
        "model": "model_name",
        "output_tokens": "tok_out",
        "request_ids": "rid",
        "status": "upstream_status",
        "ts": "ts",
        "ts_is": "end",
    }
    (held,) = kit.rows(intake)
    assert (held["request_ids"], held["attempt"], held["call_id"]) == (
        "33333333-cccc-4444-8888-121212121212,req_2",
        2,
        "doc-1",
    )


def test_input_with_an_unknown_cached_share_is_unknown(tmp_path: Path) -> None:
    """The number may hold cached tokens; it stays beside the row, and the intake says so."""
    intake = kit.read(tmp_path, [GUESSED])
    (held,) = kit.rows(intake)
    assert (held["input_tokens"], held["output_tokens"]) == (None, 297)
    assert '"input_tokens_as_logged": 2247' in held["extra"]
    assert any("input_tokens" in note for note in intake.notes)


def test_a_line_that_tells_its_duration_was_written_at_the_end(tmp_path: Path) -> None:
    """Our time is the start of the attempt; taking the end would shift every join."""
    intake = kit.read(tmp_path, [GUESSED])
    assert kit.rows(intake)[0]["ts"] == START
    assert "ts is taken as the end of a call; its start is the duration earlier" in intake.notes


def test_a_duration_longer_than_time_costs_its_line_alone(tmp_path: Path) -> None:
    """A start before there were gateways cannot be; the other lines are read."""
    intake = kit.read(tmp_path, [{**GUESSED, "ms": 1235 + at} for at in range(9)] + [BACK_IN_1900])
    assert (intake.rows, intake.rejected) == (9, 1)
    assert intake.rejects[0].field == "duration_ms"


@pytest.mark.parametrize(
    ("record", "override", "start"),
    [
        pytest.param(GUESSED, {"ts_is": "start"}, END, id="override"),
        pytest.param(GUESSED | {"started_at": "2026-11-24T05:31:40Z"}, {}, None, id="by-name"),
        pytest.param({**GUESSED, "ms": None}, {}, END, id="without-duration"),
    ],
)
def test_what_the_time_means_can_be_told(
    tmp_path: Path, record: dict[str, Any], override: dict[str, str], start: datetime | None
) -> None:
    """A field whose name says start, or a person, decides over the rule."""
    held = kit.row(tmp_path, record, field_map=override)
    assert held["ts"] == (start or datetime(2026, 11, 24, 5, 31, 40, tzinfo=UTC))


@pytest.mark.parametrize(
    ("name", "value", "ms"),
    [
        ("latency_ms", 1500, 1500.0),
        ("duration", 1.5, 1500.0),
        ("elapsed", 1500, 1500.0),
        ("duration_s", 2, 2000.0),
        ("latencySeconds", 2, 2000.0),
        ("duration_ns", 1_500_000_000, 1500.0),
    ],
)
def test_the_unit_of_a_duration_is_in_its_name_or_size(
    tmp_path: Path, name: str, value: float, ms: float
) -> None:
    """Seconds taken as milliseconds would hide every slow call."""
    record = {n: v for n, v in GUESSED.items() if n != "ms"} | {name: value}
    assert kit.row(tmp_path, record)["duration_ms"] == ms


@pytest.mark.parametrize(
    "time_name",
    ["ts", "time", "timestamp", "@timestamp"],
)
def test_nested_fields_are_found(tmp_path: Path, time_name: str) -> None:
    """Structured loggers nest; a dotted path names the field."""
    record = {
        time_name: "2026-11-24T05:31:43.886Z",
        "llm": {"model": "gpt-5.4", "usage": {"prompt_tokens": 9, "completion_tokens": 4}},
        "response": {"status_code": 429, "headers": {"x-request-id": "r-1"}},
        "error": {"code": "rate_limit_exceeded", "type": "x"},
    }
    intake = kit.read(tmp_path, [record])
    (held,) = kit.rows(intake)
    assert intake.field_map["status"] == "response.status_code"
    assert (held["model"], held["status"], held["request_ids"]) == ("gpt-5.4", 429, "r-1")
    assert (held["code"], held["output_tokens"]) == ("rate_limit_exceeded", 4)


def test_fields_without_telling_names_are_known_by_their_values(tmp_path: Path) -> None:
    """Times, ids, statuses and models look like nothing else."""
    record = {
        "a": "2026-11-24T05:31:43.886Z",
        "b": "33333333-cccc-4444-8888-121212121212",
        "c": 503,
        "d": "claude-haiku-4-5",
    }
    intake = kit.read(tmp_path, [record])
    shown = {name: intake.field_map[name] for name in ("ts", "request_ids", "status", "model")}
    assert shown == {"ts": "a", "request_ids": "b", "status": "c", "model": "d"}


def test_a_field_that_only_failures_have_is_found(tmp_path: Path) -> None:
    """Failures are rare and late in a log, and what they say is what counts."""
    failed = GUESSED | {"upstream_status": 429, "err": "insufficient_quota"}
    intake = kit.read(tmp_path, [GUESSED] * 3000 + [failed])
    assert intake.field_map["code"] == "err"
    assert kit.rows(intake)[-1]["code"] == "insufficient_quota"


@pytest.mark.parametrize(
    ("error", "code", "error_type"),
    [
        ("insufficient_quota", "insufficient_quota", "insufficient_quota"),
        ("429", None, "429"),
        ("ReadTimeout", None, "ReadTimeout"),
        ("the model said something long about your question", None, "error"),
    ],
)
def test_a_code_is_a_symbol_and_nothing_else(
    tmp_path: Path, error: str, code: str | None, error_type: str
) -> None:
    """A number is a status, one word is an exception, a sentence is a message."""
    held = kit.row(tmp_path, GUESSED | {"upstream_status": 429, "err": error})
    assert (held["code"], held["error_type"]) == (code, error_type)


def test_lines_of_a_web_application_are_no_calls(tmp_path: Path) -> None:
    """A request id, a status and a duration stand in any web log; a call names a model or key."""
    web = {"ts": GUESSED["ts"], "msg": "http request", "request_id": "r-9", "status": 500, "ms": 4}
    begun = {"ts": GUESSED["ts"], "msg": "llm call started", "model_name": "gpt-5.4", "job": "d"}
    lines = kit.write(tmp_path, [GUESSED, web, begun]).read_text(encoding="utf-8")
    intake = kit.read(tmp_path, f"INFO up\nINFO ready\n{lines}")
    assert (intake.rows, intake.rejected, intake.other_lines) == (1, 0, 4)
    assert kit.rows(intake)[0]["row_number"] == 3


def test_attempts_counted_from_zero_become_ours(tmp_path: Path) -> None:
    """Our first attempt is 1; joined by number, off by one would pair the wrong ones."""
    intake = kit.read(tmp_path, [GUESSED | {"try": 0}, GUESSED | {"try": 1}])
    assert [held["attempt"] for held in kit.rows(intake)] == [1, 2]


def test_an_override_wins_over_the_guess(tmp_path: Path) -> None:
    """Names can mislead; a person who knows the log has the last word."""
    record = GUESSED | {"real_status": 503, "deep": {"who": "prod-web"}}
    override = {"status": "real_status", "key_name": "deep.who"}
    held = kit.row(tmp_path, record, field_map=override)
    assert (held["status"], held["key_name"]) == (503, "prod-web")


@pytest.mark.parametrize(
    ("override", "error"),
    [
        pytest.param({"colour": "rid"}, ParameterError, id="no-such-column"),
        pytest.param({"outcome": "rid"}, ParameterError, id="a-column-we-make"),
        pytest.param({"status": "nowhere"}, InputError, id="no-such-field"),
        pytest.param({"ts_is": "middle"}, ParameterError, id="no-such-meaning"),
        pytest.param({"status": 5}, ParameterError, id="no-text"),
    ],
)
def test_an_override_that_cannot_be_is_refused(
    tmp_path: Path, override: dict[str, str], error: type[Exception]
) -> None:
    """A typo that silently did nothing would leave a wrong guess in place."""
    with pytest.raises(error):
        kit.read(tmp_path, [GUESSED], field_map=override)


def test_an_impossible_override_is_refused_before_any_file(tmp_path: Path) -> None:
    """It is wrong for every file, also for those that need no map."""
    with pytest.raises(ParameterError):
        kit.read(tmp_path, [OWN], field_map={"colour": "rid"})


def test_an_override_leaves_logs_of_known_make_alone(tmp_path: Path) -> None:
    """One map is given for a whole folder; our own log in it needs none."""
    held = kit.row(tmp_path, OWN, field_map={"status": "upstream_status"})
    assert held["status"] == 200


@pytest.mark.parametrize(
    "records",
    [
        pytest.param([{"a": 1}, {"b": 2}], id="numbers"),
        pytest.param([{"ts": "2026-11-24T05:31:43Z", "msg": "hello"}], id="plain-log"),
        pytest.param([{"model": "gpt-5.4"}], id="no-time"),
        pytest.param([{"id": "chatcmpl-1", "model": "gpt-5.4", "created": 1}], id="an-answer"),
    ],
)
def test_json_without_calls_is_no_known_source(tmp_path: Path, records: list[Any]) -> None:
    """An empty table made of foreign data would look like a quiet hour."""
    with pytest.raises(UnknownSourceError):
        kit.read(tmp_path, records)
