"""Text without the secrets that got into it.

Nothing of ours logs a secret; this is for what libraries quote and what an
error carries along. A secret is known by its shape (a JWT, also a part of
one), by the name before it (`password=`, `"token": "`, `Authorization:`) or
by its place (the password of a URL), as text, in JSON, in JSON within JSON,
as `repr` of bytes, and percent-encoded. Words stay words: "token expired".

Most lines have nothing of this kind. They cost a few look-ups; only a line
with a suspicious word is searched.
"""

import re
from typing import Final

REMOVED: Final = "[removed]"

_SUSPICIOUS: Final = (
    *("eyj", "token", "passw", "bearer", "authoriz"),
    *("secret", "://", "cookie", "credential", "api-key", "api_key"),
)
_NAME: Final = (
    r"(?:authorization|cookie|token|passw(?:or)?d|secret|credentials?"
    r"|api[_-]key)"
)
_SPACE: Final = r"(?:\s|\+|%20|%2520)"
_SCHEME: Final = rf"(?:(?:bearer|basic){_SPACE}+)?"
_RUN: Final = r"(?:[^\s&\"'\\;,<>]|\\\\)+"
_NO_WORD: Final = r"(?=[^\s\"']*\d|[^\s\"']{16})"
"""What follows has a digit or is long, so it is no ordinary word."""

_NAMED: Final = re.compile(
    # "token": "…", 'token': '…', \"token\": \"…\", b'token', b'…'
    rf"(?P<quoted>{_NAME}\\*[\"'](?:\s*[:=]\s*b?|,\s*b)"
    r"(?P<quote>(?P<deep>\\+)?[\"']))"
    # … up to the quote that no odd backslash, or pair of them in JSON within
    # JSON, makes a part of the value
    r"(?:.*?(?<!\\)(?(deep)(?:\\{4})*|(?:\\\\)*)(?=(?P=quote))|.*)"
    # Cookie: a=…; b=…
    r"|(?P<cookies>cookie\s*:\s*)[^\"'\\\r\n]+"
    # password=…, Authorization: Bearer …, token%3D…
    rf"|(?P<assigned>{_NAME}(?:\\*[\"']|%22)?\s*"
    rf"(?:=|%3[AD](?:%22)?|(?<!token)(?<![\"']):))\s*{_SCHEME}{_RUN}"
    # token: …
    rf"|(?P<told>token\s*:\s*){_NO_WORD}{_RUN}"
    # bearer.…, Bearer …, Bearer%20…
    rf"|(?P<bearer>bearer(?:\.|\+|%20|%2520|\s+{_NO_WORD})){_RUN}",
    re.IGNORECASE | re.DOTALL,
)
_JWT: Final = re.compile(
    r"(?:(?:(?<![\w-])|(?<=%[0-9A-Fa-f]{2})|(?<=\\[nrtbf]))eyJ[\w-]{4,}"
    r"|eyJ[\w-]{20,})"
    r"(?:(?:\.|%2[Ee])[\w-]*)*"
)
_URL: Final = re.compile(r"(://[^\s/:@\"'\\]*:)[^\s/?#\"']+(?=@)")


def scrub(text: str) -> str:
    """Return the text without tokens, passwords and cookies."""
    return _search(text) if is_suspicious(text) else text


def is_suspicious(text: str) -> bool:
    """Say whether a secret might be in it; most text has none."""
    lower = text.lower()
    for word in _SUSPICIOUS:  # noqa: SIM110  (twice as fast as `any`)
        if word in lower:
            return True
    return False


def _search(text: str) -> str:
    text = _URL.sub(rf"\1{REMOVED}", text)
    text = _NAMED.sub(lambda m: f"{m[m.lastgroup or 0]}{REMOVED}", text)
    return _JWT.sub(REMOVED, text)
