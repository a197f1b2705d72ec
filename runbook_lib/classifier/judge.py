"""Decide what a status, its symbols and its wait mean: one set of rules for answers and log lines.

Order: the row of status and code; a code that is known at another status; a new code, which gets
a safe default that says so; the status alone. Source: contract §3.2, the mark comes with the row.
"""

from dataclasses import dataclass, replace

from runbook_lib import contract, redact
from runbook_lib.classifier.reading import LONGEST_CODE, Symbols
from runbook_lib.classifier.streams import End
from runbook_lib.contract import CAUSES, ROWS, Domain, Retry, Row, Shape, Wait

NEW_CODE = "This code is in no list; until a person knows it: "
NEW_STATUS = "This status is none of the gateway's own; a proxy or CDN may have answered: "
UNREAD = "Nobody read the body, which holds the code. "


@dataclass(frozen=True, slots=True, kw_only=True)
class Classification:
    """What an answer means.

    Attributes:
        code: Symbol a reader should extract; None where there is none. Never a number.
        cause: Likeliest cause, a word of contract §3.3; `success` when nothing failed.
        candidates: All causes the answer cannot tell apart, at most four, *cause* first.
        domain: Side that must act; None where the candidates differ.
        retry: Rule for sending again; None where nothing may be re-sent by itself.
        fix: What to do; where several causes are left, the act for each.
        mark: How well the rule is known: D, D!, M, F or ? (contract, head).
        known: False when the code or status is new and a safe default was used.
        retry_after_s: Seconds the answer asks to wait; None without a usable wait.
        request_ids: Ids the headers carry.
    """

    code: str | None
    cause: str
    candidates: tuple[str, ...]
    domain: Domain | None
    retry: Retry | None
    fix: str
    mark: str
    known: bool = True
    retry_after_s: float | None = None
    request_ids: tuple[str, ...] = ()


_BY_KEY: dict[tuple[int, str | None], list[Row]] = {}
_BY_CODE: dict[str, list[Row]] = {}
for _each in sorted(ROWS, key=lambda row: not row.shape):
    for _code in _each.codes:
        _BY_KEY.setdefault((_each.status, _code), []).append(_each)
        if _code is not None and Shape.GOOGLE not in _each.shape:
            _BY_CODE.setdefault(_code, []).append(_each)

_GENERIC = {"invalid_request_error", "upstream_error", "upstream_unavailable", "api_error"} | {
    "rate_limit_error",
    "overloaded_error",
    "not_found_error",
    "permission_error",
}
"""Codes that say only what sort of error it is: at a status of no row they do not decide."""

_BROKE = "stream_broken_after_first_byte"
_ENDED = {
    End.WHOLE: ("success",),
    End.UNMARKED: (_BROKE, "success"),
    End.EMPTY: (_BROKE, "upstream_failed"),
    End.BROKEN: (_BROKE,),
    End.STALLED: (_BROKE, "client_timeout"),
    End.ERROR: (_BROKE,),
}


def of(
    causes: tuple[str, ...],
    *,
    code: str | None = None,
    mark: str | None = None,
    known: bool = True,
    retry: Retry | None = None,
    say: str = "",
) -> Classification:
    """Make a classification of these causes; domain and retry are what they share.

    Args:
        causes: Names, the likeliest first; each once, the first four.
        code: Symbol of the answer.
        mark: Mark of the rule; default that of the first cause.
        known: Whether code and status are in the contract.
        retry: Safe rule where the causes share none.
        say: Put before the fix.

    Returns:
        The classification, the causes in order as its candidates.
    """
    names = tuple(dict.fromkeys(causes))[: contract.MOST_CANDIDATES]
    return Classification(
        code=shown(code),
        cause=names[0],
        candidates=names,
        domain=contract.shared_domain(names),
        retry=contract.shared_retry(names) or retry,
        fix=say + contract.joined_fix(names),
        mark=mark or CAUSES[names[0]].mark,
        known=known,
    )


def number(status: object) -> int | None:
    """Give a status as a number; None for every form a table has for "no answer came"."""
    try:
        return int(status)  # type: ignore[call-overload]
    except (TypeError, ValueError, OverflowError):
        return None


def shown(code: str | None) -> str | None:
    """Make a code fit to be shown: no secret, visible characters, bounded."""
    return redact.safe(code, limit=LONGEST_CODE) if code else None


def refused(status: int, found: Symbols, wait: Wait) -> Classification:
    """Judge an answer whose status says that it failed."""
    code = found.names[0] if found.names else None
    for name in (*found.names, None):
        for row in _BY_KEY.get((status, name), []):
            if row.fits(wait, found.shape) and _may_lack_a_code(name, found):
                return _by_row(row, code, wait)
    if found.shape is Shape.CONSOLE:
        return _by_console(status, found, wait)
    if found.names and found.shape is not Shape.GOOGLE:
        return _elsewhere(status, found, wait) or _new_code(status, code, wait)
    return _by_status(status, found, wait)


