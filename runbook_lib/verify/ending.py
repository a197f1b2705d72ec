"""Checks on what the caller got: the answer, the error, the model, the ids, the time."""

import math
import re
from collections.abc import Iterator, Sequence

from runbook_lib.verify import deviations, facts, joined, policy
from runbook_lib.verify.joined import Call
from runbook_lib.verify.records import Attempt, Ending
from runbook_lib.verify.sending import Check, Fault, Seen, cost
from runbook_lib.verify.vectors import Also, Retry

_PAGE = re.compile(r"\s*(?:<!doctype|<html|<\?xml)", re.IGNORECASE)
_BACK = (Ending.TEXT, Ending.RAISED, Ending.NO_TEXT)


def silent(seen: Seen) -> Iterator[Fault]:
    """Find a failure that was passed off as an answer."""
    call = seen.call
    outcome = call.outcome
    if outcome.ending not in (Ending.TEXT, Ending.NO_TEXT):
        return
    sent = [one for one in call.attempts if one.text]
    if outcome.ending is Ending.TEXT and any(
        facts.matches(outcome, one, seen.facts.text) for one in sent
    ):
        return
    if not call.attempts and call.cell.calls > 1:
        return  # which attempts belong to which call cannot be told
    yield Fault(
        kind=deviations.SILENT,
        expected="an error",
        seen=f"{_kind_of(call)} passed as an answer, after {_last(call.attempts)}",
        cost_usd=cost(call.attempts, seen),
    )


def _kind_of(call: Call) -> str:
    if call.outcome.ending is Ending.NO_TEXT:
        return "something without a text"
    if not call.outcome.text.strip():
        return "an empty text"
    return "a web page" if _PAGE.match(call.outcome.text) else "a text that is not the answer"


def _last(attempts: Sequence[Attempt]) -> str:
    if not attempts:
        return "no attempt"
    one = attempts[-1]
    return one.fault or joined.told(one)


def gave_up(seen: Seen) -> Iterator[Fault]:
    """Find an error where an answer was to be had."""
    call = seen.call
    if not seen.wanted.answer or call.outcome.ending is not Ending.RAISED:
        return
    tries = len(call.attempts)
    used = call.cell.duration == "twice" and tries > 1  # fewer attempts than three are allowed
    alone = seen.wanted.retry is Retry.MUST and tries <= 1  # its own check says it
    lasting = call.cell.duration in ("5s", "ever") and not call.fallbacks()
    if used or alone or (lasting and seen.wanted.fallback == "wanted"):
        return
    if call.seconds > call.cell.deadline_s - policy.SLACK_S:
        return  # its time was up
    yield Fault(
        kind=deviations.GIVES_UP,
        expected="an answer",
        seen=f"raised {call.outcome.error_type or 'an error'} after {_last(call.attempts)}",
        cost_usd=cost(call.attempts, seen),
    )


def in_time(seen: Seen) -> Iterator[Fault]:
    """Find a call that did not come back by its deadline."""
    call = seen.call
    outcome = call.outcome
    if outcome.ending is Ending.DIED:
        yield Fault(
            kind=deviations.DIED, expected="an answer or an error", seen="the process ended"
        )
        return
    if call.cell.cancel_after_s is not None:
        return
    hung = outcome.ending is Ending.HUNG
    late = hung or call.seconds > call.cell.deadline_s + policy.SLACK_S
    if _slept(call):
        yield Fault(
            kind=deviations.SLEPT,
            expected="the fallback or an error at once",
            seen=f"slept after {joined.told(_beyond(call)[0])}",
        )
    elif late:
        yield Fault(
            kind=deviations.HUNG if hung else deviations.OVER_DEADLINE,
            expected="an answer or an error by the deadline",
            seen="had not come back" if hung else "came back late",
        )


def _beyond(call: Call) -> list[Attempt]:
    """Give the attempts that were told to wait beyond the deadline."""
    end = call.outcome.started_s + call.cell.deadline_s
    return [
        one
        for one in call.attempts
        if one.retry_after_s is not None and one.at_s + one.retry_after_s > end
    ]


def _slept(call: Call) -> bool:
    for one in _beyond(call):
        later = [other.at_s for other in call.attempts if other.number > one.number]
        went_on = min(later, default=call.outcome.ended_s)
        if call.outcome.ending is Ending.HUNG and not later:
            went_on = math.inf
        if went_on - (one.at_s if one.ended_s is None else one.ended_s) > policy.LONGEST_PAUSE_S:
            return True
    return False


