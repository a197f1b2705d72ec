"""Commands: what they print, how they end, and that no error of ours shows a traceback."""

import json
import os
import sys
from pathlib import Path

import made_report
import pytest
import sources_kit

from runbook_lib import cli, runner, session
from runbook_lib.errors import RunError, StoreError
from runbook_lib.runner import Result
from runbook_lib.runner.outcome import Outcome, filled
from runbook_lib.store import Filter


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


def _page(path: Path) -> Path:
    path.write_text("<!doctype html><html><body>Sign in</body></html>")
    return path


def test_a_bad_file_does_not_keep_the_good_ones_out(command, tmp_path: Path) -> None:
    """The night's logs must not be lost because one of them is a login page; it is told, with 3."""
    good = tmp_path / "calls.jsonl"
    good.write_text(json.dumps(sources_kit.OWN) + "\n")
    files = [good, _page(tmp_path / "usage.csv"), tmp_path / "missing.csv"]
    code, out, _ = command("intake", *files, "--data", tmp_path / "lake")
    assert code == 3
    assert "calls.jsonl: call log, 1 row, 0 rejected" in out
    told = [line for line in out.splitlines() if line.startswith("not read: ")]
    assert len(told) == 2
    assert any("usage.csv" in line and "web page" in line for line in told)
    assert any("missing.csv" in line and "does not exist" in line for line in told)
    held = json.loads(command("intake", *files, "--data", tmp_path / "lake", "--json")[1])
    assert held["exit_code"] == 3
    assert [Path(one["file"]).name for one in held["broken"]] == ["missing.csv", "usage.csv"]


@pytest.mark.parametrize("names", [["usage.csv"], ["usage.csv", "other.csv"]], ids=["one", "two"])
def test_nothing_but_bad_files_is_wrong_use(command, tmp_path: Path, names: list[str]) -> None:
    """Nothing was taken in: the same code as for a path that is not there, and nothing is held."""
    files = [_page(tmp_path / name) for name in names]
    code, out, err = command("intake", *files, "--data", tmp_path / "lake")
    assert code == 2
    assert all(name in out + err for name in names)
    with pytest.raises(Exception, match="taken in"):
        session.open_store(tmp_path / "lake")


def test_what_a_folder_holds_and_is_not_read_is_named_with_its_reason(
    command, tmp_path: Path
) -> None:
    """A link into another disk, a pipe of a log shipper: silence would look like read."""
    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    (folder / "calls.jsonl").write_text(json.dumps(sources_kit.OWN) + "\n")
    os.mkfifo(folder / "deep" / "pipe")
    (folder / "dangling.csv").symlink_to(tmp_path / "nowhere")
    (folder / "linked.jsonl").symlink_to(folder / "calls.jsonl")
    (folder / ".hidden").write_text("x")
    (folder / "notes.txt").write_text("remember the milk\n")
    wanted = {
        "pipe": "is a pipe, socket or device",
        "dangling.csv": "is a link that leads nowhere",
        "linked.jsonl": "is a link; name it itself",
        "notes.txt": "plain text",
    }
    code, out, _ = command("intake", folder, "--data", tmp_path / "lake")
    assert code == 0
    skipped = [line for line in out.splitlines() if ": skipped, " in line]
    assert len(skipped) == len(wanted)
    for name, reason in wanted.items():
        assert any(f"{name}: skipped, " in line and reason in line for line in skipped), name
    held = json.loads(command("intake", folder, "--data", tmp_path / "lake", "--json")[1])
    reasons = {Path(one["file"]).name: one["reason"] for one in held["skipped"]}
    assert reasons.keys() == wanted.keys()
    assert all(wanted[name] in reason for name, reason in reasons.items())


def test_files_of_one_name_can_be_told_apart(command, tmp_path: Path) -> None:
    """Every host calls its log the same; rows and messages must lead back to the right one."""
    names = []
    for place, host in enumerate(("host-a", "host-b")):
        folder = tmp_path / "logs" / host
        folder.mkdir(parents=True)
        names.append(folder / "calls.jsonl")
        own = {"http.response.header.x-client-request-id": [f"{place}2222222-bbbb"]}
        names[-1].write_text(json.dumps({**sources_kit.OWN, **own}) + "\n")
    _, out, _ = command("intake", tmp_path / "logs", "--data", tmp_path / "lake")
    assert [line.partition(": ")[0] for line in out.splitlines()[:2]] == [
        "host-a/calls.jsonl",
        "host-b/calls.jsonl",
    ]
    _, out, _ = command("intake", *names, "--data", tmp_path / "other")
    assert [line.partition(": ")[0] for line in out.splitlines()[:2]] == [
        "host-a/calls.jsonl",
        "host-b/calls.jsonl",
    ]
    frame = session.open_store(tmp_path / "lake").rows("calls", Filter()).frame
    assert set(frame["source_file"]) == {"host-a/calls.jsonl", "host-b/calls.jsonl"}


