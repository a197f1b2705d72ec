"""Writes the sample: what the console, the clients and the company would hold of the ten weeks."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from runbook_lib.sandbox import answers, exports, history, own_tables, ticks
from runbook_lib.sandbox.console import ADDRESS
from runbook_lib.sandbox.door import Request
from runbook_lib.sandbox.history import History
from runbook_lib.sandbox.key_report import usage_answer
from runbook_lib.sandbox.keys import Account
from runbook_lib.sandbox.machine import Refusal

LIST_DAYS = 14
"""Days of the console's list that are kept beside the export: its rows have ids."""

REFUSAL_DAYS = 30
"""Days the console keeps failed requests (contract §7, M)."""

MAIN = "team"
"""Account whose files lie in the folder itself; every other one has a folder of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What was written.

    Attributes:
        folder: Where it lies.
        seed: Where chance began.
        start, end: Span of the history, aware UTC; `end` is its `now`.
        rows: Usage rows, of all accounts.
        lines: Lines of the call log.
    """

    folder: Path
    seed: int
    start: datetime
    end: datetime
    rows: int
    lines: int


def write_sample(folder: Path, *, seed: int = 7, weeks: int = history.WEEKS) -> Sample:
    """Make ten weeks of history and write them into a folder, which is made if it is missing.

    Args:
        folder: Where to write; files of the same name are replaced.
        seed: Where chance begins; the same seed gives the same bytes.
        weeks: Length of the history; the scenarios need the last three weeks.

    Returns:
        What was written.

    Raises:
        OSError: the folder cannot be written.
    """
    made = history.make(seed, weeks=weeks)
    folder.mkdir(parents=True, exist_ok=True)
    gateway = made.console.gateway
    for account in gateway.accounts.values():
        place = folder if account.name == MAIN else folder / f"{account.name}_account"
        place.mkdir(exist_ok=True)
        _write_account(place, made, account)
    (folder / "calls.jsonl").write_text("\n".join([*made.log, ""]), encoding="utf-8")
    exports.write_audit(folder / "audit.csv", made.console.acts)
    own_tables.write_keys(folder / "keys.csv", gateway.keys.values(), made.tables)
    own_tables.write_budget(folder / "budget.csv", made.tables, _months(made))
    _write_answers(folder / "answers", made)
    return Sample(
        folder=folder,
        seed=seed,
        start=ticks.instant(made.start),
        end=ticks.instant(made.end),
        rows=len(gateway.rows),
        lines=len(made.log),
    )


def account_of(path: Path) -> str:
    """Name the account whose file of the sample this is; empty for the company's own."""
    name, _, rest = path.parent.name.rpartition("_")
    return name if rest == "account" else ""


def _write_account(folder: Path, made: History, account: Account) -> None:
    gateway = made.console.gateway
    rows = [row for row in gateway.rows if row.key.account is account]
    exports.write_usage(folder / exports.usage_name(made.start, made.end), rows)
    listed = [row for row in rows if row.end >= made.end - LIST_DAYS * ticks.DAY]
    first = exports.FIRST_ROW + len(rows) - len(listed)
    exports.write_rows(folder / "usage_rows.json.gz", listed, first)
    exports.write_refusals(folder / "usage_errors.json.gz", _kept_refusals(made, account))
    own_tables.write_ledger(folder / "ledger.csv", account)


def _kept_refusals(made: History, account: Account) -> list[Refusal]:
    kept = made.end - REFUSAL_DAYS * ticks.DAY
    found = [
        item
        for item in made.console.gateway.refusals
        if item.key.account is account and kept <= item.at < made.end
    ]
    return sorted(found, key=lambda item: item.at)


def _months(made: History) -> Sequence[str]:
    return sorted({f"{ticks.instant(at):%Y-%m}" for at in range(made.start, made.end, ticks.DAY)})


def _write_answers(folder: Path, made: History) -> None:
    """Write what `GET /v1/usage` answers each key at the end; a deleted one is refused."""
    folder.mkdir(exist_ok=True)
    gateway = made.console.gateway
    for name, key in gateway.keys.items():
        answer = gateway.handle(Request("/v1/usage", key.secret, ip=ADDRESS), made.end)
        body = (
            usage_answer(gateway, key, made.end)
            if answer.problem is None
            else json.loads(answers.problem_body(answer, answer.problem))
        )
        content = {
            "status": answer.status,
            "headers": dict(answers.headers(answer, None)[:-1]),
            "asked_at": ticks.utc_time(made.end),
            "body": body,
        }
        text = json.dumps(content, ensure_ascii=False, indent=1, sort_keys=False)
        (folder / f"v1_usage_{name}.json").write_text(text + "\n", encoding="utf-8")
