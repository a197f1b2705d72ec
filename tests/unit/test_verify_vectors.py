"""The cases of a verification are data; what contradicts itself is told, not played."""

import contextlib
from pathlib import Path
from typing import Any

import pytest
import verify_kit
from hypothesis import given, settings
from hypothesis import strategies as st

from runbook_lib.errors import ParameterError, VectorError
from runbook_lib.sandbox.faults import CATALOGUE
from runbook_lib.verify import cells, vectors
from runbook_lib.verify.vectors import PROTOCOLS

ROWS = 62

GOOD = """
[[cases]]
name = "mine"
row = 23
what = "503, our way."
fault = "status_503"
durations = ["once"]
expect = { retry = "must", fallback = "wanted" }
"""


def test_every_row_of_the_matrix_has_a_case() -> None:
    """What no case plays is not verified, whatever the report says."""
    assert {case.row for case in verify_kit.CASES.values()} >= set(range(1, ROWS + 1))


def test_every_case_names_faults_of_the_sandbox() -> None:
    """A fault that is renamed must not make a case a healthy one."""
    named = {step.fault for case in verify_kit.CASES.values() for step in case.steps}
    assert named - set(CATALOGUE) == set()
    assert len(named) > 110


def test_a_full_run_of_an_sdk_has_more_than_a_thousand_cells() -> None:
    """Cases × durations × protocols × streaming × sync and async."""
    made = cells.cells(list(verify_kit.CASES.values()), verify_kit.SDK)
    assert len(made) >= 1_000
    assert len({one.id for one in made}) == len(made)
    assert {one.duration for one in made} == {"", "once", "twice", "5s", "ever"}


def test_a_full_run_of_one_function_has_hundreds_of_cells() -> None:
    """A user's own function is tested as hard."""
    assert len(cells.cells(list(verify_kit.CASES.values()), verify_kit.FUNCTION)) >= 250


def test_the_smoke_run_is_short_and_shows_every_way() -> None:
    """Under fifteen seconds, and still no way of calling is left out."""
    made = cells.cells(list(verify_kit.CASES.values()), verify_kit.SDK, depth="smoke", seed=3)
    assert 50 <= len(made) <= 120
    ways = {(one.protocol, one.stream, one.asynchronous) for one in made if one.case != "healthy"}
    assert ways == set(cells.ways(verify_kit.SDK))
    waits = [one.deadline_s + one.patience_s for one in made]
    assert max(waits) <= 12


@pytest.mark.parametrize("depth", cells.DEPTHS)
def test_cells_are_the_same_for_the_same_seed(depth: str) -> None:
    """Two runs can only be compared cell by cell."""
    cases = list(verify_kit.CASES.values())
    first = cells.cells(cases, verify_kit.SDK, depth=depth, seed=7)
    assert first == cells.cells(cases, verify_kit.SDK, depth=depth, seed=7)


def test_another_seed_turns_the_smoke_run() -> None:
    """A nightly smoke run with the date as seed goes through all ways in time."""
    cases = list(verify_kit.CASES.values())
    made = [cells.cells(cases, verify_kit.SDK, depth="smoke", seed=seed) for seed in (1, 2)]
    assert made[0] != made[1]


def test_a_duration_says_how_long_a_step_lasts() -> None:
    """`once` is one attempt, `5s` is five seconds, `ever` has no end."""
    steps = [verify_kit.cell("status_500", span).steps[0] for span in vectors.DURATIONS]
    assert [(one.times, one.for_s) for one in steps] == [(1, 0), (2, 0), (0, 5), (0, 0)]


def test_a_case_for_one_protocol_is_played_in_no_other() -> None:
    """Google's form tells no cap from a rate limit: the case for it is its own."""
    made = cells.cells(list(verify_kit.CASES.values()), verify_kit.SDK)
    assert not [one for one in made if one.case == "cap_google"]


def test_only_async_clients_are_cancelled() -> None:
    """A plain call has nobody who could cancel it."""
    made = cells.cells(list(verify_kit.CASES.values()), verify_kit.SDK)
    assert {one.asynchronous for one in made if one.cancel_after_s is not None} == {True}


