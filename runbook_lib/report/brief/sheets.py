"""The two pages as HTML: the answer on the first, what to type on the second."""

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path

from runbook_lib import findings, money, redact
from runbook_lib.report import caps, figures, markup
from runbook_lib.report import words as shares
from runbook_lib.report.brief import facts as held
from runbook_lib.report.brief import typed, words
from runbook_lib.report.brief.facts import Facts, Row, day

POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; "
    "form-action 'none'"
)
"""What the page may do: show its own pictures and styles, and nothing else."""

MOST_PARTS, MOST_BALANCES, MOST_STEPS, MOST_LIMITS = 5, 3, 3, 4
"""Environments, balances, acts and limits that are told; the others are counted."""

MOST_TEXT, MOST_LIMIT, MOST_ACT, MOST_REASON, MOST_NAME = 230, 150, 200, 110, 36
"""Characters of a sentence, a limit, an act, a reason and a name, that are shown."""

PROD_SHARE = Decimal("0.9")
"""Share of a month's budget that is production's, as the best practices have it."""

GRADES = {"confirmed": "certain", "likely": "likely", "inconclusive": "not certain"}

LIMITS = (
    "A forecast carries on what was spent before; a launch or a change of price that nobody "
    "planned is not in it.",
    "The gateway counts some minutes late and lets calls under way finish, so a cap is passed by a "
    "little before it stops a key.",
)
"""What is always so."""


