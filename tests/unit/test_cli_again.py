"""Runs that are repeated and shared: `--again` with a findings.json, `--parameters` with a file."""

import json
from pathlib import Path
from typing import Any

import pytest
import sources_kit

from runbook_lib import runner
from runbook_lib.runner import Result

ID = json.loads(json.dumps(sources_kit.OWN))["http.response.header.x-request-id"][0]
ASKED = ("-p", f"request_id={ID}", "--now", "2026-11-24T06:00:00Z", "--timezone", "Asia/Shanghai")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Stand for the runner; gives what it was asked for."""
    asked: dict[str, Any] = {}

    def run(names: Any, parameters: Any, **options: Any) -> Result:
        asked.update(names=names, parameters=parameters, **options)
        return Result(exit_code=0, outcomes=[])

    monkeypatch.setattr(runner, "run", run)
    return asked


@pytest.fixture
def ran(tmp_path: Path) -> Path:
    """What an earlier run on nothing wrote down."""
    path = tmp_path / "findings.json"
    run = {
        "runbook": "incident_triage",
        "version": "0.0.9",
        "now": "2026-11-24T06:00:00.000000Z",
        "parameters": {"request_id": "a", "window_hours": 3.5, "timezone": "UTC", "now": ""},
        "inputs": [],
        "fail_on": "low",
        "max_age_hours": 5,
    }
    path.write_text(json.dumps({"schema": "torouter-runbooks/findings/1", "run": run}))
    return path


def test_again_asks_what_was_asked(command, asked, ran: Path, lake: Path) -> None:
    """Runbook, parameters, time, level and age; what differs is told before anything is run."""
    code, _, err = command("run", "--again", ran, "--data", lake)
    assert code == 0
    assert asked["names"] == ["incident_triage"]
    assert asked["parameters"] == {
        "request_id": "a",
        "window_hours": 3.5,
        "timezone": "UTC",
        "now": "2026-11-24T06:00:00.000000Z",
        "data_dir": str(lake.resolve()),
    }
    assert (asked["fail_on"], asked["max_age_hours"]) == ("low", 5.0)
    version, added = err.splitlines()
    assert version.startswith("That run was made by version 0.0.9, this is ")
    assert added == "1 input file is added compared with the earlier run: calls.jsonl"
    assert asked["partial"] == [added]


def test_what_is_typed_wins_over_an_earlier_run(command, asked, ran: Path, lake: Path) -> None:
    """A question can be moved on without being written anew."""
    words = ("--timezone", "Asia/Tokyo", "-p", "window_hours=1", "--fail-on", "never")
    command(
        "run", "incident_triage", "--again", ran, "--data", lake, *words, "--max-age-hours", "9"
    )
    got = asked["parameters"]
    assert (got["timezone"], got["window_hours"]) == ("Asia/Tokyo", "1")
    assert (asked["fail_on"], asked["max_age_hours"]) == ("never", 9.0)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        pytest.param(["--again", "nowhere.json", "--sandbox"], "nowhere.json", id="no-file"),
        pytest.param(["--again", "findings.json"], "Which data?", id="no-data"),
        pytest.param(
            ["budget_caps", "--again", "findings.json", "--data", "lake"],
            "incident_triage, which that run was of",
            id="other-runbook",
        ),
        pytest.param(["--parameters", "p.json", "--sandbox"], "Which runbook?", id="no-name"),
        pytest.param(
            ["incident_triage", "--parameters", "findings.json", "--sandbox"],
            "--again",
            id="findings-as-parameters",
        ),
        pytest.param(
            ["incident_triage", "--parameters", "p.json", "--sandbox"],
            "request_id (was that meant?)",
            id="unknown-name",
        ),
    ],
)
@pytest.mark.usefixtures("ran", "lake")
def test_wrong_use_ends_with_two(command, tmp_path, monkeypatch, words, told) -> None:
    """A sentence, before anything is run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.json").write_text('{"reqest_id": "a"}')
    code, out, err = command("run", *words)
    assert (code, out) == (2, "")
    assert told in err
    assert "Traceback" not in err


