"""A signed token as it comes, until its signature is found to be good.

What it says is read by whoever knows what kind of token it has to be.
Reasons name the rule that was broken and never a part of the token.
"""

from base64 import b64decode
from typing import Any, Final

import msgspec
from joserfc.errors import JoseError
from joserfc.jws import JWSRegistry, deserialize_compact

from app.constants import TOKEN_MAX_BYTES
from app.exceptions import Unauthenticated
from app.utils.jwks import ALGORITHMS, JWKSCache, SigningKey

_DOTS: Final = 2


class Header(msgspec.Struct, frozen=True):
    """What is used of a token's header; `jwk`, `jku` and `x5u` are not."""

    alg: str = ""
    kid: str = ""
    typ: Any = ""
    crit: Any = msgspec.UNSET


class _Session(msgspec.Struct, frozen=True):
    sid: str | None = None


def encode(token: str) -> bytes:
    """Return the token's bytes.

    Raises:
        Unauthenticated: It is too long, or no token at all.
    """
    if len(token) > TOKEN_MAX_BYTES:
        raise Unauthenticated(f"The token is over {TOKEN_MAX_BYTES} bytes")
    if not token.isascii() or token.count(".") != _DOTS:
        raise Unauthenticated("The token is malformed")
    return token.encode()


def read_header(token: bytes) -> Header:
    """Return the header of a token, which nobody has verified yet.

    Raises:
        Unauthenticated: It is malformed, or of a kind that is not accepted.
    """
    try:
        text = _decode_segment(token.partition(b".")[0])
        header = msgspec.json.decode(text, type=Header)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        raise Unauthenticated("The token's header is malformed") from None
    if header.alg not in ALGORITHMS:
        raise Unauthenticated("The token's algorithm is not accepted")
    if header.crit is not msgspec.UNSET:
        raise Unauthenticated("The token has an unknown critical header")
    if not header.kid:
        raise Unauthenticated("The token does not name its key")
    return header


def session_of(token: str) -> str | None:
    """Return the `sid` of a token that Keycloak has just accepted."""
    _header, _, rest = token.partition(".")
    try:
        text = _decode_segment(rest.partition(".")[0].encode())
        return msgspec.json.decode(text, type=_Session).sid
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return None


def _decode_segment(segment: bytes) -> bytes:
    padding = b"=" * (-len(segment) % 4)
    return b64decode(segment + padding, b"-_", validate=True)


async def verified_payload(
    token: bytes, header: Header, keys: JWKSCache
) -> bytes:
    """Return what a token says, once its signature is found to be good.

    It does not suspend where the key is known.

    Raises:
        Unauthenticated: The signature is not good, or of an unknown key.
        Unavailable: The key is unknown and Keycloak cannot be asked.
    """
    return _payload(token, await keys.key(header.kid, header.alg))


def _payload(token: bytes, key: SigningKey) -> bytes:
    registry = JWSRegistry(algorithms=ALGORITHMS, strict_check_header=False)
    registry.max_header_length = TOKEN_MAX_BYTES
    try:
        return deserialize_compact(token, key, registry=registry).payload
    except (JoseError, RecursionError, ValueError):
        raise Unauthenticated("The token's signature is not valid") from None
