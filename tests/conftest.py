"""What every test shares: the recorded data, no way out to the network, and loud skips.

A part that is missing on this machine is skipped and named in the last lines of the run. Where
CI=true is set it fails instead: there, a test that did not run would look like one that passed.
"""

import gc
import os
import shutil
import socket
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from hypothesis import HealthCheck, settings

from runbook_lib.runner.execute import NOT_NEEDED, without

with without(*NOT_NEEDED):  # each process of a run would read a grammar of addresses for 3 s
    import nbformat  # noqa: F401

ROOT = Path(__file__).parent.parent
GATEWAY = ROOT.parent / "shared" / "data" / "gateway"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
NOT_HERE = "NOT TESTED HERE: "
FIRST = (
    *("verify_sdks", "verify_broken", "resilient_matrix", "recorder_matrix"),
    "usage_generated",
)
"""Files that take longest begin first, so that none is alone with one worker at the end."""

settings.register_profile(
    "house",
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],  # a busy machine is no fault of the code
)
settings.load_profile("house")


def missing(part: str) -> NoReturn:
    """Skip the test that lacks a part of this machine, or fail it where CI=true is set."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{part} is missing, and CI=true is set", pytrace=False)
    pytest.skip(NOT_HERE + part)


@pytest.fixture(scope="session")
def gateway() -> Path:
    """The folder of recorded gateway traffic, which lies beside the checkout."""
    if not (GATEWAY / "truth.json").is_file():
        missing("the recorded gateway traffic (../shared/data/gateway)")
    return GATEWAY


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium that Playwright can start."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    return found or missing("a browser (apt-get install chromium)")


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse every connection that would leave this machine; loopback stays open."""
    _guard(monkeypatch, allowed=_is_loopback)


@pytest.fixture
def sockets_blocked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse every connection, loopback too: for code that must not know of a network."""
    _guard(monkeypatch, allowed=lambda _: False)


@pytest.fixture(params=["UTC", "Asia/Shanghai", "America/New_York", "Pacific/Apia"])
def machine_zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Run the test in several zones of the machine: none of them may change an answer."""
    with monkeypatch.context() as patched:
        patched.setenv("TZ", request.param)
        time.tzset()
        yield request.param
    time.tzset()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what takes long first; let the markers ask for their part, whatever the test takes."""
    items.sort(key=lambda item: item.path.stem.removeprefix("test_") not in FIRST)
    for item in items:
        for marker, fixture in (("browser", "chromium"), ("shared", "gateway")):
            names = getattr(item, "fixturenames", [fixture])
            if item.get_closest_marker(marker) and fixture not in names:
                names.insert(0, fixture)


def pytest_collection_finish() -> None:
    """Let the collector of garbage pass over what lives as long as the run."""
    gc.collect()
    gc.freeze()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Name what was not tested here in the last lines, so that a skip is never overlooked."""
    reasons = Counter(
        report.longrepr[2].partition(NOT_HERE)[2]
        for report in terminalreporter.stats.get("skipped", [])
        if isinstance(report.longrepr, tuple) and NOT_HERE in report.longrepr[2]
    )
    for part, count in sorted(reasons.items()):
        terminalreporter.write_line(f"{NOT_HERE}{count} tests lack {part}", red=True, bold=True)


def _guard(monkeypatch: pytest.MonkeyPatch, *, allowed: Any) -> None:
    real = {name: getattr(socket.socket, name) for name in ("connect", "connect_ex")}

    def guarded(name: str) -> Any:
        def connect(self: socket.socket, address: Any) -> Any:
            if not allowed(address):
                self.close()
                pytest.fail(f"the test tried to connect to {address!r}")
            return real[name](self, address)

        return connect

    for name in real:
        monkeypatch.setattr(socket.socket, name, guarded(name))


def _is_loopback(address: Any) -> bool:
    if isinstance(address, str | bytes):  # a socket in the file system
        return True
    return str(address[0]) in ("localhost", "::1") or str(address[0]).startswith("127.")
