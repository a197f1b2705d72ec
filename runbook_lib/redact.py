"""Secrets out of everything that is written, and nothing live in what people see.

A key never reaches a file, a log, a parameter or a message. What looks like one is replaced before
it is stored, and again before it is shown; control characters are made visible.
"""

import re
import unicodedata

MASK = "[secret removed]"

_SECRETS = re.compile(
    r"""(?xi)
      \b(?:sk|rk|pk)-[A-Za-z0-9_\-]{8,}                       # gateway and provider keys
    | \bAIza[A-Za-z0-9_\-]{20,}                               # Google keys
    | \beyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{4,}\.[A-Za-z0-9_\-]*  # session tokens (JWT)
    | \brt_[A-Fa-f0-9]{16,}                                   # refresh tokens of the console
    | \bBearer\s+[A-Za-z0-9._~+/\-]{8,}=*                     # header values
    | (?<=[?&])(?:api_key|key|token|access_token)=[^&\s"']+   # keys in a URL
    | (?<=://)[^/\s:@]+:[^/\s@]+(?=@)                         # user and password in a URL
    """
)
_SECRET_NAMES = re.compile(
    r"(?i)(?:^|[._\-])(?:api[_\-]?key|authorization|x-api-key|x-goog-api-key|secret|password|"
    r"access[_\-]?token|refresh[_\-]?token|cookie|credential)s?$"
)
_CONTENT_NAMES = re.compile(
    r"(?i)(?:^|[._\-])(?:prompts?|messages?|content|completion|input|output|answer|response|"
    r"request_body|body|text|system_instructions?)$"
)


def secrets(text: str) -> str:
    """Replace everything that looks like a key, token or password."""
    return _SECRETS.sub(MASK, text)


def has_secret(text: str) -> bool:
    """Tell whether something in the text looks like a key, token or password."""
    return _SECRETS.search(text) is not None


def is_secret_name(name: str) -> bool:
    """Tell whether a field of this name carries a secret, whatever its value looks like."""
    return _SECRET_NAMES.search(name) is not None


def is_content_name(name: str) -> bool:
    """Tell whether a field of this name can carry a prompt or an answer."""
    return _CONTENT_NAMES.search(name) is not None


def suspect(text: str) -> bool:
    """Tell fast whether a text could hold a secret, so that the exact search is worth its time.

    True for every text that `has_secret` finds one in, and for some that hold none.
    """
    low = text.lower()
    return (
        "k-" in low
        or "aiza" in low
        or "eyj" in low
        or "rt_" in low
        or "bearer" in low
        or ("@" in low and "://" in low)
        or (("?" in low or "&" in low) and ("key=" in low or "token=" in low))
    )


def visible(text: str) -> str:
    r"""Make control, format and lone surrogate characters visible as \x1b or \u202e."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        char
        if char in "\n\t" or not unicodedata.category(char).startswith("C")
        else (f"\\x{ord(char):02x}" if ord(char) < 256 else f"\\u{ord(char):04x}")
        for char in text
    )


def safe(value: object, *, limit: int = 200) -> str:
    """Make any value fit to stand in a message: no secret, one visible line, bounded length."""
    text = visible(secrets(str(value))).replace("\n", "\\n").replace("\t", "\\t")
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
