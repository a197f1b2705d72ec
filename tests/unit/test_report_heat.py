"""The heat map of a verification: the worst of every field shows, and nothing lives in pixels."""

from zoneinfo import ZoneInfo

import pandas as pd

from runbook_lib.report import heat

CELLS = pd.DataFrame(
    [
        ("cap", "ever", False, "ok"),
        ("cap", "ever", False, "error"),
        ("cap", "ever", True, "warning"),
        ("reset", "once", True, "ok"),
        ("reset", "twice", True, "not played"),
    ],
    columns=["case", "duration", "stream", "verdict"],
)


def test_a_field_shows_the_worst_it_holds() -> None:
    """One client flavour that fails must not hide behind three that do not."""
    found = heat.fields(CELLS)
    assert found["cap", ("whole", "ever")].verdict == "error"
    assert (found["cap", ("whole", "ever")].bad, found["cap", ("whole", "ever")].played) == (1, 2)
    assert found["cap", ("stream", "ever")].verdict == "warning"
    assert found["reset", ("stream", "twice")].verdict == "not played"
    assert found["reset", ("stream", "twice")].played == 0


def test_the_words_count_every_cell_and_name_what_failed() -> None:
    """A reader without the picture must learn the same."""
    told = heat.words(CELLS)
    assert "5 cells of 2 cases: 2 ok, 1 warning, 1 error, 1 not played." in told
    assert "Errors in 1: cap." in told


def test_the_picture_is_the_same_twice_and_survives_hostile_names() -> None:
    """Same input, same bytes; a case name from a user's file is text."""
    hostile = CELLS.assign(case="<b>$x$</b>\u202e")
    first = heat.picture(hostile, ZoneInfo("UTC"), title="Cells")
    assert first.png == heat.picture(hostile, ZoneInfo("UTC"), title="Cells").png
    assert first.png.startswith(b"\x89PNG")
    assert heat.picture(CELLS.iloc[:0], ZoneInfo("UTC"), title="Cells").words.startswith("Cells. 0")
