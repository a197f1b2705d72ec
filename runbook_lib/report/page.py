"""An executed notebook as one page that stands alone: it loads nothing, and nothing in it runs.

The page opens with the verdict; code is left out, and what the data are stands at the end. Of the
outputs only HTML and plain text are taken, without their metadata: the stock templates write those
into attributes without quotes.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runbook_lib import redact

if TYPE_CHECKING:
    from nbformat import NotebookNode

_TEMPLATES = Path(__file__).parent / "templates"
MOST_TOLD = 800
"""Characters of one line about the run, such as its parameters."""

_LAST = ("load", "title")
_HIDDEN = ("parameters", "injected-parameters")


def render(
    notebook: "NotebookNode", *, title: str, run: Mapping[str, str], partial: Sequence[str] = ()
) -> str:
    """Make the page of an executed notebook.

    Args:
        notebook: Executed; it is not changed.
        title: Name of the page.
        run: What is told of the run itself, label and value, at the foot of the page.
        partial: Why the answer is not whole, told at the top.

    Returns:
        HTML without anything to load, scripts, forms or frames.
    """
    from nbconvert.exporters.html import HTMLExporter

    exporter = HTMLExporter(
        template_name="runbook",
        extra_template_basedirs=[str(_TEMPLATES)],
        exclude_anchor_links=True,
        preprocessors=[],
        default_preprocessors=[],
    )
    page = _page(notebook)
    page.metadata["title"] = redact.safe(title)
    page.metadata["partial"] = [redact.safe(reason, limit=500) for reason in partial]
    page.metadata["run"] = [
        (redact.safe(name), redact.safe(told, limit=MOST_TOLD)) for name, told in run.items()
    ]
    body, _ = exporter.from_notebook_node(page)
    return str(body)


def _page(notebook: "NotebookNode") -> "NotebookNode":
    from nbformat.v4 import new_markdown_cell, new_notebook

    shown = [cell for cell in map(_cell, notebook.cells) if cell is not None]
    first = [cell for cell in shown if cell.id not in _LAST]
    last = [cell for place in _LAST for cell in shown if cell.id == place]
    about = [new_markdown_cell("## What it rests on", id="rests")] if last else []
    return new_notebook(cells=[*first, *about, *last])


def _cell(cell: "NotebookNode") -> "NotebookNode | None":
    from nbformat.v4 import new_code_cell, new_markdown_cell

    tags = cell.metadata.get("tags", [])
    if any(tag in _HIDDEN for tag in tags):
        return None
    name = cell.get("id", "cell")
    if cell.cell_type == "markdown":
        source = cell.source.replace("# ", "## ", 1) if name == "title" else cell.source
        return new_markdown_cell(source, id=name)
    outputs = [held for held in map(_output, cell.get("outputs", [])) if held is not None]
    return new_code_cell("", id=name, outputs=outputs) if outputs else None


def _output(output: "NotebookNode") -> "NotebookNode | None":
    from nbformat.v4 import new_output

    kind: Any = output.output_type
    if kind == "stream":
        return new_output("stream", name=output.name, text=redact.visible(output.text))
    if kind == "error":
        told = redact.safe(output.evalue)
        return new_output("error", ename=redact.safe(output.ename), evalue=told, traceback=[])
    held = {name: output.data[name] for name in ("text/html", "text/plain") if name in output.data}
    return new_output("display_data", data=held) if held else None
