"""Keycloak's word that a session has ended, as it posts it to us.

The rules are those of OpenID Connect Back-Channel Logout 1.0, section 2.6.
A token that comes twice is refused by whoever knows of the first time; here
it is only asked whether it is a good one.
"""

from collections.abc import Callable
from time import time
from typing import Any

import msgspec

from app.constants import (
    LOGOUT_EVENT,
    LOGOUT_TOKEN_MAX_AGE_SECONDS,
    TOKEN_MAX_CLOCK_SKEW_SECONDS,
)
from app.exceptions import BadRequest, Unauthenticated
from app.utils.jwks import JWKSCache
from app.utils.jws import Header, encode, read_header, verified_payload

_TYPES = ("", "JWT", "logout+jwt")


class LogoutClaims(msgspec.Struct, frozen=True):
    """What is used of a logout token, with the types it must have."""

    iss: str
    aud: str | tuple[str, ...]
    iat: int
    jti: str
    events: dict[str, dict[str, Any]]
    exp: int | None = None
    sub: str | None = None
    sid: str | None = None
    nonce: Any = msgspec.UNSET

    @property
    def audience(self) -> tuple[str, ...]:
        """Whom it is for."""
        return (self.aud,) if isinstance(self.aud, str) else self.aud

    @property
    def whose(self) -> str:
        """The session that has ended, or the user whose sessions all have."""
        return self.sid or self.sub or ""


class LogoutTokens:
    """Verifies logout tokens.

    Args:
        keys: Keycloak's signing keys.
        issuer: `iss` that a token must have.
        client_id: The client that must be in `aud`.
        clock: Seconds since the epoch.
    """

    def __init__(
        self,
        keys: JWKSCache,
        issuer: str,
        client_id: str,
        clock: Callable[[], float] = time,
    ) -> None:
        self._keys = keys
        self._issuer = issuer
        self._client_id = client_id
        self._clock = clock

    async def verify(self, token: str) -> LogoutClaims:
        """Return what a logout token says.

        Raises:
            BadRequest: It is not acceptable; the detail says why.
            Unavailable: Its key is unknown and Keycloak cannot be asked.
        """
        try:
            encoded = encode(token)
            header = read_header(encoded)
            payload = await verified_payload(encoded, header, self._keys)
        except Unauthenticated as error:
            raise BadRequest(error.detail) from None
        claims = _read_claims(payload)
        self._check(header, claims)
        return claims

    def _check(self, header: Header, claims: LogoutClaims) -> None:
        rules = {
            "is no logout token": header.typ in _TYPES,
            "is not from this issuer": claims.iss == self._issuer,
            "is for another audience": self._client_id in claims.audience,
            "does not say that a session ended": LOGOUT_EVENT in claims.events,
            "has a nonce": claims.nonce is msgspec.UNSET,
            "has no jti": bool(claims.jti),
            "names neither sid nor sub": bool(claims.whose),
            "is not recent": self._is_recent(claims),
        }
        for reason, kept in rules.items():
            if not kept:
                raise BadRequest(f"The logout token {reason}")

    def _is_recent(self, claims: LogoutClaims) -> bool:
        now = self._clock()
        if claims.exp is not None and claims.exp <= now:
            return False
        age = now - claims.iat
        return (
            -TOKEN_MAX_CLOCK_SKEW_SECONDS <= age < LOGOUT_TOKEN_MAX_AGE_SECONDS
        )


def _read_claims(payload: bytes) -> LogoutClaims:
    try:
        return msgspec.json.decode(payload, type=LogoutClaims)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        pass
    raise BadRequest("The logout token's claims are missing or malformed")
