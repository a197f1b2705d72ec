"""Commands: what they print, how they end, and that no error of ours shows a traceback."""

import json
from pathlib import Path

import made_report
import pytest

from runbook_lib import runner
from runbook_lib.errors import RunError, StoreError
from runbook_lib.runner import Result
from runbook_lib.runner.outcome import Outcome, filled


@pytest.fixture
def asked(monkeypatch):
    """Stand for the runner; gives what it was asked for."""
    asked: dict = {}
    report = made_report.report()
    content = filled(
        report.to_dict(),
        started_at=made_report.NOW,
        finished_at=made_report.NOW,
        fail_on="high",
        max_age_hours=36,
    )

    def run(names, parameters, **options) -> Result:
        asked.update(names=list(names), parameters=parameters, **options)
        done = Outcome(name=names[0], exit_code=1, report=content, folder=options["out"])
        return Result(exit_code=1, outcomes=[done])

    monkeypatch.setattr(runner, "run", run)
    return asked


def test_list_names_every_runbook_with_its_question(command) -> None:
    """The first thing one asks of a tool is what it can do."""
    code, out, _ = command("list")
    assert code == 0
    assert "incident_triage" in out
    assert "Why did this request fail" in out
    assert {one["name"] for one in json.loads(command("list", "--json")[1])} >= {"incident_triage"}


def test_describe_shows_parameters_with_defaults_and_help(command) -> None:
    """Read from the notebook itself, so it cannot be out of date."""
    code, out, _ = command("describe", "incident_triage")
    assert code == 0
    assert "window_hours: float = 2.0" in out
    found = json.loads(command("describe", "incident_triage", "--json")[1])
    assert found["parameters"][0]["name"] == "request_id"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        pytest.param(["describe", "incident"], "incident_triage (was that meant?)", id="slip"),
        pytest.param(["describe", "nothing"], "incident_triage", id="no-such-runbook"),
        pytest.param(["run", "incident_triage"], "--sandbox", id="no-data"),
        pytest.param(["run"], "NAME", id="no-name"),
        pytest.param(
            ["run", "incident_triage", "--sandbox", "-p", "x"], "name=value", id="no-equals"
        ),
        pytest.param(
            ["run", "incident_triage", "--sandbox", "-p", "now=a", "-p", "now=b"],
            "once",
            id="twice",
        ),
        pytest.param(
            ["run", "incident_triage", "--sandbox", "-p", "now=a", "--now", "b"], "both", id="both"
        ),
        pytest.param(
            ["run", "incident_triage", "--sandbox", "-p", "reqest_id=a"], "request_id", id="typo"
        ),
        pytest.param(
            ["run", "incident_triage", "--sandbox", "--fail-on", "bad"], "critical", id="level"
        ),
        pytest.param(
            ["run", "incident_triage", "--data", "missing"], "does not exist", id="folder"
        ),
        pytest.param(
            ["run", "incident_triage", "--data", "s3://b/x"], "nothing is fetched", id="address"
        ),
        pytest.param(
            ["run", "incident_triage", "--sandbox", "--data", "lake"],
            "--sandbox and --data contradict each other",
            id="sandbox-and-data",
        ),
        pytest.param(
            ["run", "incident_triage", "--sandbox", "-p", "data_dir=lake"],
            "--sandbox and -p data_dir contradict each other",
            id="sandbox-and-parameter",
        ),
        pytest.param(
            ["intake", "x.csv", "--data", "lake", "--zone", "Mars/Base"], "--zone=", id="zone"
        ),
        pytest.param(["intake", "x.csv"], "--data", id="no-store"),
        pytest.param(["intake", "x.csv", "--data", "lake"], "x.csv", id="no-file"),
        pytest.param(["intake", "https://e.invalid/x.csv", "--data", "lake"], "https", id="url"),
        pytest.param(["what"], "No such command", id="no-command"),
        pytest.param(["run", "--wat"], "No such option", id="no-option"),
    ],
)
def test_wrong_use_ends_with_two_and_a_sentence(
    command, tmp_path, monkeypatch, words, told
) -> None:
    """Before anything is run, and without a traceback."""
    monkeypatch.chdir(tmp_path)
    code, out, err = command(*words)
    assert code == 2
    assert told in err
    assert "Traceback" not in err
    assert out == ""


