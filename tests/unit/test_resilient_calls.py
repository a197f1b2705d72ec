"""What a call promises: its deadline, its end when cancelled, what is told, and whom it asks."""

import asyncio
import json
import logging
import threading
import time
import traceback
from types import SimpleNamespace
from typing import Any

import openai
import pytest
import tenacity.nap
from gateway_kit import Running
from resilient_kit import WAYS, Way, ask

from runbook_lib.resilient import AsyncResilient, Health, Resilient
from runbook_lib.resilient.health import FAILED_CALLS, PROBE_S

PLAIN = Way()
MODELS = PLAIN.models
ENDLESS = (PLAIN, Way(stream=True, asynchronous=True))
LATE_S = 0.5
"""How much later than its deadline a call may end on a busy machine."""


def attempts(run: Running, since: int) -> list[str]:
    """Models of the attempts the server saw since."""
    return [seen.line["model"] for seen in list(run.live.log)[since:]]


def faulty(fault: str) -> dict[str, Any]:
    """A request that meets a fault."""
    message = {"role": "user", "content": "hi"}
    return {"messages": [message], "extra_headers": {"x-sandbox-fault": fault}}


# Deadline and cancellation ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("way", "fault"),
    [
        pytest.param(way, fault, marks=[] if way in ENDLESS else [pytest.mark.long])
        for way in WAYS
        for fault in ("no_answer", "slow_drip", *(["stream_stall"] if way.stream else []))
        if way.kind != "httpx2"
    ],
    ids=str,
)
def test_a_call_ends_by_its_deadline(way: Way, fault: str, run: Running) -> None:
    """Each byte of a drip starts a read timeout anew, and silence never ends: the deadline does."""
    got = ask(run, way, fault, deadline_s=0.8)
    assert got.error is not None
    assert got.seconds < 0.8 + LATE_S
    assert got.counts(way) == ((1, 0) if fault == "stream_stall" else (1, 1))
    assert got.attempts[0].may_be_billed
    assert got.attempts[0].request_ids


def test_a_stream_that_stalls_is_left_long_before_the_deadline(run: Running) -> None:
    """A caller who waits for the next word should not wait for minutes."""
    got = ask(run, Way(stream=True), "stream_stall", deadline_s=30.0, idle_s=0.3)
    assert got.seconds < 0.3 + 2 * LATE_S
    assert got.error is not None
    assert got.parts


@pytest.mark.parametrize("fault", ["slow_drip", "stream_stall"])
def test_who_is_left_hears_of_it_and_no_thread_stays(
    fault: str, run: Running, no_waits: None
) -> None:
    """A thread that reads for ever is a leak, and a gateway that writes on wastes its slots."""
    del no_waits
    got = ask(run, Way(stream=True), fault, deadline_s=30.0, attempt_s=0.2, idle_s=0.2)
    assert got.error is not None
    for thread in threading.enumerate():
        if thread.name == "resilient-read":
            thread.join(2)
    assert [one for one in threading.enumerate() if one.name == "resilient-read"] == []
    until = time.monotonic() + 5
    while not all(line["left"] for line in got.log):
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.parametrize("fault", ["retry_after_3", "no_answer", "slow_drip"])
def test_cancelled_it_ends_at_once_and_sends_nothing_more(fault: str, run: Running) -> None:
    """A web server that gives a request up must not go on paying for it."""
    since = len(run.live.log)

    async def main() -> float:
        root = run.sandbox.listening.base_url
        async with openai.AsyncOpenAI(
            base_url=f"{root}/v1", api_key=run.secret("prod-web")
        ) as client:
            calls = AsyncResilient(client, models=MODELS)
            task = asyncio.create_task(calls.call(**faulty(fault)))
            while not attempts(run, since):
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)
            began = time.monotonic()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return time.monotonic() - began

    assert asyncio.run(main()) < LATE_S
    assert attempts(run, since) == [MODELS[0]]


