"""The two pages for finance: the answer and what to type, in words, on exactly two sheets."""

import re
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import caps_kit
import live_nodes
import made_report
import pandas as pd
import pytest

from runbook_lib import findings, report
from runbook_lib.analysis import caps
from runbook_lib.report import brief
from runbook_lib.report.brief import words

TEMPLATE = Path(report.__file__).parent / "templates" / "runbook" / "index.html.j2"
GIVEN = {"risk": 0.05, "currency": "USD", "cny_per_usd": -1.0}
HEIGHTS = "[...document.querySelectorAll('.sheet')].map(one => one.getBoundingClientRect().height)"
BESIDE = (
    "[...document.querySelectorAll('.scroll')].filter(x => x.scrollWidth > x.clientWidth).length"
)
HIDDEN_WORDS = ("p10", "p50", "p90", "quantile", "429", "API_KEY_QUOTA_EXHAUSTED", "None", "nan")


def _sized(names=("web", "batch"), *, given=GIVEN, **more) -> findings.Report:
    """A Report of made keys, as the runbook makes it."""
    days = {name: caps_kit.steady(3 + at, seed=at) for at, name in enumerate(names)}
    keys = [caps_kit.key(name, "prod", amount=Decimal(90), currency="USD") for name in names]
    parts = caps.size_caps(caps_kit.material(days, keys=keys, hours=False, **more))
    return _of(parts, given)


def _of(parts: caps.CapParts, given: dict) -> findings.Report:
    return findings.Report(
        runbook="budget_caps",
        verdict=parts.verdict,
        findings=parts.findings,
        exhibits=parts.exhibits,
        next_steps=findings.NextSteps(steps=parts.next_steps),
        coverage=findings.Coverage(gaps=parts.gaps),
        parameters=given,
        now=caps_kit.NOW,
        sample_data=True,
    )


def _html(made: findings.Report) -> str:
    return brief.attachment(made).text


def _text(made: findings.Report) -> str:
    body = _html(made).partition("<body>")[2]
    return " ".join("".join(live_nodes.parsed(body).text).split())


def _frame(rows: int, name: str = "key") -> pd.DataFrame:
    """What to type for many keys, as the exhibit has it."""
    lines = [
        {
            "account": None,
            "key_name": f"{name}-{at:03d}",
            "environment": f"environment {at % 9}",
            "window": window,
            "type": Decimal(rows - at),
            "currency": "USD" if window == "total" else "CNY",
            "cap_usd": Decimal(rows - at),
            "used_usd": None,
            "set_now": Decimal("1234.56"),
            "odds": 0.0512,
            "review_on": date(2026, 12, 24),
            "note": "by its history; used so far is what the export holds: look at /keys",
        }
        for at in range(rows)
        for window in ("total", "1d", "7d", "5h")
    ]
    return pd.DataFrame(lines)


def _full(rows: int, name: str = "key", gap: str = "no balance") -> findings.Report:
    """A Report with as much of everything as can be."""
    given = {
        **GIVEN,
        "currency": "CNY",
        "cny_per_usd": 7.1234,
        "rate_date": "2026-11-20",
        "rate_source": "the bank",
    }
    made = _sized(given=given, monthly_budget=Decimal(150), balance=Decimal(40))
    whole, clocks = made.exhibits["whole"], made.exhibits["clocks"]
    part = whole.frame.head(1)
    parts = [part.assign(environment=f"{name} {at}") for at in range(12)]
    frames = {
        "to_type": _frame(rows, name),
        "whole": pd.concat([*parts, whole.frame.tail(1)], ignore_index=True),
        "clocks": pd.concat([clocks.frame] * 5, ignore_index=True),
    }
    exhibits = {
        title: replace(item, frame=frames.get(title, item.frame))
        for title, item in made.exhibits.items()
    }
    step = findings.NextStep(text=f"Raise the cap of {name}", who=name)
    return replace(
        made,
        exhibits=exhibits,
        coverage=findings.Coverage(gaps=[gap * 20] * 9, partial=[gap]),
        next_steps=findings.NextSteps(steps=[step] * 8),
    )


def test_the_first_page_has_the_month_the_balance_and_the_caps() -> None:
    """Who pays sees at once how the month ends, when to top up, and what the caps allow."""
    told = _text(_sized(monthly_budget=Decimal(400), balance=Decimal(60)))
    assert "November 2026 is likely to end at $" in told
    assert "within its budget of $400.00" in told
    assert re.search(r"Top up the balance by \$\d+\.\d\d or more on \d+ \w{3} 2026", told)
    assert "The proposed caps allow $" in told
    assert "Spent so far" in told
    assert "sample data" in told
    assert "How sure this is: likely" in told


