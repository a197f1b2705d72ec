"""The reference client around clients of every kind, and around places where nothing answers."""

import asyncio
import contextlib
import json
import socket
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import stamina
from gateway_kit import Running
from recorder_kit import CANARY, CHAT_STREAM, piece, serving, stream
from resilient_kit import KINDS, Way, ask

from runbook_lib.errors import CallError, ParameterError
from runbook_lib.recorder import call, record
from runbook_lib.resilient import AsyncResilient, Resilient, ask_async
from runbook_lib.resilient import ask as ask_once
from runbook_lib.resilient.health import BUDGET

PLAIN = Way()
MODELS = PLAIN.models


# Places where nothing answers -------------------------------------------------------------------


def _closed_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_cannot_be_reached_is_named(
    kind: str, *, asynchronous: bool, run: Running, no_waits: None
) -> None:
    """A wrong name, a wrong certificate and a dead gateway want different people woken."""
    del no_waits
    way = Way(kind=kind, asynchronous=asynchronous)
    plain = run.sandbox.listening.base_url.replace("http:", "https:")
    for base_url, cause, tries in (
        ("http://gateway.invalid", "name_not_resolved", 2),
        (f"http://127.0.0.1:{_closed_port()}", "not_connected", 6),
        (run.sandbox.listening.tls_url, "tls_failed", 1),
        (plain, "tls_failed", 1),
    ):
        got = ask(run, way, base_url=base_url)
        assert got.error is not None
        assert [one.outcome for one in got.attempts] == [cause] * tries
        assert got.error.cause == cause
        assert not any(one.may_be_billed for one in got.attempts)


def test_a_key_never_follows_a_redirect(run: Running) -> None:
    """SDKs follow redirects, and headers such as x-api-key go along to whatever host it is."""
    heard = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.3)
        port = listener.getsockname()[1]
        text = (
            f'[[faults]]\nname = "away"\nwhat = "Away."\n'
            f'answer = {{ status = 307, body = "", headers = '
            f'{{ location = "http://127.0.0.1:{port}/v1/x" }} }}\n'
        )
        run.client.post("/sandbox/faults", content=text).raise_for_status()
        for kind in KINDS:
            got = ask(run, Way(kind=kind), "away")
            assert got.error is not None
            assert got.error.status_code == 307
        with contextlib.suppress(TimeoutError):
            heard.append(listener.accept())
    assert heard == []


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_a_stream_may_take_longer_than_its_beginning(*, asynchronous: bool, run: Running) -> None:
    """Once it has begun, only silence and the deadline end it."""
    way = Way(stream=True, asynchronous=asynchronous)
    slow = [stream(piece("a")), 0.3, piece("b"), 0.3, CHAT_STREAM]
    with serving(slow) as server:
        got = ask(run, way, base_url=server.url, attempt_s=0.25, idle_s=5.0)
    assert got.answer is not None
    assert got.answer.text == f"ab{CANARY}"
    assert len(got.attempts) == 1


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_after_its_end_marker_a_stream_is_over(*, asynchronous: bool, run: Running) -> None:
    """A server that keeps the connection open keeps nobody waiting, and nothing is lost."""
    way = Way(stream=True, asynchronous=asynchronous)
    with serving([stream(CHAT_STREAM), "stall"]) as server:
        got = ask(run, way, base_url=server.url, deadline_s=20.0)
    assert got.answer is not None
    assert got.answer.text == CANARY
    assert got.seconds < 5


def test_an_end_marker_without_a_finish_is_no_end(run: Running) -> None:
    """Not even when the server then keeps the connection open, as if all was well."""
    cut = stream(piece("half") + b"data: [DONE]\n\n")
    with serving([cut, "stall"]) as server:
        got = ask(run, Way(stream=True), base_url=server.url, deadline_s=20.0)
    assert got.error is not None
    assert (got.parts, len(got.attempts)) == (["half"], 1)


def test_a_slow_reader_cannot_stretch_the_deadline(run: Running, sdk: openai.OpenAI) -> None:
    """An endless stream always has a next part ready for somebody who reads slowly."""
    del run
    endless = [stream(piece("a")), *([0.02, piece("b")] * 500)]
    with serving(endless) as server:
        calls = Resilient(sdk.with_options(base_url=server.url), models=MODELS, deadline_s=0.5)
        parts, seen = calls.ask("hi", stream=True), 0
        with contextlib.suppress(CallError):
            for _ in parts:
                seen += 1
                time.sleep(0.04)
        with pytest.raises(ParameterError):
            _ = parts.answer
    assert 2 < seen < 100


# Around it --------------------------------------------------------------------------------------


def test_the_recorder_sees_the_attempts_of_a_call_as_one(
    run: Running, sdk: openai.OpenAI, no_waits: None, tmp_path: Path
) -> None:
    """The log of a service shows the fallback as part of the call it belongs to."""
    del no_waits
    path = tmp_path / "calls.jsonl"
    run.client.post("/sandbox/faults", content=f"status_503;model={MODELS[0]};key=prod-web")
    calls = Resilient(record(sdk, path, key_name="prod-web"), models=MODELS)
    with call("mine"):
        answer = calls.ask("hi")
    run.act("DELETE", "faults")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["torouter.call.id"] for line in lines] == ["mine"] * 4
    assert [line["torouter.attempt"] for line in lines] == [1, 2, 3, 4]
    assert [line["gen_ai.request.model"] for line in lines] == [MODELS[0]] * 3 + [MODELS[1]]
    told = [set(line["http.response.header.x-request-id"]) for line in lines]
    assert all(ids & set(one.request_ids) for ids, one in zip(told, answer.attempts, strict=True))


