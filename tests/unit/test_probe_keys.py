"""Keys go to the gateway, or to who was named: never anywhere else, and into nothing written."""

import copy
import logging
import pickle
import socket
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from probe_kit import CHAT, ENVIRON, KEY, KNOWN, NOW, Sink, ask, listening, said, told

from runbook_lib import probe, redact
from runbook_lib.errors import MissingInputError, ParameterError, RunbookError
from runbook_lib.probe.target import Secret, secret

NEVER = [
    "https://portal.torouter.ai@evil.invalid/v1",
    "https://portal.torouter.ai.evil.invalid/v1",
    "https://portal.torouter.ai\\@evil.invalid/v1",
    "https://portal.torouter\uff0eai/v1",
    "https://PORTAL.TOROUTER.AI./v1",
    "http://2130706433/",
    "http://0x7f.1/",
    "http://0/",
    "http://[::ffff:127.0.0.1]/",
    "http://localhost.",
    "file:///etc/passwd",
    "https://portal.torouter.ai:8443/v1",
    "https://portal.torouter.ai/v1?x=1#y",
    "https://portal.torouter.ai/v1\r\nx-evil: 1",
    "  https://portal.torouter.ai/v1",
    "//evil.invalid/v1",
    "https:evil.invalid",
    "https://portal.torouter.ai%2eevil.invalid/",
    # Relatives of these.
    "https://user:" + "pass@portal.torouter.ai/v1",
    "https://@portal.torouter.ai/v1",
    "http://portal.torouter.ai/v1",
    "https://portal.torouter.ai/../evil",
    "https://portal.torouter.ai//evil.invalid/v1",
    "https://portal.torouter.ai/v1 ",
    "https://portal.torouter.ai/v1\t",
    "https://portal.torouter.ai:/v1",
    "https://portal.torouter.ai:443443/v1",
    "https://portal.torouter.ai#@evil.invalid",
    "https://portal.torouter.ai?@evil.invalid",
    "https://portal.torouter.ai;evil.invalid/v1",
    "https://portal\u3002torouter.ai/v1",
    "https://port\u0430l.torouter.ai/v1",
    "https://xn--portl-3ve.torouter.ai/v1",
    "https://evil.invalid/https://portal.torouter.ai/v1",
    "https://[::1]evil.invalid/",
    "https://[::1%25lo]/",
    "http://127.1/",
    "http://127.0.0.1.evil.invalid/",
    "http://0177.0.0.1/",
    "http://[0:0:0:0:0:0:0:1]/",
    "HTTPS://portal.torouter.ai/v1",
    "ftp://portal.torouter.ai/v1",
    "portal.torouter.ai/v1",
    "",
]
"""Base URLs that must never receive a key."""


def tried(base_url: str, **more: Any) -> str:
    """Do everything a run does with a base URL; gives the error that stops it."""
    try:
        place = probe.target(base_url, **more)
        made = probe.plan(place, [probe.Wanted(model="gpt-5.4")], at=NOW)
        probe.run(made, now=NOW, environ=ENVIRON)
    except RunbookError as error:
        return f"{type(error).__name__}: {error}"
    return ""


