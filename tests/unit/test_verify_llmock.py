"""A second opinion on faults: PyPI's `llmock` and our sandbox, called alike with OpenAI's SDK."""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from elsewhere_kit import python_of
from gateway_kit import running
from llmock_kit import Pair, Told, mocking, play

from runbook_lib.contract import Retry
from runbook_lib.sandbox.faults import CATALOGUE

pytestmark = pytest.mark.long


def _fails(ours: str, status: int, **more: Any) -> Pair:
    return Pair(ours=ours, theirs={"type": "fail", "status": status, **more})


def _breaks(ours: str, kind: str, after: int = 3, *, impatient: bool = False) -> Pair:
    told = {"type": "stream_fault", "kind": kind, "after_chunks": after, "stall_seconds": 1.5}
    return Pair(ours=ours, theirs=told, stream=True, impatient=impatient)


def _late(kind: str, seconds: float, ours: str = "slow_first_byte", **more: Any) -> Pair:
    return Pair(ours=ours, theirs={"type": kind, "seconds": seconds}, **more)


STATUSES = [400, 402, 405, 408, 409, 415, 422, 425, 451, 500, 501, 502, 503, 504, 505, 529]
PAGES = [413, 520, 522, 524]
GATEWAY = {
    "request_malformed": 400,
    "key_unknown_or_deleted": 401,
    "key_disabled": 401,
    "ip_not_allowed": 403,
    "balance_used_up": 403,
    "model_not_allowed": 403,
    "wrong_path": 404,
    "model_not_served_by_group": 404,
    "request_too_large": 413,
    "rate_limit": 429,
    "upstream_rate_limited": 429,
    "gateway_internal": 500,
    "upstream_failed": 502,
    "no_channel_available": 503,
    "upstream_overloaded": 503,
    "upstream_timeout": 504,
}
WAITS = {"0": 0, "1": 1, "1_5": 1.5, "ms_1500": 1.5, "3": 3, "3600": 3600}
PAIRS: dict[str, Pair] = {
    **{f"status_{status}": _fails(f"status_{status}", status) for status in STATUSES},
    **{f"page_{status}": _fails(f"page_{status}", status) for status in PAGES},
    **{name: _fails(name, status) for name, status in GATEWAY.items()},
    **{
        f"retry_after_{name}": _fails(f"retry_after_{name}", 429, retry_after=seconds)
        for name, seconds in WAITS.items()
    },
    "retry_after_503_3600": _fails("retry_after_503_3600", 503, retry_after=3600),
    "group_rpm": _fails("group_rpm", 429, retry_after=1),
    "cap_nested": _fails("cap_nested", 429, code="API_KEY_QUOTA_EXHAUSTED"),
    "cap_as_quota": _fails("cap_as_quota", 429, code="insufficient_quota"),
    "context_too_long": _fails("context_too_long", 400, code="context_length_exceeded"),
    "stream_cut_before_first_event": _breaks("stream_cut_before_first_event", "disconnect", 0),
    "stream_cut_mid": _breaks("stream_cut_mid", "disconnect"),
    "stream_reset_mid": _breaks("stream_reset_mid", "disconnect"),
    "stream_empty": _breaks("stream_empty", "truncate", 0),
    "stream_no_end": _breaks("stream_no_end", "truncate"),
    "stream_broken_json": _breaks("stream_broken_json", "malformed"),
    "stream_stall": _breaks("stream_stall", "stall", impatient=True),
    "slow_whole": _late("delay", 1),
    "slow_stream": _late("slow_first_token", 1, stream=True),
    "silent_whole": _late("delay", 1.5, "no_answer", impatient=True),
    "silent_stream": _late("slow_first_token", 1.5, "no_answer", stream=True, impatient=True),
}
"""Every fault that both know, by a name of its own."""

_FINAL = "the cap stays reached until someone raises it; llmock looks at the status alone"
_CHARGED = "the stream has begun and may be charged: not again by itself; llmock knows no bills"
_BLAMED = "our answer blames the request in its type; llmock looks at the status alone"
_ONE_SECOND = "llmock names a wait of 1 s by itself here; our fault is the answer that names none"
_STATUS_FIRST = "llmock sends its status before it waits, so the SDK holds an answer; ours is mute"
_STREAMS = ["cut_before_first_event", "cut_mid", "reset_mid", "empty", "no_end", "broken_json"]

