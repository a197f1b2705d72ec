"""What was done around a failure: acts of the audit log, and models asked for the first time.

What came before the onset is a suspect, what came just before the recovery may explain it; neither
is ever called a cause. Acts on what the request has to do with come first.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pandas as pd

from runbook_lib.analysis.around import Spell
from runbook_lib.analysis.diagnosis import Diagnosis, none_or
from runbook_lib.analysis.material import Material, each

BEFORE = timedelta(hours=1)
"""How long before the onset an act is a suspect."""

MENDING = pd.Timedelta(minutes=5)
"""An act this long before the last failure, or later, may explain why it was the last."""

SUSPECT, MEANWHILE, MENDED = "before the onset", "while it failed", "may explain its end"
"""When an act was done."""

TIMES = (SUSPECT, MEANWHILE, MENDED)
"""All of them."""

COLUMNS = ["at", "when", "what", "subject", "whose", "change", "source_file", "row_number"]

_NEAR_THE_REQUEST = frozenset(
    {"this key", "a key that was hit", "its successor", "the account", "the gateway"}
)
_KEY_IDS = ("key.id", "api_key_id")
_ACCOUNT = ("payment", "users", "subscriptions", "redeem", "balance")
_GATEWAY = ("groups", "channels", "accounts", "settings", "models", "proxies")


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a request has to do with, and when it failed.

    Attributes:
        key_name: Its key, None where unknown. `account`: empty where there is one.
        domain: Side that must act, None where undecided.
        spell: The spell of its failure.
    """

    key_name: str | None
    account: str
    domain: str | None
    spell: Spell

    @classmethod
    def of(cls, attempt: Any, found: Diagnosis, spell: Spell) -> "About":
        """Give what an attempt has to do with."""
        return cls(
            key_name=none_or(attempt.key_name, str),
            account=none_or(attempt.account, str) or "",
            domain=found.domain,
            spell=spell,
        )


def names_of_keys(usage: pd.DataFrame) -> dict[str, str]:
    """Read the ids of keys off usage rows: an act names the key it touches by its id alone.

    Args:
        usage: Rows of `usage`; reads `key_name`, and `extra`, where the console's list leaves the
            id of the key.

    Returns:
        Id → name.
    """
    held = usage[["key_name", "extra"]].dropna()
    told = [held["extra"].str.contains(name, regex=False) for name in _KEY_IDS]
    held = held[told[0] | told[1]].drop_duplicates("key_name")
    found: dict[str, str] = {}
    for name, extra in zip(held["key_name"], held["extra"], strict=True):
        fields = json.loads(extra)
        number = next((fields[field] for field in _KEY_IDS if field in fields), None)
        if number is not None:
            found[str(number)] = str(name)
    return found


def _names_by_log(material: Material) -> dict[str, str]:
    """Name the keys that were deleted: the console forgets their names, the callers' logs do not.

    A usage row without a name that is joined by id with an attempt is of the attempt's key.
    """
    rows = material.rows
    lost = rows.loc[rows["key_name"].isna() & rows["extra"].notna(), ["join_id", "extra"]]
    logged = material.calls[["client_request_id", "key_name"]].dropna()
    both = lost.dropna().merge(logged, left_on="join_id", right_on="client_request_id")
    return names_of_keys(both)


def changes(about: About | None, material: Material) -> pd.DataFrame:
    """List what was done from an hour before the onset until the recovery.

    After the onset only acts on what the request has to do with are listed.

    Args:
        about: What the request has to do with; None for one that did not fail.
        material: Holds the audit log, the roll-up by minute and the names of keys.

    Returns:
        A row an act: `at` (UTC), `when` (`SUSPECT`, `MEANWHILE`, `MENDED`), `what`, `subject`,
        `whose`, `change`, `source_file`, `row_number`; what the request has to do with first, then
        newest first.
    """
    if about is None:
        return pd.DataFrame(columns=COLUMNS)
    parts = [part for part in (_acts(about, material), _first_asked(about, material)) if len(part)]
    if not parts:
        return pd.DataFrame(columns=COLUMNS)
    table = pd.concat(parts, ignore_index=True)
    near = table["whose"].isin(_NEAR_THE_REQUEST)
    table = table[near | (table["when"] == SUSPECT)].assign(far=~near)
    table = table.sort_values(["far", "at"], ascending=[True, False], ignore_index=True)
    return table[COLUMNS]