def test_ctrl_c_in_a_wait_is_not_taken_for_a_failure(
    run: Running, sdk: openai.OpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is sent afterwards, and the interrupt reaches who can end the program."""

    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    since = len(run.live.log)
    monkeypatch.setattr(tenacity.nap, "time", SimpleNamespace(sleep=interrupted))
    with pytest.raises(KeyboardInterrupt):
        Resilient(sdk, models=MODELS).call(**faulty("status_503"))
    assert attempts(run, since) == [MODELS[0]]


# What the caller is told ------------------------------------------------------------------------


def test_both_failures_are_told(run: Running, no_waits: None) -> None:
    """Who sees only the first or the last error looks in the wrong place."""
    del no_waits
    run.client.post("/sandbox/faults", content=f"status_503;model={MODELS[0]};key=prod-web")
    run.client.post("/sandbox/faults", content=f"model_not_allowed;model={MODELS[1]};key=prod-web")
    got = ask(run, PLAIN)
    run.act("DELETE", "faults")
    assert got.error is not None
    told = str(got.error)
    assert f"{MODELS[0]}: no_channel_available (upstream_unavailable), status 503" in told
    assert f"{MODELS[1]}: model_not_allowed (model_not_allowed), status 403" in told
    assert [one.status for one in got.attempts] == [503, 503, 503, 403]
    assert got.error.request_ids == tuple(i for one in got.attempts for i in one.request_ids)


def test_a_fallback_is_told_and_logged(
    run: Running, no_waits: None, caplog: pytest.LogCaptureFixture
) -> None:
    """A fallback nobody hears of is how a wrong model name lives for months."""
    del no_waits
    run.client.post("/sandbox/faults", content=f"model_not_allowed;model={MODELS[0]};key=prod-web")
    got = ask(run, PLAIN)
    run.act("DELETE", "faults")
    assert got.answer is not None
    assert (got.answer.asked, got.counts(PLAIN)) == (MODELS[1], (1, 1))
    config, instead = got.answer.warnings
    assert config.startswith(f"{MODELS[0]} cannot be called (model_not_allowed")
    assert instead == f"{MODELS[1]} answered instead of {MODELS[0]}"
    assert [one.getMessage() for one in caplog.records if one.name == "runbook_lib.resilient"] == [
        config,
        instead,
    ]


@pytest.mark.parametrize("way", [way for way in WAYS if way.kind != "httpx"], ids=str)
def test_no_secret_gets_out(
    way: Way, run: Running, no_waits: None, caplog: pytest.LogCaptureFixture
) -> None:
    """Gateways echo keys and prompts in their messages; SDKs put them into their exceptions."""
    del no_waits
    caplog.set_level(logging.DEBUG, "stamina")
    caplog.set_level(logging.DEBUG, "runbook_lib")
    canary = "sk-" + "canary" * 6
    body = {"error": {"type": canary, "message": f"{canary} said secret-prompt"}}
    answer = f"{{ status = 500, body = {json.dumps(json.dumps(body))} }}"
    text = f'[[faults]]\nname = "echo"\nwhat = "It echoes."\nanswer = {answer}\n'
    run.client.post("/sandbox/faults", content=text).raise_for_status()
    got = ask(run, way, "echo")
    assert got.error is not None
    assert got.error.status_code == 500
    shown = "".join(traceback.format_exception(got.error))
    held: BaseException | None = got.error
    while held is not None:
        shown += repr(held) + repr(vars(held))
        held = held.__context__ or held.__cause__
    shown += "".join(f"{one.getMessage()}{vars(one)}" for one in caplog.records)
    assert canary not in shown
    assert "secret-prompt" not in shown
    assert run.secret("prod-web") not in shown


def test_an_answer_shows_itself_without_its_text(run: Running) -> None:
    """Whoever logs an answer by accident logs no words of a customer."""
    got = ask(run, PLAIN)
    assert got.answer is not None
    assert got.answer.text not in repr(got.answer)


# Which models are asked -------------------------------------------------------------------------


def test_a_prompt_that_is_too_long_goes_to_a_larger_model_only(
    run: Running, no_waits: None
) -> None:
    """The same refusal from a model that is no larger is a call for nothing."""
    del no_waits
    rule = f"context_too_long;model={MODELS[0]};key=prod-web"
    models = (*MODELS, "gpt-5.4-nano")
    run.client.post("/sandbox/faults", content=rule)
    alone = ask(run, PLAIN, models=models)
    larger = ask(run, PLAIN, models=models, larger=["gpt-5.4-nano"])
    run.act("DELETE", "faults")
    assert alone.seen == [MODELS[0]]
    assert larger.seen == [MODELS[0], "gpt-5.4-nano"]
    assert larger.answer is not None


def test_in_an_outage_retries_end_with_the_budget(run: Running, no_waits: None) -> None:
    """Three attempts a call would make three outages of one."""
    del no_waits
    health = Health(budget=3)
    seen = [ask(run, PLAIN, "status_503", health=health).counts(PLAIN) for _ in range(4)]
    assert seen == [(3, 3), (2, 2), (1, 1), (1, 1)]
    assert ask(run, PLAIN, health=health).answer is not None
    assert ask(run, PLAIN, "status_503;times=1", health=health).answer is not None


def test_in_an_outage_the_primary_is_left_alone_and_asked_again(
    run: Running, no_waits: None
) -> None:
    """Calls do not queue at a model that is down, and come back to it within one interval."""
    del no_waits
    now, health = [0.0], Health()

    def clock() -> float:
        return time.monotonic() + now[0]

    def seen() -> tuple[int, ...]:
        return ask(run, PLAIN, now=clock, health=health).counts(PLAIN)

    run.client.post("/sandbox/faults", content=f"status_503;model={MODELS[0]};key=prod-web")
    outage = [seen() for _ in range(FAILED_CALLS + 4)]
    now[0] += PROBE_S
    probed = [seen() for _ in range(3)]
    run.act("DELETE", "faults")
    now[0] += PROBE_S
    assert outage == [(3, 1)] * FAILED_CALLS + [(0, 1)] * 4
    assert probed == [(1, 1), (0, 1), (0, 1)]
    assert [seen() for _ in range(2)] == [(1, 0)] * 2


def test_a_wrong_model_name_does_not_open_the_breaker(run: Running, no_waits: None) -> None:
    """It is no outage: the model is asked, and warned of, until somebody corrects it."""
    del no_waits
    health = Health()
    models = ("gpt-0", MODELS[1])
    seen = [ask(run, PLAIN, models=models, health=health).seen for _ in range(FAILED_CALLS + 2)]
    assert seen == [list(models)] * (FAILED_CALLS + 2)
