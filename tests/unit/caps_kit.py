"""Made usage for the tests of caps: keys by name, USD by day or by hour."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from runbook_lib.analysis.caps import CapMaterial, CapParts
from runbook_lib.findings import Status
from runbook_lib.session import open_store, take_in
from runbook_lib.store import Store
from tests.unit.usage_kit import export

NOW = datetime(2026, 11, 24, tzinfo=UTC)
"""A Tuesday."""


def hourly_of(days: Mapping[str, Sequence[float]]) -> pd.DataFrame:
    """Spread each day of each key over its 24 hours; the last day ends at `NOW`."""
    rows = []
    for name, line in days.items():
        first = NOW - timedelta(days=len(line))
        for place, usd in enumerate(line):
            for hour in range(24):
                if usd:
                    at = first + timedelta(days=place, hours=hour)
                    rows.append((pd.Timestamp(at), name, Decimal(repr(round(float(usd) / 24, 8)))))
    frame = pd.DataFrame(rows, columns=["bucket", "key_name", "cost_usd"])
    return frame.assign(max_cost_usd=Decimal("0.02")) if len(frame) else frame


def daily_of(days: Mapping[str, Sequence[float]]) -> pd.DataFrame:
    """Give each day of each key as a row, zero days left out as an export has them."""
    rows = []
    for name, line in days.items():
        first = NOW - timedelta(days=len(line))
        for place, usd in enumerate(line):
            if usd:
                at = pd.Timestamp(first + timedelta(days=place))
                rows.append((at, name, Decimal(repr(round(float(usd), 8)))))
    return pd.DataFrame(rows, columns=["bucket", "key_name", "cost_usd"])


def key(name: str, environment: str | None = None, **cap: Any) -> dict[str, Any]:
    """Give a row of keys.csv; *cap* has amount, currency, window, created_at, expires_at."""
    return {
        "key_name": name,
        "environment": environment,
        "cap_amount": cap.get("amount"),
        "cap_currency": cap.get("currency"),
        "cap_window": cap.get("window"),
        "created_at": cap.get("created_at"),
        "expires_at": cap.get("expires_at"),
        "row_number": 7,
    }


def answer(name: str, window: str, limit: str, used: str, **more: Any) -> dict[str, Any]:
    """Give a live answer of one window."""
    return {
        "key_name": name,
        "asked_at": more.get("asked_at", NOW - timedelta(minutes=5)),
        "window": window,
        "limit_usd": Decimal(limit),
        "used_usd": Decimal(used),
        "reset_at": more.get("reset_at"),
        "expires_at": more.get("expires_at"),
        "balance_usd": None,
        "row_number": 3,
    }


def material(
    days: Mapping[str, Sequence[float]],
    *,
    keys: Sequence[Mapping[str, Any]] = (),
    hours: bool = True,
    **more: Any,
) -> CapMaterial:
    """Give a material of made days; frames not named are empty."""
    empty = pd.DataFrame()
    frames = {name: pd.DataFrame(more.pop(name, [])) for name in ("key_state", "ledger", "budget")}
    return CapMaterial(
        daily=daily_of(days),
        hourly=hourly_of(days) if hours else empty,
        keys=pd.DataFrame(list(keys)),
        planned=pd.DataFrame(more.pop("planned", [])),
        now=more.pop("now", NOW),
        **frames,
        **more,
    )


def store_of(
    folder: Path,
    days: Mapping[str, Sequence[float]],
    *,
    rows: int = 4,
    files: Mapping[str, str] | None = None,
) -> Store:
    """Take made usage into a store: the last day ends at `NOW`, each in some rows of one price.

    Args:
        folder: Empty folder for the files and the lake.
        days: USD by day, by key; a key of another account is written "account/key".
        rows: Rows of a day, from eight o'clock on, an hour apart.
        files: Text of other files: "keys", "ledger", "budget", "planned", or "account/keys".
    """
    accounts: dict[str, list[dict[str, str]]] = {}
    for name, line in days.items():
        account, _, key_name = name.rpartition("/")
        accounts.setdefault(account, []).extend(_billed(key_name, line, rows))
    for account, lines in accounts.items():
        (folder / "in" / account).mkdir(parents=True, exist_ok=True)
        text = export(*sorted(lines, key=lambda line: line["Time"], reverse=True))
        (folder / "in" / account / "usage.csv").write_text(text)
        take_in([folder / "in" / account / "usage.csv"], folder / "lake", account=account)
    for name, text in (files or {}).items():
        account = name.rpartition("/")[0]
        (folder / "in" / account).mkdir(parents=True, exist_ok=True)
        (folder / "in" / f"{name}.csv").write_text(text)
        take_in([folder / "in" / f"{name}.csv"], folder / "lake", account=account)
    return open_store(folder / "lake")


def _billed(key_name: str, line: Sequence[float], rows: int) -> Iterator[dict[str, str]]:
    for place, usd in enumerate(line):
        for number in range(rows if usd else 0):
            at = NOW - timedelta(days=len(line) - place) + timedelta(hours=8 + number)
            yield {
                "Time": at.isoformat(),
                "API Key Name": key_name,
                "Billed Cost": f"{usd / rows:.8f}",
                "Original Cost": f"{usd / rows:.8f}",
            }


def steady(usd: float = 10.0, days: int = 60, seed: int = 1) -> list[float]:
    """Give days of a steady key: within a few per cent of its mean."""
    return list(np.random.default_rng(seed).normal(usd, usd * 0.05, days).clip(usd * 0.5))


def spiky(usd: float = 5.0, days: int = 60, seed: int = 2) -> list[float]:
    """Give days of a key that rests on most days and spends much on others."""
    rng = np.random.default_rng(seed)
    return list(rng.gamma(0.8, usd, days) * (rng.random(days) < 0.4))


def rows(parts: CapParts, name: str, **where: Any) -> list[dict[Any, Any]]:
    """Give the rows of an exhibit that match."""
    found = parts.exhibits[name].frame.to_dict("records")
    return [row for row in found if all(row[field] == value for field, value in where.items())]


def rules(parts: CapParts, key_name: str | None = None) -> set[str]:
    """Give the rules that fail, of one key."""
    return {
        item.rule
        for item in parts.findings
        if item.status is Status.FAIL and key_name in (None, item.subject.key_name)
    }