def test_one_client_serves_many_threads(run: Running, sdk: openai.OpenAI, no_waits: None) -> None:
    """Calls side by side get their own answers and keep their own attempts."""
    del no_waits, run
    calls = Resilient(sdk, models=MODELS)
    found: list[Any] = []

    def work() -> None:
        found.extend(calls.ask(f"number {n}") for n in range(5))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 40
    assert all(len(answer.attempts) == 1 for answer in found)
    assert len({answer.attempts[0].sent_id for answer in found}) == 40


def test_a_stream_can_be_left(run: Running, sdk: openai.OpenAI) -> None:
    """Who has read enough closes it; what has been read so far is no whole answer."""
    del run
    parts = Resilient(sdk, models=MODELS).ask("hi", stream=True)
    assert next(parts)
    parts.close()
    with pytest.raises(ParameterError, match="read it to its end"):
        _ = parts.answer


def test_without_stamina_there_is_one_attempt_a_model(run: Running) -> None:
    """Its switch, which services use in tests, holds here too."""
    stamina.set_active(False)
    try:
        got = ask(run, PLAIN, "status_503")
    finally:
        stamina.set_active(True)
    assert got.counts(PLAIN) == (1, 1)


@pytest.mark.parametrize("protocol", ["openai", "responses", "anthropic", "gemini", "httpx"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_an_address_and_a_key_are_enough(protocol: str, *, stream: bool, run: Running) -> None:
    """The text knows who gave it, so that nothing is lost for who wants only the text."""
    way = Way(kind=protocol)
    key = {"anthropic": "prod-assistant", "gemini": "prod-vision"}.get(protocol, "prod-web")
    options: Any = {
        "base_url": run.sandbox.listening.base_url + "/",
        "api_key": run.secret(key),
        "models": list(way.models),
        "stream": stream,
        "protocol": protocol,
    }
    for text in (ask_once("hi", **options), asyncio.run(ask_async("hi", **options))):
        assert text
        assert text == text.answer.text
        assert text.model.startswith(way.models[0])
        assert text.request_ids == text.answer.request_ids


def test_calls_of_one_key_share_their_budget(run: Running, no_waits: None) -> None:
    """A client made for each call must not begin each call with a fresh budget."""
    del no_waits
    since, count = len(run.live.log), 15
    run.client.post("/sandbox/faults", content="status_503;key=ci-nightly")
    options: Any = {
        "base_url": run.sandbox.listening.base_url,
        "api_key": run.secret("ci-nightly"),
    }
    for _ in range(count):
        with pytest.raises(CallError):
            ask_once("hi", models=[MODELS[0]], protocol="httpx", **options)
    run.act("DELETE", "faults")
    assert len(run.live.log) - since == count + BUDGET


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"models": []}, "models"),
        ({"models": "gpt-5.4"}, "models"),
        ({"models": ["a", "a"]}, "models"),
        ({"models": ["a", ""]}, "models"),
        ({"deadline_s": 0}, "deadline_s"),
        ({"deadline_s": float("nan")}, "deadline_s"),
        ({"idle_s": -1}, "idle_s"),
        ({"protocol": "gemini"}, "protocol"),
        ({"protocol": "telnet"}, "protocol"),
    ],
)
def test_what_cannot_be_used_is_said_at_once(
    changes: dict[str, Any], word: str, sdk: openai.OpenAI
) -> None:
    """A typo must not show at the first outage."""
    with pytest.raises(ParameterError, match=word):
        Resilient(sdk, **{"models": MODELS, **changes})


def test_a_client_of_the_wrong_kind_is_said(sdk: openai.OpenAI) -> None:
    """An async client in a sync wrapper would give coroutines nobody awaits."""
    with pytest.raises(ParameterError, match="AsyncResilient"):
        AsyncResilient(sdk, models=MODELS)
    with pytest.raises(ParameterError, match="a client of openai"):
        Resilient(object(), models=MODELS)
    with pytest.raises(ParameterError, match="model"):
        Resilient(sdk, models=MODELS).call(model="gpt-5.4", messages=[])
    with pytest.raises(ParameterError, match="protocol"):
        ask_once("hi", base_url="http://127.0.0.1:9", api_key="x", models=["a"], protocol="smtp")


def test_what_is_no_failure_of_a_call_is_not_swallowed(run: Running) -> None:
    """A mistake of the program is shown as what it is, and is not sent three times."""

    class Broken(httpx.Client):
        def send(self, *_: Any, **__: Any) -> Any:
            raise ZeroDivisionError

    with (
        Broken(base_url=run.sandbox.listening.base_url) as client,
        pytest.raises(ZeroDivisionError),
    ):
        Resilient(client, models=MODELS).ask("hi")


def test_a_base_url_with_its_version_is_taken_as_it_is(run: Running) -> None:
    """People write both; neither may lead to /v1/v1."""
    headers = {"authorization": f"Bearer {run.secret('prod-web')}"}
    for ending in ("", "/", "/v1", "/v1/"):
        root = run.sandbox.listening.base_url + ending
        with httpx.Client(base_url=root, headers=headers, trust_env=False) as client:
            assert Resilient(client, models=MODELS).ask("hi").text
