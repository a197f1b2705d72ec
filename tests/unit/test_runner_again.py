"""An earlier run asked again: what is read of it, what must be typed, where its input differs."""

import json
from dataclasses import replace
from pathlib import Path

import made_report
import pytest

from runbook_lib import findings, redact
from runbook_lib.errors import InputError, ParameterError
from runbook_lib.runner import again, outcome
from runbook_lib.version import __version__

USAGE = made_report.report().inputs[0]


def written(folder: Path, **changes: object) -> Path:
    """The findings.json of a run, with some of its run changed; None leaves one out."""
    content = outcome.filled(
        made_report.report().to_dict(),
        started_at=made_report.NOW,
        finished_at=made_report.NOW,
        fail_on="low",
        max_age_hours=12.0,
    )
    run = {**content["run"], **changes}
    content["run"] = {name: value for name, value in run.items() if value is not None}
    (folder / "findings.json").write_text(json.dumps(content))
    return folder / "findings.json"


def earlier(*inputs: findings.Input, **parameters: object) -> again.Earlier:
    """An earlier run on these inputs, with these parameters."""
    return again.Earlier(
        runbook="incident_triage",
        version=__version__,
        now="2026-11-24T05:43:02.000000Z",
        parameters=parameters,
        inputs=[findings.plain(one) for one in inputs],
        fail_on="high",
        max_age_hours=36.0,
    )


# What is read -----------------------------------------------------------------------------------


def test_all_that_makes_the_answer_is_read(tmp_path: Path) -> None:
    """Name, parameters, time, level and age: whoever gets the file needs nothing else but data."""
    found = again.read(written(tmp_path))
    made = made_report.report()
    assert (found.runbook, found.version) == (made.runbook, __version__)
    assert found.parameters == {**made.to_dict()["run"]["parameters"]}
    assert found.now == "2026-11-24T05:43:02.000000Z"
    assert (found.fail_on, found.max_age_hours) == ("low", 12.0)
    assert again.differences(found, made.inputs) == []


def test_the_folder_of_a_run_stands_for_its_file(tmp_path: Path) -> None:
    """It is what people have at hand."""
    assert again.read(written(tmp_path).parent) == again.read(written(tmp_path))


def test_a_run_that_wrote_down_no_level_was_judged_by_the_usual_one(tmp_path: Path) -> None:
    """Files of before stay of use."""
    found = again.read(written(tmp_path, fail_on=None, max_age_hours=None))
    assert (found.fail_on, found.max_age_hours) == ("high", 36.0)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param(None, "cannot be read", id="not-there"),
        pytest.param(b"\xff\xfe", "cannot be read as JSON", id="no-text"),
        pytest.param(b"{", "cannot be read as JSON", id="no-json"),
        pytest.param(b"[" * 100_000, "cannot be read as JSON", id="bottomless"),
        pytest.param(b"[]", "is no findings.json", id="list"),
        pytest.param(b'{"schema": 1}', "is no findings.json", id="number"),
        pytest.param(b'{"schema": "x"}', "is no findings.json", id="of-others"),
        pytest.param(
            b'{"schema": "torouter-runbooks/findings/2"}', "findings/2, and this", id="other-form"
        ),
        pytest.param(b'{"schema": "torouter-runbooks/findings/1"}', "lacks", id="no-run"),
    ],
)
def test_what_is_no_earlier_run_is_refused(tmp_path: Path, text: bytes | None, told: str) -> None:
    """A wrong file is wrong use, said in one sentence."""
    path = tmp_path / "x.json"
    if text is not None:
        path.write_bytes(text)
    with pytest.raises(InputError, match=told) as refused:
        again.read(path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"runbook": 1}, id="name"),
        pytest.param({"now": None}, id="time"),
        pytest.param({"parameters": [1]}, id="parameters"),
        pytest.param({"inputs": [{"name": "x"}]}, id="input"),
        pytest.param({"inputs": 3}, id="inputs"),
        pytest.param({"max_age_hours": "soon"}, id="age"),
    ],
)
def test_a_run_that_is_not_whole_is_refused(tmp_path: Path, changes: dict[str, object]) -> None:
    """Half of what a run was asked is another question."""
    with pytest.raises(InputError, match="lacks"):
        again.read(written(tmp_path, **changes))


def test_another_runbook_than_that_of_the_run_is_refused() -> None:
    """Its parameters mean nothing to another."""
    assert (
        again.chosen([], earlier())
        == again.chosen(["incident_triage"], earlier())
        == ["incident_triage"]
    )
    with pytest.raises(ParameterError, match="incident_triage, which that run was of"):
        again.chosen(["incident_triage", "usage_drilldown"], earlier())


def test_another_version_is_told() -> None:
    """Rules change between versions; then the same input can give another answer."""
    assert again.by_another(earlier()) == ""
    assert "by version 0.0.1, this" in again.by_another(replace(earlier(), version="0.0.1"))


