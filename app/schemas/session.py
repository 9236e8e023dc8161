"""What is known of sessions that have ended before their tokens."""

from typing import Final

import msgspec

EVERYBODY: Final = "*"
"""In place of a session, a user or a token."""


class Ended(msgspec.Struct, frozen=True):
    """Tokens of `whose` that were issued at or before `until` are void.

    `whose` is a token's `sid`, `sub` or `jti`; `until` is in seconds since
    the epoch, on Keycloak's clock.
    """

    whose: str
    until: int