def test_a_runbook_that_is_not_there_is_said_before_its_input(command, ran, lake) -> None:
    """Whoever runs an older program should not read of files first."""
    ran.write_text(ran.read_text().replace("incident_triage", "gone"))
    code, _, err = command("run", "--again", ran, "--data", lake)
    assert code == 2
    assert err.startswith("NAME='gone' cannot be used")


@pytest.mark.parametrize(
    ("words", "data"),
    [
        pytest.param([], "lake", id="of-the-file"),
        pytest.param(["--sandbox"], "sandbox", id="typed"),
        pytest.param(["-p", "data_dir=sandbox"], "sandbox", id="typed-as-parameter"),
    ],
)
def test_a_file_of_parameters_is_asked_and_can_be_overruled(
    command, asked, tmp_path: Path, lake: Path, monkeypatch, words: list[str], data: str
) -> None:
    """Typed before file, file before environment; values keep the type they have there."""
    monkeypatch.setenv("RUNBOOK_DATA", "elsewhere")
    file = tmp_path / "weekly.yaml"
    file.write_text(f"data_dir: {lake}\nwindow_hours: 3\nrequest_id: 1e10\ntimezone: Asia/Tokyo\n")
    words = [*words, "-p", "window_hours=4"]
    assert command("run", "incident_triage", "--parameters", file, *words)[0] == 0
    wanted = {"window_hours": "4", "request_id": "1e10", "timezone": "Asia/Tokyo"}
    assert asked["parameters"] == {**wanted, "data_dir": str(lake) if data == "lake" else data}


def test_the_same_input_gives_the_same_bytes(command, lake: Path, tmp_path: Path) -> None:
    """What is passed on can be made again, to the byte: findings, exhibits, support pack."""
    one, two = tmp_path / "one", tmp_path / "two"
    first = command("run", "incident_triage", "--data", lake, "--out", one, *ASKED)
    again = command("run", "--again", one / "findings.json", "--data", lake, "--out", two)
    assert first[1].replace(str(one), "") == again[1].replace(str(two), "")
    assert (first[0], first[2]) == (again[0], again[2]) == (0, "")
    same(one, two)


@pytest.mark.long
@pytest.mark.parametrize("name", ["incident_triage", "usage_drilldown", "budget_caps"])
def test_every_runbook_on_sample_data_can_be_made_again(command, tmp_path: Path, name: str) -> None:
    """No runbook keeps a part of its question to itself."""
    one, two = tmp_path / "one", tmp_path / "two"
    command("run", name, "--sandbox", "--out", one, "--max-age-hours", "1", "--fail-on", "never")
    command("run", "--again", one, "--sandbox", "--out", two)
    same(one, two)


@pytest.mark.long
def test_other_input_makes_the_run_partial_and_the_page_says_so(
    command, lake: Path, tmp_path: Path
) -> None:
    """Who opens the page must see that it is not the answer that was passed on."""
    one, two = tmp_path / "one", tmp_path / "two"
    command("run", "incident_triage", "--data", lake, "--out", one, "--fail-on", "never", *ASKED)
    more = tmp_path / "more.jsonl"
    more.write_text(json.dumps({**sources_kit.OWN, "torouter.call.id": "another"}) + "\n")
    command("intake", more, "--data", lake)
    code, out, err = command("run", "--again", one, "--data", lake, "--out", two)
    told = "1 input file is added compared with the earlier run: more.jsonl"
    assert code == 3
    assert err == f"{told}\n"
    assert f"Not whole: {told}" in out
    assert told in (two / "report.html").read_text()
    held = json.loads((two / "findings.json").read_text())
    assert told in held["coverage"]["partial"]
    assert held["run"]["status"] == "partial"


def same(one: Path, two: Path) -> None:
    """Two runs left the same, but for the times of the runs and the time asked for."""
    names = {path.name for path in one.iterdir()}
    assert names == {path.name for path in two.iterdir()}
    for name in names - {"findings.json", "report.html", "report.ipynb"}:
        assert (one / name).read_bytes() == (two / name).read_bytes(), name
    held = [json.loads((folder / "findings.json").read_text()) for folder in (one, two)]
    for content in held:
        run = content["run"]
        del run["started_at"], run["finished_at"]
        run["parameters"]["now"] = run["parameters"]["now"] or run["now"]
    assert json.dumps(held[0]) == json.dumps(held[1])