# What is asked ----------------------------------------------------------------------------------


def test_what_is_typed_wins_and_the_rest_is_as_it_was() -> None:
    """One can move a window and keep the question."""
    held = earlier(key_name="a", top=3, now="2026-11-20")
    assert again.parameters(held, {"top": "5"}) == {
        "key_name": "a",
        "top": "5",
        "now": "2026-11-20",
    }


def test_who_judged_by_the_clock_is_judged_by_that_time() -> None:
    """Tomorrow's clock would give another week."""
    assert again.parameters(earlier(now=""), {}) == {"now": "2026-11-24T05:43:02.000000Z"}
    assert again.parameters(earlier(now=""), {"now": ""}) == {"now": ""}
    assert again.parameters(earlier(), {}) == {}


def test_the_folder_of_the_data_is_never_taken_from_a_file(tmp_path: Path) -> None:
    """It is a place of another machine."""
    held = again.read(written(tmp_path, parameters={"data_dir": "/srv/theirs", "top": 3}))
    assert held.parameters == {"top": 3}


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        pytest.param("key_name", f"a {redact.MASK}", "taken for a secret", id="secret"),
        pytest.param("models", ["a", redact.MASK], "taken for a secret", id="secret-in-a-list"),
        pytest.param("client", "command:rm -r x", "start a program", id="command"),
        pytest.param("client", "os:abort", "start a program", id="function"),
        pytest.param("cases", "mine.toml", "read a file", id="cases"),
        pytest.param("request_id", " @/etc/passwd", "read a file", id="ids"),
        pytest.param("live", True, "send live calls", id="live"),
        pytest.param("live", "true", "send live calls", id="live-as-text"),
    ],
)
def test_what_reaches_beyond_the_data_must_be_typed(name: str, value: object, told: str) -> None:
    """A report that is passed on must not run code, read files or spend money by itself."""
    with pytest.raises(ParameterError, match=told) as refused:
        again.parameters(earlier(**{name: value}), {})
    assert f"-p {name}=" in str(refused.value)
    assert again.parameters(earlier(**{name: value}), {name: "typed"})[name] == "typed"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("client", "google-genai", id="adapter"),
        pytest.param("cases", "", id="no-cases"),
        pytest.param("live", False, id="not-live"),
        pytest.param("request_id", "a@b", id="id"),
    ],
)
def test_what_stays_within_the_data_need_not_be_typed(name: str, value: object) -> None:
    """Most runs can be repeated with one word."""
    assert again.parameters(earlier(**{name: value}), {})[name] == value


# Where the input differs ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "told"),
    [
        pytest.param([USAGE], [], id="same"),
        pytest.param([], ["1 input file is missing compared with the earlier run: "], id="missing"),
        pytest.param(
            [USAGE, replace(USAGE, name="new.csv")],
            ["1 input file is added compared with the earlier run: new.csv"],
            id="added",
        ),
        pytest.param(
            [replace(USAGE, sha256="0" * 64)],
            ["1 input file is of other bytes compared with the earlier run: "],
            id="other-bytes",
        ),
        pytest.param(
            [replace(USAGE, rejected=USAGE.rejected + 1)],
            ["1 input file is read in another way compared with the earlier run: "],
            id="read-otherwise",
        ),
        pytest.param(
            [replace(USAGE, first_at=made_report.NOW)],
            ["1 input file is read in another way compared with the earlier run: "],
            id="other-zone",
        ),
        pytest.param(
            [USAGE, replace(USAGE, sha256="1")],
            ["1 input file is of other bytes compared with the earlier run: "],
            id="a-second-of-the-name",
        ),
        pytest.param(
            [replace(USAGE, name="renamed.csv")],
            [
                "1 input file is missing compared with the earlier run: ",
                "1 input file is added compared with the earlier run: renamed.csv",
            ],
            id="renamed",
        ),
    ],
)
def test_each_kind_of_difference_is_a_sentence(now: list[findings.Input], told: list[str]) -> None:
    """The same question on other input is another answer: which files, in one line a kind."""
    found = again.differences(earlier(USAGE), now)
    named = [
        line if line.endswith("csv") and "added" in line else line + USAGE.name for line in told
    ]
    assert found == named


def test_many_files_are_counted() -> None:
    """A sentence stays one that people read."""
    now = [replace(USAGE, name=f"{n}.csv") for n in range(8)]
    (line,) = again.differences(earlier(), now)
    assert line.startswith("8 input files are added ")
    assert line.endswith(": 0.csv, 1.csv, 2.csv, 3.csv, 4.csv and 3 more")


def test_a_name_steers_no_terminal() -> None:
    """Names of files come from outside."""
    held = earlier(replace(USAGE, name="\x1b[2Jx\n.csv"))
    (line,) = again.differences(held, [])
    assert line.isprintable()
