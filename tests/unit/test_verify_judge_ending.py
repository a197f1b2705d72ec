"""The judge on what the caller got: the answer, the error, the model, the ids, the time."""

from dataclasses import replace
from typing import Any

import pytest
from verify_kit import (
    FIRST,
    SECOND,
    TEXT,
    alone,
    attempt,
    cell,
    falls_back,
    judged,
    played,
    rules,
)

from runbook_lib.verify.judge import Verdict
from runbook_lib.verify.records import Ending


def test_the_text_that_was_sent_is_an_answer() -> None:
    """However blanks were changed on the way."""
    one = played(cell("healthy"), [attempt()], Ending.TEXT, text=f"  {TEXT}\n")
    assert judged(one).verdict is Verdict.OK


@pytest.mark.parametrize(
    ("text", "ending", "seen"),
    [
        pytest.param("the cap holds", Ending.TEXT, "a text that is not the answer", id="half"),
        pytest.param("", Ending.NO_TEXT, "something without a text", id="nothing"),
        pytest.param("<!doctype html><p>hi", Ending.TEXT, "a web page", id="page"),
    ],
)
def test_what_was_not_sent_whole_is_no_answer(text: str, ending: Ending, seen: str) -> None:
    """A silent failure is worse than a loud one."""
    broken = attempt(200, fault="stream_no_end", stream=True)
    (found,) = judged(
        played(cell("stream_no_end", stream=True), [broken], ending, text=text)
    ).deviations
    assert found.kind.rule == "client-silent-failure"
    assert found.seen == f"{seen} passed as an answer, after stream_no_end"


def test_an_answer_may_stand_within_what_a_client_adds() -> None:
    """A client that always adds a line of its own changes no answer."""
    told = f"Answer: {TEXT}"
    healthy = played(cell("healthy"), [attempt()], Ending.TEXT, text=told)
    one = played(cell("slow_first_byte"), [attempt(fault="", at=0.0)], Ending.TEXT, text=told)
    assert rules(one, healthy) == []
    half = attempt(200, fault="truncated_json")
    cut = played(cell("truncated_json"), [half], Ending.TEXT, text="Answer: the cap")
    assert rules(cut, healthy) == ["silent-failure"]


def test_a_client_that_rewrites_every_text_is_judged_by_what_was_whole() -> None:
    """A client that sums up its answers is not accused, and not trusted either."""
    healthy = played(cell("healthy"), [attempt()], Ending.TEXT, text="summed up")
    fine = played(cell("slow_first_byte"), [attempt()], Ending.TEXT, text="summed up too")
    cut = played(
        cell("truncated_json"),
        [attempt(200, fault="truncated_json")],
        Ending.TEXT,
        text="summed up",
    )
    assert rules(fine, healthy) == []
    assert rules(cut, healthy) == ["silent-failure"]


def test_giving_up_where_an_answer_was_to_be_had_is_named() -> None:
    """A late first byte is no failure."""
    late = attempt(200, 0.0, left=True, whole=False, text="", fault="slow_first_byte")
    one = played(cell("slow_first_byte"), [late], error_type="ReadTimeout")
    (found,) = judged(one).deviations
    assert found.kind.rule == "client-gives-up"
    assert found.seen == "raised ReadTimeout after slow_first_byte"


# Time -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ended", "ending", "found"),
    [
        pytest.param(3.0, Ending.RAISED, [], id="at the deadline"),
        pytest.param(3.9, Ending.RAISED, [], id="a busy machine"),
        pytest.param(4.3, Ending.RAISED, ["over-deadline"], id="late"),
        pytest.param(5.1, Ending.HUNG, ["hangs"], id="not at all"),
        pytest.param(1.0, Ending.DIED, ["died"], id="with its process"),
    ],
)
def test_a_call_is_back_by_its_deadline(ended: float, ending: Ending, found: list[str]) -> None:
    """The caller has a deadline of its own."""
    drip = attempt(200, 0.0, fault="slow_drip", ended_s=None, left=True)
    assert rules(played(cell("slow_drip", stream=False), [drip], ending, ended=ended)) == found


@pytest.mark.parametrize(
    ("ended", "ending", "later", "found"),
    [
        pytest.param(0.9, Ending.CANCELLED, False, [], id="at once"),
        pytest.param(2.5, Ending.CANCELLED, False, ["ignores-cancel"], id="late"),
        pytest.param(0.9, Ending.CANCELLED, True, ["ignores-cancel"], id="and sends again"),
        pytest.param(0.9, Ending.TEXT, False, ["ignores-cancel"], id="as if nothing was"),
        pytest.param(0.5, Ending.RAISED, False, [], id="over before"),
    ],
)
def test_a_cancelled_call_stops(
    ended: float,
    ending: Ending,
    later: bool,  # noqa: FBT001
    found: list[str],
) -> None:
    """Who closed the page pays for nothing more."""
    tries = [attempt(429, 0.0, fault="retry_after_3", retry_after_s=3.0)]
    tries += [attempt(429, 3.0, fault="retry_after_3")] if later else []
    where = cell("cancel_in_backoff", asynchronous=True)
    assert rules(played(where, tries, ending, ended=ended)) == found


# What an error tells ----------------------------------------------------------------------------


def _both(error: str, **more: Any) -> Any:
    tries = [
        *(attempt(529, at, fault="status_529", code="overloaded_error") for at in (0.0, 0.5)),
        *(attempt(500, at, SECOND, fault="status_500", code="server_error") for at in (1.5, 2.0)),
    ]
    return played(cell("both_down"), tries, error=error, **more)


