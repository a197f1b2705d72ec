"""A gateway in a box: one state machine, a seeded history, and scenarios whose truth is known."""

from runbook_lib.sandbox.sample import Sample, account_of, write_sample
from runbook_lib.sandbox.scenarios import SCENARIOS, Scenario

__all__ = ["SCENARIOS", "Sample", "Scenario", "account_of", "write_sample"]
