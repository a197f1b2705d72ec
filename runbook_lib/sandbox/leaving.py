"""What a running sandbox leaves: the console's export and lists, the audit table, the inventory."""

import tempfile
from pathlib import Path

from runbook_lib.sandbox import exports, own_tables, ticks
from runbook_lib.sandbox.keys import Account
from runbook_lib.sandbox.live import Live

MAIN = "team"
"""Account whose files lie in the folder itself; every other one has a folder of its own."""


def write(live: Live, folder: Path, *, to_the_end: bool = False) -> None:
    """Write the files of a running gateway; each appears whole or not at all.

    Args:
        live: The gateway.
        folder: Where to write; made if it is missing, files of the same name are replaced.
        to_the_end: Charge the calls that are still under way too.

    Raises:
        OSError: the folder cannot be written.
    """
    gateway, now = live.console.gateway, live.clock.now()
    gateway.settle(now)
    if to_the_end:
        gateway.settle(ticks.FOREVER)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=folder) as scratch:
        draft = Path(scratch)
        for account in gateway.accounts.values():
            _write_account(live, draft, account, now)
        exports.write_audit(draft / "audit.csv", live.console.acts)
        _write_keys(live, draft / "keys.csv")
        made = {path.relative_to(draft) for path in draft.rglob("*") if path.is_file()}
        for name in sorted(made):
            place = folder / name
            place.parent.mkdir(exist_ok=True)
            (draft / name).replace(place)
    for name in live.left - made:  # the export of a shorter span has another name
        (folder / name).unlink(missing_ok=True)
    live.left = made


def _write_keys(live: Live, path: Path) -> None:
    keys = live.console.gateway.keys
    known = {table["name"]: table for table in live.tables["keys"]}
    for key in keys.values():  # what was made at the console is known to nobody else
        known.setdefault(key.name, {"environment": "", "owner": "", "services": ""})
    services = {name: [table["services"]] for name, table in known.items()}
    successors = {name: f"{name}-v2" for name in keys if f"{name}-v2" in keys}
    own_tables.write_inventory(path, keys.values(), known, services, successors)


def _write_account(live: Live, draft: Path, account: Account, now: int) -> None:
    gateway = live.console.gateway
    rows = [row for row in gateway.rows if row.key.account is account]
    refusals = [item for item in gateway.refusals if item.key.account is account]
    refusals.sort(key=lambda item: item.at)
    place = draft if account.name == MAIN else draft / f"{account.name}_account"
    if account.name != MAIN and not rows and not refusals and len(account.ledger) < 2:
        return
    place.mkdir(exist_ok=True)
    last = max([now, *(row.end for row in rows[-1:])])
    exports.write_usage(place / exports.usage_name(live.start, last), rows)
    if rows:  # nobody saves a page of the console that lists nothing
        exports.write_rows(place / "usage_rows.json.gz", rows, exports.FIRST_ROW)
    if refusals:
        exports.write_refusals(place / "usage_errors.json.gz", refusals)
    own_tables.write_ledger(place / "ledger.csv", account, read_at=last)
