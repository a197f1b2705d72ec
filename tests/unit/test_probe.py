"""Live calls: keys go nowhere they should not, limits hold, and answers say what a model can."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest
from gateway_kit import Running, running
from pair_kit import FALLBACK, PAIR, material
from probe_kit import CHAT, ENVIRON, KNOWN, NOW, ask, drip, listening, said, told

from runbook_lib import probe, schema
from runbook_lib.analysis.pair import PROBE_COLUMNS, audit
from runbook_lib.errors import ParameterError
from runbook_lib.pricing import LIST, price_list
from runbook_lib.probe.planning import Step, worst_usd

REFUSED = said({"error": {"type": "invalid_request_error", "message": "no"}}, 400)
BUSY = said({"error": {"type": "api_error", "message": "later"}}, 503)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A sandbox gateway on loopback, for all tests here."""
    with running(tmp_path_factory.mktemp("sandbox")) as found:
        yield found


def keys_of(sandbox: Running) -> dict[str, str]:
    """The environment that holds every key of the sandbox."""
    names = sandbox.live.console.gateway.keys
    return {f"TOROUTER_API_KEY__{name}": sandbox.secret(name) for name in names}


def at(sandbox: Running) -> probe.Target:
    """The sandbox as a target."""
    return probe.target(f"http://127.0.0.1:{sandbox.address[1]}/v1", sandbox=True)


# What a model can ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("protocol", "model", "key"),
    [
        pytest.param("openai", "gpt-5.4", "prod-web", id="chat"),
        pytest.param("responses", "gpt-5.4", "prod-web", id="responses"),
        pytest.param("anthropic", "claude-sonnet-4-6", "prod-assistant", id="messages"),
        pytest.param("gemini", "gemini-2.5-pro", "prod-vision", id="gemini"),
    ],
)
def test_every_probe_works_in_every_protocol(
    sandbox: Running, protocol: str, model: str, key: str
) -> None:
    """Plain, stream, tools, schema and vision are asked in the words of each API."""
    wanted = probe.Wanted(model=model, key_name=key, protocol=protocol)
    planned = probe.plan(at(sandbox), [wanted], at=NOW, limits=probe.Limits(usd=Decimal(1)))
    found = probe.run(planned, now=NOW, environ=keys_of(sandbox))
    assert found.frame["supported"].tolist() == [True] * 7
    assert found.frame["question"].tolist() == ["models", "usage", "plain", *probe.ABILITIES]
    assert set(found.frame["status"]) == {200}
    asked = found.frame[found.frame["model"].notna()]
    assert asked["response_model"].str.startswith(model).all()
    assert asked["request_ids"].notna().all()
    assert (found.calls, found.worst_usd) == (7, planned.worst_usd)


def test_the_gateway_bills_less_than_was_reckoned(sandbox: Running) -> None:
    """The worst price is one: what the server charged for the same calls lies below."""
    name = "prod-assistant"
    wanted = [probe.Wanted(model="claude-sonnet-4-6", key_name=name)]
    planned = probe.plan(at(sandbox), wanted, at=NOW, limits=probe.Limits(usd=Decimal(1)))
    before = billed(sandbox, name)
    probe.run(planned, now=NOW, environ=keys_of(sandbox))
    assert 0 < billed(sandbox, name) - before < planned.worst_usd


def billed(sandbox: Running, key_name: str) -> Decimal:
    """USD billed on a key so far, as the gateway itself reports it."""
    key = {"authorization": f"Bearer {sandbox.secret(key_name)}"}
    answer = sandbox.client.get("/v1/usage", headers=key).json()
    return Decimal(str(answer["usage"]["total"]["actual_cost"]))


