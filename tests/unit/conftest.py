"""What several unit tests share: the recorded run, taken in once."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from runbook_lib import session
from runbook_lib.store import Store


@pytest.fixture(scope="session")
def recorded_store(gateway: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """The whole recorded folder in a store, opened for reading."""
    folder = tmp_path_factory.mktemp("recorded") / "lake"
    session.take_in([gateway], folder)
    with Store(folder) as store:
        yield store
