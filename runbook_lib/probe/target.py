"""Where a key may be sent: an exact list of hosts, after the URL was taken apart.

A base URL is refused unless every part of it is plain: scheme, host, port and path, no user, no
query, no escapes, nothing outside ASCII. What the list does not hold exactly gets no key, however
alike it looks.
"""

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from runbook_lib import redact
from runbook_lib.contract import BASE_URLS
from runbook_lib.errors import MissingInputError, ParameterError

GATEWAY_HOST = urlsplit(BASE_URLS["openai"]).hostname or ""
"""The one host that may receive a key without being named (contract §2, D)."""

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
"""The only ways to write this machine; others that mean it are refused."""

KEY_VARIABLE = "TOROUTER_API_KEY"
"""Environment variable of the key; `TOROUTER_API_KEY__<KEY NAME>` for one of several."""

_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[::1\])"
    r"(?::(?P<port>[1-9][0-9]{0,4}))?(?P<path>(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*)/?"
)
_HOST = re.compile(r"(?P<host>[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)(?::(?P<port>[1-9][0-9]{0,4}))?")
_VERSIONS = ("/v1beta", "/v1")
_KEY = re.compile(r"[!-~]{8,512}")
_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A place that may receive keys.

    Attributes:
        scheme, host, port: As they are called; an IPv6 host has its brackets.
        prefix: Path before the version, such as "/api"; mostly empty.
    """

    scheme: str
    host: str
    port: int
    prefix: str = ""

    @property
    def root(self) -> str:
        """The address without version and without a closing slash."""
        port = "" if self.port == _PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{self.host}{port}{self.prefix}"

    @property
    def loopback(self) -> bool:
        """Whether it is this machine."""
        return self.host in LOOPBACK

    def url(self, path: str) -> str:
        """Give the address of a path of the gateway, such as "/v1/models"."""
        return f"{self.root}{path}"


class Secret:
    """A key that shows itself to nobody: not in `repr`, not in a message, not in a comparison."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Give the key, for the header of one request."""
        return self._value

    def __repr__(self) -> str:
        return redact.MASK

    def __reduce__(self) -> str:
        raise TypeError("a key is not written anywhere")


def target(base_url: str, *, allow_hosts: Sequence[str] = (), sandbox: bool = False) -> Target:
    """Check that a base URL may receive a key.

    Args:
        base_url: Root, or with the version an SDK wants behind it.
        allow_hosts: Hosts besides the gateway's own that the user named, `host` or `host:port`;
            over https only.
        sandbox: Whether a gateway on loopback was asked for; it may speak plain http.

    Returns:
        The place.

    Raises:
        ParameterError: it is no plain URL, its host was not named, or a named host is none.

    Source: contract §2 (D).
    """
    found = _URL.fullmatch(base_url) if base_url.isascii() else None
    if found is None or not _port(found["scheme"], found["port"]):
        raise _refused(base_url, "a plain address such as https://portal.torouter.ai/v1")
    scheme, host = found["scheme"], found["host"].lower()
    port, path = _port(scheme, found["port"]), found["path"]
    if not _parsed_alike(base_url, scheme, host):
        raise _refused(base_url, "an address that every reader takes apart alike")
    if host in LOOPBACK:
        if not sandbox:
            raise _refused(base_url, "the gateway's address; loopback is for the sandbox only")
    elif scheme != "https":
        raise _refused(base_url, "an https address")
    elif (host, port) != (GATEWAY_HOST, 443) and (host, port) not in _named(allow_hosts):
        raise _refused(base_url, "an address whose host was allowed by name (host or host:port)")
    return Target(scheme=scheme, host=host, port=port, prefix=_without_version(path))


def secret(key_name: str, environ: Mapping[str, str], *, alone: bool = False) -> Secret:
    """Take a key from the environment, the only place keys come from.

    Args:
        key_name: Name of the key; empty for the only one.
        environ: The environment.
        alone: Whether no other key is used, so that the variable without a name can mean this one.

    Returns:
        The key.

    Raises:
        MissingInputError: no variable holds it.
        ParameterError: what it holds cannot be sent in a header.
    """
    names = [f"{KEY_VARIABLE}__{key_name}", f"{KEY_VARIABLE}__{_shell_name(key_name)}"]
    names = names if key_name else []
    if alone or not key_name:
        names.append(KEY_VARIABLE)
    held = next((name for name in names if environ.get(name)), None)
    if held is None:
        whose = f"key {redact.safe(key_name)}" if key_name else "the key"
        raise MissingInputError(
            f"No environment variable holds {whose}",
            hint=f"set {redact.safe(names[-1 if len(names) == 1 else 1])}",
        )
    if not _KEY.fullmatch(environ[held]):
        raise ParameterError(held, redact.MASK, hint="a key of 8 to 512 visible characters")
    return Secret(environ[held])


def _refused(base_url: str, hint: str) -> ParameterError:
    return ParameterError("base_url", redact.safe(base_url), hint=hint)


def _port(scheme: str, text: str | None) -> int:
    port = int(text) if text else _PORTS[scheme]
    return port if port < 65536 else 0


def _parsed_alike(base_url: str, scheme: str, host: str) -> bool:
    """Tell whether two other readers of URLs see the same scheme and host, and nobody's name."""
    import httpx

    bare = host.strip("[]")
    try:
        first, second = urlsplit(base_url), httpx.URL(base_url)
    except (ValueError, httpx.InvalidURL):
        return False
    return (
        (first.scheme, first.hostname, first.username) == (scheme, bare, None)
        and (second.scheme, second.host, second.userinfo) == (scheme, bare, b"")
        and not (first.query or first.fragment or second.query or second.fragment)
    )


def _named(allow_hosts: Sequence[str]) -> set[tuple[str, int]]:
    """The hosts a user allowed; one written as a number in disguise is none."""
    found = set()
    for text in allow_hosts:
        entry = _HOST.fullmatch(text.lower()) if text.isascii() else None
        if entry is None or not _port("https", entry["port"]) or _odd_number(entry["host"]):
            raise ParameterError("allow_hosts", redact.safe(text), hint="host or host:port")
        found.add((entry["host"], _port("https", entry["port"])))
    return found


def _odd_number(host: str) -> bool:
    """Tell a host that a resolver can read as a number, though it is no usual IPv4 address."""
    if not re.fullmatch(r"(?:0x[0-9a-f]*|[0-9]+)", host.rpartition(".")[2]):
        return False
    try:
        return str(ipaddress.IPv4Address(host)) != host
    except ValueError:
        return True


def _without_version(path: str) -> str:
    for version in _VERSIONS:
        if path.endswith(version):
            return path.removesuffix(version)
    return path


def _shell_name(key_name: str) -> str:
    """The name of a key as a shell can export it: "prod-web" becomes "PROD_WEB"."""
    return re.sub(r"[^A-Z0-9]", "_", key_name.upper())
