"""`incident_triage` gives the same report by plain papermill, by the command and in JupyterLab."""

import json
import subprocess
import sys
from pathlib import Path

import lab as jupyter
import nbformat
import pytest

from runbook_lib import open_store, sandbox, triage
from runbook_lib.findings import REPORT_MIME

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "notebooks" / "incident_triage.ipynb"
SCENARIOS = {one.name: one for one in sandbox.SCENARIOS}
SIDES = {(one.domain, one.status == 200): one.name for one in sandbox.SCENARIOS}.values()
"""A scenario for each side that must act, with an answer and without."""


def _command(*words: str | Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "runbook_lib.cli", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _report(notebook: nbformat.NotebookNode) -> dict:
    (held,) = [
        output.data[REPORT_MIME]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if REPORT_MIME in output.get("data", {})
    ]
    return dict(held)


@pytest.fixture(scope="module")
def ran(tmp_path_factory) -> dict:
    """What the command makes of the notebook's own defaults."""
    out = tmp_path_factory.mktemp("ran") / "out"
    done = _command("run", "incident_triage", "--sandbox", "--out", out)
    assert done.returncode == 1, done.stderr
    assert done.stderr == ""
    return {"out": out, "told": done.stdout, **json.loads((out / "findings.json").read_text())}


def test_the_command_ends_with_a_verdict_and_a_page(ran: dict) -> None:
    """The main job of the README: one command, one answer, one page to send on."""
    as_planted(ran, "cap-reached")
    assert ran["run"]["sample_data"] is True
    assert ran["told"].startswith("CONFIRMED: ")
    assert ran["told"].rstrip().endswith("report.html")
    page = (ran["out"] / "report.html").read_text()
    assert page.count("<figure") == page.count("<img alt=") == 2
    assert "sample data" in page


def test_plain_papermill_gives_the_same_report(ran: dict, tmp_path: Path) -> None:
    """Who has a scheduler for notebooks needs nothing of ours."""
    out = tmp_path / "out.ipynb"
    command = [sys.executable, "-m", "papermill", "--no-progress-bar", str(NOTEBOOK), str(out)]
    done = subprocess.run(
        [*command, "-p", "request_id", "req-cap-reached"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report = _report(nbformat.read(out, as_version=4))
    assert report["verdict"] == ran["verdict"]
    assert report["findings"] == ran["findings"]


@pytest.mark.long
def test_plain_papermill_fails_on_an_error(tmp_path: Path) -> None:
    """A scheduler must see that nothing was answered."""
    out = tmp_path / "out.ipynb"
    command = [sys.executable, "-m", "papermill", "--no-progress-bar", str(NOTEBOOK), str(out)]
    done = subprocess.run(
        [*command, "-p", "data_dir", "missing"], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0


def test_every_code_cell_shows_one_thing(ran: dict) -> None:
    """No warning, no stream, no traceback among what people read."""
    notebook = nbformat.read(ran["out"] / "report.ipynb", as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code" and "parameters" not in "".join(cell.metadata["tags"]):
            assert [output.output_type for output in cell.outputs] == ["execute_result"], cell.id


def as_planted(held: dict, name: str) -> None:
    """What a run found is the truth of a scenario."""
    one, verdict = SCENARIOS[name], held["verdict"]
    failed = {item["rule"] for item in held["findings"] if item["status"] == "fail"}
    got = (verdict["cause"], verdict["domain"], verdict["retry"])
    assert got == (one.cause, one.domain, one.retry)
    assert set(one.must) <= failed
    assert set(one.must_not) & failed == set()


@pytest.mark.long
@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_gets_its_verdict(name: str) -> None:
    """What is true of the sample is what the report says of it."""
    as_planted(triage(open_store(), SCENARIOS[name].request_id).to_dict(), name)


@pytest.mark.long
@pytest.mark.parametrize("name", SIDES)
def test_one_scenario_of_each_side_gets_its_verdict_by_the_command(
    name: str, tmp_path: Path
) -> None:
    """Whoever must act, and where nobody must: nothing is lost through every layer."""
    words = ("-p", f"request_id={SCENARIOS[name].request_id}", "--out", tmp_path / "out")
    done = _command("run", "incident_triage", "--sandbox", *words)
    assert done.returncode in (0, 1, 3), done.stderr
    as_planted(json.loads((tmp_path / "out" / "findings.json").read_text()), name)


def test_an_id_that_is_nowhere_is_partial_and_says_what_to_fetch(tmp_path: Path) -> None:
    """Not found is an answer: inconclusive, exit 3, and which export to get."""
    words = ("-p", "request_id=req-nowhere", "--out", tmp_path / "out")
    done = _command("run", "incident_triage", "--sandbox", *words)
    assert done.returncode == 3, done.stderr
    assert done.stdout.startswith("INCONCLUSIVE: ")
    assert "Not whole: " in done.stdout
    assert (tmp_path / "out" / "report.html").is_file()


@pytest.mark.parametrize(
    ("parameter", "told"),
    [
        pytest.param("window_hours=0", "window_hours", id="value", marks=pytest.mark.long),
        pytest.param("start=2026-99-99", "start", id="time"),
        pytest.param("request_id=@missing.txt", "missing.txt", id="file", marks=pytest.mark.long),
    ],
)
def test_a_value_the_library_refuses_is_wrong_use(
    parameter: str, told: str, tmp_path: Path
) -> None:
    """Found inside the kernel, it still ends with 2, a sentence and nothing written."""
    words = ("-p", parameter, "--out", tmp_path / "out")
    done = _command("run", "incident_triage", "--sandbox", *words)
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.browser
def test_in_jupyterlab_it_gives_the_same_report(ran: dict, chromium: str, tmp_path: Path) -> None:
    """Opened and run by a person: same verdict, two pictures with words, nothing from outside."""
    from playwright.sync_api import sync_playwright

    root = tmp_path / "root"
    root.mkdir()
    (root / NOTEBOOK.name).write_bytes(NOTEBOOK.read_bytes())
    (root / "report.ipynb").write_bytes((ran["out"] / "report.ipynb").read_bytes())
    with jupyter.lab(root, tmp_path / "home") as lab, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=jupyter.ARGUMENTS)
        for name, run in ((NOTEBOOK.name, True), ("report.ipynb", False)):
            page = lab.open(browser, name)
            if run:
                lab.run_all(page)
            title = page.locator(".jp-OutputArea-output h2", has_text=ran["verdict"]["title"])
            title.first.wait_for(timeout=120_000)
            page.locator("figure img").nth(1).wait_for(state="attached", timeout=120_000)
            assert page.locator(jupyter.ERRORS).count() == 0
            words = page.locator("figure img").evaluate_all("all => all.map(one => one.alt)")
            assert len(words) == 2
            assert all(len(one) > 40 for one in words)
            assert len(page.screenshot(path=tmp_path / f"{name}.png")) > 20_000
        browser.close()
    assert {host.partition(":")[0] for host in lab.hosts} <= {"127.0.0.1", ""}


@pytest.mark.browser
def test_the_page_asks_for_nothing_and_fits_any_width(ran: dict, chromium: str) -> None:
    """Opened from a disk it loads nothing; on a phone nothing is cut off."""
    jupyter.fits_any_width(ran["out"] / "report.html", chromium)
