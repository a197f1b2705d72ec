"""The page of a run: opens with the verdict, loads nothing, and runs nothing."""

import re

import live_nodes
import made_report
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from runbook_lib import report
from runbook_lib.report import page


@pytest.fixture(autouse=True)
def _renderer():
    report.install()


def _shown(item) -> nbformat.NotebookNode:
    return new_output("display_data", data=item._repr_mimebundle_())


def _notebook(made) -> nbformat.NotebookNode:
    cells = [
        new_markdown_cell("# Incident triage\n\n**Question** Why?", id="title"),
        new_code_cell("x = 1", id="parameters", metadata={"tags": ["parameters"]}),
        new_code_cell("x = 2", id="injected", metadata={"tags": ["injected-parameters"]}),
        new_code_cell("secret_code()", id="load", outputs=[new_output("stream", text="held")]),
        new_code_cell("report", id="verdict", outputs=[_shown(made)]),
        new_markdown_cell("## Who else was hit?", id="look-rows"),
        new_code_cell("x", id="look-rows-exhibit", outputs=[_shown(made.exhibits["joined_rows"])]),
    ]
    return new_notebook(cells=cells)


def _page(notebook, partial=()) -> str:
    return page.render(
        notebook, title="Incident triage", run={"Status": "complete"}, partial=partial
    )


def test_the_page_opens_with_the_verdict_and_hides_the_plumbing() -> None:
    """Who opens it at three in the night reads the answer, not the code."""
    html = _page(_notebook(made_report.report()), partial=["2 rows rejected"])
    text = " ".join("".join(live_nodes.parsed(html).text).split())
    parts = (
        "Not whole: 2 rows rejected",
        "Key prod-web reached",
        "Who else was hit?",
        "held",
        "Why?",
    )
    places = [text.index(part) for part in parts]
    assert places == sorted(places)
    assert "secret_code" not in html
    assert "x = 1" not in html


def test_the_page_loads_nothing_and_forbids_it_too() -> None:
    """It must open on a machine without a network, and tell nobody that it was opened."""
    html = _page(_notebook(made_report.report()))
    assert live_nodes.live(html) == []
    assert re.findall(r"(?:src|href)\s*=\s*[\"']?(?!data:)", html) == []
    assert "@import" not in html
    assert "default-src 'none'" in html


@pytest.mark.parametrize("text", made_report.LIVE)
def test_nothing_of_the_data_is_live_on_the_page(text: str) -> None:
    """Not in the verdict, the rows, the title, nor what is told of the run."""
    html = page.render(
        _notebook(made_report.hostile(text)), title=text, run={text: text}, partial=[text]
    )
    assert live_nodes.live(html) == []
    assert "CANARY" not in html


OUTPUTS = [
    pytest.param({"image/png": "AAAA"}, {"image/png": {"width": "1 onerror=alert(1)"}}, id="size"),
    pytest.param({"image/svg+xml": "<svg onload=alert(1)>"}, {}, id="svg"),
    pytest.param({"application/javascript": "alert(1)"}, {}, id="javascript"),
    pytest.param({"text/markdown": "[x](javascript:alert(1))"}, {}, id="markdown"),
    pytest.param({"text/latex": "$\\href{javascript:alert(1)}{x}$"}, {}, id="latex"),
    pytest.param({"text/plain": "<script>alert(1)</script>"}, {}, id="plain"),
    pytest.param({"application/vnd.jupyter.widget-view+json": {"model_id": "x"}}, {}, id="widget"),
]


@pytest.mark.parametrize(("data", "metadata"), OUTPUTS)
def test_other_kinds_of_output_stay_dead(data: dict, metadata: dict) -> None:
    """Stock templates write sizes into attributes without quotes, and run what they are given."""
    output = new_output("display_data", data=data, metadata=metadata)
    notebook = new_notebook(cells=[new_code_cell("x", id="verdict", outputs=[output])])
    html = _page(notebook)
    assert live_nodes.live(html) == []
    assert "onerror" not in html


def test_streams_and_errors_are_shown_as_text() -> None:
    """What a cell prints can hold anything."""
    outputs = [
        new_output("stream", text="<script>alert(1)</script>\x1b[2J"),
        new_output("error", ename="<b>", evalue="<script>alert(1)</script>", traceback=["<i>"]),
    ]
    notebook = new_notebook(cells=[new_code_cell("x", id="verdict", outputs=outputs)])
    html = _page(notebook)
    assert live_nodes.live(html) == []
    assert "\x1b" not in html
    assert "&lt;script&gt;" in html


def test_the_same_notebook_gives_the_same_page() -> None:
    """Nothing of the machine or the time is added."""
    assert _page(_notebook(made_report.report())) == _page(_notebook(made_report.report()))


def test_the_notebook_is_not_changed() -> None:
    """The executed notebook is written beside the page as it is."""
    notebook = _notebook(made_report.report())
    before = nbformat.writes(notebook)
    _page(notebook)
    assert nbformat.writes(notebook) == before
