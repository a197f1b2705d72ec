"""The sandbox over real sockets against captured answers: the same request, the same answer."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import captured as forms
import httpx
import pytest
from captured_situations import CONSOLE, DEAR, GATEWAY, OUT, Given
from gateway_kit import BODIES, Running, boxed, put
from made_gateway import Box

from runbook_lib.sandbox import answers, prices, ticks

pytestmark = pytest.mark.shared

ALL = {**GATEWAY, **CONSOLE}
_MASKED = "sk-<64 hex>"


@pytest.fixture(scope="session")
def captured(gateway: Path) -> forms.Captured:
    """The captured answers by name."""
    return forms.read(gateway)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One server; each test gives it a gateway of its own."""
    with boxed(Box(), tmp_path_factory.mktemp("sandbox")) as found:
        yield found


def send(
    run: Running, given: Given, asked: dict[str, Any], secret: str, token: str
) -> httpx.Response:
    """Send a captured request with a key, or a token, of the sandbox."""
    sent = {name: value.replace(_MASKED, secret) for name, value in _headers(asked).items()}
    headers = {name: value.replace("<jwt>", token) for name, value in sent.items()}
    schemes = {
        "bearer": ("authorization", f"Bearer {secret}"),
        "x-api-key": ("x-api-key", secret),
        "goog": ("x-goog-api-key", secret),
    }
    if asked["auth"] is not None:
        name, value = schemes[asked["auth"]]
        headers[name] = value
    if given.fault:
        headers["x-sandbox-fault"] = given.fault
    path = asked["path"].replace(_MASKED, secret)
    return run.client.request(asked["method"], path, headers=headers, content=_content(asked))


def _headers(asked: dict[str, Any]) -> dict[str, str]:
    return dict(asked.get("headers") or {})


def _content(asked: dict[str, Any]) -> bytes:
    body = asked.get("body")
    if body == "<33 MiB>":
        return b" " * (33 << 20)
    return (
        (body or "").encode()
        if body is None or isinstance(body, str)
        else json.dumps(body).encode()
    )


def before(given: Given, asked: dict[str, Any]) -> dict[str, Any]:
    """The request that comes before the one compared."""
    if not given.first:
        return asked
    path, _, model = given.first.partition(" ")
    body = {**BODIES[path], **({"model": model} if model else {})}
    return {**asked, "method": "POST", "path": path, "body": body, "auth": "bearer"}


def asked_of(given: Given, real: dict[str, Any], box: Box, run: Running) -> dict[str, Any]:
    """The captured request, with the numbers and secrets of this sandbox."""
    asked = dict(real["request"])
    if given.path:
        asked["path"] = given.path
    if given.body is not None:
        right = run.live.desk.password(box.account)
        asked["body"] = {k: right if v == "(right)" else v for k, v in given.body.items()}
    return asked


def token_of(box: Box, run: Running, real: dict[str, Any]) -> str:
    """A token of the console, where the captured request has one."""
    if "<jwt>" not in str(real["request"]) or not box.gateway.keys:
        return ""
    login = {"email": "team@example.com", "password": run.live.desk.password(box.account)}
    found = run.client.post("/api/v1/auth/login", json=login).raise_for_status()
    return str(found.json()["data"]["access_token"])


def answer(name: str, real: dict[str, Any], server: Running) -> tuple[httpx.Response, Running]:
    """Put the sandbox into the situation and send the request."""
    given, box = ALL[name], Box()
    secret = box.key(given.group, **given.key) if given.known else "sk-nobody"
    if given.act is not None:
        given.act(box)
    put(server, box, speed=given.speed)
    token = token_of(box, server, real)
    asked = asked_of(given, real, box, server)
    for _ in range(given.before):
        send(server, given, before(given, asked), secret, token)
        if given.first:
            box.gateway.settle(ticks.FOREVER)
    if given.then is not None:
        given.then(box)
    return send(server, given, asked, secret, token), server


