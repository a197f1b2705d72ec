"""Parameters are checked before a kernel starts: name, type, and that none is code or a secret."""

from pathlib import Path

import made_notebook
import pytest
from made_notebook import made  # noqa: F401 - a fixture

from runbook_lib.errors import ParameterError, RunError
from runbook_lib.runner import kernel, notebooks, run


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        pytest.param("request_id", "1e10", "1e10", id="text-stays-text"),
        pytest.param("request_id", "00123", "00123", id="zeros-stay"),
        pytest.param("request_id", "true", "true", id="word-stays"),
        pytest.param("request_id", '"); import os #', '"); import os #', id="code-stays-text"),
        pytest.param("request_id", "\u202e\U0001f511", "\u202e\U0001f511", id="any-letters"),
        pytest.param("count", "-7", -7, id="int"),
        pytest.param("window_hours", "1.5", 1.5, id="float"),
        pytest.param("window_hours", "2", 2.0, id="float-from-int"),
        pytest.param("deep", "yes", True, id="flag"),
        pytest.param("deep", "0", False, id="flag-number"),
        pytest.param("models", "a, b", ["a", "b"], id="list-by-commas"),
        pytest.param("models", '["a,b"]', ["a,b"], id="list-as-json"),
        pytest.param("models", "", [], id="empty-list"),
    ],
)
@pytest.mark.usefixtures("made")
def test_text_becomes_the_declared_type(name: str, text: str, value) -> None:
    """Types come from the notebook, never from how a value looks."""
    got = notebooks.checked(notebooks.find("made"), {name: text})[name]
    assert got == value
    assert type(got) is type(value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("count", "1.5", id="no-int"),
        pytest.param("count", True, id="flag-is-no-int"),
        pytest.param("count", "9" * 40, id="too-long"),
        pytest.param("window_hours", "nan", id="nan"),
        pytest.param("window_hours", "inf", id="inf"),
        pytest.param("window_hours", "two", id="word"),
        pytest.param("deep", "maybe", id="no-flag"),
        pytest.param("models", "[1, 2]", id="list-of-numbers"),
        pytest.param("models", "[" * 5000, id="broken-json"),
        pytest.param("models", {"a": 1}, id="no-list"),
        pytest.param("request_id", ('"+str(open("x","w"))+"',), id="tuple"),
        pytest.param("request_id", Path("x"), id="path"),
        pytest.param("request_id", b"x", id="bytes"),
        pytest.param("request_id", {"x": 1}, id="mapping"),
        pytest.param("request_id", None, id="none"),
        pytest.param("request_id", "a\0b", id="nul"),
        pytest.param("request_id", "\ud800", id="surrogate"),
    ],
)
@pytest.mark.usefixtures("made")
def test_what_does_not_fit_is_refused(name: str, value) -> None:
    """Papermill would paste other values as code, or guess."""
    with pytest.raises(ParameterError, match=f"^{name}="):
        notebooks.checked(notebooks.find("made"), {name: value})


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        pytest.param("reqest_id", "request_id", id="slip"),
        pytest.param('x=1;open("x","w");y', "one of", id="code"),
        pytest.param("", "one of", id="empty"),
    ],
)
@pytest.mark.usefixtures("made")
def test_an_unknown_name_is_refused(name: str, meant: str) -> None:
    """Papermill only warns, and runs on the default: the wrong request is triaged."""
    with pytest.raises(ParameterError, match=meant):
        notebooks.checked(notebooks.find("made"), {name: "x"})


@pytest.mark.usefixtures("made")
def test_a_secret_is_no_parameter() -> None:
    """Parameters are stored in three places of the executed notebook."""
    with pytest.raises(ParameterError) as caught:
        notebooks.checked(notebooks.find("made"), {"request_id": "sk-" + "CANARY0123456789"})
    assert "CANARY" not in str(caught.value)


@pytest.mark.parametrize(
    ("names", "parameters", "options"),
    [
        pytest.param(["maid"], {}, {}, id="no-such-runbook"),
        pytest.param(["../made"], {}, {}, id="path"),
        pytest.param(["made", "made"], {}, {}, id="twice"),
        pytest.param([], {}, {}, id="none"),
        pytest.param(["made"], {"timezone": "Mars/Base"}, {}, id="zone"),
        pytest.param(["made"], {"now": "yesterday"}, {}, id="now"),
        pytest.param(["made"], {"other": "1"}, {}, id="name"),
        pytest.param(["made"], {}, {"fail_on": "awful"}, id="level"),
    ],
)
@pytest.mark.usefixtures("made")
def test_wrong_use_starts_no_kernel(names, parameters, options, monkeypatch) -> None:
    """A typo must cost no time and leave nothing behind."""
    monkeypatch.setattr(
        kernel.subprocess, "Popen", lambda *_, **__: pytest.fail("a kernel started")
    )
    with pytest.raises(ParameterError) as caught:
        run(names, parameters, **options)
    assert caught.value.exit_code == 2


@pytest.mark.usefixtures("made")
def test_a_slip_in_a_name_is_answered_with_what_was_meant() -> None:
    """One letter off should not mean reading documentation."""
    with pytest.raises(ParameterError, match=r"made \(was that meant\?\)"):
        notebooks.find("maid")


def test_a_notebook_that_is_none_is_a_sentence(made: Path) -> None:  # noqa: F811
    """A broken checkout is told, not shown as a traceback."""
    (made / "broken.ipynb").write_text("{", encoding="utf-8")
    with pytest.raises(RunError, match="no notebook"):
        notebooks.find("broken")


def test_only_typed_plain_defaults_are_parameters() -> None:
    """What papermill would lose without a word is refused aloud."""
    with pytest.raises(ValueError, match="not known"):
        notebooks.parameters("a: str | None = None  # x\n")
    with pytest.raises(ValueError, match="no typed default"):
        notebooks.parameters("import os\n")
    assert notebooks.parameters(made_notebook.PARAMETERS)["count"].help == "a number"
