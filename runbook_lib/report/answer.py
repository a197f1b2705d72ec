"""A whole Report as HTML: the verdict first, then what it stands on, then how good the data are."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from zoneinfo import ZoneInfo

from runbook_lib import clock, findings, money
from runbook_lib.findings import Finding, Grade, Severity, Status
from runbook_lib.report import exhibit, markup, tables, words

MOST_FINDINGS = 12
"""Findings that are shown at once, worst first; the others are folded away."""

MOST_EVIDENCE = 12
"""Rows of evidence of one finding that are shown; all are in findings.json."""

_KINDS = {Grade.CONFIRMED: "good", Grade.LIKELY: "low", Grade.INCONCLUSIVE: "medium"}


def html(report: findings.Report) -> str:
    """Make the HTML of a Report."""
    zone = clock.zone(report.timezone)
    return "".join(
        [
            markup.box(_verdict(report), tone=tone(report)),
            _grouped(report),
            _findings(report, zone),
            _quality(report),
            inputs(report.inputs, zone),
        ]
    )


def tone(report: findings.Report) -> str:
    """Name the colour of a verdict: one of `markup.TONES`."""
    worst = report.worst()
    if worst is not None and worst.reaches(Severity.HIGH):
        return "bad"
    undecided = report.verdict.grade is Grade.INCONCLUSIVE
    return "warn" if undecided or worst in (Severity.MEDIUM, Severity.LOW) else "good"


def _verdict(report: findings.Report) -> str:
    verdict = report.verdict
    labels = markup.badge(words.GRADES[verdict.grade], _KINDS[verdict.grade])
    if report.sample_data:
        labels += markup.badge("sample data", "info")
    order, reason = words.retry(verdict.cause, verdict.retry)
    style = "margin:8px 0 6px 0;font-size:1.45em;line-height:1.3;font-weight:600;border:none;"
    style += "overflow-wrap:break-word"
    return "".join(
        [
            f'<div style="margin:0 0 4px 0">{labels}</div>',
            f'<h2 style="{style}">{markup.text(verdict.title)}</h2>',
            markup.paragraph(
                f"<strong>{markup.text(order)}</strong> {markup.text(reason)}",
                style="font-size:1.08em",
            ),
            _do_now(report),
            markup.facts(_facts(report)),
        ]
    )


def _first(report: findings.Report) -> findings.NextStep | None:
    """Give the first act to take; None where there is none."""
    steps = [*report.next_steps.steps]
    steps += [item.next_step for item in report.findings if item.next_step is not None]
    return steps[0] if steps else None


def _do_now(report: findings.Report) -> str:
    first = _first(report)
    return markup.paragraph(f"<strong>Do now:</strong> {step(first)}") if first else ""


def _facts(report: findings.Report) -> list[tuple[str, str]]:
    verdict = report.verdict
    cause = "" if verdict.cause in words.ANSWERS else verdict.cause or "several"
    told = [("Cause", cause), ("Code", verdict.code or "")]
    side = words.side(verdict.cause, verdict.domain)
    told += [("Must act", side), *report.summary]
    return [(label, markup.text(value)) for label, value in told if value]


def step(item: findings.NextStep) -> str:
    """Write one next step: the act, where, and who does it."""
    place = f" <strong>Where:</strong> {markup.text(item.where)}." if item.where else ""
    who = f" <strong>Who:</strong> {markup.text(item.who)}." if item.who else ""
    return f"{markup.text(item.text)}{place}{who}"


def steps(item: findings.NextSteps) -> str:
    """Make the HTML of the next steps: a numbered list."""
    title = markup.heading("What to do now", level=2)
    if not item.steps:
        return title + markup.paragraph("Nothing to do.")
    lines = []
    for act in item.steps:
        order = words.RETRIES[act.retry][0] if act.retry in words.RETRIES else ""
        told = f" <em>{markup.text(order)}</em>" if order else ""
        lines.append(f'<li style="margin:6px 0;line-height:1.5">{step(act)}{told}</li>')
    return f'{title}<ol style="margin:4px 0;padding-left:24px">{"".join(lines)}</ol>'


def _grouped(report: findings.Report) -> str:
    """The requests by cause, where several were asked about."""
    held = report.exhibits.get("causes")
    return exhibit.html(held)[0] if held is not None else ""


def _findings(report: findings.Report, zone: ZoneInfo) -> str:
    told = _sorted([item for item in report.findings if item.status is not Status.PASS])
    fine = [item for item in report.findings if item.status is Status.PASS]
    shown = ""
    if told:
        shown += _table("What was found, worst first", told[:MOST_FINDINGS], zone, report)
    if told[MOST_FINDINGS:]:
        summary = f"Further findings ({len(told) - MOST_FINDINGS})"
        shown += markup.details(summary, _table(summary, told[MOST_FINDINGS:], zone, report))
    if fine:
        summary = f"Checked and fine ({len(fine)})"
        shown += markup.details(summary, _table("Checked and fine", fine, zone, report))
    return shown or markup.paragraph("Nothing was found.")


def _sorted(items: Sequence[Finding]) -> list[Finding]:
    order = list(Severity)
    return sorted(
        items, key=lambda item: (item.status is not Status.FAIL, order.index(item.severity))
    )


def _act(item: findings.NextStep | None, told: dict[str, tuple[str, str]]) -> str:
    """Write what to do about a finding; an act that stands already is not written again.

    Args:
        item: The act.
        told: Acts that stand already: where they are to be found, and where they are done.
    """
    if item is None:
        return tables.ABSENT
    if item.text not in told:
        told[item.text] = ("As above.", item.where)
        return step(item)
    order, where = told[item.text]
    elsewhere = f" <strong>Where:</strong> {markup.text(item.where)}."
    return order + (elsewhere if item.where not in ("", where) else "")


def _table(caption: str, items: Sequence[Finding], zone: ZoneInfo, report: findings.Report) -> str:
    names = ("How bad", "What", "What to do")
    first = _first(report)
    told = {first.text: ("As in the verdict.", first.where)} if first else {}
    rows = []
    for item in items:
        title = item.title if item.title != report.verdict.title else words.THE_VERDICT
        cells = (_level(item), _what(item, title, zone), _act(item.next_step, told))
        rows.append("".join(map(markup.cell, cells)))
    return markup.table(caption, map(markup.header, names), rows, kind="rb-findings")


def _level(item: Finding) -> str:
    kinds = {Status.PASS: "good", Status.UNKNOWN: "info"}
    return markup.badge(item.level, kinds.get(item.status, item.severity))


def _what(item: Finding, title: str, zone: ZoneInfo) -> str:
    parts = [words.subject(findings.plain(item.subject))]
    parts += [words.GRADES[item.grade].lower()] if item.grade is not Grade.CONFIRMED else []
    parts += [f"{item.severity} if so"] if item.status is Status.UNKNOWN else []
    parts += [_measured(item)] if item.value is not None else []
    parts += [f"{money.usd(item.impact_usd)} at stake"] if item.impact_usd else []
    if item.window is not None:
        ends = [clock.clock_time(at, zone) for at in (item.window.start, item.window.end)]
        parts.append(" to ".join(dict.fromkeys(ends)))
    parts += [f"rule {item.rule}"] + ([f"mark {item.mark}"] if item.mark else [])
    about = markup.muted(markup.soft(" · ".join(filter(None, parts))))
    return f"<strong>{markup.text(title)}</strong><br>{about}{_evidence(item)}"


def _measured(item: Finding) -> str:
    money_of, _, span = item.unit.partition(" ")
    in_usd = money_of == "USD"

    def told(value: object) -> str:
        return tables.shown(value, "usd" if in_usd else "", ZoneInfo("UTC")).told

    unit = span if in_usd else item.unit
    unit = f" {unit}" if unit else ""
    expected = f" (expected {told(item.expected)})" if item.expected is not None else ""
    return f"{told(item.value)}{unit}{expected}"


def _evidence(item: Finding) -> str:
    count = len(item.evidence)
    if not count:
        return ""
    names = ("Source", "Row", "Field", "Value", "Joined by")
    rows = (
        markup.cell(markup.text(part.source))
        + markup.cell(str(part.row), right=True)
        + markup.cell(markup.text(part.field))
        + markup.cell(markup.text(tables.shown(part.value, part.field, ZoneInfo("UTC")).told))
        + markup.cell(markup.text(part.join))
        for part in item.evidence[:MOST_EVIDENCE]
    )
    heads = [markup.header(name, right=name == "Row") for name in names]
    left = count - MOST_EVIDENCE
    more = markup.muted(f"{left} more in findings.json") if left > 0 else ""
    summary = markup.muted(f"{count:,} row{'s' if count > 1 else ''} of evidence")
    return markup.details(summary, markup.table(f"Evidence: {item.title}", heads, rows) + more)


def _quality(report: findings.Report) -> str:
    coverage, told = report.coverage, _age(report)
    if coverage.join_rate is not None:
        told.append(f"{words.share(coverage.join_rate)} of answered calls joined to usage rows")
    if coverage.unpriced_share is not None:
        told.append(f"{words.share(coverage.unpriced_share)} of the requests have no price")
    lines = [markup.text(f"{part}.") for part in told]
    lines += [f"<strong>Not whole:</strong> {markup.text(part)}" for part in coverage.partial]
    lines += [f"Gap: {markup.text(part)}" for part in coverage.gaps]
    return markup.heading("How good the data are") + bullets(lines) if lines else ""


def _age(report: findings.Report) -> list[str]:
    last = max((item.last_at for item in report.inputs if item.last_at), default=None)
    if last is None or report.now is None:
        return []
    at = clock.clock_time(report.now, clock.zone(report.timezone))
    return [f"The newest row is {clock.ago(max(report.now - last, timedelta(0)))} old at {at}"]


def bullets(lines: Iterable[str]) -> str:
    """Make a list of ready HTML."""
    items = "".join(f'<li style="margin:2px 0;line-height:1.5">{line}</li>' for line in lines)
    return f'<ul style="margin:4px 0;padding-left:22px">{items}</ul>'


def inputs(items: Sequence[findings.Input], zone: ZoneInfo) -> str:
    """Make the folded table of the files an answer rests on."""
    if not items:
        return ""
    names = ("File", "Kind", "Rows", "Rejected", "First", "Last", "SHA-256")
    heads = [markup.header(name, right=name in ("Rows", "Rejected")) for name in names]
    lines = (
        "".join(
            tables.shown(value, name, zone).cell(right=name in ("rows", "rejected"))
            for name, value in (
                ("name", item.name),
                ("kind", item.kind),
                ("rows", item.rows),
                ("rejected", item.rejected),
                ("first_at", item.first_at),
                ("last_at", item.last_at),
                ("sha256", item.sha256[:12]),
            )
        )
        for item in items
    )
    summary = f"The {len(items)} file{'s' if len(items) > 1 else ''} it rests on"
    return markup.details(summary, markup.table("Files", heads, lines))
