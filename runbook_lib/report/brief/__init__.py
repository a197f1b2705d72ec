"""Two pages about a month's budget and its caps, for people who pay and do not run the services."""

from runbook_lib import findings

NAME = "finance.html"
"""File beside the report."""


def attachment(report: findings.Report) -> findings.Attachment:
    """Make the two pages of a Report of `budget_caps`: print them, or open them in a browser.

    Args:
        report: Finished, with its time and its parameters; what it does not know is told as such.

    Returns:
        One self-contained page: it loads nothing, and nothing in it runs. The same Report gives
        the same bytes.
    """
    from runbook_lib.report.brief import sheets

    return findings.Attachment(name=NAME, text=sheets.html(report))
