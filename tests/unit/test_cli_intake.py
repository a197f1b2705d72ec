"""The command `intake`: what it takes, what it leaves out, and how it says so."""

import json
import os
from pathlib import Path

import pytest
import sources_kit

from runbook_lib import session
from runbook_lib.store import Filter


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
