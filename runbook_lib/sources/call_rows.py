"""One attempt, from values as logged to a row of `calls`: the same meaning from every format."""

from collections.abc import Callable, Mapping
from typing import Any
from zoneinfo import ZoneInfo

from runbook_lib.errors import RecordError
from runbook_lib.schema import CALLS
from runbook_lib.sources import call_values
from runbook_lib.sources.extra import extra

_STREAM_ENDS: dict[str, str] = {
    word: end
    for end, words in {
        "complete": "complete completed done finished",
        "truncated": "truncated incomplete cut",
        "error_event": "error_event error",
        "empty": "empty",
        "reset": "reset transport_error connection_reset connection_error",
        "timeout": "timeout read_timeout",
        "cancelled": "cancelled canceled client_closed aborted",
    }.items()
    for word in words.split()
}
_PROVIDERS = {
    "google": "gemini",
    "gcp.gemini": "gemini",
    "gcp.gen_ai": "gemini",
    "gcp.vertex_ai": "gemini",
    "vertex_ai": "gemini",
    "google_ai": "gemini",
}
_PATHS = (
    ("/v1/messages", "anthropic"),
    ("/v1beta/", "gemini"),
    ("/chat/completions", "openai"),
    ("/responses", "openai"),
    ("/embeddings", "openai"),
)
_OPERATIONS = {
    "completion": "chat",
    "acompletion": "chat",
    "text_completion": "chat",
    "responses": "chat",
    "aresponses": "chat",
    "anthropic_messages": "chat",
    "embedding": "embeddings",
    "aembedding": "embeddings",
}
_CANCELLED = frozenset(
    {"cancellederror", "client_closed", "clientdisconnect", "generatorexit", "cancelled"}
    | {"canceled", "aborterror", "apiuseraborterror"}
)
_BROKEN_ENDS = frozenset({"truncated", "error_event", "empty", "reset", "timeout"})
_ANSWERED = (
    "response_id",
    "finish_reasons",
    "output_tokens",
    "request_ids",
    "client_request_id",
    "content_type",
)
_NAMES_IT = ("request_ids", "client_request_id", "response_id", "call_id", "model", "key_name")
_JUDGED = (
    "status",
    "code",
    "error_type",
    "stream_end",
    "content_type",
    "retry_after_s",
    "path",
)
_COLUMNS = tuple(CALLS.names)


