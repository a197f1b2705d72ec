"""Runbooks that answer for an AI gateway: offline, read-only, graded, citing their rows.

    from runbook_lib import classify, open_store, triage

    report = triage(open_store("data"), "4c77b74d-c327-4908-a9d7-b08db886c4c5")
    report.verdict

Names are loaded when they are first asked for, so that importing the package costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

from runbook_lib.version import __version__

if TYPE_CHECKING:
    from runbook_lib.classifier import classify
    from runbook_lib.runbooks.caps import size_caps
    from runbook_lib.runbooks.fallback import verify_fallback
    from runbook_lib.runbooks.incidents import triage
    from runbook_lib.runbooks.spend import drill_down
    from runbook_lib.session import open_store

_HOMES = {
    "classify": "runbook_lib.classifier",
    "drill_down": "runbook_lib.runbooks.spend",
    "open_store": "runbook_lib.session",
    "size_caps": "runbook_lib.runbooks.caps",
    "triage": "runbook_lib.runbooks.incidents",
    "verify_fallback": "runbook_lib.runbooks.fallback",
}

__all__ = [
    "__version__",
    "classify",
    "drill_down",
    "open_store",
    "size_caps",
    "triage",
    "verify_fallback",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