@pytest.mark.parametrize(
    ("budget", "told"),
    [
        pytest.param(400, "within its budget", id="within"),
        pytest.param(205, "is likely to pass its budget", id="likely-over"),
        pytest.param(20, "has passed its budget", id="over"),
        pytest.param(None, "No budget is given", id="none"),
    ],
)
def test_the_headline_holds_the_month_against_its_budget(budget: int | None, told: str) -> None:
    """Within, over and unknown are told apart in the first line."""
    amount = None if budget is None else Decimal(budget)
    assert told in _text(_sized(monthly_budget=amount)).partition("The month")[0]


def test_the_second_page_has_every_number_to_type() -> None:
    """Typing is done from this page: key, number, what is set, odds, review."""
    made = _sized(monthly_budget=Decimal(400))
    text = _text(made).partition("What to type for each key")[2]
    for row in made.exhibits["to_type"].frame.to_dict("records"):
        assert row["key_name"] in text
        assert f"{row['type']:.2f}" in text
    assert "Type the bold numbers (USD); look at them again on 24 Dec 2026" in text
    assert "about 5 of 100 usual days, weeks or months (one in 20)" in text
    assert "90.00" in text


def test_an_amount_in_cny_names_rate_day_and_source() -> None:
    """An amount that was converted is worth what its rate is worth."""
    told = _text(_full(3))
    assert "1 USD = 7.1234 CNY of 2026-11-20, the bank." in told
    assert "its budget of CNY " in told
    assert "Type the bold numbers ($ is USD, ¥ is CNY)" in told
    assert "$3.00$1234.565.1 %¥3.00¥1234.565.1 %" in told
    bare = _full(3)
    bare = replace(bare, parameters={**bare.parameters, "rate_date": "", "rate_source": ""})
    assert "(its date is not given), its source is not given." in _text(bare)


@pytest.mark.parametrize(
    "made",
    [
        pytest.param(_sized, id="nothing-given"),
        pytest.param(lambda: _sized(monthly_budget=Decimal(400)), id="no-balance"),
        pytest.param(lambda: _of(caps.size_caps(caps_kit.material({})), GIVEN), id="no-history"),
        pytest.param(
            lambda: _of(caps.size_caps(caps_kit.material({"web": [3.0]})), {}), id="one-day"
        ),
        pytest.param(lambda: replace(made_report.report(), exhibits={}), id="no-exhibits"),
        pytest.param(lambda: _full(45), id="everything"),
    ],
)
def test_no_jargon_and_nothing_unknown_as_a_number(made) -> None:
    """What is not known is said; no quantile, no code, no empty value stands for it."""
    html = _html(made())
    told = " ".join("".join(live_nodes.parsed(html.partition("<body>")[2]).text).split())
    assert [word for word in HIDDEN_WORDS if re.search(rf"\b{word}\b", told)] == []
    assert live_nodes.live(html) == []
    assert html.count('<section class="sheet">') == 2


def test_no_budget_no_balance_and_no_history_are_said() -> None:
    """An empty place would read as nothing to worry about."""
    told = _text(_sized())
    assert "The balance is not known" in told
    assert "Budget of the month not given" in re.sub(r"(month)(not)", r"\1 \2", told)
    empty = _text(_of(caps.size_caps(caps_kit.material({})), GIVEN))
    assert "There is no forecast: nothing was spent before today" in empty
    assert "Nothing to type" in empty


def test_keys_that_do_not_fit_are_counted_with_their_money() -> None:
    """The dearest are shown; nothing is left out in silence."""
    told = _text(_full(45))
    assert "key-039" in told
    assert "key-040" not in told
    assert "And 5 more keys in to_type.csv, with CNY 106.85 a month together." in told


@pytest.mark.parametrize("text", made_report.LIVE)
def test_nothing_of_the_data_is_live_secret_or_hidden(text: str) -> None:
    """Finance opens it from a mail: a key's name must not be a script, nor give a key away."""
    html = _html(_full(3, text, gap=text))
    assert live_nodes.live(html) == []
    assert "CANARY" not in html
    assert [c for c in html if c not in "\n\t" and not c.isprintable()] == []


