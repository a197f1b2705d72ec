"""The page that lists the notebooks of one run."""

from collections.abc import Sequence

from runbook_lib.report import markup, words
from runbook_lib.runner.outcome import Outcome

_HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Runbooks</title>
<style>
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; padding: 20px; max-width: 900px; }
</style>
</head>
<body>
<h1>Runbooks</h1>
"""


def page(outcomes: Sequence[Outcome]) -> str:
    """Make the page: each notebook with its verdict and link, or why it failed."""
    lines = "".join(f"<li>{_line(item)}</li>\n" for item in outcomes)
    return f"{_HEAD}<ul>\n{lines}</ul>\n</body>\n</html>\n"


def _line(item: Outcome) -> str:
    name = markup.text(item.name)
    if item.report is None:
        return f"<strong>{name}</strong> failed: {markup.text(item.error)}"
    verdict = item.report["verdict"]
    grade = words.GRADES[verdict["grade"]]
    sample = " (sample data)" if item.report["run"]["sample_data"] else ""
    told = markup.text(f"{grade}{sample}: {verdict['title']}")
    return f'<a href="{name}/report.html">{name}</a> {told}'