@pytest.mark.parametrize(
    ("answer", "supported", "note"),
    [
        pytest.param(said({**CHAT, "choices": [{"message": {"tool_calls": [{"id": "1"}]},
                                                "finish_reason": "tool_calls"}]}),
                     True, None, id="called"),
        pytest.param(said({**CHAT, "choices": [{"message": {"content": ""},
                                                "finish_reason": "length"}]}),
                     True, None, id="taken, and cut by its one token"),
        pytest.param(said(CHAT), None, "not in the form", id="words instead"),
        pytest.param(REFUSED, False, "refused: ", id="400"),
        pytest.param(said({"error": {"type": "not_found_error"}}, 404), False, "refused: ",
                     id="endpoint not offered"),
        pytest.param(BUSY, None, "not decided: no_channel_available", id="503"),
        pytest.param(said({"code": "API_KEY_QUOTA_EXHAUSTED"}, 429), None, "key_cap_reached",
                     id="cap"),
        pytest.param(said(b"<!doctype html><html></html>", headers=[("content-type", "text/html")]),
                     None, "not whole: wrong_base_path", id="web page"),
        pytest.param(said(b"{"), None, "not whole", id="cut"),
        pytest.param(said({}), None, "not whole", id="empty object"),
    ],
)  # fmt: skip
def test_what_an_answer_to_a_probe_decides(
    answer: bytes, *, supported: bool | None, note: str | None
) -> None:
    """A refusal of the request says no; what passes, or is not whole, says nothing."""
    with listening({**KNOWN, '"tools"': answer, "": said(CHAT)}) as sink:
        row = told(ask(sink, "tools"))["tools"]
    assert row["supported"] is supported or (supported is None and pd.isna(row["supported"]))
    assert (row["note"] is None) if note is None else (note in row["note"])


def test_a_model_that_does_not_answer_is_asked_nothing_more() -> None:
    """Four more refusals would tell nothing and cost calls."""
    answer = said({"error": {"code": "model_not_found"}}, 404)
    with listening({**KNOWN, "": answer}) as sink:
        rows = told(ask(sink, *probe.ABILITIES))
        assert len(sink.got) == 3
    assert (rows["plain"]["supported"], rows["plain"]["code"]) == (False, "model_not_found")
    assert rows["vision"]["note"] == "not sent: the model did not answer a plain question"
    assert pd.isna(rows["vision"]["status"])


def test_answers_about_a_key_read_like_saved_ones() -> None:
    """The audit takes them beside the files that were taken in."""
    with listening({**KNOWN, "": said(CHAT)}) as sink:
        state = ask(sink).key_state
    assert list(state.columns) == [column.name for column in schema.KEY_STATE.columns]
    models, usage = state.to_dict("records")
    assert (models["question"], models["models"], models["status"]) == ("models", "gpt-5.4", 200)
    assert (usage["mode"], usage["balance_usd"]) == ("unrestricted", Decimal(5))
    assert usage["asked_at"] >= pd.Timestamp(NOW)


@pytest.mark.parametrize(
    ("answer", "rows"),
    [
        pytest.param(said({"code": "API_KEY_EXPIRED"}, 403), 1, id="the key is refused"),
        pytest.param(said(b"404 page not found", 404, headers=[("content-type", "text/plain")]), 0,
                     id="no such path here"),
        pytest.param(said(b"<html></html>", headers=[("content-type", "text/html")]), 0, id="page"),
        pytest.param(said({"mode": "quota_limited", "balance": 1e30}), 0, id="amount out of range"),
        pytest.param(said([1, 2]), 0, id="no object"),
    ],
)  # fmt: skip
def test_only_what_speaks_of_the_key_becomes_its_state(answer: bytes, rows: int) -> None:
    """A gateway without this path says nothing about the key."""
    with listening({"GET /v1/usage": answer, "GET /v1/models": BUSY, "": said(CHAT)}) as sink:
        assert len(ask(sink).key_state) == rows


def test_the_audit_takes_what_was_probed(sandbox: Running) -> None:
    """Live answers decide what no file holds."""
    wanted = [
        probe.Wanted(model=FALLBACK, key_name="prod-web"),
        probe.Wanted(model="claude-sonnet-4-6", key_name="prod-assistant"),
    ]
    planned = probe.plan(at(sandbox), wanted, at=NOW, limits=probe.Limits(usd=Decimal(1)))
    found = probe.run(planned, now=NOW, environ=keys_of(sandbox))
    assert set(PROBE_COLUMNS) <= set(found.frame.columns)
    pair = replace(PAIR, primary_key="prod-assistant", fallback_key="prod-web")
    held = replace(material(pair=pair), probes=found.frame, key_state=found.key_state)
    told_of = {item.rule: item.status for item in audit(held).findings}
    for ability in ("tools", "schema", "vision", "stream"):
        assert told_of[f"fallback-lacks-{ability}"] == "pass"
    assert told_of["fallback-not-listed"] == "pass"
    assert told_of["fallback-key-unusable"] == "pass"


