"""Every fault that a client must be ready for has a name here, and scenarios are files.

The rows are those of the list of faults that a correct client is held against, 1 to 62.
"""

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from gateway_kit import CHAT, GEMINI, MESSAGES, RESPONSES, Running, running, serving

from runbook_lib.errors import ParameterError
from runbook_lib.sandbox import fault_files, faults, serve
from runbook_lib.sandbox.faults import CATALOGUE, Fault, Rule

ROWS: dict[int, tuple[str, ...]] = {
    1: ("status_400", "status_405", "status_415", "status_422"),
    2: ("context_too_long",),
    3: ("key_not_sent", "key_unknown_or_deleted", "key_disabled", "user_not_found"),
    4: ("status_402", "balance_used_up", "balance_just_used_up"),
    5: ("ip_not_allowed", "model_not_allowed", "model_not_served_by_group"),
    6: ("key_expired", "no_active_subscription", "subscription_invalid"),
    7: ("wrong_path",),
    8: ("status_408;times=2",),
    9: ("status_409;times=2",),
    10: ("page_413", "request_too_large"),
    11: ("status_425;times=1",),
    12: ("status_451", "request_rejected"),
    13: ("rate_limit;times=2", "rate_limit"),
    14: ("retry_after_1;times=1", "retry_after_1_5;times=1", "retry_after_ms_1500;times=1"),
    15: ("retry_after_date_20;times=1",),
    16: (
        *("retry_after_0;times=2", "retry_after_negative;times=2", "retry_after_past_date;times=2"),
        *("retry_after_word;times=2", "retry_after_nan;times=2"),
    ),
    17: ("retry_after_90;times=1",),
    18: (
        *("retry_after_3600", "retry_after_86400", "retry_after_1e400", "retry_after_inf"),
        *("retry_after_277403", "retry_after_503_3600"),
    ),
    19: ("key_cap_reached", "cap_nested", "cap_in_type", "cap_message_only"),
    20: ("subscription_window_used_up", "key_window_used_up"),
    21: ("rate_limit;times=2\nkey_cap_reached",),
    22: ("gateway_internal;times=1", "status_500;times=2", "status_500"),
    23: ("upstream_failed", "status_502;times=1", "status_503;for_s=30", "no_channel_available"),
    24: ("status_504;times=1", "page_524", "upstream_timeout"),
    25: ("page_520;times=2", "page_522;times=2"),
    26: ("status_529;times=2", "upstream_overloaded;times=2"),
    27: ("status_501", "status_505"),
    28: ("status_500_do_not_retry", "status_400_do_retry"),
    29: ("refused;for_s=0.2",),
    32: ("reset_before_bytes;times=1", "close_before_bytes;times=1"),
    33: ("reset_in_headers;times=1", "cut_in_headers;times=1", "reset_in_body", "cut_in_body"),
    34: ("no_answer",),
    35: ("slow_first_byte",),
    36: ("slow_drip",),
    37: ("garbage;times=1", "huge_header", "bad_chunk_size", "bad_status_line", "many_headers"),
    38: ("empty_body;times=2",),
    39: ("html_body;times=2", "wrong_base_path"),
    40: ("truncated_json;times=2",),
    41: ("error_in_200;times=2",),
    42: ("empty_object", "json_null", "json_list", "no_choices"),
    43: ("wrong_model",),
    44: ("upstream_failed;times=1", "rate_limit;times=1", "key_cap_reached"),
    45: ("stream_cut_before_first_event;times=1",),
    46: ("stream_error_first;times=2",),
    47: ("stream_empty", "stream_keepalives_only", "stream_html"),
    48: ("stream_reset_mid;times=1", "stream_cut_mid;times=1", "stream_broken_after_first_byte"),
    49: ("stream_error_mid;times=1", "stream_error_mid_unnamed;times=1"),
    50: ("stream_no_end;times=1",),
    51: ("stream_stall",),
    52: (
        *("stream_broken_json", "stream_invalid_utf8", "stream_split_everywhere"),
        *("stream_half_event", "stream_crlf", "stream_big_event", "stream_comments", "stream_bom"),
    ),
    53: ("stream_double_end", "stream_no_done", "stream_data_after_end"),
    54: tuple(
        f"redirect_{status}{host}" for status in (301, 302, 303, 307, 308)
        for host in ("", "_other_host")
    ),
    55: ("upstream_failed;for_s=30;model=gpt-5.4",),
    56: ("status_503;model=gpt-5.4\nstatus_503;model=gpt-5.4-mini",),
    57: tuple(f"status_500;p={p}" for p in ("0.01", "0.05", "0.1", "0.3", "0.5")),
    58: ("status_503",),
    59: ("status_503;times=100",),
    60: ("rate_limit",),
    61: ("retry_after_90",),
    62: (
        *("same_request_id", "no_request_id", "ten_request_ids", "hostile_request_id"),
        "long_request_id",
    ),
}  # fmt: skip
"""Row → rules that cause it; rules on several lines are in force together."""

