"""Commands: what they print, how they end, and that no error of ours shows a traceback."""

import json
import sys
from pathlib import Path

import made_report
import pytest
import sources_kit

from runbook_lib import cli, runner, session
from runbook_lib.errors import RunError, StoreError
from runbook_lib.runner import Result
from runbook_lib.runner.outcome import Outcome, filled


@pytest.fixture
def command(monkeypatch, capsys):
    """Run a command line; gives its exit code, stdout and stderr."""
    monkeypatch.delenv("RUNBOOK_DATA", raising=False)

    def call(*words: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["runbook", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        told = capsys.readouterr()
        return ended.value.code, told.out, told.err

    return call


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


@pytest.fixture
def lake(tmp_path: Path, command) -> Path:
    """A store with one call in it."""
    log = tmp_path / "calls.jsonl"
    log.write_text(json.dumps(sources_kit.OWN) + "\n")
    assert command("intake", log, "--data", tmp_path / "lake")[0] == 0
    return tmp_path / "lake"


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
        pytest.param(["describe", "nothing"], "one of incident_triage", id="no-such-runbook"),
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
    """A scheduled job sets it once."""
    monkeypatch.setenv("RUNBOOK_DATA", str(lake))
    command("run", "incident_triage")
    assert asked["parameters"]["data_dir"] == str(lake.resolve())


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


def test_intake_tells_what_was_taken_and_what_was_not(command, tmp_path: Path) -> None:
    """Counts, reasons and the first lines: nobody has to open the file to see what is wrong."""
    good, bad = json.dumps(sources_kit.OWN), json.dumps({**sources_kit.OWN, "ts": "yesterday"})
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "calls.jsonl").write_text(f"{good}\n{bad}\n")
    (tmp_path / "in" / "page.html").write_text("<!doctype html><html><body>Sign in</body></html>")
    code, out, _ = command("intake", tmp_path / "in", "--data", tmp_path / "lake")
    assert code == 3
    assert "calls.jsonl: call log, 1 row, 1 rejected" in out
    assert "line 2" in out
    assert "page.html: skipped" in out
    assert "The store holds now: calls 1 row." in out


def test_intake_of_a_named_file_of_no_known_source_adds_nothing(command, tmp_path: Path) -> None:
    """Somebody meant this very file: being skipped would be wrong."""
    (tmp_path / "calls.jsonl").write_text(json.dumps(sources_kit.OWN) + "\n")
    (tmp_path / "usage.csv").write_text("<!doctype html><html><body>Sign in</body></html>")
    files = [tmp_path / "calls.jsonl", tmp_path / "usage.csv"]
    code, out, err = command("intake", *files, "--data", tmp_path / "lake")
    assert code == 2
    assert "usage.csv" in err
    assert out == ""
    with pytest.raises(Exception, match="taken in"):
        session.open_store(tmp_path / "lake")


def test_intake_prints_json_and_knows_what_it_had(command, lake: Path, tmp_path: Path) -> None:
    """The same file twice doubles nothing, and says so."""
    code, out, _ = command("intake", tmp_path / "calls.jsonl", "--data", lake, "--json")
    held = json.loads(out)
    assert code == held["exit_code"] == 0
    assert held["files"][0]["already"] is True
    assert held["held"] == {"calls": 1}


@pytest.mark.parametrize("text", ["[]", "{", '{"a": 1}', '"x"'])
def test_a_map_that_is_none_is_refused(command, tmp_path: Path, text: str) -> None:
    """Its form is told, not guessed."""
    (tmp_path / "map.json").write_text(text)
    (tmp_path / "calls.jsonl").write_text(json.dumps(sources_kit.OWN) + "\n")
    words = (tmp_path / "calls.jsonl", "--data", tmp_path / "lake", "--map", tmp_path / "map.json")
    code, _, err = command("intake", *words)
    assert code == 2
    assert '{"column": "field"}' in err


def test_the_store_itself_is_not_taken_in(command, lake: Path, tmp_path: Path) -> None:
    """`runbook intake . --data lake` is what one types."""
    code, out, _ = command("intake", tmp_path, "--data", lake)
    assert code == 0
    assert "parquet" not in out
    assert "manifest" not in out
