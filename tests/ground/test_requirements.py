"""The pins: exact, for every Python and system, and in step with `pyproject.toml`."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

EXACT = re.compile(r"[a-z0-9][a-z0-9._-]*==[0-9][^\s;]*( ; .+)?")
FILES = [
    "requirements.txt",
    "tests/requirements.txt",
    "tests/requirements-langchain.txt",
    "tests/requirements-litellm.txt",
    "tests/requirements-llmock.txt",
]
PYTHONS = ["3.11", "3.12", "3.13"]


@pytest.fixture(params=FILES)
def pins(request: pytest.FixtureRequest, root: Path) -> list[str]:
    """The lines of one file of pins."""
    return (root / request.param).read_text(encoding="utf-8").splitlines()


def test_every_pin_is_exact(pins: list[str]) -> None:
    """A run next year is the same run: one version each, no address, no option, no extra file."""
    assert [line for line in pins if not EXACT.fullmatch(line)] == []


def test_no_pin_is_for_one_machine(pins: list[str]) -> None:
    """A universal file splits by Python or system where it must, never leaves one out."""
    named = {Requirement(line).name: [] for line in pins}
    for line in pins:
        named[Requirement(line).name].append(Requirement(line))
    doubled = [
        f"{name} on Python {python}"
        for name, several in named.items()
        for python in PYTHONS
        if len([one for one in several if _holds(one, python)]) > 1
    ]
    assert doubled == []


@pytest.mark.parametrize("python", PYTHONS)
def test_pins_lie_within_the_ranges_of_the_project(
    python: str, root: Path, project: dict[str, Any]
) -> None:
    """Whoever installs from `pyproject.toml` and whoever installs the pins get the same kind."""
    pinned = _pinned(root / "requirements.txt", python)
    wanted = [Requirement(line) for line in project["project"]["dependencies"]]
    bad = [
        f"{one.name}{one.specifier} but {pinned.get(canonicalize_name(one.name), 'no pin')}"
        for one in wanted
        if not one.specifier.contains(pinned.get(canonicalize_name(one.name), "0"))
    ]
    assert bad == []


def test_every_direct_dependency_has_a_range_and_a_reason(root: Path) -> None:
    """A line without a reason is a dependency nobody can drop."""
    text = (root / "pyproject.toml").read_text(encoding="utf-8")
    listed = text.partition("\ndependencies = [\n")[2].partition("\n]")[0].splitlines()
    assert listed
    bad = [line for line in listed if not re.fullmatch(r'\s+"\S+>=\S+,<\S+",\s+# .+', line)]
    assert bad == []


@pytest.mark.parametrize("python", PYTHONS)
def test_test_tools_share_the_pins_of_the_library(python: str, root: Path) -> None:
    """Both files go into one environment, so they must not pull in two directions."""
    ours = _pinned(root / "requirements.txt", python)
    tools = _pinned(root / "tests" / "requirements.txt", python)
    assert {
        name: tools[name] for name in ours.keys() & tools.keys() if tools[name] != ours[name]
    } == {}


def test_every_test_tool_is_pinned(root: Path) -> None:
    """The list made by hand and the list of pins are one."""
    text = (root / "tests" / "requirements.in").read_text(encoding="utf-8")
    wanted = {
        canonicalize_name(line) for line in text.split() if re.fullmatch(r"[a-z][a-z-]*", line)
    }
    assert wanted - _pinned(root / "tests" / "requirements.txt", PYTHONS[0]).keys() == set()


def test_the_supported_pythons_are_said_once(project: dict[str, Any]) -> None:
    """What installs, what is promised and what is tested are the same versions."""
    said = [
        line.rpartition(" ")[2]
        for line in project["project"]["classifiers"]
        if line.startswith("Programming Language :: Python :: 3.")
    ]
    assert said == PYTHONS
    assert project["project"]["requires-python"] == f">={PYTHONS[0]}"


@pytest.mark.parametrize("name", ["uv.lock", "pylock.toml"])
def test_lock_files_with_addresses_stay_out(name: str, root: Path) -> None:
    """They hold the address of the registry of whoever made them."""
    assert name in (root / ".gitignore").read_text(encoding="utf-8").split()
    if (root / ".git").exists():
        listed = subprocess.run(
            ["git", "ls-files", "--", name], cwd=root, capture_output=True, text=True, check=True
        )
        assert listed.stdout == ""


def _holds(one: Requirement, python: str) -> bool:
    machine = {
        "python_version": python,
        "python_full_version": f"{python}.7",
        "sys_platform": "linux",
        "os_name": "posix",
        "platform_system": "Linux",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }
    return one.marker is None or one.marker.evaluate(machine)


def _pinned(path: Path, python: str) -> dict[str, str]:
    lines = [Requirement(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {
        canonicalize_name(one.name): str(one.specifier).removeprefix("==")
        for one in lines
        if _holds(one, python)
    }
