"""Ready clients: each speaks what it says, both ways, whole and streamed, with its own habits."""

from pathlib import Path

import pytest
from elsewhere_kit import ROOT, python_of
from engine_kit import Cell, Ending, Role, cell, several, statuses, step

from runbook_lib.verify import client
from runbook_lib.verify.client import ADAPTERS, ClientSpec
from runbook_lib.verify.play import MODELS, find_client

PATHS = {
    "openai": "/v1/chat/completions",
    "responses": "/v1/responses",
    "anthropic": "/v1/messages",
    "gemini": "/v1beta/models/",
}
HERE = ["openai", "anthropic", "google-genai", "httpx", "reference"]
ELSEWHERE = ["litellm", "langchain"]


def _all_ways(spec: ClientSpec) -> list[Cell]:
    """A good call and a failing one in every protocol, way and form."""
    return [
        cell(
            f"{name} {protocol} {stream} {asynchronous}",
            *steps,
            protocol=protocol,
            models=MODELS[protocol],
            stream=stream,
            asynchronous=asynchronous,
            deadline_s=15.0,
        )
        for protocol in spec.protocols
        for stream in (False, True)
        for asynchronous in (False, True)
        for name, steps in {"good": [], "bad": [step("status_400")]}.items()
    ]


def _speaks(spec: ClientSpec) -> None:
    for played in several(spec, _all_ways(spec)):
        (outcome,), last = played.outcomes, played.attempts[-1]
        assert last.path.startswith(PATHS[played.cell.protocol]), played.cell.id
        if played.cell.id.startswith("good"):
            assert (outcome.ending, outcome.error) == (Ending.TEXT, ""), played.cell.id
            assert outcome.text == last.text, played.cell.id
            assert last.stream is played.cell.stream
            assert outcome.model.startswith(played.cell.models[0]), played.cell.id
        else:
            assert outcome.ending is Ending.RAISED, played.cell.id
            assert outcome.status == 400, played.cell.id
        assert played.strays == 0
        assert played.notes == [], played.cell.id


@pytest.mark.long
@pytest.mark.parametrize("name", HERE)
def test_an_adapter_speaks_its_protocols_every_way(name: str) -> None:
    """Sync and async, whole and streamed: the text that was sent is the text that is given."""
    _speaks(find_client(name))


def test_every_adapter_says_itself_what_it_speaks() -> None:
    """The table by which cells are chosen and the adapters are one."""
    for name, protocols in ADAPTERS.items():
        text = client.named(name).settings()["file"]
        code = Path(text).read_text(encoding="utf-8")
        assert f"PROTOCOLS = {protocols!r}".replace("'", '"') in code, name
        assert "NEEDS = " in code


@pytest.mark.long
def test_sdks_send_again_and_plain_httpx_does_not() -> None:
    """The habits of the defaults are what users have; adapters must not hide them."""
    seen = {
        name: statuses(several(client.named(name), [_down(protocol)])[0])
        for name, protocol in [
            ("openai", "openai"),
            ("anthropic", "anthropic"),
            ("google-genai", "gemini"),
            ("httpx", "openai"),
        ]
    }
    assert seen == {
        "openai": [503] * 3,
        "anthropic": [503] * 3,
        "google-genai": [503],
        "httpx": [503],
    }


def _down(protocol: str) -> Cell:
    return cell("down", step("status_503"), protocol=protocol, models=(), deadline_s=15.0)


@pytest.mark.long
def test_the_reference_client_falls_back() -> None:
    """And tells the ids of every attempt, the failed ones too."""
    wanted = cell("down", step("status_503", role=Role.PRIMARY), deadline_s=15.0)
    (found,) = several(client.named("reference"), [wanted])
    (outcome,) = found.outcomes
    assert found.attempts[-1].model == "gpt-5.4-mini"
    assert outcome.model.startswith("gpt-5.4-mini")
    known = {each for attempt in found.attempts for each in attempt.request_ids}
    assert known <= set(outcome.request_ids)


# In environments of their own -------------------------------------------------------------------


@pytest.fixture(scope="module", params=ELSEWHERE)
def elsewhere(request: pytest.FixtureRequest) -> str:
    """The Python of an environment that holds the current version of one of them."""
    python_of(request.param)
    return request.param


@pytest.fixture
def its_python(elsewhere: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let clients run there."""
    monkeypatch.setenv("TOROUTER_CLIENT_PYTHON", str(ROOT / f".venv-{elsewhere}/bin/python"))
    return elsewhere


@pytest.mark.long
def test_a_client_in_another_environment_speaks_every_way(its_python: str) -> None:
    """Its pins clash with ours, so it runs where ours are not."""
    _speaks_with_fallback(find_client(its_python))


def _speaks_with_fallback(spec: ClientSpec) -> None:
    for played in several(spec, _all_ways(spec)):
        (outcome,) = played.outcomes
        if played.cell.id.startswith("good"):
            assert (outcome.ending, outcome.error) == (Ending.TEXT, ""), played.cell.id
            assert outcome.text == played.attempts[-1].text
        else:
            assert outcome.status == 400, played.cell.id
            assert {attempt.model for attempt in played.attempts} == set(played.cell.models)


@pytest.mark.long
def test_they_fall_back_on_what_no_fallback_cures(its_python: str) -> None:
    """The known truth: both try the other model on a 400; and it does not matter to them why."""
    spec = client.named(its_python)
    found = several(spec, [cell("bad", step("status_400"), deadline_s=15.0)])
    assert [attempt.model for attempt in found[0].attempts] == ["gpt-5.4", "gpt-5.4-mini"]