def inside(found: Symbols, wait: Wait) -> Classification:
    """Judge an error that came under status 200, before anything of an answer."""
    if found.status is not None:
        return refused(found.status, found, wait)
    code = found.names[0] if found.names else None
    rows = _rows_of(found, wait)
    if rows:
        return _by_rows(rows, code, ())
    say = NEW_CODE if code else ""
    return of(("unknown",), code=code, known=code is None, say=say)


def broken(found: Symbols, *, begun: bool, wait: Wait = Wait.ABSENT) -> Classification:
    """Judge an error event of a stream: after its first byte nothing may be re-sent by itself."""
    code = found.names[0] if found.names else None
    if begun:
        return of((_BROKE,), code=code)
    judged = inside(found, wait)
    if judged.cause == _BROKE:
        return of((_BROKE, "upstream_failed"), code=code)
    return judged


def ended(end: End) -> Classification:
    """Judge a stream by how it ended, where it carried no error."""
    return of(_ENDED[end])


def logged_error(found: Symbols) -> Classification:
    """Judge an error event where only its code was logged, not whether the stream had begun.

    A refusal of the door or a limiter comes before the first byte (a 429 inside a 200); what the
    upstream does to a stream comes after it.
    """
    rows = _rows_of(found, Wait.ABSENT)
    if rows and all(400 <= row.status < 500 for row in rows):
        return inside(found, Wait.ABSENT)
    return of((_BROKE,), code=found.names[0] if found.names else None)


def is_code(name: str | None) -> bool:
    """Tell whether any row of the contract has this code."""
    return name in _BY_CODE


def _may_lack_a_code(name: str | None, found: Symbols) -> bool:
    """Keep the rows without a code from answers that have one of their own."""
    if name is not None:
        return True
    return found.shape is Shape.GOOGLE or (not found.names and found.shape is not Shape.CONSOLE)


def _by_row(row: Row, code: str | None, wait: Wait) -> Classification:
    judged = of(row.causes, code=code, mark=row.mark)
    if code == "rate limit exceeded" and wait in (Wait.ABSENT, Wait.UNUSABLE):
        return replace(judged, retry=Retry.BACKOFF)  # nothing is named to wait for
    return judged


def _rows_of(found: Symbols, wait: Wait) -> list[Row]:
    """Rows of the first symbol that any row has, whatever its status."""
    for name in found.names:
        rows = [row for row in _BY_CODE.get(name, []) if row.fits(wait, found.shape)]
        if rows:
            return rows
    return []


def _by_rows(rows: list[Row], code: str | None, more: tuple[str, ...]) -> Classification:
    causes = tuple(cause for row in rows for cause in row.causes)
    return of((*causes, *more), code=code, mark=rows[0].mark)


def _elsewhere(status: int, found: Symbols, wait: Wait) -> Classification | None:
    """Judge a code that the contract knows at another status: operators can replace statuses."""
    rows = _rows_of(found, wait)
    if not rows:
        return None
    generic = not _GENERIC.isdisjoint(found.names)
    more = contract.by_status(status, wait).causes if generic else ()
    return _by_rows(rows, found.names[0], more)


def _by_console(status: int, found: Symbols, wait: Wait) -> Classification:
    """Judge what the console says; a code of the door tells what, not which of both refused."""
    default = contract.by_console_status(status)
    causes = tuple(cause for row in _rows_of(found, wait) for cause in row.causes)
    code = found.names[0] if found.names else None
    return of((*causes, *default.causes), code=code, mark=default.mark)


def _new_code(status: int, code: str | None, wait: Wait) -> Classification:
    """Judge a code no row has: what the status can mean, or something new; the safe rule."""
    default = contract.by_status(status, wait)
    retry = Retry.AFTER if status == 429 and wait is Wait.SHORT else default.retry
    return of(
        ("unknown", *default.causes), code=code, mark="?", known=False, retry=retry, say=NEW_CODE
    )


def _by_status(status: int, found: Symbols, wait: Wait) -> Classification:
    default = contract.by_status(status, wait)
    unread = found.shape is Shape.UNREAD and len(default.causes) > 1
    say = UNREAD if unread else ("" if default.known else NEW_STATUS)
    code = found.names[0] if found.names else None
    return of(
        default.causes,
        code=code,
        mark=default.mark,
        known=default.known,
        retry=default.retry,
        say=say,
    )