DIFFERENCES: dict[tuple[str, str], str] = {
    ("attempts", "silent_stream"): _STATUS_FIRST,
    ("status", "silent_stream"): _STATUS_FIRST,
    **{("retry", f"status_{status}"): _BLAMED for status in (408, 409)},
    **{("retry", name): _FINAL for name in ("cap_nested", "cap_as_quota")},
    **{("reading", name): _FINAL for name in ("cap_nested", "cap_as_quota")},
    **{
        (aspect, f"stream_{name}"): _CHARGED for aspect in ("retry", "reading") for name in _STREAMS
    },
    **{
        ("wait", name): _ONE_SECOND
        for name in [
            "status_503",
            "status_504",
            "status_529",
            "rate_limit",
            "upstream_rate_limited",
            "no_channel_available",
            "upstream_overloaded",
            "upstream_timeout",
            "cap_nested",
            "cap_as_quota",
        ]
    },
}
"""Where the two differ and are right to, by aspect and name of the pair, with the reason."""

SILENT = {
    *(f"status_{status}" for status in (402, 405, 415, 425, 451, 501, 505)),
    *(f"page_{status}" for status in PAGES),
    "request_too_large",
    "stream_stall",
    "slow_whole",
    "slow_stream",
    "silent_whole",
    "silent_stream",
}
"""Where the judge of `llmock` has no opinion on sending again."""

ONLY_THEIRS = {
    "reply": "no fault: what the model says",
    "tool_fault": "a wrong tool call is the model's, not the gateway's: nothing to send again",
}
"""What `llmock` can do and the sandbox has no fault for."""

Seen = dict[str, tuple[Told, Told]]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    """What both servers did to the same calls: ours first."""
    with (
        running(tmp_path_factory.mktemp("sandbox")) as run,
        mocking(tmp_path_factory.mktemp("llmock")) as mock,
    ):
        yield play(run, mock, PAIRS)


@pytest.fixture(scope="module")
def known() -> dict[str, list[Any]]:
    """What the installed `llmock` itself says that it can do, and how it judges statuses."""
    code = (
        "import json, typing; from llmock import scenarios, verdict; print(json.dumps(dict("
        "types=sorted(scenarios._TYPE_NAMES), kinds=typing.get_args(scenarios.StreamFaultKind),"
        "again=sorted(verdict.RETRYABLE), never=sorted(verdict.NON_RETRYABLE))))"
    )
    words = [python_of("llmock"), "-c", code]
    ran = subprocess.run(words, capture_output=True, text=True, check=True)
    return json.loads(ran.stdout)  # type: ignore[no-any-return]


def _again(told: Told) -> bool:
    """Our class as a yes or no: may a client send it again by itself?"""
    return told.retry not in (Retry.NEVER, None)


def _differing(ours: Told, theirs: Told) -> set[str]:
    """Name the aspects in which two servers, or two judges, are not of one mind."""
    alike = {
        "attempts": ours.attempts == theirs.attempts,
        "ending": ours.ending == theirs.ending,
        "status": ours.status == theirs.status,
        "wait": ours.wait_s == theirs.wait_s,
        "retry": theirs.again in (None, _again(ours)),
        "reading": theirs.again in (None, _again(theirs)),
    }
    return {aspect for aspect, same in alike.items() if not same}


def test_both_servers_do_the_same_to_the_sdk_save_where_it_is_said(seen: Seen) -> None:
    """Attempts, exceptions, waits, and never or again: the list of differences is exact."""
    found = {
        (aspect, name): (ours, theirs)
        for name, (ours, theirs) in seen.items()
        for aspect in _differing(ours, theirs)
    }
    unsaid = {each: told for each, told in found.items() if each not in DIFFERENCES}
    assert unsaid == {}
    assert DIFFERENCES.keys() - found.keys() == set()


def test_where_llmock_has_no_opinion_is_said(seen: Seen) -> None:
    """Silence is no agreement: these pairs are compared by what the SDK did alone."""
    assert {name for name, (_, theirs) in seen.items() if theirs.again is None} == SILENT


def test_the_sdk_met_every_fault(seen: Seen) -> None:
    """Two servers that both did nothing would agree as well."""
    late = {"slow_whole", "slow_stream"}
    bad = {
        name
        for name, both in seen.items()
        for told in both
        if told.attempts == 0 or (told.ending == "answer") is not (name in late)
    }
    assert bad == set()


def test_every_fault_of_llmock_is_compared(known: dict[str, list[Any]]) -> None:
    """A new version that can do more must be looked at."""
    told = [pair.theirs for pair in PAIRS.values()]
    assert {each["type"] for each in told} | ONLY_THEIRS.keys() == set(known["types"])
    assert {each["kind"] for each in told if "kind" in each} == set(known["kinds"])
    assert set(known["again"] + known["never"]) <= {each.get("status") for each in told}


def test_every_refusing_status_of_the_sandbox_is_compared() -> None:
    """`llmock` can answer any of them."""
    ours = {fault.answer["status"] for fault in CATALOGUE.values() if fault.answer}
    told = {pair.theirs.get("status") for pair in PAIRS.values()}
    assert {status for status in ours if status >= 400} - told == set()
