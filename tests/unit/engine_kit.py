"""Shorthands for tests that play cells of the clients in `clients/`."""

import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from runbook_lib.verify.client import ClientSpec, named
from runbook_lib.verify.play import play
from runbook_lib.verify.records import Cell, Ending, Place, Played, Role, Step

MARK = b"TOROUTER_VERIFICATION="
MODELS = ("gpt-5.4", "gpt-5.4-mini")


def client(name: str) -> ClientSpec:
    """One of our unruly clients, not looked at before."""
    return named(f"clients.unruly:{name}")


def cell(name: str = "cell", *steps: Step, **fields: Any) -> Cell:
    """A cell with a short deadline."""
    usual = {"case": name, "models": MODELS, "deadline_s": 2.0, "patience_s": 0.3}
    return Cell(id=name, steps=steps, **{**usual, **fields})


def step(fault: str, times: int = 0, **fields: Any) -> Step:
    """One step."""
    return Step(fault=fault, times=times, **fields)


def one(name: str | ClientSpec, *steps: Step, **fields: Any) -> Played:
    """Play one cell."""
    (found,) = several(name, [cell("cell", *steps, **fields)])
    return found


def several(name: str | ClientSpec, cells: Sequence[Cell], *, seed: int = 1) -> list[Played]:
    """Play cells."""
    return play(client(name) if isinstance(name, str) else name, cells, seed=seed)


def statuses(played: Played) -> list[int | None]:
    """Status of each attempt."""
    return [attempt.status for attempt in played.attempts]


def ending(played: Played) -> Ending:
    """How its only call ended."""
    (outcome,) = played.outcomes
    return outcome.ending


def left_behind() -> list[str]:
    """Living processes that a verification has started, and threads that it runs."""
    found = [thread.name for thread in threading.enumerate() if thread.name == "verification"]
    for place in Path("/proc").glob("[0-9]*"):
        try:
            state = (place / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()[0]
            marked = MARK in (place / "environ").read_bytes()
            parent = int(
                (place / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()[1]
            )
        except (OSError, IndexError):
            continue
        if marked and state not in "ZX" and parent in (1, os.getpid()):
            found.append(place.name)
    return found


__all__ = [
    "MODELS",
    "Cell",
    "Ending",
    "Place",
    "Role",
    "cell",
    "client",
    "ending",
    "left_behind",
    "one",
    "several",
    "statuses",
    "step",
]