def html(report: findings.Report) -> str:
    """Make the two pages of a Report of `budget_caps`."""
    facts = held.of(report)
    style = (Path(__file__).parent / "brief.css").read_text(encoding="utf-8")
    title = f"Budget and caps, {facts.month_name}"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{markup.text(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        f'<section class="sheet">\n{_first(report, facts)}</section>\n'
        f'<section class="sheet">\n{_second(report, facts)}</section>\n</body>\n</html>\n'
    )


def _first(report: findings.Report, facts: Facts) -> str:
    told = "".join(f"<p>{_told(line)}</p>\n" for line in words.sentences(facts))
    sure = GRADES[report.verdict.grade]
    return (
        _head(report, f"Budget and caps · {facts.month_name}", page=1)
        + f'<div class="answer" style="border-color:{markup.TONES[words.tone(facts)]}">'
        + f"<h1>{_told(words.headline(facts))}</h1>\n{told}"
        + f'<p class="soft">How sure this is: {sure}.</p></div>\n'
        + f'<div class="beside">{_month(facts)}{_figure(facts)}</div>\n'
        + _balances(facts)
        + _parts(facts)
        + _steps(report)
    )


def _head(report: findings.Report, title: str, *, page: int) -> str:
    sample = markup.badge("sample data", "info") if report.sample_data else ""
    at = markup.text(held.as_of(report))
    return (
        f"<header>{sample}<span>{markup.text(title)}</span> "
        f'<span class="soft">as of {at}</span><span class="soft end">page {page} of 2</span>'
        "</header>\n"
    )


def _told(text: object, limit: int = MOST_TEXT) -> str:
    return markup.text(redact.safe(text, limit=limit))


def _table(
    caption: str, heads: Sequence[str], rows: Iterable[Sequence[str]], *, kind: str = ""
) -> str:
    """Make a table of raw texts; all but the first column stand at the right."""

    def heading(place: int) -> str:
        return f' class="r" data-h="{_told(heads[place])}"' if place else ""

    def line(kind: str, cells: Sequence[str]) -> str:
        tags = (
            f"<{kind}{heading(place)}>{_told(cell, MOST_NAME)}</{kind}>"
            for place, cell in enumerate(cells)
        )
        return f"<tr>{''.join(tags)}</tr>"

    body = "\n".join(line("td", cells) for cells in rows)
    return (
        f'<div class="scroll" tabindex="0"><table class="{kind}">'
        f"<caption>{_told(caption)}</caption>\n"
        f"<thead>{line('th', heads)}</thead>\n<tbody>{body}</tbody></table></div>\n"
    )


def _month(facts: Facts) -> str:
    end, told = facts.month, facts.tender.told
    budget = end.get("budget_usd")
    names = (
        ("Spent so far", "to_date_usd"),
        ("Month's end, if use is low", "p10_usd"),
        ("Month's end, likely", "p50_usd"),
        ("Month's end, if use is high", "p90_usd"),
    )
    rows = [
        (label, told(end.get(name)), _left(budget, end.get(name), facts)) for label, name in names
    ]
    rows.append(("Budget of the month", told(budget) if budget is not None else "not given", ""))
    odds = end.get("odds_over")
    if odds is not None:
        rows.append(("Odds of passing it", shares.share(odds), ""))
    return _table("The month", ("", "Amount", "Left of the budget"), rows)


def _left(budget: object, spent: object, facts: Facts) -> str:
    if not isinstance(budget, Decimal) or not isinstance(spent, Decimal):
        return "–"
    return facts.tender.told(budget - spent)


def _balances(facts: Facts) -> str:
    rows = [
        (
            held.account_name(row),
            facts.tender.told(row.get("remaining_usd")),
            day(row.get("runs_out_on")) or "after a year",
            day(row.get("runs_out_early")) or "after a year",
            day(row.get("act_by")) or "–",
            facts.tender.told(row.get("amount_usd")) if row.get("amount_usd") else "–",
        )
        for row in facts.balances
    ]
    rows += [
        (name, amount.partition(" (")[0], _when(amount), _when(amount), "–", "–")
        for name, amount in facts.readings
    ]
    if not rows:
        return "<h2>The balance</h2>\n<p>Not known.</p>\n"
    heads = [
        *("Account", "Balance now", "Used up, likely", "Used up, if use is high"),
        *("Top up by", "At least, for 30 high days"),
    ]
    more = _more(len(rows) - MOST_BALANCES, "account", "accounts")
    return _table("The balance", heads, rows[:MOST_BALANCES], kind="names") + more


def _when(amount: str) -> str:
    return "used up" if held.used_up(amount) else "not known"


def _more(count: int, one: str, many: str) -> str:
    return f'<p class="soft">{count} more {one if count == 1 else many}.</p>' if count > 0 else ""


def _figure(facts: Facts) -> str:
    if facts.month.get("to_date_usd") is None:
        return ""
    picture = caps.month(
        facts.spent, facts.month, factor=facts.tender.factor, unit=facts.tender.code
    )
    return figures.html(picture) + "\n"


def _parts(facts: Facts) -> str:
    """Caps against the budget, by environment."""
    if not facts.whole:
        return ""
    shown = [*facts.environments[:MOST_PARTS], facts.whole]
    heads = [
        *("Environment", "Keys", "Without a cap", "Proposed caps", "Caps set now", "Budget"),
        *("Proposed, % of budget", "Set now, % of budget"),
    ]
    told = facts.tender.told
    rows = [
        (
            held.UNNAMED.get(str(row["environment"]), str(row["environment"])),
            str(row.get("keys") or 0),
            str(row.get("without_cap") or 0),
            told(row.get("proposed_usd")),
            told(row["set_usd"]) if row.get("set_usd") is not None else "none set",
            told(row["budget_usd"]) if row.get("budget_usd") is not None else "not given",
            _percent(row.get("proposed_usd"), row),
            _percent(row.get("set_usd"), row),
        )
        for row in shown
    ]
    more = _more(len(facts.environments) - MOST_PARTS, "environment", "environments")
    table = _table("What all caps together allow in a month", heads, rows, kind="names sum")
    return table + more + _told_share(facts) + _against_balance(facts)


def _told_share(facts: Facts) -> str:
    """Say where the budget of production is from, where it is the usual share of the month's."""
    budget = facts.whole.get("budget_usd")
    parts = {row.get("environment"): row.get("budget_usd") for row in facts.environments}
    if not isinstance(budget, Decimal) or parts.get("prod") != budget * PROD_SHARE:
        return ""
    share = f"{PROD_SHARE * 100:.0f} %"
    return f"<p>The budget of prod is {share} of the month's; the rest is for all others.</p>\n"


def _against_balance(facts: Facts) -> str:
    """Hold the sums of caps against what is prepaid."""
    balance, proposed = facts.whole.get("balance_usd"), facts.whole.get("proposed_usd")
    if not isinstance(balance, Decimal) or balance <= 0 or not isinstance(proposed, Decimal):
        return ""
    fixed = facts.whole.get("set_usd")
    now = f", what is set now {fixed / balance * 100:.0f} %" if fixed is not None else ""
    return (
        f"<p>All balances together are {_told(facts.tender.told(balance))}; the proposed caps "
        f"allow {proposed / balance * 100:.0f} % of it in a month{now}.</p>\n"
    )


def _percent(amount: object, row: Row) -> str:
    budget = row.get("budget_usd")
    if not isinstance(amount, Decimal) or not budget:
        return "–"
    return f"{amount / budget * 100:.0f} %"


def _steps(report: findings.Report) -> str:
    steps = [
        f"<li>{_told(words.whole(_window_words(item.text), MOST_ACT))}"
        f"{f' ({_told(item.who, MOST_NAME)})' if item.who else ''}</li>"
        for item in report.next_steps.steps[:MOST_STEPS]
    ]
    if not steps:
        return ""
    left = len(report.next_steps.steps) - MOST_STEPS
    more = f' <span class="soft">{left} more in report.html.</span>' if left > 0 else ""
    return f"<h2>What to do now{more}</h2>\n<ol>{''.join(steps)}</ol>\n"


def _window_words(text: str) -> str:
    """Write the windows of caps in words where an act names them by their code."""
    for code, name in typed.WINDOWS.items():
        text = text.replace(f"({code})", f"({name.lower()})")
    return text


def _second(report: findings.Report, facts: Facts) -> str:
    lines = typed.lines(facts.typed)
    return (
        _head(report, "What to type for each key", page=2)
        + _typed(facts, lines)
        + _notes(report, facts, lines)
    )


def _typed(facts: Facts, lines: Sequence[typed.Line]) -> str:
    if not lines:
        return "<p><strong>Nothing to type:</strong> no key has been used yet.</p>\n"
    codes = typed.currencies(facts.typed)
    mixed = len(codes) > 1
    review = next((day(row.get("review_on")) for row in facts.typed if row.get("review_on")), "")
    inside = " ($ is USD, ¥ is CNY)" if mixed else f" ({' '.join(codes)})"
    caption = f"Type the bold numbers{inside}; look at them again on {review}"
    first = "".join(f'<th rowspan="2">{name}</th>' for name in ("Key", "Environment"))
    spans = "".join(f'<th colspan="3" class="w">{name}</th>' for name in typed.WINDOWS.values())
    names = '<th class="w r">type</th><th class="r">now</th><th class="r">odds</th>'
    names *= len(typed.WINDOWS)
    shown = lines[: typed.fitting(lines)]
    body = "\n".join(_line(line, mixed=mixed) for line in shown)
    high = sum(2 if line.act else 1 for line in lines)
    kind = "type" if high > typed.ROOMY else "type roomy"
    return (
        f'<div class="scroll" tabindex="0"><table class="{kind}">'
        f"<caption>{_told(caption)}</caption>\n<thead><tr>{first}{spans}</tr>\n"
        f"<tr>{names}</tr></thead>\n<tbody>{body}</tbody></table></div>\n" + _rest(facts, lines)
    )


def _line(line: typed.Line, *, mixed: bool) -> str:
    names = [
        (name, figures.short(name, typed.MOST_NAME)) for name in (line.key_name, line.environment)
    ]
    first = "".join(
        f'<td class="n" title="{_told(name)}">{markup.text(told)}</td>' for name, told in names
    )
    span = 3 * len(typed.WINDOWS)
    if line.reason:
        why = words.whole(line.reason, MOST_REASON)
        return f'<tr>{first}<td class="why w" colspan="{span}">{_told(why)}</td></tr>'
    cells = "".join(
        _cells(name, line.cells.get(window, {}), mixed=mixed)
        for window, name in typed.WINDOWS.items()
    )
    act = words.whole(line.act, MOST_REASON)
    note = f'<tr class="act"><td colspan="{span + 2}">↳ {_told(act)}</td></tr>' if act else ""
    return f"<tr>{first}{cells}</tr>{note}"


def _cells(name: str, cell: Row, *, mixed: bool) -> str:
    """What to type in one window, what is set, and the odds; with the sign of its currency."""
    sign = typed.SIGNS.get(str(cell.get("currency")), "") if mixed else ""
    number, now = (
        f"{sign}{typed.number(cell[name])}" if cell.get(name) is not None else "–"
        for name in ("type", "set_now")
    )
    return (
        f'<td class="w r" data-h="{name}"><strong>{_told(number)}</strong></td>'
        f'<td class="r" data-h="now">{_told(now)}</td>'
        f'<td class="r soft" data-h="odds">{_told(typed.odds(cell))}</td>'
    )


def _rest(facts: Facts, lines: Sequence[typed.Line]) -> str:
    left = lines[typed.fitting(lines) :]
    if not left:
        return ""
    usd = facts.tender.told(money.total(line.month_usd for line in left))
    keys = "key" if len(left) == 1 else "keys"
    return f"<p>And {len(left)} more {keys} in to_type.csv, with {usd} a month together.</p>\n"


def _notes(report: findings.Report, facts: Facts, lines: Sequence[typed.Line]) -> str:
    told = [("The numbers.", line) for line in _reading(lines)]
    told.append(("The risk.", words.risk(facts)))
    told += [("Typed as they stand.", line) for line in words.stops(facts)]
    told += [("The rate.", facts.rate)] if facts.rate else []
    notes = "".join(
        f"<p><strong>{label}</strong> {markup.text(redact.safe(note, limit=700))}</p>\n"
        for label, note in told
    )
    gaps = [*report.coverage.partial, *report.coverage.gaps]
    limits = [*(f"Not known or left out: {gap}." for gap in gaps), *LIMITS]
    left = _more(len(limits) - MOST_LIMITS, "limit in report.html", "limits in report.html")
    items = "".join(
        f"<li>{_told(words.whole(limit, MOST_LIMIT).rstrip('.'))}.</li>"
        for limit in limits[:MOST_LIMITS]
    )
    return f'<div class="notes">{notes}<h2>The limits</h2>\n<ul>{items}</ul>{left}</div>\n'


def _reading(lines: Sequence[typed.Line]) -> Iterator[str]:
    """Say how the table is read, as far as there is one."""
    if not lines:
        return
    unsure = any(
        "look at /keys" in str(line.cells.get("total", {}).get("note") or "") for line in lines
    )
    yield (
        "Lifetime is what is used so far and what may be spent until the review; 5 hours, day and "
        "week are what such a span may cost. 'now' is what is set (– for none), 'odds' how often "
        "honest use would meet the new number."
        + (" For some keys what is used so far is only what the export holds." if unsure else "")
    )