def cancelled(seen: Seen) -> Iterator[Fault]:
    """Find a call that went on after it was cancelled."""
    call = seen.call
    after = call.cell.cancel_after_s
    if after is None:
        return
    at = call.outcome.started_s + after
    late = call.outcome.ended_s - at > policy.CANCEL_S or call.outcome.ending is Ending.HUNG
    more = any(one.at_s > at + policy.LATE_SEND_S for one in call.attempts)
    if late or more or (call.outcome.ending in _BACK and call.outcome.ended_s > at):
        yield Fault(
            kind=deviations.CANCEL_LATE,
            expected="it ends within half a second, and nothing more is sent",
            seen="sent again" if more else "did not end" if late else "ended as if it was not",
        )


def both_errors(seen: Seen) -> Iterator[Fault]:
    """Find an error that tells of one model only, where two failed."""
    call = seen.call
    if Also.BOTH_ERRORS not in seen.case.expect.also or not call.fallbacks():
        return
    if call.outcome.ending is not Ending.RAISED:
        return
    tries = call.by_model()
    silent_on = [
        model for model, found in tries.items() if model and not _tells(call, model, found[-1])
    ]
    if silent_on:
        which = "the primary's" if call.primary in silent_on else "the fallback's"
        yield Fault(
            kind=deviations.SWALLOWED,
            expected="both errors are told",
            seen=f"{which} error is missing",
        )


def _tells(call: Call, model: str, attempt: Attempt) -> bool:
    """Tell whether an error names a failed model: by its name, or the status or code it got."""
    signs = [model, attempt.code, str(attempt.status or "")]
    text = call.outcome.error
    found = [sign for sign in signs if sign and _holds(text, sign)]
    return bool(found) or (attempt.status is not None and attempt.status == call.outcome.status)


def _holds(text: str, sign: str) -> bool:
    return re.search(rf"(?<![\w.-]){re.escape(sign)}(?![\w-]|\.\w)", text) is not None


def status_kept(seen: Seen) -> Iterator[Fault]:
    """Find an error that lost the status it came with."""
    call = seen.call
    if Also.STATUS not in seen.case.expect.also or call.outcome.ending is not Ending.RAISED:
        return
    statuses = {one.status for one in call.attempts if one.status is not None}
    if not statuses or call.outcome.status in statuses:
        return
    if not any(_holds(call.outcome.error, str(status)) for status in statuses):
        page = " with its page" if "<" in call.outcome.error else ""
        yield Fault(
            kind=deviations.STATUS_LOST,
            expected="the error keeps the status",
            seen=f"an error{page} without the status",
        )


def model_named(seen: Seen) -> Iterator[Fault]:
    """Find an answer that names another model than the one that gave it."""
    call = seen.call
    claim = call.outcome.model.rpartition("/")[2]
    if not call.answered or not claim:
        return
    given = [one for one in call.attempts if facts.matches(call.outcome, one, seen.facts.text)]
    if not given:
        return
    other = seen.case.expect.model
    true = {other} if other else {one.model for one in given}
    claimed = claim if other and claim == other else _model_of(claim, call)
    if claimed and claimed not in true:
        yield Fault(
            kind=deviations.MODEL_HIDDEN,
            expected=f"the model that answered: {', '.join(sorted(true))}",
            seen=f"the answer says {claimed}",
        )


def _model_of(claim: str, call: Call) -> str:
    """Tell which of the cell's models a name means, dated ones too; empty for none of them."""
    fits = [one for one in call.cell.models if claim == one or claim.startswith(f"{one}-")]
    return max(fits, key=len, default="")


def ids_kept(seen: Seen) -> Iterator[Fault]:
    """Find attempts whose ids are not shown, where the client shows any."""
    call = seen.call
    if Also.IDS not in seen.case.expect.also or not call.outcome.request_ids:
        return
    shown = {part.strip() for one in call.outcome.request_ids for part in one.split(",")}
    heard = [one for one in call.attempts if one.request_ids and one.status is not None]
    lost = [one for one in heard if shown.isdisjoint(one.request_ids)]
    if lost:
        last = len(heard) - len(lost) == 1 and heard[-1] not in lost
        yield Fault(
            kind=deviations.IDS_LOST,
            expected="the ids of all attempts",
            seen="only the last attempt's" if last else "some are missing",
        )


CHECKS: tuple[Check, ...] = (
    silent,
    gave_up,
    in_time,
    cancelled,
    both_errors,
    status_kept,
    model_named,
    ids_kept,
)
"""Checks of one call, by what its caller got."""
