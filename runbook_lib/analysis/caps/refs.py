"""Which key is meant: a name is one key only within its account."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from runbook_lib.analysis.caps.material import CapMaterial, text_of


class Ref(NamedTuple):
    """One key: its account, empty where none is named, and its name."""

    account: str
    key_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What the inventory knows of a key.

    Attributes:
        environment: As `environment_of` gives it; empty for unknown.
        owner: Who answers for it; empty for unknown.
        replaced_by: Name of the key that took its place; empty for none.
        file, row: Its first row in the inventory; row 0 for none.
    """

    environment: str = ""
    owner: str = ""
    replaced_by: str = ""
    file: str = "keys"
    row: int = 0


NOBODY = Entry()


@dataclass(frozen=True, slots=True, kw_only=True)
class Refs:
    """Every key that was used, is in the inventory, or answered.

    Attributes:
        all: The keys, by name and then account; their place is what arrays go by.
        homes: Accounts in which a name is known, by name.
        unclear: Names that stand without an account where several accounts use them.
    """

    all: list[Ref]
    homes: Mapping[str, frozenset[str]] = field(repr=False)
    unclear: list[str]

    def place(self) -> dict[Ref, int]:
        """Give the place of each key."""
        return {ref: number for number, ref in enumerate(self.all)}

    def of(self, account: Any, name: Any) -> Ref | None:
        """Tell which key a row is about; None where it names none, or could mean several.

        A row without an account means the key of that name where only one account uses it.
        """
        return _of(self.homes, text_of(account), text_of(name))

    def labels(self) -> dict[Ref, str]:
        """Name every key for people: with its account only where the name alone could mean two."""
        counts = Counter(ref.key_name for ref in self.all)
        return {ref: ref.key_name if counts[ref.key_name] < 2 else _whole(ref) for ref in self.all}

    def places(self, frame: pd.DataFrame) -> NDArray[np.int64]:
        """Give the place of the key of each row, -1 where it is none.

        Args:
            frame: Reads `key_name`, and `account` where it is there.

        Returns:
            A place a row.
        """
        names, known = pd.factorize(frame["key_name"])
        accounts, homes = _accounts(frame)
        place = self.place()
        table = np.full((len(homes) + 1, len(known) + 1), -1, dtype=np.int64)
        for row, account in enumerate(homes):
            for column, name in enumerate(known):
                ref = self.of(account, name)
                table[row, column] = -1 if ref is None else place.get(ref, -1)
        return np.asarray(table[accounts, names])


def _whole(ref: Ref) -> str:
    return f"{ref.key_name} ({f'account {ref.account}' if ref.account else 'no account named'})"


def _accounts(frame: pd.DataFrame) -> tuple[NDArray[np.int64], list[str]]:
    if "account" not in frame:
        return np.zeros(len(frame), dtype=np.int64), [""]
    codes, homes = pd.factorize(frame["account"].map(text_of))
    return np.asarray(codes, dtype=np.int64), [str(home) for home in homes]


def _of(homes: Mapping[str, frozenset[str]], account: str, name: str) -> Ref | None:
    if not name:
        return None
    known = homes.get(name, frozenset())
    if account or not known or "" in known:
        return Ref(account, name)
    return Ref(next(iter(known)), name) if len(known) == 1 else None


def refs_of(material: CapMaterial) -> Refs:
    """Find every key.

    Args:
        material: Reads `daily`, `keys` and `key_state`.

    Returns:
        The keys. Usage rows say in which accounts a name is known, and so does an inventory that
        names the account; a row without an account follows them.
    """
    homes: dict[str, set[str]] = {}
    for account, name in _pairs(material.daily):
        homes.setdefault(name, set()).add(account)
    told = [*_pairs(material.keys), *_pairs(material.key_state)]
    for account, name in told:
        if account:
            homes.setdefault(name, set()).add(account)
    known = {name: frozenset(held) for name, held in homes.items()}
    found = {Ref(account, name) for name, held in known.items() for account in held}
    rest = {(name, _of(known, account, name)) for account, name in told}
    found |= {ref for _, ref in rest if ref is not None}
    return Refs(
        all=sorted(found, key=lambda ref: (ref.key_name, ref.account)),
        homes=known,
        unclear=sorted({name for name, ref in rest if ref is None}),
    )


def _pairs(frame: pd.DataFrame) -> list[tuple[str, str]]:
    """Give every account and key name of a frame, blank names left out."""
    if frame.empty or "key_name" not in frame:
        return []
    names = [name for name in ("account", "key_name") if name in frame]
    rows = frame[names].drop_duplicates().to_dict("records")
    pairs = {(text_of(row.get("account")), text_of(row["key_name"])) for row in rows}
    return sorted(pair for pair in pairs if pair[1])


def environment_of(word: object) -> str:
    """Give the one word for an environment: prod, staging, dev, or what it is called."""
    text = text_of(word).strip().lower()
    for name, words in _SAME.items():
        if text in words:
            return name
    return text


_SAME = {
    "prod": {"prod", "production", "live", "prd"},
    "staging": {"staging", "stage", "stg", "preprod", "pre-production", "test", "qa"},
    "dev": {"dev", "development", "local", "sandbox"},
}


def entries(material: CapMaterial, refs: Refs) -> dict[Ref, Entry]:
    """Read what the inventory knows of each key.

    Args:
        material: Reads `keys`.
        refs: Every key.

    Returns:
        An entry a key of the inventory. A key on several rows has the first environment and owner.
    """
    found: dict[Ref, Entry] = {}
    for row in material.keys.to_dict("records"):
        ref = refs.of(row.get("account"), row.get("key_name"))
        if ref is None:
            continue
        before = found.get(ref, NOBODY)
        found[ref] = Entry(
            environment=before.environment or environment_of(row.get("environment")),
            owner=before.owner or text_of(row.get("owner")).strip(),
            replaced_by=before.replaced_by or text_of(row.get("replaced_by")).strip(),
            file=before.file if before.row else file_of(row, "keys"),
            row=before.row or row_of(row),
        )
    return found


def file_of(row: Mapping[Any, Any], table: str) -> str:
    """Give the file a row is from; its table where that is not known."""
    return text_of(row.get("source_file")) or table


def row_of(row: Mapping[Any, Any]) -> int:
    """Give the number of a row in its file; 0 where it has none."""
    number = row.get("row_number")
    return 0 if number is None or pd.isna(number) else int(number)
