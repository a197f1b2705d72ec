"""A JupyterLab of its own for one test: temporary settings, one port, and a browser on it."""

import json
import os
import secrets
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
"""Options of Chromium: what it would ask the network for by itself is off."""

SHOWN = ".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Cell"
ERRORS = ".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.error']"
READY = """() => {
  const shown = window.jupyterapp.shell.currentWidget;
  const session = shown && shown.sessionContext;
  return session && session.isReady && session.session?.kernel?.status === 'idle';
}"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lab:
    """A running JupyterLab: its address, its token, and the hosts a page asked for."""

    address: str
    token: str
    hosts: set[str] = field(default_factory=set)

    def open(self, browser: Any, path: str) -> Any:
        """Open a notebook in a workspace of its own; gives the page when its cells are there."""
        page = browser.new_page(viewport={"width": 1280, "height": 1400})
        page.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))
        workspace = secrets.token_hex(4)
        asked = urlencode({"reset": "", "token": self.token})
        page.goto(f"{self.address}/lab/workspaces/{workspace}/tree/{path}?{asked}")
        page.wait_for_selector(SHOWN, timeout=120_000)
        return page

    def run_all(self, page: Any) -> None:
        """Run every cell of the shown notebook, and wait for the last."""
        page.wait_for_function(READY, timeout=120_000)
        page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')")


@contextmanager
def lab(root: Path, home: Path) -> Iterator[Lab]:
    """Start JupyterLab on *root*, with all it writes below *home*; it ends with the block."""
    port, token = _free_port(), secrets.token_hex(16)
    settings = home / "settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    news = {"fetchNews": "false", "checkForUpdates": False}
    (settings / "notification.jupyterlab-settings").write_text(json.dumps(news))
    places = {
        "JUPYTER_CONFIG_DIR": home / "config",
        "JUPYTER_DATA_DIR": home / "data",
        "JUPYTER_RUNTIME_DIR": home / "runtime",
        "JUPYTERLAB_SETTINGS_DIR": home / "settings",
        "JUPYTERLAB_WORKSPACES_DIR": home / "workspaces",
        "IPYTHONDIR": home / "ipython",
    }
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"),
        *("--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}", "--ServerApp.port_retries=0"),
        *(f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={root}"),
        "--expose-app-in-browser",
    ]
    env = {**os.environ, **{name: str(place) for name, place in places.items()}}
    env["JUPYTER_PREFER_ENV_PATH"] = "1"
    with subprocess.Popen(
        command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as server:
        try:
            running = Lab(address=f"http://127.0.0.1:{port}", token=token)
            _wait(server, f"{running.address}/api/status?{urlencode({'token': token})}")
            yield running
        finally:
            server.terminate()
            server.wait(timeout=30)


def _wait(server: subprocess.Popen, address: str) -> None:
    for _ in range(120):
        try:
            urllib.request.urlopen(address, timeout=5).close()  # noqa: S310 - our own server
        except (urllib.error.URLError, OSError):
            try:
                code = server.wait(timeout=0.5)
            except subprocess.TimeoutExpired:
                continue
            raise AssertionError(f"JupyterLab ended with {code}") from None
        return
    raise AssertionError("JupyterLab did not answer")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as held:
        return int(held.getsockname()[1])


SIDEWAYS = """() => [...document.querySelectorAll('figure')]
  .filter(one => one.scrollWidth > one.clientWidth).map(one => one.innerText.slice(0, 60))"""
"""Figures that one has to scroll sideways."""


def fits_any_width(page_path: Path, chromium: str) -> None:
    """Open a page from the disk, wide and as a phone does: it loads nothing, and nothing is cut."""
    from playwright.sync_api import sync_playwright

    asked, said = [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        for width in (1280, 400):
            page = browser.new_page(viewport={"width": width, "height": 900})
            page.on("request", lambda request: asked.append(request.url[:60]))
            page.on("console", lambda message: said.append(message.text))
            page.goto(page_path.as_uri())
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert page.evaluate(SIDEWAYS) == []
        browser.close()
    assert [one for one in asked if not one.startswith(("file:", "data:"))] == []
    assert said == []
