"""An answer is read alike wherever its bytes are cut, and only a whole one is believed."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook_lib.errors import AttemptError
from runbook_lib.resilient.calls import bare
from runbook_lib.resilient.reading import Reader, whole

EVENTS = {"content-type": "text/event-stream"}


def _lines(*events: Any, end: str = "\n", named: bool = False) -> bytes:
    found = []
    for event in events:
        data = event if isinstance(event, str) else json.dumps(event, ensure_ascii=False)
        name = f"event: {event['type']}{end}" if named and isinstance(event, dict) else ""
        found.append(f"{name}data: {data}{end}{end}")
    return "".join(found).encode()


def _chat(content: str | None, finish: str | None = None, index: int = 0) -> dict[str, Any]:
    choice = {"index": index, "delta": {"content": content}, "finish_reason": finish}
    return {"model": "m-1", "choices": [choice]}


def _google(text: str, finish: str = "") -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": [{"text": text}]}}
    return {
        "candidates": [candidate | ({"finishReason": finish} if finish else {})],
        "modelVersion": "m-1",
    }


CHAT = _lines(_chat(""), _chat("héllo "), _chat("wörld ✓"), _chat(None, "stop"), "[DONE]")
MESSAGES = _lines(
    {"type": "message_start", "message": {"model": "m-1"}},
    {"type": "content_block_delta", "delta": {"type": "thinking_delta", "thinking": "hm"}},
    {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "héllo "}},
    {"type": "ping"},
    {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "wörld ✓"}},
    {"type": "message_stop"},
    named=True,
)
RESPONSES = _lines(
    {"type": "response.created", "response": {"model": "m-1"}},
    {"type": "response.output_text.delta", "delta": "héllo "},
    {"type": "response.output_text.delta", "delta": "wörld ✓"},
    {"type": "response.completed", "response": {"model": "m-1"}},
    named=True,
)
GEMINI = _lines(_google("héllo "), _google("wörld ✓", "STOP"))
TEXT = "héllo wörld ✓"
STREAMS = {"chat": CHAT, "messages": MESSAGES, "responses": RESPONSES, "gemini": GEMINI}

streams = pytest.mark.parametrize("raw", STREAMS.values(), ids=list(STREAMS))


def read(chunks: list[bytes], *, stream: bool = True, status: int = 200) -> Reader:
    """Read an answer; raises what it raises."""
    reader = Reader(status, EVENTS if stream else {}, stream=stream)
    handed = [part for chunk in chunks for part in reader.feed(chunk)]
    handed += reader.end()
    assert "".join(handed) == (reader.text if stream else "")
    return reader


@streams
def test_a_stream_is_read_alike_cut_at_every_byte(raw: bytes) -> None:
    """TCP cuts where it likes, in the middle of a letter too."""
    for cut in range(len(raw) + 1):
        assert read([raw[:cut], raw[cut:]]).text == TEXT
    found = read([bytes([byte]) for byte in raw])
    assert (found.text, found.served) == (TEXT, "m-1")


@given(raw=st.sampled_from(list(STREAMS.values())), cuts=st.lists(st.integers(0, 700)))
def test_a_stream_is_read_alike_in_any_pieces(raw: bytes, cuts: list[int]) -> None:
    """So it is in many pieces, empty ones among them."""
    places = sorted({0, len(raw), *(min(cut, len(raw)) for cut in cuts)})
    assert read([raw[a:b] for a, b in pairwise(places)]).text == TEXT


@streams
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda raw: raw.replace(b"\n", b"\r\n"), id="crlf"),
        pytest.param(lambda raw: raw.replace(b"\n", b"\r"), id="cr"),
        pytest.param(lambda raw: b"\xef\xbb\xbf" + raw, id="bom"),
        pytest.param(
            lambda raw: b": note\n\n" + raw.replace(b"\n\n", b"\n\n: note\n\n"), id="notes"
        ),
        pytest.param(lambda raw: raw.replace(b"data: ", b"data:"), id="no-blank"),
        pytest.param(lambda raw: raw.rstrip(), id="no-last-blank-line"),
        pytest.param(lambda raw: raw + raw[raw.rstrip().rfind(b"\n\n") + 2 :], id="end-twice"),
    ],
)
def test_forms_of_the_wire_change_nothing(raw: bytes, change: Any) -> None:
    """Proxies rewrite line ends and add comments; the text is the same, cut at every byte."""
    other = change(raw)
    for cut in range(0, len(other), 3):
        assert read([other[:cut], other[cut:]]).text == TEXT


@streams
def test_every_stream_cut_short_is_an_error(raw: bytes) -> None:
    """Wherever a stream ends before its end marker, it is not passed off as an answer."""
    last = raw.rstrip().rfind(b"\n\n") + 2
    for cut in range(last):
        with pytest.raises(AttemptError):
            read([raw[:cut]])


@streams
def test_an_error_in_a_stream_is_one_with_and_without_its_name(raw: bytes) -> None:
    """Gateways of this family write the second form, which one SDK skips."""
    half = raw[: raw.find(b"\n\n", len(raw) // 2) + 2]
    data = b'data: {"type":"error","error":{"type":"upstream_error","message":"x"}}\n\n'
    for error in (data, b"event: error\n" + data):
        with pytest.raises(AttemptError) as caught:
            read([half + error + raw])
        assert caught.value.failure.code == "upstream_error"


def test_the_end_marker_alone_is_no_answer() -> None:
    """`[DONE]` without a finish reason is a text somebody cut."""
    for raw in (_lines("[DONE]"), _lines(_chat("half"), "[DONE]")):
        with pytest.raises(AttemptError):
            read([raw])


@streams
def test_what_comes_after_the_end_is_no_text(raw: bytes) -> None:
    """A server that repeats itself must not double an answer."""
    first = raw[: raw.find(b'lo "') + 60]
    after = raw + first[: first.rfind(b"\n\n") + 2]
    for cut in range(0, len(after), 2):
        assert read([after[:cut], after[cut:]]).text == TEXT


def test_an_error_beside_a_text_is_an_error() -> None:
    """An answer that says it failed is not believed, whatever else it holds."""
    for more in ({"error": {"code": "API_KEY_QUOTA_EXHAUSTED"}}, {"success": False}):
        body = {"choices": [{"message": {"content": "a"}, "finish_reason": "stop"}], **more}
        with pytest.raises(AttemptError):
            read([json.dumps(body).encode()], stream=False)


def test_other_choices_are_not_mixed_in() -> None:
    """With n above 1 the texts of several answers come interleaved."""
    raw = _lines(
        _chat("a"), _chat("x", index=1), _chat(None, "stop"), _chat(None, "stop", 1), "[DONE]"
    )
    assert read([raw]).text == "a"


def test_models_that_finish_in_every_event_are_read_whole() -> None:
    """Older ones of Google say why they stop before they do."""
    raw = _lines(_google("a", "STOP"), _google("b", "STOP"), _google("c", "STOP"))
    assert read([raw]).text == "abc"


def test_an_endless_answer_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded, whatever a server sends."""
    monkeypatch.setattr("runbook_lib.resilient.reading.MOST_BYTES", 1000)
    for stream in (True, False):
        with pytest.raises(AttemptError) as caught:
            read([b": x\n" * 50] * 10, stream=stream)
        assert caught.value.failure.causes == ("answer_too_large",)


