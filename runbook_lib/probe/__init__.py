"""Bounded live calls: what a key may do, and what a model can, asked with a few tokens.

    plan = probe.plan(probe.target(url), [probe.Wanted(model="gpt-5.4")], at=now)
    print(plan)                     # what will be sent at most, and what it can cost at most
    probed = probe.run(plan, now=now)

Nothing is sent before `run`. Its limits of calls and USD are held call by call: the worst price of
the next call must fit into what is left. Keys come only from the environment.
"""

from runbook_lib.probe.asks import ABILITIES, PLAIN, PROTOCOLS
from runbook_lib.probe.planning import Limits, Plan, Wanted, plan
from runbook_lib.probe.running import COLUMNS, Probed, run
from runbook_lib.probe.target import KEY_VARIABLE, Target, target

__all__ = [
    "ABILITIES",
    "COLUMNS",
    "KEY_VARIABLE",
    "PLAIN",
    "PROTOCOLS",
    "Limits",
    "Plan",
    "Probed",
    "Target",
    "Wanted",
    "plan",
    "run",
    "target",
]
