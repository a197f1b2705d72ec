"""One public function a notebook: ask the store, hand small frames to the analysis, report."""

from runbook_lib.runbooks.incidents import triage

__all__ = ["triage"]