def test_a_long_refusal_is_judged_by_its_status() -> None:
    """A web page of a megabyte says no more than its first lines."""
    with pytest.raises(AttemptError) as caught:
        read([b"<html>" + b"x" * 40_000] * 30, stream=False, status=503)
    assert caught.value.failure.causes[0] == "no_channel_available"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"choices": [{"message": {"content": "a"}}]}, "a"),
        ({"choices": [{"message": {"content": None, "tool_calls": [{}]}}]}, ""),
        ({"choices": [{"message": {"content": [{"type": "text", "text": "a"}]}}]}, "a"),
        ({"type": "message", "content": [{"type": "thinking", "thinking": "hm"}]}, ""),
        ({"type": "message", "content": [{"type": "text", "text": "a"}, {"type": "x"}]}, "a"),
        (
            {
                "output": [
                    {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "hm"}]},
                    {"type": "message", "content": [{"type": "output_text", "text": "a"}]},
                ]
            },
            "a",
        ),
        (_google("a", "STOP"), "a"),
        ({"candidates": [{"content": {"parts": [{"text": "hm", "thought": True}]}}]}, ""),
        ({"candidates": [{"finishReason": "SAFETY"}]}, ""),
        ({"promptFeedback": {"blockReason": "SAFETY"}}, ""),
        ({"choices": []}, None),
        ({"type": "message", "content": []}, None),
        ({"output": []}, None),
        ({"candidates": []}, None),
        ({}, None),
        (None, None),
        ([], None),
        ("text", None),
        ({"choices": [1]}, None),
    ],
)
def test_the_text_of_a_whole_answer(body: Any, text: str | None) -> None:
    """Thoughts are not part of it, tool calls leave it empty, and no answer is none."""
    assert whole(body) == text


@pytest.mark.parametrize(
    ("asked", "served", "same"),
    [
        ("gpt-5.4", "gpt-5.4-2026-03-05", True),
        ("gpt-5.4", "gpt-5.4-20260305", True),
        ("claude-opus-4-7", "anthropic/claude-opus-4-7@20260101", True),
        ("claude-opus-4-7-thinking", "claude-opus-4-7", True),
        ("gpt-5.4", "GPT-5.4-latest", True),
        ("gpt-5.4", "gpt-5.4-nano", False),
        ("gpt-5.4", "gpt-5", False),
        ("claude-opus-4-7", "claude-opus-4-6", False),
    ],
)
def test_a_dated_name_is_the_same_model(asked: str, served: str, *, same: bool) -> None:
    """A warning at every call would be read by nobody."""
    assert (bare(asked) == bare(served)) is same
