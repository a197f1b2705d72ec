"""Reports for people: HTML for notebooks and pages, text for terminals, CSV for the rows."""

from datetime import UTC, datetime
from typing import Any

from runbook_lib import findings


def install() -> None:
    """Make Reports, exhibits, next steps and intake cards show themselves through this package."""
    findings.set_renderer(render)


def render(item: object) -> dict[str, Any]:
    """Make every form in which an item shows itself.

    Args:
        item: A Report, an Exhibit, the NextSteps or the intake card of a store.

    Returns:
        Content by its type: `text/html` and `text/plain`; for a Report also its machine-readable
        part: the content of `findings.json`, the `next_steps`, and `files`: the exhibits as CSV and
        the attachments, by file name.
    """
    made = _made(item)
    if "text/html" in made:
        # JupyterLab sets what stands between two dollar signs as a formula, save here.
        made["text/html"] = f'<div class="mathjax_ignore tex2jax_ignore">{made["text/html"]}</div>'
    return made


def _made(item: object) -> dict[str, Any]:
    """Make every form of an item, as `render` gives it."""
    from runbook_lib.report import answer, card, exhibit, words

    if isinstance(item, findings.Report):
        return _report(item)
    if isinstance(item, findings.Exhibit):
        html, plain = exhibit.html(item)
        return {"text/html": html, "text/plain": plain}
    if isinstance(item, findings.NextSteps):
        told = [words.step(step) for step in findings.plain(item.steps)]
        numbered = [f"{place}. {line}" for place, line in enumerate(told, start=1)]
        return {
            "text/html": answer.steps(item),
            "text/plain": "\n".join(numbered) or "Nothing to do.",
        }
    if isinstance(item, card.Card):
        now = datetime.now(UTC)  # of the reader: how old the data are while they are looked at
        return {"text/html": card.html(item, now), "text/plain": card.plain(item, now)}
    return {"text/plain": repr(item)}


def _report(item: findings.Report) -> dict[str, Any]:
    from runbook_lib.report import answer, csv_text, words

    content = item.to_dict()
    steps = findings.plain(item.next_steps.steps)
    files = {f"{name}.csv": csv_text.of_frame(held.frame) for name, held in item.exhibits.items()}
    files |= {held.name: findings.plain(held.text) for held in item.attachments}
    return {
        "text/html": answer.html(item),
        "text/plain": "\n".join(words.lines({**content, "next_steps": steps})),
        findings.REPORT_MIME: {**content, "next_steps": steps, "files": files},
    }
