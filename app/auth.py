"""Who a token says its bearer is: one answer for HTTP and for the socket.

A token is verified once. What it said is kept under the token's SHA-256,
never under the token, until it expires, is pushed out by newer ones, or
Keycloak's key set changes; so a known token costs a digest and a look-up.

`exp` is kept to the second on both protocols, without leeway: an HTTP
request is refused at the very moment at which an open socket is closed.
`nbf` forgives a few seconds, and `iat` as much as two clocks may differ by,
because the one thing a late `iat` proves is that a clock is wrong.

A session may end before its tokens do; that is asked of every token, also of
a known one, and changes neither what is kept nor for how long.

Reasons name the rule that was broken and never a part of the token.
"""

from collections import OrderedDict
from collections.abc import Callable
from hashlib import sha256
from time import time
from typing import Annotated, Final

import msgspec

from app.constants import (
    CLAIMS_CACHE_SIZE,
    TOKEN_LEEWAY_SECONDS,
    TOKEN_MAX_CLOCK_SKEW_SECONDS,
)
from app.exceptions import AppError, Unauthenticated, Unavailable
from app.schemas.user import UserModel
from app.types import Token, UserId, Username
from app.utils.jwks import JWKSCache
from app.utils.jws import encode, read_header, verified_payload
from app.utils.metrics import (
    Children,
    auth_attempts_total,
    auth_token_validations_total,
)

_LAST_SECOND: Final = 253_402_300_799
"""31 December 9999: what comes later is no date."""

_attempts = Children(auth_attempts_total)
_succeeded = _attempts[("success",)]
_validations = Children(auth_token_validations_total)

Instant = Annotated[int, msgspec.Meta(ge=0, le=_LAST_SECOND)]
Text = Annotated[str, msgspec.Meta(min_length=1)]


class RoleList(msgspec.Struct, frozen=True):
    """Roles of the realm, or of one client."""

    roles: tuple[str, ...] = ()


class Claims(msgspec.Struct, frozen=True):
    """What is used of a token's payload, with the types it must have."""

    iss: str
    sub: Text
    exp: Instant
    iat: Instant = 0
    nbf: Instant = 0
    typ: str = ""
    azp: str = ""
    jti: str | None = None
    aud: str | tuple[str, ...] = ()
    preferred_username: str = ""
    sid: str | None = None
    realm_access: RoleList = RoleList()
    resource_access: dict[str, RoleList] = {}

    def meant_for(self, client_id: str) -> bool:
        """Say whether this client is the audience or the requester."""
        audience = (self.aud,) if isinstance(self.aud, str) else self.aud
        return client_id in audience or client_id == self.azp


def bearer_token(authorization: str | None) -> Token:
    """Take the token out of an `Authorization` header.

    Raises:
        Unauthenticated: The header is missing or not `Bearer <token>`.
    """
    if not authorization:
        _attempts[("missing",)].inc()
        raise Unauthenticated("The token is missing")
    scheme, _, token = authorization.partition(" ")
    token = token.strip(" ")
    if scheme.lower() != "bearer" or not token:
        _attempts[("failed",)].inc()
        raise Unauthenticated("The Authorization header is not a bearer token")
    return Token(token)


class AuthBackend:
    """Turns an access token into the user it was given to.

    Args:
        keys: Keycloak's signing keys.
        issuer: `iss` that a token must have.
        client_id: The client that must be in `aud`, or be `azp`; its roles
            join those of the realm.
        cache_size: How many verified tokens are remembered.
        has_ended: Says whether a user's session is over before his token.
        clock: Seconds since the epoch.
    """

    def __init__(
        self,
        keys: JWKSCache,
        issuer: str,
        client_id: str,
        *,
        cache_size: int = CLAIMS_CACHE_SIZE,
        has_ended: Callable[[UserModel], bool] = lambda _: False,
        clock: Callable[[], float] = time,
    ) -> None:
        self._keys = keys
        self._issuer = issuer
        self._client_id = client_id
        self._cache_size = cache_size
        self._has_ended = has_ended
        self._clock = clock
        self._generation = keys.generation
        self._users: OrderedDict[bytes, UserModel] = OrderedDict()

    async def authenticate(self, token: str) -> UserModel:
        """Return the user whose access token this is.

        It does not suspend where the token, or its key, is known.

        Raises:
            Unauthenticated: The token is not acceptable; the detail is one
                sentence that says why.
            Unavailable: Its key is unknown and Keycloak cannot be asked.
        """
        try:
            encoded = encode(token)
            digest = sha256(encoded).digest()
            if self._generation != self._keys.generation:
                self._forget_everyone()
            user = self._users.get(digest)
            if user is None:
                user = await self._verify(encoded)
                self._users[digest] = user
            self._keep(digest, user)
        except AppError as error:
            _attempts[(_status(error, "failed"),)].inc()
            raise
        _succeeded.inc()
        return user

    def _keep(self, digest: bytes, user: UserModel) -> None:
        """Remember whose token it is, for as long as it is one."""
        if user.expires_at <= self._clock():
            self._users.pop(digest, None)
            raise Unauthenticated("The token has expired")
        self._users.move_to_end(digest)
        if len(self._users) > self._cache_size:
            self._users.popitem(last=False)
        if self._has_ended(user):
            raise Unauthenticated("The session has ended")

    def _forget_everyone(self) -> None:
        self._users.clear()
        self._generation = self._keys.generation

    async def _verify(self, token: bytes) -> UserModel:
        try:
            user = await self._verified(token)
        except AppError as error:
            _validations[(_status(error, "invalid"),)].inc()
            raise
        _validations[("valid",)].inc()
        return user

    async def _verified(self, token: bytes) -> UserModel:
        header = read_header(token)
        payload = await verified_payload(token, header, self._keys)
        claims = _read_claims(payload)
        self._check(claims)
        return self._user(claims)

    def _check(self, claims: Claims) -> None:
        now = self._clock()
        if claims.typ != "Bearer":
            raise Unauthenticated("The token is not an access token")
        if claims.iss != self._issuer:
            raise Unauthenticated("The token is not from this issuer")
        if not claims.meant_for(self._client_id):
            raise Unauthenticated("The token is for another audience")
        if claims.nbf > now + TOKEN_LEEWAY_SECONDS:
            raise Unauthenticated("The token is not valid yet")
        if claims.iat > now + TOKEN_MAX_CLOCK_SKEW_SECONDS:
            raise Unauthenticated("The token was issued in the future")

    def _user(self, claims: Claims) -> UserModel:
        ours = claims.resource_access.get(self._client_id, RoleList())
        return UserModel(
            id=UserId(claims.sub),
            username=Username(claims.preferred_username or claims.sub),
            roles=frozenset(claims.realm_access.roles + ours.roles),
            expires_at=claims.exp,
            issued_at=claims.iat,
            session_id=claims.sid,
            token_id=claims.jti,
        )


def _status(error: AppError, refused: str) -> str:
    return "unavailable" if isinstance(error, Unavailable) else refused


def _read_claims(payload: bytes) -> Claims:
    try:
        return msgspec.json.decode(payload, type=Claims)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        raise Unauthenticated(
            "The token's claims are missing or malformed"
        ) from None
