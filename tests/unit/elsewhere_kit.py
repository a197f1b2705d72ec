"""Environments of their own, for what cannot share ours: built once from pins, under a lock."""

import fcntl
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def python_of(name: str) -> str:
    """Give the Python of `.venv-NAME`, which holds `tests/requirements-NAME.txt`.

    Args:
        name: What the environment holds; it is built where it is not there or not current.

    Returns:
        Path of its interpreter.
    """
    pins = ROOT / "tests" / f"requirements-{name}.txt"
    folder = ROOT / f".venv-{name}"
    digest = hashlib.sha256(pins.read_bytes() + sys.version.encode()).hexdigest()
    lock = ROOT / f".venv-{name}.lock"
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        ready = folder / ".ready"
        if not ready.is_file() or ready.read_text() != digest:
            _build(folder, pins)
            ready.write_text(digest)
    lock.unlink(missing_ok=True)
    return str(folder / "bin" / "python")


def _build(folder: Path, pins: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    python = str(folder / "bin" / "python")
    uv = shutil.which("uv")
    ways = [
        [sys.executable, "-m", "venv", str(folder)],
        [python, "-m", "pip", "install", "--quiet", "-r", str(pins)],
    ]
    if uv is not None and subprocess.run([uv, "--version"], check=False).returncode == 0:
        ways = [
            [uv, "venv", "--quiet", "--python", sys.executable, str(folder)],
            [uv, "pip", "install", "--quiet", "--python", python, "-r", str(pins)],
        ]
    for words in ways:
        ran = subprocess.run(words, capture_output=True, text=True, check=False)
        if ran.returncode:
            pytest.fail(f"{' '.join(words[:4])} … failed: {ran.stderr[-400:]}", pytrace=False)
