"""What is wrong in a recorded log, attempt by attempt: each rule marks rows and says why.

The measure is what a correct client does (contract §3.2): never again on what a person must change,
not before the wait an answer names, not after a streamed byte, at most three attempts a model, and
an answer only when it is whole.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pandas as pd

from runbook_lib import contract
from runbook_lib.analysis.retries_attempts import Logged
from runbook_lib.contract import Retry

FINAL = (Retry.NEVER.value, Retry.WINDOW.value)
"""Rules under which another attempt within the call cannot help."""

PASSING = (Retry.BACKOFF.value, Retry.AFTER.value)
"""Rules of failures that can be over a moment later."""

AT_ONCE_S = 0.1
"""A wait below this after a refusal is none; both SDKs wait at least 0.375 s."""

CLOCK_S = 0.05
"""Logs round times; a wait may look shorter by this much."""

MOST_ON_MODEL = 3
"""Attempts of a call on one model at most."""

MODEL_CAUSES = ("model_not_served_by_group", "model_not_allowed", "ip_not_allowed")
"""Refusals that another model can pass with the same key (an IP refusal reads like a model's)."""

REQUEST_CAUSES = ("request_malformed", "request_too_large", "key_in_query", "key_not_sent")
"""Refusals that every model gives to the same request."""

MAY_HAVE_RUN = (504, 524)
"""Statuses under which the work may have been done, and billed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Marked:
    """What one rule found.

    Attributes:
        rule: Name in `findings.RULES`.
        rows: Attempts it marks, in the columns of `Logged.attempts`, and `kind`: the case it is.
        judged: Attempts that could have been wrong, what the count is out of; `unit` names them.
    """

    rule: str
    rows: pd.DataFrame
    judged: pd.DataFrame
    unit: str


def marked(logged: Logged) -> Iterator[Marked]:
    """Apply every rule, the costliest habit first."""
    for rule in RULES:
        yield rule(logged)


def sticky_retried(logged: Logged) -> Marked:
    """A cap or window is used up: the same answer comes until a person acts or it rolls over."""
    frame = logged.attempts
    final = frame["retry_rule"].isin(FINAL) & (frame["status"] == 429).fillna(value=False)
    hit = frame["same"] & _sticky_before(frame)
    return _marked("sticky-retried", frame, hit, "sent again", final, "refusals by a cap or window")


def wasted_retries(logged: Logged) -> Marked:
    """What cannot help was tried: the same again, or another model under the same refusal."""
    frame = logged.attempts
    final = frame["before_rule"].isin(FINAL) & ~_sticky_before(frame)
    any_final = frame["before_rule"].isin(FINAL)
    moved = (frame["place"] > 0) & ~frame["same"]
    same_key = frame["key_name"].notna() & (frame["key_name"] == frame["before_key"])
    theirs = frame["before_domain"].isin(["key", "account", "gateway"])
    kinds = {
        "sent again": frame["same"] & final,
        "other model, same key": moved
        & any_final
        & same_key
        & theirs
        & ~frame["before_cause"].isin(MODEL_CAUSES),
        "other key, same account": moved
        & any_final
        & ~same_key
        & (frame["before_domain"] == "account"),
        "other model, same request": moved & any_final & frame["before_cause"].isin(REQUEST_CAUSES),
    }
    kind = _kinds(frame, kinds)
    judged = frame["retry_rule"].isin(FINAL) & (frame["status"] != 429).fillna(value=True)
    return _marked("wasted-retries", frame, kind.notna(), kind, judged, "refusals that are final")


def wait_too_short(logged: Logged) -> Marked:
    """The next attempt came before the wait the answer named, or at once."""
    frame = logged.attempts
    passing = frame["same"] & frame["before_rule"].isin(PASSING) & frame["wait_s"].notna()
    passing &= frame["before_outcome"] == "refused"
    asked = frame["before_asked_s"].astype(float)
    kinds = {
        "before Retry-After": passing & (asked > 0) & (frame["wait_s"] < asked - CLOCK_S),
        "at once": passing & (frame["wait_s"] < AT_ONCE_S),
    }
    kind = _kinds(frame, kinds)
    return _marked("wait-too-short", frame, kind.notna(), kind, passing, "waits that are known")


def resent_after_stream(logged: Logged) -> Marked:
    """Part of an answer had reached the caller, and the request was sent once more."""
    frame = logged.attempts
    broke = "stream_broken_after_first_byte"
    streamed = frame["before_stream"].astype("boolean").fillna(value=False).astype(bool)
    hit = streamed & (frame["before_cause"] == broke) & _true(frame["before_sure"])
    cut = frame["stream"].fillna(value=False).astype(bool) & (frame["cause"] == broke)
    return _marked("resent-after-stream", frame, hit, "sent again", cut, "broken streams")


def may_bill_twice(logged: Logged) -> Marked:
    """What may have run was sent again more than once: each send can be billed."""
    frame = logged.attempts
    gave_up = _timed_out(frame["before_outcome"], frame["before_error"])
    late = frame["before_status"].isin(MAY_HAVE_RUN).fillna(value=False).astype(bool)
    streamed = frame["before_stream"].astype("boolean").fillna(value=False).astype(bool)
    cut = (frame["before_outcome"] == "broken") & ~streamed
    cut &= frame["before_cause"] != "wrong_base_path"
    again = frame["same"] & (gave_up | late | cut)
    times = again.astype(int).groupby([frame["call"], frame["model"].fillna("")]).cumsum()
    kinds = {
        "more than once": again & (times > 1),
        "after a whole answer": frame["same"] & (frame["before_outcome"] == "ok"),
    }
    kind = _kinds(frame, kinds)
    ran = _timed_out(frame["outcome"], frame["error_type"])
    ran |= frame["status"].isin(MAY_HAVE_RUN).fillna(value=False)
    return _marked(
        "resend-may-bill-twice", frame, kind.notna(), kind, ran, "attempts that may have run"
    )


def too_many(logged: Logged) -> Marked:
    """A call was sent to one model more than three times."""
    frame = logged.attempts
    hit = frame["on_model"] > MOST_ON_MODEL
    again = frame["on_model"] > 1
    return _marked("too-many-attempts", frame, hit, "fourth and later", again, "repeated attempts")


def missing_retry(logged: Logged) -> Marked:
    """A failure that passes was not tried again, and the call failed.

    Only calls whose log counts its attempts are judged: a log with a line a call cannot tell.
    """
    frame = logged.attempts
    first = (frame["place"] == 0) & frame["named"] & (frame["attempt"] == 1).fillna(value=False)
    failed = frame["outcome"].isin(["refused", "no_answer"]) & frame["retry_rule"].isin(PASSING)
    soon = ~(frame["retry_after_s"].astype(float) > contract.SHORT_WAIT_S)
    judged = (first & failed & soon).astype(bool)
    alone = (frame["size"] == 1) & ~(frame["resend_count"] > 0).fillna(value=False)
    hit = judged & alone
    return _marked("missing-retry", frame, hit, "one attempt only", judged, "calls that met one")


def silent_failure(logged: Logged) -> Marked:
    """An answer that was not whole ended its call without an error."""
    frame = logged.attempts
    broken = frame["outcome"] == "broken"
    last = frame["place"] == frame["size"] - 1
    quiet = frame["error_type"].isna() & frame["code"].isna()
    hit = broken & last & quiet & (frame["stream_end"] != "error_event")
    kinds = {
        "web page": hit & (frame["cause"] == "wrong_base_path"),
        "empty": hit & (frame["stream_end"] == "empty"),
        "cut": hit,
    }
    return _marked(
        "silent-failure", frame, hit, _kinds(frame, kinds), broken, "answers that were not whole"
    )


RULES: tuple[Callable[[Logged], Marked], ...] = (
    silent_failure,
    resent_after_stream,
    may_bill_twice,
    sticky_retried,
    wasted_retries,
    wait_too_short,
    too_many,
    missing_retry,
)


def _marked(
    rule: str,
    frame: pd.DataFrame,
    hit: "pd.Series[bool]",
    kind: "pd.Series[str] | str",
    judged: "pd.Series[bool]",
    unit: str,
) -> Marked:
    chosen = hit.fillna(value=False).astype(bool)
    rows = frame[chosen].assign(kind=kind if isinstance(kind, str) else kind[chosen])
    return Marked(rule=rule, rows=rows, judged=frame[_true(judged)], unit=unit)


def _kinds(frame: pd.DataFrame, kinds: dict[str, "pd.Series[bool]"]) -> "pd.Series[str]":
    """The first kind that fits each row, None where none does."""
    made = pd.Series([None] * len(frame), index=frame.index, dtype=object)
    for name, fits in reversed(kinds.items()):
        made[_true(fits)] = name
    return made


def _true(values: "pd.Series") -> "pd.Series[bool]":
    """Unknown is not true."""
    return values.astype("boolean").fillna(value=False).astype(bool)


def _sticky_before(frame: pd.DataFrame) -> "pd.Series[bool]":
    limited = (frame["before_status"] == 429).fillna(value=False).astype(bool)
    return frame["before_rule"].isin(FINAL) & limited


def _timed_out(outcome: "pd.Series", error: "pd.Series") -> "pd.Series[bool]":
    """Attempts that were sent whole and got no answer in time; one that never connected is none."""
    name = error.fillna("").astype(str).str.lower().str.replace("_", "")
    late = name.str.contains("timeout|timedout", regex=True)
    unsent = name.str.contains("connecttimeout|pooltimeout|connecttimedout", regex=True)
    return (outcome == "no_answer") & late & ~unsent
