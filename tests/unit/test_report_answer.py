"""A Report answers first, in plain words, and shows exact values behind readable ones."""

from dataclasses import replace

import live_nodes
import made_report
import pytest

from runbook_lib import findings, report
from runbook_lib.findings import Grade, Severity, Status
from runbook_lib.report import answer, card, exhibit, markup, words


@pytest.fixture(autouse=True)
def _renderer():
    report.install()


def _text(html: str) -> str:
    return " ".join("".join(live_nodes.parsed(html).text).split())


@pytest.mark.parametrize(
    ("cause", "rule", "order"),
    [
        pytest.param("key_quota_exhausted", "never", "Do not retry.", id="never"),
        pytest.param("rate_limit", "window", "Retry after the window.", id="window"),
        pytest.param("overloaded", "after", "Retry after the wait it names.", id="after"),
        pytest.param("upstream", "backoff", "Back off and retry.", id="backoff"),
        pytest.param("cut_stream", None, "Do not re-send it by itself.", id="no-rule"),
        pytest.param("success", None, "Nothing to retry.", id="success"),
        pytest.param(None, None, "Each cause has its own rule.", id="several"),
        pytest.param("unknown", None, "Hold retries until the cause is known.", id="unknown"),
    ],
)
def test_the_retry_rule_is_an_order_in_words(cause, rule, order: str) -> None:
    """At three in the night nobody translates `backoff`."""
    assert words.retry(cause, rule)[0] == order


def test_the_verdict_comes_first() -> None:
    """Title, order and first act stand before any table."""
    text = _text(answer.html(made_report.report()))
    places = [
        text.index(part)
        for part in (
            "Confirmed",
            "sample data",
            "Key prod-web",
            "Do not retry.",
            "Do now:",
            "How bad",
        )
    ]
    assert places == sorted(places)


def test_findings_are_sorted_worst_first() -> None:
    """What is worst is read first, whatever order the rules ran in."""
    made = made_report.report()
    html = answer.html(replace(made, findings=list(reversed(made.findings))))
    text = _text(html)
    assert text.index("refused four times") < text.index("could not succeed")
    assert text.index("could not succeed") < text.index("ends before the window")


@pytest.mark.parametrize(
    ("severity", "grade", "tone"),
    [
        pytest.param(Severity.HIGH, Grade.CONFIRMED, "bad", id="high"),
        pytest.param(Severity.MEDIUM, Grade.CONFIRMED, "warn", id="medium"),
        pytest.param(None, Grade.INCONCLUSIVE, "warn", id="inconclusive"),
        pytest.param(None, Grade.CONFIRMED, "good", id="clean"),
    ],
)
def test_the_colour_follows_the_worst_finding(severity, grade, tone: str) -> None:
    """Green stands only where nothing failed and the answer is sure."""
    made = made_report.report()
    held = made.findings[0]
    found = [replace(held, severity=severity)] if severity else [replace(held, status=Status.PASS)]
    verdict = replace(made.verdict, grade=grade)
    assert answer.tone(replace(made, findings=found, verdict=verdict)) == tone


def test_evidence_is_counted_and_bounded() -> None:
    """A page with ten thousand rows of evidence helps nobody; the count stays true."""
    text = _text(answer.html(made_report.report()))
    assert "15 rows of evidence" in text
    assert "3 more in findings.json" in text


def test_many_findings_are_folded_and_all_there() -> None:
    """The worst twelve are read; a wall of them is not."""
    made = made_report.report()
    many = [replace(made.findings[0], title=f"Finding {at}") for at in range(30)]
    html = answer.html(replace(made, findings=many))
    assert "Further findings (18)" in _text(html)
    assert all(f"Finding {at}" in html for at in range(30))


def test_several_requests_are_grouped_by_cause_at_once() -> None:
    """Who asks about hundreds of ids wants the groups before anything else."""
    made = made_report.report()
    causes = replace(made.exhibits["blast_radius"], name="causes", title="By cause")
    html = answer.html(replace(made, exhibits={**made.exhibits, "causes": causes}))
    assert _text(html).index("By cause") < _text(html).index("How bad")