def test_an_unknown_depth_is_refused() -> None:
    """A typing mistake must not become a short run."""
    with pytest.raises(ParameterError, match="depth"):
        cells.cells(list(verify_kit.CASES.values()), verify_kit.SDK, depth="medium")


def test_a_client_that_speaks_nothing_is_refused() -> None:
    """No cell is no proof."""
    mute = type(verify_kit.SDK)(protocols=(), plain=True, asynchronous=False, stream=True)
    with pytest.raises(ParameterError, match="client"):
        cells.cells(list(verify_kit.CASES.values()), mute)


# A file of one's own ----------------------------------------------------------------------------


def test_cases_of_ones_own_come_after_ours(tmp_path: Path) -> None:
    """Users add what their incident taught them."""
    path = tmp_path / "own.toml"
    path.write_text(GOOD)
    found = vectors.load(path)
    assert [case.name for case in found] == [*verify_kit.CASES, "mine"]
    assert found[-1].steps[0].role == "primary"


def _case(**changes: Any) -> str:
    """The good case with some lines changed; None drops one."""
    lines = dict(line.split(" = ", 1) for line in GOOD.strip().splitlines()[1:])
    lines |= changes
    kept = [f"{name} = {value}" for name, value in lines.items() if value is not None]
    return "\n".join(["[[cases]]", *kept, ""])


WRONG = {
    "unknown fault": (_case(fault='"status_999"'), "fault"),
    "no fault and no step": (_case(fault=None), "expect"),
    "fault and steps": (_case(steps='[{ fault = "status_500" }]'), "fault"),
    "negative times": (_case(fault=None, steps='[{ fault = "status_500", times = -1 }]'), "times"),
    "probability of zero": (_case(fault=None, steps='[{ fault = "status_500", p = 0.0 }]'), "p"),
    "hidden step": (
        _case(fault=None, steps='[{ fault = "status_500" }, { fault = "cap_flat" }]'),
        "steps",
    ),
    "unknown role": (_case(fault=None, steps='[{ fault = "cap_flat", role = "third" }]'), "role"),
    "unknown field": (_case(colour='"red"'), "colour"),
    "no row": (_case(row=None), "row"),
    "row as text": (_case(row='"23"'), "row"),
    "name with blanks": (_case(name='"Not a name"'), "name"),
    "nothing said": (_case(what='""'), "what"),
    "unknown duration": (_case(durations='["thrice"]'), "durations"),
    "unknown protocol": (_case(protocols='["smtp"]'), "protocols"),
    "unknown depth": (_case(depth='"deep"'), "depth"),
    "no expectation": (_case(expect=None), "expect"),
    "unknown retry": (_case(expect='{ retry = "often", fallback = "may" }'), "retry"),
    "no fallback said": (_case(expect='{ retry = "must" }'), "fallback"),
    "retry and only one attempt": (
        _case(expect='{ retry = "must", fallback = "may", attempts_max = 1 }'),
        "attempts_max",
    ),
    "no retry and four attempts": (
        _case(expect='{ retry = "never", fallback = "may", attempts_max = 4 }'),
        "attempts_max",
    ),
    "no retry and a wait": (
        _case(expect='{ retry = "never", fallback = "may", wait_min_s = 1.0 }'),
        "wait_min_s",
    ),
    "least wait above the most": (
        _case(expect='{ retry = "must", fallback = "may", wait_min_s = 2.0, wait_max_s = 1.0 }'),
        "wait_min_s",
    ),
    "wait beyond the deadline": (
        _case(expect='{ retry = "must", fallback = "may", wait_min_s = 9.0 }'),
        "wait_min_s",
    ),
    "an answer although it fails for ever": (
        _case(
            durations='["ever"]',
            expect='{ retry = "never", fallback = "never", ends = "answer" }',
        ),
        "ends",
    ),
    "an answer where nobody listens": (
        _case(
            fault=None,
            place='"unresolved"',
            durations='["ever"]',
            expect='{ retry = "once", fallback = "may", ends = "answer" }',
        ),
        "ends",
    ),
    "an error although nothing fails": (
        _case(fault=None, expect='{ retry = "never", fallback = "never", ends = "error" }'),
        "expect",
    ),
    "a fault where no request arrives": (_case(place='"tls"'), "steps"),
    "a stream's fault without a stream": (
        _case(fault='"stream_no_end"', stream='"no"'),
        "stream",
    ),
    "after a streamed byte, without a stream": (
        _case(expect='{ retry = "never", fallback = "may", mid = true }'),
        "mid",
    ),
    "sent again after a streamed byte": (
        _case(stream='"only"', expect='{ retry = "must", fallback = "may", mid = true }'),
        "retry",
    ),
    "a plain call cancelled": (_case(cancel_after_s="1.0"), "cancel_after_s"),
    "cancelled after the deadline": (
        _case(sync='"async"', cancel_after_s="9.0"),
        "cancel_after_s",
    ),
    "more at once than calls": (_case(calls="2", at_once="3"), "at_once"),
    "a pause of an hour": (_case(calls="4", every_s="3600.0"), "every_s"),
    "too many calls": (_case(calls="100000"), "calls"),
    "a deadline of an hour": (_case(deadline_s="3600.0"), "deadline_s"),
    "a state and a fault": (_case(situation='{ cap_usd = "1" }'), "situation"),
    "a state as a number": (_case(fault=None, situation="{ cap_usd = 1 }"), "situation"),
    "a state of nothing": (_case(fault=None, situation='{ cap_usd = "-1" }'), "situation"),
    "first only and streaming": (_case(flavour='"first"', stream='"only"'), "flavour"),
    "unknown look": (
        _case(expect='{ retry = "must", fallback = "may", also = ["moon"] }'),
        "also",
    ),
    "same name twice": (GOOD + GOOD, "name"),
    "a name of ours": (_case(name='"cap"'), "name"),
    "no case": ("cases = []\n", "whole file"),
    "something else": (GOOD + "[other]\nx = 1\n", "whole file"),
    "no TOML": ("[[cases]\n", "whole file"),
}


