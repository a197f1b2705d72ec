"""Limits that no export holds: requests a minute and at once, known only by being hit."""

import pandas as pd

from runbook_lib.analysis.diagnosis import rolled_up
from runbook_lib.analysis.pair_checks import Check, unknown
from runbook_lib.analysis.pair_material import PairMaterial, cited, of_key
from runbook_lib.analysis.retries_attempts import judged
from runbook_lib.findings import Grade, Status


def limits(material: PairMaterial) -> Check:
    """Requests a minute and at once that account and group allow: no export holds them."""
    rule, asks, pair = "fallback-limits-short", "can its group and account carry it?", material.pair
    peak, done = (
        _peak_minute(material, key, model)
        for key, model in ((pair.primary_key, pair.primary), (pair.fallback_key, None))
    )
    hit = _limited(material.refusals)
    if len(hit):
        causes = ", ".join(sorted(set(hit["cause"])))
        return Check(
            rule=rule,
            asks=asks,
            status=Status.FAIL,
            grade=Grade.LIKELY,
            title=f"Key {pair.fallback_key} was refused {len(hit)} times for its rate already "
            f"({causes}), without the load of the primary",
            value=len(hit),
            expected=0,
            unit="refusals",
            evidence=[cited(row, "status") for row in hit.head(5).to_dict("records")],
            step="Have the limits of account and group raised before they are needed.",
            who="gateway operator",
            where="support",
            mark="M",
        )
    if peak is not None and done is not None and done >= peak:
        return Check(
            rule=rule,
            asks=asks,
            status=Status.PASS,
            title=f"Key {pair.fallback_key} has had {done} requests in one minute; the primary's "
            f"most is {peak}",
            value=done,
            expected=peak,
            unit="requests a minute",
            evidence=[rolled_up("usage", "requests", done)],
            mark="M",
        )
    most = f" (the primary's most is {peak} a minute)" if peak is not None else ""
    return unknown(
        rule,
        asks,
        f"the requests a minute that account and group allow{most}",
        where="support",
        who="gateway operator",
        mark="M",
    )


_PER_MINUTE = ("user_rpm", "group_rpm")
_AT_ONCE = ("user_concurrency_limit", "user_waiting_queue_full")


def _limited(refusals: pd.DataFrame) -> pd.DataFrame:
    """The refusals by a limit of user or group; one that can be the upstream's is none."""
    if refusals.empty:
        return refusals.assign(cause=None)
    found = judged(refusals.assign(code_read=refusals["code"]))
    sure = found["cause"].isin(_AT_ONCE) & (found["domain"] == "account")
    return found[found["cause"].isin(_PER_MINUTE) | sure]


def _peak_minute(material: PairMaterial, key: str, model: str | None) -> int | None:
    frame = material.minutes
    if frame is None or not key:
        return None
    rows = of_key(frame, key)
    rows = rows[rows["model"] == model] if model else rows
    if rows.empty:
        return None
    return int(rows.groupby("bucket")["requests"].sum().max())