def test_rows_of_several_accounts_in_one_are_hinted_at(command, tmp_path: Path) -> None:
    """Their caps and balances are apart; only the intake can still keep them so."""
    item = {"created_at": "2026-11-24T13:43:02+08:00", "model": "m", "input_tokens": 1}
    files = []
    for user in (8, 9, 10):
        item = {**item, "id": user, "user_id": user, "request_id": f"r{user}"}
        files.append(tmp_path / f"rows{user}.json")
        files[-1].write_text(json.dumps({"code": 0, "data": {"items": [item]}}))
    code, out, _ = command("intake", files[0], "--data", tmp_path / "lake")
    assert "hint" not in out
    code, out, _ = command("intake", *files[1:], "--data", tmp_path / "lake")
    assert code == 0
    assert "hint: these rows name 3 accounts or users (user_id 10, user_id 8, user_id 9)" in out
    assert "--account NAME" in out
    held = json.loads(command("intake", *files, "--data", tmp_path / "lake", "--json")[1])
    assert len(held["hints"]) == 1


@pytest.mark.parametrize(
    ("name", "text"),
    [
        pytest.param("keys.csv", "account,key_name\nleft,a\nright,b\n", id="inventory"),
        pytest.param(
            "usage.csv",
            "Time,Model,Input Tokens,Billed Cost,API Key Name,Type,User ID\n"
            "2026-11-24T13:43:02+08:00,m,1,0.1,a,Sync,left\n"
            "2026-11-24T13:43:03+08:00,m,1,0.1,b,Sync,right\n",
            id="export",
        ),
    ],
)
def test_a_column_of_accounts_is_hinted_at(command, tmp_path: Path, name: str, text: str) -> None:
    """One file can hold several accounts too."""
    (tmp_path / name).write_text(text)
    _, out, _ = command("intake", tmp_path / name, "--data", tmp_path / "lake")
    (hint,) = [line for line in out.splitlines() if line.startswith("hint: ")]
    assert "2 accounts" in hint
    assert "left" in hint
    assert "right" in hint


def test_the_same_bytes_under_another_account_are_told(command, lake: Path, tmp_path: Path) -> None:
    """Their rows count twice from then on; nobody must find out from the totals."""
    words = ("intake", tmp_path / "calls.jsonl", "--data", lake, "--account", "b")
    _, out, _ = command(*words)
    assert "held under no account already; under b their rows count a second time" in out
    held = json.loads(command(*words, "--json")[1])
    assert held["files"][0]["also_in_accounts"] == [""]


def test_a_rejected_record_shows_line_reason_field_and_value(command, tmp_path: Path) -> None:
    """What is to be mended, without opening the file; and nothing that could be a key or prompt."""
    key = "sk-" + "CANARY0123456789"
    bad = [
        {**sources_kit.OWN, "ts": "yesterday"},
        {**sources_kit.OWN, "http.response.status_code": 9999},
        {**sources_kit.OWN, "duration_ms": f"x {key}"},
        {**sources_kit.OWN, "duration_ms": "tell me a story about a whale and a very small boat"},
    ]
    log = tmp_path / "calls.jsonl"
    log.write_text("".join(json.dumps(one) + "\n" for one in [sources_kit.OWN, *bad]))
    code, out, _ = command("intake", log, "--data", tmp_path / "lake")
    assert code == 3
    assert "line 2: time that cannot be read (ts is 'yesterday')" in out
    assert "line 3: status is no HTTP status (status is '9999')" in out
    assert "it has: ts, torouter.service" in out
    _, told, _ = command("intake", log, "--data", tmp_path / "other", "--json")
    rejects = json.loads(told)["files"][0]["rejects"]
    assert [one["line"] for one in rejects] == [2, 3, 4, 5]
    assert [one["field"] for one in rejects] == ["ts", "status", "duration_ms", "duration_ms"]
    assert rejects[3]["value"] == "a text of 51 characters"
    assert "CANARY" not in out + told
    assert "whale" not in out + told


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