@pytest.mark.parametrize(("text", "field"), WRONG.values(), ids=WRONG.keys())
def test_what_contradicts_itself_is_told(text: str, field: str, tmp_path: Path) -> None:
    """One sentence with file, case and field; nothing is played."""
    path = tmp_path / "own.toml"
    path.write_text(text)
    with pytest.raises(VectorError) as caught:
        vectors.load(path)
    said = str(caught.value)
    assert str(path) in said
    assert field in caught.value.field
    assert field == "whole file" or caught.value.case in said
    assert "\n" not in said
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("kind", ["folder", "missing", "binary", "large"])
def test_what_is_no_file_of_cases_is_told(kind: str, tmp_path: Path) -> None:
    """A wrong path is a wrong path, not a trace of Python."""
    path = tmp_path / "own.toml"
    if kind == "folder":
        path.mkdir()
    elif kind == "binary":
        path.write_bytes(b"\xff\xfe\x00\x01")
    elif kind == "large":
        path.write_bytes(b"#" * (vectors.MOST_BYTES + 1))
    with pytest.raises(VectorError, match=r"own\.toml"):
        vectors.load(path)


_VALUES = st.one_of(
    st.text(max_size=5),
    st.integers(-3, 3),
    st.booleans(),
    st.floats(-1, 2),
    st.lists(st.text(max_size=3), max_size=2),
    st.sampled_from(["once", "never", "must", *PROTOCOLS]),
)


@settings(max_examples=150, deadline=None)
@given(
    changes=st.dictionaries(
        st.sampled_from([one for one in vectors.Case.__dataclass_fields__ if one != "expect"]),
        _VALUES,
        max_size=3,
    )
)
def test_no_value_breaks_the_reader(changes: dict[str, Any]) -> None:
    """Whatever stands in a user's file, it is a case or a sentence."""
    text = _case(**{name: _toml(value) for name, value in changes.items()})
    made: list[vectors.Case] = []
    with contextlib.suppress(VectorError):
        made = vectors.read(text, "own.toml")
    assert len(cells.cells(made, verify_kit.SDK)) >= len(made)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + "".join(c if c.isalnum() else f"\\U{ord(c):08x}" for c in value) + '"'
    if isinstance(value, list):
        return "[" + ", ".join(_toml(one) for one in value) + "]"
    return repr(value)