@pytest.mark.parametrize(
    ("error", "status", "found"),
    [
        pytest.param(f"{FIRST}: overloaded; {SECOND}: failed", None, [], id="by model"),
        pytest.param("first 529, then 500", None, [], id="by status"),
        pytest.param("overloaded_error, then server_error", None, [], id="by code"),
        pytest.param("529 overloaded", 500, [], id="the last by its field"),
        pytest.param("500 failed", 500, ["error-swallowed"], id="the last only"),
        pytest.param("529 overloaded", 529, ["error-swallowed"], id="the first only"),
        pytest.param(f"{SECOND} 1500 ms", None, ["error-swallowed"], id="a number within another"),
        pytest.param("all models failed", None, ["error-swallowed"], id="neither"),
    ],
)
def test_both_errors_are_told(error: str, status: int | None, found: list[str]) -> None:
    """Who only hears of the fallback repairs the wrong thing."""
    assert rules(_both(error, status=status)) == found


def test_a_client_without_a_fallback_has_one_error_to_tell() -> None:
    """No second model, no second error."""
    tries = [attempt(529, at, fault="status_529") for at in (0.0, 0.5, 1.4)]
    assert rules(played(cell("both_down"), tries, error="529"), alone()) == []


@pytest.mark.parametrize(
    ("error", "status", "found"),
    [
        pytest.param("error 522: origin timed out", None, [], id="in the text"),
        pytest.param("<html>oops</html>", 522, [], id="in a field"),
        pytest.param("<html>oops</html>", None, ["status-lost"], id="only the page"),
        pytest.param("it failed", None, ["status-lost"], id="nothing"),
    ],
)
def test_an_error_keeps_its_status(error: str, status: int | None, found: list[str]) -> None:
    """A page tells a person nothing; 522 tells where to look."""
    tries = [attempt(522, at, fault="page_522") for at in (0.0, 0.5, 1.4)]
    one = played(cell("page_522"), tries, error=error, status=status)
    assert rules(one) == found
    assert judged(one).verdict is (Verdict.WARNING if found else Verdict.OK)


# Model and ids ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("claim", "found"),
    [
        pytest.param("", [], id="says nothing"),
        pytest.param(SECOND, [], id="the right one"),
        pytest.param(f"{SECOND}-2026-03-17", [], id="dated"),
        pytest.param(f"openai/{SECOND}", [], id="with its vendor"),
        pytest.param(FIRST, ["model-misreported"], id="the first one"),
        pytest.param(f"{FIRST}-2026-03-05", ["model-misreported"], id="the first one, dated"),
        pytest.param("house-model", [], id="a name of its own"),
    ],
)
def test_the_model_that_is_named_is_the_one_that_answered(claim: str, found: list[str]) -> None:
    """A fallback that hides itself is found on the bill."""
    one = falls_back()
    one = replace(one, outcomes=[replace(one.outcomes[0], model=claim)])
    assert rules(one) == found


@pytest.mark.parametrize(
    ("claim", "found"),
    [("another-model-1", []), (FIRST, ["model-misreported"]), ("", [])],
    ids=["shown", "hidden", "silent"],
)
def test_a_model_changed_by_the_gateway_is_shown(claim: str, found: list[str]) -> None:
    """The answer's own name counts, not the one that was asked for."""
    given = attempt(200, 0.0, fault="wrong_model", whole=True, text=TEXT)
    assert rules(played(cell("wrong_model"), [given], Ending.TEXT, model=claim)) == found


@pytest.mark.parametrize(
    ("shown", "found"),
    [
        pytest.param((), [], id="none at all"),
        pytest.param(("a", "b"), [], id="all"),
        pytest.param(("a, x", "b"), [], id="joined lines"),
        pytest.param(("b",), ["ids-lost"], id="the last"),
    ],
)
def test_ids_of_all_attempts_are_shown_where_any_are(
    shown: tuple[str, ...], found: list[str]
) -> None:
    """The attempt that failed is the one support asks for."""
    tries = [
        attempt(500, 0.0, fault="status_500", request_ids=("a",)),
        attempt(200, 0.5, request_ids=("b",)),
    ]
    one = played(cell("ids_of_all_attempts"), tries, Ending.TEXT, request_ids=shown)
    assert rules(one) == found


# What cannot be judged --------------------------------------------------------------------------


def test_a_flavour_that_fails_without_a_fault_says_nothing_about_faults() -> None:
    """A client that cannot stream at all proves nothing by failing in a stream."""
    healthy = played(cell("healthy"), [attempt()], error_type="TypeError")
    faulty = played(cell("status_500", "once"), [attempt(500, fault="status_500")])
    assert rules(healthy) == ["fails-healthy"]
    one = judged(faulty, healthy)
    assert one.verdict is Verdict.NOT_PLAYED
    assert "TypeError" in one.seen


def test_a_client_that_never_comes_is_named() -> None:
    """It talks to somebody else, or to nobody."""
    assert rules(played(cell("healthy"), [], error_type="ConnectError")) == ["not-reached"]


def test_a_client_with_models_of_its_own_is_named() -> None:
    """What it does with them says nothing about those it was given."""
    assert rules(played(cell("healthy"), [attempt(model="mine")], Ending.TEXT)) == [
        "ignores-models"
    ]
