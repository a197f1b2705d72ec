"""Which client is verified and where it runs: by its name, looked at, kept away from money."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from engine_kit import Ending, cell, ending, one, several, step

from runbook_lib.errors import ParameterError
from runbook_lib.verify.play import find_client


def test_a_function_is_known_by_its_first_calls() -> None:
    """A new user names a function, and nothing else."""
    plain = find_client("clients.unruly:plain")
    assert (plain.kind, plain.protocols, plain.plain, plain.asynchronous) == (
        *("function", ("openai",), True, False),
    )
    awaited = find_client("clients.unruly:an_object")
    assert (awaited.plain, awaited.asynchronous) == (False, True)
    assert find_client("clients.unruly:by_maker").protocols == ("responses", "anthropic")
    assert find_client("clients.unruly:says_nothing").silent


@pytest.mark.parametrize(
    ("name", "said"),
    [
        pytest.param("clients.nowhere:ask", "there is no clients.nowhere", marks=pytest.mark.long),
        pytest.param("nowhere:ask", "there is no nowhere", marks=pytest.mark.long),
        pytest.param(
            "clients.unruly:nobody", "clients.unruly has no nobody", marks=pytest.mark.long
        ),
        pytest.param(
            "clients.unruly:NOT_CALLABLE", "NOT_CALLABLE is a str", marks=pytest.mark.long
        ),
        ("clients.unruly:wrong_signature", "missing a required argument: 'url'"),
        ("clients.broken_module:ask", "raised RuntimeError: a module of mine is broken"),
        pytest.param(
            "clients.needy_module:ask", "needs a_package_that_nobody_has", marks=pytest.mark.long
        ),
        pytest.param(
            "clients.leaving_module:ask", "leaves its process alive", marks=pytest.mark.long
        ),
        ("command:", "a command line"),
        ("command:no-such-command-here", "there is no no-such-command-here"),
        ("command:'unclosed", "a command line"),
        ("openia", "module:function"),
        ("", "module:function"),
        ("os.path", "module:function"),
        ("a b:c", "module:function"),
        ("x:1", "module:function"),
    ],
)
def test_a_client_that_cannot_be_is_one_sentence(name: str, said: str) -> None:
    """Wrong use ends with 2 and says what to give instead."""
    with pytest.raises(ParameterError) as caught:
        find_client(name)
    assert said in str(caught.value)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


# Where the client runs --------------------------------------------------------------------------


def test_the_environment_holds_nothing_of_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key, no address, no proxy: a client on trial cannot spend real money by accident."""
    secret = "sk-" + "b4" * 20
    names = ["OPENAI_API_KEY", "TOROUTER_API_KEY", "TOROUTER_API_KEY__PROD", "MY_ACCESS_TOKEN"]
    for name in names:
        monkeypatch.setenv(name, secret)
    for name in ("OPENAI_BASE_URL", "HTTPS_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://192.0.2.7")
    found = json.loads(one("environment").outcomes[0].text)
    assert secret not in found.values()
    assert "192.0.2.7" not in str(found.values())
    assert found["PATH"]


@pytest.mark.long
def test_another_python_without_this_package_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """LiteLLM and LangChain live in environments of their own."""
    other = Path(sys.base_prefix) / "bin" / "python3"
    monkeypatch.setenv("TOROUTER_CLIENT_PYTHON", str(other))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    found = find_client("clients.unruly:plain")
    assert ending(one(found)) is Ending.TEXT
    with pytest.raises(ParameterError, match="a Python that has litellm"):
        find_client("litellm")
    monkeypatch.setenv("TOROUTER_CLIENT_PYTHON", "/no/python/here")
    with pytest.raises(ParameterError, match="TOROUTER_CLIENT_PYTHON"):
        find_client("clients.unruly:plain")


COMMAND = f"command:{sys.executable} {Path(__file__).parent / 'clients' / 'command.py'}"


def test_a_command_is_a_client() -> None:
    """Any language can be verified: it is asked by its environment and answers on its output."""
    spec = find_client(COMMAND)
    assert (spec.kind, spec.protocols) == ("command", ("openai",))
    first, second = several(spec, [cell("good"), cell("bad", step("status_400"))])
    assert first.outcomes[0].text == first.attempts[0].text
    assert second.outcomes[0].ending is Ending.RAISED
    assert "exit status 1" in second.outcomes[0].error


@pytest.mark.long
def test_a_command_that_fails_hangs_or_floods_is_survived() -> None:
    """Its children, its output and its patience are the verifier's to end."""
    spec = find_client(COMMAND)
    for how, end in (("fails", Ending.RAISED), ("hangs", Ending.HUNG), ("floods", Ending.TEXT)):
        found = one(replace(spec, words=[*spec.words, how]))
        assert ending(found) is end
        assert found.notes == [] or how == "hangs"
        assert len(found.outcomes[0].text) <= 1 << 20