def test_a_notebook_with_a_running_loop_can_probe() -> None:
    """Jupyter runs its own loop; a probe is an ordinary call there."""
    with listening({**KNOWN, "": said(CHAT)}) as sink:

        async def cell() -> probe.Probed:
            return ask(sink)

        assert asyncio.run(cell()).calls == 3


# Limits -------------------------------------------------------------------------------------------


def planned(**limits: Any) -> probe.Plan:
    """A plan for one model at the gateway, which nothing sends."""
    return probe.plan(
        probe.target("https://portal.torouter.ai/v1"),
        [probe.Wanted(model="gpt-5.4", key_name="prod-web")],
        at=NOW,
        limits=probe.Limits(**limits),
    )


def test_a_plan_says_calls_and_cost_before_anything_is_sent() -> None:
    """Who reads it knows the most it can cost, by whose prices, with which keys."""
    text = str(planned(usd=Decimal(1)))
    assert "up to 7 calls, up to $0.11 (limits: 20 calls, $1.00" in text
    assert "genai-prices 0.2.3 of 2026-11-10, times 5 for the group" in text
    assert "Models: gpt-5.4; keys: prod-web" in text


@pytest.mark.usefixtures("sockets_blocked")
def test_planning_sends_nothing() -> None:
    """A dry run opens no socket."""
    assert planned(usd=Decimal(1)).steps


def test_what_does_not_fit_the_limits_is_left_out_and_said() -> None:
    """Calls are planned in order until calls or money end; what is cheaper may still fit."""
    few = planned(calls=3, usd=Decimal(1))
    assert [step.ask.question for step in few.steps] == ["models", "usage", "plain"]
    assert few.left_out[0] == "stream of gpt-5.4: the limit is 3 calls"
    poor = planned(usd=Decimal("0.04"))
    assert [step.ask.question for step in poor.steps] == ["models", "usage", "plain", "stream"]
    assert poor.worst_usd <= Decimal("0.04")
    assert "it could cost" in poor.left_out[0]
    assert "Left out: " in str(poor)


def test_a_model_nobody_prices_is_not_asked() -> None:
    """What could cost anything cannot be bounded; the user's own price makes it bounded."""
    place = probe.target("https://portal.torouter.ai/v1")
    wanted = [probe.Wanted(model="house-model")]
    made = probe.plan(place, wanted, at=NOW)
    assert [step.ask.question for step in made.steps] == ["models", "usage"]
    assert made.left_out == ("house-model: nobody knows a price of it (give prices.csv)",)
    rows = [
        {"account": "", "model": "house-model", "token_kind": kind, "usd_per_million": Decimal(2)}
        for kind in ("input", "output")
    ]
    priced = probe.plan(place, wanted, at=NOW, prices=price_list(pd.DataFrame(rows)))
    assert len(priced.steps) == 7


def test_the_worst_price_counts_every_byte_and_the_dearest_kind() -> None:
    """No token is shorter than a byte, and input can be written to a cache for an hour."""
    step = planned(usd=Decimal(1)).steps[2]
    size = len(step.ask.body or b"")
    worst = worst_usd(step.ask, LIST, at=NOW, multiplier=Decimal(1))
    assert worst == (Decimal("2.5") * (size + 1000) + 15 * 16) / 10**6
    assert step.worst_usd == 5 * worst