class Rows:
    """Makes rows of one file; holds what does not change from row to row.

    Args:
        account: Account the rows belong to.
        source_file: Name of the file.
        zone: Zone of times without an offset, or None to refuse them.
    """

    def __init__(self, *, account: str, source_file: str, zone: ZoneInfo | None) -> None:
        self.account, self.source_file, self.zone = account, source_file, zone
        self.unknown_input = 0
        self._rules: dict[tuple[Any, ...], str | None] = {}

    def make(
        self,
        raw: Mapping[str, Any],
        rest: dict[str, Any],
        row_number: int,
        *,
        cleaned: bool,
        cached_told: bool = True,
        ts_is_end: bool = False,
    ) -> list[Any]:
        """Make the row of one attempt.

        Args:
            raw: Column of `calls` to value as logged.
            rest: Fields of no column; what is harmless of them becomes `extra`.
            row_number: Number of the record in its file.
            cleaned: Whether texts must be searched for secrets and broken characters.
            cached_told: Whether the format names cached tokens wherever there are any, so that
                none named means none; False for logs of unknown make.
            ts_is_end: Whether `ts` as logged is the end of the attempt; ours is its start.

        Returns:
            A value for every column of `calls`, in its order; None where unknown.

        Raises:
            RecordError: a value does not convert, or the record names no attempt.
        """
        held = call_values.convert(raw, cleaned=cleaned)
        if not any(name in held for name in _NAMES_IT):
            raise RecordError("no id, model or key")
        ts = self._time(raw.get("ts"))
        if ts_is_end:
            ts = _earlier(ts, held.get("duration_ms", 0.0))
        self._same_words(held, rest)
        self._without_cached(held, rest, cached_told=cached_told)
        held.update(
            account=self.account,
            ts=ts,
            slot=ts // 900_000_000,
            outcome=outcome(held),
            extra=extra(rest) if rest else None,
            source_file=self.source_file,
            row_number=row_number,
        )
        held["retry"] = self._rule(held)
        return [held.get(name) for name in _COLUMNS]

    def _time(self, value: object) -> int:
        try:
            return call_values.instant(value, self.zone)
        except RecordError as error:
            raise RecordError(error.reason, field="ts", value=value) from None

    def _same_words(self, held: dict[str, Any], rest: dict[str, Any]) -> None:
        """Give providers, operations and ends of streams one vocabulary."""
        if (provider := held.get("provider")) is not None:
            low = provider.lower()
            held["provider"] = _PROVIDERS.get(low, low)
        elif (path := held.get("path")) is not None:
            held["provider"] = next((name for part, name in _PATHS if part in path), None)
        if (operation := held.get("operation")) is not None:
            held["operation"] = _OPERATIONS.get(operation, operation)
        if (end := held.get("stream_end")) is not None:
            known = _STREAM_ENDS.get(end.lower())
            if known != end:
                held["stream_end"] = known
                rest["stream_end_as_logged"] = end

    def _without_cached(
        self, held: dict[str, Any], rest: dict[str, Any], *, cached_told: bool
    ) -> None:
        """Take cached tokens out of the input, as the gateway counts it (contract §7, M).

        OpenAI and Gemini count cached tokens as input, Anthropic does not. Where the log does not
        tell, the input is unknown, and the number as logged is kept beside the row.
        """
        logged = held.get("input_tokens")
        if logged is None or held.get("provider") == "anthropic":
            return
        cached = held.get("cache_read_tokens")
        if cached is None and (cached_told or held.get("operation") == "embeddings"):
            cached = 0
        written = held.get("cache_write_tokens") or 0  # counted in too, where a group translates
        if cached == 0 and not written:
            return
        counted = held.get("provider") in ("openai", "gemini")
        if counted and cached is not None and cached + written <= logged:
            held["input_tokens"] = logged - cached - written
            return
        held["input_tokens"] = None
        rest["input_tokens_as_logged"] = logged
        self.unknown_input += 1

    def _rule(self, held: Mapping[str, Any]) -> str | None:
        """Give the retry rule of a failed attempt; each combination is judged once."""
        if held["outcome"] in ("ok", "abandoned"):
            return None
        facts = tuple(held.get(name) for name in _JUDGED)
        if facts not in self._rules:
            self._rules[facts] = _judge(*facts)
        return self._rules[facts]


def _earlier(end: int, duration_ms: float) -> int:
    """Give the start of an attempt that ended then, in microseconds since 1970."""
    start = end - round(duration_ms * 1000)
    if start < call_values.EARLIEST:
        raise RecordError("duration_ms is out of range", field="duration_ms", value=duration_ms)
    return start


def _judge(status: int | None, code: str | None, *facts: Any) -> str | None:
    from runbook_lib.classifier import classify_logged

    names: tuple[str, ...] = _JUDGED[2:]
    judge: Callable[..., Any] = classify_logged
    rule = judge(status, code, **dict(zip(names, facts, strict=True))).retry
    return None if rule is None else str(getattr(rule, "value", rule))


def outcome(held: Mapping[str, Any]) -> str:
    """Say how an attempt ended.

    Args:
        held: Columns of `calls` that are known.

    Returns:
        One of `schema.OUTCOMES`. Without a status, what only an answer can bring (an id, tokens)
        shows that one came.
    """
    error = held.get("error_type")
    end, status = held.get("stream_end"), held.get("status")
    cancelled = error is not None and error.rpartition(".")[2].lower() in _CANCELLED
    if end == "cancelled" or (cancelled and (status is None or status < 300)):
        return "abandoned"
    if status is None:
        answered = error is None and any(held.get(name) is not None for name in _ANSWERED)
        if not answered:
            return "no_answer"
    elif not 200 <= status < 300:
        return "refused"
    page = (held.get("content_type") or "").lower().startswith("text/html")
    if end in _BROKEN_ENDS or page or held.get("code") is not None or error is not None:
        return "broken"
    return "ok"