def test_what_is_partial_is_said() -> None:
    """An answer on half the data must not look like an answer on all."""
    made = made_report.report()
    partial = replace(made, coverage=replace(made.coverage, partial=["2 rows rejected"]))
    assert "Not whole: 2 rows rejected" in _text(answer.html(partial))
    assert "Not whole: 2 rows rejected" in partial._repr_mimebundle_()["text/plain"]


def test_money_times_and_unknowns_in_a_table() -> None:
    """Readable first, exact when pointed at; both clocks; unknown is a dash, not a zero."""
    made = made_report.report()
    html = made.exhibits["joined_rows"]._repr_mimebundle_()["text/html"]
    text, tags = _text(html), live_nodes.parsed(html).tags
    titles = [held["title"] for tag, held in tags if tag == "td" and "title" in held]
    assert "$0.0023" in text
    assert "0.0022926012 USD" in titles
    assert "2026-11-24 13:43:02 CST" in text
    assert "05:43:02 UTC" in text
    assert "2026-11-24T05:43:02.000000Z" in titles
    assert "The next 25 rows" in text
    assert "A run writes all 40 rows to joined_rows.csv." in text
    assert "12 more rows ($0.030) did not fit" in text


def test_a_table_without_rows_says_so() -> None:
    """An empty table looks like a fault; a sentence does not."""
    text = _text(made_report.report().exhibits["changes"]._repr_mimebundle_()["text/html"])
    assert text == "Changes in the hour before: none."


def test_headers_and_pictures_can_be_read_out() -> None:
    """Each header belongs to its column, none is empty, and each picture has its words."""
    made = made_report.report()
    shown = [made, *made.exhibits.values()]
    for item in shown:
        tags = live_nodes.parsed(item._repr_mimebundle_()["text/html"]).tags
        assert all(held.get("scope") == "col" for tag, held in tags if tag == "th")
        assert all(len(held["alt"]) > 40 for tag, held in tags if tag == "img")


def test_the_report_carries_its_rows_and_attachments() -> None:
    """The runner reads all files out of the executed notebook; no cell writes one."""
    held = made_report.report()._repr_mimebundle_()[findings.REPORT_MIME]
    assert set(held["files"]) == {
        *(f"{name}.csv" for name in made_report.report().exhibits),
        "support-pack.md",
    }
    assert held["files"]["joined_rows.csv"].count("\n") == 41
    assert "files" not in made_report.report().to_dict()


def test_plain_text_tells_the_verdict_too() -> None:
    """A terminal gets the same answer as a page."""
    text = made_report.report()._repr_mimebundle_()["text/plain"]
    assert text.startswith("CONFIRMED: Key prod-web reached its spending cap")
    assert "Do not retry." in text
    assert "Next: Raise the cap of the key" in text


class _Table:
    table, rows, repeated = "usage", 4829, 120
    first_at = last_at = made_report.NOW


class _Card:
    tables, rejected, notes = [_Table()], {"no time": 2}, ["usage.csv: cut in the middle"]
    inputs = made_report.report().inputs
    sample = False
    timezone = "UTC"


def test_the_intake_card_tells_what_is_held_and_what_was_left_out() -> None:
    """Who reads a verdict must see on how many rows, how old, and what was rejected."""
    later = made_report.NOW.replace(hour=8)
    text = _text(card.html(_Card(), later))
    for part in ("usage", "4,829", "120", "2 records rejected: no time", "cut in the middle"):
        assert part in text
    assert "2 h 16 min" not in text
    assert "3 h 0 min" in text
    assert "4,829 rows (120 repeated)" in card.plain(_Card(), later)


def test_made_up_data_have_no_age() -> None:
    """Sample data end when they end; an age would be read as a fault."""

    class Sample(_Card):
        sample = True

    text = _text(card.html(Sample(), made_report.NOW))
    assert "Age" not in text
    assert "sample data" in text


