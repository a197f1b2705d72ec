"""Reads one answer as it comes, hands on its text, and says at its end whether it was whole.

Nothing is believed that only looks like an answer: a web page, `{}`, an error under status 200, a
stream that ends early. Source: contract §4; fault matrix rows 38-53.
"""

import codecs
import io
from collections.abc import Iterator, Mapping
from typing import Any

from runbook_lib.classifier import classify, reading, streams
from runbook_lib.classifier.headers import Headers
from runbook_lib.classifier.streams import End, Stream
from runbook_lib.errors import AttemptError
from runbook_lib.resilient import policy

MOST_BYTES = 64 << 20
"""Bytes of one answer that are read at most, unpacked."""

_MOST_OF_A_REFUSAL = 65_536
_EVENTS = {"content-type": "text/event-stream"}
_SHOWN = (None, "text", "output_text", "text_delta")


class Reader:
    """One answer on its way.

    Attributes:
        handed: A part of its text was handed on.
        body: JSON of a whole answer; empty for a stream.
        served: Model that the answer names; "" where it names none.
    """

    def __init__(self, status: int, headers: Headers, *, stream: bool) -> None:
        self._status, self._headers = status, headers
        self._accepted = 200 <= status < 300
        self.handed = False
        self.body: Mapping[str, Any] = {}
        self.served = ""
        self._events = Events() if stream and self._accepted else None
        self._stream = Stream()
        self._held: list[bytes] = []
        self._size = 0
        self._texts: list[str] = []
        self._last = ""

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(self._texts)

    @property
    def begun(self) -> bool:
        """An event of a stream has come that is neither a sign of life nor an error."""
        return self._stream.begun

    @property
    def over(self) -> bool:
        """The end marker of a whole stream has come; what follows is of no interest."""
        return self._stream.over

    def feed(self, chunk: bytes) -> Iterator[str]:
        """Take the next bytes.

        Yields:
            Parts of the text, of a stream.

        Raises:
            AttemptError: the answer is no good, or too large.
        """
        self._size += len(chunk)
        if self._size > (MOST_BYTES if self._accepted else _MOST_OF_A_REFUSAL):
            raise AttemptError(policy.too_large() if self._accepted else self._refused())
        if self._events is None or self._size <= _MOST_OF_A_REFUSAL:
            self._held.append(chunk)
        if self._events is not None and not self.over:
            yield from self._taken(self._events.feed(chunk))

    def end(self) -> Iterator[str]:
        """Take the end.

        Yields:
            The rest of the text, of a stream.

        Raises:
            AttemptError: it was no whole answer.
        """
        if not self._accepted:
            raise AttemptError(self._refused())
        if self._events is None:
            self._whole(b"".join(self._held))
            return
        if not self.over:
            yield from self._taken(self._events.rest())
        if self._stream.end is not End.WHOLE:
            held = b"" if self.begun else b"".join(self._held)
            failure = policy.accepted(held, self._headers, stream=True)
            raise AttemptError(failure or policy.spoiled(stream=True))

    def _refused(self) -> policy.Failure:
        found = classify(self._status, b"".join(self._held), self._headers)
        return policy.refused(self._status, found, self._headers)

    def _taken(self, events: Iterator[tuple[str, str]]) -> Iterator[str]:
        stream = self._stream
        for name, data in events:
            ended, again = stream.answered, data == self._last
            self._last = data
            value = streams.take(stream, name, data)
            if stream.error is not None:
                error = f"event: error\ndata: {data}\n\n"
                failure = policy.accepted(error, _EVENTS, stream=True)
                raise AttemptError(failure or policy.spoiled(stream=True))
            if stream.garbled:
                raise AttemptError(policy.spoiled(stream=True))
            self.served = self.served or served(value)
            if ended and (again or not finishes(value)):
                continue  # Gemini has no end marker: what follows its last event is ignored
            if text := delta(value):
                self.handed = True
                self._texts.append(text)
                yield text
            if stream.over:
                break
        if stream.over and stream.end is not End.WHOLE:
            raise AttemptError(policy.spoiled(stream=True))

    def _whole(self, body: bytes) -> None:
        failure = policy.accepted(body, self._headers, stream=False)
        parsed, value = reading.loads(body.decode("utf-8", "replace"))
        text = whole(value) if parsed else None
        if failure is not None or text is None:
            raise AttemptError(failure or policy.spoiled(stream=False))
        self.body, self.served = value, served(value)
        self._texts = [text]


class Events:
    """Parts bytes in server-sent events, wherever they are cut."""

    def __init__(self) -> None:
        text = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._decoder = io.IncrementalNewlineDecoder(text, translate=True)
        self._held: list[str] = []

    def feed(self, chunk: bytes) -> Iterator[tuple[str, str]]:
        """Take the next bytes; gives name and data of each event that is whole now."""
        text = self._decoder.decode(chunk)
        before = self._held[-1][-1:] if self._held else ""
        self._held += [text] if text else []
        if "\n\n" not in before + text:
            return iter(())
        done, _, rest = "".join(self._held).rpartition("\n\n")
        self._held = [rest] if rest else []
        return streams.events(done)

    def rest(self) -> Iterator[tuple[str, str]]:
        """Take the end; gives what came after the last blank line."""
        return streams.events("".join(self._held) + self._decoder.decode(b"", final=True))


# The text of every protocol ---------------------------------------------------------------------


def whole(value: Any) -> str | None:
    """Give the text of a whole answer; None where it holds no answer at all."""
    if not isinstance(value, Mapping):
        return None
    if choices := _list(value, "choices"):
        return _content(_map(choices[0], "message").get("content"))
    if candidates := _list(value, "candidates"):
        return _content(_map(candidates[0], "content").get("parts"))
    if content := _list(value, "content"):
        return _content(content)
    if output := _list(value, "output"):
        return "".join(_content(_list(each, "content")) for each in output)
    return "" if "promptFeedback" in value else None


def delta(value: Any) -> str:
    """Give the text that an event of a stream adds."""
    if not isinstance(value, Mapping):
        return ""
    if choices := _list(value, "choices"):
        first = choices[0]
        return _content(_map(first, "delta").get("content")) if not first.get("index") else ""
    if candidates := _list(value, "candidates"):
        return _content(_map(candidates[0], "content").get("parts"))
    added = value.get("delta")
    if value.get("type") == "response.output_text.delta" and isinstance(added, str):
        return added
    return _content([added]) if value.get("type") == "content_block_delta" else ""


def finishes(value: Any) -> bool:
    """Tell whether an event of Gemini's says why the text ends; some models say so in each."""
    return any(each.get("finishReason") for each in _list(value, "candidates"))


def served(value: Any) -> str:
    """Give the model that an answer or an event names; "" for none."""
    for holder in (value, _map(value, "response"), _map(value, "message")):
        if isinstance(holder, Mapping):
            name = holder.get("model") or holder.get("modelVersion")
            if isinstance(name, str):
                return name
    return ""


def _content(parts: Any) -> str:
    if isinstance(parts, str):
        return parts
    if not isinstance(parts, list):
        return ""
    return "".join(
        part["text"]
        for part in parts
        if isinstance(part, Mapping) and isinstance(part.get("text"), str)
        if part.get("type") in _SHOWN and not part.get("thought")
    )


def _list(value: Any, name: str) -> list[Any]:
    found = value.get(name) if isinstance(value, Mapping) else None
    return [each for each in found if isinstance(each, Mapping)] if isinstance(found, list) else []


def _map(value: Any, name: str) -> Mapping[str, Any]:
    found = value.get(name) if isinstance(value, Mapping) else None
    return found if isinstance(found, Mapping) else {}
