"""What may stand in no file: secrets, addresses of registries, paths of one machine."""

import re
from typing import Any

import pytest

from runbook_lib import redact

# Put together here, so that this file does not hold what it looks for.
NOWHERE = {
    "registry": "|".join(
        re.escape(host + "." + end)
        for host, end in [
            *[("pypi", "org"), ("pythonhosted", "org"), ("anaconda", "org"), ("npmjs", "org")],
            *[("crates", "io"), ("proxy.golang", "org"), ("deb.debian", "org"), ("npmjs", "com")],
        ]
    )
    + "|(?:--(?:extra-)?index-|--find-)(?:url|links)",
    "home": "/(?:" + "work|root|tmp/[a-z]" + ")/|/home/" + r"\w|/Users/" + r"\w",
    "number": r"\b[Ii]ssue #?\d|\b(?:[Ff]ixes|[Cc]loses|[Ss]ee) #\d",
    "workplace": "|".join(
        [
            r"\b(?:" + "DESIGN|STYLE|INTERFACES)" + r"(?:\.md\b| §)",
            r"\b" + "helper" + r" [A-Z]\b",
            r"\bissues " + "show",
            "Co-Authored" + "-By",
        ]
    ),
}


@pytest.mark.parametrize("kind", NOWHERE)
def test_no_file_says_what_belongs_to_one_place(kind: str, files: list[Any]) -> None:
    """A stranger's checkout must not point at machines, addresses or papers they don't have."""
    bad = [
        f"{file.path}:{number}: {line.strip()[:90]}"
        for file in files
        for number, line in enumerate(file.lines, start=1)
        if re.search(NOWHERE[kind], line)
    ]
    assert bad == []


def test_no_file_holds_a_secret(files: list[Any]) -> None:
    """A key in a repository is a key lost; tests put theirs together when they run."""
    bad = [
        f"{file.path}:{number}"
        for file in files
        for number, line in enumerate(file.lines, start=1)
        if redact.has_secret(line)
    ]
    assert bad == []


def test_the_secret_check_finds_a_secret() -> None:
    """A check that never fires would look the same as a clean house."""
    assert redact.has_secret("sk-" + "a1b2c3d4" * 3)


def test_files_are_plain_text(files: list[Any]) -> None:
    """One kind of line end, no tabs where spaces are meant, a newline at the end."""
    bad = [
        file.path
        for file in files
        if "\r" in file.text
        or "\ufffd" in file.text
        or (file.text and not file.text.endswith("\n"))
        or (file.path.endswith((".py", ".md")) and "\t" in file.text)
    ]
    assert bad == []