def near(table: pd.DataFrame, when: str) -> pd.DataFrame:
    """Pick the acts of one time that touch what the request has to do with.

    Args:
        table: As `changes` gives it.
        when: `SUSPECT`, `MEANWHILE` or `MENDED`.

    Returns:
        Rows of *table*, newest first.
    """
    return table[table["whose"].isin(_NEAR_THE_REQUEST) & (table["when"] == when)]


def _end(about: About, material: Material) -> pd.Timestamp:
    """Give the time up to which acts can matter: the recovery, else the end of the data."""
    ends = (about.spell.recovered, material.data_end, about.spell.last)
    return next(end for end in ends if end is not None and not pd.isna(end))


def _acts(about: About, material: Material) -> pd.DataFrame:
    held = material.audit
    held = held[held["ts"].between(about.spell.onset - BEFORE, _end(about, material))]
    names = {**_names_by_log(material), **names_of_keys(material.usage), **material.key_ids}
    rows = [_act(row, about, material, names) for row in each(held)]
    return pd.DataFrame([row for row in rows if row is not None], columns=COLUMNS)


def _act(
    row: Any, about: About, material: Material, names: Mapping[str, str]
) -> tuple[Any, ...] | None:
    kind = (none_or(row.action, str) or "").partition(".")[0]
    key_id = none_or(row.key_id, str)
    if kind == "keys":
        name = none_or(row.key_name, str) or names.get(key_id or "")
        subject, whose = name or f"key with the id {key_id or '?'}", _whose(name, about, material)
    elif kind in _ACCOUNT:
        subject = none_or(row.actor, str) or "an account"
        whose = "the account" if about.domain == "account" else "an account"
    elif kind in _GATEWAY:
        subject = none_or(row.path, str) or "the gateway"
        whose = "the gateway" if about.domain in ("gateway", "upstream", None) else "another part"
    else:
        return None
    if (none_or(row.account, str) or "") != about.account:
        whose = "another account"
    when = _when(row.ts, about.spell)
    change = _told(none_or(row.change, str) or "")
    return row.ts, when, row.action, subject, whose, change, row.source_file, row.row_number


def _told(change: str) -> str:
    """Write what an act set for people: "quota: 172.2"."""
    fields = json.loads(change) if change.startswith("{") else None
    if not isinstance(fields, dict):
        return change
    return ", ".join(f"{name}: {value}" for name, value in fields.items())


def _when(at: pd.Timestamp, spell: Spell) -> str:
    if at <= spell.onset:
        return SUSPECT
    mended = spell.goes_on is not True and at >= spell.last - MENDING
    return MENDED if mended else MEANWHILE


def _whose(name: str | None, about: About, material: Material) -> str:
    if name is None:
        return "a key not known by name"
    if name == about.key_name:
        return "this key"
    if name in about.spell.keys:
        return "a key that was hit"
    pairs = material.keys[["key_name", "replaced_by"]].dropna()
    linked = set(zip(pairs["key_name"], pairs["replaced_by"], strict=True))
    if about.key_name is not None and (
        (about.key_name, name) in linked or _stem(name) == _stem(about.key_name)
    ):
        return "its successor"
    return "another key"


def _stem(name: str) -> str:
    return re.sub(r"-v\d+$", "", name)


def _first_asked(about: About, material: Material) -> pd.DataFrame:
    """List the models that a service asked for the first time in the hour before the onset."""
    minutes, onset = material.minutes, about.spell.onset
    keys = minutes.groupby("key_name")["first_ts"].min()
    pairs = minutes.groupby(["key_name", "service", "model"], as_index=False)["first_ts"].min()
    old = pairs["key_name"].map(keys) < pairs["first_ts"] - pd.Timedelta(minutes=5)
    fresh = pairs[old & pairs["first_ts"].between(onset - BEFORE, onset)]
    return pd.DataFrame(
        [
            (
                row.first_ts,
                SUSPECT,
                "model first asked",
                f"{row.key_name} by {row.service}",
                _whose(row.key_name, about, material),
                row.model,
                "calls",
                0,
            )
            for row in each(fresh)
        ],
        columns=COLUMNS,
    )
