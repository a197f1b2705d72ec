"""How much the long run generates."""

import os

EXAMPLES = int(os.environ.get("RUNBOOK_EXAMPLES", "1000"))
"""Inputs that each generating test of the long run tries; more are a matter of patience."""
