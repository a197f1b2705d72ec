"""What is planted in the sample, and what a correct triage must say: one table for all tests.

The table is `scenarios.toml`, so that a person can read and extend it. Causes, domains and retry
rules are the words of contract §3.3; rules are those of `findings.RULES`.
"""

from dataclasses import dataclass, field
from typing import Any

from runbook_lib.sandbox.world import read


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One thing that happened, the request to ask about, and the truth.

    Attributes:
        request_id: The caller's own X-Request-ID, or the id of its call where no answer came.
        cause, domain, retry: What the verdict must say; None for what cannot be said.
        grade: How sure it can be at best.
        must, must_not: Rules that must and must not show up as failing findings.
        what: One sentence for people.
        status, code: What at least one attempt of the request was answered; status None where no
            answer came.
        acts: What people, clients and upstreams did; see `director`.
    """

    name: str
    request_id: str
    cause: str
    domain: str | None
    retry: str | None
    grade: str
    must: tuple[str, ...]
    must_not: tuple[str, ...]
    what: str
    status: int | None = None
    code: str = ""
    acts: tuple[dict[str, Any], ...] = field(default=(), repr=False)


def _scenario(table: dict[str, Any]) -> Scenario:
    return Scenario(
        name=table["name"],
        request_id=table["request_id"],
        cause=table["cause"],
        domain=table.get("domain"),
        retry=table.get("retry"),
        grade=table["grade"],
        must=tuple(table["must"]),
        must_not=tuple(table["must_not"]),
        what=table["what"],
        status=table.get("status"),
        code=table.get("code", ""),
        acts=tuple(table["acts"]),
    )


_TABLES = read("scenarios.toml")["scenarios"]

SCENARIOS: tuple[Scenario, ...] = tuple(_scenario(table) for table in _TABLES if table["name"])
"""Every scenario, in the order of time."""

UPKEEP: tuple[dict[str, Any], ...] = tuple(
    act for table in _TABLES if not table["name"] for act in table["acts"]
)
"""Acts that belong to no scenario."""
