"""Nothing that stands in the data is live, secret or invisible where people see it."""

import json

import live_nodes
import made_report
import pytest

from runbook_lib import findings, report

LIVE = [pytest.param(text, id=f"payload-{place}") for place, text in enumerate(made_report.LIVE)]


@pytest.fixture(autouse=True)
def _renderer():
    report.install()


def _outputs(made: findings.Report) -> list[dict]:
    shown = [made, *made.exhibits.values(), made.next_steps]
    return [item._repr_mimebundle_() for item in shown]


def test_the_judge_finds_what_is_live() -> None:
    """A judge that finds nothing would pass every page."""
    for text in made_report.LIVE:
        if text.lstrip("'\"->]<").startswith(("script", "img", "/td", "svg")) or "<" in text:
            assert live_nodes.live(f"<p>{text}</p>"), text


@pytest.mark.parametrize("text", LIVE)
def test_no_value_is_live_in_an_output(text: str) -> None:
    """Run in JupyterLab, an output's HTML is executed: a key's name must not be a script."""
    for output in _outputs(made_report.hostile(text)):
        assert live_nodes.live(output["text/html"]) == []


def test_dollars_are_no_formula() -> None:
    """JupyterLab sets what is between two dollar signs as a formula, save in this class."""
    for output in _outputs(made_report.hostile("from $1 to $2")):
        assert output["text/html"].startswith('<div class="mathjax_ignore tex2jax_ignore">')


@pytest.mark.parametrize("text", LIVE)
def test_no_control_or_hidden_character_reaches_people(text: str) -> None:
    """A terminal must not be steered, and text must not read in another order than it is."""
    for output in _outputs(made_report.hostile(text)):
        for name in ("text/html", "text/plain"):
            hidden = [c for c in output[name] if c not in "\n\t" and not c.isprintable()]
            assert [c for c in hidden if c != "\xa0"] == []


def test_no_secret_reaches_any_form_of_a_report() -> None:
    """A key that slipped into a log must not travel with the report."""
    secret = "sk-" + "CANARY0123456789abcdef"
    shown = json.dumps(_outputs(made_report.hostile(secret)), default=str)
    assert "CANARY" not in shown
    assert "[secret removed]" in shown


def test_plain_text_is_shown_as_it_is() -> None:
    """Escaping must not eat the values people look for."""
    made = made_report.hostile("a < b & c > d")
    html = made._repr_mimebundle_()["text/html"]
    assert "a < b & c > d" in "".join(live_nodes.parsed(html).text)


def test_the_same_report_has_the_same_bytes() -> None:
    """A report that differs without a reason cannot be compared with the last one."""
    assert _outputs(made_report.report()) == _outputs(made_report.report())
