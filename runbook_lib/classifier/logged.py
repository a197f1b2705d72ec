"""Classify one line of a call log, where the body is gone: the same rules as for an answer.

The log keeps the status, the code if someone read it, how the stream ended, and for what never
got an answer the name of the exception.
"""

from runbook_lib.classifier import headers as heads
from runbook_lib.classifier import judge
from runbook_lib.classifier.judge import Classification
from runbook_lib.classifier.reading import Symbols, shape_of
from runbook_lib.classifier.streams import End
from runbook_lib.contract import Retry, Shape, Wait

_PLAIN_PATHS = ("/chat/completions", "/responses", "/messages", "/embeddings", "/models")
_LEFT = {"client_closed", "cancelled"}
_ENDS = {
    "truncated": End.BROKEN,
    "reset": End.BROKEN,
    "transport_error": End.BROKEN,
    "empty": End.EMPTY,
    "timeout": End.STALLED,
}
_NEVER_SENT = ("connecttimeout", "pooltimeout", "connecterror", "connectionrefused", "gaierror")
_BAD_TLS = ("ssl", "certificate", "tls")


def classify_logged(
    status: int | None,
    code: str | None,
    *,
    error_type: str | None = None,
    stream_end: str | None = None,
    content_type: str | None = None,
    retry_after_s: float | None = None,
    path: str | None = None,
) -> Classification:
    """Tell what one logged attempt means.

    Args:
        status: HTTP status; None when no answer came.
        code: Code of the gateway; None when there was none, or nobody read the body, as with a
            refused stream that an SDK is going to retry.
        error_type: Status, code or exception that ended it.
        stream_end: `complete truncated error_event empty reset timeout cancelled client_closed
            transport_error`; None when no stream came.
        content_type: Of the answer; a web page under 200 is a wrong base URL.
        retry_after_s: Wait the answer named, in seconds; None for none.
        path: Path called; one without /v1 may have reached a web page where no content type tells.

    Returns:
        The classification. Never raises.

    Source: contract §3 and §4.
    """
    number, kind, name = judge.number(status), _word(content_type).lower(), _word(error_type)
    if stream_end in _LEFT:
        judged = judge.of(("client_abandoned_stream",))
    elif number is None:
        judged = _no_answer(name)
    elif 200 <= number < 300:
        judged = _accepted(_symbols(_word(code), kind), name, stream_end, kind)
        if judged.cause == "success" and not kind and _lacks_version(_word(path)):
            judged = judge.of(("success", "wrong_base_path"))
    else:
        named = _word(code) or (name if judge.is_code(name) else "")
        judged = judge.refused(number, _symbols(named, kind), heads.wait_of(retry_after_s))
    return judged


def _accepted(
    found: Symbols, error_type: str, stream_end: str | None, content_type: str
) -> Classification:
    if "html" in content_type:
        return judge.of(("wrong_base_path",))
    if stream_end in _ENDS:
        return judge.ended(_ENDS[stream_end])
    if stream_end == "error_event":
        return judge.logged_error(found)
    if found.names:
        return judge.inside(found, Wait.ABSENT)
    if error_type and not error_type.isdigit():
        return _no_answer(error_type)
    return judge.of(("success",))


def _no_answer(error_type: str) -> Classification:
    """Judge an attempt that got no answer, by the name of its exception."""
    name = error_type.rpartition(".")[2].lower().replace("_", "")
    if any(word in name for word in _BAD_TLS):
        return judge.of(("unknown",), retry=Retry.NEVER)
    if any(word in name for word in _NEVER_SENT):
        return judge.of(("unknown",), retry=Retry.BACKOFF)
    if "timeout" in name or "timedout" in name:
        return judge.of(("unknown", "client_timeout", "upstream_timeout"))
    if "cancel" in name:
        return judge.of(("client_abandoned_stream", "client_timeout"))
    return judge.of(("unknown",))


def _word(value: object) -> str:
    """Give a text; empty for every form a table has for null."""
    return value.strip() if isinstance(value, str) else ""


def _symbols(code: str, content_type: str) -> Symbols:
    if code and not code.isdigit():
        return Symbols(names=(code,), shape=shape_of((code,)))
    if "html" in content_type or "text/plain" in content_type:
        return Symbols(shape=Shape.PLAIN)
    return Symbols(shape=Shape.UNREAD)


def _lacks_version(path: str) -> bool:
    """Tell a path of the API that misses its version."""
    return "/v1" not in path and path.endswith(_PLAIN_PATHS)
