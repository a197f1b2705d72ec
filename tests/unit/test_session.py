"""Opening data: a store, the sample made once, and clear words for everything else."""

import threading
from pathlib import Path

import pytest

from runbook_lib import session
from runbook_lib.errors import InputError, ParameterError, StoreError


@pytest.fixture
def home(tmp_path: Path, monkeypatch) -> Path:
    """An empty cache folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        pytest.param("", "does not exist", id="empty-text"),
        pytest.param("missing", "does not exist", id="missing"),
        pytest.param("file", "is a file", id="file"),
        pytest.param("nothing", "is empty", id="empty-folder"),
        pytest.param("other", "holds no rows", id="other-folder"),
        pytest.param("https://evil.invalid/x", "nothing is fetched", id="address"),
        pytest.param("s3://bucket/x", "nothing is fetched", id="bucket"),
        pytest.param("a\0b", "does not exist", id="nul"),
    ],
)
def test_what_is_no_store_is_told(tmp_path, monkeypatch, name: str, told: str) -> None:
    """Each says what it found and what to do; none is a traceback."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("x")
    (tmp_path / "nothing").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "x.csv").write_text("x")
    with pytest.raises(InputError, match=told) as caught:
        session.open_store(name)
    assert caught.value.exit_code == 2


def _made(monkeypatch, made: list[Path]) -> None:
    """Stand for what makes the sample: a file, and a note that it was made."""

    def make(_raw: Path, lake: Path) -> None:
        lake.mkdir()
        (lake / "manifest.json").write_text("{}")
        made.append(lake)

    monkeypatch.setattr(session, "_make", make)


@pytest.mark.usefixtures("home")
def test_the_sample_is_made_once(monkeypatch) -> None:
    """The second notebook must not wait for it again."""
    made: list[Path] = []
    _made(monkeypatch, made)
    first, second = session._sample(), session._sample()
    assert first == second == session.sample_folder()
    assert len(made) == 1
    assert list(first.parent.iterdir()) == [first]


@pytest.mark.usefixtures("home")
def test_two_that_make_it_at_once_both_get_it(monkeypatch) -> None:
    """Two notebooks opened on a fresh machine: one wins, the other takes what is there."""
    made: list[Path] = []
    _made(monkeypatch, made)
    real, meet = session._make, threading.Barrier(2, timeout=30)

    def together(raw: Path, lake: Path) -> None:
        real(raw, lake)
        meet.wait()

    monkeypatch.setattr(session, "_make", together)
    got: list[Path] = []
    both = [threading.Thread(target=lambda: got.append(session._sample())) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    place = session.sample_folder()
    assert got == [place, place]
    assert [path.name for path in place.iterdir()] == ["manifest.json"]
    assert list(place.parent.iterdir()) == [place]


@pytest.mark.usefixtures("home")
def test_a_failure_while_making_leaves_nothing(monkeypatch) -> None:
    """A half sample would be opened by everybody after."""

    def fail(*_) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(session, "_make", fail)
    with pytest.raises(KeyboardInterrupt):
        session._sample()
    assert list(session.cache().iterdir()) == []


def test_a_cache_that_cannot_be_written_is_told(tmp_path, monkeypatch) -> None:
    """A home folder can be read-only, as in a container."""
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(StoreError, match="XDG_CACHE_HOME"):
        session._sample()


@pytest.mark.parametrize(
    ("zone", "told"), [("UTC", "05:31:40 UTC"), ("Asia/Shanghai", "13:31:40 CST")]
)
@pytest.mark.usefixtures("lake")
def test_the_card_of_a_store_tells_times_in_the_asked_zone(tmp_path, zone: str, told: str) -> None:
    """What the data are stands on the same clock as the verdict."""
    store = session.open_store(tmp_path / "lake", timezone=zone)
    assert told in store.intake._repr_mimebundle_()["text/plain"]


@pytest.mark.usefixtures("lake")
def test_a_zone_that_is_none_is_told(tmp_path) -> None:
    """Before any row is read."""
    with pytest.raises(ParameterError, match="timezone"):
        session.open_store(tmp_path / "lake", timezone="Mars/Base")
