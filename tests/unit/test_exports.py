"""Exports that are not whole: seams of pages, files that overlap, rows that stand twice."""

from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from runbook_lib.findings import Report
from runbook_lib.runbooks.spend import drill_down
from runbook_lib.store import Store
from tests.unit import store_kit as kit

ASKED = {"start": "2026-03-01", "end": "2026-06-01"}


def report(store: Store) -> Report:
    """The drill-down over all that is held."""
    with store:
        return drill_down(store, **ASKED)


def about(made: Report, rule: str) -> list[Any]:
    """The findings of one rule."""
    return [item for item in made.findings if item.rule == rule]


def items(first: int, last: int) -> list[dict[str, Any]]:
    """Rows a few minutes apart, with a cost."""
    return [
        kit.item(number, actual_cost=0.01, total_cost=0.02, api_key={"id": 1, "name": "prod-web"})
        for number in range(first, last)
    ]


@pytest.mark.parametrize(
    ("files", "seams"),
    [
        pytest.param([(0, 1000)], 1, id="one whole page"),
        pytest.param([(0, 999)], 0, id="less than a page"),
        pytest.param([(500, 1500), (0, 700)], 0, id="another file goes further back"),
        pytest.param([(500, 1500), (700, 1600)], 1, id="the other file begins later"),
    ],
)
def test_an_export_that_ends_with_its_page_may_lack_rows(
    tmp_path: Path, files: list[tuple[int, int]], seams: int
) -> None:
    """Where nothing older is held, a full last page looks like a cut."""
    store = kit.lake(tmp_path, *(kit.as_csv(items(*ends)) for ends in files))
    found = about(report(store), "export-seam")
    assert len(found) == seams
    assert all("1,000 rows" in item.title for item in found)


def test_rows_that_two_exports_hold_count_once_and_are_told(tmp_path: Path) -> None:
    """The exhibit names the file whose rows another has too."""
    store = kit.lake(tmp_path, kit.as_csv(items(0, 60)), kit.as_csv(items(40, 100)))
    made = report(store)
    (found,) = about(made, "export-overlap")
    assert found.value == 20
    files = made.exhibits["exports"].frame
    assert sorted(files["elsewhere"]) == [0, 20]
    assert sum(made.exhibits["split"].frame["cost_usd"]) == Decimal(1)


def test_rows_that_stand_twice_in_one_export_are_priced(tmp_path: Path) -> None:
    """Pages that moved while the file was written repeat rows; without ids they all count."""
    rows = items(1, 40)
    store = kit.lake(tmp_path, kit.as_csv([*rows, *rows[5:8]]))
    (found,) = about(report(store), "export-repeats")
    assert (found.value, found.impact_usd) == (3, Decimal("0.03"))


def test_rows_of_one_whole_second_may_be_several(tmp_path: Path) -> None:
    """A clock of whole seconds cannot tell equal requests apart, so nothing is said."""
    at = kit.START + timedelta(hours=1)
    rows = [*items(1, 40), *(kit.item(1, created_at=at.isoformat()) for _ in range(3))]
    assert not about(report(kit.lake(tmp_path, kit.as_csv(rows))), "export-repeats")
