"""The words of a permission, and what is said about one that is wrong.

The patterns mean the same to Python, Rust, RE2 and ECMAScript, because
pydantic, Helm and Kubernetes check them too. They are ASCII only, so that
no two names look alike.
"""

import re
from collections.abc import Iterable
from http import HTTPMethod
from typing import Final

ANY: Final = "*"
"""As a rule: every signed-in user; as a name or method: all of them."""
SIGNED_IN: Final = "_signed-in"
"""The key of the line format for what every signed-in user may do."""

ROLE: Final = r"^[A-Za-z0-9_][A-Za-z0-9_.:/@+-]{0,252}$"
ROLE_OR_ANY: Final = rf"^(\*|{ROLE[1:-1]})$"
ROLE_KEY: Final = r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}$"
"""A role that can be the key of a ConfigMap."""
PACKAGE: Final = r"^(\*|0|[1-9][0-9]{0,8}|[A-Z][A-Z0-9_]{0,99})$"
METHOD: Final = rf"^(\*|{'|'.join(HTTPMethod)})$"
TEMPLATE: Final = r"^/[A-Za-z0-9._~!$&'()+,;=:@%/{}-]{0,999}$"

_ROLE_FAULT = "is no role name (ASCII letters, digits and _.:/@+-)"
_FAULTS: Final = {
    ROLE: _ROLE_FAULT,
    ROLE_OR_ANY: _ROLE_FAULT,
    ROLE_KEY: "is no role name for a key (ASCII letters, digits and _.-)",
    PACKAGE: "is no PkgID name (GET_AUTHORS), number or *",
    METHOD: "is no HTTP method in capitals (GET, POST) or *",
    TEMPLATE: "is no route template (/authors/{id})",
}
_RESERVED_FAULT: Final = f"{SIGNED_IN!r} is reserved and no role"
_SHOWN_CHARACTERS: Final = 60


class PermissionMapError(ValueError):
    """A map that cannot be used, and every reason why.

    Args:
        findings: One line for each fault, which names where it is.
    """

    def __init__(self, findings: Iterable[str]) -> None:
        self.findings = tuple(findings)
        super().__init__("\n".join(self.findings))

    def within(self, name: str) -> "PermissionMapError":
        """Return the same faults, each behind the name of the map."""
        return PermissionMapError(f"{name}: {f}" for f in self.findings)


def show(text: object) -> str:
    """Quote what somebody wrote, on one short line of ASCII."""
    shown = ascii(text)
    if len(shown) > _SHOWN_CHARACTERS:
        return f"{shown[:_SHOWN_CHARACTERS]}..."
    return shown


def fault(word: object, pattern: str) -> str:
    """Say why this word does not match this pattern."""
    return f"{show(word)} {_FAULTS[pattern]}"


def check(word: str, pattern: str) -> str:
    """Return the word if it matches the whole pattern and is not reserved.

    Raises:
        ValueError: It does not; the message quotes it and says why.
    """
    if not re.fullmatch(pattern, word):
        raise ValueError(fault(word, pattern))
    return not_reserved(word)


def not_reserved(word: str) -> str:
    """Return the word if a role may have it as its name.

    Raises:
        ValueError: It is the key for every signed-in user.
    """
    if word == SIGNED_IN:
        raise ValueError(_RESERVED_FAULT)
    return word
