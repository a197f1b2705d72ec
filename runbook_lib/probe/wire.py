"""Sends one request within hard limits of time and size, and keeps nothing of the key.

Redirects are not followed, the environment's proxies are not used, certificates are always checked
(`SSL_CERT_FILE` is honoured), and packed answers are not unpacked.
"""

import asyncio
import logging
import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runbook_lib import redact
from runbook_lib.probe.asks import Ask
from runbook_lib.probe.target import Secret, Target

if TYPE_CHECKING:
    import httpx

TALKERS = ("httpx", "httpcore.connection", "httpcore.http11", "httpcore.proxy")
"""Loggers that write what an answer says; a hostile one could say the key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What came back.

    Attributes:
        status: HTTP status; None where no answer came.
        headers: Lines in order. `text`: the body, the key taken out; None where it was not read
            to its end.
        trouble: What kept an answer from coming whole, in a few words; empty for nothing.
        seconds: From the first byte sent to the last one read.
    """

    status: int | None = None
    headers: Sequence[tuple[str, str]] = ()
    text: str | None = None
    trouble: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """A client for one target.

    Attributes:
        most_bytes: Bytes of an answer that are read.
    """

    target: Target
    most_bytes: int
    client: "httpx.AsyncClient" = field(repr=False)

    async def send(self, ask: Ask, key: Secret, *, within_s: float) -> Heard:
        """Send one request and read its answer; whatever happens, it ends in time.

        Args:
            ask: What is asked.
            key: Key it is sent with.
            within_s: Seconds it may take in all, from the first look-up to the last byte.

        Returns:
            What came back, or what kept it from coming.
        """
        begun = time.perf_counter()
        heard = Heard(trouble=f"no whole answer within {within_s:.3g} s")
        try:
            async with asyncio.timeout(within_s):
                heard = await self._sent(ask, key)
        except TimeoutError:
            pass
        return Heard(
            status=heard.status,
            headers=heard.headers,
            text=heard.text,
            trouble=heard.trouble,
            seconds=time.perf_counter() - begun,
        )

    async def _sent(self, ask: Ask, key: Secret) -> Heard:
        import httpx

        request = self.client.build_request(
            ask.method,
            self.target.url(ask.path),
            content=ask.body,
            headers=ask.headers(key.reveal()),
        )
        if not self._is_target(request.url):
            return Heard(trouble="the address changed while the request was built")
        try:
            answer = await self.client.send(request, stream=True)
            try:
                return await self._read(answer, key)
            finally:
                await answer.aclose()
        except httpx.HTTPError as error:
            return Heard(trouble=_words(error))

    def _is_target(self, url: "httpx.URL") -> bool:
        port = url.port or {"https": 443, "http": 80}[url.scheme]
        wanted = (self.target.scheme, self.target.host.strip("[]"), self.target.port)
        return (url.scheme, url.host, port) == wanted and not url.userinfo

    async def _read(self, answer: "httpx.Response", key: Secret) -> Heard:
        lines = [
            (name.decode("latin-1").lower(), _without(value.decode("latin-1"), key))
            for name, value in answer.headers.raw
        ]
        held = Heard(status=answer.status_code, headers=lines)
        if 300 <= answer.status_code < 400:
            return _with(held, trouble="a redirect, which is not followed")
        if dict(lines).get("content-encoding", "identity").strip().lower() not in ("", "identity"):
            return _with(held, trouble="a packed answer, which was not asked for")
        body = bytearray()
        async for part in answer.aiter_raw():
            body += part
            if len(body) > self.most_bytes:
                return _with(held, trouble=f"more than {self.most_bytes} bytes")
        return _with(held, text=_without(body.decode("utf-8", "replace"), key))


def _with(held: Heard, *, text: str | None = None, trouble: str = "") -> Heard:
    return Heard(status=held.status, headers=held.headers, text=text, trouble=trouble)


def open_client(call_s: float) -> "httpx.AsyncClient":
    """Make a client that trusts nothing of the machine but its certificates.

    Args:
        call_s: Seconds each step of a call may take.

    Returns:
        The client; to be closed.
    """
    import httpx

    return httpx.AsyncClient(
        verify=httpx.create_ssl_context(trust_env=True),
        trust_env=False,
        follow_redirects=False,
        timeout=httpx.Timeout(call_s),
        limits=httpx.Limits(max_connections=1, max_keepalive_connections=0),
        headers={"accept-encoding": "identity", "accept": "*/*", "user-agent": "torouter-runbooks"},
    )


def _without(text: str, key: Secret) -> str:
    return text.replace(key.reveal(), redact.MASK)


def _words(error: Exception) -> str:
    """Name what happened; the text of an error can hold an address, so it is not used."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return "the certificate is not trusted"
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__


@contextmanager
def quiet(keys: Sequence[Secret]) -> Iterator[None]:
    """Keep keys out of what the HTTP library logs, for the length of a block.

    Args:
        keys: Keys in use.
    """

    def clean(record: logging.LogRecord) -> bool:
        text = record.getMessage()
        for key in keys:
            text = _without(text, key)
        record.msg, record.args = redact.secrets(text), None
        return True

    talkers = [logging.getLogger(name) for name in TALKERS]
    for talker in talkers:
        talker.addFilter(clean)
    try:
        yield
    finally:
        for talker in talkers:
            talker.removeFilter(clean)
