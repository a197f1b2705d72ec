"""Keys that nobody types a cap for any more: replaced, expired, or gone from the gateway."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pandas as pd

from runbook_lib.analysis.caps.material import CapMaterial, text_of
from runbook_lib.analysis.caps.refs import NOBODY, Entry, Ref, Refs

REFUSED = {
    "INVALID_API_KEY": "deleted: the gateway does not know it (INVALID_API_KEY)",
    "API_KEY_EXPIRED": "expired: the gateway refuses it (API_KEY_EXPIRED), so delete it",
}
"""Codes of a live answer that end a key, and what is told of it."""


def ended_of(material: CapMaterial, refs: Refs, known: Mapping[Ref, Entry]) -> dict[Ref, str]:
    """Say which keys have ended, and why.

    Args:
        material: Reads `keys`, `key_state` and `now`.
        refs: Every key.
        known: What the inventory knows of each.

    Returns:
        The reason, by key; keys that go on are not in it.
    """
    expiry, refused = _expiries(material, refs), _refused(material, refs)
    made = {}
    for ref in refs.all:
        successor, at = known.get(ref, NOBODY).replaced_by, expiry.get(ref)
        if ref in refused:
            made[ref] = refused[ref] + (f", replaced by {successor}" if successor else "")
        elif successor:
            made[ref] = f"replaced by {successor}: delete it once nobody uses it"
        elif at is not None and at <= material.now:
            made[ref] = f"expired on {material.told(at)}: delete it"
    return made


def _expiries(material: CapMaterial, refs: Refs) -> dict[Ref, datetime]:
    """When keys expire: as a live answer says, or else the inventory; the latest of its rows."""
    found: dict[Ref, datetime] = {}
    for row in material.keys.to_dict("records"):
        ref, at = refs.of(row.get("account"), row.get("key_name")), row.get("expires_at")
        if ref is not None and at is not None and not pd.isna(at):
            found[ref] = max(at, found.get(ref, at))
    live: dict[Ref, datetime] = {}
    for known, answer in _answers(material, refs):
        at = answer.get("expires_at")
        if at is not None and not pd.isna(at):
            live[known] = at
    return found | live


def _refused(material: CapMaterial, refs: Refs) -> dict[Ref, str]:
    """Which keys the gateway refused when they were asked last."""
    last: dict[Ref, tuple[datetime, set[str]]] = {}
    for ref, row in _answers(material, refs):
        at, code = row["asked_at"], text_of(row.get("code"))
        before, codes = last.get(ref, (at, set()))
        last[ref] = (at, {*(codes if before == at else ()), code})
    return {
        ref: REFUSED[code] for ref, (_, codes) in last.items() for code in REFUSED if code in codes
    }


def _answers(material: CapMaterial, refs: Refs) -> list[tuple[Ref, dict[str, Any]]]:
    """The live answers of each key up to now, oldest first."""
    state = material.key_state
    if state.empty or "asked_at" not in state:
        return []
    rows = state[state["asked_at"] <= material.known_until].sort_values("asked_at", kind="stable")
    made = []
    for row in rows.to_dict("records"):
        ref = refs.of(row.get("account"), row.get("key_name"))
        if ref is not None:
            made.append((ref, {str(name): value for name, value in row.items()}))
    return made