def alike(name: str, made: Any, body: str) -> None:
    """Hold a body against a captured one; of a cut one, the names of its fields."""
    whole = forms.whole(body)
    if name in forms.ANOTHER_FORM:
        assert isinstance(made, dict)
    elif whole is None:
        assert forms.names(body) <= forms.names(json.dumps(made))
    elif name in forms.IN_PART:
        kept = {key: value for key, value in whole["data"].items() if key in made["data"]}
        assert {"version", "server_timezone", "server_utc_offset"} <= kept.keys()
        assert forms.shape(made) == forms.shape({**whole, "data": kept})
    else:
        assert forms.shape(made) == forms.shape(whole)


@pytest.mark.parametrize("name", ALL)
def test_the_captured_request_gets_the_captured_answer(
    name: str, captured: forms.Captured, server: Running
) -> None:
    """Status, headers in order, and the body: to the byte for refusals, in shape for the rest."""
    real = captured[name]
    made, run = answer(name, real, server)
    assert made.status_code == real["status"]
    # A console answer with fewer fields is shorter, and short ones are framed otherwise.
    framed = name not in CONSOLE
    assert forms.lines(made.headers.multi_items(), framed=framed) == forms.lines(
        real["headers"], framed=framed
    )
    if name in GATEWAY:
        assert run.live.log[-1].line["code"] == (real["expect"]["code"] or "")
    if made.headers["content-type"] == answers.STREAM and real["status"] == 200:
        # The recorder's Gemini ended in every event; a real one says so in its last.
        last = -1 if name == "gemini.stream" else 0
        assert forms.events(made.text)[last:] == forms.events(real["body"])[last:]
    elif real["status"] == 200:
        alike(name, made.json(), real["body"])
    elif "request_id" not in real["body"]:
        assert made.text == real["body"]


def test_every_captured_answer_is_compared_or_has_its_reason(captured: forms.Captured) -> None:
    """Nothing hides: what is not compared stands in a table with its reason."""
    assert captured.keys() == ALL.keys() | OUT.keys()
    assert not ALL.keys() & OUT.keys()
    assert all(OUT.values())


def test_every_field_that_is_left_out_was_captured(captured: forms.Captured) -> None:
    """The list of what our console lacks must not grow stale, or it would hide new gaps."""
    seen = "".join(item["body"] for item in captured.values())
    for names in forms.LEFT_OUT.values():
        assert [name for name in names if f'"{name}":' not in seen] == []


@pytest.mark.parametrize("name", ["keys.expire", "console.me", "public.settings", "models.openai"])
def test_a_long_body_comes_in_chunks(name: str, captured: forms.Captured, server: Running) -> None:
    """The real server counts what fits its buffer; ours does so at the same length."""
    rule = {"content-length": 0, "transfer-encoding": answers.IN_ONE_PIECE + 1}
    for headers, body in (
        (captured[name]["headers"], captured[name]["body"].encode()),
        ((made := answer(name, captured[name], server)[0]).headers.multi_items(), made.content),
    ):
        framing = next(key for key, _ in headers if key in rule)
        assert (len(body) > answers.IN_ONE_PIECE) is (framing == "transfer-encoding")


@pytest.mark.parametrize(
    "name", ["rid.inbound_64.messages", "rid.inbound.error"], ids=["served", "refused"]
)
def test_the_callers_own_id_comes_back(
    name: str, captured: forms.Captured, server: Running
) -> None:
    """Who sends an X-Request-ID must find it again, in answers of both kinds."""
    made, _ = answer(name, captured[name], server)
    assert made.headers["x-request-id"] == captured[name]["request"]["headers"]["X-Request-ID"]


def test_prices_of_the_situations_are_real() -> None:
    """A thousand tokens of answer are more than the caps above, or nothing would be spent."""
    rate = prices.price({"output": "15"})
    assert prices.cost(rate, DEAR, 10_000).billed > prices.units("0.01")