@pytest.mark.parametrize(
    ("status", "severity", "word"),
    [
        pytest.param(Status.FAIL, Severity.MEDIUM, "medium", id="fails"),
        pytest.param(Status.UNKNOWN, Severity.HIGH, "unknown", id="cannot-tell"),
        pytest.param(Status.PASS, Severity.INFO, "pass", id="passes"),
    ],
)
def test_how_bad_a_finding_is_has_one_word_everywhere(status, severity, word: str) -> None:
    """Who compares the page with the terminal or the file must not have to translate."""
    made = made_report.report()
    one = replace(made.findings[0], status=status, severity=severity, title="The one")
    made = replace(made, findings=[one])
    assert one.level == word
    page = _text(answer.html(made))
    assert f"What to do{word}The one" in page
    lines = words.lines(made.to_dict())
    told = [line.split() for line in lines if line.endswith("The one")]
    assert told == ([] if status is Status.PASS else [[word, "The", "one"]])


def test_a_finding_says_what_it_is_about_and_repeats_nothing() -> None:
    """Among several requests the subject tells them apart; an act is written once."""
    made = made_report.report()
    about = findings.Subject(key_name="prod-docs", model="gpt-5.4", request_id="req-9")
    first = replace(made.findings[0], subject=about, impact_usd=0, evidence=())
    same = [replace(first, title=made.verdict.title), first, replace(first, title="Another")]
    text = _text(answer.html(replace(made, findings=same)))
    assert text.count("key prod-docs, model gpt-5.4, id req-9") == 3
    assert "at stake" not in text
    assert text.count(made.verdict.title) == 1
    assert text.count("What the verdict says.") == 1
    assert text.count(made_report.STEP.text) == 1
    assert text.count("As in the verdict.") == 3
    lines = words.lines(replace(made, findings=same).to_dict())
    assert sum(made.verdict.title in line for line in lines) == 1


def test_the_intake_card_tells_times_in_the_asked_zone() -> None:
    """One page must not have two clocks."""

    class Shanghai(_Card):
        timezone = "Asia/Shanghai"

    assert "13:43:02 CST" in _text(card.html(Shanghai(), made_report.NOW))
    assert "13:43:02 CST" in card.plain(Shanghai(), made_report.NOW)


def test_columns_of_one_cell_stand_together() -> None:
    """A table must fit on a screen; the CSV keeps every column by itself."""
    frame = made_report.attempts()
    item = findings.Exhibit(
        name="attempts",
        title="Attempts",
        frame=frame,
        columns=("attempt", "status+code", "request_id"),
    )
    html, plain = exhibit.html(item)
    text = _text(html)
    assert "AttemptStatus, codeRequest id1429API_KEY_QUOTA_EXHAUSTEDreq-cap-1" in text
    assert "Duration" not in text
    assert "more columns to attempts.csv" in text
    assert "429 API_KEY_QUOTA_EXHAUSTED" in plain
    assert "req-cap-23––4" in text


def test_long_words_break_at_their_joints_only() -> None:
    """An id may be cut in lines, an amount or a time never; copying it gives the id."""
    html = markup.soft("$0.013 at 21:05:00, API_KEY_QUOTA_EXHAUSTED <b>")
    assert html == "$0.013 at 21:05:00, API_<wbr>KEY_<wbr>QUOTA_<wbr>EXHAUSTED &lt;b&gt;"


@pytest.mark.parametrize("chart", ["timeline", "minutes"])
def test_no_picture_is_drawn_of_nothing(chart: str) -> None:
    """Empty axes look like a fault; words say that there is nothing."""
    frame = made_report.minutes().iloc[:0]
    item = findings.Exhibit(
        name="x", title="Failures", frame=frame, chart=chart, note="Nothing failed in the window."
    )
    html, plain = exhibit.html(item)
    assert "<img" not in html
    assert "Nothing failed in the window." in html
    assert plain == "Failures: none."