@pytest.fixture
def everywhere(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A sink that every host name and address leads to."""
    with listening({**KNOWN, "": said(CHAT)}) as sink:
        real = socket.getaddrinfo

        def all_here(host: Any, port: Any, *args: Any, **named: Any) -> Any:
            del host, port
            return real("127.0.0.1", sink.port, *args, **named)

        monkeypatch.setattr(socket, "getaddrinfo", all_here)
        yield sink


@pytest.mark.parametrize("sandbox", [False, True], ids=["gateway", "sandbox"])
@pytest.mark.parametrize("base_url", NEVER)
def test_no_look_alike_gets_a_byte_of_the_key(
    base_url: str, *, sandbox: bool, everywhere: Sink
) -> None:
    """Every name leads to a server that counts: none of the key arrives, nor any request."""
    for tried_url in (base_url, base_url.replace("/v1", f":{everywhere.port}/v1", 1)):
        refused = tried(tried_url, sandbox=sandbox)
        assert refused.startswith("ParameterError: base_url=")
        assert KEY not in refused
    assert (everywhere.key_bytes, everywhere.got) == (0, [])


def test_the_counting_server_counts(everywhere: Sink) -> None:
    """Without this, the tests above would pass with a server that sees nothing."""
    assert tried(f"http://localhost:{everywhere.port}", sandbox=True) == ""
    assert everywhere.key_bytes >= 3 * len(KEY)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_loopback_gets_a_key_only_when_it_is_asked_for(host: str) -> None:
    """Anything can listen on this machine."""
    with pytest.raises(ParameterError, match="loopback is for the sandbox only"):
        probe.target(f"http://{host}:8080/v1")
    assert probe.target(f"http://{host}:8080/v1", sandbox=True).loopback


@pytest.mark.parametrize(
    ("base_url", "root"),
    [
        ("https://portal.torouter.ai/v1", "https://portal.torouter.ai"),
        ("https://portal.torouter.ai", "https://portal.torouter.ai"),
        ("https://portal.torouter.ai/", "https://portal.torouter.ai"),
        ("https://portal.torouter.ai:443/v1beta", "https://portal.torouter.ai"),
        ("https://portal.torouter.ai/api/v1/", "https://portal.torouter.ai/api"),
        ("https://Portal.ToRouter.ai/v1", "https://portal.torouter.ai"),
    ],
)
def test_every_base_url_of_the_gateway_is_one_place(base_url: str, root: str) -> None:
    """SDKs want the version behind the root, or not."""
    assert probe.target(base_url).root == root


def test_other_hosts_get_a_key_only_when_named_and_over_https() -> None:
    """A name covers that host and port, no other port and no subdomain."""
    named = {"allow_hosts": ["gateway.example.com", "10.0.0.7:8443"]}
    assert probe.target("https://gateway.example.com/v1", **named).port == 443
    assert probe.target("https://10.0.0.7:8443/v1", **named).port == 8443
    for bad in (
        "http://gateway.example.com/v1",
        "https://gateway.example.com:8443/v1",
        "https://sub.gateway.example.com/v1",
        "https://gateway.example.com./v1",
        "https://10.0.0.7/v1",
        "https://example.com/v1",
    ):
        with pytest.raises(ParameterError):
            probe.target(bad, **named)


@pytest.mark.parametrize(
    "name",
    ["*", "*.example.com", "2130706433", "0x7f.1", "127.1", "0", "a b", "", "x:0", "ｅx.com"],
)
def test_a_named_host_is_one_host(name: str) -> None:
    """No patterns, no numbers in disguise."""
    with pytest.raises(ParameterError, match="allow_hosts"):
        probe.target("https://example.com/v1", allow_hosts=[name])


# Where keys come from -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "name", "alone", "value"),
    [
        ({"TOROUTER_API_KEY": "only-key-1"}, "", False, "only-key-1"),
        ({"TOROUTER_API_KEY": "only-key-1"}, "prod-web", True, "only-key-1"),
        ({"TOROUTER_API_KEY__prod-web": "named-key"}, "prod-web", False, "named-key"),
        ({"TOROUTER_API_KEY__PROD_WEB": "named-key"}, "prod-web", False, "named-key"),
        ({"TOROUTER_API_KEY__prod-web": "exact-key", "TOROUTER_API_KEY__PROD_WEB": "other-key"},
         "prod-web", False, "exact-key"),
    ],
)  # fmt: skip
def test_keys_come_from_the_environment(
    environ: dict[str, str], name: str, *, alone: bool, value: str
) -> None:
    """By the name of the key, as it is or as a shell can write it."""
    assert secret(name, environ, alone=alone).reveal() == value


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({}, ""),
        ({}, "prod-web"),
        ({"TOROUTER_API_KEY": "only-key-1"}, "prod-web"),
        ({"TOROUTER_API_KEY__OTHER": "other-key"}, "prod-web"),
        ({"TOROUTER_API_KEY": ""}, ""),
    ],
)
def test_a_key_that_is_not_there_is_asked_for_by_its_variable(
    environ: dict[str, str], name: str
) -> None:
    """Another key in its place would tell of another key's limits."""
    with pytest.raises(MissingInputError, match="set TOROUTER_API_KEY"):
        secret(name, environ)


@pytest.mark.parametrize(
    "bad", ["a b c d e f g", "short", "k" * 600, "key\r\nx-evil: 1", "k\u00e9y-of-some"]
)
def test_what_cannot_stand_in_a_header_is_no_key(bad: str) -> None:
    """Its value is not shown, whatever it is."""
    with pytest.raises(ParameterError) as caught:
        secret("", {"TOROUTER_API_KEY": bad})
    assert bad not in str(caught.value)
    assert redact.MASK in str(caught.value)


def test_without_a_key_nothing_is_sent(everywhere: Sink) -> None:
    """All keys are looked for before the first call."""
    place = probe.target(f"http://127.0.0.1:{everywhere.port}", sandbox=True)
    wanted = [probe.Wanted(model="gpt-5.4", key_name=name) for name in ("a", "b")]
    made = probe.plan(place, wanted, at=NOW)
    with pytest.raises(MissingInputError):
        probe.run(made, now=NOW, environ={"TOROUTER_API_KEY__A": KEY})
    assert everywhere.got == []


# Where they do not go -----------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    """The SDKs follow, and send their own key headers to the other host."""
    with listening() as other:
        there = [("location", f"{other.url}/v1/models")]
        with listening({"": said(b"", status, headers=there)}) as sink:
            rows = told(ask(sink))
        assert (other.got, other.key_bytes) == ([], 0)
    assert rows["plain"]["note"] == "a redirect, which is not followed"


@pytest.mark.parametrize(
    "name", ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"]
)
def test_a_proxy_of_the_environment_gets_nothing(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who can set a variable must not get the key."""
    with listening() as proxy, listening({**KNOWN, "": said(CHAT)}) as sink:
        monkeypatch.setenv(name, proxy.url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        assert ask(sink).calls == 3
        assert proxy.got == []


@pytest.mark.parametrize("name", ["OPENAI_BASE_URL", "ANTHROPIC_BASE_URL", "TOROUTER_BASE_URL"])
def test_a_base_url_of_the_environment_is_not_read(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what was given and checked counts."""
    with listening() as other, listening({**KNOWN, "": said(CHAT)}) as sink:
        monkeypatch.setenv(name, other.url)
        ask(sink)
        assert other.got == []


def test_a_certificate_nobody_trusts_ends_the_call(tmp_path: Path) -> None:
    """There is no switch that turns the check off."""
    with listening(certificate=self_signed(tmp_path)) as sink:
        found = ask(sink)
        assert sink.key_bytes == 0
    assert set(found.frame["note"][:3]) == {"the certificate is not trusted"}


def test_a_certificate_the_machine_trusts_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Companies have their own authorities: SSL_CERT_FILE names them."""
    made = self_signed(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(made))
    with listening({**KNOWN, "": said(CHAT)}, certificate=made) as sink:
        assert told(ask(sink))["plain"]["supported"]


def self_signed(folder: Path) -> Path:
    """A certificate for this machine that signs itself, with its key, as PEM."""
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    today = datetime.now().astimezone()
    where = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - timedelta(days=1))
        .not_valid_after(today + timedelta(days=1))
        .add_extension(where, critical=False)
        .sign(key, hashes.SHA256())
    )
    text = made.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path = folder / "self.pem"
    path.write_bytes(text)
    return path


def test_a_server_that_says_the_key_everywhere_gets_it_nowhere(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """Reason, headers, ids, code, model and lists: nothing kept, logged or shown has it."""
    caplog.set_level(logging.DEBUG)
    echo = [("x-request-id", KEY), ("x-echo", KEY)]
    body = {
        "model": KEY,
        "code": KEY,
        "data": [{"id": KEY}],
        "mode": KEY,
        "error": {"code": KEY, "message": KEY},
    }
    for status in (200, 400, 429):
        with listening({"": said(body, status, headers=echo, reason=KEY)}) as sink:
            found = ask(sink, *probe.ABILITIES)
            assert sink.key_bytes > 0
        shown = [repr(found), str(found.notes), found.frame.to_csv(), found.key_state.to_csv()]
        assert not any(KEY in text for text in shown)
    assert KEY not in caplog.text
    assert any(KEY in str(one.msg) for one in caplog.records) is False
    assert KEY not in "".join(capsys.readouterr())


def test_the_log_of_the_library_is_as_before_afterwards() -> None:
    """What is put into other people's loggers is taken out again."""
    before = [list(logging.getLogger(name).filters) for name in ("httpx", "httpcore.http11")]
    with listening({**KNOWN, "": said(CHAT)}) as sink:
        ask(sink)
    assert before == [
        list(logging.getLogger(name).filters) for name in ("httpx", "httpcore.http11")
    ]


def test_a_key_shows_itself_to_nobody() -> None:
    """Not in its own text, not in a copy, not in a file."""
    held = Secret(KEY)
    assert (repr(held), str(held), f"{held}") == (redact.MASK,) * 3
    for act in (pickle.dumps, copy.deepcopy, copy.copy):
        with pytest.raises(TypeError):
            act(held)


def test_the_key_stands_in_the_header_of_its_protocol_and_in_no_url() -> None:
    """A key in a URL is a key in every log on the way (contract §2)."""
    with listening({**KNOWN, "": said({"candidates": []})}) as sink:
        ask(sink, model="gemini-2.5-pro", protocol="gemini")
        assert all(KEY not in line for line in sink.asked)
        assert f"x-goog-api-key: {KEY}".encode() in sink.got[-1].lower()
    with listening({**KNOWN, "": said({"content": []})}) as sink:
        ask(sink, model="claude-opus-4-7")
        assert f"x-api-key: {KEY}".encode() in sink.got[-1].lower()
        assert b"authorization" not in sink.got[-1].lower()