OUT = {
    30: "a name that does not resolve: no server is asked",
    31: "no request comes through that could name a fault: `tls_url` is an address of its own",
}
"""Rows that no name of a fault can cause, and why."""

PATHS = {CHAT: "gpt-5.4", RESPONSES: "gpt-5.4", MESSAGES: "claude-haiku-4-5", GEMINI: ""}
STREAMED = GEMINI.replace("generateContent", "streamGenerateContent")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One sandbox for all of them."""
    with running(tmp_path_factory.mktemp("sandbox")) as found:
        yield found


def test_every_row_has_a_name_or_a_reason() -> None:
    """62 rows, each caused by faults that exist or left out for a reason that is told."""
    assert ROWS.keys() | OUT.keys() == set(range(1, 63))
    assert not ROWS.keys() & OUT.keys()
    for rules in ROWS.values():
        for line in "\n".join(rules).splitlines():
            assert faults.parse(line).name in CATALOGUE, line


def test_most_names_stand_in_a_row() -> None:
    """What no row needs is a cause of the contract, or a spelling that a verification needs."""
    used = {
        faults.parse(line).name for rules in ROWS.values() for line in "\n".join(rules).split("\n")
    }
    needed = [name for name, fault in CATALOGUE.items() if fault.spoil or fault.socket]
    others = {
        "gzip_bomb",
        "wrong_encoding",
        "broken_utf8",
        "stream_million_lines",
        "control_characters",
    }
    more = {"missing_last_chunk", "content_length_too_long", "content_length_too_short"}
    assert {name for name in needed if not name.startswith("cap_")} - used <= others | more


def call(run: Running, path: str, *, stream: bool, fault: str = "") -> str:
    """Make a call however it ends; say how."""
    key = {MESSAGES: "prod-assistant", GEMINI: "prod-vision"}.get(path, "prod-web")
    headers = {"authorization": f"Bearer {run.secret(key)}"}
    if fault:
        headers["x-sandbox-fault"] = fault
    body: dict[str, object] = {"contents": []} if path == GEMINI else {"model": PATHS[path]}
    if stream and path != GEMINI:
        body["stream"] = True
    way = STREAMED if stream and path == GEMINI else path
    timeout = httpx.Timeout(1.0, read=0.25)
    try:
        with run.client.stream("POST", way, headers=headers, json=body, timeout=timeout) as found:
            next(found.iter_raw(), b"")  # a drip has no end
        return str(found.status_code)
    except httpx.HTTPError as error:
        return type(error).__name__


def wait_until_it_listens(run: Running) -> None:
    """Knock until somebody answers."""
    listens = False
    while not listens:
        with socket.socket() as probe:
            listens = probe.connect_ex(run.address) == 0


@pytest.mark.long
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("row", ROWS)
def test_every_row_can_be_met_on_every_endpoint(
    row: int, path: str, *, stream: bool, run: Running
) -> None:
    """Posted rules hit whoever calls next, whatever they call, and clearing them ends it."""
    model, seen = PATHS[path] or "gemini-2.5-pro", run.live.log
    for written in ROWS[row]:
        # Some rules are about a model: that of the endpoint.
        lines = re.sub(r"model=gpt-5\.4$", f"model={model}", written, flags=re.MULTILINE)
        run.client.post("/sandbox/faults", content=lines).raise_for_status()
        name, chance = faults.parse(lines.splitlines()[0]).name, ";p=" in lines
        told = call(run, path, stream=stream)
        while chance and not seen[-1].line["fault"]:
            told = call(run, path, stream=stream)
        assert seen[-1].line["fault"] == name, told
        if name == "refused":
            wait_until_it_listens(run)
        run.act("DELETE", "faults")
    assert call(run, path, stream=stream) == "200"


@pytest.mark.parametrize(
    ("line", "hits"),
    [
        pytest.param("status_500;times=1", [1, 0, 0, 0], id="once"),
        pytest.param("status_500;times=3", [1, 1, 1, 0], id="k-times"),
        pytest.param("status_500;for_s=25", [1, 1, 1, 0], id="for-seconds"),
        pytest.param("status_500", [1, 1, 1, 1], id="always"),
        pytest.param("status_500;times=2;for_s=5", [1, 0, 0, 0], id="both"),
        pytest.param("status_500;key=prod-web;model=gpt-5.4", [1, 1, 1, 1], id="who"),
        pytest.param("status_500;key=prod-docs", [0, 0, 0, 0], id="another-key"),
        pytest.param("status_500;model=!gpt-5.4", [0, 0, 0, 0], id="every-other-model"),
        pytest.param("status_500;path=/v1/responses", [0, 0, 0, 0], id="another-path"),
        pytest.param("status_500;run=r1", [0, 0, 0, 0], id="another-run"),
    ],
)
def test_a_rule_lasts_as_long_as_it_says(line: str, hits: list[int], run: Running) -> None:
    """Four calls, ten seconds of the sandbox apart."""
    run.client.post("/sandbox/faults", content=line).raise_for_status()
    seen = []
    for _ in hits:
        seen.append(int(run.post().status_code == 500))
        run.act("POST", "clock", advance_s=10)
    run.act("DELETE", "faults")
    assert seen == hits


def test_a_row_can_be_two_rules_at_once(run: Running) -> None:
    """Twice the rate, then the cap: a client must stop at the first sticky one."""
    run.client.post("/sandbox/faults", content=ROWS[21][0]).raise_for_status()
    seen = [run.post() for _ in range(4)]
    run.act("DELETE", "faults")
    codes = [item.json().get("code") or item.json()["error"]["type"] for item in seen]
    assert codes == ["rate_limit_error"] * 2 + ["API_KEY_QUOTA_EXHAUSTED"] * 2


# Files ------------------------------------------------------------------------------------------

OWN = Fault(
    name="teapot",
    what='I am a "teapot"\\ with \x7f and 茶.',
    answer={"status": 418, "body": '{"short": "and\nstout"}', "headers": {"x-tea": "oolong"}},
)


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_fault_can_be_written_and_read_back(name: str) -> None:
    """A person can take one as a start for their own."""
    fault = CATALOGUE[name]
    assert faults.read(fault_files.written([fault], [])) == ([fault], [])


def test_rules_and_own_faults_are_written_and_read_back() -> None:
    """Nothing is lost on the way, whatever stands in the texts."""
    rules = [
        Rule(
            name="teapot", times=2, for_s=30.5, p=0.25, model='a"b\\', key="schlüssel", path="/v1"
        ),
        Rule(name="status_500"),
    ]
    assert faults.read(fault_files.written([OWN], rules)) == ([OWN], rules)


def test_what_is_in_force_is_a_file_that_starts_another_sandbox(
    run: Running, tmp_path: Path
) -> None:
    """Scenarios are data: what one sandbox tells, another is started with."""
    text = fault_files.written([OWN], [Rule(name="teapot", times=1)])
    run.client.post("/sandbox/faults", content=text.encode()).raise_for_status()
    kept = run.client.get("/sandbox/faults").json()["toml"]
    run.act("DELETE", "faults")
    file = tmp_path / "scenario.toml"
    file.write_text(kept, encoding="utf-8")
    with serving(serve.make(tmp_path / "left", planted=file, pace=0)) as other:
        assert [other.post().status_code for _ in range(2)] == [418, 200]
        assert other.client.get("/sandbox/faults").json()["rules"] == ["teapot;times=1"]


@pytest.mark.parametrize(
    "fault",
    [
        {},
        {"problem": "NOPE"},
        {"problem": "compact"},
        {"upstream": "x"},
        {"refusal": {"status": 200}},
        {"refusal": {"status": "x", "code": "a", "message": "b"}},
        {"refusal": {"status": 429, "code": 3, "message": "b"}},
        {"answer": {"body": "x"}},
        {"answer": {"status": 99999}},
        {"answer": {"status": 200, "headers": {"x": "a\r\nb: c"}}},
        {"answer": {"status": 200, "headers": 3}},
        {"answer": {"status": 200, "colour": "red"}},
        {"spoil": "nope"},
        {"socket": "nope"},
        {"delay_s": -1},
        {"delay_s": "long"},
    ],
    ids=str,
)
def test_a_fault_that_cannot_be_carried_out_is_refused_when_it_is_read(
    fault: dict[str, object], run: Running
) -> None:
    """A typing mistake must not become a failure of the sandbox itself at the first call."""
    with pytest.raises(ParameterError):
        fault_files.check(Fault(name="own", what="", **fault))  # type: ignore[arg-type]
    text = fault_files.written([Fault(name="own", what="", **fault)], [Rule(name="own")])  # type: ignore[arg-type]
    assert run.client.post("/sandbox/faults", content=text).status_code == 400
    assert run.post().status_code == 200


@pytest.mark.long
def test_an_event_of_64_mib_comes_whole(tmp_path: Path) -> None:
    """A fault of one's own can name the one spoil that has no name in the list."""
    with running(tmp_path) as own:
        huge = Fault(name="huge", what="", spoil="stream_huge_event", streams=True)
        text = fault_files.written([huge], [Rule(name="huge")])
        own.client.post("/sandbox/faults", content=text).raise_for_status()
        found = own.post(stream=True)
    assert len(found.content) > 64 << 20
    assert found.text.endswith("data: [DONE]\n\n")
