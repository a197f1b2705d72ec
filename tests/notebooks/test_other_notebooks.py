"""Every notebook beside triage: one report by command, by papermill and in JupyterLab."""

import csv
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lab as jupyter
import nbformat
import pytest

from runbook_lib.findings import REPORT_MIME

ROOT = Path(__file__).parents[2]
FALLBACK, USAGE, CAPS = "fallback_verification", "usage_drilldown", "budget_caps"
PICTURES = {FALLBACK: 1, USAGE: 5, CAPS: 3}
"""Figures on the page of each notebook."""


@dataclass(frozen=True, kw_only=True)
class Ran:
    """What the command made of a notebook's own defaults."""

    name: str
    out: Path
    told: str
    status: int
    found: dict[str, Any]

    @property
    def notebook(self) -> Path:
        """The committed notebook."""
        return ROOT / "notebooks" / f"{self.name}.ipynb"


def _command(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "runbook_lib.cli", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module", params=[FALLBACK, USAGE, CAPS])
def ran(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The notebook, run headless on the sandbox."""
    out = tmp_path_factory.mktemp(request.param) / "out"
    done = _command("run", request.param, "--sandbox", "--out", out)
    assert done.stderr == ""
    return Ran(
        name=request.param,
        out=out,
        told=done.stdout,
        status=done.returncode,
        found=json.loads((out / "findings.json").read_text()),
    )


def test_the_command_ends_with_a_verdict_and_a_page(ran: Ran) -> None:
    """Something serious is planted for each: the verdict says so, and the exit code."""
    assert ran.status == 1
    assert ran.told.startswith("LIKELY: " if ran.name == CAPS else "CONFIRMED: ")
    assert ran.found["run"]["sample_data"] is True
    page = (ran.out / "report.html").read_text()
    assert page.count("<figure") == page.count("<img alt=") == PICTURES[ran.name]
    assert "sample data" in page
    assert "Traceback" not in page


def test_every_code_cell_shows_one_thing(ran: Ran) -> None:
    """No warning, no stream, no traceback among what people read."""
    notebook = nbformat.read(ran.out / "report.ipynb", as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code" and "parameters" not in "".join(cell.metadata["tags"]):
            assert [output.output_type for output in cell.outputs] == ["execute_result"], cell.id


@pytest.mark.long
def test_plain_papermill_gives_the_same_report(ran: Ran, tmp_path: Path) -> None:
    """Who has a scheduler for notebooks needs nothing of ours; the seed plays the same matrix."""
    out = tmp_path / "out.ipynb"
    command = [sys.executable, "-m", "papermill", "--no-progress-bar", str(ran.notebook), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (held,) = [
        output.data[REPORT_MIME]
        for cell in nbformat.read(out, as_version=4).cells
        for output in cell.get("outputs", [])
        if REPORT_MIME in output.get("data", {})
    ]
    assert held["verdict"] == ran.found["verdict"]
    assert held["findings"] == ran.found["findings"]


def test_a_release_can_be_blocked_on_the_verdicts(ran: Ran) -> None:
    """JUnit is what build servers read: a test a cell, those that went wrong fail."""
    if ran.name != FALLBACK:
        assert not (ran.out / "junit.xml").exists()
        return
    text = (ran.out / "junit.xml").read_text()
    tests, failures = text.count("<testcase "), text.count("<failure ")
    assert tests == len((ran.out / "matrix.csv").read_text().splitlines()) - 1
    assert 0 < failures < tests


def test_who_pays_gets_two_pages_of_their_own(ran: Ran) -> None:
    """Finance reads no runbook: beside the page lies what they print."""
    if ran.name != CAPS:
        assert not (ran.out / "finance.html").exists()
        return
    html = (ran.out / "finance.html").read_text()
    assert html.count('<section class="sheet">') == 2
    assert "is likely to end at $" in html
    assert "sample data" in html
    with (ran.out / "to_type.csv").open(newline="") as held:
        keys = {row["key_name"] for row in csv.DictReader(held)}
    assert len(keys) == 17
    assert [key for key in keys if f">{key}" not in html] == []


@pytest.mark.long
@pytest.mark.browser
def test_in_jupyterlab_it_gives_the_same_verdict(ran: Ran, chromium: str, tmp_path: Path) -> None:
    """Opened and run by a person: same verdict, pictures with words, nothing from outside."""
    from playwright.sync_api import sync_playwright

    root = tmp_path / "root"
    root.mkdir()
    (root / ran.notebook.name).write_bytes(ran.notebook.read_bytes())
    with jupyter.lab(root, tmp_path / "home") as lab, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=jupyter.ARGUMENTS)
        page = lab.open(browser, ran.notebook.name)
        lab.run_all(page)
        title = page.locator(
            ".jp-OutputArea-output h2", has_text=ran.found["verdict"]["title"][:60]
        )
        title.first.wait_for(timeout=180_000)
        last = PICTURES[ran.name] - 1
        page.locator("figure img").nth(last).wait_for(state="attached", timeout=180_000)
        assert page.locator(jupyter.ERRORS).count() == 0
        words = page.locator("figure img").evaluate_all("all => all.map(one => one.alt)")
        assert all(len(one) > 30 for one in words)
        assert len(page.screenshot(path=tmp_path / f"{ran.name}.png")) > 20_000
        browser.close()
    assert {host.partition(":")[0] for host in lab.hosts} <= {"127.0.0.1", ""}


@pytest.mark.browser
def test_the_page_asks_for_nothing_and_fits_any_width(ran: Ran, chromium: str) -> None:
    """Opened from a disk it loads nothing; on a phone nothing is cut off."""
    jupyter.fits_any_width(ran.out / "report.html", chromium)


@pytest.mark.parametrize(
    ("name", "parameter", "told"),
    [
        pytest.param(FALLBACK, "client=nobody", "client", id="client", marks=pytest.mark.long),
        pytest.param(FALLBACK, "depth=deep", "depth", id="depth", marks=pytest.mark.long),
        pytest.param(FALLBACK, "max_usd=-1", "max_usd", id="limit", marks=pytest.mark.long),
        pytest.param(FALLBACK, "cases=no.toml", "no.toml", id="cases", marks=pytest.mark.long),
        pytest.param(USAGE, "by=colour", "by", id="by", marks=pytest.mark.long),
        pytest.param(USAGE, "top=0", "top", id="top", marks=pytest.mark.long),
        pytest.param(CAPS, "risk=2", "risk", id="risk", marks=pytest.mark.long),
        pytest.param(CAPS, "currency=CNY", "cny_per_usd", id="rate", marks=pytest.mark.long),
        pytest.param(
            CAPS, "monthly_budget=0", "monthly_budget", id="budget", marks=pytest.mark.long
        ),
    ],
)
def test_a_value_the_library_refuses_is_wrong_use(
    name: str, parameter: str, told: str, tmp_path: Path
) -> None:
    """It ends with 2, a sentence and nothing written."""
    done = _command("run", name, "--sandbox", "-p", parameter, "--out", tmp_path / "out")
    assert done.returncode == 2, done.stdout
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()