def test_it_is_kept_from_loading_anything_as_the_page_is() -> None:
    """One policy for both pages."""
    (policy,) = re.findall(r'Policy" content="([^"]+)"', TEMPLATE.read_text(encoding="utf-8"))
    assert f'content="{policy}"' in _html(_sized())


def test_the_same_report_gives_the_same_bytes() -> None:
    """Two runs can be compared."""
    assert _html(_full(3)) == _html(_full(3))


def test_a_balance_without_a_day_is_told_as_the_report_tells_it() -> None:
    """Nothing was spent before today, but the account has answered: both pages say the same."""
    made = _of(caps.size_caps(caps_kit.material({})), GIVEN)
    summary = [("Balance", "-$0.00098 (live answer of today)"), ("Balance of key web", "$7.00 (x)")]
    told = _text(replace(made, summary=summary))
    assert "The balance is -$0.00098 (live answer of today); it is used up." in told
    assert "The balance of key web is $7.00 (x); how long it lasts cannot be said." in told
    assert "main account-$0.00098used upused up" in told
    assert "The balance is not known" not in told


def test_readings_that_contradict_each_other_are_said() -> None:
    """A balance that two answers tell differently is not one to plan with."""
    gap = "the readings of one balance contradict each other: $1.00 (a), $9.00 (b)"
    made = replace(_sized(), coverage=findings.Coverage(gaps=[gap]))
    first = _text(made).partition("What to type for each key")[0]
    assert "The readings of one balance contradict each other: report.html has the values." in first


def test_what_typing_means_is_counted() -> None:
    """Odds of a day say little to who pays: stops in a month do."""
    told = _text(_full(10))
    assert "The day caps stop honest use about 15 times a month in all" in told
    assert "at most 1.5 times a key" in told
    assert "Type at least one number a key" in told


def test_a_key_that_is_to_be_deleted_says_so() -> None:
    """Its number alone would be typed."""
    made = _sized()
    item = made.exhibits["to_type"]
    gone = "replaced by web-v2: delete it once nobody uses it"
    own = item.frame["key_name"] == "web"
    frame = item.frame.assign(note=item.frame["note"].mask(own, f"by its history; {gone}"))
    told = _text(replace(made, exhibits={**made.exhibits, "to_type": replace(item, frame=frame)}))
    assert told.count(gone) == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param("Stop it. Then start it again.", "Stop it.", id="sentence"),
        pytest.param("nothing spent; give a budget", "nothing spent", id="part"),
        pytest.param("one long act without any end", "one long act without any end", id="none"),
        pytest.param("Short.", "Short.", id="fits"),
    ],
)
def test_an_act_is_not_cut_within_a_sentence(text: str, told: str) -> None:
    """Half an act cannot be done."""
    assert words.whole(text, 20) == told


def test_the_budget_of_production_says_where_it_is_from() -> None:
    """An amount that nobody gave is a riddle."""
    assert "The budget of prod is 90 % of the month's" in _text(_sized(monthly_budget=Decimal(400)))
    assert "The budget of prod" not in _text(_sized())


@pytest.mark.browser
def test_it_prints_on_two_sheets_and_fits_a_phone(chromium: str, tmp_path: Path) -> None:
    """Few keys or many, short names or long: two sheets of A4, and no page scrolls sideways."""
    from playwright.sync_api import sync_playwright

    made = {
        "plain": _sized(monthly_budget=Decimal(400), balance=Decimal(60)),
        "empty": _of(caps.size_caps(caps_kit.material({})), GIVEN),
        "eighteen": _full(18),
        "forty": _full(40, "a-service-with-a-long-name", gap="no budget of a kind"),
        "many": _full(400, "W" * 120, gap="word " * 30),
    }
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name, one in made.items():
            path = tmp_path / f"{name}.html"
            path.write_text(_html(one), encoding="utf-8")
            page = browser.new_page(viewport={"width": 400, "height": 900})
            page.goto(path.as_uri())
            assert page.evaluate("document.documentElement.scrollWidth") <= 400, name
            assert page.evaluate(BESIDE) == 0, name  # nothing stands beside the screen
            page.set_viewport_size({"width": 695, "height": 1032})  # inside of the margins of A4
            page.emulate_media(media="print")
            assert page.evaluate("document.documentElement.scrollWidth") <= 695, name
            assert max(page.evaluate(HEIGHTS)) <= 1032, name
            printed = page.pdf(prefer_css_page_size=True)
            assert len(re.findall(rb"/Type\s*/Page\b", printed)) == 2, name
        browser.close()