@pytest.mark.parametrize(
    ("limits", "sent"),
    [
        pytest.param(probe.Limits(calls=4, usd=Decimal(1)), 4, id="calls"),
        pytest.param(probe.Limits(usd=Decimal("0.02")), 3, id="USD"),
        pytest.param(probe.Limits(usd=Decimal(0)), 2, id="nothing but what is free"),
    ],
)
def test_limits_hold_call_by_call_whatever_the_plan_says(limits: probe.Limits, sent: int) -> None:
    """A plan that was tampered with sends no call more."""
    with listening({**KNOWN, "": said(CHAT)}) as sink:
        place = probe.target(sink.url, sandbox=True)
        whole = planned(usd=Decimal(1))
        steps = [Step(ask=replace(s.ask, key_name=""), worst_usd=s.worst_usd) for s in whole.steps]
        found = probe.run(
            replace(whole, target=place, steps=steps, limits=limits), now=NOW, environ=ENVIRON
        )
        assert len(sink.got) == found.calls == sent
    assert found.worst_usd <= limits.usd
    assert found.frame["note"].iloc[-1].startswith("not sent: ")


@pytest.mark.parametrize(
    "bad",
    [
        {"calls": 0}, {"calls": 10_000}, {"usd": Decimal("NaN")}, {"usd": Decimal(-1)},
        {"call_s": 0}, {"total_s": 10_000}, {"call_s": float("nan")},
    ],
    ids=str,
)  # fmt: skip
def test_limits_that_are_none_are_refused(bad: dict[str, Any]) -> None:
    """Nothing goes out without a bound."""
    with pytest.raises(ParameterError):
        probe.Limits(**bad)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"model": "../admin"}, "models"),
        ({"model": "gpt 5"}, "models"),
        ({"model": ""}, "models"),
        ({"model": "a/../b"}, "models"),
        ({"model": "m\r\nx: y"}, "models"),
        ({"model": "m" * 200}, "models"),
        ({"protocol": "ftp"}, "protocol"),
        ({"questions": ["delete"]}, "questions"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_anything_is_sent(
    changes: dict[str, Any], name: str
) -> None:
    """A model's name ends in a path and a body."""
    wanted = probe.Wanted(**{"model": "gpt-5.4", **changes})
    with pytest.raises(ParameterError) as caught:
        probe.plan(probe.target("https://portal.torouter.ai"), [wanted], at=NOW)
    assert caught.value.name == name


@pytest.mark.parametrize(
    ("answer", "trouble"),
    [
        pytest.param(drip(b"HTTP/1.1 200 OK\r\n\r\n", b"x"), "no whole answer within 0.4 s",
                     id="a body that never ends"),
        pytest.param(drip(b"HTTP/1.1 200 OK\r\n", b"x: y\r\n"), "", id="headers that never end"),
        pytest.param(drip(b"", b"HTTP"), "", id="no HTTP that never ends"),
        pytest.param(said(b"x" * 200_000), "more than 100000 bytes", id="too large"),
        pytest.param(said(b"\x1f\x8b", headers=[("content-encoding", "gzip")]), "a packed answer",
                     id="packed"),
        pytest.param(said(b"[" * 90_000), "not", id="deep"),
        pytest.param(b"", "RemoteProtocolError", id="nothing"),
    ],
)  # fmt: skip
def test_hostile_answers_end_in_time_and_size(answer: Any, trouble: str) -> None:
    """An endless stream, a bomb or nonsense costs seconds at most, and decides nothing."""
    limits = probe.Limits(usd=Decimal(1), call_s=0.4, answer_bytes=100_000)
    with listening({**KNOWN, "": answer}) as sink:
        row = told(ask(sink, limits=limits))["plain"]
    assert pd.isna(row["supported"])
    assert trouble in (row["note"] or "")


def test_all_calls_together_end_in_time() -> None:
    """What is left of the whole time bounds the next call; then nothing is sent any more."""
    limits = probe.Limits(usd=Decimal(1), call_s=60, total_s=0.5)
    with listening({"": drip(b"HTTP/1.1 200 OK\r\n\r\n", b"x")}) as sink:
        found = ask(sink, limits=limits)
        assert len(sink.got) == found.calls == 1
    assert found.frame["note"].tolist()[1:] == ["not sent: 0.5 s are over"] * 2