def test_run_hands_over_what_was_asked(command, asked, lake: Path, tmp_path: Path) -> None:
    """Text stays text here; types are the notebook's business."""
    words = (
        "-p",
        "request_id=1e10=x",
        "--data",
        lake,
        "--out",
        tmp_path / "out",
        "--now",
        "2026-11-24",
    )
    code, _, _ = command("run", "incident_triage", *words, "--timezone", "Asia/Shanghai")
    assert code == 1
    assert asked["parameters"] == {
        "request_id": "1e10=x",
        "timezone": "Asia/Shanghai",
        "now": "2026-11-24",
        "data_dir": str(lake.resolve()),
    }
    assert asked["out"] == tmp_path / "out"


def test_run_ends_with_the_verdict_the_next_step_and_the_page(command, asked, tmp_path) -> None:
    """Who watches the terminal needs no second look."""
    _, out, err = command("run", "incident_triage", "--sandbox", "--out", tmp_path / "out")
    assert asked["parameters"]["data_dir"] == "sandbox"
    lines = out.splitlines()
    assert lines[0].startswith("CONFIRMED: Key prod-web reached its spending cap")
    assert "[sample data]" in lines[0]
    assert lines[-2].startswith("Next: Raise the cap")
    assert lines[-1] == f"Page: {tmp_path / 'out' / 'report.html'}"
    assert err == ""


@pytest.mark.usefixtures("asked")
def test_run_prints_json_for_programs(command) -> None:
    """One document with the exit code and what each runbook found."""
    code, out, _ = command("run", "incident_triage", "--sandbox", "--json")
    held = json.loads(out)
    assert held["exit_code"] == code == 1
    assert held["runs"][0]["findings"]["verdict"]["cause"] == "key_quota_exhausted"


def test_data_can_come_from_the_environment(command, asked, lake, monkeypatch) -> None:
    """A scheduled job sets it once; what is typed wins over it."""
    monkeypatch.setenv("RUNBOOK_DATA", str(lake))
    command("run", "incident_triage")
    assert asked["parameters"]["data_dir"] == str(lake.resolve())
    command("run", "incident_triage", "--sandbox")
    assert asked["parameters"]["data_dir"] == "sandbox"


def test_a_runbook_named_twice_runs_once_and_says_so(command, asked) -> None:
    """A slip in a crontab costs no answer."""
    code, _, err = command("run", "incident_triage", "incident_triage", "--sandbox")
    assert (code, asked["names"]) == (1, ["incident_triage"])
    assert err == "incident_triage was named more than once; it runs once.\n"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        pytest.param(RunError("x", "died", hint="look"), 4, id="could-not-run"),
        pytest.param(StoreError("x", "is broken", hint="look"), 4, id="store"),
        pytest.param(KeyboardInterrupt(), 130, id="cancelled"),
    ],
)
def test_errors_end_with_their_code(command, monkeypatch, error, code: int) -> None:
    """A sentence on stderr, the code that is documented, nothing on stdout."""

    def fail(*_, **__):
        raise error

    monkeypatch.setattr(runner, "run", fail)
    got, out, err = command("run", "incident_triage", "--sandbox")
    assert got == code
    assert out == ""
    assert "Traceback" not in err
    assert err.strip()


def test_a_runbook_that_failed_is_told_on_stderr(command, monkeypatch) -> None:
    """The exit code is that of its error."""
    done = Outcome(name="incident_triage", exit_code=4, error="incident_triage died; look.")
    monkeypatch.setattr(runner, "run", lambda *_, **__: Result(exit_code=4, outcomes=[done]))
    code, out, err = command("run", "incident_triage", "--sandbox")
    assert (code, out) == (4, "")
    assert err == "incident_triage: incident_triage died; look.\n"
